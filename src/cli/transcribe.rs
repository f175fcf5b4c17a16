//! `palabra transcribe`: files in, transcripts out.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use anyhow::Context;
use palabra::{
    Error,
    audio::decode::{Limits, check_file, decode_file, decode_file_channels},
    device::{ComputeType, DeviceChoice, Devices},
    engine::{Channels, Engine, EngineOptions, Keep, Options, Pipeline},
    formats,
    progress::Watch,
    stages::roster::Roster,
    transcript::Transcript,
    weights::{Store, StoreOptions},
};

use super::{
    Global,
    ahead::{self, Ahead},
    arguments::{TranscribeArguments, start_threads},
    bars::Bars,
    cancel, exit_code,
    output::Output,
    report, speakers,
    streams::{self, Reader},
};

/// Transcribes every file; one that fails does not stop the others.
pub fn run(arguments: &TranscribeArguments, global: &Global, store: &StoreOptions) -> anyhow::Result<ExitCode> {
    let mut options = arguments.options()?;
    let formats = arguments.formats()?;
    let device: DeviceChoice = arguments.device.parse()?;
    let compute_type: ComputeType = arguments.compute_type.parse()?;
    start_threads(arguments.threads)?;
    let devices = Devices::open(&device, compute_type)?;
    let cancelled = cancel::on_interrupt();
    let store = Store::open(store)?;

    let mut files = arguments.files.clone();
    if arguments.sample {
        files.push(store.fetch("sample", &Watch::new(&|_| {}, &cancelled))?.join("sample.wav"));
    }
    let folder = arguments.output_dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let output = Output::plan(&files, formats, folder)?.with_voices(arguments.speakers.speaker_embeddings);
    let references = arguments.speakers.references()?;
    // Nobody should wait for models to hear of a misspelt name.
    let refused: Failures = files
        .iter()
        .filter_map(|file| Some((file.as_path(), check_file(file, &Limits::default()).err()?.into())))
        .collect();
    if refused.len() == files.len() {
        refused.iter().for_each(|(_, error)| report(error, global.json_log));
        return Ok(conclude(&refused, files.len(), global));
    }

    let decode = match options.channels {
        Channels::Mix => decode_file,
        Channels::Speakers => decode_file_channels,
    };
    ahead::decoding(&files, decode, &cancelled, |recordings| {
        let bars = Bars::new(!global.quiet && !global.json_log);
        let show = |progress| bars.show(progress);
        let watch = Watch::new(&show, &cancelled);
        let (engine, pipeline) = load(arguments, store, devices, &watch)?;
        pipeline.check(&options)?;
        options.known = speakers::hear(&references, &engine, &watch)?;
        drop(bars);
        let (cancelled, roster) = (&cancelled, RefCell::default());
        Session { recordings, pipeline, options, output, global, cancelled, roster }.run(&files)
    })
}

fn load(
    arguments: &TranscribeArguments,
    store: Store,
    devices: Devices,
    watch: &Watch,
) -> anyhow::Result<(Engine, Arc<Pipeline>)> {
    let engine = Engine::new(
        store,
        devices,
        EngineOptions {
            batch_size: arguments.batch_size,
            // Nobody else is there.
            spare: 0,
            keep: Keep { models: None, ..Keep::default() },
            repositories: true,
            folders: true,
            align_model: arguments.align_model.clone(),
            noncommercial_aligners: arguments.noncommercial_aligners,
            speaker_model: arguments.speakers.speaker_model.clone(),
            ..EngineOptions::default()
        },
    );
    let pipeline = engine.pipeline(&arguments.model, None, watch)?;
    if arguments.diarize {
        engine.warm_speakers(watch)?;
    }
    Ok((engine, pipeline))
}

/// The files that could not be transcribed, and why.
type Failures<'a> = Vec<(&'a Path, anyhow::Error)>;

