//! Written numbers: digits with a decimal mark and thousands separators, read as words.

use super::{
    speech::{Agreement, Decimals, Speech},
    text::Written,
};

/// Number words reach below ten to this power; longer numbers are read digit by digit.
const MOST_DIGITS: usize = 18;
/// So many groups of three digits, standing apart, are one number; more are a list.
const MOST_GROUPS: usize = 6;
/// Digits in more parts than this are a list of numbers.
const MOST_PARTS: usize = 8;
/// A number without separators and with this many digits is a code rather than a count, unless it is round.
const CODE_DIGITS: usize = 7;

/// A number as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    /// The whole digits without separators.
    pub whole: String,
    /// The digits behind the decimal mark.
    pub fraction: Option<String>,
    /// Whether thousands were separated.
    pub grouped: bool,
    /// Whether a point is written where the language writes a comma; it is said so, too.
    pub foreign: bool,
}

impl Number {
    /// Reads the number that the text begins with; returns it and what follows.
    pub fn parse<'a>(text: &'a str, speech: &Speech) -> Option<(Self, &'a str)> {
        let (first, mut rest) = digits(text)?;
        let mut groups = vec![first];
        let mut marks = Vec::new();
        while let Some(mark) = rest.chars().next().filter(|c| matches!(c, '.' | ',' | '\'' | '\u{a0}' | ' ')) {
            let Some((group, further)) = digits(&rest[mark.len_utf8()..]) else { break };
            groups.push(group);
            marks.push(mark);
            rest = further;
            if groups.len() > MOST_PARTS {
                return Some((Self::plain(first), &text[first.len()..]));
            }
        }
        match Self::assemble(&groups, &marks, speech.decimal) {
            Some(number) => Some((number, rest)),
            None => Some((Self::plain(first), &text[first.len()..])),
        }
    }

    /// The number that is the whole text.
    pub fn exactly(text: &str, speech: &Speech) -> Option<Self> {
        Self::parse(text, speech).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
    }

    pub fn plain(digits: &str) -> Self {
        Self { whole: digits.to_owned(), fraction: None, grouped: false, foreign: false }
    }

    /// The groups between marks as one number; none where they are no number (a date, a version).
    fn assemble(groups: &[&str], marks: &[char], decimal: char) -> Option<Self> {
        let last = marks.last().copied();
        let Some(last) = last else { return Some(Self::plain(groups[0])) };
        let alone = marks.len() == 1;
        let same = marks.iter().all(|mark| *mark == marks[0]);
        // Groups of three may use the decimal mark where there is more than one: 1.234.567 in English.
        if same && thousands(groups) && !(alone && last == decimal) {
            return Some(Self { grouped: true, ..Self::plain(&groups.concat()) });
        }
        let (fraction, whole) = groups.split_last()?;
        let before = &marks[..marks.len() - 1];
        let grouped = !before.is_empty();
        let point = matches!(last, '.' | ',') && !before.contains(&last);
        let well_formed = !grouped || before.iter().all(|mark| *mark == before[0]) && thousands(whole);
        (point && well_formed).then(|| Self {
            whole: whole.concat(),
            fraction: Some((*fraction).to_owned()),
            grouped,
            foreign: last == '.' && decimal == ',',
        })
    }

    /// The whole part, where number words reach it.
    pub fn value(&self) -> Option<u64> {
        (self.whole.trim_start_matches('0').len() <= MOST_DIGITS).then(|| self.whole.parse().ok())?
    }

    pub fn is_one(&self) -> bool {
        self.fraction.is_none() && self.value() == Some(1)
    }

    /// Whether it is written as a year is: four digits, nothing else.
    pub fn looks_like_year(&self) -> bool {
        self.whole.len() == 4 && self.fraction.is_none() && !self.grouped
    }

    /// The number in words, agreeing with what it counts.
    pub fn say(&self, speech: &Speech, agreement: Agreement) -> String {
        if let (Decimals::AsParts(parts), Some(fraction), false) = (speech.decimals, &self.fraction, self.foreign)
            && let Some(said) = self.value().and_then(|whole| parts(whole, fraction))
        {
            return said;
        }
        let whole = self.say_whole(speech, agreement);
        match &self.fraction {
            None => whole,
            Some(fraction) => {
                let point = if self.foreign { speech.signs.dot } else { speech.signs.point };
                format!("{whole} {point} {}", say_decimals(fraction, speech))
            }
        }
    }

    /// The number in words as it stands alone: a year is read as one.
    pub fn say_alone(&self, speech: &Speech) -> String {
        let year = self.value().filter(|_| self.looks_like_year()).and_then(speech.year);
        year.unwrap_or_else(|| self.say(speech, Agreement::Alone))
    }

    fn say_whole(&self, speech: &Speech, agreement: Agreement) -> String {
        let zeros = self.whole.len() > 1 && self.whole.starts_with('0');
        let code = !self.grouped && self.whole.len() >= CODE_DIGITS && !self.whole.ends_with("00");
        match self.value() {
            Some(value) if !(code || zeros && self.fraction.is_none()) => {
                let agreement = if self.fraction.is_some() { Agreement::Alone } else { agreement };
                (speech.cardinal)(value, agreement)
            }
            _ => speech.digits(&self.whole),
        }
    }
}

