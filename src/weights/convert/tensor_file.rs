//! Writes a safetensors file as a stream: the header first, then one tensor after the other, so that a checkpoint of
//! gigabytes never lies in memory. Format: u64 little-endian header length, JSON header, data.

use std::{
    fs::File,
    io::{BufWriter, Read, Write},
    path::Path,
};

use serde_json::{Map, Value, json};

use crate::{
    error::{Error, Result},
    weights::failure::file_error,
};

/// One tensor to write: name, element type as safetensors spells it, shape, length in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name.
    pub(super) name: String,
    /// `F16`, `F32`, `BF16`, ...
    pub(super) dtype: String,
    /// Its dimensions.
    pub(super) shape: Vec<usize>,
    /// Its length in bytes.
    pub(super) bytes: u64,
}

/// Writes `entries` to `path`; `data` writes the bytes of the tensor at an index, exactly as many as its entry says.
///
/// # Errors
/// [`Error::Machine`] when the file cannot be written, and what `data` gives.
pub(super) fn write(
    path: &Path,
    entries: &[Entry],
    mut data: impl FnMut(usize, &mut dyn Write) -> Result<()>,
) -> Result<()> {
    let failed = |error: std::io::Error| file_error("write", path, &error);
    let mut output = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
    let header = header(entries)?;
    output.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
    output.write_all(&header).map_err(failed)?;
    for (index, entry) in entries.iter().enumerate() {
        let mut counted = Counted { output: &mut output, bytes: 0 };
        data(index, &mut counted)?;
        if counted.bytes != entry.bytes {
            return Err(Error::Bug(format!(
                "the tensor {} has {} bytes, not {}",
                entry.name, counted.bytes, entry.bytes
            )));
        }
    }
    output.flush().map_err(failed)
}

/// Copies a tensor's bytes, and says which of the two files failed.
///
/// # Errors
/// [`Error::Machine`] when either file fails.
pub(super) fn copy(input: &mut impl Read, output: &mut dyn Write, source: &Path, destination: &Path) -> Result<()> {
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = input.read(&mut buffer).map_err(|error| file_error("read", source, &error))?;
        if count == 0 {
            return Ok(());
        }
        output.write_all(&buffer[..count]).map_err(|error| file_error("write", destination, &error))?;
    }
}

/// The header: offsets in the order of `entries`, padded with spaces so that the data starts at a multiple of eight.
fn header(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut start = 0;
    let mut map = Map::new();
    map.insert("__metadata__".into(), json!({ "format": "pt" }));
    for entry in entries {
        let end = start + entry.bytes;
        let value = json!({ "dtype": entry.dtype, "shape": entry.shape, "data_offsets": [start, end] });
        map.insert(entry.name.clone(), value);
        start = end;
    }
    let mut text = serde_json::to_vec(&Value::Object(map)).map_err(|error| Error::Bug(error.to_string()))?;
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok(text)
}

struct Counted<'a, W: Write> {
    output: &'a mut W,
    bytes: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let count = self.output.write(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors");
        let entries = [
            Entry { name: "b".into(), dtype: "F32".into(), shape: vec![2], bytes: 8 },
            Entry { name: "a".into(), dtype: "F16".into(), shape: vec![1, 3], bytes: 6 },
        ];
        let contents: [&[u8]; 2] = [&[0, 0, 128, 63, 0, 0, 0, 64], &[1, 2, 3, 4, 5, 6]];
        write(&path, &entries, |index, output| {
            output.write_all(contents[index]).map_err(|error| Error::Bug(error.to_string()))
        })
        .expect("written");
        let bytes = std::fs::read(&path).expect("read");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
        assert_eq!(file.tensor("b").expect("b").data(), contents[0]);
        assert_eq!(file.tensor("a").expect("a").shape(), [1, 3]);
        assert_eq!(file.tensor("a").expect("a").data(), contents[1]);

        let short =
            write(&path, &entries, |_, output| output.write_all(&[0]).map_err(|error| Error::Bug(error.to_string())));
        assert!(matches!(short, Err(Error::Bug(_))));
    }
}
