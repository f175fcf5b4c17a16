//! Whether requests should come: not before the models that are wanted from the start are there, not while it ends, and not
//! on a device that has failed.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use super::app::App;
use crate::{Result, engine::Health, progress::Watch};

/// What the service waits for before it calls itself ready.
#[derive(Debug)]
pub struct Readiness {
    waiting: Mutex<Vec<String>>,
    ending: AtomicBool,
    health: Health,
}

/// How far the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Models that are wanted from the start are on their way; requests are answered, but wait for them.
    Starting,
    /// Everything is there.
    Ready,
    /// Nobody is let in any more.
    Ending,
    /// A device has failed; the service is about to end.
    Failed,
}

impl Readiness {
    pub(super) fn waiting_for(models: &[String], health: Health) -> Self {
        Self { waiting: Mutex::new(models.to_vec()), ending: AtomicBool::new(false), health }
    }

    /// How far the service is.
    pub fn phase(&self) -> Phase {
        if self.health.lost().is_some() {
            Phase::Failed
        } else if self.ending.load(Ordering::Relaxed) {
            Phase::Ending
        } else if self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            Phase::Ready
        } else {
            Phase::Starting
        }
    }

    /// Notes that `model` is there.
    fn arrived(&self, model: &str) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).retain(|waiting| waiting != model);
    }
}

impl App {
    /// Loads the models that are wanted from the start, one after the other, then what tells speakers apart, without which
    /// the service is ready, too; blocks. Ends early when the service does.
    ///
    /// # Errors
    /// What the engine gives for the first one that cannot be had.
    pub fn preload(&self) -> Result<()> {
        for model in &self.settings().preload {
            let ending = &self.readiness().ending;
            let name = self.model(Some(model)).unwrap_or_else(|_| model.clone());
            self.engine().pipeline(&name, None, &Watch::new(&|_| {}, ending))?;
            tracing::info!(model, "loaded");
            self.readiness().arrived(model);
        }
        if !self.settings().preload.is_empty()
            && let Err(error) = self.engine().warm_speakers(&Watch::new(&|_| {}, &self.readiness().ending))
        {
            tracing::warn!("speakers cannot be told apart yet: {error}");
        }
        Ok(())
    }

    /// Lets nobody in any more; requests that are inside go on.
    pub fn end(&self) {
        self.readiness().ending.store(true, Ordering::Relaxed);
        self.engine().admission().close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_every_model_has_arrived_and_never_again_once_it_ends() {
        let health = Health::default();
        let readiness = Readiness::waiting_for(&["tiny".into(), "base".into()], health.clone());
        readiness.arrived("tiny");
        assert_eq!(readiness.phase(), Phase::Starting);
        readiness.arrived("base");
        assert_eq!(readiness.phase(), Phase::Ready);
        readiness.ending.store(true, Ordering::Relaxed);
        assert_eq!(readiness.phase(), Phase::Ending);
        health.lose("an ECC error");
        assert_eq!(readiness.phase(), Phase::Failed);
    }
}
