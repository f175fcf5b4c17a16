//! `palabra bench diarization`: every recording of a folder is listened to and compared with its reference.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use palabra::{
    Error,
    audio::{
        Audio,
        decode::{Decoded, Limits, decode_file},
    },
    device::{Compute, ComputeType, DeviceChoice, Devices},
    engine::{Engine, EngineOptions, Keep, Options, Pipeline},
    evaluation::{Statement, rttm, seglst, turns, words},
    formats::{self, Format},
    progress::Watch,
    span::{SAMPLE_RATE, Span},
    stages::diarize::DiarizeOptions,
    transcript::{Transcript, Word},
    weights::{Store, StoreOptions},
};

use super::{
    arguments::DiarizationArguments,
    clock::Clock,
    folder::{self, Recording, Reference},
    report::{self, Measured, Terms},
};
use crate::cli::{Global, arguments::start_threads, bars::Bars, cancel, speakers::SpeakerChangesArgument, streams};

/// The exit code when a recording could not be measured, as when one could not be transcribed.
const INPUT_FAILED: u8 = 3;

/// Measures all recordings; one that fails does not stop the others.
pub fn run(arguments: &DiarizationArguments, global: &Global, store: &StoreOptions) -> anyhow::Result<ExitCode> {
    let scoring = arguments.scoring()?;
    let device: DeviceChoice = arguments.device.parse()?;
    let folder = folder::find(&arguments.folder, &arguments.sets)?;
    if let Some(output) = &arguments.output_dir {
        open_output(output, &folder.recordings)?;
    }
    start_threads(arguments.threads)?;
    let compute = Devices::open(&device, ComputeType::Auto)?.first().clone();
    let terms = Terms {
        scoring,
        known_count: arguments.known_count,
        model: arguments.words.then(|| arguments.model.clone().unwrap_or_else(|| "base".into())),
        device: if compute.device.is_cuda() { "cuda" } else { "cpu" }.into(),
    };
    let mut failures = Failures { global, all: Vec::new() };
    let wanted = failures.references(&folder.recordings, arguments.words);
    if arguments.words && !wanted.is_empty() && wanted.iter().all(|(_, reference)| reference.statements.is_none()) {
        return Err(Error::Request(format!(
            "--words needs references with words, and no recording in {} has any; add NAME.seglst.json (see --help)",
            arguments.folder.display()
        ))
        .into());
    }
    if global.talks() {
        folder.lonely.iter().for_each(|id| streams::tell(&format!("warning: {id}.rttm has no recording beside it")));
    }
    if !wanted.is_empty() {
        let cancelled = cancel::on_interrupt();
        let bench = Bench::load(arguments, &terms, global, Store::open(store)?, compute, &cancelled)?;
        let measured = bench.measure(&wanted, &mut failures)?;
        if arguments.json {
            streams::write(&report::json(&terms, &measured, &failures.all))?;
        } else if !measured.is_empty() {
            streams::write(&report::table(&terms, &measured))?;
        }
    }
    Ok(failures.conclude(folder.recordings.len()))
}

/// Makes sure that the folder takes files and that none of them replaces a reference.
fn open_output(output: &Path, recordings: &[Recording]) -> palabra::Result<()> {
    let cannot = |reason: std::io::Error| {
        Error::Machine(format!(
            "the output folder {} cannot be written ({reason}); choose another with --output-dir",
            output.display()
        ))
    };
    std::fs::create_dir_all(output).and_then(|()| tempfile::tempfile_in(output)).map_err(cannot)?;
    let same = |one: &Path, other: &Path| {
        one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
    };
    for recording in recordings {
        let written = ["rttm", "seglst.json"].map(|ending| output.join(format!("{}.{ending}", recording.id)));
        if let Some(reference) = recording.files().find(|file| written.iter().any(|path| same(path, file))) {
            return Err(Error::Request(format!(
                "the result would replace the reference {}; choose another folder with --output-dir",
                reference.display()
            )));
        }
    }
    Ok(())
}

/// What could not be measured: what it is called, and why.
struct Failures<'a> {
    global: &'a Global,
    all: Vec<(String, String)>,
}

impl Failures<'_> {
    fn add(&mut self, id: &str, error: &Error) {
        let sentence = format!("{id} is left out: {error}");
        if self.global.json_log {
            tracing::warn!("{sentence}");
        } else {
            streams::tell(&format!("warning: {sentence}"));
        }
        self.all.push((id.to_owned(), error.to_string()));
    }

    /// The recordings whose references can be read.
    fn references<'r>(&mut self, recordings: &'r [Recording], words: bool) -> Vec<(&'r Recording, Reference)> {
        let mut read = Vec::new();
        for recording in recordings {
            match recording.reference(words) {
                Ok(reference) => read.push((recording, reference)),
                Err(error) => self.add(&recording.id, &error),
            }
        }
        read
    }

    fn conclude(&self, recordings: usize) -> ExitCode {
        if self.all.is_empty() {
            return ExitCode::SUCCESS;
        }
        let names: Vec<&str> = self.all.iter().map(|(id, _)| id.as_str()).collect();
        let summary = format!("{} of {recordings} recordings were not measured: {}", names.len(), names.join(", "));
        if self.global.json_log {
            tracing::error!("{summary}");
        } else {
            streams::tell(&summary);
        }
        ExitCode::from(INPUT_FAILED)
    }
}

/// What listens, loaded and warm.
struct Bench<'a> {
    engine: Engine,
    /// Transcribes, where words are wanted.
    pipeline: Option<Arc<Pipeline>>,
    arguments: &'a DiarizationArguments,
    terms: &'a Terms,
    global: &'a Global,
    cancelled: &'a AtomicBool,
}

