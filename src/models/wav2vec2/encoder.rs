//! The transformer over the frames. The frames of all clips lie one after the other along time, without padding: what
//! looks from one frame at another goes clip by clip, all the rest goes over all frames at once.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::{
    Boundary, Observer,
    config::Config,
    position::{Gate, PositionalConvolution, RelativePositions},
};
use crate::{
    models::layers::{layer_norm, linear},
    ops::{self, LayerNorm, Linear, Precision},
};

/// Epsilon of the norm inside an adapter, which no configuration names (torch's default).
const ADAPTER_EPSILON: f64 = 1e-5;

/// Positions, blocks, and the norm before the blocks or after them.
#[derive(Debug)]
pub(super) struct Encoder {
    positions: PositionalConvolution,
    relative: Option<RelativePositions>,
    norm: LayerNorm,
    blocks: Vec<Block>,
    norm_first: bool,
}

impl Encoder {
    /// Loads `pos_conv_embed, layer_norm, layers.N`.
    pub(super) fn load(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let layers = vb.pp("layers");
        let relative = (config.model_type == "wavlm")
            .then(|| RelativePositions::load(&layers.pp("0.attention"), config))
            .transpose()?;
        Ok(Self {
            positions: PositionalConvolution::load(&vb.pp("pos_conv_embed"), config)?,
            relative,
            norm: layer_norm(config.hidden_size, config.layer_norm_eps, &vb.pp("layer_norm"))?,
            blocks: (0..config.num_hidden_layers)
                .map(|index| Block::load(&layers.pp(index), config))
                .collect::<Result<_>>()?,
            norm_first: config.do_stable_layer_norm,
        })
    }

    /// Frames of clips of the given lengths, (1, sum of lengths, C), to the same shape.
    pub(super) fn forward(&self, x: &Tensor, lengths: &[usize], observer: Observer<'_>) -> Result<Tensor> {
        let positions = by_clip(lengths, &[x], |clip| self.positions.forward(&clip[0]))?;
        let mut x = (x + positions)?;
        if !self.norm_first {
            x = self.norm.forward(&x)?;
        }
        observer(Boundary::Positions, &x);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let biases = self.relative.as_ref().map(|relative| relative.biases(longest)).transpose()?;
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, lengths, biases.as_ref())?;
            if self.norm_first && index + 1 == self.blocks.len() {
                x = self.norm.forward(&x)?;
            }
            observer(Boundary::Block(index), &x);
        }
        Ok(x)
    }
}

