//! Whole recordings: from samples to words with times, everything that the processor does included.

use std::sync::Arc;

use palabra::{
    Result,
    audio::decode::Decoded,
    device::Compute,
    engine::{Engine, EngineOptions, Keep, Options, Pipeline},
    language::Language,
    progress::Watch,
    span::SAMPLE_RATE,
    stages::{diarize::DiarizeOptions, language::LanguageChoice, transcribe::TranscribeOptions},
    weights::Store,
};

use super::{
    input::Input,
    subject::{Output, Stage, Subject},
};

/// All of it, without and with speakers.
pub const STAGES: [Stage<Whole>; 2] = [("whole recording", text), ("whole recording, speakers", speakers)];

/// What transcribes.
pub struct Whole {
    pipeline: Arc<Pipeline>,
}

impl Whole {
    /// Loads everything, for batches up to `largest`.
    ///
    /// # Errors
    /// When a model cannot be had or does not fit.
    pub fn load(store: &Store, compute: &Compute, model: &str, largest: usize, watch: &Watch) -> Result<Self> {
        let options = EngineOptions {
            batch_size: largest,
            spare: 0,
            keep: Keep { models: None, ..Keep::default() },
            repositories: true,
            folders: true,
            ..EngineOptions::default()
        };
        let engine = Engine::new(store.clone(), compute.clone(), options);
        engine.warm_speakers(watch)?;
        Ok(Self { pipeline: engine.pipeline(model, None, watch)? })
    }

    /// Transcribes a recording of so many chunks.
    fn transcribe(&self, input: &Input, rows: usize, speakers: bool) -> Result<Output> {
        let options = Options {
            transcribe: TranscribeOptions {
                language: LanguageChoice::Fixed(Language::ENGLISH),
                batch_size: rows,
                ..TranscribeOptions::default()
            },
            diarize: speakers.then(DiarizeOptions::default),
            ..Options::default()
        };
        self.pipeline.transcribe(decoded(input, rows), 0.0, &options, &Watch::silent())?;
        Ok(Output::Hidden)
    }
}

fn decoded(input: &Input, rows: usize) -> Decoded {
    Decoded {
        audio: input.recording(rows),
        others: Vec::new(),
        warnings: Vec::new(),
        codec: String::new(),
        source_rate: SAMPLE_RATE as u32,
        channels: 1,
    }
}

fn text<'a>(whole: &'a Whole, input: &'a Input, rows: usize) -> Result<Subject<'a>> {
    Ok(Subject::new(None, Box::new(move || whole.transcribe(input, rows, false))))
}

fn speakers<'a>(whole: &'a Whole, input: &'a Input, rows: usize) -> Result<Subject<'a>> {
    Ok(Subject::new(None, Box::new(move || whole.transcribe(input, rows, true))))
}
