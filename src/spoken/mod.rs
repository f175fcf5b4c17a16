//! The spoken form of a written word, for forced alignment: what is said where digits, signs and abbreviations stand.
//!
//! An aligner hears words, a transcript shows "$3.50". Each language brings its numbers and tables ([`speech::Speech`],
//! `languages/`); the shapes of written numbers (prices, dates, ranges, telephone numbers) are read in one place for all
//! of them. Where a reading is open ("101" with or without "and"), the most common one is taken: one form per word.
//! A language without a table keeps its letters; its words with digits come back as written, for the aligner's wildcard.

mod acronym;
mod amount;
mod calendar;
mod context;
mod languages;
mod number;
mod roman;
mod shape;
mod speech;
mod telephone;
mod text;
mod web;

use crate::language::Language;
use context::Context;
use speech::Speech;
use text::Written;

/// What is said for one written word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spoken {
    /// Lower-case words as said, without punctuation. Empty: nothing of it is said (a lone dash, an emoji, symbols).
    /// In a language without number words, a word with digits stands here as it was written.
    pub words: Vec<String>,
    /// Whether the form was spelled out rather than read off the letters.
    pub spelled_out: bool,
}

/// The spoken form of each written word of a text: what is said where digits, signs and abbreviations stand.
///
/// The answer has one entry per written word, in the same order. Neighbours decide what a word alone leaves open:
/// "$3.5" before "million", "5" after "March", "St." before a name.
pub fn spoken(words: &[&str], language: Language) -> Vec<Spoken> {
    let written: Vec<Written> = words.iter().map(|word| Written::new(word)).collect();
    match languages::speech(language) {
        Some(speech) => spelled(&written, speech),
        None => written.iter().map(unspelled).collect(),
    }
}

fn spelled(written: &[Written], speech: &Speech) -> Vec<Spoken> {
    let mut phrases: Vec<Option<String>> = telephone::phrases(written, speech);
    number::split_thousands(written, speech, &mut phrases);
    let shouting = acronym::shouting(written);
    let read = |(at, phrase): (usize, Option<String>)| {
        let context = Context { written, at, speech, shouting };
        let phrase = phrase.unwrap_or_else(|| shape::phrase(&context));
        let words = text::words(&phrase);
        let spelled_out = !words.is_empty() && words != written[at].letters();
        Spoken { words, spelled_out }
    };
    phrases.into_iter().enumerate().map(read).collect()
}

/// The word of a language without a table: its letters, or itself where it holds digits.
fn unspelled(written: &Written) -> Spoken {
    let words = if written.has_digit() { vec![written.core.to_lowercase()] } else { written.letters() };
    Spoken { words, spelled_out: false }
}

#[cfg(test)]
mod tests;
