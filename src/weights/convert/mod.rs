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

use std::path::Path;

use super::{failure::file_error, kind::Kind, manifest::Converter};
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
    Kind::Whisper.check(source)?;
    if !place_weights(source, destination, |name| name != TIED_PROJECTION)? {
        return Err(Error::Weights(format!(
            "`{}` holds no model.safetensors, pytorch_model.bin or CTranslate2 model.bin; name a folder that does",
            source.display()
        )));
    }
    place_named(source, destination, &["config.json"])?;
    place_named(source, destination, Kind::Whisper.optional())?;
    tokenizer::provide(source, destination)
}

/// Turns a wav2vec2, HuBERT or WavLM checkpoint in `source` (safetensors in one file or in shards, PyTorch) into a model
/// folder at `destination`, which exists and is empty. `source` is left as it is.
///
/// # Errors
/// As [`convert`]; [`Error::Weights`] when there are no weights, no configuration, no vocabulary, or it is something else.
pub(super) fn ctc_checkpoint(source: &Path, destination: &Path) -> Result<()> {
    Kind::Ctc.check(source)?;
    if !source.join("vocab.json").is_file() {
        return Err(Error::Weights(format!(
            "`{}` has no vocab.json, so it is not known which characters the model scores; name a checkpoint that was fine-tuned to transcribe",
            source.display()
        )));
    }
    if !place_weights(source, destination, |_| true)? {
        return Err(Error::Weights(format!(
            "`{}` holds no model.safetensors or pytorch_model.bin; name a folder that does",
            source.display()
        )));
    }
    place_named(source, destination, Kind::Ctc.required())?;
    place_named(source, destination, Kind::Ctc.optional())
}

/// Brings the weights of a checkpoint of the hub's layout to `model.safetensors` in `destination`; false when there are none.
/// `keep` chooses a pickled checkpoint's tensors by name.
fn place_weights(source: &Path, destination: &Path, keep: impl Fn(&str) -> bool) -> Result<bool> {
    let finished = destination.join("model.safetensors");
    let single = source.join("model.safetensors");
    let index = source.join(shards::INDEX);
    let pickled = source.join("pytorch_model.bin");
    if single.is_file() {
        place_file(&single, &finished)?;
    } else if index.is_file() {
        shards::join(&index, &finished)?;
    } else if pickled.is_file() {
        pytorch::convert(&pickled, &finished, None, keep)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Puts those of the named files that are there into another folder.
fn place_named(source: &Path, destination: &Path, names: &[&str]) -> Result<()> {
    for name in names {
        if source.join(name).is_file() {
            place_file(&source.join(name), &destination.join(name))?;
        }
    }
    Ok(())
}

/// Whether the folder holds a model that CTranslate2 wrote, and nothing that would need no conversion.
pub(super) fn is_ctranslate2(folder: &Path) -> bool {
    folder.join("model.bin").is_file() && !folder.join("model.safetensors").is_file()
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
