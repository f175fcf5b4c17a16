//! Mean and deviation over time under weights, which pool frames into one vector for each speaker of a window:
//!
//! `m[b, s, c] = sum_t w x / v1`, `d[b, s, c] = sqrt(sum_t w (x - m)^2 / (v1 - v2 / v1))`, `v1 = sum_t w`, `v2 = sum_t w^2`
//!
//! with w = w[b, s, t] and x = x[b, t, c]. With weights of one these are the mean and the unbiased deviation. The squares
//! are summed around the mean itself: the difference of two large sums would lose the deviation of steady channels.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{
    has_kernels, is_fast,
    profile::{self, Class, Work},
    slice,
};

/// Below this part of the weight, the rest `v1 - v2 / v1` is rounding: one frame bears all the weight.
pub const LEAST_FREEDOM: f32 = 1e-5;

/// Statistics of x (B, T, C) under weights (B, S, T), none of them negative -> (B, S, 2C): means, then deviations. Where one
/// frame bears all the weight, the deviation is `lone_deviation`; where there is no weight, both are 0.
///
/// # Errors
/// When the shapes do not fit.
pub fn weighted_statistics(x: &Tensor, weights: &Tensor, lone_deviation: f64) -> Result<Tensor> {
    let (batch, time, _) = x.dims3()?;
    let (rows, speakers, steps) = weights.dims3()?;
    if rows != batch || steps != time || x.elem_count() == 0 || speakers == 0 {
        bail!("weights {:?} do not fit x {:?}", weights.dims(), x.dims());
    }
    let _timed = profile::span(Class::Elementwise, || Work::over(x));
    let (x, weights) = (x.contiguous()?, weights.contiguous()?);
    if is_fast(&[&x, &weights]) || has_kernels(&[&x, &weights]) {
        x.apply_op2_no_bwd(&weights, &WeightedStatistics { lone_deviation: lone_deviation as f32 })
    } else {
        composition(&x, &weights, lone_deviation)
    }
}

struct WeightedStatistics {
    lone_deviation: f32,
}

impl CustomOp2 for WeightedStatistics {
    fn name(&self) -> &'static str {
        "weighted statistics"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, weights: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((batch, time, channels), speakers) = (xl.shape().dims3()?, wl.dims()[1]);
        let statistics = definition(
            (slice::<f32>(x, xl)?, slice::<f32>(weights, wl)?),
            (batch, time, channels, speakers),
            self.lone_deviation,
        );
        Ok((CpuStorage::F32(statistics), (batch, speakers, 2 * channels).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        weights: &CudaStorage,
        wl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let ((batch, time, channels), speakers) = (xl.shape().dims3()?, wl.dims()[1]);
        let kernel = super::kernels::weighted_statistics::WeightedStatistics {
            batch,
            time,
            channels,
            speakers,
            least_freedom: LEAST_FREEDOM,
            lone_deviation: self.lone_deviation,
            dtype: candle_core::backend::BackendStorage::dtype(x),
        };
        Ok((kernel.run((x, xl), (weights, wl))?, (batch, speakers, 2 * channels).into()))
    }
}

/// The statistics (B, S, 2C) of x (B, T, C) under weights (B, S, T), with the sizes B, T, C, S.
pub fn definition(
    (x, weights): (&[f32], &[f32]),
    (batch, time, channels, speakers): (usize, usize, usize, usize),
    lone_deviation: f32,
) -> Vec<f32> {
    let mut statistics = vec![0.0; batch * speakers * 2 * channels];
    statistics.par_chunks_mut(2 * channels).enumerate().for_each(|(index, statistics)| {
        let frames = x[index / speakers * time * channels..][..time * channels].chunks_exact(channels);
        let (mean, deviation) = statistics.split_at_mut(channels);
        of_one(frames.zip(&weights[index * time..][..time]), lone_deviation, mean, deviation);
    });
    statistics
}

/// The statistics of one speaker; `mean` and `deviation` come as zeros.
fn of_one<'a>(
    frames: impl Iterator<Item = (&'a [f32], &'a f32)> + Clone,
    lone_deviation: f32,
    mean: &mut [f32],
    deviation: &mut [f32],
) {
    let heard = frames.filter(|(_, weight)| **weight > 0.0);
    let (total, squares) = heard.clone().fold((0.0, 0.0), |(sum, squares), (_, w)| (sum + w, squares + w * w));
    if total == 0.0 {
        return;
    }
    for (frame, weight) in heard.clone() {
        mean.iter_mut().zip(frame).for_each(|(mean, x)| *mean += weight * x);
    }
    mean.iter_mut().for_each(|mean| *mean /= total);
    let freedom = total - squares / total;
    if freedom <= LEAST_FREEDOM * total {
        deviation.fill(lone_deviation);
        return;
    }
    for (frame, weight) in heard {
        for ((deviation, x), mean) in deviation.iter_mut().zip(frame).zip(&*mean) {
            *deviation += weight * (x - mean) * (x - mean);
        }
    }
    deviation.iter_mut().for_each(|deviation| *deviation = (*deviation / freedom).sqrt());
}

