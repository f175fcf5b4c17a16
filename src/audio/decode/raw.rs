//! Samples without any header: 16-bit little-endian, mono, 16 kHz, as `ffmpeg -f s16le -ac 1 -ar 16000` writes them.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read as _},
    path::Path,
};

use super::{Decoded, Limits};
use crate::{
    audio::Audio,
    error::{Error, Result},
    progress::Watch,
    span::seconds_of,
};

/// Bytes of a sample.
const SAMPLE: usize = 2;
/// Bytes that are read between two looks at the watch.
const BLOCK: usize = 1 << 20;

/// Reads a file of bare samples: nothing in it says what it is, so the caller must know.
///
/// # Errors
/// [`Error::Audio`] when it cannot be read, is empty, has half a sample at its end, or is a WAVE file, whose header is no
/// sound. [`Error::TooLarge`] when it is longer than `limits` allow, [`Error::Cancelled`].
pub fn decode_raw(path: &Path, limits: &Limits, watch: &Watch<'_>) -> Result<Decoded> {
    let unreadable = |error: std::io::Error| Error::Audio(format!("the samples cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length == 0 {
        return Err(Error::Audio("the file is empty; send a recording".into()));
    }
    if !length.is_multiple_of(SAMPLE as u64) {
        return Err(Error::Audio(format!(
            "{length} bytes are no whole number of 16-bit samples; send raw s16le at 16 kHz in mono, or the file as it is \
             with encode=true"
        )));
    }
    let samples = usize::try_from(length / SAMPLE as u64).unwrap_or(usize::MAX);
    match limits.max_seconds {
        Some(most) if seconds_of(samples) > most => {
            return Err(Error::TooLarge(format!(
                "the audio is longer than the limit of {most} seconds; send it in parts"
            )));
        }
        _ => {}
    }
    Ok(Decoded {
        others: Vec::new(),
        audio: Audio::new(read(BufReader::new(file), samples, watch)?),
        warnings: Vec::new(),
        codec: "PCM".into(),
        source_rate: 16_000,
        channels: 1,
    })
}

fn read(mut file: BufReader<File>, expected: usize, watch: &Watch<'_>) -> Result<Vec<f32>> {
    let mut samples = Vec::with_capacity(expected);
    let mut block = Vec::new();
    while samples.len() < expected {
        watch.check()?;
        block.resize(BLOCK.min((expected - samples.len()) * SAMPLE), 0);
        file.read_exact(&mut block).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Error::Audio("the samples end early; send them again".into()),
            _ => Error::Audio(format!("the samples cannot be read: {error}")),
        })?;
        if samples.is_empty() && block.starts_with(b"RIFF") && block.get(8..12) == Some(b"WAVE") {
            return Err(Error::Audio("this is a WAVE file, not raw samples; send it with encode=true".into()));
        }
        samples.extend(block.as_chunks().0.iter().map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32768.0));
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn decoded(bytes: &[u8], max_seconds: Option<f64>) -> Result<Decoded> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        decode_raw(file.path(), &Limits { max_seconds, max_bytes: None }, &Watch::silent())
    }

    #[test]
    fn samples_are_scaled_to_one_across_blocks() {
        let pattern = [0i16, 16384, -32768, 32767].map(i16::to_le_bytes).concat();
        let decoded = decoded(&pattern.repeat(BLOCK / 4), None).unwrap();
        let samples = decoded.audio.samples();
        assert_eq!(samples.len(), BLOCK);
        assert!(samples.chunks(4).all(|chunk| chunk == [0.0, 0.5, -1.0, 32767.0 / 32768.0]));
        assert_eq!(decoded.audio.duration(), BLOCK as f64 / 16_000.0);
    }

    #[test]
    fn what_cannot_be_raw_samples_is_refused() {
        for (bytes, said) in [(&b""[..], "empty"), (b"abc", "3 bytes"), (b"RIFF\x24\0\0\0WAVEfmt ", "encode=true")] {
            let error = decoded(bytes, None).unwrap_err();
            assert!(matches!(&error, Error::Audio(text) if text.contains(said)), "{error}");
        }
        assert!(matches!(decoded(&[0; 32_002], Some(1.0)), Err(Error::TooLarge(_))));
        assert!(decoded(&[0; 32_000], Some(1.0)).is_ok());
    }
}
