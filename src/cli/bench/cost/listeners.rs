//! What everything beside Whisper takes: features, the aligner head, the search for a path, segmentation, voices.

use palabra::models::{segmentation, speaker::campplus, whisper::MEL_FRAMES};

use super::work::{Design, Work};

/// Bytes of an f32: these parts compute in nothing narrower.
const SIZE: usize = 4;
/// Samples of a chunk.
const CHUNK_SAMPLES: usize = 480_000;
/// Samples from one mel frame or filterbank frame to the next.
const HOP: usize = 160;

/// Log-mel of chunks: window, real Fourier transform of 400 samples, energies, triangles, logarithm; then the maximum of
/// the chunk, and what lies far below it is lifted. On the device, where samples cross the bus; by Candle's operations
/// there is none, so the processor makes it, and it crosses.
pub fn log_mel(chunks: usize, bins: usize, design: Design) -> Work {
    let frames = chunks * MEL_FRAMES;
    if design == Design::Composed {
        return Work::default().over_the_bus(frames * bins, SIZE);
    }
    let spectra = frames * frame_operations(400, bins);
    let made = Work::kernel(spectra, chunks * CHUNK_SAMPLES, frames * bins, SIZE);
    let lifted = Work::kernel(3 * frames * bins, frames * bins, frames * bins, SIZE);
    made.over_the_bus(chunks * CHUNK_SAMPLES, SIZE) + Work::pass(frames * bins, 0, SIZE) + lifted
}

/// Kaldi's filterbank of `windows` windows of `frames` frames, and the mean of each bin over time taken off.
pub fn filterbank(windows: usize, frames: usize, bins: usize) -> Work {
    let spectra = windows * frames * frame_operations(512, bins);
    let values = windows * frames * bins;
    Work::kernel(spectra, windows * frames * HOP, values, SIZE) + Work::kernel(3 * values, 2 * values, values, SIZE)
}

/// Operations for one frame: window, transform (2.5 n log2 n), energies, two overlapping triangles over them, logarithms.
fn frame_operations(length: usize, bins: usize) -> usize {
    let transform = 2.5 * length as f64 * (length as f64).log2();
    length + transform as usize + 3 * (length / 2 + 1) + 4 * (length / 2 + 1) + 10 * bins
}

/// The sizes of an aligner head.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Width of the encoder that it listens to.
    pub inputs: usize,
    /// Blocks of the encoder that it reads.
    pub taps: usize,
    /// Its own width.
    pub width: usize,
    /// Channels behind the first convolution over the mel.
    pub mel_width: usize,
    /// Mel bins.
    pub bins: usize,
    /// Labels, in each of its two outputs.
    pub labels: usize,
}

impl Head {
    /// The head for English that is part of the program.
    pub const ENGLISH: Self = Self { inputs: 512, taps: 3, width: 192, mel_width: 96, bins: 80, labels: 29 };

    /// The head over `chunks` whole chunks, one after the other, as it runs in a batch.
    pub fn work(&self, chunks: usize) -> Work {
        let Self { inputs, taps, width, mel_width, bins, labels } = *self;
        let frames = MEL_FRAMES / 2;
        let pass = |read: usize, written: usize, kernels: usize| Work::pass(read, written, SIZE).in_kernels(kernels);
        // A cast, a norm and a sum for each tap.
        let states = pass(3 * taps * frames * inputs, 3 * taps * frames * inputs, 3 * taps);
        let mel = Work::product(MEL_FRAMES, 3 * bins, mel_width, SIZE).in_kernels(8)
            + Work::product(frames, 4 * mel_width, width, SIZE)
            + pass(4 * frames * mel_width, 4 * frames * mel_width, 4);
        let project = Work::product(frames, inputs, width, SIZE) + pass(3 * frames * width, 2 * frames * width, 2);
        // Nine taps of a depthwise convolution, a product and a sum for each; then norm, product, GELU, product, residual.
        let taps_of_block = Work::kernel(2 * 9 * frames * width, 27 * frames * width, 18 * frames * width, SIZE);
        let block = taps_of_block.in_kernels(20)
            + pass(frames * width, frames * width, 1)
            + Work::product(frames, width, 2 * width, SIZE)
            + pass(4 * frames * width, 4 * frames * width, 2)
            + Work::product(frames, 2 * width, width, SIZE)
            + pass(3 * frames * width, 2 * frames * width, 2);
        // Bias and log-softmax.
        let output = Work::product(frames, width, labels, SIZE) + pass(6 * frames * labels, 5 * frames * labels, 6);
        let norm = pass(frames * width, frames * width, 1);
        (states + mel + project + block * 2 + norm + output * 2) * chunks
    }
}

