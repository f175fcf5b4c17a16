//! Whisper's input: the log-mel spectrogram of one 30 s chunk, as openai/whisper's `audio.py` defines it.

use std::{fmt, sync::Arc};

use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

use crate::span::SAMPLE_RATE;

/// Samples of a chunk: 30 s.
pub const CHUNK_SAMPLES: usize = 30 * SAMPLE_RATE;
/// Spectrogram frames of a chunk, one every 10 ms.
pub const CHUNK_FRAMES: usize = CHUNK_SAMPLES / HOP;

/// Samples of a frame (25 ms), which is also the length of its Fourier transform.
const WINDOW: usize = 400;
/// Samples from one frame to the next (10 ms).
const HOP: usize = 160;
/// Frequencies of a frame: 0, 40, .. 8000 Hz.
const BINS: usize = WINDOW / 2 + 1;
/// The least energy, so that silence has a logarithm.
const LEAST_ENERGY: f64 = 1e-10;
/// Energies below the chunk's loudest by more than this many powers of ten count as that much below.
const DYNAMIC_RANGE: f32 = 8.0;

/// Computes log-mel spectrograms; holds the window, the transform and the mel filters.
pub struct LogMel {
    // In f64: rounding to f32 before the logarithm moves quiet bands, and with them the encoder's output, by 1e-3.
    window: Vec<f64>,
    transform: Arc<dyn RealToComplex<f64>>,
    filters: Vec<Filter>,
}

/// A triangle over neighbouring frequencies; everything outside it weighs nothing.
struct Filter {
    first_bin: usize,
    weights: Vec<f64>,
}

impl fmt::Debug for LogMel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogMel {{ n_mels: {} }}", self.n_mels())
    }
}

impl LogMel {
    /// A spectrogram with `n_mels` bands: 80 in Whisper up to large-v2, 128 from large-v3 on.
    pub fn new(n_mels: usize) -> Self {
        // The periodic Hann window, whose period is one sample longer than that of the symmetric one.
        let window =
            (0..WINDOW).map(|n| 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / WINDOW as f64).cos()).collect();
        let transform = RealFftPlanner::new().plan_fft_forward(WINDOW);
        Self { window, transform, filters: mel_filters(n_mels) }
    }

    /// Bands of the spectrogram.
    pub fn n_mels(&self) -> usize {
        self.filters.len()
    }

    /// The log-mel spectrogram of `samples`, padded with silence to 30 s; what lies beyond 30 s is left out.
    ///
    /// Shape (3000, n_mels), row-major: one row for every 10 ms. Values are log10 of the energy, at most 8 below the
    /// chunk's maximum, then `(x + 4) / 4`.
    pub fn compute(&self, samples: &[f32]) -> Vec<f32> {
        self.compute_frames(samples, CHUNK_FRAMES)
    }

    /// As [`LogMel::compute`], for chunks of `frames` frames.
    pub fn compute_frames(&self, samples: &[f32], frames: usize) -> Vec<f32> {
        let samples = &samples[..samples.len().min(frames * HOP)];
        // A frame that begins after the last sample holds silence alone, and the logarithm of that is known.
        let heard = (samples.len() + WINDOW / 2).div_ceil(HOP).min(frames);
        let mut spectrogram = vec![LEAST_ENERGY.log10() as f32; frames * self.n_mels()];
        spectrogram[..heard * self.n_mels()].par_chunks_mut(self.n_mels()).enumerate().for_each_init(
            || Scratch::new(self.transform.as_ref()),
            |scratch, (frame, row)| self.frame((samples, frames * HOP), frame, scratch, row),
        );
        let loudest = spectrogram.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let floor = loudest - DYNAMIC_RANGE;
        spectrogram.par_iter_mut().for_each(|value| *value = (value.max(floor) + 4.0) / 4.0);
        spectrogram
    }

    /// The filters as kernels read them: for each its first frequency, its number of weights and where they begin; and the
    /// weights of all.
    pub fn filter_table(&self) -> (Vec<u32>, Vec<f32>) {
        let (mut places, mut weights) = (Vec::new(), Vec::new());
        for filter in &self.filters {
            places.extend([filter.first_bin, filter.weights.len(), weights.len()].map(|count| count as u32));
            weights.extend(filter.weights.iter().map(|&weight| weight as f32));
        }
        (places, weights)
    }

    /// Writes log10 of the mel energies of one frame of a chunk (its samples, and how many it counts as), which is centred on
    /// sample `frame * HOP`.
    fn frame(&self, (samples, length): (&[f32], usize), frame: usize, scratch: &mut Scratch, row: &mut [f32]) {
        let start = (frame * HOP) as isize - (WINDOW / 2) as isize;
        let whole = usize::try_from(start).ok().and_then(|start| samples.get(start..start + WINDOW));
        match whole {
            Some(inside) => {
                for ((windowed, sample), weight) in scratch.windowed.iter_mut().zip(inside).zip(&self.window) {
                    *windowed = f64::from(*sample) * weight;
                }
            }
            None => {
                for (n, (windowed, weight)) in scratch.windowed.iter_mut().zip(&self.window).enumerate() {
                    *windowed = f64::from(sample_at(samples, length, start + n as isize)) * weight;
                }
            }
        }
        self.transform
            .process_with_scratch(&mut scratch.windowed, &mut scratch.spectrum, &mut scratch.transform)
            .expect("the buffers were made by this transform");
        for (energy, value) in scratch.energies.iter_mut().zip(&scratch.spectrum) {
            *energy = value.norm_sqr();
        }
        for (out, filter) in row.iter_mut().zip(&self.filters) {
            let energies = &scratch.energies[filter.first_bin..filter.first_bin + filter.weights.len()];
            let energy: f64 = energies.iter().zip(&filter.weights).map(|(energy, weight)| energy * weight).sum();
            // Samples that are not numbers count as silence, infinite ones as the loudest sound there is.
            let energy = if energy > LEAST_ENERGY { energy.min(f64::from(f32::MAX)) } else { LEAST_ENERGY };
            *out = energy.log10() as f32;
        }
    }
}

