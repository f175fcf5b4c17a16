//! Provides `tokenizer.json`: the model's own, or one made of the older files `vocab.json`, `merges.txt` and
//! `added_tokens.json`, which hold the same byte-pair encoding.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::place_file;
use crate::{
    error::{Error, Result},
    weights::failure::file_error,
};

/// Puts `tokenizer.json` into `destination`.
///
/// # Errors
/// [`Error::Weights`] when `source` has neither the file nor the older ones, or they do not fit together.
pub(super) fn provide(source: &Path, destination: &Path) -> Result<()> {
    let from = source.join("tokenizer.json");
    let to = destination.join("tokenizer.json");
    if from.is_file() {
        return place_file(&from, &to);
    }
    if !source.join("vocab.json").is_file() || !source.join("merges.txt").is_file() {
        return Err(Error::Weights(format!(
            "the model in `{}` has no tokenizer.json (nor vocab.json and merges.txt to make one); save it with its tokenizer, or copy the tokenizer.json of the checkpoint it was trained from",
            source.display()
        )));
    }
    let added = source.join("added_tokens.json");
    let added = if added.is_file() { read_json(&added)? } else { Map::new() };
    let merges = source.join("merges.txt");
    let merges = std::fs::read_to_string(&merges).map_err(|error| file_error("read", &merges, &error))?;
    let tokenizer = assemble(read_json(&source.join("vocab.json"))?, &merges, added);
    let text = serde_json::to_vec(&tokenizer).map_err(|error| Error::Bug(error.to_string()))?;
    tokenizers::Tokenizer::from_bytes(&text).map_err(|error| {
        Error::Weights(format!(
            "vocab.json, merges.txt and added_tokens.json in `{}` do not fit together: {error}",
            source.display()
        ))
    })?;
    std::fs::write(&to, text).map_err(|error| file_error("write", &to, &error))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).map_err(|error| file_error("read", path, &error))?;
    serde_json::from_slice(&text).map_err(|error| {
        Error::Weights(format!("`{}` is not the JSON it should be ({error}); fetch the model again", path.display()))
    })
}

/// A byte-level BPE tokenizer in the format of the `tokenizers` library. Marks of the form `<|...|>` are added tokens,
/// in the order of their identifiers.
fn assemble(vocabulary: Map<String, Value>, merges: &str, added: Map<String, Value>) -> Value {
    let is_mark = |token: &str| token.starts_with("<|") && token.ends_with("|>");
    let marks = vocabulary.iter().filter(|(token, _)| is_mark(token));
    let mut tokens: Vec<(u64, String)> =
        marks.chain(&added).filter_map(|(token, id)| Some((id.as_u64()?, token.clone()))).collect();
    tokens.sort();
    tokens.dedup();
    let added = tokens.into_iter().map(|(id, content)| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true })
    });
    let merges = merges.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty());
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary,
            "merges": merges.collect::<Vec<_>>(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        std::fs::write(folder.join(name), text).expect("written");
    }

    #[test]
    fn the_older_files_make_a_tokenizer() {
        let source = tempfile::tempdir().expect("a folder");
        let destination = tempfile::tempdir().expect("a folder");
        assert!(matches!(provide(source.path(), destination.path()), Err(Error::Weights(_))));
        write(source.path(), "vocab.json", r#"{"a":0,"b":1,"ab":2,"Ġab":3,"Ġ":4,"Ġa":5,"<|endoftext|>":6}"#);
        write(source.path(), "merges.txt", "#version: 0.2\na b\nĠ ab\n");
        write(source.path(), "added_tokens.json", r#"{"<|en|>":8,"<|startoftranscript|>":7}"#);
        provide(source.path(), destination.path()).expect("made");
        let tokenizer = tokenizers::Tokenizer::from_file(destination.path().join("tokenizer.json")).expect("loads");
        assert_eq!(tokenizer.encode("ab ab", false).expect("encodes").get_ids(), [2, 3]);
        for (token, id) in [("<|endoftext|>", 6), ("<|startoftranscript|>", 7), ("<|en|>", 8)] {
            assert_eq!(tokenizer.token_to_id(token), Some(id));
        }
        assert_eq!(tokenizer.decode(&[7, 8, 2, 3, 6], true).expect("decodes"), "ab ab");

        write(source.path(), "merges.txt", "a z\n");
        assert!(matches!(provide(source.path(), destination.path()), Err(Error::Weights(_))));
        write(source.path(), "vocab.json", "[]");
        assert!(matches!(provide(source.path(), destination.path()), Err(Error::Weights(_))));
    }
}
