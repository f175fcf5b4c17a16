//! Segmentation of a recording: overlapping windows, and in each of them who of its own three speakers is active when.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::stage::{Key, Stage};
use crate::{
    audio::Audio,
    error::{Error, Result},
    models::segmentation::{
        FRAME_LENGTH, FRAME_SHIFT, Segmenter,
        powerset::{CLASSES, LOCAL_SPEAKERS, Powerset},
    },
    ops::profile,
    progress::{StageName, Watch},
    span::{SAMPLE_RATE, Span, samples_of, seconds_of},
};

/// Samples in a window: the ten seconds that the network was trained on.
pub const WINDOW: usize = 10 * SAMPLE_RATE;
/// Seconds from one window to the next that diarization takes, as pyannote's pipelines do.
pub const STEP: f64 = 1.0;
/// Steps are a multiple of so many samples (0.6 ms), so that windows share their filters.
const STRIDE: usize = 10;
/// Windows of a stretch, at most: what they share is computed once, and a request's stretches wait for one another.
const STRETCH: usize = 16;
/// Stretches that are worth a batch on a device that is not the processor.
const DEVICE_BATCH: usize = 16;
/// Windows that one processor thread has at work.
const THREAD_BATCH: usize = 24;

/// What the segmentation network has heard in a recording.
///
/// Windows lie `step` samples apart; the last one reaches beyond the end of the recording where the windows do not fit it
/// exactly, and a recording shorter than a window has one window. Speakers are numbered within each window alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segmentation {
    /// Samples in the recording.
    pub samples: usize,
    /// Samples from the start of one window to the start of the next.
    pub step: usize,
    /// Frames in a window.
    pub frames: usize,
    /// Who is active, (windows, frames): bit k is the window's local speaker k, of [`LOCAL_SPEAKERS`]; at most two are set.
    /// Frames beyond the end of the recording are zero.
    pub activities: Vec<u8>,
    /// How likely anybody speaks, 0 to 1, (windows, frames). Frames beyond the end of the recording are zero.
    pub speech: Vec<f32>,
    /// How likely each local speaker is active, 0 to 1, (windows, frames). Frames beyond the end of the recording are zero.
    pub presence: Vec<[f32; LOCAL_SPEAKERS]>,
    /// How likely two speak at once, 0 to 1, (windows, frames). Frames beyond the end of the recording are zero.
    pub overlap: Vec<f32>,
}

impl Segmentation {
    /// The number of windows.
    pub fn windows(&self) -> usize {
        self.activities.len().checked_div(self.frames).unwrap_or(0)
    }

    /// Who is active in each frame of a window: (frames), one bit a local speaker.
    pub fn activity(&self, window: usize) -> &[u8] {
        &self.activities[window * self.frames..][..self.frames]
    }

    /// How likely anybody speaks in each frame of a window: (frames).
    pub fn speech(&self, window: usize) -> &[f32] {
        &self.speech[window * self.frames..][..self.frames]
    }

    /// How likely each local speaker is active in each frame of a window: (frames).
    pub fn presence(&self, window: usize) -> &[[f32; LOCAL_SPEAKERS]] {
        &self.presence[window * self.frames..][..self.frames]
    }

    /// How likely two speak at once in each frame of a window: (frames).
    pub fn overlap(&self, window: usize) -> &[f32] {
        &self.overlap[window * self.frames..][..self.frames]
    }

    /// What windows say of each frame of the recording, on the average: (windows, frames) -> (total frames).
    pub fn over_windows(&self, values: &[f32]) -> Vec<f32> {
        let mut sums = vec![0f32; self.total_frames()];
        let mut covering = vec![0f32; sums.len()];
        for (window, values) in values.chunks_exact(self.frames.max(1)).enumerate() {
            let first = self.first_frame(window);
            for ((sum, covering), value) in sums[first..].iter_mut().zip(&mut covering[first..]).zip(values) {
                *sum += value;
                *covering += 1.0;
            }
        }
        sums.iter_mut().zip(covering).for_each(|(sum, covering)| *sum /= covering.max(1.0));
        sums
    }

    /// Where a window's first frame lies on the grid of the whole recording, in frames: the nearest place, as in pyannote's
    /// `Inference.aggregate`. Frame f of the window is frame `first_frame + f` of the recording.
    pub fn first_frame(&self, window: usize) -> usize {
        (window * self.step + FRAME_SHIFT / 2) / FRAME_SHIFT
    }

