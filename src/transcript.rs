//! What comes out: words with times, turns with speakers, and the one place where the two meet.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{language::Language, span::Span};

/// A speaker of one recording, numbered by first appearance and shown as `SPEAKER_00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String")]
pub struct Speaker(pub u16);

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SPEAKER_{:02}", self.0)
    }
}

impl From<Speaker> for String {
    fn from(speaker: Speaker) -> Self {
        speaker.to_string()
    }
}

/// A piece of written text, as the transcriber's vocabulary has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Token {
    /// Its number in the vocabulary.
    pub id: u32,
    /// Its log-probability where it was written.
    pub logprob: f32,
}

/// How a word got its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Its characters were heard, by an aligner.
    Aligned,
    /// None of its characters is known to the aligner: it was placed where something was said between its neighbours.
    Wildcard,
    /// It could not be placed: it lies between its neighbours.
    #[default]
    Interpolated,
    /// By the transcriber's cross-attention.
    Attention,
}

/// A written character of a word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Character {
    /// The character.
    pub text: char,
    /// When it is spoken; `None` for punctuation.
    pub span: Option<Span>,
    /// Mean probability where it is heard.
    pub score: f32,
}

/// A written word with its punctuation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Word {
    /// As shown: no surrounding spaces.
    pub text: String,
    /// Whether a space stands before it when words are joined again (false in Chinese, Japanese, Thai ...).
    pub spaced: bool,
    /// When it is spoken; `None` where nothing of it could be placed.
    pub span: Option<Span>,
    /// How that is known.
    pub source: Source,
    /// Mean probability of its characters where they are heard (of its tokens, where the transcriber gave the time), 0 to 1.
    pub score: f32,
    /// Who says it; set by [`Transcript::assemble`].
    pub speaker: Option<Speaker>,
    /// The tokens that it is written with.
    pub tokens: Vec<Token>,
    /// Its characters, where they were aligned.
    pub characters: Vec<Character>,
}

/// The text of one chunk or sentence, as the transcriber gave it.
#[derive(Debug, Clone)]
pub struct Utterance {
    /// Where it lies in the file.
    pub span: Span,
    /// The text, trimmed.
    pub text: String,
    /// The language it was decoded in.
    pub language: Language,
    /// Whisper's text tokens, without special ones.
    pub tokens: Vec<Token>,
    /// Mean log-probability of the tokens.
    pub avg_logprob: f32,
    /// Probability that the chunk holds no speech.
    pub no_speech_prob: f32,
    /// Length of the text over its zlib-compressed length.
    pub compression_ratio: f32,
    /// The temperature of the accepted decoding.
    pub temperature: f32,
    /// The words, once aligned; empty before.
    pub words: Vec<Word>,
}

/// Who speaks when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// When.
    pub span: Span,
    /// Who.
    pub speaker: Speaker,
    /// How sure it is that it is this speaker and no other, 0 to 1: the mean share of the votes over the turn that were
    /// the speaker's.
    pub confidence: f32,
}

/// What a change of speaker does to words and segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpeakerChanges {
    /// Nothing inside a sentence: the whole of it, each word included, is said by who says most of it.
    None,
    /// It splits a segment where it is real: changes near the end of a sentence or at a pause move there, and a run of words
    /// that is too short to be a turn does not tear a sentence.
    #[default]
    Smoothed,
    /// Each word is said by who is heard during it, and every change splits.
    Word,
}

impl SpeakerChanges {
    /// What requests call them.
    pub const NAMES: [(&'static str, Self); 3] =
        [("none", Self::None), ("smoothed", Self::Smoothed), ("word", Self::Word)];
}

/// What a user sees: a stretch of text of one speaker.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Where it lies in the file.
    pub span: Span,
    /// The text, trimmed.
    pub text: String,
    /// Its words; empty when alignment is off.
    pub words: Vec<Word>,
    /// The tokens that it is written with, without special ones.
    pub tokens: Vec<Token>,
    /// Who says it, when speakers were asked for.
    pub speaker: Option<Speaker>,
    /// The language it was decoded in.
    pub language: Language,
    /// Mean log-probability of the utterance it comes from.
    pub avg_logprob: f32,
    /// No-speech probability of the utterance it comes from.
    pub no_speech_prob: f32,
    /// Compression ratio of the utterance it comes from.
    pub compression_ratio: f32,
    /// Temperature of the utterance it comes from.
    pub temperature: f32,
}

/// Seconds that each stage took, in the order in which the stages ran.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timings(pub Vec<(&'static str, f64)>);

/// The whole result for one recording.
#[derive(Debug, Clone)]
pub struct Transcript {
    /// The language of the recording: the one given, or the likeliest.
    pub language: Language,
    /// Its probability; 1 when it was given.
    pub language_probability: f32,
    /// Length of the recording in seconds.
    pub duration: f64,
    /// Text in order of time.
    pub segments: Vec<Segment>,
    /// Who speaks when; empty when speakers were not asked for.
    pub turns: Vec<Turn>,
    /// The voice of each speaker, by number: an embedding of length one. Empty when speakers were not asked for.
    pub voices: Vec<Vec<f32>>,
    /// What each speaker is called instead of `SPEAKER_00`, by number, where that is known.
    pub names: Vec<Option<String>>,
    /// What the user should know: one sentence each.
    pub warnings: Vec<String>,
    /// Seconds per stage.
    pub timings: Timings,
}

impl Transcript {
    /// What `speaker` is called: the name that is known, otherwise `SPEAKER_00` and so on.
    pub fn label(&self, speaker: Speaker) -> String {
        match self.names.get(usize::from(speaker.0)) {
            Some(Some(name)) => name.clone(),
            _ => speaker.to_string(),
        }
    }
}
