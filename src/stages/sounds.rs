//! What a text sounds like to an aligner: characters that it has labels for, and borders between words.

use std::ops::Range;

use super::{align::Hearing, romanise::romanise};
use crate::{
    language::Language,
    span::Span,
    spoken::Spoken,
    transcript::{Character, Word},
};

/// Something that is heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sound {
    /// Where the network says how likely it is.
    pub(super) column: u32,
    /// The character; `None` for the border between two words.
    pub(super) character: Option<char>,
}

/// A text as a line of sounds.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// In order.
    pub(super) sounds: Vec<Sound>,
    /// The sounds of each written word, empty where nothing of it is said. A word that is said as several holds the borders
    /// between these.
    pub(super) words: Vec<Range<usize>>,
}

impl Line {
    /// The sounds of `words`, whose spoken forms are `forms`.
    pub(super) fn new(words: &[Word], forms: &[Spoken], hearing: &Hearing, language: Language) -> Self {
        let mut line = Self::default();
        let border = hearing.labels.delimiter().filter(|_| language.writes_spaces());
        let border = border.map(|column| Sound { column, character: None });
        for (_, form) in words.iter().zip(forms) {
            let start = line.sounds.len();
            for part in &form.words {
                let own = sounds(part, hearing, language);
                if !own.is_empty() && !line.sounds.is_empty() {
                    line.sounds.extend(border);
                }
                line.sounds.extend(own);
            }
            // The border before the word is not part of it.
            let first = line.sounds[start..].iter().position(|sound| sound.character.is_some());
            line.words.push(first.map_or(start, |first| start + first)..line.sounds.len());
        }
        line
    }
}

/// The sounds of a spoken word. One in another script than the labels is read in Latin letters, where the labels are those.
fn sounds(word: &str, hearing: &Hearing, language: Language) -> Vec<Sound> {
    let own = |text: &str| text.chars().filter_map(|character| sound(character, hearing)).collect::<Vec<_>>();
    let known = |sounds: &[Sound]| !sounds.is_empty() && sounds.iter().all(|sound| sound.column != hearing.any());
    let as_written = own(word);
    if known(&as_written) || hearing.labels.of('a').is_none() {
        return as_written;
    }
    let in_latin = own(&romanise(word, language));
    if known(&in_latin) { in_latin } else { as_written }
}

fn sound(character: char, hearing: &Hearing) -> Option<Sound> {
    let known = hearing.labels.of(character).map(|column| Sound { column, character: Some(character) });
    // What is neither letter nor digit, and not known, is not heard.
    let any = || Sound { column: hearing.any(), character: Some(character) };
    known.or_else(|| character.is_alphanumeric().then(any))
}

/// The characters of a written word with the times of their sounds. A word that is said in another form than it is written
/// in (numbers, signs) gives each of its letters and digits an equal share of its time.
pub(super) fn characters(
    word: &Word,
    form: &Spoken,
    sounds: &[Sound],
    spans: &[Option<Span>],
    scores: &[f32],
) -> Vec<Character> {
    if form.spelled_out {
        return shares(word);
    }
    let mut heard = sounds.iter().zip(spans).zip(scores).filter(|((sound, _), _)| sound.character.is_some()).peekable();
    let found = word.text.chars().map(|text| {
        let same =
            |character: Option<char>| character.is_some_and(|heard| text.to_lowercase().any(|lower| lower == heard));
        match heard.next_if(|((sound, _), _)| same(sound.character)) {
            Some(((_, span), score)) => Character { text, span: *span, score: *score },
            None => Character { text, span: None, score: 0.0 },
        }
    });
    let found: Vec<Character> = found.collect();
    if heard.peek().is_some() { shares(word) } else { found }
}

fn shares(word: &Word) -> Vec<Character> {
    let count = word.text.chars().filter(|character| character.is_alphanumeric()).count();
    let mut nth = 0;
    let share = |text: char| {
        let span = word.span.filter(|_| text.is_alphanumeric()).map(|span| {
            let step = span.duration() / count as f64;
            nth += 1;
            Span::new(span.start + step * f64::from(nth - 1), span.start + step * f64::from(nth))
        });
        Character { text, span, score: if span.is_some() { word.score } else { 0.0 } }
    };
    word.text.chars().map(share).collect()
}
