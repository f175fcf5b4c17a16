//! Voice detection: from the probability of speech per window to the stretches that hold speech.
//!
//! Reference: `get_speech_timestamps_from_probs` of silero-vad 6.2 without a longest speech; long stretches are the
//! business of [`chunk`](super::chunk). The probabilities come from Silero VAD or, where the caller prefers it, from the
//! segmentation network that diarization hears with.

use std::{ops::Range, str::FromStr};

use super::segment::Segmentation;
use crate::{
    audio::Audio,
    error::{Error, Result},
    models::silero::{Silero, WINDOW},
    ops::profile,
    progress::Watch,
    span::{Span, samples_of},
};

/// The network that hears where there is speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VoiceDetector {
    /// Silero VAD 6: quick.
    #[default]
    Silero,
    /// pyannote's segmentation network: slower; it costs nothing beside diarization, which hears with it anyway.
    Pyannote,
}

impl VoiceDetector {
    /// All of them, by the names that users type.
    pub const NAMES: [(&str, Self); 2] = [("silero", Self::Silero), ("pyannote", Self::Pyannote)];
}

impl FromStr for VoiceDetector {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
        found
            .map(|(_, detector)| *detector)
            .ok_or_else(|| Error::Request(format!("unknown voice detector '{name}': choose silero or pyannote")))
    }
}

/// How speech is heard, and how probabilities become stretches of it.
#[derive(Debug, Clone, PartialEq)]
pub struct VadOptions {
    /// The network that gives the probabilities.
    pub detector: VoiceDetector,
    /// Speech begins at this probability.
    pub onset: f32,
    /// Speech may end below this probability.
    pub offset: f32,
    /// Shorter speech is dropped, in seconds.
    pub min_speech: f64,
    /// Shorter silence does not end speech, in seconds.
    pub min_silence: f64,
    /// Kept before and after speech, in seconds, where there is room.
    pub pad: f64,
}

impl Default for VadOptions {
    /// Those of the default detector.
    fn default() -> Self {
        Self::of(VoiceDetector::default())
    }
}

impl VadOptions {
    /// A detector's defaults: those of silero-vad 6.2, and those with which WhisperX runs pyannote's network.
    pub fn of(detector: VoiceDetector) -> Self {
        match detector {
            VoiceDetector::Silero => {
                Self { detector, onset: 0.5, offset: 0.35, min_speech: 0.25, min_silence: 0.1, pad: 0.03 }
            }
            VoiceDetector::Pyannote => {
                Self { detector, onset: 0.5, offset: 0.363, min_speech: 0.1, min_silence: 0.1, pad: 0.03 }
            }
        }
    }

    /// A detector's defaults with the thresholds that the caller names. An offset that is not named lies as far below the
    /// onset as it does by default.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn with_thresholds(detector: VoiceDetector, onset: Option<f32>, offset: Option<f32>) -> Result<Self> {
        let defaults = Self::of(detector);
        let below = defaults.onset - defaults.offset;
        let onset = onset.unwrap_or(defaults.onset);
        let offset = offset.unwrap_or_else(|| (onset - below).max(0.01).min(onset));
        let options = Self { onset, offset, ..defaults };
        options.validate()?;
        Ok(options)
    }

    /// Checks that the thresholds are probabilities in order and that no time is negative.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option.
    pub fn validate(&self) -> Result<()> {
        let Self { onset, offset, .. } = *self;
        if !(onset > 0.0 && onset < 1.0) {
            return Err(Error::Request(format!("--vad-onset must lie between 0 and 1, not be {onset}")));
        }
        if !(offset > 0.0 && offset <= onset) {
            return Err(Error::Request(format!(
                "--vad-offset must lie above 0 and at most at --vad-onset ({onset}), not be {offset}"
            )));
        }
        for (name, seconds) in
            [("shortest speech", self.min_speech), ("shortest silence", self.min_silence), ("padding", self.pad)]
        {
            if !(seconds.is_finite() && seconds >= 0.0) {
                return Err(Error::Request(format!(
                    "the {name} of voice detection must be zero or more seconds, not {seconds}"
                )));
            }
        }
        Ok(())
    }
}

