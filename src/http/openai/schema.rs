//! What the OpenAPI document shows: the forms, which are read field by field in `request`, and the objects by response format.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    bodies::{Transcription, Translation, VerboseTranscription},
    diarized::DiarizedTranscription,
};

/// A transcription as an object, by response format.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum TranscriptionObject {
    /// `json`.
    Json(Transcription),
    /// `verbose_json`.
    Verbose(VerboseTranscription),
    /// `diarized_json`.
    Diarized(DiarizedTranscription),
}

/// A translation as an object, by response format.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum TranslationObject {
    /// `json`.
    Json(Translation),
    /// `verbose_json`.
    Verbose(VerboseTranscription),
}

/// What the form of a transcription may hold.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"file": "meeting.mp3", "model": "whisper-1", "response_format": "json"}))]
pub struct TranscriptionForm {
    /// The recording: audio or video of any common format.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    pub file: Vec<u8>,
    /// In the place of `file`: where the recording lies, on a host that the operator allows.
    #[schema(nullable = false, example = "https://media.example.com/talk.mp3")]
    pub url: Option<String>,
    /// A model that `GET /v1/models` lists; `whisper-1` and OpenAI's other names are the default of this service.
    #[schema(example = "whisper-1")]
    pub model: String,
    /// The language spoken, as a code (`en`) or an English name; detected without it.
    #[schema(nullable = false)]
    pub language: Option<String>,
    /// Languages of which one is spoken: the likeliest of them is used for the whole recording.
    #[schema(nullable = false, rename = "languages[]")]
    pub languages: Option<Vec<String>>,
    /// Text that is told to the model as if it went before: sets spelling, names, style.
    #[schema(nullable = false)]
    pub prompt: Option<String>,
    /// Words that are likely to occur.
    #[schema(nullable = false, rename = "keywords[]")]
    pub keywords: Option<Vec<String>>,
    /// `json`, `text`, `srt`, `verbose_json`, `vtt` or `diarized_json`.
    #[schema(nullable = false, default = "json", example = "json")]
    pub response_format: Option<String>,
    /// The first temperature; text that passes no quality threshold is written again at higher ones.
    #[schema(nullable = false, default = 0.0, minimum = 0.0, maximum = 1.0)]
    pub temperature: Option<f64>,
    /// `word`, `segment` or both; with `verbose_json`.
    #[schema(nullable = false, rename = "timestamp_granularities[]")]
    pub timestamp_granularities: Option<Vec<String>>,
    /// Events as text is written; with `json` and `diarized_json`.
    #[schema(nullable = false, default = false)]
    pub stream: Option<bool>,
    /// `auto`, or `{"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 100, "prefix_padding_ms": 400}`.
    #[schema(nullable = false, example = "auto")]
    pub chunking_strategy: Option<String>,
    /// `logprobs`; with `json`.
    #[schema(nullable = false, rename = "include[]")]
    pub include: Option<Vec<String>>,
    /// Names of at most 4 known speakers; where the response shows speakers, these are called so.
    #[schema(nullable = false, rename = "known_speaker_names[]")]
    pub known_speaker_names: Option<Vec<String>>,
    /// 2 to 10 s of each of their voices as data: URLs; those of one name are averaged.
    #[schema(nullable = false, rename = "known_speaker_references[]")]
    pub known_speaker_references: Option<Vec<String>>,
    /// Beyond OpenAI: words get their times.
    #[schema(nullable = false, default = true)]
    pub align_audio: Option<bool>,
    /// Beyond OpenAI: speakers are told apart; shown by `diarized_json`, `verbose_json`, `text`, `srt` and `vtt`.
    #[schema(nullable = false)]
    pub diarize_audio: Option<bool>,
    /// Beyond OpenAI: exactly so many speakers.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    pub num_speakers: Option<u32>,
    /// Beyond OpenAI: at least so many speakers.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    pub min_speakers: Option<u32>,
    /// Beyond OpenAI: at most so many speakers.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    pub max_speakers: Option<u32>,
    /// Beyond OpenAI: what a change of speaker does, `none`, `smoothed` or `word`; as at `/transcribe/`.
    #[schema(nullable = false, default = "smoothed", pattern = "^(none|smoothed|word)$")]
    pub speaker_changes: Option<String>,
    /// Beyond OpenAI: words that are likely to occur, in one text.
    #[schema(nullable = false)]
    pub hotwords: Option<String>,
    /// Beyond OpenAI: chunks that are written side by side.
    #[schema(nullable = false, minimum = 1, maximum = 256)]
    pub batch_size: Option<u32>,
    /// Beyond OpenAI: texts of a chunk that are followed side by side; without it, the service's own number, 1 where nothing else is set.
    #[schema(nullable = false, minimum = 1, maximum = 16)]
    pub beam_size: Option<u32>,
    /// Beyond OpenAI: the search of a chunk ends when `beam_size` times this many texts have ended; with `beam_size` above 1.
    #[schema(nullable = false, minimum = 0.1, maximum = 10.0, default = 1.0)]
    pub patience: Option<f64>,
    /// Beyond OpenAI: of the texts found, the one is kept whose log-probability over ((5 + tokens) / 6)^`length_penalty` is highest, without
    /// it over the number of tokens; with `beam_size` above 1.
    #[schema(nullable = false, minimum = 0.0, maximum = 1.0)]
    pub length_penalty: Option<f64>,
    /// Beyond OpenAI: the network that finds speech, `silero` or `pyannote`; without it, the service's own.
    #[schema(nullable = false, pattern = "^(silero|pyannote)$")]
    pub vad_method: Option<String>,
    /// Beyond OpenAI: a token of the hub, for this request's downloads alone.
    #[schema(nullable = false)]
    pub hf_token: Option<String>,
}

