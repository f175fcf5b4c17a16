//! Threads around a stage, one for each device: each owns its copy of the model, so nothing is locked while it works, and
//! jobs of all requests meet in their batches.
//!
//! A request opens a [`Session`], submits its jobs, and gets the outcomes in whatever order they are ready. When the
//! session is dropped, its jobs leave: the waiting ones at once, those at work before the next step. What a job comes to
//! does not depend on the thread that takes it.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use super::{health::Health, metrics::Metrics, queue::Queue, worker::Worker};
use crate::{
    device::Compute,
    error::{Error, Result},
    progress::Watch,
    stages::stage::Stage,
};

/// How often a waiting request looks whether it should stop.
const POLL: Duration = Duration::from_millis(20);

/// A job on its way: waiting or at work.
pub(super) struct Ticket<S: Stage> {
    pub(super) request: u64,
    tag: usize,
    pub(super) job: Arc<S::Job>,
    pub(super) gone: Arc<AtomicBool>,
    reply: Sender<Reply<S>>,
    pub(super) submitted: Instant,
    /// How long it waited before it was first at work.
    pub(super) waited: Option<Duration>,
    /// Whether it was at work when a step failed, and is done again by itself.
    pub(super) alone: bool,
}

impl<S: Stage> Ticket<S> {
    pub(super) fn answer(self, outcome: Result<S::Output>) {
        let reply = Reply { tag: self.tag, waited: self.waited.unwrap_or_default(), outcome };
        // A session that has left wants no answer.
        drop(self.reply.send(reply));
    }
}

struct Reply<S: Stage> {
    tag: usize,
    waited: Duration,
    outcome: Result<S::Output>,
}

/// What requests and workers share.
pub(super) struct Shared<S: Stage> {
    inbox: Mutex<Inbox<S>>,
    pub(super) bell: Condvar,
    requests: AtomicU64,
}

/// What waits, and for whom.
pub(super) struct Inbox<S: Stage> {
    pub(super) queue: Queue<Ticket<S>>,
    /// Nothing comes in any more.
    pub(super) closed: bool,
    /// The places of each worker.
    pub(super) places: Vec<usize>,
    /// Workers that wait for jobs.
    pub(super) asleep: usize,
    /// Why there is no worker any more.
    pub(super) lost: Option<String>,
}

impl<S: Stage> Shared<S> {
    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox<S>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle of the threads; when the last one goes, the threads end and the models are freed.
pub struct Batcher<S: Stage> {
    shared: Arc<Shared<S>>,
    workers: usize,
}

impl<S: Stage> Batcher<S> {
    /// Starts a thread for each of `stages`, which are copies of one model on the devices beside them. All threads take from
    /// one queue. A device that fails is told to `health`.
    ///
    /// # Errors
    /// [`Error::Machine`] when the system has no thread left.
    pub fn start(stages: impl IntoIterator<Item = (Compute, S)>, metrics: &Metrics, health: &Health) -> Result<Self> {
        let stages: Vec<(Compute, S)> = stages.into_iter().collect();
        let places = stages.iter().map(|(_, stage)| stage.places().max(1)).collect();
        let inbox = Mutex::new(Inbox { queue: Queue::new(), closed: false, places, asleep: 0, lost: None });
        let shared = Arc::new(Shared { inbox, bell: Condvar::new(), requests: AtomicU64::new(0) });
        // Dropped when a thread cannot be had, it ends those that were.
        let batcher = Self { shared, workers: stages.len() };
        for (index, (compute, stage)) in stages.into_iter().enumerate() {
            let name = if index == 0 { S::NAME.to_owned() } else { format!("{} {}", S::NAME, index + 1) };
            let metrics = metrics.stage(S::NAME, compute.name());
            let worker = Worker::new(stage, compute, (index, batcher.shared.clone()), metrics, health.clone());
            std::thread::Builder::new()
                .name(name)
                .spawn(move || worker.run())
                .map_err(|reason| Error::Machine(format!("no thread can be started ({reason})")))?;
        }
        Ok(batcher)
    }

    /// A request's way in, with at most `most` of its jobs at work at a time on each device.
    pub fn session(&self, most: usize) -> Session<S> {
        let request = self.shared.requests.fetch_add(1, Ordering::Relaxed);
        let gone = Arc::new(AtomicBool::new(false));
        self.shared.inbox().queue.open(request, most.saturating_mul(self.workers), gone.clone());
        let (reply, replies) = channel();
        Session { shared: self.shared.clone(), request, gone, reply, replies, waited: None }
    }
}

impl<S: Stage> Drop for Batcher<S> {
    fn drop(&mut self) {
        self.shared.inbox().closed = true;
        self.shared.bell.notify_all();
    }
}

/// A request's way into a batcher; dropping it takes back what has not been answered.
pub struct Session<S: Stage> {
    shared: Arc<Shared<S>>,
    request: u64,
    gone: Arc<AtomicBool>,
    reply: Sender<Reply<S>>,
    replies: Receiver<Reply<S>>,
    waited: Option<Duration>,
}

impl<S: Stage> Session<S> {
    /// A number that no other request of this batcher has.
    pub fn request(&self) -> u64 {
        self.request
    }

    /// Hands a job in; `tag` comes back with its outcome.
    pub fn submit(&self, tag: usize, job: S::Job) {
        let ticket = Ticket {
            request: self.request,
            tag,
            job: Arc::new(job),
            gone: self.gone.clone(),
            reply: self.reply.clone(),
            submitted: Instant::now(),
            waited: None,
            alone: false,
        };
        let mut inbox = self.shared.inbox();
        if let Some(reason) = &inbox.lost {
            let reason = reason.clone();
            drop(inbox);
            return ticket.answer(Err(Error::DeviceLost(reason)));
        }
        inbox.queue.push(self.request, ticket);
        drop(inbox);
        self.shared.bell.notify_one();
    }

    /// Waits for the next outcome of a job of this session.
    ///
    /// # Errors
    /// That job's error, [`Error::Cancelled`] or [`Error::Deadline`] when `watch` says so.
    pub fn next(&mut self, watch: &Watch) -> Result<(usize, S::Output)> {
        match self.poll(true, watch)? {
            Some((tag, outcome)) => Ok((tag, outcome?)),
            None => Err(Error::Bug("a batcher answered with nothing".into())),
        }
    }

    /// The next outcome, an error of its job included; `None` where none is ready and the caller does not want to `wait`.
    ///
    /// # Errors
    /// [`Error::Cancelled`] or [`Error::Deadline`] when `watch` says so.
    pub fn poll(&mut self, wait: bool, watch: &Watch) -> Result<Option<(usize, Result<S::Output>)>> {
        loop {
            watch.check()?;
            match self.replies.recv_timeout(if wait { POLL } else { Duration::ZERO }) {
                Ok(Reply { tag, waited, outcome }) => {
                    self.waited.get_or_insert(waited);
                    return Ok(Some((tag, outcome)));
                }
                Err(RecvTimeoutError::Timeout) if wait => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                // The session itself holds a sender.
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Bug("a batcher went away".into())),
            }
        }
    }

    /// How long the first job that was answered had waited for its turn.
    pub fn waited(&self) -> Duration {
        self.waited.unwrap_or_default()
    }
}

impl<S: Stage> Drop for Session<S> {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        self.shared.bell.notify_one();
    }
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;
