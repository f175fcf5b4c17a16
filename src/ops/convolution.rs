//! The convolution with GELU that opens Whisper's encoder, in time-major layout.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{
    gelu, is_fast,
    matrix::Finish,
    precision::Precision,
    profile::{self, Class},
    slice,
    weight::Weight,
};

/// The width of the kernel.
const WIDTH: usize = 3;

/// `gelu(conv1d(x))` with padding 1.
#[derive(Debug, Clone)]
pub struct Conv1dGelu {
    /// (Cout, Cin, 3), or packed (Cout, 3 Cin).
    weight: Weight,
    bias: Tensor,
    stride: usize,
    inputs: usize,
    outputs: usize,
}

impl Conv1dGelu {
    /// A layer from `weight` (Cout, Cin, 3) and `bias` (Cout), whose products on the CPU are made in this precision.
    ///
    /// # Errors
    /// When the shapes do not fit, or the processor has no unit for bfloat16.
    pub fn new(weight: &Tensor, bias: &Tensor, stride: usize, precision: Precision) -> Result<Self> {
        let (outputs, inputs, width) = weight.dims3()?;
        if width != WIDTH || bias.dims() != [outputs] || stride == 0 {
            bail!(
                "a convolution with a weight {:?} (width must be {WIDTH}), bias {:?} and stride {stride} does not fit",
                weight.dims(),
                bias.dims()
            );
        }
        let weight = if is_fast(&[weight, bias]) {
            // Depth runs over (3, Cin), as x lies in memory.
            let matrix = weight.transpose(1, 2)?.contiguous()?.reshape((outputs, WIDTH * inputs))?;
            Weight::new(matrix, precision)?
        } else {
            Weight::Plain(weight.clone())
        };
        Ok(Self { weight, bias: bias.contiguous()?, stride, inputs, outputs })
    }

    /// x (B, T, Cin) -> (B, T', Cout), T' = (T - 1) / stride + 1.
    ///
    /// # Errors
    /// When x has other channels or no time.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, channels) = x.dims3()?;
        if channels != self.inputs || time == 0 {
            bail!("a convolution of {} channels cannot take a tensor of shape {:?}", self.inputs, x.dims());
        }
        let rows = batch * ((time - 1) / self.stride + 1);
        let _timed = profile::span(Class::Convolution, || self.weight.work(rows, WIDTH * channels, self.outputs));
        match &self.weight {
            Weight::Plain(weight) => composition(x, weight, &self.bias, self.stride),
            _ => x.contiguous()?.apply_op1_no_bwd(&Forward { layer: self }),
        }
    }
}

/// The definition.
fn composition(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: usize) -> Result<Tensor> {
    let x = x.transpose(1, 2)?.contiguous()?; // (B, Cin, T)
    let y = x.conv1d(weight, 1, stride, 1, 1)?.transpose(1, 2)?; // (B, T', Cout)
    gelu(&y.broadcast_add(bias)?.contiguous()?)
}

/// The fast path: f32 on the CPU. In time-major layout the three steps under the kernel are one slice of x.
struct Forward<'a> {
    layer: &'a Conv1dGelu,
}

impl CustomOp1 for Forward<'_> {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Conv1dGelu { weight, bias, stride, outputs, .. } = self.layer;
        let (batch, time, channels) = layout.shape().dims3()?;
        let (x, bias) = (slice::<f32>(x, layout)?, bias.to_vec1::<f32>()?);
        let steps = (time - 1) / stride + 1;
        let fill = |row: usize, depth: usize, target: &mut [f32]| {
            let clip = &x[row / steps * time * channels..][..time * channels];
            // The kernel starts one step before its centre, perhaps before the clip; it may end after it.
            let start = (row % steps * stride * channels + depth) as isize - channels as isize;
            let skipped = (-start).clamp(0, target.len() as isize) as usize;
            let first = (start.max(0) as usize).min(clip.len());
            let count = (target.len() - skipped).min(clip.len() - first);
            target[..skipped].fill(0.0);
            target[skipped..skipped + count].copy_from_slice(&clip[first..first + count]);
            target[skipped + count..].fill(0.0);
        };
        let finish = Finish { bias: Some(&bias), gelu: true, ..Finish::default() };
        let values = weight.product(batch * steps, fill, finish)?;
        Ok((CpuStorage::F32(values), Shape::from((batch, steps, *outputs))))
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
            let expected = Conv1dGelu::new(&b?, &c?, stride, Precision::Float32)?.forward(&a?)?;
            let name = format!("convolution {batch}x{time}x{channels}x{outputs} / {stride}");
            let fast = Conv1dGelu::new(&weight, &bias, stride, Precision::Float32)?;
            assert_close(&name, &fast.forward(&x)?, &expected, 3e-4)?;
            let narrow = Conv1dGelu::new(&weight, &bias, stride, Precision::Int8)?.forward(&x)?;
            assert_close(&format!("{name} in int8"), &narrow, &expected, 0.08 * (3.0 * channels as f64).sqrt())?;
        }
        Ok(())
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() -> Result<()> {
        let (bias, precision) = (random(6)?, Precision::Float32);
        assert!(Conv1dGelu::new(&random((6, 4, 5))?, &bias, 1, precision).is_err());
        assert!(Conv1dGelu::new(&random((6, 4, 3))?, &bias, 0, precision).is_err());
        assert!(Conv1dGelu::new(&random((6, 4, 3))?, &random(5)?, 1, precision).is_err());
        let layer = Conv1dGelu::new(&random((6, 4, 3))?, &bias, 1, precision)?;
        assert!(layer.forward(&random((1, 5, 3))?).is_err());
        assert!(layer.forward(&random((1, 0, 4))?).is_err());
        Ok(())
    }
}
