//! bfloat16 on the processor's matrix unit: numbers are rounded to 8 bits of mantissa, sums are f32.

use half::bf16;
use rayon::prelude::*;

use super::{BLOCK_ROWS, LINE, Line, PANEL_LINES, TILE_ROWS, bytes, bytes_mut, product::Sums};
use crate::ops::{
    matrix::PANEL,
    simd::{Lanes, Task, dispatch},
};

/// Elements of a line.
pub(in crate::ops) const LINE_ELEMENTS: usize = LINE / size_of::<bf16>();
/// Below this number of elements, rows are rounded by one thread.
const PARALLEL_THRESHOLD: usize = 1 << 16;
/// Rows that one task rounds.
const TASK_ROWS: usize = 64;

/// Lines of a row with so many elements; one at least.
pub(in crate::ops) fn lines(inputs: usize) -> usize {
    inputs.div_ceil(LINE_ELEMENTS).max(1)
}

/// The elements of lines, to be written.
pub(in crate::ops) fn elements_mut(lines: &mut [Line]) -> &mut [u16] {
    let (before, elements, after) = {
        // SAFETY: every pattern of bits is a u16.
        unsafe { bytes_mut(lines).align_to_mut::<u16>() }
    };
    debug_assert!(before.is_empty() && after.is_empty());
    elements
}

/// The bits of the nearest bfloat16, ties to even; for finite numbers.
#[inline(always)]
pub(in crate::ops) fn round(value: f32) -> u16 {
    let bits = value.to_bits();
    // Written without a branch so that it becomes vector code: a NaN keeps a bit of its mantissa.
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let kept = if value.is_nan() { bits | 1 << 22 } else { rounded };
    (kept >> 16) as u16
}

/// Rounds all `values`.
struct Round<'a> {
    values: &'a [f32],
    target: &'a mut [u16],
}

impl Task for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        for (target, &value) in self.target.iter_mut().zip(self.values) {
            *target = round(value);
        }
    }
}

/// Rounds pairs of values, one from each side in turn.
struct Interleave<'a> {
    even: &'a [f32],
    odd: &'a [f32],
    target: &'a mut [u16],
}

impl Task for Interleave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        for ((words, &even), &odd) in self.target.as_chunks_mut::<2>().0.iter_mut().zip(self.even).zip(self.odd) {
            *words = [round(even), round(odd)];
        }
    }
}

/// A matrix (out, in) in bfloat16, packed for products.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Bfloat16Matrix {
    panels: Vec<Line>,
    pub(in crate::ops) outputs: usize,
    pub(in crate::ops) inputs: usize,
}

impl Bfloat16Matrix {
    /// Packs the matrix whose row `output` is written by `row(output, target)`.
    pub(in crate::ops) fn new(outputs: usize, inputs: usize, row: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let panel = lines(inputs) * PANEL_LINES;
        let mut panels = vec![Line::ZERO; outputs.div_ceil(PANEL) * panel];
        panels.par_chunks_mut(panel).enumerate().for_each(|(index, panel)| {
            let (mut values, mut rounded) = (vec![0.0; inputs], vec![0; inputs]);
            for column in 0..PANEL.min(outputs - index * PANEL) {
                row(index * PANEL + column, &mut values);
                dispatch(Round { values: &values, target: &mut rounded });
                for (words, pair) in elements_mut(panel).chunks_exact_mut(2 * PANEL).zip(rounded.chunks(2)) {
                    words[2 * column..2 * column + pair.len()].copy_from_slice(pair);
                }
            }
        });
        Self { panels, outputs, inputs }
    }

    /// Packs the matrix whose column `input` is written by `column(input, target)`.
    pub(in crate::ops) fn from_columns(outputs: usize, inputs: usize, column: impl Fn(usize, &mut [f32])) -> Self {
        let panel = lines(inputs) * PANEL_LINES;
        let mut panels = vec![Line::ZERO; outputs.div_ceil(PANEL) * panel];
        let mut pair = [vec![0.0; outputs], vec![0.0; outputs]];
        for input in (0..inputs).step_by(2) {
            column(input, &mut pair[0]);
            if input + 1 < inputs {
                column(input + 1, &mut pair[1]);
            } else {
                pair[1].fill(0.0);
            }
            let [even, odd] = &pair;
            for (panel, (even, odd)) in panels.chunks_exact_mut(panel).zip(even.chunks(PANEL).zip(odd.chunks(PANEL))) {
                let words = &mut elements_mut(panel)[input * PANEL..][..2 * PANEL];
                dispatch(Interleave { even, odd, target: words });
            }
        }
        Self { panels, outputs, inputs }
    }

