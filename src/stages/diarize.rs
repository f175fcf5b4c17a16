//! Who speaks when: windows over speech, an embedding each, clusters of embeddings, and a vote of overlapping windows on
//! every moment of speech.
//!
//! The steps are functions of their own, so that a segmentation network can later place the windows in front of
//! `embed` and draw the borders in place of `vote`; clustering stays between the two.

use candle_core::Device;
use ndarray::{Array2, s};

use super::{
    cluster::{ClusterOptions, Clustering, cluster, normalise_rows},
    embed::{BATCH, FeatureExtractor, Window, embed},
    vad::VadOptions,
};
use crate::{
    audio::{Audio, fbank::Fbank},
    error::{Error, Result},
    models::speaker::SpeakerEmbedder,
    progress::{StageName, Watch},
    span::{Span, samples_of},
    transcript::{Speaker, Turn},
};

/// Seconds of audio in one embedding: long enough to tell voices, short enough to hold one.
const WINDOW: f64 = 1.5;
/// Seconds from one window to the next. Half of it costs twice the time and gains less than 0.1 points on the development
/// recordings.
const HOP: f64 = 0.75;
/// Seconds per vote.
const VOTE: f64 = 0.05;
/// Shorter turns between others are absorbed, in seconds.
const SHORTEST_TURN: f64 = 0.5;
/// A speaker's turns are joined over silences up to this, in seconds.
const LONGEST_PAUSE: f64 = 0.5;
/// Recordings with fewer frames than this hold no voice to tell apart.
const FEWEST_FRAMES: usize = 10;

/// Who speaks when, and how each of them sounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diarization {
    /// In order of time; those of two speakers overlap where both speak at once.
    pub turns: Vec<Turn>,
    /// The same with one speaker at a time, for words: in order of time, none overlaps another.
    pub exclusive: Vec<Turn>,
    /// The mean embedding of each speaker, by number, of length one.
    pub voices: Vec<Vec<f32>>,
}

/// How many speakers there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiarizeOptions {
    /// Exactly so many.
    pub num_speakers: Option<usize>,
    /// At least so many.
    pub min_speakers: Option<usize>,
    /// At most so many.
    pub max_speakers: Option<usize>,
}

impl DiarizeOptions {
    /// The least and the most speakers.
    ///
    /// # Errors
    /// [`Error::Request`] for zero speakers, for a minimum above the maximum, or a number outside of both.
    pub fn bounds(&self) -> Result<(usize, usize)> {
        let named = [
            ("number", self.num_speakers),
            ("smallest number", self.min_speakers),
            ("largest number", self.max_speakers),
        ];
        if let Some((name, _)) = named.iter().find(|(_, count)| *count == Some(0)) {
            return Err(Error::Request(format!("the {name} of speakers must be at least 1, not 0")));
        }
        let (min, max) = (self.min_speakers.unwrap_or(1), self.max_speakers.unwrap_or(usize::from(u16::MAX)));
        if min > max {
            return Err(Error::Request(format!(
                "the smallest number of speakers ({min}) is above the largest ({max}); swap or drop one of them"
            )));
        }
        match self.num_speakers {
            None => Ok((min, max)),
            Some(exact) if (min..=max).contains(&exact) => Ok((exact, exact)),
            Some(exact) => Err(Error::Request(format!(
                "the number of speakers ({exact}) does not lie between the smallest ({min}) and the largest ({max}); give one or the other"
            ))),
        }
    }
}

/// How to find the speech that diarization reads: more readily than for transcription, since a speaker far from the
/// microphone is lost otherwise, and over short pauses.
pub fn speech_options() -> VadOptions {
    VadOptions { onset: 0.35, offset: 0.2, min_speech: 0.1, min_silence: 0.2, pad: 0.1 }
}

/// The windows of a recording that want an embedding, and what becomes of these.
#[derive(Debug)]
pub struct Plan {
    /// The speech that is given to speakers: in order and disjoint.
    speech: Vec<Span>,
    windows: Vec<Span>,
    /// Frames of every window; too few to tell voices apart in a very short recording.
    frames: usize,
    min_clusters: usize,
    max_clusters: usize,
}

