//! `kernels/scaled_softmax.cu`: softmax of scaled attention scores, in place.

#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, Layout};
use candle_core::{DType, Result};

#[cfg(feature = "cuda")]
use super::device;
use super::{Argument, Launch, int, suffix};

const THREADS: usize = 128;

/// Scores (R, N).
#[derive(Debug, Clone, Copy)]
pub struct ScaledSoftmax {
    /// R.
    pub rows: usize,
    /// N.
    pub length: usize,
    /// What scores are multiplied with first.
    pub scale: f32,
    /// The type of the scores.
    pub dtype: DType,
}

impl ScaledSoftmax {
    /// The launch: the scores, which are changed in place.
    ///
    /// # Errors
    /// For number types that no kernel reads.
    pub fn launch(&self, scores: Argument) -> Result<Launch> {
        Ok(Launch {
            file: "scaled_softmax",
            kernel: format!("scaled_softmax_{}", suffix(self.dtype)?),
            grid: [self.rows, 1, 1],
            block: THREADS,
            shared: 0,
            arguments: vec![scores, int(self.length)?, Argument::F32(self.scale)],
        })
    }
}

#[cfg(feature = "cuda")]
impl ScaledSoftmax {
    /// Changes the scores on the GPU.
    pub(in crate::ops) fn run(&self, scores: &mut CudaStorage, layout: &Layout) -> Result<()> {
        let gpu = scores.device.clone();
        let stream = gpu.cuda_stream();
        let mut buffers = device::Buffers::new(&stream);
        let launch = self.launch(buffers.write(scores, layout)?)?;
        device::launch(&gpu, &launch)
    }
}
