//! Finds the speech in a recording: `cargo run --release --example detect_voice -- FILE`

use std::path::PathBuf;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use clap::Parser;
use palabra::{
    audio::decode::{Limits, decode_file},
    models::silero::Silero,
    progress::Watch,
    stages::{
        chunk::{ChunkOptions, chunks},
        vad::{VadOptions, VoiceDetector, detect},
    },
    weights::{Store, StoreOptions},
};

#[derive(Parser)]
struct Arguments {
    /// Any audio or video file.
    file: PathBuf,
    /// Speech begins at this probability.
    #[arg(long)]
    vad_onset: Option<f32>,
    /// Speech may end below this probability.
    #[arg(long)]
    vad_offset: Option<f32>,
    /// The longest chunk in seconds.
    #[arg(long, default_value_t = 30.0)]
    chunk_size: f64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let watch = Watch::silent();
    let folder = Store::open(&StoreOptions::default())?.fetch("silero-vad", &watch)?;
    let weights = std::fs::read(folder.join("model.safetensors"))?;
    let model = Silero::load(&VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)?)?;
    let audio = decode_file(&arguments.file, &Limits::default(), &watch)?.audio;

    let options = VadOptions::with_thresholds(VoiceDetector::Silero, arguments.vad_onset, arguments.vad_offset)?;
    let detection = detect(&model, &audio, &options, &watch)?;
    let chunk_options = ChunkOptions { chunk_size: arguments.chunk_size, ..ChunkOptions::default() };
    for chunk in chunks(&audio, &detection, &chunk_options)? {
        println!("chunk {:9.3} .. {:9.3} s", chunk.span().start, chunk.span().end);
        for speech in &chunk.speech {
            println!("      {:9.3} .. {:9.3} s", speech.start, speech.end);
        }
    }
    let speech = detection.spans.iter().fold(0.0, |seconds, span| seconds + span.duration());
    println!("{speech:.1} s of speech in {:.1} s", audio.duration());
    Ok(())
}
