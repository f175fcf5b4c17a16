//! Who says what: `response_format=diarized_json`.
//!
//! Reference: OpenAI's API description, the schema CreateTranscriptionResponseDiarizedJson.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    bodies::{seconds, text},
    labels::Labels,
    usage::Usage,
};
use crate::transcript::{Segment, Transcript};

/// A stretch of text of one speaker.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "transcript.text.segment", "id": "seg_001", "start": 0.32, "end": 4.7,
    "text": "Thanks for calling, how can I help?", "speaker": "agent"
}))]
pub struct DiarizedSegment {
    /// Always `transcript.text.segment`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// `seg_001`, `seg_002`, ...
    id: String,
    /// Where it starts, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// Its text.
    text: String,
    /// A known speaker's name, or `A`, `B`, ... in order of first appearance.
    speaker: String,
}

impl DiarizedSegment {
    /// The `index`-th segment of a recording. Text of nobody, where there are no turns at all, is the first speaker's.
    pub fn new(index: usize, segment: &Segment, labels: &Labels) -> Self {
        Self {
            kind: "transcript.text.segment",
            id: segment_id(index),
            start: seconds(segment.span.start),
            end: seconds(segment.span.end),
            text: segment.text.clone(),
            speaker: labels.of(segment.speaker.unwrap_or(crate::transcript::Speaker(0))),
        }
    }
}

/// The name of the `index`-th segment.
pub fn segment_id(index: usize) -> String {
    format!("seg_{:03}", index + 1)
}

/// `response_format=diarized_json`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DiarizedTranscription {
    /// Always `transcribe`.
    #[schema(example = "transcribe")]
    task: &'static str,
    /// Seconds of the recording.
    duration: f64,
    /// All that is said.
    text: String,
    /// Text in order of time, each of one speaker.
    segments: Vec<DiarizedSegment>,
    /// The length of the recording.
    usage: Usage,
    /// What the reader should know of the result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl DiarizedTranscription {
    /// The body of `transcript`.
    pub fn new(transcript: &Transcript, labels: &Labels) -> Self {
        let segments = transcript.segments.iter().enumerate();
        Self {
            task: "transcribe",
            duration: seconds(transcript.duration),
            text: text(&transcript.segments),
            segments: segments.map(|(index, segment)| DiarizedSegment::new(index, segment, labels)).collect(),
            usage: Usage::of(transcript),
            warnings: transcript.warnings.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::samples::conversation, *};

    #[test]
    fn segments_are_numbered_and_have_speakers() {
        let labels = Labels::new(vec![None, Some("agent".into())]);
        let body = serde_json::to_value(DiarizedTranscription::new(&conversation(), &labels)).unwrap();
        assert_eq!(body["task"], "transcribe");
        assert_eq!(body["text"], "Hello there. Hi, team! Good.");
        assert_eq!(body["usage"], json!({"type": "duration", "seconds": 10}));
        let expected = json!({
            "type": "transcript.text.segment", "id": "seg_002", "start": 2.0, "end": 3.75, "text": "Hi, team!",
            "speaker": "agent",
        });
        assert_eq!(body["segments"][1], expected);
        assert_eq!(body["segments"][0]["speaker"], "A");
        assert_eq!((segment_id(0), segment_id(999)), ("seg_001".into(), "seg_1000".into()));
    }
}
