//! Means over stretches of time: what a context-aware mask knows of its surroundings.

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::{
    is_fast,
    profile::{self, Class, Work},
    slice,
};

/// The mean of each stretch of `stretch` frames, the last of which may be shorter: x (B, T, C) -> (B, ceil(T / stretch), C).
///
/// # Errors
/// When x has no frames or a stretch is empty.
pub fn stretch_means(x: &Tensor, stretch: usize) -> Result<Tensor> {
    let (batch, time, channels) = x.dims3()?;
    if time == 0 || stretch == 0 {
        bail!("means over stretches of {stretch} frames of x {:?} do not exist", x.dims());
    }
    let _timed = profile::span(Class::Elementwise, || Work::over(x));
    if !is_fast(&[x]) || !x.is_contiguous() {
        return composition(x, stretch);
    }
    let (storage, layout) = x.storage_and_layout();
    let candle_core::Storage::Cpu(storage) = &*storage else { bail!("the fast path is for the CPU") };
    let values = slice::<f32>(storage, layout)?;
    let stretches = time.div_ceil(stretch);
    let mut means = vec![0.0; batch * stretches * channels];
    let of_stretch = |index: usize| {
        let (item, start) = (index / stretches, index % stretches * stretch);
        let frames = stretch.min(time - start);
        values[(item * time + start) * channels..][..frames * channels].chunks_exact(channels)
    };
    means.par_chunks_mut(channels).enumerate().with_min_len(8).for_each(|(index, mean)| {
        let frames = of_stretch(index);
        let share = 1.0 / frames.len() as f32;
        for frame in frames {
            mean.iter_mut().zip(frame).for_each(|(mean, value)| *mean += value);
        }
        mean.iter_mut().for_each(|mean| *mean *= share);
    });
    Tensor::from_vec(means, (batch, stretches, channels), &Device::Cpu)
}

/// The definition.
fn composition(x: &Tensor, stretch: usize) -> Result<Tensor> {
    let time = x.dim(1)?;
    let means = (0..time)
        .step_by(stretch)
        .map(|start| x.narrow(1, start, stretch.min(time - start))?.mean_keepdim(1))
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&means, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_path_agrees_with_the_definition() {
        for time in [1, 4, 5, 6, 13] {
            let x = Tensor::randn(0f32, 1.0, (3, time, 7), &Device::Cpu).unwrap();
            let (fast, oracle) = (stretch_means(&x, 5).unwrap(), composition(&x, 5).unwrap());
            assert_eq!(fast.dims(), [3, time.div_ceil(5), 7]);
            let difference = (fast - oracle).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(difference < 1e-5, "{time} frames: {difference}");
        }
    }

    #[test]
    fn no_frames_and_empty_stretches_are_refused() {
        let x = Tensor::zeros((1, 2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(stretch_means(&x, 0).is_err());
        assert!(stretch_means(&x.narrow(1, 0, 0).unwrap(), 5).is_err());
    }
}
