//! Which models a request may name, and what the service does where it names none.

use std::{ops::RangeInclusive, path::Path};

use actix_web::http::StatusCode;

use super::{
    app::App,
    failure::Failure,
    fields::{Fields, quoted},
};
use crate::{
    engine::Options,
    stages::{
        beam::{Beam, LARGEST_BEAM, LENGTH_PENALTY, PATIENCE},
        transcribe::TranscribeOptions,
        vad::{VadOptions, VoiceDetector},
    },
    weights::Role,
};

impl App {
    /// The name under which the engine knows the model that a request asks for; `None` asks for the service's own. A name
    /// or alias of the manifest, a model of the settings, or, where the settings allow it, a repository of the hub: never
    /// a path on this machine.
    ///
    /// # Errors
    /// 404 with the code `model_not_found`; say which field it is about with [`Failure::about`].
    pub fn model(&self, wanted: Option<&str>) -> Result<String, Failure> {
        let settings = self.settings();
        let wanted = wanted.map(str::trim).filter(|name| !name.is_empty()).unwrap_or(&settings.model);
        let manifest = self.engine().store().manifest();
        let known = manifest.find(wanted).or_else(|| manifest.find_repository(wanted));
        if let Some(model) = known.filter(|model| model.role == Role::Transcriber) {
            return Ok(model.name.clone());
        }
        let own = || settings.preload.iter().chain(&settings.pinned).chain([&settings.model]);
        if own().any(|name| name == wanted) || settings.repositories && is_repository(wanted) {
            return Ok(wanted.to_owned());
        }
        let names =
            manifest.models.iter().filter(|model| model.role == Role::Transcriber).map(|model| model.name.as_str());
        let names: Vec<&str> = names.collect();
        let message = format!("the model {} is not known here; choose one of {}", quoted(wanted), names.join(", "));
        Err(Failure::new(StatusCode::NOT_FOUND, message).named("model_not_found"))
    }

    /// What is done for a request that says nothing of it, with speech found as its field `vad_method` and chunks searched as
    /// its fields `beam_size`, `patience` and `length_penalty` say, or else the settings. What is wrong with the fields is
    /// noted in `fields`.
    pub fn options(&self, fields: &mut Fields<'_>) -> Options {
        let vad = self.vad(fields.choice("vad_method", &VoiceDetector::NAMES));
        let transcribe = TranscribeOptions { beam: self.beam(fields), ..TranscribeOptions::default() };
        Options { vad, transcribe, ..Options::default() }
    }

    fn beam(&self, fields: &mut Fields<'_>) -> Beam {
        let bounds = |range: RangeInclusive<f32>| widened(*range.start())..=widened(*range.end());
        let size = fields.integer("beam_size", 1..=LARGEST_BEAM as i64).and_then(|size| usize::try_from(size).ok());
        let patience = fields.number("patience", bounds(PATIENCE)).map(|factor| factor as f32);
        let length_penalty = fields.number("length_penalty", bounds(LENGTH_PENALTY)).map(|exponent| exponent as f32);
        let own = self.settings().beam;
        let standard = if size == Some(1) { Beam::default() } else { own };
        let beam = Beam {
            size: size.unwrap_or(own.size),
            patience: patience.unwrap_or(standard.patience),
            length_penalty: length_penalty.or(standard.length_penalty),
        };
        let size_is_clear = size.is_some() || fields.text("beam_size").is_none();
        if let Some(name) = beam.unused().filter(|_| size_is_clear) {
            let reason = format!("Value error, {name} is about beam search: send beam_size above 1 with it");
            fields.refuse(name, reason, "value_error");
        }
        beam
    }

    /// How speech is found: by the network that a request names, or else the settings.
    pub fn vad(&self, named: Option<VoiceDetector>) -> VadOptions {
        VadOptions::of(named.unwrap_or(self.settings().vad))
    }
}

/// A search for texts that begin at this temperature: where they are drawn, one that the request names is refused, and the
/// service's own left aside.
pub(super) fn beam_at(temperature: f32, beam: Beam, fields: &mut Fields<'_>) -> Beam {
    if temperature == 0.0 || beam.size == 1 {
        return beam;
    }
    if fields.text("beam_size").is_some() {
        let reason = "Value error, beams are followed at temperature 0; leave temperature out";
        fields.refuse("beam_size", reason, "value_error");
    }
    Beam::default()
}

/// A bound in f64 as it is written: 0.1, not the number of f32 beside it.
fn widened(bound: f32) -> f64 {
    (f64::from(bound) * 1e6).round() / 1e6
}

/// `owner/name`, and no folder of that name on this machine.
fn is_repository(name: &str) -> bool {
    let plain = |part: &str| {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.chars().all(allowed)
    };
    name.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name)) && !Path::new(name).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_no_repositories() {
        assert!(is_repository("openai/whisper-tiny"));
        for path in ["/etc/passwd", "../x", "src/http", "a/b/c", "base", "./a", "a/.."] {
            assert!(!is_repository(path), "{path}");
        }
    }
}
