//! Portuguese: what is said for what is written.

use super::check;

#[test]
#[rustfmt::skip]
fn numbers() {
    check("pt", &[
        ("0", "zero"),
        ("14", "catorze"),
        ("16", "dezesseis"),
        ("21", "vinte e um"),
        ("21 dias", "vinte e um | dias"),
        ("2 meninas", "duas | meninas"),
        ("100", "cem"),
        ("101", "cento e um"),
        ("200", "duzentos"),
        ("1.000", "mil"),
        ("1.234", "mil duzentos e trinta e quatro"),
        ("1.100", "mil e cem"),
        ("1.000.000", "um milhão"),
        ("2 milhões", "dois | milhões"),
        ("1984", "mil novecentos e oitenta e quatro"),
        ("em 2005", "em | dois mil e cinco"),
        ("3,14", "três vírgula catorze"),
        ("-5", "menos cinco"),
        ("10.000", "dez mil"),
    ]);
}

#[test]
#[rustfmt::skip]
fn prices_and_units() {
    check("pt", &[
        ("R$ 3,50", " | três reais e cinquenta centavos"),
        ("R$3,50", "três reais e cinquenta centavos"),
        ("3,50 €", "três | euros e cinquenta cêntimos"),
        ("20%", "vinte por cento"),
        ("20 %", "vinte | por cento"),
        ("R$5 milhões", "cinco | milhões de reais"),
        ("1 €", "um | euro"),
        ("R$0,99", "noventa e nove centavos"),
        ("50 km/h", "cinquenta | quilômetros por hora"),
        ("20°C", "vinte graus celsius"),
        ("2 kg", "dois | quilos"),
        ("$3", "três dólares"),
        ("100€", "cem euros"),
        ("1h", "uma hora"),
    ]);
}

#[test]
#[rustfmt::skip]
fn dates_times_and_ordinals() {
    check("pt", &[
        ("12:30", "doze e meia"),
        ("12:00", "doze horas"),
        ("14:45", "catorze e quarenta e cinco"),
        ("21/03/2024", "vinte e um de março de dois mil e vinte e quatro"),
        ("1 de janeiro", "primeiro | de | janeiro"),
        ("3º", "terceiro"),
        ("1ª", "primeira"),
        ("21º", "vigésimo primeiro"),
        ("1/2", "um meio"),
        ("3/4", "três quartos"),
        ("10-12", "dez a doze"),
        ("2x", "duas vezes"),
        ("2024-03-21", "vinte e um de março de dois mil e vinte e quatro"),
    ]);
}

#[test]
#[rustfmt::skip]
fn signs_and_abbreviations() {
    check("pt", &[
        ("Sr. Silva", "senhor | silva"),
        ("Dra. Souza", "doutora | souza"),
        ("etc.", "et cetera"),
        ("nº 5", "número | cinco"),
        ("pág. 12", "página | doze"),
        ("ONU", "onu"),
        ("A4", "a quatro"),
        ("coração", "coração"),
        ("usuario@exemplo.com.br", "usuario arroba exemplo ponto com ponto b r"),
        ("&", "e"),
        ("COVID-19", "covid dezenove"),
        ("guarda-chuva", "guarda chuva"),
        ("EUA", "e u a"),
        ("século XX", "século | vinte"),
        ("Dom Pedro II", "dom | pedro | segundo"),
    ]);
}

#[test]
#[rustfmt::skip]
fn names_of_large_numbers() {
    check("pt", &[
        ("999", "novecentos e noventa e nove"),
        ("1.001", "mil e um"),
        ("21.021", "vinte e um mil e vinte e um"),
        ("100.100", "cem mil e cem"),
        ("317.281", "trezentos e dezessete mil duzentos e oitenta e um"),
        ("1.000.001", "um milhão e um"),
        ("987.654.321", "novecentos e oitenta e sete milhões seiscentos e cinquenta e quatro mil trezentos e vinte e um"),
        ("3.200.071.016", "três bilhões duzentos milhões setenta e um mil e dezesseis"),
        ("1.000.000.000.000", "um trilhão"),
        ("-418.303", "menos quatrocentos e dezoito mil trezentos e três"),
    ]);
}
