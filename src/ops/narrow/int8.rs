//! int8 with scales: weights with one for each output, rows with one for each row, found when they come ("dynamic
//! quantization"). Numbers are rounded to -127 .. 127 times the scale; sums are exact, so every instruction set yields the
//! same result.

use rayon::prelude::*;

use super::{BLOCK_ROWS, Block, LINE, Line, PANEL_LINES, TILE_ROWS, bytes, bytes_mut, portable, product::Sums};
use crate::ops::{
    instructions::{Integers, integers},
    matrix::PANEL,
    simd::{Lanes, Task, dispatch},
};

/// The largest quantized number.
const LARGEST: f32 = 127.0;
/// Below this number of elements, rows are quantized by one thread.
const PARALLEL_THRESHOLD: usize = 1 << 16;
/// Rows that one task quantizes.
const TASK_ROWS: usize = 64;

/// A matrix (out, in) in int8, packed for products.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Quantized {
    panels: Vec<Line>,
    /// What sums start from where rows are unsigned: -128 times each column's sum.
    offsets: Vec<[i32; PANEL]>,
    /// One for each output, zeros up to whole panels.
    scales: Vec<f32>,
    pub(in crate::ops) outputs: usize,
    pub(in crate::ops) inputs: usize,
}

/// Lines of a row with so many elements; one at least.
pub(in crate::ops) fn lines(inputs: usize) -> usize {
    inputs.div_ceil(LINE).max(1)
}

/// Where element `depth` of a column lies in its panel.
fn place(column: usize, depth: usize) -> usize {
    (depth / 4 * PANEL + column) * 4 + depth % 4
}

impl Quantized {
    /// Quantizes the matrix whose row `output` is written by `row(output, target)`.
    pub(in crate::ops) fn new(outputs: usize, inputs: usize, row: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let mut matrix = Self::empty(outputs, inputs);
        matrix.fill(row);
        matrix
    }

    /// Quantizes another matrix of the same shape into the same memory.
    pub(in crate::ops) fn fill(&mut self, row: impl Fn(usize, &mut [f32]) + Sync) {
        let (outputs, inputs) = (self.outputs, self.inputs);
        let panels = self.panels.par_chunks_mut(lines(inputs) * PANEL_LINES);
        let parts = panels.zip(self.offsets.par_iter_mut()).zip(self.scales.par_chunks_mut(PANEL));
        parts.enumerate().for_each(|(index, ((panel, offsets), scales))| {
            let (mut values, mut quantized) = (vec![0.0; inputs], vec![0; inputs]);
            for (column, scale) in scales.iter_mut().enumerate().take(outputs - index * PANEL) {
                row(index * PANEL + column, &mut values);
                *scale = dispatch(Quantize { values: &values, target: &mut quantized, flip: 0 });
                set_column(bytes_mut(panel), offsets, column, &quantized);
            }
        });
    }

