//! What Whisper takes: the work of each of its parts, from the dimensions of a checkpoint.
//!
//! Symbols as in the paper: d the width (`d_model`), T the 1500 positions of a chunk, B chunks or rows of text in a batch,
//! L layers. A feed-forward layer is 4 d wide in every checkpoint.

use palabra::models::whisper::{Config, MEL_FRAMES};

use super::work::{Design, Work};

/// Width of the convolutions in front of the encoder.
const TAPS: usize = 3;
/// Bytes of a logit: they are f32 in every design.
const LOGIT: usize = 4;
/// Words of a row's rules and of its choice.
const RULES: usize = 11;
/// Blocks that keep a card busy, and keys of which a block of its own is worth a part (`ops::kernels::cached_attention`).
const BUSY_BLOCKS: usize = 264;
const SPLIT_LENGTH: usize = 512;
/// Operations that choosing a token takes for each logit: comparison, exponential, sum.
const CHOICE: usize = 4;

/// A batch of chunks in the encoder, or of rows in the decoder.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The checkpoint's dimensions.
    pub config: &'a Config,
    /// Chunks or rows, B.
    pub rows: usize,
    /// Bytes of a weight or an activation.
    pub size: usize,
    /// How the operations are cut.
    pub design: Design,
}

impl Batch<'_> {
    fn width(&self) -> usize {
        self.config.d_model
    }

    /// Elements of the batch's features: B T d.
    fn features(&self) -> usize {
        self.rows * self.config.max_source_positions * self.width()
    }

    /// A product of `rows` vectors with bias and what else comes behind it, which reads `more` further elements.
    fn linear(&self, rows: usize, inputs: usize, outputs: usize, behind: &[Behind]) -> Work {
        let product = Work::product(rows, inputs, outputs, self.size);
        let extra = |behind: &Behind| if *behind == Behind::Residual { 2 } else { 1 };
        let passes: usize = behind.iter().map(extra).sum();
        match (self.design, behind) {
            (_, []) => product,
            // One kernel behind the product does all: it reads the sums, the residual where there is one, and writes.
            (Design::Fused | Design::Built, _) => {
                let residual = usize::from(behind.contains(&Behind::Residual));
                product + Work::pass((1 + residual) * rows * outputs, rows * outputs, self.size)
            }
            (Design::Composed, _) => {
                product
                    + Work::pass(passes * rows * outputs, behind.len() * rows * outputs, self.size)
                        .in_kernels(behind.len())
            }
        }
    }

    fn norm(&self, rows: usize) -> Work {
        Work::pass(rows * self.width(), rows * self.width(), self.size)
    }

    /// The two convolutions with GELU, and the positions.
    pub fn encoder_convolutions(&self) -> Work {
        let (d, bins) = (self.width(), self.config.num_mel_bins);
        let positions = self.rows * self.config.max_source_positions;
        let one = |steps: usize, read: usize, inputs: usize| {
            let product = Work::kernel(
                2 * steps * TAPS * inputs * d,
                match self.design {
                    // In time-major layout the steps under the kernel are one slice of the input.
                    Design::Fused => read * inputs,
                    // A copy with channels first, then one of every step under the kernel.
                    Design::Built | Design::Composed => 2 * read * inputs + 2 * TAPS * steps * inputs,
                } + TAPS * inputs * d,
                steps * d + if self.design == Design::Fused { 0 } else { read * inputs + TAPS * steps * inputs },
                self.size,
            );
            let passes = match self.design {
                Design::Fused => 1,
                Design::Built | Design::Composed => 3,
            };
            (product + Work::pass(steps * d, steps * d, self.size) * passes).in_kernels(match self.design {
                Design::Fused => 2,
                Design::Built | Design::Composed => 7,
            })
        };
        let frames = self.rows * MEL_FRAMES;
        one(frames, frames, bins)
            + one(positions, frames, d)
            + Work::pass(2 * self.features(), self.features(), self.size)
    }

    /// The products of the encoder's blocks, with norms, GELU and residuals.
    pub fn encoder_linear(&self) -> Work {
        let (d, rows) = (self.width(), self.rows * self.config.max_source_positions);
        let block = self.norm(rows) * 2
            + self.linear(rows, d, d, &[Behind::Bias]) * 2
            + self.linear(rows, d, d, &[])
            + self.linear(rows, d, d, &[Behind::Bias, Behind::Residual])
            + self.linear(rows, d, 4 * d, &[Behind::Bias, Behind::Gelu])
            + self.linear(rows, 4 * d, d, &[Behind::Bias, Behind::Residual]);
        block * self.config.encoder_layers + self.norm(rows)
    }

    /// Attention of every position to all 1500.
    pub fn encoder_attention(&self) -> Work {
        let (t, heads) = (self.config.max_source_positions, self.config.encoder_attention_heads);
        let flops = 4 * self.rows * t * t * self.width();
        let (features, weights) = (self.features(), self.rows * heads * t * t);
        // Heads are copied apart and together again; weights are written, normalised and read.
        let written = |of_weight: usize, reads: usize, writes: usize| {
            let copies = Work::kernel(flops, reads * features, writes * features, self.size);
            Work { bytes: copies.bytes + (weights * of_weight) as f64, ..copies }
        };
        let layer = match self.design {
            Design::Fused => Work::kernel(flops, 3 * features, features, self.size),
            // As many rows at once as have 512 MiB of weights; their results are joined.
            Design::Built => {
                let at_once = ((1 << 29) / (heads * t * t * self.size)).max(1);
                let groups = self.rows.div_ceil(at_once);
                let joined = if groups > 1 { groups } else { 0 };
                written(4 * self.size, 8, 6).in_kernels(7 * groups + joined)
            }
            // Row by row; the queries are scaled, the weights widened to f32 and narrowed again.
            Design::Composed => {
                let (casts, kernels) = if self.size == 4 { (0, 9) } else { (2 * (self.size + 4), 11) };
                written(2 * self.size + casts + 8, 9, 8).in_kernels(kernels * self.rows)
            }
        };
        layer * self.config.encoder_layers
    }

    /// Keys and values of the audio for the decoder's cross-attention, put into the caches.
    pub fn cross_keys(&self) -> Work {
        let (d, rows) = (self.width(), self.rows * self.config.max_source_positions);
        let put = Work::pass(rows * d, rows * d, self.size);
        let put = if self.design == Design::Composed { put.in_kernels(self.rows) } else { put };
        let layer = self.linear(rows, d, d, &[]) + self.linear(rows, d, d, &[Behind::Bias]) + put * 2;
        layer * self.config.decoder_layers
    }

    /// The products of one decoding step of B rows, with embeddings, norms, GELU and residuals.
    pub fn step_linear(&self) -> Work {
        let (d, rows) = (self.width(), self.rows);
        let residual = [Behind::Bias, Behind::Residual];
        let layer = self.norm(rows) * 3
            + self.linear(rows, d, d, &[Behind::Bias]) * 3
            + self.linear(rows, d, d, &[])
            + self.linear(rows, d, d, &residual) * 2
            + self.linear(rows, d, 4 * d, &[Behind::Bias, Behind::Gelu])
            + self.linear(rows, 4 * d, d, &residual);
        // Ids and positions to the device, two look-ups, their sum; the last norm.
        let copies = if self.design == Design::Composed { 2 } else { 1 };
        let around = Work::pass(4 * rows * d, 3 * rows * d, self.size).in_kernels(3 + copies) + self.norm(rows);
        layer * self.config.decoder_layers + around
    }

    /// New keys and values into the caches, and attention of each row's token to its `length` tokens.
    pub fn step_self_attention(&self, length: usize) -> Work {
        let vectors = 2 * self.rows * self.width();
        let appended = match self.design {
            Design::Fused | Design::Built => Work::pass(vectors, vectors, self.size).in_kernels(2),
            Design::Composed => Work::pass(vectors, vectors, self.size).in_kernels(2 * self.rows),
        };
        // Rows of different lengths need a mask: a copy to the device and an addition.
        (appended + self.cached_attention(length, 2)) * self.config.decoder_layers
    }

    /// Attention of each row's token to its chunk's 1500 positions.
    pub fn step_cross_attention(&self) -> Work {
        self.cached_attention(self.config.max_source_positions, 0) * self.config.decoder_layers
    }

    fn cached_attention(&self, length: usize, mask: usize) -> Work {
        let (d, keys) = (self.width(), self.rows * length * self.width());
        let flops = 4 * keys;
        match self.design {
            // Few rows split long keys between blocks, whose results a second kernel joins.
            Design::Fused | Design::Built => {
                let split = length >= SPLIT_LENGTH && self.rows * self.config.decoder_attention_heads < BUSY_BLOCKS;
                Work::kernel(flops, 2 * keys + self.rows * d, self.rows * d, self.size)
                    .in_kernels(1 + usize::from(split))
            }
            // Keys and values are copied so that heads lie apart, then read.
            Design::Composed => {
                let kernels = if self.size == 4 { 7 } else { 9 };
                Work::kernel(flops, 4 * keys + 4 * self.rows * d, 2 * keys + 4 * self.rows * d, self.size)
                    .in_kernels(kernels + mask)
            }
        }
    }

    /// The logits of each row and the choice of its token.
    pub fn step_logits(&self) -> Work {
        let (rows, vocabulary) = (self.rows, self.config.vocab_size);
        let logits = Work::product(rows, self.width(), vocabulary, self.size);
        match self.design {
            // The rules of each row go up, what was chosen comes down.
            Design::Fused | Design::Built => {
                let choice = Work::kernel(CHOICE * rows * vocabulary, 2 * rows * vocabulary, rows, self.size);
                logits + choice.in_kernels(3).over_the_bus(RULES * rows, LOGIT)
            }
            // Widened to f32, then they cross the bus, and the processor chooses.
            Design::Composed => {
                let widened = rows * vocabulary * (self.size + LOGIT);
                let casts = if self.size < LOGIT { 1.0 } else { 0.0 };
                let bytes = widened as f64 * casts + (rows * vocabulary * LOGIT) as f64;
                let read = Work { bytes, kernels: casts + 1.0, ..Work::default() };
                logits + read.over_the_bus(rows * vocabulary, LOGIT)
            }
        }
    }

    /// The whole encoder.
    pub fn encoder(&self) -> Work {
        self.encoder_convolutions() + self.encoder_linear() + self.encoder_attention()
    }

    /// A whole step of the decoder with `length` tokens before and at it, without the logits.
    pub fn step(&self, length: usize) -> Work {
        self.step_linear() + self.step_self_attention(length) + self.step_cross_attention()
    }
}