/// What voice detection has heard.
#[derive(Debug, Clone)]
pub struct Detection {
    /// Where there is speech, in seconds: in order and disjoint.
    pub spans: Vec<Span>,
    /// The probability of speech in each [`WINDOW`] of samples.
    pub probabilities: Vec<f32>,
}

/// Finds the speech in `audio` with Silero VAD, whatever detector the options name.
///
/// # Errors
/// [`Error::Request`] for options that cannot be, [`Error::Cancelled`], or a tensor operation that failed.
pub fn detect(model: &Silero, audio: &Audio, options: &VadOptions, watch: &Watch) -> Result<Detection> {
    let _stage = profile::stage(profile::Stage::VoiceDetection);
    options.validate()?;
    let samples = audio.samples();
    let probabilities = model.probabilities(samples, watch)?;
    let spans = speech_spans(&probabilities, samples.len(), options);
    Ok(Detection { spans, probabilities })
}

/// Finds the speech in a recording, given what the segmentation network has heard in it.
///
/// # Errors
/// [`Error::Request`] for options that cannot be.
pub fn detect_in(segmentation: &Segmentation, options: &VadOptions) -> Result<Detection> {
    options.validate()?;
    let probabilities = in_windows(segmentation);
    let spans = speech_spans(&probabilities, segmentation.samples, options);
    Ok(Detection { spans, probabilities })
}

/// How likely anybody speaks, frame by frame on the average of the windows that heard it, brought into [`WINDOW`]s: of each,
/// the mean of the frames in it, weighted by how much of it they speak for.
fn in_windows(segmentation: &Segmentation) -> Vec<f32> {
    let likely = segmentation.over_windows(&segmentation.speech);
    let Some(last) = likely.len().checked_sub(1) else {
        return vec![0.0; segmentation.samples.div_ceil(WINDOW)];
    };
    let frame_at = |sample: usize| segmentation.frame_at(sample).min(last);
    let in_window = |start: usize| {
        let end = (start + WINDOW).min(segmentation.samples);
        let (mut sum, mut weight) = (0.0, 0.0);
        for (frame, likely) in likely.iter().enumerate().take(frame_at(end) + 1).skip(frame_at(start)) {
            let own = segmentation.frame_span(frame).samples();
            let shared = own.end.min(end).saturating_sub(own.start.max(start)) as f32;
            (sum, weight) = (sum + shared * likely, weight + shared);
        }
        // Before the first frame and after the last there is only the nearest one.
        if weight > 0.0 { sum / weight } else { likely[frame_at(start)] }
    };
    (0..segmentation.samples).step_by(WINDOW).map(in_window).collect()
}

/// The stretches of speech in a recording of `samples` samples, given the `probabilities` of its windows.
pub fn speech_spans(probabilities: &[f32], samples: usize, options: &VadOptions) -> Vec<Span> {
    let mut finder = SpeechFinder::new(options);
    let mut regions: Vec<Range<usize>> = probabilities.iter().filter_map(|&likely| finder.push(likely)).collect();
    regions.extend(finder.finish(samples));
    regions.into_iter().map(Span::from_samples).collect()
}

/// Finds stretches of speech in a recording that goes on: takes probabilities window by window, and gives a stretch as soon as
/// the one after it is known, with which it shares the silence between them.
#[derive(Debug, Clone)]
pub struct SpeechFinder {
    onset: f32,
    offset: f32,
    min_speech: usize,
    min_silence: usize,
    pad: usize,
    /// Samples that have been told of.
    now: usize,
    /// Where the speech began that has not ended.
    begun: Option<usize>,
    silent_since: Option<usize>,
    /// The last stretch, widened at its start alone.
    last: Option<Range<usize>>,
}

