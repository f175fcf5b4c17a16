//! The matrix product under every fast path: rows times a packed matrix, one tile of registers at a time.
//!
//! The fixed matrix (weights; keys; values) is packed once into panels of 32 columns, `panel[k][column]`, padded with
//! zeros, so that a product streams it in order. The rows (activations) are copied, 12 at a time and 512 elements deep,
//! into a block that stays in the first cache; a tile of 12 x 32 sums stays in registers (the scheme of Goto and van de
//! Geijn, "Anatomy of high-performance matrix multiplication", 2008).

use std::ops::Range;

use rayon::prelude::*;

use super::output::{Output, Parts};
use super::simd::{Element, Lanes, Task, dispatch, gelu_all, relu_all};

/// Columns of a panel.
pub(super) const PANEL: usize = 32;
/// Rows of a block, at most.
pub(super) const BLOCK_ROWS: usize = 12;
/// Depth of a block, at most.
pub(super) const DEPTH: usize = 512;
/// Elements from one row of a block to the next: more than its depth, so that rows do not compete for the same cache sets.
pub(super) const STRIDE: usize = DEPTH + 16;

/// Rows of a block.
pub(super) type BlockRow = [f32; STRIDE];

/// `out[r][offset + c] = start * out[r][offset + c] + sum over k of rows[r][k] * panel[k][c]` for the 32 columns c of a
/// panel; `accumulate` stands for a start of one, else the old values are not read.
#[inline(always)]
pub(super) fn panel_product<S: Lanes, E: Element, const W: usize>(
    simd: S,
    rows: &[BlockRow],
    panel: &[[E; PANEL]],
    out: &mut [[f32; W]],
    offset: usize,
    accumulate: bool,
) {
    if const { S::F32_LANES >= 16 } {
        match rows.len() {
            1 => tiles::<S, E, W, 1, 2>(simd, rows, panel, out, offset, accumulate),
            2 => tiles::<S, E, W, 2, 2>(simd, rows, panel, out, offset, accumulate),
            3 => tiles::<S, E, W, 3, 2>(simd, rows, panel, out, offset, accumulate),
            4 => tiles::<S, E, W, 4, 2>(simd, rows, panel, out, offset, accumulate),
            5 => tiles::<S, E, W, 5, 2>(simd, rows, panel, out, offset, accumulate),
            6 => tiles::<S, E, W, 6, 2>(simd, rows, panel, out, offset, accumulate),
            7 => tiles::<S, E, W, 7, 2>(simd, rows, panel, out, offset, accumulate),
            8 => tiles::<S, E, W, 8, 2>(simd, rows, panel, out, offset, accumulate),
            9 => tiles::<S, E, W, 9, 2>(simd, rows, panel, out, offset, accumulate),
            10 => tiles::<S, E, W, 10, 2>(simd, rows, panel, out, offset, accumulate),
            11 => tiles::<S, E, W, 11, 2>(simd, rows, panel, out, offset, accumulate),
            _ => tiles::<S, E, W, 12, 2>(simd, rows, panel, out, offset, accumulate),
        }
    } else {
        // Sixteen or thirty-two narrower registers: at most six rows of two or four vectors.
        for (rows, out) in rows.chunks(6).zip(out.chunks_mut(6)) {
            match rows.len() {
                1 => narrow::<S, E, W, 1>(simd, rows, panel, out, offset, accumulate),
                2 => narrow::<S, E, W, 2>(simd, rows, panel, out, offset, accumulate),
                3 => narrow::<S, E, W, 3>(simd, rows, panel, out, offset, accumulate),
                4 => narrow::<S, E, W, 4>(simd, rows, panel, out, offset, accumulate),
                5 => narrow::<S, E, W, 5>(simd, rows, panel, out, offset, accumulate),
                _ => narrow::<S, E, W, 6>(simd, rows, panel, out, offset, accumulate),
            }
        }
    }
}

#[inline(always)]
fn narrow<S: Lanes, E: Element, const W: usize, const R: usize>(
    simd: S,
    rows: &[BlockRow],
    panel: &[[E; PANEL]],
    out: &mut [[f32; W]],
    offset: usize,
    accumulate: bool,
) {
    if const { S::F32_LANES == 8 } {
        tiles::<S, E, W, R, 2>(simd, rows, panel, out, offset, accumulate);
    } else {
        tiles::<S, E, W, R, 4>(simd, rows, panel, out, offset, accumulate);
    }
}

