//! From operating-system errors to sentences that name the file and the remedy.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use crate::error::Error;

/// The error for a failed file operation: `doing` says what was tried, for instance "write".
pub(super) fn file_error(doing: &str, path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Machine(format!(
            "cannot {doing} `{path}`: the disk is full; free some space, or choose another cache folder with --cache-dir or PALABRA_CACHE"
        )),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Error::Machine(format!(
            "cannot {doing} `{path}`: {}; choose a cache folder you may write to with --cache-dir or PALABRA_CACHE",
            if error.kind() == ErrorKind::PermissionDenied {
                "permission denied"
            } else {
                "the file system is read-only"
            }
        )),
        ErrorKind::NotADirectory => Error::Machine(format!(
            "cannot {doing} `{path}`: a part of this path is no folder; choose another cache folder with --cache-dir or PALABRA_CACHE"
        )),
        _ => Error::Machine(format!("cannot {doing} `{path}`: {error}")),
    }
}