    /// Frames on the grid of the whole recording, so that every frame of every window that lies in the recording has a place.
    pub fn total_frames(&self) -> usize {
        match self.windows() {
            0 => 0,
            windows => (self.first_frame(windows - 1) + self.frames).min(self.samples.div_ceil(FRAME_SHIFT)),
        }
    }

    /// The frame on the grid of the whole recording that speaks for a sample; the first one also speaks for what lies before it.
    pub fn frame_at(&self, sample: usize) -> usize {
        sample.saturating_sub((FRAME_LENGTH - FRAME_SHIFT) / 2) / FRAME_SHIFT
    }

    /// The moment that a frame on the grid of the whole recording speaks for, in seconds: `FRAME_SHIFT` samples around the
    /// middle of what the frame sees.
    pub fn frame_span(&self, frame: usize) -> Span {
        let start = frame * FRAME_SHIFT + (FRAME_LENGTH - FRAME_SHIFT) / 2;
        Span::from_samples(start..start + FRAME_SHIFT)
    }
}

/// Some windows of a recording, one after the other: what the network is given at a time.
#[derive(Debug, Clone)]
pub struct Stretch {
    audio: Audio,
    step: usize,
    windows: usize,
}

/// What the network has heard in the windows of a stretch, as in [`Segmentation`].
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    frames: usize,
    activities: Vec<u8>,
    speech: Vec<f32>,
    presence: Vec<[f32; LOCAL_SPEAKERS]>,
    overlap: Vec<f32>,
}

impl Heard {
    /// From log-probabilities (windows * frames * classes).
    fn new(frames: usize, log_probabilities: &[f32]) -> Self {
        let rows = || log_probabilities.as_chunks::<CLASSES>().0.iter();
        let likely = |row: &[f32; CLASSES], wanted: &dyn Fn(Powerset) -> bool| -> f32 {
            let classes = Powerset::ALL.iter().zip(row).filter(|(class, _)| wanted(**class));
            classes.map(|(_, log)| log.exp()).sum::<f32>().min(1.0)
        };
        Self {
            frames,
            activities: rows().map(|row| Powerset::most_likely(row).bits()).collect(),
            speech: rows().map(|row| (-row[Powerset::NOBODY].exp_m1()).clamp(0.0, 1.0)).collect(),
            presence: rows()
                .map(|row| std::array::from_fn(|speaker| likely(row, &|class| class.contains(speaker))))
                .collect(),
            overlap: rows().map(|row| likely(row, &|class| class.bits().count_ones() > 1)).collect(),
        }
    }
}

/// Where the windows of a recording lie, and what becomes of them.
#[derive(Debug, Clone)]
pub struct SegmentPlan {
    audio: Audio,
    step: usize,
    windows: usize,
}

impl SegmentPlan {
    /// Places windows over `audio`, `step` seconds apart: the nearest multiple of 0.6 ms.
    ///
    /// # Errors
    /// [`Error::Request`] when the step is not above zero and at most a window.
    pub fn new(audio: &Audio, step: f64) -> Result<Self> {
        let longest = seconds_of(WINDOW);
        if !(step > 0.0 && step <= longest) {
            return Err(Error::Request(format!(
                "windows must lie more than 0 and at most {longest} s apart, not {step}"
            )));
        }
        let step = (samples_of(step).next_multiple_of(STRIDE)).max(STRIDE);
        let samples = audio.samples().len();
        // A recording that the windows do not fit has one more, filled up with silence.
        let windows = if samples == 0 { 0 } else { samples.saturating_sub(WINDOW).div_ceil(step) + 1 };
        Ok(Self { audio: audio.clone(), step, windows })
    }

    /// The number of stretches.
    pub fn stretches(&self) -> usize {
        self.windows.div_ceil(STRETCH)
    }

    /// A stretch.
    pub fn stretch(&self, index: usize) -> Stretch {
        let first = index * STRETCH;
        let windows = STRETCH.min(self.windows.saturating_sub(first));
        let start = first * self.step;
        let end = start + windows.saturating_sub(1) * self.step + WINDOW;
        Stretch { audio: self.audio.slice(Span::from_samples(start..end)), step: self.step, windows }
    }

    /// Where the first window of a stretch begins, in seconds; for the one after the last, where the recording ends.
    pub fn start(&self, stretch: usize) -> f64 {
        seconds_of(stretch * STRETCH * self.step).min(self.audio.duration())
    }

