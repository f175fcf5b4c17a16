//! Dutch.

use crate::spoken::{
    calendar,
    speech::{Currency, Decimals, Noun, PLAIN, Scale, Signs, Speech, Words, noun, scale},
};

pub(super) static SPEECH: Speech = Speech {
    cardinal: |value, _| cardinal(value),
    suffixed,
    year,
    clock: |hour, minute| {
        let said = cardinal(hour);
        if minute == 0 { format!("{said} uur") } else { format!("{said} uur {}", cardinal(minute)) }
    },
    date: |day, month, _, year| format!("{} {} {year}", cardinal(day), MONTHS[month - 1]),
    fraction,
    mixed: |above, below| fraction(above, below).map(|said| format!("en {said}")),
    context: |context| {
        let hour = context.next_key().is_some_and(|next| next == "uur");
        let said = calendar::time(&context.word().core, context.speech).filter(|_| hour)?;
        Some(said.replacen(" uur", "", 1))
    },
    decimals: Decimals::ByDigit,
    signs: Signs {
        point: "komma",
        dot: "punt",
        minus: "min",
        plus: "plus",
        percent: noun("procent", "procent"),
        per: "per",
        to: "tot",
        and: "en",
        at: "apenstaartje",
        equals: "is",
        slash: "slash",
        dash: "streepje",
        underscore: "laag streepje",
        number: "nummer",
        hashtag: "hashtag",
        degrees: noun("graad", "graden"),
        times: "keer",
        fold: noun("keer", "keer"),
        section: "paragraaf",
        powers: ["kwadraat", "tot de derde"],
    },
    abbreviations: ABBREVIATIONS,
    counters: COUNTERS,
    units: UNITS,
    capitals: &["DE", "HET", "EEN", "JA", "NEE", "IK", "JE", "WE", "NIET"],
    scales: SCALES,
    currencies: CURRENCIES,
    ..PLAIN
};

#[rustfmt::skip]
const SMALL: [&str; 20] = [
    "nul", "één", "twee", "drie", "vier", "vijf", "zes", "zeven", "acht", "negen", "tien", "elf", "twaalf", "dertien",
    "veertien", "vijftien", "zestien", "zeventien", "achttien", "negentien",
];
const TENS: [&str; 10] =
    ["", "", "twintig", "dertig", "veertig", "vijftig", "zestig", "zeventig", "tachtig", "negentig"];
const POWERS: [(u64, &str); 4] = [
    (1_000_000_000_000_000, "biljard"),
    (1_000_000_000_000, "biljoen"),
    (1_000_000_000, "miljard"),
    (1_000_000, "miljoen"),
];
const MONTHS: [&str; 12] = [
    "januari",
    "februari",
    "maart",
    "april",
    "mei",
    "juni",
    "juli",
    "augustus",
    "september",
    "oktober",
    "november",
    "december",
];

fn cardinal(value: u64) -> String {
    for (power, name) in POWERS {
        if value >= power {
            let (count, rest) = (value / power, value % power);
            let count = if count == 1 { "een".to_owned() } else { cardinal(count) };
            let head = format!("{count} {name}");
            return if rest == 0 { head } else { format!("{head} {}", cardinal(rest)) };
        }
    }
    compound(value)
}

fn compound(value: u64) -> String {
    let head = |count: u64, name: &str| if count == 1 { name.to_owned() } else { compound(count) + name };
    let tail = |rest: u64| if rest == 0 { String::new() } else { compound(rest) };
    match value {
        0..20 => SMALL[value as usize].to_owned(),
        20..100 => {
            let (ten, one) = (TENS[value as usize / 10], value % 10);
            match one {
                0 => ten.to_owned(),
                1 => format!("eenen{ten}"),
                2 | 3 => format!("{}ën{ten}", SMALL[one as usize]),
                _ => format!("{}en{ten}", SMALL[one as usize]),
            }
        }
        100..1_000 => head(value / 100, "honderd") + &tail(value % 100),
        // Round hundreds are counted as such up to ten thousand: twaalfhonderd.
        _ => head(value / 1_000, "duizend") + &tail(value % 1_000),
    }
}

/// Years of the centuries before 2000: negentien vierentachtig.
fn year(value: u64) -> Option<String> {
    let (century, rest) = (value / 100, value % 100);
    match (century, rest) {
        (11..20, 0) => Some(format!("{}honderd", compound(century))),
        (11..20, 1..10) => Some(format!("{}honderd {}", compound(century), compound(rest))),
        (11..20, _) => Some(format!("{} {}", compound(century), compound(rest))),
        _ => None,
    }
}

fn ordinal(value: u64) -> String {
    let said = cardinal(value);
    let stem = |ending: &str| said.trim_end_matches(ending).to_owned();
    match value % 100 {
        1 => stem("één") + "eerste",
        3 => stem("drie") + "derde",
        8 => said.clone() + "ste",
        2 | 4..=7 | 9..=19 => said.clone() + "de",
        _ => said.clone() + "ste",
    }
}

