//! JSON in WhisperX's schema (`segments`, `word_segments`, `language`) with what else a user needs to know: probability of
//! the language, duration, turns, warnings and timings. Times are seconds, to the millisecond.

use serde::{Serialize, Serializer};

use crate::{
    span::Span,
    transcript::{Character, Segment, Source, Speaker, Transcript, Turn, Word},
};

pub(super) fn render(transcript: &Transcript) -> String {
    written(&Document::new(transcript))
}

/// The transcript in JSON with the voice of every speaker ([`Document::with_voices`]).
pub fn render_with_voices(transcript: &Transcript) -> String {
    written(&Document::new(transcript).with_voices(transcript))
}

fn written(document: &Document<'_>) -> String {
    // Strings, finite numbers and string keys always serialize.
    let mut output = serde_json::to_string_pretty(document).unwrap_or_default();
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
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker_embeddings: Option<Entries<&'a [f32]>>,
    warnings: &'a [String],
    timings: Entries<f64>,
}

impl<'a> Document<'a> {
    /// The document of `transcript`.
    pub fn new(transcript: &'a Transcript) -> Self {
        let words = transcript.segments.iter().flat_map(|segment| &segment.words);
        Self {
            segments: transcript.segments.iter().map(|segment| SegmentEntry::new(segment, transcript)).collect(),
            word_segments: words.map(|word| WordEntry::new(word, transcript)).collect(),
            language: transcript.language.code(),
            language_probability: rounded(transcript.language_probability.into()),
            duration: rounded(transcript.duration),
            turns: transcript.turns.iter().map(|turn| TurnEntry::new(turn, transcript)).collect(),
            speaker_embeddings: None,
            warnings: &transcript.warnings,
            timings: Entries(
                transcript.timings.0.iter().map(|(stage, seconds)| ((*stage).into(), rounded(*seconds))).collect(),
            ),
        }
    }

    /// With `speaker_embeddings`, as WhisperX gives them on request: the voice of each speaker, a vector of length one to
    /// be compared by its dot product.
    pub fn with_voices(self, transcript: &'a Transcript) -> Self {
        let voice = |(number, voice): (u16, &'a Vec<f32>)| (transcript.label(Speaker(number)), voice.as_slice());
        let voices = (0..).zip(&transcript.voices).map(voice).collect();
        Self { speaker_embeddings: Some(Entries(voices)), ..self }
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
    speaker: Option<String>,
}

impl<'a> SegmentEntry<'a> {
    fn new(segment: &'a Segment, transcript: &Transcript) -> Self {
        Self {
            start: rounded(segment.span.start),
            end: rounded(segment.span.end),
            text: &segment.text,
            avg_logprob: rounded(segment.avg_logprob.into()),
            no_speech_prob: rounded(segment.no_speech_prob.into()),
            compression_ratio: rounded(segment.compression_ratio.into()),
            temperature: rounded(segment.temperature.into()),
            language: segment.language.code(),
            words: segment.words.iter().map(|word| WordEntry::new(word, transcript)).collect(),
            chars: segment.words.iter().flat_map(|word| &word.characters).map(CharacterEntry::new).collect(),
            speaker: segment.speaker.map(|speaker| transcript.label(speaker)),
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
    speaker: Option<String>,
}

impl<'a> WordEntry<'a> {
    fn new(word: &'a Word, transcript: &Transcript) -> Self {
        Self {
            word: &word.text,
            start: word.span.map(|span| rounded(span.start)),
            end: word.span.map(|span| rounded(span.end)),
            score: rounded(word.score.into()),
            source: word.span.map(|_| word.source),
            speaker: word.speaker.map(|speaker| transcript.label(speaker)),
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
    speaker: String,
    confidence: f64,
}

impl TurnEntry {
    fn new(turn: &Turn, transcript: &Transcript) -> Self {
        let Span { start, end } = turn.span;
        Self {
            start: rounded(start),
            end: rounded(end),
            speaker: transcript.label(turn.speaker),
            confidence: rounded(turn.confidence.into()),
        }
    }
}

/// An object whose keys keep their order.
#[derive(Debug)]
struct Entries<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for Entries<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
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
    use crate::transcript::Timings;

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
    fn names_stand_for_numbers_and_voices_come_on_request() {
        let mut transcript = conversation();
        transcript.names = vec![None, Some("Ann".into())];
        transcript.voices = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
        let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        let value = read(render_with_voices(&transcript));
        assert_eq!(value["speaker_embeddings"], json!({"SPEAKER_00": [1.0, 0.0], "Ann": [0.0, 1.0]}));
        let ann =
            [&value["segments"][1], &value["segments"][1]["words"][0], &value["turns"][1], &value["word_segments"][2]];
        assert!(ann.iter().all(|entry| entry["speaker"] == "Ann"), "{value}");
        assert_eq!(value["segments"][0]["speaker"], "SPEAKER_00");
        assert!(read(render(&transcript)).get("speaker_embeddings").is_none());
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
