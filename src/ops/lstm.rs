//! A bidirectional LSTM layer: one layer reads time forwards, another backwards, and their outputs lie side by side.
//!
//! ```text
//! i, f, g, o = W x[t] + R h[t - 1] + b        (the gates, H units each, in this order)
//! c[t] = sigmoid(f) c[t - 1] + sigmoid(i) tanh(g)
//! h[t] = sigmoid(o) tanh(c[t])
//! ```
//!
//! Hochreiter and Schmidhuber, "Long short-term memory" (1997), with the gates of Gers et al. (2000), as in PyTorch's `nn.LSTM`.
//!
//! The fast path walks through time with up to 12 sequences at once: a step is one matrix product of their rows
//! `[x[t], h[t - 1]]` with `[W, R]`, whose sums go into the gates while they are in the first cache. Directions and groups
//! of sequences know nothing of each other, so threads never wait inside a layer.

use std::{f32::consts::LOG2_E, sync::Arc};

use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Result, Shape, Tensor, bail};
use candle_nn::ops::sigmoid;
use pulp::Simd;
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::{
    instructions::has_bfloat16_unit,
    lstm_bfloat16::{Bfloat16Direction, Bfloat16Walk},
    narrow::TILE_ROWS,
};
use super::{
    is_fast,
    matrix::{BLOCK_ROWS, BlockRow, DEPTH, PANEL, Packed, STRIDE, panel_product},
    output::{Output, Parts},
    precision::Precision,
    profile::{self, Class, Work},
    simd::{Lanes, Task, dispatch, exp2},
    slice,
};

/// Units whose gates are made together; a multiple of every vector's length.
pub(super) const UNITS: usize = 16;
/// Input, forget, candidate and output gates of [`UNITS`] units, gate after gate: whole panels.
pub(super) const TILE: usize = 4 * UNITS;
const _: () = assert!(TILE.is_multiple_of(PANEL));

/// The weights of one direction as PyTorch names them, and the sum of both biases.
#[derive(Debug, Clone)]
pub struct Direction {
    /// W, (4 H, in).
    pub weight_ih: Tensor,
    /// R, (4 H, H).
    pub weight_hh: Tensor,
    /// b, (4 H).
    pub bias: Tensor,
}

/// The layer.
#[derive(Debug, Clone)]
pub struct BidirectionalLstm {
    weights: Weights,
    inputs: usize,
    hidden: usize,
}

#[derive(Debug, Clone)]
enum Weights {
    /// For every device and number type; each begins with the two directions.
    Plain {
        /// (2, in, 4 H)
        input: Tensor,
        /// (2, H, 4 H)
        recurrent: Tensor,
        /// (2, 1, 4 H)
        bias: Tensor,
    },
    /// For f32 on the CPU: forwards and backwards.
    Packed(Arc<[PackedDirection; 2]>),
    /// The same on a processor's unit for bfloat16.
    #[cfg(target_arch = "x86_64")]
    BFloat16(Arc<[Bfloat16Direction; 2]>),
}

#[derive(Debug)]
struct PackedDirection {
    /// `[W, R]`, its outputs in tiles of [`TILE`] gates.
    matrix: Packed<f32>,
    /// b in the same order.
    bias: Vec<f32>,
}

