//! Silero VAD on real speech against the reference's ONNX model and its search for speech, and against speech that people
//! have marked.

use std::{collections::HashMap, fs, path::Path, time::Instant};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use libtest_mimic::Trial;
use palabra::{
    audio::{
        Audio,
        decode::{Limits, decode_file},
    },
    models::silero::Silero,
    progress::Watch,
    span::{SAMPLE_RATE, Span},
    stages::vad::{VadOptions, VoiceDetector, detect, speech_spans},
};
use serde_json::Value;

use crate::support;

/// The largest difference of a probability; measured: 1e-6 on the sample, 5e-6 on the long recording.
const TOLERANCE: f32 = 1e-4;

pub fn trials() -> Vec<Trial> {
    let weights = support::weights("silero-vad").map(|folder| folder.join("model.safetensors"));
    let sample = weights.clone().and_then(|weights| Ok((weights, support::weights("sample")?.join("sample.wav"))));
    let data = weights.and_then(|weights| Ok((weights, support::reference_data()?.join("dev"))));
    vec![
        support::trial("vad_speech_spans", &Ok(()), |()| spans_of_golden_probabilities()),
        support::trial("vad_sample", &sample, |(weights, path)| {
            same_as_reference(&load(&weights), &path, "sample");
        }),
        support::trial("vad_long_recording", &data, |(weights, dev)| {
            same_as_reference(&load(&weights), &dev.join("audio/long_ls_dev.flac"), "long_ls_dev");
        }),
        support::trial("vad_marked_by_hand", &data, |(weights, dev)| marked_by_hand(&load(&weights), &dev)),
    ]
}

fn load(path: &Path) -> Silero {
    let vb = VarBuilder::from_buffered_safetensors(fs::read(path).unwrap(), DType::F32, &Device::Cpu).unwrap();
    Silero::load(&vb).unwrap()
}

fn decode(path: &Path) -> Audio {
    decode_file(path, &Limits::default(), &Watch::silent()).unwrap().audio
}

fn golden_probabilities() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(support::golden("vad.safetensors"), &Device::Cpu).unwrap()
}

fn golden_spans() -> Value {
    serde_json::from_slice(&fs::read(support::golden("vad.json")).unwrap()).unwrap()
}

/// The options of a golden case, which are named as the reference names them; it counts in milliseconds.
fn options(case: &Value) -> VadOptions {
    let number = |name: &str| case["options"].get(name).map(|value| value.as_f64().unwrap());
    let seconds = |name: &str, default: f64| number(name).map_or(default, |milliseconds| milliseconds / 1000.0);
    let threshold = |name: &str| number(name).map(|value| value as f32);
    let defaults =
        VadOptions::with_thresholds(VoiceDetector::Silero, threshold("threshold"), threshold("neg_threshold")).unwrap();
    VadOptions {
        min_speech: seconds("min_speech_duration_ms", defaults.min_speech),
        min_silence: seconds("min_silence_duration_ms", defaults.min_silence),
        pad: seconds("speech_pad_ms", defaults.pad),
        ..defaults
    }
}

fn in_samples(spans: &[Span]) -> Vec<[usize; 2]> {
    spans.iter().map(|span| [span.samples().start, span.samples().end]).collect()
}

fn speech(case: &Value) -> Vec<[usize; 2]> {
    serde_json::from_value(case["speech"].clone()).unwrap()
}

fn spans_of_golden_probabilities() {
    let (probabilities, golden) = (golden_probabilities(), golden_spans());
    for (name, recording) in golden.as_object().unwrap() {
        let probabilities = probabilities[name].to_vec1::<f32>().unwrap();
        let samples = recording["samples"].as_u64().unwrap() as usize;
        let cases = recording["cases"].as_array().unwrap();
        assert!(cases.len() >= 6);
        for case in cases {
            let ours = speech_spans(&probabilities, samples, &options(case));
            assert_eq!(in_samples(&ours), speech(case), "{name} with {}", case["options"]);
            println!("{name} with {}: the same {} spans", case["options"], ours.len());
        }
    }
}

fn same_as_reference(model: &Silero, path: &Path, name: &str) {
    let audio = decode(path);
    let start = Instant::now();
    let detection = detect(model, &audio, &VadOptions::default(), &Watch::silent()).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{name}: {:.0} s of audio in {seconds:.2} s, {:.0} times real time",
        audio.duration(),
        audio.duration() / seconds
    );
    let ours = Tensor::new(detection.probabilities, &Device::Cpu).unwrap();
    support::compare(name, &ours, &golden_probabilities()[name], TOLERANCE);
    assert_eq!(in_samples(&detection.spans), speech(&golden_spans()[name]["cases"][0]), "{name}: spans");
}

/// Frames of 10 ms against the labels, over all clips. The reference itself reaches the same figures.
fn marked_by_hand(model: &Silero, dev: &Path) {
    let (mut both, mut found, mut marked) = (0, 0, 0);
    let mut labels: Vec<_> = fs::read_dir(dev.join("vad")).unwrap().map(|entry| entry.unwrap().path()).collect();
    labels.sort();
    assert!(labels.len() >= 18);
    for label in &labels {
        let audio = decode(&dev.join("audio").join(label.with_extension("flac").file_name().unwrap()));
        let reference: Vec<[f64; 2]> = serde_json::from_slice(&fs::read(label).unwrap()).unwrap();
        let reference: Vec<Span> = reference.iter().map(|&[start, end]| Span::new(start, end)).collect();
        let ours = detect(model, &audio, &VadOptions::default(), &Watch::silent()).unwrap().spans;
        for frame in 0..audio.samples().len() * 100 / SAMPLE_RATE {
            let middle = (frame as f64 + 0.5) / 100.0;
            let inside = |spans: &[Span]| spans.iter().any(|span| span.start <= middle && middle < span.end);
            let (ours, reference) = (inside(&ours), inside(&reference));
            both += usize::from(ours && reference);
            found += usize::from(ours);
            marked += usize::from(reference);
        }
    }
    let (precision, recall) = (both as f64 / found as f64, both as f64 / marked as f64);
    println!(
        "{} clips marked by hand: precision {:.2} %, recall {:.2} %",
        labels.len(),
        precision * 100.0,
        recall * 100.0
    );
    assert!(precision > 0.90 && recall > 0.90);
}
