//! segmentation-3.0 against pyannote.audio, on a real conversation of two speakers.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use libtest_mimic::Trial;
use palabra::{
    audio::Audio,
    models::segmentation::{Config, FRAME_LENGTH, FRAME_SHIFT, Segmenter, powerset::Powerset},
    progress::Watch,
    stages::segment::{STEP, SegmentPlan, Stretch, hear, segment},
};

use crate::support::{self, stride, trial};

/// Samples in ten seconds.
const WINDOW: usize = 160_000;
/// The largest difference of a log-probability; measured: 6e-5.
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
        trial("segmentation::recording", &both, recording),
        trial("segmentation::stretches_of_two_recordings", &both, stretches_of_two_recordings),
        trial("segmentation::recordings_of_every_length", &weights, recordings_of_every_length),
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

/// The whole sample in windows every five seconds: what its golden windows say, on the recording's own grid.
fn recording((weights, folder): (PathBuf, PathBuf)) {
    let (network, golden, audio) = (segmenter(&weights), golden(), Audio::new(sample(&folder)));
    let found = segment(&network, &Device::Cpu, &audio, 5.0, &Watch::silent()).unwrap();
    assert_eq!((found.windows(), found.frames, found.step, found.samples), (5, 589, 80_000, 480_000));
    let rows = golden["windows"].to_vec3::<f32>().unwrap();
    for (window, index) in [(0, 0), (1, 1), (2, 2), (4, 3)] {
        for (frame, row) in rows[index].iter().enumerate() {
            let class = Powerset::most_likely(row.as_slice().try_into().unwrap());
            assert_eq!(found.activity(window)[frame], class.bits(), "window {window}, frame {frame}");
            assert!((found.speech(window)[frame] - (1.0 - row[0].exp())).abs() < 1e-4);
            assert!((found.overlap(window)[frame] - row[4..].iter().map(|log| log.exp()).sum::<f32>()).abs() < 1e-4);
            let of_second = row[2].exp() + row[4].exp() + row[6].exp();
            assert!((found.presence(window)[frame][1] - of_second).abs() < 1e-4);
        }
    }
    let speech = found.over_windows(&found.speech);
    assert_eq!(speech.len(), found.total_frames());
    let speaks = |second: f64| {
        let frame = (0..speech.len()).find(|&frame| found.frame_span(frame).end > second).unwrap();
        speech[frame]
    };
    // As the sample's own reference says: silence at 3 s, one speaker at 10 s.
    assert!(speaks(3.0) < 0.1 && speaks(10.0) > 0.9, "{} and {}", speaks(3.0), speaks(10.0));
}

/// Windows of different recordings share a batch, and each comes out as it does alone.
fn stretches_of_two_recordings((weights, folder): (PathBuf, PathBuf)) {
    let network = segmenter(&weights);
    let samples = sample(&folder);
    let long = SegmentPlan::new(&Audio::new(samples.clone()), STEP).unwrap();
    let short = SegmentPlan::new(&Audio::new(samples[100_000..190_000].to_vec()), STEP).unwrap();
    let stretches = [long.stretch(0), short.stretch(0), long.stretch(1)];
    let together = hear(&network, &stretches.iter().collect::<Vec<&Stretch>>()).unwrap();
    for (stretch, heard) in stretches.iter().zip(&together) {
        assert_eq!(hear(&network, &[stretch]).unwrap()[0], *heard);
    }
    let found = long.conclude(vec![together[0].clone(), together[2].clone()]);
    assert_eq!(found, segment(&network, &Device::Cpu, &Audio::new(samples), STEP, &Watch::silent()).unwrap());
    assert_eq!(found.windows(), 21);
}

fn recordings_of_every_length(weights: PathBuf) {
    let network = segmenter(&weights);
    for (samples, windows) in [(0usize, 0), (1, 1), (16_000, 1), (160_000, 1), (160_001, 2), (176_000, 2)] {
        let audio = Audio::new((0..samples).map(|index| (index as f32 * 0.3).sin() * 0.1).collect());
        let found = segment(&network, &Device::Cpu, &audio, STEP, &Watch::silent()).unwrap();
        assert_eq!(found.windows(), windows, "{samples} samples");
        assert_eq!(found.speech.len(), windows * found.frames);
        assert!(found.over_windows(&found.speech).iter().all(|speech| (0.0..=1.0).contains(speech)));
        if let Some(last) = windows.checked_sub(1) {
            // Beyond the end there is nobody.
            let left = samples.saturating_sub(last * 16_000 + FRAME_LENGTH / 2).div_ceil(FRAME_SHIFT).min(589);
            assert!(found.speech(last)[left..].iter().all(|&speech| speech == 0.0), "{samples} samples");
        }
    }
    let audio = Audio::new(vec![0.0; 16_000]);
    for step in [0.0, -1.0, 10.1, f64::NAN, f64::INFINITY] {
        assert!(SegmentPlan::new(&audio, step).is_err(), "{step}");
    }
}
