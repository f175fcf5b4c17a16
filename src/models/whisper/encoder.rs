//! Whisper's encoder: two convolutions, fixed positions, pre-norm transformer blocks.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::{Config, LAYER_NORM_EPS};
use crate::{
    models::layers::{layer_norm, linear_in},
    ops::{
        self, Conv1dGelu, LayerNorm, Linear, Precision,
        instructions::has_bfloat16_unit,
        profile::{self, Class, Stage, Work},
    },
};

#[derive(Debug)]
struct Block {
    attention_norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
    precision: Precision,
    mlp_norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl Block {
    fn load(vb: &VarBuilder, config: &Config, precision: Precision) -> Result<Self> {
        let size = config.d_model;
        let linear = |inputs, outputs, bias, name: &str| linear_in(precision, inputs, outputs, bias, &vb.pp(name));
        let own = |bias, name: &str| linear_in(precision, size, size, bias, &vb.pp("self_attn").pp(name));
        Ok(Self {
            attention_norm: layer_norm(size, LAYER_NORM_EPS, &vb.pp("self_attn_layer_norm"))?,
            query: own(true, "q_proj")?,
            key: own(false, "k_proj")?,
            value: own(true, "v_proj")?,
            out: own(true, "out_proj")?,
            heads: config.encoder_attention_heads,
            precision,
            mlp_norm: layer_norm(size, LAYER_NORM_EPS, &vb.pp("final_layer_norm"))?,
            fc1: linear(size, 4 * size, true, "fc1")?,
            fc2: linear(4 * size, size, true, "fc2")?,
        })
    }

    /// (B, T, d_model) to the same shape.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normed = self.attention_norm.forward(x)?;
        let (query, key, value) =
            (self.query.forward(&normed)?, self.key.forward(&normed)?, self.value.forward(&normed)?);
        let x = self.out.forward_add(&ops::attention(&query, &key, &value, self.heads, self.precision)?, x)?;
        let hidden = self.fc1.forward_gelu(&self.mlp_norm.forward(&x)?)?;
        self.fc2.forward_add(&hidden, &x)
    }
}

/// Audio features from mel frames.
#[derive(Debug)]
pub struct Encoder {
    convolutions: [Conv1dGelu; 2],
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Encoder {
    /// Loads `conv1, conv2, embed_positions, layers.N, layer_norm`; products on the CPU are made in this precision.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than `config` says, or the processor has no unit for bfloat16.
    pub fn load(vb: &VarBuilder, config: &Config, precision: Precision) -> Result<Self> {
        let size = config.d_model;
        let convolution = |name: &str, inputs: usize, stride: usize, precision| -> Result<Conv1dGelu> {
            let vb = vb.pp(name);
            Conv1dGelu::new(&vb.get((size, inputs, 3), "weight")?, &vb.get(size, "bias")?, stride, precision)
        };
        Ok(Self {
            convolutions: [
                convolution("conv1", config.num_mel_bins, 1, first_precision(precision))?,
                convolution("conv2", size, 2, precision)?,
            ],
            positions: vb.get((config.max_source_positions, size), "embed_positions.weight")?,
            blocks: (0..config.encoder_layers)
                .map(|layer| Block::load(&vb.pp("layers").pp(layer), config, precision))
                .collect::<Result<_>>()?,
            norm: layer_norm(size, LAYER_NORM_EPS, &vb.pp("layer_norm"))?,
        })
    }

    /// Log-mel `(B, 3000, mel bins)` to features `(B, 1500, d_model)`.
    pub fn forward(&self, mel: &Tensor) -> Result<Tensor> {
        Ok(self.forward_tapped(mel, &[])?.0)
    }

    /// As [`Encoder::forward`], with what comes out of some of the blocks, each `(B, 1500, d_model)`, in the order of
    /// `taps`. Blocks count from 1; after the last one stands the layer norm, as in transformers' `hidden_states`.
    pub fn forward_tapped(&self, mel: &Tensor, taps: &[usize]) -> Result<(Tensor, Vec<Tensor>)> {
        let _stage = profile::stage(Stage::Encoder);
        let mut x = self.embed(mel)?;
        let mut tapped = vec![None; taps.len()];
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x)?;
            if index + 1 == self.blocks.len() {
                x = self.norm.forward(&x)?;
            }
            for (_, place) in taps.iter().zip(&mut tapped).filter(|(tap, _)| **tap == index + 1) {
                *place = Some(x.clone());
            }
        }
        match tapped.into_iter().collect() {
            Some(tapped) => Ok((x, tapped)),
            None => candle_core::bail!("taps {taps:?} lie outside of the {} blocks", self.blocks.len()),
        }
    }

    /// The convolutions and positions: the input of the first block, `(B, 1500, d_model)`.
    fn embed(&self, mel: &Tensor) -> Result<Tensor> {
        let [first, second] = &self.convolutions;
        let x = second.forward(&first.forward(mel)?)?;
        let _timed = profile::span(Class::Elementwise, || Work::over(&x));
        x.broadcast_add(&self.positions)
    }
}

/// The precision of the first convolution: a step of int8 would be coarse beside the quiet parts of a spectrogram.
fn first_precision(precision: Precision) -> Precision {
    match precision {
        Precision::Int8 if has_bfloat16_unit() => Precision::BFloat16,
        Precision::Int8 => Precision::Float32,
        other => other,
    }
}