/// What comes behind a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Bias,
    Gelu,
    Residual,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::cost::checkpoints;

    fn config(name: &str) -> Config {
        checkpoints::find(name).unwrap()
    }

    fn batch(config: &Config, rows: usize, size: usize, design: Design) -> Batch<'_> {
        Batch { config, rows, size, design }
    }

    #[test]
    fn the_weights_that_a_step_reads_are_the_decoders() {
        let config = config("large-v3");
        let one = batch(&config, 1, 2, Design::Fused);
        let read = one.step_linear() + one.step_logits();
        let d = config.d_model;
        let weights = 2 * (config.decoder_layers * 14 * d * d + config.vocab_size * d);
        let share = read.bytes / weights as f64;
        assert!(share > 1.0 && share < 1.01, "{share}");
        // Two operations a weight and row.
        assert!((read.flops / weights as f64 - 1.0).abs() < 0.01);
    }

    #[test]
    fn work_grows_with_the_batch_and_weights_do_not() {
        let config = config("base");
        for design in [Design::Composed, Design::Built, Design::Fused] {
            let (one, many) = (batch(&config, 1, 2, design), batch(&config, 16, 2, design));
            assert_eq!(one.encoder().flops * 16.0, many.encoder().flops);
            assert!(many.step_linear().bytes < 2.0 * one.step_linear().bytes, "weights are shared");
            let (one, many) = (one.step_cross_attention(), many.step_cross_attention());
            assert_eq!(one.bytes * 16.0, many.bytes, "audio is not");
        }
    }

    #[test]
    fn attention_by_hand() {
        let config = config("base");
        let work = batch(&config, 16, 2, Design::Fused);
        // 16 rows, 6 layers, 1500 keys and values of 512 halves.
        let bytes = (16 * 6 * 1500 * 512 * 2 * 2) as f64;
        assert!((work.step_cross_attention().bytes / bytes - 1.0).abs() < 1e-3);
        assert_eq!(work.encoder_attention().flops, 16.0 * 6.0 * 4.0 * 1500.0 * 1500.0 * 512.0);
        let composed = batch(&config, 16, 2, Design::Composed);
        assert!(composed.encoder_attention().bytes > 30.0 * work.encoder_attention().bytes);
        assert!((2.9..3.1).contains(&(composed.step_cross_attention().bytes / work.step_cross_attention().bytes)));
        assert_eq!(composed.encoder_attention().flops, work.encoder_attention().flops);
        let built = batch(&config, 16, 2, Design::Built);
        // Written, read and written, read, in halves.
        let weights = 6.0 * 16.0 * 8.0 * 1500.0 * 1500.0 * 8.0;
        let share = built.encoder_attention().bytes / weights;
        assert!((1.0..1.2).contains(&share), "the rest are copies of heads: {share}");
        assert_eq!((built.step_cross_attention().kernels, built.step_self_attention(50).kernels), (12.0, 18.0));
    }
}
