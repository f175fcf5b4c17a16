//! How alike two voices are: `cargo run --release --example embed_speaker -- FILE FILE`.

use std::path::PathBuf;

use candle_core::Tensor;
use clap::Parser;
use palabra::{
    audio::{
        decode::{Limits, decode_file},
        fbank::Fbank,
    },
    device::Compute,
    engine,
    progress::Watch,
    weights::{Store, StoreOptions},
};

#[derive(Parser)]
struct Arguments {
    /// Two recordings of one voice each.
    #[arg(num_args = 2)]
    files: Vec<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let (arguments, watch, compute) = (Arguments::parse(), Watch::silent(), Compute::cpu());
    let store = Store::open(&StoreOptions::default())?;
    let embedder = engine::embedder(&store.fetch("campplus", &watch)?, &compute)?;
    let bins = embedder.config().features;
    let fbank = Fbank::new(bins);

    let mut voices = Vec::new();
    for file in &arguments.files {
        let audio = decode_file(file, &Limits::default(), &watch)?.audio;
        let features = fbank.compute_normalised(audio.samples())?; // (frames, bins)
        let frames = features.len() / bins;
        let features = Tensor::from_vec(features, (1, frames, bins), &compute.device)?;
        let embedding: Vec<f32> = embedder.forward(&features)?.flatten_all()?.to_vec1()?;
        println!("{}: {:.1} s, {} numbers", file.display(), audio.duration(), embedding.len());
        voices.push(embedding);
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (a, b) = (&voices[0], &voices[1]);
    println!("cosine similarity: {:.3}", dot(a, b) / (dot(a, a) * dot(b, b)).sqrt());
    Ok(())
}
