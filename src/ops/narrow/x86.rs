//! int8 sums by vectors of x86: VNNI's dot products of 4 bytes, or AVX2's multiply-adds of 16-bit numbers.

use std::arch::x86_64::*;

use super::{Block, Line, PANEL_LINES, bytes};
use crate::ops::matrix::PANEL;

/// What VNNI's unsigned rows start from: each is its int8 plus 128, so 128 times the sum of a column is taken off first.
pub(super) type Offsets = [i32; PANEL];

/// Calls a function compiled for each number of rows, for all rows of a block, `$most` at once.
macro_rules! by_row_count {
    ($most:literal, $rows:ident, $out:ident, [$($count:literal)*], $call:ident) => {
        let mut first = 0;
        while first < $rows.count {
            // As even as can be: 32 rows are 11, 11 and 10, not 12, 12 and 8.
            let left = $rows.count - first;
            let these = left.div_ceil(left.div_ceil($most));
            match these {
                $($count => $call!($count, first, &mut $out[first..]),)*
                _ => unreachable!("no more rows at once than there are functions for"),
            }
            first += these;
        }
    };
}

/// AVX512-VNNI.
///
/// # Safety
/// The processor has AVX512F and AVX512-VNNI; bytes of the rows are int8 plus 128.
pub(super) unsafe fn avx512_vnni(rows: Block<'_>, panel: &[Line], offsets: &Offsets, out: &mut [[i32; PANEL]]) {
    assert!(panel.len() >= rows.lines * PANEL_LINES);
    macro_rules! call {
        ($count:literal, $first:expr, $out:expr) => {
            // SAFETY: as promised by the caller.
            unsafe { avx512_vnni_rows::<$count>(rows, $first, panel, offsets, $out) }
        };
    }
    by_row_count!(12, rows, out, [1 2 3 4 5 6 7 8 9 10 11 12], call);
}

#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn avx512_vnni_rows<const R: usize>(
    rows: Block<'_>,
    first: usize,
    panel: &[Line],
    offsets: &Offsets,
    out: &mut [[i32; PANEL]],
) {
    let mut words: [*const u8; R] = [std::ptr::null(); R];
    for (r, words) in words.iter_mut().enumerate() {
        *words = rows.row(first + r).as_ptr();
    }
    // SAFETY: `rows.lines` lines of each row hold 16 words each, and the panel two lines for each of them.
    unsafe {
        let start = [_mm512_loadu_si512(offsets.as_ptr().cast()), _mm512_loadu_si512(offsets[16..].as_ptr().cast())];
        let mut sums = [start; R];
        let mut weights = panel.as_ptr().cast::<__m512i>();
        for group in 0..rows.lines * 16 {
            let (low, high) = (*weights, *weights.add(1));
            for r in 0..R {
                let word = _mm512_set1_epi32(words[r].cast::<i32>().add(group).read_unaligned());
                sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], word, low);
                sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], word, high);
            }
            weights = weights.add(2);
        }
        for r in 0..R {
            _mm512_storeu_si512(out[r].as_mut_ptr().cast(), sums[r][0]);
            _mm512_storeu_si512(out[r][16..].as_mut_ptr().cast(), sums[r][1]);
        }
    }
}

/// AVX-VNNI.
///
/// # Safety
/// The processor has AVX2 and AVX-VNNI; bytes of the rows are int8 plus 128.
pub(super) unsafe fn avx_vnni(rows: Block<'_>, panel: &[Line], offsets: &Offsets, out: &mut [[i32; PANEL]]) {
    assert!(panel.len() >= rows.lines * PANEL_LINES);
    macro_rules! call {
        ($count:literal, $first:expr, $out:expr) => {
            // SAFETY: as promised by the caller.
            unsafe { avx_vnni_rows::<$count>(rows, $first, panel, offsets, $out) }
        };
    }
    by_row_count!(6, rows, out, [1 2 3 4 5 6], call);
}

#[target_feature(enable = "avx2,avxvnni")]
unsafe fn avx_vnni_rows<const R: usize>(
    rows: Block<'_>,
    first: usize,
    panel: &[Line],
    offsets: &Offsets,
    out: &mut [[i32; PANEL]],
) {
    for half in 0..2 {
        let column = half * 16;
        // SAFETY: as above; a group of 32 words is four vectors.
        unsafe {
            let start = [
                _mm256_loadu_si256(offsets[column..].as_ptr().cast()),
                _mm256_loadu_si256(offsets[column + 8..].as_ptr().cast()),
            ];
            let mut sums = [start; R];
            let mut weights = panel.as_ptr().cast::<__m256i>().add(2 * half);
            for group in 0..rows.lines * 16 {
                let (low, high) = (*weights, *weights.add(1));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let word = rows.memory.as_ptr().add((first + r) * rows.lines).cast::<i32>().add(group);
                    let word = _mm256_set1_epi32(word.read());
                    sums[0] = _mm256_dpbusd_avx_epi32(sums[0], word, low);
                    sums[1] = _mm256_dpbusd_avx_epi32(sums[1], word, high);
                }
                weights = weights.add(4);
            }
            for (sums, out) in sums.iter().zip(&mut *out) {
                _mm256_storeu_si256(out[column..].as_mut_ptr().cast(), sums[0]);
                _mm256_storeu_si256(out[column + 8..].as_mut_ptr().cast(), sums[1]);
            }
        }
    }
}

/// AVX2, whose own product of bytes would overflow: bytes are widened to 16 bits first.
///
/// # Safety
/// The processor has AVX2; bytes of the rows are int8.
pub(super) unsafe fn avx2(rows: Block<'_>, panel: &[Line], out: &mut [[i32; PANEL]]) {
    assert!(bytes(panel).len() >= rows.lines * 16 * 4 * PANEL);
    macro_rules! call {
        ($count:literal, $first:expr, $out:expr) => {
            // SAFETY: as promised by the caller.
            unsafe { avx2_rows::<$count>(rows, $first, panel, $out) }
        };
    }
    by_row_count!(3, rows, out, [1 2 3], call);
}

#[target_feature(enable = "avx2")]
unsafe fn avx2_rows<const R: usize>(rows: Block<'_>, first: usize, panel: &[Line], out: &mut [[i32; PANEL]]) {
    for half in 0..2 {
        // SAFETY: as above; four words of a group widen to one vector.
        unsafe {
            // Of each column two sums: of its elements 0 and 1, and of 2 and 3.
            let mut sums = [[_mm256_setzero_si256(); R]; 4];
            let mut weights = panel.as_ptr().cast::<__m128i>().add(4 * half);
            for group in 0..rows.lines * 16 {
                let mut row_words = [_mm256_setzero_si256(); R];
                for (r, row_word) in row_words.iter_mut().enumerate() {
                    let word = rows.memory.as_ptr().add((first + r) * rows.lines).cast::<i32>().add(group);
                    *row_word = _mm256_cvtepi8_epi16(_mm_set1_epi32(word.read()));
                }
                for (quarter, sums) in sums.iter_mut().enumerate() {
                    let columns = _mm256_cvtepi8_epi16(*weights.add(quarter));
                    for (sum, row_word) in sums.iter_mut().zip(row_words) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(row_word, columns));
                    }
                }
                weights = weights.add(8);
            }
            for (r, out) in out.iter_mut().enumerate().take(R) {
                for pair in 0..2 {
                    let added = _mm256_hadd_epi32(sums[2 * pair][r], sums[2 * pair + 1][r]);
                    let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(added);
                    _mm256_storeu_si256(out[16 * half + 8 * pair..].as_mut_ptr().cast(), ordered);
                }
            }
        }
    }
}
