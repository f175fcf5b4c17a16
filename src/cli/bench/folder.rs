//! The recordings of a folder and their references: pairs of files, or what a manifest names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use palabra::{
    Error, Result,
    evaluation::{SpeakerTurn, Statement, rttm, seglst},
};
use serde::Deserialize;
use serde_json::Value;

/// A recording whose truth is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// What it is called; no other is called the same.
    pub id: String,
    /// The set that it is counted in.
    pub set: String,
    /// The recording.
    pub audio: PathBuf,
    /// Who speaks when.
    pub rttm: PathBuf,
    /// Who says what, where that is known.
    pub words: Option<Words>,
}

/// Where the words of a reference are.
#[derive(Debug, Clone, PartialEq)]
pub enum Words {
    /// In a file of SegLST.
    File(PathBuf),
    /// In the manifest.
    Segments(Value),
}

/// What is true of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Who speaks when.
    pub turns: Vec<SpeakerTurn>,
    /// Who says what, where it was asked for and is known.
    pub statements: Option<Vec<Statement>>,
}

/// The recordings of a folder.
#[derive(Debug, PartialEq)]
pub struct Folder {
    /// Those with a reference, in the order of the manifest or of their names.
    pub recordings: Vec<Recording>,
    /// References without a recording.
    pub lonely: Vec<String>,
}

const MANIFEST: &str = "manifest.jsonl";
/// Endings of files that may lie beside a recording and hold text.
const TEXTS: [&str; 15] =
    ["rttm", "json", "jsonl", "txt", "uem", "stm", "ctm", "lab", "srt", "vtt", "tsv", "csv", "textgrid", "eaf", "md"];

/// The recordings of `folder` with a reference; with `sets` only those of these sets.
///
/// # Errors
/// [`Error::Request`] where there is no such folder, nothing in it to measure, a set that is not there, a line of the
/// manifest that cannot be read, or a name that two recordings share.
pub fn find(folder: &Path, sets: &[String]) -> Result<Folder> {
    if !folder.is_dir() {
        let what = if folder.exists() { "is no folder" } else { "is not there" };
        return Err(Error::Request(format!(
            "{} {what}; name a folder of recordings with references",
            folder.display()
        )));
    }
    let manifest = folder.join(MANIFEST);
    let mut found = if manifest.is_file() { of_manifest(folder, &manifest)? } else { of_pairs(folder)? };
    if found.recordings.is_empty() {
        return Err(Error::Request(format!(
            "{} holds no recording with a reference; it needs pairs such as talk.wav and talk.rttm, or {MANIFEST} (see --help)",
            folder.display()
        )));
    }
    let known: BTreeSet<String> = found.recordings.iter().map(|recording| recording.set.clone()).collect();
    if let Some(set) = sets.iter().find(|set| !known.contains(*set)) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Error::Request(format!("--sets names `{set}`, which is not there; there are {known}")));
    }
    found.recordings.retain(|recording| sets.is_empty() || sets.contains(&recording.set));
    let mut ids = BTreeSet::new();
    match found.recordings.iter().find(|recording| !ids.insert(&recording.id)) {
        Some(recording) => Err(Error::Request(format!("two recordings are called {}; rename one", recording.id))),
        None => Ok(found),
    }
}

#[derive(Deserialize)]
struct Row {
    id: Option<String>,
    path: PathBuf,
    set: Option<String>,
    rttm: Option<PathBuf>,
    rttm_words: Option<PathBuf>,
    segments: Option<Value>,
}