/// A panel by tiles of R rows and V vectors.
#[inline(always)]
fn tiles<S: Lanes, E: Element, const W: usize, const R: usize, const V: usize>(
    simd: S,
    rows: &[BlockRow],
    panel: &[[E; PANEL]],
    out: &mut [[f32; W]],
    offset: usize,
    accumulate: bool,
) {
    let (Some(rows), Some(out)) = (rows.first_chunk::<R>(), out.first_chunk_mut::<R>()) else {
        unreachable!("the caller chose R by the number of rows");
    };
    let width = V * S::F32_LANES;
    for column in (0..PANEL).step_by(width) {
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for (k, weights) in panel.iter().enumerate().take(STRIDE) {
            let mut vectors = [simd.splat_f32s(0.0); V];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = E::load(simd, &weights[column + v * S::F32_LANES..]);
            }
            for r in 0..R {
                let value = simd.splat_f32s(rows[r][k]);
                for v in 0..V {
                    sums[r][v] = simd.mul_add_e_f32s(value, vectors[v], sums[r][v]);
                }
            }
        }
        for r in 0..R {
            let target = &mut out[r][offset + column..offset + column + width];
            for (target, sum) in S::as_mut_simd_f32s(target).0.iter_mut().zip(sums[r]) {
                *target = if accumulate { simd.add_f32s(*target, sum) } else { sum };
            }
        }
    }
}

/// A matrix (out, in) packed for products with rows of `in` elements.
#[derive(Debug, Clone)]
pub(super) struct Packed<E> {
    /// Panel after panel, each `inputs` deep.
    panels: Vec<[E; PANEL]>,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
}

impl<E: Element> Packed<E> {
    /// Packs the matrix whose element (o, i) is `at(o, i)`.
    pub(super) fn new(outputs: usize, inputs: usize, at: impl Fn(usize, usize) -> E + Sync) -> Self {
        let mut panels = vec![[E::default(); PANEL]; outputs.div_ceil(PANEL) * inputs];
        panels.par_chunks_mut(inputs.max(1)).enumerate().for_each(|(index, panel)| {
            let first = index * PANEL;
            for output in first..outputs.min(first + PANEL) {
                for (input, columns) in panel.iter_mut().enumerate() {
                    columns[output - first] = at(output, input);
                }
            }
        });
        Self { panels, outputs, inputs }
    }

    /// Row `output` of the matrix, in f32.
    pub(super) fn row(&self, output: usize) -> impl Iterator<Item = f32> + '_ {
        let start = output / PANEL * self.inputs;
        self.panels[start..start + self.inputs].iter().map(move |columns| columns[output % PANEL].widen())
    }

    /// Packs the matrix whose column `input` is written by `column(input, target)`.
    pub(super) fn from_columns(outputs: usize, inputs: usize, column: impl Fn(usize, &mut [E])) -> Self {
        let mut panels = vec![[E::default(); PANEL]; outputs.div_ceil(PANEL) * inputs];
        let mut values = vec![E::default(); outputs];
        for input in 0..inputs {
            column(input, &mut values);
            for (index, values) in values.chunks(PANEL).enumerate() {
                panels[index * inputs + input][..values.len()].copy_from_slice(values);
            }
        }
        Self { panels, outputs, inputs }
    }

    /// Packs the matrix whose row `output` is written by `row(output, target)`.
    pub(super) fn from_rows(outputs: usize, inputs: usize, row: impl Fn(usize, &mut [E])) -> Self {
        let mut panels = vec![[E::default(); PANEL]; outputs.div_ceil(PANEL) * inputs];
        let mut values = vec![E::default(); inputs];
        for output in 0..outputs {
            row(output, &mut values);
            let panel = &mut panels[output / PANEL * inputs..][..inputs];
            for (columns, &value) in panel.iter_mut().zip(&values) {
                columns[output % PANEL] = value;
            }
        }
        Self { panels, outputs, inputs }
    }

    /// The number of panels.
    pub(super) fn panel_count(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    /// Depths `depth .. depth + count` of a panel.
    pub(super) fn panel(&self, index: usize, depth: usize, count: usize) -> &[[E; PANEL]] {
        &self.panels[index * self.inputs + depth..][..count]
    }
}

