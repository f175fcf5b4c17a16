//! `POST /transcribe/`: the WhisperX service that Palabra replaces, with the union of its two published bodies.
//!
//! What could not be done besides the text (word times, speakers) is a warning in a full answer, as there.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{OpenApi, ToSchema};

use super::{
    app::App,
    failure::Failure,
    fields::Fields,
    form::Form,
    openai::known::{self, KnownSpeaker},
    schema::{DetailFailures, Segment, Turn, Word},
    work::{Job, Recording, Work},
};
use crate::{
    Error, Result,
    audio::decode::decode_file_channels,
    engine::{Align, Channels, Options, Pipeline},
    formats::Document,
    language::Language,
    settings::{LARGEST_BATCH, Secret},
    stages::{diarize::DiarizeOptions, language::LanguageChoice},
    transcript::{SpeakerChanges, Transcript},
};

/// The field that holds the recording.
const FILE: &str = "audio_file";

/// Adds the routes.
pub fn routes(config: &mut ServiceConfig) {
    for path in ["/transcribe/", "/transcribe"] {
        config.service(web::resource(path).route(web::post().to(transcribe)));
    }
}

/// The document of these routes.
#[derive(OpenApi)]
#[openapi(paths(transcribe), components(schemas(TranscribeForm, TranscribeAnswer, OptionsUsed)))]
pub struct Api;

/// The form; unknown fields are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes")]
struct TranscribeForm {
    /// The recording: audio or video of any common format.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    audio_file: Vec<u8>,
    /// In the place of `audio_file`: where the recording lies, on a host that the operator allows.
    #[schema(nullable = false, example = "https://media.example.com/talk.mp3")]
    url: Option<String>,
    /// A Whisper model; without it the service's own, `base` where nothing else is set.
    #[schema(nullable = false, example = "base")]
    model_name: Option<String>,
    /// The language spoken, as a code or an English name; without it, it is detected.
    #[schema(nullable = false, example = "en")]
    language: Option<String>,
    /// Chunks that are written side by side.
    #[schema(nullable = false, minimum = 1, maximum = 256, default = 16)]
    batch_size: Option<u32>,
    /// Texts of a chunk that are followed side by side; without it, the service's own number, 1 where nothing else is set.
    #[schema(nullable = false, minimum = 1, maximum = 16)]
    beam_size: Option<u32>,
    /// The search of a chunk ends when `beam_size` times this many texts have ended; with `beam_size` above 1.
    #[schema(nullable = false, minimum = 0.1, maximum = 10.0, default = 1.0)]
    patience: Option<f64>,
    /// Of the texts found, the one is kept whose log-probability over ((5 + tokens) / 6)^`length_penalty` is highest, without
    /// it over the number of tokens; with `beam_size` above 1.
    #[schema(nullable = false, minimum = 0.0, maximum = 1.0)]
    length_penalty: Option<f64>,
    /// Whether words get times.
    #[schema(nullable = false, default = true)]
    align_audio: Option<bool>,
    /// Whether words get times; both must be true.
    #[schema(nullable = false, default = true)]
    word_level_timestamps: Option<bool>,
    /// Whether characters get times too, as `chars` of each segment.
    #[schema(nullable = false, default = false)]
    return_char_alignments: Option<bool>,
    /// The network that finds speech, `silero` or `pyannote`; without it, the service's own.
    #[schema(nullable = false, pattern = "^(silero|pyannote)$")]
    vad_method: Option<String>,
    /// Whether speakers are told apart.
    #[schema(nullable = false, default = false)]
    diarize_audio: Option<bool>,
    /// A token for the model hub, used for this request alone; speakers need none.
    #[schema(nullable = false)]
    hf_token: Option<String>,
    /// At least this many speakers, with `diarize_audio`.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    min_speakers: Option<u32>,
    /// At most this many speakers, with `diarize_audio`.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    max_speakers: Option<u32>,
    /// Who speaks in a recording of several channels: `mix` leaves that open, `speakers` is one speaker in each, the first
    /// of them `SPEAKER_00`, in the place of `diarize_audio`.
    #[schema(nullable = false, default = "mix", pattern = "^(mix|speakers)$")]
    channels: Option<String>,
    /// What a change of speaker does, with `diarize_audio`: `none` leaves each sentence to who says most of it, `smoothed`
    /// splits segments at real changes, `word` at every one. Words have the speaker of their segment in each of them.
    #[schema(nullable = false, default = "smoothed", pattern = "^(none|smoothed|word)$")]
    speaker_changes: Option<String>,
    /// Names of at most 4 known speakers, with `diarize_audio`.
    #[serde(rename = "known_speaker_names[]")]
    #[schema(nullable = false)]
    known_speaker_names: Option<Vec<String>>,
    /// 2 to 10 s of each of their voices as data: URLs; those of one name are averaged.
    #[serde(rename = "known_speaker_references[]")]
    #[schema(nullable = false)]
    known_speaker_references: Option<Vec<String>>,
    /// Whether the answer has the voice of each speaker as `speaker_embeddings`, with `diarize_audio`.
    #[schema(nullable = false, default = false)]
    speaker_embeddings: Option<bool>,
}

