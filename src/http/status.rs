//! How the service is: `/health`, `/live`, `/ready`, `/metrics`.

use actix_web::{
    HttpResponse,
    web::{self, Data, ServiceConfig},
};
use serde_json::json;
use utoipa::OpenApi;

use super::app::App;

/// Adds the routes.
pub fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/health").route(web::get().to(health)).route(web::head().to(health)));
}

/// The document of these routes.
#[derive(OpenApi)]
#[openapi(paths(health))]
pub struct Api;

/// Whether the service lives, and where it computes.
#[utoipa::path(get, path = "/health", tag = "Operations", responses((status = 200, description = "It lives")))]
async fn health(app: Data<App>) -> HttpResponse {
    let cuda = app.engine().compute().device.is_cuda();
    HttpResponse::Ok().json(json!({ "status": "ok", "device_in_use": if cuda { "cuda" } else { "cpu" } }))
}
