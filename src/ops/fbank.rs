//! Kaldi's log mel filterbanks on a GPU, of windows that cross the bus as samples.
//!
//! The definition, and what the CPU runs, is `audio::fbank::Fbank`; the kernel is tested against it.

use candle_core::{Device, Result, Tensor, bail};
#[cfg(feature = "cuda")]
use candle_core::{Storage, op::BackpropOp};

/// Samples in a frame.
const FRAME: usize = 400;
/// Samples from one frame to the next.
const SHIFT: usize = 160;

/// What turns frames into features.
#[derive(Debug, Clone)]
pub struct Filters {
    /// What frames are multiplied with: 400 weights.
    pub window: Vec<f32>,
    /// (bins, 3): for each filter its first frequency, its number of weights and where they begin.
    pub places: Vec<u32>,
    /// The weights of all.
    pub weights: Vec<f32>,
}

/// Features (B, frames, bins) of windows equally long, each bin without its mean over the window's frames.
///
/// # Errors
/// When the windows have no frame or differ in length, on a device without kernels, and when the GPU refuses.
pub fn fbank(windows: &[&[f32]], filters: Filters, device: &Device) -> Result<Tensor> {
    let (count, length, bins) =
        (windows.len(), windows.first().map_or(0, |window| window.len()), filters.places.len() / 3);
    if length < FRAME || windows.iter().any(|window| window.len() != length) {
        bail!("filterbanks need windows equally long, of at least {FRAME} samples");
    }
    if bins == 0 || filters.window.len() != FRAME {
        bail!("filterbanks need filters, and a window of {FRAME} weights");
    }
    let frames = 1 + (length - FRAME) / SHIFT;
    let starts: Vec<u32> = (0..count).map(|window| (window * length) as u32).collect();
    let inputs = [
        Tensor::new(windows.concat(), device)?,
        Tensor::new(starts, device)?,
        Tensor::new(filters.window, device)?,
        Tensor::from_vec(filters.places, (bins, 3), device)?,
        Tensor::new(filters.weights, device)?,
    ];
    on_gpu(&inputs, (count, frames, bins))
}

#[cfg(feature = "cuda")]
fn on_gpu(inputs: &[Tensor; 5], (windows, frames, bins): (usize, usize, usize)) -> Result<Tensor> {
    let Device::Cuda(gpu) = inputs[0].device() else { bail!("filterbanks are made by a kernel on GPUs only") };
    let features = super::kernels::fbank::Fbank { windows, frames, bins }.run(gpu, inputs.each_ref())?;
    Ok(Tensor::from_storage(Storage::Cuda(features), (windows, frames, bins), BackpropOp::none(), false))
}

#[cfg(not(feature = "cuda"))]
fn on_gpu(inputs: &[Tensor; 5], _: (usize, usize, usize)) -> Result<Tensor> {
    bail!("filterbanks are made by a kernel on GPUs only, not on {:?}", inputs[0].device().location())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let filters = Filters { window: vec![1.0; FRAME], places: vec![0, 1, 0], weights: vec![1.0] };
        let reason = |windows: &[&[f32]]| fbank(windows, filters.clone(), &Device::Cpu).unwrap_err().to_string();
        assert!(reason(&[]).contains("at least 400"));
        assert!(reason(&[&[0.0; 400], &[0.0; 401]]).contains("equally long"));
        assert!(reason(&[&[0.0; 400]]).contains("GPUs only"));
    }
}
