//! Where the short windows of a recording lie that speakers are told apart by: over its speech.

use super::segment::Segmentation;
use crate::span::Span;

/// Seconds of audio in one embedding: long enough to tell voices, short enough to hold one.
const WINDOW: f64 = 1.5;
/// Seconds from one window to the next. On the development recordings 0.75 s cost a fifth less and are 0.3 points worse,
/// 0.375 s cost more and gain nothing.
pub const HOP: f64 = 0.5;
/// Speech goes on where the segmentation is surer than this part of the onset.
const OFFSET: f32 = 0.67;
/// Windows are laid over pauses up to this, in seconds.
const BRIDGED: f64 = 0.2;
/// Speech shorter than this gets no window of its own, in seconds.
const SHORTEST_SPEECH: f64 = 0.1;

/// The frames in which somebody speaks.
pub fn speech_frames(likely: &[f32], onset: f32) -> Vec<Option<f32>> {
    let mut speaking = false;
    let mut hear = |likely: &f32| {
        speaking = *likely > if speaking { OFFSET * onset } else { onset };
        speaking.then_some(*likely)
    };
    likely.iter().map(&mut hear).collect()
}

/// The stretches of speech, over short pauses.
pub fn stretches(segmentation: &Segmentation, speech: &[Option<f32>], duration: f64) -> Vec<Span> {
    let whole = Span::new(0.0, duration);
    let mut stretches: Vec<Span> = Vec::new();
    for frame in (0..speech.len()).filter(|&frame| speech[frame].is_some()) {
        let span = segmentation.frame_span(frame).clamp(&whole);
        match stretches.last_mut() {
            Some(last) if span.start - last.end <= BRIDGED => last.end = span.end,
            _ => stretches.push(span),
        }
    }
    stretches.retain(|span| span.duration() >= SHORTEST_SPEECH);
    stretches
}

/// Windows of equal length: along longer speech every [`HOP`], the last one flush with its end; around the middle of shorter speech.
pub fn place_windows(speech: &[Span], duration: f64) -> Vec<Span> {
    let length = WINDOW.min(duration);
    let mut windows = Vec::new();
    for span in speech {
        let spare = span.duration() - length;
        if spare <= 0.0 {
            let start = (span.midpoint() - length / 2.0).clamp(0.0, duration - length);
            windows.push(Span::new(start, start + length));
            continue;
        }
        let steps = (spare / HOP - 1e-6).ceil() as usize;
        windows.extend((0..=steps).map(|step| {
            let start = span.start + (step as f64 * HOP).min(spare);
            Span::new(start, start + length)
        }));
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_speech_and_stay_inside() {
        let speech = [Span::new(0.0, 0.4), Span::new(2.0, 5.2), Span::new(9.5, 10.0)];
        let windows = place_windows(&speech, 10.0);
        assert_eq!(windows[0], Span::new(0.0, 1.5));
        assert_eq!(windows.last(), Some(&Span::new(8.5, 10.0)));
        assert_eq!(windows[1].start, 2.0);
        assert!((windows[windows.len() - 2].end - 5.2).abs() < 1e-9);
        assert!(windows[1..windows.len() - 1].windows(2).all(|pair| pair[1].start - pair[0].start <= HOP + 1e-9));
        assert!(windows.iter().all(|window| (window.duration() - 1.5).abs() < 1e-9));
    }

    #[test]
    fn a_recording_shorter_than_a_window_is_one_window() {
        assert_eq!(place_windows(&[Span::new(0.1, 0.5)], 0.7), [Span::new(0.0, 0.7)]);
    }
}
