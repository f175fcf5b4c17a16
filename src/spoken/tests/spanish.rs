//! Spanish: what is said for what is written.

use super::check;

#[test]
#[rustfmt::skip]
fn numbers() {
    check("es", &[
        ("0", "cero"),
        ("16", "dieciséis"),
        ("21", "veintiuno"),
        ("21 días", "veintiún | días"),
        ("21 casas", "veintiuna | casas"),
        ("100", "cien"),
        ("101", "ciento uno"),
        ("1.234", "mil doscientos treinta y cuatro"),
        ("200 personas", "doscientas | personas"),
        ("1.000.000", "un millón"),
        ("1984", "mil novecientos ochenta y cuatro"),
        ("en 2005", "en | dos mil cinco"),
        ("3,14", "tres coma catorce"),
        ("3.5", "tres punto cinco"),
        ("-5", "menos cinco"),
        ("007", "cero cero siete"),
        ("1.001", "mil uno"),
        ("31.500", "treinta y un mil quinientos"),
        ("10 000", "diez | mil"),
    ]);
}

#[test]
#[rustfmt::skip]
fn prices_and_units() {
    check("es", &[
        ("3,50 €", "tres | euros con cincuenta"),
        ("$3.50", "tres dólares con cincuenta"),
        ("20%", "veinte por ciento"),
        ("20 %", "veinte | por ciento"),
        ("5 millones", "cinco | millones"),
        ("$5 millones", "cinco | millones de dólares"),
        ("1 €", "un | euro"),
        ("0,99 €", "noventa y nueve | céntimos"),
        ("50 km/h", "cincuenta | kilómetros por hora"),
        ("1 km", "un | kilómetro"),
        ("20°C", "veinte grados centígrados"),
        ("2 kg", "dos | kilos"),
        ("£5", "cinco libras"),
        ("100€", "cien euros"),
        ("1h", "una hora"),
    ]);
}

#[test]
#[rustfmt::skip]
fn dates_times_and_ordinals() {
    check("es", &[
        ("12:30", "doce y media"),
        ("12:00", "doce"),
        ("10:05", "diez y cinco"),
        ("21/03/2024", "veintiuno de marzo de dos mil veinticuatro"),
        ("1 de enero", "primero | de | enero"),
        ("3º", "tercero"),
        ("1ª", "primera"),
        ("21º", "vigésimo primero"),
        ("1/2", "un medio"),
        ("3/4", "tres cuartos"),
        ("1er", "primer"),
        ("10-12", "diez a doce"),
        ("2024-03-21", "veintiuno de marzo de dos mil veinticuatro"),
        ("15:45", "quince cuarenta y cinco"),
    ]);
}

#[test]
#[rustfmt::skip]
fn signs_and_abbreviations() {
    check("es", &[
        ("Sr. García", "señor | garcía"),
        ("Dra. López", "doctora | lópez"),
        ("etc.", "etcétera"),
        ("nº 5", "número | cinco"),
        ("núm. 5", "número | cinco"),
        ("ONU", "onu"),
        ("A4", "a cuatro"),
        ("+34 600 123 456", "más tres cuatro | seis cero cero | uno dos tres | cuatro cinco seis"),
        ("usuario@ejemplo.es", "usuario arroba ejemplo punto es"),
        ("&", "y"),
        ("niño", "niño"),
        ("EE.UU.", "estados unidos"),
        ("pág. 7", "página | siete"),
        ("COVID-19", "covid diecinueve"),
        ("siglo XX", "siglo | veinte"),
        ("Felipe II", "felipe | segundo"),
        ("€ 3,50", " | tres euros con cincuenta"),
        ("en 2005 ha sido", "en | dos mil cinco | ha | sido"),
    ]);
}

#[test]
#[rustfmt::skip]
fn names_of_large_numbers() {
    check("es", &[
        ("999", "novecientos noventa y nueve"),
        ("1.001", "mil uno"),
        ("21.021", "veintiún mil veintiuno"),
        ("100.100", "cien mil cien"),
        ("317.281", "trescientos diecisiete mil doscientos ochenta y uno"),
        ("1.000.001", "un millón uno"),
        ("987.654.321", "novecientos ochenta y siete millones seiscientos cincuenta y cuatro mil trescientos veintiuno"),
        ("3.200.071.016", "tres mil doscientos millones setenta y un mil dieciséis"),
        ("1.000.000.000.000", "un billón"),
        ("-418.303", "menos cuatrocientos dieciocho mil trescientos tres"),
    ]);
}
