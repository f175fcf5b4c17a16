//! Who may come in: a bounded number of requests, holding a bounded number of seconds of audio.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::error::{Error, Result};

/// How much work may wait or run at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// Requests.
    pub requests: usize,
    /// Seconds of audio of all of them. A single recording may be longer when nothing else is there.
    pub audio_seconds: f64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { requests: 64, audio_seconds: 4.0 * 3600.0 }
    }
}

/// The door: refuses at once what does not fit, and guesses when it may.
#[derive(Debug)]
pub struct Admission {
    capacity: Capacity,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: usize,
    audio_seconds: f64,
    /// Seconds of audio finished per second, smoothed; what a caller is told to wait follows from it.
    speed: Option<f64>,
    closed: bool,
}

/// The shortest and the longest time a caller is asked to wait.
const WAIT: (f64, f64) = (1.0, 120.0);
/// How much one request changes the measured speed.
const SMOOTHING: f64 = 0.2;

impl Admission {
    /// An open door to an empty room.
    pub fn new(capacity: Capacity) -> Arc<Self> {
        Arc::new(Self { capacity, state: Mutex::default() })
    }

    /// Lets one request in, before anything of it is read.
    ///
    /// # Errors
    /// [`Error::Busy`] when the room is full or being closed.
    pub fn enter(self: &Arc<Self>) -> Result<Permit> {
        let mut state = self.state();
        if state.closed {
            return Err(busy(&state, "the service is shutting down"));
        }
        if state.requests >= self.capacity.requests {
            return Err(busy(&state, &format!("{} requests are waiting or running already", state.requests)));
        }
        state.requests += 1;
        Ok(Permit { admission: self.clone(), audio_seconds: 0.0, entered: Instant::now(), finished: false })
    }

    /// Lets nobody in any more.
    pub fn close(&self) {
        self.state().closed = true;
    }

    /// Whether [`Admission::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Requests inside, and the seconds of audio that they hold.
    pub fn load(&self) -> (usize, f64) {
        let state = self.state();
        (state.requests, state.audio_seconds)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place inside; leaving gives it back.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    audio_seconds: f64,
    entered: Instant,
    finished: bool,
}

impl Permit {
    /// Brings `seconds` of audio in.
    ///
    /// # Errors
    /// [`Error::Busy`] when they do not fit beside what is there. A recording that is longer than everything that may be
    /// inside is let in when it is alone.
    pub fn bring(&mut self, seconds: f64) -> Result<()> {
        let mut state = self.admission.state();
        let others = state.audio_seconds - self.audio_seconds;
        if others > 0.0 && others + seconds > self.admission.capacity.audio_seconds {
            return Err(busy(&state, &format!("{others:.0} s of audio are waiting or running already")));
        }
        state.audio_seconds = others + seconds;
        self.audio_seconds = seconds;
        Ok(())
    }

    /// Marks the work as done, so that its speed counts.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.requests -= 1;
        state.audio_seconds = if state.requests == 0 { 0.0 } else { state.audio_seconds - self.audio_seconds };
        if self.finished && self.audio_seconds > 0.0 {
            // Requests run side by side: what this one took, all of them took.
            let beside = (state.requests + 1) as f64;
            let speed = self.audio_seconds * beside / self.entered.elapsed().as_secs_f64().max(1e-3);
            state.speed = Some(state.speed.map_or(speed, |before| before + SMOOTHING * (speed - before)));
        }
    }
}

/// A refusal that says how long the work inside is likely to take.
fn busy(state: &State, what: &str) -> Error {
    let expected = state.speed.map_or(5.0, |speed| state.audio_seconds / speed.max(0.1));
    let retry_after = Duration::from_secs_f64(expected.clamp(WAIT.0, WAIT.1).ceil());
    Error::Busy { message: format!("{what}; try again in {} s", retry_after.as_secs()), retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(requests: usize, audio_seconds: f64) -> Arc<Admission> {
        Admission::new(Capacity { requests, audio_seconds })
    }

    #[test]
    fn a_full_room_refuses_and_a_leaving_request_makes_room() {
        let door = door(2, 100.0);
        let first = door.enter().unwrap();
        let _second = door.enter().unwrap();
        let refused = door.enter().map(|_| ());
        assert!(matches!(refused, Err(Error::Busy { retry_after, .. }) if retry_after >= Duration::from_secs(1)));
        drop(first);
        assert!(door.enter().is_ok());
    }

    #[test]
    fn audio_is_bounded_but_a_single_long_recording_comes_in() {
        let door = door(8, 100.0);
        let mut long = door.enter().unwrap();
        assert!(long.bring(500.0).is_ok());
        let mut short = door.enter().unwrap();
        assert!(short.bring(1.0).is_err());
        drop(long);
        assert!(short.bring(60.0).is_ok());
        assert!(short.bring(70.0).is_ok(), "a correction replaces what was brought");
        assert_eq!(door.load(), (1, 70.0));
        drop(short);
        assert_eq!(door.load(), (0, 0.0));
    }

    #[test]
    fn a_closed_door_stays_closed() {
        let door = door(2, 100.0);
        door.close();
        assert!(matches!(door.enter().map(|_| ()), Err(Error::Busy { .. })));
    }
}
