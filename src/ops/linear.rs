//! The linear layer: `x W^T + b`, with what follows it fused where Whisper always does the same.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, bail};
use half::f16;
use rayon::prelude::*;

use super::{
    add_bias::add_bias,
    gelu,
    matrix::{Finish, Packed, product},
    simd::widens_f16,
};

/// A linear layer.
///
/// In f32 on the CPU the weights are kept only in packed form: in f16 where each of them is an f16 number (as in Whisper's
/// published weights) and the processor widens f16 by an instruction, which loses nothing and halves memory and the time
/// of small batches; else in f32.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
    outputs: usize,
    inputs: usize,
}

#[derive(Debug, Clone)]
enum Weight {
    /// (out, in), for every device and number type.
    Plain(Tensor),
    /// For f32 on the CPU.
    Single(Arc<Packed<f32>>),
    /// For f32 on the CPU, where all weights are f16 numbers.
    Half(Arc<Packed<f16>>),
}

impl Linear {
    /// A layer from `weight` (out, in) and `bias` (out).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        if let Some(bias) = &bias
            && bias.dims() != [outputs]
        {
            bail!("a linear layer with {outputs} outputs cannot have a bias of shape {:?}", bias.dims());
        }
        let bias = bias.map(|bias| bias.contiguous()).transpose()?;
        Ok(Self { weight: Weight::new(weight)?, bias, outputs, inputs })
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Rows of the weight: indexes (n), u32 -> (n, in). An embedding that shares its table with this layer looks up here.
    ///
    /// # Errors
    /// When an index is not below `out`.
    pub fn weight_rows(&self, indexes: &Tensor) -> Result<Tensor> {
        let rows = |row: &dyn Fn(usize) -> Vec<f32>| {
            let indexes = indexes.to_vec1::<u32>()?;
            if let Some(index) = indexes.iter().find(|&&index| index as usize >= self.outputs) {
                bail!("a weight with {} rows has no row {index}", self.outputs);
            }
            let values: Vec<f32> = indexes.iter().flat_map(|&index| row(index as usize)).collect();
            Tensor::from_vec(values, (indexes.len(), self.inputs), &Device::Cpu)
        };
        match &self.weight {
            Weight::Plain(weight) => weight.index_select(indexes, 0),
            Weight::Single(packed) => rows(&|index| packed.row(index).collect()),
            Weight::Half(packed) => rows(&|index| packed.row(index).collect()),
        }
    }

    /// `x W^T + b`: x (…, in) -> (…, out).
    ///
    /// # Errors
    /// When x does not end in `in` elements.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, false, None)
    }

    /// `gelu(x W^T + b)`: x (…, in) -> (…, out).
    ///
    /// # Errors
    /// When x does not end in `in` elements.
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, true, None)
    }

    /// `x W^T + b + residual`: x (…, in), residual (…, out) -> (…, out).
    ///
    /// # Errors
    /// When x does not end in `in` elements or the residual has another shape than the result.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.apply(x, false, Some(residual))
    }

    fn apply(&self, x: &Tensor, gelu: bool, residual: Option<&Tensor>) -> Result<Tensor> {
        let mut shape = x.dims().to_vec();
        let Some(last) = shape.last_mut().filter(|last| **last == self.inputs) else {
            bail!("a linear layer with {} inputs cannot take a tensor of shape {:?}", self.inputs, x.dims());
        };
        *last = self.outputs;
        if let Some(residual) = residual
            && residual.dims() != shape
        {
            bail!("a residual of shape {:?} cannot be added to a result of shape {shape:?}", residual.dims());
        }
        let op = match &self.weight {
            Weight::Plain(weight) => return composition(x, weight, self.bias.as_ref(), gelu, residual),
            _ => Forward { layer: self, gelu, shape: Shape::from(shape) },
        };
        let x = x.contiguous()?;
        match residual {
            Some(residual) => x.apply_op2_no_bwd(&residual.contiguous()?, &op),
            None => x.apply_op1_no_bwd(&op),
        }
    }
}

impl Weight {
    fn new(weight: Tensor) -> Result<Self> {
        if !weight.device().is_cpu() || weight.dtype() != DType::F32 {
            return Ok(Self::Plain(weight));
        }
        let (outputs, inputs) = weight.dims2()?;
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        let at = |output: usize, input: usize| values[output * inputs + input];
        Ok(if widens_f16() && values.par_iter().all(|&value| f16::from_f32(value).to_f32() == value) {
            Self::Half(Arc::new(Packed::new(outputs, inputs, |output, input| f16::from_f32(at(output, input)))))
        } else {
            Self::Single(Arc::new(Packed::new(outputs, inputs, at)))
        })
    }
}

/// The definition.
fn composition(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    with_gelu: bool,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    shape.pop();
    shape.push(outputs);
    let mut y = x.reshape(((), inputs))?.matmul(&weight.t()?)?;
    if let Some(bias) = bias
        && add_bias(&y, bias, with_gelu, residual)?
    {
        return y.reshape(shape);
    }
    if let Some(bias) = bias {
        y = y.broadcast_add(bias)?;
    }
    y = y.reshape(shape)?;
    if with_gelu {
        y = gelu(&y)?;
    }
    match residual {
        Some(residual) => y + residual,
        None => Ok(y),
    }
}

