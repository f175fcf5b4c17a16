//! The operations that decide Palabra's speed, one file each.
//!
//! Tensors are time-major and contiguous: (B, T, C), with the heads of attention side by side in C. Every operation has a
//! readable definition made of Candle's own operations (its `composition`), which runs on every device and in every number
//! type and is the oracle of the tests, and a fast path for f32 on the CPU. What a GPU would do in many small kernels has one
//! of its own in `kernels/` ([`kernels`]).
pub mod add_bias;
mod append;
pub mod attention;
pub mod best_paths;
#[cfg(target_arch = "x86_64")]
mod bfloat16_attention;
pub mod cache;
pub mod candidates;
pub mod choose_token;
pub mod convolution;
pub mod ctc;
mod decode;
pub mod fbank;
pub mod gelu;
pub mod graph;
pub mod instructions;
pub mod int8_cache;
pub mod kernels;
pub mod layer_norm;
pub mod linear;
pub mod log_mel;
pub mod logits;
pub mod lstm;
#[cfg(target_arch = "x86_64")]
mod lstm_bfloat16;
pub mod masked_taps;
mod matrix;
mod narrow;
pub mod normalised_linear;
mod output;
pub mod plane_convolution;
pub mod pool_norm;
pub mod precision;
pub mod profile;
pub mod scale_shift_relu;
mod simd;
pub mod slots;
pub mod stretch_means;
mod tiled;
pub mod time_convolution;
mod weight;
pub mod weighted_statistics;

pub use attention::attention;
pub use best_paths::best_paths;
pub use cache::{append, attention_cached, attention_weights_cached, cache_dtype, empty_cache};
pub use candidates::candidates;
pub use choose_token::{Choice, Chosen, Masks, choose_tokens};
pub use convolution::Conv1dGelu;
pub use fbank::fbank;
pub use gelu::gelu;
pub use int8_cache::Int8Cache;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use log_mel::log_mel;
pub use lstm::BidirectionalLstm;
pub use masked_taps::masked_taps;
pub use normalised_linear::NormalisedLinear;
pub use plane_convolution::PlaneConvolution;
pub use pool_norm::{MappedWindow, PoolNorm};
pub use precision::Precision;
pub use scale_shift_relu::scale_shift_relu;
pub use slots::{Ancestors, Slot, Slots};
pub use stretch_means::stretch_means;
pub use time_convolution::{Sliding, TimeConvolution};
pub use weighted_statistics::weighted_statistics;

use candle_core::{CpuStorage, DType, Layout, Result, Tensor, WithDType};

/// Whether the fast paths apply: f32 on the CPU.
fn is_fast(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32 && tensor.device().is_cpu())
}

/// Whether the kernels apply: one number type of theirs, on a GPU.
fn has_kernels(tensors: &[&Tensor]) -> bool {
    let dtype = tensors.first().map(|tensor| tensor.dtype());
    cfg!(feature = "cuda")
        && tensors.iter().all(|tensor| tensor.device().is_cuda() && Some(tensor.dtype()) == dtype)
        && matches!(dtype, Some(DType::F32 | DType::F16 | DType::BF16))
}

/// The elements of a contiguous tensor.
fn slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => candle_core::bail!("a fast path was given a tensor that is not contiguous"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Result, Shape, Tensor};

    /// Normal numbers of deviation 1.
    pub(super) fn random(shape: impl Into<Shape>) -> Result<Tensor> {
        Tensor::randn(0f32, 1.0, shape, &Device::Cpu)
    }

    /// Fails unless both have one shape and differ by at most `tolerance`; prints the largest difference.
    pub(super) fn assert_close(name: &str, ours: &Tensor, expected: &Tensor, tolerance: f64) -> Result<()> {
        assert_eq!(ours.dims(), expected.dims(), "{name}: shape");
        let ours = ours.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let expected = expected.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let mut worst = (0.0, 0);
        for (index, (a, b)) in ours.iter().zip(&expected).enumerate() {
            assert!(a.is_finite(), "{name}: element {index} is {a}");
            if (a - b).abs() > worst.0 {
                worst = ((a - b).abs(), index);
            }
        }
        println!("{name}: max abs error {:.2e} at element {} of {}", worst.0, worst.1, ours.len());
        assert!(worst.0 <= tolerance, "{name}: error {:.2e} exceeds {tolerance:.0e}", worst.0);
        Ok(())
    }
}
