//! The service over HTTP: one app factory, one file per API, one place for errors, forms and blocking work.
//!
//! A route is an async function `(Data<App>, HttpRequest, Payload) -> Result<HttpResponse, Failure>`; [`work`] and [`form`]
//! show how it is written, [`failure`] how it fails. Each API's file exposes `routes(&mut ServiceConfig)` and a utoipa
//! document `Api`; both get one line, in [`ROUTES`] and in [`documents`].

mod access;
pub mod alignments;
pub mod app;
pub mod asr;
mod body;
mod choice;
pub mod diarizations;
mod edge;
pub mod failure;
pub mod fields;
pub mod form;
pub mod metrics;
pub mod openai;
pub mod readiness;
pub mod remote;
pub mod schema;
pub mod server;
pub mod status;
pub mod traces;
pub mod transcribe;
mod unread;
pub mod upload;
pub mod work;

pub use access::OPEN;
pub use app::{App, engine_options};
pub use edge::RequestId;
pub use failure::{Failure, FieldError, Shape};
pub use fields::{Fields, quoted};
pub use form::Form;
pub use metrics::Metrics;
pub use readiness::{Phase, Readiness};
pub use server::Server;
pub use upload::Upload;
pub use work::{Job, Recording, Times, Work};

use actix_web::{
    body::BoxBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Condition, from_fn},
    web::{self, Data, ServiceConfig},
};
use utoipa::{OpenApi, openapi::OpenApi as Document};
use utoipa_swagger_ui::{Config, SwaggerUi};

use self::schema::Common;

/// The routes of every API: a line each.
const ROUTES: [fn(&mut ServiceConfig); 6] =
    [status::routes, transcribe::routes, openai::routes, asr::routes, alignments::routes, diarizations::routes];

/// The documents of every API: a line each.
fn documents() -> Vec<Document> {
    vec![
        status::Api::openapi(),
        transcribe::Api::openapi(),
        openai::Api::openapi(),
        asr::Api::openapi(),
        alignments::Api::openapi(),
        diarizations::Api::openapi(),
    ]
}

/// What the whole service says of itself.
#[derive(OpenApi)]
#[openapi(info(title = "Palabra", description = DESCRIPTION), modifiers(&Common))]
struct Service;

const DESCRIPTION: &str = "Speech in, words out, each with its time and its speaker.";

/// The OpenAPI document of all routes.
pub fn document() -> Document {
    schema::blank_optional_fields(documents().into_iter().fold(Service::openapi(), Document::merge_from))
}

/// The service as actix runs it: what `palabra serve` and the tests share.
pub fn application(
    app: &App,
) -> actix_web::App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = actix_web::Error,
        InitError = (),
    > + use<>,
> {
    let settings = app.settings();
    actix_web::App::new()
        .app_data(Data::new(app.clone()))
        .configure(|config| ROUTES.iter().for_each(|routes| routes(config)))
        .service(web::redirect("/docs", "/docs/"))
        .service(
            SwaggerUi::new("/docs/{_:.*}")
                .config(Config::default().validator_url("none"))
                .url("/openapi.json", document()),
        )
        .wrap(from_fn(access::guard))
        .wrap(Condition::new(!settings.cors_origins.is_empty(), access::cors(settings)))
        .wrap(from_fn(edge::around))
}
