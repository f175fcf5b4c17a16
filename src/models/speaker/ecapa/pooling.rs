//! Statistics over time under an attention that knows the window, and the embedding made of them.

use candle_core::{D, Result, Tensor};
use candle_nn::{VarBuilder, ops::softmax};

use super::{Config, layers::load_linear};
use crate::{models::speaker::batch_norm, ops::Linear};

/// The least variance.
const LEAST_VARIANCE: f64 = 1e-12;

/// Upstream: `asp`, `asp_bn` and `fc`.
pub(super) struct AttentiveStatistics {
    /// What the attention knows of a frame: C -> A.
    of_frame: Linear,
    /// What it knows of all frames, their mean and deviation: 2C -> A.
    of_window: Linear,
    scale: Tensor,
    shift: Tensor,
    /// The attention's score of each channel: A -> C.
    score: Linear,
    /// The statistics, normalised, to the embedding: 2C -> E.
    embed: Linear,
}

impl AttentiveStatistics {
    pub(super) fn load(config: &Config, vb: VarBuilder) -> Result<Self> {
        let (channels, attention) = (config.pooled, config.attention);
        let conv = vb.pp("asp.tdnn.conv.conv");
        // The reference puts frame, mean and deviation side by side; the window's part is the same for all frames.
        let weight = conv.get((attention, 3 * channels, 1), "weight")?.squeeze(2)?;
        let part = |from: usize, count: usize| weight.narrow(1, from * channels, count * channels)?.contiguous();
        let (scale, shift) = batch_norm(attention, vb.pp("asp.tdnn.norm.norm"))?;
        let fc = vb.pp("fc.conv");
        let (gain, offset) = batch_norm(2 * channels, vb.pp("asp_bn.norm"))?;
        let embed = fc.get((config.embedding, 2 * channels, 1), "weight")?.squeeze(2)?;
        let bias = (embed.matmul(&offset.unsqueeze(1)?)?.squeeze(1)? + fc.get(config.embedding, "bias")?)?;
        Ok(Self {
            of_frame: Linear::new(part(0, 1)?, None)?,
            of_window: Linear::new(part(1, 2)?, Some(conv.get(attention, "bias")?))?,
            scale,
            shift,
            score: load_linear(attention, channels, vb.pp("asp.conv.conv"))?,
            embed: Linear::new(embed.broadcast_mul(&gain)?, Some(bias))?,
        })
    }

    /// x (B, T, C), weights (B, S, T) -> (B, S, E).
    pub(super) fn forward(&self, x: &Tensor, weights: &Tensor) -> Result<Tensor> {
        let of_frames = self.of_frame.forward(x)?; // (B, T, A), the same for all speakers
        let pooled = (0..weights.dim(1)?)
            .map(|speaker| self.pool(x, &of_frames, &weights.narrow(1, speaker, 1)?.transpose(1, 2)?))
            .collect::<Result<Vec<_>>>()?;
        self.embed.forward(&Tensor::cat(&pooled, 1)?)
    }

    /// The statistics of one speaker: weights (B, T, 1) -> (B, 1, 2C).
    fn pool(&self, x: &Tensor, of_frames: &Tensor, weights: &Tensor) -> Result<Tensor> {
        let share = weights.broadcast_div(&weights.sum_keepdim(1)?)?;
        let of_window = self.of_window.forward(&statistics(x, &share)?)?; // (B, 1, A)
        let y = of_frames.broadcast_add(&of_window)?.relu()?;
        let y = y.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)?.tanh()?;
        // Multiplying the attention by weights is adding their logarithms to its scores.
        let scores = self.score.forward(&y)?.broadcast_add(&weights.log()?)?; // (B, T, C)
        // Softmax over time, which has to lie last to be fast.
        let attention = softmax(&scores.transpose(1, 2)?.contiguous()?, D::Minus1)?.transpose(1, 2)?;
        statistics(x, &attention.contiguous()?)
    }
}

/// Mean and deviation over time: x (B, T, C), shares that sum to one over time, (B, T, C or 1) -> (B, 1, 2C).
fn statistics(x: &Tensor, shares: &Tensor) -> Result<Tensor> {
    let mean = x.broadcast_mul(shares)?.sum_keepdim(1)?;
    let variance = x.broadcast_sub(&mean)?.sqr()?.broadcast_mul(shares)?.sum_keepdim(1)?;
    Tensor::cat(&[mean, variance.maximum(LEAST_VARIANCE)?.sqrt()?], 2)
}
