//! What an aligner hears: `cargo run --release --example emissions -- MODEL AUDIO [ROUNDS]`.
//!
//! MODEL is a name (`wav2vec2-en`), a repository of the hub, or a folder with a wav2vec2, HuBERT or WavLM that was
//! fine-tuned with CTC. Prints in how many frames of AUDIO a character is the likeliest label, and with ROUNDS the seconds
//! that each further pass took.

use std::time::Instant;

use palabra::{
    audio::decode::{Limits, decode_file},
    device::{ComputeType, DeviceChoice, Devices},
    engine,
    progress::Watch,
    weights::{Store, StoreOptions},
};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(audio)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: emissions MODEL AUDIO [ROUNDS]");
    };
    let watch = Watch::silent();
    let folder = Store::open(&StoreOptions::default())?.resolve_aligner(&model, &watch)?;
    let (network, labels) = engine::wav2vec2(&folder, Devices::open(&DeviceChoice::Auto, ComputeType::Auto)?.first())?;
    let audio = decode_file(audio.as_ref(), &Limits::default(), &watch)?.audio;
    let emissions = network.forward(&[audio.samples()])?.remove(0); // (frames, labels)
    let likeliest = emissions.argmax(1)?.to_vec1::<u32>()?;
    let nothing = |label: &u32| *label == labels.blank() || Some(*label) == labels.delimiter();
    let heard = likeliest.iter().filter(|label| !nothing(label)).count();
    println!("{} labels, {} frames, a character in {heard}", labels.count(), likeliest.len());
    for _ in 0..arguments.next().map_or(Ok(0), |rounds| rounds.parse())? {
        let start = Instant::now();
        network.forward(&[audio.samples()])?;
        println!("{:.3} s for {:.1} s", start.elapsed().as_secs_f64(), audio.duration());
    }
    Ok(())
}
