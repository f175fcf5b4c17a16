//! A form as OpenAI's clients send it, read as a request to the pipeline.
//!
//! Beyond OpenAI's fields it takes `align_audio`, `diarize_audio`, `num_speakers`, `min_speakers`, `max_speakers`,
//! `speaker_changes`, `hotwords`, `batch_size`, `beam_size`, `patience`, `length_penalty`, `vad_method` and `hf_token`. Fields that nobody knows are ignored; options that contradict one another, or
//! that the response has no place for, are refused.

use super::{
    FILE,
    bodies::Granularities,
    chunking,
    events::Telling,
    format::ResponseFormat,
    known::{self, KnownSpeaker},
    names::Model,
    speakers::Speakers,
};
use crate::{
    engine::{Align, Options},
    http::{
        app::App,
        choice::beam_at,
        failure::Failure,
        fields::{Fields, quoted},
        form::Form,
    },
    language::Language,
    models::whisper::tokenizer::Task,
    settings::{LARGEST_BATCH, Secret},
    stages::{language::LanguageChoice, transcribe::TranscribeOptions},
};

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The model.
    pub model: Model,
    /// How the response looks.
    pub format: ResponseFormat,
    /// Which times `verbose_json` shows.
    pub granularities: Granularities,
    /// Whether text is sent as it is written.
    pub stream: bool,
    /// Whether the response lists tokens.
    pub logprobs: bool,
    /// Languages of which one is spoken; empty: any, or the one in `options`.
    pub candidates: Vec<Language>,
    /// What the pipeline is to do.
    pub options: Options,
    /// Speakers who are to be called by name.
    pub known: Vec<KnownSpeaker>,
    /// For this request's downloads alone.
    pub hub_token: Option<Secret>,
}

impl Ask {
    /// Reads the form of a transcription.
    ///
    /// # Errors
    /// 400 with the field at fault, 404 for an unknown model.
    pub fn transcription(form: &Form, app: &App) -> Result<Self, Failure> {
        let mut fields = form.fields();
        let model = model(&mut fields);
        fields.require(FILE);
        let format = fields.choice("response_format", &ResponseFormat::NAMES).unwrap_or(ResponseFormat::Json);
        let granularities = granularities(&mut fields, format);
        let stream = stream(&mut fields, format);
        let logprobs = logprobs(&mut fields, format);
        let candidates = languages(&mut fields);
        let mut options = options(&mut fields, app);
        let speakers = Speakers::read(&mut fields);
        let hub_token = fields.parse("hf_token", |text| text.trim().parse::<Secret>());
        let names = fields.texts("known_speaker_names");
        let references = fields.texts("known_speaker_references");
        let model = finish(fields, model, app)?;

        if let [only] = candidates.as_slice() {
            options.transcribe.language = LanguageChoice::Fixed(*only);
        }
        let (whole, parts) = chunking_fields(form);
        chunking::apply(&mut options, whole, &parts)?;
        (options.diarize, options.speaker_changes) = speakers.wanted(&model, format)?;
        let known = known::read(&names, &references)?;
        if !known.is_empty() && options.diarize.is_none() {
            let message =
                "known_speaker_names[] need a response that shows who speaks; ask for response_format=diarized_json";
            return Err(Failure::request(message).about("known_speaker_names"));
        }
        let candidates = if candidates.len() > 1 { candidates } else { Vec::new() };
        let ask = Self { model, format, granularities, stream, logprobs, candidates, options, known, hub_token };
        ask.check()?;
        Ok(ask)
    }

    /// Reads the form of a translation into English.
    ///
    /// # Errors
    /// As [`Ask::transcription`].
    pub fn translation(form: &Form, app: &App) -> Result<Self, Failure> {
        let mut fields = form.fields();
        let model = model(&mut fields);
        fields.require(FILE);
        let formats = &ResponseFormat::NAMES[..5];
        let format = fields.choice("response_format", formats).unwrap_or(ResponseFormat::Json);
        let language = language(&mut fields);
        let mut options = options(&mut fields, app);
        let speakers = Speakers::read(&mut fields);
        let hub_token = fields.parse("hf_token", |text| text.trim().parse::<Secret>());
        let model = finish(fields, model, app)?;

        options.transcribe.task = Task::Translate;
        if let Some(language) = language {
            options.transcribe.language = LanguageChoice::Fixed(language);
        }
        (options.diarize, options.speaker_changes) = speakers.wanted(&model, format)?;
        let granularities = Granularities { word: false, segment: true };
        let ask = Self {
            model,
            format,
            granularities,
            stream: false,
            logprobs: false,
            candidates: Vec::new(),
            options,
            known: Vec::new(),
            hub_token,
        };
        ask.check()?;
        Ok(ask)
    }

