//! Silero VAD 6 at 16 kHz: the probability of speech in every 32 ms of audio.
//!
//! `samples -> frames -> magnitude spectrum -> four convolutions -> LSTM cell -> linear -> sigmoid`
//!
//! Everything before the LSTM looks at one window alone, so it runs on many windows at once; the LSTM then walks through
//! them one by one, reading input projections that one matrix product has made for the whole block.
//!
//! Reference: `silero_vad.jit` and `silero_vad.onnx` of silero-vad 6.2 at 16 kHz; tensors have the names that they have there.
//! The file `silero_vad_16k.safetensors` beside them holds other, older weights: its probabilities differ by up to 0.66.

use candle_core::{Device, IndexOp, Tensor};
use candle_nn::VarBuilder;

use crate::{
    error::Result,
    ops::{
        Linear,
        profile::{self, Class, Work},
    },
    progress::{StageName, Watch},
    span::seconds_of,
};

/// Samples that one probability speaks for.
pub const WINDOW: usize = 512;
/// Samples of the window before that each window sees too.
const CONTEXT: usize = 64;
/// Samples mirrored at the end of a window so that its last frame is whole.
const MIRRORED: usize = 64;
/// Samples in a frame of the Fourier transform.
const FRAME: usize = 256;
/// Samples from one frame to the next.
const HOP: usize = 128;
/// Frames in a window.
const FRAMES: usize = (CONTEXT + WINDOW + MIRRORED - FRAME) / HOP + 1;
/// Frequency bins, the constant one included.
const BINS: usize = FRAME / 2 + 1;
/// Units of the LSTM.
const HIDDEN: usize = 128;
/// Windows that the convolutions see at once: 8 s of audio keep a core's cache warm and the memory small.
const BLOCK: usize = 256;

/// A convolution over time, padded with one zero at either end, and its rectifier.
struct Convolution {
    /// From (tap * input channel) to (output channel).
    linear: Linear,
    stride: usize,
}

impl Convolution {
    const TAPS: usize = 3;

    fn load(vb: &VarBuilder, inputs: usize, outputs: usize, stride: usize) -> Result<Self> {
        let weight = vb.get((outputs, inputs, Self::TAPS), "weight")?;
        let weight = weight.transpose(1, 2)?.contiguous()?.reshape((outputs, Self::TAPS * inputs))?;
        Ok(Self { linear: Linear::new(weight, Some(vb.get(outputs, "bias")?))?, stride })
    }

    /// (windows, time, input channel) to (windows, ceil(time / stride), output channel)
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let (windows, time, channels) = input.dims3()?;
        let padded = input.pad_with_zeros(1, 1, 1)?;
        let steps = time.div_ceil(self.stride);
        // Channels are last, so the taps of one output lie side by side in memory.
        let taps = (0..steps)
            .map(|step| padded.narrow(1, step * self.stride, Self::TAPS)?.reshape((windows, 1, Self::TAPS * channels)))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let taps = Tensor::cat(&taps, 1)?; // (windows, steps, tap * input channel)
        Ok(self.linear.forward(&taps)?.relu()?)
    }
}

/// What the LSTM carries from window to window.
#[derive(Debug, Clone)]
struct State {
    hidden: [f32; HIDDEN],
    cell: [f32; HIDDEN],
}

/// A recording that is being heard: how much of it, and what is remembered of that.
#[derive(Debug, Clone)]
pub struct Listening {
    heard: usize,
    state: State,
}

impl Default for Listening {
    fn default() -> Self {
        Self { heard: 0, state: State { hidden: [0.0; HIDDEN], cell: [0.0; HIDDEN] } }
    }
}

impl Listening {
    /// Samples that have been heard.
    pub fn heard(&self) -> usize {
        self.heard
    }
}

/// The part that walks through time: LSTM cell, rectifier, linear layer, sigmoid. Plain slices, since each step is one
/// small matrix-vector product.
struct Recurrence {
    /// Recurrent weights, cut in strips of [`Self::STRIP`] gates: (strip, hidden unit, gate in the strip).
    weight: Vec<f32>,
    output_weight: Vec<f32>,
    output_bias: f32,
}

impl Recurrence {
    /// Input, forget, candidate and output gates, in this order.
    const GATES: usize = 4 * HIDDEN;
    /// Gates whose sums are kept in registers together.
    const STRIP: usize = 64;

