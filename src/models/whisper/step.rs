//! What a step of the decoder reads beside weights and caches: all of it reaches a GPU in one copy.

use candle_core::{Device, Result, Tensor};

use crate::ops::{Slot, Slots};

/// A step of B rows with T tokens each, before it reaches the device.
#[derive(Debug, Clone)]
pub struct StepPlan {
    /// Ids (B T), places in the text (B T), slots (B, 2) with the new tokens, and the audio's slots (B, 2).
    words: Vec<u32>,
    own: Vec<Slot>,
    source: Vec<Slot>,
    /// B T.
    tokens: usize,
}

/// The same on the device.
#[derive(Debug)]
pub(super) struct Step {
    /// (B T): ids.
    pub(super) tokens: Tensor,
    /// (B T): places in the text.
    pub(super) positions: Tensor,
    /// Where keys and values of the text lie, with the new ones.
    pub(super) own: Slots,
    /// Where those of the audio lie.
    pub(super) source: Slots,
}

impl StepPlan {
    /// A step for rows in `slots` that hold so many tokens (`lengths`); `limit` positions are known, `source_length` of the audio.
    pub(super) fn new(
        tokens: &[u32],
        slots: &[usize],
        lengths: &[usize],
        limit: usize,
        source_length: usize,
    ) -> Result<Self> {
        let length = tokens.len() / slots.len().max(1);
        let positions = slots.iter().flat_map(|&slot| (lengths[slot] as u32..).take(length));
        let mut words: Vec<u32> = tokens.iter().copied().chain(positions).collect();
        if words[tokens.len()..].iter().any(|&position| position as usize >= limit) {
            candle_core::bail!("a row has more than the {limit} tokens that the decoder has positions for");
        }
        let own: Vec<Slot> = slots.iter().map(|&index| Slot { index, length: lengths[index] + length }).collect();
        let source: Vec<Slot> = slots.iter().map(|&index| Slot { index, length: source_length }).collect();
        words.extend(Slots::words(&own));
        words.extend(Slots::words(&source));
        Ok(Self { words, own, source, tokens: tokens.len() })
    }

    /// What goes to the device.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Puts the step on a device.
    pub(super) fn on(self, device: &Device) -> Result<Step> {
        if !device.is_cpu() {
            let words = Tensor::new(self.words.as_slice(), device)?;
            return self.at(&words);
        }
        let (tokens, rest) = self.words.split_at(self.tokens);
        Ok(Step {
            tokens: Tensor::new(tokens, device)?,
            positions: Tensor::new(&rest[..self.tokens], device)?,
            own: Slots::new(self.own, device)?,
            source: Slots::new(self.source, device)?,
        })
    }

    /// The step whose words are at the start of a tensor on the device.
    pub(super) fn at(self, words: &Tensor) -> Result<Step> {
        let (count, rows) = (self.tokens, self.own.len());
        let part = |start: usize, length: usize| words.narrow(0, start, length);
        Ok(Step {
            tokens: part(0, count)?,
            positions: part(count, count)?,
            own: Slots::with_words(self.own, &part(2 * count, 2 * rows)?)?,
            source: Slots::with_words(self.source, &part(2 * count + 2 * rows, 2 * rows)?)?,
        })
    }
}
