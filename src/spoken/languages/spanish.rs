//! Spanish.

use crate::spoken::{
    context::Context,
    roman,
    speech::{Agreement, Currency, Noun, PLAIN, Scale, Signs, Speech, Words, feminine, noun, scale},
};

pub(super) static SPEECH: Speech = Speech {
    cardinal,
    suffixed,
    clock,
    date: |day, month, _, year| format!("{} de {} de {year}", day_of_month(day), MONTHS[month - 1]),
    fraction,
    mixed: |above, below| fraction(above, below).map(|said| format!("y {}", said.trim_start_matches("un "))),
    context,
    agreement,
    signs: Signs {
        point: "coma",
        dot: "punto",
        minus: "menos",
        plus: "más",
        percent: noun("por ciento", "por ciento"),
        per: "por",
        to: "a",
        and: "y",
        at: "arroba",
        equals: "igual a",
        slash: "barra",
        dash: "guion",
        underscore: "guion bajo",
        number: "número",
        hashtag: "hashtag",
        degrees: noun("grado", "grados"),
        times: "por",
        fold: feminine("vez", "veces"),
        section: "artículo",
        powers: ["al cuadrado", "al cubo"],
    },
    abbreviations: ABBREVIATIONS,
    titles: TITLES,
    counters: COUNTERS,
    units: UNITS,
    capitals: &[
        "ONU", "PIB", "IVA", "AVE", "RAE", "UCI", "NO", "SI", "SÍ", "YO", "TÚ", "QUE", "MUY", "MÁS", "LOS", "LAS",
    ],
    scales: SCALES,
    currencies: CURRENCIES,
    price_joint: "con",
    ..PLAIN
};

#[rustfmt::skip]
const SMALL: [&str; 30] = [
    "cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce", "trece",
    "catorce", "quince", "dieciséis", "diecisiete", "dieciocho", "diecinueve", "veinte", "veintiuno", "veintidós",
    "veintitrés", "veinticuatro", "veinticinco", "veintiséis", "veintisiete", "veintiocho", "veintinueve",
];
const TENS: [&str; 10] = ["", "", "", "treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"];
const HUNDREDS: [&str; 10] = [
    "",
    "ciento",
    "doscientos",
    "trescientos",
    "cuatrocientos",
    "quinientos",
    "seiscientos",
    "setecientos",
    "ochocientos",
    "novecientos",
];
const POWERS: [(u64, &str, &str); 2] = [(1_000_000_000_000, "billón", "billones"), (1_000_000, "millón", "millones")];
const MONTHS: [&str; 12] = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
];

fn cardinal(value: u64, agreement: Agreement) -> String {
    for (power, one, many) in POWERS {
        if value >= power {
            let (count, rest) = (value / power, value % power);
            let name = if count == 1 { one } else { many };
            return join(&format!("{} {name}", cardinal(count, Agreement::Masculine)), rest, agreement);
        }
    }
    let feminine = agreement == Agreement::Feminine;
    match value {
        1_000.. => {
            let count = value / 1_000;
            let own = if feminine { agreement } else { Agreement::Masculine };
            let thousands = if count == 1 { "mil".to_owned() } else { format!("{} mil", cardinal(count, own)) };
            join(&thousands, value % 1_000, agreement)
        }
        100 => "cien".to_owned(),
        101..1_000 => {
            let hundreds = HUNDREDS[value as usize / 100];
            let hundreds = if feminine { hundreds.replace("tos", "tas") } else { hundreds.to_owned() };
            join(&hundreds, value % 100, agreement)
        }
        30..100 if value.is_multiple_of(10) => TENS[value as usize / 10].to_owned(),
        30..100 => format!("{} y {}", TENS[value as usize / 10], cardinal(value % 10, agreement)),
        _ => match (value, agreement) {
            (1, Agreement::Masculine) => "un".to_owned(),
            (1, Agreement::Feminine) => "una".to_owned(),
            (21, Agreement::Masculine) => "veintiún".to_owned(),
            (21, Agreement::Feminine) => "veintiuna".to_owned(),
            _ => SMALL[value as usize].to_owned(),
        },
    }
}

fn join(before: &str, rest: u64, agreement: Agreement) -> String {
    if rest == 0 { before.to_owned() } else { format!("{before} {}", cardinal(rest, agreement)) }
}

#[rustfmt::skip]
const ORDINALS: [&str; 20] = [
    "", "primero", "segundo", "tercero", "cuarto", "quinto", "sexto", "séptimo", "octavo", "noveno", "décimo",
    "undécimo", "duodécimo", "decimotercero", "decimocuarto", "decimoquinto", "decimosexto", "decimoséptimo",
    "decimoctavo", "decimonoveno",
];
const ORDINAL_TENS: [&str; 10] = [
    "",
    "décimo",
    "vigésimo",
    "trigésimo",
    "cuadragésimo",
    "quincuagésimo",
    "sexagésimo",
    "septuagésimo",
    "octogésimo",
    "nonagésimo",
];

