//! French, as spoken in France.

use crate::spoken::{
    context::Context,
    roman,
    speech::{Agreement, Currency, Noun, PLAIN, Scale, Signs, Speech, Words, feminine, noun, scale},
};

pub(super) static SPEECH: Speech = Speech {
    cardinal,
    suffixed,
    clock,
    date: |day, month, _, year| format!("{} {} {year}", day_of_month(day), MONTHS[month - 1]),
    fraction,
    mixed: |above, below| fraction(above, below).map(|said| format!("et {said}").replace("et un demi", "et demi")),
    context,
    agreement,
    paired_telephone: true,
    signs: Signs {
        point: "virgule",
        dot: "point",
        minus: "moins",
        plus: "plus",
        percent: noun("pour cent", "pour cent"),
        per: "par",
        to: "à",
        and: "et",
        at: "arobase",
        equals: "égale",
        slash: "slash",
        dash: "tiret",
        underscore: "tiret bas",
        number: "numéro",
        hashtag: "hashtag",
        degrees: noun("degré", "degrés"),
        times: "fois",
        fold: feminine("fois", "fois"),
        section: "paragraphe",
        powers: ["au carré", "au cube"],
    },
    abbreviations: ABBREVIATIONS,
    titles: TITLES,
    counters: COUNTERS,
    units: UNITS,
    capitals: &["ONU", "NON", "OUI", "LES", "PAS", "UNE", "IL", "LE", "LA", "TU", "JE"],
    scales: SCALES,
    currencies: CURRENCIES,
    ..PLAIN
};

#[rustfmt::skip]
const SMALL: [&str; 17] = [
    "zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze", "treize",
    "quatorze", "quinze", "seize",
];
const TENS: [&str; 7] = ["", "dix", "vingt", "trente", "quarante", "cinquante", "soixante"];
const POWERS: [(u64, &str); 5] = [
    (1_000_000_000_000_000, "billiard"),
    (1_000_000_000_000, "billion"),
    (1_000_000_000, "milliard"),
    (1_000_000, "million"),
    (1_000, "mille"),
];
const MONTHS: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];

fn cardinal(value: u64, agreement: Agreement) -> String {
    for (power, name) in POWERS {
        if value >= power {
            let (count, rest) = (value / power, value % power);
            let plural = if count > 1 && power > 1_000 { "s" } else { "" };
            let head = match (count, power) {
                (1, 1_000) => "mille".to_owned(),
                // Before "mille", an adjective, "cent" and "vingt" take no plural.
                (_, 1_000) => format!("{} mille", bare(count, Agreement::Masculine)),
                _ => format!("{} {name}{plural}", cardinal(count, Agreement::Masculine)),
            };
            return if rest == 0 { head } else { format!("{head} {}", cardinal(rest, agreement)) };
        }
    }
    let said = bare(value, agreement);
    let whole = said.ends_with("quatre-vingt") || value > 100 && value.is_multiple_of(100);
    if whole { said + "s" } else { said }
}

/// Below a thousand, without the plural that ends a number.
fn bare(value: u64, agreement: Agreement) -> String {
    let one = if agreement == Agreement::Feminine { "une" } else { "un" };
    match value {
        1 => one.to_owned(),
        0..17 => SMALL[value as usize].to_owned(),
        17..20 => format!("dix-{}", SMALL[value as usize - 10]),
        20..70 => tens(TENS[value as usize / 10], value % 10, one),
        71 => "soixante et onze".to_owned(),
        70..80 => format!("soixante-{}", bare(value - 60, agreement)),
        80 => "quatre-vingt".to_owned(),
        81..100 => format!("quatre-vingt-{}", bare(value - 80, agreement)),
        _ => {
            let count = value / 100;
            let head = if count == 1 { "cent".to_owned() } else { format!("{} cent", SMALL[count as usize]) };
            let rest = value % 100;
            if rest == 0 { head } else { format!("{head} {}", bare(rest, agreement)) }
        }
    }
}

fn tens(ten: &str, one: u64, first: &str) -> String {
    match one {
        0 => ten.to_owned(),
        1 => format!("{ten} et {first}"),
        _ => format!("{ten}-{}", SMALL[one as usize]),
    }
}

