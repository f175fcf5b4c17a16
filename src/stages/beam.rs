//! Beam search: of the texts that a chunk may hold, some are followed side by side, and of those that came to an end the likeliest
//! for its length is kept (openai/whisper, `decoding.py`: `BeamSearchDecoder` and `MaximumLikelihoodRanker`; patience:
//! Kasai et al. 2022, arXiv:2204.05424; length penalty: Wu et al. 2016, arXiv:1609.08144).
//!
//! A search of size 1 is greedy decoding: one text, which takes what is chosen for it.

use std::ops::RangeInclusive;

use crate::{
    error::{Error, Result},
    ops::Chosen,
};

/// Texts that one chunk may be followed with.
pub const LARGEST_BEAM: usize = 16;

/// Patience that changes anything.
pub const PATIENCE: RangeInclusive<f32> = 0.1..=10.0;
/// From no penalty to one that grows with the length.
pub const LENGTH_PENALTY: RangeInclusive<f32> = 0.0..=1.0;

/// How a chunk is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beam {
    /// Texts that are followed side by side; one is greedy decoding.
    pub size: usize,
    /// The search ends when `size * patience` texts, rounded, have ended; in [`PATIENCE`].
    pub patience: f32,
    /// The exponent a of the length penalty `((5 + tokens) / 6)^a` by which a text's log-probability is divided, in
    /// [`LENGTH_PENALTY`]; `None` divides by the number of tokens.
    pub length_penalty: Option<f32>,
}

impl Default for Beam {
    fn default() -> Self {
        Self { size: 1, patience: 1.0, length_penalty: None }
    }
}

impl Beam {
    /// Checks the numbers, and that none is given that a search of this size has no use for.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option and the remedy.
    pub fn validate(&self) -> Result<()> {
        if !(1..=LARGEST_BEAM).contains(&self.size) {
            return Err(Error::Request(format!("--beam-size must lie between 1 and {LARGEST_BEAM}")));
        }
        if !PATIENCE.contains(&self.patience) {
            return Err(Error::Request("--patience must lie between 0.1 and 10; 1 is the usual one".into()));
        }
        if self.length_penalty.is_some_and(|exponent| !LENGTH_PENALTY.contains(&exponent)) {
            return Err(Error::Request("--length-penalty must lie between 0 and 1".into()));
        }
        match self.unused() {
            Some(option) => Err(Error::Request(format!(
                "--{} is about beam search; give a --beam-size above 1 with it",
                option.replace('_', "-")
            ))),
            None => Ok(()),
        }
    }

    /// The option that a search of one text would ignore.
    pub fn unused(&self) -> Option<&'static str> {
        let given = [("patience", self.patience != 1.0), ("length_penalty", self.length_penalty.is_some())];
        given.into_iter().find(|(_, given)| *given && self.size == 1).map(|(name, _)| name)
    }

    /// The same search of a single text.
    pub(super) fn single(self) -> Self {
        Self { size: 1, ..self }
    }

    /// Texts that must have ended.
    fn enough(&self) -> usize {
        match self.size {
            1 => 1,
            size => ((size as f32 * self.patience).round() as usize).max(1),
        }
    }

    /// What texts are compared by.
    fn score(&self, sum: f32, tokens: usize) -> f32 {
        let length = tokens.max(1) as f32;
        sum / self.length_penalty.map_or(length, |exponent| ((5.0 + length) / 6.0).powf(exponent))
    }
}

/// What has been written of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    /// Tokens after the prompt.
    pub tokens: Vec<u32>,
    /// The log-probability of each.
    pub logprobs: Vec<f32>,
    /// That of the end, where it was written; else 0.
    pub end_logprob: f32,
    /// The length of the cycle that it ended in, when it was stopped for looping.
    pub cycle: Option<usize>,
    /// The sum of `logprobs`.
    sum: f32,
}

impl Text {
    fn with(&self, chosen: &Chosen) -> Self {
        let mut text = self.clone();
        text.tokens.push(chosen.token);
        text.logprobs.push(chosen.logprob);
        text.sum += chosen.logprob;
        text
    }
}

/// When a text ends.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// `<|endoftext|>`.
    pub token: u32,
    /// Tokens that a text may have.
    pub limit: usize,
    /// Tells the length of the cycle in which tokens end, if they do.
    pub cycle: fn(&[u32]) -> Option<usize>,
}

