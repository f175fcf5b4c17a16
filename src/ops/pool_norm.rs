//! What follows a convolution of a SincNet: the largest of every three steps, instance normalisation, leaky ReLU.
//!
//! ```text
//! p[t, c] = max of x[3 t .. 3 t + 3, c]
//! y = leaky_relu(weight (p - mean) / sqrt(variance + 1e-5) + bias)      mean and variance of each channel over time
//! ```
//!
//! By its definition each is a pass over some megabytes a window; the fast path makes three in all.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{
    is_fast,
    output::{Output, Parts},
    profile::{self, Class, Work},
    simd::{Lanes, Task, dispatch},
    slice,
};

/// Steps of time that become one.
pub const POOL: usize = 3;
/// Under the root, so that a channel that never changes stays a number.
const EPSILON: f64 = 1e-5;
/// The slope of the rectifier below zero.
const SLOPE: f64 = 0.01;
/// Steps whose sums are taken in f32 before they are added in f64.
const PARTIAL: usize = 64;

/// The layer.
#[derive(Debug, Clone)]
pub struct PoolNorm {
    weight: Tensor,
    bias: Tensor,
}

/// One of several, mostly overlapping windows of one tensor of steps, and what becomes of its values first: `|scale x + shift|`.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedWindow {
    /// Its first step.
    pub start: usize,
    /// One number for all channels.
    pub scale: f32,
    /// One number for each channel.
    pub shift: Vec<f32>,
}

impl PoolNorm {
    /// A layer from `weight` (C) and `bias` (C).
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn new(weight: Tensor, bias: Tensor) -> Result<Self> {
        if weight.dims1()? != bias.dims1()? {
            bail!("a normalisation cannot have weight {:?} and bias {:?}", weight.dims(), bias.dims());
        }
        Ok(Self { weight: weight.contiguous()?, bias: bias.contiguous()? })
    }

    /// x (B, T, C) -> (B, T / 3, C).
    ///
    /// # Errors
    /// When x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, _) = x.dims3()?;
        self.check(x, time)?;
        let _timed = profile::span(Class::Elementwise, || Work::over(x));
        if !is_fast(&[x]) {
            return self.composition(x);
        }
        let x = x.contiguous()?;
        let starts: Vec<usize> = (0..batch).map(|row| row * time).collect();
        x.flatten_to(1)?.apply_op1_no_bwd(&Forward { layer: self, time, places: Places::Plain(&starts) })
    }

    /// The magnitudes of the mapped `windows`, each of `time` steps of x (T, C) -> (windows, time / 3, C).
    ///
    /// # Errors
    /// When x has other channels, or a window reaches beyond its end.
    pub fn forward_windows(&self, x: &Tensor, windows: &[MappedWindow], time: usize) -> Result<Tensor> {
        let (steps, channels) = x.dims2()?;
        self.check(x, time)?;
        if windows.is_empty() || windows.iter().any(|w| w.start + time > steps || w.shift.len() != channels) {
            bail!("{} windows of {time} steps cannot be taken from a tensor of shape {:?}", windows.len(), x.dims());
        }
        let values = windows.len() * time * x.dim(1)?;
        let _timed = profile::span(Class::Elementwise, || Work::pass(0, 2 * values * x.dtype().size_in_bytes()));
        if !is_fast(&[x]) {
            return self.composition(&mapped(x, windows, time)?);
        }
        x.contiguous()?.apply_op1_no_bwd(&Forward { layer: self, time, places: Places::Mapped(windows) })
    }

    fn check(&self, x: &Tensor, time: usize) -> Result<()> {
        if x.dims().last() != self.weight.dims().first() || time < POOL {
            bail!("a normalisation of {:?} channels cannot take a tensor of shape {:?}", self.weight.dims(), x.dims());
        }
        Ok(())
    }

    /// The definition.
    fn composition(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, channels) = x.dims3()?;
        let pooled = time / POOL;
        let x = x.narrow(1, 0, pooled * POOL)?.contiguous()?.reshape((batch, pooled, POOL, channels))?.max(2)?;
        let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(1)? + EPSILON)?.sqrt()?;
        let y = centred.broadcast_div(&deviation)?.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)?;
        y.maximum(&(&y * SLOPE)?)
    }
}

