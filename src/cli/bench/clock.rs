//! What work costs: seconds on the wall, and seconds of all processors together.

use std::time::Instant;

/// A stretch of work that began.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    cpu: Option<f64>,
}

/// What a stretch of work took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Seconds that went by.
    pub wall: f64,
    /// Seconds of processor time of the whole program; `None` where the system does not tell.
    pub cpu: Option<f64>,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Self { started: Instant::now(), cpu: processor_seconds() }
    }

    /// What was spent since the start.
    pub fn stop(&self) -> Cost {
        let cpu = self.cpu.and_then(|before| Some(processor_seconds()? - before));
        Cost { wall: self.started.elapsed().as_secs_f64(), cpu }
    }
}

/// Seconds that the program's threads have kept processors busy so far.
#[cfg(unix)]
fn processor_seconds() -> Option<f64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, to which the pointer is valid.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    (failed == 0).then(|| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

#[cfg(not(unix))]
fn processor_seconds() -> Option<f64> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn work_costs_processor_time_and_waiting_does_not() {
        let clock = Clock::start();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let idle = clock.stop();
        let mut sum = 0_u64;
        while clock.stop().cpu.is_some_and(|cpu| cpu < 0.05) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(idle.wall >= 0.05 && clock.stop().wall >= idle.wall);
        assert!(clock.stop().cpu.is_some_and(|cpu| cpu >= 0.05));
    }
}
