//! How the service is run: one validated value, made from flags, the environment, a TOML file and defaults, in this order.

use std::{fmt, path::PathBuf, time::Duration};

use crate::device::DeviceChoice;

/// How the service is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address to listen on.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// The transcriber of requests that name none.
    pub model: String,
    /// Models that are loaded before the service calls itself ready.
    pub preload: Vec<String>,
    /// Models that never leave.
    pub pinned: Vec<String>,
    /// Transcribers in memory at most; `None`: any number.
    pub max_models: Option<usize>,
    /// Bytes of their weights at most; `None`: any number.
    pub max_model_bytes: Option<u64>,
    /// A model that nobody used for so long leaves; `None`: never.
    pub idle_unload: Option<Duration>,
    /// Requests inside at most.
    pub max_requests: usize,
    /// Seconds of audio inside at most.
    pub max_queued_seconds: f64,
    /// Bytes of a request at most.
    pub max_upload_bytes: u64,
    /// Seconds of a recording at most.
    pub max_audio_seconds: f64,
    /// A request takes so long at most, from the arrival of its last byte.
    pub request_timeout: Duration,
    /// Requests may go on for so long after the service was told to end.
    pub shutdown_timeout: Duration,
    /// Keys that let in; empty: everybody comes in.
    pub api_keys: Vec<Secret>,
    /// Origins whose pages may use the service; `*` for all.
    pub cors_origins: Vec<String>,
    /// Where uploads lie while they are needed.
    pub temp_folder: PathBuf,
    /// Chunks that are written side by side.
    pub batch_size: usize,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Processor threads; `None`: all cores.
    pub threads: Option<usize>,
    /// Whether any Whisper repository of the hub may be asked for.
    pub repositories: bool,
    /// Hosts from which recordings may be fetched by `url`; empty: none.
    pub url_hosts: Vec<String>,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8000,
            model: "base".into(),
            preload: Vec::new(),
            pinned: Vec::new(),
            max_models: Some(2),
            max_model_bytes: None,
            idle_unload: None,
            max_requests: 64,
            max_queued_seconds: 4.0 * 3600.0,
            max_upload_bytes: 1 << 30,
            max_audio_seconds: 4.0 * 3600.0,
            request_timeout: Duration::from_secs(3600),
            shutdown_timeout: Duration::from_secs(60),
            api_keys: Vec::new(),
            cors_origins: Vec::new(),
            temp_folder: std::env::temp_dir(),
            batch_size: 16,
            device: DeviceChoice::Auto,
            threads: None,
            repositories: false,
            url_hosts: Vec::new(),
        }
    }
}
