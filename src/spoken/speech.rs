//! What a language brings to the reading of numbers and signs: functions for its number words, tables for the rest.

use super::{context::Context, number::Number};

/// How a number agrees with what it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreement {
    /// It counts nothing that is said: "eins", "uno".
    Alone,
    /// A masculine noun follows.
    Masculine,
    /// A feminine noun follows.
    Feminine,
    /// A neuter noun follows.
    Neuter,
}

/// A noun that numbers count, in the forms after one, after few (or after a fraction) and after many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noun {
    pub forms: [&'static str; 3],
    pub agreement: Agreement,
}

/// A masculine noun with a singular and a plural.
pub(super) const fn noun(one: &'static str, many: &'static str) -> Noun {
    Noun { forms: [one, many, many], agreement: Agreement::Masculine }
}

/// A feminine noun with a singular and a plural.
pub(super) const fn feminine(one: &'static str, many: &'static str) -> Noun {
    Noun { forms: [one, many, many], agreement: Agreement::Feminine }
}

/// A masculine noun with three forms, as in the Slavic languages.
pub(super) const fn slavic(one: &'static str, few: &'static str, many: &'static str) -> Noun {
    Noun { forms: [one, few, many], agreement: Agreement::Masculine }
}

/// A feminine noun with three forms, as in the Slavic languages.
pub(super) const fn slavic_feminine(one: &'static str, few: &'static str, many: &'static str) -> Noun {
    Noun { forms: [one, few, many], agreement: Agreement::Feminine }
}

/// A currency: the signs that stand for it, its unit and the hundredth of that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Currency {
    pub signs: &'static [&'static str],
    pub unit: Noun,
    pub hundredth: Noun,
}

/// A power of ten behind a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub written: &'static str,
    pub said: &'static str,
    /// What joins it to the noun that it counts: millones *de* dólares.
    pub link: &'static str,
}

/// A power of ten that joins its noun directly.
pub(super) const fn scale(written: &'static str, said: &'static str) -> Scale {
    Scale { written, said, link: "" }
}

/// How the digits behind a decimal mark are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decimals {
    /// One by one: three point one four.
    ByDigit,
    /// As a number up to two digits: trois virgule quatorze.
    AsNumber,
    /// As parts of one together with the whole number, where the function names them: пять целых восемь десятых.
    AsParts(fn(u64, &str) -> Option<String>),
}

/// The signs between and around numbers, as words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signs {
    pub point: &'static str,
    pub dot: &'static str,
    pub minus: &'static str,
    pub plus: &'static str,
    pub percent: Noun,
    /// "20 €/h".
    pub per: &'static str,
    /// Between the ends of a range: ten to twelve.
    pub to: &'static str,
    pub and: &'static str,
    pub at: &'static str,
    pub equals: &'static str,
    pub slash: &'static str,
    pub dash: &'static str,
    pub underscore: &'static str,
    /// "#5", "№ 5".
    pub number: &'static str,
    /// "#word".
    pub hashtag: &'static str,
    pub degrees: Noun,
    /// "3×4".
    pub times: &'static str,
    /// "3x".
    pub fold: Noun,
    pub section: &'static str,
    /// "x²", "x³" outside of units.
    pub powers: [&'static str; 2],
}

/// What is written, in lower case, and what is said for it.
pub(super) type Words = &'static [(&'static str, &'static str)];

/// What the table says for the written word.
pub(super) fn look_up(table: Words, written: &str) -> Option<&'static str> {
    table.iter().find(|(key, _)| *key == written).map(|(_, words)| *words)
}

