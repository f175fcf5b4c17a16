//! How the service is run: one validated value, made from flags, the environment, a TOML file and defaults, in this order.

mod given;
mod hosts;
mod units;

use std::{fmt, fs, net::IpAddr, path::Path, path::PathBuf, str::FromStr, time::Duration};

use serde::Deserialize;
use url::Url;

pub use self::{
    given::{Given, LogFormat},
    hosts::HostRule,
    units::{Bytes, Seconds},
};
use crate::{
    device::{ComputeType, DeviceChoice},
    error::{Error, Result},
    stages::{beam::Beam, vad::VoiceDetector},
    weights::Manifest,
};

/// Chunks in one batch at most, whoever asks.
pub const LARGEST_BATCH: usize = 256;
/// More of these than this is a slip of the keyboard.
const MOST: usize = 4096;

/// How the service is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// Keys that let in; empty: everybody comes in.
    pub api_keys: Vec<Secret>,
    /// Origins whose pages may use the service; `*` for all.
    pub cors_origins: Vec<String>,
    /// How log lines look.
    pub log_format: LogFormat,
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
    /// Whether any Whisper repository of the hub may be asked for.
    pub repositories: bool,
    /// The aligner of every recording; `None`: the best at hand for each language.
    pub align_model: Option<String>,
    /// Whether aligners may be used whose licence forbids commercial use.
    pub noncommercial_aligners: bool,
    /// What tells voices apart; `None`: CAM++.
    pub speaker_model: Option<String>,
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
    /// Where uploads lie while they are needed.
    pub temp_folder: PathBuf,
    /// Hosts from which recordings may be fetched by `url`; empty: none.
    pub url_hosts: Vec<HostRule>,
    /// Reading such a recording takes so long at most.
    pub url_timeout: Duration,
    /// The collector of traces; `None`: nobody is told.
    pub otlp_endpoint: Option<Url>,
    /// The network that finds speech for requests that name none.
    pub vad: VoiceDetector,
    /// How chunks are searched for requests that do not say.
    pub beam: Beam,
    /// Where to compute.
    pub device: DeviceChoice,
    /// In which numbers the transcriber computes.
    pub compute_type: ComputeType,
    /// Processor threads; `None`: all cores.
    pub threads: Option<usize>,
    /// Chunks that are written side by side.
    pub batch_size: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: IpAddr::from([127, 0, 0, 1]),
            port: 8000,
            api_keys: Vec::new(),
            cors_origins: Vec::new(),
            log_format: LogFormat::Text,
            model: "base".into(),
            preload: Vec::new(),
            pinned: Vec::new(),
            max_models: Some(2),
            max_model_bytes: None,
            idle_unload: None,
            repositories: false,
            align_model: None,
            noncommercial_aligners: false,
            speaker_model: None,
            max_requests: 64,
            max_queued_seconds: 4.0 * 3600.0,
            max_upload_bytes: 1 << 30,
            max_audio_seconds: 4.0 * 3600.0,
            request_timeout: Duration::from_secs(3600),
            shutdown_timeout: Duration::from_secs(60),
            temp_folder: std::env::temp_dir(),
            url_hosts: Vec::new(),
            url_timeout: Duration::from_secs(300),
            otlp_endpoint: None,
            vad: VoiceDetector::default(),
            beam: Beam::default(),
            device: DeviceChoice::Auto,
            compute_type: ComputeType::Auto,
            threads: None,
            batch_size: 16,
        }
    }
}

impl Settings {
    /// Settings from what was `given` by flag or variable, then from the file `config`, then from the defaults.
    ///
    /// # Errors
    /// [`Error::Request`] naming the setting or the file and the remedy.
    pub fn gather(given: Given, config: Option<&Path>) -> Result<Self> {
        let file = config.map(read).transpose()?.unwrap_or_default();
        Self::from_given(given.over(file))
    }

