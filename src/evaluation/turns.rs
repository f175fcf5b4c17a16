//! Who spoke when: diarization error rate, Jaccard error rate, number of speakers.
//!
//! The figures are those of pyannote.metrics 4 (`DiarizationErrorRate`, `JaccardErrorRate`) with the whole recording as
//! the evaluated region. References: NIST Rich Transcription 2009 evaluation plan; Second DIHARD challenge evaluation
//! plan; Bredin, pyannote.metrics (Interspeech 2017).

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::Sum,
};

use serde::Serialize;

use super::{SpeakerTurn, assignment::best_pairs};
use crate::span::Span;

/// What is left out of the figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scoring {
    /// Seconds on either side of every border of the reference that are not scored. (pyannote.metrics, like many papers,
    /// counts both sides: twice this number.)
    pub collar: f64,
    /// Whether times at which several turns of the reference overlap are not scored.
    pub skip_overlap: bool,
}

/// Errors of one recording or of several, in seconds of speech: where two people speak, a second counts twice.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct SpeakerTime {
    /// Speech of the reference.
    pub total: f64,
    /// Speech that was not heard.
    pub missed: f64,
    /// Speech that was heard where there is none.
    pub false_alarm: f64,
    /// Speech that was given to somebody else.
    pub confusion: f64,
    /// The share of each speaker of the reference that is wrong, summed over speakers.
    pub jaccard_errors: f64,
    /// Speakers of the reference with speech that is scored.
    pub jaccard_speakers: usize,
}

impl SpeakerTime {
    /// The diarization error rate: everything that is wrong over the speech of the reference. 0 where nobody speaks and
    /// nobody is heard, 1 where nobody speaks and somebody is heard.
    pub fn error_rate(&self) -> f64 {
        self.rate(self.missed + self.false_alarm + self.confusion)
    }

    /// One kind of error over the speech of the reference; as [`SpeakerTime::error_rate`] where nobody speaks.
    pub fn rate(&self, seconds: f64) -> f64 {
        match self.total {
            0.0 => f64::from(u8::from(seconds > 0.0)),
            total => seconds / total,
        }
    }

    /// The Jaccard error rate: the mean over speakers of the reference of one less the speech that both sides have over
    /// the speech that either has. 1 where nobody speaks.
    pub fn jaccard_error_rate(&self) -> f64 {
        match self.jaccard_speakers {
            0 => 1.0,
            speakers => self.jaccard_errors / speakers as f64,
        }
    }
}

impl Sum for SpeakerTime {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            total: sum.total + one.total,
            missed: sum.missed + one.missed,
            false_alarm: sum.false_alarm + one.false_alarm,
            confusion: sum.confusion + one.confusion,
            jaccard_errors: sum.jaccard_errors + one.jaccard_errors,
            jaccard_speakers: sum.jaccard_speakers + one.jaccard_speakers,
        })
    }
}

/// Shorter stretches, in seconds, are the rounding of times and count as empty, as in pyannote.core.
const SHORTEST: f64 = 1e-6;

/// How many speakers turn up in a recording of `seconds`.
pub fn speakers(turns: &[SpeakerTurn], seconds: f64) -> usize {
    inside(turns, seconds).map(|(_, speaker)| speaker).collect::<BTreeSet<_>>().len()
}

/// The errors of `hypothesis` in a recording of `seconds`. Its speakers are first given the names of those of the reference,
/// one to one, so that they agree for as long as possible.
pub fn score(reference: &[SpeakerTurn], hypothesis: &[SpeakerTurn], seconds: f64, scoring: &Scoring) -> SpeakerTime {
    let pieces = pieces(reference, hypothesis, seconds, scoring);
    let names = matching(&pieces, numbers(reference).len(), numbers(hypothesis).len());
    let mut time: SpeakerTime = pieces.iter().map(|piece| piece.time(&names)).sum();
    (time.jaccard_errors, time.jaccard_speakers) = jaccard(&pieces, &names);
    time
}

/// The stretches of `turns` that lie in the recording, with their speakers.
fn inside(turns: &[SpeakerTurn], seconds: f64) -> impl Iterator<Item = (Span, &str)> {
    let whole = Span::new(0.0, seconds);
    let turns = turns.iter().map(move |turn| (turn.span.clamp(&whole), turn.speaker.as_str()));
    turns.filter(|(span, _)| span.duration() > SHORTEST)
}

/// A number for each speaker.
fn numbers(turns: &[SpeakerTurn]) -> BTreeMap<&str, usize> {
    let names: BTreeSet<&str> = turns.iter().map(|turn| turn.speaker.as_str()).collect();
    names.into_iter().zip(0..).collect()
}