/// The definition of the windows: (windows, time, C).
fn mapped(x: &Tensor, windows: &[MappedWindow], time: usize) -> Result<Tensor> {
    let each = windows.iter().map(|window| {
        let shift = Tensor::from_slice(&window.shift, window.shift.len(), &Device::Cpu)?;
        let shift = shift.to_dtype(x.dtype())?.to_device(x.device())?;
        (x.narrow(0, window.start, time)? * f64::from(window.scale))?.broadcast_add(&shift)?.abs()
    });
    Tensor::stack(&each.collect::<Result<Vec<_>>>()?, 0)
}

enum Places<'a> {
    Plain(&'a [usize]),
    Mapped(&'a [MappedWindow]),
}

/// The fast path: f32 on the CPU, x (T, C).
struct Forward<'a> {
    layer: &'a PoolNorm,
    /// Steps of a window.
    time: usize,
    places: Places<'a>,
}

impl CustomOp1 for Forward<'_> {
    fn name(&self) -> &'static str {
        "pooling and normalisation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, channels) = layout.shape().dims2()?;
        let x = slice::<f32>(x, layout)?;
        let (weight, bias) = (self.layer.weight.to_vec1::<f32>()?, self.layer.bias.to_vec1::<f32>()?);
        let (pooled, count) = (
            self.time / POOL,
            match self.places {
                Places::Plain(starts) => starts.len(),
                Places::Mapped(windows) => windows.len(),
            },
        );
        let mut output = Output::new(count * pooled * channels);
        let parts = output.parts();
        (0..count).into_par_iter().with_max_len(1).for_each(|index| {
            let (start, map) = match self.places {
                Places::Plain(starts) => (starts[index], None),
                Places::Mapped(windows) => (windows[index].start, Some((windows[index].scale, &*windows[index].shift))),
            };
            let x = &x[start * channels..][..pooled * POOL * channels];
            dispatch(Window { x, map, weight: &weight, bias: &bias, parts, place: index * pooled * channels });
        });
        // SAFETY: the tasks cover all windows.
        let values = unsafe { output.into_values() };
        Ok((CpuStorage::F32(values), Shape::from((count, pooled, channels))))
    }
}

/// One window.
struct Window<'a> {
    /// (T, C)
    x: &'a [f32],
    map: Option<(f32, &'a [f32])>,
    weight: &'a [f32],
    bias: &'a [f32],
    parts: Parts<'a>,
    place: usize,
}

impl Task for Window<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let channels = self.weight.len();
        // SAFETY: a window's results belong to its task alone.
        let y = unsafe { self.parts.part(self.place, self.x.len() / POOL) };
        let (mut sums, mut squares) = (Columns::new(channels), Columns::new(channels));
        for (y, x) in y.chunks_mut(PARTIAL * channels).zip(self.x.chunks(PARTIAL * POOL * channels)) {
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(POOL * channels)) {
                match self.map {
                    Some((scale, shift)) => pool_mapped(x, scale, shift, y),
                    None => pool(x, y),
                }
                add(y, &mut sums.partial);
            }
            sums.flush();
        }
        let steps = (y.len() / channels) as f64;
        let means: Vec<f32> = sums.totals.iter().map(|sum| (sum / steps) as f32).collect();
        // The squares of centred values: where the mean is large, those of the values themselves leave too few digits.
        for y in y.chunks_mut(PARTIAL * channels) {
            for y in y.chunks_exact_mut(channels) {
                centre(y, &means, &mut squares.partial);
            }
            squares.flush();
        }
        let deviation = |squares: &f64| (squares / steps + EPSILON).sqrt();
        let scale: Vec<f32> = squares
            .totals
            .iter()
            .zip(self.weight)
            .map(|(squares, &weight)| (f64::from(weight) / deviation(squares)) as f32)
            .collect();
        for y in y.chunks_exact_mut(channels) {
            for ((y, scale), bias) in y.iter_mut().zip(&scale).zip(self.bias) {
                let value = *y * scale + bias;
                *y = value.max(value * SLOPE as f32);
            }
        }
    }
}

/// Sums of each channel, at first of some steps in f32.
struct Columns {
    partial: Vec<f32>,
    totals: Vec<f64>,
}

impl Columns {
    fn new(channels: usize) -> Self {
        Self { partial: vec![0.0; channels], totals: vec![0.0; channels] }
    }

    /// Adds the steps so far to the totals.
    #[inline(always)]
    fn flush(&mut self) {
        for (partial, total) in self.partial.iter_mut().zip(&mut self.totals) {
            *total += f64::from(std::mem::take(partial));
        }
    }
}