    /// Settings from what was given in all places together.
    ///
    /// # Errors
    /// [`Error::Request`] naming the setting and the remedy.
    pub fn from_given(given: Given) -> Result<Self> {
        let standard = Self::default();
        let mut api_keys = given.api_keys.unwrap_or_default();
        if let Some(file) = &given.api_key_file {
            api_keys.extend(keys_of(file)?);
        }
        let max_models = match given.max_models {
            None => standard.max_models,
            Some(number) => usize::try_from(number).ok().filter(|number| *number > 0),
        };
        let settings = Self {
            host: given.host.unwrap_or(standard.host),
            port: given.port.unwrap_or(standard.port),
            api_keys,
            cors_origins: given.cors_origins.unwrap_or_default(),
            log_format: given.log_format.unwrap_or_default(),
            model: given.model.unwrap_or(standard.model),
            preload: given.preload.unwrap_or_default(),
            pinned: given.pinned.unwrap_or_default(),
            max_models,
            max_model_bytes: given.max_model_bytes.map(|size| size.0),
            idle_unload: given.idle_unload.map(Seconds::duration),
            repositories: given.repositories.unwrap_or_default(),
            align_model: given.align_model,
            noncommercial_aligners: given.noncommercial_aligners.unwrap_or_default(),
            speaker_model: given.speaker_model,
            max_requests: given.max_requests.unwrap_or(standard.max_requests),
            max_queued_seconds: given.max_queued_seconds.map_or(standard.max_queued_seconds, |time| time.0),
            max_upload_bytes: given.max_upload_bytes.map_or(standard.max_upload_bytes, |size| size.0),
            max_audio_seconds: given.max_audio_seconds.map_or(standard.max_audio_seconds, |time| time.0),
            request_timeout: given.request_timeout.map_or(standard.request_timeout, Seconds::duration),
            shutdown_timeout: given.shutdown_timeout.map_or(standard.shutdown_timeout, Seconds::duration),
            temp_folder: given.temp_folder.unwrap_or(standard.temp_folder),
            url_hosts: given.url_hosts.unwrap_or_default(),
            url_timeout: given.url_timeout.map_or(standard.url_timeout, Seconds::duration),
            otlp_endpoint: given.otlp_endpoint,
            vad: given.vad.map_or(Ok(standard.vad), |detector| detector.parse())?,
            beam: Beam {
                size: given.beam_size.unwrap_or(standard.beam.size),
                patience: given.patience.unwrap_or(standard.beam.patience),
                length_penalty: given.length_penalty,
            },
            device: given.device.map_or(Ok(standard.device), |device| device.parse())?,
            compute_type: given.compute_type.map_or(Ok(standard.compute_type), |name| name.parse())?,
            threads: given.threads,
            batch_size: given.batch_size.unwrap_or(standard.batch_size),
        };
        settings.validate()?;
        Ok(settings)
    }

    fn validate(&self) -> Result<()> {
        let counts = [
            ("max_requests", self.max_requests, MOST),
            ("batch_size", self.batch_size, LARGEST_BATCH),
            ("threads", self.threads.unwrap_or(1), MOST),
        ];
        for (name, count, most) in counts {
            if !(1..=most).contains(&count) {
                return Err(Error::Request(format!("{name} must lie between 1 and {most}, not be {count}")));
            }
        }
        let amounts = [
            ("max_queued_seconds", self.max_queued_seconds),
            ("max_upload_bytes", self.max_upload_bytes as f64),
            ("max_audio_seconds", self.max_audio_seconds),
            ("max_model_bytes", self.max_model_bytes.unwrap_or(1) as f64),
            ("request_timeout", self.request_timeout.as_secs_f64()),
            ("url_timeout", self.url_timeout.as_secs_f64()),
            ("idle_unload", self.idle_unload.unwrap_or(Duration::MAX).as_secs_f64()),
        ];
        if let Some((name, _)) = amounts.iter().find(|(_, amount)| *amount <= 0.0) {
            return Err(Error::Request(format!("{name} must be more than nothing")));
        }
        self.beam.validate()?;
        for (name, list) in [("preload", &self.preload), ("pinned", &self.pinned)] {
            if list.iter().any(|entry| entry.trim().is_empty()) {
                return Err(Error::Request(format!("{name} has an empty entry; drop the comma too many")));
            }
        }
        if let Some(model) =
            self.speaker_model.as_ref().filter(|model| !Path::new(model).join("model.safetensors").is_file())
        {
            Manifest::built_in()?
                .speaker_embedder(model)
                .map_err(|reason| Error::Request(format!("speaker_model: {reason}")))?;
        }
        if let Some(endpoint) = &self.otlp_endpoint {
            let named = !endpoint.username().is_empty() || endpoint.password().is_some();
            if named || !endpoint.has_host() || !matches!(endpoint.scheme(), "http" | "https") {
                return Err(Error::Request(
                    "otlp_endpoint must be http:// or https:// and a host; a key belongs into the variable \
                     OTEL_EXPORTER_OTLP_HEADERS"
                        .into(),
                ));
            }
        }
        self.cors_origins.iter().try_for_each(|origin| check_origin(origin))
    }
}

/// Reads a TOML file of settings.
fn read(path: &Path) -> Result<Given> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|reason| Error::Request(format!("the settings file `{shown}` cannot be read: {reason}")))?;
    toml::from_str(&text).map_err(|reason: toml::de::Error| {
        let line = reason.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let place = line.map(|line| format!(", line {line}")).unwrap_or_default();
        // The text around the error, which the full message shows, may hold a key.
        Error::Request(format!("the settings file `{shown}`{place}: {}", reason.message()))
    })
}

