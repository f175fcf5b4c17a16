//! Whisper's decoder with keys and values kept in caches that the caller owns.
//!
//! Chunks and texts live in numbered slots of their own. A chunk's slot holds the cross-attention keys and values of its audio,
//! a text's the self-attention keys and values of the tokens decoded so far, so a row can leave, and another take its slot,
//! without anything being copied. Several texts may hear one chunk, and a text may go on where another one stands: what both
//! begin with stays where it is ([`KvCache::follow`]).

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::{
    Config, LAYER_NORM_EPS,
    step::{Step, StepPlan},
};
use crate::{
    models::layers::{layer_norm, linear_in},
    ops::{
        self, Ancestors, Int8Cache, LayerNorm, Linear, Precision, Slot, Slots,
        profile::{self, Class, Stage, Work},
    },
};

/// Keys and values of all layers for a number of chunks and texts.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    texts: Vec<Text>,
    /// Slots of chunks.
    slots: usize,
    /// Cross-attention positions: 1500.
    source_length: usize,
}

/// What the slot of a text holds.
#[derive(Debug, Clone)]
struct Text {
    /// Tokens decoded.
    length: usize,
    /// The slot of the chunk that it hears.
    chunk: usize,
    /// The slots of its keys so far; empty where all lie in its own.
    ancestors: Vec<u32>,
}

impl Text {
    fn new(chunk: usize) -> Self {
        Self { length: 0, chunk, ancestors: Vec::new() }
    }

    /// A text that goes on where this one, in slot `own`, stands.
    fn heir(&self, own: usize) -> Self {
        let mut heir = self.clone();
        heir.ancestors.resize(self.length, own as u32);
        heir
    }
}

#[derive(Debug)]
struct LayerCache {
    keys: Tensor,   // (texts, target positions, d_model)
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
    /// Empty caches for `slots` chunks and as many texts, each of which hears the chunk of its number, of a decoder whose products
    /// on the CPU are made in this precision.
    pub fn new(config: &Config, slots: usize, dtype: DType, device: &Device, precision: Precision) -> Result<Self> {
        let (heads, positions) = (config.decoder_attention_heads, config.max_source_positions);
        // Where products are narrow, so are the caches.
        let dtype = if precision == Precision::Float32 { dtype } else { ops::cache_dtype(dtype, device) };
        let own = || ops::empty_cache((slots, config.max_target_positions, config.d_model), dtype, device);
        let zeros = || Tensor::zeros((slots, positions, config.d_model), dtype, device);
        let cross = || -> Result<CrossCache> {
            Ok(if precision == Precision::Int8 {
                CrossCache::Int8(Int8Cache::new(slots, positions, heads, config.d_model / heads))
            } else {
                CrossCache::Plain { keys: zeros()?, values: zeros()? }
            })
        };
        let layer = |_| Ok(LayerCache { keys: own()?, values: own()?, cross: cross()? });
        Ok(Self {
            layers: (0..config.decoder_layers).map(layer).collect::<Result<_>>()?,
            texts: (0..slots).map(Text::new).collect(),
            slots,
            source_length: config.max_source_positions,
        })
    }

    /// How many chunks it holds.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// How many texts it holds.
    pub fn texts(&self) -> usize {
        self.texts.len()
    }

    /// Tokens decoded in the slot `text`.
    pub fn length(&self, text: usize) -> usize {
        self.texts[text].length
    }

    /// Makes room for `slots` chunks in all, and as many texts at least; the present ones stay as they are.
    pub fn grow(&mut self, slots: usize) -> Result<()> {
        if slots > self.slots {
            for layer in &mut self.layers {
                layer.cross.grow(slots)?;
            }
            self.slots = slots;
        }
        self.grow_texts(slots)
    }

    /// Makes room for `count` texts in all; the present ones stay as they are.
    pub fn grow_texts(&mut self, count: usize) -> Result<()> {
        let texts = &self.texts;
        let more = |old: &Tensor| -> Result<Tensor> {
            let (_, positions, size) = old.dims3()?;
            let new = ops::empty_cache((count, positions, size), old.dtype(), old.device())?;
            for (slot, text) in texts.iter().enumerate().filter(|(_, text)| text.length > 0) {
                let written = old.narrow(0, slot, 1)?.narrow(1, 0, text.length)?.contiguous()?;
                let _timed = profile::span(Class::CacheCopy, || Work::over(&written));
                new.narrow(0, slot, 1)?.slice_set(&written, 1, 0)?;
            }
            Ok(new)
        };
        if count > self.texts.len() {
            for layer in &mut self.layers {
                layer.keys = more(&layer.keys)?;
                layer.values = more(&layer.values)?;
            }
            self.texts.extend((self.texts.len()..count).map(Text::new));
        }
        Ok(())
    }

