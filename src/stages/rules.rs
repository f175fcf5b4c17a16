//! What the decoder may write next: openai/whisper's rules (`decoding.py`), from what a text holds so far.

use candle_core::Device;

use crate::{
    error::Result,
    models::whisper::{GenerationConfig, Tokenizer},
    ops::choose_token::{Choice, Masks, NEVER, NEVER_FIRST, NEVER_WITH_TIMES},
};

/// The checkpoint's suppress lists, on a device.
///
/// # Errors
/// When the device refuses them.
pub fn masks(
    generation: &GenerationConfig,
    tokenizer: &Tokenizer,
    vocabulary: usize,
    device: &Device,
) -> Result<Masks> {
    let mut never = generation.suppress_tokens.clone().unwrap_or_default();
    never.extend(tokenizer.never_written());
    never.sort_unstable();
    never.dedup();
    let never_first = generation.begin_suppress_tokens.clone().unwrap_or_else(|| {
        vec![
            tokenizer.encode(" ").ok().and_then(|ids| ids.first().copied()).unwrap_or(tokenizer.end()),
            tokenizer.end(),
        ]
    });
    Ok(Masks::new([never, never_first, vec![tokenizer.no_timestamps()]], vocabulary, device)?)
}

/// The rules of one decoding.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    vocabulary: usize,
    times: Option<Times>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    end: u32,
    first: u32,
    /// The latest time that a chunk's first segment may start with: 1 s.
    latest_start: u32,
}

impl Rules {
    /// The rules of a checkpoint with this vocabulary; those for times where `timestamps` are wanted.
    pub fn new(tokenizer: &Tokenizer, vocabulary: usize, timestamps: bool) -> Self {
        let first = tokenizer.first_timestamp();
        let times = timestamps.then_some(Times { end: tokenizer.end(), first, latest_start: first + 50 });
        Self { vocabulary, times }
    }

    /// What may follow `sampled` (the tokens after the prompt), the likeliest first, in a chunk with speech until `spoken`, in
    /// steps of written times from its start.
    pub fn choice(&self, sampled: &[u32], spoken: u32) -> Choice {
        let first = if sampled.is_empty() { NEVER_FIRST } else { 0 };
        let free = Choice { masks: NEVER | first, ..Choice::free(self.vocabulary) };
        self.times.map_or(free, |times| times.choice(sampled, spoken, free))
    }
}

impl Times {
    /// Times come in pairs, except directly before the end; they never go back; a segment is never empty, nor is one left open
    /// where more is spoken; and where the times together are likelier than any text, a time is written.
    fn choice(&self, sampled: &[u32], spoken: u32, free: Choice) -> Choice {
        let is_time = |token: Option<&u32>| token.is_some_and(|&token| token >= self.first);
        let last_is_time = is_time(sampled.last());
        let pair_is_complete = sampled.len() < 2 || is_time(sampled.get(sampled.len() - 2));
        let vocabulary = free.first_time;
        let (mut text_from, mut time_from, mut time_to) = (0, self.first, vocabulary);
        if last_is_time && pair_is_complete {
            time_to = self.first;
        } else if last_is_time {
            text_from = self.end;
        }
        if let Some(&latest) = sampled.iter().rev().find(|&&token| token >= self.first) {
            time_from = if last_is_time && !pair_is_complete { latest } else { latest + 1 };
        }
        if sampled.is_empty() {
            text_from = self.first;
            time_to = time_to.min(self.latest_start + 1);
        }
        // Whisper ends here where the rest of a segment lies outside of the chunk, and openai/whisper reads the rest again
        // with what comes after it. Chunks end where nobody speaks: nothing comes after them, and what is left is a segment.
        let opened = sampled.len() > 1 && last_is_time && pair_is_complete;
        let goes_on = opened && sampled.last().is_some_and(|&time| time - self.first < spoken);
        let masks = free.masks | NEVER_WITH_TIMES | if goes_on { NEVER_FIRST } else { 0 };
        Choice { masks, text_from, first_time: self.first, time_from, time_to, ..free }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten text tokens (9 ends), 10 is `<|notimestamps|>`, times from 11.
    fn allowed(sampled: &[u32], logits: Vec<f32>) -> Vec<usize> {
        allowed_in(sampled, 0, logits)
    }

    /// In a chunk with speech until `spoken`.
    fn allowed_in(sampled: &[u32], spoken: u32, logits: Vec<f32>) -> Vec<usize> {
        let times = Times { end: 9, first: 11, latest_start: 13 };
        let rules = Rules { vocabulary: 20, times: Some(times) };
        let masks = Masks::new([vec![3], vec![0, 9], vec![10]], 20, &Device::Cpu).unwrap();
        let mut logits = logits;
        rules.choice(sampled, spoken).forbid(&masks, &mut logits);
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
    fn a_segment_is_not_left_open_where_more_is_spoken() {
        let ends = |sampled: &[u32], spoken| {
            let mut logits = vec![0.0; 20];
            logits[9] = 9.0;
            allowed_in(sampled, spoken, logits).contains(&9)
        };
        assert!(ends(&[11, 1, 15, 15], 4) && !ends(&[11, 1, 15, 15], 5), "the segment opens at the fourth step");
        assert!(ends(&[11, 1, 15], 5), "no segment is open");
        assert!(ends(&[11], 5), "nothing may be said at all");
    }

    #[test]
    fn likely_times_win_over_text() {
        let mut logits = vec![0.0; 20];
        logits[5] = 1.0;
        assert_eq!(allowed(&[11, 1, 2], logits), [12, 13, 14, 15, 16, 17, 18, 19]);
    }

    #[test]
    fn a_text_without_times_writes_none() {
        let rules = Rules { vocabulary: 20, times: None };
        let masks = Masks::new([vec![3], vec![0, 9], vec![10]], 20, &Device::Cpu).unwrap();
        let mut logits = vec![0.0; 20];
        rules.choice(&[], 0).forbid(&masks, &mut logits);
        assert_eq!((0..20).filter(|&i| logits[i] == f32::NEG_INFINITY).collect::<Vec<_>>(), [0, 3, 9]);
    }
}
