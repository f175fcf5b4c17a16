//! GELU in its erf form: `x / 2 * (1 + erf(x / sqrt(2)))` (Hendrycks and Gimpel, 2016), the one Whisper was trained with.

use candle_core::{Result, Tensor};

/// GELU of every element.
///
/// # Errors
/// When Candle cannot compute in this number type.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    composition(x)
}

/// The definition.
pub(crate) fn composition(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}
