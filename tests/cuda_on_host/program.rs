//! The whole program on the device: what it transcribes, and what it says of a GPU that it cannot use.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use libtest_mimic::Trial;
use palabra::{
    audio::decode::{Limits, decode_file},
    progress::Watch,
};
use serde_json::Value;

use crate::support::{self, trial};

/// The stretch of the sample that is transcribed, in samples: two people talk in it.
const STRETCH: std::ops::Range<usize> = 13 * 16_000..21 * 16_000;

/// One trial for each behaviour of the program.
pub fn trials() -> Vec<Trial> {
    let clip = needs();
    let same = |name: &str, options: &'static [&'static str]| {
        trial(name, &clip, |clip| {
            let on_cpu = run(&clip, "cpu", "").document();
            assert!(texts(&on_cpu).join(" ").len() > 40, "{on_cpu}");
            let on_device = run_with(&clip, "cuda", "", options).document();
            assert_eq!(texts(&on_cpu), texts(&on_device));
            let (expected, found) = (times(&on_cpu), times(&on_device));
            assert_eq!(expected.len(), found.len());
            for (expected, found) in expected.iter().zip(&found) {
                assert!((expected - found).abs() < 0.05, "a word at {expected} s is at {found} s on the device");
            }
        })
    };
    vec![
        same("the_text_is_that_of_the_cpu", SINGLE),
        same("the_text_in_half_precision_is_that_of_the_cpu", &["--compute-type", "float16"]),
        same("the_text_in_bfloat16_is_that_of_the_cpu", &["--compute-type", "bfloat16"]),
    ]
}

/// In f32 the device computes what the CPU does.
const SINGLE: &[&str] = &["--compute-type", "float32"];

/// A file with the stretch, where the models are there.
pub fn needs() -> Result<PathBuf, String> {
    for model in ["tiny.en", "silero-vad"] {
        support::weights(model)?;
    }
    let sample = support::weights("sample")?.join("sample.wav");
    let samples = decode_file(&sample, &Limits::default(), &Watch::silent()).map_err(|error| error.to_string())?;
    let stretch: Vec<i16> = samples.audio.samples()[STRETCH].iter().map(|sample| (sample * 32_767.0) as i16).collect();
    let clip = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda_on_host.wav");
    fs::write(&clip, support::wave(&[&stretch])).map_err(|error| error.to_string())?;
    Ok(clip)
}

/// What a run left behind.
pub struct Run {
    /// The exit code.
    pub code: Option<i32>,
    /// What stood on standard error.
    pub said: String,
    folder: tempfile::TempDir,
}

/// Transcribes the clip, with a GPU that behaves so.
pub fn run(clip: &Path, device: &str, gpu: &str) -> Run {
    run_with(clip, device, gpu, SINGLE)
}

fn run_with(clip: &Path, device: &str, gpu: &str, options: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_palabra"));
    command.arg("transcribe").arg(clip).args(["--model", "tiny.en", "--format", "json", "--device", device]);
    command.args(options).arg("--output-dir").arg(folder.path()).env("CUDA_ON_HOST", gpu);
    let output = command.env_remove("RUST_LOG").output().unwrap();
    Run { code: output.status.code(), said: String::from_utf8(output.stderr).unwrap(), folder }
}

impl Run {
    pub fn document(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.said);
        serde_json::from_slice(&fs::read(self.folder.path().join("cuda_on_host.json")).unwrap()).unwrap()
    }
}

pub fn texts(document: &Value) -> Vec<&str> {
    document["segments"].as_array().unwrap().iter().map(|segment| segment["text"].as_str().unwrap()).collect()
}

fn times(document: &Value) -> Vec<f64> {
    let words = |segment: &Value| segment["words"].as_array().unwrap().clone();
    let words = document["segments"].as_array().unwrap().iter().flat_map(words);
    words.filter_map(|word| word["start"].as_f64()).collect()
}
