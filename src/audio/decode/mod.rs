//! From any recording to 16 kHz mono samples.
//!
//! Symphonia takes containers and most codecs apart, ropus does Opus, syom does AAC, and the readers of the simplest containers (WAVE, AU)
//! are here because they must put up with headers that lie. What a file is gets decided by its content alone. A file is
//! read, decoded, mixed down and resampled in blocks: nothing of it is held at its own rate, so that memory beyond the
//! 16 kHz samples stays bounded whatever its length.
//!
//! Invariants: nothing panics on any input; every refusal is one sentence that says what is wrong and what to do; what
//! could be decoded of a damaged file is kept and every loss is told in a warning.

mod aac;
mod au;
mod channels;
mod downmix;
mod movie;
mod opus;
mod pcm;
mod raw;
mod sniff;
mod source;
mod stream;
mod timeline;
mod track;
mod wave;

use std::path::Path;

use symphonia::core::{
    errors::Error as MediaError,
    formats::{
        FormatReader,
        probe::{Hint, Probe},
    },
};

pub use self::{
    channels::{MOST_CHANNELS, decode_file_channels},
    raw::decode_raw,
};
use self::{
    downmix::Mix,
    movie::Movie,
    pcm::PcmReader,
    sniff::Foreign,
    source::Source,
    stream::{Outcome, Stop, TrackStream, contained},
    track::{Choice, REMEDY},
};
use super::Audio;
use crate::{
    error::{Error, Result},
    progress::Watch,
    span::seconds_of,
};

/// A track this quiet throughout holds nothing: 80 dB below full scale.
const SILENT: f32 = 1e-4;

/// Samples above this come from a writer that took another scale for full scale; they are scaled down to 1.
const OVERSCALED: f32 = 8.0;

/// A file may end this much before its stated end without a warning: a part of the length, and at least half a second.
const TOLERATED_LOSS: f64 = 0.02;

/// What a recording may cost; a recording beyond it is refused.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Seconds of audio at most; `None` means no limit.
    pub max_seconds: Option<f64>,
    /// Bytes of the file at most; `None` means no limit.
    pub max_bytes: Option<u64>,
}

/// A decoded recording.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The samples: mono, 16 kHz. The mix of all channels, or the first one where each was decoded for itself.
    pub audio: Audio,
    /// The other channels, where each was decoded for itself.
    pub others: Vec<Audio>,
    /// What was lost or assumed, a sentence each.
    pub warnings: Vec<String>,
    /// The codec's usual name, such as "AAC-LC".
    pub codec: String,
    /// The sample rate of the recording as decoded, in Hz; Opus is decoded at 16000. 0 when it holds no samples.
    pub source_rate: u32,
    /// Its channels before the downmix. 0 when it holds no samples.
    pub channels: usize,
}

/// Decodes the first audio track of a file.
///
/// # Errors
/// [`Error::Audio`] naming the file: it cannot be read, is no audio, is of an unsupported format, holds nothing that can
/// be decoded. [`Error::TooLarge`] when it exceeds `limits`, [`Error::Cancelled`] once `watch` is cancelled.
pub fn decode_file(path: &Path, limits: &Limits, watch: &Watch<'_>) -> Result<Decoded> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    Source::open(path, limits)
        .and_then(|source| decode(&source, extension, limits, watch))
        .map_err(|error| naming(path, error))
}

/// Refuses at a glance what [`decode_file`] would refuse by its first bytes. What is no regular file, such as a pipe,
/// passes unseen, since it can be read only once.
///
/// # Errors
/// [`Error::Audio`] naming the file: missing, a folder, unreadable, empty, or no audio.
pub fn check_file(path: &Path, limits: &Limits) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return Ok(());
    }
    Source::open(path, limits).and_then(|source| refuse_foreign(&source)).map_err(|error| naming(path, error))
}

fn naming(path: &Path, error: Error) -> Error {
    match error {
        Error::Audio(sentence) => Error::Audio(format!("{}: {sentence}", path.display())),
        Error::TooLarge(sentence) => Error::TooLarge(format!("{}: {sentence}", path.display())),
        other => other,
    }
}

