//! What an operator can set, once for flags, environment and file: every name here is a flag (`--max-requests`), a
//! variable (`PALABRA_MAX_REQUESTS`) and a key of the TOML file (`max_requests`).

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use url::Url;

use super::{
    Secret,
    hosts::HostRule,
    units::{Bytes, Seconds},
};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: a JSON object a line.
    Json,
}

/// Settings as given in one place; what is `None` was not given there.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Address to listen on; 0.0.0.0 lets other machines in [default: 127.0.0.1]
    #[arg(long, env = "PALABRA_HOST", value_name = "ADDRESS", help_heading = "Listening", hide_env_values = true)]
    pub host: Option<IpAddr>,
    /// Port; 0 takes a free one, which is printed [default: 8000]
    #[arg(short, long, env = "PALABRA_PORT", value_name = "N", help_heading = "Listening", hide_env_values = true)]
    pub port: Option<u16>,
    /// Keys that let requests in as `Authorization: Bearer <key>`, separated by commas; better from a file or the
    /// environment, since flags are seen by everybody on this machine [default: everybody may use the service]
    #[arg(
        long = "api-keys",
        env = "PALABRA_API_KEYS",
        value_delimiter = ',',
        value_name = "KEY,...",
        help_heading = "Listening",
        hide_env_values = true
    )]
    pub api_keys: Option<Vec<Secret>>,
    /// File with more keys, one a line; empty lines and lines that begin with # are skipped
    #[arg(long, env = "PALABRA_API_KEY_FILE", value_name = "FILE", help_heading = "Listening", hide_env_values = true)]
    pub api_key_file: Option<PathBuf>,
    /// Origins whose web pages may use the service, such as https://example.org, separated by commas; * for all
    #[arg(
        long,
        env = "PALABRA_CORS_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGIN,...",
        help_heading = "Listening",
        hide_env_values = true
    )]
    pub cors_origins: Option<Vec<String>>,
    /// How log lines look [default: text]
    #[arg(long, env = "PALABRA_LOG_FORMAT", value_name = "FORMAT", help_heading = "Listening", hide_env_values = true)]
    pub log_format: Option<LogFormat>,

    /// Whisper model of requests that name none [default: base]
    #[arg(short, long, env = "PALABRA_MODEL", value_name = "MODEL", help_heading = "Models", hide_env_values = true)]
    pub model: Option<String>,
    /// Models that are loaded before the service calls itself ready, separated by commas
    #[arg(
        long,
        env = "PALABRA_PRELOAD",
        value_delimiter = ',',
        value_name = "MODEL,...",
        help_heading = "Models",
        hide_env_values = true
    )]
    pub preload: Option<Vec<String>>,
    /// Models that never leave memory once they are loaded, separated by commas
    #[arg(
        long,
        env = "PALABRA_PINNED",
        value_delimiter = ',',
        value_name = "MODEL,...",
        help_heading = "Models",
        hide_env_values = true
    )]
    pub pinned: Option<Vec<String>>,
    /// Whisper models in memory at most; the one that was used longest ago leaves first; 0 or less for any number. The
    /// variable MAX_WHISPER_MODELS says the same [default: 2]
    #[arg(
        long,
        env = "PALABRA_MAX_MODELS",
        value_name = "N",
        allow_hyphen_values = true,
        help_heading = "Models",
        hide_env_values = true
    )]
    pub max_models: Option<i64>,
    /// Size of their weights at most, such as 8GiB [default: no limit]
    #[arg(long, env = "PALABRA_MAX_MODEL_BYTES", value_name = "SIZE", help_heading = "Models", hide_env_values = true)]
    pub max_model_bytes: Option<Bytes>,
    /// Models that nobody used for so long leave memory, such as 30m [default: never]
    #[arg(long, env = "PALABRA_IDLE_UNLOAD", value_name = "TIME", help_heading = "Models", hide_env_values = true)]
    pub idle_unload: Option<Seconds>,
    /// Let requests name any Whisper repository of the hub (owner/name), not only models that have a name here: true or
    /// false [default: false]
    #[arg(
        long,
        env = "PALABRA_REPOSITORIES",
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "Models",
        hide_env_values = true
    )]
    pub repositories: Option<bool>,
    /// Aligner of all recordings: a wav2vec2, HuBERT or WavLM with a CTC head, as a name, a folder, or a repository of the
    /// hub [default: the best at hand for each language]
    #[arg(long, env = "PALABRA_ALIGN_MODEL", value_name = "MODEL", help_heading = "Models", hide_env_values = true)]
    pub align_model: Option<String>,
    /// Whether aligners whose licence forbids commercial use may serve languages that have no other [default: false]
    #[arg(
        long,
        env = "PALABRA_NONCOMMERCIAL_ALIGNERS",
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "Models",
        hide_env_values = true
    )]
    pub noncommercial_aligners: Option<bool>,
    /// What tells voices apart, as a name (`palabra models list`) or a folder [default: campplus]
    #[arg(long, env = "PALABRA_SPEAKER_MODEL", value_name = "MODEL", help_heading = "Models", hide_env_values = true)]
    pub speaker_model: Option<String>,

    /// Requests that wait or are worked on at most; more are told to come again [default: 64]
    #[arg(long, env = "PALABRA_MAX_REQUESTS", value_name = "N", help_heading = "Limits", hide_env_values = true)]
    pub max_requests: Option<usize>,
    /// Audio that they hold at most; a longer recording is let in when it is alone [default: 4h]
    #[arg(
        long,
        env = "PALABRA_MAX_QUEUED_SECONDS",
        value_name = "TIME",
        help_heading = "Limits",
        hide_env_values = true
    )]
    pub max_queued_seconds: Option<Seconds>,
    /// Size of an upload at most [default: 1GiB]
    #[arg(
        long,
        env = "PALABRA_MAX_UPLOAD_BYTES",
        value_name = "SIZE",
        help_heading = "Limits",
        hide_env_values = true
    )]
    pub max_upload_bytes: Option<Bytes>,
    /// Length of a recording at most [default: 4h]
    #[arg(
        long,
        env = "PALABRA_MAX_AUDIO_SECONDS",
        value_name = "TIME",
        help_heading = "Limits",
        hide_env_values = true
    )]
    pub max_audio_seconds: Option<Seconds>,
    /// A request may take so long from the arrival of its last byte [default: 1h]
    #[arg(long, env = "PALABRA_REQUEST_TIMEOUT", value_name = "TIME", help_heading = "Limits", hide_env_values = true)]
    pub request_timeout: Option<Seconds>,
    /// Requests may go on for so long after the service was told to end [default: 60s]
    #[arg(
        long,
        env = "PALABRA_SHUTDOWN_TIMEOUT",
        value_name = "TIME",
        help_heading = "Limits",
        hide_env_values = true
    )]
    pub shutdown_timeout: Option<Seconds>,
    /// Folder for uploads while they are needed [default: the system's]
    #[arg(long, env = "PALABRA_TEMP_FOLDER", value_name = "FOLDER", help_heading = "Limits", hide_env_values = true)]
    pub temp_folder: Option<PathBuf>,
    /// Hosts from which requests may have recordings fetched with `url` instead of a file, separated by commas:
    /// media.example.com, *.example.com, media.example.com:8443; only public addresses are ever asked [default: none,
    /// `url` is refused]
    #[arg(
        long,
        env = "PALABRA_URL_HOSTS",
        value_delimiter = ',',
        value_name = "HOST,...",
        help_heading = "Limits",
        hide_env_values = true
    )]
    pub url_hosts: Option<Vec<HostRule>>,
    /// Fetching such a recording may take so long [default: 5m]
    #[arg(long, env = "PALABRA_URL_TIMEOUT", value_name = "TIME", help_heading = "Limits", hide_env_values = true)]
    pub url_timeout: Option<Seconds>,

    /// OpenTelemetry collector that is told of every request (OTLP over HTTP), such as http://collector:4318; in builds
    /// with the feature otlp [default: none]
    #[arg(long, env = "PALABRA_OTLP_ENDPOINT", value_name = "URL", help_heading = "Listening", hide_env_values = true)]
    pub otlp_endpoint: Option<Url>,

    /// Network that finds speech for requests that name none: silero or pyannote [default: silero]
    #[arg(long, env = "PALABRA_VAD", value_name = "NAME", help_heading = "Models", hide_env_values = true)]
    pub vad: Option<String>,
    /// Texts of a chunk that are followed side by side for requests that do not say how many, 1 to 16; 1 takes the likeliest
    /// token each time [default: 1]
    #[arg(long, env = "PALABRA_BEAM_SIZE", value_name = "N", help_heading = "Models", hide_env_values = true)]
    pub beam_size: Option<usize>,
    /// For requests that do not say otherwise, the search of a chunk ends when beam size times this many texts have ended
    /// [default: 1]
    #[arg(long, env = "PALABRA_PATIENCE", value_name = "FACTOR", help_heading = "Models", hide_env_values = true)]
    pub patience: Option<f32>,
    /// For requests that do not say otherwise, the text is kept whose log-probability over ((5 + tokens) / 6)^A is highest
    /// [default: over the number of tokens]
    #[arg(long, env = "PALABRA_LENGTH_PENALTY", value_name = "A", help_heading = "Models", hide_env_values = true)]
    pub length_penalty: Option<f32>,
    /// Where to compute: auto takes a GPU where there is one; cpu, cuda, cuda:1, or several GPUs side by side, each with the
    /// models in its memory: cuda:0,cuda:1 [default: auto]
    #[arg(long, env = "PALABRA_DEVICE", value_name = "DEVICE", help_heading = "Machine", hide_env_values = true)]
    pub device: Option<String>,
    /// Numbers in which the transcriber computes: float32, float16 (on a GPU), bfloat16 (on a GPU, or a processor with
    /// AMX-BF16), int8 (on the CPU); auto takes float16 on a GPU, and on the CPU int8 where the processor has instructions for
    /// it [default: auto]
    #[arg(long, env = "PALABRA_COMPUTE_TYPE", value_name = "TYPE", help_heading = "Machine", hide_env_values = true)]
    pub compute_type: Option<String>,
    /// Processor threads [default: all cores]
    #[arg(long, env = "PALABRA_THREADS", value_name = "N", help_heading = "Machine", hide_env_values = true)]
    pub threads: Option<usize>,
    /// Chunks that are written side by side on each device; fewer where its memory ends [default: 16]
    #[arg(short, long, env = "PALABRA_BATCH_SIZE", value_name = "N", help_heading = "Machine", hide_env_values = true)]
    pub batch_size: Option<usize>,
}

