//! A small convolution over planes of frequency x time, channels last, with bias, an optional residual and ReLU fused:
//!
//! `y[b, f, t, o] = relu(bias[o] + residual[b, f, t, o] + sum_{u, v, i} w[o, i, u, v] x[b, s f + u - p, r t + v - p, i])`
//!
//! with kernels of 1x1 or 3x3, padding p that keeps the planes' size, and strides s along frequency and r along time. With
//! the channels last, what the kernel sees of one frequency is a slice of x, and the next time step's slice begins a few
//! channels later: the fast path multiplies up to 12 time steps with 32 output channels in registers, straight from x;
//! only the tiles at the planes' ends are copied, with their zeros.

use std::{ops::Range, sync::Arc};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{
    is_fast,
    matrix::{PANEL, Packed, add_to},
    output::{Output, Parts},
    profile::{self, Class, Work},
    simd::{Lanes, Task, dispatch, relu_all},
    slice,
};

/// Time steps of a tile, at most.
const TILE: usize = 12;
/// Below this number of input channels, a row of the kernel is too short for a product of its own.
const FEW_INPUTS: usize = 4;

/// The layer: weights and geometry. In f32 on the CPU the weights are kept only in packed form.
#[derive(Debug, Clone)]
pub struct PlaneConvolution {
    weight: Weight,
    bias: Tensor,
    outputs: usize,
    inputs: usize,
    kernel: usize,
    /// Steps along frequency and time.
    stride: (usize, usize),
}

#[derive(Debug, Clone)]
enum Weight {
    /// (out, in, k, k), for every device and number type.
    Plain(Tensor),
    /// Depth running over (kernel row, kernel column, in), as x lies in memory.
    Packed(Arc<Packed<f32>>),
}

impl PlaneConvolution {
    /// A layer from `weight` (out, in, k, k), k = 1 or 3, `bias` (out) and strides along frequency and time.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn new(weight: Tensor, bias: Tensor, stride: (usize, usize)) -> Result<Self> {
        let (outputs, inputs, kernel, width) = weight.dims4()?;
        let fits = kernel == width && matches!(kernel, 1 | 3) && bias.dims() == [outputs] && inputs > 0;
        if !fits || stride.0 == 0 || stride.1 == 0 {
            bail!(
                "a plane convolution cannot have weight {:?}, bias {:?}, strides {stride:?}",
                weight.dims(),
                bias.dims()
            );
        }
        let weight = if is_fast(&[&weight]) { Weight::packed(&weight)? } else { Weight::Plain(weight) };
        Ok(Self { weight, bias: bias.contiguous()?, outputs, inputs, kernel, stride })
    }

    /// `relu(conv(x) + bias)`: x (B, F, T, in) -> (B, ceil(F / s), ceil(T / r), out).
    ///
    /// # Errors
    /// When x has another number of channels.
    pub fn forward_relu(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x, None, true)
    }

    /// `relu(conv(x) + bias + residual)`: x (B, F, T, in), residual (B, F', T', out) -> (B, F', T', out).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward_add_relu(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.forward(x, Some(residual), true)
    }

    /// `conv(x) + bias`: x (B, F, T, in) -> (B, ceil(F / s), ceil(T / r), out).
    ///
    /// # Errors
    /// When x has another number of channels.
    pub fn forward_linear(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x, None, false)
    }

    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let (batch, frequencies, time, inputs) = x.dims4()?;
        let shape = (batch, frequencies.div_ceil(self.stride.0), time.div_ceil(self.stride.1), self.outputs);
        if inputs != self.inputs || residual.is_some_and(|residual| residual.dims4().ok() != Some(shape)) {
            bail!(
                "a plane convolution with {} inputs cannot take x {:?} and residual {:?}",
                self.inputs,
                x.dims(),
                residual.map(Tensor::dims)
            );
        }
        let _timed = profile::span(Class::Convolution, || {
            let depth = self.kernel * self.kernel * self.inputs;
            Work::product(shape.0 * shape.1 * shape.2, depth, self.outputs, x.dtype().size_in_bytes())
        });
        let packed = match &self.weight {
            Weight::Plain(weight) => return self.composition(x, weight, residual, relu),
            Weight::Packed(packed) => packed,
        };
        let op = Forward { layer: self, packed, relu };
        match residual {
            Some(residual) => x.contiguous()?.apply_op2_no_bwd(&residual.contiguous()?, &op),
            None => x.contiguous()?.apply_op1_no_bwd(&op),
        }
    }

    /// The definition.
    fn composition(&self, x: &Tensor, weight: &Tensor, residual: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        // Candle's stride holds for both axes; with padding that keeps the size, a stride is every s-th row.
        let common = if self.stride.0 == self.stride.1 { self.stride.0 } else { 1 };
        let y = x.permute((0, 3, 1, 2))?.contiguous()?.conv2d(weight, self.kernel / 2, common, 1, 1)?;
        let mut y = y.permute((0, 2, 3, 1))?.contiguous()?; // (B, F', T', out)
        for (axis, stride) in [(1, self.stride.0), (2, self.stride.1)] {
            if stride != common {
                let kept: Vec<u32> = (0..y.dim(axis)? as u32).step_by(stride).collect();
                y = y.index_select(&Tensor::new(kept, y.device())?, axis)?;
            }
        }
        let y = y.broadcast_add(&self.bias)?;
        let y = match residual {
            Some(residual) => (y + residual)?,
            None => y,
        };
        if relu { y.relu() } else { Ok(y) }
    }
}

