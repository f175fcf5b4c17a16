//! What is in memory: things that are loaded once, however many ask for them, and leave when they are in the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{memory, service::Keep};
use crate::{error::Result, progress::Watch};

/// How often one who waits for a load looks whether he should stop.
const POLL: Duration = Duration::from_millis(50);

/// Named things in memory.
pub(super) struct Shelf<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    warm: BTreeMap<String, Place<T>>,
    loading: BTreeSet<String>,
}

struct Place<T> {
    item: Arc<T>,
    bytes: u64,
    used: Instant,
}

impl<T> Place<T> {
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.item) > 1
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        let state = State { warm: BTreeMap::new(), loading: BTreeSet::new() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> Shelf<T> {
    /// The thing of this name. When it is not there, `fetch` makes sure that it can be had (and says how many bytes it
    /// takes in memory) and `load` brings it, while others who want it wait and everybody else goes on. In between leaves
    /// what `keep` has no room for; what cannot be had displaces nothing.
    ///
    /// # Errors
    /// Those of `fetch` and `load`; when `watch` says to stop waiting.
    pub(super) fn get<F>(
        &self,
        name: &str,
        keep: &Keep,
        watch: &Watch,
        fetch: impl FnOnce() -> Result<(F, u64)>,
        load: impl FnOnce(F) -> Result<T>,
    ) -> Result<Arc<T>> {
        let mut state = self.state();
        loop {
            if let Some(place) = state.warm.get_mut(name) {
                place.used = Instant::now();
                return Ok(place.item.clone());
            }
            if !state.loading.contains(name) {
                break;
            }
            watch.check()?;
            state = self.changed.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.loading.insert(name.to_owned());
        drop(state);
        let loading = Loading { shelf: self, name };
        let (fetched, bytes) = fetch()?;
        let leaving = self.state().make_room(keep, bytes);
        // Freed before the new one comes, and without the lock.
        drop(leaving);
        let item = Arc::new(load(fetched)?);
        let mut state = self.state();
        // Others may have come meanwhile.
        let leaving = state.make_room(keep, bytes);
        state.warm.insert(name.to_owned(), Place { item: item.clone(), bytes, used: Instant::now() });
        drop(state);
        drop((leaving, loading));
        Ok(item)
    }

    /// Lets go of everything that nobody uses and that need not stay. Whether there was anything.
    pub(super) fn dismiss_idle(&self, keep: &Keep) -> bool {
        let mut state = self.state();
        let idle: Vec<String> = state
            .warm
            .iter()
            .filter(|(name, place)| !keep.pinned.contains(name) && !place.is_in_use())
            .map(|(name, _)| name.clone())
            .collect();
        let leaving: Vec<_> = idle.iter().filter_map(|name| state.warm.remove(name)).collect();
        drop(state);
        for name in idle {
            tracing::info!(model = name, "unloaded to make room");
        }
        !leaving.is_empty()
    }

    /// Lets go of what nobody has used for longer than `keep` says.
    pub(super) fn sweep(&self, keep: &Keep) {
        let Some(idle) = keep.idle else { return };
        let mut state = self.state();
        let stale: Vec<String> = state
            .warm
            .iter()
            .filter(|(name, place)| !keep.pinned.contains(name) && !place.is_in_use() && place.used.elapsed() >= idle)
            .map(|(name, _)| name.clone())
            .collect();
        let leaving: Vec<_> = stale.iter().filter_map(|name| state.warm.remove(name)).collect();
        drop(state);
        let some = !leaving.is_empty();
        drop(leaving);
        for name in stale {
            tracing::info!(model = name, "unloaded after its idle time");
        }
        if some {
            memory::give_back();
        }
    }

    /// The names of what is in memory, and of what is being loaded.
    pub(super) fn names(&self) -> (Vec<String>, Vec<String>) {
        let state = self.state();
        (state.warm.keys().cloned().collect(), state.loading.iter().cloned().collect())
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// Takes out what must leave so that one more thing of `bytes` fits: the one that was used longest ago first, those at
    /// work last. These are freed when their requests are done.
    fn make_room(&mut self, keep: &Keep, bytes: u64) -> Vec<Place<T>> {
        let mut leaving = Vec::new();
        loop {
            let count = self.warm.len() + 1;
            let all = bytes + self.warm.values().map(|place| place.bytes).sum::<u64>();
            let fits = keep.models.is_none_or(|most| count <= most) && keep.bytes.is_none_or(|most| all <= most);
            let candidates = self.warm.iter().filter(|(name, _)| !keep.pinned.contains(name));
            let next =
                candidates.min_by_key(|(_, place)| (place.is_in_use(), place.used)).map(|(name, _)| name.clone());
            let Some(name) = next.filter(|_| !fits) else { return leaving };
            tracing::info!(model = name, "unloaded to make room");
            leaving.extend(self.warm.remove(&name));
        }
    }
}

/// Tells those who wait that the load is over, whether or not it succeeded.
struct Loading<'a, T> {
    shelf: &'a Shelf<T>,
    name: &'a str,
}

impl<T> Drop for Loading<'_, T> {
    fn drop(&mut self) {
        self.shelf.state().loading.remove(self.name);
        self.shelf.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::Error;

    fn keep(models: usize) -> Keep {
        Keep { models: Some(models), ..Keep::default() }
    }

    fn put(shelf: &Shelf<u32>, name: &str, keep: &Keep, bytes: u64) -> Arc<u32> {
        shelf.get(name, keep, &Watch::silent(), || Ok(((), bytes)), |()| Ok(1)).unwrap()
    }

    #[test]
    fn two_who_ask_at_once_load_once() {
        let (shelf, loads) = (Shelf::<u32>::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let load = |()| {
                        loads.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(30));
                        Ok(7)
                    };
                    let got = shelf.get("base", &keep(2), &Watch::silent(), || Ok(((), 0)), load);
                    assert_eq!(*got.unwrap(), 7);
                });
            }
        });
        assert_eq!(loads.into_inner(), 1);
    }

    #[test]
    fn the_one_used_longest_ago_leaves_and_a_pinned_one_stays() {
        let shelf = Shelf::default();
        let keep = Keep { pinned: vec!["a".into()], ..keep(2) };
        for name in ["a", "b", "a", "c"] {
            put(&shelf, name, &keep, 0);
        }
        assert_eq!(shelf.names().0, ["a", "c"]);
        put(&shelf, "d", &keep, 0);
        assert_eq!(shelf.names().0, ["a", "d"]);
    }

    #[test]
    fn what_is_at_work_leaves_last_and_lives_until_it_is_done() {
        let shelf = Shelf::default();
        let busy = put(&shelf, "a", &keep(2), 0);
        put(&shelf, "b", &keep(2), 0);
        put(&shelf, "c", &keep(2), 0);
        assert_eq!(shelf.names().0, ["a", "c"]);
        let other = put(&shelf, "c", &keep(2), 0);
        put(&shelf, "d", &keep(2), 0);
        assert_eq!(shelf.names().0, ["c", "d"]);
        assert_eq!(*busy + *other, 2);
    }

    #[test]
    fn room_is_made_by_what_nobody_uses_and_is_not_pinned() {
        let shelf = Shelf::default();
        let keep = Keep { pinned: vec!["a".into()], ..keep(4) };
        for name in ["a", "b", "c"] {
            put(&shelf, name, &keep, 0);
        }
        let used = put(&shelf, "b", &keep, 0);
        assert!(shelf.dismiss_idle(&keep));
        assert_eq!(shelf.names().0, ["a", "b"]);
        assert!(!shelf.dismiss_idle(&keep), "nothing else can leave");
        drop(used);
        assert!(shelf.dismiss_idle(&keep));
    }

    #[test]
    fn bytes_are_bounded_and_idle_things_leave() {
        let shelf = Shelf::default();
        let budget = Keep { models: None, bytes: Some(100), idle: Some(Duration::ZERO), pinned: Vec::new() };
        put(&shelf, "a", &budget, 60);
        put(&shelf, "b", &budget, 60);
        assert_eq!(shelf.names().0, ["b"]);
        let held = put(&shelf, "b", &budget, 60);
        shelf.sweep(&budget);
        assert_eq!(shelf.names().0, ["b"], "it is in use");
        drop(held);
        shelf.sweep(&budget);
        assert!(shelf.names().0.is_empty());
    }

    #[test]
    fn what_cannot_be_had_displaces_nothing_and_can_be_tried_again() {
        let shelf = Shelf::<u32>::default();
        put(&shelf, "b", &keep(1), 0);
        let none = || Err::<((), u64), _>(Error::Weights("no".into()));
        assert!(shelf.get("a", &keep(1), &Watch::silent(), none, |()| Ok(1)).is_err());
        assert_eq!(shelf.names(), (vec!["b".into()], vec![]));
        assert_eq!(*put(&shelf, "a", &keep(1), 0), 1);
        assert_eq!(shelf.names().0, ["a"]);
    }
}
