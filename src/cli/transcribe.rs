//! `palabra transcribe`: files in, transcripts out.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::AtomicBool,
    time::Instant,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use palabra::{
    Error,
    audio::decode::{Limits, decode_file},
    device::{Compute, DeviceChoice},
    engine::{Align, Models, Options, Pipeline},
    formats::{self, Format},
    language::Language,
    models::whisper::tokenizer::Task,
    progress::Watch,
    stages::{
        chunk::ChunkOptions, diarize::DiarizeOptions, language::LanguageChoice, row::Gates,
        transcribe::TranscribeOptions, vad::VadOptions,
    },
    transcript::Transcript,
    weights::{Store, StoreOptions},
};

use super::{Global, bars::Bars, cancel, exit_code, output::Output, report};

/// Turn recordings into text with times and speakers.
///
/// The transcript goes to standard output; --format also writes files. Any audio or video file will do: wav, mp3, m4a,
/// flac, ogg, opus, webm, mkv, mp4, mov and more. The first run fetches the models.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TranscribeArguments {
    /// Recordings to transcribe
    #[arg(value_name = "FILE", required_unless_present = "sample")]
    files: Vec<PathBuf>,
    /// Transcribe a short recording of two speakers, fetched once, to see what Palabra does
    #[arg(long)]
    sample: bool,

    /// Whisper model: tiny, base, small, medium, large-v3, large-v3-turbo, distil-large-v3, ... (see `palabra models
    /// list`), a repository of the hub (owner/name), or a folder
    #[arg(short, long, default_value = "base", help_heading = "Text")]
    model: String,
    /// Language spoken, as a code (en, de) or an English name; `auto` detects it anew in every chunk of about 30 s, for
    /// recordings that mix languages [default: detected once for the recording]
    #[arg(short, long, value_name = "LANGUAGE", help_heading = "Text")]
    language: Option<String>,
    /// Write what is said, or its English translation
    #[arg(long, default_value = "transcribe", help_heading = "Text")]
    task: TaskArgument,
    /// Text that is told to the model as if it went before: sets spelling, names, style
    #[arg(long, value_name = "TEXT", help_heading = "Text")]
    initial_prompt: Option<String>,
    /// Words that are likely to occur, such as names and terms
    #[arg(long, value_name = "WORDS", help_heading = "Text")]
    hotwords: Option<String>,
    /// Temperatures tried in turn until a text passes the three thresholds below; a single 0 never tries again
    #[arg(long, value_delimiter = ',', value_name = "T,...", default_values_t = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], help_heading = "Text")]
    temperature: Vec<f32>,
    /// A text that compresses better than this repeats itself and is written again
    #[arg(long, value_name = "RATIO", default_value_t = 2.4, help_heading = "Text")]
    compression_ratio_threshold: f32,
    /// A text with a lower mean log-probability is a guess and is written again
    #[arg(long, value_name = "LOGPROB", default_value_t = -1.0, allow_hyphen_values = true, help_heading = "Text")]
    logprob_threshold: f32,
    /// A guess where the probability of no speech is higher than this is dropped as silence
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.6, help_heading = "Text")]
    no_speech_threshold: f32,

    /// Word times: the best way at hand, cross-attention (dtw), or none
    #[arg(long, default_value = "auto", help_heading = "Times")]
    align: AlignArgument,
    /// Speech begins where its probability rises to this
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.5, help_heading = "Times")]
    vad_onset: f32,
    /// Speech ends where its probability falls below this [default: 0.15 below the onset]
    #[arg(long, value_name = "PROBABILITY", help_heading = "Times")]
    vad_offset: Option<f32>,
    /// Longest chunk handed to Whisper, in seconds, 1 to 30
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, help_heading = "Times")]
    chunk_size: f64,

    /// Tell speakers apart
    #[arg(short, long, help_heading = "Speakers")]
    diarize: bool,
    /// At least this many speakers
    #[arg(long, value_name = "N", requires = "diarize", help_heading = "Speakers")]
    min_speakers: Option<usize>,
    /// At most this many speakers
    #[arg(long, value_name = "N", requires = "diarize", help_heading = "Speakers")]
    max_speakers: Option<usize>,
    /// Exactly this many speakers
    #[arg(long, value_name = "N", requires = "diarize", conflicts_with_all = ["min_speakers", "max_speakers"], help_heading = "Speakers")]
    num_speakers: Option<usize>,

    /// Also write files: txt, srt, vtt, tsv, json, rttm, or all; several separated by commas
    #[arg(short, long, value_delimiter = ',', value_name = "FORMAT,...", help_heading = "Output")]
    format: Vec<String>,
    /// Folder of these files, which are named after their input [default: the current folder]
    #[arg(short, long, value_name = "FOLDER", help_heading = "Output")]
    output_dir: Option<PathBuf>,

    /// Where to compute: auto takes a GPU where there is one; cpu, cuda, cuda:1
    #[arg(long, default_value = "auto", help_heading = "Machine")]
    device: String,
    /// Processor threads [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    threads: Option<usize>,
    /// Chunks that are written side by side
    #[arg(short, long, value_name = "N", default_value_t = 16, help_heading = "Machine")]
    batch_size: usize,
}