/// The digits behind a decimal mark, as the language reads them.
pub(super) fn say_decimals(fraction: &str, speech: &Speech) -> String {
    let short = fraction.len() <= 2 && !fraction.starts_with('0');
    match fraction.parse() {
        Ok(value) if short && !matches!(speech.decimals, Decimals::ByDigit) => speech.cardinal(value),
        _ => speech.digits(fraction),
    }
}

/// The ASCII digits that the text begins with, and the rest.
pub(super) fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Whether the groups are thousands: one to three digits, then groups of three (of two before the last, as in India).
fn thousands(groups: &[&str]) -> bool {
    let Some(([first, middle @ ..], last)) = groups.split_last().map(|(last, rest)| (rest, last)) else { return false };
    let whole = (1..=3).contains(&first.len()) && !first.starts_with('0') && last.len() == 3;
    let western = middle.iter().all(|group| group.len() == 3);
    let indian = first.len() <= 2 && middle.iter().all(|group| group.len() == 2);
    whole && (western || indian)
}

/// Spreads numbers whose thousands stand apart ("10 000", "1 234 567") over their written words.
pub(super) fn split_thousands(written: &[Written], speech: &Speech, phrases: &mut [Option<String>]) {
    let mut at = 0;
    while at < written.len() {
        let length = if speech.spaced_thousands && phrases[at].is_none() { run_length(&written[at..]) } else { 1 };
        let joined: String = written[at..at + length].iter().map(|word| word.core.as_str()).collect();
        if let (2.., Ok(value)) = (length, joined.parse::<u64>()) {
            let said = speech.cardinal(value);
            for (offset, phrase) in spread(&said, &written[at..at + length], speech).into_iter().enumerate() {
                phrases[at + offset] = Some(phrase);
            }
        }
        at += length;
    }
}

/// How many written words from here on make up one number: one to three digits, then groups of exactly three.
fn run_length(written: &[Written]) -> usize {
    let first = written.first().filter(|word| word.is_digits() && word.core.len() <= 3 && !word.core.starts_with('0'));
    let Some(first) = first.filter(|word| !word.parted) else { return 1 };
    let mut length = 1;
    let mut open = !first.parted;
    while let Some(next) =
        written.get(length).filter(|next| length <= MOST_GROUPS && open && next.is_digits() && next.core.len() == 3)
    {
        open = !next.parted;
        length += 1;
    }
    if length <= MOST_GROUPS { length } else { 1 }
}

/// Gives every written group its own words of the number: its hundreds, and what names its power of ten.
fn spread(said: &str, groups: &[Written], speech: &Speech) -> Vec<String> {
    let mut words: Vec<&str> = said.split_whitespace().collect();
    let mut phrases = Vec::new();
    for (remaining, group) in groups.iter().enumerate().rev() {
        let own = group
            .core
            .parse()
            .map_or(String::new(), |value| if value == 0 { String::new() } else { speech.cardinal(value) });
        let count = match remaining {
            0 => words.len(),
            _ if own.is_empty() => usize::from(words.len() > remaining),
            _ => own.split_whitespace().count().min(words.len().saturating_sub(remaining)),
        };
        phrases.push(words.split_off(words.len() - count).join(" "));
    }
    phrases.reverse();
    phrases
}
