//! Convolutions over time in time-major layout: strided, zero-padded, in groups, with bias and GELU fused.
//!
//! `y[b, t, o] = bias[o] + sum over i, k of w[o, i, k] x[b, s t + k - p, i]`, where i runs over the channels of o's group.
//!
//! In time-major layout the steps under the kernel are one slice of x, once the channels of a group lie side by side, so
//! the fast path is a matrix product whose rows overlap.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{
    gelu, is_fast,
    matrix::{Finish, Packed, product},
    profile::{self, Class, Work},
    slice,
};

/// How a kernel moves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliding {
    /// Time steps from one place of the kernel to the next.
    pub stride: usize,
    /// Zeros before the first and after the last time step.
    pub padding: (usize, usize),
    /// Groups of channels that see only themselves.
    pub groups: usize,
}

impl Default for Sliding {
    fn default() -> Self {
        Self { stride: 1, padding: (0, 0), groups: 1 }
    }
}

/// The layer: weights and geometry. In f32 on the CPU the weights are kept only in packed form.
#[derive(Debug, Clone)]
pub struct TimeConvolution {
    weight: Weight,
    bias: Option<Tensor>,
    outputs: usize,
    /// Channels of one group.
    inputs: usize,
    width: usize,
    sliding: Sliding,
}

#[derive(Debug, Clone)]
enum Weight {
    /// (out, in / groups, width), for every device and number type.
    Plain(Tensor),
    /// One matrix for each group, its depth running over (width, in / groups), as x lies in memory.
    Packed(Arc<Vec<Packed<f32>>>),
}

impl TimeConvolution {
    /// A layer from `weight` (out, in / groups, width) and `bias` (out).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn new(weight: Tensor, bias: Option<Tensor>, sliding: Sliding) -> Result<Self> {
        let (outputs, inputs, width) = weight.dims3()?;
        let Sliding { stride, groups, .. } = sliding;
        let bias_fits = bias.as_ref().is_none_or(|bias| bias.dims() == [outputs]);
        if !bias_fits || stride == 0 || groups == 0 || outputs % groups != 0 || inputs * width == 0 {
            bail!(
                "a convolution cannot have weight {:?}, bias {:?}, stride {stride} and {groups} groups",
                weight.dims(),
                bias.as_ref().map(Tensor::dims)
            );
        }
        let bias = bias.map(|bias| bias.contiguous()).transpose()?;
        let weight = if is_fast(&[&weight]) { Weight::packed(&weight, groups)? } else { Weight::Plain(weight) };
        Ok(Self { weight, bias, outputs, inputs, width, sliding })
    }

    /// The number of places of the kernel over `time` steps.
    pub fn steps(&self, time: usize) -> usize {
        let (before, after) = self.sliding.padding;
        match (before + time + after).checked_sub(self.width) {
            Some(rest) => rest / self.sliding.stride + 1,
            None => 0,
        }
    }

    /// The convolution: x (B, T, in) -> (B, T', out), T' = (T + padding - width) / stride + 1.
    ///
    /// # Errors
    /// When x has other channels or is shorter than the kernel.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, false)
    }

    /// GELU of the convolution: x (B, T, in) -> (B, T', out).
    ///
    /// # Errors
    /// As [`TimeConvolution::forward`].
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, true)
    }

    fn apply(&self, x: &Tensor, gelu: bool) -> Result<Tensor> {
        let (batch, time, channels) = x.dims3()?;
        if channels != self.inputs * self.sliding.groups || self.steps(time) == 0 {
            bail!(
                "a convolution of {} channels, {} steps wide, cannot take a tensor of shape {:?}",
                self.inputs * self.sliding.groups,
                self.width,
                x.dims()
            );
        }
        let _timed = profile::span(Class::Convolution, || {
            let rows = batch * self.steps(time);
            Work::product(rows, self.inputs * self.width, self.outputs, x.dtype().size_in_bytes())
        });
        match &self.weight {
            Weight::Plain(weight) => self.composition(x, weight, gelu),
            Weight::Packed(packed) => x.contiguous()?.apply_op1_no_bwd(&Forward { layer: self, packed, gelu }),
        }
    }

    /// The definition.
    fn composition(&self, x: &Tensor, weight: &Tensor, with_gelu: bool) -> Result<Tensor> {
        let Sliding { stride, padding: (before, after), groups } = self.sliding;
        let x = x.transpose(1, 2)?.pad_with_zeros(2, before, after)?.contiguous()?; // (B, in, T)
        let y = x.conv1d(weight, 0, stride, 1, groups)?.transpose(1, 2)?.contiguous()?; // (B, T', out)
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        if with_gelu { gelu(&y) } else { Ok(y) }
    }
}

impl Weight {
    fn packed(weight: &Tensor, groups: usize) -> Result<Self> {
        let (outputs, inputs, width) = weight.dims3()?;
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        let group_outputs = outputs / groups;
        let pack = |group: usize| {
            Packed::new(group_outputs, width * inputs, |output, depth| {
                values[((group * group_outputs + output) * inputs + depth % inputs) * width + depth / inputs]
            })
        };
        Ok(Self::Packed(Arc::new((0..groups).map(pack).collect())))
    }
}

/// The fast path: f32 on the CPU.
struct Forward<'a> {
    layer: &'a TimeConvolution,
    packed: &'a [Packed<f32>],
    gelu: bool,
}

