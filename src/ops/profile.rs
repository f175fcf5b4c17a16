//! Where the time goes: a recorder of what operations take, always compiled in and off unless [`record`] runs.
//!
//! ```text
//! let (result, profile) = profile::record(|| work());          the caller: everything that happens on this thread
//!     let _stage = profile::stage(Stage::Encoder);              in a network or a stage
//!         let _timed = profile::span(Class::Linear, || Work::product(rows, inputs, outputs, bytes));       in an operation
//! ```
//!
//! Time is that of the recording thread between the start and the end of a guard; the threads that help it inside an operation
//! are not asked, so times are seconds on the wall. Every moment belongs to one stage, the innermost that is open, and to at
//! most one class: an operation that is made of others counts as what it is called by, and its work is its own count, not
//! theirs. What a stage does outside of every operation is the difference between its time and that of its classes.
//!
//! Recording is a matter of one thread, so that two at work side by side do not mix; where nothing is recorded, a guard costs
//! the reading of one thread-local flag, and the work is not even counted.

mod kinds;
mod work;

use std::{
    cell::{Cell, RefCell},
    marker::PhantomData,
    time::{Duration, Instant},
};

pub use self::{
    kinds::{Class, Numbers, Stage},
    work::Work,
};

/// What a class took in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Operations that were called.
    pub calls: u64,
    /// On the wall.
    pub time: Duration,
    /// What they had to do.
    pub work: Work,
}

/// What a stage took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageProfile {
    /// Which one; `None` for what lies outside of all stages.
    pub stage: Option<Stage>,
    /// On the wall, its classes included, other stages inside it left out.
    pub time: Duration,
    /// What its operations took, in the order of [`Class::ALL`]; those of a class in different numbers apart, as their
    /// [`Work::numbers`] say.
    pub classes: Vec<(Class, Spent)>,
}

impl StageProfile {
    /// The time outside of all operations.
    pub fn other(&self) -> Duration {
        self.time.saturating_sub(self.classes.iter().map(|(_, spent)| spent.time).sum())
    }
}

/// What a recording found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// On the wall, from the start of the recording to its end: the sum of all stages.
    pub total: Duration,
    /// The stages that took any time, in the order of [`Stage::ALL`]; what lies outside of them comes last.
    pub stages: Vec<StageProfile>,
}

/// Rows and columns of the ledger; the last row is for what lies outside of all stages.
const ROWS: usize = Stage::ALL.len() + 1;
const OUTSIDE: usize = Stage::ALL.len();
const COLUMNS: usize = Class::ALL.len() * Numbers::ALL.len();

/// What has been found so far.
struct Ledger {
    /// The row of the stage that is open, and since when its time has not been booked.
    row: usize,
    since: Instant,
    stages: [Duration; ROWS],
    cells: Box<[[Spent; COLUMNS]; ROWS]>,
}

impl Ledger {
    fn new() -> Self {
        let cells = Box::new([[Spent::default(); COLUMNS]; ROWS]);
        Self { row: OUTSIDE, since: Instant::now(), stages: [Duration::ZERO; ROWS], cells }
    }

    /// Books the time since the last change, and goes on in another row; the row before comes back.
    fn turn_to(&mut self, row: usize) -> usize {
        let now = Instant::now();
        self.stages[self.row] += now.saturating_duration_since(self.since);
        self.since = now;
        std::mem::replace(&mut self.row, row)
    }

    fn profile(mut self) -> Profile {
        self.turn_to(OUTSIDE);
        let row = |row: usize| {
            let columns = Class::ALL.into_iter().flat_map(|class| [class; Numbers::ALL.len()]);
            let classes = columns.zip(self.cells[row]).filter(|(_, spent)| spent.calls > 0);
            let stage = Stage::ALL.get(row).copied();
            StageProfile { stage, time: self.stages[row], classes: classes.collect() }
        };
        let stages = (0..ROWS).map(row).filter(|stage| !stage.time.is_zero()).collect();
        Profile { total: self.stages.iter().sum(), stages }
    }
}

/// What the guards of a thread read first.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Off,
    On,
    /// An operation is being timed: those inside it are a part of it.
    Inside,
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State::Off) };
    static LEDGER: RefCell<Option<Ledger>> = const { RefCell::new(None) };
}

