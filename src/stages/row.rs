//! One row of a decoding batch: what has been written so far for one chunk, and whether to believe it.

use std::{io::Write, sync::Arc};

use flate2::{Compression, write::ZlibEncoder};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{
    beam::{Beam, Ends, Search},
    script::Script,
};
use crate::{
    audio::Chunk,
    error::{Error, Result},
    language::Language,
    models::whisper::{Tokenizer, tokenizer::TIMESTAMP_STEP},
    ops::{Choice, Chosen},
    transcript::Token,
};

/// When a decoding is not believed (openai/whisper, `transcribe.py`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gates {
    /// Text that compresses better than this repeats itself.
    pub compression_ratio: Option<f32>,
    /// A mean log-probability below this is a guess.
    pub logprob: Option<f32>,
    /// A guess where `<|nospeech|>` is likelier than this is silence.
    pub no_speech: Option<f32>,
}

impl Default for Gates {
    fn default() -> Self {
        Self { compression_ratio: Some(2.4), logprob: Some(-1.0), no_speech: Some(0.6) }
    }
}

impl Gates {
    /// Checks that each limit is a number in its range.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option.
    pub fn validate(&self) -> Result<()> {
        let Self { compression_ratio, logprob, no_speech } = *self;
        if compression_ratio.is_some_and(|ratio| ratio.is_nan() || ratio <= 0.0) {
            return Err(Error::Request("--compression-ratio-threshold must be above 0".into()));
        }
        if logprob.is_some_and(f32::is_nan) {
            return Err(Error::Request("--logprob-threshold must be a number, such as -1".into()));
        }
        if no_speech.is_some_and(|limit| !(0.0..=1.0).contains(&limit)) {
            return Err(Error::Request("--no-speech-threshold must lie between 0 and 1".into()));
        }
        Ok(())
    }
}

/// What is to be done with a finished decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it.
    Accept,
    /// There is no speech here.
    Silence,
    /// Decode again at a higher temperature.
    Retry,
}

/// A finished decoding of one chunk.
#[derive(Debug, Clone)]
pub struct Decoding {
    /// Text and timestamp tokens, without the end.
    pub tokens: Vec<u32>,
    /// Log-probability of each token.
    pub logprobs: Vec<f32>,
    /// The text, trimmed.
    pub text: String,
    /// Mean log-probability, the end included.
    pub avg_logprob: f32,
    /// Probability of `<|nospeech|>` at the start.
    pub no_speech_prob: f32,
    /// Length of the text over its compressed length.
    pub compression_ratio: f32,
    /// The temperature it was sampled at.
    pub temperature: f32,
    /// Length of the cycle that it ended in, when it was stopped for looping.
    pub cycle: Option<usize>,
}

impl Decoding {
    /// Judges it by `gates`.
    pub fn verdict(&self, gates: &Gates) -> Verdict {
        let guess = gates.logprob.is_some_and(|limit| self.avg_logprob < limit);
        let quiet = gates.no_speech.is_some_and(|limit| self.no_speech_prob > limit);
        if guess && quiet {
            Verdict::Silence
        } else if guess || self.repeats(gates) {
            Verdict::Retry
        } else {
            Verdict::Accept
        }
    }

    /// Whether the text goes in circles.
    pub fn repeats(&self, gates: &Gates) -> bool {
        self.cycle.is_some() || gates.compression_ratio.is_some_and(|limit| self.compression_ratio > limit)
    }

    /// The tokens, each with its log-probability.
    pub fn written(&self) -> Vec<Token> {
        self.tokens.iter().zip(&self.logprobs).map(|(&id, &logprob)| Token { id, logprob }).collect()
    }

    /// Sum of the log-probabilities: how likely the whole text is.
    pub fn sum_logprob(&self) -> f32 {
        self.avg_logprob * (self.tokens.len() + 1) as f32
    }

    /// Cuts a looping end down to its first occurrence.
    ///
    /// # Errors
    /// When the tokenizer refuses the tokens.
    pub fn unroll(&mut self, tokenizer: &Tokenizer) -> Result<()> {
        if let Some(cycle) = self.cycle.take() {
            let repeated = repeated_tail(&self.tokens, cycle);
            self.tokens.truncate(self.tokens.len() - repeated);
            self.logprobs.truncate(self.tokens.len());
            self.text = tokenizer.decode(&self.tokens)?.trim().to_owned();
            self.compression_ratio = compression_ratio(&self.text);
        }
        Ok(())
    }
}

