//! The speaker embedder CAM++: filterbanks in, one vector a window out, alike where the speaker is the same.
//!
//! Architecture: Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking"
//! (Interspeech 2023); reference implementation `speakerlab/models/campplus/DTDNN.py` of 3D-Speaker. A residual
//! convolutional head over frequency x time is followed by densely connected time-delay layers, each masked by its
//! context, then by statistics over time and one linear layer. Batch normalisations are folded at load.

mod dense;
mod head;

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;

use dense::{DenseBlock, ScaleShift, Transit, WideTimeDelay};
use head::Head;

/// The epsilon of every batch normalisation.
const EPSILON: f64 = 1e-5;

/// A block of densely connected layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockConfig {
    /// Layers (upstream: `num_layers`).
    pub layers: usize,
    /// Frames between the taps of each layer's kernel of three (upstream: `dilation`).
    pub dilation: usize,
}

/// The sizes of the network. The published checkpoints carry no configuration; [`Config::default`] is that of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Filterbank bins (upstream: `feat_dim`).
    pub features: usize,
    /// Length of an embedding (upstream: `embedding_size`).
    pub embedding: usize,
    /// Channels that each dense layer adds (upstream: `growth_rate`).
    pub growth: usize,
    /// Channels inside a dense layer (upstream: `bn_size * growth_rate`).
    pub bottleneck: usize,
    /// Channels that enter the first block (upstream: `init_channels`).
    pub initial: usize,
    /// The blocks.
    pub blocks: [BlockConfig; 3],
}

impl Default for Config {
    fn default() -> Self {
        let block = |layers, dilation| BlockConfig { layers, dilation };
        Self {
            features: 80,
            embedding: 192,
            growth: 32,
            bottleneck: 128,
            initial: 128,
            blocks: [block(12, 1), block(24, 2), block(16, 2)],
        }
    }
}

/// The network.
pub struct SpeakerEmbedder {
    config: Config,
    head: Head,
    tdnn: WideTimeDelay,
    blocks: Vec<(DenseBlock, Transit)>,
    out_nonlinear: ScaleShift,
    dense: (Tensor, Tensor),
}

impl SpeakerEmbedder {
    /// Reads the network from `vb`, the root of the checkpoint.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than `config` says.
    pub fn load(vb: VarBuilder, config: &Config) -> Result<Self> {
        let head = Head::load(vb.pp("head"))?;
        let vb = vb.pp("xvector");
        let tdnn =
            WideTimeDelay::load(head::OUTPUT_CHANNELS * config.features.div_ceil(8), config.initial, vb.pp("tdnn"))?;
        let mut channels = config.initial;
        let mut blocks = Vec::with_capacity(config.blocks.len());
        for (index, block) in config.blocks.iter().enumerate() {
            let dense = DenseBlock::load(channels, *block, config, vb.pp(format!("block{}", index + 1)))?;
            channels += block.layers * config.growth;
            blocks.push((dense, Transit::load(channels, vb.pp(format!("transit{}", index + 1)))?));
            channels /= 2;
        }
        let out_nonlinear = ScaleShift::load(channels, vb.pp("out_nonlinear.batchnorm"))?;
        let weight = vb.get((config.embedding, 2 * channels, 1), "dense.linear.weight")?.squeeze(2)?;
        let (scale, shift) = plain_batch_norm(config.embedding, vb.pp("dense.nonlinear.batchnorm"))?;
        let weight = weight.broadcast_mul(&scale.unsqueeze(1)?)?.t()?.contiguous()?;
        Ok(Self { config: config.clone(), head, tdnn, blocks, out_nonlinear, dense: (weight, shift) })
    }

    /// The sizes of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Embeddings of windows: `fbank` (B, T, 80), each window's mean over time removed -> (B, 192), f32, not normalised in length.
    ///
    /// # Errors
    /// When `fbank` has another number of bins, no frames, or a device fails.
    pub fn forward(&self, fbank: &Tensor) -> Result<Tensor> {
        let (_, frames, features) = fbank.dims3()?;
        if frames == 0 || features != self.config.features {
            bail!("a speaker embedder of {} bins cannot take features {:?}", self.config.features, fbank.dims());
        }
        let mut x = self.tdnn.forward(&self.head.forward(&fbank.to_dtype(DType::F32)?)?)?; // (B, T', C)
        for (block, transit) in &self.blocks {
            x = transit.forward(&block.forward(&x)?)?;
        }
        let pooled = mean_and_deviation(&self.out_nonlinear.forward_relu(&x)?)?;
        let (weight, bias) = &self.dense;
        pooled.matmul(weight)?.broadcast_add(bias)
    }
}

/// Mean and unbiased standard deviation over time: (B, T, C) -> (B, 2C). A single frame has no deviation: the reference says 0.01.
fn mean_and_deviation(x: &Tensor) -> Result<Tensor> {
    let time = x.dim(1)?;
    let mean = x.mean_keepdim(1)?;
    let deviation = if time > 1 {
        let variance = (x.broadcast_sub(&mean)?.sqr()?.sum(1)? / (time - 1) as f64)?;
        variance.sqrt()?
    } else {
        (mean.squeeze(1)?.zeros_like()? + 1e-2)?
    };
    Tensor::cat(&[mean.squeeze(1)?, deviation], 1)
}

/// A batch normalisation as `x * scale + shift`.
fn batch_norm(channels: usize, vb: VarBuilder) -> Result<(Tensor, Tensor)> {
    let (scale, shift) = plain_batch_norm(channels, vb.clone())?;
    let weight = vb.get(channels, "weight")?;
    Ok(((scale * &weight)?, ((shift * weight)? + vb.get(channels, "bias")?)?))
}

/// The same for a batch normalisation without weight and bias of its own.
fn plain_batch_norm(channels: usize, vb: VarBuilder) -> Result<(Tensor, Tensor)> {
    let scale = (vb.get(channels, "running_var")? + EPSILON)?.sqrt()?.recip()?;
    let shift = (vb.get(channels, "running_mean")?.neg()? * &scale)?;
    Ok((scale, shift))
}
