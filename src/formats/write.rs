//! Files that are written whole or not at all.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// Writes `contents` to `path`: into a temporary file in the same folder first, which then takes the place of `path` in one
/// step. A link is followed; a file that was there keeps its permissions.
///
/// # Errors
/// [`Error::Machine`] naming the path and the remedy: folder missing, no permission, disk full, not a regular file.
pub fn write_atomic(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    write(path, contents.as_ref()).map_err(|error| Error::Machine(explain(path, &error)))
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let existing = fs::metadata(&target).ok();
    if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
        return Err(io::Error::from(ErrorKind::IsADirectory));
    }
    let mut temporary = temporary_file(&folder_of(&target))?;
    temporary.write_all(contents)?;
    if let Some(existing) = existing {
        if existing.permissions().readonly() {
            return Err(io::Error::from(ErrorKind::PermissionDenied));
        }
        temporary.as_file().set_permissions(existing.permissions())?;
    }
    // Some disks report that they are full only now.
    temporary.as_file().sync_all()?;
    temporary.persist(&target)?;
    Ok(())
}

fn temporary_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".palabra-").suffix(".part");
    // Temporary files are private unless told otherwise; a transcript gets what the user's mask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // The crate wraps errors to name its temporary path; the caller knows another one.
    builder.tempfile_in(folder).map_err(|error| match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    })
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// One sentence with the remedy.
fn explain(path: &Path, error: &io::Error) -> String {
    let (file, folder) = (path.display(), folder_of(path));
    let folder = folder.display();
    match error.kind() {
        ErrorKind::NotFound => {
            format!("cannot write '{file}': the folder '{folder}' does not exist; create it or choose another one")
        }
        ErrorKind::NotADirectory => {
            format!("cannot write '{file}': '{folder}' is not a folder; choose another one")
        }
        ErrorKind::IsADirectory => {
            format!("cannot write '{file}': a folder or device has this name; remove it or choose another name")
        }
        ErrorKind::PermissionDenied => {
            format!("cannot write '{file}': no permission; allow writing in '{folder}' or choose another folder")
        }
        ErrorKind::ReadOnlyFilesystem => {
            format!("cannot write '{file}': '{folder}' is read-only; choose another folder")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("cannot write '{file}': the disk is full; free some space or choose another folder")
        }
        ErrorKind::InvalidFilename => {
            format!("cannot write '{file}': the name is too long or not allowed here; choose a shorter one")
        }
        _ => format!("cannot write '{file}': {error}; check the disk or choose another folder"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    #[test]
    fn a_file_is_written_and_replaced_and_nothing_else_is_left() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("out.txt");
        for contents in ["one", "two two"] {
            assert!(write_atomic(&path, contents).is_ok());
            assert_eq!(fs::read_to_string(&path)?, contents);
        }
        assert_eq!(names(folder.path())?, ["out.txt"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_ne!(
                fs::metadata(&path)?.permissions().mode() & 0o077,
                0,
                "readable by the group as the mask allows"
            );
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
            assert!(write_atomic(&path, "three").is_ok());
            assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o640);
            let link = folder.path().join("link.txt");
            std::os::unix::fs::symlink(&path, &link)?;
            assert!(write_atomic(&link, "four").is_ok());
            assert_eq!(fs::read_to_string(&path)?, "four");
            assert!(fs::symlink_metadata(&link)?.is_symlink());
        }
        Ok(())
    }

    #[test]
    fn what_cannot_be_written_is_named_with_the_remedy() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let message =
            |path: &Path| write_atomic(path, "x").map_err(|error| error.to_string()).err().unwrap_or_default();
        let missing = folder.path().join("missing/out.txt");
        assert!(message(&missing).contains("missing' does not exist; create it"), "{}", message(&missing));
        let taken = folder.path().join("taken.txt");
        fs::create_dir(&taken)?;
        assert!(message(&taken).contains("a folder or device has this name"), "{}", message(&taken));
        let file = folder.path().join("file");
        fs::write(&file, "")?;
        assert!(message(&file.join("out.txt")).contains("is not a folder"), "{}", message(&file.join("out.txt")));
        let long = folder.path().join("x".repeat(300));
        assert!(message(&long).contains("choose a shorter one"), "{}", message(&long));
        fs::set_permissions(&file, {
            let mut permissions = fs::metadata(&file)?.permissions();
            permissions.set_readonly(true);
            permissions
        })?;
        assert!(message(&file).contains("no permission"), "{}", message(&file));
        let mut left = names(folder.path())?;
        left.sort();
        assert_eq!(left, ["file", "taken.txt"]);
        let full = explain(&taken, &io::Error::from(ErrorKind::StorageFull));
        assert!(full.contains("the disk is full; free some space"), "{full}");
        Ok(())
    }
}