/// Names the files that failed, where there were several, and gives the exit code of the first failure.
fn conclude(failures: &Failures, files: usize, global: &Global) -> ExitCode {
    let Some((_, first)) = failures.first() else { return ExitCode::SUCCESS };
    if files > 1 {
        let names: Vec<String> = failures.iter().map(|(file, _)| file.display().to_string()).collect();
        let summary = format!("{} of {files} files failed: {}", failures.len(), names.join(", "));
        if global.json_log {
            tracing::error!("{summary}");
        } else {
            streams::tell(&summary);
        }
    }
    exit_code(first)
}

/// What all files of one call share.
struct Session<'a> {
    recordings: &'a Ahead<'a>,
    pipeline: Arc<Pipeline>,
    options: Options,
    output: Output,
    global: &'a Global,
    cancelled: &'a AtomicBool,
    /// Who was heard in the files before.
    roster: RefCell<Roster>,
}

impl Session<'_> {
    fn run(&self, files: &[PathBuf]) -> anyhow::Result<ExitCode> {
        let mut failures = Failures::new();
        for file in files {
            match self.transcribe(file, files.len() > 1) {
                // A reader that has left, as `head` does, wants no more; only files may still be wanted.
                Ok(Reader::Gone) if self.output.is_nothing() => break,
                Ok(_) => {}
                // Neither is worth another file.
                Err(error) if matches!(error.downcast_ref(), Some(Error::Cancelled | Error::DeviceLost(_))) => {
                    return Err(error);
                }
                Err(error) => {
                    report(&error, self.global.json_log);
                    failures.push((file, error));
                }
            }
        }
        Ok(conclude(&failures, files.len(), self.global))
    }

    fn transcribe(&self, file: &Path, one_of_several: bool) -> anyhow::Result<Reader> {
        let bars = Bars::new(self.global.talks());
        let show = |progress| bars.show(progress);
        let watch = Watch::new(&show, self.cancelled);
        let started = Instant::now();
        let (decoded, decode_seconds) = self.recordings.next(&watch)?;
        let mut transcript = self
            .pipeline
            .transcribe(decoded, decode_seconds, &self.options, &watch)
            .with_context(|| file.display().to_string())?;
        self.roster.borrow_mut().meet(&mut transcript);
        bars.clear();
        let written = self.output.write(file, &transcript)?;
        if one_of_several && self.global.talks() {
            streams::tell(&format!("{}:", file.display()));
        }
        let reader = streams::write(&formats::console::render(&transcript))?;
        self.tell(file, &transcript, &written, started.elapsed().as_secs_f64());
        Ok(reader)
    }

    /// Warnings and a closing line on standard error.
    fn tell(&self, file: &Path, transcript: &Transcript, written: &[PathBuf], seconds: f64) {
        let speed = transcript.duration / seconds.max(1e-3);
        if self.global.json_log {
            log(file, transcript, speed);
        }
        if !self.global.talks() {
            return;
        }
        let name = file.display();
        for warning in &transcript.warnings {
            streams::tell(&format!("warning: {name}: {warning}"));
        }
        let files = match written {
            [] => String::new(),
            files => {
                let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
                format!(", wrote {}", names.join(", "))
            }
        };
        let what = match transcript.segments.as_slice() {
            [] => "without text".to_owned(),
            _ => format!("of {}", capitalised(transcript.language.name())),
        };
        streams::tell(&format!(
            "{name}: {:.1} s {what} in {seconds:.1} s ({speed:.1}x real time){files}",
            transcript.duration
        ));
    }
}

/// The same as JSON lines.
fn log(file: &Path, transcript: &Transcript, speed: f64) {
    for warning in &transcript.warnings {
        tracing::warn!(file = %file.display(), "{warning}");
    }
    let timings: serde_json::Map<_, _> =
        transcript.timings.0.iter().map(|(stage, seconds)| ((*stage).to_owned(), (*seconds).into())).collect();
    tracing::info!(
        file = %file.display(),
        duration = transcript.duration,
        language = transcript.language.code(),
        segments = transcript.segments.len(),
        warnings = transcript.warnings.len(),
        timings = %serde_json::Value::Object(timings),
        real_time_factor = speed,
        "transcribed"
    );
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
