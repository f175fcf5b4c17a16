//! `POST /v1/audio/transcriptions`.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};

use super::{
    FILE,
    answer::answer,
    recording,
    request::Ask,
    schema::{TranscriptionForm, TranscriptionObject},
    stream,
};
use crate::http::{app::App, failure::Failure, form::Form, schema::OpenAiFailures, work::Work};

/// Speech to text, as OpenAI's audio API does it.
///
/// Every OpenAI client works with its base URL set to this service: `OpenAI(base_url="http://localhost:8000/v1")`. The
/// response is chosen by `response_format`; with `stream=true` it is a stream of server-sent events.
#[utoipa::path(
    post,
    path = "/v1/audio/transcriptions",
    tag = "OpenAI",
    operation_id = "createTranscription",
    request_body(content = TranscriptionForm, content_type = "multipart/form-data"),
    responses(
        (
            status = 200,
            description = "The transcript. `json`, `verbose_json` and `diarized_json` are objects, `text`, `srt` and `vtt` plain text, a stream is a row of events",
            content(
                (TranscriptionObject = "application/json", examples(
                    ("json" = (value = json!({"text": "And so, my fellow Americans, ask not what your country can do for you.", "usage": {"type": "duration", "seconds": 11}}))),
                    ("verbose_json" = (value = json!({"task": "transcribe", "language": "english", "duration": 11.0, "text": "And so, my fellow Americans.", "segments": [{"id": 0, "seek": 30, "start": 0.3, "end": 2.1, "text": "And so, my fellow Americans.", "tokens": [400, 370, 11, 452, 7177, 6280, 13], "temperature": 0.0, "avg_logprob": -0.21, "compression_ratio": 1.1, "no_speech_prob": 0.02}], "usage": {"type": "duration", "seconds": 11}}))),
                    ("diarized_json" = (value = json!({"task": "transcribe", "duration": 7.4, "text": "How can I help? My card was stolen.", "segments": [{"type": "transcript.text.segment", "id": "seg_001", "start": 0.4, "end": 1.6, "text": "How can I help?", "speaker": "agent"}, {"type": "transcript.text.segment", "id": "seg_002", "start": 2.0, "end": 3.9, "text": "My card was stolen.", "speaker": "A"}], "usage": {"type": "duration", "seconds": 8}}))),
                )),
                (String = "text/plain", example = "And so, my fellow Americans, ask not what your country can do for you.\n"),
                (String = "text/vtt", example = "WEBVTT\n\n00:00:00.300 --> 00:00:02.100\nAnd so, my fellow Americans.\n"),
                (String = "text/event-stream", example = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"And so, my fellow Americans.\"}\n\n"),
            ),
            headers(
                ("x-queue-time" = u64, description = "Milliseconds of waiting"),
                ("x-inference-time" = u64, description = "Milliseconds of work"),
            ),
        ),
        OpenAiFailures,
    ),
)]
pub(super) async fn create(app: Data<App>, request: HttpRequest, body: Payload) -> Result<HttpResponse, Failure> {
    let work = Work::enter(&app)?;
    let form = Form::receive(&app, &request, body, &[FILE]).await?;
    let ask = Ask::transcription(&form, &app)?;
    let recording = recording(&work, form).await?;
    if ask.stream {
        return stream::respond(work, ask, recording).await;
    }
    Ok(work.run(move |job| Ok(answer(job, ask, recording))).await??.send(&work))
}
