//! What a stage looks like to the batcher that feeds it: jobs of many requests go in, and come out one by one.

use std::sync::Arc;

use crate::error::Result;

/// Names a job while it is inside a stage.
pub type Key = u64;

/// A model at work on several jobs at once. What comes out for a job does not depend on the jobs beside it.
pub trait Stage: Send + 'static {
    /// What goes in.
    type Job: Send + Sync + 'static;
    /// What comes out.
    type Output: Send + 'static;
    /// Its name in threads, metrics and logs.
    const NAME: &'static str;

    /// How many jobs may be inside.
    fn places(&self) -> usize;

    /// Lets at most `places` jobs be inside from now on, one at least; there are no more of them inside when this is called.
    fn set_places(&mut self, places: usize);

    /// How many jobs go in at a time: taking more in would keep those inside waiting.
    fn intake(&self) -> usize;

    /// Takes jobs in, as many as there are places left at most.
    ///
    /// # Errors
    /// When the work as a whole failed; what is inside is then unknown until [`Stage::clear`].
    fn admit(&mut self, jobs: Vec<(Key, Arc<Self::Job>)>) -> Result<()>;

    /// Moves every job inside on, and gives those that are finished: each with what it came to, or its own error.
    ///
    /// # Errors
    /// As [`Stage::admit`].
    fn step(&mut self) -> Result<Vec<(Key, Result<Self::Output>)>>;

    /// Forgets one job.
    fn dismiss(&mut self, key: Key);

    /// Forgets every job and gives back the memory that they needed.
    fn clear(&mut self);
}
