//! Turkish. Number words stand apart, as they are spoken.

use crate::spoken::{
    number::Number,
    speech::{Agreement, Currency, Noun, PLAIN, Scale, Signs, Speech, Words, noun, scale},
};

pub(super) static SPEECH: Speech = Speech {
    cardinal: |value, _| cardinal(value),
    suffixed,
    clock: |hour, minute| match minute {
        0 => cardinal(hour),
        30 => format!("{} buçuk", cardinal(hour)),
        1..10 => format!("{} sıfır {}", cardinal(hour), cardinal(minute)),
        _ => format!("{} {}", cardinal(hour), cardinal(minute)),
    },
    date: |day, month, _, year| format!("{} {} {year}", cardinal(day), MONTHS[month - 1]),
    fraction,
    mixed: |above, below| ((above, below) == (1, 2)).then(|| "buçuk".to_owned()),
    context: |context| {
        // "%20" is read before the number: yüzde yirmi.
        let digits = context.word().core.strip_prefix('%')?;
        let number = Number::exactly(digits, context.speech)?;
        Some(format!("yüzde {}", number.say(context.speech, Agreement::Alone)))
    },
    signs: Signs {
        point: "virgül",
        dot: "nokta",
        minus: "eksi",
        plus: "artı",
        percent: noun("yüzde", "yüzde"),
        per: "bölü",
        to: "",
        and: "ve",
        at: "et",
        equals: "eşittir",
        slash: "bölü",
        dash: "tire",
        underscore: "alt tire",
        number: "numara",
        hashtag: "hashtag",
        degrees: noun("derece", "derece"),
        times: "çarpı",
        fold: noun("kat", "kat"),
        section: "paragraf",
        powers: ["kare", "küp"],
    },
    abbreviations: ABBREVIATIONS,
    counters: COUNTERS,
    units: UNITS,
    scales: SCALES,
    currencies: CURRENCIES,
    names_hundredths: true,
    ..PLAIN
};

const SMALL: [&str; 10] = ["sıfır", "bir", "iki", "üç", "dört", "beş", "altı", "yedi", "sekiz", "dokuz"];
const TENS: [&str; 10] = ["", "on", "yirmi", "otuz", "kırk", "elli", "altmış", "yetmiş", "seksen", "doksan"];
const POWERS: [(u64, &str); 6] = [
    (1_000_000_000_000_000, "katrilyon"),
    (1_000_000_000_000, "trilyon"),
    (1_000_000_000, "milyar"),
    (1_000_000, "milyon"),
    (1_000, "bin"),
    (100, "yüz"),
];
const MONTHS: [&str; 12] =
    ["ocak", "şubat", "mart", "nisan", "mayıs", "haziran", "temmuz", "ağustos", "eylül", "ekim", "kasım", "aralık"];

fn cardinal(value: u64) -> String {
    let tail = |rest: u64| if rest == 0 { String::new() } else { format!(" {}", cardinal(rest)) };
    for (power, name) in POWERS {
        if value >= power {
            let (count, rest) = (value / power, value % power);
            // A single hundred or thousand needs no number.
            let head =
                if count == 1 && power <= 1_000 { name.to_owned() } else { format!("{} {name}", cardinal(count)) };
            return head + &tail(rest);
        }
    }
    match value {
        0..10 => SMALL[value as usize].to_owned(),
        _ => TENS[value as usize / 10].to_owned() + &tail(value % 10),
    }
}

/// The ordinal ending follows the last vowel; a final vowel takes the short ending.
fn ordinal(value: u64) -> String {
    let said = cardinal(value);
    if let Some(stem) = said.strip_suffix("dört") {
        return format!("{stem}dördüncü");
    }
    let high = match said.chars().rev().find(|c| "aıoueiöü".contains(*c)) {
        Some('a' | 'ı') => 'ı',
        Some('o' | 'u') => 'u',
        Some('ö' | 'ü') => 'ü',
        _ => 'i',
    };
    let vowel = if said.ends_with(|c| "aıoueiöü".contains(c)) { String::new() } else { high.to_string() };
    format!("{said}{vowel}nc{high}")
}