fn suffixed(value: u64, ending: &str) -> Option<String> {
    match ending {
        "e" | "de" | "ste" => Some(ordinal(value)),
        "er" | "ers" => Some(cardinal(value) + ending),
        _ => None,
    }
}

fn fraction(above: u64, below: u64) -> Option<String> {
    let part = match below {
        2 => "half".to_owned(),
        4 => "kwart".to_owned(),
        3 | 5..=20 | 100 => ordinal(below),
        _ => return None,
    };
    let count = if above == 1 { "een".to_owned() } else { cardinal(above) };
    (above > 0 && above < below).then(|| format!("{count} {part}"))
}

#[rustfmt::skip]
const ABBREVIATIONS: Words = &[
    ("dhr", "de heer"), ("mevr", "mevrouw"), ("mw", "mevrouw"), ("dr", "dokter"), ("prof", "professor"), ("ir.", "ingenieur"),
    ("mr.", "meester"), ("bijv", "bijvoorbeeld"), ("bv.", "bijvoorbeeld"), ("enz", "enzovoort"), ("etc", "et cetera"),
    ("d.w.z", "dat wil zeggen"), ("m.a.w", "met andere woorden"), ("o.a", "onder andere"), ("t/m", "tot en met"),
    ("ca", "circa"), ("evt", "eventueel"), ("incl", "inclusief"), ("excl", "exclusief"), ("tel.", "telefoon"),
    ("max.", "maximaal"), ("min.", "minimaal"), ("vs", "versus"), ("n.chr", "na christus"), ("v.chr", "voor christus"),
    ("a.u.b", "alstublieft"), ("m.b.t", "met betrekking tot"), ("i.p.v", "in plaats van"),
];
#[rustfmt::skip]
const COUNTERS: Words = &[
    ("nr.", "nummer"), ("nr", "nummer"), ("blz.", "bladzijde"), ("p.", "pagina"), ("pag.", "pagina"), ("art.", "artikel"),
    ("hfst.", "hoofdstuk"), ("fig.", "figuur"), ("jan.", "januari"), ("feb.", "februari"), ("aug.", "augustus"),
    ("sept.", "september"), ("okt.", "oktober"), ("nov.", "november"), ("dec.", "december"),
];

const fn same(said: &'static str) -> Noun {
    noun(said, said)
}

#[rustfmt::skip]
const UNITS: &[(&str, Noun)] = &[
    ("mm", same("millimeter")), ("cm", same("centimeter")), ("m", same("meter")), ("km", same("kilometer")),
    ("m^2", same("vierkante meter")), ("m2", same("vierkante meter")), ("km^2", same("vierkante kilometer")),
    ("m^3", same("kubieke meter")), ("ha", same("hectare")), ("mg", same("milligram")), ("g", same("gram")),
    ("kg", same("kilo")), ("t", same("ton")), ("ml", same("milliliter")), ("cl", same("centiliter")), ("l", same("liter")),
    ("L", same("liter")), ("km/h", same("kilometer per uur")), ("km/u", same("kilometer per uur")),
    ("m/s", same("meter per seconde")), ("°C", noun("graad celsius", "graden celsius")),
    ("°F", noun("graad fahrenheit", "graden fahrenheit")), ("Hz", same("hertz")), ("kHz", same("kilohertz")),
    ("MHz", same("megahertz")), ("GHz", same("gigahertz")), ("dB", same("decibel")), ("KB", same("kilobyte")),
    ("MB", same("megabyte")), ("GB", same("gigabyte")), ("TB", same("terabyte")), ("W", same("watt")), ("kW", same("kilowatt")),
    ("kWh", same("kilowattuur")), ("V", same("volt")), ("ms", noun("milliseconde", "milliseconden")),
    ("s", noun("seconde", "seconden")), ("sec", noun("seconde", "seconden")), ("min", noun("minuut", "minuten")),
    ("h", same("uur")),
];

const SCALES: &[Scale] = &[
    scale("k", "duizend"),
    scale("K", "duizend"),
    scale("M", "miljoen"),
    scale("mln", "miljoen"),
    scale("mld", "miljard"),
    scale("duizend", "duizend"),
    scale("miljoen", "miljoen"),
    scale("miljard", "miljard"),
    scale("biljoen", "biljoen"),
];

const CENT: Noun = same("cent");

const CURRENCIES: &[Currency] = &[
    Currency { signs: &["€", "EUR"], unit: same("euro"), hundredth: CENT },
    Currency { signs: &["$", "USD"], unit: same("dollar"), hundredth: CENT },
    Currency { signs: &["£", "GBP"], unit: same("pond"), hundredth: same("pence") },
    Currency { signs: &["¥", "JPY"], unit: same("yen"), hundredth: same("sen") },
    Currency { signs: &["CHF"], unit: same("frank"), hundredth: CENT },
];