/// What is asked for.
#[derive(Debug)]
struct Ask {
    model: String,
    /// As the caller wrote it, for `options_used`.
    model_name: String,
    language_requested: Option<String>,
    hub_token: Option<Secret>,
    word_times: bool,
    diarize: bool,
    batch_size: usize,
    known: Vec<KnownSpeaker>,
    embeddings: bool,
    options: Options,
}

impl Ask {
    fn read(app: &App, form: &Form) -> std::result::Result<Self, Failure> {
        let mut fields = form.fields();
        fields.require(FILE);
        let model_name = fields.text("model_name");
        let language = fields.parse("language", read_language).flatten();
        let batch_size = fields.integer("batch_size", 1..=LARGEST_BATCH as i64);
        let batch_size = batch_size.and_then(|size| size.try_into().ok()).unwrap_or(16);
        let align = fields.boolean("align_audio").unwrap_or(true);
        let word_times = fields.boolean("word_level_timestamps").unwrap_or(true) && align;
        let characters = fields.boolean("return_char_alignments").unwrap_or(false);
        if characters && !word_times {
            let reason =
                "Value error, characters get times where words do: leave align_audio and word_level_timestamps true";
            fields.refuse("return_char_alignments", reason, "value_error");
        }
        let diarize = fields.boolean("diarize_audio").unwrap_or(false);
        let hub_token = fields.parse("hf_token", |text| text.trim().parse::<Secret>());
        let mut speakers = |name| fields.integer(name, 1..=1000).and_then(|count| count.try_into().ok());
        let speakers = DiarizeOptions {
            min_speakers: speakers("min_speakers"),
            max_speakers: speakers("max_speakers"),
            ..DiarizeOptions::default()
        };
        if let Err(reason) = speakers.bounds() {
            fields.refuse("min_speakers", format!("Value error, {reason}"), "value_error");
        }
        let channels = fields.choice("channels", &Channels::NAMES).unwrap_or_default();
        if diarize && channels == Channels::Speakers {
            let reason = "Value error, channels=speakers takes each channel for a speaker: leave out diarize_audio";
            fields.refuse("channels", reason, "value_error");
        }
        let changes = fields.choice("speaker_changes", &SpeakerChanges::NAMES);
        let embeddings = fields.boolean("speaker_embeddings").unwrap_or(false);
        let known = known_speakers(&mut fields);
        let mut options = app.options(&mut fields);
        let about_speakers = [
            // Forms send the default of every field.
            ("speaker_changes", changes.is_some_and(|changes| changes != SpeakerChanges::default())),
            ("speaker_embeddings", embeddings),
            ("known_speaker_names", !known.is_empty()),
        ];
        for (name, _) in about_speakers.iter().filter(|(_, given)| *given && !diarize) {
            let reason = format!("Value error, {name} is about telling speakers apart: send diarize_audio=true");
            fields.refuse(name, reason, "value_error");
        }
        fields.finish()?;
        options.transcribe.batch_size = batch_size;
        options.transcribe.language = language.map_or(LanguageChoice::Detect, LanguageChoice::Fixed);
        options.align = if word_times { Align::Auto } else { Align::Off };
        options.characters = characters;
        options.diarize = diarize.then_some(speakers);
        options.channels = channels;
        options.speaker_changes = changes.unwrap_or_default();
        let model = app.model(model_name.as_deref()).map_err(|failure| failure.about("model_name"))?;
        let language_requested = form.text("language").map(str::to_owned);
        let model_name = model_name.unwrap_or_else(|| app.settings().model.clone());
        Ok(Self {
            model,
            model_name,
            language_requested,
            hub_token,
            word_times,
            diarize,
            batch_size,
            known,
            embeddings,
            options,
        })
    }
}

