//! What follows a matrix product on a GPU, in place and in one pass: `y = gelu(y + bias)` or `y = y + bias + residual`.
//! On the CPU the product itself does it ([`super::Linear`]).

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, bail};

#[cfg(feature = "cuda")]
use super::kernels;
use super::{has_kernels, kernels::add_bias::TOGETHER};

/// Changes y (R, C) in place where the kernel applies, and says whether it did: `bias` (C), `residual` (R, C).
///
/// # Errors
/// When the shapes do not fit.
pub(super) fn add_bias(y: &Tensor, bias: &Tensor, gelu: bool, residual: Option<&Tensor>) -> Result<bool> {
    let op = AddBias { gelu };
    match residual {
        _ if !has_kernels(&[y, bias]) || !bias.dims1()?.is_multiple_of(TOGETHER) => return Ok(false),
        Some(_) if gelu => return Ok(false),
        Some(residual) => y.inplace_op3(bias, &residual.contiguous()?, &op)?,
        None => y.inplace_op2(bias, &op)?,
    }
    Ok(true)
}

/// The definition: y (R, C), bias (C), residual (R, C), row after row.
pub fn definition(y: &mut [f32], bias: &[f32], gelu: bool, residual: Option<&[f32]>) {
    for (index, value) in y.iter_mut().enumerate() {
        *value += bias[index % bias.len()];
        if gelu {
            *value =
                (f64::from(*value) * 0.5 * (1.0 + erf(f64::from(*value) * std::f64::consts::FRAC_1_SQRT_2))) as f32;
        }
        *value += residual.map_or(0.0, |residual| residual[index]);
    }
}

fn erf(x: f64) -> f64 {
    candle_core::cpu::erf::erf_f64(x)
}

struct AddBias {
    gelu: bool,
}

impl AddBias {
    fn on_cpu(
        &self,
        (y, layout): (&mut CpuStorage, &Layout),
        bias: (&CpuStorage, &Layout),
        residual: Option<(&CpuStorage, &Layout)>,
    ) -> Result<()> {
        let residual = residual.map(|(storage, layout)| super::slice::<f32>(storage, layout)).transpose()?;
        match (y, layout.contiguous_offsets()) {
            (CpuStorage::F32(y), Some((start, end))) => {
                definition(&mut y[start..end], super::slice(bias.0, bias.1)?, self.gelu, residual);
                Ok(())
            }
            _ => bail!("add bias: on the CPU a product is f32 and contiguous"),
        }
    }

    #[cfg(feature = "cuda")]
    fn on_gpu(
        &self,
        (y, layout): (&mut CudaStorage, &Layout),
        bias: (&CudaStorage, &Layout),
        residual: Option<(&CudaStorage, &Layout)>,
    ) -> Result<()> {
        let (rows, columns) = layout.shape().dims2()?;
        let dtype = candle_core::backend::BackendStorage::dtype(&*y);
        kernels::add_bias::AddBias { rows, columns, dtype, gelu: self.gelu }.run((y, layout), bias, residual)
    }
}

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add bias"
    }

    fn cpu_fwd(&self, y: &mut CpuStorage, yl: &Layout, bias: &CpuStorage, bl: &Layout) -> Result<()> {
        self.on_cpu((y, yl), (bias, bl), None)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, y: &mut CudaStorage, yl: &Layout, bias: &CudaStorage, bl: &Layout) -> Result<()> {
        self.on_gpu((y, yl), (bias, bl), None)
    }
}

impl InplaceOp3 for AddBias {
    fn name(&self) -> &'static str {
        "add bias and residual"
    }

    fn cpu_fwd(
        &self,
        y: &mut CpuStorage,
        yl: &Layout,
        bias: &CpuStorage,
        bl: &Layout,
        residual: &CpuStorage,
        rl: &Layout,
    ) -> Result<()> {
        self.on_cpu((y, yl), (bias, bl), Some((residual, rl)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        y: &mut CudaStorage,
        yl: &Layout,
        bias: &CudaStorage,
        bl: &Layout,
        residual: &CudaStorage,
        rl: &Layout,
    ) -> Result<()> {
        self.on_gpu((y, yl), (bias, bl), Some((residual, rl)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::ops::tests::{assert_close, random};

    #[test]
    fn the_definition_is_what_candle_computes() -> Result<()> {
        let (y, bias, residual) = (random((3, 8))?, random(8)?, random((3, 8))?);
        for gelu in [false, true] {
            let expected = y.broadcast_add(&bias)?;
            let expected = if gelu { expected.gelu_erf()? } else { (expected + &residual)? };
            let changed = y.copy()?;
            if gelu {
                changed.inplace_op2(&bias, &AddBias { gelu })?;
            } else {
                changed.inplace_op3(&bias, &residual, &AddBias { gelu })?;
            }
            assert_close("add bias", &changed, &expected, 1e-6)?;
        }
        assert!(!add_bias(&y, &bias.to_device(&Device::Cpu)?, false, None)?, "there is no kernel on the CPU");
        Ok(())
    }
}
