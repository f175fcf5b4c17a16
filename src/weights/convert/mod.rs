//! From the formats in which models are published to the one that Palabra reads: safetensors with the hub's names.

mod ctranslate2;
mod onnx;
mod pytorch;
mod tensor_file;
mod tokenizer;
mod whisper;

use std::path::Path;

use super::{failure::file_error, manifest::Converter};
use crate::error::Result;

/// Turns the files in `source` into a model folder at `destination`, which exists and is empty. Files that the converter
/// does not consume are moved as they are.
///
/// # Errors
/// As the converters: [`crate::Error::Weights`] for files that are not what they should be, [`crate::Error::Machine`]
/// for failed file operations.
pub(super) fn convert(
    converter: Option<Converter>,
    key: Option<&str>,
    source: &Path,
    destination: &Path,
) -> Result<()> {
    match converter {
        Some(Converter::Ctranslate2) => whisper::convert(source, destination),
        Some(Converter::Pytorch) => {
            let checkpoint = source.join("pytorch_model.bin");
            pytorch::convert(&checkpoint, &destination.join("model.safetensors"), key, |_| true)?;
            move_files(source, destination, "pytorch_model.bin")
        }
        Some(Converter::Onnx) => {
            onnx::convert(
                &source.join("model.onnx"),
                &destination.join("model.safetensors"),
                key.unwrap_or_default(),
            )?;
            move_files(source, destination, "model.onnx")
        }
        None => move_files(source, destination, ""),
    }
}

fn move_files(source: &Path, destination: &Path, except: &str) -> Result<()> {
    for entry in std::fs::read_dir(source).map_err(|error| file_error("read", source, &error))? {
        let entry = entry.map_err(|error| file_error("read", source, &error))?;
        if entry.file_name() != except {
            let to = destination.join(entry.file_name());
            std::fs::rename(entry.path(), &to).map_err(|error| file_error("write", &to, &error))?;
        }
    }
    Ok(())
}
