//! The speaker embedder as a stage: windows of many recordings, a vector for each speaker of a window, in one batch.

use std::{collections::BTreeMap, sync::Arc};

use candle_core::{Device, Tensor};

use super::stage::{Key, Stage};
use crate::{
    audio::{
        decibels::Decibels,
        fbank::{FRAME_LENGTH, FRAME_SHIFT, Fbank, FbankOptions, FrameWindow},
    },
    error::{Error, Result},
    models::speaker::{Features, SpeakerEmbedder},
    ops::{
        fbank::{Filters, fbank},
        profile,
    },
};

/// Windows that are at work together on the CPU.
const BATCH_ON_CPU: usize = 32;
/// And on a GPU, which a call keeps busy only with many.
const BATCH_ON_GPU: usize = 160;
/// Frames that go through the network in one call on the CPU: enough to keep every processor at work, few enough that what a
/// layer makes of them (10 KiB a frame at most) stays below the 32 MiB from which the system's allocator gives every block of
/// memory back and fetches it anew.
const CALL_FRAMES_ON_CPU: usize = 3000;
/// And on a GPU: a call launches over a thousand kernels however few frames it has, and takes 240 MiB with so many.
const CALL_FRAMES_ON_GPU: usize = 24_000;

/// Makes the features that an embedder reads; made once, used from any thread.
pub enum FeatureExtractor {
    /// Kaldi's filterbanks.
    Fbank(Fbank),
    /// The same, made by a GPU when it hears the window.
    FbankOnGpu(Arc<Filters>),
    /// SpeechBrain's.
    Decibels(Decibels),
}

/// What is heard in a window.
#[derive(Debug, Clone)]
pub enum Sound {
    /// (frames, bins), row after row.
    Features(Vec<f32>),
    /// Samples of whole frames, and what makes features of them.
    Samples(Vec<f32>, Arc<Filters>),
}

/// One window: what is heard in it, and who is heard in it when.
#[derive(Debug, Clone)]
pub struct Window {
    /// Its features, or what they are made of.
    pub sound: Sound,
    /// Frames of the features.
    pub frames: usize,
    /// How much each moment counts for each local speaker, 0 to 1: the masks of a window are equally long and lie evenly over
    /// it, at whatever frame rate.
    pub masks: Vec<Vec<f32>>,
}

/// The embeddings of one window's speakers, as its masks are ordered; `None` where a mask leaves nothing to hear.
pub type Embeddings = Vec<Option<Vec<f32>>>;

/// Windows that are at work together on a device.
pub fn batch(device: &Device) -> usize {
    if device.is_cpu() { BATCH_ON_CPU } else { BATCH_ON_GPU }
}

impl FeatureExtractor {
    /// An extractor as an embedder on `device` wants it ([`SpeakerEmbedder::features`]).
    pub fn new(features: Features, device: &Device) -> Self {
        let options = match features {
            Features::KaldiPovey { bins } => FbankOptions { bins, ..FbankOptions::default() },
            Features::KaldiHamming { bins } => FbankOptions { bins, window: FrameWindow::Hamming, scale: 32_768.0 },
            Features::Decibels { bins } => return Self::Decibels(Decibels::new(bins)),
        };
        let fbank = Fbank::new(&options);
        if device.is_cpu() {
            return Self::Fbank(fbank);
        }
        let (places, weights) = fbank.filter_table();
        Self::FbankOnGpu(Arc::new(Filters { window: fbank.window().to_vec(), places, weights }))
    }

    /// How many frames `samples` samples have.
    pub fn frames(&self, samples: usize) -> usize {
        match self {
            Self::Fbank(_) | Self::FbankOnGpu(_) => Fbank::frames(samples),
            Self::Decibels(_) => Decibels::frames(samples),
        }
    }

    /// How many samples have exactly `frames` frames, at least.
    pub fn samples(&self, frames: usize) -> usize {
        let before_last = frames.saturating_sub(1) * FRAME_SHIFT;
        match self {
            Self::Fbank(_) | Self::FbankOnGpu(_) => FRAME_LENGTH + before_last,
            Self::Decibels(_) => before_last.max(1),
        }
    }

    /// The window of these samples, with one mask for each of its speakers.
    ///
    /// # Errors
    /// When the features cannot be computed.
    pub fn window(&self, samples: &[f32], masks: Vec<Vec<f32>>) -> Result<Window> {
        let _stage = profile::stage(profile::Stage::Embeddings);
        let _timed = profile::span(profile::Class::Spectrum, profile::Work::default);
        let frames = self.frames(samples.len());
        let sound = match self {
            Self::Fbank(fbank) => Sound::Features(fbank.compute_normalised(samples)?),
            Self::FbankOnGpu(filters) => {
                let whole = if frames == 0 { 0 } else { self.samples(frames) };
                Sound::Samples(samples[..whole].to_vec(), filters.clone())
            }
            Self::Decibels(decibels) => Sound::Features(decibels.compute_normalised(samples)?),
        };
        Ok(Window { sound, frames, masks })
    }

    /// The window of these samples, of which everything counts for its one speaker.
    ///
    /// # Errors
    /// When the features cannot be computed.
    pub fn whole_window(&self, samples: &[f32]) -> Result<Window> {
        self.window(samples, vec![vec![1.0]])
    }
}

