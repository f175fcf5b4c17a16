//! From audio to chunks step by step: the first chunks of a recording are known, and can be transcribed, while the rest of it
//! is still being heard. What comes out is what [`vad::detect`](super::vad::detect) and
//! [`chunk::chunks`](super::chunk::chunks) give for all of it.

use std::sync::Arc;

use super::{
    chunk::{ChunkOptions, Chunker, Layout},
    vad::{SpeechFinder, VadOptions},
};
use crate::{
    error::Result,
    models::silero::{Listening, Silero},
    ops::profile,
};

/// Finds the chunks of one recording with Silero VAD.
pub struct ChunkFinder {
    model: Arc<Silero>,
    listening: Listening,
    /// Of the windows heard so far.
    probabilities: Vec<f32>,
    /// Gone when all chunks have been given.
    open: Option<(SpeechFinder, Chunker)>,
}

impl ChunkFinder {
    /// Nothing has been heard yet.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) for options that cannot be.
    pub fn new(model: Arc<Silero>, speech: &VadOptions, chunks: &ChunkOptions) -> Result<Self> {
        speech.validate()?;
        let open = Some((SpeechFinder::new(speech), Chunker::new(chunks)?));
        Ok(Self { model, listening: Listening::default(), probabilities: Vec::new(), open })
    }

    /// Hears the next seconds of a recording, of which `samples` are there so far, and gives the chunks that are known by them.
    /// `None` when there is nothing to hear before more samples come; where they have `ended`, all chunks have been given
    /// then.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn advance(&mut self, samples: &[f32], ended: bool) -> Result<Option<Vec<Layout>>> {
        let _stage = profile::stage(profile::Stage::VoiceDetection);
        let Some((speech, chunker)) = &mut self.open else { return Ok(None) };
        let new = self.model.hear(&mut self.listening, samples, ended)?;
        self.probabilities.extend_from_slice(&new);
        let mut known = Vec::new();
        for stretch in new.iter().filter_map(|&likely| speech.push(likely)) {
            chunker.push(stretch, &self.probabilities, &mut known);
        }
        if new.is_empty() {
            let Some((speech, mut chunker)) = self.open.take_if(|_| ended) else { return Ok(None) };
            for stretch in speech.finish(samples.len()) {
                chunker.push(stretch, &self.probabilities, &mut known);
            }
            known.extend(chunker.finish(samples.len()));
        }
        Ok(Some(known))
    }

    /// Samples that have been heard.
    pub fn heard(&self) -> usize {
        self.listening.heard()
    }
}