impl BidirectionalLstm {
    /// A layer from the weights of the direction forwards and of that backwards.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn new(directions: [Direction; 2]) -> Result<Self> {
        Self::with_precision(directions, Precision::Float32)
    }

    /// The same, whose products on the CPU are made in bfloat16 where the precision is below f32 and the processor has a unit
    /// for it.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn with_precision(directions: [Direction; 2], precision: Precision) -> Result<Self> {
        let (gates, inputs) = directions[0].weight_ih.dims2()?;
        let hidden = gates / 4;
        for Direction { weight_ih, weight_hh, bias } in &directions {
            let fits = weight_ih.dims() == [gates, inputs] && weight_hh.dims() == [gates, hidden];
            if !fits || bias.dims() != [gates] || gates == 0 || gates % 4 != 0 {
                bail!(
                    "an LSTM layer cannot have weights {:?} and {:?} and bias {:?}",
                    weight_ih.dims(),
                    weight_hh.dims(),
                    bias.dims()
                );
            }
        }
        let in_panels = hidden.is_multiple_of(UNITS) && inputs + hidden <= DEPTH;
        let weights = if in_panels && is_fast(&[&directions[0].weight_ih]) {
            Weights::packed(&directions, precision)?
        } else {
            Weights::plain(&directions)?
        };
        Ok(Self { weights, inputs, hidden })
    }

    /// The outputs of both directions: x (B, T, in) -> (B, T, 2 H). Both states begin at zero.
    ///
    /// # Errors
    /// When x has another number of channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, inputs) = x.dims3()?;
        if inputs != self.inputs {
            bail!("an LSTM layer of {} inputs cannot take a tensor of shape {:?}", self.inputs, x.dims());
        }
        let _timed = profile::span(Class::Recurrence, || {
            Work::product(2 * batch * time, inputs + self.hidden, 4 * self.hidden, x.dtype().size_in_bytes())
        });
        match &self.weights {
            _ if batch * time == 0 => Tensor::zeros((batch, time, 2 * self.hidden), x.dtype(), x.device()),
            Weights::Plain { input, recurrent, bias } => self.composition(x, input, recurrent, bias),
            _ => x.contiguous()?.apply_op1_no_bwd(&Forward { layer: self }),
        }
    }

    /// The definition, both directions in one product a step.
    fn composition(&self, x: &Tensor, input: &Tensor, recurrent: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let (batch, time, _) = x.dims3()?;
        let reversed: Vec<u32> = (0..time as u32).rev().collect();
        let reversed = Tensor::new(reversed, x.device())?;
        let x = x.transpose(0, 1)?.contiguous()?; // (T, B, in)
        let both = Tensor::stack(&[&x, &x.index_select(&reversed, 0)?], 0)?; // (2, T, B, in)
        let projected = both.reshape((2, time * batch, self.inputs))?.matmul(input)?.broadcast_add(bias)?;
        let projected = projected.reshape((2, time, batch, 4 * self.hidden))?;
        let mut hidden = Tensor::zeros((2, batch, self.hidden), x.dtype(), x.device())?;
        let mut cell = hidden.clone();
        let mut outputs = Vec::with_capacity(time);
        for step in 0..time {
            let gates = (projected.narrow(1, step, 1)?.squeeze(1)? + hidden.matmul(recurrent)?)?; // (2, B, 4 H)
            let gates = gates.chunk(4, D::Minus1)?;
            cell = ((sigmoid(&gates[1])? * cell)? + (sigmoid(&gates[0])? * gates[2].tanh()?)?)?;
            hidden = (sigmoid(&gates[3])? * cell.tanh()?)?;
            outputs.push(hidden.clone());
        }
        let outputs = Tensor::stack(&outputs, 1)?; // (2, T, B, H)
        let forwards = outputs.get(0)?;
        let backwards = outputs.get(1)?.index_select(&reversed, 0)?;
        Tensor::cat(&[forwards, backwards], D::Minus1)?.transpose(0, 1)?.contiguous() // (B, T, 2 H)
    }
}

impl Weights {
    fn packed(directions: &[Direction; 2], precision: Precision) -> Result<Self> {
        let [forwards, backwards] = directions;
        #[cfg(target_arch = "x86_64")]
        if precision != Precision::Float32 && has_bfloat16_unit() {
            let directions = [Bfloat16Direction::new(forwards)?, Bfloat16Direction::new(backwards)?];
            return Ok(Self::BFloat16(Arc::new(directions)));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = precision;
        Ok(Self::Packed(Arc::new([PackedDirection::new(forwards)?, PackedDirection::new(backwards)?])))
    }

    fn plain(directions: &[Direction; 2]) -> Result<Self> {
        let stacked = |part: &dyn Fn(&Direction) -> Result<Tensor>| {
            Tensor::stack(&[part(&directions[0])?, part(&directions[1])?], 0)?.contiguous()
        };
        Ok(Self::Plain {
            input: stacked(&|direction| direction.weight_ih.t())?,
            recurrent: stacked(&|direction| direction.weight_hh.t())?,
            bias: stacked(&|direction| direction.bias.unsqueeze(0))?,
        })
    }
}

impl PackedDirection {
    fn new(direction: &Direction) -> Result<Self> {
        let (rows, bias) = in_tiles(direction)?;
        let depth = rows.first().map_or(0, Vec::len);
        Ok(Self { matrix: Packed::new(rows.len(), depth, |output, input| rows[output][input]), bias })
    }
}

/// The rows of `[W, R]` and the elements of b in tiles of [`TILE`] gates: column c of a tile is gate c / UNITS of the tile's unit
/// c % UNITS.
pub(super) fn in_tiles(direction: &Direction) -> Result<(Vec<Vec<f32>>, Vec<f32>)> {
    let matrix = Tensor::cat(&[&direction.weight_ih, &direction.weight_hh], 1)?.to_dtype(DType::F32)?;
    let (mut rows, bias) = (matrix.to_vec2::<f32>()?, direction.bias.to_vec1::<f32>()?);
    let (gates, hidden) = (rows.len(), rows.len() / 4);
    let place = |output: usize| {
        let (tile, column) = (output / TILE, output % TILE);
        column / UNITS * hidden + tile * UNITS + column % UNITS
    };
    let ordered = (0..gates).map(|output| std::mem::take(&mut rows[place(output)])).collect();
    Ok((ordered, (0..gates).map(|output| bias[place(output)]).collect()))
}

/// The fast path: f32 on the CPU.
struct Forward<'a> {
    layer: &'a BidirectionalLstm,
}

