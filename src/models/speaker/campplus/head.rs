//! The head: residual convolutions over frequency x time (upstream: `FCM`).

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::batch_norm;
use crate::ops::PlaneConvolution;

/// Channels of every convolution in the head (upstream: `m_channels`).
pub(super) const OUTPUT_CHANNELS: usize = 32;

/// Three halvings of frequency: (B, T, F) -> (B, T, 32 * F / 8).
pub(super) struct Head {
    conv1: PlaneConvolution,
    blocks: Vec<ResidualBlock>,
    conv2: PlaneConvolution,
}

impl Head {
    pub(super) fn load(vb: VarBuilder) -> Result<Self> {
        let mut blocks = Vec::with_capacity(4);
        for layer in ["layer1", "layer2"] {
            for (index, stride) in [(0, 2), (1, 1)] {
                blocks.push(ResidualBlock::load(stride, vb.pp(layer).pp(index))?);
            }
        }
        Ok(Self {
            conv1: convolution(1, 3, 1, vb.pp("conv1"), vb.pp("bn1"))?,
            blocks,
            conv2: convolution(OUTPUT_CHANNELS, 3, 2, vb.pp("conv2"), vb.pp("bn2"))?,
        })
    }

    pub(super) fn forward(&self, fbank: &Tensor) -> Result<Tensor> {
        let planes = fbank.transpose(1, 2)?.unsqueeze(1)?; // (B, 1, F, T)
        let mut x = self.conv1.forward_relu(&planes)?; // (B, 32, F, T)
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let x = self.conv2.forward_relu(&x)?; // (B, 32, F / 8, T)
        x.flatten(1, 2)?.transpose(1, 2)?.contiguous() // (B, T, 32 * F / 8)
    }
}

/// Two convolutions around which the input goes too (upstream: `BasicResBlock`).
struct ResidualBlock {
    conv1: PlaneConvolution,
    conv2: PlaneConvolution,
    shortcut: Option<PlaneConvolution>,
}

impl ResidualBlock {
    fn load(stride: usize, vb: VarBuilder) -> Result<Self> {
        let shortcut = (stride != 1)
            .then(|| convolution(OUTPUT_CHANNELS, 1, stride, vb.pp("shortcut.0"), vb.pp("shortcut.1")))
            .transpose()?;
        Ok(Self {
            conv1: convolution(OUTPUT_CHANNELS, 3, stride, vb.pp("conv1"), vb.pp("bn1"))?,
            conv2: convolution(OUTPUT_CHANNELS, 3, 1, vb.pp("conv2"), vb.pp("bn2"))?,
            shortcut,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.conv1.forward_relu(x)?;
        match &self.shortcut {
            Some(shortcut) => self.conv2.forward_add_relu(&inner, &shortcut.forward_linear(x)?),
            None => self.conv2.forward_add_relu(&inner, x),
        }
    }
}

/// A convolution with its batch normalisation folded in.
fn convolution(
    inputs: usize,
    kernel: usize,
    stride: usize,
    conv: VarBuilder,
    norm: VarBuilder,
) -> Result<PlaneConvolution> {
    let weight = conv.get((OUTPUT_CHANNELS, inputs, kernel, kernel), "weight")?;
    let (scale, shift) = batch_norm(OUTPUT_CHANNELS, norm)?;
    PlaneConvolution::new(weight.broadcast_mul(&scale.reshape((OUTPUT_CHANNELS, 1, 1, 1))?)?, shift, stride)
}
