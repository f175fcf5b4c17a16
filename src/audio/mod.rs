//! From any file to 16 kHz mono samples, and from samples to the features that the models read.

pub mod decibels;
pub mod decode;
pub mod fbank;
pub mod mel;
pub mod resample;

use std::{ops::Range, sync::Arc};

use crate::span::{Span, seconds_of};

/// Mono audio at 16 kHz, nominally in -1..1. Clones and slices share the samples.
#[derive(Debug, Clone)]
pub struct Audio {
    samples: Arc<Vec<f32>>,
    range: Range<usize>,
}

impl Audio {
    /// Takes samples at 16 kHz.
    pub fn new(samples: Vec<f32>) -> Self {
        let range = 0..samples.len();
        Self { samples: Arc::new(samples), range }
    }

    /// The samples.
    pub fn samples(&self) -> &[f32] {
        &self.samples[self.range.clone()]
    }

    /// Its length in seconds.
    pub fn duration(&self) -> f64 {
        seconds_of(self.range.len())
    }

    /// The part inside `span` (seconds from the start of this audio), cut to what exists; the samples are shared.
    pub fn slice(&self, span: Span) -> Audio {
        let wanted = span.samples();
        let end = (self.range.start + wanted.end).min(self.range.end);
        let start = (self.range.start + wanted.start).min(end);
        Audio { samples: self.samples.clone(), range: start..end }
    }
}

/// A slice of at most 30 s that is handed to Whisper.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The samples.
    pub audio: Audio,
    /// Where it starts in the file, in seconds.
    pub offset: f64,
    /// The speech regions inside it, in seconds of the file.
    pub speech: Vec<Span>,
}

impl Chunk {
    /// Where it lies in the file.
    pub fn span(&self) -> Span {
        Span::new(self.offset, self.offset + self.audio.duration())
    }

    /// The latest time after which so many seconds of speech follow, in seconds from its start; `None` where there are fewer.
    pub fn time_before_last(&self, seconds: f64) -> Option<f64> {
        let mut left = seconds;
        for speech in self.speech.iter().rev() {
            if speech.duration() >= left {
                return Some(speech.end - left - self.offset);
            }
            left -= speech.duration();
        }
        None
    }

    /// What of it comes after `time`, in seconds of the file.
    pub fn after(&self, time: f64) -> Chunk {
        let span = Span::new(time, self.span().end).clamp(&self.span());
        let audio = self.audio.slice(span.shift(-self.offset));
        let speech = self.speech.iter().map(|speech| speech.clamp(&span)).filter(|speech| speech.duration() > 0.0);
        Chunk { audio, offset: span.start, speech: speech.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_time_keeps_its_place_in_the_file() {
        let audio = Audio::new((0..320_000).map(|sample| sample as f32).collect());
        let speech = vec![Span::new(4.0, 6.0), Span::new(7.0, 9.0)];
        let chunk = Chunk { audio: audio.slice(Span::new(3.0, 10.0)), offset: 3.0, speech };
        let rest = chunk.after(8.0);
        assert_eq!((rest.span(), rest.audio.samples()[0]), (Span::new(8.0, 10.0), 128_000.0));
        assert_eq!(rest.speech, [Span::new(8.0, 9.0)]);
        assert_eq!([0.5, 2.0, 3.0, 5.0].map(|s| chunk.time_before_last(s)), [Some(5.5), Some(4.0), Some(2.0), None]);
        assert_eq!(chunk.after(1.0).span(), chunk.span());
        assert_eq!((chunk.after(12.0).audio.samples().len(), chunk.after(12.0).speech.len()), (0, 0));
    }
}
