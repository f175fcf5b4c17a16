//! Bidirectional attention: `softmax(q k^T / sqrt(D)) v` for every head (Vaswani et al., 2017).

use candle_core::{CpuStorage, CustomOp3, D, DType, InplaceOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{
    has_kernels,
    instructions::has_bfloat16_unit,
    is_fast,
    matrix::Packed,
    output::Output,
    precision::Precision,
    profile::{self, Class, Numbers, Work},
    slice,
    tiled::{HEAD_LIMIT, Head},
};

/// Full attention: q (B, Tq, H*D), k and v (B, Tk, H*D) -> (B, Tq, H*D); products on the CPU are made in this precision.
///
/// # Errors
/// When the shapes do not fit.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, precision: Precision) -> Result<Tensor> {
    check(q, k, v, heads)?;
    if is_fast(&[q, k, v]) && q.dim(2)? / heads <= HEAD_LIMIT {
        // Where other products are int8, those of attention, both of whose factors change, are bfloat16.
        let narrow = precision != Precision::Float32 && has_bfloat16_unit();
        let numbers = if narrow { Numbers::BFloat16 } else { Numbers::Float32 };
        let _timed = profile::span(Class::Attention, || work(q, k).of(numbers));
        q.contiguous()?.apply_op3_no_bwd(&k.contiguous()?, &v.contiguous()?, &Tiled { heads, narrow })
    } else {
        let _timed = profile::span(Class::Attention, || work(q, k));
        composition(q, k, v, heads)
    }
}

fn work(q: &Tensor, k: &Tensor) -> Work {
    let (&[batch, queries, channels], size) = (q.dims().first_chunk().unwrap_or(&[0; 3]), q.dtype().size_in_bytes());
    let keys = k.dims().get(1).copied().unwrap_or(0);
    Work::attention(queries, keys, channels, (size, size)) * batch
}

fn check(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<()> {
    let (batch, _, channels) = q.dims3()?;
    let (key_batch, keys, key_channels) = k.dims3()?;
    let fits = batch == key_batch && channels == key_channels && heads > 0 && channels % heads == 0 && keys > 0;
    if !fits || k.dims() != v.dims() {
        candle_core::bail!(
            "attention: q {:?}, k {:?}, v {:?} and {heads} heads do not fit",
            q.dims(),
            k.dims(),
            v.dims()
        );
    }
    Ok(())
}

/// Bytes of scores at once: enough rows to keep a GPU busy, few enough to leave its memory to others.
const SCORE_BYTES: usize = 1 << 29;

/// The definition, some batch rows at a time so that the (rows, H, Tq, Tk) scores stay small: one on the CPU.
fn composition(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, queries, _) = q.dims3()?;
    let row_bytes = heads * queries * k.dim(1)? * q.dtype().size_in_bytes();
    let at_once = if q.device().is_cpu() { 1 } else { (SCORE_BYTES / row_bytes.max(1)).max(1) };
    let rows = (0..batch)
        .step_by(at_once)
        .map(|first| {
            let count = at_once.min(batch - first);
            let [q, k, v] = [q, k, v].map(|x| split_heads(&x.narrow(0, first, count)?, heads));
            let weights = weights(&q?, &k?)?; // (rows, H, Tq, Tk)
            merge_heads(&weights.matmul(&v?)?)
        })
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&rows, 0)
}

/// The softmax of `q k^T / sqrt(D)`: q (B, H, Tq, D), k (B, H, Tk, D) -> (B, H, Tq, Tk).
fn weights(q: &Tensor, k: &Tensor) -> Result<Tensor> {
    if !has_kernels(&[q, k]) {
        return softmax(&scores(q, k)?);
    }
    let scores = q.matmul(&k.t()?)?;
    scores.inplace_op1(&ScaledSoftmax { scale: 1.0 / (q.dim(D::Minus1)? as f32).sqrt() })?;
    Ok(scores)
}

/// (B, T, H*D) -> (B, H, T, D), contiguous.
pub(super) fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, time, channels) = x.dims3()?;
    x.reshape((batch, time, heads, channels / heads))?.transpose(1, 2)?.contiguous()
}

/// (B, H, T, D) -> (B, T, H*D), contiguous.
pub(super) fn merge_heads(x: &Tensor) -> Result<Tensor> {
    x.transpose(1, 2)?.contiguous()?.flatten_from(2)
}

/// `q k^T / sqrt(D)`: q (B, H, Tq, D), k (B, H, Tk, D) -> (B, H, Tq, Tk).
pub(super) fn scores(q: &Tensor, k: &Tensor) -> Result<Tensor> {
    let scale = 1.0 / (q.dim(D::Minus1)? as f64).sqrt();
    (q * scale)?.matmul(&k.t()?)
}

/// Softmax over the last axis, at least in f32.
pub(super) fn softmax(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F16 | DType::BF16 => candle_nn::ops::softmax_last_dim(&x.to_dtype(DType::F32)?)?.to_dtype(x.dtype()),
        _ => candle_nn::ops::softmax_last_dim(x),
    }
}

/// Softmax over the last axis of scores times `scale`, in place and in one pass.
pub struct ScaledSoftmax {
    /// What scores are multiplied with first.
    pub scale: f32,
}

impl ScaledSoftmax {
    /// The definition: rows of `length` scores.
    pub fn definition(&self, scores: &mut [f32], length: usize) {
        for row in scores.chunks_exact_mut(length) {
            let largest = row.iter().map(|score| score * self.scale).fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|score| *score = (*score * self.scale - largest).exp());
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|score| *score /= sum);
        }
    }
}

