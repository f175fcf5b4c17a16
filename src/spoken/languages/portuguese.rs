//! Portuguese, with the number words of Brazil.

use crate::spoken::{
    roman,
    speech::{Agreement, Currency, Noun, PLAIN, Scale, Signs, Speech, Words, feminine, noun, scale},
};

pub(super) static SPEECH: Speech = Speech {
    cardinal,
    suffixed,
    clock,
    date: |day, month, _, year| format!("{} de {} de {year}", day_of_month(day), MONTHS[month - 1]),
    fraction,
    mixed: |above, below| fraction(above, below).map(|said| format!("e {}", said.replace("um meio", "meio"))),
    context: |context| {
        let month = context.written.get(context.at + 2).map(|word| word.core.to_lowercase());
        let first = context.word().core == "1" && context.next_key().is_some_and(|next| next == "de");
        let first = month.filter(|month| first && MONTHS.contains(&month.as_str())).map(|_| "primeiro".to_owned());
        first.or_else(|| {
            let value = roman::named(context, "século")?;
            if value <= 10 { ordinal(value) } else { Some(cardinal(value, Agreement::Alone)) }
        })
    },
    agreement,
    signs: Signs {
        point: "vírgula",
        dot: "ponto",
        minus: "menos",
        plus: "mais",
        percent: noun("por cento", "por cento"),
        per: "por",
        to: "a",
        and: "e",
        at: "arroba",
        equals: "igual a",
        slash: "barra",
        dash: "traço",
        underscore: "underline",
        number: "número",
        hashtag: "hashtag",
        degrees: noun("grau", "graus"),
        times: "vezes",
        fold: feminine("vez", "vezes"),
        section: "parágrafo",
        powers: ["ao quadrado", "ao cubo"],
    },
    abbreviations: ABBREVIATIONS,
    titles: TITLES,
    counters: COUNTERS,
    units: UNITS,
    capitals: &["ONU", "SUS", "PIB", "IVA", "NÃO", "SIM", "EU", "QUE", "UMA", "COM", "MAS"],
    scales: SCALES,
    currencies: CURRENCIES,
    price_joint: "e",
    names_hundredths: true,
    ..PLAIN
};

#[rustfmt::skip]
const SMALL: [&str; 20] = [
    "zero", "um", "dois", "três", "quatro", "cinco", "seis", "sete", "oito", "nove", "dez", "onze", "doze", "treze",
    "catorze", "quinze", "dezesseis", "dezessete", "dezoito", "dezenove",
];
const TENS: [&str; 10] =
    ["", "", "vinte", "trinta", "quarenta", "cinquenta", "sessenta", "setenta", "oitenta", "noventa"];
const HUNDREDS: [&str; 10] = [
    "",
    "cento",
    "duzentos",
    "trezentos",
    "quatrocentos",
    "quinhentos",
    "seiscentos",
    "setecentos",
    "oitocentos",
    "novecentos",
];
const POWERS: [(u64, &str, &str); 5] = [
    (1_000_000_000_000_000, "quatrilhão", "quatrilhões"),
    (1_000_000_000_000, "trilhão", "trilhões"),
    (1_000_000_000, "bilhão", "bilhões"),
    (1_000_000, "milhão", "milhões"),
    (1_000, "mil", "mil"),
];
const MONTHS: [&str; 12] = [
    "janeiro",
    "fevereiro",
    "março",
    "abril",
    "maio",
    "junho",
    "julho",
    "agosto",
    "setembro",
    "outubro",
    "novembro",
    "dezembro",
];