    /// Row `output` of the matrix, in f32.
    pub(in crate::ops) fn row(&self, output: usize) -> impl Iterator<Item = f32> + '_ {
        let (words, _) = bytes(self.panel(output / PANEL)).as_chunks::<2>();
        (0..self.inputs).map(move |depth| {
            let word = words[(depth / 2 * PANEL + output % PANEL) * 2 + depth % 2];
            bf16::from_le_bytes(word).to_f32()
        })
    }

    /// A panel: as many groups of 32 words as its lines hold.
    pub(in crate::ops) fn panel(&self, index: usize) -> &[Line] {
        let length = lines(self.inputs) * PANEL_LINES;
        &self.panels[index * length..][..length]
    }
}

/// Rows in bfloat16.
pub(in crate::ops) struct Bfloat16Rows {
    memory: Vec<Line>,
    lines: usize,
    count: usize,
}

impl Bfloat16Rows {
    /// Rounds `count` rows of `inputs` elements; `fill(row, target)` writes a row.
    pub(in crate::ops) fn new(count: usize, inputs: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let lines = lines(inputs);
        let mut memory = vec![Line::ZERO; count.next_multiple_of(TILE_ROWS) * lines];
        let round = |(task, memory): (usize, &mut [Line])| {
            let mut values = vec![0.0; inputs];
            let rows = TASK_ROWS.min(count - task * TASK_ROWS);
            for (index, row) in memory.chunks_exact_mut(lines).take(rows).enumerate() {
                fill(task * TASK_ROWS + index, &mut values);
                dispatch(Round { values: &values, target: &mut elements_mut(row)[..inputs] });
            }
        };
        if count * inputs < PARALLEL_THRESHOLD {
            memory.chunks_mut(TASK_ROWS * lines).enumerate().for_each(round);
        } else {
            memory.par_chunks_mut(TASK_ROWS * lines).enumerate().for_each(round);
        }
        Self { memory, lines, count }
    }
}

/// The product of rows and a matrix.
pub(in crate::ops) struct Bfloat16Product<'a> {
    rows: &'a Bfloat16Rows,
    weights: &'a Bfloat16Matrix,
}

impl<'a> Bfloat16Product<'a> {
    /// The product; both have the same number of inputs.
    ///
    /// # Safety
    /// The processor has a unit for it ([`has_bfloat16_unit`](crate::ops::instructions::has_bfloat16_unit)).
    pub(in crate::ops) unsafe fn new(rows: &'a Bfloat16Rows, weights: &'a Bfloat16Matrix) -> Self {
        assert_eq!(rows.lines, lines(weights.inputs), "rows and weights have the same inputs");
        Self { rows, weights }
    }
}

#[cfg(target_arch = "x86_64")]
impl Sums for Bfloat16Product<'_> {
    type Session = super::amx::Tiles;

    fn rows(&self) -> usize {
        self.rows.count
    }

    fn outputs(&self) -> usize {
        self.weights.outputs
    }

    fn session(&self) -> super::amx::Tiles {
        // SAFETY: promised by whoever made the product.
        unsafe { super::amx::Tiles::new() }
    }

    #[inline(always)]
    fn sums<S: Lanes>(
        &self,
        _simd: S,
        tiles: &mut super::amx::Tiles,
        first: usize,
        panel: usize,
        count: usize,
        out: &mut [[f32; PANEL]; BLOCK_ROWS],
    ) {
        let Self { rows, weights } = self;
        let block = super::Block::new(&rows.memory[first * rows.lines..], rows.lines, count);
        // SAFETY: as above; `out` has room for 32 rows.
        unsafe {
            super::amx::bfloat16_tile(tiles, block, weights.panel(panel), out.as_mut_ptr().cast(), PANEL);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Sums for Bfloat16Product<'_> {
    type Session = std::convert::Infallible;

    fn rows(&self) -> usize {
        self.rows.count
    }

    fn outputs(&self) -> usize {
        self.weights.outputs
    }

    fn session(&self) -> Self::Session {
        unreachable!("no processor of this kind has the unit")
    }

    fn sums<S: Lanes>(
        &self,
        _: S,
        never: &mut Self::Session,
        _: usize,
        _: usize,
        _: usize,
        _: &mut [[f32; PANEL]; BLOCK_ROWS],
    ) {
        match *never {}
    }
}