impl InplaceOp1 for ScaledSoftmax {
    fn name(&self) -> &'static str {
        "scaled softmax"
    }

    fn cpu_fwd(&self, scores: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (scores, layout.contiguous_offsets(), layout.dims().last()) {
            (CpuStorage::F32(scores), Some((start, end)), Some(&length)) => {
                self.definition(&mut scores[start..end], length);
                Ok(())
            }
            _ => candle_core::bail!("scaled softmax: on the CPU scores are f32 and contiguous"),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, scores: &mut candle_core::CudaStorage, layout: &Layout) -> Result<()> {
        let length = layout.dims().last().copied().unwrap_or(1);
        let dtype = candle_core::backend::BackendStorage::dtype(&*scores);
        let rows = layout.shape().elem_count() / length.max(1);
        super::kernels::scaled_softmax::ScaledSoftmax { rows, length, scale: self.scale, dtype }.run(scores, layout)
    }
}

/// The fast path: f32 on the CPU.
struct Tiled {
    heads: usize,
    /// Whether factors are rounded to bfloat16, for the processor's unit for it.
    narrow: bool,
}

impl CustomOp3 for Tiled {
    fn name(&self) -> &'static str {
        "attention"
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
        let (batch, queries, channels) = ql.shape().dims3()?;
        let keys = kl.dims()[1];
        let (q, k, v) = (slice::<f32>(q, ql)?, slice::<f32>(k, kl)?, slice::<f32>(v, vl)?);
        let size = channels / self.heads;
        let mut output = Output::new(q.len());
        let parts = output.parts();
        #[cfg(target_arch = "x86_64")]
        if self.narrow {
            let call =
                super::bfloat16_attention::Call { q, k, v, batch, queries, keys, heads: self.heads, size, parts };
            // SAFETY: the unit is there, and the heads of all rows cover the result, which nothing else writes.
            return unsafe {
                call.run();
                Ok((CpuStorage::F32(output.into_values()), ql.shape().clone()))
            };
        }
        (0..batch * self.heads).into_par_iter().with_max_len(1).for_each(|task| {
            let (row, offset) = (task / self.heads, task % self.heads * size);
            let of_key = |key: usize| (row * keys + key) * channels + offset;
            let place = |query: usize| (row * queries + query) * channels + offset;
            let head = Head {
                keys: Packed::from_rows(keys, size, |key, target| target.copy_from_slice(&k[of_key(key)..][..size])),
                values: Packed::from_columns(size, keys, |key, target| {
                    target.copy_from_slice(&v[of_key(key)..][..size]);
                }),
                queries,
                query: |query: usize| &q[place(query)..][..size],
                visible: |_| keys,
                place: &place,
                parts,
            };
            // SAFETY: the channels of this head in this batch row are written by this task alone.
            unsafe { head.run() };
        });
        // SAFETY: the tasks cover all rows, heads and queries.
        Ok((CpuStorage::F32(unsafe { output.into_values() }), ql.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{assert_close, random};

    #[test]
    fn follows_the_definition_in_f64() -> Result<()> {
        for (batch, queries, keys, heads, size) in
            [(1, 1, 1, 1, 64), (2, 7, 13, 3, 16), (3, 130, 33, 2, 20), (1, 25, 1500, 6, 64), (1, 9, 513, 2, 160)]
        {
            let q = (random((batch, queries, heads * size))? * 2.0)?;
            let (k, v) = (random((batch, keys, heads * size))?, random((batch, keys, heads * size))?);
            let [a, b, c] = [&q, &k, &v].map(|x| x.to_dtype(DType::F64));
            let expected = attention(&a?, &b?, &c?, heads, Precision::Float32)?;
            let name = format!("attention {batch}x{queries}x{keys}, {heads}x{size}");
            assert_close(&name, &attention(&q, &k, &v, heads, Precision::Float32)?, &expected, 1e-5)?;
            // Nine bits of each factor; sharp attention passes the error of a value on.
            let narrow = attention(&q, &k, &v, heads, Precision::Int8)?;
            assert_close(&format!("{name}, narrow"), &narrow, &expected, 5e-2)?;
        }
        Ok(())
    }

    #[test]
    fn scaled_softmax_is_the_softmax_of_the_scaled() -> Result<()> {
        let x = (random((7, 33))? * 5.0)?;
        let expected = candle_nn::ops::softmax_last_dim(&(&x * 0.25)?)?;
        let changed = x.copy()?;
        changed.inplace_op1(&ScaledSoftmax { scale: 0.25 })?;
        assert_close("scaled softmax", &changed, &expected, 1e-6)
    }

    #[test]
    fn stands_scores_far_apart() -> Result<()> {
        let (q, k) = ((random((1, 5, 64))? * 30.0)?, (random((1, 1100, 64))? * 30.0)?);
        let v = random((1, 1100, 64))?;
        let [a, b, c] = [&q, &k, &v].map(|x| x.to_dtype(DType::F64));
        assert_close(
            "attention to sharp scores",
            &attention(&q, &k, &v, 1, Precision::Float32)?,
            &attention(&a?, &b?, &c?, 1, Precision::Float32)?,
            5e-3,
        )
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() -> Result<()> {
        let (q, k) = (random((2, 5, 12))?, random((2, 4, 12))?);
        assert!(attention(&q, &k, &k, 5, Precision::Float32).is_err());
        assert!(attention(&q, &k, &random((2, 3, 12))?, 3, Precision::Float32).is_err());
        assert!(attention(&q.narrow(0, 0, 1)?, &k, &k, 3, Precision::Float32).is_err());
        Ok(())
    }
}
