//! Which speaker is heard in which frame: two witnesses are asked.
//!
//! The segmentation network knows to a frame when somebody of a window begins and ends, and when two speak at once, but not
//! who that is, and of two alike voices it makes one. The embeddings of short windows know who it is, but not to better than
//! half a second. So the local speakers of each segmentation window are given to clusters by the embeddings that lie in what
//! they say alone, no two of them to the same (the constrained assignment of pyannote 4); and in every frame the share of
//! segmentation windows that hear a cluster there is added to the likeness of the short windows around it.

use ndarray::Array2;

use super::segment::Segmentation;
use crate::{models::segmentation::powerset::LOCAL_SPEAKERS, span::Span};

/// What likeness counts beside what the segmentation says. 1.5 to 3 measure within 0.5 points on the development recordings.
const LIKENESS: f32 = 2.0;
/// What the edge of a window counts beside its middle.
const EDGE: f32 = 0.02;
/// A local speaker who is alone in fewer frames of a window is known by all of his frames.
const FEWEST_ALONE: usize = 6;
/// A speaker is heard beside another when the segmentation gives him at least this.
const LEAST_SECOND: f32 = 1e-3;
/// How quickly a better score makes sure: two witnesses who agree are, and one against the other is not.
const SHARPNESS: f32 = 5.0;

/// A speaker in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// The row of the cluster.
    pub cluster: usize,
    /// How sure that is, 0 to 1.
    pub confidence: f32,
}

/// The short windows that have embeddings.
pub struct Windows<'a> {
    /// Where they lie: equally long, in order of time.
    pub spans: &'a [Span],
    /// The cosine of each with the mean of each cluster: (windows, clusters).
    pub likeness: &'a Array2<f32>,
}

impl Windows<'_> {
    /// The windows around a moment, from the index `from` on, with what each counts there: more the nearer its middle is.
    fn around(&self, from: usize, moment: f64) -> impl Iterator<Item = (usize, f32)> + '_ {
        let inside = move |window: &&Span| window.start <= moment;
        self.spans[from..].iter().take_while(inside).enumerate().filter(move |(_, window)| moment <= window.end).map(
            move |(index, window)| {
                let apart = (moment - window.midpoint()).abs() / (window.duration() / 2.0);
                (from + index, ((1.0 - apart) as f32).max(EDGE))
            },
        )
    }

    /// The first window that ends at a moment or later.
    fn first_after(&self, moment: f64) -> usize {
        self.spans.partition_point(|window| window.end < moment)
    }
}

/// In every frame on the recording's grid the speaker who is heard most, and the one beside him where two speak.
///
/// `speech` says where anybody speaks, with the probability of that, and `overlap` how likely two do, both by frame.
pub fn attribute(
    segmentation: &Segmentation,
    windows: &Windows,
    speech: &[Option<f32>],
    overlap: &[f32],
    least_overlap: f32,
) -> Vec<[Option<Heard>; 2]> {
    let owners: Vec<[Option<usize>; LOCAL_SPEAKERS]> =
        (0..segmentation.windows()).map(|window| owners(segmentation, window, windows)).collect();
    let clusters = windows.likeness.ncols();
    let mut around = (0, 0);
    let mut scores = Scores { likeness: vec![0.0; clusters], presence: vec![0.0; clusters] };
    let mut frames = vec![[None; 2]; speech.len()];
    for (frame, heard) in frames.iter_mut().enumerate() {
        let Some(probability) = speech[frame] else { continue };
        let moment = segmentation.frame_span(frame).midpoint();
        while windows.spans.get(around.0).is_some_and(|window| window.end < moment) {
            around.0 += 1;
        }
        while around.1 < owners.len() && segmentation.first_frame(around.1) + segmentation.frames <= frame {
            around.1 += 1;
        }
        scores.listen(segmentation, windows, &owners, around, frame, moment);
        *heard = scores.choose(probability, overlap[frame] > least_overlap);
    }
    frames
}