    /// What a stream is to tell.
    pub fn telling(&self) -> Telling {
        Telling {
            segments: self.format == ResponseFormat::DiarizedJson,
            named: !self.known.is_empty(),
            logprobs: self.logprobs,
            languages: self.model.languages,
        }
    }

    fn check(&self) -> Result<(), Failure> {
        if self.granularities.word && self.options.align == Align::Off {
            let message = "timestamp_granularities[]=word needs word times; drop align_audio=false";
            return Err(Failure::request(message).about("align_audio"));
        }
        Ok(self.options.validate()?)
    }
}

/// Tells all that is wrong with the fields, then finds the model.
fn finish(fields: Fields, name: Option<String>, app: &App) -> Result<Model, Failure> {
    fields.finish()?;
    Model::find(&name.unwrap_or_default(), app)
}

fn model(fields: &mut Fields) -> Option<String> {
    let name = fields.text("model");
    if name.is_none() && fields.is_clean() {
        let message =
            "Field required: name a model that GET /v1/models lists, or whisper-1 for the default of this service";
        fields.refuse("model", message, "missing");
    }
    name.map(|name| name.trim().to_owned())
}

/// `timestamp_granularities[]`, which `verbose_json` alone has a place for; without it segments are shown.
fn granularities(fields: &mut Fields, format: ResponseFormat) -> Granularities {
    const FIELD: &str = "timestamp_granularities";
    let asked = fields.texts(FIELD);
    let mut found = Granularities { word: false, segment: asked.is_empty() };
    for name in &asked {
        match name.trim() {
            "word" => found.word = true,
            "segment" => found.segment = true,
            _ => fields.refuse(
                FIELD,
                format!("Input should be 'word' or 'segment', not {}", quoted(name)),
                "literal_error",
            ),
        }
    }
    if !asked.is_empty() && format != ResponseFormat::VerboseJson {
        fields.refuse(FIELD, "Value error, only response_format=verbose_json shows them; ask for it", "value_error");
    }
    found
}

fn stream(fields: &mut Fields, format: ResponseFormat) -> bool {
    let stream = fields.boolean("stream").unwrap_or(false);
    if stream && !matches!(format, ResponseFormat::Json | ResponseFormat::DiarizedJson) {
        let message = "Value error, events exist for response_format=json and diarized_json alone; ask for one of them, or send stream=false";
        fields.refuse("stream", message, "value_error");
    }
    stream
}

fn logprobs(fields: &mut Fields, format: ResponseFormat) -> bool {
    let asked = fields.texts("include");
    if let Some(name) = asked.iter().find(|name| name.trim() != "logprobs") {
        fields.refuse("include", format!("Input should be 'logprobs', not {}", quoted(name)), "literal_error");
    } else if !asked.is_empty() && format != ResponseFormat::Json {
        fields.refuse("include", "Value error, logprobs need response_format=json", "value_error");
    }
    !asked.is_empty()
}

/// The languages that `language` or `languages[]` allow; empty: any. `auto` is any.
fn languages(fields: &mut Fields) -> Vec<Language> {
    let single = language(fields);
    let mut several: Vec<Language> = Vec::new();
    let asked = fields.texts("languages");
    for name in &asked {
        match name.parse::<Language>() {
            Ok(language) if several.contains(&language) => {}
            Ok(language) => several.push(language),
            Err(reason) => fields.refuse("languages", format!("Value error, {reason}"), "value_error"),
        }
    }
    match single {
        Some(_) if !asked.is_empty() => {
            fields.refuse("languages", "Value error, language is given too; send one of them", "value_error");
            several
        }
        Some(language) => vec![language],
        None => several,
    }
}

fn language(fields: &mut Fields) -> Option<Language> {
    let read = |text: &str| match text.trim() {
        auto if auto.eq_ignore_ascii_case("auto") => Ok(None),
        code => code.parse::<Language>().map(Some),
    };
    fields.parse("language", read).flatten()
}

