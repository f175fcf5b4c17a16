//! What the encoder knows of positions: a wide convolution over the frames, and WavLM's biases by distance.

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;

use super::config::Config;
use crate::{
    models::layers::linear,
    ops::{Linear, Sliding, TimeConvolution},
};

/// GELU of a grouped convolution over the frames, 128 wide, whose result is added to them.
#[derive(Debug)]
pub(super) struct PositionalConvolution {
    convolution: TimeConvolution,
}

impl PositionalConvolution {
    /// Loads `conv`.
    pub(super) fn load(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let (size, width, groups) =
            (config.hidden_size, config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups);
        let vb = vb.pp("conv");
        // Upstream pads both sides alike and, where the width is even, drops the last frame.
        let sliding = Sliding { stride: 1, padding: (width / 2, (width - 1) / 2), groups };
        let weight = normed_weight(&vb, (size, size / groups, width))?;
        Ok(Self { convolution: TimeConvolution::new(weight, Some(vb.get(size, "bias")?), sliding)? })
    }

    /// (1, T, C) of one clip to the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.convolution.forward_gelu(x)
    }
}

/// The weight (out, in / groups, width) of a convolution with weight norm (Salimans and Kingma, 2016): for every step k under
/// the kernel a direction `v[.., .., k]` over its length, times `g[k]`. PyTorch has written it under two names, and exporters write the product.
fn normed_weight(vb: &VarBuilder, shape: (usize, usize, usize)) -> Result<Tensor> {
    let names = [("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")];
    let Some((g, v)) = names.into_iter().find(|(_, v)| vb.contains_tensor(v)) else {
        return vb.get(shape, "weight");
    };
    let length = vb.get((1, 1, shape.2), g)?.to_dtype(DType::F32)?;
    let direction = vb.get(shape, v)?;
    let values = direction.to_dtype(DType::F32)?;
    let own_length = values.sqr()?.sum_keepdim((0, 1))?.sqrt()?; // (1, 1, width)
    values.broadcast_mul(&(length / own_length)?)?.to_dtype(direction.dtype())
}

/// A bias of attention's scores for every distance between query and key (Raffel et al., 2020), shared by all blocks of a
/// WavLM (Chen et al., 2022).
#[derive(Debug)]
pub(super) struct RelativePositions {
    /// (buckets, heads).
    embedding: Tensor,
    buckets: usize,
    far: usize,
}

impl RelativePositions {
    /// Loads `rel_attn_embed`, which the first block's attention keeps.
    pub(super) fn load(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let (buckets, heads) = (config.num_buckets, config.num_attention_heads);
        let embedding = vb.get((buckets, heads), "rel_attn_embed.weight")?;
        Ok(Self { embedding, buckets, far: config.max_bucket_distance })
    }

    /// The biases of `time` queries and keys: (heads, T, T). Those of fewer are a corner of these.
    pub(super) fn biases(&self, time: usize) -> Result<Tensor> {
        let time_steps = time as i64;
        let buckets: Vec<u32> = (1 - time_steps..time_steps).map(|distance| self.bucket(distance)).collect();
        let by_distance = self.embedding.index_select(&Tensor::new(buckets, self.embedding.device())?, 0)?;
        let by_distance = by_distance.t()?.contiguous()?; // (heads, 2 T - 1), from the farthest key before to the farthest after
        let rows = (0..time).map(|query| by_distance.narrow(1, time - 1 - query, time));
        Tensor::stack(&rows.collect::<Result<Vec<_>>>()?, 1)
    }

    /// Half of the buckets are for keys after the query; in each half the near distances have one each, and the far ones
    /// share the rest by their logarithm.
    fn bucket(&self, distance: i64) -> u32 {
        let half = self.buckets / 2;
        let start = if distance > 0 { half } else { 0 };
        let (near, distance) = (half / 2, distance.unsigned_abs() as usize);
        if distance < near {
            return (start + distance) as u32;
        }
        // In f32, as upstream rounds.
        let share = (distance as f32 / near as f32).ln() / (self.far as f64 / near as f64).ln() as f32;
        let bucket = (near as f32 + share * (half - near) as f32) as usize;
        (start + bucket.min(half - 1)) as u32
    }
}

/// How much each head's queries heed the biases by distance.
#[derive(Debug)]
pub(super) struct Gate {
    dense: Linear,
    /// (heads).
    scale: Tensor,
    heads: usize,
}

impl Gate {
    /// Outputs of the dense layer: four numbers for each of two gates, which are summed.
    const OUTPUTS: usize = 8;

    /// Loads `gru_rel_pos_linear, gru_rel_pos_const`.
    pub(super) fn load(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let heads = config.num_attention_heads;
        Ok(Self {
            dense: linear(config.hidden_size / heads, Self::OUTPUTS, &vb.pp("gru_rel_pos_linear"))?,
            scale: vb.get((1, heads, 1, 1), "gru_rel_pos_const")?.flatten_all()?,
            heads,
        })
    }

    /// What enters the attention, (1, T, C), to the gates (T, heads).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, channels) = x.dims3()?;
        if batch != 1 {
            bail!("gates are made for one clip at a time, not {batch}");
        }
        let sums = self.dense.forward(&x.reshape((time, self.heads, channels / self.heads))?)?;
        let sums = sums.reshape((time, self.heads, 2, Self::OUTPUTS / 2))?.sum(3)?; // (T, H, 2)
        let gates = candle_nn::ops::sigmoid(&sums)?;
        let (update, reset) = (gates.narrow(2, 0, 1)?.squeeze(2)?, gates.narrow(2, 1, 1)?.squeeze(2)?);
        (update * (reset.broadcast_mul(&self.scale)? - 1.0)?)? + 2.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::Device;

    use super::*;

    #[test]
    fn buckets_are_upstreams() {
        let embedding = Tensor::zeros((320, 1), DType::F32, &Device::Cpu).unwrap();
        let positions = RelativePositions { embedding, buckets: 320, far: 800 };
        let buckets = [0, 1, -1, 79, 80, -80, 100, 799, 800, 5000, -5000].map(|distance| positions.bucket(distance));
        assert_eq!(buckets, [0, 161, 1, 239, 240, 80, 247, 319, 319, 319, 159]);
    }

    #[test]
    fn both_namings_and_a_plain_weight_are_one() {
        let shape = (4, 2, 3);
        let direction = Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
        let length = Tensor::new(&[[[1f32, 2.0, 3.0]]], &Device::Cpu).unwrap();
        let load = |tensors: &[(&str, &Tensor)]| {
            let tensors: HashMap<_, _> =
                tensors.iter().map(|(name, tensor)| ((*name).to_owned(), (*tensor).clone())).collect();
            normed_weight(&VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu), shape)
        };
        let old = load(&[("weight_g", &length), ("weight_v", &direction)]).unwrap();
        let new = [("parametrizations.weight.original0", &length), ("parametrizations.weight.original1", &direction)];
        let plain = load(&[("weight", &old)]).unwrap();
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&old), values(&load(&new).unwrap()));
        assert_eq!(values(&old), values(&plain));
        let lengths = old.sqr().unwrap().sum((0, 1)).unwrap().to_vec1::<f32>().unwrap();
        for (length, expected) in lengths.iter().zip([1.0f32, 4.0, 9.0]) {
            assert!((length - expected).abs() < 1e-4, "{lengths:?}");
        }
        assert!(load(&[("weight_g", &length)]).is_err());
    }
}
