//! Keys and values of the decoder, kept in caches (S, Tmax, H*D) whose rows ("slots") belong to the texts being written.
//!
//! A batch row names its slot, so a row that is finished gives its slot away without anything being moved. A cache may be
//! stored in a narrower type (f16) than the queries; sums are always made in the type of the queries, at least f32.

use candle_core::{Device, Result, Tensor, bail};

use super::attention::{merge_heads, scores, softmax, split_heads};

/// Where a batch row keeps its keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The slot of the cache.
    pub index: usize,
    /// The number of keys visible to the row's last query.
    pub length: usize,
}

/// Writes x (B, Tq, C) into `cache` (S, Tmax, C) in place: row b's vectors go to positions `length - Tq .. length` of its
/// slot.
///
/// # Errors
/// When the shapes do not fit, or a slot lies outside the cache or is shorter than x.
pub fn append(cache: &Tensor, x: &Tensor, slots: &[Slot]) -> Result<()> {
    let (_, time, channels) = x.dims3()?;
    check(x, cache, slots)?;
    if channels != cache.dim(2)? {
        bail!("append: vectors of {channels} elements do not fit a cache {:?}", cache.dims());
    }
    let x = x.to_dtype(cache.dtype())?.contiguous()?;
    for (row, slot) in slots.iter().enumerate() {
        let Some(start) = slot.length.checked_sub(time) else {
            bail!("append: {time} new vectors do not fit a slot of length {}", slot.length);
        };
        cache.narrow(0, slot.index, 1)?.slice_set(&x.narrow(0, row, 1)?, 1, start)?;
    }
    Ok(())
}

/// Attention of q (B, Tq, H*D) to the first `length` keys of each row's slot in caches (S, Tmax, H*D) -> (B, Tq, H*D).
/// With `causal`, query i of Tq sees only keys before `length - (Tq - 1 - i)`.
///
/// # Errors
/// When the shapes do not fit, or a slot lies outside the caches or has no key for one of its queries.
pub fn attention_cached(
    q: &Tensor,
    k_cache: &Tensor,
    v_cache: &Tensor,
    slots: &[Slot],
    heads: usize,
    causal: bool,
) -> Result<Tensor> {
    check_heads(q, k_cache, slots, heads, causal)?;
    if k_cache.dims() != v_cache.dims() {
        bail!("attention_cached: caches of keys {:?} and of values {:?} differ", k_cache.dims(), v_cache.dims());
    }
    composition(q, k_cache, v_cache, slots, heads, causal)
}

/// The softmax weights of the `chosen` heads in attention of q (B, Tq, H*D) to the cached keys:
/// (B, chosen, Tq, longest length), zero beyond a row's own length.
///
/// # Errors
/// When the shapes do not fit, a slot lies outside the cache or is empty, or a chosen head does not exist.
pub fn attention_weights_cached(
    q: &Tensor,
    k_cache: &Tensor,
    slots: &[Slot],
    heads: usize,
    chosen: &[usize],
) -> Result<Tensor> {
    check_heads(q, k_cache, slots, heads, false)?;
    if chosen.is_empty() {
        bail!("attention_weights_cached: no head was chosen");
    }
    let head_channels = q.dim(2)? / heads;
    let k = gather(k_cache, slots)?.to_dtype(q.dtype())?; // (B, L, H*D)
    let weights = chosen
        .iter()
        .map(|&head| {
            let [q, k] = [q, &k].map(|x| x.narrow(2, head * head_channels, head_channels)?.contiguous());
            scores(&q?, &k?)
        })
        .collect::<Result<Vec<_>>>()?;
    let weights = Tensor::stack(&weights, 1)?; // (B, chosen, Tq, L)
    softmax(&masked(&weights, slots, false)?)
}

/// The definition: gathers every row's slot, masks what a query may not see.
fn composition(
    q: &Tensor,
    k_cache: &Tensor,
    v_cache: &Tensor,
    slots: &[Slot],
    heads: usize,
    causal: bool,
) -> Result<Tensor> {
    let k = split_heads(&gather(k_cache, slots)?.to_dtype(q.dtype())?, heads)?; // (B, H, L, D)
    let v = split_heads(&gather(v_cache, slots)?.to_dtype(q.dtype())?, heads)?;
    let weights = scores(&split_heads(q, heads)?, &k)?; // (B, H, Tq, L)
    merge_heads(&softmax(&masked(&weights, slots, causal)?)?.matmul(&v)?)
}

/// The rows' slots, cut to the longest length: (B, L, C).
fn gather(cache: &Tensor, slots: &[Slot]) -> Result<Tensor> {
    let cut = cache.narrow(1, 0, longest(slots))?;
    let first = slots.first().map_or(0, |slot| slot.index);
    if slots.iter().enumerate().all(|(row, slot)| slot.index == first + row) {
        return cut.narrow(0, first, slots.len());
    }
    let indexes: Vec<u32> = slots.iter().map(|slot| slot.index as u32).collect();
    cut.contiguous()?.index_select(&Tensor::new(indexes, cache.device())?, 0)
}

fn longest(slots: &[Slot]) -> usize {
    slots.iter().map(|slot| slot.length).max().unwrap_or(0)
}

/// Scores (B, H, Tq, L) with minus infinity where a query may not look.
fn masked(scores: &Tensor, slots: &[Slot], causal: bool) -> Result<Tensor> {
    let (batch, _, queries, keys) = scores.dims4()?;
    let visible = |slot: &Slot, query: usize| slot.length - if causal { queries - 1 - query } else { 0 };
    if slots.iter().all(|slot| visible(slot, 0) == keys) {
        return Ok(scores.clone());
    }
    let mask: Vec<f32> = slots
        .iter()
        .flat_map(|slot| (0..queries).map(move |query| visible(slot, query)))
        .flat_map(|visible| (0..keys).map(move |key| if key < visible { 0.0 } else { f32::NEG_INFINITY }))
        .collect();
    let mask = Tensor::from_vec(mask, (batch, 1, queries, keys), &Device::Cpu)?;
    scores.broadcast_add(&mask.to_device(scores.device())?.to_dtype(scores.dtype())?)
}

fn check(x: &Tensor, cache: &Tensor, slots: &[Slot]) -> Result<()> {
    let (count, limit, _) = cache.dims3()?;
    if x.dim(0)? != slots.len() {
        bail!("a batch of {} rows needs as many slots, not {}", x.dim(0)?, slots.len());
    }
    match slots.iter().find(|slot| slot.index >= count || slot.length > limit) {
        Some(slot) => bail!("{slot:?} lies outside a cache of {count} slots of {limit} positions"),
        None => Ok(()),
    }
}

fn check_heads(q: &Tensor, cache: &Tensor, slots: &[Slot], heads: usize, causal: bool) -> Result<()> {
    check(q, cache, slots)?;
    let (_, queries, channels) = q.dims3()?;
    if channels != cache.dim(2)? || heads == 0 || channels % heads != 0 {
        bail!("cached attention: q {:?}, cache {:?} and {heads} heads do not fit", q.dims(), cache.dims());
    }
    let least = if causal { queries } else { 1 };
    match slots.iter().find(|slot| slot.length < least) {
        Some(slot) => bail!("cached attention: {slot:?} has no key for one of its {queries} queries"),
        None => Ok(()),
    }
}
