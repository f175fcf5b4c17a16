//! The model hub, through hf-hub: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean
//! there, and what lies in the hub's own cache is used. Downloads resume: a part of a file stays in that cache and the next
//! fetch asks for the rest.
//!
//! hf-hub sets no time limits, so a download runs on a thread of its own and is given up when nothing comes any more.
//! Whether the hub answers at all is asked once, with a limit of seconds, and remembered.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use hf_hub::{
    Cache, Repo, RepoType,
    api::{
        Progress,
        sync::{Api, ApiBuilder, ApiError},
    },
};
use ureq::Agent;

use super::{meter::Meter, record::sha256_of};
use crate::{
    error::{Error, Result},
    progress::Watch,
};

const ENDPOINT: &str = "https://huggingface.co";
/// How long the hub may take to answer at all.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// How long a hub that did not answer is left alone.
const UNREACHABLE_FOR: Duration = Duration::from_secs(300);
/// A download in which nothing comes for so long is given up.
const STALL_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Access to the hub with one token.
#[derive(Clone)]
pub(super) struct Hub {
    endpoint: String,
    cache: Cache,
    token: Option<String>,
    /// Why nothing may be asked of the hub, where that is so.
    forbidden: Option<&'static str>,
    /// When the hub was last asked whether it answers, and whether it did.
    answer: Arc<Mutex<Option<(Instant, bool)>>>,
}

/// A file of a repository.
pub(super) struct HubFile {
    /// Where it lies in the hub's cache.
    pub(super) path: PathBuf,
    /// Its checksum, checked, where the hub announces one (it does for large files).
    pub(super) sha256: Option<String>,
}

enum Event {
    Total(u64),
    More(u64),
    Done(std::result::Result<PathBuf, ApiError>),
}

