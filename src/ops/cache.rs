//! Keys and values of the decoder, kept in caches (S, Tmax, H*D) whose rows ("slots") belong to the texts being written.
//!
//! A batch row names its slot, so a row that is finished gives its slot away without anything being moved, and its ancestors
//! where it shares keys with others ([`Slots`]). A cache may be
//! stored in a narrower type (f16) than the queries; sums are always made in the type of the queries, at least f32.

use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, WithDType, bail};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, backend::BackendStorage};
use half::{bf16, f16, vec::HalfBitsVecExt};

use super::{
    append::Append,
    attention::{merge_heads, scores, softmax, split_heads},
    decode::{Cached, SIZE},
    has_kernels, is_fast,
    kernels::cached_attention::MOST_QUERIES,
    profile::{self, Class, Work},
    simd::{Element, widens_f16},
    slice,
    slots::{Slot, Slots},
};

/// The number type that makes caches fastest for activations of `dtype`: f16 for f32 on a processor that widens it by an
/// instruction, since reading the keys and values of audio takes most of the time of decoding; else `dtype` itself.
///
/// With Whisper base on 30 s of speech, f16 caches shift logits (up to 74) by at most 1.1e-2 and the log-probability of the
/// best token by at most 5e-4.
pub fn cache_dtype(dtype: DType, device: &Device) -> DType {
    if device.is_cpu() && dtype == DType::F32 && widens_f16() { DType::F16 } else { dtype }
}

/// A cache of zeros; on the CPU the system gives it memory only where it is written.
///
/// # Errors
/// When the device has no memory for it.
pub fn empty_cache(shape: (usize, usize, usize), dtype: DType, device: &Device) -> Result<Tensor> {
    let (slots, limit, channels) = shape;
    match dtype {
        // Zeros of this type are written one by one, those of u16 come from the system.
        DType::F16 if device.is_cpu() => {
            let zeros: Vec<f16> = vec![0u16; slots * limit * channels].reinterpret_into();
            Tensor::from_vec(zeros, shape, device)
        }
        _ => Tensor::zeros(shape, dtype, device),
    }
}

/// Writes x (B, Tq, C) into `cache` (S, Tmax, C) in place: row b's vectors go to positions `length - Tq .. length` of its
/// slot.
///
/// # Errors
/// When the shapes do not fit, or a slot lies outside the cache or is shorter than x.
pub fn append(cache: &Tensor, x: &Tensor, slots: &Slots) -> Result<()> {
    let (_, time, channels) = x.dims3()?;
    let rows = slots.rows();
    check(x, cache, slots)?;
    if channels != cache.dim(2)? {
        bail!("append: vectors of {channels} elements do not fit a cache {:?}", cache.dims());
    }
    if let Some(slot) = rows.iter().find(|slot| slot.length < time) {
        bail!("append: {time} new vectors do not fit {slot:?}");
    }
    let bytes = x.dtype().size_in_bytes() + cache.dtype().size_in_bytes();
    let _timed = profile::span(Class::CacheCopy, || Work::pass(0, x.elem_count() * bytes));
    let fast = is_fast(&[x]) && is_cache(cache) || has_kernels(&[x, cache]);
    if fast && cache.is_contiguous() {
        return cache.inplace_op2(&x.contiguous()?, &Append { slots });
    }
    append_composition(cache, &x.to_dtype(cache.dtype())?.contiguous()?, rows)
}

/// The definition.
fn append_composition(cache: &Tensor, x: &Tensor, slots: &[Slot]) -> Result<()> {
    for (row, slot) in slots.iter().enumerate() {
        cache.narrow(0, slot.index, 1)?.slice_set(&x.narrow(0, row, 1)?, 1, slot.length - x.dim(1)?)?;
    }
    Ok(())
}

