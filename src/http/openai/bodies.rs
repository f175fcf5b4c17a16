//! What OpenAI's clients read: a transcript as `json` and `verbose_json`.
//!
//! Reference: OpenAI's API description, the schemas CreateTranscriptionResponseJson and
//! CreateTranscriptionResponseVerboseJson. Beyond them every body has `warnings` where there are any, and `verbose_json`
//! has `speaker` where speakers were asked for.

use serde::Serialize;
use utoipa::ToSchema;

use super::{labels::Labels, usage::Usage};
use crate::{
    language::Language,
    transcript::{Segment, Token, Transcript, Word},
};

/// A written token, how sure the model was of it, and its bytes: a token may hold a part of a character.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"token": " fellow", "logprob": -0.013, "bytes": [32, 102, 101, 108, 108, 111, 119]}))]
pub struct Logprob {
    /// Its text; bytes that are no whole character are shown as �.
    token: String,
    /// Natural logarithm of its probability.
    logprob: f64,
    /// Its bytes in UTF-8.
    bytes: Vec<u8>,
}

impl Logprob {
    /// The entries of `segments`; `bytes_of` gives the bytes of a token.
    pub fn of<'a>(segments: impl IntoIterator<Item = &'a Segment>, bytes_of: &dyn Fn(u32) -> Vec<u8>) -> Vec<Self> {
        let entry = |token: &Token| {
            let bytes = bytes_of(token.id);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Self { token: text, logprob: shown(token.logprob), bytes }
        };
        segments.into_iter().flat_map(|segment| &segment.tokens).map(entry).collect()
    }
}

/// A language that was heard.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HeardLanguage {
    /// Its ISO 639-1 code.
    #[schema(example = "en")]
    code: &'static str,
}

/// `response_format=json`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Transcription {
    /// All that is said.
    #[schema(example = "And so, my fellow Americans, ask not what your country can do for you.")]
    text: String,
    /// The languages that were heard, in order; for the model `gpt-transcribe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    languages: Option<Vec<HeardLanguage>>,
    /// The tokens of the text; with `include[]=logprobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Logprob>>,
    /// The length of the recording.
    usage: Usage,
    /// What the reader should know of the result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Transcription {
    /// The body of `transcript`.
    pub fn new(transcript: &Transcript, logprobs: Option<Vec<Logprob>>, languages: bool) -> Self {
        Self {
            text: text(&transcript.segments),
            languages: languages.then(|| heard(transcript)),
            logprobs,
            usage: Usage::of(transcript),
            warnings: transcript.warnings.clone(),
        }
    }
}

/// The languages of the segments, each once, in order of time.
pub fn heard(transcript: &Transcript) -> Vec<HeardLanguage> {
    let mut languages: Vec<HeardLanguage> = Vec::new();
    for segment in &transcript.segments {
        let entry = HeardLanguage { code: segment.language.code() };
        if !languages.contains(&entry) {
            languages.push(entry);
        }
    }
    languages
}

/// A segment of `response_format=verbose_json`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VerboseSegment {
    /// Its number, from 0.
    id: usize,
    /// Where it was read from, in hundredths of a second.
    seek: u64,
    /// Where it starts, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// Its text.
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
    /// Who says it, where speakers were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<String>,
}

impl VerboseSegment {
    fn new(id: usize, segment: &Segment, labels: &Labels) -> Self {
        Self {
            id,
            seek: (segment.span.start * 100.0).max(0.0) as u64,
            start: seconds(segment.span.start),
            end: seconds(segment.span.end),
            text: segment.text.clone(),
            tokens: segment.tokens.iter().map(|token| token.id).collect(),
            temperature: shown(segment.temperature),
            avg_logprob: shown(segment.avg_logprob),
            compression_ratio: shown(segment.compression_ratio),
            no_speech_prob: shown(segment.no_speech_prob),
            speaker: segment.speaker.map(|speaker| labels.of(speaker)),
        }
    }
}

/// A word of `response_format=verbose_json`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VerboseWord {
    /// As written, with its punctuation.
    word: String,
    /// Where it starts, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// Who says it, where speakers were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<String>,
}

