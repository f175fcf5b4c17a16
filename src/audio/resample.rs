//! From any sample rate to 16 kHz, block by block, without delay.
//!
//! A windowed-sinc low-pass applied in the frequency domain (rubato's synchronous resampler). The filter's latency is cut
//! off the front and its tail flushed at the end, so that second `t` of the output is second `t` of the input and the
//! output lasts as long as the input.

use rubato::{Fft, FixedSync, Indexing, Resampler as _, WindowFunction, audioadapter_buffers::direct::SequentialSlice};

use crate::{
    error::{Error, Result},
    span::SAMPLE_RATE,
};

/// The sample rates that can be converted, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Output frames of one transform, at least: long enough that the pass band reaches 7.9 kHz.
const BLOCK: usize = 1024;

/// Converts one mono signal, given in blocks of any size, to 16 kHz.
pub struct Resampler {
    conversion: Option<Conversion>,
    rate: u32,
    consumed: u64,
    produced: u64,
}

struct Conversion {
    fft: Fft<f32>,
    pending: Vec<f32>,
    block: Vec<f32>,
    /// Output samples still to be dropped from the front: the filter's latency.
    latency: usize,
}

impl Resampler {
    /// For a signal at `rate` Hz; 16 kHz passes through untouched.
    ///
    /// # Errors
    /// [`Error::Audio`] when the rate is outside [`RATES`].
    pub fn new(rate: u32) -> Result<Self> {
        if !RATES.contains(&rate) {
            return Err(Error::Audio(format!(
                "a sample rate of {rate} Hz cannot be right: rates from {} to {} Hz are understood",
                RATES.start(),
                RATES.end()
            )));
        }
        let conversion = if rate as usize == SAMPLE_RATE { None } else { Some(Conversion::new(rate)?) };
        Ok(Self { conversion, rate, consumed: 0, produced: 0 })
    }

    /// The rate of the input in Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Takes the next samples of the input and appends what can be computed so far to `output`.
    ///
    /// # Errors
    /// [`Error::Bug`] when the converter refuses its block.
    pub fn push(&mut self, mut input: &[f32], output: &mut Vec<f32>) -> Result<()> {
        self.consumed += input.len() as u64;
        let before = output.len();
        match &mut self.conversion {
            None => output.extend_from_slice(input),
            Some(conversion) => {
                while !input.is_empty() {
                    input = conversion.fill(input);
                    if conversion.is_full() {
                        conversion.convert(output)?;
                    }
                }
            }
        }
        self.produced += (output.len() - before) as u64;
        Ok(())
    }

    /// Flushes the filter, so that `output` has received exactly as many seconds as went in.
    ///
    /// # Errors
    /// [`Error::Bug`] when the converter refuses its block.
    pub fn finish(mut self, output: &mut Vec<f32>) -> Result<()> {
        let Some(conversion) = &mut self.conversion else { return Ok(()) };
        let (rate, target) = (u64::from(self.rate), SAMPLE_RATE as u64);
        let expected = (self.consumed * target + rate / 2) / rate;
        while self.produced < expected {
            let before = output.len();
            conversion.pad();
            conversion.convert(output)?;
            self.produced += (output.len() - before) as u64;
        }
        output.truncate(output.len() - self.produced.saturating_sub(expected) as usize);
        Ok(())
    }
}

impl Conversion {
    fn new(rate: u32) -> Result<Self> {
        let (from, to) = (rate as usize, SAMPLE_RATE);
        // Blocks are multiples of the shortest stretch with whole samples at both rates. An even multiple makes the
        // latency, half a block, a whole number of samples on both sides: an odd one would shift by half a sample.
        let stretch = from / greatest_common_divisor(from, to);
        let wanted = (BLOCK * from).div_ceil(to).max(BLOCK);
        let block = wanted.div_ceil(stretch).next_multiple_of(2) * stretch;
        let fft = Fft::new_custom(from, to, block, 1, 1, WindowFunction::BlackmanHarris2, FixedSync::Both)
            .map_err(|error| Error::Bug(format!("no resampler from {rate} Hz: {error}")))?;
        let latency = fft.output_delay();
        let (pending, block) = (Vec::with_capacity(fft.input_frames_next()), vec![0.0; fft.output_frames_max()]);
        Ok(Self { fft, pending, block, latency })
    }

    fn is_full(&self) -> bool {
        self.pending.len() == self.fft.input_frames_next()
    }

