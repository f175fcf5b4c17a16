//! The linear layer: `x W^T + b`, with what follows it fused where Whisper always does the same.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};

use super::{
    add_bias::add_bias,
    gelu,
    matrix::Finish,
    precision::Precision,
    profile::{self, Class},
    weight::Weight,
};

/// A linear layer. In f32 on the CPU its weights are kept only in packed form.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
    outputs: usize,
    inputs: usize,
}

impl Linear {
    /// A layer from `weight` (out, in) and `bias` (out).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        Self::with_precision(weight, bias, Precision::Float32)
    }

    /// The same, whose products on the CPU are made in this precision.
    ///
    /// # Errors
    /// When the shapes do not fit, or the processor has no unit for bfloat16.
    pub fn with_precision(weight: Tensor, bias: Option<Tensor>, precision: Precision) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        Self::of(Weight::new(weight, precision)?, (outputs, inputs), bias)
    }

    /// A layer on the CPU whose weights are int8 already: `values` (out, in), each an int8 as a byte (u8), and `scales` (out),
    /// f32, as [`Linear::int8_weight`] gives them.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn from_int8(values: &Tensor, scales: &Tensor, bias: Option<Tensor>) -> Result<Self> {
        Self::of(Weight::from_int8(values, scales)?, values.dims2()?, bias)
    }

    /// The weights as int8 values (out, in), as bytes (u8), and scales (out), f32, where the layer keeps them so.
    ///
    /// # Errors
    /// When a tensor cannot be made.
    pub fn int8_weight(&self) -> Result<Option<(Tensor, Tensor)>> {
        self.weight.int8()
    }

    fn of(weight: Weight, (outputs, inputs): (usize, usize), bias: Option<Tensor>) -> Result<Self> {
        if let Some(bias) = &bias
            && bias.dims() != [outputs]
        {
            bail!("a linear layer with {outputs} outputs cannot have a bias of shape {:?}", bias.dims());
        }
        let bias = bias.map(|bias| bias.contiguous()).transpose()?;
        Ok(Self { weight, bias, outputs, inputs })
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
        if let Weight::Plain(weight) = &self.weight {
            return weight.index_select(indexes, 0);
        }
        let indexes = indexes.to_vec1::<u32>()?;
        let row = |&index: &u32| (index as usize).lt(&self.outputs).then(|| self.weight.row(index as usize)).flatten();
        match indexes.iter().map(row).collect::<Option<Vec<_>>>() {
            Some(rows) => Tensor::from_vec(rows.concat(), (indexes.len(), self.inputs), &Device::Cpu),
            None => bail!("a weight with {} rows does not have all of the rows {indexes:?}", self.outputs),
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
        let rows = x.elem_count() / self.inputs.max(1);
        let _timed = profile::span(Class::Linear, || self.weight.work(rows, self.inputs, self.outputs));
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
        let values = self.layer.weight.product(rows, fill, finish)?;
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
    use candle_core::DType;

    use super::*;
    use crate::ops::tests::{assert_close, random};
    use crate::ops::{instructions::has_bfloat16_unit, simd::widens_f16};

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
    fn narrow_numbers_stay_near_the_definition() -> Result<()> {
        for (rows, inputs, outputs) in [(1, 64, 33), (7, 5, 70), (97, 1100, 40), (301, 130, 300)] {
            let (weight, bias) = (random((outputs, inputs))?, random(outputs)?);
            let (x, residual) = (random((1, rows, inputs))?, random((1, rows, outputs))?);
            let exact = Linear::new(weight.clone(), Some(bias.clone()))?;
            for precision in precisions() {
                let layer = Linear::with_precision(weight.clone(), Some(bias.clone()), precision)?;
                let name = format!("linear {rows}x{inputs}x{outputs} in {precision:?}");
                // Each factor is wrong by a part in 250 at most of a number near 3; errors of products cancel as they add.
                let tolerance = 0.08 * (inputs as f64).sqrt();
                assert_close(&name, &layer.forward(&x)?, &exact.forward(&x)?, tolerance)?;
                assert_close(&name, &layer.forward_gelu(&x)?, &exact.forward_gelu(&x)?, tolerance)?;
                let expected = exact.forward_add(&x, &residual)?;
                assert_close(&name, &layer.forward_add(&x, &residual)?, &expected, tolerance)?;
            }
        }
        Ok(())
    }

    /// The precisions below f32 that this processor has.
    fn precisions() -> Vec<Precision> {
        let bfloat16 = has_bfloat16_unit().then_some(Precision::BFloat16);
        [Precision::Int8].into_iter().chain(bfloat16).collect()
    }

    #[test]
    fn int8_weights_survive_their_file_form() -> Result<()> {
        let layer = Linear::with_precision(weight(70, 130, false)?, Some(random(70)?), Precision::Int8)?;
        let Some((values, scales)) = layer.int8_weight()? else { panic!("an int8 layer has int8 weights") };
        let again = Linear::from_int8(&values, &scales, layer.bias.clone())?;
        let x = random((5, 130))?;
        assert_close("from int8", &again.forward(&x)?, &layer.forward(&x)?, 0.0)?;
        assert!(Linear::from_int8(&values, &random(71)?, None).is_err());
        assert!(Linear::new(weight(70, 130, false)?, None)?.int8_weight()?.is_none());
        Ok(())
    }

    #[test]
    fn rows_of_a_batch_equal_rows_alone() -> Result<()> {
        for precision in precisions().into_iter().chain([Precision::Float32]) {
            rows_alone(&Linear::with_precision(weight(200, 700, true)?, None, precision)?)?;
        }
        Ok(())
    }

    fn rows_alone(layer: &Linear) -> Result<()> {
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