fn cardinal(value: u64, agreement: Agreement) -> String {
    for (power, one, many) in POWERS {
        if value >= power {
            let (count, rest) = (value / power, value % power);
            let own = if power == 1_000 { agreement } else { Agreement::Masculine };
            let head = match (count, power) {
                (1, 1_000) => "mil".to_owned(),
                _ => format!("{} {}", cardinal(count, own), if count == 1 { one } else { many }),
            };
            // "e" stands before the last group if that is below a hundred or round.
            let last = rest < 100 || rest < 1_000 && rest % 100 == 0;
            let joint = if last { "e " } else { "" };
            return if rest == 0 { head } else { format!("{head} {joint}{}", cardinal(rest, agreement)) };
        }
    }
    let feminine = agreement == Agreement::Feminine;
    match value {
        1 if feminine => "uma".to_owned(),
        2 if feminine => "duas".to_owned(),
        0..20 => SMALL[value as usize].to_owned(),
        100 => "cem".to_owned(),
        20..100 => join(TENS[value as usize / 10].to_owned(), value % 10, agreement),
        _ => {
            let hundreds = HUNDREDS[value as usize / 100];
            let hundreds = if feminine { hundreds.replace("tos", "tas") } else { hundreds.to_owned() };
            join(hundreds, value % 100, agreement)
        }
    }
}

fn join(head: String, rest: u64, agreement: Agreement) -> String {
    if rest == 0 { head } else { format!("{head} e {}", cardinal(rest, agreement)) }
}

const ORDINALS: [&str; 10] =
    ["", "primeiro", "segundo", "terceiro", "quarto", "quinto", "sexto", "sétimo", "oitavo", "nono"];
const ORDINAL_TENS: [&str; 10] = [
    "",
    "décimo",
    "vigésimo",
    "trigésimo",
    "quadragésimo",
    "quinquagésimo",
    "sexagésimo",
    "septuagésimo",
    "octogésimo",
    "nonagésimo",
];

/// Ordinals up to 99; beyond them cardinals are usual.
fn ordinal(value: u64) -> Option<String> {
    (1..100).contains(&value).then(|| {
        let said = format!("{} {}", ORDINAL_TENS[value as usize / 10], ORDINALS[value as usize % 10]);
        said.trim().to_owned()
    })
}

fn suffixed(value: u64, ending: &str) -> Option<String> {
    let last = match ending.trim_start_matches('.') {
        "o" => "o",
        "a" => "a",
        "os" => "os",
        "as" => "as",
        _ => return None,
    };
    let Some(said) = ordinal(value) else { return (value > 0).then(|| cardinal(value, Agreement::Alone)) };
    Some(said.split(' ').map(|word| word.trim_end_matches('o').to_owned() + last).collect::<Vec<_>>().join(" "))
}

fn clock(hour: u64, minute: u64) -> String {
    let said = cardinal(hour, Agreement::Feminine);
    match minute {
        0 if hour == 1 => "uma hora".to_owned(),
        0 => format!("{said} horas"),
        30 if hour <= 12 => format!("{said} e meia"),
        _ => format!("{said} e {}", cardinal(minute, Agreement::Alone)),
    }
}

fn day_of_month(day: u64) -> String {
    if day == 1 { "primeiro".to_owned() } else { cardinal(day, Agreement::Alone) }
}

fn fraction(above: u64, below: u64) -> Option<String> {
    let part = match below {
        2 => "meio".to_owned(),
        3 => "terço".to_owned(),
        4..=10 => ordinal(below)?,
        100 => "centésimo".to_owned(),
        _ => return None,
    };
    let plural = if above == 1 { "" } else { "s" };
    (above > 0 && above < below).then(|| format!("{} {part}{plural}", cardinal(above, Agreement::Masculine)))
}

/// A noun's ending tells its gender often enough.
fn agreement(next: &str) -> Agreement {
    let lower = next.to_lowercase();
    let noun = lower.chars().count() > 3 && next.starts_with(char::is_lowercase) && lower != "para" && lower != "dias";
    let feminine = ["a", "as", "ções", "ção", "dades", "dade", "vezes"].iter().any(|ending| lower.ends_with(ending));
    if noun && feminine { Agreement::Feminine } else { Agreement::Alone }
}

