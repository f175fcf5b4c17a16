//! The batcher around a stage that counts.

use super::*;

/// A job needs some steps; a bad one breaks the step it is in.
enum Number {
    Steps(u32),
    Error,
    Panic,
}

#[derive(Default)]
struct Counter {
    inside: Vec<(Key, Arc<Number>, u32)>,
    most_at_once: Arc<AtomicU64>,
    slow: bool,
}

impl Stage for Counter {
    type Job = Number;
    type Output = u32;
    const NAME: &'static str = "counter";

    fn places(&self) -> usize {
        8
    }

    fn intake(&self) -> usize {
        4
    }

    fn admit(&mut self, jobs: Vec<(Key, Arc<Number>)>) -> Result<()> {
        self.inside.extend(jobs.into_iter().map(|(key, job)| (key, job, 0)));
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<(Key, Result<u32>)>> {
        self.most_at_once.fetch_max(self.inside.len() as u64, Ordering::Relaxed);
        if self.slow {
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut finished = Vec::new();
        for (key, job, done) in &mut self.inside {
            *done += 1;
            match **job {
                Number::Steps(steps) if *done >= steps => finished.push((*key, Ok(steps))),
                Number::Steps(_) => {}
                Number::Error => return Err(Error::Bug("a bad job".into())),
                Number::Panic => panic!("a very bad job"),
            }
        }
        self.inside.retain(|(key, ..)| !finished.iter().any(|(done, _)| done == key));
        Ok(finished)
    }

    fn dismiss(&mut self, key: Key) {
        self.inside.retain(|(inside, ..)| *inside != key);
    }

    fn clear(&mut self) {
        self.inside.clear();
    }
}

fn batcher(stage: Counter) -> Batcher<Counter> {
    Batcher::start(stage, &Metrics::default()).unwrap()
}

#[test]
fn every_job_is_answered_and_jobs_share_steps() {
    let most_at_once = Arc::new(AtomicU64::new(0));
    let batcher = batcher(Counter { most_at_once: most_at_once.clone(), slow: true, ..Counter::default() });
    std::thread::scope(|scope| {
        for request in 0..4u32 {
            let batcher = &batcher;
            scope.spawn(move || {
                let mut session = batcher.session(4);
                (0..10).for_each(|tag| session.submit(tag, Number::Steps(request + 1)));
                let mut tags: Vec<usize> = (0..10)
                    .map(|_| {
                        let (tag, steps) = session.next(&Watch::silent()).unwrap();
                        assert_eq!(steps, request + 1);
                        tag
                    })
                    .collect();
                tags.sort_unstable();
                assert_eq!(tags, (0..10).collect::<Vec<_>>());
            });
        }
    });
    let most = most_at_once.load(Ordering::Relaxed);
    assert!((2..=8).contains(&most), "{most} at once");
}

#[test]
fn a_failing_job_harms_no_other_and_the_thread_lives_on() {
    let batcher = batcher(Counter { slow: true, ..Counter::default() });
    for (bad, why) in [(Number::Error, "a bad job"), (Number::Panic, "a panic in the counter")] {
        let (mut good, mut other) = (batcher.session(4), batcher.session(4));
        (0..4).for_each(|tag| good.submit(tag, Number::Steps(5)));
        other.submit(0, bad);
        let outcome = other.next(&Watch::silent()).map(|_| ());
        assert!(matches!(&outcome, Err(Error::Bug(text)) if text == why), "{outcome:?}");
        for _ in 0..4 {
            assert_eq!(good.next(&Watch::silent()).unwrap().1, 5);
        }
    }
}

#[test]
fn a_session_that_leaves_takes_its_jobs_along() {
    let batcher = batcher(Counter { slow: true, ..Counter::default() });
    let session = batcher.session(8);
    (0..100).for_each(|tag| session.submit(tag, Number::Steps(u32::MAX)));
    drop(session);
    let mut next = batcher.session(8);
    next.submit(0, Number::Steps(3));
    assert_eq!(next.next(&Watch::silent()).unwrap(), (0, 3));
    assert!(next.waited() < Duration::from_secs(5));
}

#[test]
fn a_cancelled_or_late_request_stops_waiting() {
    let batcher = batcher(Counter { slow: true, ..Counter::default() });
    let mut session = batcher.session(1);
    session.submit(0, Number::Steps(u32::MAX));
    let watch = Watch::silent().until(Instant::now() + Duration::from_millis(50));
    assert!(matches!(session.next(&watch), Err(Error::Deadline(_))));
    let cancelled = AtomicBool::new(true);
    assert!(matches!(session.next(&Watch::new(&|_| {}, &cancelled)), Err(Error::Cancelled)));
}

#[test]
fn the_thread_ends_with_the_last_handle() {
    let most_at_once = Arc::new(AtomicU64::new(0));
    let batcher = batcher(Counter { most_at_once: most_at_once.clone(), ..Counter::default() });
    drop(batcher);
    let deadline = Instant::now() + Duration::from_secs(5);
    while Arc::strong_count(&most_at_once) > 1 {
        assert!(Instant::now() < deadline, "the stage was not freed");
        std::thread::sleep(Duration::from_millis(5));
    }
}
