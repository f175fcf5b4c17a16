//! Bidirectional attention: `softmax(q k^T / sqrt(D)) v` for every head (Vaswani et al., 2017).

use candle_core::{D, DType, Result, Tensor};

/// Full attention: q (B, Tq, H*D), k and v (B, Tk, H*D) -> (B, Tq, H*D).
///
/// # Errors
/// When the shapes do not fit.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    check(q, k, v, heads)?;
    composition(q, k, v, heads)
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

/// The definition, one batch row at a time so that the (H, Tq, Tk) scores stay small.
fn composition(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let rows = (0..q.dim(0)?)
        .map(|row| {
            let [q, k, v] = [q, k, v].map(|x| split_heads(&x.narrow(0, row, 1)?, heads));
            let weights = softmax(&scores(&q?, &k?)?)?; // (1, H, Tq, Tk)
            merge_heads(&weights.matmul(&v?)?)
        })
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&rows, 0)
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
