//! Keeps decoded samples where the container says they belong.
//!
//! Most containers are a gapless run of samples. MP4 may cut the run-in of its encoder off by an edit list, and Matroska
//! gives each packet a time: a recorder that was paused or lost packets leaves a hole there, which is filled with silence
//! so that words keep their times.

use super::movie::Edit;

/// Holes shorter than this are the rounding of time stamps, not pauses; in seconds.
const SHORTEST_HOLE: f64 = 0.1;

/// Silence that may be put in between in all, in seconds; time stamps that ask for more are taken for damaged.
const MOST_SILENCE: f64 = 3600.0;

/// What happens to one block of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Placement {
    /// Frames of silence to put before it.
    pub silence: u64,
    /// Its frames to drop from the front.
    pub skip: u64,
    /// Its frames to keep behind those.
    pub keep: u64,
}

/// What the times of packets are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// Nothing: they only count the samples.
    Counted,
    /// They show holes.
    Holes,
    /// They show holes, and what lies before 0 is the encoder's run-in.
    HolesAndRunIn,
}

/// The line of samples of one track, in frames at the track's own rate.
pub(super) struct Timeline {
    edit: Option<Edit>,
    times: Times,
    /// Frames laid down so far, silence among them.
    position: u64,
    /// Frames of media seen so far, dropped ones among them.
    media: u64,
    /// Frames of silence put in for holes.
    inserted: u64,
}

impl Timeline {
    /// For a track with `edit`, whose packets' times mean `times`.
    pub(super) fn new(edit: Option<Edit>, times: Times) -> Self {
        Self { edit, times, position: 0, media: 0, inserted: 0 }
    }

    /// Places a block of `frames` at `rate` that the container puts at `time` seconds.
    pub(super) fn place(&mut self, frames: u64, rate: u32, time: Option<f64>) -> Placement {
        let in_frames = |seconds: f64| (seconds * f64::from(rate)).round().max(0.0) as u64;
        let mut placement = Placement { silence: 0, skip: 0, keep: frames };
        if let Some(edit) = &self.edit {
            if self.media == 0 && edit.pause < MOST_SILENCE {
                placement.silence = in_frames(edit.pause);
            }
            let (start, end) = (in_frames(edit.skip), edit.length.map(|length| in_frames(edit.skip + length)));
            placement.skip = start.saturating_sub(self.media).min(frames);
            let behind = end.map_or(0, |end| (self.media + frames).saturating_sub(end)).min(frames - placement.skip);
            placement.keep = frames - placement.skip - behind;
        }
        if let (Times::Holes | Times::HolesAndRunIn, Some(time)) = (self.times, time) {
            if self.times == Times::HolesAndRunIn {
                placement.skip = in_frames(-time).min(frames);
                placement.keep = frames - placement.skip;
            }
            let hole = in_frames(time).saturating_sub(self.position);
            if hole > in_frames(SHORTEST_HOLE) && self.inserted + hole < in_frames(MOST_SILENCE) {
                placement.silence = hole;
                self.inserted += hole;
            }
        }
        self.media += frames;
        self.position += placement.silence + placement.keep;
        placement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_edits_or_times_nothing_changes() {
        let mut line = Timeline::new(None, Times::Counted);
        assert_eq!(line.place(1024, 44_100, Some(7.0)), Placement { silence: 0, skip: 0, keep: 1024 });
    }

    #[test]
    fn an_edit_list_drops_the_run_in_and_the_padding() {
        let edit = Edit { pause: 0.0, skip: 1024.0 / 44_100.0, length: Some(1500.0 / 44_100.0) };
        let mut line = Timeline::new(Some(edit), Times::Counted);
        assert_eq!(line.place(1024, 44_100, None), Placement { silence: 0, skip: 1024, keep: 0 });
        assert_eq!(line.place(1024, 44_100, None), Placement { silence: 0, skip: 0, keep: 1024 });
        assert_eq!(line.place(1024, 44_100, None), Placement { silence: 0, skip: 0, keep: 476 });
        assert_eq!(line.place(1024, 44_100, None), Placement { silence: 0, skip: 0, keep: 0 });
    }

    #[test]
    fn a_pause_before_the_media_is_silence() {
        let mut line = Timeline::new(Some(Edit { pause: 0.5, skip: 0.0, length: None }), Times::Counted);
        assert_eq!(line.place(100, 1000, None), Placement { silence: 500, skip: 0, keep: 100 });
        assert_eq!(line.place(100, 1000, None), Placement { silence: 0, skip: 0, keep: 100 });
    }

    #[test]
    fn holes_are_filled_but_jitter_is_not() {
        let mut line = Timeline::new(None, Times::HolesAndRunIn);
        assert_eq!(line.place(960, 48_000, Some(-0.007)), Placement { silence: 0, skip: 336, keep: 624 });
        assert_eq!(line.place(960, 48_000, Some(0.014)), Placement { silence: 0, skip: 0, keep: 960 });
        assert_eq!(line.place(960, 48_000, Some(1.0)).silence, 48_000 - 1584);
        assert_eq!(line.place(960, 48_000, Some(1e12)).silence, 0);
    }
}
