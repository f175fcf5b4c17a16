//! Italian.

use crate::spoken::{
    roman,
    speech::{Agreement, Currency, Noun, PLAIN, Scale, Signs, Speech, Words, feminine, noun, scale},
};

pub(super) static SPEECH: Speech = Speech {
    cardinal,
    suffixed,
    clock,
    date: |day, month, _, year| format!("{} {} {year}", day_of_month(day), MONTHS[month - 1]),
    fraction,
    mixed: |above, below| fraction(above, below).map(|said| format!("e {}", said.replace("un mezzo", "mezzo"))),
    context: |context| {
        let month = context.next_key().filter(|next| MONTHS.contains(&next.as_str()));
        let first = month.filter(|_| context.word().core == "1").map(|_| "primo".to_owned());
        first.or_else(|| roman::named(context, "secolo").map(ordinal))
    },
    agreement: |next| if next == "ora" || next == "volta" { Agreement::Feminine } else { Agreement::Alone },
    signs: Signs {
        point: "virgola",
        dot: "punto",
        minus: "meno",
        plus: "più",
        percent: noun("per cento", "per cento"),
        per: "al",
        to: "a",
        and: "e",
        at: "chiocciola",
        equals: "uguale",
        slash: "barra",
        dash: "trattino",
        underscore: "trattino basso",
        number: "numero",
        hashtag: "hashtag",
        degrees: noun("grado", "gradi"),
        times: "per",
        fold: feminine("volta", "volte"),
        section: "paragrafo",
        powers: ["al quadrato", "al cubo"],
    },
    abbreviations: ABBREVIATIONS,
    titles: TITLES,
    counters: COUNTERS,
    units: UNITS,
    capitals: &["RAI", "IVA", "ONU", "USA", "FIAT", "NON", "CHE", "SI", "SÌ", "NO", "IO", "TU", "CON"],
    scales: SCALES,
    currencies: CURRENCIES,
    price_joint: "e",
    ..PLAIN
};

#[rustfmt::skip]
const SMALL: [&str; 20] = [
    "zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove", "dieci", "undici", "dodici",
    "tredici", "quattordici", "quindici", "sedici", "diciassette", "diciotto", "diciannove",
];
const TENS: [&str; 10] =
    ["", "", "venti", "trenta", "quaranta", "cinquanta", "sessanta", "settanta", "ottanta", "novanta"];
const POWERS: [(u64, &str, &str); 4] = [
    (1_000_000_000_000_000, "biliardo", "biliardi"),
    (1_000_000_000_000, "bilione", "bilioni"),
    (1_000_000_000, "miliardo", "miliardi"),
    (1_000_000, "milione", "milioni"),
];
const MONTHS: [&str; 12] = [
    "gennaio",
    "febbraio",
    "marzo",
    "aprile",
    "maggio",
    "giugno",
    "luglio",
    "agosto",
    "settembre",
    "ottobre",
    "novembre",
    "dicembre",
];

fn cardinal(value: u64, agreement: Agreement) -> String {
    for (power, one, many) in POWERS {
        if value >= power {
            let (count, rest) = (value / power, value % power);
            let head = if count == 1 { format!("un {one}") } else { format!("{} {many}", below_million(count)) };
            return match rest {
                0 => head,
                _ => format!("{head} {}", cardinal(rest, Agreement::Alone)),
            };
        }
    }
    match (value, agreement) {
        (1, Agreement::Masculine) => "un".to_owned(),
        (1, Agreement::Feminine) => "una".to_owned(),
        _ => below_million(value),
    }
}

/// One compound word; "tre" at its end bears an accent.
fn below_million(value: u64) -> String {
    let said = compound(value);
    if value > 20 && value % 10 == 3 && value % 100 != 13 { said.trim_end_matches('e').to_owned() + "é" } else { said }
}

