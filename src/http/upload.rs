//! A file of a request on its way to a temporary file that is gone whatever happens.
//!
//! On Linux the temporary file has no name from its first byte on and is reached through `/proc/self/fd`, so that
//! nothing is left behind even when the process is killed. Elsewhere, and where `/proc` is missing, it has a name and is
//! deleted when the last owner drops it.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use actix_web::{
    http::StatusCode,
    web::{self, Bytes},
};
use tempfile::{NamedTempFile, TempPath};

use super::failure::Failure;

/// Bytes held in memory before they are written: few trips to a blocking thread, little memory per upload.
const BLOCK: usize = 256 << 10;

/// A file that was received whole.
#[derive(Debug)]
pub struct Upload {
    /// The name that the client gave it, without any folder; for messages alone, never for a path.
    pub name: Option<String>,
    /// Its length.
    pub bytes: u64,
    path: PathBuf,
    /// Keeps the content alive.
    _file: File,
    /// Deletes a file that has a name.
    _named: Option<TempPath>,
}

impl Upload {
    /// A file in `folder` that `fill` writes and tells name and length of. Blocks.
    ///
    /// # Errors
    /// What `fill` gives; 503, or 507 when the disk is full.
    pub(super) fn filled(
        folder: &Path,
        fill: impl FnOnce(&mut File) -> Result<(Option<String>, u64), Failure>,
    ) -> Result<Self, Failure> {
        let (mut file, named, path) = temporary(folder).map_err(|reason| unstorable(&reason))?;
        let (name, bytes) = fill(&mut file)?;
        Ok(Self { name: name.as_deref().and_then(bare), bytes, path, _file: file, _named: named })
    }

    /// Where it can be read, as long as this value lives.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file that is being received.
pub(super) struct Incoming {
    file: Option<File>,
    named: Option<TempPath>,
    path: PathBuf,
    buffer: Vec<u8>,
    bytes: u64,
}

impl Incoming {
    /// An empty file in `folder`.
    pub(super) async fn create(folder: PathBuf) -> Result<Self, Failure> {
        let (file, named, path) = blocking(move || temporary(&folder)).await?;
        Ok(Self { file: Some(file), named, path, buffer: Vec::new(), bytes: 0 })
    }

    /// Adds what arrived.
    pub(super) async fn push(&mut self, chunk: &Bytes) -> Result<(), Failure> {
        self.bytes += chunk.len() as u64;
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() >= BLOCK { self.write().await } else { Ok(()) }
    }

    /// Everything has arrived.
    pub(super) async fn finish(mut self, name: Option<&str>) -> Result<Upload, Failure> {
        if !self.buffer.is_empty() {
            self.write().await?;
        }
        let file = self.file.take().ok_or_else(Failure::internal)?;
        Ok(Upload { name: name.and_then(bare), bytes: self.bytes, path: self.path, _file: file, _named: self.named })
    }

    async fn write(&mut self) -> Result<(), Failure> {
        let mut file = self.file.take().ok_or_else(Failure::internal)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let written = blocking(move || {
            file.write_all(&buffer)?;
            buffer.clear();
            Ok((file, buffer))
        });
        let (file, buffer) = written.await?;
        self.file = Some(file);
        self.buffer = buffer;
        Ok(())
    }
}

/// Runs file work where it may wait for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Failure> {
    match web::block(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(reason)) => Err(unstorable(&reason)),
        Err(_) => Err(Failure::internal()),
    }
}

/// What a caller is told when a file cannot be written.
pub(super) fn unstorable(reason: &io::Error) -> Failure {
    tracing::error!("an upload cannot be stored: {reason}");
    match reason.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Failure::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "the server's disk is full and cannot hold this upload; tell its operator",
        ),
        _ => Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server cannot store uploads; tell its operator to check the temporary folder",
        ),
    }
}

fn temporary(folder: &Path) -> io::Result<(File, Option<TempPath>, PathBuf)> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let file = tempfile::tempfile_in(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        if File::open(&path).is_ok() {
            return Ok((file, None, path));
        }
    }
    let (file, path) = NamedTempFile::with_prefix_in("palabra-", folder)?.into_parts();
    let place = path.to_path_buf();
    Ok((file, Some(path), place))
}

/// The last part of a name, however a client wrote a path into it.
fn bare(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|letter| !letter.is_control()).take(255).collect();
    (!clean.is_empty() && clean != "." && clean != "..").then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_only_the_name_is_kept() {
        for (name, kept) in [
            ("a.wav", Some("a.wav")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\x\\b.mp3", Some("b.mp3")),
            ("a/..", None),
            ("", None),
        ] {
            assert_eq!(bare(name).as_deref(), kept, "{name}");
        }
    }

    #[test]
    fn a_temporary_file_can_be_read_by_path_and_leaves_nothing() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (mut file, named, path) = temporary(folder.path())?;
        file.write_all(b"sound")?;
        assert_eq!(std::fs::read(&path)?, b"sound");
        drop((file, named));
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
        Ok(())
    }
}