    /// What all stretches, in their order, come to.
    pub fn conclude(&self, heard: Vec<Heard>) -> Segmentation {
        let samples = self.audio.samples().len();
        let frames = heard.first().map_or(0, |heard| heard.frames);
        let mut whole = Segmentation { samples, step: self.step, frames, ..Segmentation::default() };
        for stretch in heard {
            whole.activities.extend(stretch.activities);
            whole.speech.extend(stretch.speech);
            whole.presence.extend(stretch.presence);
            whole.overlap.extend(stretch.overlap);
        }
        // In silence that was not recorded nobody speaks.
        for index in 0..whole.activities.len() {
            let middle = index / frames * self.step + index % frames * FRAME_SHIFT + FRAME_LENGTH / 2;
            if middle >= samples {
                (whole.activities[index], whole.speech[index], whole.overlap[index]) = (0, 0.0, 0.0);
                whole.presence[index] = [0.0; LOCAL_SPEAKERS];
            }
        }
        whole
    }
}

/// What the network hears in each of `stretches`, whose windows share batches.
///
/// # Errors
/// When a tensor operation fails.
pub fn hear(network: &Segmenter, stretches: &[&Stretch]) -> Result<Vec<Heard>> {
    let _stage = profile::stage(profile::Stage::Segmentation);
    let features = stretches
        .iter()
        .map(|stretch| network.features(stretch.audio.samples(), WINDOW, stretch.step, stretch.windows))
        .collect::<candle_core::Result<Vec<_>>>()?;
    if features.is_empty() {
        return Ok(Vec::new());
    }
    let logs = network.classify(&Tensor::cat(&features, 0)?)?; // (windows, frames, classes)
    let (_, frames, classes) = logs.dims3()?;
    let logs = logs.flatten_all()?.to_vec1::<f32>()?;
    let mut rest = logs.as_slice();
    let each = stretches.iter().map(|stretch| {
        let (own, others) = rest.split_at(stretch.windows * frames * classes);
        rest = others;
        Heard::new(frames, own)
    });
    Ok(each.collect())
}

/// Who is active when in `audio`, in windows `step` seconds apart.
///
/// # Errors
/// As [`SegmentPlan::new`], [`Error::Cancelled`], or a tensor operation that failed.
pub fn segment(network: &Segmenter, device: &Device, audio: &Audio, step: f64, watch: &Watch) -> Result<Segmentation> {
    let plan = SegmentPlan::new(audio, step)?;
    let together = places(device);
    let mut heard = Vec::with_capacity(plan.stretches());
    for first in (0..plan.stretches()).step_by(together) {
        watch.step(StageName::Diarize, plan.start(first), audio.duration())?;
        let stretches: Vec<Stretch> =
            (first..plan.stretches().min(first + together)).map(|index| plan.stretch(index)).collect();
        heard.extend(hear(network, &stretches.iter().collect::<Vec<_>>())?);
    }
    watch.step(StageName::Diarize, audio.duration(), audio.duration())?;
    Ok(plan.conclude(heard))
}

/// Stretches at work together: enough windows for every thread, and little more, since a batch is not left before its end.
fn places(device: &Device) -> usize {
    if device.is_cpu() { (THREAD_BATCH * rayon::current_num_threads()).div_ceil(STRETCH) } else { DEVICE_BATCH }
}

/// The stage.
pub struct SegmentStage {
    network: Segmenter,
    places: usize,
    inside: Vec<(Key, Arc<Stretch>)>,
}

impl SegmentStage {
    /// A stage around the network, which lies on `device`.
    pub fn new(network: Segmenter, device: &Device) -> Self {
        Self { network, places: places(device), inside: Vec::new() }
    }
}

impl Stage for SegmentStage {
    type Job = Stretch;
    type Output = Heard;
    const NAME: &'static str = "segments";

    fn places(&self) -> usize {
        self.places
    }

    fn set_places(&mut self, places: usize) {
        self.places = places;
    }

    fn intake(&self) -> usize {
        self.places
    }

    fn admit(&mut self, jobs: Vec<(Key, Arc<Stretch>)>) -> Result<()> {
        self.inside.extend(jobs);
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<(Key, Result<Heard>)>> {
        let stretches: Vec<&Stretch> = self.inside.iter().map(|(_, stretch)| stretch.as_ref()).collect();
        let heard = hear(&self.network, &stretches)?;
        let keys = std::mem::take(&mut self.inside).into_iter().map(|(key, _)| key);
        Ok(keys.zip(heard.into_iter().map(Ok)).collect())
    }

    fn dismiss(&mut self, key: Key) {
        self.inside.retain(|(inside, _)| *inside != key);
    }

    fn clear(&mut self) {
        self.inside.clear();
    }
}
