//! CAM++: filterbanks in, one vector a voice out.
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

use super::plain_batch_norm;
use crate::ops::{Linear, weighted_statistics};

/// What the reference takes for the deviation of a single frame.
const LONE_DEVIATION: f64 = 1e-2;

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
pub struct CamPlusPlus {
    config: Config,
    head: Head,
    tdnn: WideTimeDelay,
    blocks: Vec<(DenseBlock, Transit)>,
    out_nonlinear: ScaleShift,
    dense: Linear,
}

impl CamPlusPlus {
    /// Reads the network from `vb`, the root of the checkpoint.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than `config` says.
    pub fn load(vb: VarBuilder, config: &Config) -> Result<Self> {
        let head = Head::load(vb.pp("head"))?;
        let vb = vb.pp("xvector");
        let tdnn = vb.pp("tdnn");
        let tdnn = WideTimeDelay::load(head::OUTPUT_CHANNELS, config.features.div_ceil(8), config.initial, tdnn)?;
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
        let dense = Linear::new(weight.broadcast_mul(&scale.unsqueeze(1)?)?, Some(shift))?;
        Ok(Self { config: config.clone(), head, tdnn, blocks, out_nonlinear, dense })
    }

    /// The sizes of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the dense blocks make of windows: `fbank` (B, T, 80), each window's mean over time removed -> (B, ceil(T / 2), 512).
    ///
    /// # Errors
    /// When `fbank` has another number of bins, no frames, or a device fails.
    pub fn trunk(&self, fbank: &Tensor) -> Result<Tensor> {
        let (_, frames, features) = fbank.dims3()?;
        if frames == 0 || features != self.config.features {
            bail!("a speaker embedder of {} bins cannot take features {:?}", self.config.features, fbank.dims());
        }
        let mut x = self.tdnn.forward(&self.head.forward(&fbank.to_dtype(DType::F32)?)?)?; // (B, T', C)
        for (block, transit) in &self.blocks {
            x = transit.forward(&block.forward(&x)?)?;
        }
        self.out_nonlinear.forward_relu(&x)
    }

    /// Embeddings of the speakers of windows: trunk (B, T', 512), weights (B, S, T') -> (B, S, 192), not normalised in length.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn pool(&self, trunk: &Tensor, weights: &Tensor) -> Result<Tensor> {
        self.dense.forward(&weighted_statistics(trunk, weights, LONE_DEVIATION)?)
    }
}
