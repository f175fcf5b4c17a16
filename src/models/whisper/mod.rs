//! Whisper (Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision"), as openai/whisper's
//! `model.py` defines it, with the tensor names of the hub's checkpoints. GELU is the erf form, layer norms use 1e-5.

pub mod checkpoints;
mod decoder;
mod encoder;
mod int8;
mod step;
pub mod tokenizer;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
pub use candle_transformers::models::whisper::Config;
use serde::Deserialize;

pub use decoder::{Decoder, KvCache};
pub use encoder::Encoder;
pub use int8::int8_tensors;
pub use step::StepPlan;
pub use tokenizer::Tokenizer;

use crate::ops::Precision;

/// Mel frames of one chunk: 30 s at 100 frames a second.
pub const MEL_FRAMES: usize = candle_transformers::models::whisper::N_FRAMES;
/// Encoder positions (and time steps of cross-attention) in a second.
pub const POSITIONS_PER_SECOND: f64 = 50.0;
/// Epsilon of every layer norm (torch's default).
const LAYER_NORM_EPS: f64 = 1e-5;

/// What `generation_config.json` says beside the dimensions; everything is optional there.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// Tokens that are never written: symbols that are not speech, and the special tokens.
    pub suppress_tokens: Option<Vec<u32>>,
    /// Tokens that no text begins with: a lone space, and the end.
    pub begin_suppress_tokens: Option<Vec<u32>>,
    /// (layer, head) pairs of the decoder whose cross-attention follows time.
    pub alignment_heads: Option<Vec<(usize, usize)>>,
}

impl GenerationConfig {
    /// The heads that follow time; for checkpoints that name none, all heads of the upper half of the decoder (as openai/whisper does).
    pub fn alignment_heads(&self, config: &Config) -> Vec<(usize, usize)> {
        match &self.alignment_heads {
            Some(heads) if !heads.is_empty() => heads.clone(),
            _ => (config.decoder_layers / 2..config.decoder_layers)
                .flat_map(|layer| (0..config.decoder_attention_heads).map(move |head| (layer, head)))
                .collect(),
        }
    }
}

/// Encoder and decoder of one checkpoint.
#[derive(Debug)]
pub struct Whisper {
    /// Mel frames to audio features.
    pub encoder: Encoder,
    /// Tokens and audio features to the next token.
    pub decoder: Decoder,
    /// The checkpoint's dimensions.
    pub config: Config,
}

impl Whisper {
    /// Loads a hub checkpoint (`model.encoder...`, `model.decoder...`); products on the CPU are made in this precision.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than `config` says, or the processor has no unit for bfloat16.
    pub fn load(vb: &VarBuilder, config: &Config, precision: Precision) -> Result<Self> {
        let vb = vb.pp("model");
        Ok(Self {
            encoder: Encoder::load(&vb.pp("encoder"), config, precision)?,
            decoder: Decoder::load(&vb.pp("decoder"), config, precision)?,
            config: config.clone(),
        })
    }

    /// Log-mel `(B, 3000, mel bins)` to audio features `(B, 1500, d_model)`.
    pub fn encode(&self, mel: &Tensor) -> Result<Tensor> {
        self.encoder.forward(mel)
    }
}
