//! The convolution with GELU that opens Whisper's encoder, in time-major layout.

use candle_core::{Result, Tensor};

use super::gelu;

/// The width of the kernel.
const WIDTH: usize = 3;

/// `gelu(conv1d(x))` with padding 1: x (B, T, Cin), weight (Cout, Cin, 3), bias (Cout) -> (B, T', Cout), T' = (T - 1) / stride + 1.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv1d_gelu(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: usize) -> Result<Tensor> {
    check(x, weight, bias, stride)?;
    composition(x, weight, bias, stride)
}

fn check(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: usize) -> Result<()> {
    let (_, time, channels) = x.dims3()?;
    let (outputs, inputs, width) = weight.dims3()?;
    if width != WIDTH || inputs != channels || bias.dims() != [outputs] || stride == 0 || time == 0 {
        candle_core::bail!(
            "conv1d_gelu: x {:?}, weight {:?} (width must be {WIDTH}), bias {:?} and stride {stride} do not fit",
            x.dims(),
            weight.dims(),
            bias.dims()
        );
    }
    Ok(())
}

/// The definition.
fn composition(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: usize) -> Result<Tensor> {
    let x = x.transpose(1, 2)?.contiguous()?; // (B, Cin, T)
    let y = x.conv1d(weight, 1, stride, 1, 1)?.transpose(1, 2)?; // (B, T', Cout)
    gelu(&y.broadcast_add(bias)?.contiguous()?)
}
