//! The SincNet in front of the segmentation network: from samples to 60 channels every 270 samples.
//!
//! `samples -> normalised -> 80 band-pass filters -> magnitude -> pool -> (convolution -> pool) twice`, where every pool is
//! followed by an instance normalisation and a leaky ReLU.
//!
//! Ravanelli and Bengio, "Speaker recognition from raw waveform with SincNet" (SLT 2018), with the odd filters of Pariente et
//! al., "Filterbank design for end-to-end speech separation" (ICASSP 2020). Reference implementations:
//! `pyannote/audio/models/blocks/sincnet.py` and `asteroid_filterbanks/param_sinc_fb.py`.
//!
//! The filters are linear and have no bias, and a window's samples only pass an affine map of its own before them. So
//! overlapping windows share one filtered stretch, and each maps it in its own way:
//! `filter(a x + b) = a filter(x) + b sum(filter)`.

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;

use crate::ops::{MappedWindow, PoolNorm, Sliding, TimeConvolution, pool_norm::POOL};

/// Filters: half of them even, half of them odd.
const FILTERS: usize = 80;
/// Taps of a filter.
const TAPS: usize = 251;
/// Taps of the convolutions behind the filters.
const WIDTH: usize = 5;
/// Channels that come out.
pub(super) const CHANNELS: usize = 60;
/// Hertz that the lowest frequency and the width of every band lie above their parameters.
const LEAST_HERTZ: f32 = 50.0;
/// Half the samples of a second.
const HIGHEST_HERTZ: f32 = 8_000.0;
/// Under the root of a window's variance.
const EPSILON: f64 = 1e-5;

/// The network.
pub(super) struct SincNet {
    /// Samples from one place of the filters to the next.
    stride: usize,
    /// Weight and bias of the normalisation of a window's samples.
    affine: (f64, f64),
    filters: TimeConvolution,
    /// Of each filter, the sum of its taps.
    filter_sums: Vec<f64>,
    filter_norm: PoolNorm,
    layers: [(TimeConvolution, PoolNorm); 2],
    device: Device,
    dtype: DType,
}

impl SincNet {
    pub(super) fn load(vb: &VarBuilder, stride: usize) -> Result<Self> {
        let filters = filters(&vb.pp("conv1d.0.filterbank"))?;
        let filter_sums = filters.iter().map(|taps| taps.iter().map(|&tap| f64::from(tap)).sum()).collect();
        let taps: Vec<f32> = filters.into_iter().flatten().collect();
        let taps =
            Tensor::from_vec(taps, (FILTERS, 1, TAPS), &Device::Cpu)?.to_dtype(vb.dtype())?.to_device(vb.device())?;
        let affine =
            |name: &str| -> Result<f64> { Ok(f64::from(numbers(&vb.get(1, &format!("wav_norm1d.{name}"))?)?[0])) };
        let layer = |index: usize, inputs: usize| {
            let convolution = vb.pp(format!("conv1d.{index}"));
            let weight = convolution.get((CHANNELS, inputs, WIDTH), "weight")?;
            let bias = convolution.get(CHANNELS, "bias")?;
            let convolution = TimeConvolution::new(weight, Some(bias), Sliding::default())?;
            Ok::<_, candle_core::Error>((convolution, norm(CHANNELS, &vb.pp(format!("norm1d.{index}")))?))
        };
        Ok(Self {
            stride,
            affine: (affine("weight")?, affine("bias")?),
            filters: TimeConvolution::new(taps, None, Sliding { stride, ..Sliding::default() })?,
            filter_sums,
            filter_norm: norm(FILTERS, &vb.pp("norm1d.0"))?,
            layers: [layer(1, FILTERS)?, layer(2, CHANNELS)?],
            device: vb.device().clone(),
            dtype: vb.dtype(),
        })
    }

    /// Frames of a window of so many samples; zero where it is too short for one.
    pub(super) fn frames(&self, samples: usize) -> usize {
        let places = self.filters.steps(samples) / POOL;
        self.layers.iter().fold(places, |steps, (convolution, _)| convolution.steps(steps) / POOL)
    }

