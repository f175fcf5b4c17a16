//! One thread of a batcher: it takes jobs in, moves them on step by step, and makes good what fails.
//!
//! When a step fails or panics, every job at work is done again alone, so that the one that failed is told and the others
//! are not harmed. When the device has too little memory, they are done again in smaller batches. When the device is lost, they
//! are told so, and the thread ends: nothing on that device can be trusted again in this process.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    batcher::{Inbox, Shared, Ticket},
    health::Health,
    memory,
    metrics::StageMetrics,
    room::Room,
};
use crate::{
    device::Compute,
    error::{Error, Result},
    stages::stage::{Key, Stage},
};

/// A stage that has had nothing to do for so long gives its working memory back.
const REST: Duration = Duration::from_secs(10);

/// What the thread owns.
pub(super) struct Worker<S: Stage> {
    stage: S,
    compute: Compute,
    /// Which of the workers it is.
    index: usize,
    shared: Arc<Shared<S>>,
    inside: HashMap<Key, Ticket<S>>,
    next_key: Key,
    room: Room,
    metrics: StageMetrics,
    health: Health,
}

impl<S: Stage> Worker<S> {
    pub(super) fn new(
        stage: S,
        compute: Compute,
        (index, shared): (usize, Arc<Shared<S>>),
        mut metrics: StageMetrics,
        health: Health,
    ) -> Self {
        let room = Room::new(stage.places());
        metrics.has_room(room.places());
        Self { stage, compute, index, shared, inside: HashMap::new(), next_key: 0, room, metrics, health }
    }

    pub(super) fn run(mut self) {
        while let Some(jobs) = self.wait() {
            self.dismiss();
            let started = Instant::now();
            let worked = self.work(jobs);
            self.metrics.worked(started.elapsed(), self.inside.len());
            match worked {
                Ok(finished) => finished.into_iter().for_each(|(key, outcome)| self.answer(key, outcome)),
                Err(Error::DeviceLost(reason)) => return self.lose(&reason),
                Err(error) => self.recover(error),
            }
            if self.room.grow(Instant::now()) {
                self.take_room();
            }
        }
    }

    /// The jobs to take in before the next step; none where there are enough. Waits while there is nothing to do, and
    /// ends when nobody can hand anything in any more.
    fn wait(&mut self) -> Option<Vec<Ticket<S>>> {
        let shared = self.shared.clone();
        let mut inbox = shared.inbox();
        let idle_since = Instant::now();
        let mut rested = false;
        loop {
            let dropped = inbox.queue.sweep();
            self.metrics.dropped(dropped);
            let jobs = self.choose(&mut inbox);
            self.metrics.queued(inbox.queue.waiting());
            if !jobs.is_empty() || !self.inside.is_empty() {
                // What is left may be for others, who cannot know that a place of its request has become free.
                if inbox.asleep > 0 && inbox.queue.waiting() > 0 {
                    shared.bell.notify_one();
                }
                return Some(jobs);
            }
            if inbox.closed {
                return None;
            }
            let patience = REST.saturating_sub(idle_since.elapsed());
            if !rested && patience.is_zero() {
                drop(inbox);
                self.rest();
                rested = true;
                inbox = shared.inbox();
                continue;
            }
            inbox.asleep += 1;
            inbox = if rested {
                shared.bell.wait(inbox).unwrap_or_else(PoisonError::into_inner)
            } else {
                shared.bell.wait_timeout(inbox, patience).unwrap_or_else(PoisonError::into_inner).0
            };
            inbox.asleep -= 1;
        }
    }

    fn choose(&self, inbox: &mut Inbox<S>) -> Vec<Ticket<S>> {
        let queue = &mut inbox.queue;
        if self.inside.values().any(|ticket| ticket.alone) {
            return Vec::new();
        }
        if self.inside.is_empty()
            && let Some(ticket) = queue.take_head(|ticket| ticket.alone)
        {
            return vec![ticket];
        }
        let room = self.room.places().saturating_sub(self.inside.len());
        let intake = self.stage.intake().min(self.part(queue.waiting(), inbox.asleep));
        let mut jobs = queue.take(inbox.places.iter().sum(), room, intake);
        // A job that must be alone waits until the others are done.
        while let Some(place) = jobs.iter().position(|ticket| ticket.alone) {
            let ticket = jobs.remove(place);
            queue.put_back(ticket.request, ticket);
        }
        jobs
    }

