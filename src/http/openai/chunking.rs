//! `chunking_strategy`: how speech is found before it is cut into chunks.
//!
//! `auto` is what Palabra does by itself. An object `{"type": "server_vad", ...}` changes it: `threshold` is the
//! probability at which speech begins, `silence_duration_ms` the silence that ends it, `prefix_padding_ms` what is kept
//! around the speech of a chunk, on both sides. What the object does not name stays as it is.

use serde_json::Value;

use crate::{engine::Options, http::failure::Failure, stages::vad::VadOptions};

/// The field.
const PARAM: &str = "chunking_strategy";

/// What the object may name.
const MEMBERS: [&str; 4] = ["type", "threshold", "prefix_padding_ms", "silence_duration_ms"];

/// Applies a strategy to `options`: `whole` is the field where it was sent in one piece (`auto` or a JSON object), `parts`
/// are its members where they were sent one by one, as `chunking_strategy[threshold]`.
///
/// # Errors
/// 400 with the field's name for an unknown strategy and for values out of range.
pub fn apply(options: &mut Options, whole: Option<&str>, parts: &[(String, String)]) -> Result<(), Failure> {
    let whole = whole.map(str::trim).filter(|text| !text.is_empty() && *text != "null");
    let members = match (whole, parts) {
        (None | Some("auto" | "\"auto\""), []) => return Ok(()),
        (Some(text), []) => object(text)?,
        (None, parts) => parts.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect(),
        (Some(_), _) => return Err(wrong("is sent both in one piece and in parts; send one of them")),
    };
    let kind = members.iter().find(|(name, _)| name == "type").and_then(|(_, value)| value.as_str());
    match kind {
        Some("auto") if members.len() == 1 => return Ok(()),
        Some("server_vad") => {}
        _ => return Err(unknown()),
    }
    if let Some((name, _)) = members.iter().find(|(name, _)| !MEMBERS.contains(&name.as_str())) {
        return Err(wrong(&format!("has no member `{name}`; it takes {}", MEMBERS.join(", "))));
    }
    let defaults = options.vad.clone();
    if let Some(threshold) = number(&members, "threshold", (0.0, 1.0))? {
        // The ends of the range are possible in this API and not in voice detection.
        let onset = threshold.clamp(0.01, 0.99) as f32;
        let found = VadOptions::with_thresholds(defaults.detector, Some(onset), None)
            .map_err(|error| wrong(&error.to_string()))?;
        options.vad = VadOptions { onset: found.onset, offset: found.offset, ..defaults };
    }
    if let Some(silence) = number(&members, "silence_duration_ms", (0.0, 10_000.0))? {
        options.vad.min_silence = silence / 1000.0;
    }
    if let Some(padding) = number(&members, "prefix_padding_ms", (0.0, options.chunk.chunk_size / 4.0 * 1000.0))? {
        options.chunk.padding = padding / 1000.0;
    }
    Ok(())
}

fn object(text: &str) -> Result<Vec<(String, Value)>, Failure> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        _ => Err(unknown()),
    }
}

/// A number in a range, also where it is written as text.
fn number(members: &[(String, Value)], name: &str, range: (f64, f64)) -> Result<Option<f64>, Failure> {
    let Some((_, value)) = members.iter().find(|(member, _)| member == name) else { return Ok(None) };
    let read = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    match read {
        Some(read) if (range.0..=range.1).contains(&read) => Ok(Some(read)),
        _ => Err(wrong(&format!("`{name}` takes a number from {} to {}", range.0, range.1))),
    }
}

fn unknown() -> Failure {
    wrong("must be auto or an object such as {\"type\": \"server_vad\", \"threshold\": 0.5}")
}

fn wrong(what: &str) -> Failure {
    Failure::request(format!("chunking_strategy {what}")).about(PARAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(whole: Option<&str>, parts: &[(&str, &str)]) -> Result<Options, String> {
        let parts: Vec<_> = parts.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut options = Options::default();
        apply(&mut options, whole, &parts).map_err(|failure| {
            assert_eq!(failure.param.as_deref(), Some(PARAM));
            failure.message
        })?;
        options.validate().map_err(|error| error.to_string())?;
        Ok(options)
    }

    #[test]
    fn auto_and_nothing_change_nothing() {
        let parts: [&[(&str, &str)]; 2] = [&[], &[("type", "auto")]];
        for (whole, parts) in [(None, parts[0]), (Some("auto"), parts[0]), (Some(""), parts[0]), (None, parts[1])] {
            let options = applied(whole, parts).unwrap();
            assert_eq!((options.vad, options.chunk), (Options::default().vad, Options::default().chunk));
        }
    }

    #[test]
    fn an_object_works_in_one_piece_and_in_parts() {
        let json = r#"{"type": "server_vad", "threshold": 0.6, "silence_duration_ms": 500, "prefix_padding_ms": 200}"#;
        let whole = applied(Some(json), &[]).unwrap();
        let parts = [
            ("type", "server_vad"),
            ("threshold", "0.6"),
            ("silence_duration_ms", "500"),
            ("prefix_padding_ms", "200"),
        ];
        let flat = applied(None, &parts).unwrap();
        for options in [whole, flat] {
            assert_eq!((options.vad.onset, options.vad.min_silence, options.chunk.padding), (0.6, 0.5, 0.2));
            assert!((options.vad.offset - 0.45).abs() < 1e-6);
            assert_eq!(options.vad.pad, VadOptions::default().pad);
        }
        let bare = applied(Some(r#"{"type": "server_vad", "threshold": null}"#), &[]).unwrap();
        assert_eq!(bare.vad, VadOptions::default());
        assert!(applied(Some(r#"{"type": "server_vad", "threshold": 1.0}"#), &[]).is_ok());
        assert!(applied(Some(r#"{"type": "server_vad", "threshold": 0}"#), &[]).is_ok());
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, said) in [
            ("manual", "must be auto"),
            ("[1]", "must be auto"),
            ("{\"threshold\": 0.5}", "must be auto"),
            (r#"{"type": "server_vad", "threshold": 1.5}"#, "`threshold` takes a number from 0 to 1"),
            (r#"{"type": "server_vad", "threshold": "loud"}"#, "`threshold` takes"),
            (r#"{"type": "server_vad", "silence_duration_ms": -1}"#, "`silence_duration_ms` takes"),
            (
                r#"{"type": "server_vad", "prefix_padding_ms": 9000}"#,
                "`prefix_padding_ms` takes a number from 0 to 7500",
            ),
            (r#"{"type": "server_vad", "eagerness": "low"}"#, "has no member `eagerness`"),
        ] {
            let message = applied(Some(text), &[]).map(|_| ()).unwrap_err();
            assert!(message.contains(said), "{text}: {message}");
        }
        assert!(applied(Some("auto"), &[("type", "server_vad")]).unwrap_err().contains("both"));
        assert!(applied(None, &[("threshold", "NaN"), ("type", "server_vad")]).unwrap_err().contains("threshold"));
    }
}
