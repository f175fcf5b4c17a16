//! Filterbanks and CAM++ against torchaudio and the reference implementation, on a real two-speaker recording.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use libtest_mimic::Trial;
use palabra::{
    audio::{
        Audio,
        decode::{Limits, decode_file},
        fbank::{Fbank, FbankOptions},
    },
    models::{
        segmentation::{Config, Segmenter},
        speaker::SpeakerEmbedder,
    },
    progress::Watch,
    span::Span,
    stages::{
        diarize::{DiarizeOptions, diarize},
        embed::{FeatureExtractor, Window, embed},
        segment::{STEP, segment},
    },
    transcript::Turn,
};

use crate::support::{self, trial};

/// The tests of this file.
pub fn trials() -> Vec<Trial> {
    let sample = support::weights("sample");
    let both = sample.clone().and_then(|sample| Ok((sample, support::weights("campplus")?)));
    let all = both.clone().and_then(|(sample, weights)| Ok((sample, weights, support::weights("segmentation-3.0")?)));
    vec![
        trial("speaker::fbank_of_noise", &Ok(()), |()| fbank_of_noise()),
        trial("speaker::fbank_of_speech", &sample, fbank_of_speech),
        trial("speaker::embeddings", &both, embeddings),
        trial("speaker::masked_embeddings", &both, masked_embeddings),
        trial("speaker::masks_that_hear_all_or_nothing", &both, masks_that_hear_all_or_nothing),
        trial("speaker::batch_equals_one_by_one", &both, batch_equals_one_by_one),
        trial("speaker::masks_that_cannot_be", &both, masks_that_cannot_be),
        trial("speaker::sample_has_two_speakers", &all, sample_has_two_speakers),
        trial("speaker::counts_are_honoured", &all, counts_are_honoured),
    ]
}

fn golden() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(support::golden("speaker.safetensors"), &Device::Cpu).expect("the golden file opens")
}

fn embedder(folder: PathBuf) -> SpeakerEmbedder {
    let tensors =
        candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).expect("the weights open");
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    SpeakerEmbedder::load(vb).expect("the weights fit")
}

/// The public two-speaker sample.
fn recording(folder: &Path) -> Audio {
    decode_file(&folder.join("sample.wav"), &Limits::default(), &Watch::silent()).expect("the sample decodes").audio
}

/// Every `step`-th row of features, as a tensor.
fn rows(features: &[f32], step: usize) -> Tensor {
    let rows: Vec<f32> = features.chunks_exact(80).step_by(step).flatten().copied().collect();
    let count = rows.len() / 80;
    Tensor::from_vec(rows, (count, 80), &Device::Cpu).expect("whole rows")
}

/// The generator that the golden script uses: every value exact in f32.
fn pseudo_noise(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 65_536.0 - 0.5
    };
    (0..count).map(|_| next()).collect()
}

fn fbank_of_noise() {
    let (golden, fbank) = (golden(), Fbank::new(&FbankOptions::default()));
    let loud = fbank.compute(&pseudo_noise(4000)).expect("features");
    support::compare("fbank of noise", &rows(&loud, 1), &golden["fbank.noise"], 1e-3);
    let faint: Vec<f32> = pseudo_noise(1200).iter().map(|x| x * 0.5f32.powi(13) + 0.5f32.powi(6)).collect();
    let faint = fbank.compute(&faint).expect("features");
    support::compare("fbank of faint noise on an offset", &rows(&faint, 1), &golden["fbank.faint"], 1e-3);
}

fn fbank_of_speech(sample: PathBuf) {
    let features = Fbank::new(&FbankOptions::default()).compute(recording(&sample).samples()).expect("features");
    support::compare("fbank of speech", &rows(&features, 9), &golden()["fbank.sample"], 1e-3);
}

fn window_features(audio: &Audio, start: f64, length: f64) -> Tensor {
    let features = Fbank::new(&FbankOptions::default())
        .compute_normalised(audio.slice(Span::new(start, start + length)).samples())
        .expect("features");
    let frames = features.len() / 80;
    Tensor::from_vec(features, (1, frames, 80), &Device::Cpu).expect("whole rows")
}

fn windows() -> Vec<(f64, f64)> {
    let windows = golden()["windows"].to_vec2::<f64>().expect("pairs");
    windows.into_iter().map(|pair| (pair[0], pair[1])).collect()
}