/// The cluster of each local speaker of a segmentation window who is active in it: of all ways to give them different
/// clusters the one of the greatest likeness in all.
fn owners(segmentation: &Segmentation, window: usize, windows: &Windows) -> [Option<usize>; LOCAL_SPEAKERS] {
    let likeness: Vec<Vec<(usize, f32)>> =
        (0..LOCAL_SPEAKERS).map(|speaker| likeliest(segmentation, window, speaker, windows)).collect();
    let mut best = (-1, f32::NEG_INFINITY, [None; LOCAL_SPEAKERS]);
    // As many local speakers as can be get a cluster; none of them needs one beyond his own three likeliest.
    let none = std::iter::once(None);
    let choices: Vec<Vec<Option<(usize, f32)>>> =
        likeness.iter().map(|likely| likely.iter().copied().map(Some).chain(none.clone()).collect()).collect();
    for a in &choices[0] {
        for b in &choices[1] {
            for c in &choices[2] {
                let chosen = [*a, *b, *c].map(|choice| choice.map(|(cluster, _)| cluster));
                let twice = |x: usize, y: usize| chosen[x].is_some() && chosen[x] == chosen[y];
                if twice(0, 1) || twice(0, 2) || twice(1, 2) {
                    continue;
                }
                let given = [a, b, c].into_iter().flatten().count() as i32;
                let sum: f32 = [a, b, c].into_iter().flatten().map(|(_, likeness)| likeness).sum();
                if (given, sum) > (best.0, best.1) {
                    best = (given, sum, chosen);
                }
            }
        }
    }
    best.2
}

/// The clusters that a local speaker's own frames are most alike to, at most as many as there are local speakers.
fn likeliest(segmentation: &Segmentation, window: usize, speaker: usize, windows: &Windows) -> Vec<(usize, f32)> {
    let activity = segmentation.activity(window);
    let bit = 1 << speaker;
    let alone = activity.iter().filter(|active| **active == bit).count() >= FEWEST_ALONE;
    let first = segmentation.first_frame(window);
    let mut sums = vec![0.0; windows.likeness.ncols()];
    let mut total = 0.0;
    let mut from = windows.first_after(segmentation.frame_span(first).start);
    for (frame, active) in activity.iter().enumerate() {
        if !(if alone { *active == bit } else { active & bit != 0 }) {
            continue;
        }
        let moment = segmentation.frame_span(first + frame).midpoint();
        while windows.spans.get(from).is_some_and(|window| window.end < moment) {
            from += 1;
        }
        for (index, weight) in windows.around(from, moment) {
            total += weight;
            sums.iter_mut().zip(windows.likeness.row(index)).for_each(|(sum, likeness)| *sum += weight * likeness);
        }
    }
    if total == 0.0 {
        return Vec::new();
    }
    let mut ranked: Vec<(usize, f32)> = sums.into_iter().map(|sum| sum / total).enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.truncate(LOCAL_SPEAKERS);
    ranked
}

/// What speaks for each cluster in one frame.
struct Scores {
    likeness: Vec<f32>,
    presence: Vec<f32>,
}

impl Scores {
    /// Asks the windows around `frame`; `from` are the first short and the first segmentation window that may be.
    fn listen(
        &mut self,
        segmentation: &Segmentation,
        windows: &Windows,
        owners: &[[Option<usize>; LOCAL_SPEAKERS]],
        from: (usize, usize),
        frame: usize,
        moment: f64,
    ) {
        self.likeness.fill(0.0);
        self.presence.fill(0.0);
        let mut weights = 0.0;
        for (index, weight) in windows.around(from.0, moment) {
            weights += weight;
            self.likeness.iter_mut().zip(windows.likeness.row(index)).for_each(|(sum, value)| *sum += weight * value);
        }
        if weights > 0.0 {
            self.likeness.iter_mut().for_each(|sum| *sum /= weights);
        }
        let mut covering = 0;
        for (window, owners) in owners.iter().enumerate().skip(from.1) {
            let first = segmentation.first_frame(window);
            if first > frame {
                break;
            }
            covering += 1;
            let presence = segmentation.presence(window)[frame - first];
            for (owner, presence) in owners.iter().zip(presence) {
                if let Some(cluster) = owner {
                    self.presence[*cluster] += presence;
                }
            }
        }
        self.presence.iter_mut().for_each(|sum| *sum /= covering.max(1) as f32);
    }

