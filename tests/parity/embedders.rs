//! ResNet34 and ECAPA-TDNN against the reference implementations, in their true sizes: a formula makes their weights of the
//! tensors' names, in the golden script and here.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use libtest_mimic::Trial;
use palabra::{
    audio::decibels::Decibels,
    models::speaker::{Architecture, SpeakerEmbedder},
    stages::embed::{FeatureExtractor, Sound, Window, embed},
};

use crate::support::{self, trial};

/// The tests of this file.
pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("embedders::decibels", &Ok(()), |()| decibels()),
        trial("embedders::other_checkpoints_are_refused", &Ok(()), |()| other_checkpoints_are_refused()),
    ];
    for reference in [RESNET34, ECAPA] {
        let name = reference.name;
        trials.extend([
            trial(&format!("embedders::{name}_features"), &Ok(()), move |()| features(&reference)),
            trial(&format!("embedders::{name}_boundaries"), &Ok(()), move |()| boundaries(&reference)),
            trial(&format!("embedders::{name}_masks"), &Ok(()), move |()| masks(&reference)),
            trial(&format!("embedders::{name}_windows"), &Ok(()), move |()| windows(&reference)),
        ]);
    }
    trials
}

/// One of the networks as the golden file has it.
#[derive(Clone, Copy)]
struct Reference {
    name: &'static str,
    architecture: Architecture,
    dimension: usize,
    /// Which of the trunk's frames and channels were kept.
    steps: (usize, usize),
}

const RESNET34: Reference =
    Reference { name: "resnet34", architecture: Architecture::ResNet34, dimension: 256, steps: (1, 16) };
const ECAPA: Reference =
    Reference { name: "ecapa", architecture: Architecture::EcapaTdnn, dimension: 192, steps: (5, 16) };
/// Samples of each window.
const LENGTH: usize = 16_000;

fn golden() -> HashMap<String, Tensor> {
    let path = support::golden("embedders.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).expect("the golden file opens")
}

/// The sound that the golden script uses: noise, louder and softer by powers of two, every value exact in f32.
fn bursts(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let sample = |index: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let softer = (index / 1500 * seed as usize % 7) as i32;
        ((state >> 16) as f32 / 65_536.0 - 0.5) * 0.5f32.powi(softer)
    };
    (0..count).map(sample).collect()
}

/// Numbers in 0..1 with 24 bits, of the tensor's name (FNV-1a) and each element's index (the finish of MurmurHash3).
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let hash = |seed: u32, byte: u8| (seed ^ u32::from(byte)).wrapping_mul(16_777_619);
    let seed = name.bytes().fold(2_166_136_261, hash);
    (0..count as u32).map(move |index| {
        let x = index.wrapping_mul(2_654_435_761).wrapping_add(seed);
        let x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
        let x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
        ((x ^ (x >> 16)) >> 8) as f32 / 16_777_216.0
    })
}

/// The golden script's weights.
fn made_up(name: &str, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = if shape.len() > 1 {
        let scale = (12.0 / (count / shape[0]) as f64).sqrt() as f32;
        uniform(name, count).map(|x| (x - 0.5) * scale).collect()
    } else if name.ends_with("running_var") {
        uniform(name, count).map(|x| x + 0.5).collect()
    } else if name.ends_with("weight") {
        uniform(name, count).map(|x| x * 0.5 + 0.75).collect()
    } else {
        uniform(name, count).map(|x| (x - 0.5) * 0.25).collect()
    };
    Tensor::from_vec(values, shape, &Device::Cpu).expect("as many values")
}

fn embedder(name: &str) -> SpeakerEmbedder {
    let text = std::fs::read_to_string(support::golden("embedders.json")).expect("the names open");
    let mut networks: BTreeMap<String, BTreeMap<String, Vec<usize>>> = serde_json::from_str(&text).expect("names");
    let tensors = networks.remove(name).expect("the network's names").into_iter();
    let tensors = tensors.map(|(name, shape)| (name.clone(), made_up(&name, &shape))).collect();
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    SpeakerEmbedder::load(vb).expect("the weights fit")
}

/// Fails above a ten-thousandth of the reference's largest value.
fn compare(what: &str, ours: &Tensor, reference: &Tensor) {
    let largest = reference.abs().and_then(|x| x.max_all()?.to_scalar::<f32>()).expect("a largest value");
    support::compare(what, ours, reference, 1e-4 * largest);
}

fn decibels() {
    let (golden, decibels) = (golden(), Decibels::new(80));
    let rows = |samples: &[f32]| {
        let values = decibels.compute(samples).expect("features");
        Tensor::from_vec(values, (Decibels::frames(samples.len()), 80), &Device::Cpu).expect("whole rows")
    };
    let mut click: Vec<f32> = bursts(4000, 3).iter().map(|x| x * 0.5f32.powi(12)).collect();
    click[3000] += 0.5;
    support::compare("decibels of a click", &rows(&click), &golden["decibels.click"], 2e-3);
    support::compare("decibels of silence", &rows(&[0.0; 800]), &golden["decibels.silence"], 0.0);
}

