//! The linear layer: `x W^T + b`, with what follows it fused where Whisper always does the same.

use candle_core::{Result, Tensor, bail};

use super::gelu;

/// A linear layer.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
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
        let (outputs, inputs) = weight.dims2()?;
        if let Some(bias) = &bias
            && bias.dims() != [outputs]
        {
            bail!("a linear layer with {outputs} outputs cannot have a bias of shape {:?}", bias.dims());
        }
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

    /// `x W^T + b`: x (…, in) -> (…, out).
    ///
    /// # Errors
    /// When x does not end in `in` elements.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.composition(x)
    }

    /// `gelu(x W^T + b)`: x (…, in) -> (…, out).
    ///
    /// # Errors
    /// When x does not end in `in` elements.
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor> {
        gelu(&self.composition(x)?)
    }

    /// `x W^T + b + residual`: x (…, in), residual (…, out) -> (…, out).
    ///
    /// # Errors
    /// When x does not end in `in` elements or the residual has another shape than the result.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.composition(x)? + residual
    }

    /// The definition.
    fn composition(&self, x: &Tensor) -> Result<Tensor> {
        let mut shape = x.dims().to_vec();
        let Some(last) = shape.last_mut().filter(|last| **last == self.inputs) else {
            bail!("a linear layer with {} inputs cannot take a tensor of shape {:?}", self.inputs, x.dims());
        };
        *last = self.outputs;
        let rows = x.elem_count() / self.inputs;
        let y = x.reshape((rows, self.inputs))?.matmul(&self.weight.t()?)?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        y.reshape(shape)
    }
}