/// The largest of the three steps of x (3, C).
#[inline(always)]
fn pool(x: &[f32], y: &mut [f32]) {
    let (first, rest) = x.split_at(y.len());
    let (second, third) = rest.split_at(y.len());
    for (((y, a), b), c) in y.iter_mut().zip(first).zip(second).zip(third) {
        *y = a.max(*b).max(*c);
    }
}

/// The largest magnitude of the three mapped steps of x (3, C).
#[inline(always)]
fn pool_mapped(x: &[f32], scale: f32, shift: &[f32], y: &mut [f32]) {
    let (first, rest) = x.split_at(y.len());
    let (second, third) = rest.split_at(y.len());
    for ((((y, a), b), c), shift) in y.iter_mut().zip(first).zip(second).zip(third).zip(shift) {
        let (a, b, c) = (a * scale + shift, b * scale + shift, c * scale + shift);
        *y = a.abs().max(b.abs()).max(c.abs());
    }
}

/// Adds y (C) to the sums.
#[inline(always)]
fn add(y: &[f32], sums: &mut [f32]) {
    for (y, sum) in y.iter().zip(sums) {
        *sum += y;
    }
}

/// Subtracts the means from y (C) and adds the squares of what is left.
#[inline(always)]
fn centre(y: &mut [f32], means: &[f32], squares: &mut [f32]) {
    for ((y, mean), square) in y.iter_mut().zip(means).zip(squares) {
        *y -= mean;
        *square += *y * *y;
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::ops::tests::{assert_close, random};

    fn layers(channels: usize) -> Result<(PoolNorm, PoolNorm)> {
        let (weight, bias) = (random(channels)?, random(channels)?);
        let wide = PoolNorm::new(weight.to_dtype(DType::F64)?, bias.to_dtype(DType::F64)?)?;
        Ok((PoolNorm::new(weight, bias)?, wide))
    }

    #[test]
    fn follows_the_definition_in_f64() -> Result<()> {
        for (batch, time, channels) in [(1, 3, 1), (2, 301, 60), (3, 1000, 80), (1, 8, 17)] {
            let (layer, oracle) = layers(channels)?;
            // Far from zero, where squares lose digits.
            let x = (random((batch, time, channels))? + 3.0)?;
            let expected = oracle.forward(&x.to_dtype(DType::F64)?)?;
            // Over one step every variance is zero, and what is left of the rounding is divided by the root of 1e-5.
            let tolerance = if time < 2 * POOL { 1e-3 } else { 1e-4 };
            assert_close(&format!("{batch}x{time}x{channels}"), &layer.forward(&x)?, &expected, tolerance)?;
        }
        Ok(())
    }

    #[test]
    fn windows_are_mapped_and_rectified() -> Result<()> {
        let (layer, oracle) = layers(5)?;
        let x = random((40, 5))?;
        let window = |start, scale| MappedWindow { start, scale, shift: vec![0.1, -0.5, 0.0, 2.0, -3.0] };
        let windows = [window(0, 1.0), window(7, -2.5), window(10, 0.3)];
        let ours = layer.forward_windows(&x, &windows, 30)?;
        let expected = oracle.forward_windows(&x.to_dtype(DType::F64)?, &windows, 30)?;
        assert_eq!(ours.dims(), [3, 10, 5]);
        assert_close("three windows", &ours, &expected, 1e-4)?;
        let by_hand = x.narrow(0, 7, 30)?.unsqueeze(0)?.to_dtype(DType::F64)?;
        let shift = Tensor::new(&[0.1f64, -0.5, 0.0, 2.0, -3.0], &Device::Cpu)?;
        let by_hand = oracle.forward(&(by_hand * -2.5)?.broadcast_add(&shift)?.abs()?)?;
        assert_close("the second by hand", &ours.narrow(0, 1, 1)?, &by_hand, 1e-4)
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() -> Result<()> {
        let (layer, _) = layers(4)?;
        assert!(layer.forward(&random((1, 9, 5))?).is_err());
        assert!(layer.forward(&random((1, 2, 4))?).is_err(), "no three steps");
        let window = |start| MappedWindow { start, scale: 1.0, shift: vec![0.0; 4] };
        assert!(layer.forward_windows(&random((9, 4))?, &[window(4)], 6).is_err(), "beyond the end");
        assert!(layer.forward_windows(&random((9, 4))?, &[], 6).is_err());
        assert!(PoolNorm::new(random(4)?, random(5)?).is_err());
        Ok(())
    }
}
