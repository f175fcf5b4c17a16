//! German.

use crate::spoken::{
    context::Context,
    number::Number,
    roman,
    speech::{Agreement, Currency, Decimals, Noun, PLAIN, Scale, Signs, Speech, Words, feminine, noun, scale},
};

pub(super) static SPEECH: Speech = Speech {
    cardinal,
    year,
    clock: |hour, minute| {
        let hour = cardinal(hour, Agreement::Masculine);
        if minute == 0 { format!("{hour} uhr") } else { format!("{hour} uhr {}", cardinal(minute, Agreement::Alone)) }
    },
    suffixed,
    date: |day, month, _, year| format!("{} {} {year}", ordinal(day, "r"), MONTHS[month - 1]),
    fraction,
    mixed: |above, below| fraction(above, below),
    context,
    agreement: |next| if next.starts_with(char::is_uppercase) { Agreement::Masculine } else { Agreement::Alone },
    decimals: Decimals::ByDigit,
    signs: Signs {
        point: "komma",
        dot: "punkt",
        minus: "minus",
        plus: "plus",
        percent: noun("prozent", "prozent"),
        per: "pro",
        to: "bis",
        and: "und",
        at: "at",
        equals: "gleich",
        slash: "slash",
        dash: "minus",
        underscore: "unterstrich",
        number: "nummer",
        hashtag: "hashtag",
        degrees: noun("grad", "grad"),
        times: "mal",
        fold: noun("mal", "mal"),
        section: "paragraf",
        powers: ["quadrat", "hoch drei"],
    },
    abbreviations: ABBREVIATIONS,
    titles: TITLES,
    counters: COUNTERS,
    units: UNITS,
    capitals: &["TÜV", "ICH", "DU", "ER", "SIE", "WIR", "JA", "DAS", "DIE", "DER", "UND", "ES"],
    scales: SCALES,
    currencies: CURRENCIES,
    ..PLAIN
};

