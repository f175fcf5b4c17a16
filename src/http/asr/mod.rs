//! `POST /asr` and `POST /detect-language`, as whisper-asr-webservice (1.9) answers them: media tools speak it.
//!
//! The recording comes in the form as `audio_file`, the options in the query. What they mean here:
//! - `encode=true`: any recording that Palabra decodes. `encode=false`: raw samples, 16-bit little-endian, mono, 16 kHz;
//! - `vad_filter`: both values give the same, since speech is always found before it is written;
//! - `vad_method`: by which network, beyond that service;
//! - `word_timestamps`: `words` in the JSON; the times of segments and cues come from words in any case;
//! - `diarize`, `min_speakers`, `max_speakers`: as with that service's WhisperX engine, without a token for a model hub;
//! - `output`: `txt` (also `text`), `vtt`, `srt`, `tsv`, `json`. Unlike there, another word is refused and not taken for txt.
//!
//! Answers are `text/plain` throughout, JSON too, as they are there. The JSON has the keys of its engines together:
//! segments of openai-whisper and faster-whisper (texts begin with a space where the language writes them, so that they
//! can be joined), `score` and `speaker` of WhisperX, and `warnings` where there are any.

mod answer;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, Data, Payload, ServiceConfig},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use utoipa::{IntoParams, OpenApi, ToSchema};

use self::answer::{AsrTranscript, DetectedLanguage};
use super::{App, Failure, Form, Recording, Work, schema::DetailFailures};
use crate::{
    audio::decode::decode_raw,
    engine::{Align, Options},
    formats::{self, Format},
    models::whisper::tokenizer::Task,
    stages::{diarize::DiarizeOptions, language::LanguageChoice, transcribe::TranscribeOptions, vad::VoiceDetector},
    transcript::Transcript,
};

/// What is written as it is in a file name inside Content-Disposition (Python's urllib.parse.quote).
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b'/');
/// The file's field.
const FILE: &str = "audio_file";

/// The routes of this API.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/asr").route(web::post().to(asr)))
        .service(web::resource("/detect-language").route(web::post().to(detect_language)));
}

/// The document of this API.
#[derive(OpenApi)]
#[openapi(
    paths(asr, detect_language),
    components(schemas(AsrForm, AsrTranscript, DetectedLanguage)),
    tags((name = "whisper-asr-webservice", description = "As whisper-asr-webservice answers"))
)]
pub struct Api;

/// The body of both routes.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
struct AsrForm {
    /// The recording; raw samples with `encode=false`.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream", required = false)]
    audio_file: Vec<u8>,
    /// In the place of `audio_file`: where the recording lies, on a host that the operator allows.
    #[schema(nullable = false, example = "https://media.example.com/talk.mp3")]
    url: Option<String>,
}

/// The query of `/asr`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a query")]
struct AsrQuery {
    /// `true`: any recording; `false`: raw samples, 16-bit little-endian, mono, 16 kHz.
    #[param(default = true)]
    encode: Option<bool>,
    /// `transcribe` in the language that is spoken, or `translate` into English.
    #[param(default = "transcribe", pattern = "^(transcribe|translate)$")]
    task: Option<String>,
    /// The language that is spoken, as a code or an English name; detected where it is absent.
    #[param(example = "en")]
    language: Option<String>,
    /// Text that is told to the model as if it went before.
    initial_prompt: Option<String>,
    /// Speech is always found before it is written; both values give the same.
    #[param(default = false)]
    vad_filter: Option<bool>,
    /// The network that finds speech, `silero` or `pyannote`; without it, the service's own.
    #[param(pattern = "^(silero|pyannote)$")]
    vad_method: Option<String>,
    /// Whether the JSON has words with times.
    #[param(default = false)]
    word_timestamps: Option<bool>,
    /// Whether to tell speakers apart.
    #[param(default = false)]
    diarize: Option<bool>,
    /// Speakers at least; with `diarize=true`.
    #[param(minimum = 1, maximum = 1000)]
    min_speakers: Option<i64>,
    /// Speakers at most; with `diarize=true`.
    #[param(minimum = 1, maximum = 1000)]
    max_speakers: Option<i64>,
    /// The format of the answer.
    #[param(default = "txt", pattern = "^(txt|text|vtt|srt|tsv|json)$")]
    output: Option<String>,
}

