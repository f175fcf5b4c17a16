//! ResNet34 over filterbanks, as WeSpeaker trained it and pyannote.audio uses it: 256 numbers.
//!
//! Architecture: Zeinali et al., "BUT System Description to VoxCeleb Speaker Recognition Challenge 2019" (r-vector);
//! reference implementation `pyannote/audio/models/embedding/wespeaker/resnet.py` of pyannote.audio, whose tensor names the
//! checkpoint has. Four stages of residual blocks, of which the last three halve frequency and time, then mean and
//! deviation over time of every channel at every frequency, and one linear layer.

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;

use super::residual::{ResidualBlock, convolution};
use crate::ops::{Linear, PlaneConvolution, weighted_statistics};

/// The sizes of the network. The published checkpoint carries no configuration; [`Config::default`] is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Filterbank bins (upstream: `feat_dim`).
    pub features: usize,
    /// Length of an embedding (upstream: `embed_dim`).
    pub embedding: usize,
    /// Channels of the first stage, doubled by each further one (upstream: `m_channels`).
    pub channels: usize,
    /// Residual blocks of each stage (upstream: `num_blocks`).
    pub blocks: [usize; 4],
}

impl Default for Config {
    fn default() -> Self {
        Self { features: 80, embedding: 256, channels: 32, blocks: [3, 4, 6, 3] }
    }
}

/// The network.
pub struct ResNet34 {
    config: Config,
    conv1: PlaneConvolution,
    blocks: Vec<ResidualBlock>,
    linear: Linear,
}

impl ResNet34 {
    /// Reads the network from `vb`, the root of the checkpoint.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than `config` says.
    pub fn load(vb: VarBuilder, config: &Config) -> Result<Self> {
        let vb = vb.pp("resnet");
        let mut inputs = config.channels;
        let mut blocks = Vec::new();
        for (stage, &count) in config.blocks.iter().enumerate() {
            let outputs = config.channels << stage;
            for index in 0..count {
                let stride = if stage > 0 && index == 0 { (2, 2) } else { (1, 1) };
                let vb = vb.pp(format!("layer{}", stage + 1)).pp(index);
                blocks.push(ResidualBlock::load(inputs, outputs, stride, vb)?);
                inputs = outputs;
            }
        }
        let (frequencies, vb_linear) = (config.features.div_ceil(8), vb.pp("seg_1"));
        let weight = vb_linear.get((config.embedding, 2 * inputs * frequencies), "weight")?;
        // The checkpoint has the frequencies of a channel side by side, here the channels of a frequency are.
        let weight = weight.reshape((config.embedding, 2, inputs, frequencies))?.transpose(2, 3)?.contiguous()?;
        let weight = weight.reshape((config.embedding, 2 * inputs * frequencies))?;
        Ok(Self {
            config: config.clone(),
            conv1: convolution(1, config.channels, 3, (1, 1), vb.pp("conv1"), vb.pp("bn1"))?,
            blocks,
            linear: Linear::new(weight, Some(vb_linear.get(config.embedding, "bias")?))?,
        })
    }

    /// The sizes of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the residual blocks make of windows: `fbank` (B, T, 80), each window's mean over time removed -> (B, ceil(T / 8), 10 * 256),
    /// the channels of a frequency side by side.
    ///
    /// # Errors
    /// When `fbank` has another number of bins, no frames, or a device fails.
    pub fn trunk(&self, fbank: &Tensor) -> Result<Tensor> {
        let (_, frames, features) = fbank.dims3()?;
        if frames == 0 || features != self.config.features {
            bail!("a speaker embedder of {} bins cannot take features {:?}", self.config.features, fbank.dims());
        }
        let planes = fbank.to_dtype(DType::F32)?.transpose(1, 2)?.unsqueeze(3)?; // (B, F, T, 1)
        let mut x = self.conv1.forward_relu(&planes)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        x.transpose(1, 2)?.contiguous()?.flatten_from(2) // (B, T', F' * C)
    }

    /// Embeddings of the speakers of windows: trunk (B, T', C), weights (B, S, T') -> (B, S, 256), not normalised in length.
    /// A single frame has no deviation (0).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn pool(&self, trunk: &Tensor, weights: &Tensor) -> Result<Tensor> {
        self.linear.forward(&weighted_statistics(trunk, weights, 0.0)?)
    }
}
