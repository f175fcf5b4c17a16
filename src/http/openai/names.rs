//! Names of models: this service's own, and OpenAI's, behind which stands the default model of the settings.

use crate::http::{app::App, failure::Failure};

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
        let alias = ALIASES.into_iter().find(|alias| alias.eq_ignore_ascii_case(name));
        // Every name of OpenAI's stands for the default.
        let wanted = if alias.is_some() { None } else { Some(name) };
        Ok(Self {
            name: app.model(wanted).map_err(|failure| failure.about("model"))?,
            speakers: alias == Some("gpt-4o-transcribe-diarize"),
            languages: alias == Some("gpt-transcribe"),
        })
    }
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
        let settings = Settings { model: model.into(), repositories, ..Settings::default() };
        App::new(Engine::new(store, Compute::cpu(), EngineOptions::default()), settings)
    }

    #[test]
    fn openai_s_names_are_the_default_model() {
        let app = app("small", false);
        let found = |name| Model::find(name, &app).unwrap();
        assert_eq!(found("whisper-1"), Model { name: "whisper-small".into(), speakers: false, languages: false });
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
        for name in ["whisper-9", "silero-vad", "/etc", "../x/y", "some/other"] {
            let failure = found(name).unwrap_err();
            assert_eq!((failure.status.as_u16(), failure.code), (404, Some("model_not_found")), "{name}");
            assert_eq!(failure.param.as_deref(), Some("model"));
        }
        let open = app("base", true);
        assert_eq!(Model::find("some/other", &open).map(|model| model.name).ok(), Some("some/other".into()));
        assert!(Model::find("../other", &open).is_err() && Model::find("a/b/c", &open).is_err());
    }
}