impl Forward<'_> {
    /// Sequences that walk together.
    fn group_rows(&self, batch: usize) -> usize {
        match &self.layer.weights {
            // A tile is 16 rows high; two share the weights where there are threads for no more groups.
            #[cfg(target_arch = "x86_64")]
            Weights::BFloat16(_) if 2 * batch.div_ceil(2 * TILE_ROWS) >= rayon::current_num_threads() => 2 * TILE_ROWS,
            #[cfg(target_arch = "x86_64")]
            Weights::BFloat16(_) => TILE_ROWS,
            _ => BLOCK_ROWS,
        }
    }
}

impl CustomOp1 for Forward<'_> {
    fn name(&self) -> &'static str {
        "bidirectional LSTM"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, time, inputs) = layout.shape().dims3()?;
        if matches!(self.layer.weights, Weights::Plain { .. }) {
            bail!("plain weights have no fast path");
        }
        let x = slice::<f32>(x, layout)?;
        let hidden = self.layer.hidden;
        let mut output = Output::new(batch * time * 2 * hidden);
        let parts = output.parts();
        let groups = batch.div_ceil(self.group_rows(batch));
        // Groups of equal size, as far as they can be.
        let rows = batch.div_ceil(groups);
        (0..2 * groups).into_par_iter().with_max_len(1).for_each(|task| {
            let (direction, first) = (task % 2, task / 2 * rows);
            if first < batch {
                let rows = rows.min(batch - first);
                match &self.layer.weights {
                    Weights::Packed(directions) => {
                        let weights = &directions[direction];
                        dispatch(Walk { weights, x, parts, first, rows, time, inputs, hidden, direction });
                    }
                    #[cfg(target_arch = "x86_64")]
                    Weights::BFloat16(directions) => {
                        let weights = &directions[direction];
                        dispatch(Bfloat16Walk { weights, x, parts, first, rows, time, inputs, hidden, direction });
                    }
                    Weights::Plain { .. } => {}
                }
            }
        });
        // SAFETY: the tasks cover both directions and all rows, each at all times.
        let values = unsafe { output.into_values() };
        Ok((CpuStorage::F32(values), Shape::from((batch, time, 2 * hidden))))
    }
}

/// Some sequences on their way through time in one direction.
struct Walk<'a> {
    weights: &'a PackedDirection,
    x: &'a [f32],
    parts: Parts<'a>,
    first: usize,
    rows: usize,
    time: usize,
    inputs: usize,
    hidden: usize,
    /// 0 forwards, 1 backwards.
    direction: usize,
}

impl Walk<'_> {
    /// Where the outputs of a row at a time lie.
    fn place(&self, row: usize, step: usize) -> usize {
        (((self.first + row) * self.time + step) * 2 + self.direction) * self.hidden
    }

    /// `[x[t], h]` of every row; `before` is the time that h comes from.
    #[inline(always)]
    fn load(&self, block: &mut [BlockRow], step: usize, before: Option<usize>) {
        for (row, target) in block.iter_mut().enumerate() {
            let start = ((self.first + row) * self.time + step) * self.inputs;
            target[..self.inputs].copy_from_slice(&self.x[start..][..self.inputs]);
            if let Some(before) = before {
                // SAFETY: this task alone touches its rows in its direction, and wrote these in the step before.
                let hidden = unsafe { self.parts.part(self.place(row, before), self.hidden) };
                target[self.inputs..][..self.hidden].copy_from_slice(hidden);
            }
        }
    }
}

