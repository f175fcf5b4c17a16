//! The best path of a known text through the emissions of a CTC network (Graves et al. 2006, section 4.1; Viterbi 1967).
//!
//! The text is a chain `gap 0, token 0, gap 1, token 1, ..., gap N`. A frame stays in its state or moves on by one; a gap
//! may be passed over where [`Chain::skips`] says so. In the standard CTC topology gaps emit the blank, and only the gap
//! between two equal characters must be heard.
//!
//! The search is exact, in log space and in f64. Its memory is linear in the length of the audio: scores are kept at
//! checkpoints only, and the part between two of them is walked again, backwards, within reach of the path's end.

use std::ops::Range;

use super::profile::{self, Class, Work};

/// What a network heard: frames x columns log-probabilities, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    /// Row after row.
    pub values: Vec<f32>,
    /// Labels in a row.
    pub columns: usize,
}

impl Emission {
    /// How many frames there are.
    pub fn frames(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// One frame.
    pub fn row(&self, frame: usize) -> &[f32] {
        &self.values[frame * self.columns..][..self.columns]
    }
}

/// A text as a chain of states. Columns are those of the emission.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chain {
    /// The column of each token.
    pub tokens: Vec<u32>,
    /// The column of the gap before each token, and of the one after the last: one more than there are tokens.
    pub gaps: Vec<u32>,
    /// Whether the gap before each token may be passed over.
    pub skips: Vec<bool>,
}

/// A state of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Before this token; the number of tokens for the gap after the last.
    Gap(usize),
    /// In this token.
    Token(usize),
}

/// Cells (frames x tokens) that one walk keeps its steps of; more are walked in parts.
const CELLS_AT_ONCE: usize = 1 << 24;
/// The fewest frames of a part.
const SHORTEST_PART: usize = 256;

/// The likeliest state of every frame, or `None` where the chain does not fit: more tokens and gaps that must be heard
/// than frames. With `windows`, each token is only heard inside its range of frames; these must be in order, in their
/// starts as in their ends.
pub fn best_path(emission: &Emission, chain: &Chain, windows: Option<&[Range<usize>]>) -> Option<Vec<State>> {
    let _timed = profile::span(Class::Path, Work::default);
    let (frames, tokens) = (emission.frames(), chain.tokens.len());
    if tokens == 0 {
        return Some(vec![State::Gap(0); frames]);
    }
    if frames < tokens {
        return None;
    }
    let trellis = Trellis::new(emission, chain, windows);
    let part = if frames.saturating_mul(trellis.widest()) <= CELLS_AT_ONCE {
        frames
    } else {
        (frames as f64).sqrt().ceil() as usize * 2
    };
    trellis.search(part.max(SHORTEST_PART).min(frames))
}

/// For each token the frames that it can be heard in: reached in time, and with time left for the tokens after it. There are
/// no fewer frames than tokens.
pub(super) fn reach(frames: usize, tokens: usize, windows: Option<&[Range<usize>]>) -> Vec<Range<usize>> {
    let reach = (0..tokens).map(|token| {
        let own = token..frames - (tokens - 1 - token);
        match windows.and_then(|windows| windows.get(token)) {
            Some(window) => own.start.max(window.start)..own.end.min(window.end),
            None => own,
        }
    });
    reach.collect()
}

struct Trellis<'a> {
    emission: &'a Emission,
    chain: &'a Chain,
    /// 0 where the gap before a token may be passed over, else minus infinity.
    skips: Vec<f64>,
    /// The frames of each token.
    reach: Vec<Range<usize>>,
}

/// The scores of all states at one frame. Cells outside of `active` are minus infinity.
#[derive(Clone)]
struct Scores {
    /// Score of token `i` at place `i + 1`; place 0 stays minus infinity.
    tokens: Vec<f64>,
    gaps: Vec<f64>,
    active: Range<usize>,
}

impl Scores {
    /// Before the first frame: in the first gap.
    fn start(tokens: usize) -> Self {
        let mut scores = Self::nowhere(tokens);
        scores.gaps[0] = 0.0;
        scores
    }

    fn nowhere(tokens: usize) -> Self {
        let none = vec![f64::NEG_INFINITY; tokens + 1];
        Self { tokens: none.clone(), gaps: none, active: 0..0 }
    }
}