/// Where a row has its place in the caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The slot of its chunk.
    pub slot: usize,
    /// The slots of its texts: one at least, and as many as a search follows.
    pub texts: Vec<usize>,
}

impl Seat {
    /// A place for a single text, whose slot has the number of its chunk's.
    pub fn single(slot: usize) -> Self {
        Self { slot, texts: vec![slot] }
    }
}

/// The text of one chunk while it is being written, or those of which the best will be kept.
#[derive(Debug)]
pub struct Row {
    /// What it hears.
    pub chunk: Chunk,
    /// What its request asks for.
    pub script: Arc<Script>,
    /// Which slots of the caches.
    pub seat: Seat,
    /// The language it is decoded in.
    pub language: Language,
    /// Earlier attempts at lower temperatures.
    pub failed: Vec<Decoding>,
    /// Up to where there is speech enough for another segment, in steps of written times from the start of the chunk.
    spoken: u32,
    search: Search,
    /// Probability of `<|nospeech|>` at the start.
    pub no_speech_prob: f32,
    temperature: f32,
    random: Xoshiro256PlusPlus,
}

/// Less speech than this, in seconds, holds no segment: it is the end of a word that has been written.
pub(super) const LEAST_SEGMENT: f64 = 0.5;
/// Longest cycle looked for, in tokens.
const LONGEST_CYCLE: usize = 48;
/// A cycle is a loop when it has come back three times and fills this many tokens.
const LOOP_TOKENS: usize = 24;

impl Row {
    /// A row that has written nothing yet; it starts at the first temperature. `seed` makes its sampling repeatable: the
    /// place of the chunk in its recording.
    pub fn new(chunk: Chunk, script: Arc<Script>, seed: usize, seat: Seat, language: Language) -> Self {
        let temperature = script.options.temperatures.first().copied().unwrap_or(0.0);
        Self {
            search: search(&script, temperature, seat.texts.len()),
            temperature,
            spoken: chunk.time_before_last(LEAST_SEGMENT).map_or(0, |time| (time / TIMESTAMP_STEP) as u32),
            chunk,
            script,
            seat,
            language,
            failed: Vec::new(),
            no_speech_prob: 0.0,
            random: Xoshiro256PlusPlus::seed_from_u64(seed as u64),
        }
    }

    /// The same row, decoded greedily.
    pub fn greedy(self) -> Self {
        Self { temperature: 0.0, search: search(&self.script, 0.0, 1), ..self }
    }

    /// Starts again at another temperature; what was written is kept as a failed attempt.
    pub fn restart(&mut self, failed: Decoding, temperature: f32) {
        self.failed.push(failed);
        self.temperature = temperature;
        self.clear();
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.search = search(&self.script, self.temperature, self.seat.texts.len());
    }

    /// The texts that go on, each with its slot: the tokens of each so far.
    pub fn live(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.seat.texts.iter().copied().zip(self.search.live().iter().map(|text| text.tokens.as_slice()))
    }

    /// How many candidates each of these wants.
    pub fn wanted(&self) -> usize {
        self.search.wanted()
    }

