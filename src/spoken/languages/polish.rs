//! Polish.

use crate::spoken::{
    context::Context,
    number::Number,
    speech::{Agreement, Currency, Noun, PLAIN, Scale, Signs, Speech, Words, noun, scale, slavic, slavic_feminine},
};

pub(super) static SPEECH: Speech = Speech {
    cardinal,
    suffixed,
    clock: |hour, minute| {
        let hour = ordinal(hour, "a");
        match minute {
            0 => hour,
            1..10 => format!("{hour} zero {}", cardinal(minute, Agreement::Alone)),
            _ => format!("{hour} {}", cardinal(minute, Agreement::Alone)),
        }
    },
    date: |day, month, year, _| format!("{} {} {} roku", ordinal(day, "ego"), MONTHS[month - 1], ordinal(year, "ego")),
    fraction,
    mixed: |above, below| fraction(above, below).map(|said| format!("i {said}")),
    context,
    form,
    agreement: |next| {
        if next == "minuty" || next == "godziny" || next == "osoby" { Agreement::Feminine } else { Agreement::Alone }
    },
    signs: Signs {
        point: "przecinek",
        dot: "kropka",
        minus: "minus",
        plus: "plus",
        percent: noun("procent", "procent"),
        per: "na",
        to: "",
        and: "i",
        at: "małpa",
        equals: "równa się",
        slash: "ukośnik",
        dash: "myślnik",
        underscore: "podkreślnik",
        number: "numer",
        hashtag: "hasztag",
        degrees: slavic("stopień", "stopnie", "stopni"),
        times: "razy",
        fold: slavic("raz", "razy", "razy"),
        section: "paragraf",
        powers: ["do kwadratu", "do sześcianu"],
    },
    abbreviations: ABBREVIATIONS,
    counters: COUNTERS,
    units: UNITS,
    capitals: &["PIT", "VAT", "ZUS", "NIE", "TAK", "ALE", "JAK", "CO", "TO", "NA", "DO"],
    scales: SCALES,
    currencies: CURRENCIES,
    names_hundredths: true,
    ..PLAIN
};

#[rustfmt::skip]
const SMALL: [&str; 20] = [
    "zero", "jeden", "dwa", "trzy", "cztery", "pięć", "sześć", "siedem", "osiem", "dziewięć", "dziesięć", "jedenaście",
    "dwanaście", "trzynaście", "czternaście", "piętnaście", "szesnaście", "siedemnaście", "osiemnaście",
    "dziewiętnaście",
];
const TENS: [&str; 10] = [
    "",
    "",
    "dwadzieścia",
    "trzydzieści",
    "czterdzieści",
    "pięćdziesiąt",
    "sześćdziesiąt",
    "siedemdziesiąt",
    "osiemdziesiąt",
    "dziewięćdziesiąt",
];
const HUNDREDS: [&str; 10] =
    ["", "sto", "dwieście", "trzysta", "czterysta", "pięćset", "sześćset", "siedemset", "osiemset", "dziewięćset"];
const POWERS: [(u64, Noun); 5] = [
    (1_000_000_000_000_000, slavic("biliard", "biliardy", "biliardów")),
    (1_000_000_000_000, slavic("bilion", "biliony", "bilionów")),
    (1_000_000_000, slavic("miliard", "miliardy", "miliardów")),
    (1_000_000, slavic("milion", "miliony", "milionów")),
    (1_000, slavic("tysiąc", "tysiące", "tysięcy")),
];
const MONTHS: [&str; 12] = [
    "stycznia",
    "lutego",
    "marca",
    "kwietnia",
    "maja",
    "czerwca",
    "lipca",
    "sierpnia",
    "września",
    "października",
    "listopada",
    "grudnia",
];

