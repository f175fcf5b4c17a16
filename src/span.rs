//! A stretch of time, and the only arithmetic between seconds, samples and frames.

use serde::{Deserialize, Serialize};

/// Samples in a second of audio, everywhere inside the pipeline.
pub const SAMPLE_RATE: usize = 16_000;

/// Seconds from the start of the file; `start <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Where it begins, in seconds.
    pub start: f64,
    /// Where it ends, in seconds.
    pub end: f64,
}

impl Span {
    /// A span; an `end` before `start` is moved to `start`.
    pub fn new(start: f64, end: f64) -> Self {
        Self { start, end: end.max(start) }
    }

    /// The span of samples `range` at 16 kHz.
    pub fn from_samples(range: std::ops::Range<usize>) -> Self {
        Self::new(seconds_of(range.start), seconds_of(range.end))
    }

    /// Its length in seconds.
    pub fn duration(&self) -> f64 {
        self.end - self.start
    }

    /// The middle, in seconds.
    pub fn midpoint(&self) -> f64 {
        (self.start + self.end) / 2.0
    }

    /// Seconds that both spans cover.
    pub fn overlap(&self, other: &Span) -> f64 {
        (self.end.min(other.end) - self.start.max(other.start)).max(0.0)
    }

    /// Seconds between the two; zero where they touch or overlap.
    pub fn gap(&self, other: &Span) -> f64 {
        (self.start.max(other.start) - self.end.min(other.end)).max(0.0)
    }

    /// The smallest span that covers both.
    pub fn union(&self, other: &Span) -> Span {
        Span::new(self.start.min(other.start), self.end.max(other.end))
    }

    /// The same span, `seconds` later.
    pub fn shift(&self, seconds: f64) -> Span {
        Span { start: self.start + seconds, end: self.end + seconds }
    }

    /// The part of the span inside `bounds`; empty at the nearer edge where they are apart.
    pub fn clamp(&self, bounds: &Span) -> Span {
        Span::new(self.start.clamp(bounds.start, bounds.end), self.end.clamp(bounds.start, bounds.end))
    }

    /// Sample indices at 16 kHz, rounded to the nearest sample.
    pub fn samples(&self) -> std::ops::Range<usize> {
        samples_of(self.start)..samples_of(self.end)
    }
}

/// Seconds of `samples` at 16 kHz.
pub fn seconds_of(samples: usize) -> f64 {
    samples as f64 / SAMPLE_RATE as f64
}

/// The nearest sample at 16 kHz; negative times are the first sample.
pub fn samples_of(seconds: f64) -> usize {
    (seconds * SAMPLE_RATE as f64).round().max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_gap_and_union_agree() {
        let (a, b) = (Span::new(1.0, 3.0), Span::new(2.5, 4.0));
        assert_eq!(a.overlap(&b), 0.5);
        assert_eq!(a.gap(&b), 0.0);
        assert_eq!(a.gap(&Span::new(5.0, 6.0)), 2.0);
        assert_eq!(a.union(&b), Span::new(1.0, 4.0));
        assert_eq!(a.clamp(&Span::new(4.0, 5.0)).duration(), 0.0);
    }

    #[test]
    fn samples_round_trip() {
        let span = Span::from_samples(160..48_000);
        assert_eq!(span, Span::new(0.01, 3.0));
        assert_eq!(span.samples(), 160..48_000);
    }
}