impl Task for Walk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let depth = self.inputs + self.hidden;
        let mut block = [[0.0; STRIDE]; BLOCK_ROWS];
        let mut tile = [[0.0; TILE]; BLOCK_ROWS];
        let mut cells = vec![0.0; self.rows * self.hidden];
        let block = &mut block[..self.rows];
        let tile = &mut tile[..self.rows];
        let mut before = None;
        for index in 0..self.time {
            let step = if self.direction == 0 { index } else { self.time - 1 - index };
            self.load(block, step, before);
            for (units, bias) in self.weights.bias.chunks_exact(TILE).enumerate() {
                for row in tile.iter_mut() {
                    row.copy_from_slice(bias);
                }
                for part in 0..TILE / PANEL {
                    let panel = self.weights.matrix.panel(units * (TILE / PANEL) + part, 0, depth);
                    panel_product(simd, block, panel, tile, part * PANEL, true);
                }
                for (row, gates) in tile.iter().enumerate() {
                    let cells = &mut cells[row * self.hidden + units * UNITS..][..UNITS];
                    // SAFETY: as in `load`; nothing else holds these elements now.
                    let hidden = unsafe { self.parts.part(self.place(row, step) + units * UNITS, UNITS) };
                    activate(simd, gates, cells, hidden);
                }
            }
            before = Some(step);
        }
    }
}

/// The gates (input, forget, candidate, output; [`UNITS`] each) applied to the cells; writes the outputs.
///
/// With e(x) = exp(-x), sigmoid(x) = 1 / (1 + e(x)) and tanh(x) = (1 - e(2x)) / (1 + e(2x)); brought onto one
/// denominator, a cell and an output cost a division each, the slowest of these instructions.
#[inline(always)]
pub(super) fn activate<S: Simd>(simd: S, gates: &[f32; TILE], cells: &mut [f32], hidden: &mut [f32]) {
    let one = simd.splat_f32s(1.0);
    let (input, rest) = gates.split_at(UNITS);
    let (forget, rest) = rest.split_at(UNITS);
    let (candidate, output) = rest.split_at(UNITS);
    let (input, forget) = (S::as_simd_f32s(input).0, S::as_simd_f32s(forget).0);
    let (candidate, output) = (S::as_simd_f32s(candidate).0, S::as_simd_f32s(output).0);
    let (cells, hidden) = (S::as_mut_simd_f32s(cells).0, S::as_mut_simd_f32s(hidden).0);
    for index in 0..UNITS / S::F32_LANES {
        let input = simd.add_f32s(one, negative_exp(simd, input[index], LOG2_E));
        let forget = simd.add_f32s(one, negative_exp(simd, forget[index], LOG2_E));
        let output = simd.add_f32s(one, negative_exp(simd, output[index], LOG2_E));
        let candidate = negative_exp(simd, candidate[index], 2.0 * LOG2_E);
        let both = simd.mul_f32s(input, simd.add_f32s(one, candidate));
        let fresh = simd.mul_f32s(simd.sub_f32s(one, candidate), forget);
        let cell = simd.div_f32s(simd.mul_add_f32s(cells[index], both, fresh), simd.mul_f32s(both, forget));
        let squashed = negative_exp(simd, cell, 2.0 * LOG2_E);
        cells[index] = cell;
        hidden[index] =
            simd.div_f32s(simd.sub_f32s(one, squashed), simd.mul_f32s(output, simd.add_f32s(one, squashed)));
    }
}

