//! Kaldi's log mel filterbanks, which speaker embedders read.
//!
//! The definition is Kaldi's `compute-fbank-feats`, as `torchaudio.compliance.kaldi.fbank` has it with `num_mel_bins=80` and
//! `dither=0`: frames that fit whole, their mean removed, pre-emphasis inside the frame, window, power spectrum,
//! triangles on the mel axis, natural logarithm with a floor at the f32 epsilon. Samples are in -1..1; networks that were
//! trained on another window or on 16-bit samples say so ([`FbankOptions`]).

use std::{f64::consts::PI, ops::Range, sync::Arc};

use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

use crate::{
    error::{Error, Result},
    span::SAMPLE_RATE,
};

/// Samples in a frame: 25 ms.
pub const FRAME_LENGTH: usize = SAMPLE_RATE / 40;
/// Samples from one frame to the next: 10 ms.
pub const FRAME_SHIFT: usize = SAMPLE_RATE / 100;
const FFT_LENGTH: usize = 512;
const PRE_EMPHASIS: f32 = 0.97;
const LOWEST_HERTZ: f64 = 20.0;

/// What differs between the filterbanks that networks were trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FbankOptions {
    /// Triangles between 20 Hz and 8 kHz (`num_mel_bins`).
    pub bins: usize,
    /// What frames are multiplied with (`window_type`).
    pub window: FrameWindow,
    /// What samples are multiplied with: 1, or 32,768 for the range of 16-bit integers, which lifts speech from the floor.
    pub scale: f32,
}

/// What frames are multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameWindow {
    /// A Hann window to the power of 0.85.
    Povey,
    /// A Hamming window.
    Hamming,
}

impl Default for FbankOptions {
    fn default() -> Self {
        Self { bins: 80, window: FrameWindow::Povey, scale: 1.0 }
    }
}

/// One triangle: the spectrum bins that it covers and their weights.
struct MelFilter {
    bins: Range<usize>,
    weights: Vec<f32>,
}

/// Turns 16 kHz samples into log mel energies; made once, used from any thread.
pub struct Fbank {
    /// With the scale of samples.
    window: Vec<f32>,
    filters: Vec<MelFilter>,
    transform: Arc<dyn RealToComplex<f32>>,
}

impl Fbank {
    /// A filterbank with these options.
    pub fn new(options: &FbankOptions) -> Self {
        Self {
            window: options.window.values().into_iter().map(|weight| weight * options.scale).collect(),
            filters: mel_filters(options.bins),
            transform: RealFftPlanner::new().plan_fft_forward(FFT_LENGTH),
        }
    }

    /// The number of triangles.
    pub fn bins(&self) -> usize {
        self.filters.len()
    }

    /// What frames are multiplied with, the scale of samples included: 400 weights.
    pub fn window(&self) -> &[f32] {
        &self.window
    }

    /// The filters as kernels read them: for each its first frequency, its number of weights and where they begin; and the
    /// weights of all.
    pub fn filter_table(&self) -> (Vec<u32>, Vec<f32>) {
        let (mut places, mut weights) = (Vec::new(), Vec::new());
        for filter in &self.filters {
            places.extend([filter.bins.start, filter.weights.len(), weights.len()].map(|count| count as u32));
            weights.extend(&filter.weights);
        }
        (places, weights)
    }

    /// How many whole frames lie in `samples` samples.
    pub fn frames(samples: usize) -> usize {
        if samples < FRAME_LENGTH { 0 } else { 1 + (samples - FRAME_LENGTH) / FRAME_SHIFT }
    }

    /// Log mel energies of `samples`: `frames * bins` values, frame after frame.
    ///
    /// # Errors
    /// [`Error::Bug`] if the Fourier transform refuses its own buffers.
    pub fn compute(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let mut features = vec![0.0; Self::frames(samples.len()) * self.bins()];
        features.par_chunks_mut(self.bins()).enumerate().with_min_len(32).try_for_each_init(
            || (self.transform.make_input_vec(), self.transform.make_output_vec()),
            |(frame, spectrum), (index, out)| {
                let start = index * FRAME_SHIFT;
                self.compute_frame(&samples[start..start + FRAME_LENGTH], frame, spectrum, out)
            },
        )?;
        Ok(features)
    }

    /// As [`Fbank::compute`], with the mean of each bin over the frames subtracted, as speaker embedders were trained.
    ///
    /// # Errors
    /// As [`Fbank::compute`].
    pub fn compute_normalised(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let mut features = self.compute(samples)?;
        subtract_mean(&mut features, self.bins());
        Ok(features)
    }