impl Weight {
    fn packed(weight: &Tensor) -> Result<Self> {
        let (outputs, inputs, kernel, _) = weight.dims4()?;
        let values = weight.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1::<f32>()?;
        let depth = kernel * kernel * inputs;
        Ok(Self::Packed(Arc::new(Packed::new(outputs, depth, |output, place| values[output * depth + place]))))
    }
}

/// The fast path: f32 on the CPU.
struct Forward<'a> {
    layer: &'a PlaneConvolution,
    packed: &'a Packed<f32>,
    relu: bool,
}

impl Forward<'_> {
    fn run(&self, x: &[f32], shape: &Shape, residual: Option<&[f32]>) -> Result<(CpuStorage, Shape)> {
        let (batch, frequencies, time, _) = shape.dims4()?;
        let layer = self.layer;
        let (rows, steps) = (frequencies.div_ceil(layer.stride.0), time.div_ceil(layer.stride.1));
        let bias = layer.bias.to_vec1::<f32>()?;
        let mut output = Output::new(batch * rows * steps * layer.outputs);
        let parts = output.parts();
        (0..batch * rows).into_par_iter().for_each_init(Vec::new, |copy, row| {
            dispatch(Row {
                work: self,
                x: &x[row / rows * frequencies * time * layer.inputs..][..frequencies * time * layer.inputs],
                planes: (frequencies, time),
                bias: &bias,
                residual,
                row: row % rows,
                first: row * steps,
                steps,
                parts,
                copy,
            });
        });
        // SAFETY: every row of every item was written, over all steps and channels.
        let values = unsafe { output.into_values() };
        Ok((CpuStorage::F32(values), Shape::from((batch, rows, steps, layer.outputs))))
    }
}

impl CustomOp1 for Forward<'_> {
    fn name(&self) -> &'static str {
        "plane convolution"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run(slice::<f32>(x, layout)?, layout.shape(), None)
    }
}

impl CustomOp2 for Forward<'_> {
    fn name(&self) -> &'static str {
        "plane convolution with residual"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run(slice::<f32>(x, layout)?, layout.shape(), Some(slice::<f32>(residual, residual_layout)?))
    }
}

/// One frequency of one item's result.
struct Row<'a> {
    work: &'a Forward<'a>,
    /// The item: (F, T, in).
    x: &'a [f32],
    planes: (usize, usize),
    bias: &'a [f32],
    residual: Option<&'a [f32]>,
    row: usize,
    /// Where the row begins in the result, in steps.
    first: usize,
    steps: usize,
    parts: Parts<'a>,
    /// Memory for what is not read straight from x.
    copy: &'a mut Vec<f32>,
}

impl Task for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, simd: S) {
        // Tiles of nearly equal height.
        let height = self.steps.div_ceil(self.steps.div_ceil(TILE).max(1)).max(1);
        for panel in 0..self.work.packed.panel_count() {
            for start in (0..self.steps).step_by(height) {
                self.tile(simd, panel, start..self.steps.min(start + height));
            }
        }
    }
}

