//! A small convolution over planes of frequency x time, with bias, an optional residual and ReLU fused:
//!
//! `y[b, o, f, t] = relu(bias[o] + residual[b, o, f, t] + sum_{i, u, v} w[o, i, u, v] x[b, i, s f + u - p, t + v - p])`
//!
//! with kernels of 1x1 or 3x3, padding p that keeps the planes' size, and a stride s along frequency only. Speaker
//! embedders open with a dozen of these on 32 channels, where a matrix product over unrolled patches spends its time on
//! moving patches. The fast path computes 8 output channels x 2 vectors of time steps in registers, straight from the padded planes.

use candle_core::{Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;

use super::{
    is_fast,
    simd::{Lanes, Task, dispatch},
};

/// Output channels that the fast path computes together.
const CHANNELS: usize = 8;
/// Vectors of time steps that the fast path computes together.
const VECTORS: usize = 2;
/// Time steps that rows are padded to: `VECTORS` vectors of the widest registers.
const TIME_BLOCK: usize = 32;

/// The layer: weights and geometry.
#[derive(Debug, Clone)]
pub struct PlaneConvolution {
    weight: Tensor,
    bias: Tensor,
    /// The weights as (out / 8, in, kernel, kernel, 8), for the fast path; empty where it does not apply.
    packed: Vec<f32>,
    packed_bias: Vec<f32>,
    outputs: usize,
    inputs: usize,
    kernel: usize,
    stride: usize,
}

impl PlaneConvolution {
    /// A layer from `weight` (out, in, k, k), k = 1 or 3, and `bias` (out).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn new(weight: Tensor, bias: Tensor, stride: usize) -> Result<Self> {
        let (outputs, inputs, kernel, width) = weight.dims4()?;
        if kernel != width || !matches!(kernel, 1 | 3) || bias.dims() != [outputs] || stride == 0 {
            bail!(
                "a plane convolution cannot have weight {:?}, bias {:?}, stride {stride}",
                weight.dims(),
                bias.dims()
            );
        }
        let fast = outputs % CHANNELS == 0 && is_fast(&[&weight]);
        let (packed, packed_bias) = if fast {
            let grouped = weight.reshape((outputs / CHANNELS, CHANNELS, inputs, kernel, kernel))?;
            (grouped.permute((0, 2, 3, 4, 1))?.flatten_all()?.to_vec1()?, bias.to_vec1()?)
        } else {
            Default::default()
        };
        Ok(Self { weight, bias, packed, packed_bias, outputs, inputs, kernel, stride })
    }

    /// `relu(conv(x) + bias)`: x (B, in, F, T) -> (B, out, ceil(F / stride), T).
    ///
    /// # Errors
    /// When x has another number of channels.
    pub fn forward_relu(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x, None, true)
    }

    /// `relu(conv(x) + bias + residual)`: x (B, in, F, T), residual (B, out, F', T) -> (B, out, F', T).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward_add_relu(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.forward(x, Some(residual), true)
    }

    /// `conv(x) + bias`: x (B, in, F, T) -> (B, out, ceil(F / stride), T).
    ///
    /// # Errors
    /// When x has another number of channels.
    pub fn forward_linear(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x, None, false)
    }

    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let (batch, inputs, frequencies, time) = x.dims4()?;
        let shape = (batch, self.outputs, frequencies.div_ceil(self.stride), time);
        if inputs != self.inputs || residual.is_some_and(|residual| residual.dims4().ok() != Some(shape)) {
            bail!(
                "a plane convolution with {} inputs cannot take x {:?} and residual {:?}",
                self.inputs,
                x.dims(),
                residual.map(Tensor::dims)
            );
        }
        if self.packed.is_empty() || !is_fast(&[x]) {
            return self.composition(x, residual, relu);
        }
        let x = x.contiguous()?;
        let residual = residual.map(Tensor::contiguous).transpose()?;
        let values = on_slices(&x, residual.as_ref(), |x, residual| self.fast(x, residual, relu, shape, frequencies))?;
        Tensor::from_vec(values, shape, &Device::Cpu)
    }

    /// The definition.
    fn composition(&self, x: &Tensor, residual: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let y = x.conv2d(&self.weight, self.kernel / 2, 1, 1, 1)?;
        // Candle's stride holds for both axes; with padding that keeps the size, a stride is every s-th row.
        let y = if self.stride == 1 {
            y
        } else {
            let rows: Vec<u32> = (0..y.dim(2)? as u32).step_by(self.stride).collect();
            y.index_select(&Tensor::new(rows, y.device())?, 2)?
        };
        let y = y.broadcast_add(&self.bias.reshape((1, self.outputs, 1, 1))?)?;
        let y = match residual {
            Some(residual) => (y + residual)?,
            None => y,
        };
        if relu { y.relu() } else { Ok(y) }
    }

    fn fast(
        &self,
        x: &[f32],
        residual: Option<&[f32]>,
        relu: bool,
        (batch, outputs, rows, time): (usize, usize, usize, usize),
        frequencies: usize,
    ) -> Vec<f32> {
        let mut y = vec![0.0; batch * outputs * rows * time];
        let (input_size, output_size) = (self.inputs * frequencies * time, outputs * rows * time);
        y.par_chunks_mut(output_size.max(1)).enumerate().for_each_init(Vec::new, |padded, (item, y)| {
            let planes = Planes { channels: self.inputs, frequencies, time, margin: self.kernel / 2 };
            planes.pad(&x[item * input_size..(item + 1) * input_size], padded);
            let residual = residual.map(|residual| &residual[item * output_size..(item + 1) * output_size]);
            dispatch(Kernel { layer: self, planes, padded, residual, relu, rows, y });
        });
        y
    }
}