fn ordinal(value: u64) -> String {
    let said = cardinal(value, Agreement::Masculine);
    let stem = match said.as_str() {
        _ if said.ends_with("cinq") => format!("{said}u"),
        _ if said.ends_with("neuf") => format!("{}v", said.trim_end_matches('f')),
        _ if said.ends_with("cents") || said.ends_with("vingts") || said.ends_with("ons") || said.ends_with("ards") => {
            said.trim_end_matches('s').to_owned()
        }
        _ => said.trim_end_matches('e').to_owned(),
    };
    format!("{stem}ième")
}

fn suffixed(value: u64, ending: &str) -> Option<String> {
    match ending.trim_end_matches('s') {
        "er" if value == 1 => Some("premier".to_owned()),
        "ère" | "re" | "ere" if value == 1 => Some("première".to_owned()),
        "nd" if value == 2 => Some("second".to_owned()),
        "nde" if value == 2 => Some("seconde".to_owned()),
        "e" | "ème" | "eme" | "ième" | "è" | "ieme" => Some(ordinal(value)),
        _ => None,
    }
}

fn clock(hour: u64, minute: u64) -> String {
    let hours = format!("{} heure{}", cardinal(hour, Agreement::Feminine), if hour > 1 { "s" } else { "" });
    if minute == 0 { hours } else { format!("{hours} {}", cardinal(minute, Agreement::Feminine)) }
}

fn day_of_month(day: u64) -> String {
    if day == 1 { "premier".to_owned() } else { cardinal(day, Agreement::Masculine) }
}

fn fraction(above: u64, below: u64) -> Option<String> {
    let count = cardinal(above, Agreement::Masculine);
    let plural = if above > 1 { "s" } else { "" };
    match below {
        _ if above == 0 || above >= below => None,
        2 => Some(format!("{count} demi")),
        3 => Some(format!("{count} tiers")),
        4 => Some(format!("{count} quart{plural}")),
        5..=10 | 100 | 1_000 => Some(format!("{count} {}{plural}", ordinal(below))),
        _ => None,
    }
}

/// The first day of a month is an ordinal, as are Roman numerals of centuries.
fn context(context: &Context) -> Option<String> {
    let month = context.next_key().filter(|next| MONTHS.contains(&next.as_str()));
    let first = month.filter(|_| context.word().core == "1").map(|_| "premier".to_owned());
    first.or_else(|| roman(context))
}

/// XXe siècle, Louis XIV.
fn roman(context: &Context) -> Option<String> {
    let core = context.word().core.as_str();
    let century = core.strip_suffix("ème").or_else(|| core.strip_suffix('e')).and_then(roman::value);
    let king = || {
        roman::named(context, "siècle")
            .map(|value| if value == 1 { "premier".to_owned() } else { cardinal(value, Agreement::Masculine) })
    };
    century.map(ordinal).or_else(king)
}

/// "une heure": "un" is feminine before the nouns that show it.
fn agreement(next: &str) -> Agreement {
    let lower = next.to_lowercase();
    let stem = lower.trim_end_matches('s');
    let noun = stem.ends_with("tion") || stem.ends_with("té") || stem.ends_with("ée") || stem.ends_with("ette");
    let known = [
        "heure",
        "minute",
        "seconde",
        "semaine",
        "fois",
        "foi",
        "personne",
        "femme",
        "fille",
        "page",
        "tonne",
        "livre",
        "chose",
        "place",
        "voiture",
        "maison",
        "équipe",
        "tasse",
        "cuillère",
        "étoile",
        "voix",
        "partie",
        "école",
    ];
    if noun || known.contains(&stem) { Agreement::Feminine } else { Agreement::Alone }
}

