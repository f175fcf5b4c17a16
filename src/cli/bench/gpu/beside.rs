//! The stages beside Whisper: the aligner head and its search, speakers, voice detection. One function each.

use std::sync::Arc;

use candle_core::{D, DType, Tensor};
use candle_nn::ops::log_softmax;
use palabra::{
    Error, Result,
    audio::Audio,
    device::Compute,
    engine,
    models::{
        aligner::Aligner,
        segmentation::{self, Segmenter},
        silero::Silero,
        speaker::{SpeakerEmbedder, campplus},
        whisper::MEL_FRAMES,
    },
    ops::{
        best_paths::{Search, best_paths},
        ctc::{Chain, Emission, State},
    },
    progress::Watch,
    stages::{
        embed::{FeatureExtractor, Window, embed, features},
        segment::{STEP, SegmentPlan, hear},
    },
    weights::Store,
};

use super::{
    input::{CHUNK, Input},
    subject::{Output, Stage, Subject, noise},
};
use crate::cli::bench::cost::listeners::{self, Head};

/// All stages.
pub const STAGES: [Stage<Listeners>; 6] = [
    ("aligner: head", head),
    ("aligner: path", path),
    ("speakers: segmentation", segmentation),
    ("speakers: filterbank", filterbank),
    ("speakers: embeddings", embeddings),
    ("voice detection (processor)", voice),
];

/// Characters in a chunk's text.
const CHARACTERS: usize = 400;
/// Seconds of an embedded window, and of the way to the next.
const WINDOW: f64 = 1.5;
const HOP: f64 = 0.5;

/// The networks, on one device.
pub struct Listeners {
    compute: Compute,
    head: Aligner,
    segmenter: Segmenter,
    embedder: SpeakerEmbedder,
    extractor: FeatureExtractor,
    voice: Silero,
}

impl Listeners {
    /// Loads the default models, fetched where they are not there. They compute in f32.
    ///
    /// # Errors
    /// [`Error::Weights`] for a model that cannot be had or read; [`Error::Cancelled`].
    pub fn load(store: &Store, compute: &Compute, watch: &Watch) -> Result<Self> {
        let compute = Compute { dtype: DType::F32, ..compute.clone() };
        let head = engine::aligner_heads(&compute)?.into_iter().next();
        let embedder = engine::embedder(&store.fetch("campplus", watch)?, &compute)?;
        Ok(Self {
            head: head.ok_or_else(|| Error::Bug("there is no aligner head".into()))?,
            segmenter: engine::segmenter(&store.fetch("segmentation-3.0", watch)?, &compute)?,
            extractor: FeatureExtractor::new(embedder.features(), &compute.device),
            embedder,
            voice: engine::voice(&store.fetch("silero-vad", watch)?)?,
            compute,
        })
    }

    /// Where they compute.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }
}

/// The head for English, chunk by chunk, as it runs beside a batch.
fn head<'a>(listeners: &'a Listeners, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let Head { inputs, taps, bins, .. } = Head::ENGLISH;
    let tensor = |time: usize, channels: usize, seed: u32| {
        let values = noise(time * channels, 1.0, seed);
        Tensor::from_vec(values, (1, time, channels), &listeners.compute.device)
    };
    let mel = tensor(MEL_FRAMES, bins, 1)?;
    let states = (0..taps as u32).map(|tap| tensor(MEL_FRAMES / 2, inputs, 2 + tap)?.to_dtype(DType::BF16));
    let states = states.collect::<candle_core::Result<Vec<_>>>()?;
    let run = move || {
        let mut heard = None;
        for _ in 0..rows {
            heard = Some(listeners.head.forward(&mel, &states, MEL_FRAMES / 2)?.ctc);
        }
        Ok(heard.map_or(Output::Hidden, Output::Tensor))
    };
    Ok(Subject::new(Head::ENGLISH.work(rows), Box::new(run)))
}

