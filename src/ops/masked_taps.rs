//! The end of a dilated convolution with a mask: its three taps, already multiplied, are shifted, added and masked.
//!
//! `y[b, t, c] = (taps[b, t - d, c] + taps[b, t, C + c] + taps[b, t + d, 2 C + c]) * mask[b, t / stretch, c]`
//!
//! Frames outside the recording count as zeros. As one pass it replaces two paddings, two sums and a product per stretch.

use candle_core::{Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;

use super::{
    is_fast,
    profile::{self, Class, Work},
    slice,
};

/// Adds the taps and masks the sum: taps (B, T, 3C), mask (B, ceil(T / stretch), C) -> (B, T, C).
///
/// # Errors
/// When the shapes do not fit.
pub fn masked_taps(taps: &Tensor, mask: &Tensor, dilation: usize, stretch: usize) -> Result<Tensor> {
    let (batch, time, width) = taps.dims3()?;
    let channels = width / 3;
    if width % 3 != 0 || stretch == 0 || mask.dims() != [batch, time.div_ceil(stretch), channels] {
        bail!("taps {:?} and mask {:?} do not fit over stretches of {stretch} frames", taps.dims(), mask.dims());
    }
    let _timed = profile::span(Class::Elementwise, || Work::over(taps));
    if !is_fast(&[taps, mask]) || !taps.is_contiguous() || !mask.is_contiguous() || taps.elem_count() == 0 {
        return composition(taps, mask, dilation, stretch);
    }
    let (taps_storage, taps_layout) = taps.storage_and_layout();
    let (mask_storage, mask_layout) = mask.storage_and_layout();
    let (Storage::Cpu(taps_storage), Storage::Cpu(mask_storage)) = (&*taps_storage, &*mask_storage) else {
        bail!("the fast path is for the CPU")
    };
    let (taps, mask) = (slice::<f32>(taps_storage, taps_layout)?, slice::<f32>(mask_storage, mask_layout)?);
    let mut y = vec![0.0; batch * time * channels];
    y.par_chunks_mut(channels).enumerate().with_min_len(128).for_each(|(row, y)| {
        let (item, frame) = (row / time, row % time);
        let tap = |frame: usize, index: usize| &taps[(item * time + frame) * width + index * channels..][..channels];
        y.copy_from_slice(tap(frame, 1));
        if let Some(before) = frame.checked_sub(dilation) {
            y.iter_mut().zip(tap(before, 0)).for_each(|(y, tap)| *y += tap);
        }
        if frame + dilation < time {
            y.iter_mut().zip(tap(frame + dilation, 2)).for_each(|(y, tap)| *y += tap);
        }
        let mask = &mask[(item * time.div_ceil(stretch) + frame / stretch) * channels..][..channels];
        y.iter_mut().zip(mask).for_each(|(y, mask)| *y *= mask);
    });
    Tensor::from_vec(y, (batch, time, channels), &Device::Cpu)
}

/// The definition.
fn composition(taps: &Tensor, mask: &Tensor, dilation: usize, stretch: usize) -> Result<Tensor> {
    let (_, time, width) = taps.dims3()?;
    let (channels, apart) = (width / 3, dilation.min(time));
    let tap = |index: usize| taps.narrow(2, index * channels, channels);
    let before = tap(0)?.narrow(1, 0, time - apart)?.pad_with_zeros(1, apart, 0)?;
    let after = tap(2)?.narrow(1, apart, time - apart)?.pad_with_zeros(1, 0, apart)?;
    let sum = ((before + tap(1)?)? + after)?;
    let frames: Vec<u32> = (0..time).map(|frame| (frame / stretch) as u32).collect();
    sum * mask.index_select(&Tensor::new(frames, mask.device())?, 1)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_path_agrees_with_the_definition() {
        for (time, dilation, stretch) in [(9, 1, 4), (9, 2, 100), (12, 2, 6), (1, 2, 3), (2, 2, 1)] {
            let taps = Tensor::randn(0f32, 1.0, (3, time, 15), &Device::Cpu).unwrap();
            let mask = Tensor::randn(0f32, 1.0, (3, time.div_ceil(stretch), 5), &Device::Cpu).unwrap();
            let fast = masked_taps(&taps, &mask, dilation, stretch).unwrap();
            let oracle = composition(&taps, &mask, dilation, stretch).unwrap();
            let difference = (fast - oracle).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(difference < 1e-5, "{time} frames, dilation {dilation}, stretch {stretch}: {difference}");
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let taps = Tensor::zeros((1, 4, 6), candle_core::DType::F32, &Device::Cpu).unwrap();
        let mask = Tensor::zeros((1, 2, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(masked_taps(&taps, &mask, 1, 2).is_ok());
        assert!(masked_taps(&taps, &mask, 1, 4).is_err());
        assert!(masked_taps(&taps, &mask, 1, 0).is_err());
    }
}
