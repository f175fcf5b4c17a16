//! Swedish.

use crate::spoken::{
    context::Context,
    speech::{Agreement, Currency, Noun, PLAIN, Scale, Signs, Speech, Words, noun, scale},
};

pub(super) static SPEECH: Speech = Speech {
    cardinal,
    suffixed,
    year,
    clock: |hour, minute| match minute {
        0 => below_million(hour),
        1..10 => format!("{} noll {}", below_million(hour), below_million(minute)),
        _ => format!("{} {}", below_million(hour), below_million(minute)),
    },
    date: |day, month, _, year| format!("{} {} {year}", ordinal(day), MONTHS[month - 1]),
    fraction,
    mixed: |above, below| {
        if (above, below) == (1, 2) { Some("och en halv".to_owned()) } else { fraction(above, below) }
    },
    context,
    signs: Signs {
        point: "komma",
        dot: "punkt",
        minus: "minus",
        plus: "plus",
        percent: noun("procent", "procent"),
        per: "per",
        to: "till",
        and: "och",
        at: "snabel a",
        equals: "är lika med",
        slash: "snedstreck",
        dash: "bindestreck",
        underscore: "understreck",
        number: "nummer",
        hashtag: "hashtag",
        degrees: noun("grad", "grader"),
        times: "gånger",
        fold: noun("gång", "gånger"),
        section: "paragraf",
        powers: ["i kvadrat", "i kubik"],
    },
    abbreviations: ABBREVIATIONS,
    counters: COUNTERS,
    units: UNITS,
    scales: SCALES,
    currencies: CURRENCIES,
    ..PLAIN
};

#[rustfmt::skip]
const SMALL: [&str; 20] = [
    "noll", "ett", "två", "tre", "fyra", "fem", "sex", "sju", "åtta", "nio", "tio", "elva", "tolv", "tretton", "fjorton",
    "femton", "sexton", "sjutton", "arton", "nitton",
];
const TENS: [&str; 10] = ["", "", "tjugo", "trettio", "förtio", "femtio", "sextio", "sjuttio", "åttio", "nittio"];
const POWERS: [(u64, &str, &str); 4] = [
    (1_000_000_000_000_000, "biljard", "biljarder"),
    (1_000_000_000_000, "biljon", "biljoner"),
    (1_000_000_000, "miljard", "miljarder"),
    (1_000_000, "miljon", "miljoner"),
];
const MONTHS: [&str; 12] = [
    "januari",
    "februari",
    "mars",
    "april",
    "maj",
    "juni",
    "juli",
    "augusti",
    "september",
    "oktober",
    "november",
    "december",
];

fn cardinal(value: u64, agreement: Agreement) -> String {
    for (power, one, many) in POWERS {
        if value >= power {
            let (count, rest) = (value / power, value % power);
            let head = if count == 1 { format!("en {one}") } else { format!("{} {many}", below_million(count)) };
            return if rest == 0 { head } else { format!("{head} {}", cardinal(rest, agreement)) };
        }
    }
    if value == 1 && agreement == Agreement::Masculine { "en".to_owned() } else { below_million(value) }
}

fn below_million(value: u64) -> String {
    let tail = |rest: u64| if rest == 0 { String::new() } else { below_million(rest) };
    match value {
        0..20 => SMALL[value as usize].to_owned(),
        20..100 => TENS[value as usize / 10].to_owned() + &tail(value % 10),
        100..1_000 => format!("{}hundra{}", SMALL[value as usize / 100], tail(value % 100)),
        _ => {
            let count = value / 1_000;
            let head = if count == 1 { "ettusen".to_owned() } else { format!("{}tusen", below_million(count)) };
            // Three equal consonants never stand together: tjugoettusen.
            let head = head.replace("ttt", "tt");
            let rest = value % 1_000;
            if rest >= 100 { format!("{head} {}", tail(rest)) } else { head + &tail(rest) }
        }
    }
}

/// Years of the centuries before 2000 count in hundreds.
fn year(value: u64) -> Option<String> {
    let rest = value % 100;
    let tail = if rest == 0 { String::new() } else { below_million(rest) };
    (1_100..2_000).contains(&value).then(|| format!("{}hundra{tail}", below_million(value / 100)))
}

fn ordinal(value: u64) -> String {
    const SMALL_ORDINALS: [&str; 13] = [
        "nollte", "första", "andra", "tredje", "fjärde", "femte", "sjätte", "sjunde", "åttonde", "nionde", "tionde",
        "elfte", "tolfte",
    ];
    let said = below_million(value);
    let last = value % 100;
    let one = if last < 20 { last } else { last % 10 };
    let cut = |words: &str| said.strip_suffix(words).unwrap_or(&said).to_owned();
    match (last, one) {
        (0, _) if value > 0 => said + "de",
        (_, 0) if last == 20 => said + "de",
        (_, 0) if value > 0 => said + "nde",
        (_, 13..) => said + "de",
        _ => cut(SMALL[one as usize]) + SMALL_ORDINALS[one as usize],
    }
}

