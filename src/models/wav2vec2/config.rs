//! What `config.json` says of a wav2vec2, HuBERT or WavLM: upstream's names, transformers' defaults.

use candle_core::{Result, bail};
use serde::Deserialize;

/// The networks that share this architecture.
const MODEL_TYPES: [&str; 3] = ["wav2vec2", "hubert", "wavlm"];

/// Where the convolutions over the samples are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureNorm {
    /// Each channel of the first convolution over its whole clip, as a group norm with one channel a group (base models).
    #[default]
    Group,
    /// Every frame of every convolution over its channels, as a layer norm (large and XLS-R models).
    Layer,
}

/// The dimensions of a checkpoint; what a `config.json` leaves out is as in transformers' `Wav2Vec2Config`,
/// `HubertConfig` and `WavLMConfig`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Which of the three networks: `wav2vec2`, `hubert` or `wavlm`.
    pub model_type: String,
    /// Labels.
    pub vocab_size: usize,
    /// Channels of the encoder.
    pub hidden_size: usize,
    /// Blocks of the encoder.
    pub num_hidden_layers: usize,
    /// Heads of each attention.
    pub num_attention_heads: usize,
    /// Channels inside a block's two dense layers.
    pub intermediate_size: usize,
    /// The function between those; only `gelu`.
    pub hidden_act: String,
    /// Epsilon of the layer norms after the convolutions.
    pub layer_norm_eps: f64,
    /// Where the convolutions are normalised.
    pub feat_extract_norm: FeatureNorm,
    /// The function after each convolution; only `gelu`.
    pub feat_extract_activation: String,
    /// Whether a layer norm goes before the projection (HuBERT may lack it).
    pub feat_proj_layer_norm: bool,
    /// Channels of each convolution.
    pub conv_dim: Vec<usize>,
    /// Stride of each convolution.
    pub conv_stride: Vec<usize>,
    /// Width of each convolution.
    pub conv_kernel: Vec<usize>,
    /// Whether the convolutions have biases.
    pub conv_bias: bool,
    /// Width of the positional convolution, in frames.
    pub num_conv_pos_embeddings: usize,
    /// Groups of the positional convolution.
    pub num_conv_pos_embedding_groups: usize,
    /// Whether the positional convolution follows a batch norm in place of its weight norm (a few HuBERT models).
    pub conv_pos_batch_norm: bool,
    /// Whether a block normalises what enters it (large and XLS-R models), not what leaves it.
    pub do_stable_layer_norm: bool,
    /// Whether convolutions after the encoder make fewer frames.
    pub add_adapter: bool,
    /// Channels inside the adapter at the end of each block (MMS), where there is one.
    pub adapter_attn_dim: Option<usize>,
    /// Distances that WavLM's attention tells apart, in both directions together.
    pub num_buckets: usize,
    /// The distance in frames from which on WavLM's attention tells none apart.
    pub max_bucket_distance: usize,
    /// The label that stands for nothing, where the vocabulary does not say.
    pub pad_token_id: Option<u32>,
    /// Whether a clip is brought to zero mean and unit variance first (of `preprocessor_config.json`).
    pub do_normalize: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model_type: "wav2vec2".into(),
            vocab_size: 32,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-5,
            feat_extract_norm: FeatureNorm::Group,
            feat_extract_activation: "gelu".into(),
            feat_proj_layer_norm: true,
            conv_dim: vec![512; 7],
            conv_stride: vec![5, 2, 2, 2, 2, 2, 2],
            conv_kernel: vec![10, 3, 3, 3, 3, 2, 2],
            conv_bias: false,
            num_conv_pos_embeddings: 128,
            num_conv_pos_embedding_groups: 16,
            conv_pos_batch_norm: false,
            do_stable_layer_norm: false,
            add_adapter: false,
            adapter_attn_dim: None,
            num_buckets: 320,
            max_bucket_distance: 800,
            pad_token_id: Some(0),
            do_normalize: true,
        }
    }
}

impl Config {
    /// Samples under one frame of the convolutions: 400 (25 ms) in every published model.
    pub fn receptive_field(&self) -> usize {
        let layers = self.conv_kernel.iter().zip(&self.conv_stride).rev();
        layers.fold(1, |samples, (kernel, stride)| (samples - 1) * stride + kernel)
    }

    /// Samples from one frame to the next: 320 (20 ms) in every published model.
    pub fn hop(&self) -> usize {
        self.conv_stride.iter().product()
    }

