//! wav2vec2 with a CTC head (Baevski et al. 2020, "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech
//! Representations"): samples in, log-probabilities of characters out, one frame every 20 ms. Reference implementation:
//! transformers' `modeling_wav2vec2.py`; with it come HuBERT (`modeling_hubert.py`) and WavLM (`modeling_wavlm.py`), which
//! differ in little.
//!
//! Clips of a batch need no padding: each goes through the convolutions alone (which yield enough rows for the matrix
//! products) and so has its own group norm where the model has one; in the encoder the frames of all clips lie one after
//! the other, and only attention and the positional convolution, which look across frames, go clip by clip. So a batch
//! equals its clips one by one, in both families of checkpoints.

mod config;
mod encoder;
mod features;
mod position;
pub mod vocabulary;

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;

pub use config::{Config, FeatureNorm};
use encoder::Encoder;
use features::{FeatureExtractor, Projection};

use super::layers::linear;
use crate::ops::Linear;

/// What is added to the variance of a clip before it is normalised, as transformers' feature extractor does.
const VARIANCE_FLOOR: f64 = 1e-7;
/// What may stand before the names of a checkpoint's tensors, depending on the class that wrote it.
const PREFIXES: [&str; 5] = ["wav2vec2", "hubert", "wavlm", "model", ""];
/// A tensor that every checkpoint has.
const FIRST_TENSOR: &str = "feature_extractor.conv_layers.0.conv.weight";

/// A place between two parts of the network, for tests and visualisation. Every tensor is (1, frames of all clips, channels).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// After the convolutions over the samples.
    Features,
    /// After the projection to the encoder's channels.
    Projection,
    /// What enters the first block: with positions (transformers' `hidden_states[0]`).
    Positions,
    /// After this block; after the last one stands the encoder's norm where it has one there.
    Block(usize),
    /// The labels' scores before the softmax.
    Logits,
}

type Observer<'a> = &'a mut dyn FnMut(Boundary, &Tensor);

/// The network of one checkpoint.
#[derive(Debug)]
pub struct Wav2Vec2 {
    features: FeatureExtractor,
    projection: Projection,
    encoder: Encoder,
    head: Linear,
    config: Config,
}

impl Wav2Vec2 {
    /// Loads a hub checkpoint with a CTC head (`wav2vec2...`, `lm_head`).
    ///
    /// # Errors
    /// When `config` describes something else, or a tensor is missing or has another shape than `config` says.
    pub fn load(vb: &VarBuilder, config: &Config) -> Result<Self> {
        config.check()?;
        let prefixed = |prefix: &str| if prefix.is_empty() { vb.clone() } else { vb.pp(prefix) };
        let Some(body) = PREFIXES.map(prefixed).into_iter().find(|vb| vb.contains_tensor(FIRST_TENSOR)) else {
            bail!("it is no {} checkpoint: the tensor `{FIRST_TENSOR}` is missing", config.model_type);
        };
        let Some(head) = [vb.clone(), body.clone()].into_iter().find(|vb| vb.contains_tensor("lm_head.weight")) else {
            bail!(
                "this checkpoint is a {} without a CTC head (`lm_head` is missing), so it knows no characters; name one that was fine-tuned to transcribe",
                config.model_type
            );
        };
        Ok(Self {
            features: FeatureExtractor::load(&body.pp("feature_extractor"), config)?,
            projection: Projection::load(&body.pp("feature_projection"), config)?,
            encoder: Encoder::load(&body.pp("encoder"), config)?,
            head: linear(config.hidden_size, config.vocab_size, &head.pp("lm_head"))?,
            config: config.clone(),
        })
    }

    /// The checkpoint's dimensions.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The number of frames that a clip of so many samples yields: see [`Config::frames`].
    pub fn frames(&self, samples: usize) -> usize {
        self.config.frames(samples)
    }

    /// Clips at 16 kHz, mono, to the labels' log-probabilities: for each clip (frames, labels) in f32. A clip shorter than
    /// the receptive field (400 samples) is padded with zeros to it.
    ///
    /// # Errors
    /// When a tensor operation fails: a device out of memory.
    pub fn forward(&self, waves: &[&[f32]]) -> Result<Vec<Tensor>> {
        self.forward_observed(waves, &mut |_, _| {})
    }

    /// As [`Wav2Vec2::forward`]; `observer` sees the tensor at every boundary on the way.
    ///
    /// # Errors
    /// As [`Wav2Vec2::forward`].
    pub fn forward_observed(&self, waves: &[&[f32]], observer: Observer<'_>) -> Result<Vec<Tensor>> {
        if waves.is_empty() {
            return Ok(Vec::new());
        }
        let lengths: Vec<usize> = waves.iter().map(|wave| self.frames(wave.len())).collect();
        let features = waves.iter().map(|wave| self.features.forward(&self.prepare(wave)));
        let x = Tensor::cat(&features.collect::<Result<Vec<_>>>()?, 1)?; // (1, T, channels)
        observer(Boundary::Features, &x);
        let x = self.projection.forward(&x)?; // (1, T, hidden size)
        observer(Boundary::Projection, &x);
        let x = self.encoder.forward(&x, &lengths, observer)?;
        let logits = self.head.forward(&x)?; // (1, T, labels)
        observer(Boundary::Logits, &logits);
        let scores = candle_nn::ops::log_softmax(&logits.squeeze(0)?.to_dtype(DType::F32)?, 1)?;
        let mut start = 0;
        let of_clips = lengths.iter().map(|&length| {
            start += length;
            scores.narrow(0, start - length, length)
        });
        of_clips.collect()
    }

    /// The clip as the network takes it: normalised where the checkpoint says so, not shorter than the receptive field.
    fn prepare(&self, wave: &[f32]) -> Vec<f32> {
        let mut samples = wave.to_vec();
        if self.config.do_normalize && !wave.is_empty() {
            let count = wave.len() as f64;
            let mean = wave.iter().map(|&sample| f64::from(sample)).sum::<f64>() / count;
            let variance = wave.iter().map(|&sample| (f64::from(sample) - mean).powi(2)).sum::<f64>() / count;
            let scale = 1.0 / (variance + VARIANCE_FLOOR).sqrt();
            samples.iter_mut().for_each(|sample| *sample = ((f64::from(*sample) - mean) * scale) as f32);
        }
        samples.resize(samples.len().max(self.config.receptive_field()), 0.0);
        samples
    }
}