/// The query of `/detect-language`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a query")]
struct DetectQuery {
    /// `true`: any recording; `false`: raw samples, 16-bit little-endian, mono, 16 kHz.
    #[param(default = true)]
    encode: Option<bool>,
    /// The network that finds speech, `silero` or `pyannote`; without it, the service's own.
    #[param(pattern = "^(silero|pyannote)$")]
    vad_method: Option<String>,
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq)]
struct Ask {
    encode: bool,
    task: Task,
    language: LanguageChoice,
    initial_prompt: Option<String>,
    word_timestamps: bool,
    diarize: Option<DiarizeOptions>,
    format: Format,
    vad: Option<VoiceDetector>,
}

impl Ask {
    fn read(query: &Form, form: &Form) -> Result<Self, Failure> {
        let mut fields = query.fields();
        let speakers = 1..=1000;
        let count = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok());
        let (min, max) = (fields.integer("min_speakers", speakers.clone()), fields.integer("max_speakers", speakers));
        let bounds = DiarizeOptions { num_speakers: None, min_speakers: count(min), max_speakers: count(max) };
        if let Err(reason) = bounds.bounds() {
            fields.refuse("min_speakers", format!("Value error, {reason}"), "value_error");
        }
        let ask = Self {
            encode: fields.boolean("encode").unwrap_or(true),
            task: fields
                .choice("task", &[("transcribe", Task::Transcribe), ("translate", Task::Translate)])
                .unwrap_or(Task::Transcribe),
            language: fields.parse("language", language).unwrap_or_default(),
            initial_prompt: fields.text("initial_prompt"),
            word_timestamps: fields.boolean("word_timestamps").unwrap_or(false),
            diarize: fields.boolean("diarize").unwrap_or(false).then_some(bounds),
            format: fields.choice("output", &FORMATS).unwrap_or(Format::Txt),
            vad: fields.choice("vad_method", &VoiceDetector::NAMES),
        };
        fields.boolean("vad_filter");
        finish(fields, form)?;
        Ok(ask)
    }

    fn options(&self, app: &App) -> Options {
        let transcribe = TranscribeOptions {
            language: self.language,
            task: self.task,
            initial_prompt: self.initial_prompt.clone(),
            beam: app.settings().beam,
            ..TranscribeOptions::default()
        };
        Options { vad: app.vad(self.vad), transcribe, align: Align::Auto, diarize: self.diarize, ..Options::default() }
    }
}

const FORMATS: [(&str, Format); 6] = [
    ("txt", Format::Txt),
    ("vtt", Format::Vtt),
    ("srt", Format::Srt),
    ("tsv", Format::Tsv),
    ("json", Format::Json),
    // That service's documentation calls it so.
    ("text", Format::Txt),
];

fn language(text: &str) -> crate::Result<LanguageChoice> {
    match text.trim().to_ascii_lowercase().as_str() {
        "auto" => Ok(LanguageChoice::Detect),
        name => name.parse().map(LanguageChoice::Fixed),
    }
}

/// All that is wrong with the query and the form.
fn finish(query: super::Fields<'_>, form: &Form) -> Result<(), Failure> {
    let mut body = form.fields();
    body.require(FILE);
    match (query.finish(), body.finish()) {
        (Ok(()), rest) => rest,
        (Err(wrong), Ok(())) => Err(wrong),
        (Err(query), Err(body)) => Err(Failure::fields([query.fields, body.fields].concat())),
    }
}

/// Transcribes a recording.
///
/// The answer is a file in the format of `output`, as `text/plain`.
#[utoipa::path(
    post,
    path = "/asr",
    tag = "whisper-asr-webservice",
    params(AsrQuery),
    request_body(content = AsrForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The transcript in the format of `output`; the schema is that of `json`",
            content_type = "text/plain", body = AsrTranscript,
            headers(
                ("Asr-Engine" = String, description = "`palabra`"),
                ("Content-Disposition" = String, description = "The name of the recording and the format"),
            )),
        DetailFailures,
    )
)]
async fn asr(app: Data<App>, request: HttpRequest, body: Payload) -> Result<HttpResponse, Failure> {
    let work = Work::enter(&app)?;
    let form = Form::receive(&app, &request, body, &[FILE]).await?;
    let ask = Ask::read(&Form::from_query(&request), &form)?;
    let upload = form.file(FILE)?;
    work.received();
    let disposition = disposition(upload.name.as_deref().unwrap_or(FILE), ask.format);
    let recording = decode(&work, upload, ask.encode).await?;
    let model = app.settings().model.clone();
    let options = ask.options(&app);
    let transcript = work
        .run(move |job| {
            let pipeline = job.engine().pipeline(&model, None, &job.watch())?;
            pipeline.transcribe(recording.decoded, recording.seconds, &options, &job.watch())
        })
        .await?;
    let mut response = HttpResponse::Ok();
    work.finish(&transcript.timings).write(&mut response);
    response
        .content_type("text/plain; charset=utf-8")
        .insert_header(("Asr-Engine", "palabra"))
        .insert_header((header::CONTENT_DISPOSITION, disposition));
    Ok(response.body(render(&transcript, &ask)))
}