/// What is wrong with them is noted in `fields`.
fn known_speakers(fields: &mut Fields<'_>) -> Vec<KnownSpeaker> {
    let (names, references) = (fields.texts("known_speaker_names"), fields.texts("known_speaker_references"));
    known::read(&names, &references).unwrap_or_else(|wrong| {
        let field = wrong.param.as_deref().unwrap_or("known_speaker_names");
        fields.refuse(field, format!("Value error, {}", wrong.message), "value_error");
        Vec::new()
    })
}

/// `None` for `auto`.
fn read_language(text: &str) -> Result<Option<Language>> {
    if text.trim().eq_ignore_ascii_case("auto") { Ok(None) } else { text.parse().map(Some) }
}

/// What was said when, and by whom.
#[derive(Debug, Serialize, ToSchema)]
struct TranscribeAnswer {
    /// The language as a code.
    language: String,
    /// Its probability; 1 when it was given.
    language_probability: Value,
    #[schema(value_type = Vec<Segment>)]
    segments: Value,
    #[schema(value_type = Vec<Word>)]
    word_segments: Value,
    /// All text in one line.
    full_text: String,
    options_used: OptionsUsed,
    /// Who speaks when, apart from words; with `diarize_audio` or `channels=speakers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Turn>>, nullable = false)]
    speaker_activity_segments: Option<Value>,
    /// The voice of each speaker, a vector of length one to be compared by its dot product; with `speaker_embeddings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Vec<f32>>>, nullable = false)]
    speaker_embeddings: Option<Value>,
    /// What could not be done, by `alignment` and `diarization`, and what else is worth knowing, by `transcription`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>, nullable = false)]
    warnings: Map<String, Value>,
}

/// What was asked for and what was done, under the names of both published versions.
#[derive(Debug, Serialize, ToSchema)]
struct OptionsUsed {
    model_name: String,
    #[schema(required)]
    language_requested: Option<String>,
    batch_size: usize,
    alignment_performed: bool,
    diarization_performed: bool,
    alignment_requested_for_words: bool,
    alignment_performed_for_words: bool,
    diarization_requested: bool,
    diarization_speaker_turns_generated: bool,
    diarization_word_level_assigned: bool,
    word_level_timestamps_requested: bool,
    /// `cuda` or `cpu`.
    device: &'static str,
    /// The number type of the weights, such as `float32`.
    compute_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    alignment_warning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    diarization_warning: Option<String>,
}

/// A transcript, and why parts of it are missing.
struct Outcome {
    transcript: Transcript,
    alignment_problem: Option<String>,
    diarization_problem: Option<String>,
}

/// Transcribe a recording, with the time of every word and, if wanted, its speaker.
///
/// The path answers without its slash at the end as well.
#[utoipa::path(
    post,
    path = "/transcribe/",
    tag = "Transcription",
    request_body(content = TranscribeForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "The transcript", body = TranscribeAnswer, headers(
        ("x-request-id" = String, description = "The name of this request in the log"),
        ("x-queue-time" = u64, description = "Milliseconds that it waited"),
        ("x-inference-time" = u64, description = "Milliseconds that it was worked on"),
    )), DetailFailures)
)]
async fn transcribe(app: Data<App>, request: HttpRequest, body: Payload) -> std::result::Result<HttpResponse, Failure> {
    let work = Work::enter(&app)?;
    let form = Form::receive(&app, &request, body, &[FILE]).await?;
    let ask = Ask::read(&app, &form)?;
    let upload = form.file(FILE)?;
    drop(form);
    work.received();
    let recording = match ask.options.channels {
        Channels::Mix => work.decode(upload).await?,
        Channels::Speakers => work.decode_as(upload, decode_file_channels).await?,
    };
    let told = work.run(move |job| {
        let mut ask = ask;
        match known::hear(&ask.known, job.engine(), &job.watch()) {
            Ok(known) => ask.options.known = known,
            // As with speakers in general, the text is not lost for what is not the caller's fault.
            Err(failure) if failure.status.is_server_error() => {
                ask.options.known.warn(format!("known speakers could not be listened to: {}", failure.message));
            }
            Err(failure) => return Ok(Err(failure)),
        }
        Ok(Ok((attempt(job, &recording, &ask)?, ask)))
    });
    let (outcome, ask) = told.await??;
    let mut response = HttpResponse::Ok();
    work.finish(&outcome.transcript.timings).write(&mut response);
    Ok(response.json(answer(&app, ask, outcome)))
}

