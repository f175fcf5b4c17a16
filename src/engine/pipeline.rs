//! One request from audio to transcript.

use std::time::Instant;

use super::load::Models;
use crate::{
    audio::{Audio, decode::Decoded},
    error::{Error, Result},
    language::Language,
    progress::Watch,
    span::Span,
    stages::{
        chunk::{self, ChunkOptions},
        diarize::{self, Diarization, DiarizeOptions},
        transcribe::{TranscribeOptions, Transcription},
        vad::{self, VadOptions},
    },
    transcript::{Segment, Timings, Transcript},
};

/// How words get their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Align {
    /// The best way at hand.
    #[default]
    Auto,
    /// Cross-attention and dynamic time warping.
    Dtw,
    /// No word times; segments get the times that Whisper writes.
    Off,
}

/// What a request asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How speech is found.
    pub vad: VadOptions,
    /// How it is cut.
    pub chunk: ChunkOptions,
    /// How it is written. `timestamps` and `word_times` follow from `align`.
    pub transcribe: TranscribeOptions,
    /// Word times.
    pub align: Align,
    /// Speakers, when wanted.
    pub diarize: Option<DiarizeOptions>,
}

impl Options {
    /// Checks everything that can be checked without a model.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option and the remedy.
    pub fn validate(&self) -> Result<()> {
        self.vad.validate()?;
        self.chunk.validate()?;
        self.transcribe.validate()?;
        self.diarize.as_ref().map_or(Ok(()), |wanted| wanted.bounds().map(|_| ()))
    }
}

/// A text whose words want times.
#[derive(Debug, Clone, PartialEq)]
pub enum GivenText {
    /// What is said in the whole recording.
    Whole(String),
    /// What is said when: in order of time.
    Pieces(Vec<(Span, String)>),
}

/// Models that are ready, and the stages in order.
pub struct Pipeline {
    models: Models,
    load_seconds: f64,
}

impl Pipeline {
    /// Wraps loaded models; `load_seconds` is what loading took, for the timings.
    pub fn new(models: Models, load_seconds: f64) -> Self {
        Self { models, load_seconds }
    }

    /// The models.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Transcribes decoded audio. `decode_seconds` is what decoding took, for the timings.
    ///
    /// # Errors
    /// [`Error::Request`] for options that cannot be, [`Error::Cancelled`], or a failed tensor operation.
    pub fn transcribe(
        &self,
        decoded: Decoded,
        decode_seconds: f64,
        options: &Options,
        watch: &Watch,
    ) -> Result<Transcript> {
        options.validate()?;
        let mut clock = Clock { timings: vec![("load", self.load_seconds), ("decode", decode_seconds)] };
        let audio = decoded.audio;

        let speech = clock.time("vad", || vad::detect(&self.models.voice, &audio, &options.vad, watch))?;
        let chunks = chunk::chunks(&audio, &speech, &options.chunk)?;
        let word_times = options.align != Align::Off;
        let wanted = TranscribeOptions { word_times, timestamps: !word_times, ..options.transcribe.clone() };
        let said = clock.time("transcribe", || self.models.transcriber.transcribe(&chunks, &wanted, watch))?;
        clock.split("transcribe", "align", said.align_time.as_secs_f64());
        let spoken = clock.time("diarize", || self.diarize(&audio, &speech.probabilities, options, watch))?;

        let Transcription { utterances, language, language_probability, warnings, .. } = said;
        let mut transcript = Transcript::assemble(utterances, spoken.turns);
        transcript.voices = spoken.voices;
        transcript.language = language;
        transcript.language_probability = language_probability;
        transcript.duration = audio.duration();
        transcript.warnings = decoded.warnings;
        if speech.spans.is_empty() {
            transcript.warnings.push("no speech was found in the recording".into());
        }
        transcript.warnings.extend(warnings);
        transcript.timings = clock.finish();
        Ok(transcript)
    }

    /// As [`Pipeline::transcribe`]; `listener` hears the segments, in order of time, as soon as they are known.
    ///
    /// # Errors
    /// As [`Pipeline::transcribe`].
    pub fn transcribe_live(
        &self,
        decoded: Decoded,
        decode_seconds: f64,
        options: &Options,
        watch: &Watch,
        listener: &mut dyn FnMut(Vec<Segment>),
    ) -> Result<Transcript> {
        let transcript = self.transcribe(decoded, decode_seconds, options, watch)?;
        listener(transcript.segments.clone());
        Ok(transcript)
    }

    /// Refuses options that cannot be, or that this checkpoint cannot serve.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option and the remedy.
    pub fn check(&self, options: &Options) -> Result<()> {
        options.validate()?;
        self.models.transcriber.check(&options.transcribe)
    }

    /// The language of a recording, likeliest first, with probabilities; empty where nothing is said.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or a failed tensor operation.
    pub fn detect_language(&self, _decoded: Decoded, _watch: &Watch) -> Result<Vec<(Language, f32)>> {
        Err(Error::Bug("not yet".into()))
    }

    /// Times the words of a given text. The result has the segments that were given, or sentences.
    ///
    /// # Errors
    /// [`Error::Request`] for a text that cannot be placed, [`Error::Cancelled`], or a failed tensor operation.
    pub fn align(
        &self,
        _decoded: Decoded,
        _decode_seconds: f64,
        _text: &GivenText,
        _options: &Options,
        _watch: &Watch,
    ) -> Result<Transcript> {
        Err(Error::Bug("not yet".into()))
    }

    /// The bytes that a token of the vocabulary writes: UTF-8, of which a token may hold a part of a character.
    pub fn token_bytes(&self, _id: u32) -> Vec<u8> {
        Vec::new()
    }

    fn diarize(&self, audio: &Audio, probabilities: &[f32], options: &Options, watch: &Watch) -> Result<Diarization> {
        let Some(wanted) = &options.diarize else { return Ok(Diarization::default()) };
        let Some(embedder) = &self.models.speaker else {
            return Err(Error::Bug("speakers were asked for without a speaker model".into()));
        };
        let speech = vad::speech_spans(probabilities, audio.samples().len(), &diarize::speech_options());
        let device = &self.models.transcriber.compute().device;
        diarize::diarize(embedder, device, audio, &speech, wanted, watch)
    }
}

/// Seconds per stage.
struct Clock {
    timings: Vec<(&'static str, f64)>,
}

impl Clock {
    fn time<T>(&mut self, stage: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = work()?;
        self.timings.push((stage, started.elapsed().as_secs_f64()));
        Ok(result)
    }

    /// Moves `seconds` of the stage `from` into a stage of their own after it.
    fn split(&mut self, from: &str, into: &'static str, seconds: f64) {
        if let Some(place) = self.timings.iter().position(|(stage, _)| *stage == from) {
            self.timings[place].1 -= seconds;
            self.timings.insert(place + 1, (into, seconds));
        }
    }

    fn finish(mut self) -> Timings {
        let total = self.timings.iter().map(|(_, seconds)| seconds).sum();
        self.timings.push(("total", total));
        Timings(self.timings)
    }
}