impl SpeechFinder {
    /// Nothing has been heard yet.
    pub fn new(options: &VadOptions) -> Self {
        let &VadOptions { onset, offset, min_speech, min_silence, pad, .. } = options;
        let [min_speech, min_silence, pad] = [min_speech, min_silence, pad].map(samples_of);
        Self { onset, offset, min_speech, min_silence, pad, now: 0, begun: None, silent_since: None, last: None }
    }

    /// Takes the probability of the next window; a stretch in samples that is known by it. Speech begins at the onset, and ends
    /// where the probability fell below the offset and stayed below the onset for the shortest silence.
    pub fn push(&mut self, probability: f32) -> Option<Range<usize>> {
        let now = self.now;
        self.now += WINDOW;
        if probability >= self.onset {
            self.silent_since = None;
            self.begun.get_or_insert(now);
            return None;
        }
        let start = self.begun.filter(|_| probability < self.offset)?;
        let end = *self.silent_since.get_or_insert(now);
        if now - end < self.min_silence {
            return None;
        }
        (self.begun, self.silent_since) = (None, None);
        self.close(start..end)
    }

    /// What is left at the end of a recording of `samples` samples.
    pub fn finish(mut self, samples: usize) -> impl Iterator<Item = Range<usize>> {
        let before = self.begun.take().and_then(|start| self.close(start..samples.max(start)));
        let last = self.last.take().map(|last| last.start..(last.end + self.pad).min(samples));
        before.into_iter().chain(last)
    }