impl Row<'_> {
    /// The kernel's rows that meet the planes.
    fn kernel_rows(&self) -> Range<usize> {
        let (kernel, top) = (self.work.layer.kernel, self.row * self.work.layer.stride.0);
        let before = (kernel / 2).saturating_sub(top);
        before..kernel.min(self.planes.0 + kernel / 2 - top)
    }

    /// The sums of one panel over some time steps, finished and stored: one row of the kernel after the other, or all rows
    /// together where each is too short for a product of its own.
    #[inline(always)]
    fn tile<S: Lanes>(&mut self, simd: S, panel: usize, steps: Range<usize>) {
        let (layer, packed) = (self.work.layer, self.work.packed);
        let together = layer.inputs < FEW_INPUTS;
        let width = layer.kernel * layer.inputs;
        let mut sums = [[0.0; PANEL]; TILE];
        for above in if together { 0..1 } else { self.kernel_rows() } {
            let (values, stride, depth) = if together {
                (self.gather(&steps), layer.kernel * width, 0..layer.kernel * width)
            } else {
                (self.seen(above, &steps), layer.stride.1 * layer.inputs, above * width..(above + 1) * width)
            };
            let weights = packed.panel(panel, depth.start, depth.len());
            // One call in one place: the compiler loses the registers where this is inlined several times.
            add_products(simd, values, stride, weights, &mut sums[..steps.len()]);
        }
        for (sums, step) in sums.iter_mut().zip(steps) {
            self.finish(simd, panel, step, sums);
        }
    }

    /// What one row of the kernel sees over some time steps, straight from x where no zeros are among it.
    fn seen(&mut self, above: usize, steps: &Range<usize>) -> &[f32] {
        let layer = self.work.layer;
        let (kernel, inputs, margin, time) = (layer.kernel, layer.inputs, layer.kernel / 2, self.planes.1);
        // In time steps; the first lies `margin` steps before `begin`.
        let (begin, count) = (steps.start * layer.stride.1, (steps.len() - 1) * layer.stride.1 + kernel);
        let (from, to) = (begin.max(margin) - margin, time.min(begin + count - margin));
        let line = (self.row * layer.stride.0 + above - margin) * time;
        let values = &self.x[(line + from) * inputs..(line + to) * inputs];
        if to - from == count {
            return values;
        }
        self.copy.clear();
        self.copy.resize(count * inputs, 0.0);
        self.copy[(from + margin - begin) * inputs..][..values.len()].copy_from_slice(values);
        self.copy
    }

    /// All that the kernel sees at each of some time steps, one after the other.
    fn gather(&mut self, steps: &Range<usize>) -> &[f32] {
        let layer = self.work.layer;
        let (kernel, inputs, margin, time) = (layer.kernel, layer.inputs, layer.kernel / 2, self.planes.1);
        let depth = kernel * kernel * inputs;
        self.copy.clear();
        self.copy.resize(steps.len() * depth, 0.0);
        for above in self.kernel_rows() {
            let line = &self.x[(self.row * layer.stride.0 + above - margin) * time * inputs..][..time * inputs];
            for (step, seen) in steps.clone().zip(self.copy.chunks_exact_mut(depth)) {
                let begin = step * layer.stride.1;
                let (from, to) = (begin.max(margin) - margin, time.min(begin + kernel - margin));
                let at = (above * kernel + from + margin - begin) * inputs;
                for (seen, value) in seen[at..].iter_mut().zip(&line[from * inputs..to * inputs]) {
                    *seen = *value;
                }
            }
        }
        self.copy
    }

    /// Adds bias and residual to the sums of one time step, applies ReLU and stores them.
    #[inline(always)]
    fn finish<S: Lanes>(&self, simd: S, panel: usize, step: usize, sums: &mut [f32; PANEL]) {
        let outputs = self.work.layer.outputs;
        let column = panel * PANEL;
        let width = PANEL.min(outputs - column);
        let start = (self.first + step) * outputs + column;
        let sums = &mut sums[..width];
        add_to(simd, sums, &self.bias[column..column + width]);
        if let Some(residual) = self.residual {
            add_to(simd, sums, &residual[start..start + width]);
        }
        if self.work.relu {
            relu_all(simd, sums);
        }
        // SAFETY: each row is one task's, and its steps and panels are disjoint; a task holds one slice at a time.
        unsafe { self.parts.part(start, width) }.copy_from_slice(sums);
    }
}

