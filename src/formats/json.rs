//! JSON in WhisperX's schema (`segments`, `word_segments`, `language`) with what else a user needs to know: probability of
//! the language, duration, turns, warnings and timings. Times are seconds, to the millisecond.

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    span::Span,
    transcript::{Character, Segment, Source, Speaker, Timings, Transcript, Turn, Word},
};

pub(super) fn render(transcript: &Transcript) -> String {
    // Strings, finite numbers and string keys always serialize.
    let mut output = serde_json::to_string_pretty(&Document::new(transcript)).unwrap_or_default();
    output.push('\n');
    output
}

/// A transcript as it is serialized.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    segments: Vec<SegmentEntry<'a>>,
    word_segments: Vec<WordEntry<'a>>,
    language: &'static str,
    language_probability: f64,
    duration: f64,
    turns: Vec<TurnEntry>,
    warnings: &'a [String],
    timings: TimingEntries<'a>,
}

impl<'a> Document<'a> {
    /// The document of `transcript`.
    pub fn new(transcript: &'a Transcript) -> Self {
        let words = transcript.segments.iter().flat_map(|segment| &segment.words);
        Self {
            segments: transcript.segments.iter().map(SegmentEntry::new).collect(),
            word_segments: words.map(WordEntry::new).collect(),
            language: transcript.language.code(),
            language_probability: rounded(transcript.language_probability.into()),
            duration: rounded(transcript.duration),
            turns: transcript.turns.iter().map(TurnEntry::new).collect(),
            warnings: &transcript.warnings,
            timings: TimingEntries(&transcript.timings),
        }
    }
}

#[derive(Debug, Serialize)]
struct SegmentEntry<'a> {
    start: f64,
    end: f64,
    text: &'a str,
    avg_logprob: f64,
    no_speech_prob: f64,
    compression_ratio: f64,
    temperature: f64,
    language: &'static str,
    words: Vec<WordEntry<'a>>,
    /// Where the times of characters were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chars: Vec<CharacterEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<Speaker>,
}

impl<'a> SegmentEntry<'a> {
    fn new(segment: &'a Segment) -> Self {
        Self {
            start: rounded(segment.span.start),
            end: rounded(segment.span.end),
            text: &segment.text,
            avg_logprob: rounded(segment.avg_logprob.into()),
            no_speech_prob: rounded(segment.no_speech_prob.into()),
            compression_ratio: rounded(segment.compression_ratio.into()),
            temperature: rounded(segment.temperature.into()),
            language: segment.language.code(),
            words: segment.words.iter().map(WordEntry::new).collect(),
            chars: segment.words.iter().flat_map(|word| &word.characters).map(CharacterEntry::new).collect(),
            speaker: segment.speaker,
        }
    }
}

/// A word; one that could not be placed has no `start` and no `end`.
#[derive(Debug, Serialize)]
struct WordEntry<'a> {
    word: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<f64>,
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<Speaker>,
}

impl<'a> WordEntry<'a> {
    fn new(word: &'a Word) -> Self {
        Self {
            word: &word.text,
            start: word.span.map(|span| rounded(span.start)),
            end: word.span.map(|span| rounded(span.end)),
            score: rounded(word.score.into()),
            source: word.span.map(|_| word.source),
            speaker: word.speaker,
        }
    }
}

/// A character of a word; punctuation has no times.
#[derive(Debug, Serialize)]
struct CharacterEntry {
    char: char,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
}

impl CharacterEntry {
    fn new(character: &Character) -> Self {
        Self {
            char: character.text,
            start: character.span.map(|span| rounded(span.start)),
            end: character.span.map(|span| rounded(span.end)),
            score: character.span.map(|_| rounded(character.score.into())),
        }
    }
}

#[derive(Debug, Serialize)]
struct TurnEntry {
    start: f64,
    end: f64,
    speaker: Speaker,
    confidence: f64,
}

impl TurnEntry {
    fn new(turn: &Turn) -> Self {
        let Span { start, end } = turn.span;
        Self {
            start: rounded(start),
            end: rounded(end),
            speaker: turn.speaker,
            confidence: rounded(turn.confidence.into()),
        }
    }
}

/// An object whose keys are the stages.
#[derive(Debug)]
struct TimingEntries<'a>(&'a Timings);

impl Serialize for TimingEntries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Timings(stages) = self.0;
        let mut map = serializer.serialize_map(Some(stages.len()))?;
        for (stage, seconds) in stages {
            map.serialize_entry(stage, &rounded(*seconds))?;
        }
        map.end()
    }
}

/// To three decimals.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::samples::*, *};

    #[test]
    fn keys_and_values_are_those_of_whisperx_and_more() -> serde_json::Result<()> {
        let mut transcript = conversation();
        transcript.segments.truncate(1);
        transcript.segments[0].words[1].span = None;
        transcript.turns = vec![Turn { span: Span::new(0.50049, 1.3999), speaker: Speaker(0), confidence: 0.875 }];
        transcript.warnings = vec!["One.".into()];
        transcript.timings = Timings(vec![("load", 0.12345), ("total", 1.0)]);
        let words = json!([
            {"word": "Hello", "start": 0.5, "end": 0.9, "score": 0.9, "source": "aligned", "speaker": "SPEAKER_00"},
            {"word": "there.", "score": 0.9, "speaker": "SPEAKER_00"},
        ]);
        let expected = json!({
            "segments": [{
                "start": 0.5, "end": 1.4, "text": "Hello there.", "avg_logprob": -0.25, "no_speech_prob": 0.01,
                "compression_ratio": 1.5, "temperature": 0.0, "language": "en", "words": words, "speaker": "SPEAKER_00",
            }],
            "word_segments": words,
            "language": "en",
            "language_probability": 0.98,
            "duration": 10.0,
            "turns": [{"start": 0.5, "end": 1.4, "speaker": "SPEAKER_00", "confidence": 0.875}],
            "warnings": ["One."],
            "timings": {"load": 0.123, "total": 1.0},
        });
        let output = render(&transcript);
        assert_eq!(serde_json::from_str::<Value>(&output)?, expected);
        // The order of the keys too.
        assert_eq!(output, serde_json::to_string_pretty(&expected)? + "\n");
        Ok(())
    }

    #[test]
    fn characters_come_where_they_were_aligned() {
        let mut transcript = conversation();
        transcript.segments[0].words[0].characters = vec![
            Character { text: 'a', span: Some(Span::new(0.0, 0.5)), score: 0.75 },
            Character { text: '.', span: None, score: 0.0 },
        ];
        let value: Value = serde_json::from_str(&render(&transcript)).unwrap();
        let expected = json!([{"char": "a", "start": 0.0, "end": 0.5, "score": 0.75}, {"char": "."}]);
        assert_eq!(value["segments"][0]["chars"], expected);
    }

    #[test]
    fn without_speakers_there_is_no_speaker_key_and_odd_numbers_are_null() {
        let mut transcript = transcript(vec![plain("a", 0.0, 1.0)]);
        transcript.segments[0].avg_logprob = f32::NEG_INFINITY;
        let output = render(&transcript);
        assert!(!output.contains("speaker"));
        assert!(output.contains("\"avg_logprob\": null"));
    }
}
