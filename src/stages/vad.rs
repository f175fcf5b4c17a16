//! Voice detection: from the probability of speech per window to the stretches that hold speech.
//!
//! Reference: `get_speech_timestamps_from_probs` of silero-vad 6.2 without a longest speech; long stretches are the
//! business of [`chunk`](super::chunk).

use crate::{
    audio::Audio,
    error::{Error, Result},
    models::silero::{Silero, WINDOW},
    progress::Watch,
    span::{Span, samples_of},
};

/// How probabilities become stretches of speech.
#[derive(Debug, Clone, PartialEq)]
pub struct VadOptions {
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
    /// The reference's defaults.
    fn default() -> Self {
        Self { onset: 0.5, offset: 0.35, min_speech: 0.25, min_silence: 0.1, pad: 0.03 }
    }
}

impl VadOptions {
    /// The defaults with the thresholds that the caller names. An offset that is not named lies 0.15 below the onset, as
    /// in the reference.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn with_thresholds(onset: Option<f32>, offset: Option<f32>) -> Result<Self> {
        let defaults = Self::default();
        let onset = onset.unwrap_or(defaults.onset);
        let offset = offset.unwrap_or_else(|| (onset - 0.15).max(0.01).min(onset));
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

/// Finds the speech in `audio`.
///
/// # Errors
/// [`Error::Request`] for options that cannot be, [`Error::Cancelled`], or a tensor operation that failed.
pub fn detect(model: &Silero, audio: &Audio, options: &VadOptions, watch: &Watch) -> Result<Detection> {
    options.validate()?;
    let samples = audio.samples();
    let probabilities = model.probabilities(samples, watch)?;
    let spans = speech_spans(&probabilities, samples.len(), options);
    Ok(Detection { spans, probabilities })
}

/// The stretches of speech in a recording of `samples` samples, given the `probabilities` of its windows.
pub fn speech_spans(probabilities: &[f32], samples: usize, options: &VadOptions) -> Vec<Span> {
    let mut regions = hysteresis(probabilities, samples, options);
    pad(&mut regions, samples, samples_of(options.pad));
    regions.into_iter().map(Span::from_samples).collect()
}

/// Speech in samples: begins at the onset, ends where the probability fell below the offset and stayed below the onset
/// for the shortest silence.
fn hysteresis(probabilities: &[f32], samples: usize, options: &VadOptions) -> Vec<std::ops::Range<usize>> {
    let (min_speech, min_silence) = (samples_of(options.min_speech), samples_of(options.min_silence));
    let mut regions = Vec::new();
    let mut begun = None;
    let mut silent_since = None;
    for (index, &probability) in probabilities.iter().enumerate() {
        let now = index * WINDOW;
        if probability >= options.onset {
            silent_since = None;
            begun.get_or_insert(now);
        } else if let Some(start) = begun
            && probability < options.offset
        {
            let end = *silent_since.get_or_insert(now);
            if now - end >= min_silence {
                regions.push(start..end);
                (begun, silent_since) = (None, None);
            }
        }
    }
    regions.extend(begun.map(|start| start..samples.max(start)));
    regions.retain(|region| region.len() > min_speech);
    regions
}

/// Widens every region by `pad` samples; neighbours share a silence that is too short for both.
fn pad(regions: &mut [std::ops::Range<usize>], samples: usize, pad: usize) {
    if let Some(first) = regions.first_mut() {
        first.start = first.start.saturating_sub(pad);
    }
    for index in 1..regions.len() {
        let silence = regions[index].start - regions[index - 1].end;
        let share = if silence < 2 * pad { silence / 2 } else { pad };
        regions[index - 1].end += share;
        regions[index].start -= share;
    }
    if let Some(last) = regions.last_mut() {
        last.end = (last.end + pad).min(samples);
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
            let message = VadOptions::with_thresholds(onset, offset).map_err(|error| error.to_string());
            assert!(message.as_ref().is_err_and(|text| text.contains(name)), "{message:?}");
        }
        assert!(VadOptions { min_speech: -1.0, ..VadOptions::default() }.validate().is_err());
        let low = VadOptions::with_thresholds(Some(0.3), None).map(|options| options.offset);
        assert!(low.is_ok_and(|offset| (offset - 0.15).abs() < 1e-6));
    }
}
