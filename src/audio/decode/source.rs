//! Where the bytes come from: a file on disk, read as needed, or bytes in memory.

use std::{
    fs::File,
    io::{Cursor, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};

use super::Limits;
use crate::error::{Error, Result};

/// Bytes that can be read again from the start.
pub(super) enum Source {
    File(PathBuf),
    Memory(Bytes),
}

/// Shared bytes.
#[derive(Clone)]
pub(super) struct Bytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Source {
    /// A path that can be read and is within the limits. What is no regular file (a pipe) is read into memory.
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
        if metadata.is_dir() {
            return Err(Error::Audio("this is a folder, not a recording; name the files in it".into()));
        }
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        if metadata.is_file() {
            check_bytes(metadata.len(), limits)?;
            return Ok(Self::File(path.to_owned()));
        }
        let mut bytes = Vec::new();
        let most = limits.max_bytes.map_or(u64::MAX, |most| most.saturating_add(1));
        file.take(most).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        Self::memory(bytes, limits)
    }

    /// Bytes within the limits.
    pub(super) fn memory(bytes: Vec<u8>, limits: &Limits) -> Result<Self> {
        check_bytes(bytes.len() as u64, limits)?;
        Ok(Self::Memory(Bytes(Arc::new(bytes))))
    }

    /// A fresh stream from the first byte.
    pub(super) fn stream(&self) -> Result<MediaSourceStream<'static>> {
        let options = MediaSourceStreamOptions::default();
        Ok(match self {
            Self::File(path) => {
                MediaSourceStream::new(Box::new(File::open(path).map_err(|error| unreadable(&error))?), options)
            }
            Self::Memory(bytes) => MediaSourceStream::new(Box::new(Cursor::new(bytes.clone())), options),
        })
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> Result<u64> {
        match self {
            Self::File(path) => Ok(std::fs::metadata(path).map_err(|error| unreadable(&error))?.len()),
            Self::Memory(bytes) => Ok(bytes.as_ref().len() as u64),
        }
    }

    /// Up to `count` bytes from `offset` on; fewer where the source ends.
    pub(super) fn read_at(&self, offset: u64, count: usize) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => {
                let mut file = File::open(path).map_err(|error| unreadable(&error))?;
                let mut bytes = Vec::new();
                file.seek(SeekFrom::Start(offset)).map_err(|error| unreadable(&error))?;
                file.take(count as u64).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
                Ok(bytes)
            }
            Self::Memory(bytes) => {
                let all = bytes.as_ref();
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(all.len());
                Ok(all[start..start.saturating_add(count).min(all.len())].to_vec())
            }
        }
    }
}

fn check_bytes(length: u64, limits: &Limits) -> Result<()> {
    match limits.max_bytes {
        Some(most) if length > most => Err(Error::TooLarge(format!(
            "the file is larger than the limit of {most} bytes; send a shorter or smaller one"
        ))),
        _ => Ok(()),
    }
}

fn unreadable(error: &std::io::Error) -> Error {
    Error::Audio(match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; check the path".into(),
        std::io::ErrorKind::PermissionDenied => "the file may not be read; check its permissions".into(),
        _ => format!("the file cannot be read: {error}"),
    })
}
