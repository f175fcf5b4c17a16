//! What probes, dashboards and readers of the documentation see.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use palabra::{Error, http::Phase, settings::Settings};

use super::{
    client::{self, Form},
    service::{self, Needs, Service, eventually},
    support::trial,
};

pub fn trials(needs: &Needs) -> Vec<Trial> {
    let plain = |name: &str, body: fn()| {
        Trial::test(name, move || {
            body();
            Ok(())
        })
    };
    vec![
        plain("operations::health_is_the_union_of_both_versions", health_is_the_union_of_both_versions),
        plain("operations::the_documentation_is_in_the_program", the_documentation_is_in_the_program),
        plain("operations::the_document_tells_of_every_route", the_document_tells_of_every_route),
        plain("operations::metrics_count_requests", metrics_count_requests),
        plain("operations::a_model_that_cannot_be_had_ends_the_service", a_model_that_cannot_be_had_ends_the_service),
        plain(
            "operations::a_device_that_fails_is_told_at_once_and_ends_the_service",
            a_device_that_fails_ends_the_service,
        ),
        trial("operations::ready_waits_for_models", &needs.sample, |_| ready_waits_for_models()),
        trial("operations::health_answers_while_all_cores_compute", &needs.sample, |sample| {
            health_answers_while_all_cores_compute(&std::fs::read(sample).unwrap());
        }),
    ]
}

fn health_is_the_union_of_both_versions() {
    let service = Service::start(service::settings());
    let reply = client::get(service.address, "/health", &[]);
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let body = reply.json();
    assert_eq!(body["status"], "ok");
    assert_eq!((&body["device_available"], &body["device_in_use"]), (&"cpu".into(), &"cpu".into()));
    assert_eq!((&body["cuda_available"], &body["cuda_available_torch"]), (&false.into(), &false.into()));
    assert_eq!(body["cuda_consistency_ok"], true);
    assert_eq!((&body["devices"], &body["compute_type"]), (&"cpu".into(), &"float32".into()));
    assert!(body.as_object().unwrap().contains_key("torch_version") && body["torch_version"].is_null());
    assert!(body["candle_version"].is_string());
    assert_eq!(client::get(service.address, "/live", &[]).json()["status"], "live");
    let mut request = client::head("HEAD", "/health", &[]);
    request.extend(b"\r\n");
    assert_eq!(client::send(service.address, &request).status, 200);
}

fn the_documentation_is_in_the_program() {
    let service = Service::start(service::settings());
    let moved = client::get(service.address, "/docs", &[]);
    assert_eq!((moved.status, moved.header("location")), (307, Some("/docs/")));
    let page = client::get(service.address, "/docs/", &[]).text();
    assert!(page.contains("swagger-ui"));
    let links: Vec<&str> =
        page.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css")).collect();
    assert!(links.len() >= 3, "{links:?}");
    for link in links {
        assert!(!link.contains("//"), "{link} lies on another host");
        let asset = client::get(service.address, &format!("/docs/{}", link.trim_start_matches("./")), &[]);
        assert!(asset.status == 200 && asset.body.len() > 50, "{link}: {}", asset.status);
    }
    let starter = client::get(service.address, "/docs/swagger-initializer.js", &[]).text();
    assert!(starter.contains("/openapi.json"));
    assert!(!starter.contains("validator.swagger.io"), "nothing is sent to other hosts");
}

fn the_document_tells_of_every_route() {
    let service = Service::start(service::settings());
    let document = client::get(service.address, "/openapi.json", &[]).json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for path in ["/transcribe/", "/health", "/live", "/ready", "/metrics"] {
        assert!(paths.contains_key(path), "{path}");
    }
    let form = &document["paths"]["/transcribe/"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"];
    assert!(form["$ref"].as_str().is_some_and(|name| name.ends_with("TranscribeForm")));
    assert_eq!(document["components"]["schemas"]["TranscribeForm"]["required"], serde_json::json!(["audio_file"]));
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is told nowhere");
    }
}

