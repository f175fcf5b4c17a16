//! Silero VAD on real speech against the reference's ONNX model and its search for speech, and against speech that people
//! have marked.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use libtest_mimic::Trial;
use palabra::{
    audio::{
        Audio,
        decode::{Limits, decode_file},
    },
    models::{
        segmentation::{Config, Segmenter},
        silero::Silero,
    },
    progress::Watch,
    span::{SAMPLE_RATE, Span},
    stages::{
        chunk::{ChunkOptions, chunks},
        find::ChunkFinder,
        segment::{STEP, segment},
        vad::{VadOptions, VoiceDetector, detect, detect_in, speech_spans},
    },
};
use serde_json::Value;

use crate::support;

/// The largest difference of a probability; measured: 1e-6 on the sample, 5e-6 on the long recording.
const TOLERANCE: f32 = 1e-4;

pub fn trials() -> Vec<Trial> {
    let weights = support::weights("silero-vad").map(|folder| folder.join("model.safetensors"));
    let sample = weights.clone().and_then(|weights| Ok((weights, support::weights("sample")?.join("sample.wav"))));
    let data = weights.and_then(|weights| Ok((weights, support::reference_data()?.join("dev"))));
    let both = data.clone().and_then(|data| Ok((data, support::weights("segmentation-3.0")?)));
    vec![
        support::trial("vad_speech_spans", &Ok(()), |()| spans_of_golden_probabilities()),
        support::trial("vad_sample", &sample, |(weights, path)| {
            same_as_reference(&load(&weights), &path, "sample");
        }),
        support::trial("vad_step_by_step", &sample, |(weights, path)| step_by_step(load(&weights), &path)),
        support::trial("vad_long_recording", &data, |(weights, dev)| {
            same_as_reference(&load(&weights), &dev.join("audio/long_ls_dev.flac"), "long_ls_dev");
        }),
        support::trial("vad_marked_by_hand", &data, |(weights, dev)| marked_by_hand(&load(&weights), &dev)),
        support::trial("vad_detectors_compared", &both, |((weights, dev), segmenter)| {
            detectors_compared(&load(&weights), &segmenter_of(&segmenter), &dev);
        }),
    ]
}

fn load(path: &Path) -> Silero {
    let vb = VarBuilder::from_buffered_safetensors(fs::read(path).unwrap(), DType::F32, &Device::Cpu).unwrap();
    Silero::load(&vb).unwrap()
}

/// A recording that comes in parts has the chunks that it has as a whole.
fn step_by_step(silero: Silero, path: &Path) {
    let audio = decode(path);
    // Long enough for several blocks, the last one short.
    let audio = Audio::new([audio.samples(), audio.samples(), &audio.samples()[..123_456]].concat());
    let speech = VadOptions::default();
    let detection = detect(&silero, &audio, &speech, &Watch::silent()).unwrap();
    let silero = Arc::new(silero);
    for chunk_size in [5.0, 12.0, 30.0] {
        let options = ChunkOptions { chunk_size, ..ChunkOptions::default() };
        let whole: Vec<_> = chunks(&audio, &detection, &options)
            .unwrap()
            .into_iter()
            .map(|chunk| (chunk.span(), chunk.speech))
            .collect();
        assert!(whole.len() > 2);
        for step in [1000, 131_072, 400_000, usize::MAX] {
            let mut finder = ChunkFinder::new(silero.clone(), &speech, &options).unwrap();
            let (mut there, mut layouts) = (0, Vec::new());
            loop {
                let ended = there == audio.samples().len();
                match finder.advance(&audio.samples()[..there], ended).unwrap() {
                    Some(known) => layouts.extend(known),
                    None if ended => break,
                    None => there = there.saturating_add(step).min(audio.samples().len()),
                }
            }
            let found: Vec<_> =
                layouts.iter().map(|layout| layout.of(&audio)).map(|chunk| (chunk.span(), chunk.speech)).collect();
            assert_eq!(found, whole, "chunks of {chunk_size} s, {step} samples at a time");
        }
    }
}

fn segmenter_of(folder: &Path) -> Segmenter {
    let weights = fs::read(folder.join("model.safetensors")).unwrap();
    let vb = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).unwrap();
    Segmenter::load(&vb, &Config::default()).unwrap()
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

/// Frames of 10 ms in which there is speech: by both, as found, as marked.
#[derive(Default)]
struct Frames {
    both: usize,
    found: usize,
    marked: usize,
}

