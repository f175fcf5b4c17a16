//! The LSTM's walk through time on the processor's unit for bfloat16: inputs, states and weights are rounded to it for the
//! products; sums, gates and cells are f32. Up to 32 sequences share each step.

use candle_core::Result;

use super::{
    lstm::{Direction, TILE, UNITS, activate, in_tiles},
    matrix::PANEL,
    narrow::{
        BLOCK_ROWS, Block, Line, TILE_ROWS,
        amx::{Tiles, bfloat16_tile},
        bfloat16::{Bfloat16Matrix, LINE_ELEMENTS, elements_mut, lines, round},
    },
    output::Parts,
    simd::{Lanes, Task},
};

/// The weights of one direction.
#[derive(Debug)]
pub(super) struct Bfloat16Direction {
    /// `[W, R]`, its outputs in tiles of [`TILE`] gates.
    matrix: Bfloat16Matrix,
    /// b in the same order.
    bias: Vec<f32>,
}

impl Bfloat16Direction {
    pub(super) fn new(direction: &Direction) -> Result<Self> {
        let (rows, bias) = in_tiles(direction)?;
        let depth = rows.first().map_or(0, Vec::len);
        let fill = |output: usize, target: &mut [f32]| target.copy_from_slice(&rows[output]);
        Ok(Self { matrix: Bfloat16Matrix::new(rows.len(), depth, fill), bias })
    }
}

/// Some sequences, 32 at most, on their way through time in one direction.
pub(super) struct Bfloat16Walk<'a> {
    pub(super) weights: &'a Bfloat16Direction,
    pub(super) x: &'a [f32],
    pub(super) parts: Parts<'a>,
    pub(super) first: usize,
    pub(super) rows: usize,
    pub(super) time: usize,
    pub(super) inputs: usize,
    pub(super) hidden: usize,
    /// 0 forwards, 1 backwards.
    pub(super) direction: usize,
}

impl Task for Bfloat16Walk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        // SAFETY: these weights are packed only where the processor has the unit.
        let tiles = unsafe { Tiles::new() };
        let row_lines = lines(self.inputs + self.hidden);
        let mut block = vec![Line::ZERO; self.rows.next_multiple_of(TILE_ROWS) * row_lines];
        let mut gates = vec![[0.0; TILE]; BLOCK_ROWS];
        let mut cells = vec![0.0; self.rows * self.hidden];
        for index in 0..self.time {
            let step = if self.direction == 0 { index } else { self.time - 1 - index };
            self.load(&mut block, row_lines, step);
            for (units, bias) in self.weights.bias.chunks_exact(TILE).enumerate() {
                let rows = Block::new(&block, row_lines, self.rows);
                for part in 0..TILE / PANEL {
                    let panel = self.weights.matrix.panel(units * (TILE / PANEL) + part);
                    let out = gates.as_flattened_mut()[part * PANEL..].as_mut_ptr();
                    // SAFETY: as above; 32 rows of 64 gates have room for this panel's part of each.
                    unsafe { bfloat16_tile(&tiles, rows, panel, out, TILE) };
                }
                for (row, gates) in gates[..self.rows].iter_mut().enumerate() {
                    for (gate, bias) in gates.iter_mut().zip(bias) {
                        *gate += bias;
                    }
                    let cells = &mut cells[row * self.hidden + units * UNITS..][..UNITS];
                    let place = (((self.first + row) * self.time + step) * 2 + self.direction) * self.hidden;
                    // SAFETY: this task alone writes its rows in its direction, and holds one part at a time.
                    let hidden = unsafe { self.parts.part(place + units * UNITS, UNITS) };
                    activate(simd, gates, cells, hidden);
                }
            }
            self.keep(&mut block, row_lines, step);
        }
    }
}

impl Bfloat16Walk<'_> {
    /// Rounds x[t] of every row into the block.
    #[inline(always)]
    fn load(&self, block: &mut [Line], row_lines: usize, step: usize) {
        let rows = elements_mut(block).chunks_exact_mut(row_lines * LINE_ELEMENTS);
        for (row, target) in rows.take(self.rows).enumerate() {
            let start = ((self.first + row) * self.time + step) * self.inputs;
            for (target, &value) in target.iter_mut().zip(&self.x[start..][..self.inputs]) {
                *target = round(value);
            }
        }
    }

    /// Rounds h[t] of every row into the block, for the next step.
    #[inline(always)]
    fn keep(&self, block: &mut [Line], row_lines: usize, step: usize) {
        let rows = elements_mut(block).chunks_exact_mut(row_lines * LINE_ELEMENTS);
        for (row, target) in rows.take(self.rows).enumerate() {
            let place = (((self.first + row) * self.time + step) * 2 + self.direction) * self.hidden;
            // SAFETY: as in `run`; the step has written these.
            let hidden = unsafe { self.parts.part(place, self.hidden) };
            for (target, &value) in target[self.inputs..].iter_mut().zip(&*hidden) {
                *target = round(value);
            }
        }
    }
}
