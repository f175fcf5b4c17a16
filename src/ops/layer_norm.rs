//! Layer normalisation (Ba, Kiros and Hinton, 2016) over the last axis.

use candle_core::{Result, Tensor};

/// A layer normalisation: `(x - mean) / sqrt(variance + eps) * weight + bias`.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// A layer from `weight` (C) and `bias` (C).
    ///
    /// # Errors
    /// When the two are not vectors of one length.
    pub fn new(weight: Tensor, bias: Tensor, eps: f64) -> Result<Self> {
        if weight.dims1()? != bias.dims1()? {
            candle_core::bail!("a layer norm of {:?} weights cannot have {:?} biases", weight.dims(), bias.dims());
        }
        Ok(Self { weight, bias, eps })
    }

    /// Normalises every vector of C elements: x (…, C) -> (…, C).
    ///
    /// # Errors
    /// When x does not end in C elements.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.composition(x)
    }

    /// The definition.
    fn composition(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::layer_norm(&x.contiguous()?, &self.weight, &self.bias, self.eps as f32)
    }
}