fn features(reference: &Reference) {
    let extractor = FeatureExtractor::new(embedder(reference.name).features(), &Device::Cpu);
    let window = |seed: u32| extractor.whole_window(&bursts(LENGTH, seed)).expect("features");
    let (first, second) = (window(1), window(2));
    assert_eq!(extractor.frames(LENGTH), first.frames);
    assert_eq!(extractor.frames(extractor.samples(first.frames)), first.frames);
    let frames = first.frames;
    let both = [first, second].map(|window| match window.sound {
        Sound::Features(features) => features,
        Sound::Samples(..) => panic!("the CPU makes features at once"),
    });
    let both = both.concat();
    let ours = Tensor::from_vec(both, (2, frames, 80), &Device::Cpu).expect("whole rows");
    support::compare("features", &ours, &golden()[&format!("{}.features", reference.name)], 2e-3);
}

fn boundaries(reference: &Reference) {
    let (embedder, golden, name) = (embedder(reference.name), golden(), reference.name);
    assert_eq!((embedder.architecture(), embedder.dimension()), (reference.architecture, reference.dimension));
    let features = &golden[&format!("{name}.features")];
    let trunk = embedder.trunk(features).expect("a trunk");
    let kept = support::stride(&support::stride(&trunk, 1, reference.steps.0), 2, reference.steps.1);
    compare("trunk", &kept, &golden[&format!("{name}.trunk")]);
    let whole = embedder.forward(features).expect("embeddings");
    compare("embeddings", &whole, &golden[&format!("{name}.embeddings")]);
    let masked = embedder.forward_masked(features, &golden[&format!("{name}.masks")]).expect("embeddings");
    compare("masked embeddings", &masked, &golden[&format!("{name}.masked")]);
}

fn masks(reference: &Reference) {
    let (embedder, golden) = (embedder(reference.name), golden());
    let features = golden[&format!("{}.features", reference.name)].narrow(0, 0, 1).expect("one window");
    let row = |value: f32| Tensor::full(value, (1, 1, 73), &Device::Cpu).expect("a mask");
    let mut lone = vec![0f32; 73];
    lone[50..57].fill(1.0);
    let lone = Tensor::from_vec(lone, (1, 1, 73), &Device::Cpu).expect("a mask");
    let masks = Tensor::cat(&[row(1.0), row(0.0), row(0.25), lone], 1).expect("masks");
    let ours = embedder.forward_masked(&features, &masks).expect("embeddings");
    let of = |speaker: usize| ours.narrow(1, speaker, 1).and_then(|row| row.squeeze(1)).expect("a row");
    let whole = embedder.forward(&features).expect("an embedding");
    support::compare("a mask of ones", &of(0), &whole, 1e-5);
    support::compare("an empty mask", &of(1), &whole.zeros_like().expect("zeros"), 0.0);
    compare("a mask of quarters", &of(2), &whole);
    let heard = of(3).flatten_all().and_then(|row| row.to_vec1::<f32>()).expect("numbers");
    assert!(heard.iter().all(|value| value.is_finite()) && heard.iter().any(|value| *value != 0.0));
}

fn windows(reference: &Reference) {
    let embedder = embedder(reference.name);
    let extractor = FeatureExtractor::new(embedder.features(), &Device::Cpu);
    let window = |length: usize, seed: u32, masks: &[&[f32]]| {
        let masks = masks.iter().map(|mask| mask.to_vec()).collect();
        extractor.window(&bursts(length, seed), masks).expect("features")
    };
    let windows = [
        window(LENGTH, 4, &[&[1.0, 0.0], &[0.0, 0.5]]),
        window(LENGTH / 2, 5, &[&[1.0]]),
        window(LENGTH, 6, &[&[1.0, 1.0]]),
    ];
    let made = |windows: &[&Window]| embed(&embedder, &Device::Cpu, windows).expect("embeddings");
    let together = made(&windows.iter().collect::<Vec<_>>());
    for (window, ours) in windows.iter().zip(together) {
        let alone = made(&[window]).remove(0);
        assert_eq!((ours.len(), alone.len()), (window.masks.len(), window.masks.len()));
        for (ours, alone) in ours.into_iter().zip(alone) {
            let row = |values: Option<Vec<f32>>| Tensor::new(values.expect("a voice"), &Device::Cpu).expect("a row");
            compare("batch", &row(ours), &row(alone));
        }
    }
    let other = Tensor::zeros((1, 50, 40), DType::F32, &Device::Cpu).expect("features");
    assert!(embedder.forward(&other).is_err(), "another number of bins");
    let none = Tensor::zeros((1, 0, 80), DType::F32, &Device::Cpu).expect("features");
    assert!(embedder.forward(&none).is_err(), "no frames");
}

fn other_checkpoints_are_refused() {
    let tensors = HashMap::from([("weight".to_string(), Tensor::ones(3, DType::F32, &Device::Cpu).expect("a tensor"))]);
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let error = SpeakerEmbedder::load(vb).err().expect("a refusal").to_string();
    assert!(error.contains("CAM++") && error.contains("ECAPA"), "{error}");
}
