//! The chunks of one recording: all there from the start, or found while those before them are being transcribed.

use std::time::{Duration, Instant};

use crate::{
    audio::{Audio, Chunk},
    error::Result,
    progress::{StageName, Watch},
    span::seconds_of,
    stages::find::ChunkFinder,
};

/// Chunks in order of time, and what finds the next ones.
pub(super) struct Incoming {
    chunks: Vec<Chunk>,
    /// Gone when all chunks are there.
    search: Option<(Audio, ChunkFinder)>,
    /// What the search has taken.
    searched: Duration,
}

impl Incoming {
    /// Chunks that are all there.
    pub(super) fn complete(chunks: Vec<Chunk>) -> Self {
        Self { chunks, search: None, searched: Duration::ZERO }
    }

    /// Those that a finder will find in a recording.
    pub(super) fn found_by(finder: ChunkFinder, audio: Audio) -> Self {
        Self { chunks: Vec::new(), search: Some((audio, finder)), searched: Duration::ZERO }
    }

    /// Those that are there by now.
    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The first `count` chunks, or all where there are fewer.
    ///
    /// # Errors
    /// As [`Incoming::advance`].
    pub(super) fn wait_for(&mut self, count: usize, watch: &Watch) -> Result<&[Chunk]> {
        while self.chunks.len() < count && !self.is_complete() {
            self.advance(watch)?;
        }
        Ok(&self.chunks[..count.min(self.chunks.len())])
    }

    /// Whether all chunks are there.
    pub(super) fn is_complete(&self) -> bool {
        self.search.is_none()
    }

    /// Seconds that the search has taken.
    pub(super) fn searched(&self) -> Duration {
        self.searched
    }

    /// Listens to some more seconds of the recording. They are heard in the pool of threads that all operations share: this
    /// goes on beside the transcriber, and more threads than were asked for would only disturb each other.
    ///
    /// # Errors
    /// When a tensor operation fails, [`Error::Cancelled`](crate::Error::Cancelled) or
    /// [`Error::Deadline`](crate::Error::Deadline).
    pub(super) fn advance(&mut self, watch: &Watch) -> Result<()> {
        let Some((audio, finder)) = &mut self.search else { return Ok(()) };
        let started = Instant::now();
        let known = rayon::scope(|_| finder.advance(audio.samples(), true))?;
        self.searched += started.elapsed();
        watch.step(StageName::Vad, seconds_of(finder.heard()), audio.duration())?;
        match known {
            Some(layouts) => self.chunks.extend(layouts.iter().map(|layout| layout.of(audio))),
            None => self.search = None,
        }
        Ok(())
    }
}