impl CustomOp1 for Forward<'_> {
    fn name(&self) -> &'static str {
        "convolution over time"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, time, _) = layout.shape().dims3()?;
        let x = slice::<f32>(x, layout)?;
        let layer = self.layer;
        let steps = layer.steps(time);
        let bias = layer.bias.as_ref().map(|bias| bias.to_vec1::<f32>()).transpose()?;
        let plain = layer.sliding.padding == (0, 0) && layer.sliding.groups == 1;
        let values = if plain {
            self.products(x, &self.packed[0], (batch, time, steps), bias.as_deref())
        } else {
            self.in_groups(x, (batch, time, steps), bias.as_deref())
        };
        Ok((CpuStorage::F32(values), Shape::from((batch, steps, layer.outputs))))
    }
}

impl Forward<'_> {
    /// One group, whose x (B, T, in / groups) is padded already: (B, T', out / groups).
    fn products(
        &self,
        x: &[f32],
        packed: &Packed<f32>,
        (batch, time, steps): (usize, usize, usize),
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let inputs = self.layer.inputs;
        let fill = |row: usize, depth: usize, target: &mut [f32]| {
            let step = row / steps * time + row % steps * self.layer.sliding.stride;
            target.copy_from_slice(&x[step * inputs + depth..][..target.len()]);
        };
        product(batch * steps, packed, fill, Finish { bias, gelu: self.gelu, ..Finish::default() })
    }

    fn in_groups(&self, x: &[f32], (batch, time, steps): (usize, usize, usize), bias: Option<&[f32]>) -> Vec<f32> {
        let (inputs, outputs, groups) = (self.layer.inputs, self.layer.outputs, self.layer.sliding.groups);
        let (before, after) = self.layer.sliding.padding;
        let (padded, group_outputs) = (before + time + after, outputs / groups);
        let of_groups: Vec<Vec<f32>> = self
            .packed
            .iter()
            .enumerate()
            .map(|(group, packed)| {
                let mut own = vec![0.0; batch * padded * inputs]; // (B, padded T, in / groups)
                for (row, values) in x.chunks_exact(inputs * groups).enumerate() {
                    let step = row / time * padded + before + row % time;
                    own[step * inputs..][..inputs].copy_from_slice(&values[group * inputs..][..inputs]);
                }
                let bias = bias.map(|bias| &bias[group * group_outputs..][..group_outputs]);
                self.products(&own, packed, (batch, padded, steps), bias)
            })
            .collect();
        let mut y = vec![0.0; batch * steps * outputs];
        y.par_chunks_exact_mut(outputs).enumerate().with_min_len(64).for_each(|(row, y)| {
            for (y, of_group) in y.chunks_exact_mut(group_outputs).zip(&of_groups) {
                y.copy_from_slice(&of_group[row * group_outputs..][..group_outputs]);
            }
        });
        y
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::ops::tests::{assert_close, random};

    fn check(
        batch: usize,
        time: usize,
        (outputs, inputs, width): (usize, usize, usize),
        sliding: Sliding,
    ) -> Result<()> {
        let (x, weight) = (random((batch, time, inputs * sliding.groups))?, random((outputs, inputs, width))?);
        for bias in [None, Some(random(outputs)?)] {
            let wide = bias.as_ref().map(|bias| bias.to_dtype(DType::F64)).transpose()?;
            let layer = TimeConvolution::new(weight.clone(), bias, sliding)?;
            let oracle = TimeConvolution::new(weight.to_dtype(DType::F64)?, wide, sliding)?;
            let x64 = x.to_dtype(DType::F64)?;
            let name = format!("{outputs}x{inputs}x{width} over {batch}x{time}, {sliding:?}");
            let tolerance = 2e-5 * ((inputs * width) as f64).sqrt();
            assert_close(&name, &layer.forward(&x)?, &oracle.forward(&x64)?, tolerance)?;
            assert_close(&name, &layer.forward_gelu(&x)?, &oracle.forward_gelu(&x64)?, tolerance)?;
        }
        Ok(())
    }

    #[test]
    fn follows_the_definition_in_f64() -> Result<()> {
        check(1, 411, (33, 1, 10), Sliding { stride: 5, ..Sliding::default() })?;
        check(2, 50, (40, 24, 3), Sliding { stride: 2, ..Sliding::default() })?;
        check(2, 9, (4, 3, 4), Sliding { padding: (2, 1), ..Sliding::default() })?;
        check(1, 1, (8, 2, 5), Sliding { padding: (2, 2), groups: 2, ..Sliding::default() })?;
        check(2, 37, (96, 12, 128), Sliding { padding: (64, 63), groups: 4, ..Sliding::default() })
    }

    #[test]
    fn rows_of_a_clip_equal_rows_alone() -> Result<()> {
        let layer =
            TimeConvolution::new(random((40, 16, 3))?, Some(random(40)?), Sliding { stride: 2, ..Default::default() })?;
        let x = random((1, 201, 16))?;
        let (together, alone) = (layer.forward_gelu(&x)?, layer.forward_gelu(&x.narrow(1, 120, 41)?)?);
        assert_close("a part alone", &alone, &together.narrow(1, 60, 20)?, 0.0)
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() -> Result<()> {
        let layer = TimeConvolution::new(random((6, 4, 5))?, None, Sliding::default())?;
        assert!(layer.forward(&random((1, 7, 3))?).is_err());
        assert!(layer.forward(&random((1, 4, 4))?).is_err(), "shorter than the kernel");
        assert_eq!((layer.steps(4), layer.steps(5)), (0, 1));
        let of = |bias, sliding| TimeConvolution::new(random((6, 4, 5))?, bias, sliding);
        assert!(of(Some(random(5)?), Sliding::default()).is_err());
        assert!(of(None, Sliding { stride: 0, ..Sliding::default() }).is_err());
        assert!(of(None, Sliding { groups: 4, ..Sliding::default() }).is_err());
        Ok(())
    }
}