/// Runs `work` and says what it took on this thread. A recording inside another takes its time out of the outer one's table.
pub fn record<T>(work: impl FnOnce() -> T) -> (T, Profile) {
    /// Puts back what was there before, also when `work` panics.
    struct Before(State, Option<Ledger>);
    impl Drop for Before {
        fn drop(&mut self) {
            STATE.set(self.0);
            LEDGER.replace(self.1.take());
        }
    }
    let _before = Before(STATE.replace(State::On), LEDGER.replace(Some(Ledger::new())));
    let result = work();
    let profile = LEDGER.take().map(Ledger::profile).unwrap_or_default();
    (result, profile)
}

/// A stage that is open until this is dropped.
#[must_use = "the stage lasts as long as this lives"]
pub struct OpenStage {
    /// The row to go back to, where something is recorded.
    before: Option<usize>,
    here: PhantomData<*const ()>,
}

/// Opens a stage: what this thread does from now on is a part of it, until another is opened inside. Inside an operation, and
/// where nothing is recorded, nothing happens.
pub fn stage(stage: Stage) -> OpenStage {
    let open = || LEDGER.with_borrow_mut(|ledger| Some(ledger.as_mut()?.turn_to(stage as usize)));
    OpenStage { before: if STATE.get() == State::On { open() } else { None }, here: PhantomData }
}

impl Drop for OpenStage {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            LEDGER.with_borrow_mut(|ledger| ledger.as_mut().map(|ledger| ledger.turn_to(before)));
        }
    }
}

/// An operation that is timed until this is dropped.
#[must_use = "the operation lasts as long as this lives"]
pub struct Timed {
    /// Where something is recorded.
    operation: Option<(Class, Work, Instant)>,
    here: PhantomData<*const ()>,
}