/// Whether the fast paths can read and write a cache.
fn is_cache(cache: &Tensor) -> bool {
    cache.device().is_cpu() && matches!(cache.dtype(), DType::F32 | DType::F16 | DType::BF16)
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
    slots: &Slots,
    heads: usize,
    causal: bool,
) -> Result<Tensor> {
    check_heads(q, k_cache, slots, heads, causal)?;
    if k_cache.dims() != v_cache.dims() {
        bail!("attention_cached: caches of keys {:?} and of values {:?} differ", k_cache.dims(), v_cache.dims());
    }
    let (_, queries, channels) = q.dims3()?;
    let class = if causal { Class::TextAttention } else { Class::AudioAttention };
    let _timed = profile::span(class, || work(q, k_cache, slots.rows()));
    let on_cpu = q.dtype() == DType::F32 && is_cache(k_cache) && k_cache.dtype() == v_cache.dtype();
    let on_gpu = has_kernels(&[q, k_cache, v_cache]) && queries <= MOST_QUERIES;
    if (on_cpu || on_gpu) && channels == heads * SIZE {
        let op = AttentionCached { slots, heads, causal };
        return q.contiguous()?.apply_op3_no_bwd(&k_cache.contiguous()?, &v_cache.contiguous()?, &op);
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
    slots: &Slots,
    heads: usize,
    chosen: &[usize],
) -> Result<Tensor> {
    check_heads(q, k_cache, slots, heads, false)?;
    if chosen.is_empty() {
        bail!("attention_weights_cached: no head was chosen");
    }
    let _timed = profile::span(Class::AudioAttention, || {
        let Work { operations, bytes, .. } = work(q, k_cache, slots.rows());
        // Keys alone, of some heads.
        let share = chosen.len() as f64 / (2 * heads) as f64;
        Work::pass((operations as f64 * share) as usize, (bytes as f64 * share) as usize)
    });
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
    softmax(&masked(&weights, slots.rows(), false)?)
}

/// Attention of q (B, Tq, H*D) to the slots of each row.
fn work(q: &Tensor, cache: &Tensor, slots: &[Slot]) -> Work {
    let (queries, channels) = (q.dims().get(1).copied().unwrap_or(0), q.dims().get(2).copied().unwrap_or(0));
    let sizes = (q.dtype().size_in_bytes(), cache.dtype().size_in_bytes());
    slots.iter().map(|slot| Work::attention(queries, slot.length, channels, sizes)).sum()
}

/// The definition: gathers every row's slot, masks what a query may not see.
fn composition(
    q: &Tensor,
    k_cache: &Tensor,
    v_cache: &Tensor,
    slots: &Slots,
    heads: usize,
    causal: bool,
) -> Result<Tensor> {
    let k = split_heads(&gather(k_cache, slots)?.to_dtype(q.dtype())?, heads)?; // (B, H, L, D)
    let v = split_heads(&gather(v_cache, slots)?.to_dtype(q.dtype())?, heads)?;
    let weights = scores(&split_heads(q, heads)?, &k)?; // (B, H, Tq, L)
    merge_heads(&softmax(&masked(&weights, slots.rows(), causal)?)?.matmul(&v)?)
}

/// The rows' keys, cut to the longest length: (B, L, C).
fn gather(cache: &Tensor, slots: &Slots) -> Result<Tensor> {
    let (rows, length) = (slots.rows(), longest(slots.rows()));
    if slots.are_shared() {
        let (_, limit, channels) = cache.dims3()?;
        let place = |row, place| (slots.holder(row, place) * limit + place) as u32;
        let places: Vec<u32> = (0..rows.len()).flat_map(|row| (0..length).map(move |at| place(row, at))).collect();
        let keys =
            cache.contiguous()?.reshape(((), channels))?.index_select(&Tensor::new(places, cache.device())?, 0)?;
        return keys.reshape((rows.len(), length, channels));
    }
    let cut = cache.narrow(1, 0, length)?;
    let first = rows.first().map_or(0, |slot| slot.index);
    if rows.iter().enumerate().all(|(row, slot)| slot.index == first + row) {
        return cut.narrow(0, first, rows.len());
    }
    let indexes: Vec<u32> = rows.iter().map(|slot| slot.index as u32).collect();
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

fn check(x: &Tensor, cache: &Tensor, slots: &Slots) -> Result<()> {
    let (count, limit, _) = cache.dims3()?;
    let rows = slots.rows();
    if x.dim(0)? != rows.len() {
        bail!("a batch of {} rows needs as many slots, not {}", x.dim(0)?, rows.len());
    }
    if let Some(slot) = rows.iter().find(|slot| slot.index >= count || slot.length > limit) {
        bail!("{slot:?} lies outside a cache of {count} slots of {limit} positions");
    }
    let ancestors = (0..rows.len()).filter_map(|row| slots.ancestors(row)).flatten();
    match ancestors.copied().find(|&slot| slot as usize >= count) {
        Some(slot) => bail!("the ancestor {slot} lies outside a cache of {count} slots"),
        None => Ok(()),
    }
}

fn check_heads(q: &Tensor, cache: &Tensor, slots: &Slots, heads: usize, causal: bool) -> Result<()> {
    check(q, cache, slots)?;
    let (_, queries, channels) = q.dims3()?;
    if channels != cache.dim(2)? || heads == 0 || channels % heads != 0 {
        bail!("cached attention: q {:?}, cache {:?} and {heads} heads do not fit", q.dims(), cache.dims());
    }
    let least = if causal { queries } else { 1 };
    match slots.rows().iter().find(|slot| slot.length < least) {
        Some(slot) => bail!("cached attention: {slot:?} has no key for one of its {queries} queries"),
        None => Ok(()),
    }
}

/// The fast path: heads of 64 elements; queries in f32 on the CPU and caches in f32, f16 or bf16, or both of one type on a GPU.
struct AttentionCached<'a> {
    slots: &'a Slots,
    heads: usize,
    causal: bool,
}

impl AttentionCached<'_> {
    fn run<E: Element + WithDType>(
        &self,
        (q, ql): (&CpuStorage, &Layout),
        (k, kl): (&CpuStorage, &Layout),
        (v, vl): (&CpuStorage, &Layout),
    ) -> Result<Vec<f32>> {
        let (_, time, channels) = ql.shape().dims3()?;
        let cached = Cached {
            q: slice::<f32>(q, ql)?,
            k: slice::<E>(k, kl)?,
            v: slice::<E>(v, vl)?,
            slots: self.slots,
            time,
            limit: kl.dims()[1],
            channels,
            heads: self.heads,
            causal: self.causal,
        };
        Ok(cached.run())
    }
}

