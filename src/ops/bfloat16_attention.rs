//! Attention of many queries to many keys on the processor's unit for bfloat16: blocks of 32 queries and 256 keys, whose scores
//! never leave the first two caches; the softmax is made on the way, in f32 (Dao et al., "FlashAttention", 2022; Milakov and
//! Gimelshein, 2018).

use std::f32::consts::LOG2_E;

use rayon::prelude::*;

use super::{
    matrix::PANEL,
    narrow::{
        BLOCK_ROWS, Block, Line, PANEL_LINES,
        amx::{Tiles, bfloat16_tile},
        bfloat16::{Bfloat16Matrix, LINE_ELEMENTS, elements_mut, lines, round},
    },
    output::Parts,
    simd::{Lanes, Task, dispatch},
    tiled::{HEAD_LIMIT, maximum, powers},
};

/// Keys of a block.
const KEYS: usize = 256;
/// Lines of as many weights.
const KEY_LINES: usize = KEYS / LINE_ELEMENTS;
/// Lines of a head's query, at most.
const HEAD_LINES: usize = HEAD_LIMIT / LINE_ELEMENTS;
/// Queries of a task.
const TASK_QUERIES: usize = 4 * BLOCK_ROWS;

/// One call of the operation: q (B, Tq, H*D), k and v (B, Tk, H*D).
pub(super) struct Call<'a> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
    /// B.
    pub(super) batch: usize,
    /// Tq.
    pub(super) queries: usize,
    /// Tk.
    pub(super) keys: usize,
    /// H.
    pub(super) heads: usize,
    /// D: 128 at most.
    pub(super) size: usize,
    /// The result (B, Tq, H*D).
    pub(super) parts: Parts<'a>,
}

impl Call<'_> {
    /// Writes the result.
    ///
    /// # Safety
    /// The processor has the unit ([`has_bfloat16_unit`](super::instructions::has_bfloat16_unit)), and nothing else writes to
    /// the result.
    pub(super) unsafe fn run(&self) {
        let channels = self.heads * self.size;
        (0..self.batch * self.heads).into_par_iter().with_max_len(1).for_each(|task| {
            let (row, offset) = (task / self.heads, task % self.heads * self.size);
            let start = |key: usize| (row * self.keys + key) * channels + offset;
            let read = |source: &[f32], key: usize, target: &mut [f32]| {
                target.copy_from_slice(&source[start(key)..][..self.size]);
            };
            let keys = Bfloat16Matrix::new(self.keys, self.size, |key, target| read(self.k, key, target));
            let values = Bfloat16Matrix::from_columns(self.size, self.keys, |key, target| read(self.v, key, target));
            (0..self.queries.div_ceil(TASK_QUERIES)).into_par_iter().with_max_len(1).for_each(|task| {
                let first = task * TASK_QUERIES;
                let count = TASK_QUERIES.min(self.queries - first);
                dispatch(Queries { call: self, keys: &keys, values: &values, row, offset, first, count });
            });
        });
    }
}

/// Some queries of one head of one batch row.
struct Queries<'a> {
    call: &'a Call<'a>,
    /// (Tk, D).
    keys: &'a Bfloat16Matrix,
    /// (D, Tk).
    values: &'a Bfloat16Matrix,
    row: usize,
    /// Where the head begins in the channels.
    offset: usize,
    first: usize,
    count: usize,
}

impl Task for Queries<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        // SAFETY: whoever began the call promised the unit.
        let tiles = unsafe { Tiles::new() };
        let mut workspace = Box::new(Workspace::EMPTY);
        for first in (self.first..self.first + self.count).step_by(BLOCK_ROWS) {
            let count = BLOCK_ROWS.min(self.first + self.count - first);
            workspace.begin(&self, first, count);
            for tile in (0..self.call.keys).step_by(KEYS) {
                workspace.attend(simd, &tiles, &self, tile, count);
            }
            workspace.store(&self, first, count);
        }
    }
}

/// A block of queries, its scores for a block of keys, and what was summed so far.
struct Workspace {
    queries: [Line; BLOCK_ROWS * HEAD_LINES],
    scores: [[f32; KEYS]; BLOCK_ROWS],
    /// The powers of the scores, rows one after the other.
    weights: [Line; BLOCK_ROWS * KEY_LINES],
    maxima: [f32; BLOCK_ROWS],
    sums: [f32; BLOCK_ROWS],
    /// What the last block of keys brought: its part of 32 channels.
    part: [[f32; PANEL]; BLOCK_ROWS],
    /// The values so far, weighted, not yet divided by the sums.
    outputs: [[f32; HEAD_LIMIT]; BLOCK_ROWS],
}

