//! A group of stages over its batch sizes: first all of them are checked, then those that are right are timed.

use palabra::{Error, Result, device::Compute, progress::Watch};

use super::{
    check::Check,
    input::Input,
    subject::{Stage, Subject},
};
use crate::cli::bench::{
    cost::work::Work,
    rounds::{Rounds, Timing, time},
};

/// Chunks over which results are compared.
const CHECKED: usize = 2;
/// Seconds in a chunk.
const CHUNK_SECONDS: f64 = 30.0;
/// Why a stage has no time on a small device.
const NO_ROOM: &str = "it does not fit the device's memory";

/// What was found about a group of stages.
#[derive(Debug, Default)]
pub struct Group {
    /// The checkpoint, or what else the stages belong to.
    pub name: String,
    /// Number type.
    pub dtype: String,
    /// Comparisons with the CPU.
    pub checks: Vec<Check>,
    /// Times.
    pub stages: Vec<Measured>,
    /// What has no time, and why.
    pub left_out: Vec<LeftOut>,
}

/// The time of a stage at one batch size.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What it is called.
    pub stage: String,
    /// Chunks, or rows of the decoder.
    pub batch: usize,
    /// Bytes of its numbers.
    pub size: usize,
    /// Seconds for all of the batch's audio.
    pub timing: Timing,
    /// What that took at the least; `None` where it is not modelled.
    pub work: Option<Work>,
}

impl Measured {
    /// How much faster than real time.
    pub fn times_real_time(&self) -> f64 {
        self.batch as f64 * CHUNK_SECONDS / self.timing.median
    }

    /// Operations and bytes a second.
    pub fn rates(&self) -> Option<(f64, f64)> {
        self.work.map(|work| (work.flops / self.timing.median, work.bytes / self.timing.median))
    }
}

/// A stage without a time.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// What it is called.
    pub stage: String,
    /// The batch size; `None`: all.
    pub batch: Option<usize>,
    /// Why.
    pub reason: String,
}

/// What is to be measured.
pub struct Plan<'a> {
    /// What stages are given.
    pub input: &'a Input,
    /// Chunks in a batch.
    pub batches: &'a [usize],
    /// The stages to measure, by name; all where there is none.
    pub only: &'a [String],
    /// How often.
    pub rounds: Rounds,
    /// Whether to go on.
    pub watch: &'a Watch<'a>,
    /// Hears what is being done.
    pub tell: &'a dyn Fn(&str),
}

impl Plan<'_> {
    fn wants(&self, stage: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == stage)
    }

    /// Whether one of the stages is to be measured.
    pub fn wants_any<N>(&self, stages: &[Stage<N>]) -> bool {
        stages.iter().any(|stage| self.wants(stage.0))
    }
}

impl Group {
    /// A group about which nothing is known yet.
    pub fn new(name: &str, compute: &Compute) -> Self {
        Self { name: name.to_owned(), dtype: compute.dtype.as_str().to_owned(), ..Self::default() }
    }

    /// Whether every comparison was passed.
    pub fn is_right(&self) -> bool {
        self.checks.iter().all(Check::passed)
    }

    /// Compares each stage with the same on the CPU, and times those that are right. What has no `reference` is right where
    /// its parts are; `tokens` has compared a whole text, where there is one.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or a tensor operation that failed otherwise than for want of memory.
    pub fn measure<N>(
        &mut self,
        (ours, compute): (&N, &Compute),
        reference: Option<&N>,
        stages: &[Stage<N>],
        tokens: Option<Check>,
        plan: &Plan,
    ) -> Result<()> {
        let writes = tokens.as_ref().is_none_or(Check::passed);
        self.checks.extend(tokens);
        for &stage in stages.iter().filter(|stage| plan.wants(stage.0)) {
            (plan.tell)(&format!("{}: {}", self.name, stage.0));
            plan.watch.check()?;
            let wrong = match reference.map(|reference| compare(stage, (ours, compute), reference, plan)).transpose() {
                Ok(compared) => self.judge(compared, writes),
                Err(error) if is_out_of_memory(&error) => Some(NO_ROOM.to_owned()),
                Err(error) => return Err(error),
            };
            match wrong {
                Some(reason) => self.leave_out(stage.0, None, &reason),
                None => self.time(stage, ours, compute, plan)?,
            }
        }
        Ok(())
    }

    /// Why the stage's times would mean nothing.
    fn judge(&mut self, compared: Option<Compared>, writes: bool) -> Option<String> {
        let Compared { check, needs_tokens } = compared?;
        let failed = check.as_ref().filter(|check| !check.passed()).map(|check| {
            let Check { difference, tolerance, .. } = check;
            format!("wrong: it differs from the CPU by {difference:.1e}, where {tolerance:.0e} is allowed")
        });
        self.checks.extend(check);
        failed.or((needs_tokens && !writes).then(|| "the tokens of a chunk are wrong".into()))
    }

