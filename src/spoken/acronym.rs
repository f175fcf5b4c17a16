//! Words in capitals: spelled letter by letter ("FBI"), or read as a word ("NASA").

use super::{
    speech::Speech,
    text::{self, Written},
};

/// Up to this many capitals are spelled even if they could be read.
const SHORT: usize = 3;
/// From so many words on a text can be said to be written in capitals.
const FEWEST_WORDS: usize = 5;

/// Whether the text is in capitals throughout, so that capitals mean nothing.
pub(super) fn shouting(written: &[Written]) -> bool {
    let long = |word: &&Written| word.core.chars().filter(|c| c.is_alphabetic()).count() > 1;
    let (mut capitals, mut all) = (0, 0);
    for word in written.iter().filter(long) {
        all += 1;
        capitals += usize::from(!word.core.contains(char::is_lowercase) && word.core.contains(char::is_uppercase));
    }
    all >= FEWEST_WORDS && capitals * 5 > all * 4
}

/// The letters of a core without digits as they are said: initials one by one, everything else as words.
pub(super) fn phrase(core: &str, speech: &Speech, shouting: bool) -> String {
    if let Some(initials) = dotted_initials(core) {
        return initials;
    }
    let stem = split_ending(core).0;
    let capitals = stem.contains(char::is_uppercase) && !stem.contains(char::is_lowercase);
    let mut said = Vec::new();
    for (at, part) in core.split(['&', '+']).enumerate() {
        if at > 0 {
            said.push(if core.contains('&') { speech.signs.and } else { speech.signs.plus }.to_owned());
        }
        // The sides of an ampersand between capitals are initials: AT&T, R&B.
        let joined = capitals && core.contains('&') && split_ending(part).0.chars().count() <= SHORT;
        for word in part.split(|c: char| !(c.is_alphabetic() || c == '\'' || text::is_mark(c))) {
            said.push(if joined { initials(word) } else { word_phrase(word, speech, shouting) });
        }
    }
    said.join(" ")
}

/// One run of letters.
pub(super) fn word_phrase(word: &str, speech: &Speech, shouting: bool) -> String {
    let (stem, ending) = split_ending(word);
    if !shouting && is_spelled(stem, speech) { spell(stem) + ending } else { word.to_owned() }
}

/// Letters one by one, with the ending of a plural or possessive.
fn initials(word: &str) -> String {
    let end = word.trim_end_matches(|c: char| c == '\'' || c.is_lowercase()).len();
    spell(&word[..end]) + &word[end..]
}

/// The capitals of a word and the small ending that its plural or possessive adds: TVs, FBI's.
fn split_ending(word: &str) -> (&str, &str) {
    for ending in ["'s", "s", "'d"] {
        if let Some(stem) = word.strip_suffix(ending).filter(|stem| stem.chars().count() > 1) {
            return (stem, ending);
        }
    }
    (word, "")
}

fn is_spelled(word: &str, speech: &Speech) -> bool {
    let length = word.chars().take(8).count();
    let capitals = length > 1 && word.chars().take(8).all(char::is_uppercase) && length < 8;
    if !capitals || speech.capitals.contains(&word) {
        return false;
    }
    length <= SHORT || speech.initials.contains(&word) || lacks_vowel(word)
}

/// Whether no letter of the word can carry a syllable.
pub(super) fn lacks_vowel(word: &str) -> bool {
    const VOWELS: &str = "aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýąęóœаеёиоуыэюяіїєў";
    !word.to_lowercase().contains(|c| VOWELS.contains(c))
}

/// The letters one by one.
pub(super) fn spell(word: &str) -> String {
    let mut said = String::with_capacity(word.len() * 2);
    for letter in word.chars().filter(|c| c.is_alphabetic()) {
        if !said.is_empty() {
            said.push(' ');
        }
        said.push(letter);
    }
    said
}

/// Single letters with full stops between them: U.S.A, e.g, p.m.
fn dotted_initials(core: &str) -> Option<String> {
    let single = |part: &str| {
        let mut letters = part.chars();
        letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none()
    };
    let (body, ending) = core.split_once('\'').unwrap_or((core, ""));
    let body = body.trim_end_matches('.');
    let initials = body.contains('.') && body.split('.').all(single);
    initials.then(|| {
        let ending = if ending.is_empty() { String::new() } else { format!("'{ending}") };
        spell(body) + &ending
    })
}
