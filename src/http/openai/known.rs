//! Known speakers: names, and a few seconds of each of their voices as data: URLs.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::{
    audio::{
        Audio,
        decode::{Limits, decode_bytes},
    },
    engine::Engine,
    error::Error,
    http::failure::Failure,
    progress::Watch,
    stages::identify::{KnownVoices, checked_name},
};

/// The fields.
const NAMES: &str = "known_speaker_names";
const REFERENCES: &str = "known_speaker_references";
/// Known speakers of one request.
const MOST: usize = 4;
/// Seconds of a reference, from and to.
const SECONDS: (f64, f64) = (2.0, 10.0);
/// A lossy codec gives back a little more or less than went in, in seconds.
const CODEC_SLACK: f64 = 0.1;

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One known speaker as sent: nothing is decoded yet.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownSpeaker {
    /// What the speaker is to be called.
    pub name: String,
    /// A file of the speaker's voice.
    pub recording: Vec<u8>,
}

/// Pairs names and references; a name that is given twice has two references.
///
/// # Errors
/// 400 with the field's name when they are not as many, are too many, or cannot be.
pub fn read<T: AsRef<str>>(names: &[T], references: &[T]) -> Result<Vec<KnownSpeaker>, Failure> {
    if names.len() > MOST {
        let message = format!("known_speaker_names[] takes at most {MOST} names, not {}", names.len());
        return Err(Failure::request(message).about(NAMES));
    }
    if names.len() != references.len() {
        let message = format!(
            "known_speaker_references[] must hold one recording for each of known_speaker_names[]: there are {} names and {} recordings",
            names.len(),
            references.len()
        );
        return Err(Failure::request(message).about(REFERENCES));
    }
    let mut speakers: Vec<KnownSpeaker> = Vec::with_capacity(names.len());
    for (index, (name, reference)) in names.iter().zip(references).enumerate() {
        let name = checked_name(name.as_ref())
            .map_err(|reason| Failure::request(format!("known_speaker_names[{index}]: {reason}")).about(NAMES))?;
        let recording = data_url(reference.as_ref()).map_err(|what| wrong(index, what))?;
        speakers.push(KnownSpeaker { name, recording });
    }
    Ok(speakers)
}

/// The bytes of `data:audio/wav;base64,...`.
fn data_url(text: &str) -> Result<Vec<u8>, &'static str> {
    const FORM: &str = "must be a data URL such as data:audio/wav;base64,UklGR...";
    let text = text.trim();
    let rest = match text.get(..5) {
        Some(scheme) if scheme.eq_ignore_ascii_case("data:") => &text[5..],
        _ => return Err(FORM),
    };
    let (media, data) = rest.split_once(',').ok_or(FORM)?;
    if !media.rsplit(';').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("base64")) {
        return Err("must be encoded in base64: write ;base64 before the comma");
    }
    let data: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if data.is_empty() {
        return Err("is empty; put the recording after the comma");
    }
    BASE64.decode(&data).map_err(|_| "is not base64 after the comma; encode the bytes of the file again")
}

fn wrong(index: usize, what: &str) -> Failure {
    Failure::request(format!("known_speaker_references[{index}] {what}")).about(REFERENCES)
}

/// Listens to every reference. Blocks.
///
/// # Errors
/// 400 with the field's name for a recording that cannot be decoded, is too short or too long, or holds no speech;
/// otherwise as [`Engine::voice`].
pub fn hear(speakers: &[KnownSpeaker], engine: &Engine, watch: &Watch) -> Result<KnownVoices, Failure> {
    let mut known = KnownVoices::default();
    for (index, speaker) in speakers.iter().enumerate() {
        let audio = decoded(index, speaker.recording.clone(), watch)?;
        let voice = engine.voice(&audio, watch).map_err(|error| about(index, error))?;
        known.add(&speaker.name, voice, &format!("known_speaker_references[{index}]"));
    }
    Ok(known)
}

/// The samples of a reference of an allowed length.
fn decoded(index: usize, recording: Vec<u8>, watch: &Watch) -> Result<Audio, Failure> {
    // The limit bounds the work; the sentence about lengths is told by this function alone.
    let limits = Limits { max_seconds: Some(SECONDS.1 * 6.0), max_bytes: None };
    let audio = match decode_bytes(recording, None, &limits, watch) {
        Ok(decoded) => decoded.audio,
        Err(error) => return Err(about(index, error)),
    };
    let seconds = audio.duration();
    if (SECONDS.0 - CODEC_SLACK..=SECONDS.1 + CODEC_SLACK).contains(&seconds) {
        return Ok(audio);
    }
    Err(wrong(index, &format!("must last {} to {} seconds, not {seconds:.1}; cut it", SECONDS.0, SECONDS.1)))
}

