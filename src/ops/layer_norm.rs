//! Layer normalisation (Ba, Kiros and Hinton, 2016) over the last axis.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{
    is_fast,
    output::Output,
    profile::{self, Class, Work},
    simd::{Lanes, Task, dispatch},
    slice,
};

/// Elements of a task, about.
const TASK_ELEMENTS: usize = 1 << 14;

/// A layer normalisation: `(x - mean) / sqrt(variance + eps) * weight + bias`.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// A layer from `weight` (C) and `bias` (C).
    ///
    /// # Errors
    /// When the two are not vectors of one length.
    pub fn new(weight: Tensor, bias: Tensor, eps: f64) -> Result<Self> {
        if weight.dims1()? != bias.dims1()? || weight.dims1()? == 0 {
            candle_core::bail!("a layer norm of {:?} weights cannot have {:?} biases", weight.dims(), bias.dims());
        }
        Ok(Self { weight: weight.contiguous()?, bias: bias.contiguous()?, eps })
    }

    /// Normalises every vector of C elements: x (…, C) -> (…, C).
    ///
    /// # Errors
    /// When x does not end in C elements.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.dims().last() != Some(&self.weight.dims1()?) {
            candle_core::bail!("a layer norm of {:?} cannot take a tensor of shape {:?}", self.weight.dims(), x.dims());
        }
        let _timed = profile::span(Class::Elementwise, || Work::over(x));
        if is_fast(&[x, &self.weight, &self.bias]) {
            x.contiguous()?.apply_op3_no_bwd(&self.weight, &self.bias, self)
        } else {
            self.composition(x)
        }
    }

    /// The definition.
    fn composition(&self, x: &Tensor) -> Result<Tensor> {
        let (x, eps) = (x.contiguous()?, self.eps as f32);
        match x.dtype() {
            // Candle's fused operation lacks f64.
            DType::F64 => candle_nn::ops::layer_norm_slow(&x, &self.weight, &self.bias, eps),
            _ => candle_nn::ops::layer_norm(&x, &self.weight, &self.bias, eps),
        }
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        weight: &CpuStorage,
        wl: &Layout,
        bias: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = (slice::<f32>(x, xl)?, slice::<f32>(weight, wl)?, slice::<f32>(bias, bl)?);
        let task_elements = TASK_ELEMENTS.div_ceil(weight.len()) * weight.len();
        let mut output = Output::new(x.len());
        let parts = output.parts();
        x.par_chunks(task_elements).enumerate().for_each(|(index, x)| {
            // SAFETY: each task has its own chunk.
            let target = unsafe { parts.part(index * task_elements, x.len()) };
            dispatch(Rows { x, target, weight, bias, eps: self.eps as f32 });
        });
        // SAFETY: the chunks cover everything.
        Ok((CpuStorage::F32(unsafe { output.into_values() }), xl.shape().clone()))
    }
}

struct Rows<'a> {
    x: &'a [f32],
    target: &'a mut [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
}

impl Task for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let channels = self.weight.len();
        for (x, target) in self.x.chunks_exact(channels).zip(self.target.chunks_exact_mut(channels)) {
            let mean = sum(simd, x) / channels as f32;
            let scale = 1.0 / (sum_of_squares(simd, x, mean) / channels as f32 + self.eps).sqrt();
            let (means, scales) = (simd.splat_f32s(mean), simd.splat_f32s(scale));
            let (x, x_rest) = S::as_simd_f32s(x);
            let (target, target_rest) = S::as_mut_simd_f32s(target);
            let (weight, weight_rest) = S::as_simd_f32s(self.weight);
            let (bias, bias_rest) = S::as_simd_f32s(self.bias);
            for (((target, &x), &weight), &bias) in target.iter_mut().zip(x).zip(weight).zip(bias) {
                let normal = simd.mul_f32s(simd.sub_f32s(x, means), scales);
                *target = simd.mul_add_f32s(normal, weight, bias);
            }
            for (((target, &x), &weight), &bias) in target_rest.iter_mut().zip(x_rest).zip(weight_rest).zip(bias_rest) {
                *target = (x - mean) * scale * weight + bias;
            }
        }
    }
}

#[inline(always)]
fn sum<S: Lanes>(simd: S, values: &[f32]) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(values);
    let mut sums = [simd.splat_f32s(0.0); 4];
    for (index, &vector) in vectors.iter().enumerate() {
        sums[index % 4] = simd.add_f32s(sums[index % 4], vector);
    }
    total(simd, sums) + rest.iter().sum::<f32>()
}

/// The sum of the squared distances from the mean.
#[inline(always)]
fn sum_of_squares<S: Lanes>(simd: S, values: &[f32], mean: f32) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(values);
    let means = simd.splat_f32s(mean);
    let mut sums = [simd.splat_f32s(0.0); 4];
    for (index, &vector) in vectors.iter().enumerate() {
        let centred = simd.sub_f32s(vector, means);
        sums[index % 4] = simd.mul_add_f32s(centred, centred, sums[index % 4]);
    }
    total(simd, sums) + rest.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>()
}

#[inline(always)]
fn total<S: Lanes>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> f32 {
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{assert_close, random};

    #[test]
    fn follows_the_definition_in_f64() -> Result<()> {
        for (rows, channels) in [(1, 1), (7, 33), (3, 384), (1500, 512), (5, 1280)] {
            let x = ((random((rows, channels))? * 3.0)? + 2.0)?;
            let (weight, bias) = (random(channels)?, random(channels)?);
            let layer = LayerNorm::new(weight.clone(), bias.clone(), 1e-5)?;
            let oracle = LayerNorm::new(weight.to_dtype(DType::F64)?, bias.to_dtype(DType::F64)?, 1e-5)?;
            let expected = oracle.forward(&x.to_dtype(DType::F64)?)?;
            assert_close(&format!("layer norm {rows}x{channels}"), &layer.forward(&x)?, &expected, 1e-5)?;
        }
        Ok(())
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() -> Result<()> {
        let layer = LayerNorm::new(random(8)?, random(8)?, 1e-5)?;
        assert!(layer.forward(&random((2, 9))?).is_err());
        assert!(LayerNorm::new(random(8)?, random(7)?, 1e-5).is_err());
        Ok(())
    }
}
