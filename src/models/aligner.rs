//! A light head on a frozen Whisper encoder that hears characters: states of three of its blocks and the log-mel go through
//! two blocks of depthwise convolutions into log-probabilities of characters, 50 frames a second.
//!
//! It has two outputs. The first is trained with CTC: it says what is spoken in which order and is sure of the path. The
//! second is trained on frames labelled with characters and silence: it says where a word begins and ends. Palabra's own;
//! `tools/aligner` trains it, the cards in `weights/` say on what.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::{VarBuilder, ops::log_softmax};
use serde::Deserialize;

use super::{
    labels::Labels,
    layers::{layer_norm, linear},
};
use crate::ops::{Conv1dGelu, LayerNorm, Linear, Precision};

/// The width of the depthwise convolutions, in frames.
const WIDTH: usize = 9;
/// The width of the convolutions over the mel frames.
const MEL_WIDTHS: [usize; 2] = [3, 4];
/// The mean score of a text's words below which it is not what is heard, for networks that nobody has measured. True texts
/// had 0.33 and more, in spontaneous French; false ones 0.25 in the middle.
pub const LEAST_SCORE: f32 = 0.3;
/// Epsilon of every layer norm (torch's default).
const LAYER_NORM_EPS: f64 = 1e-5;
/// Frames beside a clip that still matter to it: two depthwise convolutions.
const CONTEXT: usize = WIDTH - 1;

/// What the file of a head says about it, beside the tensors.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The Whisper checkpoint that it listens to.
    pub encoder: String,
    /// The encoder's blocks whose states it reads, counted from 1.
    pub taps: Vec<usize>,
    /// What each label stands for: a character, `""` the blank, `"|"` the border between words and silence.
    pub labels: Vec<String>,
    /// The languages it is trained for, as codes.
    pub languages: Vec<String>,
    /// Seconds to be added to the start of every word.
    pub start_offset: f64,
    /// Seconds to be added to the end of every word.
    pub end_offset: f64,
    /// How far the second output may move the start of a word to the left of what the first one says, in seconds.
    pub before: f64,
    /// How far the end to the right, in seconds.
    pub after: f64,
    /// Below this mean score of its words a text is not what is heard.
    #[serde(default = "least_score")]
    pub least_score: f32,
}

/// [`Config::least_score`] where a file does not say it.
fn least_score() -> f32 {
    LEAST_SCORE
}

impl Config {
    /// What the labels stand for; `None` where they lack the blank or the border.
    pub fn label_set(&self) -> Option<Labels> {
        let place = |wanted: &str| self.labels.iter().position(|label| label == wanted).map(|place| place as u32);
        let (blank, delimiter) = (place("")?, place("|")?);
        let character =
            |(place, label): (usize, &String)| label.chars().next().map(|character| (character, place as u32));
        let characters = self.labels.iter().enumerate().filter_map(character);
        Some(Labels::new(characters, blank, Some(delimiter), self.labels.len()))
    }
}

#[derive(Debug)]
struct Block {
    /// (WIDTH, C): the weights of each of the neighbours.
    depthwise: Tensor,
    depthwise_bias: Tensor,
    norm: LayerNorm,
    expand: Linear,
    contract: Linear,
}

impl Block {
    fn load(vb: &VarBuilder, size: usize) -> Result<Self> {
        let depthwise = vb.pp("depthwise");
        Ok(Self {
            depthwise: depthwise.get((size, 1, WIDTH), "weight")?.squeeze(1)?.t()?.contiguous()?,
            depthwise_bias: depthwise.get(size, "bias")?,
            norm: layer_norm(size, LAYER_NORM_EPS, &vb.pp("norm"))?,
            expand: linear(size, 2 * size, &vb.pp("expand"))?,
            contract: linear(2 * size, size, &vb.pp("contract"))?,
        })
    }

    /// (B, T, C) to the same shape.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let frames = x.dim(1)?;
        let padded = x.pad_with_zeros(1, WIDTH / 2, WIDTH / 2)?; // (B, T + WIDTH - 1, C)
        let mut y = self.depthwise_bias.broadcast_as(x.shape())?.contiguous()?;
        for tap in 0..WIDTH {
            y = (y + padded.narrow(1, tap, frames)?.broadcast_mul(&self.depthwise.narrow(0, tap, 1)?)?)?;
        }
        let hidden = self.expand.forward_gelu(&self.norm.forward(&y)?)?;
        self.contract.forward_add(&hidden, x)
    }
}

/// The head.
#[derive(Debug)]
pub struct Aligner {
    /// What its file says.
    pub config: Config,
    labels: Labels,
    /// One for each tap; the weight of the tap in the mixture is part of it.
    norms: Vec<LayerNorm>,
    project: Linear,
    mel: Conv1dGelu,
    /// Over the four mel steps under the kernel, one behind the other.
    mel_pairs: Linear,
    blocks: [Block; 2],
    norm: LayerNorm,
    ctc: Linear,
    frame: Option<Linear>,
}