/// Applies `f` to the part of each clip of tensors that all are (1, sum of lengths, ..).
fn by_clip(lengths: &[usize], tensors: &[&Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<Tensor> {
    let mut start = 0;
    let results = lengths.iter().map(|&length| {
        let parts: Vec<Tensor> = tensors.iter().map(|tensor| tensor.narrow(1, start, length)).collect::<Result<_>>()?;
        start += length;
        f(&parts)
    });
    match results.collect::<Result<Vec<_>>>()?.as_slice() {
        [alone] => Ok(alone.clone()),
        several => Tensor::cat(several, 1),
    }
}

/// Attention and two dense layers, each with its residual and a norm before it or after it.
#[derive(Debug)]
struct Block {
    attention: Attention,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    dense_norm: LayerNorm,
    norm_first: bool,
    adapter: Option<Adapter>,
}

impl Block {
    fn load(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let (size, inner, dense) = (config.hidden_size, config.intermediate_size, vb.pp("feed_forward"));
        let adapter = |channels| Adapter::load(&vb.pp("adapter_layer"), size, channels);
        Ok(Self {
            attention: Attention::load(&vb.pp("attention"), config)?,
            attention_norm: layer_norm(size, config.layer_norm_eps, &vb.pp("layer_norm"))?,
            intermediate: linear(size, inner, &dense.pp("intermediate_dense"))?,
            output: linear(inner, size, &dense.pp("output_dense"))?,
            dense_norm: layer_norm(size, config.layer_norm_eps, &vb.pp("final_layer_norm"))?,
            norm_first: config.do_stable_layer_norm,
            adapter: config.adapter_attn_dim.map(adapter).transpose()?,
        })
    }

    /// (1, sum of lengths, C) to the same shape.
    fn forward(&self, x: &Tensor, lengths: &[usize], biases: Option<&Tensor>) -> Result<Tensor> {
        if !self.norm_first {
            let x = self.attention_norm.forward(&self.attention.forward_add(x, lengths, biases, x)?)?;
            return self.dense_norm.forward(&self.output.forward_add(&self.intermediate.forward_gelu(&x)?, &x)?);
        }
        let x = self.attention.forward_add(&self.attention_norm.forward(x)?, lengths, biases, x)?;
        let inner = self.intermediate.forward_gelu(&self.dense_norm.forward(&x)?)?;
        let x = self.output.forward_add(&inner, &x)?;
        match &self.adapter {
            Some(adapter) => adapter.forward_add(&x),
            None => Ok(x),
        }
    }
}

#[derive(Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
    gate: Option<Gate>,
}

impl Attention {
    fn load(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let size = config.hidden_size;
        let dense = |name: &str| linear(size, size, &vb.pp(name));
        Ok(Self {
            query: dense("q_proj")?,
            key: dense("k_proj")?,
            value: dense("v_proj")?,
            out: dense("out_proj")?,
            heads: config.num_attention_heads,
            gate: (config.model_type == "wavlm").then(|| Gate::load(vb, config)).transpose()?,
        })
    }

    /// x, residual (1, sum of lengths, C) to the same shape.
    fn forward_add(&self, x: &Tensor, lengths: &[usize], biases: Option<&Tensor>, residual: &Tensor) -> Result<Tensor> {
        let (query, key, value) = (self.query.forward(x)?, self.key.forward(x)?, self.value.forward(x)?);
        let heard = match (&self.gate, biases) {
            (Some(gate), Some(biases)) => by_clip(lengths, &[&query, &key, &value, x], |clip| {
                self.biased(&clip[0], &clip[1], &clip[2], &gate.forward(&clip[3])?, biases)
            })?,
            _ => by_clip(lengths, &[&query, &key, &value], |clip| {
                ops::attention(&clip[0], &clip[1], &clip[2], self.heads, Precision::Float32)
            })?,
        };
        self.out.forward_add(&heard, residual)
    }

    /// Attention with a bias for every distance: `softmax(q k^T / sqrt(D) + gate * bias) v`, one head at a time so that the
    /// scores stay small. Query, key, value (1, T, C), gates (T, heads), biases (heads, at least T, at least T).
    fn biased(&self, query: &Tensor, key: &Tensor, value: &Tensor, gates: &Tensor, biases: &Tensor) -> Result<Tensor> {
        let (_, time, channels) = query.dims3()?;
        let size = channels / self.heads;
        let scale = 1.0 / (size as f64).sqrt();
        let heads = (0..self.heads).map(|head| {
            let of_head = |x: &Tensor| x.squeeze(0)?.narrow(1, head * size, size)?.contiguous(); // (T, D)
            let bias = biases.get(head)?.narrow(0, 0, time)?.narrow(1, 0, time)?;
            let bias = bias.broadcast_mul(&gates.narrow(1, head, 1)?)?; // (T, T)
            let scores = ((of_head(query)? * scale)?.matmul(&of_head(key)?.t()?)? + bias)?;
            candle_nn::ops::softmax_last_dim(&scores)?.matmul(&of_head(value)?)
        });
        Tensor::cat(&heads.collect::<Result<Vec<_>>>()?, 1)?.unsqueeze(0)
    }
}

/// What a multilingual model adds at the end of each block for one language (Houlsby et al., 2019; Pratap et al., 2023).
#[derive(Debug)]
struct Adapter {
    norm: LayerNorm,
    down: Linear,
    up: Linear,
}

impl Adapter {
    fn load(vb: &VarBuilder, size: usize, channels: usize) -> Result<Self> {
        Ok(Self {
            norm: layer_norm(size, ADAPTER_EPSILON, &vb.pp("norm"))?,
            down: linear(size, channels, &vb.pp("linear_1"))?,
            up: linear(channels, size, &vb.pp("linear_2"))?,
        })
    }

    /// (1, T, C) to the same shape.
    fn forward_add(&self, x: &Tensor) -> Result<Tensor> {
        self.up.forward_add(&self.down.forward(&self.norm.forward(x)?)?.relu()?, x)
    }
}