/// The texts of a chunk that are followed, and those that have ended.
#[derive(Debug)]
pub struct Search {
    beam: Beam,
    ends: Ends,
    live: Vec<Text>,
    ended: Vec<Text>,
    over: bool,
}

impl Search {
    /// A search that has written nothing.
    pub fn new(beam: Beam, ends: Ends) -> Self {
        Self { beam, ends, live: vec![Text::default()], ended: Vec::new(), over: false }
    }

    /// The texts that go on, equally long; those that went on last where the search is over.
    pub fn live(&self) -> &[Text] {
        &self.live
    }

    /// Whether it has found all it will.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// How many candidates each text that goes on wants: with one more than texts are followed, the end may be among them.
    pub fn wanted(&self) -> usize {
        if self.beam.size == 1 { 1 } else { self.beam.size + 1 }
    }

    /// Goes on with the best of all candidates, which are those of the live texts in order, the likeliest first. What comes
    /// back are the places, among the texts that were live before, that those live now go on from.
    pub fn advance(&mut self, candidates: &[Vec<Chosen>]) -> Vec<usize> {
        let (size, enough) = (self.beam.size, self.beam.enough());
        let mut next: Vec<(usize, Text)> = Vec::with_capacity(size);
        for (parent, chosen) in self.ranked(candidates) {
            let text = &self.live[parent];
            if next.len() == size {
                break;
            } else if chosen.token != self.ends.token {
                next.push((parent, text.with(chosen)));
            } else if self.ended.len() < enough {
                self.ended.push(Text { end_logprob: chosen.logprob, ..text.clone() });
            }
        }
        let checked = next.into_iter().map(|(parent, text)| (parent, Text { cycle: self.cycle(&text.tokens), ..text }));
        let (looping, next): (Vec<_>, Vec<_>) = checked.partition(|(_, text)| text.cycle.is_some());
        let room = enough.saturating_sub(self.ended.len());
        self.ended.extend(looping.into_iter().map(|(_, text)| text).take(room));
        self.over |= next.is_empty() || self.ended.len() >= enough;
        if next.is_empty() {
            return (0..self.live.len()).collect();
        }
        let (parents, live) = next.into_iter().unzip();
        self.live = live;
        self.over |= self.at_limit();
        parents
    }

    /// All candidates with the places of their texts, the likeliest text first; of equals the earlier text and the lower token.
    fn ranked<'a>(&self, candidates: &'a [Vec<Chosen>]) -> Vec<(usize, &'a Chosen)> {
        let all = candidates.iter().take(self.live.len()).enumerate();
        let mut all: Vec<(usize, &Chosen)> =
            all.flat_map(|(parent, own)| own.iter().map(move |chosen| (parent, chosen))).collect();
        let sum = |&(parent, chosen): &(usize, &Chosen)| self.live[parent].sum + chosen.logprob;
        all.sort_by(|a, b| sum(b).total_cmp(&sum(a)));
        all
    }

    fn cycle(&self, tokens: &[u32]) -> Option<usize> {
        tokens.len().is_multiple_of(CYCLE_CHECK).then(|| (self.ends.cycle)(tokens)).flatten()
    }

    /// The text to keep: the best of those that have ended, without a loop where there is one. At the limit, texts that go on
    /// compete while fewer have ended than are followed.
    pub fn best(&self) -> Text {
        let mut texts: Vec<&Text> = self.ended.iter().collect();
        if self.at_limit() || texts.is_empty() {
            let room = self.beam.size.saturating_sub(texts.len());
            texts.extend(self.live.iter().take(room.max(usize::from(texts.is_empty()))));
        }
        let score = |text: &Text| self.beam.score(text.sum + text.end_logprob, text.tokens.len());
        let key = |text: &Text| (text.cycle.is_none(), score(text));
        let better = |a: (bool, f32), b: (bool, f32)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).is_gt();
        let best = texts.into_iter().reduce(|best, text| if better(key(text), key(best)) { text } else { best });
        best.cloned().unwrap_or_default()
    }

    fn at_limit(&self) -> bool {
        self.live.first().is_some_and(|text| text.tokens.len() >= self.ends.limit)
    }
}

/// How often the search for cycles runs, in tokens.
const CYCLE_CHECK: usize = 8;

#[cfg(test)]
#[path = "beam_tests.rs"]
mod tests;
