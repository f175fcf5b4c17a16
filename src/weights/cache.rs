//! The cache on disk: `models/<name>/` with plain files, each folder complete from the moment it exists.
//!
//! A model is built in `staging/<name>/` of the same root and lands by one rename, under a lock per model, so that an
//! interrupted fetch leaves nothing half-written in `models/` and two processes do not fetch the same model twice.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::{failure::file_error, record::Record};
use crate::{
    error::{Error, Result},
    progress::Watch,
};

const LOCK_POLL: Duration = Duration::from_millis(100);

/// The folder that holds every model.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
}

/// The right to change one model's folder, until dropped.
pub(super) struct ModelLock {
    _file: Option<File>,
}

impl Cache {
    /// `root` where given, else `PALABRA_CACHE`, else `palabra` in the user's cache folder.
    pub(super) fn open(root: Option<PathBuf>) -> Result<Self> {
        let from_environment = || std::env::var_os("PALABRA_CACHE").filter(|path| !path.is_empty()).map(PathBuf::from);
        let of_user = || dirs::cache_dir().map(|folder| folder.join("palabra"));
        let root = root.or_else(from_environment).or_else(of_user).ok_or_else(|| {
            Error::Machine(
                "no cache folder is known on this machine; name one with --cache-dir or PALABRA_CACHE".into(),
            )
        })?;
        let root = std::path::absolute(&root).map_err(|error| file_error("use", &root, &error))?;
        Ok(Self { root })
    }

    /// The root folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the model of this name lies or will lie.
    pub(super) fn model_folder(&self, name: &str) -> PathBuf {
        self.root.join("models").join(name)
    }

    /// The model's folder when it is complete: its record's files are there with their lengths, and it was made by one of
    /// `recipes`. A folder that a person filled by hand has no record and counts when it holds `model.safetensors`.
    pub(super) fn complete_model(&self, name: &str, recipes: &[String]) -> Option<PathBuf> {
        let folder = self.model_folder(name);
        let complete = match Record::read(&folder) {
            Some(record) => recipes.contains(&record.recipe) && record.is_complete(&folder),
            None => folder.join("model.safetensors").is_file(),
        };
        complete.then_some(folder)
    }

    /// The names of the folders in `models/`, sorted; none when nothing was ever cached.
    pub(super) fn model_names(&self) -> Result<Vec<String>> {
        let folder = self.root.join("models");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(file_error("read", &folder, &error)),
        };
        let mut names: Vec<_> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// Waits for the right to change the model's folder. Where the file system has no locks the right is given at once:
    /// landing by rename keeps the folder whole even then.
    pub(super) fn lock(&self, name: &str, watch: &Watch<'_>) -> Result<ModelLock> {
        let folder = self.subfolder("locks")?;
        let path = folder.join(format!("{name}.lock"));
        let file = File::create(&path).map_err(|error| file_error("write", &path, &error))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(ModelLock { _file: Some(file) }),
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        tracing::info!(model = name, "another process is fetching this model; waiting for it");
                        told = true;
                    }
                    watch.check()?;
                    std::thread::sleep(LOCK_POLL);
                }
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(%error, path = %path.display(), "this file system has no locks; going on without");
                    return Ok(ModelLock { _file: None });
                }
            }
        }
    }

    /// The right to change the model's folder if nobody has it now.
    pub(super) fn try_lock(&self, name: &str) -> Option<ModelLock> {
        let path = self.subfolder("locks").ok()?.join(format!("{name}.lock"));
        let file = File::create(path).ok()?;
        file.try_lock().ok()?;
        Some(ModelLock { _file: Some(file) })
    }

    /// A fresh folder to build the model in; what an interrupted fetch left there is removed. Needs the model's lock.
    pub(super) fn staging(&self, name: &str, _lock: &ModelLock) -> Result<TempDir> {
        let folder = self.root.join("staging").join(name);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(file_error("remove", &folder, &error));
            }
            _ => {}
        }
        std::fs::create_dir_all(&folder).map_err(|error| file_error("create", &folder, &error))?;
        tempfile::tempdir_in(&folder).map_err(|error| file_error("create", &folder, &error))
    }

    /// Moves the finished `folder` to the model's place in one step; what lay there is replaced. Needs the model's lock.
    pub(super) fn land(&self, name: &str, folder: &Path, _lock: &ModelLock) -> Result<PathBuf> {
        self.subfolder("models")?;
        let place = self.model_folder(name);
        if place.exists() {
            let aside = self.subfolder("staging")?.join(format!("{name}.replaced"));
            let removed = std::fs::remove_dir_all(&aside);
            tracing::debug!(?removed, "cleared the place for the replaced model");
            std::fs::rename(&place, &aside).map_err(|error| file_error("replace", &place, &error))?;
            std::fs::rename(folder, &place).map_err(|error| file_error("write", &place, &error))?;
            if let Err(error) = std::fs::remove_dir_all(&aside) {
                tracing::warn!(%error, path = %aside.display(), "the replaced model could not be removed");
            }
        } else {
            std::fs::rename(folder, &place).map_err(|error| file_error("write", &place, &error))?;
        }
        Ok(place)
    }

    /// A folder under the root, made when it is not there.
    pub(super) fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join(name);
        std::fs::create_dir_all(&folder).map_err(|error| file_error("create", &folder, &error))?;
        Ok(folder)
    }
}
