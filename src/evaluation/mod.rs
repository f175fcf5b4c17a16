//! How good a result is: who spoke when and who said what, against a reference that people made.
//!
//! Pure functions on turns and texts; nothing here knows a model or a file. The figures are those of the field's own
//! programs, which the golden cases hold them to: pyannote.metrics for turns ([`turns`]), MeetEval and DiarizationLM for
//! words ([`words`]).

mod alignment;
mod assignment;
pub mod rttm;
pub mod seglst;
pub mod turns;
pub mod words;

use serde::{Deserialize, Serialize};

use crate::span::Span;

/// A stretch of speech of one speaker, by any name. Turns of one recording may overlap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpeakerTurn {
    /// When.
    pub span: Span,
    /// Who.
    pub speaker: String,
}

/// What one speaker says in one go.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// When.
    pub span: Span,
    /// Who.
    pub speaker: String,
    /// The words, as written.
    pub text: String,
}
