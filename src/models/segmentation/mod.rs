//! The segmentation network pyannote segmentation-3.0: which of a window's speakers are active in each 17 ms of it.
//!
//! `samples -> SincNet -> four bidirectional LSTM layers -> two linear layers -> log-probabilities of 7 classes`
//!
//! Bredin and Laurent, "End-to-end speaker segmentation for overlap-aware resegmentation" (Interspeech 2021); Plaquet and
//! Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization" (Interspeech 2023). Reference
//! implementation: `pyannote/audio/models/segmentation/PyanNet.py` of pyannote.audio 4.0.

pub mod powerset;
mod sinc;

use candle_core::{D, DType, Result, Tensor};
use candle_nn::{VarBuilder, ops::log_softmax};

use self::{powerset::CLASSES, sinc::SincNet};
use super::layers::linear;
use crate::ops::{BidirectionalLstm, Linear, Precision, lstm::Direction};

/// Samples from one frame to the next: 16.875 ms.
pub const FRAME_SHIFT: usize = 270;
/// Samples that one frame sees: 61.9375 ms.
pub const FRAME_LENGTH: usize = 991;

/// The sizes of the network; [`Config::default`] is that of the published checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Samples from one place of the filters to the next (upstream: `sincnet.stride`).
    pub stride: usize,
    /// Units of an LSTM in one direction (upstream: `lstm.hidden_size`).
    pub hidden: usize,
    /// LSTM layers (upstream: `lstm.num_layers`).
    pub layers: usize,
    /// Outputs of each linear layer (upstream: `linear.hidden_size`).
    pub linear: usize,
    /// Linear layers before the classifier (upstream: `linear.num_layers`).
    pub linear_layers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { stride: 10, hidden: 128, layers: 4, linear: 128, linear_layers: 2 }
    }
}

/// The network: in f32, as published; in f64 every operation is done by its definition.
pub struct Segmenter {
    config: Config,
    sincnet: SincNet,
    lstm: Vec<BidirectionalLstm>,
    linear: Vec<Linear>,
    classifier: Linear,
}

impl Segmenter {
    /// Reads the network from `vb`, the root of the checkpoint, in its number type and on its device.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than `config` says.
    pub fn load(vb: &VarBuilder, config: &Config) -> Result<Self> {
        Self::load_in(vb, config, Precision::Float32)
    }

    /// The same; below f32, the recurrence on the CPU is made in bfloat16 where the processor has a unit for it.
    ///
    /// # Errors
    /// As [`Segmenter::load`].
    pub fn load_in(vb: &VarBuilder, config: &Config, precision: Precision) -> Result<Self> {
        let both = 2 * config.hidden;
        let lstm = (0..config.layers)
            .map(|layer| {
                let inputs = if layer == 0 { sinc::CHANNELS } else { both };
                let direction =
                    |suffix: &str| direction(&vb.pp("lstm"), inputs, config.hidden, &format!("l{layer}{suffix}"));
                BidirectionalLstm::with_precision([direction("")?, direction("_reverse")?], precision)
            })
            .collect::<Result<_>>()?;
        let linears = (0..config.linear_layers)
            .map(|layer| {
                linear(if layer == 0 { both } else { config.linear }, config.linear, &vb.pp(format!("linear.{layer}")))
            })
            .collect::<Result<_>>()?;
        let last = if config.linear_layers == 0 { both } else { config.linear };
        Ok(Self {
            config: config.clone(),
            sincnet: SincNet::load(&vb.pp("sincnet"), config.stride)?,
            lstm,
            linear: linears,
            classifier: linear(last, CLASSES, &vb.pp("classifier"))?,
        })
    }

    /// The sizes of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Frames in a window of so many samples (589 in 10 s); zero where it is too short for one.
    pub fn frames(&self, samples: usize) -> usize {
        self.sincnet.frames(samples)
    }

    /// Log-probabilities of the classes ([`powerset::Powerset::ALL`]) in each frame of each of a batch of windows of mono
    /// audio at 16 kHz: (B, samples) f32 -> (B, frames, 7).
    ///
    /// # Errors
    /// When the windows are too short for one frame, or a device fails.
    pub fn forward(&self, windows: &Tensor) -> Result<Tensor> {
        let (batch, samples) = windows.dims2()?;
        let features = (0..batch)
            .map(|row| self.sincnet.forward(&windows.get(row)?.to_dtype(DType::F32)?.to_vec1()?, &[0], samples))
            .collect::<Result<Vec<_>>>()?;
        self.classify(&Tensor::cat(&features, 0)?)
    }

    /// What [`classify`](Self::classify) reads, for `count` windows of `window` samples, each `step` samples after the one
    /// before, of one stretch of audio: (count, frames, channels). What overlapping windows share is computed once. Samples
    /// beyond the end of the stretch are silence.
    ///
    /// # Errors
    /// When `step` is no multiple of the config's `stride`, the windows are too short for one frame, there is none, or a
    /// device fails.
    pub fn features(&self, stretch: &[f32], window: usize, step: usize, count: usize) -> Result<Tensor> {
        let starts: Vec<usize> = (0..count).map(|index| index * step).collect();
        self.sincnet.forward(stretch, &starts, window)
    }

    /// Log-probabilities of the classes, given the features of windows, be they of one recording or of many:
    /// (B, frames, channels) -> (B, frames, 7). A window's result does not depend on the windows beside it.
    ///
    /// # Errors
    /// When the features have another number of channels, or a device fails.
    pub fn classify(&self, features: &Tensor) -> Result<Tensor> {
        let mut x = features.clone();
        for layer in &self.lstm {
            x = layer.forward(&x)?; // (B, frames, 2 hidden)
        }
        for layer in &self.linear {
            let y = layer.forward(&x)?;
            x = y.maximum(&(&y * 0.01)?)?;
        }
        log_softmax(&self.classifier.forward(&x)?, D::Minus1)
    }
}

fn direction(vb: &VarBuilder, inputs: usize, hidden: usize, suffix: &str) -> Result<Direction> {
    let bias = |name: &str| vb.get(4 * hidden, &format!("bias_{name}_{suffix}"));
    Ok(Direction {
        weight_ih: vb.get((4 * hidden, inputs), &format!("weight_ih_{suffix}"))?,
        weight_hh: vb.get((4 * hidden, hidden), &format!("weight_hh_{suffix}"))?,
        bias: (bias("ih")? + bias("hh")?)?,
    })
}
