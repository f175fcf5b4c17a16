//! `POST /v1/audio/translations`.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};

use super::{
    answer::answer,
    request::Ask,
    schema::{ErrorBody, TranslationForm, TranslationObject},
};
use crate::http::{app::App, failure::Failure, form::Form, work::Work};

/// Speech in any language to English text, as OpenAI's audio API does it.
///
/// Needs a multilingual model; `large-v3-turbo` and the English-only ones were not taught to translate.
#[utoipa::path(
    post,
    path = "/v1/audio/translations",
    tag = "OpenAI",
    operation_id = "createTranslation",
    request_body(content = TranslationForm, content_type = "multipart/form-data"),
    responses(
        (
            status = 200,
            description = "The English text. `json` and `verbose_json` are objects, `text`, `srt` and `vtt` plain text",
            content(
                (TranslationObject = "application/json", examples(
                    ("json" = (value = json!({"text": "Hello, my name is Wolfgang and I come from Germany."}))),
                    ("verbose_json" = (value = json!({"task": "translate", "language": "english", "duration": 4.2, "text": "Hello.", "segments": [{"id": 0, "seek": 30, "start": 0.3, "end": 0.9, "text": "Hello.", "tokens": [2425, 13], "temperature": 0.0, "avg_logprob": -0.3, "compression_ratio": 0.6, "no_speech_prob": 0.02}], "usage": {"type": "duration", "seconds": 5}}))),
                )),
                (String = "text/plain", example = "Hello, my name is Wolfgang and I come from Germany.\n"),
                (String = "text/vtt", example = "WEBVTT\n\n00:00:00.300 --> 00:00:00.900\nHello.\n"),
            ),
        ),
        (status = 400, description = "A field, the model or the recording must be changed", body = ErrorBody),
        (status = 401, description = "No key, or a wrong one", body = ErrorBody),
        (status = 404, description = "No such model", body = ErrorBody),
        (status = 408, description = "The body came too slowly", body = ErrorBody),
        (status = 413, description = "The recording is larger or longer than allowed", body = ErrorBody),
        (status = 415, description = "No form", body = ErrorBody),
        (status = 424, description = "The model cannot be fetched or read", body = ErrorBody),
        (status = 429, description = "The service is busy: try again after Retry-After", body = ErrorBody),
        (status = 500, description = "A bug; the log has the details", body = ErrorBody),
        (status = 503, description = "The service is shutting down, or its machine lacks something", body = ErrorBody),
        (status = 504, description = "It took longer than allowed", body = ErrorBody),
        (status = 507, description = "The server's disk is full", body = ErrorBody),
    ),
)]
pub(super) async fn create(app: Data<App>, request: HttpRequest, body: Payload) -> Result<HttpResponse, Failure> {
    let work = Work::enter(&app)?;
    let form = Form::receive(&app, &request, body, &["file"]).await?;
    let ask = Ask::translation(&form, &app)?;
    let upload = form.file("file")?;
    work.received();
    let recording = work.decode(upload).await?;
    Ok(work.run(move |job| Ok(answer(job, ask, recording))).await??.send(&work))
}
