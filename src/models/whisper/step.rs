//! What a step of the decoder reads beside weights and caches: all of it reaches a GPU in one copy, but for the table of
//! ancestors of texts that share their beginnings.

use candle_core::{Device, Result, Tensor};

use super::decoder::KvCache;
use crate::ops::{Ancestors, Slot, Slots};

/// A step of B rows with T tokens each, before it reaches the device.
#[derive(Debug, Clone)]
pub struct StepPlan {
    /// Ids (B T), places in the text (B T), slots (B, 2) with the new tokens, and the audio's slots (B, 2).
    words: Vec<u32>,
    own: Vec<Slot>,
    ancestors: Vec<Option<Ancestors>>,
    source: Vec<Slot>,
    /// B T.
    tokens: usize,
    /// Positions of a text.
    limit: usize,
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
    /// A step for `texts` as `cache` knows them.
    pub(super) fn new(tokens: &[u32], texts: &[usize], cache: &KvCache) -> Result<Self> {
        let (length, limit) = (tokens.len() / texts.len().max(1), cache.positions()?);
        let (own, ancestors): (Vec<Slot>, Vec<_>) = texts.iter().map(|&text| cache.own(text, length)).unzip();
        if own.iter().any(|slot| slot.length > limit) {
            candle_core::bail!("a row has more than the {limit} tokens that the decoder has positions for");
        }
        let source: Vec<Slot> = texts.iter().map(|&text| cache.source(text)).collect();
        let positions = own.iter().flat_map(|slot| (slot.length - length) as u32..slot.length as u32);
        let mut words: Vec<u32> = tokens.iter().copied().chain(positions).collect();
        words.extend(Slots::words(&own));
        words.extend(Slots::words(&source));
        Ok(Self { words, own, ancestors, source, tokens: tokens.len(), limit })
    }

    /// What goes to the device.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Whether texts share their beginnings, which a table beside the words tells.
    pub fn is_shared(&self) -> bool {
        self.ancestors.iter().any(Option::is_some)
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
            own: Slots::new(self.own, device)?.with_ancestors(self.ancestors, self.limit, device)?,
            source: Slots::new(self.source, device)?,
        })
    }

    /// The step whose words are at the start of a tensor on the device.
    pub(super) fn at(self, words: &Tensor) -> Result<Step> {
        let (count, rows) = (self.tokens, self.own.len());
        let part = |start: usize, length: usize| words.narrow(0, start, length);
        let own = Slots::with_words(self.own, &part(2 * count, 2 * rows)?)?;
        Ok(Step {
            tokens: part(0, count)?,
            positions: part(count, count)?,
            own: own.with_ancestors(self.ancestors, self.limit, words.device())?,
            source: Slots::with_words(self.source, &part(2 * count + 2 * rows, 2 * rows)?)?,
        })
    }
}
