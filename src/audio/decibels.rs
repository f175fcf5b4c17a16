//! SpeechBrain's log mel filterbanks, which ECAPA-TDNN reads.
//!
//! The definition is `speechbrain.lobes.features.Fbank` with `n_mels=80`: a frame of 25 ms around every 10th millisecond,
//! zeros beyond the ends, periodic Hamming window, power spectrum of 400 points, triangles whose sides are both as wide as the
//! distance to the triangle before, decibels, of which none lies more than 80 below the loudest of the recording.

use std::{f64::consts::PI, sync::Arc};

use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

use super::fbank::{FRAME_LENGTH, FRAME_SHIFT, subtract_mean};
use crate::{
    error::{Error, Result},
    span::SAMPLE_RATE,
};

/// The least power that is told from silence (upstream: `amin`).
const LEAST_POWER: f32 = 1e-10;
/// Decibels from the loudest value to the lowest (upstream: `top_db`).
const RANGE: f32 = 80.0;

/// Turns 16 kHz samples into mel energies in decibels; made once, used from any thread.
pub struct Decibels {
    window: Vec<f32>,
    /// For each triangle, the first spectrum bin that it covers and its weights from there on.
    filters: Vec<(usize, Vec<f32>)>,
    transform: Arc<dyn RealToComplex<f32>>,
}

impl Decibels {
    /// A filterbank of `bins` triangles between 0 Hz and 8 kHz.
    pub fn new(bins: usize) -> Self {
        let step = 2.0 * PI / FRAME_LENGTH as f64;
        Self {
            window: (0..FRAME_LENGTH).map(|n| (0.54 - 0.46 * (step * n as f64).cos()) as f32).collect(),
            filters: filters(bins),
            transform: RealFftPlanner::new().plan_fft_forward(FRAME_LENGTH),
        }
    }

    /// The number of triangles.
    pub fn bins(&self) -> usize {
        self.filters.len()
    }

    /// How many frames `samples` samples have.
    pub fn frames(samples: usize) -> usize {
        if samples == 0 { 0 } else { 1 + samples / FRAME_SHIFT }
    }

    /// Decibels of `samples`: `frames * bins` values, frame after frame.
    ///
    /// # Errors
    /// [`Error::Bug`] if the Fourier transform refuses its own buffers.
    pub fn compute(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let mut features = vec![0.0; Self::frames(samples.len()) * self.bins()];
        features.par_chunks_mut(self.bins()).enumerate().with_min_len(32).try_for_each_init(
            || (self.transform.make_input_vec(), self.transform.make_output_vec()),
            |(frame, spectrum), (index, out)| self.compute_frame(samples, index, frame, spectrum, out),
        )?;
        let floor = features.iter().copied().fold(f32::NEG_INFINITY, f32::max) - RANGE;
        features.iter_mut().for_each(|value| *value = value.max(floor));
        Ok(features)
    }

    /// The frame around sample `index * FRAME_SHIFT`.
    fn compute_frame(
        &self,
        samples: &[f32],
        index: usize,
        frame: &mut [f32],
        spectrum: &mut [Complex<f32>],
        out: &mut [f32],
    ) -> Result<()> {
        for (n, (value, weight)) in frame.iter_mut().zip(&self.window).enumerate() {
            let at = (index * FRAME_SHIFT + n).checked_sub(FRAME_LENGTH / 2);
            *value = at.and_then(|at| samples.get(at)).map_or(0.0, |sample| sample * weight);
        }
        self.transform.process(frame, spectrum).map_err(|reason| Error::Bug(reason.to_string()))?;
        for (decibels, (first, weights)) in out.iter_mut().zip(&self.filters) {
            let covered = spectrum[*first..].iter().zip(weights);
            let power: f32 = covered.map(|(bin, weight)| bin.norm_sqr() * weight).sum();
            *decibels = 10.0 * power.max(LEAST_POWER).log10();
        }
        Ok(())
    }

    /// As [`Decibels::compute`], with the mean of each bin over the frames subtracted, as ECAPA-TDNN was trained.
    ///
    /// # Errors
    /// As [`Decibels::compute`].
    pub fn compute_normalised(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let mut features = self.compute(samples)?;
        subtract_mean(&mut features, self.bins());
        Ok(features)
    }
}

/// Triangles around points that lie evenly on the mel axis from 0 Hz to 8 kHz.
fn filters(count: usize) -> Vec<(usize, Vec<f32>)> {
    let highest = 2595.0 * (1.0 + SAMPLE_RATE as f64 / 2.0 / 700.0).log10();
    let hertz = |point: usize| {
        let mel = highest * point as f64 / (count + 1) as f64;
        700.0 * (10f64.powf(mel / 2595.0) - 1.0)
    };
    (1..=count)
        .map(|point| {
            let (centre, side) = (hertz(point), hertz(point) - hertz(point - 1));
            let weight = |bin: usize| {
                let apart = (bin as f64 * SAMPLE_RATE as f64 / FRAME_LENGTH as f64 - centre) / side;
                (1.0 - apart.abs()).max(0.0) as f32
            };
            let covered: Vec<usize> = (0..=FRAME_LENGTH / 2).filter(|&bin| weight(bin) > 0.0).collect();
            let first = covered.first().copied().unwrap_or(0);
            (first, covered.iter().map(|&bin| weight(bin)).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_around_their_places() {
        assert_eq!([0, 1, 159, 160, 16_000].map(Decibels::frames), [0, 1, 1, 2, 101]);
        assert!(Decibels::new(80).compute_normalised(&[]).unwrap().is_empty());
    }

    #[test]
    fn silence_lies_at_the_floor_and_a_click_lifts_it() {
        let decibels = Decibels::new(80);
        assert!(decibels.compute(&[0.0; 800]).unwrap().iter().all(|&value| value == -100.0));
        let mut click = [0.0; 1600];
        click[1500] = 1.0;
        let values = decibels.compute(&click).unwrap();
        let loudest = values.iter().copied().fold(f32::MIN, f32::max);
        assert!(loudest > -15.0, "{loudest}");
        assert!(values[..80].iter().all(|&value| value == loudest - RANGE));
    }
}
