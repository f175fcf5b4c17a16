//! The channels of a recording one by one, for recordings that give each speaker a channel of their own.

use std::path::Path;

use super::{
    Decoded, Limits, Mix, SILENT, finish, movie,
    movie::Movie,
    naming, open, refuse_foreign, run,
    source::Source,
    stream::Outcome,
    track::{self, Choice},
};
use crate::{
    audio::Audio,
    error::{Error, Result},
    progress::Watch,
    span::seconds_of,
};

/// More channels than this are no speakers but the places of a cinema or an array of microphones.
pub const MOST_CHANNELS: usize = 8;

/// As [`decode_file`](super::decode_file), with every channel for itself: `audio` is the first one and
/// [`others`](Decoded::others) are the rest, all of one length. The file is read once for each channel, so that memory
/// beyond the samples stays bounded; the limit of seconds is that of all channels together.
///
/// # Errors
/// As [`decode_file`](super::decode_file); [`Error::Audio`] for more than [`MOST_CHANNELS`] channels.
pub fn decode_file_channels(path: &Path, limits: &Limits, watch: &Watch<'_>) -> Result<Decoded> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    Source::open(path, limits)
        .and_then(|source| decode(&source, extension, limits, watch))
        .map_err(|error| naming(path, error))
}

fn decode(source: &Source, extension: Option<&str>, limits: &Limits, watch: &Watch<'_>) -> Result<Decoded> {
    watch.check()?;
    refuse_foreign(source)?;
    let movie = movie::read(source)?;
    let choices = track::choices(open(source, &movie, extension)?.as_ref(), &movie)?;
    let mut silent = None;
    for choice in &choices {
        let outcomes = apart(source, &movie, choice, limits, watch)?;
        if outcomes.iter().any(|outcome| outcome.downmix.peak() > SILENT) {
            return join(choice, outcomes);
        }
        // Where all tracks are silent, the first one is the recording.
        silent.get_or_insert((choice, outcomes));
    }
    let (choice, outcomes) = silent.ok_or_else(|| Error::Bug("a list of tracks without a track".into()))?;
    join(choice, outcomes)
}

/// What comes out of each channel of a track.
fn apart(source: &Source, movie: &Movie, choice: &Choice, limits: &Limits, watch: &Watch<'_>) -> Result<Vec<Outcome>> {
    let first = run(source, movie, choice, Mix::Apart(0), limits, watch)?;
    let channels = first.channels;
    if channels > MOST_CHANNELS {
        return Err(Error::Audio(format!(
            "the recording has {channels} channels, more than the {MOST_CHANNELS} that can be a speaker each; mix them"
        )));
    }
    let seconds = seconds_of(first.samples.len()) * channels as f64;
    if let Some(most) = limits.max_seconds.filter(|most| seconds > *most) {
        return Err(Error::TooLarge(format!(
            "the {channels} channels together are longer than the limit of {most} seconds; mix them, or send the recording in parts"
        )));
    }
    let mut outcomes = vec![first];
    for channel in 1..channels {
        outcomes.push(run(source, movie, choice, Mix::Apart(channel), limits, watch)?);
    }
    Ok(outcomes)
}

/// The channels in one result; what is wrong with several of them is told once.
fn join(choice: &Choice, outcomes: Vec<Outcome>) -> Result<Decoded> {
    let mut outcomes = outcomes.into_iter();
    let first = outcomes.next().ok_or_else(|| Error::Bug("a recording without its first channel".into()))?;
    let mut warnings = Vec::new();
    if choice.ordinal > 1 {
        warnings.push(track::later_was_used(choice));
    }
    let mut joined = finish(choice, first, warnings)?;
    for outcome in outcomes {
        let other = finish(choice, outcome, Vec::new())?;
        for warning in other.warnings {
            if !joined.warnings.contains(&warning) {
                joined.warnings.push(warning);
            }
        }
        joined.others.push(other.audio);
    }
    Ok(joined)
}

impl Decoded {
    /// Its channels, where each was decoded for itself; otherwise the mix of them.
    pub fn apart(&self) -> impl Iterator<Item = &Audio> {
        std::iter::once(&self.audio).chain(&self.others)
    }

    /// Seconds of samples that it holds, all channels together.
    pub fn seconds(&self) -> f64 {
        self.apart().map(Audio::duration).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 16-bit file at 16 kHz in which channel n holds the value n * 1000.
    fn wave(channels: u16, frames: u32) -> tempfile::NamedTempFile {
        let bytes = frames * u32::from(channels) * 2;
        let mut file = b"RIFF".to_vec();
        file.extend((36 + bytes).to_le_bytes());
        file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
        file.extend(channels.to_le_bytes());
        file.extend(16_000u32.to_le_bytes());
        file.extend((32_000 * u32::from(channels)).to_le_bytes());
        file.extend((2 * channels).to_le_bytes());
        file.extend(b"\x10\0data");
        file.extend(bytes.to_le_bytes());
        for _ in 0..frames {
            (0..channels).for_each(|channel| file.extend((channel as i16 * 1000).to_le_bytes()));
        }
        let place = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
        std::fs::write(place.path(), file).unwrap();
        place
    }

    fn decoded(channels: u16, frames: u32, max_seconds: Option<f64>) -> Result<Decoded> {
        let limits = Limits { max_seconds, max_bytes: None };
        decode_file_channels(wave(channels, frames).path(), &limits, &Watch::silent())
    }

    #[test]
    fn each_channel_has_its_own_samples() {
        for channels in [1, 2, 3, 8] {
            let found = decoded(channels, 4000, None).unwrap();
            assert_eq!((found.channels, found.apart().count()), (usize::from(channels), usize::from(channels)));
            assert_eq!(found.warnings, [""; 0]);
            for (channel, audio) in found.apart().enumerate() {
                assert_eq!(audio.samples().len(), 4000);
                let expected = channel as f32 * 1000.0 / 32_768.0;
                assert!(audio.samples().iter().all(|sample| (sample - expected).abs() < 1e-4), "channel {channel}");
            }
            assert_eq!(found.seconds(), 0.25 * f64::from(channels));
        }
    }

    #[test]
    fn channels_and_their_seconds_are_bounded() {
        let error = decoded(9, 100, None).unwrap_err();
        assert!(matches!(&error, Error::Audio(sentence) if sentence.contains("9 channels")), "{error}");
        assert!(decoded(2, 16_000, Some(2.0)).is_ok());
        let error = decoded(2, 16_000, Some(1.5)).unwrap_err();
        assert!(matches!(&error, Error::TooLarge(sentence) if sentence.contains("2 channels together")), "{error}");
    }

    #[test]
    fn silence_and_no_samples_are_channels_too() {
        assert_eq!(decoded(1, 16_000, None).unwrap().apart().count(), 1);
        let empty = decoded(2, 0, None).unwrap();
        assert!(empty.seconds() == 0.0 && empty.warnings.iter().any(|warning| warning.contains("no samples")));
    }
}