impl Hub {
    /// Reads the hub's environment variables. `token` goes before the environment's. `fallback_cache` is used where the
    /// user has no home folder.
    pub(super) fn new(token: Option<String>, offline: bool, fallback_cache: &Path) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let cache_folder = variable("HF_HUB_CACHE")
            .map(PathBuf::from)
            .or_else(|| variable("HF_HOME").map(|home| PathBuf::from(home).join("hub")))
            .or_else(|| dirs::home_dir().map(|home| home.join(".cache/huggingface/hub")))
            .unwrap_or_else(|| fallback_cache.join("hub"));
        let cache = Cache::new(cache_folder);
        let truthy = |value: String| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on");
        let forbidden = match (offline, variable("HF_HUB_OFFLINE").is_some_and(truthy)) {
            (true, _) => Some("--offline forbids to ask the hub"),
            (false, true) => Some("HF_HUB_OFFLINE forbids to ask the hub"),
            (false, false) => None,
        };
        let token = token.or_else(|| variable("HF_TOKEN")).or_else(|| cache.token());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into());
        Self::at(&endpoint, cache, token, forbidden)
    }

    /// The hub at `endpoint`, with its cache at `cache`.
    pub(super) fn at(endpoint: &str, cache: Cache, token: Option<String>, forbidden: Option<&'static str>) -> Self {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Self { endpoint, cache, token: token.map(|token| token.trim().to_owned()), forbidden, answer: Arc::default() }
    }

    /// The same hub with another token.
    pub(super) fn with_token(&self, token: Option<String>) -> Self {
        Self { token, ..self.clone() }
    }

    /// The same hub with another token and a cache of its own.
    pub(super) fn private(&self, token: String, cache: PathBuf) -> Self {
        Self { token: Some(token), cache: Cache::new(cache), ..self.clone() }
    }

    /// Whether the file lies in the hub's cache.
    pub(super) fn is_cached(&self, repository: &str, revision: &str, name: &str) -> bool {
        self.cache.repo(repo(repository, revision)).get(name).is_some()
    }

    /// A file of a repository, from the hub's cache or the hub; `None` when the repository does not have it.
    ///
    /// # Errors
    /// [`Error::Weights`] when the hub cannot be reached, refuses, stalls, or sends what its own checksum contradicts;
    /// [`Error::Machine`] when the disk is full; [`Error::Cancelled`].
    pub(super) fn get(
        &self,
        repository: &str,
        revision: &str,
        name: &str,
        quiet: bool,
        watch: &Watch<'_>,
    ) -> Result<Option<HubFile>> {
        let repo = repo(repository, revision);
        if let Some(path) = self.cache.repo(repo.clone()).get(name) {
            if let Ok(file) = checked(path, watch) {
                return Ok(Some(file));
            }
            watch.check()?;
            tracing::warn!(repository, name, "the copy in the hub's cache is broken; fetching it again");
        }
        if let Some(reason) = self.forbidden {
            return Err(Error::Weights(reason.into()));
        }
        if !self.answers() {
            return Err(Error::Weights(format!(
                "the hub {} cannot be reached for `{repository}`; check the network, or name a mirror in HF_ENDPOINT",
                self.endpoint
            )));
        }
        let mut meter = Meter::new(watch, &format!("{repository} {name}"), 0, quiet);
        match self.download(repo, name, &mut meter)? {
            Ok(path) => match checked(path.clone(), watch) {
                Err(Error::Weights(reason)) => {
                    discard(&path);
                    Err(Error::Weights(reason))
                }
                other => other.map(Some),
            },
            Err(ApiError::RequestError(error)) if matches!(*error, ureq::Error::StatusCode(404)) => Ok(None),
            Err(error) => Err(self.explain(repository, name, &error)),
        }
    }

    /// Whether anything answers at the endpoint, asked once and remembered; a hub that did not answer is asked again after
    /// a few minutes.
    fn answers(&self) -> bool {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        match *answer {
            Some((_, true)) => true,
            Some((asked, false)) if asked.elapsed() < UNREACHABLE_FOR => false,
            _ => {
                let agent: Agent = Agent::config_builder()
                    .timeout_global(Some(ANSWER_LIMIT))
                    .http_status_as_error(false)
                    .max_redirects(0)
                    .build()
                    .into();
                let reply = agent.head(&self.endpoint).call();
                if let Err(error) = &reply {
                    tracing::info!(endpoint = self.endpoint, %error, "the model hub does not answer");
                }
                *answer = Some((Instant::now(), reply.is_ok()));
                reply.is_ok()
            }
        }
    }

    /// Runs the download on its own thread, which is left behind when the caller cancels or nothing comes any more.
    fn download(
        &self,
        repo: Repo,
        name: &str,
        meter: &mut Meter<'_>,
    ) -> Result<std::result::Result<PathBuf, ApiError>> {
        let api = ApiBuilder::from_cache(self.cache.clone())
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_progress(false)
            .build();
        let api = match api {
            Ok(api) => api,
            Err(error) => return Ok(Err(error)),
        };
        let (sender, events) = mpsc::channel();
        let (cache, file) = (self.cache.clone(), name.to_owned());
        let worker = move || {
            let result = download_file(&api, &cache, repo, &file, sender.clone());
            // Nobody listens any more when the caller has given up.
            drop(sender.send(Event::Done(result)));
        };
        std::thread::Builder::new()
            .name("hub download".into())
            .spawn(worker)
            .map_err(|error| Error::Machine(format!("cannot start a thread for a download: {error}")))?;
        let mut done = 0;
        let mut last = Instant::now();
        loop {
            match events.recv_timeout(POLL) {
                Ok(Event::Total(total)) => meter.expect(total),
                Ok(Event::More(count)) => done += count,
                Ok(Event::Done(result)) => return Ok(result),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Error::Weights(format!("the hub sent something unexpected for `{name}`; try again")));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if last.elapsed() > STALL_LIMIT {
                        return Err(Error::Weights(format!(
                            "the hub stopped sending `{name}`; run it again to go on from where it stopped"
                        )));
                    }
                    meter.at(done)?;
                    continue;
                }
            }
            last = Instant::now();
            meter.at(done)?;
        }
    }

    fn explain(&self, repository: &str, name: &str, error: &ApiError) -> Error {
        let status = match error {
            ApiError::RequestError(error) => match **error {
                ureq::Error::StatusCode(status) => Some(status),
                _ => None,
            },
            _ => None,
        };
        match (status, error) {
            (Some(401 | 403), _) => Error::Weights(format!(
                "the hub does not let `{repository}` be read (it does not exist, or it is gated or private); check the name, accept its terms on its hub page and set HF_TOKEN"
            )),
            (Some(status), _) => {
                Error::Weights(format!("the hub answered `{repository}` {name} with status {status}; try again later"))
            }
            (None, ApiError::IoError(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
                Error::Machine(format!(
                    "cannot write to the hub's cache `{}`: the disk is full; free some space, or choose another folder with HF_HOME",
                    self.cache.path().display()
                ))
            }
            (None, ApiError::IoError(error)) => Error::Weights(format!(
                "`{repository}` {name} could not be stored in the hub's cache `{}` ({error}); choose another folder with HF_HOME, or run it again to go on from where it stopped",
                self.cache.path().display()
            )),
            (None, error) => Error::Weights(format!(
                "`{repository}` {name} could not be fetched from the hub ({error}); run it again to go on from where it stopped"
            )),
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hub").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

fn repo(repository: &str, revision: &str) -> Repo {
    Repo::with_revision(repository.into(), RepoType::Model, revision.into())
}

fn download_file(
    api: &Api,
    cache: &Cache,
    repo: Repo,
    name: &str,
    sender: mpsc::Sender<Event>,
) -> std::result::Result<PathBuf, ApiError> {
    let files = api.repo(repo.clone());
    let metadata = api.metadata(&files.url(name))?;
    // A part that is already as long as the file, left by a process that died before the rename, would make the server
    // refuse the request for the rest.
    let part = cache.repo(repo).blob_path(metadata.etag()).with_extension("part");
    if std::fs::metadata(&part).is_ok_and(|part| part.len() >= metadata.size() as u64) {
        std::fs::remove_file(&part)?;
    }
    let path = files.download_with_progress(name, Reporter { sender })?;
    if std::fs::metadata(&path)?.len() != metadata.size() as u64 {
        discard(&path);
        return Err(ApiError::InvalidResume);
    }
    Ok(path)
}

/// Checks a file of the hub's cache against the name of its blob, which is its sha256 for large files.
fn checked(path: PathBuf, watch: &Watch<'_>) -> Result<HubFile> {
    let blob = path.canonicalize().ok();
    let name = blob.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(HubFile { path, sha256: None });
    }
    let sha256 = sha256_of(&path, watch)?;
    if sha256 != name {
        return Err(Error::Weights(format!(
            "`{}` has not the checksum that the hub announced; try again",
            path.display()
        )));
    }
    Ok(HubFile { path, sha256: Some(sha256) })
}

/// Removes a broken file from the hub's cache, so that the next fetch starts anew.
fn discard(path: &Path) {
    let blob = path.canonicalize().and_then(std::fs::remove_file);
    let link = std::fs::remove_file(path);
    tracing::debug!(?blob, ?link, "removed a broken file from the hub's cache");
}

struct Reporter {
    sender: mpsc::Sender<Event>,
}

impl Progress for Reporter {
    fn init(&mut self, size: usize, _: &str) {
        drop(self.sender.send(Event::Total(size as u64)));
    }

    fn update(&mut self, size: usize) {
        drop(self.sender.send(Event::More(size as u64)));
    }

    fn finish(&mut self) {}
}