impl VerboseWord {
    /// A word that could not be placed gets the times of its segment: clients want numbers.
    fn new(word: &Word, segment: &Segment, labels: &Labels) -> Self {
        let span = word.span.unwrap_or(segment.span);
        Self {
            word: word.text.clone(),
            start: seconds(span.start),
            end: seconds(span.end),
            speaker: word.speaker.map(|speaker| labels.of(speaker)),
        }
    }
}

/// Which times `verbose_json` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granularities {
    /// Words.
    pub word: bool,
    /// Segments.
    pub segment: bool,
}

/// `response_format=verbose_json`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VerboseTranscription {
    /// `transcribe` or `translate`.
    #[schema(example = "transcribe")]
    task: &'static str,
    /// The English name of the language; of a translation always `english`.
    #[schema(example = "english")]
    language: &'static str,
    /// Seconds of the recording.
    #[schema(example = 11.0)]
    duration: f64,
    /// All that is said.
    text: String,
    /// Segments, unless only words are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<VerboseSegment>>,
    /// Words, when they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<VerboseWord>>,
    /// The length of the recording.
    usage: Usage,
    /// What the reader should know of the result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl VerboseTranscription {
    /// The body of `transcript`.
    pub fn new(transcript: &Transcript, granularities: Granularities, labels: &Labels) -> Self {
        let segments = || transcript.segments.iter().enumerate();
        let words = || {
            segments().flat_map(|(_, s)| s.words.iter().map(move |word| VerboseWord::new(word, s, labels))).collect()
        };
        Self {
            task: "transcribe",
            language: transcript.language.name(),
            duration: seconds(transcript.duration),
            text: text(&transcript.segments),
            segments: granularities
                .segment
                .then(|| segments().map(|(id, segment)| VerboseSegment::new(id, segment, labels)).collect()),
            words: granularities.word.then(words),
            usage: Usage::of(transcript),
            warnings: transcript.warnings.clone(),
        }
    }

    /// The body of a translation: English, in segments.
    pub fn translation(transcript: &Transcript, labels: &Labels) -> Self {
        let shown = Granularities { word: false, segment: true };
        Self { task: "translate", language: Language::ENGLISH.name(), ..Self::new(transcript, shown, labels) }
    }
}

/// `response_format=json` of a translation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Translation {
    /// All that is said, in English.
    #[schema(example = "Hello, my name is Wolfgang and I come from Germany.")]
    text: String,
    /// What the reader should know of the result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Translation {
    /// The body of `transcript`.
    pub fn new(transcript: &Transcript) -> Self {
        Self { text: text(&transcript.segments), warnings: transcript.warnings.clone() }
    }
}

/// The text of `segments` in one line.
pub fn text(segments: &[Segment]) -> String {
    let mut whole = String::new();
    for segment in segments {
        whole.push_str(&continuation(&whole, segment));
    }
    whole
}

/// What `segment` adds to the text before it: a space first where its language writes them.
pub fn continuation(before: &str, segment: &Segment) -> String {
    let line = segment.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let spaced = !before.is_empty() && !line.is_empty() && segment.language.writes_spaces();
    if spaced { format!(" {line}") } else { line }
}

