//! The decoding batch: slots that hear chunks, rows that write text, rows that leave and make room.

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use super::{
    align::{self, Attention, Piece},
    language::Distribution,
    row::{Decoding, Row},
    rules::Rules,
    transcribe::{TranscribeOptions, Transcriber},
};
use crate::{
    audio::Chunk,
    error::{Error, Result},
    language::Language,
    models::whisper::{KvCache, MEL_FRAMES, POSITIONS_PER_SECOND},
    ops::logits::log_sum_exp,
    transcript::{Token, Word},
};

/// Chunks encoded in one call on the CPU, where more would only cost memory.
const ENCODED_AT_ONCE_ON_CPU: usize = 2;

/// Slots, their caches, and the prompt that all rows share.
pub struct Batch<'a> {
    transcriber: &'a Transcriber,
    chunks: &'a [Chunk],
    options: &'a TranscribeOptions,
    rules: Rules,
    cache: KvCache,
    /// The chunk that each slot hears.
    heard: Vec<Option<usize>>,
    /// Text told before the transcript, as tokens after `<|startofprev|>`.
    told: Vec<u32>,
}

impl<'a> Batch<'a> {
    /// A batch of `slots` empty slots.
    ///
    /// # Errors
    /// When the caches do not fit the device, or the tokenizer refuses the prompt.
    pub fn new(
        transcriber: &'a Transcriber,
        chunks: &'a [Chunk],
        options: &'a TranscribeOptions,
        slots: usize,
    ) -> Result<Self> {
        let tokenizer = transcriber.tokenizer();
        let compute = transcriber.compute();
        Ok(Self {
            rules: Rules::new(transcriber.generation(), tokenizer, options.timestamps),
            cache: KvCache::new(transcriber.config(), slots, compute.dtype, &compute.device)?,
            heard: vec![None; slots],
            told: told(transcriber, options)?,
            transcriber,
            chunks,
            options,
        })
    }

    /// How many rows fit.
    pub fn slots(&self) -> usize {
        self.heard.len()
    }

    /// The free slot to use for `chunk`: one that hears it already, else the first.
    pub fn choose_slot(&self, free: &mut Vec<usize>, chunk: usize) -> Option<usize> {
        let place = free.iter().position(|&slot| self.heard[slot] == Some(chunk)).or((!free.is_empty()).then_some(0))?;
        Some(free.remove(place))
    }

