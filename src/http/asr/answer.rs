//! What `/asr` and `/detect-language` answer.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    language::Language,
    transcript::{Segment, Speaker, Transcript, Word},
};

/// The language of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"detected_language": "english", "language_code": "en", "confidence": 0.98}))]
pub(super) struct DetectedLanguage {
    /// Its English name.
    detected_language: &'static str,
    /// Its code.
    language_code: &'static str,
    /// Its probability; 0, with English, where nobody speaks.
    confidence: f64,
}

impl DetectedLanguage {
    /// The answer to languages from the likeliest down.
    pub(super) fn new(ranked: &[(Language, f32)]) -> Self {
        let (language, probability) = ranked.first().copied().unwrap_or((Language::ENGLISH, 0.0));
        Self {
            detected_language: language.name(),
            language_code: language.code(),
            confidence: rounded(probability.into(), 4),
        }
    }
}

/// `output=json`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "text": " And so, my fellow Americans.", "language": "en", "segments": [{
        "id": 0, "seek": 33, "start": 0.33, "end": 2.1, "text": " And so, my fellow Americans.",
        "tokens": [400, 370, 11, 452, 7177, 6280, 13], "temperature": 0.0, "avg_logprob": -0.25,
        "compression_ratio": 1.2, "no_speech_prob": 0.01
    }]
}))]
pub(super) struct AsrTranscript {
    /// The texts of the segments in one.
    text: String,
    /// What is said, in order of time.
    segments: Vec<AsrSegment>,
    /// The code of the language.
    language: &'static str,
    /// What the reader should know of the result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A segment of `output=json`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct AsrSegment {
    /// Its number, from 0.
    id: usize,
    /// Where it was read from, in hundredths of a second.
    seek: u64,
    /// Where it starts, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// Its text, after a space where its language writes them.
    text: String,
    /// The tokens of its text.
    tokens: Vec<u32>,
    /// The temperature that it was written at.
    temperature: f64,
    /// Mean log-probability of the tokens of its chunk.
    avg_logprob: f64,
    /// Length of the text of its chunk over its compressed length.
    compression_ratio: f64,
    /// Probability that its chunk holds no speech.
    no_speech_prob: f64,
    /// Its words; with `word_timestamps=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<AsrWord>>,
    /// Who says it; with `diarize=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<String>,
}

/// A word of `output=json`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct AsrWord {
    /// Its text, after a space where one stands before it.
    word: String,
    /// Where it starts, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// Mean probability of its pieces (the engines of Whisper's family call it so).
    probability: f64,
    /// The same number, as WhisperX calls it.
    score: f64,
    /// Who says it; with `diarize=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<String>,
}

impl AsrTranscript {
    /// The answer with a transcript; with `words` or without.
    pub(super) fn new(transcript: &Transcript, words: bool) -> Self {
        let segments = transcript.segments.iter().enumerate();
        let segments: Vec<_> = segments.map(|(id, segment)| AsrSegment::new(id, segment, words)).collect();
        Self {
            text: segments.iter().map(|segment| segment.text.as_str()).collect(),
            segments,
            language: transcript.language.code(),
            warnings: transcript.warnings.clone(),
        }
    }
}

impl AsrSegment {
    fn new(id: usize, segment: &Segment, words: bool) -> Self {
        let space = if segment.language.writes_spaces() { " " } else { "" };
        Self {
            id,
            seek: (segment.span.start * 100.0).max(0.0) as u64,
            start: rounded(segment.span.start, 3),
            end: rounded(segment.span.end, 3),
            text: format!("{space}{}", segment.text),
            tokens: segment.tokens.iter().map(|token| token.id).collect(),
            temperature: rounded(segment.temperature.into(), 4),
            avg_logprob: rounded(segment.avg_logprob.into(), 4),
            compression_ratio: rounded(segment.compression_ratio.into(), 4),
            no_speech_prob: rounded(segment.no_speech_prob.into(), 4),
            words: words.then(|| segment.words.iter().map(|word| AsrWord::new(word, segment)).collect()),
            speaker: segment.speaker.as_ref().map(Speaker::to_string),
        }
    }
}