/// `sums[r][c] += sum over k of values[r * stride + k] * weights[k][c]`.
#[inline(always)]
fn add_products<S: Lanes>(simd: S, values: &[f32], stride: usize, weights: &[[f32; PANEL]], sums: &mut [[f32; PANEL]]) {
    if const { S::F32_LANES >= 16 } {
        match sums.len() {
            1 => rows::<S, 1, 2>(simd, values, stride, weights, sums),
            2 => rows::<S, 2, 2>(simd, values, stride, weights, sums),
            3 => rows::<S, 3, 2>(simd, values, stride, weights, sums),
            4 => rows::<S, 4, 2>(simd, values, stride, weights, sums),
            5 => rows::<S, 5, 2>(simd, values, stride, weights, sums),
            6 => rows::<S, 6, 2>(simd, values, stride, weights, sums),
            7 => rows::<S, 7, 2>(simd, values, stride, weights, sums),
            8 => rows::<S, 8, 2>(simd, values, stride, weights, sums),
            9 => rows::<S, 9, 2>(simd, values, stride, weights, sums),
            10 => rows::<S, 10, 2>(simd, values, stride, weights, sums),
            11 => rows::<S, 11, 2>(simd, values, stride, weights, sums),
            _ => rows::<S, 12, 2>(simd, values, stride, weights, sums),
        }
    } else {
        // Sixteen or thirty-two narrower registers: at most six rows of two vectors.
        for (index, sums) in sums.chunks_mut(6).enumerate() {
            let values = &values[index * 6 * stride..];
            match sums.len() {
                1 => rows::<S, 1, 2>(simd, values, stride, weights, sums),
                2 => rows::<S, 2, 2>(simd, values, stride, weights, sums),
                3 => rows::<S, 3, 2>(simd, values, stride, weights, sums),
                4 => rows::<S, 4, 2>(simd, values, stride, weights, sums),
                5 => rows::<S, 5, 2>(simd, values, stride, weights, sums),
                _ => rows::<S, 6, 2>(simd, values, stride, weights, sums),
            }
        }
    }
}

