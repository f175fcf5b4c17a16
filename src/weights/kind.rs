//! The kinds of checkpoints that are taken from any repository or folder: what belongs to each, and how it is made ready.

use std::path::Path;

use serde_json::Value;

use super::{
    convert,
    failure::file_error,
    manifest::{CONVERTERS, Role},
};
use crate::error::{Error, Result};

/// What a checkpoint of the hub is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A transcriber.
    Whisper,
    /// A network that scores characters: wav2vec2, HuBERT or WavLM, which serve as aligners.
    Ctc,
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Self; 2] = [Self::Whisper, Self::Ctc];

    /// The kind of the manifest's checkpoints of this role that name no files.
    pub(super) fn of_role(role: Role) -> Self {
        if role == Role::Aligner { Self::Ctc } else { Self::Whisper }
    }

    /// The kind that `config.json` of the folder names; Whisper where it names none, as CTranslate2's do.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is not JSON or of no kind that is known here.
    pub(super) fn of_folder(folder: &Path) -> Result<Self> {
        if convert::is_ctranslate2(folder) {
            return Ok(Self::Whisper);
        }
        let found = model_type(folder)?;
        Self::ALL.into_iter().find(|kind| kind.model_types().contains(&found.as_str())).ok_or_else(|| {
            Error::Weights(format!(
                "`{}` describes a model of type `{found}`; name a Whisper, wav2vec2, HuBERT or WavLM checkpoint",
                folder.join("config.json").display()
            ))
        })
    }

    /// The role of such a checkpoint.
    pub(super) fn role(self) -> Role {
        match self {
            Self::Whisper => Role::Transcriber,
            Self::Ctc => Role::Aligner,
        }
    }

    /// What `config.json` may call it.
    fn model_types(self) -> &'static [&'static str] {
        match self {
            Self::Whisper => &["whisper"],
            Self::Ctc => &["wav2vec2", "hubert", "wavlm"],
        }
    }

    /// Files beside the weights without which it is no use.
    pub(super) fn required(self) -> &'static [&'static str] {
        match self {
            Self::Whisper => &["config.json", "tokenizer.json"],
            Self::Ctc => &["config.json", "vocab.json"],
        }
    }

    /// Files beside the weights that say more.
    pub(super) fn optional(self) -> &'static [&'static str] {
        match self {
            Self::Whisper => &["generation_config.json", "preprocessor_config.json"],
            Self::Ctc => &["tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json"],
        }
    }

    /// The recipe of every checkpoint of this kind that is not in the manifest.
    pub(super) fn recipe(self) -> String {
        match self {
            Self::Whisper => format!("{CONVERTERS}-whisper"),
            Self::Ctc => format!("{CONVERTERS}-ctc"),
        }
    }

    /// Checks that `config.json` of the folder names this kind.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is missing, not JSON, or of another kind of model.
    pub(super) fn check(self, folder: &Path) -> Result<()> {
        let found = model_type(folder)?;
        if self.model_types().contains(&found.as_str()) {
            return Ok(());
        }
        let (wanted, remedy) = match self {
            Self::Whisper => ("Whisper", "name a Whisper checkpoint"),
            Self::Ctc => {
                ("wav2vec2, HuBERT or WavLM", "name a checkpoint of one of these that was fine-tuned to transcribe")
            }
        };
        Err(Error::Weights(format!(
            "`{}` describes a model of type `{found}`, not {wanted}; {remedy}",
            folder.join("config.json").display()
        )))
    }

    /// Whether the folder is a model that can be loaded as it is.
    pub(super) fn is_finished(self, folder: &Path) -> bool {
        folder.join("model.safetensors").is_file() && self.required().iter().all(|name| folder.join(name).is_file())
    }

    /// Turns the checkpoint in `source` into a model folder at `destination`; see [`convert::whisper_checkpoint`] and
    /// [`convert::ctc_checkpoint`].
    pub(super) fn convert(self, source: &Path, destination: &Path) -> Result<()> {
        match self {
            Self::Whisper => convert::whisper_checkpoint(source, destination),
            Self::Ctc => convert::ctc_checkpoint(source, destination),
        }
    }
}

/// What `config.json` of the folder calls its model.
fn model_type(folder: &Path) -> Result<String> {
    let path = folder.join("config.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Weights(format!(
                "`{}` has no config.json, so it is no checkpoint of the hub's kind; name a folder or repository that holds one",
                folder.display()
            )));
        }
        Err(error) => return Err(file_error("read", &path, &error)),
    };
    let config: Value = serde_json::from_slice(&text).map_err(|error| {
        Error::Weights(format!("`{}` is not JSON ({error}); fetch the model again", path.display()))
    })?;
    Ok(config.get("model_type").and_then(Value::as_str).unwrap_or("unknown").to_owned())
}