fn cardinal(value: u64, agreement: Agreement) -> String {
    for (power, noun) in POWERS {
        if value >= power {
            let (count, rest) = (value / power, value % power);
            let name = noun.forms[plural(count)];
            let head =
                if count == 1 { name.to_owned() } else { format!("{} {name}", cardinal(count, Agreement::Alone)) };
            return if rest == 0 { head } else { format!("{head} {}", cardinal(rest, agreement)) };
        }
    }
    let tail = |rest: u64| if rest == 0 { String::new() } else { format!(" {}", cardinal(rest, Agreement::Alone)) };
    match (value, agreement) {
        (1, Agreement::Feminine) => "jedna".to_owned(),
        (1, Agreement::Neuter) => "jedno".to_owned(),
        (2, Agreement::Feminine) => "dwie".to_owned(),
        (0..20, _) => SMALL[value as usize].to_owned(),
        (22.., Agreement::Feminine) if value % 10 == 2 && value % 100 != 12 => {
            format!("{} dwie", cardinal(value - 2, Agreement::Alone))
        }
        (20..100, _) => TENS[value as usize / 10].to_owned() + &tail(value % 10),
        _ => HUNDREDS[value as usize / 100].to_owned() + &tail(value % 100),
    }
}

/// One, few (ending in two to four), many.
fn plural(value: u64) -> usize {
    match (value, value % 10, value % 100) {
        (1, ..) => 0,
        (_, _, 12..=14) => 2,
        (_, 2..=4, _) => 1,
        _ => 2,
    }
}

fn form(number: &Number) -> usize {
    if number.fraction.is_some() { 1 } else { number.value().map_or(2, plural) }
}

#[rustfmt::skip]
const ORDINALS: [&str; 20] = [
    "zerow", "pierwsz", "drug", "trzec", "czwart", "piąt", "szóst", "siódm", "ósm", "dziewiąt", "dziesiąt", "jedenast",
    "dwunast", "trzynast", "czternast", "piętnast", "szesnast", "siedemnast", "osiemnast", "dziewiętnast",
];
#[rustfmt::skip]
const ORDINAL_TENS: [&str; 10] = [
    "", "", "dwudziest", "trzydziest", "czterdziest", "pięćdziesiąt", "sześćdziesiąt", "siedemdziesiąt",
    "osiemdziesiąt", "dziewięćdziesiąt",
];
#[rustfmt::skip]
const ORDINAL_HUNDREDS: [&str; 10] = [
    "", "setn", "dwusetn", "trzechsetn", "czterechsetn", "pięćsetn", "sześćsetn", "siedemsetn", "osiemsetn",
    "dziewięćsetn",
];

/// The ordinal with the ending y (masculine), a, e, ego, emu, ym or ej; tens and ones both take it.
fn ordinal(value: u64, ending: &str) -> String {
    let (thousands, rest) = (value / 1_000, value % 1_000);
    let mut said = Vec::new();
    if rest == 0 && thousands > 0 {
        let prefix = match thousands {
            1 => String::new(),
            2 => "dwu".to_owned(),
            3 => "trzy".to_owned(),
            _ => return cardinal(value, Agreement::Alone),
        };
        return inflect(&format!("{prefix}tysięczn"), ending);
    }
    if thousands > 0 {
        said.push(cardinal(thousands * 1_000, Agreement::Alone));
    }
    match (rest / 100, rest % 100) {
        (hundreds, 0) if hundreds > 0 => said.push(inflect(ORDINAL_HUNDREDS[hundreds as usize], ending)),
        (hundreds, below) => {
            if hundreds > 0 {
                said.push(HUNDREDS[hundreds as usize].to_owned());
            }
            if below >= 20 {
                said.push(inflect(ORDINAL_TENS[below as usize / 10], ending));
            }
            if below < 20 || below % 10 > 0 {
                let one = if below < 20 { below } else { below % 10 };
                said.push(inflect(ORDINALS[one as usize], ending));
            }
        }
    }
    said.join(" ")
}

