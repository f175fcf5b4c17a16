//! Dutch: what is said for what is written.

use super::check;

#[test]
#[rustfmt::skip]
fn numbers() {
    check("nl", &[
        ("0", "nul"),
        ("1", "één"),
        ("21", "eenentwintig"),
        ("22", "tweeëntwintig"),
        ("23", "drieëntwintig"),
        ("100", "honderd"),
        ("101", "honderdéén"),
        ("1.234", "duizendtweehonderdvierendertig"),
        ("1000", "duizend"),
        ("1.000.000", "een miljoen"),
        ("2 miljoen", "twee | miljoen"),
        ("1984", "negentien vierentachtig"),
        ("1905", "negentienhonderd vijf"),
        ("in 2005", "in | tweeduizendvijf"),
        ("3,14", "drie komma één vier"),
        ("3.5", "drie punt vijf"),
        ("-5", "min vijf"),
        ("10.000", "tienduizend"),
    ]);
}

#[test]
#[rustfmt::skip]
fn prices_and_units() {
    check("nl", &[
        ("3,50 €", "drie | euro vijftig"),
        ("€3,50", "drie euro vijftig"),
        ("€ 3,50", " | drie euro vijftig"),
        ("20%", "twintig procent"),
        ("20 %", "twintig | procent"),
        ("5 mln euro", "vijf | miljoen | euro"),
        ("€1", "één euro"),
        ("€0,99", "negenennegentig cent"),
        ("50 km/h", "vijftig | kilometer per uur"),
        ("20°C", "twintig graden celsius"),
        ("2 kg", "twee | kilo"),
        ("$3", "drie dollar"),
        ("100€", "honderd euro"),
        ("1 uur", "één | uur"),
    ]);
}

#[test]
#[rustfmt::skip]
fn dates_times_and_ordinals() {
    check("nl", &[
        ("12:30", "twaalf uur dertig"),
        ("12:30 uur", "twaalf dertig | uur"),
        ("21-03-2024", "eenentwintig maart tweeduizendvierentwintig"),
        ("21/3/2024", "eenentwintig maart tweeduizendvierentwintig"),
        ("3e", "derde"),
        ("1ste", "eerste"),
        ("21e", "eenentwintigste"),
        ("1/2", "een half"),
        ("3/4", "drie kwart"),
        ("2½", "twee en een half"),
        ("10-12", "tien tot twaalf"),
        ("3x", "drie keer"),
        ("2024-03-21", "eenentwintig maart tweeduizendvierentwintig"),
    ]);
}

#[test]
#[rustfmt::skip]
fn signs_and_abbreviations() {
    check("nl", &[
        ("Dhr. Jansen", "de heer | jansen"),
        ("Mevr. Jansen", "mevrouw | jansen"),
        ("enz.", "enzovoort"),
        ("bijv. dit", "bijvoorbeeld | dit"),
        ("nr. 5", "nummer | vijf"),
        ("blz. 12", "bladzijde | twaalf"),
        ("NOS", "n o s"),
        ("A4", "a vier"),
        ("zo'n", "zo'n"),
        ("gebruiker@voorbeeld.nl", "gebruiker apenstaartje voorbeeld punt n l"),
        ("&", "en"),
        ("COVID-19", "covid negentien"),
        ("d.w.z. dat", "dat wil zeggen | dat"),
    ]);
}

#[test]
#[rustfmt::skip]
fn names_of_large_numbers() {
    check("nl", &[
        ("999", "negenhonderdnegenennegentig"),
        ("1.001", "duizendéén"),
        ("21.021", "eenentwintigduizendeenentwintig"),
        ("100.100", "honderdduizendhonderd"),
        ("317.281", "driehonderdzeventienduizendtweehonderdeenentachtig"),
        ("1.000.001", "een miljoen één"),
        ("987.654.321", "negenhonderdzevenentachtig miljoen zeshonderdvierenvijftigduizenddriehonderdeenentwintig"),
        ("3.200.071.016", "drie miljard tweehonderd miljoen eenenzeventigduizendzestien"),
        ("1.000.000.000.000", "een biljoen"),
        ("-418.303", "min vierhonderdachttienduizenddriehonderddrie"),
    ]);
}
