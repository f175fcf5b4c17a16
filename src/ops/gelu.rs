//! GELU in its erf form: `x / 2 * (1 + erf(x / sqrt(2)))` (Hendrycks and Gimpel, 2016), the one Whisper was trained with.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{
    is_fast,
    output::Output,
    profile::{self, Class, Work},
    simd::{Lanes, Task, dispatch, gelu_all},
    slice,
};

/// Elements of a task.
const TASK_ELEMENTS: usize = 1 << 14;

/// GELU of every element.
///
/// # Errors
/// When Candle cannot compute in this number type.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    let _timed = profile::span(Class::Elementwise, || Work::over(x));
    if is_fast(&[x]) { x.contiguous()?.apply_op1_no_bwd(&Gelu) } else { composition(x) }
}

/// The definition.
pub(super) fn composition(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice::<f32>(x, layout)?;
        let mut output = Output::new(x.len());
        let parts = output.parts();
        x.par_chunks(TASK_ELEMENTS).enumerate().for_each(|(index, values)| {
            // SAFETY: each task has its own chunk.
            let target = unsafe { parts.part(index * TASK_ELEMENTS, values.len()) };
            target.copy_from_slice(values);
            dispatch(InPlace(target));
        });
        // SAFETY: the chunks cover everything.
        Ok((CpuStorage::F32(unsafe { output.into_values() }), layout.shape().clone()))
    }
}

struct InPlace<'a>(&'a mut [f32]);

impl Task for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        gelu_all(simd, self.0);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::ops::tests::{assert_close, random};

    #[test]
    fn follows_the_definition_in_f64() -> Result<()> {
        for length in [1, 7, 33, 40_000] {
            let x = (random(length)? * 4.0)?;
            assert_close(&format!("gelu {length}"), &gelu(&x)?, &composition(&x.to_dtype(DType::F64)?)?, 3e-7)?;
        }
        let far = Tensor::new(&[0f32, -0.0, 5.9, -5.9, 6.1, -6.1, 40.0, -40.0, 1e30, -1e30], &Device::Cpu)?;
        let expected = [0f32, 0.0, 5.9, -1.07e-8, 6.1, -3.2e-9, 40.0, 0.0, 1e30, 0.0];
        assert_close("gelu far out", &gelu(&far)?, &Tensor::new(&expected, &Device::Cpu)?, 1e-7)
    }

    #[test]
    fn takes_other_types_and_layouts() -> Result<()> {
        let x = random((5, 6))?;
        let expected = gelu(&x)?;
        assert_close("gelu of a transposed tensor", &gelu(&x.t()?)?.t()?, &expected, 0.0)?;
        let half = gelu(&x.to_dtype(DType::F16)?)?;
        assert_close("gelu in f16", &half, &expected, 5e-3)
    }
}
