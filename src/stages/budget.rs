//! What a transcriber needs of a device's memory, and how many chunks fit beside one another.
//!
//! With d the width, L the decoder's layers and s the bytes of a number:
//!
//! ```text
//! weights    parameters · s
//! slot       2 · L · (448 + 1500) · d · s              keys and values of a chunk and of one text of it
//!            + taps · 1500 · d · 2 + 3000 · bins · 4   what aligner heads read of the chunk, where there are any
//! text       2 · L · 448 · d · s                       keys and values of each further text that a beam search follows
//! chunk      18 · 1500 · d · s                         what a block of the encoder holds at once: the input twice, queries,
//!                                                      keys and values twice, the attended, the MLP's 4 d before and after
//!                                                      GELU, the output
//! workspace  512 MiB of attention scores (`ops::attention` makes no more at once), 512 MiB for the libraries, the kernels
//!            and the small networks beside the transcriber
//! ```
//!
//! These are upper bounds of what is alive at once, not measurements: what they miss is caught when memory runs out, and
//! costs a smaller batch.

use candle_core::DType;

use super::beam::LARGEST_BEAM;
use crate::models::whisper::{Config, MEL_FRAMES, checkpoints};

/// Attention scores, and everything that is not the transcriber's.
const WORKSPACE: u64 = (512 + 512) << 20;
/// Numbers of width d that a position of a chunk holds in a block of the encoder.
const ENCODER_WIDTHS: u64 = 18;
/// Chunks that can be encoded at once beside full slots.
const CHUNKS_BESIDE_SLOTS: u64 = 2;
/// The part of the free memory that one call of the encoder may take: other stages work on the same device.
const PART_FOR_ENCODER: u64 = 2;

/// What a transcriber needs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Its weights.
    pub weights: u64,
    /// The largest tensor as the file has it, while it is brought over.
    pub passing: u64,
    /// What a chunk keeps with one text.
    pub slot: u64,
    /// What each further text of it keeps.
    pub text: u64,
    /// What the encoder needs for a chunk.
    pub chunk: u64,
}

impl Need {
    /// The need of a checkpoint in numbers of this type, with aligner heads that read so many of its blocks.
    pub fn of(config: &Config, dtype: DType, taps: usize) -> Self {
        let bytes = |numbers: usize| numbers as u64 * dtype.size_in_bytes() as u64;
        let (width, positions) = (config.d_model, config.max_source_positions);
        let caches = |positions: usize| bytes(2 * config.decoder_layers * positions * width);
        let heard = match taps {
            0 => 0,
            _ => {
                taps * positions * width * DType::BF16.size_in_bytes()
                    + MEL_FRAMES * config.num_mel_bins * DType::F32.size_in_bytes()
            }
        };
        Self {
            weights: bytes(checkpoints::parameters(config)),
            passing: (config.vocab_size * width * DType::F32.size_in_bytes()) as u64,
            slot: caches(config.max_target_positions + positions) + heard as u64,
            text: caches(config.max_target_positions),
            chunk: ENCODER_WIDTHS * bytes(positions * width),
        }
    }

    /// The least with which it works: one row at a time.
    pub fn least(&self) -> u64 {
        self.weights + self.passing.max(self.slot + self.chunk + WORKSPACE)
    }

    /// How many of the `wanted` slots fit into what is free beside the weights; one at least.
    pub fn slots(&self, free: u64, wanted: usize) -> usize {
        let left = free.saturating_sub(WORKSPACE + CHUNKS_BESIDE_SLOTS * self.chunk);
        fitting(left, self.slot, wanted)
    }

    /// How many texts in all fit beside so many slots: their first ones, and with beams those that twice fit into what is left,
    /// since caches are copied when they grow; those of one beam at least.
    pub fn texts(&self, free: u64, slots: usize) -> usize {
        let left = free.saturating_sub(WORKSPACE + CHUNKS_BESIDE_SLOTS * self.chunk + slots as u64 * self.slot);
        let further = usize::try_from(left / (2 * self.text).max(1)).unwrap_or(usize::MAX);
        slots.saturating_add(further).clamp(LARGEST_BEAM, slots.max(1) * LARGEST_BEAM)
    }

