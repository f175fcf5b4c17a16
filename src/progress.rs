//! How a long run tells its caller where it is, and hears that it should stop.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use crate::error::{Error, Result};

/// The stages of a run, in the order in which they appear in timings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StageName {
    /// Reading models into memory.
    Load,
    /// Container and codec to 16 kHz samples.
    Decode,
    /// Voice detection.
    Vad,
    /// Whisper.
    Transcribe,
    /// Word times.
    Align,
    /// Who speaks when.
    Diarize,
}

impl StageName {
    /// The name used in `timings` and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Decode => "decode",
            Self::Vad => "vad",
            Self::Transcribe => "transcribe",
            Self::Align => "align",
            Self::Diarize => "diarize",
        }
    }
}

/// Where a stage is: `done` of `total` seconds of audio (of work, where a stage has no audio).
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The stage at work.
    pub stage: StageName,
    /// Seconds finished.
    pub done: f64,
    /// Seconds in all; zero when not known yet.
    pub total: f64,
}

/// A caller's view of a run: hears of progress, can cancel.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    report: &'a (dyn Fn(Progress) + Sync),
    cancelled: &'a AtomicBool,
    deadline: Option<Instant>,
    stopped: Option<&'a AtomicBool>,
}

static NEVER: AtomicBool = AtomicBool::new(false);

impl<'a> Watch<'a> {
    /// Reports to `report`; the run ends with [`Error::Cancelled`] soon after `cancelled` becomes true.
    pub fn new(report: &'a (dyn Fn(Progress) + Sync), cancelled: &'a AtomicBool) -> Self {
        Self { report, cancelled, deadline: None, stopped: None }
    }

    /// The run also ends, with [`Error::Deadline`], soon after `deadline`.
    pub fn until(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// The run also ends once `stopped` becomes true: for a part of a run, when another part has failed.
    pub fn or_when(self, stopped: &'a AtomicBool) -> Self {
        Self { stopped: Some(stopped), ..self }
    }

    /// Reports nothing and is never cancelled.
    pub fn silent() -> Watch<'static> {
        Watch { report: &|_| {}, cancelled: &NEVER, deadline: None, stopped: None }
    }

    /// Tells where `stage` is.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once the caller has cancelled.
    pub fn step(&self, stage: StageName, done: f64, total: f64) -> Result<()> {
        (self.report)(Progress { stage, done, total });
        self.check()
    }

    /// The cancellation check alone, for places between two reports.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once the caller has cancelled, [`Error::Deadline`] once the deadline has passed.
    pub fn check(&self) -> Result<()> {
        let stopped = self.stopped.is_some_and(|flag| flag.load(Ordering::Relaxed));
        if stopped || self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::Deadline("the time allowed for this request is over; send a shorter recording".into()));
        }
        Ok(())
    }
}