    /// What each text that goes on may be continued with, by the script's rules.
    pub fn choices(&mut self) -> Vec<Choice> {
        let Self { search, script, temperature, random, spoken, .. } = self;
        let drawn = |choice| match *temperature > 0.0 {
            true => Choice { temperature: *temperature, uniform: random.r#gen::<f64>(), ..choice },
            false => choice,
        };
        search.live().iter().map(|text| script.choice(&text.tokens, *spoken)).map(drawn).collect()
    }

    /// Goes on with the best of the candidates that each text had. What comes back are pairs of slots: the text in the first
    /// one now goes on where the one in the second stands.
    pub fn write(&mut self, candidates: &[Vec<Chosen>]) -> Vec<(usize, usize)> {
        let texts = &self.seat.texts;
        let parents = self.search.advance(candidates);
        texts.iter().copied().zip(parents.into_iter().filter_map(|parent| texts.get(parent).copied())).collect()
    }

    /// Whether the row is finished: the end was written, the text loops, or the script's limit is reached; of several texts,
    /// enough of them are.
    pub fn is_finished(&self) -> bool {
        self.search.is_over()
    }

    /// The tokens of the text that is best so far.
    pub fn tokens(&self) -> Vec<u32> {
        self.search.best().tokens
    }

    /// What has been written, measured.
    ///
    /// # Errors
    /// When the tokenizer refuses the tokens.
    pub fn decoding(&self, tokenizer: &Tokenizer) -> Result<Decoding> {
        let best = self.search.best();
        let text = tokenizer.decode(&best.tokens)?.trim().to_owned();
        let sum: f32 = best.logprobs.iter().sum::<f32>() + best.end_logprob;
        Ok(Decoding {
            compression_ratio: compression_ratio(&text),
            avg_logprob: sum / (best.tokens.len() + 1) as f32,
            tokens: best.tokens,
            logprobs: best.logprobs,
            text,
            no_speech_prob: self.no_speech_prob,
            temperature: self.temperature,
            cycle: best.cycle,
        })
    }
}

/// A search as the script asks for, of as many texts as there are slots for; what is drawn by a temperature is a single text.
fn search(script: &Script, temperature: f32, slots: usize) -> Search {
    let beam = script.options.beam;
    let single = temperature > 0.0 || slots == 1;
    let beam = if single { beam.single() } else { Beam { size: beam.size.min(slots), ..beam } };
    Search::new(beam, Ends { token: script.end, limit: script.limit, cycle: find_cycle })
}

/// Of all attempts the one to keep when none passed: text that does not repeat itself first, then by probability.
pub fn best_of(attempts: Vec<Decoding>, gates: &Gates) -> Option<Decoding> {
    attempts.into_iter().max_by(|a, b| {
        let key = |d: &Decoding| (!d.repeats(gates), d.cycle.is_none());
        key(a).cmp(&key(b)).then(a.avg_logprob.total_cmp(&b.avg_logprob))
    })
}

/// Bytes of the text over bytes of its zlib stream; repetitive text scores high.
pub fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    match encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()) {
        Ok(compressed) => text.len() as f32 / compressed.len().max(1) as f32,
        Err(_) => 1.0, // writing to memory does not fail
    }
}

/// How many tokens at the end repeat what stands `cycle` tokens before them.
fn repeated_tail(tokens: &[u32], cycle: usize) -> usize {
    tokens.iter().rev().zip(tokens.iter().rev().skip(cycle)).take_while(|(a, b)| a == b).count()
}

/// The length of the cycle in which `tokens` end, if they do.
fn find_cycle(tokens: &[u32]) -> Option<usize> {
    (1..=LONGEST_CYCLE).find(|&cycle| repeated_tail(tokens, cycle) >= LOOP_TOKENS.max(3 * cycle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_found_once_they_fill_enough() {
        let phrase = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let text: Vec<u32> = [100, 101].into_iter().chain(phrase.iter().copied().cycle().take(40)).collect();
        assert_eq!(find_cycle(&text), Some(10));
        assert_eq!(repeated_tail(&text, 10), 30);
        assert_eq!(find_cycle(&text[..30]), None);
        assert_eq!(find_cycle(&[7; 25]), Some(1));
        assert_eq!(find_cycle(&(0..200).collect::<Vec<u32>>()), None);
    }

    #[test]
    fn repetition_compresses() {
        assert!(compression_ratio(&"and so on ".repeat(30)) > 2.4);
        assert!(compression_ratio("The quick brown fox jumps over the lazy dog.") < 1.2);
    }

    fn decoding(avg_logprob: f32, no_speech_prob: f32, compression_ratio: f32) -> Decoding {
        Decoding {
            tokens: vec![],
            logprobs: vec![],
            text: String::new(),
            avg_logprob,
            no_speech_prob,
            compression_ratio,
            temperature: 0.0,
            cycle: None,
        }
    }

    #[test]
    fn gates_judge_as_the_reference_does() {
        let gates = Gates::default();
        assert_eq!(decoding(-0.3, 0.9, 1.5).verdict(&gates), Verdict::Accept);
        assert_eq!(decoding(-1.2, 0.2, 1.5).verdict(&gates), Verdict::Retry);
        assert_eq!(decoding(-1.2, 0.9, 1.5).verdict(&gates), Verdict::Silence);
        assert_eq!(decoding(-0.3, 0.1, 3.0).verdict(&gates), Verdict::Retry);
        let open = Gates { compression_ratio: None, logprob: None, no_speech: None };
        assert_eq!(decoding(-9.0, 1.0, 9.0).verdict(&open), Verdict::Accept);
    }

    #[test]
    fn the_best_failed_attempt_does_not_repeat() {
        let attempts = vec![decoding(-0.1, 0.0, 5.0), decoding(-1.4, 0.0, 1.5), decoding(-1.2, 0.0, 1.5)];
        assert_eq!(best_of(attempts, &Gates::default()).map(|d| d.avg_logprob), Some(-1.2));
    }
}
