//! The head: residual convolutions over frequency x time (upstream: `FCM`).

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::{
    models::speaker::residual::{ResidualBlock, convolution},
    ops::PlaneConvolution,
};

/// Channels of every convolution in the head (upstream: `m_channels`).
pub(super) const OUTPUT_CHANNELS: usize = 32;

/// Three halvings of frequency: (B, T, F) -> (B, T, F / 8 * 32), the channels of a frequency side by side.
pub(super) struct Head {
    conv1: PlaneConvolution,
    blocks: Vec<ResidualBlock>,
    conv2: PlaneConvolution,
}

impl Head {
    pub(super) fn load(vb: VarBuilder) -> Result<Self> {
        let mut blocks = Vec::with_capacity(4);
        for layer in ["layer1", "layer2"] {
            for (index, stride) in [(0, (2, 1)), (1, (1, 1))] {
                blocks.push(ResidualBlock::load(OUTPUT_CHANNELS, OUTPUT_CHANNELS, stride, vb.pp(layer).pp(index))?);
            }
        }
        Ok(Self {
            conv1: convolution(1, OUTPUT_CHANNELS, 3, (1, 1), vb.pp("conv1"), vb.pp("bn1"))?,
            blocks,
            conv2: convolution(OUTPUT_CHANNELS, OUTPUT_CHANNELS, 3, (2, 1), vb.pp("conv2"), vb.pp("bn2"))?,
        })
    }

    pub(super) fn forward(&self, fbank: &Tensor) -> Result<Tensor> {
        let planes = fbank.transpose(1, 2)?.unsqueeze(3)?; // (B, F, T, 1)
        let mut x = self.conv1.forward_relu(&planes)?; // (B, F, T, 32)
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let x = self.conv2.forward_relu(&x)?; // (B, F / 8, T, 32)
        x.transpose(1, 2)?.contiguous()?.flatten_from(2) // (B, T, F / 8 * 32)
    }
}