impl Window {
    /// The length of the masks, where they are such as they should be.
    fn mask_length(&self) -> Result<usize> {
        let length = self.masks.first().map_or(0, Vec::len);
        let fits = |mask: &Vec<f32>| mask.len() == length && mask.iter().all(|weight| (0.0..=1.0).contains(weight));
        if self.frames == 0 || length == 0 || !self.masks.iter().all(fits) {
            return Err(Error::Bug(format!(
                "a window of {} frames cannot be heard under its {} masks: they must be equally long and lie in 0..1",
                self.frames,
                self.masks.len()
            )));
        }
        Ok(length)
    }
}

/// The features of windows with as many frames, (windows, frames, bins), on the device.
///
/// # Errors
/// When the windows differ in what they hold, or a tensor operation fails.
pub fn features(windows: &[&Window], bins: usize, device: &Device) -> Result<Tensor> {
    let frames = windows.first().map_or(0, |window| window.frames);
    let (mut values, mut samples, mut filters) = (Vec::new(), Vec::new(), None);
    for window in windows {
        match &window.sound {
            Sound::Features(features) => values.push(features.as_slice()),
            Sound::Samples(own, with) => {
                samples.push(own.as_slice());
                filters = Some(with);
            }
        }
    }
    match filters {
        Some(filters) if values.is_empty() => Ok(fbank(&samples, Filters::clone(filters), device)?),
        Some(_) => Err(Error::Bug("some windows of a batch hold features, others samples".into())),
        None => Ok(Tensor::from_vec(values.concat(), (windows.len(), frames, bins), device)?),
    }
}

/// The embeddings of each window's speakers, in their order; windows alike in shape share calls of the network. What comes
/// out for a window does not depend on the others.
///
/// # Errors
/// When a window's masks are not as [`Window`] says, or a tensor operation fails.
pub fn embed(embedder: &SpeakerEmbedder, device: &Device, windows: &[&Window]) -> Result<Vec<Embeddings>> {
    let _stage = profile::stage(profile::Stage::Embeddings);
    let mut shapes: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (index, window) in windows.iter().enumerate() {
        shapes.entry((window.frames, window.mask_length()?)).or_default().push(index);
    }
    let mut embeddings = vec![Vec::new(); windows.len()];
    let call_frames = if device.is_cpu() { CALL_FRAMES_ON_CPU } else { CALL_FRAMES_ON_GPU };
    for ((frames, mask_length), members) in shapes {
        for members in members.chunks((call_frames / frames).max(1)) {
            let together: Vec<&Window> = members.iter().map(|&index| windows[index]).collect();
            let made = embed_alike(embedder, device, &together, mask_length)?;
            members.iter().zip(made).for_each(|(&index, made)| embeddings[index] = made);
        }
    }
    Ok(embeddings)
}

/// The embeddings of windows with as many frames and masks as long, in one call.
fn embed_alike(
    embedder: &SpeakerEmbedder,
    device: &Device,
    windows: &[&Window],
    mask_length: usize,
) -> Result<Vec<Embeddings>> {
    let count = windows.len();
    let speakers = windows.iter().map(|window| window.masks.len()).max().unwrap_or(0);
    let mut weights = vec![0.0; count * speakers * mask_length];
    for (rows, window) in weights.chunks_exact_mut(speakers * mask_length).zip(windows) {
        let masks = rows.chunks_exact_mut(mask_length).zip(&window.masks);
        masks.for_each(|(row, mask)| row.copy_from_slice(mask));
    }
    let features = features(windows, embedder.features().bins(), device)?;
    let weights = Tensor::from_vec(weights, (count, speakers, mask_length), device)?;
    let rows: Vec<Vec<Vec<f32>>> = embedder.forward_masked(&features, &weights)?.to_vec3()?;
    // Zeros are what a speaker gets of whom nothing is heard.
    let heard = |row: Vec<f32>| row.iter().any(|value| *value != 0.0).then_some(row);
    let of_window =
        |(rows, window): (Vec<Vec<f32>>, &&Window)| rows.into_iter().take(window.masks.len()).map(heard).collect();
    Ok(rows.into_iter().zip(windows).map(of_window).collect())
}

/// The stage.
pub struct Embedder {
    network: SpeakerEmbedder,
    device: Device,
    places: usize,
    inside: Vec<(Key, Arc<Window>)>,
}

impl Embedder {
    /// A stage around the network.
    pub fn new(network: SpeakerEmbedder, device: Device) -> Self {
        Self { network, places: batch(&device), device, inside: Vec::new() }
    }
}

impl Stage for Embedder {
    type Job = Window;
    type Output = Embeddings;
    const NAME: &'static str = "speakers";

    fn places(&self) -> usize {
        self.places
    }

    fn set_places(&mut self, places: usize) {
        self.places = places;
    }

    fn intake(&self) -> usize {
        self.places
    }

    fn admit(&mut self, jobs: Vec<(Key, Arc<Window>)>) -> Result<()> {
        self.inside.extend(jobs);
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<(Key, Result<Embeddings>)>> {
        let windows: Vec<&Window> = self.inside.iter().map(|(_, window)| window.as_ref()).collect();
        let embeddings = embed(&self.network, &self.device, &windows)?;
        let keys = std::mem::take(&mut self.inside).into_iter().map(|(key, _)| key);
        Ok(keys.zip(embeddings.into_iter().map(Ok)).collect())
    }

    fn dismiss(&mut self, key: Key) {
        self.inside.retain(|(inside, _)| *inside != key);
    }

    fn clear(&mut self) {
        self.inside.clear();
    }
}
