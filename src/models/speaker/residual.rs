//! Residual blocks of convolutions over frequency x time, which CAM++ opens with and ResNet34 is made of. Planes are
//! channels-last: (B, F, T, C). Batch normalisations are folded at load.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::batch_norm;
use crate::ops::PlaneConvolution;

/// Strides along frequency and time.
pub(super) type Stride = (usize, usize);

/// Two convolutions around which the input goes too (upstream: `BasicResBlock`, `BasicBlock`).
pub(super) struct ResidualBlock {
    conv1: PlaneConvolution,
    conv2: PlaneConvolution,
    shortcut: Option<PlaneConvolution>,
}

impl ResidualBlock {
    pub(super) fn load(inputs: usize, outputs: usize, stride: Stride, vb: VarBuilder) -> Result<Self> {
        let shortcut = (stride != (1, 1) || inputs != outputs)
            .then(|| convolution(inputs, outputs, 1, stride, vb.pp("shortcut.0"), vb.pp("shortcut.1")))
            .transpose()?;
        Ok(Self {
            conv1: convolution(inputs, outputs, 3, stride, vb.pp("conv1"), vb.pp("bn1"))?,
            conv2: convolution(outputs, outputs, 3, (1, 1), vb.pp("conv2"), vb.pp("bn2"))?,
            shortcut,
        })
    }

    /// (B, F, T, in) -> (B, F', T', out).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.conv1.forward_relu(x)?;
        match &self.shortcut {
            Some(shortcut) => self.conv2.forward_add_relu(&inner, &shortcut.forward_linear(x)?),
            None => self.conv2.forward_add_relu(&inner, x),
        }
    }
}

/// A convolution with its batch normalisation folded in.
pub(super) fn convolution(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: Stride,
    conv: VarBuilder,
    norm: VarBuilder,
) -> Result<PlaneConvolution> {
    let weight = conv.get((outputs, inputs, kernel, kernel), "weight")?;
    let (scale, shift) = batch_norm(outputs, norm)?;
    PlaneConvolution::new(weight.broadcast_mul(&scale.reshape((outputs, 1, 1, 1))?)?, shift, stride)
}
