//! Checkpoints in int8, made once and kept in the cache: the next start reads a file of half the size and quantizes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use candle_core::safetensors::MmapedSafetensors;

use super::load;
use crate::{
    device::Compute,
    error::{Error, Result, sentence},
    models::whisper::int8_tensors,
    stages::transcribe::Transcriber,
    weights::Store,
};

/// Loads a Whisper checkpoint as [`load::transcriber`] does; where it computes in int8, from the form kept in the cache, which
/// is made now where there is none. What cannot be kept or read there costs time, not the request.
///
/// # Errors
/// As [`load::transcriber`].
pub(super) fn transcriber(store: &Store, folder: &Path, compute: &Compute) -> Result<Transcriber> {
    if !compute.is_int8() {
        return load::transcriber(folder, compute);
    }
    let file = match kept(store, folder) {
        Ok(file) => file,
        Err(reason) => {
            let transcriber = load::transcriber(folder, compute)?;
            tracing::warn!("every start quantizes this model anew, since its int8 form cannot be kept: {reason}");
            return Ok(transcriber);
        }
    };
    load::transcriber_of(folder, &file, compute).or_else(|reason| {
        let removed = fs::remove_file(&file);
        let transcriber = load::transcriber(folder, compute)?;
        tracing::warn!(?removed, file = %file.display(), "the kept int8 form could not be used: {reason}");
        Ok(transcriber)
    })
}

/// The int8 form of the checkpoint in `folder`, which is there when this returns.
fn kept(store: &Store, folder: &Path) -> Result<PathBuf> {
    let file = store.int8_file(folder)?;
    if file.is_file() {
        return Ok(file);
    }
    let failed =
        |reason: &dyn std::fmt::Display| Error::Machine(format!("{} cannot be written ({reason})", file.display()));
    // SAFETY: mapped, not copied; files of the cache are never changed in place.
    let checkpoint = unsafe { MmapedSafetensors::new(folder.join("model.safetensors")) };
    let tensors =
        checkpoint.and_then(|checkpoint| int8_tensors(&checkpoint)).map_err(|reason| failed(&sentence(&reason)))?;
    let parent = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|reason| failed(&reason))?;
    // Written under another name first: two processes may do this at once, and either may be stopped.
    let mut builder = tempfile::Builder::new();
    builder.prefix(".int8-");
    // As readable as the user's other files: a cache may serve several users.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let written = builder.tempfile_in(parent).map_err(|reason| failed(&reason))?;
    let permissions = written.as_file().metadata().map_err(|reason| failed(&reason))?.permissions();
    candle_core::safetensors::save(&tensors, written.path()).map_err(|reason| failed(&sentence(&reason)))?;
    // Saving replaces the file by one that only its owner may read.
    fs::set_permissions(written.path(), permissions).map_err(|reason| failed(&reason))?;
    written.persist(&file).map_err(|reason| failed(&reason.error))?;
    store.remove_older_int8(&file);
    Ok(file)
}
