//! Segmentation of a recording: overlapping windows, and in each of them who of its own three speakers is active when.

use crate::{
    models::segmentation::{FRAME_LENGTH, FRAME_SHIFT, powerset::LOCAL_SPEAKERS},
    span::{Span, seconds_of},
};

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

    /// Where a window begins, in seconds.
    pub fn start(&self, window: usize) -> f64 {
        seconds_of(window * self.step)
    }

    /// Who is active in each frame of a window: (frames), one bit a local speaker.
    pub fn activity(&self, window: usize) -> &[u8] {
        &self.activities[window * self.frames..][..self.frames]
    }

    /// In which frames of a window one local speaker is active: (frames).
    pub fn speaker(&self, window: usize, speaker: usize) -> impl Iterator<Item = bool> + '_ {
        debug_assert!(speaker < LOCAL_SPEAKERS);
        self.activity(window).iter().map(move |bits| bits >> speaker & 1 == 1)
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

    /// The moment that a frame on the grid of the whole recording speaks for, in seconds: `FRAME_SHIFT` samples around the
    /// middle of what the frame sees.
    pub fn frame_span(&self, frame: usize) -> Span {
        let start = frame * FRAME_SHIFT + (FRAME_LENGTH - FRAME_SHIFT) / 2;
        Span::from_samples(start..start + FRAME_SHIFT)
    }
}
