//! From the formats in which models are published to the one that Palabra reads: safetensors with the hub's names.

mod ctranslate2;
#[cfg(test)]
pub(super) mod handmade;
mod onnx;
mod pytorch;
pub(super) mod shards;
mod tensor_file;
mod tokenizer;
mod whisper;
mod whisper_settings;

use std::{io::ErrorKind, path::Path};

use serde_json::Value;

use super::{failure::file_error, manifest::Converter};
use crate::error::{Error, Result};

/// The output projection, which Whisper ties to the token embeddings; some checkpoints store it twice.
const TIED_PROJECTION: &str = "proj_out.weight";

/// Files longer than this are linked, not copied, in bytes.
const LINKED_FROM: u64 = 16 << 20;

/// Turns the files in `source` into a model folder at `destination`, which exists and is empty. Files that the converter
/// does not consume come along as they are.
///
/// # Errors
/// As the converters: [`Error::Weights`] for files that are not what they should be, [`Error::Machine`] for failed file
/// operations.
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
            place_others(source, destination, "pytorch_model.bin")
        }
        Some(Converter::Onnx) => {
            onnx::convert(&source.join("model.onnx"), &destination.join("model.safetensors"), key.unwrap_or_default())?;
            place_others(source, destination, "model.onnx")
        }
        None => place_others(source, destination, ""),
    }
}

/// Turns any Whisper checkpoint in `source` (safetensors in one file or in shards, PyTorch, CTranslate2) into a model
/// folder at `destination`, which exists and is empty. `source` is left as it is.
///
/// # Errors
/// As [`convert`]; [`Error::Weights`] when there are no weights, no configuration, no tokenizer, or it is not Whisper.
pub(super) fn whisper_checkpoint(source: &Path, destination: &Path) -> Result<()> {
    if is_ctranslate2(source) {
        return whisper::convert(source, destination);
    }
    check_is_whisper(source)?;
    let finished = destination.join("model.safetensors");
    let single = source.join("model.safetensors");
    let index = source.join(shards::INDEX);
    let pickled = source.join("pytorch_model.bin");
    if single.is_file() {
        place_file(&single, &finished)?;
    } else if index.is_file() {
        shards::join(&index, &finished)?;
    } else if pickled.is_file() {
        pytorch::convert(&pickled, &finished, None, |name| name != TIED_PROJECTION)?;
    } else {
        return Err(Error::Weights(format!(
            "`{}` holds no model.safetensors, pytorch_model.bin or CTranslate2 model.bin; name a folder that does",
            source.display()
        )));
    }
    for name in ["config.json", "generation_config.json", "preprocessor_config.json"] {
        if source.join(name).is_file() {
            place_file(&source.join(name), &destination.join(name))?;
        }
    }
    tokenizer::provide(source, destination)
}

/// Whether the folder is a model that can be loaded as it is.
pub(super) fn is_finished_whisper(folder: &Path) -> bool {
    ["model.safetensors", "config.json", "tokenizer.json"].iter().all(|name| folder.join(name).is_file())
}

/// Whether the folder holds a model that CTranslate2 wrote, and nothing that would need no conversion.
pub(super) fn is_ctranslate2(folder: &Path) -> bool {
    folder.join("model.bin").is_file() && !folder.join("model.safetensors").is_file()
}

/// Checks that `config.json` in the folder is one of a Whisper model.
///
/// # Errors
/// [`Error::Weights`] when it is missing, not JSON, or of another kind of model.
pub(super) fn check_is_whisper(folder: &Path) -> Result<()> {
    let path = folder.join("config.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::Weights(format!(
                "`{}` has no config.json, so it is not a Whisper checkpoint; name a folder or repository that holds one",
                folder.display()
            )));
        }
        Err(error) => return Err(file_error("read", &path, &error)),
    };
    let config: Value = serde_json::from_slice(&text).map_err(|error| {
        Error::Weights(format!("`{}` is not JSON ({error}); fetch the model again", path.display()))
    })?;
    match config.get("model_type").and_then(Value::as_str) {
        Some("whisper") => Ok(()),
        other => Err(Error::Weights(format!(
            "`{}` describes a model of type `{}`, not Whisper; name a Whisper checkpoint",
            path.display(),
            other.unwrap_or("unknown")
        ))),
    }
}

/// Puts a file into another place. Weights are not stored twice where the file system can link; small files are copied,
/// since people edit them in place.
///
/// # Errors
/// [`Error::Machine`] when it cannot be written.
pub(super) fn place_file(from: &Path, to: &Path) -> Result<()> {
    let from = from.canonicalize().map_err(|error| file_error("read", from, &error))?;
    let length = std::fs::metadata(&from).map_err(|error| file_error("read", &from, &error))?.len();
    if length > LINKED_FROM && std::fs::hard_link(&from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(&from, to).map(drop).map_err(|error| file_error("write", to, &error))
}

fn place_others(source: &Path, destination: &Path, except: &str) -> Result<()> {
    for entry in std::fs::read_dir(source).map_err(|error| file_error("read", source, &error))? {
        let entry = entry.map_err(|error| file_error("read", source, &error))?;
        if entry.file_name() != except {
            place_file(&entry.path(), &destination.join(entry.file_name()))?;
        }
    }
    Ok(())
}
