//! `url` in the place of a file: off by default, and never a way into the service's own network.

use std::{net::TcpListener, time::Duration};

use libtest_mimic::Trial;
use palabra::settings::Settings;

use super::{
    client::{self, Form, post},
    service::{self, Service, eventually},
};

pub fn trials() -> Vec<Trial> {
    let plain = |name: &str, body: fn()| {
        Trial::test(name, move || {
            body();
            Ok(())
        })
    };
    vec![
        plain("remote::urls_are_off_unless_hosts_are_listed", urls_are_off_unless_hosts_are_listed),
        plain("remote::listed_hosts_inside_are_not_asked", listed_hosts_inside_are_not_asked),
        plain("remote::a_file_and_a_url_are_one_too_many", a_file_and_a_url_are_one_too_many),
    ]
}

/// Every route that takes a recording, and the name of its file.
const ROUTES: [(&str, &str); 7] = [
    ("/transcribe/", "audio_file"),
    ("/asr", "audio_file"),
    ("/detect-language", "audio_file"),
    ("/v1/audio/transcriptions", "file"),
    ("/v1/audio/translations", "file"),
    ("/v1/audio/alignments", "file"),
    ("/v1/audio/diarizations", "file"),
];

fn form(url: &str) -> Form {
    Form::default().text("url", url).text("model", "whisper-1").text("text", "Hello.")
}

fn urls_are_off_unless_hosts_are_listed() {
    let service = Service::start(service::settings());
    for (path, _) in ROUTES {
        let reply = post(service.address, path, &form("https://example.com/talk.mp3"));
        assert_eq!(reply.status, 403, "{path}: {}", reply.text());
        let message = if path.starts_with("/v1/") {
            let error = reply.json()["error"].clone();
            assert_eq!((error["param"].as_str(), error["code"].as_str()), (Some("url"), Some("url_not_allowed")));
            error["message"].as_str().unwrap().to_owned()
        } else {
            reply.detail()
        };
        assert!(message.contains("--url-hosts"), "{path}: {message}");
    }
    eventually("its place is free again", Duration::from_secs(5), || service.inside() == 0);
}

fn listed_hosts_inside_are_not_asked() {
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let port = inside.local_addr().unwrap().port();
    let hosts = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"].map(|host| format!("{host}:{port}"));
    let url_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    let service = Service::start(Settings { url_hosts, ..service::settings() });
    for (path, _) in ROUTES {
        for host in &hosts {
            let reply = post(service.address, path, &form(&format!("http://{host}/latest/meta-data/")));
            assert_eq!(reply.status, 400, "{path}: {}", reply.text());
            assert!(reply.text().contains("no public address"), "{path}: {}", reply.text());
        }
        let unlisted = post(service.address, path, &form(&format!("http://127.0.0.2:{port}/")));
        assert_eq!(unlisted.status, 403, "{path}: {}", unlisted.text());
    }
    assert!(inside.accept().is_err(), "somebody was asked");
    assert_eq!(std::fs::read_dir(service.uploads.path()).unwrap().count(), 0);
    eventually("its place is free again", Duration::from_secs(5), || service.inside() == 0);
}

fn a_file_and_a_url_are_one_too_many() {
    let service = Service::start(service::settings());
    for (path, name) in ROUTES {
        let both = form("https://example.com/talk.mp3").file(name, "a.wav", &client::silence(0.5));
        let reply = post(service.address, path, &both);
        let expected = if path.starts_with("/v1/") { 400 } else { 422 };
        assert_eq!((reply.status, reply.text().contains("send one of them")), (expected, true), "{path}");
    }
}