    /// Who is heard most, and who else, when `two` are.
    fn choose(&self, speech: f32, two: bool) -> [Option<Heard>; 2] {
        let score = |cluster: usize| self.presence[cluster] + LIKENESS * speech * self.likeness[cluster];
        let mut ranked: Vec<usize> = (0..self.presence.len()).collect();
        ranked.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        let Some(&first) = ranked.first() else { return [None; 2] };
        // Speech that no witness knows anything about is given to nobody, unless there is only one to give it to.
        if ranked.len() > 1 && self.presence.iter().chain(&self.likeness).all(|value| *value == 0.0) {
            return [None; 2];
        }
        // The share of the best among all, as softmax says it.
        let share = |of: &[usize]| {
            let powers: f32 = of.iter().map(|&cluster| (SHARPNESS * (score(cluster) - score(of[0]))).exp()).sum();
            1.0 / powers
        };
        let second = ranked.get(1).filter(|&&cluster| two && self.presence[cluster] >= LEAST_SECOND);
        let heard = |cluster, rest: &[usize]| Heard { cluster, confidence: speech * share(rest) };
        let beside = second.map(|&cluster| heard(cluster, &ranked[1..]));
        // Where two speak, the first competes with those who do not.
        let rest: Vec<usize> = ranked.iter().copied().filter(|cluster| Some(cluster) != second).collect();
        [Some(heard(first, &rest)), beside]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten frames of a recording in one window, of whom local speaker 0 speaks in the first half and 1 in the second.
    fn segmentation(bits: [u8; 10]) -> Segmentation {
        let presence = |bits: u8| [0, 1, 2].map(|speaker| f32::from(bits >> speaker & 1));
        Segmentation {
            samples: 10 * 270 + 721,
            step: 16_000,
            frames: 10,
            activities: bits.to_vec(),
            speech: bits.iter().map(|bits| f32::from(u8::from(*bits != 0))).collect(),
            presence: bits.iter().copied().map(presence).collect(),
            overlap: bits.iter().map(|bits| f32::from(u8::from(bits.count_ones() > 1))).collect(),
        }
    }

    fn clusters(frames: &[[Option<Heard>; 2]]) -> Vec<[Option<usize>; 2]> {
        frames.iter().map(|pair| pair.map(|heard| heard.map(|heard| heard.cluster))).collect()
    }

    #[test]
    fn segmentation_draws_the_border_and_embeddings_name_the_sides() {
        let segmentation = segmentation([1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
        let spans = [Span::new(0.0, 0.1), Span::new(0.1, 0.2)];
        // The first window is most like cluster 1, the second most like cluster 0.
        let likeness = Array2::from_shape_vec((2, 2), vec![0.2, 0.8, 0.7, 0.3]).unwrap();
        let windows = Windows { spans: &spans, likeness: &likeness };
        let frames = attribute(&segmentation, &windows, &[Some(1.0); 10], &[0.0; 10], 0.5);
        let first: Vec<usize> = clusters(&frames).iter().map(|pair| pair[0].unwrap()).collect();
        assert_eq!(first, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]);
        assert!(frames.iter().all(|pair| pair[1].is_none() && pair[0].unwrap().confidence > 0.8));
    }

    #[test]
    fn two_local_speakers_are_never_one() {
        let segmentation = segmentation([1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
        let spans = [Span::new(0.0, 0.1), Span::new(0.1, 0.2)];
        let likeness = Array2::from_shape_vec((2, 2), vec![0.9, 0.1, 0.6, 0.5]).unwrap();
        let windows = Windows { spans: &spans, likeness: &likeness };
        assert_eq!(owners(&segmentation, 0, &windows), [Some(0), Some(1), None]);
        let one = Array2::from_shape_vec((2, 1), vec![0.9, 0.6]).unwrap();
        let windows = Windows { spans: &spans, likeness: &one };
        assert_eq!(owners(&segmentation, 0, &windows), [Some(0), None, None]);
    }

    #[test]
    fn where_two_speak_both_are_heard() {
        let segmentation = segmentation([1, 1, 1, 3, 3, 3, 3, 2, 2, 2]);
        let spans = [Span::new(0.0, 0.1), Span::new(0.1, 0.2)];
        let likeness = Array2::from_shape_vec((2, 3), vec![0.8, 0.2, 0.0, 0.3, 0.7, 0.0]).unwrap();
        let windows = Windows { spans: &spans, likeness: &likeness };
        let frames = attribute(&segmentation, &windows, &[Some(1.0); 10], &segmentation.overlap.clone(), 0.5);
        let mut both = clusters(&frames)[4];
        both.sort();
        assert_eq!(both, [Some(0), Some(1)]);
        assert_eq!(clusters(&frames)[0], [Some(0), None]);
    }

    #[test]
    fn nothing_is_heard_without_speech_or_windows() {
        let segmentation = segmentation([1; 10]);
        let likeness = Array2::zeros((0, 0));
        let windows = Windows { spans: &[], likeness: &likeness };
        assert!(
            attribute(&segmentation, &windows, &[Some(1.0); 10], &[0.0; 10], 0.5).iter().all(|pair| pair == &[None; 2])
        );
        let likeness = Array2::ones((1, 1));
        let windows = Windows { spans: &[Span::new(0.0, 1.5)], likeness: &likeness };
        assert!(attribute(&segmentation, &windows, &[None; 10], &[0.0; 10], 0.5).iter().all(|pair| pair == &[None; 2]));
    }
}