impl Workspace {
    const EMPTY: Self = Self {
        queries: [Line::ZERO; BLOCK_ROWS * HEAD_LINES],
        scores: [[0.0; KEYS]; BLOCK_ROWS],
        weights: [Line::ZERO; BLOCK_ROWS * KEY_LINES],
        maxima: [f32::NEG_INFINITY; BLOCK_ROWS],
        sums: [0.0; BLOCK_ROWS],
        part: [[0.0; PANEL]; BLOCK_ROWS],
        outputs: [[0.0; HEAD_LIMIT]; BLOCK_ROWS],
    };

    /// Loads queries, scaled by `log2(e) / sqrt(D)` since the softmax is made of powers of two.
    #[inline(always)]
    fn begin(&mut self, head: &Queries<'_>, first: usize, count: usize) {
        let call = head.call;
        let scale = LOG2_E / (call.size as f32).sqrt();
        let rows = elements_mut(&mut self.queries).chunks_exact_mut(lines(call.size) * LINE_ELEMENTS);
        for (row, target) in rows.take(count).enumerate() {
            let query = &call.q[place(head, first + row)..][..call.size];
            for (target, &value) in target.iter_mut().zip(query) {
                *target = round(value * scale);
            }
        }
        self.maxima.fill(f32::NEG_INFINITY);
        self.sums.fill(0.0);
        self.outputs.as_flattened_mut().fill(0.0);
    }

    /// Takes in the keys from `tile`.
    #[inline(always)]
    fn attend<S: Lanes>(&mut self, simd: S, tiles: &Tiles, head: &Queries<'_>, tile: usize, count: usize) {
        let keys = KEYS.min(head.call.keys - tile);
        let queries = Block::new(&self.queries, lines(head.call.size), count);
        for (index, panel) in (tile / PANEL..(tile + keys).div_ceil(PANEL)).enumerate() {
            let scores = self.scores.as_flattened_mut()[index * PANEL..].as_mut_ptr();
            // SAFETY: the unit is there; 32 rows of 256 scores have room for this panel's part of each.
            unsafe { bfloat16_tile(tiles, queries, head.keys.panel(panel), scores, KEYS) };
        }
        let mut shrink = [0.0; BLOCK_ROWS];
        let row_lines = keys.div_ceil(LINE_ELEMENTS);
        let weights = elements_mut(&mut self.weights).chunks_exact_mut(row_lines * LINE_ELEMENTS);
        for (row, target) in weights.take(count).enumerate() {
            let scores = &mut self.scores[row][..keys];
            let largest = maximum(simd, scores).max(self.maxima[row]);
            shrink[row] = (self.maxima[row] - largest).exp2();
            self.maxima[row] = largest;
            self.sums[row] = self.sums[row] * shrink[row] + powers(simd, scores, largest);
            target[keys..].fill(0);
            for (target, &power) in target.iter_mut().zip(&*scores) {
                *target = round(power);
            }
        }
        let weights = Block::new(&self.weights, row_lines, count);
        for panel in 0..head.call.size.div_ceil(PANEL) {
            let values = &head.values.panel(panel)[tile / LINE_ELEMENTS * PANEL_LINES..];
            // SAFETY: the unit is there, and the part has 32 rows.
            unsafe { bfloat16_tile(tiles, weights, values, self.part.as_mut_ptr().cast(), PANEL) };
            let outputs = self.outputs.iter_mut().map(|output| &mut output[panel * PANEL..][..PANEL]);
            for ((output, part), shrink) in outputs.zip(&self.part).zip(shrink).take(count) {
                for (output, part) in output.iter_mut().zip(part) {
                    *output = *output * shrink + part;
                }
            }
        }
    }

    /// Writes the results of a block of queries.
    #[inline(always)]
    fn store(&self, head: &Queries<'_>, first: usize, count: usize) {
        for (row, (output, sum)) in self.outputs.iter().zip(self.sums).take(count).enumerate() {
            // SAFETY: each query of each head is stored once.
            let target = unsafe { head.call.parts.part(place(head, first + row), head.call.size) };
            let scale = 1.0 / sum;
            for (target, &value) in target.iter_mut().zip(output) {
                *target = value * scale;
            }
        }
    }
}

/// Where a query, and its result, lies.
#[inline(always)]
fn place(head: &Queries<'_>, query: usize) -> usize {
    let call = head.call;
    (head.row * call.queries + query) * call.heads * call.size + head.offset
}
