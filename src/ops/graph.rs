//! Work on a GPU that is recorded once and replayed: one launch in place of hundreds, which take the processor longer than a
//! small step takes the GPU (CUDA programming guide, "CUDA Graphs").
//!
//! A recording holds addresses: what it reads and writes must stay where it is, and only what the buffers hold changes.

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Result, Tensor, bail};
#[cfg(feature = "cuda")]
use candle_core::{
    CudaDevice, CudaStorage,
    cuda::{
        CudaStorageSlice, WrapErr,
        cudarc::driver::{
            CudaGraph,
            sys::{CUgraphInstantiate_flags, CUstreamCaptureMode},
        },
    },
};

/// Recorded work.
#[cfg(feature = "cuda")]
pub struct Graph(CudaGraph);

/// Recorded work; without the feature `cuda` there is none.
#[cfg(not(feature = "cuda"))]
pub enum Graph {}

// SAFETY: the driver's graph may be used by any thread, by one at a time; nothing here lends it out by shared reference to
// two threads, since it is not `Sync`.
#[cfg(feature = "cuda")]
unsafe impl Send for Graph {}

impl Graph {
    /// Does the work again, with what the buffers hold now.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn replay(&self) -> Result<()> {
        #[cfg(feature = "cuda")]
        return self.0.launch().w();
        #[cfg(not(feature = "cuda"))]
        match *self {}
    }
}

/// Does `work`, and records it where the device can. The work must not wait for the GPU, and must keep every result that is
/// wanted in a tensor that was there before.
///
/// # Errors
/// Those of the work. When it was done and cannot be recorded, a warning says so, and there is no graph.
pub fn record(device: &Device, mut work: impl FnMut() -> Result<()>) -> Result<Option<Graph>> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        // Candle sends shapes to the GPU along with the work; what it has sent once is found there again.
        let _kept = device.enable_cuda_graph_htod_cache();
        work()?;
        return Ok(capture(device, work)
            .inspect_err(|reason| {
                let reason = crate::error::sentence(reason);
                tracing::warn!(%reason, "steps cannot be recorded on this GPU; they are launched one kernel at a time");
            })
            .ok());
    }
    let _ = device;
    work().map(|()| None)
}

#[cfg(feature = "cuda")]
fn capture(device: &CudaDevice, mut work: impl FnMut() -> Result<()>) -> Result<Graph> {
    let stream = device.cuda_stream();
    // Other threads may go on with what a capture forbids.
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).w()?;
    let outcome = work();
    // A capture ends whatever has become of it: until then the stream does nothing.
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).w();
    outcome?;
    match graph? {
        Some(graph) => Ok(Graph(graph)),
        None => bail!("nothing was recorded"),
    }
}

/// Puts `words` into a tensor of as many u32 where it is, so that recorded work reads them.
///
/// # Errors
/// When the tensor has another type or size.
pub fn overwrite(tensor: &Tensor, words: &[u32]) -> Result<()> {
    if tensor.elem_count() != words.len() {
        bail!("{} words do not fit a tensor {:?}", words.len(), tensor.dims());
    }
    tensor.inplace_op1(&Overwrite { words })
}

struct Overwrite<'a> {
    words: &'a [u32],
}

impl InplaceOp1 for Overwrite<'_> {
    fn name(&self) -> &'static str {
        "overwrite"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::U32(target), Some((start, end))) => {
                target[start..end].copy_from_slice(self.words);
                Ok(())
            }
            _ => bail!("overwrite: the tensor must be u32 and contiguous"),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> Result<()> {
        let device = storage.device.clone();
        match (&mut storage.slice, layout.contiguous_offsets()) {
            (CudaStorageSlice::U32(target), Some((start, end))) => {
                device.memcpy_htod(self.words, &mut target.slice_mut(start..end))
            }
            _ => bail!("overwrite: the tensor must be u32 and contiguous"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_land_where_the_tensor_is() -> Result<()> {
        let whole = Tensor::zeros(6, candle_core::DType::U32, &Device::Cpu)?;
        let part = whole.narrow(0, 2, 3)?;
        overwrite(&part, &[7, 8, 9])?;
        assert_eq!(whole.to_vec1::<u32>()?, [0, 0, 7, 8, 9, 0]);
        assert!(overwrite(&part, &[1]).is_err());
        assert!(overwrite(&Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu)?, &[1]).is_err());
        Ok(())
    }

    #[test]
    fn the_cpu_works_and_records_nothing() -> Result<()> {
        let mut times = 0;
        let graph = record(&Device::Cpu, || {
            times += 1;
            Ok(())
        })?;
        assert!(graph.is_none());
        assert_eq!(times, 1);
        Ok(())
    }
}
