//! How many jobs a worker has room for, where its device's memory has the last word.
//!
//! Memory that ran out halves the places. They do not come back at once, since each attempt that fails costs all jobs inside
//! their work; they do come back, since most shortages pass: another model was being loaded, or one has left. So they double
//! after a time without failure, which doubles itself with every failure; and all are back once the stage has rested.

use std::time::{Duration, Instant};

/// The time after which fewer places become more again, at first and at most.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// The places of one worker.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    places: usize,
    patience: Duration,
    /// When more places are tried again.
    again: Option<Instant>,
}

impl Room {
    /// Room for `most` jobs.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { most, places: most, patience: PATIENCE.0, again: None }
    }

    /// Jobs that may be inside.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// Notes that the memory did not suffice for `inside` jobs. False where there was no other job to do without.
    pub(super) fn shrink(&mut self, inside: usize, now: Instant) -> bool {
        let possible = self.places > 1;
        self.places = (self.places.min(inside) / 2).max(1);
        self.again = Some(now + self.patience);
        self.patience = (2 * self.patience).min(PATIENCE.1);
        possible
    }

    /// Whether there are more places than before, since the memory has sufficed for long enough.
    pub(super) fn grow(&mut self, now: Instant) -> bool {
        if self.again.is_none_or(|again| now < again) {
            return false;
        }
        self.places = (2 * self.places).min(self.most);
        self.again = (self.places < self.most).then(|| now + self.patience);
        true
    }

    /// Gives all places back: nothing is inside, and nothing is known of the memory any more.
    pub(super) fn rest(&mut self) {
        *self = Self::new(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_halve_down_to_one_and_then_there_is_nothing_left_to_do() {
        let (mut room, now) = (Room::new(16), Instant::now());
        let shrunk: Vec<(bool, usize)> =
            [16, 8, 3, 1, 1].map(|inside| (room.shrink(inside, now), room.places())).to_vec();
        assert_eq!(shrunk, [(true, 8), (true, 4), (true, 1), (false, 1), (false, 1)]);
        let mut few = Room::new(16);
        assert!(few.shrink(1, now), "a single job is tried again without what was made for the others");
        assert_eq!(few.places(), 1);
    }

    #[test]
    fn places_come_back_slower_after_every_failure_and_at_once_after_a_rest() {
        let (mut room, start) = (Room::new(8), Instant::now());
        room.shrink(8, start);
        assert!(!room.grow(start + PATIENCE.0 / 2));
        assert!(room.grow(start + PATIENCE.0));
        assert_eq!(room.places(), 8);
        assert!(!room.grow(start + 10 * PATIENCE.0), "there are no more");
        room.shrink(8, start);
        assert!(!room.grow(start + PATIENCE.0) && room.grow(start + 2 * PATIENCE.0));
        room.shrink(8, start);
        room.shrink(4, start);
        room.rest();
        assert_eq!(room.places(), 8);
        (0..40).for_each(|_| {
            room.shrink(8, start);
        });
        assert!(room.grow(start + PATIENCE.1), "the patience has an end");
    }
}