    /// Quantizes another matrix of the same shape into the same memory, whose column `input` is `column(input)`.
    pub(in crate::ops) fn fill_columns<'a>(&mut self, column: impl Fn(usize) -> &'a [f32] + Sync) {
        let (outputs, inputs) = (self.outputs, self.inputs);
        let panels = self.panels.par_chunks_mut(lines(inputs) * PANEL_LINES);
        let parts = panels.zip(self.offsets.par_iter_mut()).zip(self.scales.par_chunks_mut(PANEL));
        parts.enumerate().for_each(|(index, ((panel, offsets), scales))| {
            let (first, width) = (index * PANEL, PANEL.min(outputs - index * PANEL));
            let part = |input: usize| &column(input)[first..first + width];
            dispatch(QuantizePanel { part, inputs, panel: bytes_mut(panel), offsets, scales });
        });
    }

    /// The matrix from what [`Quantized::values`] and [`Quantized::scales`] gave: (out, in) int8, as bytes, and (out).
    pub(in crate::ops) fn from_values(outputs: usize, inputs: usize, values: &[u8], scales: &[f32]) -> Self {
        let mut matrix = Self::empty(outputs, inputs);
        matrix.scales[..outputs].copy_from_slice(scales);
        let panel = lines(inputs) * PANEL_LINES;
        let parts = matrix.panels.par_chunks_mut(panel).zip(matrix.offsets.par_iter_mut());
        parts.enumerate().for_each(|(index, (panel, offsets))| {
            for column in 0..PANEL.min(outputs - index * PANEL) {
                let row = &values[(index * PANEL + column) * inputs..][..inputs];
                set_column(bytes_mut(panel), offsets, column, row);
            }
        });
        matrix
    }

    /// A matrix of zeros.
    pub(in crate::ops) fn empty(outputs: usize, inputs: usize) -> Self {
        let panels = outputs.div_ceil(PANEL);
        Self {
            panels: vec![Line::ZERO; panels * lines(inputs) * PANEL_LINES],
            offsets: vec![[0; PANEL]; panels],
            scales: vec![0.0; panels * PANEL],
            outputs,
            inputs,
        }
    }

    /// The quantized numbers (out, in), each an int8 as a byte.
    pub(in crate::ops) fn values(&self) -> Vec<u8> {
        (0..self.outputs).flat_map(|output| self.quantized_row(output)).collect()
    }

    /// The scale of each output.
    pub(in crate::ops) fn scales(&self) -> &[f32] {
        &self.scales[..self.outputs]
    }

    /// The scale of each output, zeros up to whole panels.
    pub(in crate::ops) fn padded_scales(&self) -> &[f32] {
        &self.scales
    }

    /// Row `output` of the matrix, in f32.
    pub(in crate::ops) fn row(&self, output: usize) -> impl Iterator<Item = f32> + '_ {
        self.quantized_row(output).map(move |value| f32::from(value as i8) * self.scales[output])
    }

    fn quantized_row(&self, output: usize) -> impl Iterator<Item = u8> + '_ {
        let panel = bytes(self.panel(output / PANEL));
        (0..self.inputs).map(move |depth| panel[place(output % PANEL, depth)])
    }

    fn panel(&self, index: usize) -> &[Line] {
        let length = lines(self.inputs) * PANEL_LINES;
        &self.panels[index * length..][..length]
    }
}

/// Writes one column of a panel and what unsigned sums start from.
fn set_column(panel: &mut [u8], offsets: &mut [i32; PANEL], column: usize, values: &[u8]) {
    for (words, values) in panel.chunks_exact_mut(4 * PANEL).zip(values.chunks(4)) {
        words[4 * column..4 * column + values.len()].copy_from_slice(values);
    }
    offsets[column] = -128 * values.iter().map(|&value| i32::from(value as i8)).sum::<i32>();
}

/// Rows in int8, as the instructions read them.
pub(in crate::ops) struct Rows {
    memory: Vec<Line>,
    scales: Vec<f32>,
    lines: usize,
    integers: Integers,
}

impl Rows {
    /// Quantizes `count` rows of `inputs` elements; `fill(row, target)` writes a row.
    pub(in crate::ops) fn new(count: usize, inputs: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        Self::on(integers(), count, inputs, fill)
    }

    /// The same for given instructions.
    fn on(integers: Integers, count: usize, inputs: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let lines = lines(inputs);
        let mut memory = vec![Line::ZERO; count.next_multiple_of(TILE_ROWS) * lines];
        let mut scales = vec![0.0; count];
        let flip = flip(integers);
        let quantize = |(task, (memory, scales)): (usize, (&mut [Line], &mut [f32]))| {
            let mut values = vec![0.0; inputs];
            for (index, (row, scale)) in memory.chunks_exact_mut(lines).zip(scales).enumerate() {
                fill(task * TASK_ROWS + index, &mut values);
                let target = &mut bytes_mut(row)[..inputs];
                *scale = dispatch(Quantize { values: &values, target, flip });
            }
        };
        if count * inputs < PARALLEL_THRESHOLD {
            memory.chunks_mut(TASK_ROWS * lines).zip(scales.chunks_mut(TASK_ROWS)).enumerate().for_each(quantize);
        } else {
            let parts = memory.par_chunks_mut(TASK_ROWS * lines).zip(scales.par_chunks_mut(TASK_ROWS));
            parts.enumerate().for_each(quantize);
        }
        Self { memory, scales, lines, integers }
    }
}

