//! The guard of recordings by url, against servers that this process runs itself.

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::*;
use crate::{
    device::Compute,
    engine::{Engine, EngineOptions},
    weights::{Store, StoreOptions},
};

/// A host on the loopback interface: answers each connection with what `answer` makes of the request's path.
struct Server {
    place: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        // Ends with the test's process; nothing joins it.
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().and_then(Result::ok).unwrap_or_default();
                lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).for_each(drop);
                answer(first.split(' ').nth(1).unwrap_or_default(), &mut stream);
            }
        });
        Self { place, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.place)
    }

    /// Access to this server under its address and as localhost.
    fn remote(&self) -> Remote {
        remote(vec![self.place.to_string(), self.named()])
    }

    fn named(&self) -> String {
        format!("localhost:{}", self.place.port())
    }

    fn trusted(&self) -> Remote {
        self.remote().trusting(vec![self.place])
    }
}

/// Access to `hosts`.
fn remote(hosts: Vec<String>) -> Remote {
    let url_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Remote::new(&Settings { url_hosts, url_timeout: Duration::from_secs(10), ..Settings::default() })
}

fn say(stream: &mut TcpStream, head: &str, body: &[u8]) {
    // The client may hang up first.
    let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").as_bytes());
    let _ = stream.write_all(body);
}

fn fetch(remote: &Remote, url: &str, max_bytes: u64) -> Result<(Fetched, Vec<u8>), Failure> {
    let mut sink = Vec::new();
    remote.fetch(url, max_bytes, &mut sink, &Watch::silent()).map(|fetched| (fetched, sink))
}

fn failure(remote: &Remote, url: &str) -> (u16, String) {
    let failure = fetch(remote, url, 1000).unwrap_err();
    assert_eq!(failure.param.as_deref(), Some("url"));
    (failure.status.as_u16(), failure.message)
}

#[test]
fn a_recording_of_a_listed_host_is_read_whole() {
    let server = Server::start(|_, stream| say(stream, "200 OK\r\ncontent-length: 5", b"sound"));
    let expected = (Fetched { name: Some("talk.mp3".into()), bytes: 5 }, b"sound".to_vec());
    assert_eq!(fetch(&server.trusted(), &server.url("/a/talk.mp3?x=1#y"), 5), Ok(expected.clone()));
    let named = format!("http://{}/a/talk.mp3", server.named());
    assert_eq!(fetch(&server.trusted(), &named, 5), Ok(expected), "of several addresses the public ones are used");
}