    /// How many of the jobs that wait are for this worker, where `asleep` others have nothing to do: an equal part, and less
    /// where it has work already.
    fn part(&self, waiting: usize, asleep: usize) -> usize {
        match self.inside.is_empty() {
            true => waiting.div_ceil(1 + asleep),
            false => waiting / (1 + asleep),
        }
    }

    /// Nothing has been inside for a while: memory goes back, and what was known of it is forgotten.
    fn rest(&mut self) {
        self.stage.clear();
        self.compute.give_back();
        memory::give_back();
        self.room.rest();
        self.take_room();
    }

    /// Tells everybody how much room there is.
    fn take_room(&mut self) {
        let places = self.room.places();
        self.stage.set_places(places);
        self.metrics.has_room(places);
        if let Some(own) = self.shared.inbox().places.get_mut(self.index) {
            *own = places;
        }
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
        ticket.answer(outcome);
    }

    /// After a failure: a job that was alone is told, several are done again, one by one or in smaller batches.
    fn recover(&mut self, error: Error) {
        self.stage.clear();
        let keys: Vec<Key> = self.inside.keys().copied().collect();
        let short = matches!(error, Error::OutOfMemory(_));
        let again = if short { self.shrink(keys.len()) } else { keys.len() > 1 };
        match keys[..] {
            [key] if !again => {
                tracing::error!(stage = S::NAME, device = self.compute.name(), %error, "a job failed");
                return self.answer(key, Err(error));
            }
            _ if short => {}
            _ => tracing::error!(
                stage = S::NAME,
                device = self.compute.name(),
                %error,
                jobs = keys.len(),
                "a batch failed; its jobs are done again one by one"
            ),
        }
        let mut inbox = self.shared.inbox();
        for mut ticket in keys.iter().filter_map(|key| self.inside.remove(key)) {
            ticket.alone |= !short;
            inbox.queue.put_back(ticket.request, ticket);
        }
        drop(inbox);
        self.shared.bell.notify_all();
    }

    /// The memory did not suffice for `inside` jobs. False where fewer cannot be tried.
    fn shrink(&mut self, inside: usize) -> bool {
        self.metrics.ran_short();
        self.compute.give_back();
        let possible = self.room.shrink(inside, Instant::now());
        self.take_room();
        if possible {
            tracing::warn!(
                stage = S::NAME,
                device = self.compute.name(),
                jobs = inside,
                places = self.room.places(),
                "the memory of the device is full; going on with smaller batches"
            );
        }
        possible
    }

    /// The device is lost: jobs at work are told; those that wait, when no worker is left to take them.
    fn lose(mut self, reason: &str) {
        tracing::info!(stage = S::NAME, device = self.compute.name(), "the device is lost");
        self.health.lose(reason);
        let keys: Vec<Key> = self.inside.keys().copied().collect();
        keys.into_iter().for_each(|key| self.answer(key, Err(Error::DeviceLost(reason.to_owned()))));
        let mut inbox = self.shared.inbox();
        if let Some(own) = inbox.places.get_mut(self.index) {
            *own = 0;
        }
        let mut waiting = Vec::new();
        if inbox.places.iter().all(|&places| places == 0) {
            inbox.lost = Some(reason.to_owned());
            waiting = inbox.queue.drain();
        }
        drop(inbox);
        for ticket in waiting {
            self.metrics.finished(false);
            ticket.answer(Err(Error::DeviceLost(reason.to_owned())));
        }
        // What lies on a lost device cannot be freed, and a driver that is asked to may never return.
        std::mem::forget(self.stage);
    }
}

/// Runs `work`; a panic in it becomes an error without the panic's own words, which may repeat what somebody said.
fn guarded<S: Stage, T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::Bug(format!("a panic in the {}", S::NAME))))
}