impl Given {
    /// These settings, and those of `other` where these say nothing.
    pub fn over(self, other: Self) -> Self {
        Self {
            host: self.host.or(other.host),
            port: self.port.or(other.port),
            api_keys: self.api_keys.or(other.api_keys),
            api_key_file: self.api_key_file.or(other.api_key_file),
            cors_origins: self.cors_origins.or(other.cors_origins),
            log_format: self.log_format.or(other.log_format),
            model: self.model.or(other.model),
            preload: self.preload.or(other.preload),
            pinned: self.pinned.or(other.pinned),
            max_models: self.max_models.or(other.max_models),
            max_model_bytes: self.max_model_bytes.or(other.max_model_bytes),
            idle_unload: self.idle_unload.or(other.idle_unload),
            repositories: self.repositories.or(other.repositories),
            align_model: self.align_model.or(other.align_model),
            noncommercial_aligners: self.noncommercial_aligners.or(other.noncommercial_aligners),
            speaker_model: self.speaker_model.or(other.speaker_model),
            max_requests: self.max_requests.or(other.max_requests),
            max_queued_seconds: self.max_queued_seconds.or(other.max_queued_seconds),
            max_upload_bytes: self.max_upload_bytes.or(other.max_upload_bytes),
            max_audio_seconds: self.max_audio_seconds.or(other.max_audio_seconds),
            request_timeout: self.request_timeout.or(other.request_timeout),
            shutdown_timeout: self.shutdown_timeout.or(other.shutdown_timeout),
            temp_folder: self.temp_folder.or(other.temp_folder),
            url_hosts: self.url_hosts.or(other.url_hosts),
            url_timeout: self.url_timeout.or(other.url_timeout),
            otlp_endpoint: self.otlp_endpoint.or(other.otlp_endpoint),
            vad: self.vad.or(other.vad),
            beam_size: self.beam_size.or(other.beam_size),
            patience: self.patience.or(other.patience),
            length_penalty: self.length_penalty.or(other.length_penalty),
            device: self.device.or(other.device),
            compute_type: self.compute_type.or(other.compute_type),
            threads: self.threads.or(other.threads),
            batch_size: self.batch_size.or(other.batch_size),
        }
    }
}
