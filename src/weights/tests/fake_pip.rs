//! A shell script that stands for pip: it copies a prepared wheel, counts its calls, or fails as pip does.

use std::{
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::weights::record::hexadecimal;

pub(super) struct FakePip {
    folder: TempDir,
}

impl FakePip {
    /// A `pip` that runs `body` for `pip download`; `$dest` is the folder to write to, `$here` the script's own.
    pub(super) fn new(body: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\nhere=$(dirname \"$0\")\necho call >> \"$here/calls\"\n\
             while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n{body}\n"
        );
        let path = folder.path().join("pip");
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        Self { folder }
    }

    /// A pip that delivers these bytes as the wheel.
    pub(super) fn delivering(wheel: &[u8]) -> Self {
        let pip = Self::new("cp \"$here/wheel\" \"$dest/some-1.0-py3-none-any.whl\"");
        std::fs::write(pip.folder.path().join("wheel"), wheel).expect("a wheel");
        pip
    }

    /// The folder to put on the search path.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// How often it was asked to download.
    pub(super) fn calls(&self) -> usize {
        std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default().lines().count()
    }
}

/// A wheel with one member.
pub(super) fn wheel(member: &str, bytes: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file(member, SimpleFileOptions::default()).expect("a member");
    writer.write_all(bytes).expect("bytes");
    writer.finish().expect("a wheel").into_inner()
}

/// A manifest with one model, `thing`, whose only source is that wheel.
pub(super) fn manifest(wheel: &[u8], member: &str, bytes: &[u8]) -> String {
    let sha256 = |bytes: &[u8]| hexadecimal(&Sha256::digest(bytes));
    format!(
        r#"
        [[wheel]]
        name = "some"
        version = "1.0"
        sha256 = "{}"
        bytes = {}
        [[model]]
        name = "thing"
        aliases = ["it"]
        role = "voice detector"
        licence = "MIT"
        origin = "a test"
        megabytes = 1
        [[model.source]]
        wheels = ["some"]
        files = [{{ wheel = "some", member = "{member}", path = "model.safetensors", bytes = {}, sha256 = "{}" }}]
        "#,
        sha256(wheel),
        wheel.len(),
        bytes.len(),
        sha256(bytes),
    )
}

/// Whether a folder holds nothing, at any depth, but folders.
pub(super) fn is_empty(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return true };
    entries.flatten().all(|entry| entry.path().is_dir() && is_empty(&entry.path()))
}
