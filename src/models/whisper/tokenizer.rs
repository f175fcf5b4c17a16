//! Token conventions of Whisper (openai/whisper, `tokenizer.py`): special tokens by number, text by the BPE tokenizer.

use std::path::Path;

use crate::{
    error::{Error, Result},
    language::Language,
};

/// What the decoder is asked to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// The words as spoken.
    #[default]
    Transcribe,
    /// English.
    Translate,
}

/// A checkpoint's tokenizer. Special tokens are computed from the vocabulary's size, since some published
/// `tokenizer.json` files lack them.
#[derive(Debug)]
pub struct Tokenizer {
    text: tokenizers::Tokenizer,
    vocabulary: u32,
    languages: u32,
    multilingual: bool,
}

/// Size of the English-only vocabulary; multilingual ones have at least one token more.
const ENGLISH_VOCABULARY: u32 = 51_864;
/// Seconds that one timestamp token stands for.
pub const TIMESTAMP_STEP: f64 = 0.02;
/// Timestamp tokens: 0.00 to 30.00 s.
const TIMESTAMPS: u32 = 1501;
/// Special tokens between the language tokens and the first timestamp, and the two before the languages.
const OTHER_SPECIALS: u32 = 6 + 2;

impl Tokenizer {
    /// Reads `tokenizer.json` for a checkpoint with `vocabulary` tokens.
    ///
    /// # Errors
    /// [`Error::Weights`] when the file cannot be read or does not fit the checkpoint.
    pub fn load(path: &Path, vocabulary: usize) -> Result<Self> {
        let text = tokenizers::Tokenizer::from_file(path)
            .map_err(|reason| Error::Weights(format!("the tokenizer {} cannot be read: {reason}", path.display())))?;
        let vocabulary = vocabulary as u32;
        let multilingual = vocabulary > ENGLISH_VOCABULARY;
        let end = if multilingual { 50_257 } else { 50_256 };
        let languages = vocabulary
            .checked_sub(end + OTHER_SPECIALS + TIMESTAMPS)
            .filter(|languages| (99..=100).contains(languages))
            .ok_or_else(|| {
                Error::Weights(format!("{vocabulary} tokens are not the vocabulary of a Whisper checkpoint"))
            })?;
        Ok(Self { text, vocabulary, languages, multilingual })
    }

    /// Whether the checkpoint knows languages other than English.
    pub fn is_multilingual(&self) -> bool {
        self.multilingual
    }

    /// `<|endoftext|>`; every smaller id is text.
    pub fn end(&self) -> u32 {
        if self.multilingual { 50_257 } else { 50_256 }
    }

    /// `<|startoftranscript|>`.
    pub fn start(&self) -> u32 {
        self.end() + 1
    }

    /// `<|en|>` and its kin; none for a language that the checkpoint does not know.
    pub fn language(&self, language: Language) -> Option<u32> {
        let index = language.index() as u32;
        (self.multilingual && index < self.languages).then(|| self.start() + 1 + index)
    }

    /// The ids of all language tokens.
    pub fn language_tokens(&self) -> std::ops::Range<u32> {
        self.start() + 1..self.start() + 1 + self.languages
    }

    fn after_languages(&self, offset: u32) -> u32 {
        self.start() + 1 + self.languages + offset
    }

    /// `<|translate|>` or `<|transcribe|>`.
    pub fn task(&self, task: Task) -> u32 {
        match task {
            Task::Translate => self.after_languages(0),
            Task::Transcribe => self.after_languages(1),
        }
    }

    /// `<|startofprev|>`, before which nothing stands and after which earlier text is told.
    pub fn previous(&self) -> u32 {
        self.after_languages(3)
    }

    /// `<|nospeech|>`.
    pub fn no_speech(&self) -> u32 {
        self.after_languages(4)
    }

    /// `<|notimestamps|>`.
    pub fn no_timestamps(&self) -> u32 {
        self.after_languages(5)
    }

    /// `<|0.00|>`; every id from here on is a time.
    pub fn first_timestamp(&self) -> u32 {
        self.vocabulary - TIMESTAMPS
    }

    /// The special tokens that a decoded text never holds.
    pub fn never_written(&self) -> [u32; 6] {
        [
            self.start(),
            self.task(Task::Translate),
            self.task(Task::Transcribe),
            self.after_languages(2),
            self.previous(),
            self.no_speech(),
        ]
    }

