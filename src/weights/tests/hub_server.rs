//! A model hub on the loopback interface that serves one repository, keeps a log, and can be told to misbehave.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use sha2::{Digest, Sha256};

use crate::weights::record::hexadecimal;

/// What was asked of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) range: String,
    pub(super) authorization: String,
}

#[derive(Default)]
pub(super) struct Behaviour {
    /// Path of each file, without the leading slash, and its bytes.
    pub(super) files: HashMap<String, Vec<u8>>,
    /// Only this token is let in.
    pub(super) token: Option<String>,
    /// Sends only so many bytes of the next answer that is longer, then closes.
    pub(super) break_after: Option<usize>,
    /// Announces a checksum that the bytes do not have.
    pub(super) lies: bool,
}

pub(super) struct HubServer {
    pub(super) endpoint: String,
    pub(super) behaviour: Arc<Mutex<Behaviour>>,
    pub(super) log: Arc<Mutex<Vec<Request>>>,
}

impl HubServer {
    /// Serves `files` (by name) of the repository at revision `main`, on a free port, until the test process ends.
    pub(super) fn start(repository: &str, files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let files =
            files.iter().map(|(name, bytes)| (format!("{repository}/resolve/main/{name}"), bytes.to_vec())).collect();
        let behaviour = Arc::new(Mutex::new(Behaviour { files, ..Behaviour::default() }));
        let log = Arc::new(Mutex::new(Vec::new()));
        let shared = (behaviour.clone(), log.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &shared.0, &shared.1);
            }
        });
        Self { endpoint, behaviour, log }
    }

    /// The requests for a file's content so far.
    pub(super) fn downloads(&self, name: &str) -> Vec<Request> {
        let log = self.log.lock().expect("the log");
        log.iter().filter(|request| request.path.ends_with(name) && request.range != "bytes=0-0").cloned().collect()
    }
}

fn answer(mut stream: TcpStream, behaviour: &Mutex<Behaviour>, log: &Mutex<Vec<Request>>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let headers: HashMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())))
        .collect();
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    if method == "HEAD" {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").expect("an answer");
        return;
    }
    let request = Request { path, range: header("range"), authorization: header("authorization") };
    let mut behaviour = behaviour.lock().expect("the behaviour");
    let reply = reply(&request, &mut behaviour);
    log.lock().expect("the log").push(request);
    // A client that has gone away is its own business.
    drop(stream.write_all(&reply));
}

fn reply(request: &Request, behaviour: &mut Behaviour) -> Vec<u8> {
    let refuse =
        |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes();
    if behaviour.token.as_ref().is_some_and(|token| request.authorization != format!("Bearer {token}")) {
        return refuse("401 Unauthorized");
    }
    let Some(bytes) = behaviour.files.get(request.path.trim_start_matches('/')) else { return refuse("404 Not Found") };
    let range = request.range.strip_prefix("bytes=").unwrap_or("0-");
    let (start, end) = range.split_once('-').expect("a range");
    let start: usize = start.parse().expect("a start");
    let end = end.parse().map_or(bytes.len(), |end: usize| end + 1).min(bytes.len());
    if start >= bytes.len() {
        return refuse("416 Range Not Satisfiable");
    }
    let etag = if behaviour.lies { "0".repeat(64) } else { hexadecimal(&Sha256::digest(bytes)) };
    let mut reply = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\nETag: \"{etag}\"\r\nX-Repo-Commit: {}\r\nConnection: close\r\n\r\n",
        end - start,
        end - 1,
        bytes.len(),
        "c".repeat(40),
    )
    .into_bytes();
    let mut body = &bytes[start..end];
    if let Some(limit) = behaviour.break_after.filter(|limit| body.len() > *limit) {
        body = &body[..limit];
        behaviour.break_after = None;
    }
    reply.extend_from_slice(body);
    reply
}