const EXAMPLES: &str = "\
Examples:
  palabra transcribe --diarize --sample
  palabra transcribe interview.m4a --diarize --format srt,json --output-dir out
  palabra transcribe *.mp3 --model small --language de --format txt";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TaskArgument {
    Transcribe,
    Translate,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AlignArgument {
    Auto,
    Dtw,
    Off,
}

impl TranscribeArguments {
    /// The request that the flags make, checked.
    fn options(&self) -> palabra::Result<Options> {
        let language = match self.language.as_deref() {
            None => LanguageChoice::Detect,
            Some("auto") => LanguageChoice::PerChunk,
            Some(language) => LanguageChoice::Fixed(language.parse::<Language>()?),
        };
        let options = Options {
            vad: VadOptions::with_thresholds(Some(self.vad_onset), self.vad_offset)?,
            chunk: ChunkOptions { chunk_size: self.chunk_size, ..ChunkOptions::default() },
            transcribe: TranscribeOptions {
                language,
                task: match self.task {
                    TaskArgument::Transcribe => Task::Transcribe,
                    TaskArgument::Translate => Task::Translate,
                },
                batch_size: self.batch_size,
                temperatures: self.temperature.clone(),
                gates: Gates {
                    compression_ratio: Some(self.compression_ratio_threshold),
                    logprob: Some(self.logprob_threshold),
                    no_speech: Some(self.no_speech_threshold),
                },
                initial_prompt: self.initial_prompt.clone(),
                hotwords: self.hotwords.clone(),
                ..TranscribeOptions::default()
            },
            align: match self.align {
                AlignArgument::Auto => Align::Auto,
                AlignArgument::Dtw => Align::Dtw,
                AlignArgument::Off => Align::Off,
            },
            diarize: self.diarize.then(|| DiarizeOptions {
                min_speakers: self.min_speakers,
                max_speakers: self.max_speakers,
                num_speakers: self.num_speakers,
                ..DiarizeOptions::default()
            }),
        };
        options.validate()?;
        Ok(options)
    }

    /// The formats asked for; a folder without formats asks for all.
    fn formats(&self) -> palabra::Result<Vec<Format>> {
        let every = || Format::ALL.into_iter().filter(|format| *format != Format::Rttm || self.diarize);
        if self.format.is_empty() && self.output_dir.is_some() {
            return Ok(every().collect());
        }
        let mut formats = Vec::new();
        for name in &self.format {
            if name == "all" {
                formats.extend(every());
            } else {
                formats.push(name.parse()?);
            }
        }
        if formats.contains(&Format::Rttm) && !self.diarize {
            return Err(Error::Request("rttm holds speakers; add --diarize".into()));
        }
        formats.dedup();
        Ok(formats)
    }

    fn start_threads(&self) -> palabra::Result<()> {
        match self.threads {
            None => Ok(()),
            Some(0) => Err(Error::Request("--threads must be at least 1".into())),
            Some(threads) => rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build_global()
                .map_err(|reason| Error::Machine(format!("{threads} threads cannot be started: {reason}"))),
        }
    }
}