impl CustomOp3 for AttentionCached<'_> {
    fn name(&self) -> &'static str {
        "cached attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k, v) = ((q, ql), (k, kl), (v, vl));
        let values = match k.0 {
            CpuStorage::F16(_) => self.run::<f16>(q, k, v)?,
            CpuStorage::BF16(_) => self.run::<bf16>(q, k, v)?,
            _ => self.run::<f32>(q, k, v)?,
        };
        Ok((CpuStorage::F32(values), ql.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        q: &CudaStorage,
        ql: &Layout,
        k: &CudaStorage,
        kl: &Layout,
        v: &CudaStorage,
        vl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (rows, time, _) = ql.shape().dims3()?;
        let (heads, limit, causal, dtype) = (self.heads, kl.dims()[1], self.causal, q.dtype());
        let shared = self.slots.are_shared();
        let kernel =
            super::kernels::cached_attention::CachedAttention { rows, time, heads, limit, causal, shared, dtype };
        let tables = (self.slots.table()?, self.slots.holders());
        Ok((kernel.run([(q, ql), (k, kl), (v, vl)], tables)?, ql.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{assert_close, random};

    fn slots(pairs: &[(usize, usize)]) -> Slots {
        Slots::new(pairs.iter().map(|&(index, length)| Slot { index, length }).collect(), &Device::Cpu).unwrap()
    }

    /// Compares with the definition in f64, for caches of every type.
    fn compare(
        name: &str,
        time: usize,
        heads: usize,
        size: usize,
        limit: usize,
        slots: &Slots,
        causal: bool,
    ) -> Result<()> {
        let count = slots.rows().iter().map(|slot| slot.index + 1).max().unwrap_or(1) + 1;
        let q = (random((slots.rows().len(), time, heads * size))? * 2.0)?;
        let (k, v) = (random((count, limit, heads * size))?, random((count, limit, heads * size))?);
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let (k, v) = (k.to_dtype(dtype)?, v.to_dtype(dtype)?);
            let [a, b, c] = [&q, &k, &v].map(|x| x.to_dtype(DType::F64));
            let expected = attention_cached(&a?, &b?, &c?, slots, heads, causal)?;
            let ours = attention_cached(&q, &k, &v, slots, heads, causal)?;
            assert_close(&format!("attention_cached {name} {dtype:?}"), &ours, &expected, 1e-5)?;
        }
        Ok(())
    }

    #[test]
    fn attention_follows_the_definition_in_f64() -> Result<()> {
        compare("one row", 1, 8, 64, 20, &slots(&[(0, 1)]), true)?;
        compare("permuted slots, mixed lengths", 1, 6, 64, 448, &slots(&[(3, 7), (0, 448), (5, 1), (1, 133)]), true)?;
        compare(
            "sixteen long rows",
            1,
            2,
            64,
            1500,
            &slots(&(0..16).map(|i| (15 - i, 1500)).collect::<Vec<_>>()),
            false,
        )?;
        compare("beams share a slot", 1, 3, 64, 90, &slots(&[(2, 90), (2, 90), (0, 90), (2, 90), (0, 31)]), false)?;
        compare("many beams", 1, 2, 64, 700, &slots(&[(1, 700); 9]), false)?;
        compare("short causal prompt", 4, 2, 64, 50, &slots(&[(1, 4), (0, 17)]), true)?;
        compare("other head size", 4, 2, 33, 50, &slots(&[(1, 4), (0, 17)]), true)?;
        compare("long causal prompt", 37, 2, 64, 600, &slots(&[(1, 37), (2, 600), (0, 50)]), true)?;
        compare("prompt to audio", 37, 2, 64, 1500, &slots(&[(1, 1500), (0, 1500)]), false)
    }

    /// Rows that share a cache's beginnings attend as rows with a copy of their own.
    #[test]
    fn a_fork_reads_what_a_copy_would_hold() -> Result<()> {
        let (heads, limit, channels) = (3, 40, 192);
        let rows = [(4, 33), (0, 33), (4, 33), (2, 9), (1, 40)];
        let ancestors = [vec![3, 3, 1, 0, 2, 4], vec![3; 20], vec![3, 3, 1, 0, 2, 4], vec![], vec![5; 40]];
        for (time, dtype) in [(1, DType::F32), (1, DType::F16), (2, DType::F32), (3, DType::F64), (9, DType::BF16)] {
            let wide = if dtype == DType::F64 { dtype } else { DType::F32 };
            let q = random((rows.len(), time, channels))?.to_dtype(wide)?;
            let [k, v] =
                [random((6, limit, channels))?.to_dtype(dtype)?, random((6, limit, channels))?.to_dtype(dtype)?];
            let own = slots(&rows);
            let tables = ancestors.iter().map(|own| Some(own.as_slice().into())).collect();
            let shared = own.with_ancestors(tables, limit, &Device::Cpu)?;
            let copied = |cache: &Tensor| -> Result<Tensor> {
                let copy = |row: usize| {
                    let keys =
                        (0..limit).map(|place| cache.narrow(0, shared.holder(row, place), 1)?.narrow(1, place, 1));
                    Tensor::cat(&keys.collect::<Result<Vec<_>>>()?, 1)
                };
                Tensor::cat(&(0..rows.len()).map(copy).collect::<Result<Vec<_>>>()?, 0)
            };
            let alone: Vec<(usize, usize)> = rows.iter().enumerate().map(|(row, &(_, length))| (row, length)).collect();
            let expected = attention_cached(&q, &copied(&k)?, &copied(&v)?, &slots(&alone), heads, true)?;
            let ours = attention_cached(&q, &k, &v, &shared, heads, true)?;
            assert_close(&format!("a fork, {time} queries, {dtype:?}"), &ours, &expected, 1e-5)?;
        }
        let outside = slots(&[(0, 3)]).with_ancestors(vec![Some([6].into())], limit, &Device::Cpu)?;
        let (q, cache) = (random((1, 1, channels))?, random((6, limit, channels))?);
        assert!(attention_cached(&q, &cache, &cache, &outside, heads, true).is_err(), "an ancestor outside the cache");
        Ok(())
    }

    #[test]
    fn weights_sum_to_one_and_yield_the_attention() -> Result<()> {
        let (q, k, v) = (random((2, 3, 32))?, random((4, 40, 32))?, random((4, 40, 32))?);
        let slots = slots(&[(3, 40), (1, 25)]);
        let weights = attention_weights_cached(&q, &k, &slots, 2, &[1])?; // (2, 1, 3, 40)
        assert_close("sums of weights", &weights.sum(3)?, &Tensor::ones((2, 1, 3), DType::F32, &Device::Cpu)?, 1e-5)?;
        let values = gather(&v, &slots)?.narrow(2, 16, 16)?.contiguous()?;
        let ours = weights.squeeze(1)?.matmul(&values)?;
        let expected = attention_cached(&q, &k, &v, &slots, 2, false)?.narrow(2, 16, 16)?;
        assert_close("weighted values", &ours, &expected, 1e-5)
    }

    #[test]
    fn append_writes_where_the_slots_say() -> Result<()> {
        for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
            let x = random((2, 3, 5))?;
            let slots = slots(&[(2, 7), (0, 3)]);
            let cache = Tensor::zeros((3, 8, 5), dtype, &Device::Cpu)?;
            append(&cache, &x, &slots)?;
            let expected = Tensor::zeros((3, 8, 5), dtype, &Device::Cpu)?;
            append_composition(&expected, &x.to_dtype(dtype)?, slots.rows())?;
            assert_close(&format!("append {dtype:?}"), &cache, &expected, 0.0)?;
            let row = cache.narrow(0, 2, 1)?.narrow(1, 4, 3)?;
            assert_close("appended row", &row, &x.narrow(0, 0, 1)?.to_dtype(dtype)?, 0.0)?;
        }
        Ok(())
    }

    #[test]
    fn refuses_slots_that_do_not_fit() -> Result<()> {
        let (q, cache) = (random((1, 3, 8))?, random((2, 10, 8))?);
        let refused =
            |slot: (usize, usize), causal| attention_cached(&q, &cache, &cache, &slots(&[slot]), 2, causal).is_err();
        assert!(refused((2, 5), false), "a slot outside the cache");
        assert!(refused((0, 11), false), "a length beyond the cache");
        assert!(refused((0, 2), true), "a first query without a key");
        assert!(refused((0, 0), false), "no key at all");
        assert!(!refused((0, 2), false));
        assert!(append(&cache, &q, &slots(&[(0, 2)])).is_err());
        assert!(append(&cache, &q, &slots(&[(0, 3), (1, 3)])).is_err());
        assert!(attention_weights_cached(&q, &cache, &slots(&[(0, 3)]), 2, &[2]).is_err());
        Ok(())
    }
}
