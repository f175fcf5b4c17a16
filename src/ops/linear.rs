//! The linear layer: `x W^T + b`, with what follows it fused where Whisper always does the same.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, bail};
use half::f16;

use super::{
    gelu,
    matrix::{Finish, Packed, product},
};

/// A linear layer.
///
/// In f32 on the CPU the weights are kept only in packed form, in f16 where each of them is an f16 number (as in all of
/// Whisper's published weights), which loses nothing, halves memory and the time of small batches.
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
        Ok(if values.iter().all(|&value| f16::from_f32(value).to_f32() == value) {
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
        let finish = Finish { bias: bias.as_deref(), gelu: self.gelu, residual };
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