    fn load(vb: &VarBuilder) -> Result<Self> {
        let rows = vb.get((Self::GATES, HIDDEN), "decoder.rnn.weight_hh")?.to_vec2::<f32>()?;
        let weight = rows
            .chunks_exact(Self::STRIP)
            .flat_map(|strip| (0..HIDDEN).flat_map(move |unit| strip.iter().map(move |row| row[unit])))
            .collect();
        let output_weight = vb.get((1, HIDDEN, 1), "decoder.decoder.2.weight")?.flatten_all()?.to_vec1()?;
        let output_bias = vb.get(1, "decoder.decoder.2.bias")?.i(0)?.to_scalar()?;
        Ok(Self { weight, output_weight, output_bias })
    }

    /// One step per row of `projections` (windows * gates, biases included); appends a probability for each.
    #[inline(always)]
    fn run(&self, projections: &[f32], state: &mut State, probabilities: &mut Vec<f32>) {
        for projection in projections.chunks_exact(Self::GATES) {
            let mut gates = [0f32; Self::GATES];
            let strips = self.weight.chunks_exact(HIDDEN * Self::STRIP);
            for ((gates, input), strip) in
                gates.chunks_exact_mut(Self::STRIP).zip(projection.chunks_exact(Self::STRIP)).zip(strips)
            {
                let mut sums = [0f32; Self::STRIP];
                for (row, hidden) in strip.chunks_exact(Self::STRIP).zip(&state.hidden) {
                    for (sum, weight) in sums.iter_mut().zip(row) {
                        *sum += weight * hidden;
                    }
                }
                for ((gate, sum), input) in gates.iter_mut().zip(&sums).zip(input) {
                    *gate = sum + input;
                }
            }
            probabilities.push(self.step(&gates, state));
        }
    }

    /// Applies the gates to the state; the probability of speech.
    #[inline(always)]
    fn step(&self, gates: &[f32; Self::GATES], state: &mut State) -> f32 {
        let (input, rest) = gates.split_at(HIDDEN);
        let (forget, rest) = rest.split_at(HIDDEN);
        let (candidate, output) = rest.split_at(HIDDEN);
        let mut logit = self.output_bias;
        for unit in 0..HIDDEN {
            let cell = sigmoid(forget[unit]) * state.cell[unit] + sigmoid(input[unit]) * candidate[unit].tanh();
            let hidden = sigmoid(output[unit]) * cell.tanh();
            state.cell[unit] = cell;
            state.hidden[unit] = hidden;
            logit += hidden.max(0.0) * self.output_weight[unit];
        }
        sigmoid(logit)
    }
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// Silero VAD 6 for 16 kHz.
pub struct Silero {
    /// The windowed Fourier basis: from a frame's samples to the real and to the imaginary parts of the bins.
    cosine: Linear,
    sine: Linear,
    encoder: [Convolution; 4],
    /// The input side of the LSTM with both its biases: from features to gates.
    input: Linear,
    recurrence: Recurrence,
    device: Device,
}

impl Silero {
    /// Reads the tensors of the 16 kHz model; the convolutions run on the device of `vb`, in f32.
    ///
    /// # Errors
    /// [`Error::Tensor`](crate::Error::Tensor) when a tensor is missing or has another shape.
    pub fn load(vb: &VarBuilder) -> Result<Self> {
        let basis = vb.get((2 * BINS, 1, FRAME), "stft.forward_basis_buffer")?.squeeze(1)?;
        let gates = Recurrence::GATES;
        let block = |index: usize| vb.pp(format!("encoder.{index}.reparam_conv"));
        let bias = (vb.get(gates, "decoder.rnn.bias_ih")? + vb.get(gates, "decoder.rnn.bias_hh")?)?;
        Ok(Self {
            cosine: Linear::new(basis.narrow(0, 0, BINS)?, None)?,
            sine: Linear::new(basis.narrow(0, BINS, BINS)?, None)?,
            encoder: [
                Convolution::load(&block(0), BINS, 128, 1)?,
                Convolution::load(&block(1), 128, 64, 2)?,
                Convolution::load(&block(2), 64, 64, 2)?,
                Convolution::load(&block(3), 64, HIDDEN, 1)?,
            ],
            input: Linear::new(vb.get((gates, HIDDEN), "decoder.rnn.weight_ih")?, Some(bias))?,
            recurrence: Recurrence::load(vb)?,
            device: vb.device().clone(),
        })
    }

    /// The probability of speech, 0 to 1, in each [`WINDOW`] of `samples` (mono, 16 kHz); the last window is filled up
    /// with silence. Reports progress in seconds of audio.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) when the caller cancels, else a tensor operation that failed.
    pub fn probabilities(&self, samples: &[f32], watch: &Watch) -> Result<Vec<f32>> {
        let mut probabilities = Vec::with_capacity(samples.len().div_ceil(WINDOW));
        let mut listening = Listening::default();
        while listening.heard < samples.len() {
            probabilities.extend(self.hear(&mut listening, samples, true)?);
            watch.step(StageName::Vad, seconds_of(listening.heard), seconds_of(samples.len()))?;
        }
        Ok(probabilities)
    }

