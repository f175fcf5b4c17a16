//! A transcription as it comes into being: the events of `stream=true`.
//!
//! Text is told as soon as its chunk is written (`transcript.text.delta`; the deltas in a row are the text), the whole at
//! the end (`transcript.text.done`). With `diarized_json` each segment is told too (`transcript.text.segment`): at once
//! where its speaker is known by then, otherwise at the end, when all voices have been heard. Names of known speakers need
//! all voices, so these segments always come at the end.
//!
//! Reference: OpenAI's API description, the schema CreateTranscriptionResponseStreamEvent.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    bodies::{HeardLanguage, Logprob, continuation, heard, text},
    diarized::{DiarizedSegment, segment_id},
    labels::Labels,
    usage::TokenUsage,
};
use crate::transcript::{Segment, Transcript};

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Event {
    /// More text.
    Delta(Delta),
    /// A finished segment of one speaker.
    Segment(DiarizedSegment),
    /// The end.
    Done(Done),
}

/// More text.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"type": "transcript.text.delta", "delta": " ask not what your country can do for you."}))]
pub struct Delta {
    /// Always `transcript.text.delta`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What follows the text so far, with the space before it.
    delta: String,
    /// The segment that it belongs to, where its speaker is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_id: Option<String>,
    /// Its tokens; with `include[]=logprobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Logprob>>,
}

/// The end.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "transcript.text.done", "text": "And so, my fellow Americans.",
    "usage": {
        "type": "tokens", "input_tokens": 550, "output_tokens": 7, "total_tokens": 557,
        "input_token_details": {"audio_tokens": 550, "text_tokens": 0}
    }
}))]
pub struct Done {
    /// Always `transcript.text.done`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// All that is said.
    text: String,
    /// The languages that were heard, in order; for the model `gpt-transcribe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    languages: Option<Vec<HeardLanguage>>,
    /// The tokens of the text; with `include[]=logprobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Logprob>>,
    /// The recording and the text in tokens, since OpenAI's clients read nothing else here.
    usage: TokenUsage,
    /// What the reader should know of the result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What a stream is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Telling {
    /// Segments with speakers.
    pub segments: bool,
    /// Speakers by names that are known only at the end.
    pub named: bool,
    /// Tokens.
    pub logprobs: bool,
    /// Languages, at the end.
    pub languages: bool,
}

/// What a stream has told so far.
#[derive(Debug, Default)]
pub struct Teller {
    telling: Telling,
    said: String,
    heard: usize,
    shown: usize,
}

impl Teller {
    /// A stream that has told nothing.
    pub fn new(telling: Telling) -> Self {
        Self { telling, ..Self::default() }
    }

    /// The events of segments that follow those heard before.
    pub fn hear(&mut self, segments: &[Segment], bytes_of: &dyn Fn(u32) -> Vec<u8>) -> Vec<Event> {
        let mut events = Vec::new();
        for segment in segments {
            let delta = continuation(&self.said, segment);
            let speaker_known = self.telling.segments && segment.speaker.is_some();
            if !delta.is_empty() {
                self.said.push_str(&delta);
                events.push(Event::Delta(Delta {
                    kind: "transcript.text.delta",
                    delta,
                    segment_id: speaker_known.then(|| segment_id(self.heard)),
                    logprobs: self.telling.logprobs.then(|| Logprob::of([segment], bytes_of)),
                }));
            }
            // Segments are shown in order: none before one that has to wait.
            if speaker_known && !self.telling.named && self.shown == self.heard {
                events.push(Event::Segment(DiarizedSegment::new(self.heard, segment, &Labels::default())));
                self.shown += 1;
            }
            self.heard += 1;
        }
        events
    }

    /// The last events: what was not told yet, and the end.
    pub fn finish(mut self, transcript: &Transcript, labels: &Labels, bytes_of: &dyn Fn(u32) -> Vec<u8>) -> Vec<Event> {
        let unheard = transcript.segments.get(self.heard..).unwrap_or_default();
        let mut events = self.hear(unheard, bytes_of);
        if self.telling.segments {
            let rest = transcript.segments.iter().enumerate().skip(self.shown);
            events.extend(rest.map(|(index, segment)| Event::Segment(DiarizedSegment::new(index, segment, labels))));
        }
        events.push(Event::Done(Done {
            kind: "transcript.text.done",
            text: text(&transcript.segments),
            languages: self.telling.languages.then(|| heard(transcript)),
            logprobs: self.telling.logprobs.then(|| Logprob::of(&transcript.segments, bytes_of)),
            usage: TokenUsage::of(transcript),
            warnings: transcript.warnings.clone(),
        }));
        events
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::samples::conversation, *};
    use crate::transcript::Token;

    fn bytes_of(id: u32) -> Vec<u8> {
        vec![b'a' + id as u8]
    }

