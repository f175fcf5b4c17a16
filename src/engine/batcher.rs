//! One thread around one stage: it owns the model, so nothing is locked while it works, and jobs of all requests meet in
//! its batches.
//!
//! A request opens a [`Session`], submits its jobs, and gets the outcomes in whatever order they are ready. When the
//! session is dropped, its jobs leave: the waiting ones at once, those at work before the next step. When a step fails or
//! panics, every job at work is done again alone, so that the one that failed is told and the others are not harmed.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use super::{
    memory,
    metrics::{Metrics, StageMetrics},
    queue::Queue,
};
use crate::{
    error::{Error, Result},
    progress::Watch,
    stages::stage::{Key, Stage},
};

/// A stage that has had nothing to do for so long gives its working memory back.
const REST: Duration = Duration::from_secs(10);
/// How often a waiting request looks whether it should stop.
const POLL: Duration = Duration::from_millis(20);

/// A job on its way: waiting or at work.
struct Ticket<S: Stage> {
    request: u64,
    tag: usize,
    job: Arc<S::Job>,
    gone: Arc<AtomicBool>,
    reply: Sender<Reply<S>>,
    submitted: Instant,
    /// How long it waited before it was first at work.
    waited: Option<Duration>,
    /// Whether it was at work when a step failed, and is done again by itself.
    alone: bool,
}

struct Reply<S: Stage> {
    tag: usize,
    waited: Duration,
    outcome: Result<S::Output>,
}

struct Shared<S: Stage> {
    inbox: Mutex<Inbox<S>>,
    bell: Condvar,
    requests: AtomicU64,
}

struct Inbox<S: Stage> {
    queue: Queue<Ticket<S>>,
    closed: bool,
}

impl<S: Stage> Shared<S> {
    fn inbox(&self) -> MutexGuard<'_, Inbox<S>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle of the thread; when the last one goes, the thread ends and the model is freed.
pub struct Batcher<S: Stage> {
    shared: Arc<Shared<S>>,
}

impl<S: Stage> Batcher<S> {
    /// Starts the thread that owns `stage`.
    ///
    /// # Errors
    /// [`Error::Machine`] when the system has no thread left.
    pub fn start(stage: S, metrics: &Metrics) -> Result<Self> {
        let inbox = Mutex::new(Inbox { queue: Queue::new(), closed: false });
        let shared = Arc::new(Shared { inbox, bell: Condvar::new(), requests: AtomicU64::new(0) });
        let metrics = metrics.stage(S::NAME);
        let worker = Worker { stage, shared: shared.clone(), inside: HashMap::new(), next_key: 0, metrics };
        std::thread::Builder::new()
            .name(S::NAME.into())
            .spawn(move || worker.run())
            .map_err(|reason| Error::Machine(format!("no thread can be started ({reason})")))?;
        Ok(Self { shared })
    }

