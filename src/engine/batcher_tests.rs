//! The batcher around a stage that counts.

use std::collections::BTreeSet;

use super::*;
use crate::stages::stage::Key;

/// A job needs some steps; a bad one breaks the step it is in.
enum Number {
    Steps(u32),
    Error,
    Panic,
    /// No device has the memory for it.
    Large,
    /// The device does not survive it.
    Loss,
    /// Holds its first step, which it announces, until it is released.
    Hold(Arc<Held>),
}

#[derive(Default)]
struct Held {
    at_work: AtomicBool,
    released: AtomicBool,
}

impl Held {
    fn wait_until_at_work(&self) {
        wait_for(&self.at_work);
    }

    fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }
}

fn wait_for(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[derive(Default)]
struct Counter {
    inside: Vec<(Key, Arc<Number>, u32)>,
    most_at_once: Arc<AtomicU64>,
    slow: bool,
    /// Jobs that the device has memory for; 0: any number.
    memory: usize,
    places: Option<usize>,
    /// Jobs that were finished here.
    finished: Arc<AtomicU64>,
}

impl Stage for Counter {
    type Job = Number;
    type Output = u32;
    const NAME: &'static str = "counter";

    fn places(&self) -> usize {
        self.places.unwrap_or(8)
    }

    fn set_places(&mut self, places: usize) {
        self.places = Some(places);
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
        if self.memory > 0 && self.inside.len() > self.memory {
            return Err(Error::OutOfMemory("no memory left".into()));
        }
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
                Number::Large => return Err(Error::OutOfMemory("no memory left".into())),
                Number::Loss => return Err(Error::DeviceLost("the card is gone".into())),
                Number::Hold(ref held) => {
                    held.at_work.store(true, Ordering::Relaxed);
                    wait_for(&held.released);
                    finished.push((*key, Ok(0)));
                }
            }
        }
        self.finished.fetch_add(finished.len() as u64, Ordering::Relaxed);
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
    side_by_side([stage], &Health::default())
}

fn side_by_side<const N: usize>(stages: [Counter; N], health: &Health) -> Batcher<Counter> {
    let stages = stages.map(|stage| (Compute::cpu(), stage));
    Batcher::start(stages, &Metrics::default(), health).unwrap()
}

fn all(session: &mut Session<Counter>, count: usize) -> Vec<Result<u32>> {
    let mut outcomes: Vec<(usize, Result<u32>)> =
        (0..count).map(|_| session.poll(true, &Watch::silent()).unwrap().unwrap()).collect();
    outcomes.sort_by_key(|(tag, _)| *tag);
    assert_eq!(outcomes.iter().map(|(tag, _)| *tag).collect::<BTreeSet<_>>().len(), count, "each job is answered once");
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
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

#[test]
fn two_workers_share_the_jobs_and_answer_as_one_would() {
    let counts: [Arc<AtomicU64>; 2] = Default::default();
    let stages = counts.clone().map(|finished| Counter { slow: true, finished, ..Counter::default() });
    let batcher = side_by_side(stages, &Health::default());
    let mut session = batcher.session(8);
    (0..40).for_each(|tag| session.submit(tag, Number::Steps(tag as u32 % 7 + 1)));
    let answers: Vec<u32> = all(&mut session, 40).into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, (0..40).map(|tag| tag % 7 + 1).collect::<Vec<u32>>());
    let [first, second] = counts.map(|count| count.load(Ordering::Relaxed));
    assert_eq!(first + second, 40);
    assert!(first >= 3 && second >= 3, "{first} and {second}");
}

#[test]
fn a_busy_worker_leaves_a_job_to_an_idle_one() {
    let counts: [Arc<AtomicU64>; 2] = Default::default();
    let stages = counts.clone().map(|finished| Counter { finished, ..Counter::default() });
    let batcher = side_by_side(stages, &Health::default());
    let held = Arc::<Held>::default();
    let (mut long, mut short) = (batcher.session(1), batcher.session(1));
    long.submit(0, Number::Hold(held.clone()));
    held.wait_until_at_work();
    // Whoever has taken the long job cannot take these.
    for _ in 0..5 {
        short.submit(0, Number::Steps(1));
        assert_eq!(short.next(&Watch::silent()).unwrap(), (0, 1));
    }
    held.release();
    assert_eq!(long.next(&Watch::silent()).unwrap(), (0, 0));
    let mut finished = counts.map(|count| count.load(Ordering::Relaxed));
    finished.sort_unstable();
    assert_eq!(finished, [1, 5]);
}

