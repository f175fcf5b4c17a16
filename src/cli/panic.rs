//! A panic is a bug in Palabra: it ends with a sentence and an exit code like every other error.

use std::{
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook},
    sync::{Mutex, PoisonError},
};

use palabra::Error;

/// What the latest panic said, on whichever thread it was.
static LATEST: Mutex<String> = Mutex::new(String::new());

/// Runs `work`. Panics print nothing by themselves: some are contained where they happen, and one that is not becomes the
/// error of this function.
///
/// # Errors
/// What `work` gives; [`Error::Bug`] when it panicked.
pub fn guarded<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    set_hook(Box::new(note));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let sentence = LATEST.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Err(Error::Bug(sentence).into())
    })
}

fn note(panic: &PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("a panic without words");
    let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    // Without its words, which may repeat a text.
    tracing::info!(place, "panic");
    *LATEST.lock().unwrap_or_else(PoisonError::into_inner) = format!("{what}{place}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_sentence_with_its_place() {
        let outcome: anyhow::Result<()> = guarded(|| panic!("no {}", "way"));
        let error = outcome.map_err(|error| error.to_string()).err().unwrap_or_default();
        assert!(error.starts_with("internal error: no way at src/cli/panic.rs:"), "{error}");
        assert!(matches!(guarded(|| Ok(7)), Ok(7)));
    }
}
