//! Swedish: what is said for what is written.

use super::check;

#[test]
#[rustfmt::skip]
fn numbers() {
    check("sv", &[
        ("0", "noll"),
        ("1", "ett"),
        ("21", "tjugoett"),
        ("100", "etthundra"),
        ("101", "etthundraett"),
        ("1 234", "ettusen | tvåhundratrettiofyra"),
        ("1984", "nittonhundraåttiofyra"),
        ("1905", "nittonhundrafem"),
        ("år 2005", "år | tvåtusenfem"),
        ("10 000", "tiotusen | "),
        ("1 000 000", "en | miljon | "),
        ("2 miljoner", "två | miljoner"),
        ("3,14", "tre komma fjorton"),
        ("0,5", "noll komma fem"),
        ("-5", "minus fem"),
        ("007", "noll noll sju"),
    ]);
}

#[test]
#[rustfmt::skip]
fn prices_and_units() {
    check("sv", &[
        ("50 kr", "femtio | kronor"),
        ("1 kr", "en | krona"),
        ("3,50 kr", "tre | kronor femtio"),
        ("€5", "fem euro"),
        ("20 %", "tjugo | procent"),
        ("20%", "tjugo procent"),
        ("50 km/h", "femtio | kilometer i timmen"),
        ("2 kg", "två | kilo"),
        ("1 kg", "ett | kilo"),
        ("20°C", "tjugo grader celsius"),
        ("5 miljoner kronor", "fem | miljoner | kronor"),
        ("100 m", "etthundra | meter"),
        ("1 timme", "ett | timme"),
    ]);
}

#[test]
#[rustfmt::skip]
fn dates_times_and_ordinals() {
    check("sv", &[
        ("kl. 12:30", "klockan | tolv trettio"),
        ("12:05", "tolv noll fem"),
        ("14:00", "fjorton"),
        ("21 mars", "tjugoförsta | mars"),
        ("1:a", "första"),
        ("3:e", "tredje"),
        ("2024-03-21", "tjugoförsta mars tvåtusentjugofyra"),
        ("1/2", "en halv"),
        ("2/3", "två tredjedelar"),
        ("1½", "ett och en halv"),
        ("10-12", "tio till tolv"),
        ("1980-talet", "nittonhundraåttiotalet"),
        ("2x", "två gånger"),
    ]);
}

#[test]
#[rustfmt::skip]
fn signs_and_abbreviations() {
    check("sv", &[
        ("t.ex. detta", "till exempel | detta"),
        ("osv.", "och så vidare"),
        ("bl.a. han", "bland annat | han"),
        ("nr 5", "nummer | fem"),
        ("SVT", "s v t"),
        ("A4", "a fyra"),
        ("COVID-19", "covid nitton"),
        ("&", "och"),
        ("förälder", "förälder"),
        ("namn@exempel.se", "namn snabel a exempel punkt se"),
        ("+46 8 123 45 67", "plus fyra sex | åtta | ett två tre | fyra fem | sex sju"),
    ]);
}

#[test]
#[rustfmt::skip]
fn names_of_large_numbers() {
    check("sv", &[
        ("999", "niohundranittionio"),
        ("1.001", "ettusenett"),
        ("21.021", "tjugoettusentjugoett"),
        ("100.100", "etthundratusen etthundra"),
        ("317.281", "trehundrasjuttontusen tvåhundraåttioett"),
        ("1.000.001", "en miljon ett"),
        ("987.654.321", "niohundraåttiosju miljoner sexhundrafemtiofyratusen trehundratjugoett"),
        ("-418.303", "minus fyrahundraartontusen trehundratre"),
    ]);
}
