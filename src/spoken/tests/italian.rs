//! Italian: what is said for what is written.

use super::check;

#[test]
#[rustfmt::skip]
fn numbers() {
    check("it", &[
        ("0", "zero"),
        ("8", "otto"),
        ("21", "ventuno"),
        ("23", "ventitré"),
        ("28", "ventotto"),
        ("100", "cento"),
        ("108", "centotto"),
        ("1.000", "mille"),
        ("2.000", "duemila"),
        ("1.234", "milleduecentotrentaquattro"),
        ("1.000.000", "un milione"),
        ("2 milioni", "due | milioni"),
        ("1984", "millenovecentottantaquattro"),
        ("nel 2005", "nel | duemilacinque"),
        ("3,14", "tre virgola quattordici"),
        ("3,5", "tre virgola cinque"),
        ("-5", "meno cinque"),
        ("10.000", "diecimila"),
    ]);
}

#[test]
#[rustfmt::skip]
fn prices_and_units() {
    check("it", &[
        ("3,50 €", "tre | euro e cinquanta"),
        ("3,50€", "tre euro e cinquanta"),
        ("20%", "venti per cento"),
        ("20 %", "venti | per cento"),
        ("5 milioni", "cinque | milioni"),
        ("€5 milioni", "cinque | milioni di euro"),
        ("1 €", "un | euro"),
        ("0,99 €", "novantanove | centesimi"),
        ("50 km/h", "cinquanta | chilometri orari"),
        ("20°C", "venti gradi celsius"),
        ("2 kg", "due | chili"),
        ("$3", "tre dollari"),
        ("100€", "cento euro"),
        ("1h", "una ora"),
    ]);
}

#[test]
#[rustfmt::skip]
fn dates_times_and_ordinals() {
    check("it", &[
        ("12:30", "dodici e trenta"),
        ("12:00", "dodici"),
        ("21/03/2024", "ventuno marzo duemilaventiquattro"),
        ("1 gennaio", "primo | gennaio"),
        ("3º", "terzo"),
        ("1ª", "prima"),
        ("21º", "ventunesimo"),
        ("23º", "ventitreesimo"),
        ("1/2", "un mezzo"),
        ("3/4", "tre quarti"),
        ("10-12", "dieci a dodici"),
        ("2,5", "due virgola cinque"),
        ("2x", "due volte"),
        ("15:45", "quindici e quarantacinque"),
    ]);
}

#[test]
#[rustfmt::skip]
fn signs_and_abbreviations() {
    check("it", &[
        ("Sig. Rossi", "signor | rossi"),
        ("Dott. Bianchi", "dottor | bianchi"),
        ("ecc.", "eccetera"),
        ("n. 5", "numero | cinque"),
        ("pag. 12", "pagina | dodici"),
        ("RAI", "rai"),
        ("A4", "a quattro"),
        ("l'uomo", "l'uomo"),
        ("perché", "perché"),
        ("c'è", "c'è"),
        ("utente@esempio.it", "utente chiocciola esempio punto it"),
        ("&", "e"),
        ("COVID-19", "covid diciannove"),
        ("XX secolo", "ventesimo | secolo"),
        ("Luigi XIV", "luigi | quattordicesimo"),
        ("Nel 1984 ha vinto", "nel | millenovecentottantaquattro | ha | vinto"),
    ]);
}

#[test]
#[rustfmt::skip]
fn names_of_large_numbers() {
    check("it", &[
        ("999", "novecentonovantanove"),
        ("1.001", "milleuno"),
        ("21.021", "ventunomilaventuno"),
        ("100.100", "centomilacento"),
        ("317.281", "trecentodiciassettemiladuecentottantuno"),
        ("1.000.001", "un milione uno"),
        ("987.654.321", "novecentottantasette milioni seicentocinquantaquattromilatrecentoventuno"),
        ("3.200.071.016", "tre miliardi duecento milioni settantunomilasedici"),
        ("1.000.000.000.000", "un bilione"),
        ("-418.303", "meno quattrocentodiciottomilatrecentotré"),
    ]);
}