    /// A request's way in, with at most `most` of its jobs at work at a time.
    pub fn session(&self, most: usize) -> Session<S> {
        let request = self.shared.requests.fetch_add(1, Ordering::Relaxed);
        let gone = Arc::new(AtomicBool::new(false));
        self.shared.inbox().queue.open(request, most, gone.clone());
        let (reply, replies) = channel();
        Session { shared: self.shared.clone(), request, gone, reply, replies, waited: None }
    }
}

impl<S: Stage> Drop for Batcher<S> {
    fn drop(&mut self) {
        self.shared.inbox().closed = true;
        self.shared.bell.notify_one();
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
        self.shared.inbox().queue.push(self.request, ticket);
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

/// What the thread owns.
struct Worker<S: Stage> {
    stage: S,
    shared: Arc<Shared<S>>,
    inside: HashMap<Key, Ticket<S>>,
    next_key: Key,
    metrics: StageMetrics,
}

impl<S: Stage> Worker<S> {
    fn run(mut self) {
        while let Some(jobs) = self.wait() {
            self.dismiss();
            let started = Instant::now();
            let worked = self.work(jobs);
            self.metrics.worked(started.elapsed(), self.inside.len());
            match worked {
                Ok(finished) => finished.into_iter().for_each(|(key, outcome)| self.answer(key, outcome)),
                Err(error) => self.recover(error),
            }
        }
    }

    /// The jobs to take in before the next step; none where there are enough. Waits while there is nothing to do, and
    /// ends when nobody can hand anything in any more.
    fn wait(&mut self) -> Option<Vec<Ticket<S>>> {
        let shared = self.shared.clone();
        let mut inbox = shared.inbox();
        let mut rested = false;
        loop {
            let dropped = inbox.queue.sweep();
            self.metrics.dropped(dropped);
            let jobs = self.choose(&mut inbox.queue);
            self.metrics.queued(inbox.queue.waiting());
            if !jobs.is_empty() || !self.inside.is_empty() {
                return Some(jobs);
            }
            if inbox.closed {
                return None;
            }
            if rested {
                inbox = shared.bell.wait(inbox).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (back, timeout) = shared.bell.wait_timeout(inbox, REST).unwrap_or_else(PoisonError::into_inner);
            inbox = back;
            if timeout.timed_out() {
                self.stage.clear();
                memory::give_back();
                rested = true;
            }
        }
    }

    fn choose(&self, queue: &mut Queue<Ticket<S>>) -> Vec<Ticket<S>> {
        if self.inside.values().any(|ticket| ticket.alone) {
            return Vec::new();
        }
        if self.inside.is_empty()
            && let Some(ticket) = queue.take_head(|ticket| ticket.alone)
        {
            return vec![ticket];
        }
        let places = self.stage.places();
        let room = places.saturating_sub(self.inside.len());
        let mut jobs = queue.take(places, room, self.stage.intake());
        // A job that must be alone waits until the others are done.
        while let Some(place) = jobs.iter().position(|ticket| ticket.alone) {
            let ticket = jobs.remove(place);
            queue.put_back(ticket.request, ticket);
        }
        jobs
    }

    /// Takes jobs out whose request has left.
    fn dismiss(&mut self) {
        let left: Vec<Key> =
            self.inside.iter().filter(|(_, ticket)| ticket.gone.load(Ordering::Relaxed)).map(|(key, _)| *key).collect();
        self.metrics.dropped(left.len());
        for key in left {
            self.stage.dismiss(key);
            if let Some(ticket) = self.inside.remove(&key) {
                self.shared.inbox().queue.left(ticket.request);
            }
        }
    }

    /// Takes `jobs` in and moves everything on by a step.
    fn work(&mut self, jobs: Vec<Ticket<S>>) -> Result<Vec<(Key, Result<S::Output>)>> {
        let mut taken = Vec::with_capacity(jobs.len());
        for mut ticket in jobs {
            let waited = *ticket.waited.get_or_insert_with(|| ticket.submitted.elapsed());
            self.metrics.started(waited);
            taken.push((self.next_key, ticket.job.clone()));
            self.inside.insert(self.next_key, ticket);
            self.next_key += 1;
        }
        let stage = &mut self.stage;
        guarded::<S, _>(move || {
            if !taken.is_empty() {
                stage.admit(taken)?;
            }
            stage.step()
        })
    }

    fn answer(&mut self, key: Key, outcome: Result<S::Output>) {
        let Some(ticket) = self.inside.remove(&key) else { return };
        self.metrics.finished(outcome.is_ok());
        self.shared.inbox().queue.left(ticket.request);
        let reply = Reply { tag: ticket.tag, waited: ticket.waited.unwrap_or_default(), outcome };
        // A session that has left wants no answer.
        drop(ticket.reply.send(reply));
    }

    /// After a failure: a job that was alone is told, several are done again one by one.
    fn recover(&mut self, error: Error) {
        self.stage.clear();
        let keys: Vec<Key> = self.inside.keys().copied().collect();
        if let [key] = keys[..] {
            tracing::error!(stage = S::NAME, %error, "a job failed");
            self.answer(key, Err(error));
            return;
        }
        tracing::error!(stage = S::NAME, %error, jobs = keys.len(), "a batch failed; its jobs are done again one by one");
        let mut inbox = self.shared.inbox();
        for ticket in keys.iter().filter_map(|key| self.inside.remove(key)) {
            inbox.queue.put_back(ticket.request, Ticket { alone: true, ..ticket });
        }
    }
}

/// Runs `work`; a panic in it becomes an error without the panic's own words, which may repeat what somebody said.
fn guarded<S: Stage, T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::Bug(format!("a panic in the {}", S::NAME))))
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;