    fn time<N>(&mut self, stage: Stage<N>, ours: &N, compute: &Compute, plan: &Plan) -> Result<()> {
        for &batch in plan.batches {
            plan.watch.check()?;
            match timed(stage, ours, batch, compute, plan) {
                Ok(measured) => self.stages.push(measured),
                Err(error) if is_out_of_memory(&error) => self.leave_out(stage.0, Some(batch), NO_ROOM),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Notes why a stage has no time.
    pub fn leave_out(&mut self, stage: &str, batch: Option<usize>, reason: &str) {
        self.left_out.push(LeftOut { stage: stage.to_owned(), batch, reason: reason.to_owned() });
    }
}

/// A stage beside the same on the CPU.
struct Compared {
    /// `None` where nothing can be seen from outside.
    check: Option<Check>,
    needs_tokens: bool,
}

fn compare<N>(
    (name, build): Stage<N>,
    (ours, compute): (&N, &Compute),
    reference: &N,
    plan: &Plan,
) -> Result<Compared> {
    let once = |networks: &N| {
        let mut subject = build(networks, plan.input, CHECKED)?;
        (subject.prepare)()?;
        Ok::<_, Error>((subject.writes, (subject.run)()?))
    };
    let (needs_tokens, output) = once(ours)?;
    Ok(Compared { check: Check::of(name, output, once(reference)?.1, compute.dtype)?, needs_tokens })
}

fn timed<N>((name, build): Stage<N>, ours: &N, batch: usize, compute: &Compute, plan: &Plan) -> Result<Measured> {
    let Subject { work, size, rounds, mut prepare, mut run, .. } = build(ours, plan.input, batch)?;
    let timing = time(&compute.device, plan.rounds, &mut prepare, || run().map(drop))?;
    let whole = |work: Work| Work {
        flops: work.flops * rounds,
        bytes: work.bytes * rounds,
        kernels: work.kernels * rounds,
        bus: work.bus * rounds,
    };
    Ok(Measured { stage: name.into(), batch, size, timing: timing.divided(1.0 / rounds), work: work.map(whole) })
}

/// Whether a device has refused memory; the driver says so in these words.
pub fn is_out_of_memory(error: &Error) -> bool {
    let text = format!("{error:?}").to_lowercase();
    text.contains("out of memory") || text.contains("out_of_memory") || text.contains("outofmemory")
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::*;
    use crate::cli::bench::gpu::subject::Output;

    /// A "network" that is off by its own value.
    fn constant<'a>(value: &'a f32, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
        let run = move || Ok(Output::Numbers(vec![1.0 + value; rows]));
        Ok(Subject::new(Work::product(rows, 8, 8, 4), Box::new(run)))
    }

    fn hidden<'a>(_: &'a f32, _: &'a Input, _: usize) -> Result<Subject<'a>> {
        Ok(Subject::new(None, Box::new(|| Ok(Output::Hidden))).repeated(10.0))
    }

    fn too_large<'a>(_: &'a f32, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
        let run = move || match rows {
            0..=4 => Ok(Output::Tensor(Tensor::new(&[1f32], &candle_core::Device::Cpu)?)),
            _ => Err(candle_core::Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")".into()).into()),
        };
        Ok(Subject::new(None, Box::new(run)))
    }

    fn measured(off: f32, tokens: Option<Check>, only: &[&str]) -> Group {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        let input = Input::synthetic();
        let plan = Plan {
            input: &input,
            batches: &[1, 4, 8],
            only: &only,
            rounds: Rounds { warm_up: 0, counted: 1 },
            watch: &Watch::silent(),
            tell: &|_| {},
        };
        let compute = Compute::cpu();
        let mut group = Group::new("x", &compute);
        let stages: [Stage<f32>; 3] = [("constant", constant), ("hidden", hidden), ("large", too_large)];
        group.measure((&off, &compute), Some(&0.0), &stages, tokens, &plan).unwrap();
        group
    }

    #[test]
    fn right_stages_are_timed_at_every_size_that_fits() {
        let group = measured(0.0, None, &[]);
        let timed: Vec<_> = group.stages.iter().map(|one| (one.stage.as_str(), one.batch)).collect();
        let all = |name| [1, 4, 8].map(|batch| (name, batch));
        assert_eq!(timed, [&all("constant")[..], &all("hidden"), &all("large")[..2]].concat());
        assert_eq!(group.left_out.len(), 1);
        assert_eq!((group.left_out[0].stage.as_str(), group.left_out[0].batch), ("large", Some(8)));
        assert!(group.is_right() && group.checks.len() == 2);
        let four = &group.stages[1];
        assert!((four.times_real_time() * four.timing.median - 120.0).abs() < 1e-6);
        let flops = four.rates().map(|rates| rates.0 * four.timing.median);
        assert!(flops.is_some_and(|flops| (flops - 512.0).abs() < 1e-6), "{flops:?}");
    }

    #[test]
    fn only_what_is_wanted_is_measured() {
        let group = measured(0.0, None, &["constant"]);
        assert!(group.stages.len() == 3 && group.stages.iter().all(|one| one.stage == "constant"));
        assert!(group.left_out.is_empty() && group.checks.len() == 1);
    }

    #[test]
    fn wrong_stages_have_no_times() {
        let group = measured(0.5, None, &[]);
        assert!(!group.is_right());
        assert!(group.stages.iter().all(|one| one.stage != "constant"));
        let reason = &group.left_out[0].reason;
        assert!(reason.contains("differs from the CPU by 5.0e-1") && group.left_out[0].batch.is_none(), "{reason}");
    }

    #[test]
    fn what_writes_needs_right_tokens() {
        let tokens = Check { what: "tokens of a chunk".into(), difference: 3.0, tolerance: 0.1 };
        let group = measured(0.0, Some(tokens), &[]);
        assert!(!group.is_right());
        let timed: Vec<_> = group.stages.iter().map(|one| one.stage.as_str()).collect();
        assert!(!timed.contains(&"hidden") && timed.contains(&"constant"), "{timed:?}");
    }
}
