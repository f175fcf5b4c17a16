//! `kernels/choose_token.cu`: the next token of every text.

#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, Layout};
use candle_core::{DType, Result};

#[cfg(feature = "cuda")]
use super::device;
use super::{Argument, Launch, int, suffix};

const THREADS: usize = 512;
/// Words that describe a choice.
pub const CHOICE_WORDS: usize = 8;
/// Numbers of a result: the token, its log-probability, and that of the watched token.
pub const CHOSEN_NUMBERS: usize = 3;

/// Logits (N, V).
#[derive(Debug, Clone, Copy)]
pub struct ChooseToken {
    /// N.
    pub rows: usize,
    /// V.
    pub vocabulary: usize,
    /// The type of the logits.
    pub dtype: DType,
}

impl ChooseToken {
    /// The launch: logits, masks (V) of u8, choices (N, 8) of u32, and the chosen (N, 3) of f32.
    ///
    /// # Errors
    /// For number types that no kernel reads.
    pub fn launch(&self, logits: Argument, masks: Argument, choices: Argument, chosen: Argument) -> Result<Launch> {
        Ok(Launch {
            file: "choose_token",
            kernel: format!("choose_token_{}", suffix(self.dtype)?),
            grid: [self.rows, 1, 1],
            block: THREADS,
            shared: 0,
            arguments: vec![logits, masks, choices, chosen, int(self.vocabulary)?],
        })
    }
}

#[cfg(feature = "cuda")]
impl ChooseToken {
    /// Chooses on the GPU: logits, masks and choices there, the chosen (N, 3) there.
    pub(in crate::ops) fn run(&self, tensors: [(&CudaStorage, &Layout); 3]) -> Result<CudaStorage> {
        let gpu = tensors[0].0.device.clone();
        let mut chosen = device::empty(&gpu, self.rows * CHOSEN_NUMBERS, DType::F32)?;
        let stream = gpu.cuda_stream();
        let mut buffers = device::Buffers::new(&stream);
        let [logits, masks, choices] = tensors.map(|(storage, layout)| buffers.read(storage, layout));
        let launch = self.launch(logits?, masks?, choices?, buffers.fill(&mut chosen)?)?;
        device::launch(&gpu, &launch)?;
        drop(buffers);
        Ok(chosen)
    }
}