    fn compute_frame(
        &self,
        samples: &[f32],
        frame: &mut [f32],
        spectrum: &mut [Complex<f32>],
        out: &mut [f32],
    ) -> Result<()> {
        let mean = samples.iter().sum::<f32>() / FRAME_LENGTH as f32;
        // Kaldi takes the first sample as its own predecessor.
        let mut previous = samples[0] - mean;
        for ((value, sample), weight) in frame.iter_mut().zip(samples).zip(&self.window) {
            let centred = sample - mean;
            *value = (centred - PRE_EMPHASIS * previous) * weight;
            previous = centred;
        }
        frame[FRAME_LENGTH..].fill(0.0);
        self.transform.process(frame, spectrum).map_err(|reason| Error::Bug(reason.to_string()))?;
        for (energy, filter) in out.iter_mut().zip(&self.filters) {
            let covered = spectrum[filter.bins.clone()].iter().zip(&filter.weights);
            let sum: f32 = covered.map(|(bin, weight)| bin.norm_sqr() * weight).sum();
            *energy = sum.max(f32::EPSILON).ln();
        }
        Ok(())
    }
}

/// Subtracts the mean of each bin over the frames.
pub(super) fn subtract_mean(features: &mut [f32], bins: usize) {
    let frames = features.len() / bins;
    let mut mean = vec![0.0; bins];
    for frame in features.chunks_exact(bins) {
        mean.iter_mut().zip(frame).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    mean.iter_mut().for_each(|sum| *sum /= frames.max(1) as f64);
    for frame in features.chunks_exact_mut(bins) {
        frame.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= *mean as f32);
    }
}

impl FrameWindow {
    /// A weight for each sample of a frame; both windows are symmetric.
    fn values(self) -> Vec<f32> {
        let cosine = |n: usize| (2.0 * PI / (FRAME_LENGTH - 1) as f64 * n as f64).cos();
        let weight = |n: usize| match self {
            Self::Povey => (0.5 - 0.5 * cosine(n)).powf(0.85),
            Self::Hamming => 0.54 - 0.46 * cosine(n),
        };
        (0..FRAME_LENGTH).map(|n| weight(n) as f32).collect()
    }
}

fn mel(hertz: f64) -> f64 {
    1127.0 * (1.0 + hertz / 700.0).ln()
}

/// Triangles of equal width on the mel axis, from 20 Hz to 8 kHz; the bin at 8 kHz itself belongs to none.
fn mel_filters(count: usize) -> Vec<MelFilter> {
    let (low, high) = (mel(LOWEST_HERTZ), mel(SAMPLE_RATE as f64 / 2.0));
    let step = (high - low) / (count + 1) as f64;
    let bin_mels: Vec<f64> =
        (0..FFT_LENGTH / 2).map(|bin| mel(bin as f64 * SAMPLE_RATE as f64 / FFT_LENGTH as f64)).collect();
    (0..count)
        .map(|index| {
            let left = low + index as f64 * step;
            let rise_and_fall = |at: f64| ((at - left) / step).min((left + 2.0 * step - at) / step);
            let start = bin_mels.partition_point(|&at| at <= left);
            let end = bin_mels.partition_point(|&at| at < left + 2.0 * step).max(start);
            let weights = bin_mels[start..end].iter().map(|&at| rise_and_fall(at) as f32).collect();
            MelFilter { bins: start..end, weights }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_fit_whole() {
        let counts = [0, 399, 400, 559, 560, 16_000].map(Fbank::frames);
        assert_eq!(counts, [0, 0, 1, 1, 2, 98]);
    }

    #[test]
    fn too_few_samples_give_no_frames() {
        assert!(Fbank::new(&FbankOptions::default()).compute_normalised(&[0.1; 399]).unwrap().is_empty());
    }

    #[test]
    fn silence_lies_at_the_floor_and_a_tone_in_its_triangle() {
        let fbank = Fbank::new(&FbankOptions::default());
        let silent = fbank.compute(&[0.0; 400]).unwrap();
        assert!(silent.iter().all(|&value| value == f32::EPSILON.ln()));
        let hertz = 1000.0;
        let tone: Vec<f32> = (0..400).map(|n| (2.0 * PI * hertz * n as f64 / 16_000.0).sin() as f32).collect();
        let energies = fbank.compute(&tone).unwrap();
        let loudest = (0..80).max_by(|&a, &b| energies[a].total_cmp(&energies[b])).unwrap();
        let step = (mel(8000.0) - mel(20.0)) / 81.0;
        let centre = mel(20.0) + (loudest + 1) as f64 * step;
        assert!((centre - mel(hertz)).abs() <= step, "the loudest triangle is {loudest}");
    }

    #[test]
    fn normalised_bins_have_zero_mean() {
        let noise: Vec<f32> =
            (0..8000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as f32 / 65_536.0 - 0.5).collect();
        let features = Fbank::new(&FbankOptions::default()).compute_normalised(&noise).unwrap();
        for bin in 0..80 {
            let mean: f32 = features.iter().skip(bin).step_by(80).sum::<f32>() / 48.0;
            assert!(mean.abs() < 1e-5, "bin {bin} has the mean {mean}");
        }
    }
}
