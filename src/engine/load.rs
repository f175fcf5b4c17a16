//! From folders of plain files to networks in memory.

use std::path::Path;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use safetensors::SafeTensors;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    audio::mel::LogMel,
    device::{Compute, Devices},
    error::{Error, Result, sentence},
    models::{
        aligner::Aligner,
        labels::Labels,
        segmentation::{Config as SegmenterConfig, Segmenter},
        silero::Silero,
        speaker::SpeakerEmbedder,
        wav2vec2::{
            Config as Wav2Vec2Config, Wav2Vec2,
            vocabulary::{Tokens, Vocabulary},
        },
        whisper::{Config, Encoder, GenerationConfig, Tokenizer, Whisper},
    },
    span::SAMPLE_RATE,
    stages::{budget::Need, transcribe::Transcriber},
    weights::HEADS,
};

/// What `load` brings on every one of the devices, each with a stream of its own.
///
/// # Errors
/// Those of `load`; when a device refuses a stream.
pub(super) fn on_each<T>(devices: &Devices, load: impl Fn(&Compute) -> Result<T>) -> Result<Vec<(Compute, T)>> {
    let one = |device: &Compute| {
        let compute = device.own_stream()?;
        let loaded = load(&compute)?;
        Ok((compute, loaded))
    };
    devices.all().map(one).collect()
}

/// What a Whisper checkpoint in `folder` will need of a device's memory, without the aligner heads.
///
/// # Errors
/// As [`transcriber`].
pub(super) fn need(folder: &Path, compute: &Compute) -> Result<Need> {
    let config: Config = read_json(&folder.join("config.json"))?;
    Ok(Need::of(&config, compute.dtype, 0))
}

/// Loads a Whisper checkpoint from a folder with `model.safetensors`, `config.json`, `tokenizer.json` and, where there is
/// one, `generation_config.json`.
///
/// # Errors
/// [`Error::Weights`] naming the file that is missing or wrong.
pub fn transcriber(folder: &Path, compute: &Compute) -> Result<Transcriber> {
    transcriber_of(folder, &folder.join("model.safetensors"), compute)
}

/// The same with another file of weights than `model.safetensors`.
pub(super) fn transcriber_of(folder: &Path, weights: &Path, compute: &Compute) -> Result<Transcriber> {
    let config: Config = read_json(&folder.join("config.json"))?;
    let generation_path = folder.join("generation_config.json");
    // Older checkpoints keep the suppress lists in config.json.
    let generation: GenerationConfig =
        read_json(&if generation_path.is_file() { generation_path } else { folder.join("config.json") })?;
    let tokenizer = Tokenizer::load(&folder.join("tokenizer.json"), config.vocab_size)?;
    let vb = variables(weights, compute.dtype, &compute.device)?;
    let whisper = Whisper::load(&vb, &config, compute.precision).map_err(|reason| unfit(folder, reason))?;
    Transcriber::new(whisper, tokenizer, &generation, compute.clone())
}

/// Loads the voice detector; it runs on the CPU, where its recurrence is fastest.
///
/// # Errors
/// [`Error::Weights`] when the file cannot be read or does not fit.
pub fn voice(folder: &Path) -> Result<Silero> {
    let vb = variables(&folder.join("model.safetensors"), DType::F32, &Device::Cpu)?;
    Silero::load(&vb).map_err(|reason| unfit(folder, reason))
}

/// Loads the speaker embedder, in f32: half precision multiplies the diarization error.
///
/// # Errors
/// [`Error::Weights`] when the file cannot be read or does not fit.
pub fn embedder(folder: &Path, compute: &Compute) -> Result<SpeakerEmbedder> {
    let vb = variables(&folder.join("model.safetensors"), DType::F32, &compute.device)?;
    SpeakerEmbedder::load(vb).map_err(|reason| unfit(folder, reason))
}

/// Loads the segmentation network, in f32; only its recurrence follows the precision of the CPU.
///
/// # Errors
/// [`Error::Weights`] when the file cannot be read or does not fit.
pub fn segmenter(folder: &Path, compute: &Compute) -> Result<Segmenter> {
    let vb = variables(&folder.join("model.safetensors"), DType::F32, &compute.device)?;
    Segmenter::load_in(&vb, &SegmenterConfig::default(), compute.precision).map_err(|reason| unfit(folder, reason))
}

/// Loads the encoder of a Whisper checkpoint, and the features it reads.
///
/// # Errors
/// As [`transcriber`].
pub(super) fn encoder(folder: &Path, compute: &Compute) -> Result<(Encoder, LogMel)> {
    let config: Config = read_json(&folder.join("config.json"))?;
    let vb = variables(&folder.join("model.safetensors"), compute.dtype, &compute.device)?;
    let encoder =
        Encoder::load(&vb.pp("model.encoder"), &config, compute.precision).map_err(|reason| unfit(folder, reason))?;
    Ok((encoder, LogMel::new(config.num_mel_bins)))
}

