//! How the service is: `/health`, `/live`, `/ready`, `/metrics`. None of them waits for anything, and none wants a key.

use actix_web::{
    HttpResponse, guard,
    http::{StatusCode, header},
    web::{self, Data, ServiceConfig},
};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::{app::App, readiness::Phase};
use crate::{device::DeviceChoice, engine::ModelState};

/// The version of Candle that Cargo.lock holds; a test compares.
const CANDLE_VERSION: &str = "0.11.1";

/// Adds the routes.
pub fn routes(config: &mut ServiceConfig) {
    let read = || web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    config
        .service(web::resource("/health").route(read().to(health)))
        .service(web::resource("/live").route(read().to(live)))
        .service(web::resource("/ready").route(read().to(ready)))
        .service(web::resource("/metrics").route(read().to(metrics)));
}

/// The document of these routes.
#[derive(OpenApi)]
#[openapi(paths(health, live, ready, metrics))]
pub struct Api;

/// The union of what the two published versions of the replaced service answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "status": "ok", "device_available": "cpu", "device_in_use": "cpu", "torch_version": null, "cuda_available": false,
    "cuda_available_torch": false, "cuda_consistency_ok": true, "devices": "cpu", "compute_type": "float32",
    "candle_version": "0.11.1", "version": "0.1.0"
}))]
struct Health {
    /// `degraded` where a GPU was wanted and the processor is used; `failed` where the GPU does not work any more.
    status: &'static str,
    device_available: &'static str,
    device_in_use: &'static str,
    /// Always null: there is no torch here.
    #[schema(required)]
    torch_version: Option<&'static str>,
    cuda_available: bool,
    /// The same, under the name of the other version.
    cuda_available_torch: bool,
    /// Whether the GPU is used where this build could use one.
    cuda_consistency_ok: bool,
    /// Every device that works on requests.
    devices: String,
    /// The numbers in which transcribers compute there: `float32`, `float16` or `bfloat16`.
    compute_type: &'static str,
    /// What computes instead of torch.
    candle_version: &'static str,
    version: &'static str,
}

/// Whether the service lives, and where it computes.
#[utoipa::path(get, path = "/health", tag = "Operations", security(()), responses(
    (status = 200, description = "It lives", body = Health),
    (status = 503, description = "Its GPU has failed; it is about to end", body = Health),
))]
async fn health(app: Data<App>) -> HttpResponse {
    let engine = app.engine();
    let cuda = engine.compute().device.is_cuda();
    let device = if cuda { "cuda" } else { "cpu" };
    let chosen = matches!(app.settings().device, DeviceChoice::Cpu(_));
    let consistent = cuda || chosen || !candle_core::utils::cuda_is_available();
    let works = engine.health().lost().is_none();
    let (code, status) = match (works, consistent) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
        (true, true) => (StatusCode::OK, "ok"),
        (true, false) => (StatusCode::OK, "degraded"),
    };
    HttpResponse::build(code).json(Health {
        status,
        device_available: device,
        device_in_use: device,
        torch_version: None,
        cuda_available: cuda && works,
        cuda_available_torch: cuda && works,
        cuda_consistency_ok: consistent && works,
        devices: engine.devices().names(),
        compute_type: engine.compute().type_name(),
        candle_version: CANDLE_VERSION,
        version: env!("CARGO_PKG_VERSION"),
    })
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "live"}))]
struct Live {
    status: &'static str,
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/live", tag = "Operations", security(()), responses((status = 200, description = "It does", body = Live)))]
async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Live { status: "live" })
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ready", "models": [{"name": "base", "state": "warm", "pinned": false}]}))]
struct Ready {
    /// `ready`, `starting`, `ending`, or `failed` where the GPU does not work any more.
    status: &'static str,
    models: Vec<ReadyModel>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ReadyModel {
    name: String,
    /// `cold` (on disk, or to be fetched), `loading` or `warm`.
    state: &'static str,
    /// Whether it never leaves.
    pinned: bool,
}

/// Whether requests should come: not before the models that are wanted from the start are warm, not while the service ends,
/// and not when its GPU has failed.
#[utoipa::path(get, path = "/ready", tag = "Operations", security(()), responses(
    (status = 200, description = "They should", body = Ready),
    (status = 503, description = "Not now", body = Ready),
))]
async fn ready(app: Data<App>) -> HttpResponse {
    let (code, status) = match app.readiness().phase() {
        Phase::Ready => (StatusCode::OK, "ready"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Ending => (StatusCode::SERVICE_UNAVAILABLE, "ending"),
        Phase::Failed => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
    };
    // A lock may be held for long while a model is loaded.
    let engine = app.engine().clone();
    let models = web::block(move || engine.models()).await.unwrap_or_default();
    let models = models.into_iter().map(|model| ReadyModel {
        name: model.name,
        state: match model.state {
            ModelState::Cold => "cold",
            ModelState::Loading => "loading",
            ModelState::Warm => "warm",
        },
        pinned: model.pinned,
    });
    HttpResponse::build(code).json(Ready { status, models: models.collect() })
}

/// Counters of the service and the engine, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "Operations", security(()), responses(
    (status = 200, description = "In OpenMetrics' text format", body = String, content_type = "application/openmetrics-text"),
))]
async fn metrics(app: Data<App>) -> HttpResponse {
    let content_type = (header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    HttpResponse::Ok().insert_header(content_type).body(app.metrics().page())
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use serde_json::Value;

    use super::*;
    use crate::{
        device::Compute,
        engine::{Engine, EngineOptions},
        settings::Settings,
        weights::{Store, StoreOptions},
    };

    #[actix_web::test]
    async fn a_device_that_has_failed_shows_in_every_probe() {
        let engine =
            Engine::new(Store::open(&StoreOptions::default()).unwrap(), Compute::cpu(), EngineOptions::default());
        let app = App::new(engine, Settings::default());
        let service = init_service(crate::http::application(&app)).await;
        for failed in [false, true] {
            for (path, sound, broken) in
                [("/health", "ok", "failed"), ("/ready", "ready", "failed"), ("/live", "live", "live")]
            {
                let answer = call_service(&service, TestRequest::get().uri(path).to_request()).await;
                let code = answer.status().as_u16();
                let body: Value = read_body_json(answer).await;
                let status = if failed { broken } else { sound };
                assert_eq!((code == 503, body["status"].as_str()), (status == "failed", Some(status)), "{path}");
            }
            app.engine().health().lose("an ECC error");
        }
    }

    #[test]
    fn the_version_of_candle_is_the_one_in_use() {
        let lock = include_str!("../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"candle-core\"\nversion = \"{CANDLE_VERSION}\"")));
    }
}