    /// The number of frames that a clip of so many samples yields; at least one, since a shorter clip is padded.
    pub fn frames(&self, samples: usize) -> usize {
        let layers = self.conv_kernel.iter().zip(&self.conv_stride);
        layers.fold(samples.max(self.receptive_field()), |time, (kernel, stride)| (time - kernel) / stride + 1)
    }

    /// Checks that this is a network that can be built.
    ///
    /// # Errors
    /// One sentence about the first thing that does not fit.
    pub(super) fn check(&self) -> Result<()> {
        if !MODEL_TYPES.contains(&self.model_type.as_str()) {
            bail!("it is a model of type `{}`, not wav2vec2, hubert or wavlm", self.model_type);
        }
        if self.add_adapter {
            bail!("it ends in an adapter that makes fewer frames (add_adapter), which word times cannot follow");
        }
        if self.conv_pos_batch_norm {
            bail!("its positional convolution follows a batch norm (conv_pos_batch_norm), which is not supported");
        }
        if self.adapter_attn_dim.is_some() && !self.do_stable_layer_norm {
            bail!(
                "it has adapters in blocks that normalise what leaves them (adapter_attn_dim), which is not supported"
            );
        }
        for (name, function) in
            [("hidden_act", &self.hidden_act), ("feat_extract_activation", &self.feat_extract_activation)]
        {
            if function != "gelu" {
                bail!("its {name} is `{function}`; only `gelu` is supported");
            }
        }
        self.check_sizes()
    }

    fn check_sizes(&self) -> Result<()> {
        let convolutions = self.conv_dim.len();
        let listed = [&self.conv_dim, &self.conv_stride, &self.conv_kernel];
        if convolutions == 0 || listed.iter().any(|list| list.len() != convolutions || list.contains(&0)) {
            bail!(
                "conv_dim, conv_stride and conv_kernel must name as many numbers above zero, one for each convolution"
            );
        }
        let (size, heads, groups) = (self.hidden_size, self.num_attention_heads, self.num_conv_pos_embedding_groups);
        if size == 0 || heads == 0 || size % heads != 0 || groups == 0 || size % groups != 0 {
            bail!("{size} channels cannot be divided among {heads} heads and {groups} groups");
        }
        if self.vocab_size == 0 || self.num_conv_pos_embeddings == 0 {
            bail!("vocab_size and num_conv_pos_embeddings must be above zero");
        }
        if self.model_type == "wavlm" && (self.num_buckets < 4 || self.max_bucket_distance <= self.num_buckets / 4) {
            bail!("{} buckets for distances up to {} do not fit", self.num_buckets, self.max_bucket_distance);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_convolutions() {
        let config = Config::default();
        assert_eq!((config.receptive_field(), config.hop()), (400, 320));
        let frames = [0, 1, 399, 400, 719, 720, 16_000, 480_000].map(|samples| config.frames(samples));
        assert_eq!(frames, [1, 1, 1, 1, 1, 2, 49, 1499]);
    }

    #[test]
    fn what_cannot_be_built_is_refused_with_a_sentence() {
        let refused = |json: &str, part: &str| {
            let config: Config = serde_json::from_str(json).unwrap();
            let reason = config.check().unwrap_err().to_string();
            assert!(reason.contains(part), "{json}: {reason}");
        };
        refused(r#"{"model_type": "whisper"}"#, "`whisper`");
        refused(r#"{"add_adapter": true}"#, "fewer frames");
        refused(r#"{"conv_pos_batch_norm": true}"#, "batch norm");
        refused(r#"{"adapter_attn_dim": 16}"#, "adapters");
        refused(r#"{"hidden_act": "relu"}"#, "`relu`");
        refused(r#"{"conv_stride": [5, 2]}"#, "conv_stride");
        refused(r#"{"conv_kernel": [10, 3, 0, 3, 3, 2, 2]}"#, "above zero");
        refused(r#"{"num_attention_heads": 7}"#, "7 heads");
        refused(r#"{"vocab_size": 0}"#, "vocab_size");
        refused(r#"{"model_type": "wavlm", "num_buckets": 0}"#, "buckets");
        assert!(serde_json::from_str::<Config>(r#"{"feat_extract_norm": "batch"}"#).is_err());
        assert!(serde_json::from_str::<Config>("{}").unwrap().check().is_ok());
    }
}