fn on_slices<R>(x: &Tensor, y: Option<&Tensor>, body: impl FnOnce(&[f32], Option<&[f32]>) -> R) -> Result<R> {
    let (x_storage, x_layout) = x.storage_and_layout();
    let Storage::Cpu(x_values) = &*x_storage else { bail!("a plane convolution's fast path is for the CPU") };
    let x_values = &x_values.as_slice::<f32>()?[x_layout.start_offset()..];
    let Some(y) = y else { return Ok(body(x_values, None)) };
    let (y_storage, y_layout) = y.storage_and_layout();
    let Storage::Cpu(y_values) = &*y_storage else { bail!("a plane convolution's fast path is for the CPU") };
    Ok(body(x_values, Some(&y_values.as_slice::<f32>()?[y_layout.start_offset()..])))
}

/// The geometry of one item's input planes inside their zero margin.
#[derive(Clone, Copy)]
struct Planes {
    channels: usize,
    frequencies: usize,
    time: usize,
    margin: usize,
}

impl Planes {
    /// Floats in a padded row: whole blocks, so that the kernel needs no tail.
    fn row(&self) -> usize {
        self.time.next_multiple_of(TIME_BLOCK) + 2 * self.margin
    }

    /// Floats in a padded plane.
    fn plane(&self) -> usize {
        (self.frequencies + 2 * self.margin) * self.row()
    }

    fn pad(&self, x: &[f32], padded: &mut Vec<f32>) {
        // Where the buffer held another item, its margins are zero already and the rest is written anew.
        padded.resize(self.channels * self.plane(), 0.0);
        for (channel, plane) in x.chunks_exact(self.frequencies * self.time).enumerate() {
            for (frequency, row) in plane.chunks_exact(self.time).enumerate() {
                let start = channel * self.plane() + (frequency + self.margin) * self.row() + self.margin;
                padded[start..start + self.time].copy_from_slice(row);
            }
        }
    }
}

/// One item's convolution, ready for the widest vectors that the processor has.
struct Kernel<'a> {
    layer: &'a PlaneConvolution,
    planes: Planes,
    padded: &'a [f32],
    residual: Option<&'a [f32]>,
    relu: bool,
    rows: usize,
    y: &'a mut [f32],
}

impl Task for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, simd: S) {
        for row in 0..self.rows {
            for start in (0..self.planes.time).step_by(VECTORS * S::F32_LANES) {
                for group in 0..self.layer.outputs / CHANNELS {
                    let sums = self.sums(simd, group, row, start);
                    self.finish(simd, sums, group, row, start);
                }
            }
        }
    }
}

