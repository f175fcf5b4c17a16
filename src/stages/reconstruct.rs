//! From frames to turns: runs of frames become turns of each speaker, widened a little and joined over short pauses.
//!
//! Two tracks come out. The one that people look at has everybody who speaks, so its turns may overlap; the exclusive one
//! has at most one speaker at a time, for words.

use super::attribute::Heard;
use crate::{
    span::Span,
    transcript::{Speaker, Turn},
};

/// The network hears the edges of speech late and leaves them early: so much is added on either side, in seconds. With it
/// the references of the development recordings are met best on the whole (0.05 to 0.1 measure within a point).
const EDGE: f64 = 0.07;
/// A speaker's turns are joined over silences up to this, in seconds.
const LONGEST_PAUSE: f64 = 0.4;
/// A shorter stretch of the speaker who is heard most, amid others, is a slip of the votes, in seconds.
const SHORTEST_TURN: f64 = 0.25;

/// Turns of a recording, with the numbers of clusters as speakers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tracks {
    /// In order of time; they may overlap.
    pub turns: Vec<Turn>,
    /// In order of time; they do not overlap.
    pub exclusive: Vec<Turn>,
}

/// A run of frames of one speaker, `end` excluded.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    end: usize,
    cluster: usize,
    /// The sum over its frames.
    confidence: f32,
}

/// The turns in `frames`, each of which lies at `moment(frame)`; `duration` is the recording's, in seconds.
pub fn reconstruct(frames: &[[Option<Heard>; 2]], moment: impl Fn(usize) -> Span, duration: f64) -> Tracks {
    let shortest = |run: &Run| moment(run.end - 1).end - moment(run.start).start < SHORTEST_TURN;
    let first = absorb_short(runs(frames.iter().map(|heard| heard[0])), shortest);
    let mut second = runs(frames.iter().map(|heard| heard[1]));
    second.retain(|run| !shortest(run) || touches(run, &first));
    let turn = |run: &Run| Turn {
        span: Span::new(moment(run.start).start, moment(run.end - 1).end),
        speaker: Speaker(u16::try_from(run.cluster).unwrap_or(u16::MAX)),
        confidence: (run.confidence / (run.end - run.start) as f32).clamp(0.0, 1.0),
    };
    let first: Vec<Turn> = first.iter().map(turn).collect();
    let everybody = first.iter().copied().chain(second.iter().map(turn)).collect();
    Tracks { turns: widened(everybody, duration), exclusive: exclusive(first, duration) }
}

fn runs(frames: impl Iterator<Item = Option<Heard>>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (frame, heard) in frames.enumerate() {
        let Some(Heard { cluster, confidence }) = heard else { continue };
        match runs.last_mut() {
            Some(run) if run.end == frame && run.cluster == cluster => {
                run.end += 1;
                run.confidence += confidence;
            }
            _ => runs.push(Run { start: frame, end: frame + 1, cluster, confidence }),
        }
    }
    runs
}

/// Whether a run of somebody who is heard beside another goes on from, or into, one in which he is heard most.
fn touches(run: &Run, first: &[Run]) -> bool {
    let from = first.partition_point(|other| other.end < run.start);
    first[from..].iter().take_while(|other| other.start <= run.end).any(|other| other.cluster == run.cluster)
}

/// Gives every run that is too short to the longer of the runs that touch it, the shortest first.
fn absorb_short(mut runs: Vec<Run>, too_short: impl Fn(&Run) -> bool) -> Vec<Run> {
    let mut start = 0;
    let mut absorbed = Vec::with_capacity(runs.len());
    while start < runs.len() {
        let touching = runs[start..].windows(2).take_while(|pair| pair[0].end == pair[1].start).count();
        absorbed.extend(absorb_in_stretch(runs[start..=start + touching].to_vec(), &too_short));
        start += touching + 1;
    }
    runs.clear();
    absorbed
}

