//! What the threads of this pool can do together: operations in registers, bytes from memory and caches, and how much of that
//! Palabra's own product reaches.

use std::{hint::black_box, time::Instant};

use candle_core::{DType, Device, Tensor};
use palabra::{
    Result,
    ops::{Linear, Precision, instructions::has_bfloat16_unit},
    progress::Watch,
};
use pulp::{Simd, WithSimd};

use super::{
    amx,
    dot::{self, Way},
    machine::Caches,
};

/// Times that each is tried; the fastest counts, since nothing makes a machine faster than it is.
const TRIES: usize = 5;
/// Rows, inputs and outputs of the product.
pub const PRODUCT: (usize, usize, usize) = (1024, 512, 2048);
/// Instructions of a thread in a try: some milliseconds.
pub const INSTRUCTIONS: usize = 1 << 23;
/// What is read from memory is twice the last cache, but no more and no less than this.
const MEMORY: (usize, usize) = (256 << 20, 1 << 30);

/// What the threads reach, in operations and bytes a second.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Peaks {
    /// Multiply-adds of f32 in registers.
    pub single: f64,
    /// Dot products of bf16 in registers, and by which instructions; `None` where there are none.
    pub bfloat: Option<(f64, &'static str)>,
    /// The same of int8.
    pub int8: Option<(f64, &'static str)>,
    /// Reading from memory.
    pub memory: f64,
    /// Bytes that were read from memory, and how many of a thread from the cache behind its second one.
    pub sizes: (usize, usize),
    /// Reading from the cache behind the second one.
    pub cache: f64,
    /// The [`PRODUCT`] by [`Linear`], in operations a second, with what its weights are.
    pub products: Vec<(&'static str, f64)>,
}

impl Peaks {
    /// Measures with the threads of the pool that this runs in.
    ///
    /// # Errors
    /// [`palabra::Error::Cancelled`]; when a tensor operation fails.
    pub fn measure(watch: &Watch) -> Result<Self> {
        let caches = Caches::of_this_machine();
        let memory = (2 * caches.last).clamp(MEMORY.0, MEMORY.1);
        // Well beyond the second cache, and within the last one where that is large enough.
        let beyond = 4 * caches.second;
        let single = together(|| pulp::Arch::new().dispatch(MultiplyAdd));
        watch.check()?;
        let bfloat = best([amx::bfloat(), dot::bfloat()]);
        let int8 = best([amx::int8(), dot::int8()]);
        watch.check()?;
        let products = products()?;
        watch.check()?;
        let (memory_rate, cache) = (read(memory, 1), read(beyond * rayon::current_num_threads(), 16));
        Ok(Self { single, bfloat, int8, memory: memory_rate, sizes: (memory, beyond), cache, products })
    }
}

/// The fastest of several ways to the same, each with the instructions that it takes.
fn best<const N: usize>(ways: [Option<Way>; N]) -> Option<(f64, &'static str)> {
    let rates = ways.into_iter().flatten().map(|(run, name)| (together(run), name));
    rates.max_by(|a, b| a.0.total_cmp(&b.0))
}

/// Operations a second of all threads, each of which does as many as `run` says.
fn together(run: impl Fn() -> f64 + Sync) -> f64 {
    let once = || {
        let started = Instant::now();
        let operations: f64 = rayon::broadcast(|_| run()).into_iter().sum();
        operations / started.elapsed().as_secs_f64()
    };
    (0..TRIES).map(|_| once()).fold(0.0, f64::max)
}

/// Twelve chains of multiply-adds, more than any processor needs to be always busy; yields the operations.
struct MultiplyAdd;

const CHAINS: usize = 12;

impl WithSimd for MultiplyAdd {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (factor, term) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(0.001)));
        let mut sums = [simd.splat_f32s(black_box(1.0)); CHAINS];
        let times = INSTRUCTIONS / CHAINS;
        for _ in 0..times {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, term);
            }
        }
        let total = sums.into_iter().fold(simd.splat_f32s(0.0), |total, sum| simd.add_f32s(total, sum));
        black_box(simd.reduce_sum_f32s(total));
        (times * CHAINS * 2 * S::F32_LANES) as f64
    }
}

