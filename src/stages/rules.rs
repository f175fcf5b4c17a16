//! What the decoder may write next: openai/whisper's logit filters (`decoding.py`) over one row of logits.

use crate::{
    models::whisper::{GenerationConfig, Tokenizer},
    ops::logits::log_sum_exp,
};

/// The rules of one decoding.
#[derive(Debug, Clone)]
pub struct Rules {
    suppressed: Vec<u32>,
    never_first: Vec<u32>,
    timestamps: Option<TimestampRules>,
}

#[derive(Debug, Clone, Copy)]
struct TimestampRules {
    end: u32,
    no_timestamps: u32,
    first: u32,
    /// The latest time that a chunk's first segment may start with: 1 s.
    latest_start: u32,
}

impl Rules {
    /// The checkpoint's suppress lists, and the timestamp rules when `timestamps` are wanted.
    pub fn new(generation: &GenerationConfig, tokenizer: &Tokenizer, timestamps: bool) -> Self {
        let mut suppressed = generation.suppress_tokens.clone().unwrap_or_default();
        suppressed.extend(tokenizer.never_written());
        suppressed.sort_unstable();
        suppressed.dedup();
        let never_first = generation.begin_suppress_tokens.clone().unwrap_or_else(|| {
            vec![
                tokenizer.encode(" ").ok().and_then(|ids| ids.first().copied()).unwrap_or(tokenizer.end()),
                tokenizer.end(),
            ]
        });
        let first = tokenizer.first_timestamp();
        let timestamps = timestamps.then_some(TimestampRules {
            end: tokenizer.end(),
            no_timestamps: tokenizer.no_timestamps(),
            first,
            latest_start: first + 50,
        });
        Self { suppressed, never_first, timestamps }
    }

    /// Sets the logits of what may not follow `sampled` (the tokens after the prompt) to minus infinity.
    pub fn apply(&self, logits: &mut [f32], sampled: &[u32]) {
        if sampled.is_empty() {
            forbid(logits, &self.never_first);
        }
        forbid(logits, &self.suppressed);
        if let Some(rules) = &self.timestamps {
            rules.apply(logits, sampled);
        }
    }
}

impl TimestampRules {
    /// Times come in pairs, except directly before the end; they never go back; a segment is never empty; and where the
    /// times together are likelier than any text, a time is written.
    fn apply(&self, logits: &mut [f32], sampled: &[u32]) {
        let (first, vocabulary) = (self.first as usize, logits.len());
        forbid(logits, &[self.no_timestamps]);
        let is_time = |token: Option<&u32>| token.is_some_and(|&token| token >= self.first);
        let last_is_time = is_time(sampled.last());
        let pair_is_complete = sampled.len() < 2 || is_time(sampled.get(sampled.len() - 2));
        if last_is_time && pair_is_complete {
            logits[first..].fill(f32::NEG_INFINITY);
        } else if last_is_time {
            logits[..self.end as usize].fill(f32::NEG_INFINITY);
        }
        if let Some(&latest) = sampled.iter().rev().find(|&&token| token >= self.first) {
            let next = if last_is_time && !pair_is_complete { latest } else { latest + 1 };
            logits[first..(next as usize).min(vocabulary)].fill(f32::NEG_INFINITY);
        }
        if sampled.is_empty() {
            logits[..first].fill(f32::NEG_INFINITY);
            logits[(self.latest_start as usize + 1).min(vocabulary)..].fill(f32::NEG_INFINITY);
        }
        let (text, times) = logits.split_at(first);
        let likeliest_text = text.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if log_sum_exp(times) > likeliest_text {
            logits[..first].fill(f32::NEG_INFINITY);
        }
    }
}

fn forbid(logits: &mut [f32], tokens: &[u32]) {
    for &token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten text tokens (9 ends), 10 is `<|notimestamps|>`, times from 11.
    fn rules() -> Rules {
        let timestamps = TimestampRules { end: 9, no_timestamps: 10, first: 11, latest_start: 13 };
        Rules { suppressed: vec![3], never_first: vec![0, 9], timestamps: Some(timestamps) }
    }

    fn allowed(sampled: &[u32], logits: Vec<f32>) -> Vec<usize> {
        let mut logits = logits;
        rules().apply(&mut logits, sampled);
        (0..logits.len()).filter(|&i| logits[i].is_finite()).collect()
    }

    #[test]
    fn a_chunk_starts_with_an_early_time() {
        assert_eq!(allowed(&[], vec![0.0; 20]), [11, 12, 13]);
    }

    #[test]
    fn text_or_nothing_follows_the_first_time() {
        assert_eq!(allowed(&[12], vec![5.0; 20]), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_closing_time_is_followed_by_its_twin_or_the_end() {
        let mut logits = vec![0.0; 20];
        logits[9] = 9.0;
        assert_eq!(allowed(&[11, 1, 15], logits), [9, 15, 16, 17, 18, 19]);
    }

    #[test]
    fn likely_times_win_over_text() {
        let mut logits = vec![0.0; 20];
        logits[5] = 1.0;
        assert_eq!(allowed(&[11, 1, 2], logits), [12, 13, 14, 15, 16, 17, 18, 19]);
    }
}
