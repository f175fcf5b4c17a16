//! How alike two voices are: `cargo run --release --example embed_speaker -- FILE FILE`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use palabra::{
    audio::decode::{Limits, decode_file},
    device::Compute,
    engine,
    progress::Watch,
    stages::embed::{FeatureExtractor, embed},
    weights::{Store, StoreOptions},
};

#[derive(Parser)]
struct Arguments {
    /// Two recordings of one voice each.
    #[arg(num_args = 2)]
    files: Vec<PathBuf>,
    /// What hears them: campplus, wespeaker-resnet34, ecapa-tdnn, or a folder.
    #[arg(long, default_value = "campplus")]
    model: String,
}

fn main() -> anyhow::Result<()> {
    let (arguments, watch, compute) = (Arguments::parse(), Watch::silent(), Compute::cpu());
    let store = Store::open(&StoreOptions::default())?;
    let embedder = engine::embedder(&store.resolve_speaker_embedder(&arguments.model, &watch)?, &compute)?;
    let extractor = FeatureExtractor::new(embedder.features(), &compute.device);

    let mut voices = Vec::new();
    for file in &arguments.files {
        let audio = decode_file(file, &Limits::default(), &watch)?.audio;
        let window = extractor.whole_window(audio.samples())?;
        let mut embeddings = embed(&embedder, &compute.device, &[&window])?.into_iter().flatten();
        let embedding = embeddings.next().flatten().context("nothing was heard")?;
        println!("{}: {:.1} s, {} numbers", file.display(), audio.duration(), embedding.len());
        voices.push(embedding);
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (a, b) = (&voices[0], &voices[1]);
    println!("cosine similarity: {:.3}", dot(a, b) / (dot(a, a) * dot(b, b)).sqrt());
    Ok(())
}
