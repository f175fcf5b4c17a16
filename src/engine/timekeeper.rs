//! Gives the words of a recording their times, chunk by chunk, while the next ones are being written.

use std::{collections::BTreeMap, time::Instant};

use super::{aligners::Timing, batcher::Session};
use crate::{
    audio::Chunk,
    error::Result,
    progress::Watch,
    stages::{
        align::Emissions,
        ears::{Ears, Listen},
        utter,
        write::Written,
    },
};

/// Chunks that a request has listened to at a time.
const AHEAD: usize = 16;

/// Texts on their way to their times.
pub(super) struct Timekeeper<'a> {
    timing: &'a Timing,
    chunks: &'a [Chunk],
    session: Option<Session<Ears>>,
    /// Texts whose chunks are being listened to.
    waiting: BTreeMap<usize, Written>,
    ready: Vec<(usize, Written)>,
}

impl<'a> Timekeeper<'a> {
    pub(super) fn new(timing: &'a Timing, chunks: &'a [Chunk]) -> Self {
        Self { timing, chunks, session: None, waiting: BTreeMap::new(), ready: Vec::new() }
    }

    /// Takes the text of a chunk.
    pub(super) fn take(&mut self, chunk: usize, mut written: Written) {
        let language = written.language();
        let along = language.is_some_and(|language| self.timing.hears_along(language));
        match (language.filter(|_| written.untimed), written.emissions.take().filter(|_| along)) {
            (None, _) => self.ready.push((chunk, written)),
            (Some(_), Some(emissions)) => self.set(chunk, written, &emissions),
            (Some(language), None) => match self.timing.ear(language) {
                Some(ear) => {
                    let session = self.session.get_or_insert_with(|| ear.batcher.session(AHEAD));
                    session.submit(chunk, Listen { audio: self.chunks[chunk].audio.clone(), language });
                    self.waiting.insert(chunk, written);
                }
                None => self.give_up(chunk, written, "nothing listens to this language"),
            },
        }
    }

    /// The texts that have their times by now; with `all`, of every chunk that was taken.
    ///
    /// # Errors
    /// [`Error::Cancelled`] or [`Error::Deadline`].
    pub(super) fn ready(&mut self, all: bool, watch: &Watch) -> Result<Vec<(usize, Written)>> {
        while let Some(session) = self.session.as_mut().filter(|_| !self.waiting.is_empty()) {
            let Some((chunk, heard)) = session.poll(all, watch)? else { break };
            let Some(written) = self.waiting.remove(&chunk) else { continue };
            match heard {
                Ok(emissions) => self.set(chunk, written, &emissions),
                Err(error) => self.give_up(chunk, written, &error.to_string()),
            }
        }
        Ok(std::mem::take(&mut self.ready))
    }

    fn set(&mut self, chunk: usize, mut written: Written, emissions: &Emissions) {
        let started = Instant::now();
        for utterance in &mut written.utterances {
            if let Some(hearing) = self.timing.hearing(utterance.language) {
                written.warnings.extend(utter::set_times(utterance, emissions, &hearing, &self.chunks[chunk]));
            }
        }
        written.align_time += started.elapsed();
        self.ready.push((chunk, written));
    }

    /// Words without better times are spread over their chunk's speech.
    fn give_up(&mut self, chunk: usize, mut written: Written, reason: &str) {
        for utterance in &mut written.utterances {
            utter::guess_times(utterance, &self.chunks[chunk]);
        }
        let span = self.chunks[chunk].span();
        written.warnings.push(format!("{:.2}-{:.2} s: word times are guesses ({reason})", span.start, span.end));
        self.ready.push((chunk, written));
    }
}
