//! `GET /v1/models` and `GET /v1/models/{id}`.

use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::names::{ALIASES, Model};
use crate::{
    engine::{ModelState, ModelStatus},
    http::{app::App, failure::Failure, schema::OpenAiFailures},
};

/// When OpenAI published Whisper (21 September 2022, in seconds since 1970): nothing here records when each checkpoint was made.
const CREATED: u64 = 1_663_718_400;

/// A model that requests can name.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "whisper-base", "object": "model", "created": 1663718400, "owned_by": "palabra", "root": "whisper-base", "state": "warm"
}))]
pub struct ModelEntry {
    /// Its name.
    id: String,
    /// Always `model`.
    object: &'static str,
    /// When Whisper was published, in seconds since 1970.
    created: u64,
    /// Always `palabra`.
    owned_by: &'static str,
    /// The model behind the name: one of OpenAI's names stands for the default model.
    root: String,
    /// `warm` in memory, `loading`, or `cold`.
    state: &'static str,
}

/// Every model that requests can name.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    #[schema(example = "list")]
    object: &'static str,
    /// The models.
    data: Vec<ModelEntry>,
}

fn entry(id: &str, root: &str, known: &[ModelStatus]) -> ModelEntry {
    let state = match known.iter().find(|model| model.name == root).map(|model| model.state) {
        Some(ModelState::Warm) => "warm",
        Some(ModelState::Loading) => "loading",
        Some(ModelState::Cold) | None => "cold",
    };
    ModelEntry { id: id.into(), object: "model", created: CREATED, owned_by: "palabra", root: root.into(), state }
}

/// The name by which the engine knows the default model.
fn default_model(app: &App) -> String {
    let default = &app.settings().model;
    app.engine().store().manifest().find(default).map_or_else(|| default.clone(), |model| model.name.clone())
}

/// The models that requests can name.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "OpenAI",
    operation_id = "listModels",
    responses((status = 200, description = "The models", body = ModelList), OpenAiFailures),
)]
pub(super) async fn list(app: Data<App>) -> HttpResponse {
    let known = app.engine().models();
    let default = default_model(&app);
    let own = known.iter().map(|model| entry(&model.name, &model.name, &known));
    let hidden = (!known.iter().any(|model| model.name == default)).then(|| entry(&default, &default, &known));
    let aliases = ALIASES.iter().map(|alias| entry(alias, &default, &known));
    HttpResponse::Ok().json(ModelList { object: "list", data: own.chain(hidden).chain(aliases).collect() })
}

/// One model.
#[utoipa::path(
    get,
    path = "/v1/models/{id}",
    tag = "OpenAI",
    operation_id = "retrieveModel",
    params(("id" = String, Path, description = "Its name; a repository's may have a slash", example = "whisper-1")),
    responses((status = 200, description = "The model", body = ModelEntry), OpenAiFailures),
)]
pub(super) async fn retrieve(app: Data<App>, id: Path<String>) -> Result<HttpResponse, Failure> {
    let id = id.into_inner();
    let model = Model::find(&id, &app)?;
    let root = if model.name == app.settings().model { default_model(&app) } else { model.name };
    Ok(HttpResponse::Ok().json(entry(&id, &root, &app.engine().models())))
}