/// The recordings of the manifest that have turns.
fn of_manifest(folder: &Path, manifest: &Path) -> Result<Folder> {
    let lines = text_of(manifest)?;
    let mut recordings = Vec::new();
    for (index, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row: Row = serde_json::from_str(line).map_err(|reason| {
            Error::Request(format!("line {} of {} cannot be read ({reason})", index + 1, manifest.display()))
        })?;
        let Some(rttm) = row.rttm_words.or(row.rttm) else { continue };
        let id = row.id.unwrap_or_else(|| stem_of(&row.path));
        // Files are named after it.
        if Path::new(&id).file_name() != Some(id.as_ref()) {
            let place = format!("line {} of {}", index + 1, manifest.display());
            return Err(Error::Request(format!("{place} has the id `{id}`, which cannot be the name of a file")));
        }
        recordings.push(Recording {
            id,
            set: row.set.unwrap_or_else(|| name_of(folder)),
            audio: folder.join(row.path),
            rttm: folder.join(rttm),
            words: row.segments.map(Words::Segments),
        });
    }
    Ok(Folder { recordings, lonely: Vec::new() })
}

/// The recordings that have a file of turns beside them.
fn of_pairs(folder: &Path) -> Result<Folder> {
    let unreadable = |reason| Error::Request(format!("{} cannot be listed ({reason})", folder.display()));
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let files: BTreeSet<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    let extension = |path: &Path| path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let mut audio: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in files.iter().filter(|path| !TEXTS.contains(&extension(path).as_str())) {
        audio.entry(stem_of(path)).or_default().push(path.clone());
    }
    let mut found = Folder { recordings: Vec::new(), lonely: Vec::new() };
    for rttm in files.iter().filter(|path| extension(path) == "rttm") {
        let id = stem_of(rttm);
        match audio.remove(&id).unwrap_or_default().as_slice() {
            [] => found.lonely.push(id),
            [audio] => {
                let words = folder.join(format!("{id}.seglst.json"));
                let words = words.is_file().then_some(Words::File(words));
                let (audio, rttm, set) = (audio.clone(), rttm.clone(), name_of(folder));
                found.recordings.push(Recording { id, set, audio, rttm, words });
            }
            [one, other, ..] => {
                return Err(Error::Request(format!(
                    "{} and {} would both belong to {}; move one of them elsewhere",
                    one.display(),
                    other.display(),
                    rttm.display()
                )));
            }
        }
    }
    Ok(found)
}

impl Recording {
    /// The files of its reference.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let words = match &self.words {
            Some(Words::File(path)) => Some(path.as_path()),
            Some(Words::Segments(_)) | None => None,
        };
        [self.rttm.as_path()].into_iter().chain(words)
    }

    /// Reads what is true of the recording; its words only when `wanted`.
    ///
    /// # Errors
    /// [`Error::Audio`] naming the file that cannot be read, and the place.
    pub fn reference(&self, wanted: bool) -> Result<Reference> {
        let naming = |path: &Path| {
            let name = path.display().to_string();
            move |error: Error| Error::Audio(format!("{name}: {error}"))
        };
        let turns = rttm::turns_of(&self.id, &text_of(&self.rttm)?).map_err(naming(&self.rttm))?;
        let statements = match self.words.as_ref().filter(|_| wanted) {
            None => None,
            Some(Words::File(path)) => Some(seglst::statements_of(&self.id, &text_of(path)?).map_err(naming(path))?),
            Some(Words::Segments(segments)) => {
                let place = PathBuf::from(format!("segments of {} in {MANIFEST}", self.id));
                Some(seglst::statements_of(&self.id, &segments.to_string()).map_err(naming(&place))?)
            }
        };
        Ok(Reference { turns, statements })
    }
}

fn text_of(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|reason| Error::Audio(format!("{} cannot be read ({})", path.display(), explained(&reason))))
}

fn explained(reason: &std::io::Error) -> String {
    match reason.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "no permission".into(),
        std::io::ErrorKind::InvalidData => "it is no UTF-8 text".into(),
        _ => reason.to_string(),
    }
}

