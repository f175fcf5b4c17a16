//! What one request asks of the decoder, made ready once for all of its chunks.

use std::sync::Arc;

use super::{
    rules::Rules,
    transcribe::{TranscribeOptions, Transcriber},
};
use crate::{error::Result, language::Language, models::whisper::Tokenizer, ops::Choice};

/// Options, the rules that follow from them, and the text that every chunk of the request is told first.
#[derive(Debug)]
pub struct Script {
    /// What was asked for.
    pub options: TranscribeOptions,
    rules: Rules,
    /// Hotwords and the initial prompt as tokens after `<|startofprev|>`.
    told: Vec<u32>,
    /// `<|endoftext|>`.
    pub(super) end: u32,
    /// Tokens that a row may write.
    pub(super) limit: usize,
}

/// The most special tokens that a prompt holds.
const SPECIALS: usize = 5;

impl Script {
    /// Makes `options` ready for a checkpoint.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) for options that this checkpoint cannot serve; when the tokenizer refuses
    /// the prompt.
    pub fn new(transcriber: &Transcriber, options: &TranscribeOptions) -> Result<Arc<Self>> {
        transcriber.check(options)?;
        let tokenizer = transcriber.tokenizer();
        let told = told(transcriber, options)?;
        let context = transcriber.config().max_target_positions;
        Ok(Arc::new(Self {
            rules: Rules::new(tokenizer, transcriber.config().vocab_size, options.timestamps),
            end: tokenizer.end(),
            limit: (context / 2).min(context.saturating_sub(told.len() + SPECIALS)),
            told,
            options: options.clone(),
        }))
    }

    /// What a text may be continued with: the likeliest of what the rules allow after the tokens `written` so far, in a chunk
    /// with speech until `spoken` ([`Rules::choice`]).
    pub fn choice(&self, written: &[u32], spoken: u32) -> Choice {
        self.rules.choice(written, spoken)
    }

    /// Slots for texts that a chunk needs: at temperature 0 it is searched with a beam.
    pub fn texts(&self) -> usize {
        if self.options.temperatures.contains(&0.0) { self.options.beam.size } else { 1 }
    }

    /// The tokens that a chunk in `language` is fed before it writes, and the place of `<|startoftranscript|>` in them.
    pub(super) fn prompt(&self, tokenizer: &Tokenizer, language: Language) -> (Vec<u32>, usize) {
        let mut prompt = Vec::new();
        if !self.told.is_empty() {
            prompt.push(tokenizer.previous());
            prompt.extend(&self.told);
        }
        let start = prompt.len();
        prompt.extend(tokenizer.start_sequence(language, self.options.task, self.options.timestamps));
        (prompt, start)
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
