//! `POST /v1/audio/translations`.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};

use super::{
    FILE,
    answer::answer,
    recording,
    request::Ask,
    schema::{TranslationForm, TranslationObject},
};
use crate::http::{app::App, failure::Failure, form::Form, schema::OpenAiFailures, work::Work};

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
        OpenAiFailures,
    ),
)]
pub(super) async fn create(app: Data<App>, request: HttpRequest, body: Payload) -> Result<HttpResponse, Failure> {
    let work = Work::enter(&app)?;
    let form = Form::receive(&app, &request, body, &[FILE]).await?;
    let ask = Ask::translation(&form, &app)?;
    let recording = recording(&work, form).await?;
    Ok(work.run(move |job| Ok(answer(job, ask, recording))).await??.send(&work))
}
