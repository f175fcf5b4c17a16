//! `kernels/ctc_viterbi.cu` against `best_path`: the same path to the last frame, and the same score to the last bit.

use std::ops::Range;

use candle_core::DType;
use palabra::ops::{
    best_paths::{Batch, Search},
    ctc::{Chain, Emission, State, best_path},
};
use rand::{Rng, rngs::StdRng};

use crate::{
    case::Case,
    subject::{Size, Subject},
};

/// The kernel.
pub const SUBJECT: Subject = Subject { race_cases: 8, ..Subject::new("ctc_viterbi", case) };

/// What was heard, a chain, and windows.
pub type Problem = (Emission, Chain, Option<Vec<Range<usize>>>);

/// A random search.
pub fn problem(random: &mut StdRng, size: Size) -> Problem {
    // Long chains lie outside of shared memory; few frames more than tokens leave a narrow band.
    let long = size == Size::Ordinary && random.gen_ratio(1, 200);
    let tokens = match size {
        _ if long => random.gen_range(1250..1400),
        Size::Ordinary => random.gen_range(1..=60),
        Size::Small => random.gen_range(1..=40),
    };
    let spare = if long { 5 } else { [3, 20, 100][random.gen_range(0..3)] };
    let frames = tokens + random.gen_range(0..=spare);
    let columns = random.gen_range(2..=40);
    // Coarse numbers have equal sums, so that ties are met.
    let coarse = random.gen_bool(0.3);
    let value = |random: &mut StdRng| {
        let value: f32 = random.gen_range(-8.0..0.0);
        if coarse { value.round() } else { value }
    };
    let values = (0..frames * columns).map(|_| value(random)).collect();
    let column = |random: &mut StdRng| random.gen_range(0..columns as u32);
    let same_gap = random.gen_bool(0.7).then(|| column(random));
    let chain = Chain {
        tokens: (0..tokens).map(|_| column(random)).collect(),
        gaps: (0..=tokens).map(|_| same_gap.unwrap_or_else(|| column(random))).collect(),
        skips: (0..tokens).map(|_| random.gen_bool(0.8)).collect(),
    };
    let windows = random.gen_bool(0.4).then(|| windows(random, tokens, frames));
    (Emission { values, columns }, chain, windows)
}

/// Windows in order, some too narrow for any path.
fn windows(random: &mut StdRng, tokens: usize, frames: usize) -> Vec<Range<usize>> {
    let (before, after) = (random.gen_range(0..20), random.gen_range(1..30));
    let mut places: Vec<usize> = (0..tokens).map(|_| random.gen_range(0..frames)).collect();
    places.sort_unstable();
    places.into_iter().map(|place| place.saturating_sub(before)..place + after).collect()
}

/// The score of a path, summed as the search sums.
fn score(emission: &Emission, chain: &Chain, path: &[State]) -> f64 {
    let column = |state: &State| match *state {
        State::Gap(place) => chain.gaps[place],
        State::Token(place) => chain.tokens[place],
    };
    path.iter()
        .enumerate()
        .fold(0.0, |sum, (frame, state)| sum + f64::from(emission.row(frame)[column(state) as usize]))
}

fn word(state: &State) -> u32 {
    match *state {
        State::Gap(place) => 2 * place as u32,
        State::Token(place) => 2 * place as u32 + 1,
    }
}

fn case(random: &mut StdRng, size: Size) -> Case {
    let count = random.gen_range(1..=if size == Size::Small { 2 } else { 3 });
    let problems: Vec<Problem> = (0..count).map(|_| problem(random, size)).collect();
    let searches: Vec<Search> = problems
        .iter()
        .map(|(emission, chain, windows)| Search { emission, chain, windows: windows.as_deref() })
        .collect();
    let (mut words, mut scores) = (Vec::new(), Vec::new());
    for Search { emission, chain, windows } in &searches {
        let path = best_path(emission, chain, *windows);
        scores.push(path.as_ref().map_or(f64::NEG_INFINITY, |path| score(emission, chain, path)));
        match path {
            Some(path) => words.extend(path.iter().map(word)),
            // Where there is no path, nothing is written.
            None => words.extend(vec![u32::MAX; emission.frames()]),
        }
    }
    let batch = Batch::new(&searches);
    let shapes: Vec<_> = problems.iter().map(|(emission, chain, _)| (emission.frames(), chain.tokens.len())).collect();
    let mut case = Case::new(format!("{:?}, frames and tokens {shapes:?}", batch.kernel));
    let inputs = [case.buffer(&batch.emissions), case.buffer(&batch.places), case.buffer(&batch.chains)];
    let [emissions, places, chains] = inputs;
    let (steps, scratch) = (case.empty(batch.steps, DType::U8), case.empty(batch.kernel.scratch(), DType::F64));
    let (paths, found) = (case.empty(batch.frames, DType::U32), case.empty(count, DType::F64));
    case.launch(batch.kernel.launch([emissions, places, chains, steps, scratch, paths, found]).unwrap());
    case.expect(paths, DType::U32, &words);
    case.expect_within(found, DType::F64, &scores, 0.0);
    case
}
