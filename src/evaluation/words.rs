//! Who said what: word diarization error rate and concatenated minimum-permutation word error rate.
//!
//! References: Shafey, Soltau, Shafran, Joint Speech Recognition and Speaker Diarization via Sequence Transduction
//! (Interspeech 2019), for WDER; Watanabe et al., CHiME-6 Challenge (2020), for cpWER. The figures are those of
//! DiarizationLM and of MeetEval on the words that [`words`] makes.

use std::{collections::BTreeMap, iter::Sum};

use serde::Serialize;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_segmentation::UnicodeSegmentation;

use super::{
    Statement,
    alignment::{distance, pairs},
    assignment::best_pairs,
};

/// The words of a text as they are compared: in lower case, letters and digits only (Unicode NFKC). Words end where
/// Unicode's rules for word boundaries (UAX 29) say so: `well-known` is two, `don't` is one, each Han character is one.
pub fn words(text: &str) -> Vec<String> {
    let plain: String = text.nfkc().collect::<String>().to_lowercase().replace('\u{2019}', "'");
    let kept = |word: &str| word.chars().filter(|c| c.is_alphanumeric() || is_combining_mark(*c)).collect::<String>();
    plain.unicode_words().map(kept).filter(|word| !word.is_empty()).collect()
}

/// Errors of the words of one recording or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct WordErrors {
    /// Words of the reference.
    pub words: usize,
    /// Words that were heard, right or wrong: those that stand for a word of the reference.
    pub heard: usize,
    /// Words of these that were given to another speaker.
    pub misattributed: usize,
    /// Words wrong, missing or too many when each speaker's words are compared with those of their partner.
    pub concatenated: usize,
}

impl WordErrors {
    /// The word diarization error rate: misattributed words over those that were heard. 0 where none was heard.
    pub fn diarization_error_rate(&self) -> f64 {
        share(self.misattributed, self.heard)
    }

    /// The concatenated minimum-permutation word error rate: over the words of the reference. Where that has none it is 0
    /// or, with words too many, 1.
    pub fn concatenated_error_rate(&self) -> f64 {
        match self.words {
            0 => share(self.concatenated, self.concatenated),
            words => share(self.concatenated, words),
        }
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Sum for WordErrors {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            words: sum.words + one.words,
            heard: sum.heard + one.heard,
            misattributed: sum.misattributed + one.misattributed,
            concatenated: sum.concatenated + one.concatenated,
        })
    }
}

/// The errors of what was heard. Statements are put in the order in which they begin.
pub fn score(reference: &[Statement], hypothesis: &[Statement]) -> WordErrors {
    let (said, heard) = (Spoken::of(reference), Spoken::of(hypothesis));
    let (aligned, right) = said.attributed(&heard);
    WordErrors {
        words: said.words.len(),
        heard: aligned,
        misattributed: aligned - right,
        concatenated: said.concatenated(&heard),
    }
}

/// Words in order, and who says each: the number of a speaker.
struct Spoken {
    words: Vec<String>,
    speakers: Vec<usize>,
    /// How many speakers there are.
    count: usize,
}

impl Spoken {
    fn of(statements: &[Statement]) -> Self {
        let mut ordered: Vec<&Statement> = statements.iter().collect();
        ordered.sort_by(|one, other| one.span.start.total_cmp(&other.span.start));
        let mut numbers = BTreeMap::new();
        let (mut all, mut speakers) = (Vec::new(), Vec::new());
        for statement in ordered {
            let next = numbers.len();
            let number = *numbers.entry(statement.speaker.as_str()).or_insert(next);
            let words = words(&statement.text);
            speakers.extend(words.iter().map(|_| number));
            all.extend(words);
        }
        Self { words: all, speakers, count: numbers.len() }
    }

    /// How many words were heard, and how many of them from the right speaker when speakers are paired as well as can be.
    fn attributed(&self, heard: &Self) -> (usize, usize) {
        let pairs = pairs(&self.words, &heard.words);
        let mut together = vec![vec![0; heard.count]; self.count];
        for &(word, other) in &pairs {
            together[self.speakers[word]][heard.speakers[other]] += 1;
        }
        let right: i64 = best_pairs(&together).into_iter().map(|(speaker, other)| together[speaker][other]).sum();
        (pairs.len(), right as usize)
    }