    /// Takes a stretch that is complete, and gives the one before it. Both are widened; neighbours share a silence that is too
    /// short for both.
    fn close(&mut self, region: Range<usize>) -> Option<Range<usize>> {
        if region.len() <= self.min_speech {
            return None;
        }
        let Some(before) = self.last.take() else {
            self.last = Some(region.start.saturating_sub(self.pad)..region.end);
            return None;
        };
        let silence = region.start - before.end;
        let share = if silence < 2 * self.pad { silence / 2 } else { self.pad };
        self.last = Some(region.start - share..region.end);
        Some(before.start..before.end + share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One probability per window: `(windows, probability)` in a row.
    fn probabilities(runs: &[(usize, f32)]) -> Vec<f32> {
        runs.iter().flat_map(|&(count, value)| std::iter::repeat_n(value, count)).collect()
    }

    fn ranges(runs: &[(usize, f32)], options: &VadOptions) -> Vec<(usize, usize)> {
        let probabilities = probabilities(runs);
        let spans = speech_spans(&probabilities, probabilities.len() * WINDOW, options);
        spans.iter().map(|span| (span.samples().start, span.samples().end)).collect()
    }

    #[test]
    fn speech_is_padded_and_ends_at_the_first_silent_window() {
        let runs = [(10, 0.1), (20, 0.9), (10, 0.1)];
        assert_eq!(ranges(&runs, &VadOptions::default()), [(10 * 512 - 480, 30 * 512 + 480)]);
    }

    #[test]
    fn between_offset_and_onset_speech_goes_on_but_does_not_begin() {
        let options = VadOptions { pad: 0.0, ..VadOptions::default() };
        assert_eq!(ranges(&[(10, 0.4), (10, 0.6), (10, 0.4), (10, 0.2)], &options), [(10 * 512, 30 * 512)]);
    }

    #[test]
    fn a_short_silence_joins_and_short_speech_is_dropped() {
        let options = VadOptions { pad: 0.0, ..VadOptions::default() };
        assert_eq!(ranges(&[(10, 0.9), (3, 0.1), (10, 0.9), (9, 0.1)], &options), [(0, 23 * 512)]);
        assert_eq!(ranges(&[(5, 0.1), (7, 0.9), (20, 0.1)], &options), []);
    }

    #[test]
    fn neighbours_share_a_gap_that_is_too_short_for_both_pads() {
        let options = VadOptions { pad: 0.2, ..VadOptions::default() };
        let spans = ranges(&[(10, 0.9), (5, 0.1), (10, 0.9)], &options);
        assert_eq!(spans, [(0, 10 * 512 + 1280), (15 * 512 - 1280, 25 * 512)]);
    }

    #[test]
    fn nothing_in_nothing_out_and_speech_may_reach_the_end() {
        let options = VadOptions::default();
        assert_eq!(speech_spans(&[], 0, &options), []);
        assert_eq!(ranges(&[(50, 0.01)], &options), []);
        assert_eq!(ranges(&[(10, 0.1), (10, 0.9)], &options), [(10 * 512 - 480, 20 * 512)]);
    }

    #[test]
    fn options_that_cannot_be_are_refused_by_name() {
        for (onset, offset, name) in [
            (Some(0.0), None, "--vad-onset"),
            (Some(1.0), None, "--vad-onset"),
            (Some(f32::NAN), None, "--vad-onset"),
            (None, Some(0.0), "--vad-offset"),
            (Some(0.3), Some(0.4), "--vad-offset"),
            (None, Some(f32::NAN), "--vad-offset"),
        ] {
            for (_, detector) in VoiceDetector::NAMES {
                let message = VadOptions::with_thresholds(detector, onset, offset).map_err(|error| error.to_string());
                assert!(message.as_ref().is_err_and(|text| text.contains(name)), "{message:?}");
            }
        }
        assert!(VadOptions { min_speech: -1.0, ..VadOptions::default() }.validate().is_err());
    }

    #[test]
    fn an_offset_that_is_not_named_follows_the_onset() {
        for (detector, onset, expected) in [
            (VoiceDetector::Silero, 0.3, 0.15),
            (VoiceDetector::Silero, 0.1, 0.01),
            (VoiceDetector::Pyannote, 0.5, 0.363),
            (VoiceDetector::Pyannote, 0.4, 0.263),
        ] {
            let offset = VadOptions::with_thresholds(detector, Some(onset), None).map(|options| options.offset);
            assert!(offset.as_ref().is_ok_and(|offset| (offset - expected).abs() < 1e-6), "{detector:?}: {offset:?}");
        }
    }

    #[test]
    fn detectors_have_names() {
        assert_eq!("Pyannote".parse::<VoiceDetector>().ok(), Some(VoiceDetector::Pyannote));
        assert_eq!("silero".parse::<VoiceDetector>().ok(), Some(VoiceDetector::default()));
        let message = "webrtc".parse::<VoiceDetector>().map_err(|error| error.to_string());
        assert!(message.is_err_and(|text| text.contains("'webrtc'") && text.contains("pyannote")));
    }

    /// A recording of 12 s in windows of 10 s, 1 s apart, in which somebody speaks from frame `from` of the recording on.
    fn segmentation(from: usize) -> Segmentation {
        let mut segmentation = Segmentation { samples: 192_000, step: 16_000, frames: 589, ..Segmentation::default() };
        for window in 0..3 {
            let first = (window * 16_000 + 135) / 270;
            segmentation.activities.extend((0..589).map(|frame| u8::from(first + frame >= from)));
            segmentation.speech.extend((0..589).map(|frame| if first + frame >= from { 0.9 } else { 0.1 }));
        }
        segmentation
    }

    #[test]
    fn speech_of_the_segmentation_is_found_where_it_is() {
        let options = VadOptions { pad: 0.0, ..VadOptions::of(VoiceDetector::Pyannote) };
        for from in [100, 237, 500] {
            let segmentation = segmentation(from);
            let found = detect_in(&segmentation, &options).unwrap();
            assert_eq!(found.probabilities.len(), 192_000 / WINDOW);
            assert_eq!((found.probabilities[0], found.probabilities[374]), (0.1, 0.9));
            let [span] = found.spans.as_slice() else { panic!("{:?}", found.spans) };
            let begins = segmentation.frame_span(from).start;
            assert!((span.start - begins).abs() < 0.032 && span.end == 12.0, "{span:?} for {begins}");
        }
        let silent = detect_in(&Segmentation { samples: 1000, ..Segmentation::default() }, &options).unwrap();
        assert_eq!((silent.spans.len(), silent.probabilities.as_slice()), (0, [0.0, 0.0].as_slice()));
    }
}