/// What a head hears.
#[derive(Debug)]
pub struct Heard {
    /// Log-probabilities of the output trained with CTC: (B, T, labels).
    pub ctc: Tensor,
    /// Those of the output trained on labelled frames, where the head has one.
    pub frame: Option<Tensor>,
}

impl Aligner {
    /// Loads `taps.N.norm, mix, project, mel.N, blocks.N.{depthwise, norm, expand, contract}, norm, ctc` and, where there
    /// is one, `frame`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the others ask for; when the labels lack the blank or the border.
    pub fn load(vb: &VarBuilder, config: Config) -> Result<Self> {
        let Some(labels) = config.label_set() else {
            candle_core::bail!("the labels lack the blank or the border between words")
        };
        let project = vb.get_unchecked("project.weight")?;
        let (size, inputs) = project.dims2()?;
        let hidden = vb.get_unchecked("mel.0.bias")?.dim(0)?;
        let bins = vb.get_unchecked("mel.0.weight")?.dim(1)?;
        let mix = candle_nn::ops::softmax(&vb.get(config.taps.len(), "mix")?, 0)?;
        let norms = (0..config.taps.len()).map(|tap| {
            let (vb, weight) = (vb.pp("taps").pp(tap).pp("norm"), mix.narrow(0, tap, 1)?);
            let scaled = |name: &str| vb.get(inputs, name)?.broadcast_mul(&weight);
            LayerNorm::new(scaled("weight")?, scaled("bias")?, LAYER_NORM_EPS)
        });
        let mel = vb.pp("mel");
        let first = mel.get((hidden, bins, MEL_WIDTHS[0]), "0.weight")?;
        let first = Conv1dGelu::new(&first, &mel.get(hidden, "0.bias")?, 1, Precision::Float32)?;
        let second = mel.get((size, hidden, MEL_WIDTHS[1]), "1.weight")?;
        let second = second.transpose(1, 2)?.contiguous()?.reshape((size, MEL_WIDTHS[1] * hidden))?;
        Ok(Self {
            norms: norms.collect::<Result<_>>()?,
            project: linear(inputs, size, &vb.pp("project"))?,
            mel: first,
            mel_pairs: Linear::new(second, Some(mel.get(size, "1.bias")?))?,
            blocks: [Block::load(&vb.pp("blocks.0"), size)?, Block::load(&vb.pp("blocks.1"), size)?],
            norm: layer_norm(size, LAYER_NORM_EPS, &vb.pp("norm"))?,
            ctc: linear(size, labels.count(), &vb.pp("ctc"))?,
            frame: match vb.contains_tensor("frame.weight") {
                true => Some(linear(size, labels.count(), &vb.pp("frame"))?),
                false => None,
            },
            labels,
            config,
        })
    }

    /// What the labels stand for.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Log-mel `(B, 2 * positions, bins)` and the encoder's states at [`Config::taps`], each `(B, positions, d_model)`, to
    /// log-probabilities of the first `frames` positions.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, mel: &Tensor, taps: &[Tensor], frames: usize) -> Result<Heard> {
        let positions = mel.dim(1)? / 2;
        let seen = (frames + CONTEXT).min(positions);
        let mel = self.hear_mel(&mel.narrow(1, 0, (2 * seen + 2).min(2 * positions))?, seen)?;
        let mut mixed: Option<Tensor> = None;
        for (tap, norm) in taps.iter().zip(&self.norms) {
            let state = norm.forward(&tap.narrow(1, 0, seen)?.to_dtype(DType::F32)?.contiguous()?)?;
            mixed = Some(mixed.map_or(Ok(state.clone()), |mixed| mixed + state)?);
        }
        let Some(mixed) = mixed else { candle_core::bail!("the head was given no states of the encoder") };
        let mut x = self.project.forward_add(&mixed, &mel)?; // (B, T, C)
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let x = self.norm.forward(&x)?.narrow(1, 0, frames)?.contiguous()?;
        let output = |layer: &Linear| log_softmax(&layer.forward(&x)?, D::Minus1);
        Ok(Heard { ctc: output(&self.ctc)?, frame: self.frame.as_ref().map(output).transpose()? })
    }

    /// Mel frames to `positions` vectors at half their rate.
    fn hear_mel(&self, mel: &Tensor, positions: usize) -> Result<Tensor> {
        let x = self.mel.forward(&mel.to_dtype(DType::F32)?)?; // (B, 2 T, hidden)
        let (batch, steps, hidden) = x.dims3()?;
        let missing = (2 * positions + 2).saturating_sub(1 + steps);
        let pairs = x.pad_with_zeros(1, 1, missing)?.narrow(1, 0, 2 * positions + 2)?.contiguous()?;
        let pairs = pairs.reshape((batch, positions + 1, 2 * hidden))?;
        let (now, next) = (pairs.narrow(1, 0, positions)?, pairs.narrow(1, 1, positions)?);
        self.mel_pairs.forward(&Tensor::cat(&[now, next], 2)?.contiguous()?)
    }
}