fn compound(value: u64) -> String {
    match value {
        0..20 => SMALL[value as usize].to_owned(),
        20..100 => {
            let (ten, one) = (TENS[value as usize / 10], value as usize % 10);
            // Before a vowel the ten loses its own: ventuno, trentotto.
            let stem = if one == 1 || one == 8 { &ten[..ten.len() - 1] } else { ten };
            if one == 0 { ten.to_owned() } else { format!("{stem}{}", SMALL[one]) }
        }
        100..1_000 => {
            let count = value as usize / 100;
            let head = if count == 1 { "cento".to_owned() } else { format!("{}cento", SMALL[count]) };
            match compound(value % 100) {
                _ if value.is_multiple_of(100) => head,
                rest if rest.starts_with("ott") => head.trim_end_matches('o').to_owned() + &rest,
                rest => head + &rest,
            }
        }
        _ => {
            let count = value / 1_000;
            let head = if count == 1 { "mille".to_owned() } else { format!("{}mila", compound(count)) };
            if value.is_multiple_of(1_000) { head } else { head + &compound(value % 1_000) }
        }
    }
}

#[rustfmt::skip]
const ORDINALS: [&str; 11] = [
    "", "primo", "secondo", "terzo", "quarto", "quinto", "sesto", "settimo", "ottavo", "nono", "decimo",
];

fn ordinal(value: u64) -> String {
    if let Some(said) = ORDINALS.get(value as usize).filter(|said| !said.is_empty()) {
        return (*said).to_owned();
    }
    let said = cardinal(value, Agreement::Alone);
    let stem = match value % 10 {
        // These keep their vowel: ventitreesimo, ventiseiesimo.
        3 | 6 if value % 100 > 20 || value % 100 < 10 => {
            said.trim_end_matches('é').to_owned() + if said.ends_with('é') { "e" } else { "" }
        }
        _ if said.ends_with("mila") => format!("{}ll", said.trim_end_matches("la")),
        _ => said.chars().take(said.chars().count() - 1).collect(),
    };
    format!("{stem}esimo").replace("milllesimo", "millesimo")
}

fn suffixed(value: u64, ending: &str) -> Option<String> {
    let last = match ending.trim_start_matches('.') {
        "o" | "mo" | "esimo" | "^o" => "o",
        "a" | "ma" | "esima" => "a",
        "i" => "i",
        "e" if value <= 20 => "e",
        _ => return None,
    };
    (value > 0).then(|| ordinal(value).trim_end_matches('o').to_owned() + last)
}

fn clock(hour: u64, minute: u64) -> String {
    let hour = cardinal(hour, Agreement::Feminine);
    match minute {
        0 => hour,
        30 => format!("{hour} e trenta"),
        _ => format!("{hour} e {}", cardinal(minute, Agreement::Alone)),
    }
}

fn day_of_month(day: u64) -> String {
    if day == 1 { "primo".to_owned() } else { cardinal(day, Agreement::Alone) }
}

fn fraction(above: u64, below: u64) -> Option<String> {
    let part = match below {
        2 => "mezzo".to_owned(),
        3..=20 | 100 | 1_000 => ordinal(below),
        _ => return None,
    };
    let part = if above == 1 { part } else { part.trim_end_matches('o').to_owned() + "i" };
    (above > 0 && above < below).then(|| format!("{} {part}", cardinal(above, Agreement::Masculine)))
}

#[rustfmt::skip]
const ABBREVIATIONS: Words = &[
    ("sig", "signor"), ("sig.ra", "signora"), ("sigg.", "signori"), ("dott", "dottor"), ("dott.ssa", "dottoressa"),
    ("dr", "dottor"), ("prof", "professor"), ("prof.ssa", "professoressa"), ("ing.", "ingegner"), ("avv.", "avvocato"),
    ("ecc", "eccetera"), ("es.", "esempio"), ("p.es", "per esempio"), ("tel.", "telefono"), ("ca.", "circa"),
    ("vs", "versus"), ("max.", "massimo"), ("min.", "minimo"), ("a.c", "avanti cristo"), ("d.c", "dopo cristo"),
];
const TITLES: Words = &[("s.", "san"), ("on.", "onorevole")];
#[rustfmt::skip]
const COUNTERS: Words = &[
    ("n.", "numero"), ("nr.", "numero"), ("pag.", "pagina"), ("p.", "pagina"), ("art.", "articolo"),
    ("cap.", "capitolo"), ("vol.", "volume"), ("fig.", "figura"),
];