/// The bit that turns int8 into int8 plus 128, for instructions whose rows are unsigned.
pub(in crate::ops) fn flip(integers: Integers) -> u8 {
    match integers {
        #[cfg(target_arch = "x86_64")]
        Integers::Avx512Vnni | Integers::AvxVnni => 0x80,
        _ => 0,
    }
}

/// Writes int8 to `target`, each byte with the bits of `flip` turned, and yields their scale.
struct Quantize<'a> {
    values: &'a [f32],
    target: &'a mut [u8],
    flip: u8,
}

impl Task for Quantize<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) -> f32 {
        let (vectors, rest) = S::as_simd_f32s(self.values);
        let zero = simd.splat_f32s(0.0);
        // Zero times a number is zero; times infinity or NaN it is NaN, which the maximum would pass over.
        let (mut largest, mut spoiled) = (zero, zero);
        for &vector in vectors {
            largest = simd.max_f32s(largest, simd.abs_f32s(vector));
            spoiled = simd.mul_add_f32s(vector, zero, spoiled);
        }
        let mut spoiled = simd.reduce_sum_f32s(spoiled);
        let mut largest = simd.reduce_max_f32s(largest);
        for value in rest {
            largest = largest.max(value.abs());
            spoiled += value * 0.0;
        }
        let scale = largest / LARGEST + spoiled;
        let inverse = if largest > 0.0 { LARGEST / largest } else { 0.0 };
        // Adding 1.5 * 2^23 rounds to the nearest and leaves the integer in the lowest bits.
        for (target, &value) in self.target.iter_mut().zip(self.values) {
            *target = (value * inverse + 12_582_912.0).to_bits() as u8 ^ self.flip;
        }
        scale
    }
}

/// Quantizes the 32 columns of a panel, of which `part(depth)` holds each column's element at that depth, fewer at the end.
struct QuantizePanel<'p, F> {
    part: F,
    inputs: usize,
    panel: &'p mut [u8],
    offsets: &'p mut [i32; PANEL],
    scales: &'p mut [f32],
}

impl<'a, F: Fn(usize) -> &'a [f32]> Task for QuantizePanel<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let (mut largest, mut spoiled) = ([0f32; PANEL], [0f32; PANEL]);
        for depth in 0..self.inputs {
            for ((largest, spoiled), value) in largest.iter_mut().zip(&mut spoiled).zip((self.part)(depth)) {
                *largest = if value.abs() > *largest { value.abs() } else { *largest };
                *spoiled += value * 0.0;
            }
        }
        let mut inverses = [0.0; PANEL];
        for (column, inverse) in inverses.iter_mut().enumerate() {
            self.scales[column] = largest[column] / LARGEST + spoiled[column];
            *inverse = if largest[column] > 0.0 { LARGEST / largest[column] } else { 0.0 };
        }
        let mut sums = [0i32; PANEL];
        for (group, words) in self.panel.chunks_exact_mut(4 * PANEL).enumerate().take(self.inputs.div_ceil(4)) {
            let mut packed = [0u32; PANEL];
            for k in 0..4.min(self.inputs - 4 * group) {
                let values = (self.part)(4 * group + k).iter().zip(&inverses);
                for ((word, sum), (value, inverse)) in packed.iter_mut().zip(&mut sums).zip(values) {
                    // As in `Quantize`.
                    let byte = (value * inverse + 12_582_912.0).to_bits() as u8;
                    *sum += i32::from(byte as i8);
                    *word |= u32::from(byte) << (8 * k);
                }
            }
            for (bytes, word) in words.as_chunks_mut::<4>().0.iter_mut().zip(packed) {
                *bytes = word.to_le_bytes();
            }
        }
        for (offset, sum) in self.offsets.iter_mut().zip(sums) {
            *offset = -128 * sum;
        }
    }
}