    /// Hears the next block of a recording that goes on, whose first `samples` are here: the probabilities of its windows.
    /// None where there are not enough samples for a block; the last block, where they have `ended`, may be short.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn hear(&self, listening: &mut Listening, samples: &[f32], ended: bool) -> Result<Vec<f32>> {
        let start = listening.heard;
        let end = (start + BLOCK * WINDOW).min(samples.len());
        if end <= start || (!ended && end - start < BLOCK * WINDOW) {
            return Ok(Vec::new());
        }
        let projections = self.project(&frames(samples, start..end))?;
        let windows = projections.len() / Recurrence::GATES;
        let _timed =
            profile::span(Class::Recurrence, || Work::product(windows, HIDDEN, Recurrence::GATES, size_of::<f32>()));
        let mut probabilities = Vec::with_capacity(windows);
        // The closure is compiled once for every instruction set and the best one of this machine is called.
        let state = &mut listening.state;
        pulp::Arch::new().dispatch(|| self.recurrence.run(&projections, state, &mut probabilities));
        listening.heard = end;
        Ok(probabilities)
    }

    /// Frames (windows * frame * frame sample) to the input projections of the LSTM (windows * gate).
    fn project(&self, frames: &[f32]) -> Result<Vec<f32>> {
        let windows = frames.len() / (FRAMES * FRAME);
        let frames = Tensor::from_slice(frames, (windows * FRAMES, FRAME), &self.device)?;
        let (real, imaginary) = (self.cosine.forward(&frames)?, self.sine.forward(&frames)?);
        let magnitude = (real.sqr()? + imaginary.sqr()?)?.sqrt()?;
        let mut features = magnitude.reshape((windows, FRAMES, BINS))?; // (windows, time, channel)
        for convolution in &self.encoder {
            features = convolution.forward(&features)?;
        }
        // Two strides of 2 have left one step of time.
        let features = features.reshape((windows, HIDDEN))?;
        Ok(self.input.forward(&features)?.flatten_all()?.to_vec1()?)
    }
}

/// Cuts the windows inside `range` (which starts at a window) into frames: (windows * frame * frame sample). Samples
/// outside the recording are zero.
fn frames(samples: &[f32], range: std::ops::Range<usize>) -> Vec<f32> {
    let mut frames = Vec::with_capacity(range.len().div_ceil(WINDOW) * FRAMES * FRAME);
    let mut window = [0f32; CONTEXT + WINDOW + MIRRORED];
    for start in range.clone().step_by(WINDOW) {
        let end = (start + WINDOW).min(range.end);
        let context = CONTEXT.min(start);
        window.fill(0.0);
        window[CONTEXT - context..][..context + end - start].copy_from_slice(&samples[start - context..end]);
        let (real, mirrored) = window.split_at_mut(CONTEXT + WINDOW);
        for (target, source) in mirrored.iter_mut().zip(real.iter().rev().skip(1)) {
            *target = *source;
        }
        for frame in 0..FRAMES {
            frames.extend_from_slice(&window[frame * HOP..][..FRAME]);
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_see_their_context_and_mirror_their_end() {
        let samples: Vec<f32> = (1..=600).map(|i| i as f32).collect();
        let frames = frames(&samples, 0..600);
        assert_eq!(frames.len(), 2 * FRAMES * FRAME);
        // The first window has silence before it, and its last frame ends with samples 511, 510 .. 448.
        assert_eq!(&frames[62..66], [0.0, 0.0, 1.0, 2.0]);
        assert_eq!(&frames[4 * FRAME - 66..][..4], [511.0, 512.0, 511.0, 510.0]);
        assert_eq!(frames[4 * FRAME - 1], 448.0);
        // The second window begins with the last 64 samples of the first, and ends in silence.
        assert_eq!(&frames[4 * FRAME..][..2], [449.0, 450.0]);
        assert_eq!(frames[8 * FRAME - 1], 0.0);
    }

    #[test]
    fn convolution_pads_and_strides() -> Result<()> {
        let device = Device::Cpu;
        // One channel in, one out, taps 1, 10, 100.
        let convolution = Convolution {
            linear: Linear::new(
                Tensor::new(&[[1f32, 10.0, 100.0]], &device)?,
                Some(Tensor::new(&[-200f32], &device)?),
            )?,
            stride: 2,
        };
        let input = Tensor::new(&[[[1f32], [2.0], [3.0], [4.0]]], &device)?;
        assert_eq!(convolution.forward(&input)?.flatten_all()?.to_vec1::<f32>()?, [10.0, 232.0]);
        Ok(())
    }
}
