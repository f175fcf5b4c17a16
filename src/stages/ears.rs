//! The aligner as a stage: stretches of audio of many requests in, what is heard in each of them out.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::{
    align::{Emissions, FRAMES_PER_SECOND, Hearing},
    spectrogram::spectrograms,
    stage::{Key, Stage},
};
use crate::{
    audio::{Audio, mel::LogMel},
    device::Compute,
    error::{Error, Result},
    language::Language,
    models::{
        aligner::{Aligner, Heard},
        labels::Labels,
        wav2vec2::Wav2Vec2,
        whisper::{Encoder, MEL_FRAMES},
    },
    ops::profile,
};

/// Stretches heard together on a GPU.
const BATCH_ON_GPU: usize = 16;
/// And on a CPU, where more would only cost memory.
const BATCH_ON_CPU: usize = 2;

/// Something to listen to.
#[derive(Debug, Clone)]
pub struct Listen {
    /// At most 30 s.
    pub audio: Audio,
    /// What is spoken in it.
    pub language: Language,
}

/// A network that hears characters.
#[derive(Debug)]
pub enum Network {
    /// Heads on the encoder that they were trained on.
    Heads {
        /// The encoder.
        encoder: Encoder,
        /// What it reads.
        mel: LogMel,
        /// One for every language, or several.
        heads: Vec<Arc<Aligner>>,
    },
    /// A network of its own.
    Ctc {
        /// The network.
        network: Box<Wav2Vec2>,
        /// What its outputs stand for.
        labels: Labels,
    },
}

impl Network {
    fn emissions(&self, jobs: &[&Listen], compute: &Compute) -> Result<Vec<Emissions>> {
        match self {
            Network::Heads { encoder, mel, heads } => {
                let chunks: Vec<&[f32]> = jobs.iter().map(|job| job.audio.samples()).collect();
                let mel = spectrograms(mel, &chunks, &compute.device, DType::F32)?;
                let taps = taps(heads)?;
                // The heads read the features as they are, the encoder in its own numbers.
                let (_, states) = encoder.forward_tapped(&mel.to_dtype(compute.dtype)?, taps)?;
                let one = |(index, job): (usize, &&Listen)| {
                    let head = head(heads, job.language)
                        .ok_or_else(|| Error::Bug(format!("no head hears {}", job.language)))?;
                    let of_job = |tensor: &Tensor| tensor.narrow(0, index, 1);
                    let states = states.iter().map(of_job).collect::<candle_core::Result<Vec<_>>>()?;
                    emissions(head, &of_job(&mel)?, &states, frames(&job.audio))
                };
                jobs.iter().enumerate().map(one).collect()
            }
            Network::Ctc { network, labels } => {
                let waves: Vec<&[f32]> = jobs.iter().map(|job| job.audio.samples()).collect();
                let heard = network.forward(&waves)?.into_iter();
                heard.map(|heard| Ok(Emissions::new(&heard.flatten_all()?.to_vec1::<f32>()?, None, labels))).collect()
            }
        }
    }
}

/// The head for a language.
pub fn head(heads: &[Arc<Aligner>], language: Language) -> Option<&Arc<Aligner>> {
    heads.iter().find(|head| head.config.languages.iter().any(|code| code == language.code()))
}

/// The blocks whose states the heads read; all of them read the same.
pub(super) fn taps(heads: &[Arc<Aligner>]) -> Result<&[usize]> {
    let first = heads.first().map(|head| head.config.taps.as_slice()).unwrap_or_default();
    if heads.iter().any(|head| head.config.taps != first) {
        return Err(Error::Bug("the aligner heads read different blocks of the encoder".into()));
    }
    Ok(first)
}

/// What is known of a head.
pub fn hearing(head: &Aligner, characters: bool) -> Hearing<'_> {
    Hearing {
        labels: head.labels(),
        offsets: (head.config.start_offset, head.config.end_offset),
        reach: (head.config.before, head.config.after),
        least_score: head.config.least_score,
        characters,
    }
}

/// The frames of a stretch of audio.
pub(super) fn frames(audio: &Audio) -> usize {
    ((audio.duration() * FRAMES_PER_SECOND).ceil() as usize).clamp(1, MEL_FRAMES / 2)
}

/// What a head hears in the first `frames` of one stretch: mel `(1, 3000, bins)`, states `(1, 1500, d_model)` each.
pub(super) fn emissions(head: &Aligner, mel: &Tensor, states: &[Tensor], frames: usize) -> Result<Emissions> {
    let _stage = profile::stage(profile::Stage::Alignment);
    let Heard { ctc, frame } = head.forward(mel, states, frames)?;
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let (ctc, frame) = (values(&ctc)?, frame.as_ref().map(values).transpose()?);
    Ok(Emissions::new(&ctc, frame.as_deref(), head.labels()))
}

/// The stage.
pub struct Ears {
    network: Network,
    compute: Compute,
    places: usize,
    inside: Vec<(Key, Arc<Listen>)>,
}

impl Ears {
    /// A stage around a network.
    pub fn new(network: Network, compute: Compute) -> Self {
        let places = if compute.device.is_cpu() { BATCH_ON_CPU } else { BATCH_ON_GPU };
        Self { network, compute, places, inside: Vec::new() }
    }
}

impl Stage for Ears {
    type Job = Listen;
    type Output = Emissions;
    const NAME: &'static str = "aligner";

    fn places(&self) -> usize {
        self.places
    }

    fn set_places(&mut self, places: usize) {
        self.places = places;
    }

    fn intake(&self) -> usize {
        self.places
    }

    fn admit(&mut self, jobs: Vec<(Key, Arc<Listen>)>) -> Result<()> {
        self.inside.extend(jobs);
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<(Key, Result<Emissions>)>> {
        let jobs: Vec<&Listen> = self.inside.iter().map(|(_, job)| job.as_ref()).collect();
        let heard = self.network.emissions(&jobs, &self.compute)?;
        let keys = std::mem::take(&mut self.inside).into_iter().map(|(key, _)| key);
        Ok(keys.zip(heard.into_iter().map(Ok)).collect())
    }

    fn dismiss(&mut self, key: Key) {
        self.inside.retain(|(inside, _)| *inside != key);
    }

    fn clear(&mut self) {
        self.inside.clear();
    }
}