impl<'a> Bench<'a> {
    fn load(
        arguments: &'a DiarizationArguments,
        terms: &'a Terms,
        global: &'a Global,
        store: Store,
        compute: Compute,
        cancelled: &'a AtomicBool,
    ) -> anyhow::Result<Self> {
        let bars = Bars::new(global.talks());
        let show = |progress| bars.show(progress);
        let watch = Watch::new(&show, cancelled);
        let options = EngineOptions {
            // Nobody else is there.
            spare: 0,
            keep: Keep { models: None, ..Keep::default() },
            repositories: true,
            folders: true,
            speaker_model: arguments.speaker_model.clone(),
            ..EngineOptions::default()
        };
        let engine = Engine::new(store, compute, options);
        engine.warm_speakers(&watch)?;
        let pipeline = terms.model.as_ref().map(|model| engine.pipeline(model, None, &watch)).transpose()?;
        let quiet = Watch::new(&|_| {}, cancelled);
        // What else is loaded at first use is loaded now, so that no recording pays for it.
        engine.diarize(silence(), 0.0, &DiarizeOptions::default(), &quiet)?;
        Ok(Self { engine, pipeline, arguments, terms, global, cancelled })
    }

    fn measure(&self, wanted: &[(&Recording, Reference)], failures: &mut Failures) -> anyhow::Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for (index, (recording, reference)) in wanted.iter().enumerate() {
            let bars = Bars::new(self.global.talks());
            bars.name(format!("{} of {}: {}", index + 1, wanted.len(), recording.id));
            let show = |progress| bars.show(progress);
            let outcome = self.listen(recording, reference, &Watch::new(&show, self.cancelled));
            bars.clear();
            match outcome {
                Ok(one) => measured.push(one),
                // These are about this recording; anything else would befall the others as well.
                Err(error @ (Error::Audio(_) | Error::TooLarge(_) | Error::Request(_))) => {
                    failures.add(&recording.id, &error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(measured)
    }

    fn listen(&self, recording: &Recording, reference: &Reference, watch: &Watch) -> palabra::Result<Measured> {
        let seconds_known = |seconds: f64| turns::speakers(&reference.turns, seconds);
        let clock = Clock::start();
        let started = Instant::now();
        let decoded = decode_file(&recording.audio, &Limits::default(), watch)?;
        let decode_seconds = started.elapsed().as_secs_f64();
        let seconds = decoded.audio.duration();
        let count = Some(seconds_known(seconds)).filter(|count| self.terms.known_count && *count > 0);
        let speakers = DiarizeOptions { num_speakers: count, ..DiarizeOptions::default() };
        let transcript = match &self.pipeline {
            None => self.engine.diarize(decoded, decode_seconds, &speakers, watch)?,
            Some(pipeline) => {
                let speaker_changes =
                    self.arguments.speaker_changes.map(SpeakerChangesArgument::mode).unwrap_or_default();
                let options = Options { diarize: Some(speakers), speaker_changes, ..Options::default() };
                pipeline.transcribe(decoded, decode_seconds, &options, watch)?
            }
        };
        let cost = clock.stop();
        self.tell(recording, &transcript);
        // What is scored is what a file of turns would hold.
        let rttm = formats::render(Format::Rttm, &transcript, &recording.id);
        let found: Vec<_> = rttm::read(&rttm)?.into_iter().map(|entry| entry.turn).collect();
        let said = statements(&transcript);
        self.write(&recording.id, &rttm, &said)?;
        Ok(Measured {
            id: recording.id.clone(),
            set: recording.set.clone(),
            seconds,
            time: turns::score(&reference.turns, &found, seconds, &self.terms.scoring),
            speakers: (seconds_known(seconds), turns::speakers(&found, seconds)),
            words: reference.statements.as_ref().map(|reference| words::score(reference, &said)),
            cost,
        })
    }

    fn tell(&self, recording: &Recording, transcript: &Transcript) {
        for warning in &transcript.warnings {
            if self.global.json_log {
                tracing::warn!(recording = recording.id, "{warning}");
            } else if self.global.talks() {
                streams::tell(&format!("warning: {}: {warning}", recording.id));
            }
        }
    }

    fn write(&self, id: &str, rttm: &str, said: &[Statement]) -> palabra::Result<()> {
        let Some(folder) = &self.arguments.output_dir else { return Ok(()) };
        let path = |ending: &str| -> PathBuf { folder.join(format!("{id}.{ending}")) };
        formats::write_atomic(&path("rttm"), rttm)?;
        match &self.pipeline {
            Some(_) => formats::write_atomic(&path("seglst.json"), seglst::render(id, said)),
            None => Ok(()),
        }
    }
}

/// A second in which nothing is said.
fn silence() -> Decoded {
    Decoded {
        others: Vec::new(),
        audio: Audio::new(vec![0.0; SAMPLE_RATE]),
        warnings: Vec::new(),
        codec: String::new(),
        source_rate: SAMPLE_RATE as u32,
        channels: 1,
    }
}

/// Who says what: the words of a segment up to where the speaker changes.
fn statements(transcript: &Transcript) -> Vec<Statement> {
    let mut said = Vec::new();
    for segment in &transcript.segments {
        for words in segment.words.chunk_by(|one, other| one.speaker == other.speaker) {
            let spans = words.iter().filter_map(|word| word.span);
            let span = spans.reduce(|all: Span, one| all.union(&one)).unwrap_or(segment.span);
            let speaker = words[0].speaker.or(segment.speaker).map_or_else(|| "-".to_owned(), |who| who.to_string());
            said.push(Statement { span, speaker, text: joined(words) });
        }
    }
    said
}

fn joined(words: &[Word]) -> String {
    let text: String =
        words.iter().map(|word| if word.spaced { format!(" {}", word.text) } else { word.text.clone() }).collect();
    text.trim().to_owned()
}