    /// Encodes chunks into their slots, where these do not hear them already.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn listen(&mut self, places: &[(usize, usize)]) -> Result<()> {
        let new: Vec<(usize, usize)> =
            places.iter().copied().filter(|&(slot, chunk)| self.heard[slot] != Some(chunk)).collect();
        let compute = self.transcriber.compute();
        let at_once = if compute.device.is_cpu() { ENCODED_AT_ONCE_ON_CPU } else { new.len().max(1) };
        for group in new.chunks(at_once) {
            let bins = self.transcriber.config().num_mel_bins;
            let mel: Vec<f32> = group
                .par_iter()
                .flat_map_iter(|&(_, chunk)| self.transcriber.mel().compute(self.chunks[chunk].audio.samples()))
                .collect();
            let mel =
                Tensor::from_vec(mel, (group.len(), MEL_FRAMES, bins), &compute.device)?.to_dtype(compute.dtype)?;
            let features = self.transcriber.whisper().encode(&mel)?;
            let slots: Vec<usize> = group.iter().map(|&(slot, _)| slot).collect();
            self.transcriber.whisper().decoder.listen(&features, &slots, &mut self.cache)?;
            for &(slot, chunk) in group {
                self.heard[slot] = Some(chunk);
            }
        }
        Ok(())
    }

    /// The language of what each slot hears.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn languages(&mut self, slots: &[usize]) -> Result<Vec<Distribution>> {
        let tokenizer = self.transcriber.tokenizer();
        slots.iter().for_each(|&slot| self.cache.rewind(slot));
        let start = vec![tokenizer.start(); slots.len()];
        let logits = self.logits(&start, slots, 0)?;
        let range = tokenizer.language_tokens();
        let (first, last) = (range.start as usize, range.end as usize);
        Ok(logits.iter().map(|row| Distribution::from_logits(&row[first..last])).collect())
    }

    /// Feeds rows their prompts and lets each write its first token. Rows that are finished at once come back as true.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn begin(&mut self, rows: &mut [&mut Row]) -> Result<Vec<bool>> {
        let tokenizer = self.transcriber.tokenizer();
        rows.iter().for_each(|row| self.cache.rewind(row.slot));
        let prompts: Vec<Vec<u32>> = rows.iter().map(|row| self.prompt(row.language)).collect();
        let start = self.told.len() + usize::from(!self.told.is_empty());
        let slots: Vec<usize> = rows.iter().map(|row| row.slot).collect();
        // All prompts of one call have the same length: same checkpoint, same options.
        let before: Vec<u32> = prompts.iter().flat_map(|prompt| prompt[..=start].to_vec()).collect();
        let after: Vec<u32> = prompts.iter().flat_map(|prompt| prompt[start + 1..].to_vec()).collect();
        let no_speech = tokenizer.no_speech() as usize;
        let at_start = self.logits(&before, &slots, start)?;
        for (row, logits) in rows.iter_mut().zip(&at_start) {
            row.no_speech_prob = (logits[no_speech] - log_sum_exp(logits)).exp();
        }
        let length = after.len() / rows.len().max(1);
        let mut logits = if length == 0 { at_start } else { self.logits(&after, &slots, length - 1)? };
        Ok(self.write(rows, &mut logits))
    }

    /// Lets every row write one further token; true for the rows that are finished.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn step(&mut self, rows: &mut [&mut Row]) -> Result<Vec<bool>> {
        let tokens: Vec<u32> = rows.iter().filter_map(|row| row.sampled.last().copied()).collect();
        let slots: Vec<usize> = rows.iter().map(|row| row.slot).collect();
        if tokens.len() != rows.len() {
            return Err(Error::Bug("a row was stepped before it had begun".into()));
        }
        let mut logits = self.logits(&tokens, &slots, 0)?;
        Ok(self.write(rows, &mut logits))
    }

    /// Decodes one row from start to end by itself.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn decode_alone(&mut self, row: &mut Row) -> Result<Decoding> {
        let mut finished = self.begin(&mut [row])?[0];
        while !finished {
            finished = self.step(&mut [row])?[0];
        }
        row.decoding(self.transcriber.tokenizer())
    }

    /// Word times of a finished text, by teacher forcing it through the decoder.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn align(&mut self, row: &Row, decoding: &Decoding) -> Result<Vec<Word>> {
        let (tokenizer, chunk) = (self.transcriber.tokenizer(), &self.chunks[row.chunk]);
        let end = tokenizer.end();
        let (text, logprobs): (Vec<u32>, Vec<f32>) =
            decoding.tokens.iter().zip(&decoding.logprobs).filter(|(token, _)| **token < end).unzip();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let prompt = tokenizer.start_sequence(row.language, self.options.task, false);
        let tokens: Vec<u32> = prompt.iter().chain(&text).copied().chain([end]).collect();
        let positions = ((chunk.audio.duration() * POSITIONS_PER_SECOND) as usize)
            .clamp(1, self.transcriber.config().max_source_positions);
        self.cache.rewind(row.slot);
        let heads = self.transcriber.alignment_heads();
        let decoder = &self.transcriber.whisper().decoder;
        let weights = decoder.watch(&tokens, row.slot, &mut self.cache, positions, heads)?;
        let attention = Attention {
            weights: weights.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?,
            heads: heads.len(),
            tokens: tokens.len(),
            positions,
        };
        let written: Vec<Token> = text.iter().zip(&logprobs).map(|(&id, &logprob)| Token { id, logprob }).collect();
        let pieces: Vec<Piece> = tokenizer
            .split_words(&text, row.language)?
            .into_iter()
            .map(|(text, tokens)| Piece { text, tokens: tokens.len() })
            .collect();
        Ok(align::place(&attention, prompt.len(), &pieces, &written, row.language, chunk))
    }

    fn prompt(&self, language: Language) -> Vec<u32> {
        let tokenizer = self.transcriber.tokenizer();
        let mut prompt = Vec::new();
        if !self.told.is_empty() {
            prompt.push(tokenizer.previous());
            prompt.extend(&self.told);
        }
        prompt.extend(tokenizer.start_sequence(language, self.options.task, self.options.timestamps));
        prompt
    }

    /// Feeds `tokens` (the same number for every slot) and gives the logits at the `place`-th of them, row by row.
    fn logits(&mut self, tokens: &[u32], slots: &[usize], place: usize) -> Result<Vec<Vec<f32>>> {
        let decoder = &self.transcriber.whisper().decoder;
        let states = decoder.forward(tokens, slots, &mut self.cache)?; // (B, T, d_model)
        let states = states.narrow(1, place, 1)?.squeeze(1)?.contiguous()?; // (B, d_model)
        Ok(decoder.logits(&states)?.to_vec2()?)
    }

    fn write(&self, rows: &mut [&mut Row], logits: &mut [Vec<f32>]) -> Vec<bool> {
        let tokenizer = self.transcriber.tokenizer();
        let context = self.transcriber.config().max_target_positions;
        let end = tokenizer.end();
        let written = self.told.len() + 5; // the prompt's tokens: earlier text, and at most five special ones
        let limit = (context / 2).min(context.saturating_sub(written));
        rows.par_iter_mut().zip(logits).map(|(row, logits)| row.advance(logits, &self.rules, end, limit)).collect()
    }
}

/// Hotwords and the initial prompt as the text that went before: the last 223 tokens of it.
fn told(transcriber: &Transcriber, options: &TranscribeOptions) -> Result<Vec<u32>> {
    let tokenizer = transcriber.tokenizer();
    let mut told = Vec::new();
    for text in [&options.hotwords, &options.initial_prompt].into_iter().flatten() {
        if !text.trim().is_empty() {
            told.extend(tokenizer.encode(&format!(" {}", text.trim()))?);
        }
    }
    let longest = transcriber.config().max_target_positions / 2 - 1;
    Ok(told.split_off(told.len().saturating_sub(longest)))
}