/// The scores at a checkpoint, without the cells that nothing has reached.
struct Checkpoint {
    tokens: Vec<f64>,
    gaps: Vec<f64>,
    active: Range<usize>,
}

impl Checkpoint {
    fn of(scores: &Scores) -> Self {
        let kept = scores.active.start..scores.active.end + 1;
        Self {
            tokens: scores.tokens[kept.clone()].to_vec(),
            gaps: scores.gaps[kept].to_vec(),
            active: scores.active.clone(),
        }
    }

    fn scores(&self, tokens: usize) -> Scores {
        let mut scores = Scores::nowhere(tokens);
        let kept = self.active.start..self.active.end + 1;
        scores.tokens[kept.clone()].copy_from_slice(&self.tokens);
        scores.gaps[kept].copy_from_slice(&self.gaps);
        scores.active = self.active.clone();
        scores
    }
}

/// How a state was reached: the low two bits for the token, the third for the gap before it.
mod step {
    pub(super) const TOKEN_FROM_GAP: u8 = 1;
    pub(super) const TOKEN_FROM_TOKEN: u8 = 2;
    pub(super) const TOKEN: u8 = 3;
    pub(super) const GAP_FROM_TOKEN: u8 = 4;
}

impl<'a> Trellis<'a> {
    fn new(emission: &'a Emission, chain: &'a Chain, windows: Option<&[Range<usize>]>) -> Self {
        let reach = reach(emission.frames(), chain.tokens.len(), windows);
        let skips = chain.skips.iter().map(|&skip| if skip { 0.0 } else { f64::NEG_INFINITY }).collect();
        Self { emission, chain, skips, reach }
    }

    /// The tokens that can be heard in a frame; so can the gaps before them, and the gap after the last of them.
    fn active(&self, frame: usize) -> Range<usize> {
        let first = self.reach.partition_point(|reach| reach.end <= frame);
        let last = self.reach.partition_point(|reach| reach.start <= frame);
        first..last.max(first)
    }

    /// The most tokens of any frame.
    fn widest(&self) -> usize {
        (0..self.emission.frames()).step_by(16).map(|frame| self.active(frame).len() + 16).max().unwrap_or(0)
    }

    /// Moves from the frame before to `frame`, for the states of `active`; tells `taken` how each was reached.
    fn advance(
        &self,
        frame: usize,
        active: Range<usize>,
        before: &Scores,
        after: &mut Scores,
        mut taken: impl FnMut(u8),
    ) {
        let row = self.emission.row(frame);
        let stale = after.active.start..active.start.min(after.active.end + 1);
        after.tokens[stale.clone()].fill(f64::NEG_INFINITY);
        after.gaps[stale].fill(f64::NEG_INFINITY);
        // The token before the first active one may have been active until now.
        after.tokens[active.start] = f64::NEG_INFINITY;
        for token in active.clone() {
            let (gap, own, previous) = (before.gaps[token], before.tokens[token + 1], before.tokens[token]);
            let mut step = 0;
            let mut best = own;
            if gap > best {
                (best, step) = (gap, step::TOKEN_FROM_GAP);
            }
            let skipped = previous + self.skips[token];
            if skipped > best {
                (best, step) = (skipped, step::TOKEN_FROM_TOKEN);
            }
            after.tokens[token + 1] = best + f64::from(row[self.chain.tokens[token] as usize]);
            let best = if previous > gap { previous } else { gap };
            step |= if previous > gap { step::GAP_FROM_TOKEN } else { 0 };
            after.gaps[token] = best + f64::from(row[self.chain.gaps[token] as usize]);
            taken(step);
        }
        let last = active.end;
        let (gap, previous) = (before.gaps[last], before.tokens[last]);
        after.gaps[last] = gap.max(previous) + f64::from(row[self.chain.gaps[last] as usize]);
        taken(if previous > gap { step::GAP_FROM_TOKEN } else { 0 });
        after.active = active;
    }

