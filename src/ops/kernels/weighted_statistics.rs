//! `kernels/weighted_statistics.cu`: mean and deviation over time under weights.

#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, Layout};
use candle_core::{DType, Result};

#[cfg(feature = "cuda")]
use super::device;
use super::{Argument, Launch, int, suffix};

const THREADS: usize = 256;
/// Channels that one block takes.
const CHANNELS_OF_BLOCK: usize = 32;

/// Statistics of x (B, T, C) under weights (B, S, T).
#[derive(Debug, Clone, Copy)]
pub struct WeightedStatistics {
    /// B.
    pub batch: usize,
    /// T.
    pub time: usize,
    /// C.
    pub channels: usize,
    /// S.
    pub speakers: usize,
    /// Below this part of the weight there is no deviation.
    pub least_freedom: f32,
    /// The deviation then.
    pub lone_deviation: f32,
    /// The type of all.
    pub dtype: DType,
}

impl WeightedStatistics {
    /// The launch: x, weights, and the statistics (B, S, 2C).
    ///
    /// # Errors
    /// For number types that no kernel reads, and more elements than a kernel counts.
    pub fn launch(&self, x: Argument, weights: Argument, statistics: Argument) -> Result<Launch> {
        Ok(Launch {
            file: "weighted_statistics",
            kernel: format!("weighted_statistics_{}", suffix(self.dtype)?),
            grid: [self.batch * self.speakers, self.channels.div_ceil(CHANNELS_OF_BLOCK), 1],
            block: THREADS,
            shared: 0,
            arguments: vec![
                x,
                weights,
                statistics,
                int(self.time)?,
                int(self.speakers)?,
                int(self.channels)?,
                Argument::F32(self.least_freedom),
                Argument::F32(self.lone_deviation),
            ],
        })
    }
}

#[cfg(feature = "cuda")]
impl WeightedStatistics {
    /// Computes on the GPU.
    pub(in crate::ops) fn run(
        &self,
        (x, x_layout): (&CudaStorage, &Layout),
        (weights, weights_layout): (&CudaStorage, &Layout),
    ) -> Result<CudaStorage> {
        let gpu = x.device.clone();
        let mut statistics = device::empty(&gpu, self.batch * self.speakers * 2 * self.channels, self.dtype)?;
        let stream = gpu.cuda_stream();
        let mut buffers = device::Buffers::new(&stream);
        let (x, weights) = (buffers.read(x, x_layout)?, buffers.read(weights, weights_layout)?);
        let launch = self.launch(x, weights, buffers.fill(&mut statistics)?)?;
        device::launch(&gpu, &launch)?;
        drop(buffers);
        Ok(statistics)
    }
}
