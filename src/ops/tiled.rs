//! Attention of many queries to one head's keys, tile by tile: the scores of 12 queries and 512 keys never leave the first
//! caches, and the softmax is made on the way (Dao et al., "FlashAttention", 2022; Milakov and Gimelshein, 2018).

use std::f32::consts::LOG2_E;

use rayon::prelude::*;

use super::{
    matrix::{BLOCK_ROWS, BlockRow, DEPTH, PANEL, Packed, STRIDE, panel_product},
    output::Parts,
    simd::{Lanes, Task, dispatch, exp2},
};

/// Elements of a head, at most.
pub(super) const HEAD_LIMIT: usize = 128;
/// Queries of a task: they share each tile of keys and values while it is in the second cache.
const TASK_QUERIES: usize = 120;

/// One head of one batch row.
pub(super) struct Head<'a, Q, L> {
    /// (keys, D).
    pub(super) keys: Packed<f32>,
    /// (D, keys).
    pub(super) values: Packed<f32>,
    /// The number of queries.
    pub(super) queries: usize,
    /// The D elements of a query.
    pub(super) query: Q,
    /// How many keys a query sees.
    pub(super) visible: L,
    /// Where a query's result starts in `parts`.
    pub(super) place: &'a (dyn Fn(usize) -> usize + Sync),
    /// The result of the whole operation.
    pub(super) parts: Parts<'a>,
}

impl<'a, Q, L> Head<'a, Q, L>
where
    Q: Fn(usize) -> &'a [f32] + Sync,
    L: Fn(usize) -> usize + Sync,
{
    /// Computes and writes the head's results.
    ///
    /// # Safety
    /// The places of this head's results belong to it alone.
    pub(super) unsafe fn run(&self) {
        let tasks = self.queries.div_ceil(TASK_QUERIES);
        (0..tasks).into_par_iter().with_max_len(1).for_each(|task| {
            let first = task * TASK_QUERIES;
            dispatch(Queries { head: self, first, count: TASK_QUERIES.min(self.queries - first) });
        });
    }
}

/// Some queries of a head.
struct Queries<'h, 'a, Q, L> {
    head: &'h Head<'a, Q, L>,
    first: usize,
    count: usize,
}

/// The softmax so far of a block of queries.
#[derive(Clone)]
struct Progress {
    maxima: [f32; BLOCK_ROWS],
    sums: [f32; BLOCK_ROWS],
    /// The values so far, weighted, not yet divided by the sums.
    outputs: [[f32; HEAD_LIMIT]; BLOCK_ROWS],
}

impl<'a, Q, L> Task for Queries<'_, 'a, Q, L>
where
    Q: Fn(usize) -> &'a [f32] + Sync,
    L: Fn(usize) -> usize + Sync,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let keys = self.head.keys.outputs;
        let start = Progress {
            maxima: [f32::NEG_INFINITY; BLOCK_ROWS],
            sums: [0.0; BLOCK_ROWS],
            outputs: [[0.0; HEAD_LIMIT]; BLOCK_ROWS],
        };
        let mut progress = vec![start; self.count.div_ceil(BLOCK_ROWS)];
        let mut queries = [[0.0; STRIDE]; BLOCK_ROWS];
        let mut scores = [[0.0; STRIDE]; BLOCK_ROWS];
        for tile in (0..keys).step_by(DEPTH) {
            let count = DEPTH.min(keys - tile);
            for (block, progress) in progress.iter_mut().enumerate() {
                let block = block * BLOCK_ROWS;
                let rows = BLOCK_ROWS.min(self.count - block);
                self.load_queries(block, &mut queries[..rows]);
                self.score(simd, tile, count, &queries[..rows], &mut scores[..rows]);
                for (row, scores) in scores[..rows].iter_mut().enumerate() {
                    let visible = (self.head.visible)(self.first + block + row).saturating_sub(tile).min(count);
                    progress.weigh(simd, row, scores, visible, count);
                }
                for panel in 0..self.head.values.panel_count() {
                    let values = self.head.values.panel(panel, tile, count);
                    panel_product(simd, &scores[..rows], values, &mut progress.outputs[..rows], panel * PANEL, true);
                }
            }
        }
        for (block, progress) in progress.iter().enumerate() {
            self.store(block * BLOCK_ROWS, progress);
        }
    }
}