    fn search(&self, part: usize) -> Option<Vec<State>> {
        let (frames, tokens) = (self.emission.frames(), self.chain.tokens.len());
        let mut checkpoints = vec![Checkpoint::of(&Scores::start(tokens))];
        let (mut before, mut after) = (Scores::start(tokens), Scores::nowhere(tokens));
        // The last part is walked with its steps at once.
        let last = (frames - 1) / part * part;
        for frame in 0..last {
            self.advance(frame, self.active(frame), &before, &mut after, |_| {});
            std::mem::swap(&mut before, &mut after);
            if (frame + 1) % part == 0 {
                checkpoints.push(Checkpoint::of(&before));
            }
        }
        let mut path = vec![State::Gap(tokens); frames];
        let mut end = None;
        for (index, checkpoint) in checkpoints.iter().enumerate().rev() {
            let range = index * part..frames.min((index + 1) * part);
            end = Some(self.walk_back(checkpoint, range, end, &mut path)?);
        }
        Some(path)
    }

    /// Fills the path of the frames in `range`, which end in the state `end` (else in the better one of the last two), and
    /// gives the state before them. `None` where no path leads there.
    fn walk_back(
        &self,
        checkpoint: &Checkpoint,
        range: Range<usize>,
        end: Option<State>,
        path: &mut [State],
    ) -> Option<State> {
        let tokens = self.chain.tokens.len();
        // Nothing after the end matters, nor what is too far before it to reach it.
        let (first, limit) = match end {
            Some(State::Gap(place)) => (place.saturating_sub(range.len() + 1), place),
            Some(State::Token(place)) => (place.saturating_sub(range.len() + 1), place + 1),
            None => (0, tokens),
        };
        let (mut before, mut after) = (checkpoint.scores(tokens), Scores::nowhere(tokens));
        let mut steps = Vec::new();
        let mut rows = Vec::with_capacity(range.len());
        for frame in range.clone() {
            let active = self.active(frame);
            let active = active.start.max(first)..active.end.min(limit);
            let active = active.start..active.end.max(active.start);
            rows.push((steps.len(), active.start));
            self.advance(frame, active, &before, &mut after, |step| steps.push(step));
            std::mem::swap(&mut before, &mut after);
        }
        let mut state = end.unwrap_or(if before.tokens[tokens] > before.gaps[tokens] {
            State::Token(tokens - 1)
        } else {
            State::Gap(tokens)
        });
        let score = match state {
            State::Gap(place) => before.gaps[place],
            State::Token(place) => before.tokens[place + 1],
        };
        if score == f64::NEG_INFINITY {
            return None;
        }
        for frame in range.clone().rev() {
            path[frame] = state;
            let (row, start) = rows[frame - range.start];
            let step = |place: usize| steps[row + place - start];
            state = match state {
                State::Gap(place) if step(place) & step::GAP_FROM_TOKEN != 0 => State::Token(place - 1),
                State::Gap(place) => State::Gap(place),
                State::Token(place) => match step(place) & step::TOKEN {
                    step::TOKEN_FROM_GAP => State::Gap(place),
                    step::TOKEN_FROM_TOKEN => State::Token(place - 1),
                    _ => State::Token(place),
                },
            };
        }
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn emission(frames: usize, columns: usize, seed: u64) -> Emission {
        let mut random = StdRng::seed_from_u64(seed);
        let mut values: Vec<f32> = (0..frames * columns).map(|_| random.gen_range(-6.0..3.0)).collect();
        for row in values.chunks_exact_mut(columns) {
            let sum = row.iter().map(|value| value.exp()).sum::<f32>().ln();
            row.iter_mut().for_each(|value| *value -= sum);
        }
        Emission { values, columns }
    }

    /// The standard topology: column 0 is the blank.
    fn chain(tokens: &[u32]) -> Chain {
        let skips = (0..tokens.len()).map(|place| place == 0 || tokens[place] != tokens[place - 1]).collect();
        Chain { tokens: tokens.to_vec(), gaps: vec![0; tokens.len() + 1], skips }
    }

    fn score(emission: &Emission, chain: &Chain, path: &[State]) -> f64 {
        let column = |state: &State| match *state {
            State::Gap(place) => chain.gaps[place],
            State::Token(place) => chain.tokens[place],
        };
        path.iter().enumerate().map(|(frame, state)| f64::from(emission.row(frame)[column(state) as usize])).sum()
    }

    /// Every path, one after the other.
    fn brute_force(emission: &Emission, chain: &Chain) -> Option<f64> {
        let tokens = chain.tokens.len();
        let index = |state: State| match state {
            State::Gap(place) => 2 * place,
            State::Token(place) => 2 * place + 1,
        };
        let state =
            |index: usize| if index.is_multiple_of(2) { State::Gap(index / 2) } else { State::Token(index / 2) };
        let mut paths: Vec<Vec<State>> = vec![vec![State::Gap(0)], vec![State::Token(0)]];
        for _ in 1..emission.frames() {
            paths = paths
                .into_iter()
                .flat_map(|path| {
                    let last = index(path[path.len() - 1]);
                    let skip = last % 2 == 1 && last / 2 + 1 < tokens && chain.skips[last / 2 + 1];
                    let next = [Some(last), (last < 2 * tokens).then_some(last + 1), skip.then_some(last + 2)];
                    next.into_iter().flatten().map(move |next| [path.clone(), vec![state(next)]].concat())
                })
                .collect();
        }
        let ends = |path: &Vec<State>| matches!(path.last(), Some(&last) if index(last) >= 2 * tokens - 1);
        paths.iter().filter(|path| ends(path)).map(|path| score(emission, chain, path)).max_by(f64::total_cmp)
    }

    #[test]
    fn the_path_is_the_best_of_all_paths() {
        for seed in 0..60 {
            let frames = 1 + seed as usize % 8;
            let mut random = StdRng::seed_from_u64(seed);
            let tokens: Vec<u32> = (0..random.gen_range(1..=4)).map(|_| random.gen_range(1..3)).collect();
            let (emission, chain) = (emission(frames, 3, seed), chain(&tokens));
            let best = brute_force(&emission, &chain);
            let found = best_path(&emission, &chain, None).map(|path| score(&emission, &chain, &path));
            match (best, found) {
                (Some(best), Some(found)) => assert!((best - found).abs() < 1e-9, "seed {seed}: {best} {found}"),
                (best, found) => assert_eq!(best, found, "seed {seed}, {tokens:?}"),
            }
        }
    }

    #[test]
    fn a_repeated_character_needs_a_blank_between() {
        assert_eq!(best_path(&emission(2, 3, 1), &chain(&[1, 1]), None), None);
        let path = best_path(&emission(3, 3, 1), &chain(&[1, 1]), None);
        assert_eq!(path, Some(vec![State::Token(0), State::Gap(1), State::Token(1)]));
    }

    #[test]
    fn parts_give_the_same_path_as_the_whole() {
        let emission = emission(3000, 8, 5);
        let mut random = StdRng::seed_from_u64(9);
        let tokens: Vec<u32> = (0..700).map(|_| random.gen_range(1..8)).collect();
        let chain = chain(&tokens);
        let trellis = Trellis::new(&emission, &chain, None);
        let whole = trellis.search(3000);
        for part in [7, 100, 256, 1499, 2999] {
            assert!(trellis.search(part) == whole, "parts of {part} frames");
        }
        assert!(whole.is_some());
    }

    #[test]
    fn windows_hold_and_loose_ones_change_nothing() {
        let (emission, chain) = (emission(200, 6, 3), chain(&[1, 2, 3, 3, 4, 5]));
        let free = best_path(&emission, &chain, None);
        assert_eq!(best_path(&emission, &chain, Some(&vec![0..200; 6])), free);
        let windows: Vec<Range<usize>> = (0..6).map(|token| 20 + 25 * token..30 + 25 * token).collect();
        for part in [7, 200] {
            let path = Trellis::new(&emission, &chain, Some(&windows)).search(part).unwrap();
            for (frame, state) in path.iter().enumerate() {
                if let State::Token(token) = state {
                    assert!(windows[*token].contains(&frame), "token {token} in frame {frame}");
                }
            }
        }
        assert_eq!(best_path(&emission, &chain, Some(&vec![0..2; 6])), None);
    }

    #[test]
    fn texts_that_do_not_fit_and_empty_ones_are_told_apart() {
        assert_eq!(best_path(&emission(2, 4, 1), &chain(&[1, 2, 3]), None), None);
        assert_eq!(best_path(&emission(3, 4, 1), &chain(&[]), None), Some(vec![State::Gap(0); 3]));
        assert_eq!(best_path(&Emission { values: vec![], columns: 4 }, &chain(&[1]), None), None);
        assert_eq!(best_path(&Emission { values: vec![], columns: 4 }, &chain(&[]), None), Some(vec![]));
    }
}