/// Errors that the caller can mend name the reference.
fn about(index: usize, error: Error) -> Failure {
    let naming = |text: String| format!("known_speaker_references[{index}]: {text}");
    let failure: Failure = match error {
        Error::Request(text) => Error::Request(naming(text)).into(),
        Error::Audio(text) => Error::Audio(naming(text)).into(),
        other => other.into(),
    };
    failure.about(REFERENCES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(names: &[&str], references: &[&str]) -> (String, Option<String>) {
        let failure = read(names, references).unwrap_err();
        (failure.message, failure.param)
    }

    #[test]
    fn data_urls_are_read_with_and_without_padding_and_parameters() {
        for url in [
            "data:audio/wav;base64,UklGRg==",
            "data:audio/wav;base64,UklGRg",
            "DATA:;base64,Ukl\nGRg==",
            "data:audio/ogg;codecs=opus;base64,UklGRg==",
        ] {
            let found = read(&["agent"], &[url]).unwrap();
            assert_eq!(found, [KnownSpeaker { name: "agent".into(), recording: b"RIFF".to_vec() }], "{url}");
        }
        assert_eq!(read::<&str>(&[], &[]), Ok(vec![]));
    }

    #[test]
    fn what_is_no_data_url_is_refused_by_its_place() {
        let good = "data:audio/wav;base64,UklGRg==";
        for (url, said) in [
            ("https://example.com/a.wav", "must be a data URL"),
            ("data:audio/wav;base64", "must be a data URL"),
            ("", "must be a data URL"),
            ("dätä:", "must be a data URL"),
            ("data:audio/wav,RIFF", "must be encoded in base64"),
            ("data:audio/wav;base64,", "is empty"),
            ("data:audio/wav;base64,U*kl", "is not base64"),
        ] {
            let (message, param) = refusal(&["a", "b"], &[good, url]);
            assert!(message.starts_with("known_speaker_references[1] ") && message.contains(said), "{url}: {message}");
            assert_eq!(param.as_deref(), Some(REFERENCES));
        }
    }

    #[test]
    fn names_and_references_go_together() {
        let url = "data:audio/wav;base64,UklGRg==";
        assert!(refusal(&["a"], &[]).0.contains("1 names and 0 recordings"));
        assert!(refusal(&[], &[url]).0.contains("0 names and 1 recordings"));
        let (message, param) = refusal(&["a"; 5], &[url; 5]);
        assert!(message.contains("at most 4"), "{message}");
        assert_eq!(param.as_deref(), Some(NAMES));
        assert_eq!(read(&["a", " a "], &[url; 2]).unwrap()[1].name, "a", "two references of one speaker");
        assert_eq!(refusal(&["a", "SPEAKER_01"], &[url; 2]).1.as_deref(), Some(NAMES));
        assert_eq!(refusal(&["  "], &[url]).1.as_deref(), Some(NAMES));
    }

    #[test]
    fn references_are_two_to_ten_seconds_long() {
        let length = |seconds: f64| decoded(2, wave(seconds), &Watch::silent()).map(|audio| audio.duration());
        for seconds in [2.0, 5.0, 10.0, 10.05] {
            assert_eq!(length(seconds), Ok(seconds));
        }
        for seconds in [0.5, 10.5, 59.0] {
            let failure = length(seconds).unwrap_err();
            assert!(failure.message.contains("known_speaker_references[2] must last 2 to 10 seconds"), "{failure}");
            assert_eq!(failure.param.as_deref(), Some(REFERENCES));
        }
        let failure = decoded(0, b"not audio at all".to_vec(), &Watch::silent()).unwrap_err();
        assert!(failure.message.starts_with("known_speaker_references[0]: "), "{failure}");
        assert_eq!((failure.status.as_u16(), failure.param.as_deref()), (400, Some(REFERENCES)));
    }

    /// A 16-bit file with a tone.
    fn wave(seconds: f64) -> Vec<u8> {
        let samples: Vec<u8> = (0..(seconds * 16_000.0).round() as u32)
            .flat_map(|n| (((f64::from(n) * 0.1).sin() * 8000.0).round() as i16).to_le_bytes())
            .collect();
        let mut file = b"RIFF".to_vec();
        file.extend((36 + samples.len() as u32).to_le_bytes());
        file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        file.extend(16_000u32.to_le_bytes());
        file.extend(32_000u32.to_le_bytes());
        file.extend(b"\x02\0\x10\0data");
        file.extend((samples.len() as u32).to_le_bytes());
        file.extend(samples);
        file
    }
}
