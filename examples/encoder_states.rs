//! What the aligner heads are trained on: `cargo run --release --example encoder_states -- --out FOLDER FILE...`.
//!
//! For every recording of at most 30 s writes `FOLDER/<stem>.safetensors` with, in half precision, `mel` (3000, 80), the
//! log-mel that Whisper base reads, and `taps` (3, 1500, 512), its encoder's states after the blocks 2, 4 and 6 (the last
//! one behind the layer norm). `@LIST` in place of the files reads their paths from the lines of a text file.

use std::{collections::HashMap, path::PathBuf};

use candle_core::{DType, Tensor};
use clap::Parser;
use palabra::{
    audio::decode::{Limits, decode_file},
    device::Compute,
    engine,
    models::whisper::MEL_FRAMES,
    progress::Watch,
    weights::{Store, StoreOptions},
};

#[derive(Parser)]
struct Arguments {
    /// Where the features are written.
    #[arg(long)]
    out: PathBuf,
    /// Recordings, or `@` and the name of a list.
    #[arg(required = true)]
    files: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let (arguments, watch, compute) = (Arguments::parse(), Watch::silent(), Compute::cpu());
    let folder = Store::open(&StoreOptions::default())?.fetch("whisper-base", &watch)?;
    let transcriber = engine::transcriber(&folder, &compute)?;
    std::fs::create_dir_all(&arguments.out)?;
    for file in arguments.files.iter().map(paths).collect::<std::io::Result<Vec<_>>>()?.into_iter().flatten() {
        let audio = decode_file(&file, &Limits::default(), &watch)?.audio;
        anyhow::ensure!(audio.duration() <= 30.0, "{} is longer than 30 s", file.display());
        let bins = transcriber.config().num_mel_bins;
        let mel = transcriber.mel().compute(audio.samples()); // (frames, bins)
        let mel = Tensor::from_vec(mel, (1, MEL_FRAMES, bins), &compute.device)?;
        let (_, taps) = transcriber.whisper().encoder.forward_tapped(&mel, &[2, 4, 6])?;
        let taps = Tensor::cat(&taps, 0)?.to_dtype(DType::F16)?;
        let mel = mel.squeeze(0)?.to_dtype(DType::F16)?;
        let stem = file.file_stem().unwrap_or_default();
        let out = arguments.out.join(stem).with_extension("safetensors");
        candle_core::safetensors::save(&HashMap::from([("mel", mel), ("taps", taps)]), &out)?;
        println!("{}", out.display());
    }
    Ok(())
}

fn paths(argument: &String) -> std::io::Result<Vec<PathBuf>> {
    match argument.strip_prefix('@') {
        Some(list) => Ok(std::fs::read_to_string(list)?.lines().map(PathBuf::from).collect()),
        None => Ok(vec![PathBuf::from(argument)]),
    }
}
