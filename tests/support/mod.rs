//! What the tests that need weights or reference recordings share: they look for what they need when they start, and a
//! test whose need is not met is listed as ignored with the reason in its name.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::path::PathBuf;

use libtest_mimic::{Failed, Trial};

/// A test that needs something: `need` is either that thing or the reason why it is not there.
pub fn trial<T, F>(name: &str, need: &Result<T, String>, body: F) -> Trial
where
    T: Clone + Send + 'static,
    F: FnOnce(T) + Send + 'static,
{
    match need {
        Ok(value) => {
            let value = value.clone();
            Trial::test(name, move || -> Result<(), Failed> {
                body(value);
                Ok(())
            })
        }
        Err(reason) => Trial::test(format!("{name} ({reason})"), || Ok(())).with_ignored_flag(true),
    }
}

/// The project's reference recordings, which lie beside the checkout where they exist.
pub fn reference_data() -> Result<PathBuf, String> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if data.join("dev/manifest.jsonl").is_file() { Ok(data) } else { Err("needs ../shared/data".into()) }
}

/// A golden file under `tests/golden`.
pub fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}