impl<'a, Q, L> Queries<'_, 'a, Q, L>
where
    Q: Fn(usize) -> &'a [f32] + Sync,
    L: Fn(usize) -> usize + Sync,
{
    /// The queries, scaled by `log2(e) / sqrt(D)`, since the softmax is made of powers of two.
    #[inline(always)]
    fn load_queries(&self, block: usize, target: &mut [BlockRow]) {
        let scale = LOG2_E / (self.head.keys.inputs as f32).sqrt();
        for (row, target) in target.iter_mut().enumerate() {
            for (target, &value) in target.iter_mut().zip((self.head.query)(self.first + block + row)) {
                *target = value * scale;
            }
        }
    }

    /// The scores of a block of queries and a tile of keys.
    #[inline(always)]
    fn score<S: Lanes>(&self, simd: S, tile: usize, count: usize, queries: &[BlockRow], scores: &mut [BlockRow]) {
        let first = tile / PANEL;
        for panel in first..(tile + count).div_ceil(PANEL) {
            let keys = self.head.keys.panel(panel, 0, self.head.keys.inputs);
            panel_product(simd, queries, keys, scores, (panel - first) * PANEL, false);
        }
    }

    fn store(&self, block: usize, progress: &Progress) {
        let channels = self.head.values.outputs;
        for row in 0..BLOCK_ROWS.min(self.count - block) {
            let place = (self.head.place)(self.first + block + row);
            // SAFETY: `Head::run` is promised that the places belong to this head; each query has its own.
            let target = unsafe { self.head.parts.part(place, channels) };
            let scale = 1.0 / progress.sums[row];
            for (target, &value) in target.iter_mut().zip(&progress.outputs[row]) {
                *target = value * scale;
            }
        }
    }
}

impl Progress {
    /// Turns the first `visible` of `count` scores into powers, the others into zeros, and brings what was summed so far to
    /// the new maximum.
    #[inline(always)]
    fn weigh<S: Lanes>(&mut self, simd: S, row: usize, scores: &mut BlockRow, visible: usize, count: usize) {
        scores[visible..count].fill(0.0);
        if visible == 0 {
            return;
        }
        let scores = &mut scores[..visible];
        let largest = maximum(simd, scores).max(self.maxima[row]);
        if largest > self.maxima[row] {
            let shrink = (self.maxima[row] - largest).exp2();
            self.sums[row] *= shrink;
            self.outputs[row].iter_mut().for_each(|value| *value *= shrink);
            self.maxima[row] = largest;
        }
        self.sums[row] += powers(simd, scores, largest);
    }
}

/// The largest of some numbers.
#[inline(always)]
pub(super) fn maximum<S: Lanes>(simd: S, values: &[f32]) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(values);
    let mut maxima = [simd.splat_f32s(f32::NEG_INFINITY); 4];
    let mut groups = vectors.chunks_exact(4);
    for group in &mut groups {
        for (maximum, &vector) in maxima.iter_mut().zip(group) {
            *maximum = simd.max_f32s(*maximum, vector);
        }
    }
    for &vector in groups.remainder() {
        maxima[0] = simd.max_f32s(maxima[0], vector);
    }
    let [a, b, c, d] = maxima;
    let largest = simd.reduce_max_f32s(simd.max_f32s(simd.max_f32s(a, b), simd.max_f32s(c, d)));
    rest.iter().copied().fold(largest, f32::max)
}

/// Replaces every score s by `2^(s - largest)` and returns their sum.
#[inline(always)]
pub(super) fn powers<S: Lanes>(simd: S, scores: &mut [f32], largest: f32) -> f32 {
    let shift = simd.splat_f32s(largest);
    let mut sums = simd.splat_f32s(0.0);
    let (vectors, rest) = S::as_mut_simd_f32s(scores);
    for vector in vectors {
        *vector = exp2(simd, simd.sub_f32s(*vector, shift));
        sums = simd.add_f32s(sums, *vector);
    }
    let mut sum = simd.reduce_sum_f32s(sums);
    if !rest.is_empty() {
        let power = exp2(simd, simd.sub_f32s(simd.partial_load_f32s(rest), shift));
        simd.partial_store_f32s(rest, power);
        sum += rest.iter().sum::<f32>();
    }
    sum
}