fn suffixed(value: u64, ending: &str) -> Option<String> {
    match ending {
        ":a" | ":e" | "a" | "e" if value < 1_000_000 => Some(ordinal(value)),
        "-tal" | "tal" | "-talet" | "talet" => {
            let said = year(value).unwrap_or_else(|| cardinal(value, Agreement::Alone));
            Some(said + ending.trim_start_matches('-'))
        }
        _ => None,
    }
}

/// The day of a month is an ordinal.
fn context(context: &Context) -> Option<String> {
    let day = context.plain_value().filter(|value| (1..=31).contains(value))?;
    let month = context.next_key()?;
    MONTHS.contains(&month.as_str()).then(|| ordinal(day))
}

fn fraction(above: u64, below: u64) -> Option<String> {
    let part = match below {
        2 => return (above == 1).then(|| "en halv".to_owned()),
        3 => "tredjedel",
        4 => "fjärdedel",
        5 => "femtedel",
        6 => "sjättedel",
        8 => "åttondel",
        10 => "tiondel",
        _ => return None,
    };
    let plural = if above == 1 { "" } else { "ar" };
    (above > 0 && above < below).then(|| format!("{} {part}{plural}", cardinal(above, Agreement::Masculine)))
}

#[rustfmt::skip]
const ABBREVIATIONS: Words = &[
    ("t.ex", "till exempel"), ("bl.a", "bland annat"), ("dvs", "det vill säga"), ("d.v.s", "det vill säga"),
    ("osv", "och så vidare"), ("m.m", "med mera"), ("etc", "et cetera"), ("ca", "cirka"), ("dr", "doktor"),
    ("prof", "professor"), ("tel.", "telefon"), ("max.", "maximalt"), ("s.k", "så kallad"), ("pga", "på grund av"),
    ("vs", "versus"), ("st.", "stycken"),
];
const COUNTERS: Words =
    &[("nr", "nummer"), ("nr.", "nummer"), ("s.", "sidan"), ("kap.", "kapitel"), ("kl", "klockan"), ("kl.", "klockan")];

const fn same(said: &'static str) -> Noun {
    noun(said, said)
}

/// A noun with no plural of its own and neuter gender: ett kilo.
const fn neuter(said: &'static str) -> Noun {
    Noun { forms: [said, said, said], agreement: Agreement::Neuter }
}

#[rustfmt::skip]
const UNITS: &[(&str, Noun)] = &[
    ("mm", same("millimeter")), ("cm", same("centimeter")), ("m", same("meter")), ("km", same("kilometer")),
    ("m^2", same("kvadratmeter")), ("m2", same("kvadratmeter")), ("km^2", same("kvadratkilometer")),
    ("m^3", same("kubikmeter")), ("ha", same("hektar")), ("mg", neuter("milligram")), ("g", neuter("gram")),
    ("kg", neuter("kilo")), ("t", neuter("ton")), ("ml", same("milliliter")), ("cl", same("centiliter")),
    ("dl", same("deciliter")), ("l", same("liter")), ("km/h", same("kilometer i timmen")),
    ("m/s", same("meter per sekund")), ("°C", noun("grad celsius", "grader celsius")), ("Hz", same("hertz")),
    ("kHz", same("kilohertz")), ("MHz", same("megahertz")), ("GHz", same("gigahertz")), ("MB", same("megabyte")),
    ("GB", same("gigabyte")), ("TB", same("terabyte")), ("W", same("watt")), ("kW", same("kilowatt")), ("V", same("volt")),
    ("s", noun("sekund", "sekunder")), ("sek", noun("sekund", "sekunder")), ("min", noun("minut", "minuter")),
    ("h", noun("timme", "timmar")), ("tim", noun("timme", "timmar")), ("st", neuter("stycken")),
];

const SCALES: &[Scale] = &[
    scale("k", "tusen"),
    scale("tkr", "tusen kronor"),
    scale("mn", "miljoner"),
    scale("milj", "miljoner"),
    scale("mdr", "miljarder"),
    scale("tusen", "tusen"),
    scale("miljon", "miljon"),
    scale("miljoner", "miljoner"),
    scale("miljard", "miljard"),
    scale("miljarder", "miljarder"),
];

const CURRENCIES: &[Currency] = &[
    Currency { signs: &["kr", "SEK"], unit: noun("krona", "kronor"), hundredth: neuter("öre") },
    Currency { signs: &["€", "EUR"], unit: same("euro"), hundredth: same("cent") },
    Currency { signs: &["$", "USD"], unit: same("dollar"), hundredth: same("cent") },
    Currency { signs: &["£", "GBP"], unit: neuter("pund"), hundredth: same("pence") },
    Currency { signs: &["¥", "JPY"], unit: same("yen"), hundredth: same("sen") },
];