/// One language's numbers and tables.
pub(super) struct Speech {
    /// The number words below 10^18.
    pub cardinal: fn(u64, Agreement) -> String,
    /// The reading of a number with letters behind it where the language has one of its own: "3rd", "1980s", "2e".
    pub suffixed: fn(u64, &str) -> Option<String>,
    /// The reading of four digits that may be a year, where it differs from the cardinal.
    pub year: fn(u64) -> Option<String>,
    /// The time of day, from hour and minute.
    pub clock: fn(u64, u64) -> String,
    /// A day, a month from 1 to 12, a year and that year in words.
    pub date: fn(u64, usize, u64, &str) -> String,
    /// A fraction such as 2/3, where the language names it.
    pub fraction: fn(u64, u64) -> Option<String>,
    /// What is said behind a whole number for its fraction: "and a half".
    pub mixed: fn(u64, u64) -> Option<String>,
    /// The reading of digits behind capitals or in the name of a room, road or flight: A320, Room 101.
    pub code: fn(&str) -> Option<String>,
    /// What neighbours decide, before anything else is tried.
    pub context: fn(&Context) -> Option<String>,
    /// Which form of a noun follows the number.
    pub form: fn(&Number) -> usize,
    /// How a number agrees with the written word behind it.
    pub agreement: fn(&str) -> Agreement,
    /// Between whole and decimal digits; the other of point and comma groups thousands.
    pub decimal: char,
    pub decimals: Decimals,
    /// Whether thousands may stand apart as words of their own: 10 000.
    pub spaced_thousands: bool,
    /// Whether 3/4/2024 is the fourth of March.
    pub month_first: bool,
    /// Whether telephone numbers are read in pairs rather than by digit.
    pub paired_telephone: bool,
    pub signs: Signs,
    /// Abbreviations in lower case; one that ends in a full stop needs it.
    pub abbreviations: Words,
    /// Abbreviations that stand only before a capitalised word: "Gen." in "Gen. Lee".
    pub titles: Words,
    /// Abbreviations that stand only beside a number: "vol." in "vol. 2".
    pub counters: Words,
    /// Units behind a number, as written.
    pub units: &'static [(&'static str, Noun)],
    /// Words and letters for powers of ten behind a number, as written: "k", "million".
    pub scales: &'static [Scale],
    pub currencies: &'static [Currency],
    /// Between the unit and the hundredths of a price: tres euros *con* cincuenta.
    pub price_joint: &'static str,
    /// Whether the hundredths behind a unit are named: three dollars fifty *cents*.
    pub names_hundredths: bool,
    /// Short words in capitals that are read as words; all others are spelled.
    pub capitals: &'static [&'static str],
    /// Longer words in capitals that are spelled although they could be read.
    pub initials: &'static [&'static str],
}

/// A language that does nothing of its own; each language fills in what it has.
pub(super) const PLAIN: Speech = Speech {
    cardinal: |_, _| String::new(),
    suffixed: |_, _| None,
    year: |_| None,
    clock: |_, _| String::new(),
    date: |_, _, _, _| String::new(),
    fraction: |_, _| None,
    mixed: |_, _| None,
    code: |_| None,
    context: |_| None,
    form: |number| if number.is_one() { 0 } else { 2 },
    agreement: |_| Agreement::Alone,
    decimal: ',',
    decimals: Decimals::AsNumber,
    spaced_thousands: true,
    month_first: false,
    paired_telephone: false,
    signs: Signs {
        point: "",
        dot: "",
        minus: "",
        plus: "",
        percent: noun("", ""),
        per: "",
        to: "",
        and: "",
        at: "",
        equals: "",
        slash: "",
        dash: "",
        underscore: "",
        number: "",
        hashtag: "hashtag",
        degrees: noun("", ""),
        times: "",
        fold: noun("", ""),
        section: "",
        powers: ["", ""],
    },
    abbreviations: &[],
    titles: &[],
    counters: &[],
    units: &[],
    scales: &[],
    currencies: &[],
    price_joint: "",
    names_hundredths: false,
    capitals: &[],
    initials: &[],
};

impl Speech {
    /// The number word, in digits one by one where no name reaches.
    pub fn cardinal(&self, value: u64) -> String {
        (self.cardinal)(value, Agreement::Alone)
    }

    pub fn digits(&self, digits: &str) -> String {
        let names: Vec<String> = (0..10).map(|digit| self.cardinal(digit)).collect();
        let said: Vec<&str> =
            digits.bytes().filter(u8::is_ascii_digit).map(|b| names[usize::from(b - b'0')].as_str()).collect();
        said.join(" ")
    }

    /// How a number agrees with the written word behind it.
    pub fn agreement_before(&self, next: &str) -> Agreement {
        let noun = self.unit(next).or_else(|| self.currency(next).map(|currency| &currency.unit));
        noun.map_or_else(|| (self.agreement)(next), |noun| noun.agreement)
    }

    /// The unit written so, exactly or without regard to case.
    pub fn unit(&self, written: &str) -> Option<&'static Noun> {
        let exact = self.units.iter().find(|(key, _)| *key == written);
        // "MIN" and "min" are the unit, "Min" is a word.
        let even = !(written.contains(char::is_lowercase) && written.contains(char::is_uppercase));
        let folded = || self.units.iter().find(|(key, _)| even && key.len() > 1 && key.eq_ignore_ascii_case(written));
        exact.or_else(folded).map(|(_, noun)| noun)
    }

    /// The currency of a sign or code; a country's letter before the sign is no other currency here ("US$", "A$").
    pub fn currency(&self, written: &str) -> Option<&'static Currency> {
        let bare = written.trim_start_matches(|c: char| c.is_ascii_uppercase());
        let named = |key: &str| self.currencies.iter().find(|currency| currency.signs.contains(&key));
        named(written).or_else(|| named(bare))
    }

    pub fn scale(&self, written: &str) -> Option<&'static Scale> {
        self.scales.iter().find(|scale| scale.written == written)
    }
}
