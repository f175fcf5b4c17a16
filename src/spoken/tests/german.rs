//! German: what is said for what is written.

use super::check;

#[test]
#[rustfmt::skip]
fn numbers() {
    check("de", &[
        ("0", "null"),
        ("1", "eins"),
        ("16", "sechzehn"),
        ("21", "einundzwanzig"),
        ("21 Tage", "einundzwanzig | tage"),
        ("100", "hundert"),
        ("101", "einhunderteins"),
        ("1.234", "eintausendzweihundertvierunddreißig"),
        ("1000", "tausend"),
        ("1.000.000", "eine million"),
        ("2 Millionen", "zwei | millionen"),
        ("1984", "neunzehnhundertvierundachtzig"),
        ("im Jahr 2005", "im | jahr | zweitausendfünf"),
        ("1989/90", "neunzehnhundertneunundachtzig neunzig"),
        ("3,14", "drei komma eins vier"),
        ("3.5", "drei punkt fünf"),
        ("-5", "minus fünf"),
        ("007", "null null sieben"),
        ("10 000", "zehntausend | "),
        ("123456", "einhundertdreiundzwanzigtausendvierhundertsechsundfünfzig"),
    ]);
}

#[test]
#[rustfmt::skip]
fn prices_and_units() {
    check("de", &[
        ("3,50 €", "drei | euro fünfzig"),
        ("3,50€", "drei euro fünfzig"),
        ("€3,50", "drei euro fünfzig"),
        ("20 %", "zwanzig | prozent"),
        ("20%", "zwanzig prozent"),
        ("5 Mio. €", "fünf | millionen | euro"),
        ("1 €", "ein | euro"),
        ("0,99 €", "neunundneunzig | cent"),
        ("50 km/h", "fünfzig | kilometer pro stunde"),
        ("20°C", "zwanzig grad celsius"),
        ("2 kg", "zwei | kilo"),
        ("100 g", "hundert | gramm"),
        ("1 kg", "ein | kilo"),
        ("2,5 Mrd.", "zwei komma fünf | milliarden"),
        ("100€", "hundert euro"),
    ]);
}

#[test]
#[rustfmt::skip]
fn dates_times_and_ordinals() {
    check("de", &[
        ("12:30 Uhr", "zwölf | uhr dreißig"),
        ("12.30 Uhr", "zwölf | uhr dreißig"),
        ("12 Uhr", "zwölf | uhr"),
        ("12:30", "zwölf uhr dreißig"),
        ("am 12. Mai", "am | zwölften | mai"),
        ("der 3. Platz", "der | dritte | platz"),
        ("ein 3. Platz", "ein | dritter | platz"),
        ("im 19. Jahrhundert", "im | neunzehnten | jahrhundert"),
        ("21.03.2024", "einundzwanzigster märz zweitausendvierundzwanzig"),
        ("am 24.12. war", "am | vierundzwanzigster zwölfter | war"),
        ("Er ist 12. Dann", "er | ist | zwölf | dann"),
        ("1/2", "einhalb"),
        ("3/4", "drei viertel"),
        ("80er Jahre", "achtziger | jahre"),
        ("1980er", "neunzehnhundertachtziger"),
        ("10-12", "zehn bis zwölf"),
        ("3x", "drei mal"),
        ("5-mal", "fünfmal"),
    ]);
}

#[test]
#[rustfmt::skip]
fn signs_and_abbreviations() {
    check("de", &[
        ("Dr. Müller", "doktor | müller"),
        ("z.B. heute", "zum beispiel | heute"),
        ("d.h. morgen", "das heißt | morgen"),
        ("usw.", "und so weiter"),
        ("Nr. 5", "nummer | fünf"),
        ("S. 12", "seite | zwölf"),
        ("BMW", "b m w"),
        ("ADAC", "adac"),
        ("A4", "a vier"),
        ("+49 30 1234567", "plus vier neun | drei null | eins zwei drei vier fünf sechs sieben"),
        ("§ 5", "paragraf | fünf"),
        ("Straße", "straße"),
        ("COVID-19", "covid neunzehn"),
        ("bzw.", "beziehungsweise"),
        ("Ludwig XIV. war", "ludwig | der vierzehnte | war"),
        ("€ 3,50 und", " | drei euro fünfzig | und"),
    ]);
}

#[test]
#[rustfmt::skip]
fn names_of_large_numbers() {
    check("de", &[
        ("999", "neunhundertneunundneunzig"),
        ("1.001", "eintausendeins"),
        ("21.021", "einundzwanzigtausendeinundzwanzig"),
        ("100.100", "einhunderttausendeinhundert"),
        ("317.281", "dreihundertsiebzehntausendzweihunderteinundachtzig"),
        ("1.000.001", "eine million eins"),
        ("987.654.321", "neunhundertsiebenundachtzig millionen sechshundertvierundfünfzigtausenddreihunderteinundzwanzig"),
        ("3.200.071.016", "drei milliarden zweihundert millionen einundsiebzigtausendsechzehn"),
        ("1.000.000.000.000", "eine billion"),
        ("-418.303", "minus vierhundertachtzehntausenddreihundertdrei"),
    ]);
}
