//! What the stages are given: speech where the sample recording can be had, else something like it.

use std::f32::consts::TAU;

use palabra::{
    Result,
    audio::{
        Audio, Chunk,
        decode::{Limits, decode_file},
    },
    progress::Watch,
    span::SAMPLE_RATE,
    weights::Store,
};

/// Samples of a chunk.
pub const CHUNK: usize = 30 * SAMPLE_RATE;

/// Thirty seconds that batches are made of.
#[derive(Debug)]
pub struct Input {
    samples: Vec<f32>,
    /// Whether anybody speaks in it.
    pub speech: bool,
}

impl Input {
    /// The sample recording, fetched where it is not there; else hums and hisses.
    ///
    /// # Errors
    /// When the recording is there and cannot be read; [`palabra::Error::Cancelled`].
    pub fn new(store: &Store, watch: &Watch) -> Result<Self> {
        match store.fetch("sample", watch) {
            Ok(folder) => {
                let decoded = decode_file(&folder.join("sample.wav"), &Limits::default(), watch)?;
                let samples = decoded.audio.samples().iter().copied().cycle().take(CHUNK).collect();
                Ok(Self { samples, speech: true })
            }
            Err(palabra::Error::Cancelled) => Err(palabra::Error::Cancelled),
            Err(_) => Ok(Self::synthetic()),
        }
    }

    /// Harmonics of a voice whose pitch and strength wander four times a second, in noise.
    pub fn synthetic() -> Self {
        let mut state = 0x2545_F491_u32;
        let mut noise = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 - 0.5
        };
        let mut phase = 0f32;
        let sample = |index: usize| {
            let seconds = index as f32 / SAMPLE_RATE as f32;
            let pitch = 120.0 + 30.0 * (TAU * 0.7 * seconds).sin();
            phase = (phase + TAU * pitch / SAMPLE_RATE as f32) % TAU;
            let strength = 0.5 + 0.5 * (TAU * 4.0 * seconds).sin();
            let voice: f32 = (1..=12).map(|harmonic| (harmonic as f32 * phase).sin() / harmonic as f32).sum();
            0.1 * strength * voice + 0.02 * noise()
        };
        Self { samples: (0..CHUNK).map(sample).collect(), speech: false }
    }

    /// A chunk of a batch: no two begin at the same moment.
    pub fn chunk(&self, index: usize) -> Chunk {
        let start = index * SAMPLE_RATE % CHUNK;
        let samples = [&self.samples[start..], &self.samples[..start]].concat();
        Chunk { audio: Audio::new(samples), offset: 0.0, speech: Vec::new() }
    }

    /// A recording of so many chunks.
    pub fn recording(&self, chunks: usize) -> Audio {
        Audio::new(self.samples.iter().copied().cycle().take(chunks * CHUNK).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_full_and_differ() {
        let input = Input::synthetic();
        let (one, other) = (input.chunk(0), input.chunk(1));
        assert_eq!((one.audio.samples().len(), other.audio.samples().len()), (CHUNK, CHUNK));
        assert_eq!(one.audio.samples()[SAMPLE_RATE], other.audio.samples()[0]);
        assert_ne!(one.audio.samples()[0], other.audio.samples()[0]);
        assert_eq!(input.recording(3).samples().len(), 3 * CHUNK);
        let loudest = one.audio.samples().iter().fold(0f32, |loudest, sample| loudest.max(sample.abs()));
        assert!((0.05..1.0).contains(&loudest), "{loudest}");
    }
}
