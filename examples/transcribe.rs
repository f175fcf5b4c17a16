//! Words with times from a recording: `cargo run --release --example transcribe -- FILE`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use palabra::{
    audio::decode::{Limits, decode_file},
    device::{ComputeType, Devices},
    engine::{Engine, EngineOptions, Options},
    progress::Watch,
    weights::{Store, StoreOptions},
};

#[derive(Parser)]
struct Arguments {
    /// The recording.
    file: PathBuf,
    /// Whisper model: a name, a hub repository or a folder.
    #[arg(long, default_value = "base")]
    model: String,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let watch = Watch::silent();
    let devices = Devices::open(&arguments.device.parse()?, ComputeType::Auto)?;
    let store = Store::open(&StoreOptions::default())?;
    let options = EngineOptions { repositories: true, folders: true, ..EngineOptions::default() };
    let pipeline = Engine::new(store, devices, options).pipeline(&arguments.model, None, &watch)?;

    let decoded = decode_file(&arguments.file, &Limits::default(), &watch)?;
    let transcript = pipeline.transcribe(decoded, 0.0, &Options::default(), &watch)?;

    println!("language: {} ({:.2})", transcript.language.name(), transcript.language_probability);
    for word in transcript.segments.iter().flat_map(|segment| &segment.words) {
        let span = word.span.context("every word has a time")?;
        println!("{:8.2} {:8.2}  {:.2}  {}", span.start, span.end, word.score, word.text);
    }
    Ok(())
}
