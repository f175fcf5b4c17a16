//! A fixed matrix in the form that products want it: what linear layers and convolutions keep.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, bail};
use half::f16;
use rayon::prelude::*;

use super::{
    instructions::has_bfloat16_unit,
    matrix::{self, Finish, Packed},
    narrow::{
        bfloat16::{Bfloat16Matrix, Bfloat16Product, Bfloat16Rows},
        int8::{Int8Product, Quantized, Rows},
        product,
    },
    precision::Precision,
    profile::{Numbers, Work},
    simd::widens_f16,
};

/// A matrix (out, in).
///
/// In f32 on the CPU it is kept only in packed form: in f16 where each of its numbers is an f16 number (as in Whisper's
/// published weights) and the processor widens f16 by an instruction, which loses nothing and halves memory and the time
/// of small batches; else in f32.
#[derive(Debug, Clone)]
pub(super) enum Weight {
    /// For every device and number type.
    Plain(Tensor),
    /// For f32 on the CPU.
    Single(Arc<Packed<f32>>),
    /// For f32 on the CPU, where all numbers are f16 numbers.
    Half(Arc<Packed<f16>>),
    /// For a CPU with a unit for bfloat16.
    BFloat16(Arc<Bfloat16Matrix>),
    /// For int8 on the CPU.
    Int8(Arc<Quantized>),
}

impl Weight {
    /// Packs `weight` (out, in), which is kept as it is where it does not lie on the CPU in f32.
    pub(super) fn new(weight: Tensor, precision: Precision) -> Result<Self> {
        if !weight.device().is_cpu() || weight.dtype() != DType::F32 {
            return Ok(Self::Plain(weight));
        }
        let (outputs, inputs) = weight.dims2()?;
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        let at = |output: usize, input: usize| values[output * inputs + input];
        let row = |output: usize, target: &mut [f32]| target.copy_from_slice(&values[output * inputs..][..inputs]);
        Ok(match precision {
            Precision::Int8 => Self::Int8(Arc::new(Quantized::new(outputs, inputs, row))),
            Precision::BFloat16 if has_bfloat16_unit() => {
                Self::BFloat16(Arc::new(Bfloat16Matrix::new(outputs, inputs, row)))
            }
            Precision::BFloat16 => bail!("this processor has no unit for bfloat16"),
            Precision::Float32
                if widens_f16() && values.par_iter().all(|&value| f16::from_f32(value).to_f32() == value) =>
            {
                Self::Half(Arc::new(Packed::new(outputs, inputs, |output, input| f16::from_f32(at(output, input)))))
            }
            Precision::Float32 => Self::Single(Arc::new(Packed::new(outputs, inputs, at))),
        })
    }

    /// The matrix of int8 `values` (out, in), each as a byte, and `scales` (out).
    pub(super) fn from_int8(values: &Tensor, scales: &Tensor) -> Result<Self> {
        let (outputs, inputs) = values.dims2()?;
        if scales.dims() != [outputs] {
            bail!("a matrix of {outputs} outputs cannot have scales of shape {:?}", scales.dims());
        }
        let (values, scales) = (values.flatten_all()?.to_vec1::<u8>()?, scales.to_vec1::<f32>()?);
        Ok(Self::Int8(Arc::new(Quantized::from_values(outputs, inputs, &values, &scales))))
    }

    /// The int8 values (out, in), each as a byte, and scales (out), where it is kept so.
    pub(super) fn int8(&self) -> Result<Option<(Tensor, Tensor)>> {
        let Self::Int8(matrix) = self else { return Ok(None) };
        let values = Tensor::from_vec(matrix.values(), (matrix.outputs, matrix.inputs), &Device::Cpu)?;
        Ok(Some((values, Tensor::new(matrix.scales(), &Device::Cpu)?)))
    }

    /// What the product with so many rows takes.
    pub(super) fn work(&self, rows: usize, inputs: usize, outputs: usize) -> Work {
        let (bytes, numbers) = match self {
            Self::Plain(weight) => (weight.dtype().size_in_bytes(), Numbers::Float32),
            Self::Single(_) => (4, Numbers::Float32),
            Self::Half(_) => (2, Numbers::Float32),
            Self::BFloat16(_) => (2, Numbers::BFloat16),
            Self::Int8(_) => (1, Numbers::Int8),
        };
        Work::product(rows, inputs, outputs, bytes).of(numbers)
    }

    /// Row `output` in f32; `None` for a plain matrix.
    pub(super) fn row(&self, output: usize) -> Option<Vec<f32>> {
        match self {
            Self::Plain(_) => None,
            Self::Single(packed) => Some(packed.row(output).collect()),
            Self::Half(packed) => Some(packed.row(output).collect()),
            Self::BFloat16(matrix) => Some(matrix.row(output).collect()),
            Self::Int8(matrix) => Some(matrix.row(output).collect()),
        }
    }

    /// `finish(X W^T)`: (rows, out); `fill(row, depth, target)` writes elements `depth ..` of a row of X to `target`.
    ///
    /// # Errors
    /// For a plain matrix.
    pub(super) fn product(
        &self,
        rows: usize,
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
        finish: Finish<'_>,
    ) -> Result<Vec<f32>> {
        let whole = |row: usize, target: &mut [f32]| fill(row, 0, target);
        Ok(match self {
            Self::Plain(_) => bail!("a plain matrix has no fast path"),
            Self::Single(packed) => matrix::product(rows, packed, fill, finish),
            Self::Half(packed) => matrix::product(rows, packed, fill, finish),
            Self::BFloat16(weights) => {
                let rows = Bfloat16Rows::new(rows, weights.inputs, whole);
                // SAFETY: the matrix was packed only where the processor has the unit.
                product::product(&unsafe { Bfloat16Product::new(&rows, weights) }, finish)
            }
            Self::Int8(weights) => {
                let rows = Rows::new(rows, weights.inputs, whole);
                product::product(&Int8Product::new(&rows, weights), finish)
            }
        })
    }
}
