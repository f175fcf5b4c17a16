//! `kernels/fbank.cu`: Kaldi's filterbanks of windows of audio.

use candle_core::Result;
#[cfg(feature = "cuda")]
use candle_core::{CudaDevice, CudaStorage, DType, Tensor};

#[cfg(feature = "cuda")]
use super::device;
use super::{Argument, Launch, int};

const THREADS: usize = 256;
/// Frames that one block takes.
const FRAMES_OF_BLOCK: usize = 8;
/// Bins whose means one block takes.
const BINS_OF_BLOCK: usize = 32;

/// Features (B, F, bins).
#[derive(Debug, Clone, Copy)]
pub struct Fbank {
    /// B.
    pub windows: usize,
    /// F, of every window.
    pub frames: usize,
    /// Filters.
    pub bins: usize,
}

impl Fbank {
    /// The launch that makes features: samples, the windows' starts (B) of u32, the frame window (400), the filters' places
    /// (bins, 3) of u32 and weights, and the features (B, F, bins).
    ///
    /// # Errors
    /// For more elements than a kernel counts.
    pub fn launch(&self, [samples, starts, window, places, weights, features]: [Argument; 6]) -> Result<Launch> {
        Ok(Launch {
            file: "fbank",
            kernel: "fbank".into(),
            grid: [self.frames.div_ceil(FRAMES_OF_BLOCK), self.windows, 1],
            block: THREADS,
            shared: 0,
            arguments: vec![samples, starts, window, places, weights, features, int(self.frames)?, int(self.bins)?],
        })
    }

    /// The launch that then takes the mean of every bin over a window's frames from it.
    ///
    /// # Errors
    /// For more elements than a kernel counts.
    pub fn subtract_mean(&self, features: Argument) -> Result<Launch> {
        Ok(Launch {
            file: "fbank",
            kernel: "fbank_subtract_mean".into(),
            grid: [self.windows, self.bins.div_ceil(BINS_OF_BLOCK), 1],
            block: THREADS,
            shared: 0,
            arguments: vec![features, int(self.frames)?, int(self.bins)?],
        })
    }
}

#[cfg(feature = "cuda")]
impl Fbank {
    /// Makes features without their means on the GPU, of samples, starts, window, places and weights that are there.
    pub(in crate::ops) fn run(&self, gpu: &CudaDevice, tensors: [&Tensor; 5]) -> Result<CudaStorage> {
        let mut features = device::empty(gpu, self.windows * self.frames * self.bins, DType::F32)?;
        let storages = tensors.map(|tensor| tensor.storage_and_layout());
        let stream = gpu.cuda_stream();
        let mut buffers = device::Buffers::new(&stream);
        let inputs = buffers.read_all(&storages)?;
        let target = buffers.fill(&mut features)?;
        let arguments = [inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], target];
        device::launch(gpu, &self.launch(arguments)?)?;
        device::launch(gpu, &self.subtract_mean(target)?)?;
        drop(buffers);
        Ok(features)
    }
}
