//! Whose turn it is: jobs wait by request, and requests take turns, so that a short one never waits for the end of a long
//! one.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A request with this many jobs left is short: while one is at work, longer ones do not take new jobs in beside it as
/// long as they have some at work themselves.
const SHORT: usize = 4;

/// The jobs of one request.
pub(super) struct Line<J> {
    /// Which request.
    pub(super) request: u64,
    /// Becomes true when the request wants nothing any more.
    pub(super) gone: Arc<AtomicBool>,
    /// Jobs of it at work at most.
    most: usize,
    waiting: VecDeque<J>,
    inside: usize,
    /// Whether it is taking jobs in, which it does in bursts: encoding is cheaper for several chunks at once.
    filling: bool,
}

impl<J> Line<J> {
    fn is_over(&self) -> bool {
        self.inside == 0 && (self.waiting.is_empty() && Arc::strong_count(&self.gone) == 1 || self.is_gone())
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    fn left(&self) -> usize {
        self.waiting.len() + self.inside
    }
}

/// All lines, in the order of their next turns.
pub(super) struct Queue<J> {
    lines: VecDeque<Line<J>>,
}

impl<J> Queue<J> {
    pub(super) fn new() -> Self {
        Self { lines: VecDeque::new() }
    }

    /// Opens a line for a request that may have `most` jobs at work.
    pub(super) fn open(&mut self, request: u64, most: usize, gone: Arc<AtomicBool>) {
        let (waiting, inside, filling) = (VecDeque::new(), 0, true);
        self.lines.push_back(Line { request, gone, most: most.max(1), waiting, inside, filling });
    }

    /// Puts a job at the end of its request's line; false when that line is gone.
    pub(super) fn push(&mut self, request: u64, job: J) -> bool {
        self.line(request).map(|line| line.waiting.push_back(job)).is_some()
    }

    /// Puts a job that was taken back at the head of its request's line.
    pub(super) fn put_back(&mut self, request: u64, job: J) {
        if let Some(line) = self.line(request) {
            line.inside -= 1;
            line.waiting.push_front(job);
        }
    }

    /// A job of the request has left.
    pub(super) fn left(&mut self, request: u64) {
        if let Some(line) = self.line(request) {
            line.inside -= 1;
        }
    }

    /// Drops what nobody waits for any more; gives the number of jobs dropped.
    pub(super) fn sweep(&mut self) -> usize {
        let mut dropped = 0;
        for line in self.lines.iter_mut().filter(|line| line.is_gone()) {
            dropped += line.waiting.len();
            line.waiting.clear();
        }
        self.lines.retain(|line| !line.is_over());
        dropped
    }

    /// Takes out every job that waits, and counts none of them as being at work.
    pub(super) fn drain(&mut self) -> Vec<J> {
        self.lines.iter_mut().flat_map(|line| std::mem::take(&mut line.waiting)).collect()
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        self.lines.iter().map(|line| line.waiting.len()).sum()
    }

    /// The first waiting job for which `wanted` holds, where it stands at the head of its line.
    pub(super) fn take_head(&mut self, wanted: impl Fn(&J) -> bool) -> Option<J> {
        let line = self.lines.iter_mut().find(|line| line.waiting.front().is_some_and(&wanted))?;
        line.inside += 1;
        line.waiting.pop_front()
    }

    /// Takes up to `intake` jobs for `room` free of `places` places: one of each request in turn, those without any at
    /// work first.
    pub(super) fn take(&mut self, places: usize, room: usize, intake: usize) -> Vec<J> {
        self.decide_who_fills(places);
        let mut taken = Vec::new();
        while taken.len() < intake.min(room) {
            let Some(place) = self.next(places) else { break };
            let share = self.share(&self.lines[place], places);
            let Some(mut line) = self.lines.remove(place) else { break };
            line.inside += 1;
            line.filling = line.inside < share;
            taken.extend(line.waiting.pop_front());
            self.lines.push_back(line);
        }
        taken
    }

    /// The line whose turn it is: the first one of those that have the fewest jobs at work.
    fn next(&self, places: usize) -> Option<usize> {
        let may = |line: &Line<J>| line.filling && !line.waiting.is_empty() && line.inside < self.share(line, places);
        (0..self.lines.len()).filter(|&place| may(&self.lines[place])).min_by_key(|&place| self.lines[place].inside)
    }

    /// How many jobs of the line may be at work.
    fn share(&self, line: &Line<J>, places: usize) -> usize {
        let requests = self.lines.iter().filter(|line| line.left() > 0).count().max(1);
        line.most.min(places.div_ceil(requests)).max(1)
    }