/// What happens to a sum before it is stored: `+ bias`, then GELU or ReLU, then `+ residual`.
#[derive(Clone, Copy, Default)]
pub(super) struct Finish<'a> {
    /// One number for each output.
    pub(super) bias: Option<&'a [f32]>,
    /// Whether GELU follows.
    pub(super) gelu: bool,
    /// Whether ReLU follows.
    pub(super) relu: bool,
    /// One number for each element of the result.
    pub(super) residual: Option<&'a [f32]>,
}

/// Rows of a task: enough to pay for bringing its panels into the second cache.
const TASK_ROWS: usize = 96;
/// Panels of a task: 512 KiB at full depth in f32, which stays in the second cache.
const TASK_PANELS: usize = 8;
/// Products below this number of multiplications are not worth a second thread.
const PARALLEL_THRESHOLD: usize = 1 << 16;

/// `finish(X W^T)`: (rows, out). `fill(row, depth, target)` writes elements `depth ..` of a row of X to `target`.
pub(super) fn product<E: Element>(
    rows: usize,
    packed: &Packed<E>,
    fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    finish: Finish<'_>,
) -> Vec<f32> {
    let mut output = Output::new(rows * packed.outputs);
    let target = Target { finish, parts: output.parts(), outputs: packed.outputs };
    let threads = rayon::current_num_threads();
    let row_tasks = rows.div_ceil(TASK_ROWS);
    let panels = packed.panel_count();
    // Few rows: narrower tasks, so that every thread has some.
    let wanted = (4 * threads).div_ceil(row_tasks.max(1));
    let task_panels = panels.div_ceil(wanted).clamp(1, TASK_PANELS);
    let panel_tasks = panels.div_ceil(task_panels);
    let task = |index: usize| {
        let (row, panel) = (index / panel_tasks * TASK_ROWS, index % panel_tasks * task_panels);
        dispatch(ProductTask {
            packed,
            fill: &fill,
            target,
            rows: row..rows.min(row + TASK_ROWS),
            panels: panel..panels.min(panel + task_panels),
        });
    };
    let tasks = row_tasks * panel_tasks;
    if threads == 1 || rows * packed.outputs * packed.inputs < PARALLEL_THRESHOLD {
        (0..tasks).for_each(task);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
    // SAFETY: the tasks cover all rows and all panels.
    unsafe { output.into_values() }
}

struct ProductTask<'a, E, F> {
    packed: &'a Packed<E>,
    fill: &'a F,
    target: Target<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl<E: Element, F: Fn(usize, usize, &mut [f32])> Task for ProductTask<'_, E, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let inputs = self.packed.inputs;
        let depth_step = inputs.div_ceil(inputs.div_ceil(DEPTH).max(1)).max(1);
        let block_rows = self.rows.len().div_ceil(self.rows.len().div_ceil(BLOCK_ROWS).max(1)).max(1);
        let mut block = [[0.0; STRIDE]; BLOCK_ROWS];
        let mut tile = [[0.0; PANEL]; BLOCK_ROWS];
        // No input at all still yields the bias: one empty step.
        let mut depth = 0;
        loop {
            let count = depth_step.min(inputs - depth);
            let last = depth + count == inputs;
            for first in self.rows.clone().step_by(block_rows) {
                let rows = block_rows.min(self.rows.end - first);
                for (row, target) in block[..rows].iter_mut().enumerate() {
                    (self.fill)(first + row, depth, &mut target[..count]);
                }
                for panel in self.panels.clone() {
                    let weights = self.packed.panel(panel, depth, count);
                    panel_product(simd, &block[..rows], weights, &mut tile[..rows], 0, false);
                    for (row, sums) in tile[..rows].iter_mut().enumerate() {
                        self.target.store(simd, first + row, panel, sums, depth > 0, last);
                    }
                }
            }
            depth += count;
            if last {
                break;
            }
        }
    }
}