impl Plan {
    /// Places windows over the `speech` in `audio` (seconds from its start; in order and disjoint).
    ///
    /// # Errors
    /// [`Error::Request`] for numbers of speakers that cannot be.
    pub fn new(audio: &Audio, speech: &[Span], options: &DiarizeOptions) -> Result<Self> {
        let (min_clusters, max_clusters) = options.bounds()?;
        let whole = Span::new(0.0, audio.duration());
        let speech: Vec<Span> =
            speech.iter().map(|span| span.clamp(&whole)).filter(|span| span.duration() > 0.0).collect();
        let windows = place_windows(&speech, audio.duration());
        let frames = windows.first().map_or(0, |window| Fbank::frames(samples_of(window.duration())));
        Ok(Self { speech, windows, frames, min_clusters, max_clusters })
    }

    /// How many embeddings are wanted.
    pub fn windows(&self) -> usize {
        if self.frames < FEWEST_FRAMES { 0 } else { self.windows.len() }
    }

    /// Where a window begins, in seconds.
    pub fn start(&self, window: usize) -> f64 {
        self.windows[window].start
    }

    /// The features of a window: (frames, bins), each bin's mean removed.
    ///
    /// # Errors
    /// When the features cannot be computed.
    pub fn features(&self, window: usize, audio: &Audio, extractor: &FeatureExtractor) -> Result<Window> {
        // Rounding must not give one window a frame less than the others.
        let length = extractor.samples(self.frames);
        let start = samples_of(self.windows[window].start).min(audio.samples().len() - length);
        extractor.whole_window(&audio.samples()[start..start + length])
    }

    /// Who speaks when, given an embedding of each window. Turns come in order and do not overlap; speakers are numbered
    /// by first appearance. Exactly the wanted number of speakers is found where the speech has as many windows of 0.75 s.
    ///
    /// # Errors
    /// When the embeddings are not as many, or not equally long.
    pub fn conclude(&self, embeddings: Vec<Vec<f32>>) -> Result<Diarization> {
        let size = embeddings.first().map_or(1, Vec::len);
        let mut rows = Array2::zeros((self.windows.len(), size));
        if self.windows() > 0 {
            let values = embeddings.into_iter().flatten().collect();
            rows = Array2::from_shape_vec((self.windows.len(), size), values)
                .map_err(|reason| Error::Bug(reason.to_string()))?;
        }
        normalise_rows(&mut rows);
        let (min_clusters, max_clusters) = (self.min_clusters, self.max_clusters);
        let clusters = ClusterOptions { min_clusters, max_clusters, ..ClusterOptions::default() };
        let clustering = cluster(rows.view(), &clusters);
        let mut turns = Vec::new();
        for span in &self.speech {
            turns.extend(absorb_short(vote(span, &self.windows, &rows, &clustering)));
        }
        if min_clusters > 1 {
            give_each_a_turn(&mut turns, &self.speech, &self.windows, &rows, &clustering);
        }
        let mut turns = join_over_pauses(turns);
        turns.iter_mut().for_each(|turn| turn.confidence = confidence(turn, &self.windows, &rows, &clustering));
        Ok(number_by_appearance(turns, &clustering))
    }
}

/// Who speaks when in `audio`, inside the `speech`, with an embedder of one's own: [`Plan`] with nothing beside it.
///
/// # Errors
/// [`Error::Request`] for numbers of speakers that cannot be, [`Error::Cancelled`], or a tensor operation that failed.
pub fn diarize(
    embedder: &SpeakerEmbedder,
    device: &Device,
    audio: &Audio,
    speech: &[Span],
    options: &DiarizeOptions,
    watch: &Watch,
) -> Result<Diarization> {
    let plan = Plan::new(audio, speech, options)?;
    let extractor = FeatureExtractor::new(embedder.features());
    let mut embeddings = Vec::with_capacity(plan.windows());
    for first in (0..plan.windows()).step_by(BATCH) {
        watch.step(StageName::Diarize, plan.start(first), audio.duration())?;
        let group = first..plan.windows().min(first + BATCH);
        let windows = group.map(|window| plan.features(window, audio, &extractor)).collect::<Result<Vec<_>>>()?;
        let made = embed(embedder, device, &windows.iter().collect::<Vec<_>>())?;
        embeddings.extend(made.into_iter().flatten().flatten());
    }
    watch.step(StageName::Diarize, audio.duration(), audio.duration())?;
    plan.conclude(embeddings)
}

