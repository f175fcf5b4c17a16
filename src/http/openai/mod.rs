//! OpenAI's audio API: transcriptions, translations, models.
//!
//! `request` reads a form with `format`, `speakers` and `chunking`; `answer` does the work and writes the body,
//! `stream` tells it as events. `bodies`, `diarized`, `events` and `usage` are what clients read, `labels` and
//! `known` what speakers are called, `names` which model a name means, `schema` what the OpenAPI document shows of the
//! forms.

mod answer;
pub mod bodies;
mod chunking;
pub mod diarized;
pub mod events;
mod format;
pub(super) mod known;
pub mod labels;
mod models;
pub(super) mod names;
mod request;
#[cfg(test)]
mod samples;
pub mod schema;
mod speakers;
mod stream;
mod transcriptions;
mod translations;
pub mod usage;

use actix_web::web::{ServiceConfig, get, post, resource};
use utoipa::OpenApi;

use super::{
    failure::Failure,
    form::Form,
    work::{Recording, Work},
};

/// Adds the routes.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(resource("/v1/audio/transcriptions").route(post().to(transcriptions::create)))
        .service(resource("/v1/audio/translations").route(post().to(translations::create)))
        .service(resource("/v1/models").route(get().to(models::list)))
        .service(resource("/v1/models/{id:.+}").route(get().to(models::retrieve)));
}

/// The document of these routes.
#[derive(OpenApi)]
#[openapi(
    paths(transcriptions::create, translations::create, models::list, models::retrieve),
    components(schemas(events::Event)),
    tags((name = "OpenAI", description = "OpenAI's audio API: its clients work with this service's address as their base URL"))
)]
pub struct Api;

/// The field that holds the recording.
const FILE: &str = "file";

/// The recording of a form, decoded.
///
/// # Errors
/// What is wrong with the file names its field.
pub(super) async fn recording(work: &Work, form: Form) -> Result<Recording, Failure> {
    let upload = form.file(FILE)?;
    drop(form);
    work.received();
    work.decode(upload).await.map_err(about_file)
}

/// What is wrong with a recording names its field.
pub(super) fn about_file(failure: Failure) -> Failure {
    if matches!(failure.status.as_u16(), 400 | 413) { failure.about(FILE) } else { failure }
}