impl Kernel<'_> {
    /// Bias and products of 8 output channels at `VECTORS` vectors of time steps from `start`.
    #[inline(always)]
    fn sums<S: Lanes>(&self, simd: S, group: usize, row: usize, start: usize) -> [[S::f32s; VECTORS]; CHANNELS] {
        let kernel = self.layer.kernel;
        let weights = &self.layer.packed[group * self.layer.inputs * kernel * kernel * CHANNELS..];
        let mut weights = weights.chunks_exact(CHANNELS);
        let bias = &self.layer.packed_bias[group * CHANNELS..(group + 1) * CHANNELS];
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; CHANNELS];
        for (sums, bias) in sums.iter_mut().zip(bias) {
            *sums = [simd.splat_f32s(*bias); VECTORS];
        }
        for input in 0..self.planes.channels {
            for above in 0..kernel {
                let line = input * self.planes.plane() + (row * self.layer.stride + above) * self.planes.row() + start;
                for shift in 0..kernel {
                    let Some(weights) = weights.next() else { return sums };
                    let values = &self.padded[line + shift..line + shift + VECTORS * S::F32_LANES];
                    let (values, _) = S::as_simd_f32s(values);
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        let weight = simd.splat_f32s(*weight);
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = simd.mul_add_f32s(weight, *value, *sum);
                        }
                    }
                }
            }
        }
        sums
    }

    /// Adds the residual, applies ReLU and writes what lies inside the planes.
    #[inline(always)]
    fn finish<S: Lanes>(
        &mut self,
        simd: S,
        sums: [[S::f32s; VECTORS]; CHANNELS],
        group: usize,
        row: usize,
        start: usize,
    ) {
        let time = self.planes.time;
        for (channel, sums) in sums.into_iter().enumerate() {
            let line = ((group * CHANNELS + channel) * self.rows + row) * time;
            for (vector, mut value) in sums.into_iter().enumerate() {
                let from = line + (start + vector * S::F32_LANES).min(time);
                let to = line + (start + (vector + 1) * S::F32_LANES).min(time);
                if let Some(residual) = self.residual {
                    value = simd.add_f32s(value, load(simd, &residual[from..to]));
                }
                if self.relu {
                    value = simd.max_f32s(value, simd.splat_f32s(0.0));
                }
                store(simd, &mut self.y[from..to], value);
            }
        }
    }
}

/// Up to a vector of values.
#[inline(always)]
fn load<S: Lanes>(simd: S, source: &[f32]) -> S::f32s {
    match S::as_simd_f32s(source).0 {
        [whole, ..] => *whole,
        [] => simd.partial_load_f32s(source),
    }
}

/// Writes as many lanes as there is room for.
#[inline(always)]
fn store<S: Lanes>(simd: S, target: &mut [f32], value: S::f32s) {
    match S::as_mut_simd_f32s(target) {
        ([whole, ..], _) => *whole = value,
        ([], part) => simd.partial_store_f32s(part, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>() as u32;
        let value = |n: u32| (n.wrapping_mul(2_654_435_761) >> 16) as f32 / 65_536.0 - 0.5;
        Tensor::from_vec((1..=count).map(value).collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn fast_path_agrees_with_the_definition() {
        for (kernel, stride, inputs, frequencies, time) in [
            (3, 1, 1, 5, 1),
            (3, 1, 32, 7, 33),
            (3, 2, 8, 10, 64),
            (3, 2, 16, 9, 148),
            (1, 2, 32, 8, 31),
            (1, 1, 3, 1, 70),
        ] {
            let layer = PlaneConvolution::new(noise(&[16, inputs, kernel, kernel]), noise(&[16]), stride).unwrap();
            let x = noise(&[2, inputs, frequencies, time]);
            let residual = noise(&[2, 16, frequencies.div_ceil(stride), time]);
            assert!(!layer.packed.is_empty());
            for (fast, oracle) in [
                (layer.forward_relu(&x), layer.composition(&x, None, true)),
                (layer.forward_linear(&x), layer.composition(&x, None, false)),
                (layer.forward_add_relu(&x, &residual), layer.composition(&x, Some(&residual), true)),
            ] {
                let (fast, oracle) = (fast.unwrap(), oracle.unwrap());
                assert_eq!(fast.dims(), oracle.dims());
                assert!(largest_difference(&fast, &oracle) < 1e-4);
            }
        }
    }

    #[test]
    fn channels_that_do_not_fill_a_group_take_the_definition() {
        let layer = PlaneConvolution::new(noise(&[5, 2, 3, 3]), noise(&[5]), 1).unwrap();
        assert_eq!(layer.forward_relu(&noise(&[1, 2, 4, 6])).unwrap().dims(), [1, 5, 4, 6]);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        assert!(PlaneConvolution::new(noise(&[8, 2, 2, 2]), noise(&[8]), 1).is_err());
        let layer = PlaneConvolution::new(noise(&[8, 2, 3, 3]), noise(&[8]), 1).unwrap();
        assert!(layer.forward_relu(&noise(&[1, 3, 4, 6])).is_err());
        assert!(layer.forward_add_relu(&noise(&[1, 2, 4, 6]), &noise(&[1, 8, 3, 6])).is_err());
    }
}