    /// The `texts` hold so many tokens more.
    pub fn advance(&mut self, texts: &[usize], tokens: usize) {
        for &slot in texts {
            let text = &mut self.texts[slot];
            text.length += tokens;
            if !text.ancestors.is_empty() {
                text.ancestors.resize(text.length, slot as u32);
            }
        }
    }

    /// Forgets the tokens of the slot `text`, which goes on to hear the same chunk.
    pub fn rewind(&mut self, text: usize) {
        self.begin(text, self.texts[text].chunk);
    }

    /// The slot `text` holds nothing yet, and hears the chunk in the slot `chunk`.
    pub fn begin(&mut self, text: usize, chunk: usize) {
        self.texts[text] = Text::new(chunk);
    }

    /// Texts go on where others stand: the first slot of each pair where the second one does, all at once. Nothing is copied
    /// but the table of where their keys lie. Texts of one family are equally long, so no key that one of them reads is
    /// written again; a family must go, or begin anew, as a whole.
    pub fn follow(&mut self, heirs: &[(usize, usize)]) {
        let moved = heirs.iter().filter(|(text, parent)| text != parent);
        let moved: Vec<(usize, Text)> = moved.map(|&(text, parent)| (text, self.texts[parent].heir(parent))).collect();
        moved.into_iter().for_each(|(text, heir)| self.texts[text] = heir);
    }

    /// Where the keys of a text lie once it holds so many `tokens` more.
    pub(super) fn own(&self, text: usize, tokens: usize) -> (Slot, Option<Ancestors>) {
        let Text { length, ancestors, .. } = &self.texts[text];
        let slot = Slot { index: text, length: length + tokens };
        (slot, (!ancestors.is_empty()).then(|| ancestors.as_slice().into()))
    }

    /// Where those of its audio lie.
    pub(super) fn source(&self, text: usize) -> Slot {
        Slot { index: self.texts[text].chunk, length: self.source_length }
    }

    /// Positions that a text may have.
    pub(super) fn positions(&self) -> Result<usize> {
        self.layers.first().map_or(Ok(0), |layer| layer.keys.dim(1))
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

    /// Puts the audio `features` (B, 1500, d_model) of B chunks into `slots` and forgets the texts that heard what was there.
    pub fn listen(&self, features: &Tensor, slots: &[usize], cache: &mut KvCache) -> Result<()> {
        let _stage = profile::stage(Stage::CrossKeys);
        let places = slots.iter().map(|&index| Slot { index, length: cache.source_length }).collect();
        let places = Slots::new(places, features.device())?;
        for (block, layer) in self.blocks.iter().zip(&mut cache.layers) {
            let (keys, values) = (block.cross.key.forward(features)?, block.cross.value.forward(features)?);
            layer.cross.set(&keys, &values, &places)?;
        }
        cache
            .texts
            .iter_mut()
            .filter(|text| slots.contains(&text.chunk))
            .for_each(|text| *text = Text::new(text.chunk));
        Ok(())
    }

    /// Feeds T further tokens to each row: `tokens` holds B times T ids, row after row, for the `texts`.
    /// Returns the normed states (B, T, d_model).
    ///
    /// # Errors
    /// When a row would grow past the decoder's positions.
    pub fn forward(&self, tokens: &[u32], texts: &[usize], cache: &mut KvCache) -> Result<Tensor> {
        self.run(tokens, texts, cache, None, &[]).map(|(states, _)| states)
    }

    /// Feeds the T `tokens` to the slot `text` and returns the normed states (1, T, d_model) and the cross-attention of
    /// `heads`, renormalised over the first `source_length` audio positions: softmax weights (heads, T, source_length).
    ///
    /// # Errors
    /// When the row would grow past the decoder's positions.
    pub fn watch(
        &self,
        tokens: &[u32],
        text: usize,
        cache: &mut KvCache,
        source_length: usize,
        heads: &[(usize, usize)],
    ) -> Result<(Tensor, Tensor)> {
        let place = Slot { length: source_length, ..cache.source(text) };
        let place = Slots::new(vec![place], self.positions.device())?;
        let (states, weights) = self.run(tokens, &[text], cache, Some(&place), heads)?;
        Ok((states, Tensor::cat(&weights, 1)?.squeeze(0)?))
    }

    fn run(
        &self,
        tokens: &[u32],
        texts: &[usize],
        cache: &mut KvCache,
        watched: Option<&Slots>,
        heads: &[(usize, usize)],
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let step = self.plan(tokens, texts, cache)?.on(self.positions.device())?;
        let result = self.run_step(&step, cache, watched, heads)?;
        cache.advance(texts, tokens.len() / texts.len().max(1));
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

    /// What [`Decoder::forward`] puts on the device for these tokens and texts.
    ///
    /// # Errors
    /// When a row would grow past the decoder's positions.
    pub fn plan(&self, tokens: &[u32], texts: &[usize], cache: &KvCache) -> Result<StepPlan> {
        StepPlan::new(tokens, texts, cache)
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