#[test]
fn a_panic_in_one_worker_harms_no_job_of_another() {
    let batcher = side_by_side([(); 2].map(|()| Counter { slow: true, ..Counter::default() }), &Health::default());
    let (mut good, mut bad) = (batcher.session(8), batcher.session(8));
    (0..30).for_each(|tag| good.submit(tag, Number::Steps(4)));
    (0..3).for_each(|tag| bad.submit(tag, if tag == 1 { Number::Panic } else { Number::Steps(2) }));
    assert!(all(&mut good, 30).into_iter().all(|outcome| matches!(outcome, Ok(4))));
    let outcomes = all(&mut bad, 3);
    assert!(matches!(outcomes[..], [Ok(2), Err(Error::Bug(_)), Ok(2)]), "{outcomes:?}");
}

#[test]
fn too_little_memory_makes_batches_smaller_and_harms_no_job() {
    let most_at_once = Arc::new(AtomicU64::new(0));
    let metrics = Metrics::default();
    let stage = Counter { memory: 3, most_at_once: most_at_once.clone(), slow: true, ..Counter::default() };
    let batcher = Batcher::start([(Compute::cpu(), stage)], &metrics, &Health::default()).unwrap();
    let mut session = batcher.session(8);
    (0..20).for_each(|tag| session.submit(tag, Number::Steps(3)));
    assert!(all(&mut session, 20).into_iter().all(|outcome| matches!(outcome, Ok(3))));
    assert!(most_at_once.load(Ordering::Relaxed) > 3, "it was tried");
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    let line = |name: &str| page.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    let places = line("stage_places{stage=\"counter\",device=\"cpu\"} ");
    assert!(places.ends_with(" 2") || places.ends_with(" 3"), "{places}");
    assert!(!line("out_of_memory_total{stage=\"counter\",device=\"cpu\"} ").is_empty());
}

#[test]
fn a_job_that_does_not_fit_alone_is_told_and_the_next_one_works() {
    let batcher = batcher(Counter::default());
    let (mut large, mut small) = (batcher.session(4), batcher.session(4));
    large.submit(0, Number::Large);
    (0..3).for_each(|tag| small.submit(tag, Number::Steps(2)));
    assert!(matches!(large.next(&Watch::silent()), Err(Error::OutOfMemory(_))));
    assert!(all(&mut small, 3).into_iter().all(|outcome| matches!(outcome, Ok(2))));
    large.submit(1, Number::Steps(1));
    assert_eq!(large.next(&Watch::silent()).unwrap(), (1, 1));
}

#[test]
fn a_lost_device_is_told_to_everybody_and_ends_its_worker() {
    let health = Health::default();
    let finished = Arc::new(AtomicU64::new(0));
    let batcher = side_by_side([Counter { finished: finished.clone(), ..Counter::default() }], &health);
    let (mut first, mut second) = (batcher.session(1), batcher.session(1));
    first.submit(0, Number::Loss);
    (0..20).for_each(|tag| second.submit(tag, Number::Steps(u32::MAX)));
    let told =
        |outcome: &Result<u32>| matches!(outcome, Err(Error::DeviceLost(reason)) if reason == "the card is gone");
    assert!(all(&mut first, 1).iter().all(told));
    assert!(all(&mut second, 20).iter().all(told), "those at work, and those that wait");
    assert_eq!(health.lost().as_deref(), Some("the card is gone"));
    second.submit(99, Number::Steps(1));
    assert!(second.next(&Watch::silent()).is_err(), "nobody takes anything any more");
    assert_eq!(finished.load(Ordering::Relaxed), 0);
}

#[test]
fn what_another_device_has_at_work_outlives_a_loss() {
    let health = Health::default();
    let batcher = side_by_side([(); 2].map(|()| Counter { slow: true, ..Counter::default() }), &health);
    let held = Arc::<Held>::default();
    let (mut other, mut lost) = (batcher.session(1), batcher.session(1));
    other.submit(0, Number::Hold(held.clone()));
    held.wait_until_at_work();
    lost.submit(0, Number::Loss);
    assert!(matches!(lost.next(&Watch::silent()), Err(Error::DeviceLost(_))));
    held.release();
    assert_eq!(other.next(&Watch::silent()).unwrap(), (0, 0));
    assert!(health.lost().is_some());
}
