//! `palabra serve` as an operator runs it: where it listens, what it checks, how it ends.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use libtest_mimic::Trial;

use super::{
    client::{self, Form},
    service::{Needs, eventually},
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
        plain("program::it_ends_in_order_at_sigterm", it_ends_in_order_at_sigterm),
        plain("program::wrong_settings_end_it_with_a_sentence", wrong_settings_end_it_with_a_sentence),
        plain("program::empty_variables_are_none", empty_variables_are_none),
        plain("program::check_says_a_line_of_each", check_says_a_line_of_each),
        plain("program::traces_need_a_build_that_sends_them", traces_need_a_build_that_sends_them),
        plain("program::health_asks_a_running_service", health_asks_a_running_service),
        plain("program::secrets_stay_out_of_the_log", secrets_stay_out_of_the_log),
        trial("program::a_request_in_flight_is_finished_at_sigterm", &needs.sample, |sample| {
            a_request_in_flight_is_finished_at_sigterm(&sample);
        }),
    ]
}

/// The program, which is killed when a test fails.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = command(arguments)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit('/').next().unwrap().parse();
        Self { address: address.unwrap_or_else(|_| panic!("no address in {line:?}")), child }
    }

    fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// The exit code, within `patience`, and what was logged.
    fn ended(mut self, patience: Duration) -> (i32, String) {
        let mut status = None;
        eventually("the program has ended", patience, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status.unwrap().code().unwrap_or(-1), log)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palabra"));
    command.args(["serve", "--port", "0", "--device", "cpu"]).args(arguments).env_remove("RUST_LOG");
    command
}

fn output(arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = command(arguments).output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

fn traces_need_a_build_that_sends_them() {
    let (code, text) = output(&["--check", "--otlp-endpoint", "http://127.0.0.1:4318"]);
    if cfg!(feature = "otlp") {
        assert_eq!(code, 0, "{text}");
    } else {
        assert_eq!((code, text.contains("--features otlp")), (2, true), "{text}");
    }
    let (code, text) = output(&["--check", "--otlp-endpoint", "http://user:secret@127.0.0.1:4318"]);
    assert_eq!((code, text.contains("secret")), (2, false), "{text}");
}

fn health_asks_a_running_service() {
    let program = Program::start(&[], &[]);
    let port = program.address.port().to_string();
    let health = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palabra"));
        let status = command.arg("health").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.unwrap().code().unwrap()
    };
    assert_eq!(health(&["--port", &port, "--host", "0.0.0.0"]), 0);
    assert_eq!(health(&["--port", &port, "--ready"]), 0);
    program.terminate();
    program.ended(Duration::from_secs(20));
    assert_eq!(health(&["--port", &port]), 5);
}

fn it_ends_in_order_at_sigterm() {
    let program = Program::start(&[], &[]);
    assert_eq!(client::get(program.address, "/health", &[]).status, 200);
    let address = program.address;
    program.terminate();
    let (code, log) = program.ended(Duration::from_secs(20));
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("shutting down") && log.contains("ended"));
    assert!(std::net::TcpStream::connect(address).is_err());
}

fn a_request_in_flight_is_finished_at_sigterm(sample: &Path) {
    let program = Program::start(&["--shutdown-timeout", "90s"], &[]);
    let address = program.address;
    let form = Form::default().file("audio_file", "a.wav", &std::fs::read(sample).unwrap());
    let request = std::thread::spawn(move || client::post(address, "/transcribe/", &form));
    eventually("the request is inside", Duration::from_secs(20), || {
        client::get(address, "/metrics", &[]).text().contains("palabra_queue_requests 1")
    });
    program.terminate();
    eventually("nobody is let in", Duration::from_secs(10), || std::net::TcpStream::connect(address).is_err());
    let reply = request.join().unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answered = Instant::now();
    let (code, log) = program.ended(Duration::from_secs(20));
    assert_eq!(code, 0, "{log}");
    assert!(
        answered.elapsed() < Duration::from_secs(10),
        "it ends when the last request has, not when its time is over"
    );
}

fn wrong_settings_end_it_with_a_sentence() {
    let settings = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(settings.path(), "max_request = 4\n").unwrap();
    for (arguments, told) in [
        (vec!["--config", settings.path().to_str().unwrap()], "unknown field `max_request`"),
        (vec!["--config", "/nowhere.toml"], "cannot be read"),
        (vec!["--max-requests", "0"], "max_requests"),
        (vec!["--request-timeout", "soon"], "'soon' is no time"),
        (vec!["--cors-origins", "example.org"], "'example.org' in cors_origins"),
    ] {
        let (code, text) = output(&arguments);
        assert_eq!(code, 2, "{arguments:?}: {text}");
        assert!(text.contains(told), "{arguments:?}: {text}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let run = Command::new(env!("CARGO_BIN_EXE_palabra"))
        .args(["serve", "--device", "cpu", "--port", &port])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!((run.status.code(), text.contains("--port")), (Some(5), true), "{text}");
}

fn empty_variables_are_none() {
    let empty = ["PALABRA_API_KEYS", "PALABRA_MAX_REQUESTS", "PALABRA_CONFIG", "PALABRA_CACHE", "MAX_WHISPER_MODELS"];
    let output = command(&["--check"]).envs(empty.map(|name| (name, ""))).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let wrong = command(&["--check"]).env("MAX_WHISPER_MODELS", "some").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("MAX_WHISPER_MODELS"));
}

fn check_says_a_line_of_each() {
    let (code, text) = output(&["--check", "--preload", "tiny.en"]);
    assert_eq!(code, 0, "{text}");
    for what in ["settings", "device: cpu", "temporary folder", "cache folder", "model: base", "model: tiny.en", "port"]
    {
        assert!(text.lines().any(|line| line.starts_with("ok") && line.contains(what)), "{what}: {text}");
    }
    let (code, text) = output(&["--check", "--preload", "nonsense", "--temp-folder", "/proc/nowhere"]);
    assert_eq!(code, 5, "the first thing that is wrong: {text}");
    assert!(text.contains("error: temporary folder") && text.contains("error: model") && text.contains("ok      port"));
}

fn secrets_stay_out_of_the_log() {
    let variables = [("PALABRA_API_KEYS", "sesame-key"), ("RUST_LOG", "debug"), ("PALABRA_LOG_FORMAT", "json")];
    let program = Program::start(&[], &variables);
    let form = Form::default()
        .file("audio_file", "secret-name.wav", b"secret content, which is no audio")
        .text("hf_token", "hf_secret_token")
        .text("initial_prompt", "secret prompt");
    let path = "/transcribe/?secret=query";
    let reply = client::post_with(program.address, path, &form, &["Authorization: Bearer sesame-key"]);
    assert_eq!(reply.status, 400);
    client::get(program.address, "/secret/path", &["Authorization: Bearer secret-wrong-key"]);
    program.terminate();
    let (_, log) = program.ended(Duration::from_secs(20));
    assert!(!log.contains("secret") && !log.contains("sesame"), "{log}");
    let line = log.lines().find(|line| line.contains("\"route\":\"/transcribe/\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["fields"]["status"], &line["fields"]["method"]), (&400.into(), &"POST".into()));
    assert_eq!(line["fields"]["id"], reply.header("x-request-id").unwrap());
}
