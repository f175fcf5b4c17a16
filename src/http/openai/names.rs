//! Names of models: this service's own, and OpenAI's, behind which stands the default model of the settings.

use actix_web::http::StatusCode;

use crate::{
    http::{app::App, failure::Failure, fields::quoted},
    weights::Role,
};

/// OpenAI's names.
pub const ALIASES: [&str; 6] = [
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
];

/// The model that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name for the engine.
    pub name: String,
    /// Whether the name implies speakers.
    pub speakers: bool,
    /// Whether the name implies a list of the languages that were heard.
    pub languages: bool,
}

impl Model {
    /// The model called `name`.
    ///
    /// # Errors
    /// 404 `model_not_found`.
    pub fn find(name: &str, app: &App) -> Result<Self, Failure> {
        let default = &app.settings().model;
        let alias = ALIASES.iter().find(|alias| alias.eq_ignore_ascii_case(name));
        let model = |known: &str| Self {
            name: known.to_owned(),
            speakers: alias == Some(&"gpt-4o-transcribe-diarize"),
            languages: alias == Some(&"gpt-transcribe"),
        };
        if alias.is_some() || name == default {
            return Ok(model(default));
        }
        let manifest = app.engine().store().manifest();
        let known = manifest.find(name).or_else(|| manifest.find_repository(name));
        match known {
            Some(known) if known.role == Role::Transcriber => Ok(model(&known.name)),
            None if app.engine().options().repositories && is_repository(name) => Ok(model(name)),
            _ => Err(unknown(name)),
        }
    }
}

/// 404: there is no model of this name.
pub fn unknown(name: &str) -> Failure {
    let message = format!(
        "the model {} does not exist; GET /v1/models lists those that do, and whisper-1 is the default of this service",
        quoted(name)
    );
    Failure::new(StatusCode::NOT_FOUND, message).about("model").named("model_not_found")
}

/// Whether the text has the form `owner/name` of a hub repository.
fn is_repository(text: &str) -> bool {
    let part = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
    };
    text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::Compute,
        engine::{Engine, EngineOptions},
        settings::Settings,
        weights::{Store, StoreOptions},
    };

    fn app(model: &str, repositories: bool) -> App {
        let store = Store::open(&StoreOptions { offline: true, quiet: true, ..StoreOptions::default() }).unwrap();
        let options = EngineOptions { repositories, ..EngineOptions::default() };
        let settings = Settings { model: model.into(), repositories, ..Settings::default() };
        App::new(Engine::new(store, Compute::cpu(), options), settings)
    }

    #[test]
    fn openai_s_names_are_the_default_model() {
        let app = app("small", false);
        let found = |name| Model::find(name, &app).unwrap();
        assert_eq!(found("whisper-1"), Model { name: "small".into(), speakers: false, languages: false });
        assert!(found("gpt-4o-transcribe-diarize").speakers && found("GPT-4o-transcribe-diarize").speakers);
        assert!(found("gpt-transcribe").languages && !found("gpt-4o-transcribe").languages);
    }

    #[test]
    fn own_names_aliases_and_repositories_are_found_and_others_are_not() {
        let closed = app("./models/mine", false);
        let found = |name: &str| Model::find(name, &closed).map(|model| model.name);
        assert_eq!(found("BASE").unwrap(), "whisper-base");
        assert_eq!(found("openai/whisper-tiny").unwrap(), "whisper-tiny");
        assert_eq!(found("./models/mine").unwrap(), "./models/mine");
        for name in ["whisper-9", "silero-vad", "/etc", "../x/y", "some/other", ""] {
            let failure = found(name).unwrap_err();
            assert_eq!((failure.status.as_u16(), failure.code), (404, Some("model_not_found")), "{name}");
            assert_eq!(failure.param.as_deref(), Some("model"));
        }
        let open = app("base", true);
        assert_eq!(Model::find("some/other", &open).map(|model| model.name).ok(), Some("some/other".into()));
        assert!(Model::find("../other", &open).is_err() && Model::find("a/b/c", &open).is_err());
    }
}