/// The sample at `position` of a chunk that is padded to `length` and mirrored at both of its ends.
fn sample_at(samples: &[f32], length: usize, position: isize) -> f32 {
    let last = length as isize - 1;
    let mirrored = if position > last { 2 * last - position } else { position.abs() };
    samples.get(mirrored as usize).copied().unwrap_or(0.0)
}

/// What one thread works on.
struct Scratch {
    windowed: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    transform: Vec<Complex<f64>>,
    energies: Vec<f64>,
}

impl Scratch {
    fn new(transform: &dyn RealToComplex<f64>) -> Self {
        Self {
            windowed: transform.make_input_vec(),
            spectrum: transform.make_output_vec(),
            transform: transform.make_scratch_vec(),
            energies: vec![0.0; BINS],
        }
    }
}

/// Triangular filters with edges evenly spaced on Slaney's mel scale from 0 to 8000 Hz, each of unit area, as librosa's
/// `filters.mel` makes them.
fn mel_filters(n_mels: usize) -> Vec<Filter> {
    let nyquist = SAMPLE_RATE as f64 / 2.0;
    let edges: Vec<f64> =
        (0..n_mels + 2).map(|edge| hertz_of(mel_of(nyquist) * edge as f64 / (n_mels + 1) as f64)).collect();
    edges.windows(3).map(|edges| triangle(edges[0], edges[1], edges[2])).collect()
}

/// The filter that rises from `low` to `peak` and falls to `high`, all in Hz.
fn triangle(low: f64, peak: f64, high: f64) -> Filter {
    let weight = |bin: usize| {
        let frequency = bin as f64 * SAMPLE_RATE as f64 / WINDOW as f64;
        let (rising, falling) = ((frequency - low) / (peak - low), (high - frequency) / (high - peak));
        rising.min(falling).max(0.0) * 2.0 / (high - low)
    };
    let inside: Vec<usize> = (0..BINS).filter(|&bin| weight(bin) > 0.0).collect();
    Filter { first_bin: inside.first().copied().unwrap_or(0), weights: inside.into_iter().map(weight).collect() }
}

/// Below this frequency Slaney's scale is linear, above it logarithmic.
const LINEAR_HERTZ: f64 = 1000.0;
/// Hz of one mel in the linear part.
const HERTZ_PER_MEL: f64 = 200.0 / 3.0;

/// The natural logarithm of the step from one mel to the next in the logarithmic part: 27 mels for a factor of 6.4.
fn mel_step() -> f64 {
    6.4_f64.ln() / 27.0
}

fn mel_of(hertz: f64) -> f64 {
    if hertz < LINEAR_HERTZ {
        hertz / HERTZ_PER_MEL
    } else {
        LINEAR_HERTZ / HERTZ_PER_MEL + (hertz / LINEAR_HERTZ).ln() / mel_step()
    }
}