/// The aligner heads that come with Palabra, in f32.
///
/// # Errors
/// [`Error::Bug`]: they are part of the program.
pub fn aligner_heads(compute: &Compute) -> Result<Vec<Aligner>> {
    HEADS.iter().map(|file| aligner_head(file, compute)).collect()
}

fn aligner_head(file: &'static [u8], compute: &Compute) -> Result<Aligner> {
    let unfit = |reason: &dyn std::fmt::Display| Error::Bug(format!("an aligner head does not fit ({reason})"));
    let (_, metadata) = SafeTensors::read_metadata(file).map_err(|reason| unfit(&reason))?;
    let about = metadata.metadata().as_ref().and_then(|metadata| metadata.get("palabra"));
    let about = about.ok_or_else(|| unfit(&"it does not say what it is"))?;
    let config = serde_json::from_str(about).map_err(|reason| unfit(&reason))?;
    let vb = VarBuilder::from_slice_safetensors(file, DType::F32, &compute.device).map_err(|reason| unfit(&reason))?;
    Aligner::load(&vb, config).map_err(|reason| match Error::from(reason) {
        Error::Tensor(reason) => unfit(&reason),
        device => device,
    })
}

/// Loads a wav2vec2, HuBERT or WavLM with a CTC head, and what its labels stand for, from a folder with `model.safetensors`,
/// `config.json`, `vocab.json` and, where they are there, `tokenizer_config.json`, `special_tokens_map.json` and
/// `preprocessor_config.json`. It runs in f32.
///
/// # Errors
/// [`Error::Weights`] naming the file that is missing or wrong.
pub fn wav2vec2(folder: &Path, compute: &Compute) -> Result<(Wav2Vec2, Labels)> {
    let preprocessor: Preprocessor = read_optional_json(&folder.join("preprocessor_config.json"))?;
    if preprocessor.sampling_rate != SAMPLE_RATE {
        return Err(unfit(
            folder,
            Error::Weights(format!("it hears {} samples a second, not {SAMPLE_RATE}", preprocessor.sampling_rate)),
        ));
    }
    let config: Wav2Vec2Config = read_json(&folder.join("config.json"))?;
    let config = Wav2Vec2Config { do_normalize: preprocessor.do_normalize, ..config };
    let vb = variables(&folder.join("model.safetensors"), DType::F32, &compute.device)?;
    let network = Wav2Vec2::load(&vb, &config).map_err(|reason| unfit(folder, reason))?;
    let vocabulary: Vocabulary = read_json(&folder.join("vocab.json"))?;
    let tokens: Tokens = read_optional_json(&folder.join("tokenizer_config.json"))?;
    let tokens = tokens.or(read_optional_json(&folder.join("special_tokens_map.json"))?);
    let labels = vocabulary.labels(&tokens, &config).map_err(|reason| unfit(folder, Error::Weights(reason)))?;
    Ok((network, labels))
}

/// What `preprocessor_config.json` says of a clip; what it leaves out is as in transformers' `Wav2Vec2FeatureExtractor`.
#[derive(Deserialize)]
#[serde(default)]
struct Preprocessor {
    do_normalize: bool,
    sampling_rate: usize,
}

impl Default for Preprocessor {
    fn default() -> Self {
        Self { do_normalize: true, sampling_rate: SAMPLE_RATE }
    }
}

/// As [`read_json`]; a file that is not there says nothing.
fn read_optional_json<T: DeserializeOwned + Default>(path: &Path) -> Result<T> {
    if path.is_file() { read_json(path) } else { Ok(T::default()) }
}

fn unfit(folder: &Path, reason: impl Into<Error>) -> Error {
    let reason = match reason.into() {
        // Not the model's fault.
        device @ (Error::OutOfMemory(_) | Error::DeviceLost(_)) => return device,
        Error::Tensor(reason) => sentence(&reason),
        other => other.to_string(),
    };
    Error::Weights(format!(
        "the model in {} does not fit its architecture ({reason}); name another model, or fetch this one again",
        folder.display()
    ))
}

/// The tensors of a safetensors file, read on demand.
fn variables(path: &Path, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
    // SAFETY: the file is mapped, not copied. Files in the cache are written once under another name and renamed, never
    // changed in place, so what is mapped does not change under us.
    unsafe { VarBuilder::from_mmaped_safetensors(&[path], dtype, device) }.map_err(|reason| {
        Error::Weights(format!(
            "the weights cannot be read as safetensors: {}; name another model, or fetch this one again",
            sentence(&reason)
        ))
    })
}

/// Reads a JSON object; null members count as absent, since checkpoints write both.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let wrong = |reason: &dyn std::fmt::Display| {
        Error::Weights(format!(
            "{} cannot be used ({reason}); name another model, or fetch this one again",
            path.display()
        ))
    };
    let text = std::fs::read_to_string(path).map_err(|reason| wrong(&reason))?;
    let mut value: serde_json::Value = serde_json::from_str(&text).map_err(|reason| wrong(&reason))?;
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, member| !member.is_null());
    }
    serde_json::from_value(value).map_err(|reason| wrong(&reason))
}