fn metrics_count_requests() {
    let service = Service::start(service::settings());
    client::get(service.address, "/health", &[]);
    client::get(service.address, "/some/secret/path", &[]);
    client::post(service.address, "/transcribe/", &Form::default());
    let has = |line: &str| client::get(service.address, "/metrics", &[]).text().lines().any(|found| found == line);
    let soon = |line: &str| eventually(line, Duration::from_secs(5), || has(line));
    soon("palabra_http_requests_total{method=\"GET\",route=\"/health\",status=\"200\"} 1");
    soon("palabra_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1");
    soon("palabra_http_requests_total{method=\"POST\",route=\"/transcribe/\",status=\"422\"} 1");
    soon("palabra_queue_requests 0");
    soon("palabra_http_requests_in_flight 1");
    let page = client::get(service.address, "/metrics", &[]);
    assert!(page.text().ends_with("# EOF\n") && !page.text().contains("secret"));
    assert!(page.header("content-type").is_some_and(|value| value.starts_with("application/openmetrics-text")));
}

fn a_device_that_fails_ends_the_service() {
    let mut service = Service::start(service::settings());
    assert_eq!(client::get(service.address, "/ready", &[]).status, 200);
    // Half of a request has come when the device fails.
    let body = Form::default().file("audio_file", "a.wav", &client::silence(5.0)).body();
    let (first, second) = body.split_at(body.len() / 2);
    let length = format!("Content-Length: {}", body.len());
    let mut request = client::head("POST", "/transcribe/", &[&Form::content_type(), &length]);
    request.extend(b"\r\n");
    request.extend(first);
    let mut stream = client::connect(service.address);
    stream.write_all(&request).unwrap();
    eventually("the request is inside", Duration::from_secs(5), || service.inside() == 1);

    let failed = Instant::now();
    service.app.engine().health().lose("an ECC error");
    assert_eq!(service.app.readiness().phase(), Phase::Failed, "at once, whoever asks");
    stream.write_all(second).unwrap();
    let reply = client::receive(stream);
    assert_eq!((reply.status, reply.detail().contains("the service restarts")), (503, true), "{}", reply.text());
    assert!(reply.header("retry-after").is_some());
    let closed = || std::net::TcpStream::connect(service.address).is_err();
    eventually("it ends by itself", Duration::from_secs(10), closed);
    let outcome = service.stop();
    assert!(matches!(&outcome, Err(Error::DeviceLost(reason)) if reason == "an ECC error"), "{outcome:?}");
    assert!(failed.elapsed() < Duration::from_secs(15), "{:?}", failed.elapsed());
}

fn a_model_that_cannot_be_had_ends_the_service() {
    let mut service = Service::start(Settings { preload: vec!["nonsense".into()], ..service::settings() });
    let outcome = loop {
        // It ends by itself.
        std::thread::sleep(Duration::from_millis(50));
        if std::net::TcpStream::connect(service.address).is_err() {
            break service.stop();
        }
    };
    assert!(outcome.is_err_and(|error| error.to_string().contains("nonsense")));
}

fn ready_waits_for_models() {
    let service = Service::start(Settings { preload: vec!["base".into()], ..service::settings() });
    let mut waited = false;
    eventually("ready", Duration::from_secs(60), || {
        let reply = client::get(service.address, "/ready", &[]);
        waited |= reply.status == 503 && reply.json()["status"] == "starting";
        reply.status == 200
    });
    assert!(waited, "it was ready before its model was there");
    let ready = client::get(service.address, "/ready", &[]).json();
    let base = ready["models"].as_array().unwrap().iter().find(|model| model["name"] == "whisper-base").unwrap();
    assert_eq!(base["state"], "warm");
}

fn health_answers_while_all_cores_compute(sample: &[u8]) {
    let service = Service::shared();
    let address = service.address;
    let form = Form::default().file("audio_file", "talk.wav", sample).text("diarize_audio", "true");
    client::post(address, "/transcribe/", &form);
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let form = form.clone();
            std::thread::spawn(move || client::post(address, "/transcribe/", &form).status)
        })
        .collect();
    let mut times = Vec::new();
    while busy.iter().any(|thread| !thread.is_finished()) {
        let asked = Instant::now();
        assert_eq!(client::get(address, "/health", &[]).status, 200);
        times.push(asked.elapsed());
    }
    assert!(busy.into_iter().all(|thread| thread.join().unwrap() == 200));
    times.sort();
    let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("/health beside 3 transcriptions, {} times: median {median:?}, 99th percentile {late:?}", times.len());
    // Other tests compute beside this one; the number to reach is stated where the machine is quiet.
    assert!(late < Duration::from_millis(250), "{late:?}");
}
