//! `kernels/log_mel.cu`: Whisper's spectrograms of a batch of chunks.

#[cfg(feature = "cuda")]
use candle_core::{CudaDevice, CudaStorage, Shape, Tensor, backend::BackendDevice};
use candle_core::{DType, Result};

#[cfg(feature = "cuda")]
use super::device;
use super::{Argument, Launch, int, suffix};

const THREADS: usize = 256;
/// Frames that one block takes.
const FRAMES_OF_BLOCK: usize = 8;
/// Elements that one thread normalises.
const TOGETHER: usize = 4;

/// Spectrograms (B, F, bins).
#[derive(Debug, Clone, Copy)]
pub struct LogMel {
    /// B.
    pub chunks: usize,
    /// F: 3000 for chunks of 30 s.
    pub frames: usize,
    /// Bands.
    pub bins: usize,
    /// The type of the spectrograms.
    pub dtype: DType,
}

impl LogMel {
    /// The launches: samples of all chunks, spans (B, 2) of u32 (start, length), the filters' places (bins, 3) of u32 and
    /// weights, energies (B, F, bins) of f32, maxima (B) of u32 and zero, out (B, F, bins), which may be the energies.
    ///
    /// # Errors
    /// For number types that no kernel writes, and more elements than a kernel counts.
    pub fn launches(
        &self,
        [samples, spans, places, weights, energies, maxima, out]: [Argument; 7],
    ) -> Result<[Launch; 2]> {
        let count = self.frames * self.bins;
        let measure = Launch {
            file: "log_mel",
            kernel: "log_mel_energies".into(),
            grid: [self.frames.div_ceil(FRAMES_OF_BLOCK), self.chunks, 1],
            block: THREADS,
            shared: 0,
            arguments: vec![samples, spans, places, weights, energies, maxima, int(self.frames)?, int(self.bins)?],
        };
        let normalise = Launch {
            file: "log_mel",
            kernel: format!("log_mel_normalise_{}", suffix(self.dtype)?),
            grid: [count.div_ceil(THREADS * TOGETHER), self.chunks, 1],
            block: THREADS,
            shared: 0,
            arguments: vec![energies, maxima, out, int(count)?],
        };
        Ok([measure, normalise])
    }
}

#[cfg(feature = "cuda")]
impl LogMel {
    /// Computes on the GPU, from samples, spans, places and weights that are there.
    pub(in crate::ops) fn run(&self, gpu: &CudaDevice, tensors: [&Tensor; 4]) -> Result<CudaStorage> {
        let count = self.chunks * self.frames * self.bins;
        let mut energies = device::empty(gpu, count, DType::F32)?;
        let mut maxima = gpu.zeros_impl(&Shape::from(self.chunks), DType::U32)?;
        let narrow = self.dtype != DType::F32;
        let mut out = if narrow { Some(device::empty(gpu, count, self.dtype)?) } else { None };
        let storages = tensors.map(|tensor| tensor.storage_and_layout());
        let stream = gpu.cuda_stream();
        let mut buffers = device::Buffers::new(&stream);
        let inputs = buffers.read_all(&storages)?;
        let (target, maxima) = (buffers.fill(&mut energies)?, buffers.fill(&mut maxima)?);
        let result = match &mut out {
            Some(out) => buffers.fill(out)?,
            None => target,
        };
        let arguments = [inputs[0], inputs[1], inputs[2], inputs[3], target, maxima, result];
        for launch in self.launches(arguments)? {
            device::launch(gpu, &launch)?;
        }
        drop(buffers);
        Ok(out.unwrap_or(energies))
    }
}
