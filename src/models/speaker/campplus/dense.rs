//! The body: densely connected time-delay layers, each masked by its context. Tensors are time-major, (B, T, C), so that
//! every convolution over time is one matrix product.

use candle_core::{Result, Tensor};
use candle_nn::{VarBuilder, ops::sigmoid};

use super::{BlockConfig, Config};
use crate::{
    models::speaker::batch_norm,
    ops::{Linear, NormalisedLinear, Sliding, TimeConvolution, masked_taps, scale_shift_relu, stretch_means},
};

/// Frames over which a layer's local context is averaged (upstream: `seg_len`).
const CONTEXT_FRAMES: usize = 100;

/// The batch normalisation and ReLU behind the last block.
pub(super) struct ScaleShift {
    scale: Tensor,
    shift: Tensor,
}

impl ScaleShift {
    pub(super) fn load(channels: usize, vb: VarBuilder) -> Result<Self> {
        let (scale, shift) = batch_norm(channels, vb)?;
        Ok(Self { scale, shift })
    }

    /// (B, T, C) -> (B, T, C).
    pub(super) fn forward_relu(&self, x: &Tensor) -> Result<Tensor> {
        scale_shift_relu(x, &self.scale, &self.shift)
    }
}

/// A convolution of kernel 1 with a bias.
fn load_linear(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Linear> {
    Linear::new(vb.get((outputs, inputs, 1), "weight")?.squeeze(2)?, Some(vb.get(outputs, "bias")?))
}

/// The first time-delay layer: five frames, every second one kept (upstream: `TDNNLayer`).
pub(super) struct WideTimeDelay(TimeConvolution);

impl WideTimeDelay {
    /// A layer behind planes of `frequencies` frequencies with `channels` channels each; the checkpoint has the frequencies
    /// of a channel side by side, here the channels of a frequency are.
    pub(super) fn load(channels: usize, frequencies: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        let (scale, shift) = batch_norm(outputs, vb.pp("nonlinear.batchnorm"))?;
        let inputs = channels * frequencies;
        let weight = vb.get((outputs, inputs, 5), "linear.weight")?.broadcast_mul(&scale.reshape((outputs, 1, 1))?)?;
        let weight = weight.reshape((outputs, channels, frequencies, 5))?.transpose(1, 2)?.contiguous()?;
        let sliding = Sliding { stride: 2, padding: (2, 2), groups: 1 };
        Ok(Self(TimeConvolution::new(weight.reshape((outputs, inputs, 5))?, Some(shift), sliding)?))
    }

    /// (B, T, frequencies * channels) -> (B, ceil(T / 2), out).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.forward(x)?.relu()
    }
}

/// One block: every layer reads what entered the block and what all layers before it made (upstream: `CAMDenseTDNNBlock`).
pub(super) struct DenseBlock {
    layers: Vec<DenseLayer>,
}

impl DenseBlock {
    pub(super) fn load(inputs: usize, block: BlockConfig, config: &Config, vb: VarBuilder) -> Result<Self> {
        let layers = (0..block.layers)
            .map(|index| {
                let vb = vb.pp(format!("tdnnd{}", index + 1));
                DenseLayer::load(inputs + index * config.growth, block.dilation, config, vb)
            })
            .collect::<Result<_>>()?;
        Ok(Self { layers })
    }

    /// (B, T, C) -> (B, T, C + layers * growth).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, inputs) = x.dims3()?;
        let width = self.layers.iter().map(DenseLayer::outputs).sum::<usize>() + inputs;
        // One buffer that the layers fill from left to right, in place of a concatenation per layer.
        let collected = Tensor::zeros((batch, time, width), x.dtype(), x.device())?;
        collected.slice_set(&x.contiguous()?, 2, 0)?;
        let mut filled = inputs;
        for layer in &self.layers {
            collected.slice_set(&layer.forward(&collected.narrow(2, 0, filled)?)?, 2, filled)?;
            filled += layer.outputs();
        }
        Ok(collected)
    }
}

/// One layer: a bottleneck, then a dilated kernel of three, masked by a gate that sees the context (upstream:
/// `CAMDenseTDNNLayer`, `CAMLayer`).
struct DenseLayer {
    /// To the bottleneck, with the normalisations before and after it.
    linear1: NormalisedLinear,
    /// The three taps side by side: bottleneck -> 3 * growth.
    linear_local: Linear,
    context1: Linear,
    context2: Linear,
    dilation: usize,
}

impl DenseLayer {
    fn load(inputs: usize, dilation: usize, config: &Config, vb: VarBuilder) -> Result<Self> {
        let (bottleneck, growth) = (config.bottleneck, config.growth);
        let (scale, shift) = batch_norm(inputs, vb.pp("nonlinear1.batchnorm"))?;
        let (gain, bias) = batch_norm(bottleneck, vb.pp("nonlinear2.batchnorm"))?;
        let weight = vb.get((bottleneck, inputs, 1), "linear1.weight")?.squeeze(2)?;
        let weight = weight.broadcast_mul(&gain.unsqueeze(1)?)?;
        let cam = vb.pp("cam_layer");
        let taps = cam.get((growth, bottleneck, 3), "linear_local.weight")?;
        Ok(Self {
            linear1: NormalisedLinear::new(scale, shift, weight, Some(bias), true)?,
            linear_local: Linear::new(taps.permute((2, 0, 1))?.reshape((3 * growth, bottleneck))?, None)?,
            context1: load_linear(bottleneck, bottleneck / 2, cam.pp("linear1"))?,
            context2: load_linear(bottleneck / 2, growth, cam.pp("linear2"))?,
            dilation,
        })
    }

    fn outputs(&self) -> usize {
        self.context2.outputs()
    }

    /// (B, T, C) -> (B, T, growth).
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.linear1.forward(x)?; // (B, T, bottleneck)
        let taps = self.linear_local.forward(&x)?; // (B, T, 3 * growth)
        masked_taps(&taps, &self.mask(&x)?, self.dilation, CONTEXT_FRAMES)
    }

    /// The mask of each stretch of 100 frames: from its mean plus the mean over all frames, (B, stretches, growth).
    fn mask(&self, x: &Tensor) -> Result<Tensor> {
        let means = stretch_means(x, CONTEXT_FRAMES)?;
        let context =
            if means.dim(1)? == 1 { (&means + &means)? } else { means.broadcast_add(&stretch_means(x, x.dim(1)?)?)? };
        sigmoid(&self.context2.forward(&self.context1.forward(&context)?.relu()?)?)
    }
}

/// The product between two blocks, which halves the channels (upstream: `TransitLayer`).
pub(super) struct Transit(NormalisedLinear);

impl Transit {
    pub(super) fn load(inputs: usize, vb: VarBuilder) -> Result<Self> {
        let (scale, shift) = batch_norm(inputs, vb.pp("nonlinear.batchnorm"))?;
        let weight = vb.get((inputs / 2, inputs, 1), "linear.weight")?.squeeze(2)?;
        Ok(Self(NormalisedLinear::new(scale, shift, weight, None, false)?))
    }

    /// (B, T, C) -> (B, T, C / 2).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.forward(x)
    }
}