/// Case endings behind an apostrophe stay as they are: 1984'te, 5'i; "5'inci" is an ordinal.
fn suffixed(value: u64, ending: &str) -> Option<String> {
    let case = ending.strip_prefix('\'')?;
    let ordinal_mark = ["inci", "ıncı", "uncu", "üncü", "nci", "ncı"].iter().find(|mark| case.starts_with(**mark));
    match ordinal_mark {
        Some(mark) => Some(ordinal(value) + &case[mark.len()..]),
        None => Some(cardinal(value) + case),
    }
}

fn fraction(above: u64, below: u64) -> Option<String> {
    let locative = ["", "", "ikide", "üçte", "dörtte", "beşte", "altıda", "yedide", "sekizde", "dokuzda", "onda"];
    let part = usize::try_from(below).ok().and_then(|below| locative.get(below)).filter(|part| !part.is_empty())?;
    match (above, below) {
        (1, 2) => Some("yarım".to_owned()),
        _ => (above > 0 && above < below).then(|| format!("{part} {}", cardinal(above))),
    }
}

#[rustfmt::skip]
const ABBREVIATIONS: Words = &[
    ("dr", "doktor"), ("prof", "profesör"), ("doç", "doçent"), ("vb", "ve benzeri"), ("vs", "vesaire"), ("yy.", "yüzyıl"),
    ("örn.", "örneğin"), ("cad.", "caddesi"), ("sok.", "sokak"), ("mah.", "mahallesi"), ("tel.", "telefon"),
    ("m.ö", "milattan önce"), ("m.s", "milattan sonra"), ("bkz.", "bakınız"),
];
const COUNTERS: Words = &[("no", "numara"), ("no.", "numara"), ("s.", "sayfa"), ("madde.", "madde")];

const fn same(said: &'static str) -> Noun {
    noun(said, said)
}

#[rustfmt::skip]
const UNITS: &[(&str, Noun)] = &[
    ("mm", same("milimetre")), ("cm", same("santimetre")), ("m", same("metre")), ("km", same("kilometre")),
    ("m^2", same("metrekare")), ("m2", same("metrekare")), ("km^2", same("kilometrekare")), ("m^3", same("metreküp")),
    ("ha", same("hektar")), ("mg", same("miligram")), ("g", same("gram")), ("gr", same("gram")), ("kg", same("kilo")),
    ("t", same("ton")), ("ml", same("mililitre")), ("l", same("litre")), ("lt", same("litre")),
    ("km/s", same("kilometre bölü saat")), ("km/h", same("kilometre bölü saat")), ("m/s", same("metre bölü saniye")),
    ("°C", same("santigrat derece")), ("Hz", same("hertz")), ("MHz", same("megahertz")), ("GHz", same("gigahertz")),
    ("MB", same("megabayt")), ("GB", same("gigabayt")), ("TB", same("terabayt")), ("W", same("vat")), ("kW", same("kilovat")),
    ("V", same("volt")), ("sn", same("saniye")), ("dk", same("dakika")), ("sa", same("saat")),
];

const SCALES: &[Scale] = &[
    scale("bin", "bin"),
    scale("mn", "milyon"),
    scale("milyon", "milyon"),
    scale("milyar", "milyar"),
    scale("trilyon", "trilyon"),
];

const CURRENCIES: &[Currency] = &[
    Currency { signs: &["₺", "TL", "TRY"], unit: same("lira"), hundredth: same("kuruş") },
    Currency { signs: &["€", "EUR"], unit: same("avro"), hundredth: same("sent") },
    Currency { signs: &["$", "USD"], unit: same("dolar"), hundredth: same("sent") },
    Currency { signs: &["£", "GBP"], unit: same("sterlin"), hundredth: same("peni") },
    Currency { signs: &["¥", "JPY"], unit: same("yen"), hundredth: same("sen") },
];