#[rustfmt::skip]
const ABBREVIATIONS: Words = &[
    ("mme", "madame"), ("mmes", "mesdames"), ("mlle", "mademoiselle"), ("mm.", "messieurs"), ("dr", "docteur"),
    ("pr.", "professeur"), ("etc", "et cetera"), ("st.", "saint"), ("ste.", "sainte"), ("av.", "avenue"),
    ("bd", "boulevard"), ("tél.", "téléphone"), ("env.", "environ"), ("vs", "versus"), ("max.", "maximum"),
    ("min.", "minimum"), ("p.ex", "par exemple"), ("ex.", "exemple"), ("jc", "j c"), ("j.-c", "jésus christ"),
];
const TITLES: Words = &[("m.", "monsieur"), ("me", "maître")];
#[rustfmt::skip]
const COUNTERS: Words = &[
    ("no", "numéro"), ("no.", "numéro"), ("nos", "numéros"), ("n°", "numéro"), ("p.", "page"), ("pp.", "pages"),
    ("art.", "article"), ("chap.", "chapitre"), ("vol.", "volume"), ("fig.", "figure"),
];

#[rustfmt::skip]
const UNITS: &[(&str, Noun)] = &[
    ("mm", noun("millimètre", "millimètres")), ("cm", noun("centimètre", "centimètres")), ("m", noun("mètre", "mètres")),
    ("km", noun("kilomètre", "kilomètres")), ("m^2", noun("mètre carré", "mètres carrés")),
    ("m2", noun("mètre carré", "mètres carrés")), ("km^2", noun("kilomètre carré", "kilomètres carrés")),
    ("m^3", noun("mètre cube", "mètres cubes")), ("ha", noun("hectare", "hectares")),
    ("mg", noun("milligramme", "milligrammes")), ("g", noun("gramme", "grammes")), ("kg", noun("kilo", "kilos")),
    ("t", feminine("tonne", "tonnes")), ("ml", noun("millilitre", "millilitres")), ("cl", noun("centilitre", "centilitres")),
    ("l", noun("litre", "litres")), ("L", noun("litre", "litres")),
    ("km/h", noun("kilomètre heure", "kilomètres heure")), ("m/s", noun("mètre par seconde", "mètres par seconde")),
    ("°C", noun("degré celsius", "degrés celsius")), ("°F", noun("degré fahrenheit", "degrés fahrenheit")),
    ("Hz", noun("hertz", "hertz")), ("kHz", noun("kilohertz", "kilohertz")), ("MHz", noun("mégahertz", "mégahertz")),
    ("GHz", noun("gigahertz", "gigahertz")), ("dB", noun("décibel", "décibels")), ("Ko", noun("kilooctet", "kilooctets")),
    ("Mo", noun("mégaoctet", "mégaoctets")), ("Go", noun("gigaoctet", "gigaoctets")), ("To", noun("téraoctet", "téraoctets")),
    ("W", noun("watt", "watts")), ("kW", noun("kilowatt", "kilowatts")), ("kWh", noun("kilowattheure", "kilowattheures")),
    ("V", noun("volt", "volts")), ("ms", feminine("milliseconde", "millisecondes")), ("s", feminine("seconde", "secondes")),
    ("sec", feminine("seconde", "secondes")), ("min", feminine("minute", "minutes")), ("mn", feminine("minute", "minutes")),
    ("h", feminine("heure", "heures")),
];

const fn of(written: &'static str, said: &'static str) -> Scale {
    Scale { written, said, link: "de" }
}

const SCALES: &[Scale] = &[
    scale("k", "mille"),
    scale("K", "mille"),
    of("M", "millions"),
    of("Md", "milliards"),
    of("Mds", "milliards"),
    scale("mille", "mille"),
    of("million", "million"),
    of("millions", "millions"),
    of("milliard", "milliard"),
    of("milliards", "milliards"),
];

const CENT: Noun = noun("centime", "centimes");

const CURRENCIES: &[Currency] = &[
    Currency { signs: &["€", "EUR"], unit: noun("euro", "euros"), hundredth: CENT },
    Currency { signs: &["$", "USD"], unit: noun("dollar", "dollars"), hundredth: noun("cent", "cents") },
    Currency { signs: &["£", "GBP"], unit: feminine("livre", "livres"), hundredth: noun("penny", "pence") },
    Currency { signs: &["¥", "JPY"], unit: noun("yen", "yens"), hundredth: noun("sen", "sen") },
    Currency { signs: &["CHF"], unit: noun("franc", "francs"), hundredth: CENT },
    Currency { signs: &["₽", "RUB"], unit: noun("rouble", "roubles"), hundredth: noun("kopeck", "kopecks") },
];