/// The path of a text through what a head hears, once through each of its outputs.
fn path<'a>(listeners: &'a Listeners, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let (frames, columns) = (MEL_FRAMES / 2, Head::ENGLISH.labels + 2);
    let values = Tensor::from_vec(noise(frames * columns, 5.0, 1), (frames, columns), &candle_core::Device::Cpu)?;
    let values: Vec<f32> = log_softmax(&values, D::Minus1)?.flatten_all()?.to_vec1()?;
    let emission = Arc::new(Emission { values, columns });
    let tokens: Vec<u32> = (0..CHARACTERS).map(|place| 1 + (place * 7 % (columns - 1)) as u32).collect();
    let chain = Chain { gaps: vec![0; CHARACTERS + 1], skips: vec![true; CHARACTERS], tokens };
    let run = move || {
        // Two passes over every chunk.
        let searches = vec![Search { emission: &emission, chain: &chain, windows: None }; 2 * rows];
        let found = best_paths(&searches, &listeners.compute.device)?.pop().flatten();
        let place = |state: &State| match *state {
            State::Gap(place) => 2 * place,
            State::Token(place) => 2 * place + 1,
        };
        Ok(Output::Numbers(found.unwrap_or_default().iter().map(|state| place(state) as f32).collect()))
    };
    Ok(Subject::new(listeners::best_path(rows, frames, CHARACTERS, columns), Box::new(run)))
}

fn segmentation<'a>(listeners: &'a Listeners, input: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let plan = SegmentPlan::new(&input.recording(rows), STEP)?;
    let stretches: Vec<_> = (0..plan.stretches()).map(|index| plan.stretch(index)).collect();
    let windows = 1 + (rows * CHUNK - segment_window()) / (CHUNK / 30);
    let run = move || {
        let heard = hear(&listeners.segmenter, &stretches.iter().collect::<Vec<_>>())?;
        Ok(Output::Numbers(plan.conclude(heard).speech))
    };
    let work = listeners::segmentation(&segmentation::Config::default(), windows);
    Ok(Subject::new(work, Box::new(run)))
}

fn segment_window() -> usize {
    palabra::stages::segment::WINDOW
}

/// The samples of the windows that are embedded.
fn windows(input: &Input, rows: usize) -> Vec<Audio> {
    let audio = input.recording(rows);
    let count = (rows as f64 * 30.0 / HOP) as usize - (WINDOW / HOP) as usize + 1;
    let span = |index: usize| palabra::span::Span::new(index as f64 * HOP, index as f64 * HOP + WINDOW);
    (0..count).map(|index| audio.slice(span(index))).collect()
}

fn filterbank<'a>(listeners: &'a Listeners, input: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let windows = windows(input, rows);
    let (count, frames) = (windows.len(), listeners.extractor.frames((WINDOW * 16_000.0) as usize));
    let run = move || {
        let made: Vec<Window> = windows
            .iter()
            .map(|window| listeners.extractor.whole_window(window.samples()))
            .collect::<std::result::Result<_, _>>()?;
        let bins = listeners.embedder.features().bins();
        Ok(Output::Tensor(features(&made.iter().collect::<Vec<_>>(), bins, &listeners.compute.device)?))
    };
    let work = listeners::filterbank(count, frames, listeners.embedder.features().bins());
    Ok(Subject::new(work, Box::new(run)))
}

fn embeddings<'a>(listeners: &'a Listeners, input: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let made = windows(input, rows).into_iter().map(|window| listeners.extractor.whole_window(window.samples()));
    let windows: Vec<Window> = made.collect::<Result<_>>()?;
    let (count, frames) = (windows.len(), windows.first().map_or(0, |window| window.frames));
    let run = move || {
        let made = embed(&listeners.embedder, &listeners.compute.device, &windows.iter().collect::<Vec<_>>())?;
        Ok(Output::Numbers(made.into_iter().flatten().flatten().flatten().collect()))
    };
    let work = listeners::embedder(&campplus::Config::default(), count, frames, count);
    Ok(Subject::new(work, Box::new(run)))
}

/// On the processor, whatever the device.
fn voice<'a>(listeners: &'a Listeners, input: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let audio = input.recording(rows);
    let run = move || Ok(Output::Numbers(listeners.voice.probabilities(audio.samples(), &Watch::silent())?));
    Ok(Subject::new(None, Box::new(run)))
}
