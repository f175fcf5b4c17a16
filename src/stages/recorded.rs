//! Decoding steps that a GPU has recorded: the step of a batch of B rows has the same launches whatever the rows hold, so one
//! that comes up often is replayed as one launch.

use std::collections::HashMap;

use candle_core::{DType, Tensor};

use super::transcribe::Transcriber;
use crate::{
    error::Result,
    models::whisper::KvCache,
    ops::{
        Choice, Chosen,
        choose_token::{choose_on_device, chosen_tokens},
        graph::{self, Graph},
        kernels::choose_token::{CHOICE_WORDS, CHOSEN_NUMBERS},
    },
};

/// Steps of a size before it is worth recording, which takes about as long as some steps: while a recording ends, sizes pass by.
const STEPS_BEFORE: usize = 8;

/// The steps of one batch, by their number of rows. They hold the addresses of its caches.
#[derive(Default)]
pub(super) struct Recorded {
    sizes: HashMap<usize, Size>,
    /// Whether a step could not be recorded.
    impossible: bool,
}

enum Size {
    Seen(usize),
    Ready(Box<Step>),
}

struct Step {
    /// What the step reads: the decoder's words, and the choices.
    words: Tensor,
    /// (B, 3): what was chosen.
    chosen: Tensor,
    graph: Graph,
}

impl Recorded {
    /// Feeds one token to each of the `texts` and chooses the next ones. `None` where the step is to be launched as it is.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub(super) fn step(
        &mut self,
        transcriber: &Transcriber,
        cache: &mut KvCache,
        (tokens, texts): (&[u32], &[usize]),
        choices: &[Choice],
    ) -> Result<Option<Vec<Chosen>>> {
        let device = &transcriber.compute().device;
        if self.impossible || !device.is_cuda() {
            return Ok(None);
        }
        let size = self.sizes.entry(texts.len()).or_insert(Size::Seen(0));
        if let Size::Seen(times) = size
            && *times < STEPS_BEFORE
        {
            *times += 1;
            return Ok(None);
        }
        let decoder = &transcriber.whisper().decoder;
        let plan = decoder.plan(tokens, texts, cache)?;
        if plan.is_shared() {
            return Ok(None);
        }
        let (planned, rows) = (plan.words().len(), texts.len());
        let words: Vec<u32> =
            plan.words().iter().copied().chain(choices.iter().flat_map(|choice| choice.words())).collect();
        let chosen = match size {
            Size::Ready(step) => {
                graph::overwrite(&step.words, &words)?;
                step.graph.replay()?;
                chosen_tokens(&step.chosen)?
            }
            Size::Seen(_) => {
                let words = Tensor::new(words, device)?;
                let chosen = Tensor::zeros((rows, CHOSEN_NUMBERS), DType::F32, device)?;
                let asked = words.narrow(0, planned, rows * CHOICE_WORDS)?.reshape((rows, CHOICE_WORDS))?;
                let recorded = graph::record(device, || {
                    let states = decoder.forward_at(plan.clone(), &words, cache)?; // (B, 1, d_model)
                    let logits = decoder.logits(&states.squeeze(1)?)?;
                    chosen.slice_set(&choose_on_device(&logits, transcriber.masks(), choices, &asked)?, 0, 0)
                })?;
                let answer = chosen_tokens(&chosen)?;
                match recorded {
                    Some(graph) => *size = Size::Ready(Box::new(Step { words, chosen, graph })),
                    None => self.impossible = true,
                }
                answer
            }
        };
        cache.advance(texts, 1);
        Ok(Some(chosen))
    }

    /// Forgets every step: the caches that they read are about to move.
    pub(super) fn clear(&mut self) {
        self.sizes.clear();
    }
}
