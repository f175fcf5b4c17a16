//! What a request is counted as: seconds in bodies, tokens at the end of a stream. OpenAI's clients read no other kind there.

use serde::Serialize;
use utoipa::ToSchema;

use crate::transcript::Transcript;

/// Positions a second that Whisper's encoder gives to its decoder (1500 for 30 s).
const POSITIONS_A_SECOND: f64 = 50.0;

/// The length of the recording.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"type": "duration", "seconds": 11}))]
pub struct Usage {
    /// Always `duration`.
    #[serde(rename = "type")]
    #[schema(example = "duration")]
    kind: &'static str,
    /// Seconds of the recording, rounded up.
    seconds: u64,
}

impl Usage {
    /// The usage of a recording.
    pub fn of(transcript: &Transcript) -> Self {
        Self { kind: "duration", seconds: transcript.duration.ceil() as u64 }
    }
}

/// The recording and the text in tokens.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TokenUsage {
    /// Always `tokens`.
    #[serde(rename = "type")]
    #[schema(example = "tokens")]
    kind: &'static str,
    /// Positions of audio that Whisper's decoder can attend to: 50 for each second of the recording.
    input_tokens: u64,
    /// Tokens of the text.
    output_tokens: u64,
    /// Both.
    total_tokens: u64,
    /// What went in.
    input_token_details: InputTokens,
}

/// What went in.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InputTokens {
    /// All of it.
    audio_tokens: u64,
    /// A prompt is not counted.
    text_tokens: u64,
}

impl TokenUsage {
    /// The usage of a recording.
    pub fn of(transcript: &Transcript) -> Self {
        let heard = (transcript.duration * POSITIONS_A_SECOND).ceil() as u64;
        let written = transcript.segments.iter().map(|segment| segment.tokens.len() as u64).sum();
        Self {
            kind: "tokens",
            input_tokens: heard,
            output_tokens: written,
            total_tokens: heard + written,
            input_token_details: InputTokens { audio_tokens: heard, text_tokens: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::samples::conversation, *};
    use crate::transcript::Token;

    #[test]
    fn seconds_are_rounded_up_and_tokens_add_up() {
        let mut said = conversation();
        said.duration = 10.01;
        said.segments[1].tokens = vec![Token { id: 1, logprob: -0.1 }; 3];
        assert_eq!(serde_json::to_value(Usage::of(&said)).unwrap(), json!({"type": "duration", "seconds": 11}));
        let expected = json!({
            "type": "tokens", "input_tokens": 501, "output_tokens": 3, "total_tokens": 504,
            "input_token_details": {"audio_tokens": 501, "text_tokens": 0},
        });
        assert_eq!(serde_json::to_value(TokenUsage::of(&said)).unwrap(), expected);
    }
}