/// Tells which language a recording is in.
#[utoipa::path(
    post,
    path = "/detect-language",
    tag = "whisper-asr-webservice",
    params(DetectQuery),
    request_body(content = AsrForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The likeliest language", body = DetectedLanguage),
        DetailFailures,
    )
)]
async fn detect_language(app: Data<App>, request: HttpRequest, body: Payload) -> Result<HttpResponse, Failure> {
    let work = Work::enter(&app)?;
    let form = Form::receive(&app, &request, body, &[FILE]).await?;
    let query = Form::from_query(&request);
    let mut fields = query.fields();
    let encode = fields.boolean("encode").unwrap_or(true);
    let vad = app.vad(fields.choice("vad_method", &VoiceDetector::NAMES));
    finish(fields, &form)?;
    let upload = form.file(FILE)?;
    work.received();
    let recording = decode(&work, upload, encode).await?;
    let model = app.settings().model.clone();
    let languages = work
        .run(move |job| {
            let pipeline = job.engine().pipeline(&model, None, &job.watch())?;
            pipeline.detect_language(recording.decoded, &vad, &job.watch())
        })
        .await?;
    let mut response = HttpResponse::Ok();
    work.finish(&Default::default()).write(&mut response);
    Ok(response.json(DetectedLanguage::new(&languages)))
}

async fn decode(work: &Work, upload: super::Upload, encode: bool) -> Result<Recording, Failure> {
    if encode { work.decode(upload).await } else { work.decode_as(upload, decode_raw).await }
}

/// `attachment; filename="talk.mp3.srt"`.
fn disposition(name: &str, format: Format) -> String {
    format!("attachment; filename=\"{}.{format}\"", utf8_percent_encode(name, QUOTED))
}

fn render(transcript: &Transcript, ask: &Ask) -> String {
    match ask.format {
        // Strings and numbers always serialize.
        Format::Json => serde_json::to_string(&AsrTranscript::new(transcript, ask.word_timestamps)).unwrap_or_default(),
        other => formats::render(other, transcript, FILE),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn ask(query: &str) -> Result<Ask, Failure> {
        let request = TestRequest::post().uri(&format!("/asr?{query}")).to_http_request();
        let mut ask = Ask::read(&Form::from_query(&request), &Form::default());
        // The file is missing in every one of these requests.
        if let Err(failure) = &mut ask {
            let missing = failure.fields.pop().filter(|wrong| (wrong.place, wrong.kind) == ("body", "missing"));
            assert_eq!(missing.map(|wrong| wrong.field).as_deref(), Some(FILE));
        }
        ask
    }

    fn wrong(query: &str) -> Vec<(&'static str, String, &'static str)> {
        ask(query).unwrap_err().fields.into_iter().map(|wrong| (wrong.place, wrong.field, wrong.kind)).collect()
    }

    #[test]
    fn what_is_right_is_no_error_and_what_is_wrong_is_told_with_its_place() {
        assert_eq!(wrong("task=translate&language=de&output=SRT&encode=no&word_timestamps=1&vad_filter=on&x=y"), []);
        assert_eq!(wrong("diarize=true&min_speakers=2&max_speakers=2&language=auto&output=text&initial_prompt="), []);
        for (query, field, kind) in [
            ("task=summarize", "task", "literal_error"),
            ("language=klingon", "language", "value_error"),
            ("output=docx", "output", "literal_error"),
            ("encode=perhaps", "encode", "bool_parsing"),
            ("vad_filter=2", "vad_filter", "bool_parsing"),
            ("vad_method=webrtc", "vad_method", "literal_error"),
            ("min_speakers=two", "min_speakers", "int_parsing"),
            ("max_speakers=0", "max_speakers", "greater_than_equal"),
            ("min_speakers=3&max_speakers=2", "min_speakers", "value_error"),
        ] {
            assert_eq!(wrong(query), [("query", field.to_owned(), kind)], "{query}");
        }
    }

    #[test]
    fn names_of_files_are_quoted_in_the_header() {
        assert_eq!(disposition("talk.mp3", Format::Srt), "attachment; filename=\"talk.mp3.srt\"");
        assert_eq!(disposition("a b\"\u{fc}.wav", Format::Txt), "attachment; filename=\"a%20b%22%C3%BC.wav.txt\"");
    }
}