/// Ordinals up to 99; beyond them Spanish counts with cardinals.
fn ordinal(value: u64, ending: &str) -> Option<String> {
    let words = match value {
        1..20 => ORDINALS[value as usize].to_owned(),
        20..100 => format!("{} {}", ORDINAL_TENS[value as usize / 10], ORDINALS[value as usize % 10]),
        _ => return None,
    };
    let inflected = |word: &str| {
        let stem = word.trim_end_matches('o');
        match ending {
            "a" | "as" => format!("{stem}{ending}"),
            "os" => format!("{stem}os"),
            "er" => stem.to_owned(),
            _ => word.to_owned(),
        }
    };
    Some(words.split_whitespace().map(inflected).collect::<Vec<_>>().join(" "))
}

fn suffixed(value: u64, ending: &str) -> Option<String> {
    let ending = ending.trim_start_matches('.');
    match ending {
        "o" | "a" | "os" | "as" | "er" | "ro" | "ra" | "do" | "da" | "to" | "ta" | "mo" | "ma" | "vo" | "va" | "no"
        | "na" => {
            let ending = if ending == "er" { "er" } else { ending.trim_start_matches(|c| "rdtmvn".contains(c)) };
            Some(ordinal(value, ending).unwrap_or_else(|| cardinal(value, Agreement::Alone)))
        }
        _ => None,
    }
}

fn clock(hour: u64, minute: u64) -> String {
    let agreement = Agreement::Feminine;
    match minute {
        0 => cardinal(hour, agreement),
        15 if hour <= 12 => format!("{} y cuarto", cardinal(hour, agreement)),
        30 if hour <= 12 => format!("{} y media", cardinal(hour, agreement)),
        1..30 if hour <= 12 => format!("{} y {}", cardinal(hour, agreement), cardinal(minute, Agreement::Alone)),
        _ => format!("{} {}", cardinal(hour, agreement), cardinal(minute, Agreement::Alone)),
    }
}

fn day_of_month(day: u64) -> String {
    if day == 1 { "primero".to_owned() } else { cardinal(day, Agreement::Alone) }
}

fn fraction(above: u64, below: u64) -> Option<String> {
    const PARTS: [&str; 11] =
        ["", "", "medio", "tercio", "cuarto", "quinto", "sexto", "séptimo", "octavo", "noveno", "décimo"];
    let part = PARTS.get(usize::try_from(below).ok()?).filter(|part| !part.is_empty() && above > 0 && above < below)?;
    Some(format!("{} {part}{}", cardinal(above, Agreement::Masculine), if above == 1 { "" } else { "s" }))
}

/// The first day of a month is an ordinal.
fn context(context: &Context) -> Option<String> {
    let month = || {
        let of = context.next_key()? == "de";
        let month = context.written.get(context.at + 2)?.core.to_lowercase();
        (of && MONTHS.contains(&month.as_str())).then(|| day_of_month(1))
    };
    if context.plain_value() == Some(1) && context.word().core.len() == 1 { month() } else { roman(context) }
}

/// Felipe II, siglo XX: ordinals up to ten, cardinals from there on.
fn roman(context: &Context) -> Option<String> {
    let value = roman::named(context, "siglo")?;
    if value <= 10 { ordinal(value, "o") } else { Some(cardinal(value, Agreement::Alone)) }
}

/// A noun's ending tells its gender often enough; words that are no nouns keep the number alone.
fn agreement(next: &str) -> Agreement {
    let no_noun =
        ["de", "y", "o", "a", "en", "por", "que", "es", "con", "para", "al", "del", "son", "la", "las", "una"];
    let lower = next.to_lowercase();
    match lower.as_str() {
        _ if no_noun.contains(&lower.as_str()) || !next.starts_with(char::is_lowercase) => Agreement::Alone,
        "días" | "día" => Agreement::Masculine,
        _ if lower.ends_with("as") || lower.ends_with('a') || lower.ends_with("ciones") || lower.ends_with("dades") => {
            Agreement::Feminine
        }
        _ => Agreement::Masculine,
    }
}