#[rustfmt::skip]
const SMALL: [&str; 20] = [
    "null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf",
    "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn",
];
const TENS: [&str; 10] =
    ["", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"];
const POWERS: [(u64, &str, &str); 4] = [
    (1_000_000_000_000_000, "billiarde", "billiarden"),
    (1_000_000_000_000, "billion", "billionen"),
    (1_000_000_000, "milliarde", "milliarden"),
    (1_000_000, "million", "millionen"),
];
const MONTHS: [&str; 12] = [
    "januar",
    "februar",
    "märz",
    "april",
    "mai",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "dezember",
];

fn cardinal(value: u64, agreement: Agreement) -> String {
    for (power, one, many) in POWERS {
        if value >= power {
            let (count, rest) = (value / power, value % power);
            let head = if count == 1 { format!("eine {one}") } else { format!("{} {many}", below_million(count)) };
            return if rest == 0 { head } else { format!("{head} {}", cardinal(rest, agreement)) };
        }
    }
    match (value, agreement) {
        (1, Agreement::Masculine | Agreement::Neuter) => "ein".to_owned(),
        (1, Agreement::Feminine) => "eine".to_owned(),
        // A round hundred or thousand is counted with "ein" only inside of longer numbers.
        (100, _) => "hundert".to_owned(),
        (1_000, _) => "tausend".to_owned(),
        _ => below_million(value),
    }
}

/// One compound word.
fn below_million(value: u64) -> String {
    let head = |count: u64| if count == 1 { "ein".to_owned() } else { below_million(count) };
    let tail = |rest: u64| if rest == 0 { String::new() } else { below_million(rest) };
    match value {
        0..20 => SMALL[value as usize].to_owned(),
        20..100 if value.is_multiple_of(10) => TENS[value as usize / 10].to_owned(),
        20..100 => format!("{}und{}", head(value % 10), TENS[value as usize / 10]),
        100..1_000 => format!("{}hundert{}", head(value / 100), tail(value % 100)),
        _ => {
            let count = below_million(value / 1_000);
            // "einundzwanzigtausend", but also "hunderteintausend".
            let count = count.strip_suffix("eins").map_or(count.clone(), |stem| format!("{stem}ein"));
            format!("{count}tausend{}", tail(value % 1_000))
        }
    }
}

/// Years of the centuries before 2000 count in hundreds.
fn year(value: u64) -> Option<String> {
    let tail = |rest: u64| if rest == 0 { String::new() } else { below_million(rest) };
    (1_100..2_000).contains(&value).then(|| format!("{}hundert{}", below_million(value / 100), tail(value % 100)))
}

/// The ordinal with its ending: "" for erste, "n" for ersten, "r" for erster, "s" for erstes.
pub(super) fn ordinal(value: u64, ending: &str) -> String {
    let said = cardinal(value, Agreement::Alone);
    let stem = match (value, value % 100) {
        (_, 1) => format!("{}erste", said.trim_end_matches("eins")),
        (_, 3) => format!("{}dritte", said.trim_end_matches("drei")),
        (_, 7) => format!("{}te", said.trim_end_matches("en")),
        (_, 8) => format!("{said}e"),
        (_, 2..20) => format!("{said}te"),
        _ => format!("{}ste", said.trim_end_matches('e')),
    };
    stem + ending
}

fn suffixed(value: u64, ending: &str) -> Option<String> {
    let decade = || {
        (value.is_multiple_of(10) && value > 0)
            .then(|| year(value).unwrap_or_else(|| cardinal(value, Agreement::Alone)))
    };
    match ending {
        "er" | "ern" => decade().map(|said| said + ending),
        "te" | "ste" | "ten" | "sten" | "ter" | "ster" | "tes" | "stes" => {
            Some(ordinal(value, ending.trim_start_matches('s').trim_start_matches("te")))
        }
        "mal" => Some(format!("{}mal", cardinal(value, Agreement::Masculine))),
        "fach" => Some(format!("{}fach", cardinal(value, Agreement::Masculine))),
        _ => None,
    }
}

fn fraction(above: u64, below: u64) -> Option<String> {
    let count = cardinal(above, Agreement::Masculine);
    match below {
        _ if above == 0 || above >= below => None,
        2 => Some(format!("{count}halb")),
        3..=20 | 100 | 1_000 => Some(format!("{count} {}l", ordinal(below, ""))),
        _ => None,
    }
}

fn context(context: &Context) -> Option<String> {
    let king = || roman::named(context, "jahrhundert").map(|value| format!("der {}", ordinal(value, "")));
    time(context).or_else(|| numeric_date(context)).or_else(|| counted(context)).or_else(king)
}

/// "12:30 Uhr", "12.30 Uhr": the minutes follow the word.
fn time(context: &Context) -> Option<String> {
    let parts = |core: &str| {
        let (hour, minute) = core.split_once([':', '.'])?;
        let short = (1..=2).contains(&hour.len()) && minute.len() == 2;
        let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
        (short && hour <= 24 && minute < 60).then_some((hour, minute))
    };
    let core = context.word().core.as_str();
    if context.next_key().is_some_and(|next| next == "uhr") {
        let (hour, _) = parts(core).or_else(|| Some((context.plain_value()?, 0)))?;
        return Some(cardinal(hour, Agreement::Masculine));
    }
    let (_, minute) = context.previous().filter(|_| core == "Uhr").and_then(|previous| parts(&previous.core))?;
    Some(if minute == 0 { "uhr".to_owned() } else { format!("uhr {}", cardinal(minute, Agreement::Alone)) })
}

/// "24.12." without a year.
fn numeric_date(context: &Context) -> Option<String> {
    let (day, month) = context.word().core.split_once('.').filter(|_| context.word().dotted)?;
    let short = |part: &str| (1..=2).contains(&part.len());
    let (day_value, month_value): (u64, u64) = (day.parse().ok()?, month.parse().ok()?);
    let valid = short(day) && short(month) && (1..=31).contains(&day_value) && (1..=12).contains(&month_value);
    valid.then(|| format!("{} {}", ordinal(day_value, "r"), ordinal(month_value, "r")))
}

/// Words that open a sentence rather than follow an ordinal.
#[rustfmt::skip]
const OPENERS: [&str; 26] = [
    "der", "die", "das", "ein", "eine", "ich", "du", "er", "sie", "es", "wir", "ihr", "und", "aber", "oder", "dann",
    "da", "in", "im", "am", "so", "also", "was", "wer", "wie", "ja",
];

/// An ordinal is written as digits with a full stop; the word before it tells its ending.
fn counted(context: &Context) -> Option<String> {
    let word = context.word();
    let value = context.plain_value().filter(|value| word.dotted && !word.closed && (1..=999).contains(value))?;
    let next = context.next()?;
    let opens = OPENERS.contains(&next.core.to_lowercase().as_str()) && next.is_capitalised();
    let ordinal_follows =
        !opens && Number::exactly(&next.core, context.speech).is_none_or(|number| number.whole.len() <= 2);
    let before = context.previous_key().unwrap_or_default();
    let ending = match before.as_str() {
        "der" | "die" | "das" | "jede" | "diese" => "",
        "ein" | "kein" | "jeder" | "" => "r",
        _ => "n",
    };
    ordinal_follows.then(|| ordinal(value, ending))
}

#[rustfmt::skip]
const ABBREVIATIONS: Words = &[
    ("dr", "doktor"), ("prof", "professor"), ("hr.", "herr"), ("fr.", "frau"), ("z.b", "zum beispiel"), ("z.", "zum"),
    ("usw", "und so weiter"), ("u.a", "unter anderem"), ("d.h", "das heißt"), ("bzw", "beziehungsweise"), ("ca", "circa"),
    ("evtl", "eventuell"), ("ggf", "gegebenenfalls"), ("vgl", "vergleiche"), ("inkl", "inklusive"), ("etc", "et cetera"),
    ("str.", "straße"), ("tel.", "telefon"), ("mind.", "mindestens"), ("max.", "maximal"), ("sog.", "sogenannte"),
    ("vs", "versus"), ("v.chr", "vor christus"), ("n.chr", "nach christus"), ("bspw", "beispielsweise"),
    ("o.ä", "oder ähnliches"), ("zzgl", "zuzüglich"), ("jh.", "jahrhundert"), ("mio", "millionen"), ("mrd", "milliarden"),
    ("gmbh", "g m b h"),
];
const TITLES: Words = &[("st.", "sankt")];
#[rustfmt::skip]
const COUNTERS: Words = &[
    ("nr.", "nummer"), ("nr", "nummer"), ("s.", "seite"), ("art.", "artikel"), ("abs.", "absatz"), ("kap.", "kapitel"),
    ("bd.", "band"), ("abb.", "abbildung"), ("jan.", "januar"), ("feb.", "februar"), ("aug.", "august"),
    ("sept.", "september"), ("okt.", "oktober"), ("nov.", "november"), ("dez.", "dezember"),
];

const fn same(said: &'static str) -> Noun {
    noun(said, said)
}

#[rustfmt::skip]
const UNITS: &[(&str, Noun)] = &[
    ("mm", same("millimeter")), ("cm", same("zentimeter")), ("m", same("meter")), ("km", same("kilometer")),
    ("m^2", same("quadratmeter")), ("m2", same("quadratmeter")), ("qm", same("quadratmeter")),
    ("km^2", same("quadratkilometer")), ("m^3", same("kubikmeter")), ("ha", same("hektar")), ("mg", same("milligramm")),
    ("g", same("gramm")), ("kg", same("kilo")), ("t", feminine("tonne", "tonnen")), ("ml", same("milliliter")),
    ("cl", same("zentiliter")), ("l", same("liter")), ("L", same("liter")),
    ("km/h", same("kilometer pro stunde")), ("m/s", same("meter pro sekunde")), ("°C", same("grad celsius")),
    ("°F", same("grad fahrenheit")), ("Hz", same("hertz")), ("kHz", same("kilohertz")), ("MHz", same("megahertz")),
    ("GHz", same("gigahertz")), ("dB", same("dezibel")), ("KB", same("kilobyte")), ("MB", same("megabyte")),
    ("GB", same("gigabyte")), ("TB", same("terabyte")), ("W", same("watt")), ("kW", same("kilowatt")),
    ("kWh", feminine("kilowattstunde", "kilowattstunden")), ("V", same("volt")), ("PS", same("p s")),
    ("ms", feminine("millisekunde", "millisekunden")), ("s", feminine("sekunde", "sekunden")),
    ("sek", feminine("sekunde", "sekunden")), ("min", feminine("minute", "minuten")), ("h", feminine("stunde", "stunden")),
    ("std", feminine("stunde", "stunden")),
];

const SCALES: &[Scale] = &[
    scale("k", "tausend"),
    scale("K", "tausend"),
    scale("Mio", "millionen"),
    scale("mio", "millionen"),
    scale("Mrd", "milliarden"),
    scale("mrd", "milliarden"),
    scale("tausend", "tausend"),
    scale("million", "million"),
    scale("millionen", "millionen"),
    scale("milliarde", "milliarde"),
    scale("milliarden", "milliarden"),
    scale("billion", "billion"),
    scale("billionen", "billionen"),
];

const CENT: Noun = same("cent");

const CURRENCIES: &[Currency] = &[
    Currency { signs: &["€", "EUR"], unit: same("euro"), hundredth: CENT },
    Currency { signs: &["$", "USD"], unit: same("dollar"), hundredth: CENT },
    Currency { signs: &["£", "GBP"], unit: same("pfund"), hundredth: same("pence") },
    Currency { signs: &["¥", "JPY"], unit: same("yen"), hundredth: same("sen") },
    Currency { signs: &["CHF"], unit: same("franken"), hundredth: same("rappen") },
    Currency { signs: &["₽", "RUB"], unit: same("rubel"), hundredth: same("kopeken") },
];