/// What the pipeline is to do, as far as single fields say it.
fn options(fields: &mut Fields, app: &App) -> Options {
    let options = app.options(fields);
    let defaults = options.transcribe;
    let temperature = fields.number("temperature", 0.0..=1.0).unwrap_or(0.0) as f32;
    let mut words: Vec<String> = fields.texts("keywords");
    words.extend(fields.text("hotwords"));
    let batch_size = fields.integer("batch_size", 1..=LARGEST_BATCH as i64).and_then(|size| usize::try_from(size).ok());
    let transcribe = TranscribeOptions {
        temperatures: temperatures(temperature, &defaults.temperatures),
        initial_prompt: fields.text("prompt"),
        hotwords: (!words.is_empty()).then(|| words.join(", ")),
        batch_size: batch_size.unwrap_or(app.settings().batch_size),
        beam: beam_at(temperature, defaults.beam, fields),
        ..defaults
    };
    let align = if fields.boolean("align_audio").unwrap_or(true) { Align::Auto } else { Align::Off };
    Options { transcribe, align, ..options }
}

/// The temperature asked for, then the higher ones of the defaults, for text that passes no quality threshold.
fn temperatures(first: f32, defaults: &[f32]) -> Vec<f32> {
    std::iter::once(first).chain(defaults.iter().copied().filter(|other| *other > first)).collect()
}

/// `chunking_strategy` in one piece, and its members where they came one by one (`chunking_strategy[type]`).
fn chunking_fields(form: &Form) -> (Option<&str>, Vec<(String, String)>) {
    let member = |name: &str| Some(name.strip_prefix("chunking_strategy[")?.strip_suffix(']')?.to_owned());
    let parts = form.all_texts().filter_map(|(name, text)| Some((member(name)?, text.to_owned()))).collect();
    (form.text("chunking_strategy"), parts)
}

#[cfg(test)]
mod tests {
    use actix_web::{FromRequest, test::TestRequest, web::Payload};

    use super::*;
    use crate::{
        device::Compute,
        engine::{Engine, EngineOptions},
        settings::Settings,
        stages::beam::Beam,
        weights::{Store, StoreOptions},
    };

    fn app() -> App {
        app_with(Settings::default())
    }

    fn app_with(settings: Settings) -> App {
        let store = Store::open(&StoreOptions { offline: true, quiet: true, ..StoreOptions::default() }).unwrap();
        App::new(Engine::new(store, Compute::cpu(), EngineOptions::default()), settings)
    }

    /// A form of these fields; text stands for the file.
    async fn form(app: &App, fields: &[(&str, &str)]) -> Form {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair(FILE, "x").extend_pairs(fields);
        let request = TestRequest::post().insert_header(("content-type", "application/x-www-form-urlencoded"));
        let (request, mut payload) = request.set_payload(body.finish()).to_http_parts();
        let payload = Payload::from_request(&request, &mut payload).await.unwrap();
        Form::receive(app, &request, payload, &[FILE]).await.unwrap()
    }

    async fn read(fields: &[(&str, &str)]) -> Result<Ask, Failure> {
        let app = app();
        Ask::transcription(&form(&app, fields).await, &app)
    }

    /// A request to whisper-1 that can be.
    async fn asked(fields: &[(&str, &str)]) -> Ask {
        let fields = [&[("model", "whisper-1")], fields].concat();
        read(&fields).await.unwrap()
    }

    /// The field and the sentence of a request to whisper-1 that cannot be.
    async fn refused(fields: &[(&str, &str)]) -> (String, String) {
        let fields = [&[("model", "whisper-1")], fields].concat();
        let failure = read(&fields).await.map(|_| ()).unwrap_err();
        assert_eq!(failure.status_in(crate::http::failure::Shape::OpenAi), 400, "{failure}");
        (failure.param.unwrap_or_default(), failure.message)
    }

    #[actix_web::test]
    async fn a_bare_request_is_the_default() {
        let ask = asked(&[("nobody_knows", "this")]).await;
        let defaults = Options::default();
        assert_eq!((ask.options.transcribe, ask.options.vad), (defaults.transcribe, defaults.vad));
        assert_eq!((ask.format, ask.stream, ask.logprobs), (ResponseFormat::Json, false, false));
        assert!(ask.options.diarize.is_none() && ask.known.is_empty() && ask.hub_token.is_none());
    }

