//! int8 sums by ARM's dot products of 4 bytes.

use std::arch::{aarch64::*, asm};

use super::{Block, Line, PANEL_LINES};
use crate::ops::matrix::PANEL;

/// Columns of a vector of sums.
const LANES: usize = 4;
/// Rows at once: with 4 vectors of columns each, 16 of the 32 registers.
const ROWS: usize = 4;

/// `SDOT`, for which the compiler has no stable function.
#[inline(always)]
unsafe fn dot(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the callers have found the instruction; it touches registers only.
    unsafe {
        asm!(
            ".arch_extension dotprod", "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
            inout(vreg) sums, in(vreg) a, in(vreg) b, options(pure, nomem, nostack),
        );
    }
    sums
}

/// `out[r][c] = sum of rows[r] · panel[c]`.
///
/// # Safety
/// The processor has the dot-product extension.
pub(super) unsafe fn tile(rows: Block<'_>, panel: &[Line], out: &mut [[i32; PANEL]]) {
    assert!(panel.len() >= rows.lines * PANEL_LINES);
    for first in (0..rows.count).step_by(ROWS) {
        let count = ROWS.min(rows.count - first);
        for column in (0..PANEL).step_by(4 * LANES) {
            // SAFETY: a row holds 16 words a line and the panel 16 groups of 32 words; rows are in memory up to a multiple of 16.
            unsafe {
                let mut sums = [[vdupq_n_s32(0); 4]; ROWS];
                let mut weights = panel.as_ptr().cast::<i8>().add(4 * column);
                let words = rows.memory.as_ptr().add(first * rows.lines).cast::<i32>();
                for group in 0..rows.lines * 16 {
                    let columns = [0, 16, 32, 48].map(|offset| vld1q_s8(weights.add(offset)));
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let word = vreinterpretq_s8_s32(vdupq_n_s32(*words.add(row * rows.lines * 16 + group)));
                        for (sum, column) in sums.iter_mut().zip(columns) {
                            *sum = dot(*sum, column, word);
                        }
                    }
                    weights = weights.add(4 * PANEL);
                }
                for (sums, out) in sums.iter().zip(&mut out[first..first + count]) {
                    for (vector, sum) in sums.iter().enumerate() {
                        vst1q_s32(out[column + LANES * vector..].as_mut_ptr(), *sum);
                    }
                }
            }
        }
    }
}
