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
    session: Option<Session<Ears>>,
    /// Texts whose chunks are being listened to.
    waiting: BTreeMap<usize, (Chunk, Written)>,
    ready: Vec<(usize, Written)>,
}

impl<'a> Timekeeper<'a> {
    pub(super) fn new(timing: &'a Timing) -> Self {
        Self { timing, session: None, waiting: BTreeMap::new(), ready: Vec::new() }
    }

    /// Takes the text of a chunk, the one of this `number`.
    pub(super) fn take(&mut self, number: usize, chunk: Chunk, mut written: Written) {
        let language = written.language();
        let along = language.is_some_and(|language| self.timing.hears_along(language));
        match (language.filter(|_| written.untimed), written.emissions.take().filter(|_| along)) {
            (None, _) => self.ready.push((number, written)),
            (Some(_), Some(emissions)) => self.set(number, &chunk, written, &emissions),
            (Some(language), None) => match self.timing.ear(language) {
                Some(ear) => {
                    let session = self.session.get_or_insert_with(|| ear.batcher.session(AHEAD));
                    session.submit(number, Listen { audio: chunk.audio.clone(), language });
                    self.waiting.insert(number, (chunk, written));
                }
                None => self.give_up(number, &chunk, written, "nothing listens to this language"),
            },
        }
    }

    /// The texts that have their times by now; with `all`, of every chunk that was taken.
    ///
    /// # Errors
    /// [`Error::Cancelled`] or [`Error::Deadline`].
    pub(super) fn ready(&mut self, all: bool, watch: &Watch) -> Result<Vec<(usize, Written)>> {
        while let Some(session) = self.session.as_mut().filter(|_| !self.waiting.is_empty()) {
            let Some((number, heard)) = session.poll(all, watch)? else { break };
            let Some((chunk, written)) = self.waiting.remove(&number) else { continue };
            match heard {
                Ok(emissions) => self.set(number, &chunk, written, &emissions),
                Err(error) => self.give_up(number, &chunk, written, &error.to_string()),
            }
        }
        Ok(std::mem::take(&mut self.ready))
    }

    fn set(&mut self, number: usize, chunk: &Chunk, mut written: Written, emissions: &Emissions) {
        let started = Instant::now();
        for utterance in &mut written.utterances {
            if let Some(hearing) = self.timing.hearing(utterance.language) {
                written.warnings.extend(utter::set_times(utterance, emissions, &hearing, chunk));
            }
        }
        written.align_time += started.elapsed();
        self.ready.push((number, written));
    }

    /// Words without better times are spread over their chunk's speech.
    fn give_up(&mut self, number: usize, chunk: &Chunk, mut written: Written, reason: &str) {
        for utterance in &mut written.utterances {
            utter::guess_times(utterance, chunk);
        }
        let span = chunk.span();
        written.warnings.push(format!("{:.2}-{:.2} s: word times are guesses ({reason})", span.start, span.end));
        self.ready.push((number, written));
    }
}