/// The same where each run touches the next.
fn absorb_in_stretch(mut runs: Vec<Run>, too_short: impl Fn(&Run) -> bool) -> Vec<Run> {
    while runs.len() > 1 {
        let length = |index: usize| runs[index].end - runs[index].start;
        let Some(shortest) = (0..runs.len()).min_by_key(|&index| length(index)) else { break };
        if !too_short(&runs[shortest]) {
            break;
        }
        let before = shortest.checked_sub(1).map_or(0, length);
        let after = if shortest + 1 < runs.len() { length(shortest + 1) } else { 0 };
        let removed = runs.remove(shortest);
        let heir = if before >= after { &mut runs[shortest - 1] } else { &mut runs[shortest] };
        // What another was heard in says nothing for the heir: his confidence stays what it was on the whole.
        heir.confidence *= 1.0 + (removed.end - removed.start) as f32 / (heir.end - heir.start) as f32;
        (heir.start, heir.end) = (heir.start.min(removed.start), heir.end.max(removed.end));
        runs.dedup_by(|later, earlier| {
            let same = later.cluster == earlier.cluster;
            if same {
                earlier.end = later.end;
                earlier.confidence += later.confidence;
            }
            same
        });
    }
    runs
}

/// Every speaker's turns for themselves: wider by [`EDGE`], joined over pauses.
fn widened(mut turns: Vec<Turn>, duration: f64) -> Vec<Turn> {
    turns.sort_by(|a, b| {
        (a.speaker, a.span.start).partial_cmp(&(b.speaker, b.span.start)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let whole = Span::new(0.0, duration);
    let wide = turns
        .into_iter()
        .map(|turn| Turn { span: Span::new(turn.span.start - EDGE, turn.span.end + EDGE).clamp(&whole), ..turn });
    let mut joined: Vec<Turn> = Vec::new();
    for turn in wide {
        match joined.last_mut() {
            Some(last) if last.speaker == turn.speaker && turn.span.start - last.span.end <= LONGEST_PAUSE => {
                join(last, &turn);
            }
            _ => joined.push(turn),
        }
    }
    joined.sort_by(|a, b| a.span.start.total_cmp(&b.span.start).then(a.speaker.cmp(&b.speaker)));
    joined
}

/// Turns that do not overlap: wider by [`EDGE`], where a neighbour leaves room, and joined over pauses in which nobody
/// else speaks.
fn exclusive(turns: Vec<Turn>, duration: f64) -> Vec<Turn> {
    let mut tracks: Vec<Turn> = Vec::with_capacity(turns.len());
    let ends: Vec<f64> = turns.iter().map(|turn| turn.span.end).collect();
    let starts: Vec<f64> = turns.iter().map(|turn| turn.span.start).collect();
    for (index, turn) in turns.into_iter().enumerate() {
        let room = |gap: f64| EDGE.min(gap.max(0.0) / 2.0);
        let before = index.checked_sub(1).map_or(EDGE, |index| room(turn.span.start - ends[index]));
        let after = starts.get(index + 1).map_or(EDGE, |start| room(start - turn.span.end));
        let span = Span::new((turn.span.start - before).max(0.0), (turn.span.end + after).min(duration));
        let turn = Turn { span, ..turn };
        match tracks.last_mut() {
            Some(last) if last.speaker == turn.speaker && turn.span.start - last.span.end <= LONGEST_PAUSE => {
                join(last, &turn);
            }
            _ => tracks.push(turn),
        }
    }
    tracks
}

/// Makes one turn of two of the same speaker, as sure as both are on the whole.
fn join(last: &mut Turn, turn: &Turn) {
    let (a, b) = (last.span.duration() as f32, turn.span.duration() as f32);
    if a + b > 0.0 {
        last.confidence = (a * last.confidence + b * turn.confidence) / (a + b);
    }
    last.span = last.span.union(&turn.span);
}

/// Puts a turn in place of whatever lies under it.
pub fn carve(turns: &mut Vec<Turn>, new: Turn) {
    if new.span.duration() <= 0.0 {
        return;
    }
    let mut cut = Vec::with_capacity(turns.len() + 2);
    for turn in turns.drain(..) {
        let before = Span::new(turn.span.start, turn.span.end.min(new.span.start).max(turn.span.start));
        let after = Span::new(turn.span.start.max(new.span.end).min(turn.span.end), turn.span.end);
        cut.extend([before, after].into_iter().filter(|span| span.duration() > 0.0).map(|span| Turn { span, ..turn }));
    }
    let place = cut.partition_point(|turn| turn.span.start < new.span.start);
    cut.insert(place, new);
    *turns = cut;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of 0.1 s: a letter for who is heard most, upper case where `z` is heard beside.
    fn tracks(frames: &str) -> Tracks {
        let heard = |letter: u8| Some(Heard { cluster: usize::from(letter - b'a'), confidence: 0.5 });
        let of = |letter: u8| match letter {
            b'.' => [None; 2],
            upper if upper.is_ascii_uppercase() => [heard(upper.to_ascii_lowercase()), heard(b'z')],
            lower => [heard(lower), None],
        };
        let frames: Vec<_> = frames.bytes().map(of).collect();
        let moment = |frame: usize| Span::new(frame as f64 * 0.1, (frame + 1) as f64 * 0.1);
        reconstruct(&frames, moment, frames.len() as f64 * 0.1)
    }

    fn shown(turns: &[Turn]) -> Vec<(i64, i64, u16)> {
        let hundredths = |seconds: f64| (seconds * 100.0).round() as i64;
        turns.iter().map(|turn| (hundredths(turn.span.start), hundredths(turn.span.end), turn.speaker.0)).collect()
    }

    #[test]
    fn turns_are_widened_and_joined_over_short_pauses() {
        let found = tracks("..aaaa....aaaa........aaaa..");
        assert_eq!(shown(&found.turns), [(13, 147, 0), (213, 267, 0)]);
        assert_eq!(shown(&found.exclusive), shown(&found.turns));
    }

    #[test]
    fn the_exclusive_track_has_one_speaker_at_a_time() {
        let found = tracks("...aaaaBBBBbbbb...");
        assert_eq!(shown(&found.turns), [(23, 77, 0), (63, 157, 1), (63, 117, 25)]);
        assert_eq!(shown(&found.exclusive), [(23, 70, 0), (70, 157, 1)]);
        assert!(found.turns.iter().all(|turn| (turn.confidence - 0.5).abs() < 1e-6));
    }

    #[test]
    fn neighbours_share_the_room_between_them() {
        assert_eq!(shown(&tracks("aaaa.bbbb").exclusive), [(0, 45, 0), (45, 90, 1)]);
    }

    #[test]
    fn slips_go_to_the_longer_neighbour_and_lone_words_stay() {
        assert_eq!(shown(&tracks("aaaaabbaaaaaaa").turns), [(0, 140, 0)]);
        assert_eq!(shown(&tracks("aaaaabbcccc").turns), [(0, 77, 0), (63, 110, 2)]);
        assert_eq!(shown(&tracks(".......bb......").turns), [(63, 97, 1)]);
    }

    #[test]
    fn a_moment_beside_another_is_a_slip_unless_a_turn_goes_on() {
        assert_eq!(shown(&tracks("aaaaAAaaaa").turns), [(0, 100, 0)]);
        assert_eq!(shown(&tracks("aaaaAAzzzz").turns), [(0, 67, 0), (33, 100, 25)]);
    }

    #[test]
    fn carving_puts_a_turn_in_place_of_what_lies_under_it() {
        let turn =
            |start, end, speaker| Turn { span: Span::new(start, end), speaker: Speaker(speaker), confidence: 1.0 };
        let mut turns = vec![turn(0.0, 4.0, 0), turn(5.0, 6.0, 1)];
        carve(&mut turns, turn(1.0, 2.0, 2));
        assert_eq!(turns, [turn(0.0, 1.0, 0), turn(1.0, 2.0, 2), turn(2.0, 4.0, 0), turn(5.0, 6.0, 1)]);
        carve(&mut turns, turn(3.5, 5.5, 3));
        assert_eq!(turns[3..], [turn(3.5, 5.5, 3), turn(5.5, 6.0, 1)]);
        assert_eq!(turns[2], turn(2.0, 3.5, 0));
    }

    #[test]
    fn silence_has_no_turns() {
        assert_eq!(tracks("...."), Tracks::default());
        assert_eq!(tracks(""), Tracks::default());
    }
}
