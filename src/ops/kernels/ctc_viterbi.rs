//! `kernels/ctc_viterbi.cu`: the best paths of chains through what a network heard.

use candle_core::Result;
#[cfg(feature = "cuda")]
use candle_core::{CudaDevice, CudaStorage, DType, Tensor};

#[cfg(feature = "cuda")]
use super::device;
use super::{Argument, Launch, int};

/// Words that describe a chain: where its emission begins, columns, frames, tokens, and where its places, its path and its
/// steps begin.
pub const CHAIN_WORDS: usize = 7;
/// Words that describe a place: the columns of token and gap, whether the gap may be passed over, the token's first frame and
/// the one behind its last.
pub const PLACE_WORDS: usize = 5;
/// Bytes of the scores of a place: token and gap, of two frames.
const SCORE_BYTES: usize = 4 * size_of::<f64>();
/// Dynamic shared memory at most; 4 KiB of a fixed size come to it.
const MOST_SHARED: usize = 40 * 1024;
const MOST_THREADS: usize = 512;

/// A batch of chains.
#[derive(Debug, Clone, Copy)]
pub struct CtcViterbi {
    /// How many.
    pub chains: usize,
    /// The most places of any: its tokens and one more.
    pub places: usize,
    /// The most places that can be heard in one frame.
    pub widest: usize,
}

impl CtcViterbi {
    /// Whether scores lie in shared memory.
    pub fn in_shared(&self) -> bool {
        self.places * SCORE_BYTES <= MOST_SHARED
    }

    /// Numbers (f64) of scores that lie outside of shared memory; at least one.
    pub fn scratch(&self) -> usize {
        if self.in_shared() { 1 } else { self.chains * 4 * self.places }
    }

    /// The launch: emissions, places (.., 5) of u32, chains (B, 7) of u32, steps of u8, scratch of f64, paths of u32, and the
    /// scores (B) of f64.
    ///
    /// # Errors
    /// For more elements than a kernel counts.
    pub fn launch(&self, [emissions, places, chains, steps, scratch, paths, scores]: [Argument; 7]) -> Result<Launch> {
        let in_shared = self.in_shared();
        Ok(Launch {
            file: "ctc_viterbi",
            kernel: "ctc_viterbi".into(),
            grid: [self.chains, 1, 1],
            block: self.widest.next_multiple_of(32).clamp(32, MOST_THREADS),
            shared: if in_shared { self.places * SCORE_BYTES } else { 0 },
            arguments: vec![
                emissions,
                places,
                chains,
                steps,
                scratch,
                paths,
                scores,
                Argument::I32(in_shared.into()),
                int(self.places)?,
            ],
        })
    }
}

#[cfg(feature = "cuda")]
impl CtcViterbi {
    /// Searches on the GPU, in emissions, places and chains that are there: the paths of `frames` frames in all, and scores.
    pub(in crate::ops) fn run(
        &self,
        gpu: &CudaDevice,
        tensors: [&Tensor; 3],
        (steps, frames): (usize, usize),
    ) -> Result<(CudaStorage, CudaStorage)> {
        let mut steps = device::empty(gpu, steps, DType::U8)?;
        let mut scratch = device::empty(gpu, self.scratch(), DType::F64)?;
        let mut paths = device::empty(gpu, frames, DType::U32)?;
        let mut scores = device::empty(gpu, self.chains, DType::F64)?;
        let storages = tensors.map(|tensor| tensor.storage_and_layout());
        let stream = gpu.cuda_stream();
        let mut buffers = device::Buffers::new(&stream);
        let inputs = buffers.read_all(&storages)?;
        let (steps, scratch) = (buffers.fill(&mut steps)?, buffers.fill(&mut scratch)?);
        let results = (buffers.fill(&mut paths)?, buffers.fill(&mut scores)?);
        let arguments = [inputs[0], inputs[1], inputs[2], steps, scratch, results.0, results.1];
        device::launch(gpu, &self.launch(arguments)?)?;
        drop(buffers);
        Ok((paths, scores))
    }
}