/// The same for exactly R rows, V vectors of columns at a time.
#[inline(always)]
fn rows<S: Lanes, const R: usize, const V: usize>(
    simd: S,
    values: &[f32],
    stride: usize,
    weights: &[[f32; PANEL]],
    sums: &mut [[f32; PANEL]],
) {
    let Some(sums) = sums.first_chunk_mut::<R>() else { unreachable!("the caller chose R by the number of rows") };
    assert!(values.len() >= (R - 1) * stride + weights.len());
    let width = V * S::F32_LANES;
    for column in (0..PANEL).step_by(width) {
        let mut totals = [[simd.splat_f32s(0.0); V]; R];
        for (totals, sums) in totals.iter_mut().zip(&*sums) {
            for (total, part) in totals.iter_mut().zip(S::as_simd_f32s(&sums[column..column + width]).0) {
                *total = *part;
            }
        }
        for (k, weights) in weights.iter().enumerate() {
            let (vectors, _) = S::as_simd_f32s(&weights[column..column + width]);
            for (r, totals) in totals.iter_mut().enumerate() {
                // SAFETY: r <= R - 1 and k < weights.len(), for which the assertion above makes room.
                let value = simd.splat_f32s(unsafe { *values.get_unchecked(r * stride + k) });
                for v in 0..V {
                    totals[v] = simd.mul_add_f32s(value, vectors[v], totals[v]);
                }
            }
        }
        for (sums, totals) in sums.iter_mut().zip(totals) {
            let target = &mut sums[column..column + width];
            for (target, total) in S::as_mut_simd_f32s(target).0.iter_mut().zip(totals) {
                *target = total;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::ops::tests::{assert_close, random};

    #[test]
    fn follows_the_definition_in_f64() -> Result<()> {
        for (kernel, stride, inputs, outputs, frequencies, time) in [
            (3, (1, 1), 1, 32, 5, 1),
            (3, (1, 1), 32, 32, 7, 33),
            (3, (2, 1), 8, 40, 10, 64),
            (3, (2, 2), 16, 64, 9, 29),
            (3, (2, 2), 3, 5, 2, 2),
            (1, (2, 2), 32, 16, 8, 31),
            (1, (2, 1), 4, 96, 3, 30),
            (1, (1, 1), 3, 16, 1, 70),
        ] {
            let (weight, bias) = (random((outputs, inputs, kernel, kernel))?, random(outputs)?);
            let oracle = PlaneConvolution::new(weight.to_dtype(DType::F64)?, bias.to_dtype(DType::F64)?, stride)?;
            let layer = PlaneConvolution::new(weight, bias, stride)?;
            let x = random((2, frequencies, time, inputs))?;
            let residual = random((2, frequencies.div_ceil(stride.0), time.div_ceil(stride.1), outputs))?;
            let (x64, residual64) = (x.to_dtype(DType::F64)?, residual.to_dtype(DType::F64)?);
            let name = format!("{kernel}x{kernel} of {inputs} -> {outputs} on {frequencies} x {time}, {stride:?}");
            assert_close(&name, &layer.forward_relu(&x)?, &oracle.forward_relu(&x64)?, 1e-4)?;
            assert_close(&name, &layer.forward_linear(&x)?, &oracle.forward_linear(&x64)?, 1e-4)?;
            let (added, expected) =
                (layer.forward_add_relu(&x, &residual)?, oracle.forward_add_relu(&x64, &residual64)?);
            assert_close(&name, &added, &expected, 1e-4)?;
        }
        Ok(())
    }

    #[test]
    fn every_instruction_set_computes_the_same() {
        check(pulp::Scalar);
        #[cfg(target_arch = "x86_64")]
        {
            if let (true, Some(simd)) = (std::arch::is_x86_feature_detected!("f16c"), pulp::x86::V3::try_new()) {
                check(simd);
            }
            if let Some(simd) = pulp::x86::V4::try_new() {
                check(simd);
            }
        }
    }

    /// Small whole numbers, so that every order of summing gives the same.
    fn check<S: Lanes>(simd: S) {
        let values: Vec<f32> = (0..12 * 5 + 7).map(|n| (n * 7 % 11) as f32 - 5.0).collect();
        let weight = |k: usize, column: usize| ((k * 3 + column * 5) % 13) as f32 - 6.0;
        let mut weights = [[0.0; PANEL]; 7];
        for (k, row) in weights.iter_mut().enumerate() {
            row.iter_mut().enumerate().for_each(|(column, value)| *value = weight(k, column));
        }
        for height in 1..=TILE {
            let mut sums = [[1.0; PANEL]; TILE];
            add_products(simd, &values, 5, &weights, &mut sums[..height]);
            for (row, sums) in sums.iter().enumerate() {
                for (column, sum) in sums.iter().enumerate() {
                    let product = |k: usize| values[row * 5 + k] * weight(k, column);
                    let expected = if row < height { 1.0 + (0..7).map(product).sum::<f32>() } else { 1.0 };
                    assert_eq!(*sum, expected, "row {row} of {height}, column {column}");
                }
            }
        }
    }

    #[test]
    fn wrong_shapes_are_refused() -> Result<()> {
        assert!(PlaneConvolution::new(random((8, 2, 2, 2))?, random(8)?, (1, 1)).is_err());
        assert!(PlaneConvolution::new(random((8, 2, 3, 3))?, random(8)?, (1, 0)).is_err());
        let layer = PlaneConvolution::new(random((8, 2, 3, 3))?, random(8)?, (1, 1))?;
        assert!(layer.forward_relu(&random((1, 4, 6, 3))?).is_err());
        assert!(layer.forward_add_relu(&random((1, 4, 6, 2))?, &random((1, 3, 6, 8))?).is_err());
        assert_eq!(layer.forward_relu(&Tensor::zeros((1, 0, 6, 2), DType::F32, &Device::Cpu)?)?.dims(), [1, 0, 6, 8]);
        Ok(())
    }
}
