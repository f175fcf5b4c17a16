//! The labels of a hub checkpoint: `vocab.json`, with what `tokenizer_config.json` and `special_tokens_map.json` say of it
//! (transformers' `Wav2Vec2CTCTokenizer`). Upper and lower case need no care: [`Labels::of`] looks for either.

use std::collections::BTreeMap;

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

use super::Config;
use crate::models::labels::Labels;

/// Tokens that mean the blank, where no file names another; the first goes before what the files say, since vocabularies
/// that have it keep their padding beside it.
const BLANKS: [&str; 3] = ["<blank>", "<pad>", "[PAD]"];
/// Tokens that stand between words, where the tokenizer names none that the vocabulary has.
const DELIMITERS: [&str; 2] = ["|", " "];

/// `vocab.json`: each token's label.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Vocabulary {
    /// Of one language, or of all.
    Flat(BTreeMap<String, u32>),
    /// One vocabulary for each language (MMS), by its ISO 639-3 code.
    ByLanguage(BTreeMap<String, BTreeMap<String, u32>>),
}

/// What `tokenizer_config.json` and `special_tokens_map.json` say of the vocabulary; both have the same members.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// The token that pads, which is the blank.
    pub pad_token: Option<Token>,
    /// The token between words.
    pub word_delimiter_token: Option<Token>,
    /// The language of a checkpoint that has many vocabularies.
    pub target_lang: Option<String>,
}

/// A token, plain or with its properties.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Token {
    /// The text.
    Plain(String),
    /// The text among properties.
    Added {
        /// The text.
        content: String,
    },
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Added { content: text } => text,
        }
    }
}

impl Tokens {
    /// These, and what only `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            pad_token: self.pad_token.or(other.pad_token),
            word_delimiter_token: self.word_delimiter_token.or(other.word_delimiter_token),
            target_lang: self.target_lang.or(other.target_lang),
        }
    }
}

impl Vocabulary {
    /// The label set of the checkpoint that `config` describes. Tokens of several characters (special ones, and sounds
    /// written with two letters) have no place in it.
    ///
    /// # Errors
    /// One sentence, when the language or the blank is not known, or no token is a character.
    pub fn labels(&self, tokens: &Tokens, config: &Config) -> Result<Labels, String> {
        let vocabulary = self.of_language(tokens.target_lang.as_deref())?;
        let known = |text: &str| vocabulary.get(text).copied().filter(|&label| (label as usize) < config.vocab_size);
        let of_token = |token: &Option<Token>| token.as_ref().and_then(|token| known(token.text()));
        let [first, others @ ..] = BLANKS;
        let blank = known(first)
            .or_else(|| of_token(&tokens.pad_token))
            .or_else(|| others.into_iter().find_map(known))
            .or_else(|| config.pad_token_id.filter(|&label| (label as usize) < config.vocab_size))
            .ok_or("neither the vocabulary nor the configuration names the blank (pad_token)")?;
        let delimiter = of_token(&tokens.word_delimiter_token).or_else(|| DELIMITERS.into_iter().find_map(known));
        let characters: Vec<(char, u32)> =
            vocabulary.iter().filter_map(|(text, &label)| Some((single(text)?, label))).collect();
        let special = |label: u32| label == blank || Some(label) == delimiter;
        if characters.iter().all(|&(_, label)| special(label) || label as usize >= config.vocab_size) {
            return Err("the vocabulary holds no characters, so no text can be aligned with it".into());
        }
        Ok(Labels::new(characters, blank, delimiter, config.vocab_size))
    }

    fn of_language(&self, language: Option<&str>) -> Result<&BTreeMap<String, u32>, String> {
        let languages = match self {
            Self::Flat(vocabulary) => return Ok(vocabulary),
            Self::ByLanguage(languages) => languages,
        };
        let of_named = language.and_then(|language| languages.get(language));
        let only = || languages.values().next().filter(|_| languages.len() == 1);
        of_named.or_else(only).ok_or_else(|| {
            format!(
                "the vocabulary is of {} languages; name that of the checkpoint's adapter as target_lang in tokenizer_config.json",
                languages.len()
            )
        })
    }
}