/// A scored stretch in which nothing changes. A speaker stands in it as often as turns of theirs cover it.
struct Piece {
    seconds: f64,
    reference: Vec<usize>,
    hypothesis: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Cover {
    Reference(usize),
    Hypothesis(usize),
    /// Not scored.
    Collar,
}

/// The scored stretches between one change and the next.
fn pieces(reference: &[SpeakerTurn], hypothesis: &[SpeakerTurn], seconds: f64, scoring: &Scoring) -> Vec<Piece> {
    let mut changes = changes(reference, hypothesis, seconds, scoring.collar);
    changes.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut said, mut heard, mut collars) = (Vec::new(), Vec::new(), 0_usize);
    let mut pieces = Vec::new();
    let mut before = 0.0;
    for (time, cover, begins) in changes {
        let skipped = collars > 0 || scoring.skip_overlap && said.len() > 1;
        if !skipped && time - before > SHORTEST {
            let (reference, hypothesis) = (said.clone(), heard.clone());
            pieces.push(Piece { seconds: time - before, reference, hypothesis });
        }
        before = time;
        match cover {
            Cover::Reference(speaker) => change(&mut said, speaker, begins),
            Cover::Hypothesis(speaker) => change(&mut heard, speaker, begins),
            Cover::Collar if begins => collars += 1,
            Cover::Collar => collars -= 1,
        }
    }
    pieces
}

fn change(speaking: &mut Vec<usize>, speaker: usize, begins: bool) {
    if begins {
        speaking.push(speaker);
    } else if let Some(at) = speaking.iter().position(|other| *other == speaker) {
        speaking.swap_remove(at);
    }
}

/// When something begins (true) or ends.
fn changes(
    reference: &[SpeakerTurn],
    hypothesis: &[SpeakerTurn],
    seconds: f64,
    collar: f64,
) -> Vec<(f64, Cover, bool)> {
    let (said, heard) = (numbers(reference), numbers(hypothesis));
    let whole = Span::new(0.0, seconds);
    let borders = reference.iter().filter(|turn| collar > 0.0 && turn.span.duration() > SHORTEST);
    let collars = borders
        .flat_map(|turn| [turn.span.start, turn.span.end])
        .map(|border| (Span::new(border - collar, border + collar).clamp(&whole), Cover::Collar));
    let said = inside(reference, seconds).map(|(span, speaker)| (span, Cover::Reference(said[speaker])));
    let heard = inside(hypothesis, seconds).map(|(span, speaker)| (span, Cover::Hypothesis(heard[speaker])));
    let spans = said.chain(heard).chain(collars);
    spans.flat_map(|(span, cover)| [(span.start, cover, true), (span.end, cover, false)]).collect()
}

/// The speaker of the reference that each speaker of the hypothesis is taken for.
fn matching(pieces: &[Piece], said: usize, heard: usize) -> Vec<Option<usize>> {
    let mut together = vec![vec![0.0; said]; heard];
    for piece in pieces {
        for &speaker in &piece.hypothesis {
            for &other in &piece.reference {
                together[speaker][other] += piece.seconds;
            }
        }
    }
    // The algorithm compares exactly, so it gets whole nanoseconds.
    let weights: Vec<Vec<i64>> =
        together.iter().map(|row| row.iter().map(|seconds| (seconds * 1e9).round() as i64).collect()).collect();
    let mut names = vec![None; heard];
    for (speaker, name) in best_pairs(&weights) {
        names[speaker] = Some(name);
    }
    names
}

impl Piece {
    /// The errors in this piece, but for Jaccard's.
    fn time(&self, names: &[Option<usize>]) -> SpeakerTime {
        let (said, heard) = (self.reference.len(), self.hypothesis.len());
        let mut unmatched = self.reference.clone();
        for name in self.hypothesis.iter().filter_map(|&speaker| names[speaker]) {
            change(&mut unmatched, name, false);
        }
        let correct = said - unmatched.len();
        let seconds = |count: usize| self.seconds * count as f64;
        SpeakerTime {
            total: seconds(said),
            missed: seconds(said.saturating_sub(heard)),
            false_alarm: seconds(heard.saturating_sub(said)),
            confusion: seconds(said.min(heard) - correct),
            ..SpeakerTime::default()
        }
    }
}

