//! Whisper's decoder with keys and values kept in caches that the caller owns.
//!
//! Rows of a batch live in numbered slots. A slot holds one chunk's cross-attention keys and values and the
//! self-attention keys and values of the tokens decoded so far, so a row can leave, and another take its slot, without
//! anything being copied.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::{
    Config, LAYER_NORM_EPS,
    step::{Step, StepPlan},
};
use crate::{
    models::layers::{layer_norm, linear_in},
    ops::{
        self, Int8Cache, LayerNorm, Linear, Precision, Slot, Slots,
        profile::{self, Class, Stage, Work},
    },
};

/// Keys and values of all layers for a fixed number of slots.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    lengths: Vec<usize>,
    /// Cross-attention positions: 1500.
    source_length: usize,
}

#[derive(Debug)]
struct LayerCache {
    keys: Tensor,   // (S, target positions, d_model)
    values: Tensor, // the same
    cross: CrossCache,
}

/// Keys and values of the audio.
#[derive(Debug)]
enum CrossCache {
    /// (S, 1500, d_model) each.
    Plain { keys: Tensor, values: Tensor },
    /// On the CPU, where products are made in int8.
    Int8(Int8Cache),
}

impl CrossCache {
    fn grow(&mut self, slots: usize) -> Result<()> {
        match self {
            Self::Plain { keys, values } => {
                *keys = grown(keys, slots)?;
                *values = grown(values, slots)?;
            }
            Self::Int8(cache) => cache.grow(slots),
        }
        Ok(())
    }

    /// Puts keys and values (B, 1500, d_model) into the slots of `places`.
    fn set(&mut self, keys: &Tensor, values: &Tensor, places: &Slots) -> Result<()> {
        match self {
            Self::Plain { keys: key_cache, values: value_cache } => {
                ops::append(key_cache, keys, places)?;
                ops::append(value_cache, values, places)
            }
            Self::Int8(cache) => {
                let slots: Vec<usize> = places.rows().iter().map(|slot| slot.index).collect();
                cache.set(keys, values, &slots)
            }
        }
    }

    /// Attention of the queries (B, T, d_model) to the audio.
    fn attention(&self, query: &Tensor, source: &Slots, heads: usize) -> Result<Tensor> {
        match self {
            Self::Plain { keys, values } => ops::attention_cached(query, keys, values, source, heads, false),
            Self::Int8(cache) => cache.attention(query, source.rows()),
        }
    }

    /// The softmax weights of the `chosen` heads: (B, chosen, T, length).
    fn weights(&self, query: &Tensor, source: &Slots, heads: usize, chosen: &[usize]) -> Result<Tensor> {
        match self {
            Self::Plain { keys, .. } => ops::attention_weights_cached(query, keys, source, heads, chosen),
            Self::Int8(cache) => cache.weights(query, source.rows(), chosen),
        }
    }
}

/// A cache (S, positions, d_model) with room for `slots`, the present ones as they are.
fn grown(old: &Tensor, slots: usize) -> Result<Tensor> {
    let (_, positions, size) = old.dims3()?;
    let _timed = profile::span(Class::CacheCopy, || Work::over(old));
    let new = Tensor::zeros((slots, positions, size), old.dtype(), old.device())?;
    new.slice_set(old, 0, 0)?;
    Ok(new)
}

impl KvCache {
    /// Empty caches for `slots` rows, of a decoder whose products on the CPU are made in this precision.
    pub fn new(config: &Config, slots: usize, dtype: DType, device: &Device, precision: Precision) -> Result<Self> {
        let (heads, positions) = (config.decoder_attention_heads, config.max_source_positions);
        // Where products are narrow, so are the caches.
        let dtype = if precision == Precision::Float32 { dtype } else { ops::cache_dtype(dtype, device) };
        let zeros = |positions: usize| Tensor::zeros((slots, positions, config.d_model), dtype, device);
        let cross = || -> Result<CrossCache> {
            Ok(if precision == Precision::Int8 {
                CrossCache::Int8(Int8Cache::new(slots, positions, heads, config.d_model / heads))
            } else {
                CrossCache::Plain { keys: zeros(positions)?, values: zeros(positions)? }
            })
        };
        let layer = |_| {
            let (keys, values) = (zeros(config.max_target_positions)?, zeros(config.max_target_positions)?);
            Ok(LayerCache { keys, values, cross: cross()? })
        };
        Ok(Self {
            layers: (0..config.decoder_layers).map(layer).collect::<Result<_>>()?,
            lengths: vec![0; slots],
            source_length: config.max_source_positions,
        })
    }

