//! Rounds of a request with one number of threads, and what the machine can do with as many.

use std::sync::atomic::AtomicBool;

use palabra::{
    Error, Result,
    ops::profile::{self, Profile},
    progress::Watch,
};

use super::{
    peaks::Peaks,
    request::{Networks, Told, Wanted},
};
use crate::cli::{
    bars::Bars,
    bench::{
        clock::{Clock, Cost},
        rounds::Rounds,
    },
    streams,
};

/// What is run.
pub struct Runs<'a> {
    /// What works.
    pub networks: &'a Networks,
    /// On what.
    pub wanted: &'a Wanted,
    /// How often.
    pub rounds: Rounds,
    /// Whether to stop.
    pub cancelled: &'a AtomicBool,
    /// Whether to say on standard error what is being done.
    pub talks: bool,
}

/// What was found with one number of threads.
#[derive(Debug, Clone)]
pub struct Run {
    /// Threads.
    pub threads: usize,
    /// What they can do.
    pub peaks: Peaks,
    /// What came of the recording.
    pub told: Told,
    /// The rounds that count, in order of time: the shortest first. There is at least one.
    pub rounds: Vec<Round>,
}

/// One time through everything.
#[derive(Debug, Clone)]
pub struct Round {
    /// What it took as a whole.
    pub cost: Cost,
    /// And in its parts.
    pub profile: Profile,
}

impl Run {
    /// The round in the middle, the shorter one of two.
    pub fn middle(&self) -> &Round {
        &self.rounds[(self.rounds.len() - 1) / 2]
    }
}

impl Runs<'_> {
    /// Measures with `threads` threads, in a pool of their own.
    ///
    /// # Errors
    /// [`Error::Machine`] where there are no such threads; those of the request.
    pub fn measure(&self, threads: usize) -> Result<Run> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|reason| {
            Error::Machine(format!("{threads} threads cannot be started ({reason}); ask for fewer with --threads"))
        })?;
        pool.install(|| self.run(threads))
    }

    fn run(&self, threads: usize) -> Result<Run> {
        let with = format!("{threads} {}", if threads == 1 { "thread" } else { "threads" });
        self.tell(&format!("{with}: what the machine can do"));
        let peaks = Peaks::measure(&Watch::new(&|_| {}, self.cancelled))?;
        let (mut rounds, mut told) = (Vec::new(), Told::default());
        for index in 0..self.rounds.warm_up + self.rounds.counted.max(1) {
            let bars = Bars::new(self.talks);
            let show = |progress| bars.show(progress);
            let watch = Watch::new(&show, self.cancelled);
            let clock = Clock::start();
            let (outcome, profile) = profile::record(|| self.networks.transcribe(self.wanted, &watch));
            let cost = clock.stop();
            bars.clear();
            told = outcome?;
            let counted = index.checked_sub(self.rounds.warm_up);
            let name = match counted {
                Some(round) => format!("round {} of {}", round + 1, self.rounds.counted),
                None => format!("warm-up {} of {}", index + 1, self.rounds.warm_up),
            };
            self.tell(&format!("{with}: {name}, {:.2} s for {:.0} s of audio", cost.wall, told.seconds));
            if counted.is_some() {
                rounds.push(Round { cost, profile });
            }
        }
        rounds.sort_by(|a, b| a.cost.wall.total_cmp(&b.cost.wall));
        Ok(Run { threads, peaks, told, rounds })
    }

    fn tell(&self, line: &str) {
        if self.talks {
            streams::tell(line);
        }
    }
}