/// Times an operation and counts its work. Inside another operation, and where nothing is recorded, nothing happens.
#[inline]
pub fn span(class: Class, work: impl FnOnce() -> Work) -> Timed {
    let begin = || {
        STATE.set(State::Inside);
        let work = work();
        (class, work, Instant::now())
    };
    Timed { operation: (STATE.get() == State::On).then(begin), here: PhantomData }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let Some((class, work, started)) = self.operation.take() else { return };
        let time = started.elapsed();
        LEDGER.with_borrow_mut(|ledger| {
            if let Some(ledger) = ledger {
                let column = class as usize * Numbers::ALL.len() + work.numbers as usize;
                let cell = &mut ledger.cells[ledger.row][column];
                cell.calls += 1;
                cell.time += time;
                cell.work += work;
            }
        });
        STATE.set(State::On);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Result, Tensor};

    use super::*;
    use crate::ops::{self, Linear, Precision, Slot, Slots, tests::random};

    fn only(profile: &Profile) -> (Class, Spent) {
        assert_eq!(profile.stages.len(), 1, "{profile:?}");
        assert_eq!(profile.stages[0].classes.len(), 1, "{profile:?}");
        profile.stages[0].classes[0]
    }

    #[test]
    fn names_and_rows_follow_the_order() {
        assert!(Stage::ALL.iter().enumerate().all(|(row, stage)| *stage as usize == row));
        assert!(Class::ALL.iter().enumerate().all(|(column, class)| *class as usize == column));
    }

    #[test]
    fn nothing_is_recorded_unless_it_is_asked_for() {
        let timed = span(Class::Linear, || unreachable!("work is counted only where it is recorded"));
        assert!(timed.operation.is_none() && stage(Stage::Encoder).before.is_none());
        drop(timed);
        assert!(LEDGER.with_borrow(Option::is_none) && STATE.get() == State::Off);
        let ((), profile) = record(|| {
            std::thread::scope(|scope| {
                let other = || drop(span(Class::Linear, || Work::pass(1, 1)));
                scope.spawn(other).join().expect("the thread ends");
            });
        });
        assert!(profile.stages.iter().all(|stage| stage.classes.is_empty()), "{profile:?}");
        assert!(LEDGER.with_borrow(Option::is_none) && STATE.get() == State::Off);
    }

    #[test]
    fn every_moment_has_one_stage_and_at_most_one_class() {
        let pause = |milliseconds| std::thread::sleep(Duration::from_millis(milliseconds));
        let ((), profile) = record(|| {
            let _encoder = stage(Stage::Encoder);
            pause(5);
            {
                let _linear = span(Class::Linear, || Work::pass(10, 20));
                pause(20);
                let _inside = span(Class::Elementwise, || Work::pass(1000, 1000));
                let _not_opened = stage(Stage::Logits);
                pause(10);
            }
            let _spectrogram = stage(Stage::Spectrogram);
            pause(10);
            drop(span(Class::Linear, || Work::pass(1, 2)));
        });
        let [spectrogram, encoder, ..] = &profile.stages[..] else { panic!("{profile:?}") };
        assert_eq!((spectrogram.stage, encoder.stage), (Some(Stage::Spectrogram), Some(Stage::Encoder)));
        let [(Class::Linear, linear)] = encoder.classes[..] else { panic!("{profile:?}") };
        assert_eq!((linear.calls, linear.work), (1, Work::pass(10, 20)));
        assert!(linear.time >= Duration::from_millis(30) && encoder.time >= linear.time + Duration::from_millis(5));
        assert_eq!(encoder.time, encoder.other() + linear.time);
        assert!(spectrogram.time >= Duration::from_millis(10) && spectrogram.classes[0].1.work.bytes == 2);
        assert_eq!(profile.total, profile.stages.iter().map(|stage| stage.time).sum::<Duration>());
    }

    #[test]
    fn a_panic_ends_the_recording() {
        let caught = std::panic::catch_unwind(|| {
            record(|| {
                let _stage = stage(Stage::Encoder);
                let _timed = span(Class::Linear, Work::default);
                panic!("as it happens");
            })
        });
        assert!(caught.is_err() && STATE.get() == State::Off && LEDGER.with_borrow(Option::is_none));
    }

    #[test]
    fn a_linear_layer_counts_its_product() -> Result<()> {
        // Weights that f16 does not have stay f32.
        let weight = (Tensor::ones((5, 7), DType::F32, &Device::Cpu)? * 0.1)?;
        let layer = Linear::new(weight, Some(random(5)?))?;
        let (result, profile) = record(|| layer.forward(&random((2, 3, 7))?));
        result?;
        let (class, spent) = only(&profile);
        let bytes = 4 * (5 * 7 + 6 * 7 + 6 * 5);
        assert_eq!((class, spent.calls, spent.work), (Class::Linear, 1, Work::pass(2 * 6 * 5 * 7, bytes)));

        let narrow = Linear::with_precision(random((5, 7))?, None, Precision::Int8)?;
        let (result, profile) = record(|| narrow.forward(&random((6, 7))?));
        result?;
        let expected = Work::pass(2 * 6 * 5 * 7, 5 * 7 + 4 * (6 * 7 + 6 * 5)).of(Numbers::Int8);
        assert_eq!(only(&profile).1.work, expected);
        Ok(())
    }

    #[test]
    fn attention_counts_both_of_its_products_and_every_cached_key() -> Result<()> {
        let (q, k) = (random((2, 3, 128))?, random((2, 5, 128))?);
        let (result, profile) = record(|| ops::attention(&q, &k, &k, 2, Precision::Float32));
        result?;
        let (class, spent) = only(&profile);
        assert_eq!((class, spent.work.operations), (Class::Attention, 2 * 4 * 3 * 5 * 128));

        let cache = Tensor::zeros((4, 9, 128), DType::F16, &Device::Cpu)?;
        let slots = Slots::new(vec![Slot { index: 3, length: 9 }, Slot { index: 0, length: 4 }], &Device::Cpu)?;
        let (result, profile) = record(|| ops::attention_cached(&q, &cache, &cache, &slots, 2, true));
        result?;
        let (class, spent) = only(&profile);
        assert_eq!(class, Class::TextAttention);
        let bytes = 2 * 2 * 3 * 128 * 4 + 2 * (9 + 4) * 128 * 2;
        assert_eq!(spent.work, Work::pass(4 * 3 * (9 + 4) * 128, bytes));
        Ok(())
    }
}
