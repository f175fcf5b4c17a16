//! Says who speaks when, as RTTM: `cargo run --release --example diarize -- FILE`

use std::path::PathBuf;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use clap::Parser;
use palabra::{
    audio::decode::{Limits, decode_file},
    models::{
        segmentation::{Config, Segmenter},
        speaker::SpeakerEmbedder,
    },
    progress::Watch,
    stages::{
        diarize::{DiarizeOptions, diarize},
        segment::{STEP, segment},
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
    /// At least so many speakers.
    #[arg(long)]
    min_speakers: Option<usize>,
    /// At most so many speakers.
    #[arg(long)]
    max_speakers: Option<usize>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let watch = Watch::silent();
    let store = Store::open(&StoreOptions::default())?;
    let weights = |name: &str| -> anyhow::Result<VarBuilder> {
        let bytes = std::fs::read(store.fetch(name, &watch)?.join("model.safetensors"))?;
        Ok(VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)?)
    };
    let segmenter = Segmenter::load(&weights("segmentation-3.0")?, &Config::default())?;
    let embedder = SpeakerEmbedder::load(weights("campplus")?)?;
    let audio = decode_file(&arguments.file, &Limits::default(), &watch)?.audio;

    let Arguments { num_speakers, min_speakers, max_speakers, .. } = arguments;
    let options = DiarizeOptions { num_speakers, min_speakers, max_speakers };
    let segmentation = segment(&segmenter, &Device::Cpu, &audio, STEP, &watch)?;
    let found = diarize(&embedder, &Device::Cpu, &audio, segmentation, &options, &watch)?;
    found.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let name = arguments.file.file_stem().unwrap_or_default().to_string_lossy().replace(char::is_whitespace, "_");
    for turn in found.turns {
        let (start, length) = (turn.span.start, turn.span.duration());
        println!("SPEAKER {name} 1 {start:.3} {length:.3} <NA> <NA> {} {:.2} <NA>", turn.speaker, turn.confidence);
    }
    Ok(())
}
