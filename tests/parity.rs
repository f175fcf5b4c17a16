//! The networks against their reference implementations, on real weights and real speech.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "parity/aligner.rs"]
mod aligner;
#[path = "parity/beam.rs"]
mod beam;
#[path = "parity/embedders.rs"]
mod embedders;
#[path = "parity/evaluation.rs"]
mod evaluation;
#[path = "parity/segmentation.rs"]
mod segmentation;
#[path = "parity/speaker.rs"]
mod speaker;
#[path = "support/mod.rs"]
mod support;
#[path = "parity/vad.rs"]
mod vad;
#[path = "parity/wav2vec2.rs"]
mod wav2vec2;
#[path = "parity/weights.rs"]
mod weights;
#[path = "parity/whisper.rs"]
mod whisper;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = Vec::new();
    trials.extend(aligner::trials());
    trials.extend(evaluation::trials());
    trials.extend(weights::trials());
    trials.extend(vad::trials());
    trials.extend(segmentation::trials());
    trials.extend(speaker::trials());
    trials.extend(embedders::trials());
    trials.extend(wav2vec2::trials());
    trials.extend(whisper::trials());
    trials.extend(beam::trials());
    libtest_mimic::run(&arguments, trials).exit()
}
