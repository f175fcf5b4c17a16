//! Provides `tokenizer.json`.

use std::path::Path;

use crate::{
    error::{Error, Result},
    weights::failure::file_error,
};

/// Copies `tokenizer.json` from `source` to `destination`.
///
/// # Errors
/// [`Error::Weights`] when the model has none.
pub(super) fn provide(source: &Path, destination: &Path) -> Result<()> {
    let from = source.join("tokenizer.json");
    if !from.is_file() {
        return Err(Error::Weights(format!(
            "`{}` has no tokenizer.json; use a checkpoint that has one",
            source.display()
        )));
    }
    let to = destination.join("tokenizer.json");
    std::fs::copy(&from, &to).map(drop).map_err(|error| file_error("write", &to, &error))
}