/// The definition.
fn composition(x: &Tensor, weights: &Tensor, lone_deviation: f64) -> Result<Tensor> {
    let total = weights.sum_keepdim(2)?; // (B, S, 1)
    let squares = weights.sqr()?.sum_keepdim(2)?;
    let (zero, one) = (total.zeros_like()?, total.ones_like()?);
    let heard = total.gt(&zero)?;
    let divisor = heard.where_cond(&total, &one)?;
    let mean = weights.matmul(x)?.broadcast_div(&divisor)?; // (B, S, C)
    let freedom = (&divisor - (squares / &divisor)?)?;
    let several = freedom.gt(&(&total * f64::from(LEAST_FREEDOM))?)?;
    let lone = (heard.where_cond(&one, &zero)? * lone_deviation)?.broadcast_as(mean.shape())?;
    let freedom = several.where_cond(&freedom, &one)?;
    let deviations = (0..weights.dim(1)?)
        .map(|speaker| {
            let apart = x.broadcast_sub(&mean.narrow(1, speaker, 1)?)?.sqr()?; // (B, T, C)
            weights.narrow(1, speaker, 1)?.matmul(&apart)
        })
        .collect::<Result<Vec<_>>>()?;
    let deviation = Tensor::cat(&deviations, 1)?.broadcast_div(&freedom)?.sqrt()?;
    let deviation = several.broadcast_as(mean.shape())?.where_cond(&deviation, &lone)?;
    Tensor::cat(&[mean, deviation], 2)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::ops::tests::{assert_close, random};

    #[test]
    fn fast_path_agrees_with_the_definition_in_f64() -> Result<()> {
        let x = (random((3, 11, 7))? + 20.0)?;
        let weights = Tensor::rand(0f32, 1.0, (3, 2, 11), &Device::Cpu)?;
        let fast = weighted_statistics(&x, &weights, 0.01)?;
        let oracle = composition(&x.to_dtype(DType::F64)?, &weights.to_dtype(DType::F64)?, 0.01)?;
        assert_close("random weights", &fast, &oracle, 2e-5)
    }

    #[test]
    fn weights_of_one_give_mean_and_unbiased_deviation() -> Result<()> {
        let x = Tensor::new(&[[[1f32], [2.0], [3.0], [4.0]]], &Device::Cpu)?;
        let weights = Tensor::ones((1, 1, 4), DType::F32, &Device::Cpu)?;
        let statistics = weighted_statistics(&x, &weights, 0.0)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(statistics[0], 2.5);
        assert!((statistics[1] - (5f32 / 3.0).sqrt()).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn lone_frames_and_no_frames_are_defined() -> Result<()> {
        let x = random((1, 6, 2))?;
        let weights = [[[0f32, 0.0, 0.3, 0.0, 0.0, 0.0], [0.0; 6], [0.0, 0.0, 0.0, 0.0, 0.5, 0.5]]];
        let weights = Tensor::new(&weights, &Device::Cpu)?;
        for statistics in [weighted_statistics(&x, &weights, 0.25)?, composition(&x, &weights, 0.25)?] {
            let statistics = statistics.squeeze(0)?.to_vec2::<f32>()?;
            let frame = x.squeeze(0)?.to_vec2::<f32>()?[2].clone();
            assert!((statistics[0][0] - frame[0]).abs() < 1e-6 && (statistics[0][1] - frame[1]).abs() < 1e-6);
            assert_eq!(statistics[0][2..], [0.25, 0.25]);
            assert_eq!(statistics[1], [0.0; 4]);
            assert!(statistics[2].iter().all(|value| value.is_finite()));
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() -> Result<()> {
        let x = random((2, 5, 3))?;
        assert!(weighted_statistics(&x, &random((2, 1, 4))?, 0.0).is_err());
        assert!(weighted_statistics(&x, &random((1, 1, 5))?, 0.0).is_err());
        Ok(())
    }
}