fn embeddings((sample, weights): (PathBuf, PathBuf)) {
    let (audio, embedder, golden) = (recording(&sample), embedder(weights), golden()["embeddings"].clone());
    for (index, (start, length)) in windows().into_iter().enumerate() {
        let ours = embedder.forward(&window_features(&audio, start, length)).expect("an embedding");
        let theirs = golden.narrow(0, index, 1).expect("a row");
        let name = format!("embedding of {length} s from {start} s");
        support::compare(&name, &ours, &theirs, 2e-4);
        let cosine = cosine(&ours, &theirs);
        println!("{name}: cosine {cosine:.8}");
        assert!(cosine > 0.9999, "{name}: cosine {cosine}");
    }
}

/// The window of which the golden masks are.
const MASKED: usize = 9;

fn masked_embeddings((sample, weights): (PathBuf, PathBuf)) {
    let (audio, embedder, golden) = (recording(&sample), embedder(weights), golden());
    let (start, length) = windows()[MASKED];
    let masks = golden["masks"].unsqueeze(0).expect("one window");
    let ours = embedder.forward_masked(&window_features(&audio, start, length), &masks).expect("embeddings");
    support::compare("masked embeddings", &ours.squeeze(0).expect("rows"), &golden["embeddings.masked"], 5e-4);
}

fn masks_that_hear_all_or_nothing((sample, weights): (PathBuf, PathBuf)) {
    let (audio, embedder) = (recording(&sample), embedder(weights));
    for (start, length) in windows() {
        let features = window_features(&audio, start, length);
        let row = |value: f32| Tensor::full(value, (1, 1, 123), &Device::Cpu).expect("a mask");
        let masks = Tensor::cat(&[row(1.0), row(0.0), row(0.5)], 1).expect("masks");
        let ours = embedder.forward_masked(&features, &masks).expect("embeddings");
        let whole = embedder.forward(&features).expect("an embedding");
        let of = |speaker: usize| ours.narrow(1, speaker, 1).and_then(|row| row.squeeze(1)).expect("a row");
        support::compare("a mask of ones", &of(0), &whole, 1e-5);
        support::compare("an empty mask", &of(1), &whole.zeros_like().expect("zeros"), 0.0);
        support::compare("a mask of halves", &of(2), &whole, 1e-4);
    }
    // A single one of the trunk's frames: no deviation, yet a vector.
    let (start, length) = windows()[MASKED];
    let mut mask = vec![0f32; 599];
    mask[77] = 1.0;
    let mask = Tensor::from_vec(mask, (1, 1, 599), &Device::Cpu).expect("a mask");
    let lone = embedder.forward_masked(&window_features(&audio, start, length), &mask).expect("an embedding");
    assert!(flat(&lone).iter().all(|value| value.is_finite() && *value != 0.0));
}

/// Windows of two lengths, with one to four masks at two frame rates.
fn masked_windows(audio: &Audio, embedder: &SpeakerEmbedder) -> Vec<Window> {
    let extractor = FeatureExtractor::new(embedder.features(), &Device::Cpu);
    let masks = golden()["masks"].to_vec2::<f32>().expect("masks");
    let halved: Vec<Vec<f32>> = masks.iter().map(|mask| mask.iter().step_by(2).copied().collect()).collect();
    let window = |(index, (start, length)): (usize, (f64, f64))| {
        let masks = if index % 3 == 2 { &halved } else { &masks };
        let samples = audio.slice(Span::new(start, start + length));
        extractor.window(samples.samples(), masks[..1 + index % 4].to_vec()).expect("features")
    };
    windows().into_iter().take(8).enumerate().map(window).collect()
}

fn batch_equals_one_by_one((sample, weights): (PathBuf, PathBuf)) {
    let (audio, embedder) = (recording(&sample), embedder(weights));
    let windows = masked_windows(&audio, &embedder);
    let made = |windows: &[&Window]| embed(&embedder, &Device::Cpu, windows).expect("embeddings");
    let together = made(&windows.iter().collect::<Vec<_>>());
    for (window, ours) in windows.iter().zip(together) {
        assert_eq!(ours.len(), window.masks.len());
        for (ours, alone) in ours.into_iter().zip(made(&[window]).remove(0)) {
            // The mask that is heard for a moment may miss every one of the trunk's frames.
            assert_eq!(ours.is_some(), alone.is_some());
            let row = |values: Option<Vec<f32>>| Tensor::new(values.unwrap_or_default(), &Device::Cpu).expect("a row");
            support::compare("batch", &row(ours), &row(alone), 1e-4);
        }
    }
}