/// Transcribes every file; one that fails does not stop the others.
pub fn run(arguments: &TranscribeArguments, global: &Global, store: &StoreOptions) -> anyhow::Result<ExitCode> {
    let options = arguments.options()?;
    let formats = arguments.formats()?;
    if arguments.batch_size == 0 {
        return Err(Error::Request("--batch-size must be at least 1".into()).into());
    }
    let device: DeviceChoice = arguments.device.parse()?;
    arguments.start_threads()?;
    let compute = Compute::open(device)?;
    let cancelled = cancel::on_interrupt();
    let store = Store::open(store)?;

    let mut files = arguments.files.clone();
    if arguments.sample {
        files.push(store.fetch("sample", &Watch::new(&|_| {}, &cancelled))?.join("sample.wav"));
    }
    let folder = arguments.output_dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let output = Output::plan(&files, formats, folder)?;

    let pipeline = load(arguments, global, &store, &compute, &cancelled)?;
    pipeline.models().transcriber.check(&options.transcribe)?;
    let session = Session { pipeline, options, output, global, cancelled: &cancelled };
    let mut failures = Vec::new();
    for file in &files {
        match session.transcribe(file) {
            Ok(()) => {}
            Err(error) if matches!(error.downcast_ref(), Some(Error::Cancelled)) => return Err(error),
            Err(error) => {
                report(&error, global.json_log);
                failures.push((file, error));
            }
        }
    }
    let Some((_, first)) = failures.first() else { return Ok(ExitCode::SUCCESS) };
    if files.len() > 1 {
        let names: Vec<String> = failures.iter().map(|(file, _)| file.display().to_string()).collect();
        eprintln!("{} of {} files failed: {}", failures.len(), files.len(), names.join(", "));
    }
    Ok(exit_code(first))
}

fn load(
    arguments: &TranscribeArguments,
    global: &Global,
    store: &Store,
    compute: &Compute,
    cancelled: &AtomicBool,
) -> anyhow::Result<Pipeline> {
    let started = Instant::now();
    let bars = Bars::new(!global.quiet && !global.json_log);
    let show = |progress| bars.show(progress);
    let models = Models::load(store, &arguments.model, arguments.diarize, compute, &Watch::new(&show, cancelled))?;
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(model = arguments.model, seconds, "models loaded");
    Ok(Pipeline::new(models, seconds))
}

/// What all files of one call share.
struct Session<'a> {
    pipeline: Pipeline,
    options: Options,
    output: Output,
    global: &'a Global,
    cancelled: &'a AtomicBool,
}

impl Session<'_> {
    fn transcribe(&self, file: &Path) -> anyhow::Result<()> {
        let bars = Bars::new(!self.global.quiet && !self.global.json_log);
        let show = |progress| bars.show(progress);
        let watch = Watch::new(&show, self.cancelled);
        let started = Instant::now();
        let decoded = decode_file(file, &Limits::default(), &watch)?;
        let decode_seconds = started.elapsed().as_secs_f64();
        let transcript = self
            .pipeline
            .transcribe(decoded, decode_seconds, &self.options, &watch)
            .with_context(|| file.display().to_string())?;
        bars.clear();
        let written = self.output.write(file, &transcript)?;
        print(&formats::console::render(&transcript))?;
        self.tell(file, &transcript, &written, started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Warnings and a closing line on standard error.
    fn tell(&self, file: &Path, transcript: &Transcript, written: &[PathBuf], seconds: f64) {
        let speed = transcript.duration / seconds.max(1e-3);
        if self.global.json_log {
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
            return;
        }
        if self.global.quiet {
            return;
        }
        for warning in &transcript.warnings {
            eprintln!("warning: {}: {warning}", file.display());
        }
        let files = match written {
            [] => String::new(),
            files => {
                let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
                format!(", wrote {}", names.join(", "))
            }
        };
        eprintln!(
            "{}: {:.1} s of {} in {seconds:.1} s ({speed:.1}x real time){files}",
            file.display(),
            transcript.duration,
            transcript.language.name(),
        );
    }
}

/// Writes to standard output; a reader that has left (as `head` does) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(reason) if reason.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Machine(format!("standard output cannot be written: {reason}")).into())
        }
        _ => Ok(()),
    }
}