    /// How many of the `wanted` chunks one call of the encoder takes, where so much is free beside weights and slots; one at
    /// least.
    pub fn chunks(&self, free: u64, wanted: usize) -> usize {
        fitting(free.saturating_sub(WORKSPACE) / PART_FOR_ENCODER, self.chunk, wanted)
    }
}

fn fitting(bytes: u64, each: u64, wanted: usize) -> usize {
    usize::try_from(bytes / each.max(1)).unwrap_or(usize::MAX).clamp(1, wanted.max(1))
}

/// The published checkpoint with the most parameters that works with so much free memory. `multilingual`: one that knows
/// more than English.
pub fn largest_fitting(free: u64, dtype: DType, multilingual: bool) -> Option<&'static str> {
    let known = checkpoints::names().filter_map(|name| Some((name, checkpoints::find(name)?)));
    known
        .filter(|(name, _)| !multilingual || checkpoints::is_multilingual(name))
        .filter(|(_, config)| Need::of(config, dtype, 0).least() <= free)
        .max_by_key(|(_, config)| checkpoints::parameters(config))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn need(name: &str, dtype: DType) -> Need {
        Need::of(&checkpoints::find(name).unwrap(), dtype, 0)
    }

    #[test]
    fn the_need_follows_the_dimensions() {
        let large = need("large-v3", DType::F16);
        assert_eq!(large.slot, 2 * 32 * (448 + 1500) * 1280 * 2);
        assert_eq!(large.text, 2 * 32 * 448 * 1280 * 2);
        assert_eq!(large.chunk, 18 * 1500 * 1280 * 2);
        assert!((2 * 1_540_000_000..2 * 1_546_000_000).contains(&large.weights), "{}", large.weights);
        assert_eq!(need("large-v3", DType::F32).weights, 2 * large.weights);
        let heard = Need::of(&checkpoints::find("base").unwrap(), DType::F16, 3).slot - need("base", DType::F16).slot;
        assert_eq!(heard, 3 * 1500 * 512 * 2 + 3000 * 80 * 4);
    }

    #[test]
    fn slots_and_chunks_fill_what_is_free_and_no_more() {
        let large = need("large-v3", DType::F16);
        assert_eq!(large.slots(70 * GIB, 20), 20, "no more than is wanted");
        let few = large.slots(4 * GIB, 20);
        assert!((2..20).contains(&few), "{few}");
        assert!(few as u64 * large.slot + WORKSPACE + 2 * large.chunk <= 4 * GIB);
        assert_eq!((large.slots(0, 20), large.chunks(0, 20)), (1, 1), "one is always tried");
        assert_eq!(
            (large.texts(70 * GIB, 4), large.texts(0, 20)),
            (64, 20),
            "all beams fit, or no more than one text each"
        );
        assert_eq!(large.texts(0, 1), LARGEST_BEAM, "one beam is always tried");
        let some = large.texts(24 * GIB, 20);
        let further = (some - 20) as u64 * large.text;
        assert!((21..320).contains(&some), "{some}");
        assert!(20 * large.slot + 2 * further + WORKSPACE + 2 * large.chunk <= 24 * GIB);
        let chunks = large.chunks(2 * GIB, 64);
        assert!((2..64).contains(&chunks) && chunks as u64 * large.chunk <= GIB / 2, "{chunks}");
        assert_eq!(large.chunks(70 * GIB, 16), 16);
    }

    #[test]
    fn the_largest_model_that_fits_is_named() {
        assert_eq!(largest_fitting(80 * GIB, DType::F16, true), Some("large-v3"));
        assert_eq!(largest_fitting(4 * GIB, DType::F16, true), Some("large-v3-turbo"));
        assert_eq!(largest_fitting(4 * GIB, DType::F32, true), Some("small"));
        assert!(largest_fitting(4 * GIB, DType::F32, false).is_some_and(|name| name.starts_with("distil")));
        assert_eq!(largest_fitting(GIB / 2, DType::F16, true), None);
    }
}