/// The character that a token is, composed where it is written as a letter and its accent.
fn single(text: &str) -> Option<char> {
    let mut composed = text.nfc();
    composed.next().filter(|_| composed.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(vocabulary: &str, tokens: &[&str], config: &str) -> Result<Labels, String> {
        let vocabulary: Vocabulary = serde_json::from_str(vocabulary).unwrap();
        let tokens = tokens.iter().map(|tokens| serde_json::from_str::<Tokens>(tokens).unwrap());
        let tokens = tokens.reduce(Tokens::or).unwrap_or_default();
        vocabulary.labels(&tokens, &serde_json::from_str(config).unwrap())
    }

    #[test]
    fn a_plain_vocabulary() {
        let labels = labels(
            r#"{"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "E": 5, "'": 6, "é": 7, "e\u0302": 8, "ch": 9}"#,
            &["{}"],
            r#"{"vocab_size": 32, "pad_token_id": 3}"#,
        )
        .unwrap();
        assert_eq!((labels.blank(), labels.delimiter(), labels.count()), (0, Some(4), 32));
        assert_eq!(
            ['e', '\'', 'é', 'ê', 'c', '|', '<'].map(|c| labels.of(c)),
            [Some(5), Some(6), Some(7), Some(8), None, None, None]
        );
    }

    #[test]
    fn the_files_name_the_blank_and_the_delimiter() {
        let vocabulary = r#"{"a": 0, " ": 1, "[UNK]": 2, "[PAD]": 3, "_": 4}"#;
        let of = |tokens: &[&str], config: &str| {
            labels(vocabulary, tokens, config).map(|labels| (labels.blank(), labels.delimiter()))
        };
        assert_eq!(of(&[], "{}"), Ok((3, Some(1))));
        assert_eq!(of(&[r#"{"pad_token": "[UNK]", "word_delimiter_token": "|"}"#], "{}"), Ok((2, Some(1))));
        let added = r#"{"pad_token": {"content": "[UNK]", "lstrip": false}, "word_delimiter_token": "_"}"#;
        assert_eq!(of(&[r#"{"target_lang": null}"#, added], "{}"), Ok((2, Some(4))));
        assert_eq!(of(&[], r#"{"vocab_size": 2, "pad_token_id": 1}"#), Ok((1, Some(1))));
        assert!(of(&[], r#"{"vocab_size": 2, "pad_token_id": 7}"#).unwrap_err().contains("pad_token"));
        let both = labels(r#"{"<blank>": 0, "<pad>": 1, "a": 2}"#, &[r#"{"pad_token": "<pad>"}"#], "{}").unwrap();
        assert_eq!((both.blank(), both.delimiter(), both.of('A')), (0, None, Some(2)));
    }

    #[test]
    fn a_vocabulary_of_many_languages_needs_one() {
        let vocabulary = r#"{"eng": {"<pad>": 0, "a": 1}, "fra": {"<pad>": 0, "é": 1}}"#;
        let french = labels(vocabulary, &[r#"{"target_lang": "fra"}"#], "{}").unwrap();
        assert_eq!((french.of('é'), french.of('a')), (Some(1), None));
        for tokens in ["{}", r#"{"target_lang": "deu"}"#] {
            assert!(labels(vocabulary, &[tokens], "{}").unwrap_err().contains("2 languages"), "{tokens}");
        }
        assert!(labels(r#"{"eng": {"<pad>": 0, "a": 1}}"#, &[], "{}").is_ok());
    }

    #[test]
    fn a_vocabulary_without_characters_is_refused() {
        for vocabulary in [r#"{"<pad>": 0, "|": 1}"#, r#"{"<pad>": 0, "the": 1, "of": 2}"#, r#"{"<pad>": 0, "a": 99}"#]
        {
            assert!(labels(vocabulary, &[], "{}").unwrap_err().contains("no characters"), "{vocabulary}");
        }
    }
}
