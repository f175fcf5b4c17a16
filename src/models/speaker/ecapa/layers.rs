//! The blocks of ECAPA-TDNN.

use candle_core::{Result, Tensor};
use candle_nn::{VarBuilder, ops::sigmoid};

use super::Config;
use crate::{models::speaker::batch_norm, ops::Linear};

/// A convolution of kernel 1 with a bias (upstream: `Conv1d`).
pub(super) fn load_linear(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Linear> {
    Linear::new(vb.get((outputs, inputs, 1), "weight")?.squeeze(2)?, Some(vb.get(outputs, "bias")?))
}

/// A dilated convolution over time, ReLU, then a batch normalisation; beyond the ends frames are mirrored (upstream: `TDNNBlock`).
pub(super) struct TimeDelay {
    linear: Linear,
    scale: Tensor,
    shift: Tensor,
    kernel: usize,
    dilation: usize,
}

impl TimeDelay {
    pub(super) fn load(
        (inputs, outputs): (usize, usize),
        kernel: usize,
        dilation: usize,
        vb: VarBuilder,
    ) -> Result<Self> {
        let conv = vb.pp("conv.conv");
        let weight = conv.get((outputs, inputs, kernel), "weight")?.transpose(1, 2)?.contiguous()?;
        let weight = weight.reshape((outputs, kernel * inputs))?; // out x (frame, in)
        let (scale, shift) = batch_norm(outputs, vb.pp("norm.norm"))?;
        Ok(Self { linear: Linear::new(weight, Some(conv.get(outputs, "bias")?))?, scale, shift, kernel, dilation })
    }

    /// (B, T, in) -> (B, T, out).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match self.kernel {
            1 => self.linear.forward(x)?,
            _ => self.linear.forward(&self.patches(x)?)?,
        };
        y.relu()?.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)
    }

    /// What the kernel sees at each frame: (B, T, in) -> (B, T, kernel * in).
    fn patches(&self, x: &Tensor) -> Result<Tensor> {
        let time = x.dim(1)? as i64;
        let reach = (self.kernel / 2 * self.dilation) as i64;
        let mirrored = |at: i64| if at < time { at.abs() } else { 2 * (time - 1) - at } as u32;
        let taps = (0..self.kernel)
            .map(|tap| {
                let from = (tap * self.dilation) as i64 - reach;
                let frames: Vec<u32> = (from..from + time).map(mirrored).collect();
                x.index_select(&Tensor::new(frames, x.device())?, 1)
            })
            .collect::<Result<Vec<_>>>()?;
        Tensor::cat(&taps, 2)
    }
}

/// Time-delay layers over groups of channels, with the weights of channels by what was heard (upstream: `SERes2NetBlock`).
pub(super) struct Block {
    tdnn1: TimeDelay,
    /// One for each group of channels but the first (upstream: `res2net_block`).
    groups: Vec<TimeDelay>,
    tdnn2: TimeDelay,
    /// From the mean of all frames to a weight for each channel (upstream: `se_block`).
    squeeze: Linear,
    excite: Linear,
}

impl Block {
    pub(super) fn load(config: &Config, dilation: usize, vb: VarBuilder) -> Result<Self> {
        let channels = config.channels;
        let width = channels / config.groups;
        let groups = (0..config.groups - 1)
            .map(|index| TimeDelay::load((width, width), 3, dilation, vb.pp(format!("res2net_block.blocks.{index}"))))
            .collect::<Result<_>>()?;
        Ok(Self {
            tdnn1: TimeDelay::load((channels, channels), 1, 1, vb.pp("tdnn1"))?,
            groups,
            tdnn2: TimeDelay::load((channels, channels), 1, 1, vb.pp("tdnn2"))?,
            squeeze: load_linear(channels, config.squeeze, vb.pp("se_block.conv1.conv"))?,
            excite: load_linear(config.squeeze, channels, vb.pp("se_block.conv2.conv"))?,
        })
    }

    /// (B, T, C) -> (B, T, C).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.tdnn2.forward(&self.in_groups(&self.tdnn1.forward(x)?)?)?;
        let heard = self.squeeze.forward(&y.mean_keepdim(1)?)?.relu()?; // (B, 1, squeeze)
        y.broadcast_mul(&sigmoid(&self.excite.forward(&heard)?)?)? + x
    }

    /// Each group's layer sees its own channels plus the result of the group before; the first group passes as it is.
    fn in_groups(&self, x: &Tensor) -> Result<Tensor> {
        let chunks = x.chunk(self.groups.len() + 1, 2)?;
        let mut results: Vec<Tensor> = Vec::with_capacity(chunks.len());
        for (index, chunk) in chunks.iter().enumerate() {
            let result = match (index, results.last()) {
                (0, _) | (_, None) => chunk.contiguous()?,
                (1, _) => self.groups[0].forward(&chunk.contiguous()?)?,
                (_, Some(before)) => self.groups[index - 1].forward(&(chunk + before)?)?,
            };
            results.push(result);
        }
        Tensor::cat(&results, 2)
    }
}
