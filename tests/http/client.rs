//! A client that does as it is told, right or wrong: it writes bytes and reads the answer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// The longest that a test waits for an answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Stands between the parts of a form.
const BOUNDARY: &str = "a-boundary-that-occurs-nowhere-else";

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|reason| panic!("{reason} in {}", self.text()))
    }

    /// The sentence of a failure in FastAPI's shape.
    pub fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap_or_else(|| panic!("no sentence in {}", self.text())).to_owned()
    }

    /// The fields that a 422 names, with pydantic's names for what is wrong.
    pub fn wrong_fields(&self) -> Vec<(String, String)> {
        assert_eq!(self.status, 422, "{}", self.text());
        let entry = |entry: &Value| {
            assert_eq!(entry["loc"][0], "body");
            assert!(entry["msg"].as_str().is_some_and(|sentence| !sentence.is_empty()));
            (entry["loc"][1].as_str().unwrap().to_owned(), entry["type"].as_str().unwrap().to_owned())
        };
        self.json()["detail"].as_array().unwrap().iter().map(entry).collect()
    }
}

/// A form in the making.
#[derive(Debug, Default, Clone)]
pub struct Form(Vec<u8>);

impl Form {
    pub fn text(mut self, name: &str, value: &str) -> Self {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        self.0.extend(head.bytes());
        self
    }

    pub fn file(mut self, name: &str, file_name: &str, content: &[u8]) -> Self {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        self.0.extend(head.bytes());
        self.0.extend(content);
        self.0.extend(b"\r\n");
        self
    }

    pub fn body(&self) -> Vec<u8> {
        let mut body = self.0.clone();
        body.extend(format!("--{BOUNDARY}--\r\n").bytes());
        body
    }

    pub fn content_type() -> String {
        format!("Content-Type: multipart/form-data; boundary={BOUNDARY}")
    }
}

/// GET with further header lines.
pub fn get(address: SocketAddr, path: &str, headers: &[&str]) -> Reply {
    let mut request = head("GET", path, headers);
    request.extend(b"\r\n");
    send(address, &request)
}

/// POST of a form.
pub fn post(address: SocketAddr, path: &str, form: &Form) -> Reply {
    post_with(address, path, form, &[])
}

/// POST of a form with further header lines.
pub fn post_with(address: SocketAddr, path: &str, form: &Form, headers: &[&str]) -> Reply {
    let (content_type, body) = (Form::content_type(), form.body());
    let length = format!("Content-Length: {}", body.len());
    let mut request = head("POST", path, &[headers, &[&content_type, &length]].concat());
    request.extend(b"\r\n");
    request.extend(body);
    send(address, &request)
}

/// The first lines of a request, without the empty line that ends them.
pub fn head(method: &str, path: &str, headers: &[&str]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
    head.into_bytes()
}

/// Sends bytes, as far as the service takes them, and reads the answer.
pub fn send(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = connect(address);
    // A service that refuses may stop reading before the end; its answer counts.
    let _sent = stream.write_all(request);
    receive(stream)
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads an answer up to the end of the connection.
pub fn receive(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let split = split.unwrap_or_else(|| panic!("no answer ({end:?}): {}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
    let mut reply = Reply { status, headers: headers.collect(), body: bytes[split + 4..].to_vec() };
    if reply.header("transfer-encoding") == Some("chunked") {
        reply.body = unchunked(&reply.body);
    }
    reply
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(line) = body.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap().trim(), 16).unwrap();
        whole.extend(&body[line + 2..line + 2 + size]);
        body = &body[line + 2 + size + 2..];
        if size == 0 {
            break;
        }
    }
    whole
}

/// A mono recording at 16 kHz in 16 bits: `sound` gives the sample at a time in seconds.
pub fn wav(seconds: f64, sound: impl Fn(f64) -> f64) -> Vec<u8> {
    let samples = (0..(seconds * 16_000.0) as usize).map(|index| (sound(index as f64 / 16_000.0) * 32_767.0) as i16);
    crate::support::wave(&[&samples.collect::<Vec<i16>>()])
}

pub fn silence(seconds: f64) -> Vec<u8> {
    wav(seconds, |_| 0.0)
}