    #[actix_web::test]
    async fn every_option_arrives() {
        let ask = asked(&[
            ("language", "de"),
            ("prompt", "So far."),
            ("keywords[]", "Palabra"),
            ("keywords[]", "Candle"),
            ("hotwords", "Rust"),
            ("temperature", "0.4"),
            ("batch_size", "4"),
            ("align_audio", "false"),
            ("response_format", "verbose_json"),
            ("diarize_audio", "true"),
            ("max_speakers", "3"),
            ("chunking_strategy[type]", "server_vad"),
            ("chunking_strategy[threshold]", "0.7"),
            ("hf_token", "secret"),
        ]);
        let ask = ask.await;
        let transcribe = &ask.options.transcribe;
        assert_eq!(transcribe.language, LanguageChoice::Fixed("de".parse().unwrap()));
        assert_eq!(transcribe.initial_prompt.as_deref(), Some("So far."));
        assert_eq!(transcribe.hotwords.as_deref(), Some("Palabra, Candle, Rust"));
        assert_eq!(transcribe.temperatures, [0.4, 0.6, 0.8, 1.0]);
        assert_eq!((transcribe.batch_size, ask.options.align, ask.options.vad.onset), (4, Align::Off, 0.7));
        assert_eq!(ask.options.diarize.and_then(|speakers| speakers.max_speakers), Some(3));
        assert_eq!(ask.hub_token.as_ref().map(Secret::expose), Some("secret"));
    }

    #[actix_web::test]
    async fn chunks_are_searched_as_asked() {
        let beam = asked(&[("beam_size", "5")]).await.options.transcribe.beam;
        assert_eq!(beam, Beam { size: 5, ..Beam::default() });
        let all = [("beam_size", "3"), ("patience", "0.1"), ("length_penalty", "1")];
        let beam = asked(&all).await.options.transcribe.beam;
        assert_eq!(beam, Beam { size: 3, patience: 0.1, length_penalty: Some(1.0) });
        assert_eq!(asked(&[("beam_size", "1"), ("patience", "1")]).await.options.transcribe.beam, Beam::default());
        for (fields, param) in [
            (&[("beam_size", "17")][..], "beam_size"),
            (&[("beam_size", "0")], "beam_size"),
            (&[("beam_size", "5"), ("temperature", "0.2")], "beam_size"),
            (&[("beam_size", "5"), ("patience", "0")], "patience"),
            (&[("patience", "2")], "patience"),
            (&[("beam_size", "5"), ("length_penalty", "1.5")], "length_penalty"),
            (&[("beam_size", "1"), ("length_penalty", "0.5")], "length_penalty"),
        ] {
            assert_eq!(refused(fields).await.0, param, "{fields:?}");
        }
    }

    #[actix_web::test]
    async fn the_service_s_own_search_is_for_requests_that_name_none() {
        let own = Beam { size: 4, patience: 2.0, length_penalty: Some(0.5) };
        let app = app_with(Settings { beam: own, ..Settings::default() });
        let read = async |fields: &[(&str, &str)]| {
            let fields = [&[("model", "whisper-1")], fields].concat();
            Ask::transcription(&form(&app, &fields).await, &app).unwrap().options.transcribe.beam
        };
        assert_eq!(read(&[]).await, own);
        assert_eq!(read(&[("beam_size", "2")]).await, Beam { size: 2, ..own });
        assert_eq!(read(&[("beam_size", "1")]).await, Beam::default());
        assert_eq!(read(&[("temperature", "0.4")]).await, Beam::default(), "texts are drawn from the start");
    }

    #[actix_web::test]
    async fn one_of_several_languages_is_to_be_found() {
        let ask = asked(&[("languages[]", "de"), ("languages[]", "en"), ("languages[]", "German")]).await;
        assert_eq!(ask.candidates, ["de".parse().unwrap(), "en".parse().unwrap()]);
        assert_eq!(ask.options.transcribe.language, LanguageChoice::Detect);
        let ask = asked(&[("languages", "de")]).await;
        assert!(ask.candidates.is_empty());
        assert_eq!(ask.options.transcribe.language, LanguageChoice::Fixed("de".parse().unwrap()));
        assert_eq!(asked(&[("language", "auto")]).await.options.transcribe.language, LanguageChoice::Detect);
        assert_eq!(refused(&[("language", "en"), ("languages[]", "de")]).await.0, "languages");
        assert_eq!(refused(&[("languages[]", "tlh")]).await.0, "languages");
        assert_eq!(refused(&[("language", "tlh")]).await.0, "language");
    }