    /// The fewest errors over all ways of pairing speakers. Who has no partner counts with all their words: what a pairing
    /// is worth is what it saves of these.
    fn concatenated(&self, heard: &Self) -> usize {
        let (said, theirs) = (self.by_speaker(), heard.by_speaker());
        let saved = |one: &Vec<&str>, other: &Vec<&str>| (one.len() + other.len() - distance(one, other)) as i64;
        let savings: Vec<Vec<i64>> =
            said.iter().map(|one| theirs.iter().map(|other| saved(one, other)).collect()).collect();
        let best: i64 = best_pairs(&savings).into_iter().map(|(speaker, other)| savings[speaker][other]).sum();
        self.words.len() + heard.words.len() - best as usize
    }

    fn by_speaker(&self) -> Vec<Vec<&str>> {
        let mut all = vec![Vec::new(); self.count];
        for (word, &speaker) in self.words.iter().zip(&self.speakers) {
            all[speaker].push(word.as_str());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Span;

    fn said(list: &[(&str, &str)]) -> Vec<Statement> {
        let statement = |(index, (speaker, text)): (usize, &(&str, &str))| Statement {
            span: Span::new(index as f64, index as f64 + 1.0),
            speaker: (*speaker).into(),
            text: (*text).into(),
        };
        list.iter().enumerate().map(statement).collect()
    }

    #[test]
    fn words_are_letters_and_digits_in_lower_case() {
        assert_eq!(
            words("Well-known, isn\u{2019}t it? “R&D”: 3.5 % …"),
            ["well", "known", "isnt", "it", "r", "d", "35"]
        );
        assert_eq!(words("Ça É\u{301}té ＡＢＣ ﬁn"), ["ça", "é\u{301}té", "abc", "fin"]);
        assert_eq!(words("我们去。"), ["我", "们", "去"]);
        assert_eq!(words("हिन्दी"), ["हिन्दी"]);
        assert_eq!(words(" — ..."), [""; 0]);
    }

    #[test]
    fn substitutions_count_where_the_speaker_is_wrong() {
        // Shafey's WDER leaves out what is missing and what is too many.
        let reference = said(&[("anna", "one two three four"), ("bert", "five six")]);
        let hypothesis = said(&[("0", "one two tree"), ("1", "four five six seven")]);
        let errors = score(&reference, &hypothesis);
        assert_eq!((errors.words, errors.heard, errors.misattributed), (6, 6, 1));
        assert!((errors.diarization_error_rate() - 1.0 / 6.0).abs() < 1e-12);
        // anna: one wrong, one missing; bert: two too many.
        assert_eq!(errors.concatenated, 4);
        assert!((errors.concatenated_error_rate() - 4.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn speakers_without_a_partner_count_with_all_their_words() {
        let reference = said(&[("a", "one two"), ("b", "three four")]);
        let one = score(&reference, &said(&[("x", "One two. Three, four!")]));
        assert_eq!((one.heard, one.misattributed, one.concatenated), (4, 2, 4));
        let three = score(&reference, &said(&[("x", "one two"), ("y", "three"), ("z", "four five")]));
        assert_eq!((three.heard, three.misattributed, three.concatenated), (4, 1, 3));
    }

    #[test]
    fn statements_are_ordered_by_their_beginning() {
        let mut reference = said(&[("a", "one"), ("b", "two"), ("a", "three")]);
        let hypothesis = said(&[("x", "one"), ("y", "two"), ("x", "three")]);
        reference.swap(0, 2);
        let errors = score(&reference, &hypothesis);
        assert_eq!((errors.heard, errors.misattributed, errors.concatenated), (3, 0, 0));
    }

    #[test]
    fn nothing_said_or_heard_has_a_rate() {
        let some = said(&[("a", "one two")]);
        let rates = |reference: &[Statement], hypothesis: &[Statement]| {
            let errors = score(reference, hypothesis);
            (errors.diarization_error_rate(), errors.concatenated_error_rate())
        };
        assert_eq!(rates(&[], &[]), (0.0, 0.0));
        assert_eq!(rates(&some, &[]), (0.0, 1.0));
        assert_eq!(rates(&[], &some), (0.0, 1.0));
        assert_eq!(rates(&said(&[("a", "...")]), &[]), (0.0, 0.0));
    }

    #[test]
    fn recordings_are_pooled_by_their_words() {
        let errors: WordErrors = [
            WordErrors { words: 9, heard: 9, misattributed: 0, concatenated: 0 },
            WordErrors { words: 1, heard: 1, misattributed: 1, concatenated: 2 },
        ]
        .into_iter()
        .sum();
        assert!((errors.diarization_error_rate() - 0.1).abs() < 1e-12);
        assert!((errors.concatenated_error_rate() - 0.2).abs() < 1e-12);
    }
}