    /// The tokens that a transcript starts with: `<|startoftranscript|>`, and for multilingual checkpoints language and task.
    pub fn start_sequence(&self, language: Language, task: Task, timestamps: bool) -> Vec<u32> {
        let mut tokens = vec![self.start()];
        if let Some(language) = self.language(language) {
            tokens.extend([language, self.task(task)]);
        }
        if !timestamps {
            tokens.push(self.no_timestamps());
        }
        tokens
    }

    /// Text to tokens, without special ones.
    ///
    /// # Errors
    /// [`Error::Bug`] when the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.text.encode(text, false).map_err(|reason| Error::Bug(format!("tokenizer: {reason}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of the tokens; special ones and times are left out.
    ///
    /// # Errors
    /// [`Error::Bug`] when the tokenizer refuses the tokens.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let text: Vec<u32> = tokens.iter().copied().filter(|&token| token < self.end()).collect();
        self.text.decode(&text, true).map_err(|reason| Error::Bug(format!("tokenizer: {reason}")))
    }

    /// The bytes that a token writes: UTF-8, of which one token may hold a part of a character. Special tokens and times
    /// write nothing.
    pub fn token_bytes(&self, token: u32) -> Vec<u8> {
        let written = if token < self.end() { self.text.id_to_token(token) } else { None };
        written.map(|text| text.chars().filter_map(byte_of).collect()).unwrap_or_default()
    }

    /// Splits text tokens into written words: (text with its leading space, tokens). Languages without spaces split at
    /// every character; punctuation stays with the token it is written in.
    ///
    /// # Errors
    /// [`Error::Bug`] when the tokenizer refuses the tokens.
    pub fn split_words(&self, tokens: &[u32], language: Language) -> Result<Vec<(String, Vec<u32>)>> {
        let characters = self.split_characters(tokens)?;
        if !language.writes_spaces() {
            return Ok(characters);
        }
        let mut words: Vec<(String, Vec<u32>)> = Vec::new();
        for (text, tokens) in characters {
            let punctuation = text.trim().chars().all(|c| c.is_ascii_punctuation()) && !text.trim().is_empty();
            match words.last_mut() {
                Some((word, ids)) if !text.starts_with(' ') && !punctuation => {
                    word.push_str(&text);
                    ids.extend(tokens);
                }
                _ => words.push((text, tokens)),
            }
        }
        Ok(words)
    }

    /// The smallest runs of tokens that are whole characters: one character can be spread over several tokens.
    fn split_characters(&self, tokens: &[u32]) -> Result<Vec<(String, Vec<u32>)>> {
        let mut runs = Vec::new();
        let mut current = Vec::new();
        for &token in tokens.iter().filter(|&&token| token < self.end()) {
            current.push(token);
            let text = self.decode(&current)?;
            if !text.contains('\u{FFFD}') {
                runs.push((text, std::mem::take(&mut current)));
            }
        }
        if !current.is_empty() {
            runs.push((self.decode(&current)?, current));
        }
        Ok(runs)
    }
}

/// The byte that a letter of the byte-level vocabulary stands for (openai/gpt-2, `encoder.py`): printable Latin-1 letters
/// stand for themselves, the other bytes have the letters from U+0100 on, in order.
fn byte_of(letter: char) -> Option<u8> {
    let code = u32::from(letter);
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    match u8::try_from(code) {
        Ok(byte) => printable(byte).then_some(byte),
        Err(_) => (0..=u8::MAX).filter(|&byte| !printable(byte)).nth((code - 0x100) as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::byte_of;

    #[test]
    fn letters_of_the_vocabulary_stand_for_bytes() {
        assert_eq!(byte_of('a'), Some(b'a'));
        assert_eq!(byte_of('\u{120}'), Some(b' '));
        assert_eq!(byte_of('\u{10A}'), Some(b'\n'));
        assert_eq!(byte_of('\u{143}'), Some(0xAD));
        assert_eq!(byte_of('\u{144}'), None);
        let all: std::collections::BTreeSet<u8> = (0..0x200).filter_map(char::from_u32).filter_map(byte_of).collect();
        assert_eq!(all.len(), 256);
    }
}
