//! Timing: some rounds that do not count, then some whose median does.

use std::time::Instant;

use candle_core::Device;
use palabra::Result;

/// How often something is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    /// Rounds before the clock counts: kernels are loaded, memory is fetched.
    pub warm_up: usize,
    /// Rounds that count; at least one.
    pub counted: usize,
}

/// Seconds of the rounds that count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// The middle one.
    pub median: f64,
    /// The shortest.
    pub fastest: f64,
    /// The longest.
    pub slowest: f64,
}

impl Timing {
    /// Of seconds, of which there is at least one.
    fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let at = |place: usize| seconds.get(place).copied().unwrap_or(f64::NAN);
        let last = seconds.len().saturating_sub(1);
        Self { median: (at(last / 2) + at(seconds.len() / 2)) / 2.0, fastest: at(0), slowest: at(last) }
    }

    /// The same in other units: a part of what was timed.
    #[must_use]
    pub fn divided(self, parts: f64) -> Self {
        Self { median: self.median / parts, fastest: self.fastest / parts, slowest: self.slowest / parts }
    }
}

/// Times `run`, each time after `prepare`, which does not count. The clock is read when the device has nothing left to do.
///
/// # Errors
/// Those of both, and of a device that fails.
pub fn time(
    device: &Device,
    rounds: Rounds,
    mut prepare: impl FnMut() -> Result<()>,
    mut run: impl FnMut() -> Result<()>,
) -> Result<Timing> {
    let mut seconds = Vec::with_capacity(rounds.counted);
    for round in 0..rounds.warm_up + rounds.counted.max(1) {
        prepare()?;
        device.synchronize()?;
        let started = Instant::now();
        run()?;
        device.synchronize()?;
        if round >= rounds.warm_up {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    Ok(Timing::of(seconds))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        assert_eq!(Timing::of(vec![3.0, 1.0, 2.0]), Timing { median: 2.0, fastest: 1.0, slowest: 3.0 });
        assert_eq!(Timing::of(vec![4.0, 1.0, 2.0, 3.0]).divided(2.0).median, 1.25);
    }

    #[test]
    fn only_counted_rounds_and_only_what_is_run_are_timed() {
        let (prepared, ran) = (Cell::new(0), Cell::new(0));
        let prepare = || {
            std::thread::sleep(Duration::from_millis(20));
            prepared.set(prepared.get() + 1);
            Ok(())
        };
        let run = || {
            // The first round takes longest.
            std::thread::sleep(Duration::from_millis(if ran.replace(ran.get() + 1) == 0 { 200 } else { 1 }));
            Ok(())
        };
        let timing = time(&Device::Cpu, Rounds { warm_up: 1, counted: 3 }, prepare, run).unwrap();
        assert_eq!((prepared.get(), ran.get()), (4, 4));
        assert!(timing.fastest >= 0.001 && timing.fastest < 0.02 && timing.slowest < 0.2, "{timing:?}");
    }
}
