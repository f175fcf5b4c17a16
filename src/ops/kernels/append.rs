//! `kernels/append.cu`: new keys or values go to their places in a cache.

#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, Layout, Tensor};
use candle_core::{DType, Result};

#[cfg(feature = "cuda")]
use super::device;
use super::{Argument, Launch, int, suffix};

/// What is appended: x (B, T, C) to a cache (S, limit, C).
#[derive(Debug, Clone, Copy)]
pub struct Append {
    /// B.
    pub rows: usize,
    /// T: new vectors of each row.
    pub time: usize,
    /// C.
    pub channels: usize,
    /// Positions of a slot.
    pub limit: usize,
    /// The type of x.
    pub dtype: DType,
    /// The type of the cache: that of x, or any where x is f32.
    pub cache_dtype: DType,
}

impl Append {
    /// The launch: x, the cache, and slots (B, 2) of u32 (index, length with the new vectors).
    ///
    /// # Errors
    /// For number types that no kernel reads.
    pub fn launch(&self, x: Argument, cache: Argument, slots: Argument) -> Result<Launch> {
        Ok(Launch {
            file: "append",
            kernel: format!("append_{}_{}", suffix(self.dtype)?, suffix(self.cache_dtype)?),
            grid: [self.rows * self.time, 1, 1],
            block: self.channels.next_multiple_of(32).min(256),
            shared: 0,
            arguments: vec![x, cache, slots, int(self.time)?, int(self.channels)?, int(self.limit)?],
        })
    }
}

#[cfg(feature = "cuda")]
impl Append {
    /// Appends on the GPU; `slots` (B, 2) is there, too.
    pub(in crate::ops) fn run(
        &self,
        (cache, cache_layout): (&mut CudaStorage, &Layout),
        (x, layout): (&CudaStorage, &Layout),
        slots: &Tensor,
    ) -> Result<()> {
        let (slots, slots_layout) = slots.storage_and_layout();
        let gpu = x.device.clone();
        let stream = gpu.cuda_stream();
        let mut buffers = device::Buffers::new(&stream);
        let x = buffers.read(x, layout)?;
        let slots = buffers.read(device::on_gpu(&slots)?, slots_layout)?;
        let cache = buffers.write(cache, cache_layout)?;
        device::launch(&gpu, &self.launch(x, cache, slots)?)
    }
}