/// The sum over speakers of the reference of what is wrong of them, and how many they are.
fn jaccard(pieces: &[Piece], names: &[Option<usize>]) -> (f64, usize) {
    let everybody: BTreeSet<usize> = pieces.iter().flat_map(|piece| piece.reference.iter().copied()).collect();
    let error = |speaker: &usize| {
        let Some(partner) = names.iter().position(|name| name.as_ref() == Some(speaker)) else { return 1.0 };
        let (mut either, mut both) = (0.0, 0.0);
        for piece in pieces {
            let (said, heard) = (piece.reference.contains(speaker), piece.hypothesis.contains(&partner));
            either += if said || heard { piece.seconds } else { 0.0 };
            both += if said && heard { piece.seconds } else { 0.0 };
        }
        1.0 - both / either
    };
    (everybody.iter().map(error).sum(), everybody.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Scoring = Scoring { collar: 0.0, skip_overlap: false };

    fn turns(list: &[(f64, f64, &str)]) -> Vec<SpeakerTurn> {
        let turn = |&(start, end, speaker): &(f64, f64, &str)| SpeakerTurn {
            span: Span::new(start, end),
            speaker: speaker.into(),
        };
        list.iter().map(turn).collect()
    }

    /// Total, missed, false alarm and confusion, in milliseconds.
    fn parts(time: &SpeakerTime) -> [i64; 4] {
        [time.total, time.missed, time.false_alarm, time.confusion].map(|seconds| (seconds * 1e3).round() as i64)
    }

    #[test]
    fn each_kind_of_error_is_counted_once() {
        let reference = turns(&[(0.0, 10.0, "anna"), (10.0, 16.0, "bert")]);
        // 1 s too late, 2 s of bert given to anna's speaker, 1 s too long.
        let hypothesis = turns(&[(1.0, 12.0, "1"), (12.0, 17.0, "0")]);
        let time = score(&reference, &hypothesis, 20.0, &EVERYTHING);
        assert_eq!(parts(&time), [16_000, 1000, 1000, 2000]);
        assert!((time.error_rate() - 0.25).abs() < 1e-9);
        // anna: 9 s of 12 s, bert: 4 s of 7 s.
        assert!((time.jaccard_error_rate() - (0.25 + 3.0 / 7.0) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn speech_outside_of_the_recording_does_not_count() {
        let reference = turns(&[(2.0, 30.0, "a")]);
        let hypothesis = turns(&[(0.0, 10.0, "x"), (10.0, 12.0, "y")]);
        let time = score(&reference, &hypothesis, 10.0, &EVERYTHING);
        assert_eq!(parts(&time), [8000, 0, 2000, 0]);
        assert_eq!((speakers(&hypothesis, 10.0), speakers(&hypothesis, 11.0)), (1, 2));
    }

    #[test]
    fn collars_lie_on_both_sides_of_every_border() {
        let reference = turns(&[(1.0, 3.0, "a"), (3.0, 5.0, "b")]);
        let hypothesis = turns(&[(0.5, 3.5, "x"), (3.5, 5.0, "y")]);
        let collar = |collar| parts(&score(&reference, &hypothesis, 6.0, &Scoring { collar, ..EVERYTHING }));
        assert_eq!(collar(0.0), [4000, 0, 500, 500]);
        assert_eq!(collar(0.25), [3000, 0, 250, 250]);
        assert_eq!(collar(0.5), [2000, 0, 0, 0]);
        assert_eq!(collar(10.0), [0, 0, 0, 0]);
    }

    #[test]
    fn overlap_counts_twice_or_not_at_all() {
        let reference = turns(&[(0.0, 4.0, "a"), (3.0, 6.0, "b")]);
        let hypothesis = turns(&[(0.0, 3.0, "x"), (3.0, 6.0, "y")]);
        assert_eq!(parts(&score(&reference, &hypothesis, 6.0, &EVERYTHING)), [7000, 1000, 0, 0]);
        let skipped = score(&reference, &hypothesis, 6.0, &Scoring { collar: 0.0, skip_overlap: true });
        assert_eq!(parts(&skipped), [5000, 0, 0, 0]);
    }

    #[test]
    fn a_speaker_too_many_is_nobody() {
        let reference = turns(&[(0.0, 10.0, "a")]);
        let hypothesis = turns(&[(0.0, 4.0, "x"), (4.0, 10.0, "y")]);
        assert_eq!(parts(&score(&reference, &hypothesis, 10.0, &EVERYTHING)), [10_000, 0, 0, 4000]);
    }

    #[test]
    fn silence_on_either_side_has_a_rate() {
        let some = turns(&[(0.0, 2.0, "a"), (1.0, 1.0, "b")]);
        let rates = |reference: &[SpeakerTurn], hypothesis: &[SpeakerTurn]| {
            let time = score(reference, hypothesis, 5.0, &EVERYTHING);
            (time.error_rate(), time.jaccard_error_rate())
        };
        assert_eq!(rates(&[], &[]), (0.0, 1.0));
        assert_eq!(rates(&[], &some), (1.0, 1.0));
        assert_eq!(rates(&some, &[]), (1.0, 1.0));
        assert_eq!(rates(&some, &some), (0.0, 0.0));
        assert_eq!(speakers(&some, 5.0), 1, "nobody speaks for no time");
    }

    #[test]
    fn recordings_are_pooled_by_their_speech() {
        let good = SpeakerTime { total: 9.0, jaccard_speakers: 1, ..SpeakerTime::default() };
        let bad = SpeakerTime { total: 1.0, missed: 1.0, jaccard_errors: 1.0, jaccard_speakers: 1, ..good };
        let both: SpeakerTime = [good, bad].into_iter().sum();
        assert!((both.error_rate() - 0.1).abs() < 1e-12);
        assert!((both.jaccard_error_rate() - 0.5).abs() < 1e-12);
    }
}
