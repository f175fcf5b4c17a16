//! Loading of the layers that several networks share.

use candle_core::Result;
use candle_nn::VarBuilder;

use crate::ops;

/// A dense layer with weight `(outputs, inputs)` and bias `(outputs)`.
pub fn linear(inputs: usize, outputs: usize, vb: &VarBuilder) -> Result<ops::Linear> {
    ops::Linear::new(vb.get((outputs, inputs), "weight")?, Some(vb.get(outputs, "bias")?))
}

/// A dense layer without bias.
pub fn linear_no_bias(inputs: usize, outputs: usize, vb: &VarBuilder) -> Result<ops::Linear> {
    ops::Linear::new(vb.get((outputs, inputs), "weight")?, None)
}

/// A layer norm over the last axis of `size`.
pub fn layer_norm(size: usize, eps: f64, vb: &VarBuilder) -> Result<ops::LayerNorm> {
    ops::LayerNorm::new(vb.get(size, "weight")?, vb.get(size, "bias")?, eps)
}