fn inflect(stem: &str, ending: &str) -> String {
    let soft = stem == "drug" || stem == "trzec";
    match (soft, ending) {
        (true, "a") if stem == "drug" => "druga".to_owned(),
        (true, "y") => format!("{stem}i"),
        (true, "ym") => format!("{stem}im"),
        (true, _) => format!("{stem}i{ending}"),
        (false, _) => format!("{stem}{ending}"),
    }
}

fn suffixed(value: u64, ending: &str) -> Option<String> {
    match ending.trim_start_matches('-') {
        "ty" | "szy" | "gi" | "ci" | "my" | "y" => Some(ordinal(value, "y")),
        "go" | "tego" | "ego" => Some(ordinal(value, "ego")),
        "sza" | "ga" | "cia" | "ta" | "ma" | "a" => Some(ordinal(value, "a")),
        "ej" | "tej" => Some(ordinal(value, "ej")),
        "ym" | "tym" => Some(ordinal(value, "ym")),
        "te" => Some(ordinal(value, "e")),
        _ => None,
    }
}

/// The day of a month, the number of a year and digits with a full stop are ordinals.
fn context(context: &Context) -> Option<String> {
    let value = context.plain_value()?;
    let next = context.next_key()?;
    let day = (1..=31).contains(&value) && MONTHS.contains(&next.as_str());
    if day {
        return Some(ordinal(value, "ego"));
    }
    match next.as_str() {
        "roku" | "r" if value > 100 => {
            let locative = context.previous_key().is_some_and(|previous| ["w", "po", "o"].contains(&previous.as_str()));
            return Some(ordinal(value, if locative { "ym" } else { "ego" }));
        }
        "rok" if value > 100 => return Some(ordinal(value, "y")),
        _ => {}
    }
    let word = context.word();
    let follows = word.dotted && !word.closed && context.next().is_some_and(|next| !next.is_capitalised());
    (follows && (1..=999).contains(&value)).then(|| ordinal(value, "y"))
}

fn fraction(above: u64, below: u64) -> Option<String> {
    let said = match (above, below) {
        (1, 2) => "jedna druga".to_owned(),
        _ if above == 0 || above >= below || below > 20 && below != 100 => return None,
        (1, _) => format!("jedna {}", ordinal(below, "a")),
        (2..=4, _) => format!("{} {}", cardinal(above, Agreement::Feminine), ordinal(below, "e")),
        _ => format!("{} {}", cardinal(above, Agreement::Feminine), inflect_genitive(below)),
    };
    Some(said)
}

fn inflect_genitive(below: u64) -> String {
    ordinal(below, "y") + "ch"
}

#[rustfmt::skip]
const ABBREVIATIONS: Words = &[
    ("dr", "doktor"), ("prof", "profesor"), ("mgr", "magister"), ("inż", "inżynier"), ("np", "na przykład"),
    ("itd", "i tak dalej"), ("itp", "i tym podobne"), ("tzn", "to znaczy"), ("tzw", "tak zwany"), ("m.in", "między innymi"),
    ("ul.", "ulica"), ("al.", "aleja"), ("św.", "święty"), ("ok.", "około"), ("tel.", "telefon"), ("godz", "godzina"),
    ("tys", "tysięcy"), ("mln", "milionów"), ("mld", "miliardów"), ("n.e", "naszej ery"),
];
const COUNTERS: Words = &[
    ("r.", "roku"),
    ("nr", "numer"),
    ("nr.", "numer"),
    ("str.", "strona"),
    ("s.", "strona"),
    ("art.", "artykuł"),
    ("w.", "wieku"),
    ("rozdz.", "rozdział"),
    ("rys.", "rysunek"),
    ("gr", "groszy"),
];

