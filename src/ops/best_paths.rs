//! The best paths of many chains at once, each through its own emission: on the CPU one chain after the other on every
//! processor ([`super::ctc::best_path`], the definition), on a GPU a block of threads for each.

use std::ops::Range;

use candle_core::{Device, Result, bail};
#[cfg(feature = "cuda")]
use candle_core::{Storage, Tensor, op::BackpropOp};
use rayon::prelude::*;

use super::{
    ctc::{Chain, Emission, State, best_path, reach},
    kernels::ctc_viterbi::{CHAIN_WORDS, CtcViterbi, PLACE_WORDS},
    profile::{self, Class, Work},
};

/// Bytes of steps (frames x places) that one launch keeps on the GPU; a chain that needs more is searched on the CPU, which
/// walks it in parts.
const MOST_STEPS: usize = 1 << 28;

/// A chain to be found in what was heard.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// What was heard.
    pub emission: &'a Emission,
    /// What was said.
    pub chain: &'a Chain,
    /// The frames that each token is only heard in; in order, in their starts as in their ends.
    pub windows: Option<&'a [Range<usize>]>,
}

/// The likeliest state of every frame for each search, or `None` where the chain does not fit, as [`best_path`] has it; the
/// paths are the same on every device.
///
/// # Errors
/// When a chain names columns that its emission lacks, or the GPU refuses.
pub fn best_paths(searches: &[Search], device: &Device) -> Result<Vec<Option<Vec<State>>>> {
    let _timed = profile::span(Class::Path, Work::default);
    searches.iter().try_for_each(Search::check)?;
    let on_gpu = |search: &Search| !device.is_cpu() && search.frames() >= search.tokens() && search.tokens() > 0;
    let (together, alone): (Vec<usize>, Vec<usize>) =
        (0..searches.len()).partition(|&index| on_gpu(&searches[index]) && searches[index].steps() <= MOST_STEPS);
    let one = |&index: &usize| best_path(searches[index].emission, searches[index].chain, searches[index].windows);
    let mut paths = vec![None; searches.len()];
    let found: Vec<_> = alone.par_iter().map(one).collect();
    alone.iter().zip(found).for_each(|(&index, path)| paths[index] = path);
    for group in groups(&together, |index| searches[index].steps()) {
        let members: Vec<Search> = group.iter().map(|&index| searches[index]).collect();
        let found = Batch::new(&members).run(device)?;
        group.iter().zip(found).for_each(|(&index, path)| paths[index] = path);
    }
    Ok(paths)
}

/// Cuts the list where the steps of its members come to more than one launch keeps.
fn groups(members: &[usize], steps: impl Fn(usize) -> usize) -> Vec<&[usize]> {
    let (mut groups, mut start, mut sum) = (Vec::new(), 0, 0);
    for (place, &member) in members.iter().enumerate() {
        if sum + steps(member) > MOST_STEPS {
            groups.push(&members[start..place]);
            (start, sum) = (place, 0);
        }
        sum += steps(member);
    }
    groups.push(&members[start..]);
    groups.retain(|group| !group.is_empty());
    groups
}

impl Search<'_> {
    fn frames(&self) -> usize {
        self.emission.frames()
    }

    fn tokens(&self) -> usize {
        self.chain.tokens.len()
    }

    fn steps(&self) -> usize {
        self.frames().saturating_mul(self.tokens() + 1)
    }

    fn check(&self) -> Result<()> {
        let Chain { tokens, gaps, skips } = self.chain;
        if gaps.len() != tokens.len() + 1 || skips.len() != tokens.len() {
            bail!("a chain of {} tokens has {} gaps and {} skips", tokens.len(), gaps.len(), skips.len());
        }
        let columns = self.emission.columns;
        match tokens.iter().chain(gaps).find(|&&column| column as usize >= columns) {
            Some(column) if self.frames() > 0 && !tokens.is_empty() => {
                bail!("a chain names column {column} of an emission that has {columns}")
            }
            _ => Ok(()),
        }
    }
}

/// Searches as the kernel reads them; each has tokens, and as many frames at least.
#[derive(Debug, Clone)]
pub struct Batch {
    /// All emissions, one after the other.
    pub emissions: Vec<f32>,
    /// (places, 5).
    pub places: Vec<u32>,
    /// (B, 7).
    pub chains: Vec<u32>,
    /// Bytes of steps.
    pub steps: usize,
    /// Frames of all.
    pub frames: usize,
    /// The launch.
    pub kernel: CtcViterbi,
}

impl Batch {
    /// Packs searches.
    pub fn new(searches: &[Search]) -> Self {
        let mut batch = Self {
            emissions: Vec::new(),
            places: Vec::new(),
            chains: Vec::new(),
            steps: 0,
            frames: 0,
            kernel: CtcViterbi { chains: searches.len(), places: 1, widest: 1 },
        };
        searches.iter().for_each(|search| batch.add(search));
        batch
    }