impl AsrWord {
    /// A word that could not be placed gets the times of its segment: clients want numbers.
    fn new(word: &Word, segment: &Segment) -> Self {
        let span = word.span.unwrap_or(segment.span);
        let probability = rounded(word.score.into(), 4);
        Self {
            word: format!("{}{}", if word.spaced { " " } else { "" }, word.text),
            start: rounded(span.start, 3),
            end: rounded(span.end, 3),
            probability,
            score: probability,
            speaker: word.speaker.as_ref().map(Speaker::to_string),
        }
    }
}

/// To a few decimals, and never a number that JSON does not have.
fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    let finite = if value.is_nan() { 0.0 } else { value.clamp(-1e9, 1e9) };
    (finite * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        span::Span,
        transcript::{Timings, Token},
    };

    fn transcript() -> Transcript {
        let word = |text: &str, start, spaced| Word {
            text: text.into(),
            spaced,
            span: Some(Span::new(start, start + 0.5)),
            score: 0.9,
            speaker: Some(Speaker(0)),
            ..Word::default()
        };
        let segment = |text: &str, start: f64, words| Segment {
            span: Span::new(start, start + 1.0),
            text: text.into(),
            words,
            tokens: vec![Token { id: 7, logprob: -0.5 }],
            speaker: Some(Speaker(0)),
            language: Language::ENGLISH,
            avg_logprob: f32::NEG_INFINITY,
            no_speech_prob: 0.01,
            compression_ratio: 1.5,
            temperature: 0.2,
        };
        let words = vec![word("Hello", 1.25, true), word("there.", 1.75, true)];
        Transcript {
            language: Language::ENGLISH,
            language_probability: 0.98,
            duration: 5.0,
            segments: vec![segment("Hello there.", 1.25, words), segment("Good.", 3.0, vec![])],
            turns: Vec::new(),
            voices: Vec::new(),
            names: Vec::new(),
            warnings: Vec::new(),
            timings: Timings::default(),
        }
    }

    #[test]
    fn texts_can_be_joined_and_numbers_are_numbers() {
        let body = serde_json::to_value(AsrTranscript::new(&transcript(), false)).unwrap();
        assert_eq!(body["text"], " Hello there. Good.");
        assert_eq!(body["language"], "en");
        let expected = json!({
            "id": 0, "seek": 125, "start": 1.25, "end": 2.25, "text": " Hello there.", "tokens": [7], "temperature": 0.2,
            "avg_logprob": -1e9, "compression_ratio": 1.5, "no_speech_prob": 0.01, "speaker": "SPEAKER_00",
        });
        assert_eq!(body["segments"][0], expected);
        assert!(body.get("warnings").is_none());
    }

    #[test]
    fn words_come_when_they_are_asked_for() {
        let body = serde_json::to_value(AsrTranscript::new(&transcript(), true)).unwrap();
        let expected = json!([
            {"word": " Hello", "start": 1.25, "end": 1.75, "probability": 0.9, "score": 0.9, "speaker": "SPEAKER_00"},
            {"word": " there.", "start": 1.75, "end": 2.25, "probability": 0.9, "score": 0.9, "speaker": "SPEAKER_00"},
        ]);
        assert_eq!(body["segments"][0]["words"], expected);
        assert_eq!(body["segments"][1]["words"], json!([]));
    }

    #[test]
    fn a_silent_recording_has_a_language_without_confidence() {
        let silent = json!({"detected_language": "english", "language_code": "en", "confidence": 0.0});
        assert_eq!(serde_json::to_value(DetectedLanguage::new(&[])).unwrap(), silent);
        let german = "de".parse().unwrap();
        let heard = json!({"detected_language": "german", "language_code": "de", "confidence": 0.75});
        assert_eq!(
            serde_json::to_value(DetectedLanguage::new(&[(german, 0.75), (Language::ENGLISH, 0.2)])).unwrap(),
            heard
        );
    }
}