/// Decodes the first audio track of a file in memory; `extension` of its name, where known, serves error messages alone.
///
/// # Errors
/// As [`decode_file`], without the name.
pub fn decode_bytes(bytes: Vec<u8>, extension: Option<&str>, limits: &Limits, watch: &Watch<'_>) -> Result<Decoded> {
    decode(&Source::memory(bytes, limits)?, extension, limits, watch)
}

fn decode(source: &Source, extension: Option<&str>, limits: &Limits, watch: &Watch<'_>) -> Result<Decoded> {
    watch.check()?;
    refuse_foreign(source)?;
    let movie = movie::read(source)?;
    let choices = track::choices(open(source, &movie, extension)?.as_ref(), &movie)?;
    let (choice, outcome) = first_audible(source, &movie, &choices, limits, watch)?;
    let mut warnings = Vec::new();
    if choice.ordinal > 1 {
        warnings.push(track::later_was_used(choice));
    }
    finish(choice, outcome, warnings)
}

/// The first track that is not silent, or the first one where all are.
fn first_audible<'a>(
    source: &Source,
    movie: &Movie,
    choices: &'a [Choice],
    limits: &Limits,
    watch: &Watch<'_>,
) -> Result<(&'a Choice, Outcome)> {
    let mut silent = None;
    for (index, choice) in choices.iter().enumerate() {
        let mut outcome = run(source, movie, choice, Mix::Mean, limits, watch)?;
        if let Some(loudest) = outcome.downmix.cancelled() {
            drop(outcome);
            outcome = run(source, movie, choice, Mix::Only(loudest), limits, watch)?;
        }
        if outcome.downmix.peak() > SILENT {
            return Ok((choice, outcome));
        }
        if index + 1 < choices.len() {
            // Only its length is needed while the others are tried.
            let length = outcome.samples.len();
            outcome.samples = Vec::new();
            silent.get_or_insert((choice, outcome, length));
        } else if silent.is_none() {
            return Ok((choice, outcome));
        }
    }
    let (choice, mut outcome, length) = silent.ok_or_else(|| Error::Bug("a list of tracks without a track".into()))?;
    outcome.samples = vec![0.0; length];
    Ok((choice, outcome))
}

fn run(
    source: &Source,
    movie: &Movie,
    choice: &Choice,
    mix: Mix,
    limits: &Limits,
    watch: &Watch<'_>,
) -> Result<Outcome> {
    // Opus drops its run-in itself; the edit list tells of it again.
    let edit = movie
        .tracks
        .get(choice.index)
        .and_then(|track| track.edit)
        .map(|edit| if choice.codec == "Opus" { movie::Edit { skip: 0.0, ..edit } } else { edit });
    let mut stream = TrackStream::new(open(source, movie, None)?, choice, edit, mix, limits)?;
    stream.reserve(source.length()?);
    stream.run(watch)
}

/// Turns what came out of a track into the result, or into the sentence that says why nothing did.
fn finish(choice: &Choice, mut outcome: Outcome, mut warnings: Vec<String>) -> Result<Decoded> {
    if outcome.good_packets == 0
        && let Some(error) = &outcome.first_error
    {
        return Err(Error::Audio(format!(
            "none of the file's {} could be decoded ({error}); it is damaged",
            choice.codec
        )));
    }
    warnings.extend(losses(choice, &outcome));
    if let Mix::Only(index) = outcome.downmix.mix() {
        warnings.push(format!("the channels cancel each other out; channel {} was used alone", index + 1));
    }
    let peak = outcome.downmix.peak();
    if peak > OVERSCALED {
        outcome.samples.iter_mut().for_each(|sample| *sample /= peak);
        warnings.push(format!("the samples reach {peak:.0} times full scale and were scaled down to it"));
    }
    if outcome.samples.is_empty() {
        warnings.push("the file holds no samples".into());
    }
    Ok(Decoded {
        audio: Audio::new(outcome.samples),
        others: Vec::new(),
        warnings,
        codec: choice.codec.to_owned(),
        source_rate: outcome.source_rate,
        channels: outcome.channels,
    })
}