#[rustfmt::skip]
const UNITS: &[(&str, Noun)] = &[
    ("mm", noun("millimetro", "millimetri")), ("cm", noun("centimetro", "centimetri")), ("m", noun("metro", "metri")),
    ("km", noun("chilometro", "chilometri")), ("m^2", noun("metro quadrato", "metri quadrati")),
    ("m2", noun("metro quadrato", "metri quadrati")), ("mq", noun("metro quadrato", "metri quadrati")),
    ("km^2", noun("chilometro quadrato", "chilometri quadrati")), ("m^3", noun("metro cubo", "metri cubi")),
    ("mg", noun("milligrammo", "milligrammi")), ("g", noun("grammo", "grammi")),
    ("kg", noun("chilo", "chili")), ("t", feminine("tonnellata", "tonnellate")), ("ml", noun("millilitro", "millilitri")),
    ("cl", noun("centilitro", "centilitri")), ("l", noun("litro", "litri")), ("L", noun("litro", "litri")),
    ("km/h", noun("chilometro orario", "chilometri orari")), ("m/s", noun("metro al secondo", "metri al secondo")),
    ("°C", noun("grado celsius", "gradi celsius")), ("°F", noun("grado fahrenheit", "gradi fahrenheit")),
    ("Hz", noun("hertz", "hertz")), ("kHz", noun("chilohertz", "chilohertz")), ("MHz", noun("megahertz", "megahertz")),
    ("GHz", noun("gigahertz", "gigahertz")), ("dB", noun("decibel", "decibel")), ("KB", noun("kilobyte", "kilobyte")),
    ("MB", noun("megabyte", "megabyte")), ("GB", noun("gigabyte", "gigabyte")), ("TB", noun("terabyte", "terabyte")),
    ("W", noun("watt", "watt")), ("kW", noun("kilowatt", "kilowatt")), ("kWh", noun("kilowattora", "kilowattora")),
    ("V", noun("volt", "volt")), ("ms", noun("millisecondo", "millisecondi")), ("s", noun("secondo", "secondi")),
    ("sec", noun("secondo", "secondi")), ("min", noun("minuto", "minuti")), ("h", feminine("ora", "ore")),
];

const fn of(written: &'static str, said: &'static str) -> Scale {
    Scale { written, said, link: "di" }
}

const SCALES: &[Scale] = &[
    scale("k", "mila"),
    scale("K", "mila"),
    of("M", "milioni"),
    of("mln", "milioni"),
    of("mld", "miliardi"),
    scale("mila", "mila"),
    of("milione", "milione"),
    of("milioni", "milioni"),
    of("miliardo", "miliardo"),
    of("miliardi", "miliardi"),
];

const CENT: Noun = noun("centesimo", "centesimi");

const CURRENCIES: &[Currency] = &[
    Currency { signs: &["€", "EUR"], unit: noun("euro", "euro"), hundredth: CENT },
    Currency { signs: &["$", "USD"], unit: noun("dollaro", "dollari"), hundredth: CENT },
    Currency { signs: &["£", "GBP"], unit: feminine("sterlina", "sterline"), hundredth: noun("penny", "pence") },
    Currency { signs: &["¥", "JPY"], unit: noun("yen", "yen"), hundredth: noun("sen", "sen") },
    Currency { signs: &["CHF"], unit: noun("franco", "franchi"), hundredth: CENT },
    Currency { signs: &["₽", "RUB"], unit: noun("rublo", "rubli"), hundredth: noun("copeco", "copechi") },
];
