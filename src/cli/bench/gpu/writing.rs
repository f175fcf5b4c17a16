//! Rows that write their texts as they do in a service: one step after the other, in a batch of the decoder.

use std::sync::Arc;

use palabra::{
    Result,
    audio::Chunk,
    language::Language,
    stages::{
        batch::{Batch, ChunkKey},
        row::{Row, Seat},
        script::Script,
        transcribe::{TranscribeOptions, Transcriber},
    },
};

use super::input::Input;

/// A batch whose slots hear the chunks of an input, and a row for each.
pub struct Writing {
    batch: Batch,
    rows: Vec<Row>,
    /// `<|endoftext|>`.
    end: u32,
    /// Rows that have written it.
    finished: Vec<bool>,
}

impl Writing {
    /// Encodes the chunks.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(transcriber: &Arc<Transcriber>, input: &Input, rows: usize) -> Result<Self> {
        let mut batch = Batch::new(transcriber.clone(), rows)?;
        let chunks: Vec<Chunk> = (0..rows).map(|index| input.chunk(index)).collect();
        let places: Vec<_> =
            chunks.iter().enumerate().map(|(slot, chunk)| (slot, ChunkKey::new(0, slot), chunk)).collect();
        batch.listen(&places)?;
        let rows: Vec<Row> = (0..rows).map(|index| row(transcriber, input, index)).collect::<Result<_>>()?;
        Ok(Self { batch, finished: vec![false; rows.len()], rows, end: transcriber.tokenizer().end() })
    }

    /// Each row forgets its text and writes its first token.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn begin(&mut self) -> Result<()> {
        self.rows.iter_mut().for_each(Row::clear);
        self.finished = self.batch.begin(&mut self.rows.iter_mut().collect::<Vec<_>>())?;
        Ok(())
    }

    /// Each row writes a further token, whether or not its text is finished; false when all are.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn step(&mut self) -> Result<bool> {
        let now = self.batch.step(&mut self.rows.iter_mut().collect::<Vec<_>>())?;
        self.finished.iter_mut().zip(now).for_each(|(finished, now)| *finished |= now);
        Ok(!self.finished.iter().all(|finished| *finished))
    }

    /// What the first row has written, with the end where it came to that.
    pub fn text(&self) -> Vec<u32> {
        let end = self.finished.first().copied().unwrap_or(false).then_some(self.end);
        self.rows.first().map(Row::tokens).unwrap_or_default().into_iter().chain(end).collect()
    }
}

/// A row for a chunk of the input, in the slot of the same number, that writes English greedily and without times.
///
/// # Errors
/// When the checkpoint cannot write so.
pub fn row(transcriber: &Transcriber, input: &Input, index: usize) -> Result<Row> {
    let script = Script::new(transcriber, &TranscribeOptions::default())?;
    Ok(Row::new(input.chunk(index), script, index, Seat::single(index), Language::ENGLISH))
}
