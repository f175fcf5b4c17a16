//! Products of narrow numbers, int8 and bfloat16, whose sums are kept in 32 bits.
//!
//! A fixed matrix (out, in) is packed once into panels of 32 columns (outputs). A panel is a sequence of groups of 32 words:
//! word c of group g holds column c's elements at depth `4 g .. 4 g + 4` in int8, or `2 g .. 2 g + 2` in bfloat16. That is at
//! once what AMX's tiles, VNNI's and NEON's dot products and AVX2's multiply-adds read, so one packing serves them all. Rows
//! (activations) lie as they are, padded with zeros to whole lines of 64 bytes and to 16 rows, the height of a tile.

#[cfg(target_arch = "x86_64")]
pub(super) mod amx;
pub(super) mod bfloat16;
pub(super) mod int8;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
pub(super) mod product;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::matrix::PANEL;

/// Bytes of a line: the step of every row and panel.
pub(super) const LINE: usize = 64;
/// Rows of a tile.
pub(super) const TILE_ROWS: usize = 16;
/// Rows whose sums are made at once, at most.
pub(super) const BLOCK_ROWS: usize = 2 * TILE_ROWS;
/// Lines of a panel for every line of a row: 16 words of a row meet 16 groups of 32 words.
pub(super) const PANEL_LINES: usize = 16 * PANEL * 4 / LINE;

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; LINE]);

impl Line {
    pub(super) const ZERO: Self = Self([0; LINE]);
}

/// The bytes of lines.
pub(super) fn bytes(lines: &[Line]) -> &[u8] {
    // SAFETY: a line is 64 bytes without padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
}

/// The bytes of lines, to be written.
pub(super) fn bytes_mut(lines: &mut [Line]) -> &mut [u8] {
    // SAFETY: as above; every byte is valid.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines)) }
}

/// Some rows: `count` of `lines` lines each, in memory up to the next multiple of 16 rows.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    memory: &'a [Line],
    lines: usize,
    count: usize,
}

impl<'a> Block<'a> {
    /// The first `count` (1 to 32) rows in `memory`.
    pub(super) fn new(memory: &'a [Line], lines: usize, count: usize) -> Self {
        assert!(lines > 0 && (1..=BLOCK_ROWS).contains(&count));
        assert!(memory.len() >= count.next_multiple_of(TILE_ROWS) * lines);
        Self { memory, lines, count }
    }

    /// The bytes of a row.
    fn row(&self, index: usize) -> &'a [u8] {
        bytes(&self.memory[index * self.lines..][..self.lines])
    }
}