/// What the form of a translation may hold.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"file": "interview.mp3", "model": "whisper-1", "response_format": "json"}))]
pub struct TranslationForm {
    /// The recording: audio or video of any common format.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    pub file: Vec<u8>,
    /// In the place of `file`: where the recording lies, on a host that the operator allows.
    #[schema(nullable = false, example = "https://media.example.com/talk.mp3")]
    pub url: Option<String>,
    /// A model that `GET /v1/models` lists; `whisper-1` and OpenAI's other names are the default of this service.
    #[schema(example = "whisper-1")]
    pub model: String,
    /// English text that is told to the model as if it went before.
    #[schema(nullable = false)]
    pub prompt: Option<String>,
    /// `json`, `text`, `srt`, `verbose_json` or `vtt`.
    #[schema(nullable = false, default = "json", example = "json")]
    pub response_format: Option<String>,
    /// The first temperature; text that passes no quality threshold is written again at higher ones.
    #[schema(nullable = false, default = 0.0, minimum = 0.0, maximum = 1.0)]
    pub temperature: Option<f64>,
    /// Beyond OpenAI: the language spoken, as a code (`de`) or an English name; detected without it.
    #[schema(nullable = false)]
    pub language: Option<String>,
    /// Beyond OpenAI: words that are likely to occur.
    #[schema(nullable = false, rename = "keywords[]")]
    pub keywords: Option<Vec<String>>,
    /// Beyond OpenAI: words get their times.
    #[schema(nullable = false, default = true)]
    pub align_audio: Option<bool>,
    /// Beyond OpenAI: speakers are told apart; shown by `verbose_json`, `text`, `srt` and `vtt`.
    #[schema(nullable = false)]
    pub diarize_audio: Option<bool>,
    /// Beyond OpenAI: exactly so many speakers.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    pub num_speakers: Option<u32>,
    /// Beyond OpenAI: at least so many speakers.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    pub min_speakers: Option<u32>,
    /// Beyond OpenAI: at most so many speakers.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    pub max_speakers: Option<u32>,
    /// Beyond OpenAI: what a change of speaker does, `none`, `smoothed` or `word`; as at `/transcribe/`.
    #[schema(nullable = false, default = "smoothed", pattern = "^(none|smoothed|word)$")]
    pub speaker_changes: Option<String>,
    /// Beyond OpenAI: words that are likely to occur, in one text.
    #[schema(nullable = false)]
    pub hotwords: Option<String>,
    /// Beyond OpenAI: chunks that are written side by side.
    #[schema(nullable = false, minimum = 1, maximum = 256)]
    pub batch_size: Option<u32>,
    /// Beyond OpenAI: texts of a chunk that are followed side by side; without it, the service's own number, 1 where nothing else is set.
    #[schema(nullable = false, minimum = 1, maximum = 16)]
    pub beam_size: Option<u32>,
    /// Beyond OpenAI: the search of a chunk ends when `beam_size` times this many texts have ended; with `beam_size` above 1.
    #[schema(nullable = false, minimum = 0.1, maximum = 10.0, default = 1.0)]
    pub patience: Option<f64>,
    /// Beyond OpenAI: of the texts found, the one is kept whose log-probability over ((5 + tokens) / 6)^`length_penalty` is highest, without
    /// it over the number of tokens; with `beam_size` above 1.
    #[schema(nullable = false, minimum = 0.0, maximum = 1.0)]
    pub length_penalty: Option<f64>,
    /// Beyond OpenAI: the network that finds speech, `silero` or `pyannote`; without it, the service's own.
    #[schema(nullable = false, pattern = "^(silero|pyannote)$")]
    pub vad_method: Option<String>,
    /// Beyond OpenAI: a token of the hub, for this request's downloads alone.
    #[schema(nullable = false)]
    pub hf_token: Option<String>,
}