    fn add(&mut self, search: &Search) {
        let (frames, tokens, chain) = (search.frames(), search.tokens(), search.chain);
        let words = [
            self.emissions.len(),
            search.emission.columns,
            frames,
            tokens,
            self.places.len() / PLACE_WORDS,
            self.frames,
            self.steps,
        ];
        self.chains.extend(words.map(|word| word as u32));
        self.emissions.extend_from_slice(&search.emission.values[..frames * search.emission.columns]);
        let reach = reach(frames, tokens, search.windows);
        for (place, &gap) in chain.gaps.iter().enumerate() {
            let own = reach.get(place).cloned().unwrap_or_default();
            let token = chain.tokens.get(place).copied().unwrap_or_default();
            let skips = chain.skips.get(place).copied().unwrap_or_default();
            self.places.extend([token, gap, skips.into(), own.start as u32, own.end as u32]);
        }
        self.frames += frames;
        self.steps += search.steps();
        self.kernel.places = self.kernel.places.max(tokens + 1);
        self.kernel.widest = self.kernel.widest.max(widest(&reach));
    }

    /// The paths, from the words of all frames and the scores that the kernel has written.
    pub fn paths(&self, words: &[u32], scores: &[f64]) -> Vec<Option<Vec<State>>> {
        let state = |&word: &u32| {
            let place = word as usize / 2;
            if word % 2 == 0 { State::Gap(place) } else { State::Token(place) }
        };
        let path = |(chain, &score): (&[u32], &f64)| {
            let words = &words[chain[5] as usize..][..chain[2] as usize];
            (score != f64::NEG_INFINITY).then(|| words.iter().map(state).collect())
        };
        self.chains.chunks_exact(CHAIN_WORDS).zip(scores).map(path).collect()
    }

    #[cfg(feature = "cuda")]
    fn run(&self, device: &Device) -> Result<Vec<Option<Vec<State>>>> {
        let Device::Cuda(gpu) = device else { bail!("paths are searched by a kernel on GPUs only") };
        let inputs = [
            Tensor::new(self.emissions.as_slice(), device)?,
            Tensor::new(self.places.as_slice(), device)?,
            Tensor::new(self.chains.as_slice(), device)?,
        ];
        let (paths, scores) = self.kernel.run(gpu, inputs.each_ref(), (self.steps, self.frames))?;
        let tensor =
            |storage, count: usize| Tensor::from_storage(Storage::Cuda(storage), count, BackpropOp::none(), false);
        let (paths, scores) = (tensor(paths, self.frames), tensor(scores, self.kernel.chains));
        Ok(self.paths(&paths.to_vec1()?, &scores.to_vec1()?))
    }

    #[cfg(not(feature = "cuda"))]
    fn run(&self, device: &Device) -> Result<Vec<Option<Vec<State>>>> {
        bail!("paths are searched by a kernel on GPUs only, not on {:?}", device.location())
    }
}

/// The most places that can be heard in one frame: the tokens of it, and the gap behind them.
fn widest(reach: &[Range<usize>]) -> usize {
    let mut first = 0;
    let width = |(place, own): (usize, &Range<usize>)| {
        while reach[first].end <= own.start && first < place {
            first += 1;
        }
        place - first + 2
    };
    reach.iter().enumerate().map(width).max().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_search_has_its_own_path() -> Result<()> {
        let emission = |loud: &[usize]| Emission {
            values: loud
                .iter()
                .flat_map(|&loud| (0..3).map(move |column| if column == loud { -0.1 } else { -5.0 }))
                .collect(),
            columns: 3,
        };
        let chain = Chain { tokens: vec![1, 2], gaps: vec![0; 3], skips: vec![true; 2] };
        let (first, second, short) = (emission(&[1, 0, 2]), emission(&[0, 1, 2, 2]), emission(&[0]));
        let search = |emission| Search { emission, chain: &chain, windows: None };
        let paths = best_paths(&[search(&first), search(&short), search(&second)], &Device::Cpu)?;
        let states = [State::Token(0), State::Gap(1), State::Token(1)];
        assert_eq!(paths[0].as_deref(), Some(states.as_slice()));
        assert_eq!(paths[1], None);
        assert_eq!(paths[2].as_ref().map(Vec::len), Some(4));
        Ok(())
    }

    #[test]
    fn chains_that_do_not_fit_their_emission_are_refused() {
        let emission = Emission { values: vec![-1.0; 6], columns: 3 };
        let refused =
            |chain: Chain| best_paths(&[Search { emission: &emission, chain: &chain, windows: None }], &Device::Cpu);
        let chain = Chain { tokens: vec![3], gaps: vec![0, 0], skips: vec![true] };
        assert!(refused(chain.clone()).unwrap_err().to_string().contains("names column 3"));
        assert!(refused(Chain { gaps: vec![0], ..chain }).is_err());
    }

    #[test]
    fn launches_keep_no_more_steps_than_they_may() {
        let members = [0, 1, 2, 3];
        let steps = |index: usize| [MOST_STEPS / 2, MOST_STEPS / 2, 1, MOST_STEPS][index];
        assert_eq!(groups(&members, steps), [&members[..2], &members[2..3], &members[3..]]);
        assert!(groups(&[], steps).is_empty());
    }

    #[test]
    fn the_widest_frame_is_found() {
        assert_eq!(widest(&[0..5, 1..6, 7..9]), 3);
        assert_eq!(widest(&[0..1, 1..2, 2..3]), 2);
    }
}