    fn values(events: Vec<Event>) -> Vec<Value> {
        events.into_iter().map(|event| serde_json::to_value(event).unwrap()).collect()
    }

    fn kinds(events: &[Value]) -> Vec<String> {
        let short = |event: &Value| event["type"].as_str().unwrap().replace("transcript.text.", "");
        events.iter().map(short).collect()
    }

    fn without_speakers() -> Transcript {
        let mut said = conversation();
        said.segments.iter_mut().for_each(|segment| segment.speaker = None);
        said
    }

    #[test]
    fn deltas_in_a_row_are_the_text() {
        let said = without_speakers();
        let mut teller = Teller::new(Telling::default());
        let mut events = values(teller.hear(&said.segments[..2], &bytes_of));
        assert_eq!(events[1], json!({"type": "transcript.text.delta", "delta": " Hi, team!"}));
        events.extend(values(teller.hear(&said.segments[2..], &bytes_of)));
        events.extend(values(teller.finish(&said, &Labels::default(), &bytes_of)));
        assert_eq!(kinds(&events), ["delta", "delta", "delta", "done"]);
        let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
        assert_eq!(events[3]["text"].as_str(), Some(deltas.as_str()));
        assert_eq!(events[3]["usage"]["type"], "tokens");
        assert!(events[3].get("logprobs").is_none() && events[3].get("languages").is_none());
    }

    #[test]
    fn what_was_not_heard_on_the_way_is_told_at_the_end() {
        let said = without_speakers();
        let mut teller = Teller::new(Telling { languages: true, ..Telling::default() });
        teller.hear(&said.segments[..1], &bytes_of);
        let events = values(teller.finish(&said, &Labels::default(), &bytes_of));
        assert_eq!(kinds(&events), ["delta", "delta", "done"]);
        assert_eq!(events[2]["languages"], json!([{"code": "en"}]));
    }

    #[test]
    fn segments_follow_their_delta_where_their_speaker_is_known() {
        let said = conversation();
        let mut teller = Teller::new(Telling { segments: true, ..Telling::default() });
        let events = values(teller.hear(&said.segments[..2], &bytes_of));
        assert_eq!(kinds(&events), ["delta", "segment", "delta", "segment"]);
        assert_eq!(events[2]["segment_id"], "seg_002");
        assert_eq!((&events[3]["id"], &events[3]["speaker"]), (&json!("seg_002"), &json!("B")));
        let events = values(teller.finish(&said, &Labels::default(), &bytes_of));
        assert_eq!(kinds(&events), ["delta", "segment", "done"]);
    }

    #[test]
    fn segments_wait_for_speakers_and_for_names() {
        let said = conversation();
        let labels = Labels::new(vec![Some("agent".into()), None]);
        let mut named = Teller::new(Telling { segments: true, named: true, ..Telling::default() });
        let events = values(named.hear(&said.segments, &bytes_of));
        assert_eq!(kinds(&events), ["delta"; 3]);
        assert_eq!(events[0]["segment_id"], "seg_001");
        let events = values(named.finish(&said, &labels, &bytes_of));
        assert_eq!(kinds(&events), ["segment", "segment", "segment", "done"]);
        let speakers: Vec<&str> = events.iter().filter_map(|event| event["speaker"].as_str()).collect();
        assert_eq!(speakers, ["agent", "A", "agent"]);

        let mut late = Teller::new(Telling { segments: true, ..Telling::default() });
        let events = values(late.hear(&without_speakers().segments, &bytes_of));
        assert!(events.iter().all(|event| event.get("segment_id").is_none()));
        let events = values(late.finish(&said, &Labels::default(), &bytes_of));
        assert_eq!(kinds(&events), ["segment", "segment", "segment", "done"]);
    }

    #[test]
    fn tokens_come_with_deltas_and_with_the_end() {
        let mut said = without_speakers();
        said.segments[0].tokens = vec![Token { id: 1, logprob: -0.5 }];
        let teller = Teller::new(Telling { logprobs: true, ..Telling::default() });
        let events = values(teller.finish(&said, &Labels::default(), &bytes_of));
        let entry = json!([{"token": "b", "logprob": -0.5, "bytes": [98]}]);
        assert_eq!((&events[0]["logprobs"], &events[3]["logprobs"]), (&entry, &entry));
        assert_eq!(events[1]["logprobs"], json!([]));
    }

    #[test]
    fn silence_is_an_end_without_text() {
        let mut silence = conversation();
        silence.segments.clear();
        let teller = Teller::new(Telling { segments: true, ..Telling::default() });
        let events = values(teller.finish(&silence, &Labels::default(), &bytes_of));
        assert_eq!((kinds(&events), &events[0]["text"]), (vec!["done".into()], &json!("")));
    }
}
