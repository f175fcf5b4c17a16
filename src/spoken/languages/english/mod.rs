//! English.

mod neighbours;
mod tables;

use crate::spoken::speech::{Decimals, PLAIN, Signs, Speech, noun};

pub(super) static SPEECH: Speech = Speech {
    cardinal: |value, _| cardinal(value),
    suffixed,
    year,
    clock,
    date,
    fraction,
    mixed,
    code,
    context: neighbours::phrase,
    decimal: '.',
    decimals: Decimals::ByDigit,
    spaced_thousands: false,
    month_first: true,
    signs: Signs {
        point: "point",
        dot: "dot",
        minus: "minus",
        plus: "plus",
        percent: noun("percent", "percent"),
        per: "per",
        to: "to",
        and: "and",
        at: "at",
        equals: "equals",
        slash: "slash",
        dash: "dash",
        underscore: "underscore",
        number: "number",
        hashtag: "hashtag",
        degrees: noun("degree", "degrees"),
        times: "times",
        fold: noun("time", "times"),
        section: "section",
        powers: ["squared", "cubed"],
    },
    abbreviations: tables::ABBREVIATIONS,
    titles: tables::TITLES,
    counters: tables::COUNTERS,
    units: tables::UNITS,
    scales: tables::SCALES,
    currencies: tables::CURRENCIES,
    names_hundredths: true,
    capitals: tables::CAPITALS,
    initials: tables::INITIALS,
    ..PLAIN
};

#[rustfmt::skip]
const SMALL: [&str; 20] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const POWERS: [(u64, &str); 5] = [
    (1_000_000_000_000_000, "quadrillion"),
    (1_000_000_000_000, "trillion"),
    (1_000_000_000, "billion"),
    (1_000_000, "million"),
    (1_000, "thousand"),
];

fn cardinal(value: u64) -> String {
    for (power, name) in POWERS {
        if value >= power {
            let (count, rest) = (value / power, value % power);
            let joint = if rest < 100 { "and " } else { "" };
            let tail = if rest == 0 { String::new() } else { format!(" {joint}{}", cardinal(rest)) };
            return format!("{} {name}{tail}", cardinal(count));
        }
    }
    match value {
        0..20 => SMALL[value as usize].to_owned(),
        20..100 => {
            let (ten, one) = (TENS[value as usize / 10], value as usize % 10);
            if one == 0 { ten.to_owned() } else { format!("{ten} {}", SMALL[one]) }
        }
        _ => {
            let hundreds = format!("{} hundred", SMALL[value as usize / 100]);
            if value.is_multiple_of(100) { hundreds } else { format!("{hundreds} and {}", cardinal(value % 100)) }
        }
    }
}

pub(super) fn ordinal(value: u64) -> String {
    let said = cardinal(value);
    let (before, last) = said.rsplit_once(' ').map_or(("", said.as_str()), |(before, last)| (before, last));
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        _ => last.strip_suffix('y').map_or_else(|| format!("{last}th"), |stem| format!("{stem}ieth")),
    };
    format!("{before} {last}").trim_start().to_owned()
}

/// Ordinals and decades: 3rd, 1980s, 90's.
fn suffixed(value: u64, ending: &str) -> Option<String> {
    match ending.to_lowercase().as_str() {
        "st" | "nd" | "rd" | "th" => Some(ordinal(value)),
        "sts" | "nds" | "rds" | "ths" => Some(ordinal(value) + "s"),
        "s" | "'s" if value.is_multiple_of(10) && value > 0 => {
            let said = year(value).unwrap_or_else(|| cardinal(value));
            Some(plural(said.strip_prefix("one ").unwrap_or(&said)))
        }
        "'s" => Some(year(value).unwrap_or_else(|| cardinal(value)) + "'s"),
        _ => None,
    }
}

/// The plural of number words: eighties, hundreds.
fn plural(words: &str) -> String {
    match words.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if words.ends_with('x') => format!("{words}es"),
        None => format!("{words}s"),
    }
}

/// Years in pairs of digits: nineteen eighty four, nineteen oh five, two thousand five, twenty twenty four.
fn year(value: u64) -> Option<String> {
    let (century, rest) = (value / 100, value % 100);
    match (century, rest) {
        (20, 0..10) => {
            Some(format!("two thousand {}", if rest == 0 { "" } else { SMALL[rest as usize] }).trim().to_owned())
        }
        (11..20, 0) => Some(format!("{} hundred", cardinal(century))),
        (11..20, 1..10) => Some(format!("{} oh {}", cardinal(century), SMALL[rest as usize])),
        (10..21, 10..) => Some(format!("{} {}", cardinal(century), cardinal(rest))),
        _ => None,
    }
}

fn clock(hour: u64, minute: u64) -> String {
    match minute {
        0 if hour > 12 => format!("{} hundred", cardinal(hour)),
        0 => format!("{} o'clock", cardinal(hour)),
        1..10 => format!("{} oh {}", cardinal(hour), cardinal(minute)),
        _ => format!("{} {}", cardinal(hour), cardinal(minute)),
    }
}

fn date(day: u64, month: usize, _: u64, year: &str) -> String {
    format!("{} {} {year}", tables::MONTHS[month - 1], ordinal(day))
}

/// Halves, thirds, quarters and further parts of one, as far as they are usual.
fn fraction(above: u64, below: u64) -> Option<String> {
    let named = above > 0 && above < below && (below <= 10 || matches!(below, 12 | 16 | 20 | 32 | 64 | 100));
    let one = above == 1;
    named.then(|| match below {
        2 if one => "one half".to_owned(),
        4 => format!("{} {}", cardinal(above), if one { "quarter" } else { "quarters" }),
        _ => format!("{} {}{}", cardinal(above), ordinal(below), if one { "" } else { "s" }),
    })
}

fn mixed(above: u64, below: u64) -> Option<String> {
    match (above, below) {
        (1, 2) => Some("and a half".to_owned()),
        (1, 4) => Some("and a quarter".to_owned()),
        _ => fraction(above, below).map(|said| format!("and {said}")),
    }
}

/// Three and four digits in pairs: one oh one, three twenty, seven forty seven.
fn code(digits: &str) -> Option<String> {
    let split = digits.len().checked_sub(2).filter(|split| (1..=2).contains(split) && !digits.starts_with('0'))?;
    let (head, tail) = digits.split_at(split);
    let (head, tail): (u64, u64) = (head.parse().ok()?, tail.parse().ok()?);
    match (split, tail) {
        (_, 0) => None,
        (_, 1..10) => Some(format!("{} oh {}", cardinal(head), cardinal(tail))),
        _ => Some(format!("{} {}", cardinal(head), cardinal(tail))),
    }
}
