//! The convolution with GELU that opens Whisper's encoder, in time-major layout.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::{
    gelu, is_fast,
    matrix::{Finish, Packed, product},
    slice,
};

/// The width of the kernel.
const WIDTH: usize = 3;

/// `gelu(conv1d(x))` with padding 1: x (B, T, Cin), weight (Cout, Cin, 3), bias (Cout) -> (B, T', Cout), T' = (T - 1) / stride + 1.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv1d_gelu(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: usize) -> Result<Tensor> {
    check(x, weight, bias, stride)?;
    if is_fast(&[x, weight, bias]) {
        x.contiguous()?.apply_op3_no_bwd(&weight.contiguous()?, &bias.contiguous()?, &Convolution { stride })
    } else {
        composition(x, weight, bias, stride)
    }
}

fn check(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: usize) -> Result<()> {
    let (_, time, channels) = x.dims3()?;
    let (outputs, inputs, width) = weight.dims3()?;
    if width != WIDTH || inputs != channels || bias.dims() != [outputs] || stride == 0 || time == 0 {
        candle_core::bail!(
            "conv1d_gelu: x {:?}, weight {:?} (width must be {WIDTH}), bias {:?} and stride {stride} do not fit",
            x.dims(),
            weight.dims(),
            bias.dims()
        );
    }
    Ok(())
}

/// The definition.
fn composition(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: usize) -> Result<Tensor> {
    let x = x.transpose(1, 2)?.contiguous()?; // (B, Cin, T)
    let y = x.conv1d(weight, 1, stride, 1, 1)?.transpose(1, 2)?; // (B, T', Cout)
    gelu(&y.broadcast_add(bias)?.contiguous()?)
}

/// The fast path: f32 on the CPU. In time-major layout the three steps under the kernel are one slice of x.
struct Convolution {
    stride: usize,
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "conv1d_gelu"
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
        let (batch, time, channels) = xl.shape().dims3()?;
        let outputs = wl.dims()[0];
        let (x, weight, bias) = (slice::<f32>(x, xl)?, slice::<f32>(weight, wl)?, slice::<f32>(bias, bl)?);
        let steps = (time - 1) / self.stride + 1;
        // Depth runs over (3, Cin), as x lies in memory.
        let packed = Packed::new(outputs, WIDTH * channels, |output, depth| {
            weight[(output * channels + depth % channels) * WIDTH + depth / channels]
        });
        let fill = |row: usize, depth: usize, target: &mut [f32]| {
            let clip = &x[row / steps * time * channels..][..time * channels];
            // The kernel starts one step before its centre, perhaps before the clip; it may end after it.
            let start = (row % steps * self.stride * channels + depth) as isize - channels as isize;
            let skipped = (-start).clamp(0, target.len() as isize) as usize;
            let first = (start.max(0) as usize).min(clip.len());
            let count = (target.len() - skipped).min(clip.len() - first);
            target[..skipped].fill(0.0);
            target[skipped..skipped + count].copy_from_slice(&clip[first..first + count]);
            target[skipped + count..].fill(0.0);
        };
        let finish = Finish { bias: Some(bias), gelu: true, ..Finish::default() };
        let values = product(batch * steps, &packed, fill, finish);
        Ok((CpuStorage::F32(values), Shape::from((batch, steps, outputs))))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::ops::tests::{assert_close, random};

    #[test]
    fn follows_the_definition_in_f64() -> Result<()> {
        for (batch, time, channels, outputs, stride) in
            [(1, 1, 1, 1, 1), (2, 7, 80, 33, 1), (3, 8, 80, 64, 2), (1, 301, 200, 40, 2), (2, 13, 384, 96, 3)]
        {
            let (x, weight, bias) =
                (random((batch, time, channels))?, random((outputs, channels, 3))?, random(outputs)?);
            let [a, b, c] = [&x, &weight, &bias].map(|tensor| tensor.to_dtype(DType::F64));
            let expected = conv1d_gelu(&a?, &b?, &c?, stride)?;
            let name = format!("conv1d_gelu {batch}x{time}x{channels}x{outputs} / {stride}");
            assert_close(&name, &conv1d_gelu(&x, &weight, &bias, stride)?, &expected, 3e-4)?;
        }
        Ok(())
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() -> Result<()> {
        let (x, bias) = (random((1, 5, 4))?, random(6)?);
        assert!(conv1d_gelu(&x, &random((6, 4, 5))?, &bias, 1).is_err());
        assert!(conv1d_gelu(&x, &random((6, 3, 3))?, &bias, 1).is_err());
        assert!(conv1d_gelu(&x, &random((6, 4, 3))?, &bias, 0).is_err());
        Ok(())
    }
}