/// Transcribes; without speakers or word times where these fail for a reason that is not the caller's.
fn attempt(job: &Job, recording: &Recording, ask: &Ask) -> Result<Outcome> {
    let token = ask.hub_token.as_ref().map(Secret::expose);
    let pipeline = job.engine().pipeline(&ask.model, token, &job.watch())?;
    pipeline.check(&ask.options)?;
    let mut options = ask.options.clone();
    let outcome = |transcript| Outcome { transcript, alignment_problem: None, diarization_problem: None };
    let error = match run(job, &pipeline, recording, &options) {
        Ok(transcript) => return Ok(outcome(transcript)),
        Err(error) if !is_ours(&error) => return Err(error),
        Err(error) => error,
    };
    if options.diarize.take().is_some()
        && let Ok(transcript) = run(job, &pipeline, recording, &options)
    {
        return Ok(Outcome { diarization_problem: Some(Failure::from(error).message), ..outcome(transcript) });
    }
    if options.align != Align::Off {
        options = Options { align: Align::Off, ..ask.options.clone() };
        if let Ok(transcript) = run(job, &pipeline, recording, &options) {
            return Ok(Outcome { alignment_problem: Some(Failure::from(error).message), ..outcome(transcript) });
        }
    }
    Err(error)
}

fn run(job: &Job, pipeline: &Pipeline, recording: &Recording, options: &Options) -> Result<Transcript> {
    pipeline.transcribe(recording.decoded.clone(), recording.seconds, options, &job.watch())
}

/// Whether the service, not the caller, is the reason.
fn is_ours(error: &Error) -> bool {
    matches!(error, Error::Weights(_) | Error::Machine(_) | Error::OutOfMemory(_) | Error::Tensor(_) | Error::Bug(_))
}

fn answer(app: &App, ask: Ask, outcome: Outcome) -> TranscribeAnswer {
    let Outcome { transcript, alignment_problem, diarization_problem } = outcome;
    let texts: Vec<&str> = transcript.segments.iter().map(|segment| segment.text.trim()).collect();
    let full_text = texts.join(" ");
    let mut document = Document::new(&transcript);
    if ask.embeddings {
        document = document.with_voices(&transcript);
    }
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let mut part = |name: &str| document.get_mut(name).map(Value::take).unwrap_or_default();
    let aligned = ask.word_times && alignment_problem.is_none();
    let apart = ask.options.channels == Channels::Speakers;
    let diarized = ask.diarize && diarization_problem.is_none();
    let mut warnings = Map::new();
    let mut warn = |name: &str, sentence: &Option<String>| {
        if let Some(sentence) = sentence {
            warnings.insert(name.into(), json!(sentence));
        }
    };
    warn("alignment", &alignment_problem);
    warn("diarization", &diarization_problem);
    warn("transcription", &(!transcript.warnings.is_empty()).then(|| transcript.warnings.join("; ")));
    let speakers_on_words =
        transcript.segments.iter().flat_map(|segment| &segment.words).any(|word| word.speaker.is_some());
    TranscribeAnswer {
        language: transcript.language.code().to_owned(),
        language_probability: part("language_probability"),
        segments: part("segments"),
        word_segments: part("word_segments"),
        full_text,
        speaker_activity_segments: (diarized || apart).then(|| part("turns")),
        speaker_embeddings: (diarized && ask.embeddings).then(|| part("speaker_embeddings")),
        warnings,
        options_used: OptionsUsed {
            model_name: ask.model_name,
            language_requested: ask.language_requested,
            batch_size: ask.batch_size,
            alignment_performed: aligned,
            diarization_performed: diarized,
            alignment_requested_for_words: ask.word_times,
            alignment_performed_for_words: aligned,
            diarization_requested: ask.diarize,
            diarization_speaker_turns_generated: diarized && !transcript.turns.is_empty(),
            diarization_word_level_assigned: diarized && speakers_on_words,
            word_level_timestamps_requested: ask.word_times,
            device: if app.engine().compute().device.is_cuda() { "cuda" } else { "cpu" },
            compute_type: app.engine().compute().type_name(),
            alignment_warning: alignment_problem,
            diarization_warning: diarization_problem,
        },
    }
}
