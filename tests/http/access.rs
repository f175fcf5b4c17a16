//! Who comes in, what a request is called, and how refusals look.

use std::io::Write;

use libtest_mimic::Trial;
use palabra::settings::Settings;

use super::{
    client::{self, Form},
    service::{self, Service},
};

pub fn trials() -> Vec<Trial> {
    let plain = |name: &str, body: fn()| {
        Trial::test(name, move || {
            body();
            Ok(())
        })
    };
    vec![
        plain("access::keys_let_in_and_nothing_else_does", keys_let_in_and_nothing_else_does),
        plain("access::every_answer_has_a_request_id", every_answer_has_a_request_id),
        plain("access::refusals_have_the_shape_of_their_api", refusals_have_the_shape_of_their_api),
        plain("access::pages_of_allowed_origins_may_ask", pages_of_allowed_origins_may_ask),
        plain("access::what_is_no_http_is_refused", what_is_no_http_is_refused),
    ]
}

fn keys_let_in_and_nothing_else_does() {
    let api_keys = ["first-key", "second-key"].map(|key| key.parse().unwrap()).to_vec();
    let service = Service::start(Settings { api_keys, ..service::settings() });
    for path in ["/health", "/live", "/ready", "/metrics", "/docs/", "/openapi.json"] {
        assert_eq!(client::get(service.address, path, &[]).status, 200, "{path}");
    }
    for key in ["first-key", "second-key"] {
        let reply = client::post_with(
            service.address,
            "/transcribe/",
            &Form::default(),
            &[&format!("Authorization: Bearer {key}")],
        );
        assert_eq!(reply.status, 422, "the key opens, the form is empty");
    }
    for header in ["X: none", "Authorization: Bearer expired-key", "Authorization: first-key", "Authorization: Bearer"]
    {
        let reply = client::post_with(service.address, "/transcribe/", &Form::default(), &[header]);
        assert_eq!(reply.status, 401, "{header}");
        assert!(reply.detail().contains("key"), "{header}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        let reply = client::get(service.address, "/v1/nothing", &[header]);
        assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (401, Some("invalid_api_key")), "{header}");
        assert_eq!(reply.json()["error"]["type"], "authentication_error");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
    }
}

fn every_answer_has_a_request_id() {
    let service = Service::start(service::settings());
    let named = client::get(service.address, "/health", &["X-Request-Id: my-name.1"]);
    assert_eq!(named.header("x-request-id"), Some("my-name.1"));
    let mut seen = Vec::new();
    for path in ["/health", "/nothing", "/v1/nothing", "/metrics"] {
        let reply = client::get(service.address, path, &["X-Request-Id: not a <sane> name"]);
        let id = reply.header("x-request-id").unwrap_or_else(|| panic!("{path}")).to_owned();
        assert_eq!(id.len(), 36, "{path}: {id}");
        seen.push(id);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4, "each is another");
    let refused = client::post(service.address, "/transcribe/", &Form::default());
    assert!(refused.header("x-request-id").is_some());
}

fn refusals_have_the_shape_of_their_api() {
    let service = Service::start(service::settings());
    let missing = client::get(service.address, "/nothing", &[]);
    assert_eq!(missing.status, 404);
    assert!(missing.detail().contains("/docs"));
    let missing = client::get(service.address, "/v1/nothing", &[]);
    assert_eq!(missing.status, 404);
    let error = &missing.json()["error"];
    assert!(error["message"].as_str().is_some_and(|sentence| sentence.contains("/docs")));
    assert_eq!(error["type"], "invalid_request_error");
    assert!(error["param"].is_null() && error["code"].is_null());
    let wrong_method = client::get(service.address, "/transcribe/", &[]);
    assert_eq!((wrong_method.status, wrong_method.header("allow")), (405, Some("POST")));
    assert!(wrong_method.detail().contains("method"));
}

fn pages_of_allowed_origins_may_ask() {
    let origin = "https://example.org";
    let service = Service::start(Settings {
        cors_origins: vec![origin.into()],
        api_keys: vec!["k".parse().unwrap()],
        ..service::settings()
    });
    let ask = |origin: &str| {
        let origin = format!("Origin: {origin}");
        let headers =
            [origin.as_str(), "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"];
        let mut request = client::head("OPTIONS", "/transcribe/", &headers);
        request.extend(b"\r\n");
        client::send(service.address, &request)
    };
    let allowed = ask(origin);
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some(origin)), "without a key");
    assert_eq!(ask("https://example.com").header("access-control-allow-origin"), None);
    // A page must be able to read refusals too.
    let refused = client::get(service.address, "/nothing", &["Origin: https://example.org"]);
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some(origin)));

    let closed = Service::start(service::settings());
    let reply = client::get(closed.address, "/health", &["Origin: https://example.org"]);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, None));
}

fn what_is_no_http_is_refused() {
    let service = Service::start(service::settings());
    let mut stream = client::connect(service.address);
    stream.write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n").unwrap();
    assert_eq!(client::receive(stream).status, 400);
    assert_eq!(client::get(service.address, "/health", &[]).status, 200);
}