#[test]
fn no_address_that_is_not_public_is_ever_connected_to() {
    let server = Server::start(|_, stream| say(stream, "200 OK", b"secret"));
    let port = server.place.port();
    let names =
        ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "2130706433", "0x7f.1"];
    for name in names.map(|name| format!("{name}:{port}")) {
        let (status, message) = failure(&remote(vec![name.clone()]), &format!("http://{name}/"));
        assert_eq!((status, message.contains("no public address")), (400, true), "{name}: {message}");
    }
    let (_, unresolved) = failure(&remote(vec!["*.invalid".into()]), "http://nowhere.invalid/");
    assert!(unresolved.contains("no public address"), "{unresolved}");
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn what_is_not_listed_is_refused_before_anything_is_asked() {
    let server = Server::start(|_, stream| say(stream, "200 OK", b"sound"));
    let (status, message) = failure(&Remote::default(), &server.url("/"));
    assert_eq!((status, message.contains("does not read recordings from urls")), (403, true), "{message}");
    let remote = server.trusted();
    for url in ["http://example.com/", "http://127.0.0.1/", "http://127.0.0.2:1/"] {
        assert_eq!(failure(&remote, url).0, 403, "{url}");
    }
    let user = format!("http://user:secret@{}/", server.place);
    for url in [
        "",
        "talk.mp3",
        "file:///etc/passwd",
        "ftp://example.com/a",
        "gopher://example.com/",
        "data:audio/wav,a",
        &user,
    ] {
        let (status, message) = failure(&remote, url);
        assert_eq!((status, message.contains("secret")), (400, false), "{url}: {message}");
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn redirects_are_checked_and_counted() {
    let inner = Server::start(|_, stream| say(stream, "200 OK", b"secret"));
    let target = inner.url("/inner");
    let server = Server::start(move |path, stream| match path {
        "/start" => say(stream, "302 Found\r\nlocation: /end.wav", b""),
        "/end.wav" => say(stream, "200 OK", b"sound"),
        "/out" => say(stream, &format!("301 Moved\r\nlocation: {target}"), b""),
        "/file" => say(stream, "302 Found\r\nlocation: file:///etc/passwd", b""),
        "/nowhere" => say(stream, "302 Found", b""),
        _ => say(stream, "302 Found\r\nlocation: /loop", b""),
    });
    let remote = server.trusted();
    let (fetched, bytes) = fetch(&remote, &server.url("/start"), 100).unwrap();
    assert_eq!((fetched.name.as_deref(), &bytes[..]), (Some("end.wav"), &b"sound"[..]));
    assert_eq!(failure(&remote, &server.url("/out")).0, 403);
    assert_eq!(failure(&remote, &server.url("/file")).0, 400);
    assert_eq!(failure(&remote, &server.url("/nowhere")).0, 400);
    let before = server.asked.load(Ordering::SeqCst);
    assert!(failure(&remote, &server.url("/loop")).1.contains("too often"));
    assert_eq!(server.asked.load(Ordering::SeqCst) - before, 1 + REDIRECTS);
    assert_eq!(inner.asked.load(Ordering::SeqCst), 0);
    // A listed host may still point to an address inside.
    let mut both = server.remote().trusting(vec![server.place]);
    both.hosts.push(inner.place.to_string().parse().unwrap());
    assert!(failure(&both, &server.url("/out")).1.contains("no public address"));
    assert_eq!(inner.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn limits_hold_whatever_the_header_promises() {
    let server = Server::start(|path, stream| match path {
        "/told" => say(stream, "200 OK\r\ncontent-length: 1001", &[0; 1001]),
        "/untold" => say(stream, "200 OK", &[0; 1001]),
        "/short" => say(stream, "200 OK\r\ncontent-length: 900", &[0; 10]),
        _ => say(stream, "500 Oops\r\nx-secret: hidden", b"hidden"),
    });
    let remote = server.trusted();
    for path in ["/told", "/untold"] {
        let (status, message) = failure(&remote, &server.url(path));
        assert_eq!((status, message.contains("1000 bytes")), (413, true), "{path}: {message}");
    }
    assert_eq!(failure(&remote, &server.url("/short")).0, 400);
    let (status, message) = failure(&remote, &server.url("/broken"));
    assert_eq!((status, message.contains("hidden")), (400, false), "{message}");
    assert!(message.contains("status 500"), "{message}");
}

#[test]
fn a_slow_host_and_a_cancelled_request_end_soon() {
    let server = Server::start(|_, stream| {
        say(stream, "200 OK\r\ncontent-length: 900", &[0; 10]);
        thread::sleep(Duration::from_secs(2));
    });
    let hasty = Remote { total: Duration::from_millis(300), ..server.trusted() };
    let started = Instant::now();
    assert_eq!(failure(&hasty, &server.url("/")).0, 504);
    assert!(started.elapsed() < Duration::from_secs(2));

    let cancelled = AtomicBool::new(true);
    let watch = Watch::new(&|_| {}, &cancelled);
    let failure = server.trusted().fetch(&server.url("/"), 1000, &mut Vec::new(), &watch).unwrap_err();
    assert_eq!(failure.status.as_u16(), 499);
}

#[actix_web::test]
async fn a_form_may_name_a_recording_instead_of_holding_it() {
    let server = Server::start(|_, stream| say(stream, "200 OK\r\ncontent-length: 15", b"no audio at all"));
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { temp_folder: folder.path().to_owned(), ..Settings::default() };
    let options = StoreOptions { root: Some(folder.path().join("cache")), offline: true, ..StoreOptions::default() };
    let engine = Engine::new(Store::open(&options).unwrap(), Compute::cpu(), EngineOptions::default());
    let app = App::with_remote(engine, settings, server.trusted());
    let service = actix_web::test::init_service(crate::http::application(&app)).await;
    let ask = |form: String| {
        let request = actix_web::test::TestRequest::post().uri("/detect-language");
        request.insert_header(("content-type", "application/x-www-form-urlencoded")).set_payload(form).to_request()
    };

    let answer = actix_web::test::call_service(&service, ask(format!("url={}", server.url("/talk.wav")))).await;
    assert_eq!(answer.status(), 400);
    let body: serde_json::Value = actix_web::test::read_body_json(answer).await;
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("holds text, not audio"), "what was read is what was decoded: {detail}");
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);

    let answer = actix_web::test::call_service(&service, ask("url=http://example.com/a.wav".into())).await;
    assert_eq!(answer.status(), 403);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| name == "cache"), "{left:?}");
}