    /// How many rows it holds.
    pub fn slots(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens decoded in `slot`.
    pub fn length(&self, slot: usize) -> usize {
        self.lengths[slot]
    }

    /// Makes room for `slots` rows in all; the present ones stay as they are.
    pub fn grow(&mut self, slots: usize) -> Result<()> {
        if slots > self.slots() {
            for layer in &mut self.layers {
                layer.keys = grown(&layer.keys, slots)?;
                layer.values = grown(&layer.values, slots)?;
                layer.cross.grow(slots)?;
            }
            self.lengths.resize(slots, 0);
        }
        Ok(())
    }

    /// The rows in `slots` hold so many tokens more.
    pub fn advance(&mut self, slots: &[usize], tokens: usize) {
        slots.iter().for_each(|&slot| self.lengths[slot] += tokens);
    }

    /// Forgets the tokens of `slot` and keeps its audio.
    pub fn rewind(&mut self, slot: usize) {
        self.lengths[slot] = 0;
    }
}

#[derive(Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

impl Attention {
    fn load(vb: &VarBuilder, size: usize, precision: Precision) -> Result<Self> {
        let linear = |bias, name: &str| linear_in(precision, size, size, bias, &vb.pp(name));
        Ok(Self {
            query: linear(true, "q_proj")?,
            key: linear(false, "k_proj")?,
            value: linear(true, "v_proj")?,
            out: linear(true, "out_proj")?,
        })
    }
}

#[derive(Debug)]
struct Block {
    attention_norm: LayerNorm,
    attention: Attention,
    cross_norm: LayerNorm,
    cross: Attention,
    heads: usize,
    mlp_norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl Block {
    fn load(vb: &VarBuilder, config: &Config, precision: Precision) -> Result<Self> {
        let size = config.d_model;
        Ok(Self {
            attention_norm: layer_norm(size, LAYER_NORM_EPS, &vb.pp("self_attn_layer_norm"))?,
            attention: Attention::load(&vb.pp("self_attn"), size, precision)?,
            cross_norm: layer_norm(size, LAYER_NORM_EPS, &vb.pp("encoder_attn_layer_norm"))?,
            cross: Attention::load(&vb.pp("encoder_attn"), size, precision)?,
            heads: config.decoder_attention_heads,
            mlp_norm: layer_norm(size, LAYER_NORM_EPS, &vb.pp("final_layer_norm"))?,
            fc1: linear_in(precision, size, 4 * size, true, &vb.pp("fc1"))?,
            fc2: linear_in(precision, 4 * size, size, true, &vb.pp("fc2"))?,
        })
    }

    /// `x` (B, T, d_model); `own` and `source` say where each row's keys lie. The cross-attention weights of `watched`
    /// heads over `watched` slots come back as (B, heads, T, length).
    fn forward(
        &self,
        x: &Tensor,
        cache: &LayerCache,
        own: &Slots,
        source: &Slots,
        watched: (&Slots, &[usize]),
    ) -> Result<(Tensor, Option<Tensor>)> {
        let normed = self.attention_norm.forward(x)?;
        ops::append(&cache.keys, &self.attention.key.forward(&normed)?, own)?;
        ops::append(&cache.values, &self.attention.value.forward(&normed)?, own)?;
        let query = self.attention.query.forward(&normed)?;
        let attended = ops::attention_cached(&query, &cache.keys, &cache.values, own, self.heads, true)?;
        let x = self.attention.out.forward_add(&attended, x)?;

        let query = self.cross.query.forward(&self.cross_norm.forward(&x)?)?;
        let weights = match watched {
            (_, []) => None,
            (places, heads) => Some(cache.cross.weights(&query, places, self.heads, heads)?),
        };
        let attended = cache.cross.attention(&query, source, self.heads)?;
        let x = self.cross.out.forward_add(&attended, &x)?;

        let hidden = self.fc1.forward_gelu(&self.mlp_norm.forward(&x)?)?;
        Ok((self.fc2.forward_add(&hidden, &x)?, weights))
    }
}

/// Next-token states from tokens and audio features.
#[derive(Debug)]
pub struct Decoder {
    positions: Tensor, // (448, d_model)
    blocks: Vec<Block>,
    norm: LayerNorm,
    vocabulary: Linear, // its weight also embeds the tokens
}

impl Decoder {
    /// Loads `embed_tokens, embed_positions, layers.N, layer_norm`; products on the CPU are made in this precision.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than `config` says, or the processor has no unit for bfloat16.
    pub fn load(vb: &VarBuilder, config: &Config, precision: Precision) -> Result<Self> {
        let tokens = vb.pp("embed_tokens");
        Ok(Self {
            vocabulary: linear_in(precision, config.d_model, config.vocab_size, false, &tokens)?,
            positions: vb.get((config.max_target_positions, config.d_model), "embed_positions.weight")?,
            blocks: (0..config.decoder_layers)
                .map(|layer| Block::load(&vb.pp("layers").pp(layer), config, precision))
                .collect::<Result<_>>()?,
            norm: layer_norm(config.d_model, LAYER_NORM_EPS, &vb.pp("layer_norm"))?,
        })
    }