#[rustfmt::skip]
const ABBREVIATIONS: Words = &[
    ("sr", "senhor"), ("sra", "senhora"), ("srta", "senhorita"), ("dr", "doutor"), ("dra", "doutora"),
    ("prof", "professor"), ("profa", "professora"), ("etc", "et cetera"), ("ex.", "exemplo"), ("p.ex", "por exemplo"),
    ("av.", "avenida"), ("tel.", "telefone"), ("aprox.", "aproximadamente"), ("vs", "versus"), ("máx.", "máximo"),
    ("mín.", "mínimo"), ("eua", "e u a"), ("a.c", "antes de cristo"), ("d.c", "depois de cristo"),
];
const TITLES: Words = &[("d.", "dom"), ("sto.", "santo"), ("sta.", "santa"), ("s.", "são"), ("r.", "rua")];
#[rustfmt::skip]
const COUNTERS: Words = &[
    ("pág.", "página"), ("p.", "página"), ("n.", "número"), ("no.", "número"), ("no", "número"), ("n.o", "número"),
    ("art.", "artigo"), ("cap.", "capítulo"), ("vol.", "volume"), ("fig.", "figura"),
];

#[rustfmt::skip]
const UNITS: &[(&str, Noun)] = &[
    ("mm", noun("milímetro", "milímetros")), ("cm", noun("centímetro", "centímetros")), ("m", noun("metro", "metros")),
    ("km", noun("quilômetro", "quilômetros")), ("m^2", noun("metro quadrado", "metros quadrados")),
    ("m2", noun("metro quadrado", "metros quadrados")), ("km^2", noun("quilômetro quadrado", "quilômetros quadrados")),
    ("m^3", noun("metro cúbico", "metros cúbicos")), ("ha", noun("hectare", "hectares")),
    ("mg", noun("miligrama", "miligramas")), ("g", noun("grama", "gramas")), ("kg", noun("quilo", "quilos")),
    ("t", feminine("tonelada", "toneladas")), ("ml", noun("mililitro", "mililitros")), ("l", noun("litro", "litros")),
    ("L", noun("litro", "litros")), ("km/h", noun("quilômetro por hora", "quilômetros por hora")),
    ("m/s", noun("metro por segundo", "metros por segundo")), ("°C", noun("grau celsius", "graus celsius")),
    ("°F", noun("grau fahrenheit", "graus fahrenheit")), ("Hz", noun("hertz", "hertz")),
    ("kHz", noun("quilohertz", "quilohertz")), ("MHz", noun("megahertz", "megahertz")),
    ("GHz", noun("gigahertz", "gigahertz")), ("dB", noun("decibel", "decibéis")), ("KB", noun("kilobyte", "kilobytes")),
    ("MB", noun("megabyte", "megabytes")), ("GB", noun("gigabyte", "gigabytes")), ("TB", noun("terabyte", "terabytes")),
    ("W", noun("watt", "watts")), ("kW", noun("quilowatt", "quilowatts")), ("kWh", noun("quilowatt hora", "quilowatts hora")),
    ("V", noun("volt", "volts")), ("ms", noun("milissegundo", "milissegundos")), ("s", noun("segundo", "segundos")),
    ("seg", noun("segundo", "segundos")), ("min", noun("minuto", "minutos")), ("h", feminine("hora", "horas")),
];

const fn of(written: &'static str, said: &'static str) -> Scale {
    Scale { written, said, link: "de" }
}

const SCALES: &[Scale] = &[
    scale("k", "mil"),
    scale("K", "mil"),
    of("M", "milhões"),
    of("mi", "milhões"),
    of("bi", "bilhões"),
    scale("mil", "mil"),
    of("milhão", "milhão"),
    of("milhões", "milhões"),
    of("bilhão", "bilhão"),
    of("bilhões", "bilhões"),
    of("trilhão", "trilhão"),
    of("trilhões", "trilhões"),
];

const CENTAVO: Noun = noun("centavo", "centavos");

const CURRENCIES: &[Currency] = &[
    Currency { signs: &["R$", "BRL"], unit: noun("real", "reais"), hundredth: CENTAVO },
    Currency { signs: &["$", "USD"], unit: noun("dólar", "dólares"), hundredth: CENTAVO },
    Currency { signs: &["€", "EUR"], unit: noun("euro", "euros"), hundredth: noun("cêntimo", "cêntimos") },
    Currency { signs: &["£", "GBP"], unit: feminine("libra", "libras"), hundredth: noun("pence", "pence") },
    Currency { signs: &["¥", "JPY"], unit: noun("iene", "ienes"), hundredth: noun("sen", "sen") },
    Currency { signs: &["CHF"], unit: noun("franco", "francos"), hundredth: CENTAVO },
];