/// `2^(-x scale)`, at most 2^40: a product of three of them still is a number, and what it stands for differs from its limit
/// by less than 1e-12.
#[inline(always)]
fn negative_exp<S: Simd>(simd: S, x: S::f32s, scale: f32) -> S::f32s {
    exp2(simd, simd.min_f32s(simd.mul_f32s(x, simd.splat_f32s(-scale)), simd.splat_f32s(40.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{assert_close, random};

    fn direction(inputs: usize, hidden: usize) -> Result<Direction> {
        Ok(Direction {
            weight_ih: (random((4 * hidden, inputs))? * 0.3)?,
            weight_hh: (random((4 * hidden, hidden))? * 0.3)?,
            bias: random(4 * hidden)?,
        })
    }

    fn wide(directions: &[Direction; 2]) -> Result<[Direction; 2]> {
        let wide = |direction: &Direction| -> Result<Direction> {
            Ok(Direction {
                weight_ih: direction.weight_ih.to_dtype(DType::F64)?,
                weight_hh: direction.weight_hh.to_dtype(DType::F64)?,
                bias: direction.bias.to_dtype(DType::F64)?,
            })
        };
        Ok([wide(&directions[0])?, wide(&directions[1])?])
    }

    #[test]
    fn follows_the_definition_in_f64() -> Result<()> {
        for (batch, time, inputs, hidden) in [(1, 1, 3, 16), (2, 9, 60, 128), (13, 7, 40, 48), (30, 5, 256, 128)] {
            let directions = [direction(inputs, hidden)?, direction(inputs, hidden)?];
            let oracle = BidirectionalLstm::new(wide(&directions)?)?;
            let narrow = BidirectionalLstm::with_precision(directions.clone(), Precision::BFloat16)?;
            let layer = BidirectionalLstm::new(directions)?;
            assert!(matches!(layer.weights, Weights::Packed(_)) && matches!(oracle.weights, Weights::Plain { .. }));
            let x = random((batch, time, inputs))?;
            let expected = oracle.forward(&x.to_dtype(DType::F64)?)?;
            assert_close(&format!("{batch}x{time}, {inputs} -> {hidden}"), &layer.forward(&x)?, &expected, 3e-5)?;
            // Gates of normal weights are sums of hundreds of rounded products; outputs lie between -1 and 1.
            assert_close(&format!("{batch}x{time} in bfloat16"), &narrow.forward(&x)?, &expected, 0.3)?;
        }
        Ok(())
    }

    #[test]
    fn hidden_sizes_without_panels_follow_the_definition_too() -> Result<()> {
        let directions = [direction(5, 6)?, direction(5, 6)?];
        let oracle = BidirectionalLstm::new(wide(&directions)?)?;
        let x = random((3, 4, 5))?;
        let ours = BidirectionalLstm::new(directions)?.forward(&x)?;
        assert_close("6 units", &ours, &oracle.forward(&x.to_dtype(DType::F64)?)?, 5e-6)
    }

    #[test]
    fn a_single_step_is_the_textbook_formula() -> Result<()> {
        let directions = [direction(2, 16)?, direction(2, 16)?];
        let x = [0.5f32, -1.5];
        let rows = directions[0].weight_ih.to_vec2::<f32>()?;
        let bias = directions[0].bias.to_vec1::<f32>()?;
        let gate = |index: usize| f64::from(rows[index][0] * x[0] + rows[index][1] * x[1] + bias[index]);
        let sigmoid = |value: f64| 1.0 / (1.0 + (-value).exp());
        let y = BidirectionalLstm::new(directions)?
            .forward(&Tensor::new(&x, &candle_core::Device::Cpu)?.reshape((1, 1, 2))?)?;
        let y = y.flatten_all()?.to_vec1::<f32>()?;
        for (unit, y) in y.into_iter().take(16).enumerate() {
            let cell = sigmoid(gate(unit)) * gate(32 + unit).tanh();
            let expected = sigmoid(gate(48 + unit)) * cell.tanh();
            assert!((f64::from(y) - expected).abs() < 1e-6, "unit {unit}: {y} for {expected}");
        }
        Ok(())
    }

    #[test]
    fn gates_that_are_full_stay_numbers() -> Result<()> {
        let mut directions = [direction(1, 16)?, direction(1, 16)?];
        for direction in &mut directions {
            direction.weight_ih = (direction.weight_ih.zeros_like()? + 1.0)?;
        }
        let layer = BidirectionalLstm::new(directions)?;
        for size in [1e6, -1e6] {
            let x = (random((1, 3, 1))?.zeros_like()? + size)?;
            let y = layer.forward(&x)?.flatten_all()?.to_vec1::<f32>()?;
            assert!(y.iter().all(|value| value.is_finite() && value.abs() <= 1.0), "{y:?}");
        }
        Ok(())
    }

    #[test]
    fn sequences_of_a_batch_equal_sequences_alone() -> Result<()> {
        let layer = BidirectionalLstm::new([direction(20, 32)?, direction(20, 32)?])?;
        let x = random((27, 6, 20))?;
        let together = layer.forward(&x)?;
        for row in [0, 13, 26] {
            let alone = layer.forward(&x.narrow(0, row, 1)?)?;
            assert_close("a sequence alone", &alone, &together.narrow(0, row, 1)?, 0.0)?;
        }
        Ok(())
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() -> Result<()> {
        let layer = BidirectionalLstm::new([direction(4, 16)?, direction(4, 16)?])?;
        assert!(layer.forward(&random((2, 3, 5))?).is_err());
        assert_eq!(layer.forward(&random((0, 3, 4))?)?.dims(), [0, 3, 32]);
        assert!(BidirectionalLstm::new([direction(4, 16)?, direction(5, 16)?]).is_err());
        Ok(())
    }
}