    #[actix_web::test]
    async fn granularities_are_verbose_json_s() {
        let shown = |ask: Ask| (ask.granularities.word, ask.granularities.segment);
        let verbose = ("response_format", "verbose_json");
        assert_eq!(shown(asked(&[verbose]).await), (false, true));
        assert_eq!(shown(asked(&[verbose, ("timestamp_granularities[]", "word")]).await), (true, false));
        let both = [verbose, ("timestamp_granularities", "word"), ("timestamp_granularities[]", "segment")];
        assert_eq!(shown(asked(&both).await), (true, true));
        let field = "timestamp_granularities";
        assert_eq!(refused(&[("timestamp_granularities[]", "word")]).await.0, field);
        assert_eq!(refused(&[verbose, ("timestamp_granularities[]", "letter")]).await.0, field);
        let (param, _) = refused(&[verbose, ("timestamp_granularities[]", "word"), ("align_audio", "0")]).await;
        assert_eq!(param, "align_audio");
    }

    #[actix_web::test]
    async fn speakers_follow_from_the_format_and_the_model() {
        let diarizes = |ask: Ask| ask.options.diarize.is_some();
        assert!(diarizes(asked(&[("response_format", "diarized_json")]).await));
        let model = ("model", "gpt-4o-transcribe-diarize");
        for (format, wanted) in [("json", false), ("text", false), ("srt", true), ("diarized_json", true)] {
            assert_eq!(diarizes(read(&[model, ("response_format", format)]).await.unwrap()), wanted, "{format}");
        }
        assert!(!diarizes(read(&[model, ("response_format", "srt"), ("diarize_audio", "no")]).await.unwrap()));
        assert!(diarizes(asked(&[("response_format", "text"), ("diarize_audio", "yes")]).await));
        for fields in [
            &[("diarize_audio", "true")][..],
            &[("min_speakers", "2")],
            &[("response_format", "diarized_json"), ("diarize_audio", "false")],
        ] {
            assert_eq!(refused(fields).await.0, "diarize_audio", "{fields:?}");
        }
        let wrong = [("response_format", "diarized_json"), ("min_speakers", "3"), ("max_speakers", "2")];
        assert_eq!(refused(&wrong).await.0, "min_speakers");
    }

    #[actix_web::test]
    async fn known_speakers_need_a_format_that_names_them() {
        let known =
            [("known_speaker_names[]", "agent"), ("known_speaker_references[]", "data:audio/wav;base64,UklGRg==")];
        let ask = asked(&[&known[..], &[("response_format", "diarized_json")]].concat()).await;
        assert_eq!(ask.known[0].name, "agent");
        assert!(ask.telling().named && ask.telling().segments);
        assert_eq!(refused(&known).await.0, "known_speaker_names");
        let short = [known[0], ("response_format", "diarized_json")];
        assert_eq!(refused(&short).await.0, "known_speaker_references");
    }

    #[actix_web::test]
    async fn what_the_response_has_no_place_for_is_refused() {
        let refusals: [(&[(&str, &str)], &str); 9] = [
            (&[("stream", "true"), ("response_format", "srt")], "stream"),
            (&[("stream", "perhaps")], "stream"),
            (&[("include[]", "logprobs"), ("response_format", "text")], "include"),
            (&[("include[]", "everything")], "include"),
            (&[("response_format", "docx")], "response_format"),
            (&[("temperature", "1.5")], "temperature"),
            (&[("temperature", "warm")], "temperature"),
            (&[("batch_size", "0")], "batch_size"),
            (&[("chunking_strategy", "manual")], "chunking_strategy"),
        ];
        for (fields, param) in refusals {
            assert_eq!(refused(fields).await.0, param, "{fields:?}");
        }
        assert!(asked(&[("include[]", "logprobs"), ("stream", "true")]).await.telling().logprobs);
    }

    #[actix_web::test]
    async fn a_model_must_be_named_and_known() {
        let failure = read(&[]).await.map(|_| ()).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some("model"));
        assert!(failure.message.contains("whisper-1"), "{failure}");
        let failure = read(&[("model", "whisper-9")]).await.map(|_| ()).unwrap_err();
        assert_eq!((failure.status.as_u16(), failure.code), (404, Some("model_not_found")));
    }

    #[actix_web::test]
    async fn a_translation_is_a_task_of_its_own() {
        let app = app();
        let read = async |fields: &[(&str, &str)]| {
            let fields = [&[("model", "whisper-1")], fields].concat();
            Ask::translation(&form(&app, &fields).await, &app)
        };
        let ask = read(&[("response_format", "vtt"), ("temperature", "0.2"), ("language", "de")]).await.unwrap();
        assert_eq!((ask.options.transcribe.task, ask.format), (Task::Translate, ResponseFormat::Vtt));
        assert_eq!(ask.options.transcribe.language, LanguageChoice::Fixed("de".parse().unwrap()));
        let failure = read(&[("response_format", "diarized_json")]).await.map(|_| ()).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some("response_format"));
    }
}