/// A sentence for everything that was lost on the way.
fn losses(choice: &Choice, outcome: &Outcome) -> Vec<String> {
    let mut losses = Vec::new();
    let done = seconds_of(outcome.samples.len());
    let muted = outcome.downmix.muted();
    if muted > 0 {
        losses.push(format!("{muted} samples were not numbers or absurdly large and were replaced by silence"));
    }
    if outcome.bad_packets > 0 {
        let all = outcome.bad_packets + outcome.good_packets;
        losses.push(format!("{} of {all} packets were damaged and left out", outcome.bad_packets));
    }
    match &outcome.stop {
        Some(Stop::CutShort) => losses.push(format!("the file is cut short: its first {done:.1} s were decoded")),
        Some(Stop::Damaged(error)) => {
            losses.push(format!("the file is damaged after {done:.1} s and was decoded up to there ({error})"));
        }
        None => {}
    }
    match choice.seconds {
        Some(stated) if outcome.stop.is_none() && done + (stated * TOLERATED_LOSS).max(0.5) < stated => {
            losses.push(format!(
                "the file's header promises {stated:.1} s, but it holds {done:.1} s; it may be cut short"
            ));
        }
        _ => {}
    }
    losses
}

fn refuse_foreign(source: &Source) -> Result<()> {
    let head = source.read_at(0, sniff::HEAD_BYTES)?;
    if head.is_empty() {
        return Err(Error::Audio("the file is empty; send a recording".into()));
    }
    match sniff::foreign(&head) {
        Some(Foreign::NotAudio(what)) => {
            Err(Error::Audio(format!("the file holds {what}, not audio; send a recording")))
        }
        Some(Foreign::Unsupported(what)) => {
            Err(Error::Audio(format!("the file holds {what}, which is not supported; {REMEDY}")))
        }
        None => Ok(()),
    }
}

/// Finds out what the file is and reads its header.
fn open(source: &Source, movie: &Movie, extension: Option<&str>) -> Result<Box<dyn FormatReader + 'static>> {
    if movie.is_mp4 && !movie.has_index {
        return Err(Error::Audio(
            "the file is an MP4 recording without its index (moov), which is written last: it was cut off or never \
             finished and cannot be played"
                .into(),
        ));
    }
    let stream = source.stream()?;
    contained(|| probe().probe(&Hint::new(), stream, Default::default(), Default::default())).map_err(|error| {
        let claimed = extension.and_then(sniff::headerless);
        Error::Audio(match (error, claimed) {
            (MediaError::Unsupported("core (probe): no suitable format reader found"), None) => format!(
                "no audio format is recognised in the file; WAV, FLAC, MP3, AAC, ALAC, Vorbis and Opus are understood, \
                 alone or inside MP4, MOV, MKV, WebM, Ogg, AIFF, CAF or AU; {REMEDY}"
            ),
            (MediaError::Unsupported("core (probe): no suitable format reader found"), Some(format)) => {
                format!("the file claims to be {format} without a header, which is not supported; {REMEDY}")
            }
            // Symphonia's own words name the part of it that refused.
            (MediaError::Unsupported(feature), _) if feature.contains(": ") => {
                format!("the file uses something that is not supported ({feature}); {REMEDY}")
            }
            (MediaError::Unsupported(feature), _) => {
                format!("the file holds {feature}, which is not supported; {REMEDY}")
            }
            (MediaError::DecodeError(detail), _) => format!("the file's header is damaged: {detail}"),
            (MediaError::IoError(error), _) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                "the file ends inside its header; it is cut short".into()
            }
            (error, _) => format!("the file cannot be read as audio: {error}"),
        })
    })
}

/// Every container that is understood; the readers here come before symphonia's own of the same formats.
fn probe() -> Probe {
    let mut probe = Probe::new();
    probe.register_format_at_tier::<PcmReader<'_>>(symphonia::core::common::Tier::Preferred);
    symphonia::default::register_enabled_formats(&mut probe);
    probe
}
