//! Turkish: what is said for what is written.

use super::check;

#[test]
#[rustfmt::skip]
fn numbers() {
    check("tr", &[
        ("0", "sıfır"),
        ("14", "on dört"),
        ("21", "yirmi bir"),
        ("100", "yüz"),
        ("101", "yüz bir"),
        ("1.234", "bin iki yüz otuz dört"),
        ("1984", "bin dokuz yüz seksen dört"),
        ("2005", "iki bin beş"),
        ("10.000", "on bin"),
        ("1.000.000", "bir milyon"),
        ("2 milyon", "iki | milyon"),
        ("3,14", "üç virgül on dört"),
        ("0,5", "sıfır virgül beş"),
        ("-5", "eksi beş"),
        ("007", "sıfır sıfır yedi"),
        ("1984'te", "bin dokuz yüz seksen dörtte"),
        ("5'i", "beşi"),
    ]);
}

#[test]
#[rustfmt::skip]
fn prices_and_units() {
    check("tr", &[
        ("50 TL", "elli | lira"),
        ("50₺", "elli lira"),
        ("3,50 TL", "üç | lira elli kuruş"),
        ("€5", "beş avro"),
        ("%20", "yüzde yirmi"),
        ("20%", "yirmi yüzde"),
        ("2 kg", "iki | kilo"),
        ("20°C", "yirmi santigrat derece"),
        ("5 milyon TL", "beş | milyon | lira"),
        ("$5 milyon", "beş | milyon dolar"),
        ("100 m", "yüz | metre"),
        ("10 dk", "on | dakika"),
        ("2 GB", "iki | gigabayt"),
    ]);
}

#[test]
#[rustfmt::skip]
fn dates_times_and_ordinals() {
    check("tr", &[
        ("12:30", "on iki buçuk"),
        ("12:05", "on iki sıfır beş"),
        ("14:45", "on dört kırk beş"),
        ("21 Mart", "yirmi bir | mart"),
        ("5'inci", "beşinci"),
        ("4'üncü", "dördüncü"),
        ("21.03.2024", "yirmi bir mart iki bin yirmi dört"),
        ("1/2", "yarım"),
        ("3/4", "dörtte üç"),
        ("2½", "iki buçuk"),
        ("10-12", "on on iki"),
        ("2024-03-21", "yirmi bir mart iki bin yirmi dört"),
    ]);
}

#[test]
#[rustfmt::skip]
fn signs_and_abbreviations() {
    check("tr", &[
        ("Dr. Yılmaz", "doktor | yılmaz"),
        ("Prof. Kaya", "profesör | kaya"),
        ("vb.", "ve benzeri"),
        ("No. 5", "numara | beş"),
        ("TRT", "t r t"),
        ("A4", "a dört"),
        ("COVID-19", "covid on dokuz"),
        ("&", "ve"),
        ("çocuk", "çocuk"),
        ("ad@ornek.com", "ad et ornek nokta com"),
        ("0532 123 45 67", "sıfır beş üç iki | bir iki üç | dört beş | altı yedi"),
    ]);
}

#[test]
#[rustfmt::skip]
fn names_of_large_numbers() {
    check("tr", &[
        ("999", "dokuz yüz doksan dokuz"),
        ("1.001", "bin bir"),
        ("21.021", "yirmi bir bin yirmi bir"),
        ("100.100", "yüz bin yüz"),
        ("317.281", "üç yüz on yedi bin iki yüz seksen bir"),
        ("1.000.001", "bir milyon bir"),
        ("987.654.321", "dokuz yüz seksen yedi milyon altı yüz elli dört bin üç yüz yirmi bir"),
        ("-418.303", "eksi dört yüz on sekiz bin üç yüz üç"),
    ]);
}