    /// Puts the audio `features` (B, 1500, d_model) of B chunks into `slots` and forgets what these held.
    pub fn listen(&self, features: &Tensor, slots: &[usize], cache: &mut KvCache) -> Result<()> {
        let _stage = profile::stage(Stage::CrossKeys);
        let places = slots.iter().map(|&index| Slot { index, length: cache.source_length }).collect();
        let places = Slots::new(places, features.device())?;
        for (block, layer) in self.blocks.iter().zip(&mut cache.layers) {
            let (keys, values) = (block.cross.key.forward(features)?, block.cross.value.forward(features)?);
            layer.cross.set(&keys, &values, &places)?;
        }
        slots.iter().for_each(|&slot| cache.rewind(slot));
        Ok(())
    }

    /// Feeds T further tokens to each row: `tokens` holds B times T ids, row after row, for the rows in `slots`.
    /// Returns the normed states (B, T, d_model).
    ///
    /// # Errors
    /// When a row would grow past the decoder's positions.
    pub fn forward(&self, tokens: &[u32], slots: &[usize], cache: &mut KvCache) -> Result<Tensor> {
        self.run(tokens, slots, cache, None, &[]).map(|(states, _)| states)
    }

    /// Feeds the T `tokens` to the row in `slot` and returns the normed states (1, T, d_model) and the cross-attention of
    /// `heads`, renormalised over the first `source_length` audio positions: softmax weights (heads, T, source_length).
    ///
    /// # Errors
    /// When the row would grow past the decoder's positions.
    pub fn watch(
        &self,
        tokens: &[u32],
        slot: usize,
        cache: &mut KvCache,
        source_length: usize,
        heads: &[(usize, usize)],
    ) -> Result<(Tensor, Tensor)> {
        let place = Slots::new(vec![Slot { index: slot, length: source_length }], self.positions.device())?;
        let (states, weights) = self.run(tokens, &[slot], cache, Some(&place), heads)?;
        Ok((states, Tensor::cat(&weights, 1)?.squeeze(0)?))
    }

    fn run(
        &self,
        tokens: &[u32],
        slots: &[usize],
        cache: &mut KvCache,
        watched: Option<&Slots>,
        heads: &[(usize, usize)],
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let step = self.plan(tokens, slots, cache)?.on(self.positions.device())?;
        let result = self.run_step(&step, cache, watched, heads)?;
        cache.advance(slots, tokens.len() / slots.len().max(1));
        Ok(result)
    }

    fn run_step(
        &self,
        step: &Step,
        cache: &KvCache,
        watched: Option<&Slots>,
        heads: &[(usize, usize)],
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let several = step.tokens.elem_count() > step.own.rows().len();
        let _stage = profile::stage(if several { Stage::Prompt } else { Stage::Step });
        let mut x = self.embed(step)?;
        let mut weights = Vec::new();
        for (index, (block, layer)) in self.blocks.iter().zip(&cache.layers).enumerate() {
            let here: Vec<usize> = heads.iter().filter(|(l, _)| *l == index).map(|(_, head)| *head).collect();
            let watched = (watched.unwrap_or(&step.source), here.as_slice());
            let (next, seen) = block.forward(&x, layer, &step.own, &step.source, watched)?;
            x = next;
            weights.extend(seen);
        }
        Ok((self.norm.forward(&x)?, weights))
    }

    /// What [`Decoder::forward`] puts on the device for these tokens and slots.
    ///
    /// # Errors
    /// When a row would grow past the decoder's positions.
    pub fn plan(&self, tokens: &[u32], slots: &[usize], cache: &KvCache) -> Result<StepPlan> {
        StepPlan::new(tokens, slots, &cache.lengths, self.positions.dim(0)?, cache.source_length)
    }

    /// As [`Decoder::forward`], for a plan whose words are on the device already, at the start of `words` (u32). The caller says
    /// when the rows have grown ([`KvCache::advance`]).
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn forward_at(&self, plan: StepPlan, words: &Tensor, cache: &KvCache) -> Result<Tensor> {
        self.run_step(&plan.at(words)?, cache, None, &[]).map(|(states, _)| states)
    }

    /// Token and position embeddings of T further tokens of each row, (B, T, d_model).
    fn embed(&self, step: &Step) -> Result<Tensor> {
        let embedded = self.vocabulary.weight_rows(&step.tokens)?;
        let placed = self.positions.index_select(&step.positions, 0)?;
        let rows = step.own.rows().len();
        (embedded + placed)?.reshape((rows, step.tokens.dim(0)? / rows.max(1), ()))
    }

    /// States (N, d_model) to logits (N, vocabulary), in f32 on the CPU.
    pub fn logits(&self, states: &Tensor) -> Result<Tensor> {
        let _stage = profile::stage(Stage::Logits);
        ops::choose_token::readable_logits(self.vocabulary.forward(states)?)
    }
}
