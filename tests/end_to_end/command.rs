//! Running the program and reading what it said.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use palabra::{
    audio::decode::{Limits, decode_file},
    progress::Watch,
};
use serde_json::Value;

use crate::support;

/// The models that runs need, each the folder or the reason why it is not there.
pub struct Needs {
    /// The folder of the default transcriber, where the voice detector, the speaker embedder and the sample are there too.
    pub base: Result<PathBuf, String>,
    /// The folder of tiny.en, likewise.
    pub tiny: Result<PathBuf, String>,
}

impl Needs {
    /// Looks in the cache, and fetches what is not there.
    pub fn look() -> Self {
        let others = ["silero-vad", "segmentation-3.0", "campplus", "sample"].map(support::weights);
        let with_others = |folder: Result<PathBuf, String>| {
            let missing = others.iter().find_map(|other| other.clone().err());
            folder.and_then(|folder| missing.map_or(Ok(folder), Err))
        };
        Self { base: with_others(support::weights("base")), tiny: with_others(support::weights("tiny.en")) }
    }
}

/// What a run left behind.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program, with backtraces asked for so that one that leaks is seen.
pub fn palabra() -> Command {
    prepared(Command::new(env!("CARGO_BIN_EXE_palabra")))
}

/// A command with the surroundings of every run.
pub fn prepared(mut command: Command) -> Command {
    command.env("RUST_BACKTRACE", "1").env_remove("RUST_LOG").env_remove("PALABRA_OFFLINE").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// `palabra transcribe` with these arguments after the file.
pub fn transcribe(file: &Path, arguments: &[&str]) -> Outcome {
    outcome(palabra().arg("transcribe").arg(file).args(arguments))
}

impl Outcome {
    /// Fails unless the run succeeded.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Fails unless the run ended with `code`, said nothing on standard output, and on standard error one sentence that
    /// holds each of `parts`.
    pub fn refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let sentence = self.stderr.strip_suffix('\n').unwrap_or_else(|| panic!("{self:?}"));
        assert!(sentence.starts_with("error: ") && !sentence.contains('\n'), "{self:?}");
        for part in parts {
            assert!(sentence.contains(part), "`{part}` is missing: {self:?}");
        }
        assert!(!sentence.contains("os error") && !sentence.contains("backtrace"), "{self:?}");
    }

    /// What was said, without times.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.stdout.lines().map(|line| line_of(line).2).collect();
        texts.join(" ")
    }
}

/// Start, end and text of a line of the transcript; fails where it is no such line.
pub fn line_of(line: &str) -> (f64, f64, &str) {
    let parts = line.strip_prefix('[').and_then(|line| line.split_once("] "));
    let (times, text) = parts.unwrap_or_else(|| panic!("no line of a transcript: {line:?}"));
    let (start, end) = span_of(times, " -> ", '.');
    assert!(!text.is_empty(), "a line without text: {line:?}");
    (start, end, text)
}

/// Two clock times with `arrow` between them and `separator` before the milliseconds, in order.
pub fn span_of(text: &str, arrow: &str, separator: char) -> (f64, f64) {
    let (start, end) = text.split_once(arrow).unwrap_or_else(|| panic!("no {arrow:?} in {text:?}"));
    let seconds = |clock: &str| -> f64 {
        let (whole, fraction) = clock.split_once(separator).unwrap_or_else(|| panic!("no clock time: {clock:?}"));
        assert_eq!(fraction.len(), 3, "{clock:?}");
        let whole: f64 = whole.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"));
        whole + fraction.parse::<f64>().expect("milliseconds") / 1000.0
    };
    let (start, end) = (seconds(start), seconds(end));
    assert!(start < end, "{text:?}");
    (start, end)
}

/// A JSON file.
pub fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("the file is there")).expect("JSON")
}

/// The members of a JSON array.
pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list `{key}`"))
}

/// A JSON number.
pub fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {value}"))
}

/// The names of the files in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Writes 16 kHz mono samples as a WAV file.
pub fn write_wave(path: &Path, samples: &[i16]) {
    fs::write(path, support::wave(&[samples])).expect("the file is written");
}

/// The path of the sample recording.
pub fn sample() -> PathBuf {
    support::weights("sample").expect("looked for at the start").join("sample.wav")
}

/// The sample's samples.
pub fn sample_samples() -> Vec<i16> {
    let decoded = decode_file(&sample(), &Limits::default(), &Watch::silent()).expect("the sample decodes");
    decoded.audio.samples().iter().map(|sample| (sample * 32767.0) as i16).collect()
}

/// Writes the sample from 6 to 14 s, where one person says where she is, to a file.
pub fn write_clip(path: &Path) {
    write_wave(path, &sample_samples()[6 * 16_000..14 * 16_000]);
}