#[rustfmt::skip]
const ABBREVIATIONS: Words = &[
    ("sr", "señor"), ("sra", "señora"), ("srta", "señorita"), ("sres", "señores"), ("dr", "doctor"),
    ("dra", "doctora"), ("ud", "usted"), ("uds", "ustedes"), ("etc", "etcétera"), ("ej.", "ejemplo"),
    ("p.ej", "por ejemplo"), ("avda.", "avenida"), ("av.", "avenida"), ("prof.", "profesor"), ("dpto.", "departamento"),
    ("tel.", "teléfono"), ("aprox.", "aproximadamente"), ("ee.uu", "estados unidos"), ("ee. uu", "estados unidos"),
    ("vs", "versus"), ("máx.", "máximo"), ("mín.", "mínimo"),
];
const TITLES: Words = &[("d.", "don"), ("dña.", "doña"), ("gral.", "general"), ("sto.", "santo"), ("sta.", "santa")];
#[rustfmt::skip]
const COUNTERS: Words = &[
    ("pág.", "página"), ("págs.", "páginas"), ("p.", "página"), ("núm.", "número"), ("no.", "número"), ("no", "número"),
    ("n.o", "número"), ("art.", "artículo"), ("cap.", "capítulo"), ("vol.", "volumen"), ("fig.", "figura"),
];

#[rustfmt::skip]
const UNITS: &[(&str, Noun)] = &[
    ("mm", noun("milímetro", "milímetros")), ("cm", noun("centímetro", "centímetros")), ("m", noun("metro", "metros")),
    ("km", noun("kilómetro", "kilómetros")), ("m^2", noun("metro cuadrado", "metros cuadrados")),
    ("m2", noun("metro cuadrado", "metros cuadrados")), ("km^2", noun("kilómetro cuadrado", "kilómetros cuadrados")),
    ("m^3", noun("metro cúbico", "metros cúbicos")), 
    ("mg", noun("miligramo", "miligramos")), ("g", noun("gramo", "gramos")), ("kg", noun("kilo", "kilos")),
    ("t", feminine("tonelada", "toneladas")), ("ml", noun("mililitro", "mililitros")),
    ("cl", noun("centilitro", "centilitros")), ("l", noun("litro", "litros")), ("L", noun("litro", "litros")),
    ("km/h", noun("kilómetro por hora", "kilómetros por hora")), ("m/s", noun("metro por segundo", "metros por segundo")),
    ("°C", noun("grado centígrado", "grados centígrados")), ("°F", noun("grado fahrenheit", "grados fahrenheit")),
    ("Hz", noun("hercio", "hercios")), ("kHz", noun("kilohercio", "kilohercios")), ("MHz", noun("megahercio", "megahercios")),
    ("GHz", noun("gigahercio", "gigahercios")), ("dB", noun("decibelio", "decibelios")), ("KB", noun("kilobyte", "kilobytes")),
    ("MB", noun("megabyte", "megabytes")), ("GB", noun("gigabyte", "gigabytes")), ("TB", noun("terabyte", "terabytes")),
    ("W", noun("vatio", "vatios")), ("kW", noun("kilovatio", "kilovatios")), ("kWh", noun("kilovatio hora", "kilovatios hora")),
    ("V", noun("voltio", "voltios")), ("ms", noun("milisegundo", "milisegundos")), ("s", noun("segundo", "segundos")),
    ("seg", noun("segundo", "segundos")), ("min", noun("minuto", "minutos")), ("h", feminine("hora", "horas")),
    ("hs", feminine("hora", "horas")), ("am", noun("a m", "a m")), ("pm", noun("p m", "p m")),
];

const fn of(written: &'static str, said: &'static str) -> Scale {
    Scale { written, said, link: "de" }
}

const SCALES: &[Scale] = &[
    scale("k", "mil"),
    scale("K", "mil"),
    of("M", "millones"),
    scale("mil", "mil"),
    of("millón", "millón"),
    of("millones", "millones"),
    of("billón", "billón"),
    of("billones", "billones"),
];

const CENTAVO: Noun = noun("centavo", "centavos");
const CENT: Noun = noun("céntimo", "céntimos");

const CURRENCIES: &[Currency] = &[
    Currency { signs: &["$", "USD"], unit: noun("dólar", "dólares"), hundredth: CENTAVO },
    Currency { signs: &["€", "EUR"], unit: noun("euro", "euros"), hundredth: CENT },
    Currency { signs: &["£", "GBP"], unit: feminine("libra", "libras"), hundredth: noun("penique", "peniques") },
    Currency { signs: &["¥", "JPY"], unit: noun("yen", "yenes"), hundredth: noun("sen", "sen") },
    Currency { signs: &["MXN"], unit: noun("peso", "pesos"), hundredth: CENTAVO },
    Currency { signs: &["₽", "RUB"], unit: noun("rublo", "rublos"), hundredth: noun("kopek", "kopeks") },
    Currency { signs: &["CHF"], unit: noun("franco", "francos"), hundredth: CENT },
];