/// Where the sums of a product go, and what happens to them on the way.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) finish: Finish<'a>,
    /// (rows, outputs).
    pub(super) parts: Parts<'a>,
    pub(super) outputs: usize,
}

impl Target<'_> {
    /// Adds the sums of one row and panel to the result, or makes them its first part; finishes after the last. No two tasks
    /// store the same row and panel.
    #[inline(always)]
    pub(super) fn store<S: Lanes>(
        &self,
        simd: S,
        row: usize,
        panel: usize,
        sums: &mut [f32; PANEL],
        add: bool,
        last: bool,
    ) {
        let column = panel * PANEL;
        let width = PANEL.min(self.outputs - column);
        let start = row * self.outputs + column;
        // SAFETY: rows and panels of the tasks are disjoint, and a task holds one slice at a time.
        let target = unsafe { self.parts.part(start, width) };
        let sums = &mut sums[..width];
        if add {
            add_to(simd, sums, target);
        }
        if last {
            if let Some(bias) = self.finish.bias {
                add_to(simd, sums, &bias[column..column + width]);
            }
            if self.finish.gelu {
                gelu_all(simd, sums);
            }
            if self.finish.relu {
                relu_all(simd, sums);
            }
            if let Some(residual) = self.finish.residual {
                add_to(simd, sums, &residual[start..start + width]);
            }
        }
        copy_to(simd, sums, target);
    }
}

/// Copies `source` to as many elements: for a few vectors, a call of the library's copy would take longer than the copy.
#[inline(always)]
pub(super) fn copy_to<S: Lanes>(_: S, source: &[f32], target: &mut [f32]) {
    let (source, source_rest) = S::as_simd_f32s(source);
    let (target, target_rest) = S::as_mut_simd_f32s(target);
    for (target, &source) in target.iter_mut().zip(source) {
        *target = source;
    }
    for (target, &source) in target_rest.iter_mut().zip(source_rest) {
        *target = source;
    }
}

/// Adds `terms` to as many `sums`.
#[inline(always)]
pub(super) fn add_to<S: Lanes>(simd: S, sums: &mut [f32], terms: &[f32]) {
    let (sums, sums_rest) = S::as_mut_simd_f32s(sums);
    let (terms, terms_rest) = S::as_simd_f32s(terms);
    for (sum, &term) in sums.iter_mut().zip(terms) {
        *sum = simd.add_f32s(*sum, term);
    }
    for (sum, &term) in sums_rest.iter_mut().zip(terms_rest) {
        *sum += term;
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use pulp::Scalar;

    use super::*;

    /// A product of every height with the given instructions, against one made in f64.
    fn check<S: Lanes>(simd: S) {
        for rows in 1..=BLOCK_ROWS {
            let mut block = [[0.0; STRIDE]; BLOCK_ROWS];
            let mut panel = [[f16::ZERO; PANEL]; 37];
            let mut out = [[1.0; PANEL + 8]; BLOCK_ROWS];
            for k in 0..panel.len() {
                for (row, values) in block.iter_mut().enumerate() {
                    values[k] = ((row * 7 + k * 3) % 11) as f32 - 5.0;
                }
                for (column, value) in panel[k].iter_mut().enumerate() {
                    *value = f16::from_f32(((column * 5 + k) % 13) as f32 * 0.25 - 1.5);
                }
            }
            panel_product(simd, &block[..rows], &panel, &mut out[..rows], 8, true);
            for row in 0..rows {
                assert_eq!(out[row][..8], [1.0; 8]);
                for column in 0..PANEL {
                    let product = |k: usize| f64::from(block[row][k]) * panel[k][column].to_f64();
                    let expected = 1.0 + (0..panel.len()).map(product).sum::<f64>();
                    assert_eq!(f64::from(out[row][8 + column]), expected, "row {row} of {rows}, column {column}");
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_computes_the_same() {
        check(Scalar);
        #[cfg(target_arch = "x86_64")]
        {
            if let (true, Some(simd)) = (std::arch::is_x86_feature_detected!("f16c"), pulp::x86::V3::try_new()) {
                check(simd);
            }
            if let Some(simd) = pulp::x86::V4::try_new() {
                check(simd);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(simd) = pulp::aarch64::Neon::try_new() {
            check(simd);
        }
    }
}
