//! Where results go: files named after their input, whole or not at all.

use std::{
    collections::HashMap,
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
}

impl Output {
    /// Plans the files of all inputs, so that two inputs never write the same one.
    ///
    /// # Errors
    /// [`Error::Request`] when two inputs have the same name, [`Error::Machine`] when the folder cannot be made.
    pub fn plan(inputs: &[PathBuf], formats: Vec<Format>, folder: PathBuf) -> Result<Self> {
        let mut output = Self { formats, folder, stems: HashMap::new() };
        if output.formats.is_empty() {
            return Ok(output);
        }
        std::fs::create_dir_all(&output.folder).map_err(|reason| {
            Error::Machine(format!(
                "the output folder {} cannot be made ({reason}); choose another with --output-dir",
                output.folder.display()
            ))
        })?;
        let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut taken: HashMap<String, &PathBuf> = HashMap::new();
        for input in inputs {
            let shared = inputs.iter().filter(|other| *other != input && stem(other) == stem(input)).count() > 0;
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
        Ok(output)
    }

    /// Writes all formats of one input and returns the paths.
    ///
    /// # Errors
    /// [`Error::Machine`] when a file cannot be written; none is left half-written.
    pub fn write(&self, input: &Path, transcript: &Transcript) -> Result<Vec<PathBuf>> {
        let Some(stem) = self.stems.get(input) else { return Ok(Vec::new()) };
        let mut written = Vec::new();
        for &format in &self.formats {
            let path = self.folder.join(format!("{stem}.{}", format.extension()));
            formats::write_atomic(&path, &formats::render(format, transcript, stem))?;
            written.push(path);
        }
        Ok(written)
    }
}