/// Windows of equal length: along longer speech every [`HOP`], the last one flush with its end; around the middle of shorter speech.
fn place_windows(speech: &[Span], duration: f64) -> Vec<Span> {
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

/// Turns of cluster numbers inside one stretch of speech: at every moment each window that covers it votes for each cluster
/// with its likeness, more the nearer its middle is.
fn vote(speech: &Span, windows: &[Span], embeddings: &Array2<f32>, clustering: &Clustering) -> Vec<Turn> {
    let Some(length) = windows.first().map(Span::duration) else { return Vec::new() };
    let first = windows.partition_point(|window| window.end <= speech.start);
    let last = windows.partition_point(|window| window.start < speech.end).max(first);
    let likeness = embeddings.slice(s![first..last, ..]).dot(&clustering.means.t());
    let moments = (speech.duration() / VOTE).ceil().max(1.0) as usize;
    let mut turns: Vec<Turn> = Vec::new();
    for moment in 0..moments {
        let span =
            Span::new(speech.start + moment as f64 * VOTE, (speech.start + (moment + 1) as f64 * VOTE).min(speech.end));
        let mut votes = vec![0f32; clustering.means.nrows()];
        for (window, likeness) in windows[first..last].iter().zip(likeness.rows()) {
            let nearness = 1.0 - (span.midpoint() - window.midpoint()).abs() / (length / 2.0);
            if nearness > 0.0 {
                votes
                    .iter_mut()
                    .zip(likeness)
                    .for_each(|(vote, likeness)| *vote += nearness.max(0.02) as f32 * likeness);
            }
        }
        let winner = (0..votes.len()).max_by(|&a, &b| votes[a].total_cmp(&votes[b]).then(b.cmp(&a))).unwrap_or(0);
        let speaker = Speaker(u16::try_from(winner).unwrap_or(u16::MAX));
        match turns.last_mut() {
            Some(turn) if turn.speaker == speaker => turn.span.end = span.end,
            _ => turns.push(Turn { span, speaker, confidence: 1.0 }),
        }
    }
    turns
}

/// The share of the votes during a turn that were its speaker's: the mean over the windows that touch it, by their overlap.
fn confidence(turn: &Turn, windows: &[Span], embeddings: &Array2<f32>, clustering: &Clustering) -> f32 {
    let (mut own, mut all) = (0.0, 0.0);
    for (window, embedding) in windows.iter().zip(embeddings.rows()) {
        let overlap = window.overlap(&turn.span) as f32;
        if overlap > 0.0 {
            let votes = clustering.means.dot(&embedding).mapv(|likeness| likeness.max(0.0));
            let voted = votes.sum().max(f32::MIN_POSITIVE);
            own += overlap * votes[usize::from(turn.speaker.0)] / voted;
            all += overlap;
        }
    }
    if all > 0.0 { (own / all).clamp(0.0, 1.0) } else { 0.0 }
}

/// Gives every turn shorter than [`SHORTEST_TURN`] to the longer of its neighbours, the shortest first. The turns touch.
fn absorb_short(mut turns: Vec<Turn>) -> Vec<Turn> {
    while turns.len() > 1 {
        let duration = |index: usize| turns[index].span.duration();
        let Some(shortest) = (0..turns.len()).min_by(|&a, &b| duration(a).total_cmp(&duration(b))) else { break };
        if duration(shortest) >= SHORTEST_TURN {
            break;
        }
        let before = shortest.checked_sub(1).map_or(-1.0, duration);
        let after = if shortest + 1 < turns.len() { duration(shortest + 1) } else { -1.0 };
        let removed = turns.remove(shortest).span;
        if before >= after {
            turns[shortest - 1].span.end = removed.end;
        } else {
            turns[shortest].span.start = removed.start;
        }
        turns.dedup_by(|later, earlier| {
            let same = later.speaker == earlier.speaker;
            if same {
                earlier.span.end = later.span.end;
            }
            same
        });
    }
    turns
}

/// A cluster that won no vote, or lost all its turns for being short, gets the middle of the window that is most like it:
/// a caller who asks for a number of speakers is given that number.
fn give_each_a_turn(
    turns: &mut Vec<Turn>,
    speech: &[Span],
    windows: &[Span],
    embeddings: &Array2<f32>,
    clustering: &Clustering,
) {
    for (number, mean) in clustering.means.rows().into_iter().enumerate() {
        let speaker = Speaker(u16::try_from(number).unwrap_or(u16::MAX));
        if turns.iter().any(|turn| turn.speaker == speaker) {
            continue;
        }
        let likeness = |index: &usize| embeddings.row(*index).dot(&mean);
        let members = (0..windows.len()).filter(|&index| clustering.labels[index] == number);
        let Some(best) = members.max_by(|a, b| likeness(a).total_cmp(&likeness(b))) else { continue };
        let middle = Span::new(windows[best].midpoint() - HOP / 2.0, windows[best].midpoint() + HOP / 2.0);
        let Some(inside) = speech.iter().max_by(|a, b| a.overlap(&middle).total_cmp(&b.overlap(&middle))) else {
            continue;
        };
        carve(turns, Turn { span: middle.clamp(inside), speaker, confidence: 1.0 });
    }
}

/// Puts a turn in place of whatever lies under it.
fn carve(turns: &mut Vec<Turn>, new: Turn) {
    if new.span.duration() <= 0.0 {
        return;
    }
    let mut cut = Vec::with_capacity(turns.len() + 2);
    for turn in turns.drain(..) {
        let before = Span::new(turn.span.start, turn.span.end.min(new.span.start));
        let after = Span::new(turn.span.start.max(new.span.end), turn.span.end);
        cut.extend([before, after].into_iter().filter(|span| span.duration() > 0.0).map(|span| Turn { span, ..turn }));
    }
    let place = cut.partition_point(|turn| turn.span.start < new.span.start);
    cut.insert(place, new);
    *turns = cut;
}

/// Joins the turns of one speaker with nobody and little silence between.
fn join_over_pauses(turns: Vec<Turn>) -> Vec<Turn> {
    let mut joined: Vec<Turn> = Vec::with_capacity(turns.len());
    for turn in turns {
        match joined.last_mut() {
            Some(last) if last.speaker == turn.speaker && turn.span.start - last.span.end <= LONGEST_PAUSE => {
                last.span.end = turn.span.end;
            }
            _ => joined.push(turn),
        }
    }
    joined
}

fn number_by_appearance(mut turns: Vec<Turn>, clustering: &Clustering) -> Diarization {
    let mut seen: Vec<Speaker> = Vec::new();
    for turn in &mut turns {
        let number = seen.iter().position(|speaker| *speaker == turn.speaker).unwrap_or_else(|| {
            seen.push(turn.speaker);
            seen.len() - 1
        });
        turn.speaker = Speaker(u16::try_from(number).unwrap_or(u16::MAX));
    }
    let voice = |speaker: &Speaker| clustering.means.row(usize::from(speaker.0)).to_vec();
    Diarization { exclusive: turns.clone(), turns, voices: seen.iter().map(voice).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(start: f64, end: f64, speaker: u16) -> Turn {
        Turn { span: Span::new(start, end), speaker: Speaker(speaker), confidence: 1.0 }
    }

    fn options(num: Option<usize>, min: Option<usize>, max: Option<usize>) -> DiarizeOptions {
        DiarizeOptions { num_speakers: num, min_speakers: min, max_speakers: max }
    }

    #[test]
    fn numbers_of_speakers_that_cannot_be_are_refused() {
        assert!(matches!(options(None, Some(3), Some(2)).bounds(), Err(Error::Request(_))));
        assert!(matches!(options(Some(0), None, None).bounds(), Err(Error::Request(_))));
        assert!(matches!(options(None, None, Some(0)).bounds(), Err(Error::Request(_))));
        assert!(matches!(options(Some(5), None, Some(4)).bounds(), Err(Error::Request(_))));
        assert_eq!(options(Some(3), Some(2), Some(4)).bounds().unwrap(), (3, 3));
        assert_eq!(options(None, Some(2), None).bounds().unwrap(), (2, 65_535));
    }

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

    #[test]
    fn overlapping_windows_place_the_border_between_two_voices() {
        let windows = place_windows(&[Span::new(0.0, 6.0)], 6.0);
        let means = Array2::from_shape_vec((2, 2), vec![1.0, 0.0, 0.0, 1.0]).unwrap();
        // What a window hears of each voice, when the second begins at 3 s.
        let embeddings = Array2::from_shape_fn((windows.len(), 2), |(index, voice)| {
            let second = (windows[index].end - 3.0).clamp(0.0, 1.5) as f32 / 1.5;
            if voice == 1 { second } else { 1.0 - second }
        });
        let clustering = Clustering { labels: vec![0; windows.len()], means };
        let turns = vote(&Span::new(0.0, 6.0), &windows, &embeddings, &clustering);
        assert_eq!(turns.iter().map(|turn| turn.speaker.0).collect::<Vec<_>>(), [0, 1]);
        assert!((turns[0].span.end - 3.0).abs() <= 0.1, "{turns:?}");
        assert_eq!((turns[0].span.start, turns[1].span.end), (0.0, 6.0));
    }

    #[test]
    fn short_turns_go_to_the_longer_neighbour() {
        assert_eq!(absorb_short(vec![turn(0.0, 2.0, 0), turn(2.0, 2.2, 1), turn(2.2, 3.0, 0)]), [turn(0.0, 3.0, 0)]);
        assert_eq!(absorb_short(vec![turn(0.0, 0.1, 1), turn(0.1, 3.0, 0)]), [turn(0.0, 3.0, 0)]);
        let kept = vec![turn(0.0, 1.0, 0), turn(1.0, 2.0, 1)];
        assert_eq!(absorb_short(kept.clone()), kept);
        assert_eq!(absorb_short(vec![turn(0.0, 0.2, 3)]), [turn(0.0, 0.2, 3)]);
    }

    #[test]
    fn a_turn_is_as_sure_as_its_share_of_the_votes() {
        let windows = [Span::new(0.0, 1.0), Span::new(1.0, 2.0), Span::new(5.0, 6.0)];
        let embeddings = Array2::from_shape_vec((3, 2), vec![1.0, 0.0, 0.6, 0.6, -1.0, -1.0]).unwrap();
        let clustering = Clustering { labels: vec![0; 3], means: Array2::eye(2) };
        let sure = |turn: Turn| confidence(&turn, &windows, &embeddings, &clustering);
        assert_eq!([sure(turn(0.0, 1.0, 0)), sure(turn(0.0, 1.0, 1))], [1.0, 0.0]);
        assert_eq!([sure(turn(1.0, 2.0, 1)), sure(turn(0.0, 2.0, 0))], [0.5, 0.75]);
        assert_eq!([sure(turn(5.0, 6.0, 0)), sure(turn(3.0, 4.0, 0))], [0.0, 0.0]);
    }

    #[test]
    fn a_carved_turn_replaces_what_lies_under_it() {
        let mut turns = vec![turn(0.0, 4.0, 0), turn(5.0, 6.0, 1)];
        carve(&mut turns, turn(1.0, 2.0, 2));
        carve(&mut turns, turn(3.5, 5.5, 3));
        let expected = [turn(0.0, 1.0, 0), turn(1.0, 2.0, 2), turn(2.0, 3.5, 0), turn(3.5, 5.5, 3), turn(5.5, 6.0, 1)];
        assert_eq!(turns, expected);
    }

    #[test]
    fn a_wanted_speaker_without_a_vote_gets_the_window_most_like_it() {
        let (speech, windows) = ([Span::new(0.0, 3.0)], place_windows(&[Span::new(0.0, 3.0)], 3.0));
        let means = Array2::eye(2);
        let embeddings = Array2::from_shape_vec((3, 2), vec![1.0, 0.0, 0.8, 0.6, 1.0, 0.0]).unwrap();
        let clustering = Clustering { labels: vec![0, 1, 0], means };
        let mut turns = vote(&speech[0], &windows, &embeddings, &clustering);
        assert_eq!(turns, [turn(0.0, 3.0, 0)]);
        give_each_a_turn(&mut turns, &speech, &windows, &embeddings, &clustering);
        assert_eq!(turns, [turn(0.0, 1.125, 0), turn(1.125, 1.875, 1), turn(1.875, 3.0, 0)]);
    }

    #[test]
    fn pauses_are_bridged_and_speakers_numbered_by_appearance() {
        let turns = vec![turn(0.0, 1.0, 4), turn(1.3, 2.0, 4), turn(2.0, 3.0, 1), turn(4.0, 5.0, 4)];
        let expected = [turn(0.0, 2.0, 0), turn(2.0, 3.0, 1), turn(4.0, 5.0, 0)];
        let means = Array2::from_shape_fn((8, 2), |(row, column)| (row * 2 + column) as f32);
        let found = number_by_appearance(join_over_pauses(turns), &Clustering { labels: vec![], means });
        assert_eq!(found.turns, expected);
    }
}
