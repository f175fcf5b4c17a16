//! What a device can do at most: from its data sheet where it is a known card, and measured in any case.

use candle_core::{DType, Device, Tensor};
use palabra::{Result, device::Compute};
use rayon::prelude::*;

use super::{
    cost::cards::{self, Peak},
    rounds::{Rounds, Timing, time},
};

/// Rounds of each measurement; the fastest counts.
const ROUNDS: Rounds = Rounds { warm_up: 2, counted: 8 };
/// Rows and columns of the matrices that are multiplied: larger ones as long as a product takes less than [`LONG`] seconds.
const SIDES: [usize; 4] = [1024, 2048, 4096, 8192];
const LONG: f64 = 1e-3;
/// Elements that are copied: beyond every cache, but for cards on which a smaller copy takes long.
const COPIED: usize = 1 << 26;
const COPIED_ON_CARDS: [usize; 4] = [1 << 20, 1 << 22, 1 << 24, COPIED];

/// The limits of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Those that results are compared with.
    pub peak: Peak,
    /// Whether they are those of a data sheet.
    pub known: bool,
    /// Those that a large product and a large copy reach.
    pub measured: Peak,
}

/// Measures the device, and looks its card up.
///
/// # Errors
/// When a tensor operation fails.
pub fn limits(compute: &Compute) -> Result<Limits> {
    let card = compute.card();
    let name = card.clone().unwrap_or_else(|| "cpu".into());
    let device = &compute.device;
    let single = product(device, DType::F32)?;
    // The CPU computes in f32 alone.
    let half = if device.is_cpu() { single } else { product(device, DType::F16)? };
    let measured = Peak { name, half, single, bandwidth: copy(device)? };
    let sheet = card.as_deref().and_then(cards::of_driver);
    Ok(Limits { known: sheet.is_some(), peak: sheet.unwrap_or_else(|| measured.clone()), measured })
}

/// Operations a second of products of two large matrices: the most that any size reaches.
fn product(device: &Device, dtype: DType) -> Result<f64> {
    let mut most = 0f64;
    for side in SIDES {
        let matrix = || Tensor::randn(0f32, 1.0, (side, side), device)?.to_dtype(dtype);
        let (one, other) = (matrix()?, matrix()?);
        let timing = time(device, ROUNDS, || Ok(()), || Ok(one.matmul(&other).map(drop)?))?;
        most = most.max(2.0 * (side as f64).powi(3) / timing.fastest);
        if timing.fastest > LONG {
            break;
        }
    }
    Ok(most)
}

/// Bytes a second, read and written, of a large copy between places that are there already.
fn copy(device: &Device) -> Result<f64> {
    let rate = |elements: usize, timing: Timing| 2.0 * (elements * size_of::<f32>()) as f64 / timing.fastest;
    if device.is_cpu() {
        return Ok(rate(COPIED, copy_in_memory()?));
    }
    let mut last = 0.0;
    for elements in COPIED_ON_CARDS {
        let source = Tensor::ones((2, elements / 2), DType::F32, device)?;
        let target = source.zeros_like()?;
        let timing = time(device, ROUNDS, || Ok(()), || Ok(target.slice_set(&source, 0, 0)?))?;
        last = rate(elements, timing);
        if timing.fastest > LONG {
            break;
        }
    }
    Ok(last)
}

/// By all threads together.
fn copy_in_memory() -> Result<Timing> {
    const PART: usize = 1 << 20;
    let (source, mut target) = (vec![1f32; COPIED], vec![0f32; COPIED]);
    let run = || {
        let parts = target.par_chunks_mut(PART).zip(source.par_chunks(PART));
        parts.for_each(|(target, source)| target.copy_from_slice(source));
        Ok(())
    };
    time(&Device::Cpu, ROUNDS, || Ok(()), run)
}