    /// The features of windows of `window` samples that begin at `starts`, each a multiple of the stride:
    /// (windows, frames, channels). `samples` are filtered once; what lies beyond their end is silence.
    pub(super) fn forward(&self, samples: &[f32], starts: &[usize], window: usize) -> Result<Tensor> {
        if self.frames(window) == 0 || starts.iter().any(|start| start % self.stride != 0) {
            bail!(
                "windows of {window} samples, {} samples apart, are too short or lie between the filters",
                self.stride
            );
        }
        let length = starts.iter().max().map_or(0, |last| last + window);
        let padded: Vec<f32> = samples.iter().copied().chain(std::iter::repeat(0.0)).take(length).collect();
        let windows: Vec<MappedWindow> =
            starts.iter().map(|&start| self.normalised(start, &padded[start..start + window])).collect();
        let padded = Tensor::from_vec(padded, (1, length, 1), &self.device)?.to_dtype(self.dtype)?;
        let filtered = self.filters.forward(&padded)?.squeeze(0)?; // (places, filters)
        // On the CPU a window for each thread stays in the second cache from layer to layer.
        let together = if self.device.is_cpu() { rayon::current_num_threads() } else { windows.len() };
        let features = windows
            .chunks(together.max(1))
            .map(|windows| {
                let mut x = self.filter_norm.forward_windows(&filtered, windows, self.filters.steps(window))?;
                for (convolution, norm) in &self.layers {
                    x = norm.forward(&convolution.forward(&x)?)?;
                }
                Ok(x)
            })
            .collect::<Result<Vec<_>>>()?;
        Tensor::cat(&features, 0) // (windows, frames, channels)
    }

    /// The map that brings a window's samples to the mean and deviation that the filters know, seen behind the filters.
    fn normalised(&self, start: usize, samples: &[f32]) -> MappedWindow {
        let (mean, variance) = mean_and_variance(samples);
        let (weight, bias) = self.affine;
        let scale = weight / (variance + EPSILON).sqrt();
        let shift = bias - mean * scale;
        let shift = self.filter_sums.iter().map(|&sum| (sum * shift) as f32).collect();
        MappedWindow { start: start / self.stride, scale: scale as f32, shift }
    }
}

fn norm(channels: usize, vb: &VarBuilder) -> Result<PoolNorm> {
    PoolNorm::new(vb.get(channels, "weight")?, vb.get(channels, "bias")?)
}

/// Mean and biased variance, summed in f64.
fn mean_and_variance(samples: &[f32]) -> (f64, f64) {
    const LANES: usize = 8;
    let (mut sums, mut squares) = ([0f64; LANES], [0f64; LANES]);
    for chunk in samples.chunks(LANES) {
        for ((&sample, sum), square) in chunk.iter().zip(&mut sums).zip(&mut squares) {
            let sample = f64::from(sample);
            *sum += sample;
            *square += sample * sample;
        }
    }
    let count = samples.len() as f64;
    let mean = sums.iter().sum::<f64>() / count;
    (mean, (squares.iter().sum::<f64>() / count - mean * mean).max(0.0))
}

/// The taps of every filter: differences of two windowed low-passes, even ones first, then odd ones.
///
/// Rounded to f32 at every step, as where the network was trained: angles reach 390 radians, so exact taps differ by 1e-6
/// from those, and with them log-probabilities by 0.02.
fn filters(vb: &VarBuilder) -> Result<Vec<Vec<f32>>> {
    let half = TAPS / 2;
    let column = |name: &str| numbers(&vb.get((FILTERS / 2, 1), name)?);
    let (low, width) = (column("low_hz_")?, column("band_hz_")?);
    let window = numbers(&vb.get(half, "window_")?)?;
    // Negative times, in radians per hertz.
    let times = numbers(&vb.get((1, half), "n_")?)?;
    let bands = low.iter().zip(&width).map(|(low, width)| {
        let low = LEAST_HERTZ + low.abs();
        (low, (low + LEAST_HERTZ + width.abs()).clamp(LEAST_HERTZ, HIGHEST_HERTZ))
    });
    let tap = |(low, high): (f32, f32), odd: bool, (&time, &window): (&f32, &f32)| {
        let (at_low, at_high) = (f64::from(low * time), f64::from(high * time));
        let difference =
            if odd { at_low.cos() as f32 - at_high.cos() as f32 } else { at_high.sin() as f32 - at_low.sin() as f32 };
        difference / (time / 2.0) * window / (2.0 * (high - low))
    };
    let filter = |band: (f32, f32), odd: bool| {
        let left: Vec<f32> = times.iter().zip(&window).map(|of_time| tap(band, odd, of_time)).collect();
        let (centre, sign) = if odd { (0.0, -1.0) } else { (1.0, 1.0) };
        let right = left.iter().rev().map(|tap| sign * tap);
        left.iter().copied().chain([centre]).chain(right).collect::<Vec<f32>>()
    };
    let bands: Vec<(f32, f32)> = bands.collect();
    Ok([false, true].into_iter().flat_map(|odd| bands.iter().map(move |&band| filter(band, odd))).collect())
}

/// All numbers of a tensor.
fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
}
