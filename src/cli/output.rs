//! Where results go: files named after their input, whole or not at all.

use std::{
    collections::HashMap,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use palabra::{
    Error, Result,
    formats::{self, Format},
    transcript::Transcript,
};

/// Formats and folder of the results.
#[derive(Debug)]
pub struct Output {
    formats: Vec<Format>,
    folder: PathBuf,
    /// File stem of each input; inputs that share a stem keep their extension in it.
    stems: HashMap<PathBuf, String>,
    /// Whether JSON holds the voices of speakers.
    voices: bool,
}

impl Output {
    /// Plans the files of all inputs, so that two inputs never write the same one and none is overwritten, and makes sure
    /// that the folder takes files before hours of work are spent.
    ///
    /// # Errors
    /// [`Error::Request`] when two inputs would write the same file or a result would replace an input,
    /// [`Error::Machine`] when the folder cannot be made or written.
    pub fn plan(inputs: &[PathBuf], formats: Vec<Format>, folder: PathBuf) -> Result<Self> {
        let mut output = Self { formats, folder, stems: HashMap::new(), voices: false };
        if output.is_nothing() {
            return Ok(output);
        }
        let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut taken: HashMap<String, &PathBuf> = HashMap::new();
        for input in inputs {
            let shared = inputs.iter().any(|other| other != input && stem(other) == stem(input));
            let own = if shared { name(input) } else { stem(input) };
            if let Some(other) = taken.insert(own.clone(), input).filter(|other| *other != input) {
                return Err(Error::Request(format!(
                    "{} and {} would write the same files; transcribe them with different --output-dir",
                    other.display(),
                    input.display()
                )));
            }
            output.stems.insert(input.clone(), own);
        }
        output.spare(inputs)?;
        output.open_folder()?;
        Ok(output)
    }

    /// With the voices of speakers in JSON, where they are `wanted`.
    pub fn with_voices(self, wanted: bool) -> Self {
        Self { voices: wanted, ..self }
    }

    /// Whether no file is wanted.
    pub fn is_nothing(&self) -> bool {
        self.formats.is_empty()
    }

    /// Refuses to write over a recording.
    fn spare(&self, inputs: &[PathBuf]) -> Result<()> {
        let sources: Vec<PathBuf> = inputs.iter().filter_map(|input| input.canonicalize().ok()).collect();
        for (input, stem) in &self.stems {
            let paths = self.formats.iter().map(|&format| self.path(stem, format));
            if let Some(path) =
                paths.into_iter().find(|path| path.canonicalize().is_ok_and(|path| sources.contains(&path)))
            {
                return Err(Error::Request(format!(
                    "the transcript of {} would replace the recording {}; choose another folder with --output-dir",
                    input.display(),
                    path.display()
                )));
            }
        }
        Ok(())
    }

    fn open_folder(&self) -> Result<()> {
        let folder = self.folder.display();
        if self.folder.exists() && !self.folder.is_dir() {
            return Err(Error::Machine(format!("{folder} is a file, not a folder; choose another with --output-dir")));
        }
        let refused = |reason: std::io::Error| {
            let reason = match reason.kind() {
                ErrorKind::PermissionDenied => "no permission".to_owned(),
                ErrorKind::ReadOnlyFilesystem => "it is read-only".to_owned(),
                ErrorKind::NotADirectory => "a part of this path is a file".to_owned(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full".to_owned(),
                _ => reason.to_string(),
            };
            Error::Machine(format!(
                "the output folder {folder} cannot be written ({reason}); choose another with --output-dir"
            ))
        };
        std::fs::create_dir_all(&self.folder).map_err(refused)?;
        // A file that has no name and is gone when it is closed.
        tempfile::tempfile_in(&self.folder).map_err(refused)?;
        Ok(())
    }

    fn path(&self, stem: &str, format: Format) -> PathBuf {
        self.folder.join(format!("{stem}.{}", format.extension()))
    }

    /// Writes all formats of one input and returns the paths.
    ///
    /// # Errors
    /// [`Error::Machine`] when a file cannot be written; none is left half-written.
    pub fn write(&self, input: &Path, transcript: &Transcript) -> Result<Vec<PathBuf>> {
        let Some(stem) = self.stems.get(input) else { return Ok(Vec::new()) };
        let mut written = Vec::new();
        for &format in &self.formats {
            let path = self.path(stem, format);
            let text = match format {
                Format::Json if self.voices => formats::render_with_voices(transcript),
                other => formats::render(other, transcript, stem),
            };
            formats::write_atomic(&path, text)?;
            written.push(path);
        }
        Ok(written)
    }
}