/// The product of rows and a matrix.
pub(in crate::ops) struct Int8Product<'a> {
    rows: &'a Rows,
    weights: &'a Quantized,
}

impl<'a> Int8Product<'a> {
    /// The product; both have the same number of inputs.
    pub(in crate::ops) fn new(rows: &'a Rows, weights: &'a Quantized) -> Self {
        assert_eq!(rows.lines, lines(weights.inputs), "rows and weights have the same inputs");
        Self { rows, weights }
    }
}

/// What a thread needs while it makes sums.
pub(in crate::ops) struct Session {
    integers: Integers,
    #[cfg(target_arch = "x86_64")]
    tiles: Option<super::amx::Tiles>,
    sums: [[i32; PANEL]; BLOCK_ROWS],
}

impl Session {
    /// Begins with these instructions, which the processor has.
    pub(in crate::ops) fn new(integers: Integers) -> Self {
        Self {
            integers,
            #[cfg(target_arch = "x86_64")]
            // SAFETY: instructions are named only where the processor has them and the process may use them.
            tiles: (integers == Integers::Amx).then(|| unsafe { super::amx::Tiles::new() }),
            sums: [[0; PANEL]; BLOCK_ROWS],
        }
    }

    /// The sums of a block's rows, whose bytes were turned by [`flip`] for these instructions, and a panel's columns.
    pub(in crate::ops) fn multiply(&mut self, block: Block<'_>, matrix: &Quantized, panel: usize) -> &[[i32; PANEL]] {
        let (lines, sums) = (matrix.panel(panel), &mut self.sums);
        #[cfg(target_arch = "x86_64")]
        let offsets = &matrix.offsets[panel];
        // SAFETY: as in `new`.
        unsafe {
            match self.integers {
                #[cfg(target_arch = "x86_64")]
                Integers::Amx => {
                    if let Some(tiles) = &self.tiles {
                        super::amx::int8_tile(tiles, block, lines, sums.as_mut_ptr().cast(), PANEL);
                    }
                }
                #[cfg(target_arch = "x86_64")]
                Integers::Avx512Vnni => super::x86::avx512_vnni(block, lines, offsets, sums),
                #[cfg(target_arch = "x86_64")]
                Integers::AvxVnni => super::x86::avx_vnni(block, lines, offsets, sums),
                #[cfg(target_arch = "x86_64")]
                Integers::Avx2 => super::x86::avx2(block, lines, sums),
                #[cfg(target_arch = "aarch64")]
                Integers::Neon => super::neon::tile(block, lines, sums),
                Integers::Portable => portable::tile(block, lines, sums),
            }
        }
        &self.sums
    }
}

