//! The product over all rows and panels, spread over threads.

use std::ops::Range;

use rayon::prelude::*;

use super::BLOCK_ROWS;
use crate::ops::{
    matrix::{Finish, PANEL, Target},
    output::Output,
    simd::{Lanes, Task, dispatch},
};

/// Sums of rows and columns, a block at a time.
pub(in crate::ops) trait Sums: Sync {
    /// What a thread needs while it makes sums; it does not leave its thread.
    type Session;

    /// The number of rows.
    fn rows(&self) -> usize;

    /// The number of columns.
    fn outputs(&self) -> usize;

    /// Begins on a thread.
    fn session(&self) -> Self::Session;

    /// The sums of `count` rows, 32 at most, from `first` (a multiple of 16) and a panel's columns; further rows of `out` may be
    /// written too. Must be `#[inline(always)]`.
    fn sums<S: Lanes>(
        &self,
        simd: S,
        session: &mut Self::Session,
        first: usize,
        panel: usize,
        count: usize,
        out: &mut [[f32; PANEL]; BLOCK_ROWS],
    );
}

/// Rows of a task: three blocks share each panel while it is in the second cache.
const TASK_ROWS: usize = 3 * BLOCK_ROWS;
/// Panels of a task.
const TASK_PANELS: usize = 8;
/// Results below this number are not worth a second thread.
const PARALLEL_THRESHOLD: usize = 1 << 12;

/// `finish(sums)`: (rows, outputs).
pub(in crate::ops) fn product<P: Sums>(source: &P, finish: Finish<'_>) -> Vec<f32> {
    let (rows, outputs) = (source.rows(), source.outputs());
    let mut output = Output::new(rows * outputs);
    let target = Target { finish, parts: output.parts(), outputs };
    let threads = rayon::current_num_threads();
    let row_tasks = rows.div_ceil(TASK_ROWS);
    let panels = outputs.div_ceil(PANEL);
    // Few rows: narrower tasks, so that every thread has some.
    let wanted = (2 * threads).div_ceil(row_tasks.max(1));
    let task_panels = panels.div_ceil(wanted).max(1);
    let task_panels = if rows > BLOCK_ROWS { task_panels.min(TASK_PANELS) } else { task_panels };
    let panel_tasks = panels.div_ceil(task_panels);
    let task = |index: usize| {
        let (row, panel) = (index / panel_tasks * TASK_ROWS, index % panel_tasks * task_panels);
        let (rows, panels) = (row..rows.min(row + TASK_ROWS), panel..panels.min(panel + task_panels));
        dispatch(ProductTask { source, target, rows, panels });
    };
    let tasks = row_tasks * panel_tasks;
    if threads == 1 || rows * outputs < PARALLEL_THRESHOLD {
        (0..tasks).for_each(task);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
    // SAFETY: the tasks cover all rows and all panels.
    unsafe { output.into_values() }
}

struct ProductTask<'a, P> {
    source: &'a P,
    target: Target<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl<P: Sums> Task for ProductTask<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let mut session = self.source.session();
        let mut sums = [[0.0; PANEL]; BLOCK_ROWS];
        for first in self.rows.clone().step_by(BLOCK_ROWS) {
            let count = BLOCK_ROWS.min(self.rows.end - first);
            for panel in self.panels.clone() {
                self.source.sums(simd, &mut session, first, panel, count, &mut sums);
                for (row, sums) in sums[..count].iter_mut().enumerate() {
                    self.target.store(simd, first + row, panel, sums, false, true);
                }
            }
        }
    }
}