#[rustfmt::skip]
const UNITS: &[(&str, Noun)] = &[
    ("mm", slavic("milimetr", "milimetry", "milimetrów")), ("cm", slavic("centymetr", "centymetry", "centymetrów")),
    ("m", slavic("metr", "metry", "metrów")), ("km", slavic("kilometr", "kilometry", "kilometrów")),
    ("m^2", slavic("metr kwadratowy", "metry kwadratowe", "metrów kwadratowych")),
    ("m2", slavic("metr kwadratowy", "metry kwadratowe", "metrów kwadratowych")),
    ("km^2", slavic("kilometr kwadratowy", "kilometry kwadratowe", "kilometrów kwadratowych")),
    ("m^3", slavic("metr sześcienny", "metry sześcienne", "metrów sześciennych")), ("ha", slavic("hektar", "hektary", "hektarów")),
    ("mg", slavic("miligram", "miligramy", "miligramów")), ("g", slavic("gram", "gramy", "gramów")),
    ("kg", slavic("kilogram", "kilogramy", "kilogramów")), ("t", slavic_feminine("tona", "tony", "ton")),
    ("ml", slavic("mililitr", "mililitry", "mililitrów")), ("l", slavic("litr", "litry", "litrów")),
    ("km/h", slavic("kilometr na godzinę", "kilometry na godzinę", "kilometrów na godzinę")),
    ("m/s", slavic("metr na sekundę", "metry na sekundę", "metrów na sekundę")),
    ("°C", slavic("stopień celsjusza", "stopnie celsjusza", "stopni celsjusza")), ("Hz", slavic("herc", "herce", "herców")),
    ("kHz", slavic("kiloherc", "kiloherce", "kiloherców")), ("MHz", slavic("megaherc", "megaherce", "megaherców")),
    ("GHz", slavic("gigaherc", "gigaherce", "gigaherców")), ("KB", slavic("kilobajt", "kilobajty", "kilobajtów")),
    ("MB", slavic("megabajt", "megabajty", "megabajtów")), ("GB", slavic("gigabajt", "gigabajty", "gigabajtów")),
    ("TB", slavic("terabajt", "terabajty", "terabajtów")), ("W", slavic("wat", "waty", "watów")),
    ("kW", slavic("kilowat", "kilowaty", "kilowatów")), ("V", slavic("wolt", "wolty", "woltów")),
    ("s", slavic_feminine("sekunda", "sekundy", "sekund")), ("sek", slavic_feminine("sekunda", "sekundy", "sekund")),
    ("min", slavic_feminine("minuta", "minuty", "minut")), ("h", slavic_feminine("godzina", "godziny", "godzin")),
];

const SCALES: &[Scale] = &[
    scale("tys", "tysięcy"),
    scale("mln", "milionów"),
    scale("mld", "miliardów"),
    scale("tysiące", "tysiące"),
    scale("tysięcy", "tysięcy"),
    scale("milion", "milion"),
    scale("miliony", "miliony"),
    scale("milionów", "milionów"),
    scale("miliona", "miliona"),
    scale("miliard", "miliard"),
    scale("miliardy", "miliardy"),
    scale("miliardów", "miliardów"),
    scale("miliarda", "miliarda"),
];

const CENT: Noun = slavic("cent", "centy", "centów");

const CURRENCIES: &[Currency] = &[
    Currency {
        signs: &["zł", "PLN"],
        unit: slavic("złoty", "złote", "złotych"),
        hundredth: slavic("grosz", "grosze", "groszy"),
    },
    Currency { signs: &["$", "USD"], unit: slavic("dolar", "dolary", "dolarów"), hundredth: CENT },
    Currency { signs: &["€", "EUR"], unit: noun("euro", "euro"), hundredth: CENT },
    Currency { signs: &["£", "GBP"], unit: slavic("funt", "funty", "funtów"), hundredth: noun("pens", "pensów") },
    Currency { signs: &["¥", "JPY"], unit: slavic("jen", "jeny", "jenów"), hundredth: noun("sen", "sen") },
    Currency { signs: &["CHF"], unit: slavic("frank", "franki", "franków"), hundredth: CENT },
];
