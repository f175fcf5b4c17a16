//! ECAPA-TDNN, as SpeechBrain trained it: 192 numbers.
//!
//! Architecture: Desplanques et al., "ECAPA-TDNN: Emphasized Channel Attention, Propagation and Aggregation in TDNN Based
//! Speaker Verification" (Interspeech 2020); reference implementation `speechbrain/lobes/models/ECAPA_TDNN.py` of
//! SpeechBrain, whose tensor names the checkpoint has. Dilated time-delay blocks, each seeing its channels in eight groups
//! that build on each other and weighing them by what it hears of the whole window; all blocks' results side by side;
//! attentive statistics over time; one linear layer. Tensors are time-major, (B, T, C).

mod layers;
mod pooling;

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;

use layers::{Block, TimeDelay};
use pooling::AttentiveStatistics;

/// The sizes of the network, those of spkrec-ecapa-voxceleb by default: its checkpoint carries no configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Mel bins (upstream: `input_size`).
    pub features: usize,
    /// Length of an embedding (upstream: `lin_neurons`).
    pub embedding: usize,
    /// Channels of the first layer and of every block (upstream: `channels[0..4]`).
    pub channels: usize,
    /// Channels that are pooled (upstream: `channels[4]`).
    pub pooled: usize,
    /// Frames between the taps of each block's kernels of three (upstream: `dilations[1..4]`).
    pub dilations: [usize; 3],
    /// Groups of channels in a block that build on each other (upstream: `res2net_scale`).
    pub groups: usize,
    /// Channels in which a block weighs its channels (upstream: `se_channels`).
    pub squeeze: usize,
    /// Channels of the attention (upstream: `attention_channels`).
    pub attention: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            features: 80,
            embedding: 192,
            channels: 1024,
            pooled: 3072,
            dilations: [2, 3, 4],
            groups: 8,
            squeeze: 128,
            attention: 128,
        }
    }
}

/// The network.
pub struct EcapaTdnn {
    config: Config,
    first: TimeDelay,
    blocks: Vec<Block>,
    /// All blocks' results to what is pooled (upstream: `mfa`).
    aggregation: TimeDelay,
    pooling: AttentiveStatistics,
}

impl EcapaTdnn {
    /// Reads the network from `vb`, the root of the checkpoint.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than `config` says.
    pub fn load(vb: VarBuilder, config: &Config) -> Result<Self> {
        let blocks = config.dilations.iter().enumerate();
        let blocks = blocks
            .map(|(index, &dilation)| Block::load(config, dilation, vb.pp(format!("blocks.{}", index + 1))))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            config: config.clone(),
            first: TimeDelay::load((config.features, config.channels), 5, 1, vb.pp("blocks.0"))?,
            aggregation: TimeDelay::load((config.channels * blocks.len(), config.pooled), 1, 1, vb.pp("mfa"))?,
            blocks,
            pooling: AttentiveStatistics::load(config, vb)?,
        })
    }

    /// The sizes of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the blocks make of windows: features (B, T, 80) in decibels, each window's mean over time removed -> (B, T, 3072).
    ///
    /// # Errors
    /// When there are other features, too few frames to mirror at the ends (five are enough), or a device fails.
    pub fn trunk(&self, features: &Tensor) -> Result<Tensor> {
        let (_, frames, bins) = features.dims3()?;
        let least = self.config.dilations.iter().fold(2, |most, &dilation| most.max(dilation)) + 1;
        if frames < least || bins != self.config.features {
            bail!(
                "a speaker embedder of {} bins that needs {least} frames cannot take features {:?}",
                self.config.features,
                features.dims()
            );
        }
        let mut x = self.first.forward(&features.to_dtype(DType::F32)?)?;
        let mut results = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            x = block.forward(&x)?;
            results.push(x.clone());
        }
        self.aggregation.forward(&Tensor::cat(&results, 2)?)
    }

    /// Embeddings of the speakers of windows: trunk (B, T, 3072), weights (B, S, T) -> (B, S, 192), not normalised in length.
    ///
    /// The weights enter twice, where the reference has its mask of lengths: the mean and deviation that the attention knows
    /// of the window are taken under them, and the attention over frames is multiplied by them (and then sums to one).
    /// Weights of 0 and 1 do what the reference's mask does.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn pool(&self, trunk: &Tensor, weights: &Tensor) -> Result<Tensor> {
        self.pooling.forward(trunk, weights)
    }
}
