//! Joins a checkpoint that the hub keeps in several safetensors files into one.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::tensor_file::{self, Entry};
use crate::{
    error::{Error, Result},
    weights::failure::file_error,
};

/// The index's file name.
pub(in crate::weights) const INDEX: &str = "model.safetensors.index.json";

/// A header longer than this is not a header.
const LONGEST_HEADER: u64 = 100 << 20;

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Slot {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// The shards that an index names, each a plain file name.
///
/// # Errors
/// [`Error::Weights`] when the index is not one, or names a file outside its folder.
pub(in crate::weights) fn names(index: &Path) -> Result<Vec<String>> {
    let unfit = |reason: String| Error::Weights(format!("`{}` is not an index of shards: {reason}", index.display()));
    let text = std::fs::read(index).map_err(|error| file_error("read", index, &error))?;
    let parsed: Index = serde_json::from_slice(&text).map_err(|error| unfit(error.to_string()))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    match names
        .iter()
        .find(|name| name.starts_with('.') || name.contains(['/', '\\']) || !name.ends_with(".safetensors"))
    {
        Some(name) => Err(unfit(format!("`{name}` is not a plain file name"))),
        None => Ok(names.into_iter().collect()),
    }
}

/// Writes every tensor of the index's shards to `destination`.
///
/// # Errors
/// [`Error::Weights`] when a shard is not a safetensors file; [`Error::Machine`] when a file cannot be read or written.
pub(super) fn join(index: &Path, destination: &Path) -> Result<()> {
    let folder = index.parent().unwrap_or(Path::new("."));
    let mut entries = Vec::new();
    let mut places: Vec<(PathBuf, u64)> = Vec::new();
    for name in names(index)? {
        let path = folder.join(name);
        for (entry, offset) in read_shard(&path)? {
            entries.push(entry);
            places.push((path.clone(), offset));
        }
    }
    tensor_file::write(destination, &entries, |position, output| {
        let (path, offset) = &places[position];
        let failed = |error: std::io::Error| file_error("read", path, &error);
        let mut file = File::open(path).map_err(failed)?;
        file.seek(SeekFrom::Start(*offset)).map_err(failed)?;
        tensor_file::copy(&mut file.take(entries[position].bytes), output, path, destination)
    })
}

/// The tensors of one shard and where their bytes start.
fn read_shard(path: &Path) -> Result<Vec<(Entry, u64)>> {
    let unfit = |reason: &str| Error::Weights(format!("`{}` is not a safetensors file: {reason}", path.display()));
    let failed = |error: std::io::Error| file_error("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut reader = BufReader::new(file);
    let mut size = [0; 8];
    reader.read_exact(&mut size).map_err(|_| unfit("it is truncated"))?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST_HEADER || size + 8 > length {
        return Err(unfit("its header does not fit"));
    }
    let mut text = vec![0; size as usize];
    reader.read_exact(&mut text).map_err(|_| unfit("it is truncated"))?;
    let header: Map<String, Value> = serde_json::from_slice(&text).map_err(|_| unfit("its header is not JSON"))?;
    let data = size + 8;
    let mut tensors = Vec::new();
    for (name, value) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let slot: Slot = serde_json::from_value(value).map_err(|_| unfit("its header does not describe tensors"))?;
        let (start, end) = slot.data_offsets;
        let bytes =
            end.checked_sub(start).filter(|_| end <= length - data).ok_or_else(|| unfit("a tensor lies outside"))?;
        tensors.push((Entry { name, dtype: slot.dtype, shape: slot.shape, bytes }, data + start));
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(folder: &Path, file: &str, tensor: &str, bytes: &[u8]) {
        let entry =
            Entry { name: tensor.into(), dtype: "U8".into(), shape: vec![bytes.len()], bytes: bytes.len() as u64 };
        tensor_file::write(&folder.join(file), &[entry], |_, output| {
            output.write_all(bytes).map_err(|error| Error::Bug(error.to_string()))
        })
        .expect("a shard");
    }

    #[test]
    fn shards_become_one_file() {
        let folder = tempfile::tempdir().expect("a folder");
        shard(folder.path(), "one.safetensors", "a", &[1, 2, 3]);
        shard(folder.path(), "two.safetensors", "b", &[4, 5]);
        let index = folder.path().join(INDEX);
        std::fs::write(&index, r#"{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"#).expect("an index");
        let joined = folder.path().join("model.safetensors");
        join(&index, &joined).expect("joined");
        let bytes = std::fs::read(&joined).expect("read");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
        assert_eq!(file.tensor("a").expect("a").data(), [1, 2, 3]);
        assert_eq!(file.tensor("b").expect("b").data(), [4, 5]);
    }

    #[test]
    fn hostile_shards_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = folder.path().join(INDEX);
        std::fs::write(&index, r#"{"weight_map":{"a":"../one.safetensors"}}"#).expect("an index");
        assert!(matches!(names(&index), Err(Error::Weights(_))));
        std::fs::write(&index, r#"{"weight_map":{"a":"one.safetensors"}}"#).expect("an index");
        let joined = folder.path().join("model.safetensors");
        let headers = [
            r#"{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}"#,
            r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[2,1]}}"#,
            "{",
        ];
        let lying_lengths = [u64::MAX, 1 << 40];
        let files = headers
            .iter()
            .map(|header| (header.len() as u64, *header))
            .chain(lying_lengths.map(|length| (length, "{}")));
        for (length, header) in files {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.extend_from_slice(header.as_bytes());
            std::fs::write(folder.path().join("one.safetensors"), bytes).expect("a file");
            assert!(matches!(join(&index, &joined), Err(Error::Weights(_))), "{header}");
        }
    }
}
