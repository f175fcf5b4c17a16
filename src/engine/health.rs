//! Whether the devices still work: one that has failed stays lost as long as the process lives.

use tokio::sync::watch;

use crate::error::{Error, Result};

/// What is known of the devices. Clones know the same.
#[derive(Debug, Clone)]
pub struct Health(watch::Sender<Option<String>>);

impl Default for Health {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Health {
    /// Why no device can be relied on any more; `None` while all work.
    pub fn lost(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Comes when a device is lost, with the reason.
    pub async fn until_lost(&self) -> String {
        let mut news = self.0.subscribe();
        let reason = news.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        // The sender lives in this value, so the wait cannot end in any other way.
        reason.unwrap_or_default()
    }

    /// Refuses work that would begin on a lost device.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn check(&self) -> Result<()> {
        self.lost().map_or(Ok(()), |reason| Err(Error::DeviceLost(reason)))
    }

    /// Notes that a device is lost, for good; the first reason stays. The engine does so itself when an operation fails in
    /// that way; whoever watches the hardware may know it earlier.
    pub fn lose(&self, reason: &str) {
        self.0.send_if_modified(|lost| {
            let first = lost.is_none();
            lost.get_or_insert_with(|| reason.to_owned());
            first
        });
    }

    /// Notes the loss of a device in `outcome`.
    pub(super) fn note<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(Error::DeviceLost(reason)) = &outcome {
            self.lose(reason);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_loss_is_told_to_all_and_stays() {
        let health = Health::default();
        let clone = health.clone();
        assert!(health.check().is_ok() && health.note(Ok(1)).is_ok());
        let waiting = async { clone.until_lost().await };
        let losing = async {
            assert!(health.note::<()>(Err(Error::Bug("of the program".into()))).is_err());
            assert_eq!(health.lost(), None);
            assert!(health.note::<()>(Err(Error::DeviceLost("an ECC error".into()))).is_err());
            health.lose("what follows from it");
        };
        let (reason, ()) = tokio::join!(waiting, losing);
        assert_eq!(reason, "an ECC error");
        assert!(matches!(clone.check(), Err(Error::DeviceLost(reason)) if reason == "an ECC error"));
    }
}
