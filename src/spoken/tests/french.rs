//! French: what is said for what is written.

use super::check;

#[test]
#[rustfmt::skip]
fn numbers() {
    check("fr", &[
        ("0", "zéro"),
        ("17", "dix sept"),
        ("21", "vingt et un"),
        ("70", "soixante dix"),
        ("71", "soixante et onze"),
        ("80", "quatre vingts"),
        ("81", "quatre vingt un"),
        ("91", "quatre vingt onze"),
        ("100", "cent"),
        ("200", "deux cents"),
        ("1 234", "mille | deux cent trente quatre"),
        ("10 000", "dix | mille"),
        ("1 000 000", "un | million | "),
        ("1984", "mille neuf cent quatre vingt quatre"),
        ("en 2005", "en | deux mille cinq"),
        ("3,14", "trois virgule quatorze"),
        ("3,5", "trois virgule cinq"),
        ("-5", "moins cinq"),
        ("21 heures", "vingt et une | heures"),
        ("2.0", "deux point zéro"),
    ]);
}

#[test]
#[rustfmt::skip]
fn prices_and_units() {
    check("fr", &[
        ("3,50 €", "trois | euros cinquante"),
        ("3,50€", "trois euros cinquante"),
        ("20 %", "vingt | pour cent"),
        ("20%", "vingt pour cent"),
        ("5 millions", "cinq | millions"),
        ("5 millions €", "cinq | millions | euros"),
        ("1 €", "un | euro"),
        ("0,99 €", "quatre vingt dix neuf | centimes"),
        ("50 km/h", "cinquante | kilomètres heure"),
        ("20°C", "vingt degrés celsius"),
        ("2 kg", "deux | kilos"),
        ("£5", "cinq livres"),
        ("$3.50", "trois dollars cinquante"),
        ("1h", "une heure"),
    ]);
}

#[test]
#[rustfmt::skip]
fn dates_times_and_ordinals() {
    check("fr", &[
        ("12h30", "douze heures trente"),
        ("12:30", "douze heures trente"),
        ("1h", "une heure"),
        ("21/03/2024", "vingt et un mars deux mille vingt quatre"),
        ("1 janvier", "premier | janvier"),
        ("14 juillet 1789", "quatorze | juillet | mille sept cent quatre vingt neuf"),
        ("1er", "premier"),
        ("2e", "deuxième"),
        ("21e", "vingt et unième"),
        ("1re", "première"),
        ("1/2", "un demi"),
        ("3/4", "trois quarts"),
        ("2½", "deux et demi"),
        ("10-12", "dix à douze"),
        ("XXe", "vingtième"),
    ]);
}

#[test]
#[rustfmt::skip]
fn signs_and_abbreviations() {
    check("fr", &[
        ("Mme Dupont", "madame | dupont"),
        ("M. Dupont", "monsieur | dupont"),
        ("Dr Martin", "docteur | martin"),
        ("etc.", "et cetera"),
        ("n° 5", "numéro | cinq"),
        ("p. 12", "page | douze"),
        ("SNCF", "s n c f"),
        ("A4", "a quatre"),
        ("06 12 34 56 78", "zéro six | douze | trente quatre | cinquante six | soixante dix huit"),
        ("user@exemple.fr", "user arobase exemple point f r"),
        ("l'homme", "l'homme"),
        ("aujourd'hui", "aujourd'hui"),
        ("&", "et"),
        ("F1", "f un"),
        ("XIXe siècle", "dix neuvième | siècle"),
        ("Louis XIV", "louis | quatorze"),
        ("€ 3,50", " | trois euros cinquante"),
    ]);
}

#[test]
#[rustfmt::skip]
fn names_of_large_numbers() {
    check("fr", &[
        ("999", "neuf cent quatre vingt dix neuf"),
        ("1.001", "mille un"),
        ("21.021", "vingt et un mille vingt et un"),
        ("100.100", "cent mille cent"),
        ("317.281", "trois cent dix sept mille deux cent quatre vingt un"),
        ("1.000.001", "un million un"),
        ("987.654.321", "neuf cent quatre vingt sept millions six cent cinquante quatre mille trois cent vingt et un"),
        ("3.200.071.016", "trois milliards deux cents millions soixante et onze mille seize"),
        ("1.000.000.000.000", "un billion"),
        ("-418.303", "moins quatre cent dix huit mille trois cent trois"),
    ]);
}