/// Bytes a second when all threads together read `bytes` bytes, so many times in a try.
fn read(bytes: usize, times: usize) -> f64 {
    let threads = rayon::current_num_threads();
    let part = (bytes / threads / size_of::<f32>()).max(1);
    // Every thread writes its own part first, so that it lies in the memory that is nearest to it.
    let parts: Vec<Vec<f32>> = rayon::broadcast(|_| vec![1f32; part]);
    let once = || {
        let started = Instant::now();
        rayon::broadcast(|thread| {
            for _ in 0..times {
                black_box(pulp::Arch::new().dispatch(Sum(black_box(&parts[thread.index()]))));
            }
        });
        (part * threads * size_of::<f32>() * times) as f64 / started.elapsed().as_secs_f64()
    };
    (0..TRIES).map(|_| once()).fold(0.0, f64::max)
}

/// The sum of all numbers, in eight chains.
struct Sum<'a>(&'a [f32]);

impl WithSimd for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (vectors, _) = S::as_simd_f32s(self.0);
        let mut sums = [simd.splat_f32s(0.0); 8];
        for eight in vectors.as_chunks::<8>().0 {
            for (sum, &vector) in sums.iter_mut().zip(eight) {
                *sum = simd.add_f32s(*sum, vector);
            }
        }
        simd.reduce_sum_f32s(sums.into_iter().fold(simd.splat_f32s(0.0), |total, sum| simd.add_f32s(total, sum)))
    }
}

/// The product by layers with weights of each kind.
fn products() -> Result<Vec<(&'static str, f64)>> {
    let (_, inputs, outputs) = PRODUCT;
    let weight = Tensor::randn(0f32, 0.1, (outputs, inputs), &Device::Cpu)?;
    let of_f16 = weight.to_dtype(DType::F16)?.to_dtype(DType::F32)?;
    let narrow = |precision| Linear::with_precision(weight.clone(), None, precision);
    let mut layers = vec![
        ("f32", Linear::new(weight.clone(), None)?),
        ("f16 widened to f32", Linear::new(of_f16, None)?),
        ("int8", narrow(Precision::Int8)?),
    ];
    if has_bfloat16_unit() {
        layers.push(("bf16", narrow(Precision::BFloat16)?));
    }
    layers.iter().map(|(weights, layer)| Ok((*weights, product(layer)?))).collect()
}

/// Operations a second of the product with one of them.
fn product(layer: &Linear) -> Result<f64> {
    let (rows, inputs, outputs) = PRODUCT;
    let x = Tensor::randn(0f32, 1.0, (rows, inputs), &Device::Cpu)?;
    let mut fastest = f64::INFINITY;
    for _ in 0..4 * TRIES {
        let started = Instant::now();
        black_box(layer.forward(&x)?);
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    Ok((2 * rows * inputs * outputs) as f64 / fastest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_the_sum_of_whole_vectors() {
        let values: Vec<f32> = (0..1024).map(|index| index as f32).collect();
        assert_eq!(pulp::Arch::new().dispatch(Sum(&values)), 1023.0 * 512.0);
    }

    #[test]
    fn every_way_reports_what_it_did() {
        let operations = pulp::Arch::new().dispatch(MultiplyAdd);
        assert!(operations >= (2 * INSTRUCTIONS / CHAINS * CHAINS) as f64, "{operations}");
        assert!(together(|| 1e6) > 0.0 && read(1 << 16, 1) > 0.0);
        assert_eq!(best([None, Some((|| 1e9, "one"))]).map(|(_, name)| name), Some("one"));
        assert!(best([None, None]).is_none());
    }
}