fn hertz_of(mel: f64) -> f64 {
    let linear_mels = LINEAR_HERTZ / HERTZ_PER_MEL;
    if mel < linear_mels { mel * HERTZ_PER_MEL } else { LINEAR_HERTZ * ((mel - linear_mels) * mel_step()).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, samples: usize) -> Vec<f32> {
        (0..samples)
            .map(|n| (0.5 * (std::f64::consts::TAU * hertz * n as f64 / SAMPLE_RATE as f64).sin()) as f32)
            .collect()
    }

    /// The definition, spelled out in f64 over the whole padded chunk: a direct Fourier sum for one frame.
    fn frame_by_definition(samples: &[f32], frame: usize, n_mels: usize) -> Vec<f64> {
        let window = |n: usize| 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / WINDOW as f64).cos();
        let start = (frame * HOP) as isize - 200;
        let frame: Vec<f64> =
            (0..WINDOW).map(|n| f64::from(sample_at(samples, CHUNK_SAMPLES, start + n as isize)) * window(n)).collect();
        let energies: Vec<f64> = (0..BINS)
            .map(|bin| {
                let angle = |n: usize| std::f64::consts::TAU * (bin * n % WINDOW) as f64 / WINDOW as f64;
                let real: f64 = frame.iter().enumerate().map(|(n, x)| x * angle(n).cos()).sum();
                let imaginary: f64 = frame.iter().enumerate().map(|(n, x)| x * angle(n).sin()).sum();
                real * real + imaginary * imaginary
            })
            .collect();
        let energy = |filter: &Filter| -> f64 {
            let weights = filter.weights.iter().enumerate();
            weights.map(|(offset, &weight)| energies[filter.first_bin + offset] * weight).sum()
        };
        mel_filters(n_mels).iter().map(|filter| energy(filter).max(1e-10).log10()).collect()
    }

    #[test]
    fn frames_follow_the_definition_at_both_ends_and_where_the_sound_stops() {
        for n_mels in [80, 128] {
            for length in [CHUNK_SAMPLES, 48_123, 150, 1, 0] {
                let samples = tone(440.0, length);
                let computed = LogMel::new(n_mels).compute(&samples);
                assert_eq!(computed.len(), CHUNK_FRAMES * n_mels);
                let end = length / HOP;
                let frames = [0, 1, 2, 150, end.saturating_sub(1), end, end + 1, end + 2, 2998, 2999];
                let frames: Vec<usize> = frames.into_iter().filter(|&frame| frame < CHUNK_FRAMES).collect();
                let expected: Vec<_> =
                    frames.iter().map(|&frame| frame_by_definition(&samples, frame, n_mels)).collect();
                // The loudest frame of a steady tone is one of those where it starts or stops, or any other: take it from all.
                let loudest = computed.iter().copied().fold(f32::NEG_INFINITY, f32::max) * 4.0 - 4.0;
                for (frame, expected) in frames.iter().zip(&expected) {
                    for (band, expected) in expected.iter().enumerate() {
                        let expected = (expected.max(f64::from(loudest) - 8.0) + 4.0) / 4.0;
                        let got = f64::from(computed[frame * n_mels + band]);
                        assert!(
                            (got - expected).abs() < 1e-4,
                            "{length} samples, frame {frame}, band {band}: {got} {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_tone_is_loudest_in_the_band_around_it() {
        let spectrogram = LogMel::new(80).compute(&tone(1000.0, CHUNK_SAMPLES));
        let row = &spectrogram[1500 * 80..1501 * 80];
        let loudest = (0..80).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        // 1000 Hz is mel 15 of 45.245, and the bands' peaks lie 45.245 / 81 mels apart, the first at one such step.
        assert_eq!(loudest, Some(26));
    }

    /// Values of the filters that openai/whisper ships (`assets/mel_filters.npz`).
    #[test]
    fn filters_are_those_of_the_reference() {
        let wanted: [(usize, usize, usize, &[f32]); 5] = [
            (80, 0, 1, &[0.024_862_59]),
            (80, 40, 42, &[0.005_411_1, 0.014_735_57, 0.006_518_19]),
            (80, 79, 186, &[0.000_366_74, 0.000_833_07, 0.001_299_4]),
            (128, 0, 1, &[0.012_373_99]),
            (128, 127, 191, &[0.000_475_7, 0.001_617_17, 0.002_758_65]),
        ];
        for (n_mels, band, first_bin, weights) in wanted {
            let filter = &mel_filters(n_mels)[band];
            assert_eq!(filter.first_bin, first_bin, "{n_mels} bands, band {band}");
            for (got, wanted) in filter.weights.iter().zip(weights.iter()) {
                assert!((got - f64::from(*wanted)).abs() < 1e-8, "{n_mels} bands, band {band}: {got} {wanted}");
            }
        }
    }

    #[test]
    fn silence_and_broken_samples_have_values() {
        assert!(LogMel::new(80).compute(&[0.0; 16_000]).iter().all(|&value| value == -1.5));
        for broken in [f32::NAN, f32::INFINITY, f32::MAX] {
            let mut samples = tone(440.0, 4_000);
            samples[2_000] = broken;
            assert!(LogMel::new(80).compute(&samples).iter().all(|value| value.is_finite()), "{broken}");
        }
    }

    #[test]
    fn what_lies_beyond_thirty_seconds_is_left_out() {
        let long = tone(300.0, CHUNK_SAMPLES + 999);
        let mel = LogMel::new(80);
        assert_eq!(mel.compute(&long), mel.compute(&long[..CHUNK_SAMPLES]));
    }
}
