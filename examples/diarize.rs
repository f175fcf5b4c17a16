//! Says who speaks when, as RTTM: `cargo run --release --example diarize -- FILE`

use std::path::PathBuf;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use clap::Parser;
use palabra::{
    audio::decode::{Limits, decode_file},
    models::{silero::Silero, speaker::SpeakerEmbedder},
    progress::Watch,
    stages::{
        diarize::{DiarizeOptions, diarize, speech_options},
        vad::{VadOptions, detect},
    },
    weights::{Store, StoreOptions},
};

#[derive(Parser)]
struct Arguments {
    /// Any audio or video file.
    file: PathBuf,
    /// Exactly so many speakers.
    #[arg(long)]
    num_speakers: Option<usize>,
    /// Speech begins at this probability, and may end at 0.6 of it.
    #[arg(long)]
    vad_onset: Option<f32>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let watch = Watch::silent();
    let store = Store::open(&StoreOptions::default())?;
    let weights = |name: &str| -> anyhow::Result<VarBuilder> {
        let bytes = std::fs::read(store.fetch(name, &watch)?.join("model.safetensors"))?;
        Ok(VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)?)
    };
    let detector = Silero::load(&weights("silero-vad")?)?;
    let embedder = SpeakerEmbedder::load(weights("campplus")?)?;
    let audio = decode_file(&arguments.file, &Limits::default(), &watch)?.audio;

    let mut vad = speech_options();
    if let Some(onset) = arguments.vad_onset {
        vad = VadOptions { onset, offset: 0.6 * onset, ..vad };
    }
    let speech = detect(&detector, &audio, &vad, &watch)?.spans;
    let options = DiarizeOptions { num_speakers: arguments.num_speakers, ..DiarizeOptions::default() };
    let name = arguments.file.file_stem().unwrap_or_default().to_string_lossy().replace(char::is_whitespace, "_");
    for turn in diarize(&embedder, &Device::Cpu, &audio, &speech, &options, &watch)?.turns {
        let (start, length) = (turn.span.start, turn.span.duration());
        println!("SPEAKER {name} 1 {start:.3} {length:.3} <NA> <NA> {} <NA> <NA>", turn.speaker);
    }
    Ok(())
}