impl Sums for Int8Product<'_> {
    type Session = Session;

    fn rows(&self) -> usize {
        self.rows.scales.len()
    }

    fn outputs(&self) -> usize {
        self.weights.outputs
    }

    fn session(&self) -> Session {
        Session::new(self.rows.integers)
    }

    #[inline(always)]
    fn sums<S: Lanes>(
        &self,
        _simd: S,
        session: &mut Session,
        first: usize,
        panel: usize,
        count: usize,
        out: &mut [[f32; PANEL]; BLOCK_ROWS],
    ) {
        let Rows { memory, scales, lines, .. } = self.rows;
        let block = Block::new(&memory[first * lines..], *lines, count);
        let sums = session.multiply(block, self.weights, panel);
        let columns = &self.weights.scales[panel * PANEL..][..PANEL];
        for ((out, sums), row) in out.iter_mut().zip(sums).zip(&scales[first..first + count]) {
            for ((out, &sum), column) in out.iter_mut().zip(sums).zip(columns) {
                *out = sum as f32 * (row * column);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::{super::product::product, *};
    use crate::ops::matrix::Finish;

    fn normal(random: &mut Xoshiro256PlusPlus, count: usize) -> Vec<f32> {
        (0..count).map(|_| (0..12).map(|_| random.r#gen::<f32>()).sum::<f32>() - 6.0).collect()
    }

    /// The nearest multiples of a 127th of the largest, the definition of the quantization.
    fn rounded(values: &[f32]) -> Vec<f64> {
        let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let scale = f64::from(largest) / 127.0;
        values.iter().map(|value| if scale > 0.0 { (f64::from(*value) / scale).round() * scale } else { 0.0 }).collect()
    }

    #[test]
    fn every_instruction_set_follows_the_definition() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        for (rows, inputs, outputs) in
            [(1, 1, 1), (1, 64, 33), (5, 70, 32), (16, 512, 96), (17, 65, 40), (33, 130, 64), (70, 300, 100)]
        {
            let (x, w) = (normal(&mut random, rows * inputs), normal(&mut random, outputs * inputs));
            let matrix = Quantized::new(outputs, inputs, |row, target| {
                target.copy_from_slice(&w[row * inputs..][..inputs]);
            });
            let of = |values: &[f32]| values.chunks(inputs).map(rounded).collect::<Vec<_>>();
            let (exact_x, exact_w) = (of(&x), of(&w));
            let mut first: Option<Vec<f32>> = None;
            for integers in Integers::all() {
                let fill = |row: usize, target: &mut [f32]| target.copy_from_slice(&x[row * inputs..][..inputs]);
                let quantized = Rows::on(integers, rows, inputs, fill);
                let result = product(&Int8Product::new(&quantized, &matrix), Finish::default());
                let mut worst = 0f64;
                for (row, values) in result.chunks(outputs).enumerate() {
                    for (output, &value) in values.iter().enumerate() {
                        let expected: f64 = exact_x[row].iter().zip(&exact_w[output]).map(|(a, b)| a * b).sum();
                        worst = worst.max((f64::from(value) - expected).abs());
                    }
                }
                // A number halfway between two steps may round either way: one step of one product.
                assert!(worst < 0.15, "{} {rows}x{inputs}x{outputs}: {worst:.2e}", integers.name());
                match &first {
                    None => first = Some(result),
                    Some(first) => assert_eq!(first, &result, "{} differs from the first", integers.name()),
                }
            }
        }
    }

    #[test]
    fn columns_make_the_same_matrix_as_rows() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(9);
        for (outputs, inputs) in [(64, 1500), (45, 77), (1, 1), (33, 3)] {
            let w = normal(&mut random, outputs * inputs);
            let turned: Vec<f32> = (0..inputs * outputs).map(|at| w[at % outputs * inputs + at / outputs]).collect();
            let rows =
                Quantized::new(outputs, inputs, |row, target| target.copy_from_slice(&w[row * inputs..][..inputs]));
            let mut columns = Quantized::empty(outputs, inputs);
            columns.fill_columns(|input| &turned[input * outputs..][..outputs]);
            assert_eq!(bytes(&columns.panels), bytes(&rows.panels));
            assert_eq!((columns.offsets, columns.scales), (rows.offsets, rows.scales));
        }
    }

    #[test]
    fn a_matrix_survives_its_file_form() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(8);
        let w = normal(&mut random, 45 * 77);
        let matrix = Quantized::new(45, 77, |row, target| target.copy_from_slice(&w[row * 77..][..77]));
        let again = Quantized::from_values(45, 77, &matrix.values(), matrix.scales());
        assert_eq!(bytes(&again.panels), bytes(&matrix.panels));
        assert_eq!((&again.offsets, &again.scales), (&matrix.offsets, &matrix.scales));
        for (value, original) in matrix.row(44).zip(&w[44 * 77..]) {
            assert!((value - original).abs() <= matrix.scales[44] * 0.5001);
        }
    }

    #[test]
    fn numbers_that_are_none_reach_the_result() {
        let matrix = Quantized::new(1, 3, |_, target| target.fill(1.0));
        for value in [f32::NAN, f32::INFINITY] {
            let rows = Rows::new(1, 3, |_, target| target.copy_from_slice(&[1.0, value, 2.0]));
            let result = product(&Int8Product::new(&rows, &matrix), Finish::default());
            assert!(!result[0].is_finite(), "{value}: {result:?}");
        }
    }
}
