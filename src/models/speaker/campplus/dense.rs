//! The body: densely connected time-delay layers, each masked by its context. Tensors are time-major, (B, T, C), so that
//! every convolution over time is one matrix product.

use candle_core::{Result, Tensor};
use candle_nn::{VarBuilder, ops::sigmoid};

use super::{BlockConfig, Config, batch_norm};
use crate::ops::{masked_taps, scale_shift_relu, stretch_means};

/// Frames over which a layer's local context is averaged (upstream: `seg_len`).
const CONTEXT_FRAMES: usize = 100;

/// A batch normalisation that stands before a ReLU, so that it cannot be folded into a product.
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

/// A product over the last axis with a bias: weight (in, out).
struct Product {
    weight: Tensor,
    bias: Tensor,
}

impl Product {
    /// A convolution of kernel 1 followed by a batch normalisation, folded.
    fn load_normalised(inputs: usize, outputs: usize, conv: VarBuilder, norm: VarBuilder) -> Result<Self> {
        let (scale, shift) = batch_norm(outputs, norm)?;
        let weight = conv.get((outputs, inputs, 1), "weight")?.squeeze(2)?.broadcast_mul(&scale.unsqueeze(1)?)?;
        Ok(Self { weight: weight.t()?.contiguous()?, bias: shift })
    }

    /// A convolution of kernel 1 with a bias.
    fn load(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get((outputs, inputs, 1), "weight")?.squeeze(2)?.t()?.contiguous()?;
        Ok(Self { weight, bias: vb.get(outputs, "bias")? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        product(x, &self.weight)?.broadcast_add(&self.bias)
    }
}

/// x (B, T, in) by weight (in, out) -> (B, T, out), as one product over all rows.
fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (batch, time, inputs) = x.dims3()?;
    x.reshape((batch * time, inputs))?.matmul(weight)?.reshape((batch, time, weight.dim(1)?))
}

/// The first time-delay layer: five frames, every second one kept (upstream: `TDNNLayer`).
pub(super) struct WideTimeDelay {
    weight: Tensor,
    one: Tensor,
    shift: Tensor,
}

impl WideTimeDelay {
    pub(super) fn load(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        let (scale, shift) = batch_norm(outputs, vb.pp("nonlinear.batchnorm"))?;
        let weight = vb.get((outputs, inputs, 5), "linear.weight")?.broadcast_mul(&scale.reshape((outputs, 1, 1))?)?;
        let weight = weight.permute((2, 1, 0))?.reshape((5 * inputs, outputs))?; // (frame, in) x out
        Ok(Self { weight, one: scale.ones_like()?, shift })
    }

    /// (B, T, in) -> (B, ceil(T / 2), out).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, inputs) = x.dims3()?;
        let outputs = time.div_ceil(2);
        // Two frames of padding before, and enough behind to see frames as pairs: output t reads pairs t, t + 1 and half of t + 2.
        let pairs = x.pad_with_zeros(1, 2, 2 * outputs + 2 - time)?.reshape((batch, outputs + 2, 2 * inputs))?;
        let half = pairs.narrow(1, 2, outputs)?.narrow(2, 0, inputs)?;
        let patches = Tensor::cat(&[&pairs.narrow(1, 0, outputs)?, &pairs.narrow(1, 1, outputs)?, &half], 2)?;
        scale_shift_relu(&product(&patches, &self.weight)?, &self.one, &self.shift)
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
    nonlinear1: ScaleShift,
    linear1: Product,
    one: Tensor,
    /// The three taps side by side: (bottleneck, 3 * growth).
    linear_local: Tensor,
    context1: Product,
    context2: Product,
    dilation: usize,
}

impl DenseLayer {
    fn load(inputs: usize, dilation: usize, config: &Config, vb: VarBuilder) -> Result<Self> {
        let (bottleneck, growth) = (config.bottleneck, config.growth);
        let linear1 = Product::load_normalised(inputs, bottleneck, vb.pp("linear1"), vb.pp("nonlinear2.batchnorm"))?;
        let cam = vb.pp("cam_layer");
        let taps = cam.get((growth, bottleneck, 3), "linear_local.weight")?;
        Ok(Self {
            nonlinear1: ScaleShift::load(inputs, vb.pp("nonlinear1.batchnorm"))?,
            one: linear1.bias.ones_like()?,
            linear1,
            linear_local: taps.permute((1, 2, 0))?.reshape((bottleneck, 3 * growth))?,
            context1: Product::load(bottleneck, bottleneck / 2, cam.pp("linear1"))?,
            context2: Product::load(bottleneck / 2, growth, cam.pp("linear2"))?,
            dilation,
        })
    }

    fn outputs(&self) -> usize {
        self.context2.bias.elem_count()
    }

    /// (B, T, C) -> (B, T, growth).
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = product(&self.nonlinear1.forward_relu(x)?, &self.linear1.weight)?;
        let x = scale_shift_relu(&x, &self.one, &self.linear1.bias)?; // (B, T, bottleneck)
        let taps = product(&x, &self.linear_local)?; // (B, T, 3 * growth)
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
pub(super) struct Transit {
    nonlinear: ScaleShift,
    weight: Tensor,
}

impl Transit {
    pub(super) fn load(inputs: usize, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get((inputs / 2, inputs, 1), "linear.weight")?.squeeze(2)?.t()?.contiguous()?;
        Ok(Self { nonlinear: ScaleShift::load(inputs, vb.pp("nonlinear.batchnorm"))?, weight })
    }

    /// (B, T, C) -> (B, T, C / 2).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        product(&self.nonlinear.forward_relu(x)?, &self.weight)
    }
}
