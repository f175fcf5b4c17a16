//! `kernels/cached_attention.cu`: attention of a few queries to the keys and values of their slots.

#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, Layout, Tensor};
use candle_core::{DType, Result};

#[cfg(feature = "cuda")]
use super::device;
use super::{Argument, Launch, int, suffix};

/// Elements of a head.
pub const SIZE: usize = 64;
/// Floats of a partial result: the weighted sum, the maximum, the sum of weights.
const PARTIAL: usize = SIZE + 2;
const THREADS: usize = 128;
/// Blocks that keep a large GPU busy: two for each of 132 multiprocessors.
const BUSY: usize = 264;
/// Keys of a split at least: fewer do not pay for putting splits together.
const SHORTEST_SPLIT: usize = 256;
/// Queries in a row of the batch at most; for more, matrix products are faster.
pub const MOST_QUERIES: usize = 8;

/// Queries (B, T, H*64) and caches (S, limit, H*64).
#[derive(Debug, Clone, Copy)]
pub struct CachedAttention {
    /// B.
    pub rows: usize,
    /// T.
    pub time: usize,
    /// H.
    pub heads: usize,
    /// Positions of a slot.
    pub limit: usize,
    /// Whether a query sees only what goes before it.
    pub causal: bool,
    /// Whether keys of a row may lie in other rows' slots.
    pub shared: bool,
    /// The type of all.
    pub dtype: DType,
}

impl CachedAttention {
    /// Between how many blocks the keys of one query and head are split. It depends on the cache and not on the lengths, so
    /// that every step of a batch has the same launches.
    pub fn splits(&self) -> usize {
        let blocks = (self.rows * self.time * self.heads).max(1);
        BUSY.div_ceil(blocks).clamp(1, (self.limit / SHORTEST_SPLIT).max(1))
    }

    /// Floats of partial results that the launches need beside the output; at least one.
    pub fn workspace(&self) -> usize {
        let splits = self.splits();
        if splits == 1 { 1 } else { self.rows * self.time * self.heads * splits * PARTIAL }
    }

    /// The launches: q, keys, values, slots (B, 2) of u32 (index, length), holders (B, limit) of u32 (the slot of each key;
    /// read where keys are `shared`), out (B, T, H*64), and the workspace of f32.
    ///
    /// # Errors
    /// For number types that no kernel reads.
    pub fn launches(
        &self,
        [q, keys, values, slots, holders, out, workspace]: [Argument; 7],
    ) -> Result<impl Iterator<Item = Launch>> {
        let (queries, splits, suffix) = (self.rows * self.time, self.splits(), suffix(self.dtype)?);
        let [causal, shared] = [self.causal, self.shared].map(|flag| Argument::I32(flag.into()));
        let (time, limit) = (int(self.time)?, int(self.limit)?);
        let attend = Launch {
            file: "cached_attention",
            kernel: format!("cached_attention_{suffix}"),
            grid: [queries, self.heads, splits],
            block: THREADS,
            shared: 0,
            arguments: vec![q, keys, values, slots, holders, out, workspace, time, limit, causal, shared],
        };
        let combine = Launch {
            file: "cached_attention",
            kernel: format!("combine_splits_{suffix}"),
            grid: [queries, self.heads, 1],
            block: SIZE,
            shared: 0,
            arguments: vec![workspace, out, int(splits)?],
        };
        Ok([attend].into_iter().chain((splits > 1).then_some(combine)))
    }
}

#[cfg(feature = "cuda")]
impl CachedAttention {
    /// Attends on the GPU: q, keys and values, and `slots` (B, 2) and `holders` (B, limit), which are there, too.
    pub(in crate::ops) fn run(
        &self,
        tensors: [(&CudaStorage, &Layout); 3],
        (slots, holders): (&Tensor, Option<&Tensor>),
    ) -> Result<CudaStorage> {
        // What is not read has an address, too.
        let (holders, holders_layout) = holders.unwrap_or(slots).storage_and_layout();
        let (slots, slots_layout) = slots.storage_and_layout();
        let gpu = tensors[0].0.device.clone();
        let mut out = device::empty(&gpu, self.rows * self.time * self.heads * SIZE, self.dtype)?;
        let mut workspace = device::empty(&gpu, self.workspace(), DType::F32)?;
        let stream = gpu.cuda_stream();
        let mut buffers = device::Buffers::new(&stream);
        let [(q, q_layout), (keys, keys_layout), (values, values_layout)] = tensors;
        let arguments = [
            buffers.read(q, q_layout)?,
            buffers.read(keys, keys_layout)?,
            buffers.read(values, values_layout)?,
            buffers.read(device::on_gpu(&slots)?, slots_layout)?,
            buffers.read(device::on_gpu(&holders)?, holders_layout)?,
            buffers.fill(&mut out)?,
            buffers.fill(&mut workspace)?,
        ];
        for launch in self.launches(arguments)? {
            device::launch(&gpu, &launch)?;
        }
        drop(buffers);
        Ok(out)
    }
}
