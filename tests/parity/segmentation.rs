//! segmentation-3.0 against pyannote.audio, on a real conversation of two speakers.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use libtest_mimic::Trial;
use palabra::models::segmentation::{Config, FRAME_LENGTH, FRAME_SHIFT, Segmenter};

use crate::support::{self, stride, trial};

/// Samples in ten seconds.
const WINDOW: usize = 160_000;
/// The largest difference of a log-probability; measured: 4e-4.
const TOLERANCE: f32 = 1e-3;

/// The tests of this file.
pub fn trials() -> Vec<Trial> {
    let weights = support::weights("segmentation-3.0");
    let both = weights.clone().and_then(|weights| Ok((weights, support::weights("sample")?)));
    vec![
        trial("segmentation::frames", &weights, frames),
        trial("segmentation::windows", &both, windows),
        trial("segmentation::short_windows", &both, short_windows),
        trial("segmentation::definitions", &both, definitions),
        trial("segmentation::overlapping_windows_share_their_filters", &both, overlapping_windows),
        trial("segmentation::batch_equals_one_by_one", &both, batch_equals_one_by_one),
    ]
}

fn golden() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(support::golden("segmentation.safetensors"), &Device::Cpu).unwrap()
}

fn segmenter_of(folder: &Path, dtype: DType) -> Segmenter {
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    Segmenter::load(&VarBuilder::from_tensors(tensors, dtype, &Device::Cpu), &Config::default()).unwrap()
}

fn segmenter(folder: &Path) -> Segmenter {
    segmenter_of(folder, DType::F32)
}

/// The public two-speaker sample from `start` on, filled up with silence: (1, count).
fn cut(samples: &[f32], start: usize, count: usize) -> Tensor {
    let end = (start + count).min(samples.len());
    let mut window = samples[start..end].to_vec();
    window.resize(count, 0.0);
    Tensor::from_vec(window, (1, count), &Device::Cpu).unwrap()
}

fn sample(folder: &Path) -> Vec<f32> {
    support::decoded(&folder.join("sample.wav")).audio.samples().to_vec()
}

/// How many frames have another most likely class, of how many.
fn other_classes(ours: &Tensor, reference: &Tensor) -> (usize, usize) {
    let classes = |tensor: &Tensor| -> Vec<u32> {
        tensor.argmax(tensor.rank() - 1).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let (ours, reference) = (classes(ours), classes(reference));
    (ours.iter().zip(&reference).filter(|(a, b)| a != b).count(), ours.len())
}

fn frames(weights: PathBuf) {
    let network = segmenter(&weights);
    // A frame sees 991 samples, and the next one begins 270 further.
    let expected = |samples: usize| (samples + FRAME_SHIFT).saturating_sub(FRAME_LENGTH) / FRAME_SHIFT;
    for samples in [0, 250, 990, 991, 1260, 1261, 16_000, 48_000, WINDOW] {
        assert_eq!(network.frames(samples), expected(samples), "{samples} samples");
    }
    assert_eq!(network.frames(WINDOW), 589);
    let short = Tensor::zeros((1, 990), DType::F32, &Device::Cpu).unwrap();
    assert!(network.forward(&short).is_err(), "too short for a frame");
}

fn windows((weights, folder): (PathBuf, PathBuf)) {
    let (network, samples, golden) = (segmenter(&weights), sample(&folder), golden());
    let windows: Vec<Tensor> = [0, 5, 10, 20, 25].iter().map(|second| cut(&samples, second * 16_000, WINDOW)).collect();
    let features = network.features(windows[1].to_vec2::<f32>().unwrap()[0].as_slice(), WINDOW, WINDOW, 1).unwrap();
    support::compare("SincNet", &stride(&features.get(0).unwrap(), 0, 8), &golden["sincnet"], 1e-3);
    let ours = network.forward(&Tensor::cat(&windows, 0).unwrap()).unwrap();
    support::compare("log-probabilities", &ours, &golden["windows"], TOLERANCE);
    let (other, all) = other_classes(&ours, &golden["windows"]);
    println!("another class in {other} of {all} frames");
    assert!(all == 5 * 589 && other * 1000 < all);
}

fn short_windows((weights, folder): (PathBuf, PathBuf)) {
    let (network, samples, golden) = (segmenter(&weights), sample(&folder), golden());
    for (name, second, count) in [("short", 7, 48_000), ("shortest", 8, 1261)] {
        let ours = network.forward(&cut(&samples, second * 16_000, count)).unwrap().get(0).unwrap();
        support::compare(name, &ours, &golden[name], TOLERANCE);
        assert!(other_classes(&ours, &golden[name]).0 == 0);
    }
}

/// The fast operations against the definitions that every device can run, in f64.
fn definitions((weights, folder): (PathBuf, PathBuf)) {
    let (network, oracle) = (segmenter(&weights), segmenter_of(&weights, DType::F64));
    let windows = cut(&sample(&folder), 112_000, 48_000);
    let (ours, expected) = (network.forward(&windows).unwrap(), oracle.forward(&windows).unwrap());
    assert_eq!(expected.dtype(), DType::F64);
    support::compare("definitions", &ours, &expected, TOLERANCE);
    support::compare("the reference", &golden()["short"], &expected.get(0).unwrap(), TOLERANCE);
}

fn overlapping_windows((weights, folder): (PathBuf, PathBuf)) {
    let (network, samples) = (segmenter(&weights), sample(&folder));
    // The last window ends five seconds after the recording.
    let (step, count) = (40_000, 11);
    let shared = network.classify(&network.features(&samples, WINDOW, step, count).unwrap()).unwrap();
    let windows: Vec<Tensor> = (0..count).map(|index| cut(&samples, index * step, WINDOW)).collect();
    let alone = network.forward(&Tensor::cat(&windows, 0).unwrap()).unwrap();
    support::compare("shared filters", &shared, &alone, 1e-4);
    assert!(network.features(&samples, WINDOW, 15, 2).is_err(), "no multiple of the stride");
}

fn batch_equals_one_by_one((weights, folder): (PathBuf, PathBuf)) {
    let (network, samples) = (segmenter(&weights), sample(&folder));
    let features = network.features(&samples, WINDOW, 16_000, 21).unwrap();
    let together = network.classify(&features).unwrap();
    for row in [0, 12, 20] {
        let alone = network.classify(&features.narrow(0, row, 1).unwrap()).unwrap();
        support::compare("a window alone", &alone, &together.narrow(0, row, 1).unwrap(), 0.0);
    }
}