/// The Viterbi path of a text of `tokens` tokens through `frames` frames of `columns` columns, for each of `chunks`: two
/// states a token, of which each looks at up to three before it; where each came from is written, a byte, and read again
/// along the path alone. Two passes.
pub fn best_path(chunks: usize, frames: usize, tokens: usize, columns: usize) -> Work {
    let cells = frames * (2 * tokens + 1);
    let bytes = frames * columns * SIZE + cells + frames;
    Work { flops: (5 * cells) as f64, bytes: bytes as f64, kernels: 2.0 / chunks as f64, bus: 0.0 } * (2 * chunks)
}

/// Segmentation of `windows` windows of ten seconds, one second apart, in stretches of sixteen that share the filters.
pub fn segmentation(config: &segmentation::Config, windows: usize) -> Work {
    const WINDOW: usize = 160_000;
    const FILTERS: usize = 80;
    const TAPS: usize = 251;
    const CHANNELS: usize = 60;
    const WIDTH: usize = 5;
    const POOL: usize = 3;
    let stretches = windows.div_ceil(16);
    let samples = WINDOW * stretches + 16_000 * windows.saturating_sub(stretches);
    let places = samples / config.stride;
    let filters = Work::kernel(2 * places * TAPS * FILTERS, samples, places * FILTERS, SIZE).in_kernels(6 * stretches);
    let mut steps = (WINDOW - TAPS) / config.stride + 1;
    // Of each pool with its normalisation: read for the maximum, then six passes over a third of it.
    let pool = |steps: usize, channels: usize| {
        let pooled = steps / POOL * channels;
        Work::pass(steps * channels + 8 * pooled, 7 * pooled, SIZE).in_kernels(0) * windows
    };
    let mut work = filters + pool(steps, FILTERS);
    let mut channels = FILTERS;
    steps /= POOL;
    for _ in 0..2 {
        let made = steps - WIDTH + 1;
        work = work + Work::product(windows * made, WIDTH * channels, CHANNELS, SIZE) + pool(made, CHANNELS);
        (steps, channels) = (made / POOL, CHANNELS);
    }
    // Three kernels a window for its own map of the filters; twelve a pool, six a convolution, for every stretch.
    work.kernels += (3 * windows + (3 * 12 + 2 * 6) * stretches) as f64;
    work + recurrence(config, windows, steps) + classifier(config, windows * steps)
}

/// The LSTM layers: inputs of all steps in one product, then step after step, eleven kernels and a copy each.
fn recurrence(config: &segmentation::Config, windows: usize, steps: usize) -> Work {
    const INPUTS: usize = 60;
    let hidden = config.hidden;
    let layer = |inputs: usize| {
        let projected = Work::product(windows * steps, inputs, 4 * hidden, SIZE) * 2;
        let step = Work::product(2 * windows, hidden, 4 * hidden, SIZE)
            + Work::pass(2 * windows * 24 * hidden, 2 * windows * 11 * hidden, SIZE);
        projected.in_kernels(8) + step.in_kernels(12) * steps
    };
    layer(INPUTS) + layer(2 * hidden) * config.layers.saturating_sub(1)
}

fn classifier(config: &segmentation::Config, rows: usize) -> Work {
    let first = Work::product(rows, 2 * config.hidden, config.linear, SIZE);
    let further = Work::product(rows, config.linear, config.linear, SIZE) * config.linear_layers.saturating_sub(1);
    let last = Work::product(rows, config.linear, segmentation::powerset::CLASSES, SIZE);
    // Bias, slope and maximum behind each.
    let passes = Work::pass(4 * rows * config.linear, 3 * rows * config.linear, SIZE).in_kernels(3);
    first + further + passes * config.linear_layers + last.in_kernels(6)
}

/// CAM++ on `windows` windows of `frames` frames, `together` of them in one call.
pub fn embedder(config: &campplus::Config, windows: usize, frames: usize, together: usize) -> Work {
    let calls = windows.div_ceil(together.max(1));
    let rows = windows * frames.div_ceil(2);
    let mut work = plane_convolutions(config.features, windows * frames)
        + Work::product(rows, 5 * 32 * config.features.div_ceil(8), config.initial, SIZE);
    let mut channels = config.initial;
    // 96 kernels in the head and 10 behind it; 26 in a dense layer, 5 between blocks, 25 for the statistics.
    let mut kernels = 96 + 10 + 25;
    for block in config.blocks {
        for layer in 0..block.layers {
            work = work + dense_layer(config, channels + layer * config.growth, rows, windows);
        }
        channels += block.layers * config.growth;
        work = work
            + Work::product(rows, channels, channels / 2, SIZE)
            + Work::pass(3 * rows * channels, 3 * rows * channels, SIZE);
        channels /= 2;
        kernels += 26 * block.layers + 5;
    }
    let statistics = Work::kernel(6 * rows * channels, 3 * rows * channels, 2 * windows * channels, SIZE);
    let last = Work::product(windows, 2 * channels, config.embedding, SIZE);
    Work { kernels: (kernels * calls) as f64, ..work + statistics + last }
}