/// The fast path: f32 on the CPU.
struct Forward<'a> {
    layer: &'a Linear,
    gelu: bool,
    shape: Shape,
}

impl Forward<'_> {
    fn run(&self, x: &[f32], residual: Option<&[f32]>) -> Result<(CpuStorage, Shape)> {
        let inputs = self.layer.inputs;
        let rows = self.shape.elem_count() / self.layer.outputs.max(1);
        let bias = self.layer.bias.as_ref().map(|bias| bias.to_vec1::<f32>()).transpose()?;
        let finish = Finish { bias: bias.as_deref(), gelu: self.gelu, residual, ..Finish::default() };
        let fill = |row: usize, depth: usize, target: &mut [f32]| {
            target.copy_from_slice(&x[row * inputs + depth..][..target.len()]);
        };
        let values = match &self.layer.weight {
            Weight::Single(packed) => product(rows, packed, fill, finish),
            Weight::Half(packed) => product(rows, packed, fill, finish),
            Weight::Plain(_) => bail!("a plain weight has no fast path"),
        };
        Ok((CpuStorage::F32(values), self.shape.clone()))
    }
}

impl CustomOp1 for Forward<'_> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run(super::slice(x, layout)?, None)
    }
}

impl CustomOp2 for Forward<'_> {
    fn name(&self) -> &'static str {
        "linear with residual"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, residual: &CpuStorage, rl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run(super::slice(x, xl)?, Some(super::slice(residual, rl)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{assert_close, random};

    fn wide(tensor: &Tensor) -> Result<Tensor> {
        tensor.to_dtype(DType::F64)
    }

    /// Weights in f32, or such as fit f16.
    fn weight(outputs: usize, inputs: usize, half: bool) -> Result<Tensor> {
        let weight = random((outputs, inputs))?;
        if half { weight.to_dtype(DType::F16)?.to_dtype(DType::F32) } else { Ok(weight) }
    }

    #[test]
    fn follows_the_definition_in_f64() -> Result<()> {
        for (rows, inputs, outputs) in
            [(1, 1, 1), (1, 64, 33), (7, 5, 70), (13, 513, 32), (16, 384, 1000), (97, 1100, 40), (301, 130, 300)]
        {
            for half in [false, true] {
                let (weight, bias) = (weight(outputs, inputs, half)?, random(outputs)?);
                let (x, residual) = (random((1, rows, inputs))?, random((1, rows, outputs))?);
                let layer = Linear::new(weight.clone(), Some(bias.clone()))?;
                let oracle = Linear::new(wide(&weight)?, Some(wide(&bias)?))?;
                assert_eq!(matches!(layer.weight, Weight::Half(_)), half && widens_f16());
                let name = format!("linear {rows}x{inputs}x{outputs}, half {half}");
                let x64 = wide(&x)?;
                // Sums of `inputs` products of normal numbers.
                let tolerance = 2e-5 * (inputs as f64).sqrt();
                assert_close(&name, &layer.forward(&x)?, &oracle.forward(&x64)?, tolerance)?;
                assert_close(&name, &layer.forward_gelu(&x)?, &oracle.forward_gelu(&x64)?, tolerance)?;
                let expected = oracle.forward_add(&x64, &wide(&residual)?)?;
                assert_close(&name, &layer.forward_add(&x, &residual)?, &expected, tolerance)?;
            }
        }
        Ok(())
    }

    #[test]
    fn rows_of_a_batch_equal_rows_alone() -> Result<()> {
        let layer = Linear::new(weight(200, 700, true)?, None)?;
        let x = random((40, 700))?;
        let together = layer.forward(&x)?;
        for row in [0, 11, 12, 39] {
            let alone = layer.forward(&x.narrow(0, row, 1)?)?;
            assert_close("a row alone", &alone, &together.narrow(0, row, 1)?, 0.0)?;
        }
        Ok(())
    }

    #[test]
    fn looks_up_rows_of_the_weight() -> Result<()> {
        let indexes = Tensor::new(&[69u32, 0, 33], &Device::Cpu)?;
        for half in [false, true] {
            let weight = weight(70, 9, half)?;
            let layer = Linear::new(weight.clone(), None)?;
            assert_close("rows", &layer.weight_rows(&indexes)?, &weight.index_select(&indexes, 0)?, 0.0)?;
            assert!(layer.weight_rows(&Tensor::new(&[70u32], &Device::Cpu)?).is_err());
        }
        Ok(())
    }

    #[test]
    fn takes_other_layouts_and_no_rows() -> Result<()> {
        let layer = Linear::new(weight(6, 4, false)?, None)?;
        let x = random((4, 5))?.t()?;
        assert_close("transposed x", &layer.forward(&x)?, &layer.forward(&x.contiguous()?)?, 0.0)?;
        assert_eq!(layer.forward(&random((2, 0, 4))?)?.dims(), [2, 0, 6]);
        Ok(())
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() -> Result<()> {
        let layer = Linear::new(weight(6, 4, false)?, None)?;
        assert!(layer.forward(&random((2, 5))?).is_err());
        assert!(layer.forward_add(&random((2, 4))?, &random((2, 5))?).is_err());
        assert!(layer.forward(&random((2, 4))?.to_dtype(DType::F64)?).is_err());
        assert!(Linear::new(weight(6, 4, false)?, Some(random(5)?)).is_err());
        Ok(())
    }
}
