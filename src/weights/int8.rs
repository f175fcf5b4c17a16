//! Where checkpoints lie that were turned into int8: `int8/` of the cache, one file for each, beside the models and not among
//! their files, so that a model's record, and a user's own folder, stay as they are.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use sha2::{Digest, Sha256};

use super::{Store, failure::file_error};
use crate::error::Result;

/// Part of every name: raised when the form of the file, or of the quantization, changes.
const VERSION: u32 = 1;
/// Digits of the fingerprint in a name.
const DIGITS: usize = 16;

impl Store {
    /// Where the int8 form of the checkpoint in `folder` lies or will lie. The name depends on what `model.safetensors` is, so
    /// that the form of an older one is never taken for it.
    ///
    /// # Errors
    /// [`Error::Machine`](crate::error::Error::Machine) when the checkpoint cannot be read.
    pub fn int8_file(&self, folder: &Path) -> Result<PathBuf> {
        let source = folder.join("model.safetensors");
        let metadata = fs::metadata(&source).map_err(|error| file_error("read", &source, &error))?;
        let written =
            metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let source = fs::canonicalize(&source).unwrap_or(source);
        let described = format!("{VERSION} {} {} {}", source.display(), metadata.len(), written.as_nanos());
        let digest: String = Sha256::digest(described).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(self.root().join("int8").join(format!("{}-{}.safetensors", stem(folder), &digest[..DIGITS])))
    }

    /// Removes what `file` has replaced: int8 forms of a folder of the same name that were written before.
    pub fn remove_older_int8(&self, file: &Path) {
        let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(|name| name.to_str())) else {
            return;
        };
        let Some((stem, _)) = name.rsplit_once('-') else { return };
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let other = entry.file_name();
            let older = other.to_str().and_then(|other| other.rsplit_once('-')).is_some_and(|(other, end)| {
                other == stem && end.len() == DIGITS + ".safetensors".len() && end.ends_with(".safetensors")
            });
            if older && other.to_str() != Some(name) {
                let removed = fs::remove_file(entry.path());
                tracing::debug!(?removed, path = %entry.path().display(), "removed an older int8 form");
            }
        }
    }
}

/// The folder's name, for people who look into the cache.
fn stem(folder: &Path) -> String {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("model");
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::StoreOptions;

    #[test]
    fn a_changed_checkpoint_has_another_file_and_the_older_one_goes() {
        let place = tempfile::tempdir().unwrap();
        let store =
            Store::open(&StoreOptions { root: Some(place.path().join("cache")), ..StoreOptions::default() }).unwrap();
        let folder = place.path().join("my model");
        fs::create_dir(&folder).unwrap();
        assert!(store.int8_file(&folder).is_err(), "there is no checkpoint yet");
        fs::write(folder.join("model.safetensors"), "one").unwrap();
        let first = store.int8_file(&folder).unwrap();
        assert_eq!(store.int8_file(&folder).unwrap(), first);
        assert!(first.file_name().unwrap().to_str().unwrap().starts_with("my_model-"));
        fs::write(folder.join("model.safetensors"), "another").unwrap();
        let second = store.int8_file(&folder).unwrap();
        assert_ne!(first, second);
        fs::create_dir_all(first.parent().unwrap()).unwrap();
        let bystander = first.with_file_name("my_model-other.safetensors");
        for file in [&first, &second, &bystander] {
            fs::write(file, "").unwrap();
        }
        store.remove_older_int8(&second);
        assert!(!first.exists() && second.exists() && bystander.exists());
    }
}