impl Frames {
    fn add(&mut self, audio: &Audio, found: &[Span], marked: &[Span]) {
        for frame in 0..audio.samples().len() * 100 / SAMPLE_RATE {
            let middle = (frame as f64 + 0.5) / 100.0;
            let inside = |spans: &[Span]| spans.iter().any(|span| span.start <= middle && middle < span.end);
            let (found, marked) = (inside(found), inside(marked));
            self.both += usize::from(found && marked);
            self.found += usize::from(found);
            self.marked += usize::from(marked);
        }
    }

    fn precision(&self) -> f64 {
        self.both as f64 / self.found as f64
    }

    fn recall(&self) -> f64 {
        self.both as f64 / self.marked as f64
    }

    /// What is missed and what is found amiss, in parts of the speech.
    fn error(&self) -> f64 {
        (self.marked + self.found - 2 * self.both) as f64 / self.marked as f64
    }
}

/// Speech as people have marked it in a recording.
type Marked = (Audio, Vec<Span>);

/// The clips of ten-vad, whose speech is marked.
fn marked_clips(dev: &Path) -> Vec<Marked> {
    let mut labels: Vec<_> = fs::read_dir(dev.join("vad")).unwrap().map(|entry| entry.unwrap().path()).collect();
    labels.sort();
    assert!(labels.len() >= 18);
    let clip = |label: &PathBuf| {
        let audio = decode(&dev.join("audio").join(label.with_extension("flac").file_name().unwrap()));
        let marked: Vec<[f64; 2]> = serde_json::from_slice(&fs::read(label).unwrap()).unwrap();
        (audio, marked.iter().map(|&[start, end]| Span::new(start, end)).collect())
    };
    labels.iter().map(clip).collect()
}

/// Recordings of which is known who speaks when: those whose names begin so.
fn marked_conversations(dev: &Path, prefix: &str) -> Vec<Marked> {
    let mut found = Vec::new();
    for line in fs::read_to_string(dev.join("manifest.jsonl")).unwrap().lines() {
        let recording: Value = serde_json::from_str(line).unwrap();
        let turns = recording["rttm_words"].as_str().or(recording["rttm"].as_str());
        if let (true, Some(turns)) = (recording["id"].as_str().unwrap().starts_with(prefix), turns) {
            let spans = fs::read_to_string(dev.join(turns)).unwrap();
            let spans = spans.lines().map(|line| {
                let numbers: Vec<f64> = line.split_whitespace().skip(3).take(2).map(|n| n.parse().unwrap()).collect();
                Span::new(numbers[0], numbers[0] + numbers[1])
            });
            found.push((decode(&dev.join(recording["path"].as_str().unwrap())), spans.collect()));
        }
    }
    found
}

/// The reference itself reaches the same figures.
fn marked_by_hand(model: &Silero, dev: &Path) {
    let mut frames = Frames::default();
    for (audio, marked) in marked_clips(dev) {
        frames.add(&audio, &detect(model, &audio, &VadOptions::default(), &Watch::silent()).unwrap().spans, &marked);
    }
    let (precision, recall) = (frames.precision(), frames.recall());
    println!("clips marked by hand: precision {:.2} %, recall {:.2} %", precision * 100.0, recall * 100.0);
    assert!(precision > 0.90 && recall > 0.90);
}

/// Both detectors with their defaults against what people have marked: clips, meetings by far microphones, conversations.
fn detectors_compared(silero: &Silero, segmenter: &Segmenter, dev: &Path) {
    for (name, recordings) in [
        ("ten-vad", marked_clips(dev)),
        ("ami-30s", marked_conversations(dev, "ami_")),
        ("voxconverse", marked_conversations(dev, "voxconverse_")),
        ("libri-conv", marked_conversations(dev, "conv_dev_")),
    ] {
        assert!(!recordings.is_empty(), "{name}");
        let mut errors = Vec::new();
        for (detector, kind) in VoiceDetector::NAMES {
            let options = VadOptions::of(kind);
            let mut frames = Frames::default();
            for (audio, marked) in &recordings {
                let found = match kind {
                    VoiceDetector::Silero => detect(silero, audio, &options, &Watch::silent()),
                    VoiceDetector::Pyannote => {
                        let heard = segment(segmenter, &Device::Cpu, audio, STEP, &Watch::silent()).unwrap();
                        detect_in(&heard, &options)
                    }
                };
                frames.add(audio, &found.unwrap().spans, marked);
            }
            let [precision, recall, error] =
                [frames.precision(), frames.recall(), frames.error()].map(|part| part * 100.0);
            println!("{name}, {detector}: precision {precision:.2} %, recall {recall:.2} %, error {error:.2} %");
            errors.push(frames.error());
        }
        assert!(errors.iter().all(|error| *error < 0.35), "{name}: {errors:?}");
    }
}