    /// A line begins to fill when a quarter of its share is free (half, beside others), and stops when it is full. While
    /// a short request is at work, longer ones only begin when they have nothing at work.
    fn decide_who_fills(&mut self, places: usize) {
        let shares: Vec<usize> = self.lines.iter().map(|line| self.share(line, places)).collect();
        let beside = self.lines.iter().filter(|line| line.left() > 0).count() > 1;
        let short = |line: &Line<J>| line.left() <= SHORT;
        let short_at_work = self.lines.iter().any(|line| short(line) && line.left() > 0);
        for (line, share) in self.lines.iter_mut().zip(shares) {
            let low = if beside { share / 2 } else { share - share.div_ceil(4) };
            if line.inside == 0 || short(line) {
                line.filling = true;
            } else if short_at_work || line.inside >= share {
                line.filling = false;
            } else if line.inside <= low {
                line.filling = true;
            }
        }
    }
}

impl<J> Queue<J> {
    fn line(&mut self, request: u64) -> Option<&mut Line<J>> {
        self.lines.iter_mut().find(|line| line.request == request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue of requests with so many jobs each, at most `most` of one at work; a job is its request.
    fn queue(jobs: &[usize], most: usize) -> (Queue<u64>, Vec<Arc<AtomicBool>>) {
        let mut queue = Queue::new();
        let mut flags = Vec::new();
        for (request, &count) in jobs.iter().enumerate() {
            let gone = Arc::new(AtomicBool::new(false));
            queue.open(request as u64, most, gone.clone());
            (0..count).for_each(|_| assert!(queue.push(request as u64, request as u64)));
            flags.push(gone);
        }
        (queue, flags)
    }

    #[test]
    fn requests_take_turns() {
        let (mut queue, _flags) = queue(&[100, 1, 2], 16);
        assert_eq!(queue.take(20, 20, 4), [0, 1, 2, 0]);
    }

    #[test]
    fn a_newcomer_finds_a_place_beside_a_long_request() {
        let (mut queue, _flags) = queue(&[100], 16);
        let taken: usize = (0..20).map(|_| queue.take(20, 20, 2).len()).sum();
        assert_eq!(taken, 16, "one request leaves room for others");
        queue.open(7, 16, Arc::default());
        queue.push(7, 7);
        assert_eq!(queue.take(20, 4, 2), [7]);
    }

    #[test]
    fn a_long_request_lets_a_short_one_finish_but_is_never_starved() {
        let (mut queue, _flags) = queue(&[100, 2], 16);
        assert_eq!(queue.take(20, 20, 3), [0, 1, 0]);
        assert_eq!(queue.take(20, 17, 2), [1], "beside a short request a long one does not refill");
        queue.left(0);
        queue.left(0);
        assert_eq!(queue.take(20, 18, 2), [0, 0], "it goes on when it has nothing at work");
        assert_eq!(queue.take(20, 16, 2).len(), 0);
        queue.left(1);
        queue.left(1);
        assert_eq!(queue.take(20, 18, 2), [0, 0], "and refills when the short one is done");
    }

    #[test]
    fn refills_come_in_bursts() {
        let (mut queue, _flags) = queue(&[100], 16);
        (0..8).for_each(|_| assert_eq!(queue.take(20, 20, 2).len(), 2));
        (0..3).for_each(|_| queue.left(0));
        assert_eq!(queue.take(20, 7, 2).len(), 0, "three free places are not worth it");
        queue.left(0);
        assert_eq!((queue.take(20, 8, 2).len(), queue.take(20, 6, 2).len()), (2, 2));
        assert_eq!(queue.take(20, 4, 2).len(), 0);
    }

    #[test]
    fn what_nobody_waits_for_is_dropped() {
        let (mut queue, flags) = queue(&[5, 3], 16);
        assert_eq!(queue.take(20, 20, 1), [0]);
        flags[0].store(true, Ordering::Relaxed);
        assert_eq!((queue.sweep(), queue.waiting()), (4, 3));
        queue.left(0);
        queue.sweep();
        assert!(!queue.push(0, 0), "its line is gone");
    }

    #[test]
    fn jobs_that_were_put_back_come_first() {
        let (mut queue, _flags) = queue(&[2], 16);
        assert_eq!(queue.take(20, 20, 1), [0]);
        queue.put_back(0, 9);
        assert_eq!(queue.take_head(|job| *job == 9), Some(9));
        assert_eq!(queue.take_head(|job| *job == 9), None);
    }
}
