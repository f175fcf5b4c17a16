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
        let wanted = (BLOCK * from).div_ceil(to).max(BLOCK);
        let fft = Fft::new_custom(from, to, wanted, 1, 1, WindowFunction::BlackmanHarris2, FixedSync::Both)
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