/// The head: 3 x 3 convolutions of 32 channels over planes of frequency x time, whose frequencies halve three times.
fn plane_convolutions(bins: usize, frames: usize) -> Work {
    const CHANNELS: usize = 32;
    let convolution = |frequencies: usize, read: usize, inputs: usize, taps: usize| {
        let places = frequencies * frames;
        let product = Work::product(places, taps * inputs, CHANNELS, SIZE);
        // The rows of the product are a copy of the planes for each tap; bias, residual and ReLU behind.
        product
            + Work::pass(
                read * frames * inputs + 3 * places * CHANNELS,
                taps * places * inputs + 3 * places * CHANNELS,
                SIZE,
            )
    };
    let mut work = convolution(bins, bins, 1, 9);
    let mut frequencies = bins;
    for _ in 0..2 {
        let halved = frequencies.div_ceil(2);
        work = work
            + convolution(halved, frequencies, CHANNELS, 9)
            + convolution(halved, frequencies, CHANNELS, 1)
            + convolution(halved, halved, CHANNELS, 9) * 3;
        frequencies = halved;
    }
    work + convolution(frequencies.div_ceil(2), frequencies, CHANNELS, 9)
}

/// A bottleneck with its normalisations, the three taps side by side, and their mask.
fn dense_layer(config: &campplus::Config, inputs: usize, rows: usize, windows: usize) -> Work {
    let (bottleneck, growth) = (config.bottleneck, config.growth);
    let context = Work::product(windows, bottleneck, bottleneck / 2, SIZE)
        + Work::product(windows, bottleneck / 2, growth, SIZE)
        + Work::pass(rows * bottleneck, windows * bottleneck, SIZE);
    Work::product(rows, inputs, bottleneck, SIZE)
        + Work::product(rows, bottleneck, 3 * growth, SIZE)
        + context
        // Scale, shift and ReLU before; bias and ReLU behind; shifted taps, sums, mask, and the place in the block.
        + Work::pass(3 * rows * inputs, 3 * rows * inputs, SIZE)
        + Work::pass(2 * rows * bottleneck + 10 * rows * growth, 2 * rows * bottleneck + 7 * rows * growth, SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mel_frame_costs_its_transform() {
        let work = log_mel(2, 80, Design::Fused);
        assert_eq!(work.flops, 2.0 * log_mel(1, 80, Design::Fused).flops);
        assert!((10_000..20_000).contains(&frame_operations(400, 80)));
        // Samples in, values out, and two further passes over the values.
        let bytes = 2 * 4 * (CHUNK_SAMPLES + MEL_FRAMES * 80 * 4);
        assert_eq!((work.bytes, work.bus), (bytes as f64, (2 * 4 * CHUNK_SAMPLES) as f64));
        let made_by_the_processor = log_mel(2, 80, Design::Composed);
        assert_eq!((made_by_the_processor.flops, made_by_the_processor.bus), (0.0, (2 * 4 * MEL_FRAMES * 80) as f64));
    }

    #[test]
    fn the_head_is_small_beside_its_encoder() {
        let work = Head::ENGLISH.work(1);
        // 0.5 million weights over 1500 frames, those of the mel's first convolution over twice as many.
        assert!((1.3e9..2.2e9).contains(&work.flops), "{work:?}");
        assert_eq!(Head::ENGLISH.work(3).flops, 3.0 * work.flops);
    }

    #[test]
    fn a_path_visits_every_cell_twice() {
        let work = best_path(4, 1500, 200, 31);
        assert_eq!(work.flops, (2 * 4 * 5 * 1500 * 401) as f64);
        assert_eq!(work.kernels, 4.0);
    }

    #[test]
    fn segmentation_waits_for_its_recurrence() {
        let config = segmentation::Config::default();
        let (one, sixteen) = (segmentation(&config, 1), segmentation(&config, 16));
        assert!(sixteen.flops < 16.0 * one.flops && sixteen.flops > 10.0 * one.flops, "filters are shared");
        // 589 frames, four layers, twelve kernels.
        assert!(one.kernels > (589 * 4 * 12) as f64 && sixteen.kernels < 1.01 * one.kernels);
        // By hand: filters, convolutions, recurrence of 1.4 million weights over 589 frames.
        assert!((2.3e9..3.2e9).contains(&one.flops), "{one:?}");
    }

    #[test]
    fn embeddings_cost_their_head() {
        let config = campplus::Config::default();
        let work = embedder(&config, 20, 148, 20);
        // 1.7 G multiplications and additions for 3 s (3D-Speaker's own figure), half of that here.
        let of_window = work.flops / 20.0;
        assert!((1.4e9..2.2e9).contains(&of_window), "{of_window:e}");
        assert_eq!(embedder(&config, 40, 148, 20).kernels, 2.0 * work.kernels);
    }
}
