//! Words as they are shown, with their punctuation, and the tokens that they are written with.

use std::ops::Range;

use crate::{
    language::Language,
    transcript::{Token, Word},
};

/// Punctuation that belongs to the word after it.
const OPENING: &str = "\"'“¿([{-‘«„";
/// Punctuation that belongs to the word before it.
const CLOSING: &str = "\"'.。,，!！?？:：”)]}、…’»;；%";

/// A piece of text as the tokenizer splits it, and how many tokens it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// With its leading space.
    pub text: String,
    /// How many of the tokens.
    pub tokens: usize,
}

/// A word without a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The word; its score is the mean probability of its tokens.
    pub word: Word,
    /// Its tokens in the text, without those of its punctuation.
    pub tokens: Range<usize>,
}

/// Puts punctuation to the words that it belongs to. `tokens` are those of all pieces.
pub fn words(pieces: &[Piece], tokens: &[Token], language: Language) -> Vec<Written> {
    let mut words: Vec<Written> = Vec::with_capacity(pieces.len());
    let mut opening = String::new();
    let (mut token, mut first) = (0, 0);
    for piece in pieces {
        let end = token + piece.tokens;
        let text = piece.text.trim();
        let spaced = piece.text.starts_with(' ') || (words.is_empty() && language.writes_spaces());
        if text.is_empty() {
        } else if let Some(last) = words.last_mut().filter(|_| !spaced && text.chars().all(|c| CLOSING.contains(c))) {
            last.word.text.push_str(text);
        } else if spaced && text.chars().all(|c| OPENING.contains(c)) {
            opening.push_str(text);
        } else {
            let own = tokens.get(token..end).unwrap_or_default();
            let score = own.iter().map(|token| token.logprob.exp()).sum::<f32>() / own.len().max(1) as f32;
            let spaced = spaced || !opening.is_empty();
            let text = std::mem::take(&mut opening) + text;
            words.push(Written { word: Word { text, spaced, score, ..Word::default() }, tokens: token..end });
        }
        if let Some(last) = words.last_mut().filter(|_| opening.is_empty()) {
            last.word.tokens.extend_from_slice(tokens.get(first..end).unwrap_or_default());
            first = end;
        }
        token = end;
    }
    if let (Some(last), false) = (words.last_mut(), opening.is_empty()) {
        last.word.text.push_str(&opening);
        last.word.tokens.extend_from_slice(tokens.get(first..).unwrap_or_default());
    }
    words
}

/// Joins what stands between two spaces ("well-known", "$3.50") to one word; languages without spaces stay as they are.
pub fn by_spaces(words: Vec<Word>, language: Language) -> Vec<Word> {
    if !language.writes_spaces() {
        return words;
    }
    let mut joined: Vec<Word> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut().filter(|_| !word.spaced) {
            None => joined.push(word),
            Some(last) => {
                let (own, new) = (last.tokens.len().max(1) as f32, word.tokens.len().max(1) as f32);
                last.score = (last.score * own + word.score * new) / (own + new);
                last.text.push_str(&word.text);
                last.tokens.extend(word.tokens);
                last.characters.extend(word.characters);
                last.span = match (last.span, word.span) {
                    (Some(first), Some(second)) => Some(first.union(&second)),
                    (first, second) => first.or(second),
                };
            }
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Span;

    #[test]
    fn words_keep_their_punctuation_and_know_their_tokens() {
        let piece = |text: &str, tokens| Piece { text: text.into(), tokens };
        let pieces = [piece(" Well", 1), piece(",", 1), piece(" \"", 1), piece("go", 1), piece(".", 1)];
        let tokens = [1, 2, 3, 4, 5].map(|id| Token { id, logprob: -0.1 });
        let words = words(&pieces, &tokens, Language::ENGLISH);
        let texts: Vec<_> = words.iter().map(|written| written.word.text.as_str()).collect();
        assert_eq!(texts, ["Well,", "\"go."]);
        let ids: Vec<Vec<u32>> =
            words.iter().map(|written| written.word.tokens.iter().map(|t| t.id).collect()).collect();
        assert_eq!(ids, [vec![1, 2], vec![3, 4, 5]]);
        assert!(words.iter().all(|written| written.word.spaced && (written.word.score - 0.905).abs() < 1e-3));
        assert_eq!((words[0].tokens.clone(), words[1].tokens.clone()), (0..1, 3..4));
    }

    #[test]
    fn what_stands_between_spaces_is_one_word() {
        let word = |text: &str, spaced, start| Word {
            text: text.into(),
            spaced,
            score: 0.5,
            span: Some(Span::new(start, start + 1.0)),
            ..Word::default()
        };
        let words = vec![word("$3", true, 0.0), word(".50", false, 1.0), word("for", true, 2.0)];
        let joined = by_spaces(words.clone(), Language::ENGLISH);
        let shown: Vec<_> = joined.iter().map(|word| (word.text.as_str(), word.span)).collect();
        assert_eq!(shown, [("$3.50", Some(Span::new(0.0, 2.0))), ("for", Some(Span::new(2.0, 3.0)))]);
        assert!((joined[0].score - 0.5).abs() < 1e-6);
        assert_eq!(by_spaces(words.clone(), "ja".parse().unwrap()), words);
    }
}
