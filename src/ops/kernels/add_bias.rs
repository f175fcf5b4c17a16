//! `kernels/add_bias.cu`: bias, GELU and residual after a matrix product.

#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, Layout};
use candle_core::{DType, Result};

#[cfg(feature = "cuda")]
use super::device;
use super::{Argument, Launch, int, suffix};

/// Elements that one thread takes.
pub const TOGETHER: usize = 8;
const THREADS: usize = 256;

/// What follows a product y (R, C); C is a multiple of [`TOGETHER`].
#[derive(Debug, Clone, Copy)]
pub struct AddBias {
    /// R.
    pub rows: usize,
    /// C.
    pub columns: usize,
    /// The type of all.
    pub dtype: DType,
    /// Whether GELU follows the bias. Not with a residual.
    pub gelu: bool,
}

impl AddBias {
    /// The launch: y, which is changed in place, bias (C), and perhaps a residual (R, C).
    ///
    /// # Errors
    /// For number types that no kernel reads, and more elements than a kernel counts.
    pub fn launch(&self, y: Argument, bias: Argument, residual: Option<Argument>) -> Result<Launch> {
        let mode = match (self.gelu, residual) {
            (true, _) => "gelu_",
            (false, Some(_)) => "residual_",
            (false, None) => "",
        };
        let count = self.rows * self.columns / TOGETHER;
        let mut arguments = vec![y, bias];
        arguments.extend(residual);
        arguments.extend([int(count)?, int(self.columns)?]);
        Ok(Launch {
            file: "add_bias",
            kernel: format!("add_bias_{mode}{}", suffix(self.dtype)?),
            grid: [count.div_ceil(THREADS), 1, 1],
            block: THREADS,
            shared: 0,
            arguments,
        })
    }
}

#[cfg(feature = "cuda")]
impl AddBias {
    /// Changes y on the GPU.
    pub(in crate::ops) fn run(
        &self,
        (y, layout): (&mut CudaStorage, &Layout),
        (bias, bias_layout): (&CudaStorage, &Layout),
        residual: Option<(&CudaStorage, &Layout)>,
    ) -> Result<()> {
        let gpu = y.device.clone();
        let stream = gpu.cuda_stream();
        let mut buffers = device::Buffers::new(&stream);
        let y = buffers.write(y, layout)?;
        let bias = buffers.read(bias, bias_layout)?;
        let residual = residual.map(|(storage, layout)| buffers.read(storage, layout)).transpose()?;
        device::launch(&gpu, &self.launch(y, bias, residual)?)
    }
}
