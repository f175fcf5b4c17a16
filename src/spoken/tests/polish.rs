//! Polish: what is said for what is written.

use super::check;

#[test]
#[rustfmt::skip]
fn numbers() {
    check("pl", &[
        ("0", "zero"),
        ("1", "jeden"),
        ("22", "dwadzieścia dwa"),
        ("100", "sto"),
        ("200", "dwieście"),
        ("1 234", "tysiąc | dwieście trzydzieści cztery"),
        ("1000", "tysiąc"),
        ("2000", "dwa tysiące"),
        ("5000", "pięć tysięcy"),
        ("1 000 000", "milion |  | "),
        ("2 miliony", "dwa | miliony"),
        ("1984", "tysiąc dziewięćset osiemdziesiąt cztery"),
        ("3,14", "trzy przecinek czternaście"),
        ("1,5", "jeden przecinek pięć"),
        ("-5", "minus pięć"),
        ("10 000", "dziesięć | tysięcy"),
        ("007", "zero zero siedem"),
    ]);
}

#[test]
#[rustfmt::skip]
fn prices_and_units() {
    check("pl", &[
        ("100 zł", "sto | złotych"),
        ("1 zł", "jeden | złoty"),
        ("2 zł", "dwa | złote"),
        ("3,50 zł", "trzy | złote pięćdziesiąt groszy"),
        ("20%", "dwadzieścia procent"),
        ("1%", "jeden procent"),
        ("5 mln", "pięć | milionów"),
        ("$5 mln", "pięć | milionów dolarów"),
        ("50 km/h", "pięćdziesiąt | kilometrów na godzinę"),
        ("20°C", "dwadzieścia stopni celsjusza"),
        ("2 kg", "dwa | kilogramy"),
        ("5 kg", "pięć | kilogramów"),
        ("1,5 kg", "jeden przecinek pięć | kilogramy"),
        ("2 min", "dwie | minuty"),
        ("22 min", "dwadzieścia dwie | minuty"),
        ("$1", "jeden dolar"),
        ("5€", "pięć euro"),
    ]);
}

#[test]
#[rustfmt::skip]
fn dates_times_and_ordinals() {
    check("pl", &[
        ("12:30", "dwunasta trzydzieści"),
        ("12:05", "dwunasta zero pięć"),
        ("21.03.2024", "dwudziestego pierwszego marca dwa tysiące dwudziestego czwartego roku"),
        ("12 maja", "dwunastego | maja"),
        ("w 2005 roku", "w | dwa tysiące piątym | roku"),
        ("2005 rok", "dwa tysiące piąty | rok"),
        ("1984 r.", "tysiąc dziewięćset osiemdziesiątego czwartego | roku"),
        ("w 2024 roku", "w | dwa tysiące dwudziestym czwartym | roku"),
        ("3. miejsce", "trzeci | miejsce"),
        ("21. wiek", "dwudziesty pierwszy | wiek"),
        ("1/2", "jedna druga"),
        ("3/4", "trzy czwarte"),
        ("10-12", "dziesięć dwanaście"),
        ("lat 90.", "lat | dziewięćdziesiąt"),
        ("2x", "dwa razy"),
    ]);
}

#[test]
#[rustfmt::skip]
fn signs_and_abbreviations() {
    check("pl", &[
        ("Dr Nowak", "doktor | nowak"),
        ("np. to", "na przykład | to"),
        ("itd.", "i tak dalej"),
        ("nr 5", "numer | pięć"),
        ("str. 12", "strona | dwanaście"),
        ("PKP", "p k p"),
        ("A4", "a cztery"),
        ("żółć", "żółć"),
        ("ul. Długa", "ulica | długa"),
        ("+48 600 123 456", "plus cztery osiem | sześć zero zero | jeden dwa trzy | cztery pięć sześć"),
        ("COVID-19", "covid dziewiętnaście"),
        ("&", "i"),
        ("tzn. że", "to znaczy | że"),
    ]);
}

#[test]
#[rustfmt::skip]
fn names_of_large_numbers() {
    check("pl", &[
        ("999", "dziewięćset dziewięćdziesiąt dziewięć"),
        ("1.001", "tysiąc jeden"),
        ("21.021", "dwadzieścia jeden tysięcy dwadzieścia jeden"),
        ("100.100", "sto tysięcy sto"),
        ("317.281", "trzysta siedemnaście tysięcy dwieście osiemdziesiąt jeden"),
        ("1.000.001", "milion jeden"),
        ("987.654.321", "dziewięćset osiemdziesiąt siedem milionów sześćset pięćdziesiąt cztery tysiące trzysta dwadzieścia jeden"),
        ("3.200.071.016", "trzy miliardy dwieście milionów siedemdziesiąt jeden tysięcy szesnaście"),
        ("1.000.000.000.000", "bilion"),
        ("-418.303", "minus czterysta osiemnaście tysięcy trzysta trzy"),
    ]);
}