fn masks_that_cannot_be((sample, weights): (PathBuf, PathBuf)) {
    let (audio, embedder) = (recording(&sample), embedder(weights));
    let extractor = FeatureExtractor::new(embedder.features(), &Device::Cpu);
    let window = |masks: &[&[f32]]| {
        let masks = masks.iter().map(|mask| mask.to_vec()).collect();
        extractor.window(audio.slice(Span::new(7.0, 7.5)).samples(), masks).expect("features")
    };
    let made = |masks: &[&[f32]]| embed(&embedder, &Device::Cpu, &[&window(masks)]);
    let heard = made(&[&[1.0, 0.0], &[0.0, 0.0]]).expect("embeddings").remove(0);
    assert!(heard[0].is_some() && heard[1].is_none());
    let wrong: [&[&[f32]]; 5] = [&[], &[&[]], &[&[1.0], &[1.0, 0.0]], &[&[1.5]], &[&[f32::NAN]]];
    for masks in wrong {
        let error = made(masks).expect_err("masks that cannot be").to_string();
        assert!(error.contains("masks"), "{error}");
    }
    let features = Tensor::zeros((2, 30, 80), DType::F32, &Device::Cpu).expect("features");
    let one = Tensor::ones((1, 1, 15), DType::F32, &Device::Cpu).expect("a mask");
    assert!(embedder.forward_masked(&features, &one).is_err());
}

type Needs = (PathBuf, PathBuf, PathBuf);

fn turns((sample, weights, network): &Needs, options: DiarizeOptions) -> Vec<Turn> {
    let tensors =
        candle_core::safetensors::load(network.join("model.safetensors"), &Device::Cpu).expect("the weights open");
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let network = Segmenter::load(&vb, &Config::default()).expect("the weights fit");
    let (audio, watch) = (recording(sample), Watch::silent());
    let segmentation = segment(&network, &Device::Cpu, &audio, STEP, &watch).expect("a segmentation");
    diarize(&embedder(weights.clone()), &Device::Cpu, &audio, segmentation, &options, &watch).expect("turns").turns
}

/// The reference turns: start, end, name.
fn reference_turns(sample: &Path) -> Vec<(f64, f64, String)> {
    let text = std::fs::read_to_string(sample.join("sample.rttm")).expect("the reference opens");
    let turn = |line: &str| {
        let part: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| part[index].parse::<f64>().expect("a number");
        (number(3), number(3) + number(4), part[7].to_string())
    };
    text.lines().map(turn).collect()
}

fn sample_has_two_speakers(needs: Needs) {
    let (ours, reference) = (turns(&needs, DiarizeOptions::default()), reference_turns(&needs.0));
    let mut names: Vec<&String> = reference.iter().map(|(_, _, name)| name).collect();
    names.sort();
    names.dedup();
    let mut speakers: Vec<u16> = ours.iter().map(|turn| turn.speaker.0).collect();
    speakers.sort_unstable();
    speakers.dedup();
    assert_eq!((speakers.as_slice(), names.len()), (&[0, 1][..], 2));
    // Speakers are numbered by appearance, so the names in order of appearance are theirs.
    let (first, total): (&String, f64) = (&reference[0].2, reference.iter().map(|(start, end, _)| end - start).sum());
    let right: f64 = reference
        .iter()
        .flat_map(|(start, end, name)| {
            let number = u16::from(name != first);
            ours.iter()
                .filter(move |turn| turn.speaker.0 == number)
                .map(|turn| turn.span.overlap(&Span::new(*start, *end)))
        })
        .sum();
    println!("{:.1}% of the reference's speech has the right speaker", 100.0 * right / total);
    assert!(right > 0.8 * total, "{right:.2} of {total:.2} s");
}

fn counts_are_honoured(needs: Needs) {
    for wanted in [1, 2, 3, 5, 8] {
        let exact = DiarizeOptions { num_speakers: Some(wanted), ..DiarizeOptions::default() };
        let at_most = DiarizeOptions { max_speakers: Some(wanted), ..DiarizeOptions::default() };
        let count = |options| turns(&needs, options).iter().map(|turn| turn.speaker.0 as usize + 1).max().unwrap_or(0);
        assert_eq!(count(exact), wanted);
        assert_eq!(count(at_most), wanted.min(2));
    }
}

fn cosine(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (flat(a), flat(b));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}

fn flat(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).and_then(|x| x.flatten_all()?.to_vec1()).expect("numbers")
}
