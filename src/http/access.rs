//! Who may use the service: bearer keys, and pages of other origins.
//!
//! With keys in the settings every path wants one, unknown paths too, except those that probes, dashboards and people need
//! before they have a key, none of which shows what users send: [`OPEN`].

use actix_cors::Cors;
use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::Next,
    web::Data,
};
use subtle::{Choice, ConstantTimeEq};

use super::{
    app::App,
    failure::{Failure, Shape},
};
use crate::settings::{Secret, Settings};

/// Paths without a key, each with what lies below it.
pub const OPEN: [&str; 6] = ["/health", "/live", "/ready", "/metrics", "/docs", "/openapi.json"];

/// The middleware that asks for a key.
pub(super) async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let refusal = request.app_data::<Data<App>>().and_then(|app| refusal(&request, &app.settings().api_keys));
    match refusal {
        None => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        Some(failure) => {
            let response: HttpResponse = failure.respond(Shape::of(request.path()));
            Ok(request.into_response(response))
        }
    }
}

fn refusal(request: &ServiceRequest, keys: &[Secret]) -> Option<Failure> {
    let path = request.path();
    let open =
        OPEN.iter().any(|open| path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    if keys.is_empty() || open {
        return None;
    }
    let refused = |message| Some(Failure::new(StatusCode::UNAUTHORIZED, message).named("invalid_api_key"));
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return refused("this service wants a key; send the header `Authorization: Bearer <key>`");
    };
    let given = value.as_bytes();
    let (scheme, key) = given.split_at(given.len().min(7));
    if scheme.eq_ignore_ascii_case(b"bearer ") && is_known(key.trim_ascii(), keys) {
        return None;
    }
    refused("the key is not valid (any more); ask the operator of this service for another one")
}

/// Compares with every key, in a time that tells nothing of where they differ.
fn is_known(given: &[u8], keys: &[Secret]) -> bool {
    let found = keys.iter().fold(Choice::from(0), |found, key| found | key.expose().as_bytes().ct_eq(given));
    found.into()
}

/// What pages of other origins may do.
pub(super) fn cors(settings: &Settings) -> Cors {
    let exposed = ["x-request-id", "x-queue-time", "x-inference-time", "retry-after"];
    let cors = Cors::default().allow_any_method().allow_any_header().expose_headers(exposed).max_age(3600);
    match settings.cors_origins.iter().any(|origin| origin == "*") {
        true => cors.allow_any_origin().send_wildcard(),
        false => settings.cors_origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin)),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn status(path: &str, authorization: Option<&str>) -> Option<u16> {
        let keys = ["first", "second"].map(|key| key.parse::<Secret>().unwrap());
        let request = TestRequest::with_uri(path);
        let request = match authorization {
            Some(value) => request.insert_header((header::AUTHORIZATION, value)),
            None => request,
        };
        refusal(&request.to_srv_request(), &keys).map(|failure| failure.status.as_u16())
    }

    #[test]
    fn every_key_opens_and_nothing_else_does() {
        assert_eq!(status("/transcribe/", Some("Bearer first")), None);
        assert_eq!(status("/v1/models", Some("bearer second")), None);
        for wrong in
            [None, Some("Bearer third"), Some("Bearer "), Some("first"), Some("Basic first"), Some("Bearer firs")]
        {
            assert_eq!(status("/transcribe/", wrong), Some(401), "{wrong:?}");
        }
        assert_eq!(status("/nothing", None), Some(401));
    }

    #[test]
    fn probes_and_documentation_need_no_key() {
        for path in OPEN {
            assert_eq!(status(path, None), None);
        }
        assert_eq!(status("/docs/index.css", None), None);
        assert_eq!(status("/healthy", None), Some(401));
    }
}
