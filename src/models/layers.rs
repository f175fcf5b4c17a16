//! Loading of the layers that several networks share.

use candle_core::Result;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;

use crate::ops::{self, Precision};

/// What the scales of a weight in int8 are called beside it.
pub const INT8_SCALE: &str = "weight_scale";

/// A dense layer with weight `(outputs, inputs)` and bias `(outputs)`.
pub fn linear(inputs: usize, outputs: usize, vb: &VarBuilder) -> Result<ops::Linear> {
    ops::Linear::new(vb.get((outputs, inputs), "weight")?, Some(vb.get(outputs, "bias")?))
}

/// A dense layer without bias.
pub fn linear_no_bias(inputs: usize, outputs: usize, vb: &VarBuilder) -> Result<ops::Linear> {
    ops::Linear::new(vb.get((outputs, inputs), "weight")?, None)
}

/// A dense layer, with or without bias, whose products on the CPU are made in this precision. Where a `weight_scale` (outputs)
/// lies beside it, the weight is int8 already.
pub fn linear_in(
    precision: Precision,
    inputs: usize,
    outputs: usize,
    bias: bool,
    vb: &VarBuilder,
) -> Result<ops::Linear> {
    let bias = bias.then(|| vb.get(outputs, "bias")).transpose()?;
    match int8_weight(inputs, outputs, vb)? {
        Some((values, scales)) => ops::Linear::from_int8(&values, &scales, bias),
        None => ops::Linear::with_precision(vb.get((outputs, inputs), "weight")?, bias, precision),
    }
}

/// The int8 values (outputs, inputs), as bytes, and scales (outputs) of a weight, where it is kept so.
pub fn int8_weight(
    inputs: usize,
    outputs: usize,
    vb: &VarBuilder,
) -> Result<Option<(candle_core::Tensor, candle_core::Tensor)>> {
    if !vb.contains_tensor(INT8_SCALE) {
        return Ok(None);
    }
    let values = vb.get_unchecked_dtype("weight", DType::U8)?.to_device(&Device::Cpu)?;
    let scales = vb.get_unchecked_dtype(INT8_SCALE, DType::F32)?.to_device(&Device::Cpu)?;
    if values.dims() != [outputs, inputs] || scales.dims() != [outputs] {
        candle_core::bail!(
            "an int8 weight {:?} with scales {:?} where ({outputs}, {inputs}) is wanted",
            values.dims(),
            scales.dims()
        );
    }
    Ok(Some((values, scales)))
}

/// A layer norm over the last axis of `size`.
pub fn layer_norm(size: usize, eps: f64, vb: &VarBuilder) -> Result<ops::LayerNorm> {
    ops::LayerNorm::new(vb.get(size, "weight")?, vb.get(size, "bias")?, eps)
}