/// Seconds to the millisecond.
pub fn seconds(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Five decimals of a number that must not become `null`: clients refuse a segment without it.
fn shown(value: f32) -> f64 {
    let finite = if value.is_nan() { 0.0 } else { f64::from(value).clamp(-1e6, 1e6) };
    (finite * 1e5).round() / 1e5
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::samples::*, *};
    use crate::span::Span;

    fn value(body: impl Serialize) -> Value {
        serde_json::to_value(body).unwrap()
    }

    #[test]
    fn json_has_the_text_and_the_usage() {
        let body = value(Transcription::new(&conversation(), None, false));
        assert_eq!(body, json!({"text": "Hello there. Hi, team! Good.", "usage": {"type": "duration", "seconds": 10}}));
        let mut long = conversation();
        long.duration = 10.01;
        long.warnings = vec!["One.".into()];
        let body = value(Transcription::new(&long, None, true));
        assert_eq!(body["usage"]["seconds"], 11);
        assert_eq!(body["warnings"], json!(["One."]));
        assert_eq!(body["languages"], json!([{"code": "en"}]));
    }

    #[test]
    fn logprobs_show_bytes_of_broken_characters() {
        let mut said = conversation();
        said.segments.truncate(1);
        said.segments[0].tokens = vec![Token { id: 1, logprob: -0.5 }, Token { id: 2, logprob: f32::NEG_INFINITY }];
        let bytes_of = |id: u32| if id == 1 { " Hé".as_bytes().to_vec() } else { vec![0xc3] };
        let body = value(Transcription::new(&said, Some(Logprob::of(&said.segments, &bytes_of)), false));
        let expected = json!([
            {"token": " Hé", "logprob": -0.5, "bytes": [32, 72, 195, 169]},
            {"token": "\u{fffd}", "logprob": -1e6, "bytes": [195]},
        ]);
        assert_eq!(body["logprobs"], expected);
    }

    #[test]
    fn verbose_json_has_every_member_that_clients_require() {
        let mut said = conversation();
        said.segments[1].avg_logprob = f32::NEG_INFINITY;
        said.segments[1].compression_ratio = f32::NAN;
        said.segments[1].words[1].span = None;
        said.segments[1].tokens = vec![Token { id: 7, logprob: -0.5 }];
        let both = Granularities { word: true, segment: true };
        let body = value(VerboseTranscription::new(&said, both, &Labels::default()));
        assert_eq!(body["task"], "transcribe");
        assert_eq!(body["language"], "english");
        assert_eq!(body["duration"], 10.0);
        let expected = json!({
            "id": 1, "seek": 200, "start": 2.0, "end": 3.75, "text": "Hi, team!", "tokens": [7], "temperature": 0.0,
            "avg_logprob": -1e6, "compression_ratio": 0.0, "no_speech_prob": 0.01, "speaker": "B",
        });
        assert_eq!(body["segments"][1], expected);
        assert_eq!(body["words"][0], json!({"word": "Hello", "start": 0.5, "end": 0.9, "speaker": "A"}));
        // The second word of that segment was not placed.
        assert_eq!(body["words"].as_array().map(Vec::len), Some(5));
        assert!(body["words"].as_array().unwrap().iter().all(|word| word["start"].is_f64() && word["end"].is_f64()));
    }

    #[test]
    fn words_and_segments_are_there_only_when_asked_for() {
        let body = |word, segment| {
            value(VerboseTranscription::new(&conversation(), Granularities { word, segment }, &Labels::default()))
        };
        assert!(body(true, false).get("segments").is_none() && body(true, false)["words"].is_array());
        assert!(body(false, true).get("words").is_none() && body(false, true)["segments"].is_array());
        let mut plain = conversation();
        plain.segments.iter_mut().for_each(|segment| segment.speaker = None);
        let body = value(VerboseTranscription::translation(&plain, &Labels::default()));
        assert_eq!((&body["task"], &body["language"]), (&json!("translate"), &json!("english")));
        assert!(body["segments"][0].get("speaker").is_none());
        assert_eq!(value(Translation::new(&plain)), json!({"text": "Hello there. Hi, team! Good."}));
    }

    #[test]
    fn text_is_one_line_and_spaced_as_its_language_is() {
        let mut said = conversation();
        said.segments[0].text = "One\n two.".into();
        said.segments[1].text = "  ".into();
        assert_eq!(text(&said.segments), "One two. Good.");
        let chinese: Language = "zh".parse().unwrap();
        said.segments.iter_mut().for_each(|segment| segment.language = chinese);
        (said.segments[0].text, said.segments[1].text) = ("你好。".into(), "再见。".into());
        said.segments.truncate(2);
        assert_eq!(text(&said.segments), "你好。再见。");
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn silence_is_an_empty_transcript() {
        let mut silence = conversation();
        silence.segments.clear();
        let body = value(Transcription::new(&silence, None, true));
        assert_eq!((&body["text"], &body["languages"]), (&json!(""), &json!([])));
        let both = Granularities { word: true, segment: true };
        let body = value(VerboseTranscription::new(&silence, both, &Labels::default()));
        assert_eq!((&body["segments"], &body["words"]), (&json!([]), &json!([])));
        assert_eq!(seconds(Span::new(0.0, 1.00049).end), 1.0);
    }
}