fn stem_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The last part of the folder's path.
fn name_of(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    whole.file_name().map_or_else(|| "all".into(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "SPEAKER talk 1 0.5 1.0 <NA> <NA> anna <NA> <NA>\n";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn ids(found: &Folder) -> Vec<&str> {
        found.recordings.iter().map(|recording| recording.id.as_str()).collect()
    }

    fn refused(folder: &tempfile::TempDir, sets: &[&str]) -> String {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        find(folder.path(), &sets).unwrap_err().to_string()
    }

    #[test]
    fn pairs_are_found_by_name() {
        let words = r#"[{"speaker": "anna", "start_time": 0.5, "end_time": 1.5, "words": "so"}]"#;
        let files = [
            ("b.wav", ""),
            ("b.rttm", LINE),
            ("a.FLAC", ""),
            ("a.rttm", LINE),
            ("a.seglst.json", words),
            ("a.txt", ""),
            ("c.rttm", LINE),
            ("d.mp3", ""),
        ];
        let folder = folder(&files);
        let found = find(folder.path(), &[]).unwrap();
        assert_eq!((ids(&found), &found.lonely), (vec!["a", "b"], &vec!["c".to_owned()]));
        let first = &found.recordings[0];
        assert_eq!(first.audio, folder.path().join("a.FLAC"));
        assert_eq!(first.files().count(), 2);
        let reference = first.reference(true).unwrap();
        assert_eq!((reference.turns.len(), reference.statements.map(|said| said.len())), (1, Some(1)));
        assert_eq!(first.reference(false).unwrap().statements, None);
        assert_eq!(found.recordings[1].reference(true).unwrap().statements, None);
    }

    #[test]
    fn a_manifest_names_recordings_sets_and_references() {
        let manifest = r#"{"id": "one", "path": "audio/x.wav", "rttm": "loose.rttm", "rttm_words": "tight.rttm", "set": "far"}

            {"path": "audio/two.wav", "rttm": "two.rttm", "segments": [{"speaker": "a", "start": 0, "end": 1, "text": "so"}]}
            {"path": "audio/three.wav", "rttm": null}"#;
        let folder = folder(&[("manifest.jsonl", manifest), ("tight.rttm", LINE)]);
        let found = find(folder.path(), &[]).unwrap();
        assert_eq!(ids(&found), ["one", "two"]);
        assert_eq!(found.recordings[0].rttm, folder.path().join("tight.rttm"));
        assert_eq!(found.recordings[0].set, "far");
        let missing = found.recordings[1].reference(true).unwrap_err().to_string();
        assert!(missing.ends_with("two.rttm cannot be read (there is no such file)"), "{missing}");
        assert_eq!(ids(&find(folder.path(), &["far".into()]).unwrap()), ["one"]);
        let unknown = refused(&folder, &["far", "near"]);
        assert!(unknown.starts_with("--sets names `near`") && unknown.contains("far"), "{unknown}");
    }

    #[test]
    fn folders_that_cannot_be_measured_are_refused() {
        assert!(refused(&folder(&[]), &[]).contains("holds no recording with a reference"));
        assert!(refused(&folder(&[("a.wav", ""), ("b.rttm", "")]), &[]).contains("talk.wav and talk.rttm"));
        assert!(
            refused(&folder(&[("a.wav", ""), ("a.mp3", ""), ("a.rttm", "")]), &[]).contains("would both belong to")
        );
        assert!(refused(&folder(&[("manifest.jsonl", "\n{}")]), &[]).starts_with("line 2 of "));
        let row = r#"{"id": "../x", "path": "x.wav", "rttm": "x.rttm"}"#;
        assert!(refused(&folder(&[("manifest.jsonl", row)]), &[]).contains("the id `../x`"));
        let row = r#"{"path": "x.wav", "rttm": "x.rttm"}"#;
        assert!(
            refused(&folder(&[("manifest.jsonl", &format!("{row}\n{row}"))]), &[])
                .contains("two recordings are called x")
        );
        let missing = find(Path::new("no/such/folder"), &[]).unwrap_err().to_string();
        assert!(missing.starts_with("no/such/folder is not there"), "{missing}");
    }

    #[test]
    fn a_reference_that_cannot_be_read_is_named() {
        let folder = folder(&[("a.wav", ""), ("a.rttm", "SPEAKER a 1 x 1 <NA> <NA> anna")]);
        let error = find(folder.path(), &[]).unwrap().recordings[0].reference(false).unwrap_err();
        assert!(error.to_string().contains("a.rttm: line 1 has the start `x`"), "{error}");
    }
}
