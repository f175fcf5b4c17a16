//! A linear layer behind a batch normalisation and ReLU, as densely connected networks have them:
//!
//! `y = f(relu(x * scale + shift) W^T + b)`, f the identity or ReLU.
//!
//! Before each layer such a network normalises all channels collected so far, so a pass of its own over them would cost
//! as much as the product; the fast path normalises on the way into the product, and reads the channels out of a wider
//! tensor in place.

use std::sync::Arc;

use candle_core::{Device, Result, Storage, Tensor, bail};

use super::{
    is_fast,
    matrix::{Finish, Packed, product},
    profile::{self, Class, Work},
    simd::{Lanes, Task, dispatch},
};

/// The layer.
#[derive(Debug, Clone)]
pub struct NormalisedLinear {
    scale: Tensor,
    shift: Tensor,
    weight: Weight,
    bias: Option<Tensor>,
    relu: bool,
    outputs: usize,
    inputs: usize,
}

#[derive(Debug, Clone)]
enum Weight {
    /// (out, in), for every device and number type.
    Plain(Tensor),
    /// For f32 on the CPU.
    Packed(Arc<Fast>),
}

/// What the fast path reads.
#[derive(Debug)]
struct Fast {
    packed: Packed<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl NormalisedLinear {
    /// A layer from `scale` (in), `shift` (in), `weight` (out, in) and `bias` (out); `relu` says whether another ReLU follows.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn new(scale: Tensor, shift: Tensor, weight: Tensor, bias: Option<Tensor>, relu: bool) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let bias_fits = bias.as_ref().is_none_or(|bias| bias.dims() == [outputs]);
        if scale.dims() != [inputs] || shift.dims() != [inputs] || !bias_fits || inputs == 0 {
            bail!(
                "scale {:?}, shift {:?} and bias {:?} do not fit a weight {:?}",
                scale.dims(),
                shift.dims(),
                bias.as_ref().map(Tensor::dims),
                weight.dims()
            );
        }
        let weight = if is_fast(&[&weight]) {
            let values = weight.flatten_all()?.to_vec1::<f32>()?;
            Weight::Packed(Arc::new(Fast {
                packed: Packed::new(outputs, inputs, |output, input| values[output * inputs + input]),
                scale: scale.to_vec1()?,
                shift: shift.to_vec1()?,
                bias: bias.as_ref().map(Tensor::to_vec1).transpose()?,
            }))
        } else {
            Weight::Plain(weight)
        };
        Ok(Self { scale, shift, weight, bias, relu, outputs, inputs })
    }

    /// The layer's result: x (B, T, in), which may be a slice of a wider contiguous tensor -> (B, T, out).
    ///
    /// # Errors
    /// When x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, channels) = x.dims3()?;
        if channels != self.inputs {
            bail!("a layer with {} inputs cannot take a tensor of shape {:?}", self.inputs, x.dims());
        }
        let size = x.dtype().size_in_bytes();
        let _timed = profile::span(Class::Linear, || Work::product(batch * time, channels, self.outputs, size));
        let fast = match &self.weight {
            Weight::Plain(weight) => return self.composition(x, weight),
            Weight::Packed(fast) => fast,
        };
        let apart_alike = |x: &Tensor| x.stride()[2] == 1 && (batch == 1 || x.stride()[0] == time * x.stride()[1]);
        let x = if apart_alike(x) { x.clone() } else { x.contiguous()? };
        let (storage, layout) = x.storage_and_layout();
        let Storage::Cpu(values) = &*storage else { bail!("the fast path is for the CPU") };
        let (values, stride) = (&values.as_slice::<f32>()?[layout.start_offset()..], layout.stride()[1]);
        let fill = |row: usize, depth: usize, target: &mut [f32]| {
            let (range, values) = (depth..depth + target.len(), &values[row * stride + depth..][..target.len()]);
            dispatch(Normalise { values, scale: &fast.scale[range.clone()], shift: &fast.shift[range], target });
        };
        let finish = Finish { bias: fast.bias.as_deref(), relu: self.relu, ..Finish::default() };
        let rows = product(batch * time, &fast.packed, fill, finish);
        Tensor::from_vec(rows, (batch, time, self.outputs), &Device::Cpu)
    }

    /// The definition.
    fn composition(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (batch, time, inputs) = x.dims3()?;
        let x = x.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)?.relu()?;
        let mut y = x.reshape((batch * time, inputs))?.matmul(&weight.t()?)?.reshape((batch, time, self.outputs))?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(bias)?;
        }
        if self.relu { y.relu() } else { Ok(y) }
    }
}

/// A part of a row on its way into the product; as a task of its own it runs with the widest vectors, which a closure misses.
struct Normalise<'a> {
    values: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    target: &'a mut [f32],
}

impl Task for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let zero = simd.splat_f32s(0.0);
        let (targets, rest) = S::as_mut_simd_f32s(self.target);
        let (values, scale, shift) =
            (S::as_simd_f32s(self.values), S::as_simd_f32s(self.scale), S::as_simd_f32s(self.shift));
        for (((target, value), scale), shift) in targets.iter_mut().zip(values.0).zip(scale.0).zip(shift.0) {
            *target = simd.max_f32s(simd.mul_add_f32s(*value, *scale, *shift), zero);
        }
        for (((target, value), scale), shift) in rest.iter_mut().zip(values.1).zip(scale.1).zip(shift.1) {
            *target = (value * scale + shift).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::ops::tests::{assert_close, random};

    #[test]
    fn follows_the_definition_in_f64() -> Result<()> {
        let wide = random((2, 50, 700))?;
        for (inputs, outputs, start, relu, with_bias) in
            [(700, 40, 0, true, true), (600, 33, 0, false, false), (31, 64, 600, true, false), (1, 1, 5, false, true)]
        {
            let of = |x: &Tensor| x.to_dtype(DType::F64);
            let (scale, shift, weight) = (random(inputs)?, random(inputs)?, random((outputs, inputs))?);
            let bias = with_bias.then(|| random(outputs)).transpose()?;
            let wide_bias = bias.as_ref().map(of).transpose()?;
            let oracle = NormalisedLinear::new(of(&scale)?, of(&shift)?, of(&weight)?, wide_bias, relu)?;
            let layer = NormalisedLinear::new(scale, shift, weight, bias, relu)?;
            for x in [wide.clone(), wide.narrow(0, 1, 1)?, wide.narrow(1, 3, 20)?] {
                let x = x.narrow(2, start, inputs)?;
                let name = format!("{inputs} -> {outputs} of {:?}", x.dims());
                assert_close(&name, &layer.forward(&x)?, &oracle.forward(&of(&x)?)?, 5e-4)?;
            }
        }
        Ok(())
    }

    #[test]
    fn wrong_shapes_are_refused() -> Result<()> {
        let of = |scale, shift, bias| {
            NormalisedLinear::new(random(scale)?, random(shift)?, random((3, 4))?, Some(random(bias)?), false)
        };
        assert!(of(3, 4, 3).is_err() && of(4, 3, 3).is_err() && of(4, 4, 4).is_err());
        assert!(of(4, 4, 3)?.forward(&random((1, 2, 3))?).is_err());
        Ok(())
    }
}