    /// Takes what fits into the pending block; returns the rest.
    fn fill<'a>(&mut self, input: &'a [f32]) -> &'a [f32] {
        let room = self.fft.input_frames_next() - self.pending.len();
        let (taken, rest) = input.split_at(room.min(input.len()));
        self.pending.extend_from_slice(taken);
        rest
    }

    fn pad(&mut self) {
        self.pending.resize(self.fft.input_frames_next(), 0.0);
    }

    /// Converts the pending block, which is full.
    fn convert(&mut self, output: &mut Vec<f32>) -> Result<()> {
        let refused = |error: &dyn std::fmt::Display| Error::Bug(format!("resampling failed: {error}"));
        let (frames_in, frames_out) = (self.pending.len(), self.block.len());
        let input = SequentialSlice::new(&self.pending, 1, frames_in).map_err(|error| refused(&error))?;
        let mut converted =
            SequentialSlice::new_mut(&mut self.block, 1, frames_out).map_err(|error| refused(&error))?;
        let (_, written) = self
            .fft
            .process_into_buffer(&input, &mut converted, Some(&Indexing::new()))
            .map_err(|error| refused(&error))?;
        self.pending.clear();
        let dropped = self.latency.min(written);
        self.latency -= dropped;
        output.extend_from_slice(&self.block[dropped..written]);
        Ok(())
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// Rates as they are met, and some that divide badly.
    const RATES_MET: [u32; 12] =
        [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000, 44_056];

    /// The sum of tones at `frequencies`, each with its own phase, of amplitude 0.9 in all.
    fn tones(frequencies: &[f64], rate: f64, count: usize) -> Vec<f64> {
        let sample = |index: usize| {
            let tone = |(phase, frequency): (usize, &f64)| (TAU * frequency * index as f64 / rate + phase as f64).sin();
            frequencies.iter().enumerate().map(tone).sum::<f64>() * 0.9 / frequencies.len() as f64
        };
        (0..count).map(sample).collect()
    }

    fn converted(input: &[f64], rate: u32, block: usize) -> Vec<f32> {
        let input: Vec<f32> = input.iter().map(|&sample| sample as f32).collect();
        let mut resampler = Resampler::new(rate).expect("a possible rate");
        let mut output = Vec::new();
        for part in input.chunks(block) {
            resampler.push(part, &mut output).expect("room for every block");
        }
        resampler.finish(&mut output).expect("room for the tail");
        output
    }

    /// Energy of `output - wanted`, relative to one of `count` tones of amplitude 0.9 in all, in decibels.
    fn residue(output: &[f32], wanted: &[f64], count: usize) -> f64 {
        let inner = 1600..output.len().min(wanted.len()) - 1600;
        let error: f64 = inner.clone().map(|index| (f64::from(output[index]) - wanted[index]).powi(2)).sum();
        let tone = (0.9 / count as f64).powi(2) / 2.0;
        10.0 * (error / inner.len() as f64 / tone + 1e-30).log10()
    }

    #[test]
    fn tones_below_the_limit_stay_as_and_where_they_are() {
        for rate in RATES_MET {
            let kept: Vec<f64> = [100.0, 440.0, 1000.0, 3000.0, 3800.0, 7000.0, 7600.0]
                .into_iter()
                .filter(|f| *f < f64::from(rate) * 0.475)
                .collect();
            let count = rate as usize * 237 / 100;
            let output = converted(&tones(&kept, f64::from(rate), count), rate, 1000);
            let seconds = count as f64 / f64::from(rate);
            assert_eq!(output.len(), (seconds * 16_000.0).round() as usize, "length from {rate} Hz");
            let wanted = tones(&kept, 16_000.0, output.len());
            let error = residue(&output, &wanted, kept.len());
            assert!(error < -90.0, "{error:.1} dB from {rate} Hz");
        }
    }

    #[test]
    fn tones_above_the_limit_vanish() {
        for rate in RATES_MET {
            let removed: Vec<f64> = [8300.0, 9000.0, 12_000.0, 15_999.0, 20_000.0]
                .into_iter()
                .filter(|f| *f < f64::from(rate) * 0.49)
                .collect();
            if removed.is_empty() || rate == 16_000 {
                continue;
            }
            let output = converted(&tones(&removed, f64::from(rate), rate as usize), rate, 4096);
            let error = residue(&output, &vec![0.0; output.len()], removed.len());
            assert!(error < -100.0, "{error:.1} dB from {rate} Hz");
        }
    }

    #[test]
    fn the_size_of_the_blocks_does_not_matter() {
        let input = tones(&[440.0, 2000.0], 44_100.0, 30_000);
        assert_eq!(converted(&input, 44_100, 1), converted(&input, 44_100, 30_000));
    }

    #[test]
    fn short_and_empty_signals_keep_their_length() {
        assert_eq!(converted(&[], 48_000, 10), Vec::<f32>::new());
        assert_eq!(converted(&[0.5; 3], 48_000, 10).len(), 1);
        assert_eq!(converted(&[0.5; 441], 44_100, 10).len(), 160);
        assert_eq!(converted(&[0.5; 7], 16_000, 3), [0.5; 7]);
    }

    #[test]
    fn impossible_rates_are_refused() {
        for rate in [0, 999, 768_001, u32::MAX] {
            assert!(matches!(Resampler::new(rate), Err(Error::Audio(_))), "{rate}");
        }
        for rate in [*RATES.start(), *RATES.end(), 767_999] {
            assert_eq!(
                converted(&[0.1; 5000], rate, 512).len(),
                (5000.0 * 16_000.0 / f64::from(rate)).round() as usize
            );
        }
    }
}