/// The keys of a file, one a line.
fn keys_of(path: &Path) -> Result<Vec<Secret>> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|reason| Error::Request(format!("the key file `{shown}` cannot be read: {reason}")))?;
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys: Result<Vec<Secret>> = lines
        .map(|(line, key)| {
            key.parse().map_err(|reason| Error::Request(format!("the key file `{shown}`, line {}: {reason}", line + 1)))
        })
        .collect();
    // Whoever names a file of keys does not want an open service.
    keys.and_then(|keys| match keys.is_empty() {
        true => Err(Error::Request(format!("the key file `{shown}` holds no key; write one a line"))),
        false => Ok(keys),
    })
}

fn check_origin(origin: &str) -> Result<()> {
    let plain = |url: Url| {
        let bare = url.path() == "/" && url.query().is_none() && !origin.ends_with('/');
        bare && url.has_host() && matches!(url.scheme(), "http" | "https")
    };
    if origin == "*" || Url::parse(origin).is_ok_and(plain) {
        return Ok(());
    }
    Err(Error::Request(format!(
        "'{origin}' in cors_origins is no origin: write scheme and host without a path, such as https://example.org"
    )))
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let fit = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fit { Ok(Self(text.to_owned())) } else { Err("a key is letters, digits and signs without spaces") }
    }
}

impl TryFrom<String> for Secret {
    type Error = &'static str;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        given: Given,
    }

    fn flags(text: &str) -> Given {
        CommandLine::parse_from(format!("serve {text}").split_whitespace()).given
    }

    fn file(text: &str) -> Result<Given> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn nothing_given_is_the_default() {
        let settings = Settings::from_given(Given::default()).unwrap();
        assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let beams = file("beam_size = 5\npatience = 2.0\nlength_penalty = 0.6").unwrap();
        let beams = Settings::from_given(flags("--patience 1.5").over(beams)).unwrap();
        assert_eq!(beams.beam, Beam { size: 5, patience: 1.5, length_penalty: Some(0.6) });
        let file = file(
            "port = 9\nmodel = 'tiny'\nvad = 'pyannote'\nmax_audio_seconds = '10m'\nmax_upload_bytes = 5\napi_keys = ['k']",
        );
        let settings = Settings::from_given(flags("--port 0 --preload tiny,base --max-models -1").over(file.unwrap()));
        let settings = settings.unwrap();
        assert_eq!((settings.port, settings.model.as_str(), settings.max_audio_seconds), (0, "tiny", 600.0));
        assert_eq!((settings.max_upload_bytes, settings.max_models, settings.vad), (5, None, VoiceDetector::Pyannote));
        assert_eq!(settings.preload, ["tiny", "base"]);
        assert_eq!(settings.api_keys[0].expose(), "k");
    }

    #[test]
    fn mistakes_in_the_file_are_told_with_their_place_and_without_what_stands_around() {
        for (text, told) in [
            ("port = 1\nprot = 2", "line 2: unknown field `prot`"),
            ("port = 'x'", "line 1"),
            ("request_timeout = 'soon'", "'soon' is no time"),
            ("api_keys = ['secret key']\n", "without spaces"),
        ] {
            let error = file(text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(told) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn settings_that_cannot_be_are_refused_by_name() {
        for (text, told) in [
            ("--max-requests 0", "max_requests"),
            ("--batch-size 100000", "batch_size"),
            ("--max-upload-bytes 0", "max_upload_bytes"),
            ("--device tpu", "unknown device 'tpu'"),
            ("--vad webrtc", "unknown voice detector 'webrtc'"),
            ("--beam-size 17", "--beam-size must lie between 1 and 16"),
            ("--beam-size 5 --patience 0", "--patience must lie between"),
            ("--length-penalty 0.5", "--length-penalty is about beam search"),
            ("--cors-origins example.org", "'example.org' in cors_origins"),
            ("--cors-origins https://example.org/path", "cors_origins"),
            ("--api-key-file /nowhere/at/all", "cannot be read"),
            ("--idle-unload 0", "idle_unload"),
            ("--url-timeout 0", "url_timeout"),
            ("--otlp-endpoint ftp://collector:4318", "otlp_endpoint"),
        ] {
            let error = Settings::from_given(flags(text)).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn keys_are_never_shown() {
        let settings = Settings::from_given(flags("--api-keys sesame,open")).unwrap();
        assert_eq!(settings.api_keys.len(), 2);
        assert!(!format!("{settings:?}").contains("sesame"));
        assert!(!format!("{:?}", flags("--api-keys sesame")).contains("sesame"));
    }

    #[test]
    fn a_key_file_has_comments_and_is_never_empty() {
        let keys = tempfile::NamedTempFile::new().unwrap();
        fs::write(keys.path(), "# team\none\n\n two \n").unwrap();
        assert_eq!(keys_of(keys.path()).unwrap().len(), 2);
        fs::write(keys.path(), "# nobody\n").unwrap();
        assert!(keys_of(keys.path()).is_err());
    }
}
