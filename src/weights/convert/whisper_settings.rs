//! The JSON files of a Whisper checkpoint, from the sizes of its tensors and CTranslate2's settings.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use super::{
    ctranslate2::Element,
    whisper::{Piece, Sizes},
};
use crate::{
    error::{Error, Result},
    weights::failure::file_error,
};

/// The multilingual vocabularies start here; the English-only one has a token less.
pub(super) const MULTILINGUAL_VOCABULARY: usize = 51865;
/// Tokens of a vocabulary that name no language: text, end, start, the seven tasks and marks, 1501 times.
const TOKENS_BESIDE_LANGUAGES: usize = 51765;

/// What CTranslate2's `config.json` says; a model without one has no suppress lists and no alignment heads.
pub(super) fn read_settings(path: &Path) -> Result<Value> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| {
            Error::Weights(format!("`{}` is not JSON ({error}); fetch the model again", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(json!({})),
        Err(error) => Err(file_error("read", path, &error)),
    }
}

pub(super) fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| Error::Bug(error.to_string()))?;
    std::fs::write(path, text).map_err(|error| file_error("write", path, &error))
}

/// Identifiers of the tokens that decoding starts and ends with.
pub(super) struct SpecialTokens {
    pub(super) end: usize,
    pub(super) start: usize,
    pub(super) no_timestamps: usize,
    pub(super) multilingual: bool,
}

/// The order of a Whisper vocabulary: text, end, start, languages, translate, transcribe, startoflm, startofprev,
/// nospeech, notimestamps, times (openai/whisper, `tokenizer.py`).
pub(super) fn special_tokens(sizes: &Sizes) -> SpecialTokens {
    let multilingual = sizes.vocabulary >= MULTILINGUAL_VOCABULARY;
    let end = 50256 + usize::from(multilingual);
    let start = end + 1;
    let languages = sizes.vocabulary - TOKENS_BESIDE_LANGUAGES - usize::from(multilingual);
    SpecialTokens { end, start, no_timestamps: start + languages + 6, multilingual }
}

/// `config.json` in the hub's schema (transformers' `WhisperConfig`).
pub(super) fn config(sizes: &Sizes, settings: &Value, pieces: &BTreeMap<String, Piece>) -> Value {
    let tokens = special_tokens(sizes);
    let stored = match pieces["model.decoder.embed_tokens.weight"].element {
        Element::F32 => "float32",
        Element::BF16 => "bfloat16",
        _ => "float16",
    };
    json!({
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "d_model": sizes.width,
        "encoder_layers": sizes.encoder_layers,
        "encoder_attention_heads": sizes.encoder_heads,
        "encoder_ffn_dim": sizes.encoder_inner,
        "decoder_layers": sizes.decoder_layers,
        "decoder_attention_heads": sizes.decoder_heads,
        "decoder_ffn_dim": sizes.decoder_inner,
        "num_hidden_layers": sizes.encoder_layers,
        "num_mel_bins": sizes.mel_bins,
        "vocab_size": sizes.vocabulary,
        "max_source_positions": sizes.source_positions,
        "max_target_positions": sizes.target_positions,
        "max_length": sizes.target_positions,
        "scale_embedding": false,
        "bos_token_id": tokens.end,
        "eos_token_id": tokens.end,
        "pad_token_id": tokens.end,
        "decoder_start_token_id": tokens.start,
        "suppress_tokens": settings.get("suppress_ids").cloned().unwrap_or_else(|| json!([])),
        "begin_suppress_tokens": settings.get("suppress_ids_begin").cloned().unwrap_or_else(|| json!([])),
        "is_encoder_decoder": true,
        "torch_dtype": stored,
    })
}

/// `generation_config.json` in the hub's schema.
pub(super) fn generation_config(sizes: &Sizes, settings: &Value) -> Value {
    let tokens = special_tokens(sizes);
    let mut value = json!({
        "is_multilingual": tokens.multilingual,
        "bos_token_id": tokens.end,
        "eos_token_id": tokens.end,
        "pad_token_id": tokens.end,
        "decoder_start_token_id": tokens.start,
        "no_timestamps_token_id": tokens.no_timestamps,
        "max_initial_timestamp_index": 50,
        "max_length": sizes.target_positions,
        "suppress_tokens": settings.get("suppress_ids").cloned().unwrap_or_else(|| json!([])),
        "begin_suppress_tokens": settings.get("suppress_ids_begin").cloned().unwrap_or_else(|| json!([])),
    });
    if let Some(heads) = settings.get("alignment_heads") {
        value["alignment_heads"] = heads.clone();
    }
    value
}
