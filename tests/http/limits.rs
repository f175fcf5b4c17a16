//! Too much, too long, too many, too late: refused at once, cleanly, and nothing is left behind.

use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use palabra::settings::Settings;

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
        plain(
            "limits::a_stated_length_over_the_limit_is_refused_unread",
            a_stated_length_over_the_limit_is_refused_unread,
        ),
        plain(
            "limits::an_upload_over_the_limit_is_refused_while_it_comes",
            an_upload_over_the_limit_is_refused_while_it_comes,
        ),
        plain(
            "limits::a_refused_body_without_end_is_not_read_for_ever",
            a_refused_body_without_end_is_not_read_for_ever,
        ),
        plain(
            "limits::a_long_recording_is_refused_by_name_of_the_limit",
            a_long_recording_is_refused_by_name_of_the_limit,
        ),
        plain("limits::a_full_service_refuses_at_once", a_full_service_refuses_at_once),
        plain("limits::a_body_that_is_cut_off_is_refused", a_body_that_is_cut_off_is_refused),
        plain(
            "limits::a_client_that_leaves_while_sending_leaves_nothing",
            a_client_that_leaves_while_sending_leaves_nothing,
        ),
        plain(
            "limits::forms_of_too_many_or_too_large_fields_are_refused",
            forms_of_too_many_or_too_large_fields_are_refused,
        ),
        trial("limits::the_deadline_ends_a_request", &needs.sample, |_| the_deadline_ends_a_request()),
        trial("limits::work_stops_when_the_client_leaves", &needs.sample, |sample| {
            work_stops_when_the_client_leaves(&std::fs::read(sample).unwrap());
        }),
    ]
}

fn limited(max_upload_bytes: u64) -> Service {
    Service::start(Settings { max_upload_bytes, ..service::settings() })
}

fn a_stated_length_over_the_limit_is_refused_unread() {
    let service = limited(5 << 20);
    let ten_gigabytes = format!("Content-Length: {}", 10u64 << 30);
    for (path, detail) in [("/transcribe/", true), ("/transcribe", true)] {
        let mut request = client::head("POST", path, &[&Form::content_type(), &ten_gigabytes]);
        request.extend(b"\r\n");
        let asked = Instant::now();
        let reply = client::send(service.address, &request);
        assert_eq!(reply.status, 413);
        assert!(detail && reply.detail().contains("5 MiB"), "{}", reply.text());
        assert!(asked.elapsed() < Duration::from_secs(10));
    }
    // A client that sends all the same reads the refusal, too.
    let form = Form::default().file("audio_file", "a.wav", &vec![7; 20 << 20]);
    assert_eq!(client::post(service.address, "/transcribe/", &form).status, 413);
    eventually("its place is free again", Duration::from_secs(5), || service.inside() == 0);
}

fn an_upload_over_the_limit_is_refused_while_it_comes() {
    let service = limited(1 << 20);
    let mut stream = client::connect(service.address);
    let mut request = client::head("POST", "/transcribe/", &[&Form::content_type(), "Transfer-Encoding: chunked"]);
    request.extend(b"\r\n");
    stream.write_all(&request).unwrap();
    let form = Form::default().file("audio_file", "a.wav", &vec![7; 3 << 20]).body();
    for piece in form.chunks(64 << 10) {
        let size = format!("{:x}\r\n", piece.len());
        if stream.write_all(&[size.as_bytes(), piece, b"\r\n"].concat()).is_err() {
            break;
        }
    }
    let _sent = stream.write_all(b"0\r\n\r\n");
    let reply = client::receive(stream);
    assert_eq!(reply.status, 413);
    assert!(reply.detail().contains("1 MiB"));
    nothing_is_left(&service);
}

fn a_refused_body_without_end_is_not_read_for_ever() {
    let service = limited(1 << 20);
    let mut stream = client::connect(service.address);
    let mut request = client::head("POST", "/transcribe/", &[&Form::content_type(), "Transfer-Encoding: chunked"]);
    request.extend(b"\r\n");
    let file = Form::default().file("audio_file", "a.wav", b"").body();
    let opening = &file[..file.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4];
    request.extend(format!("{:x}\r\n", opening.len()).bytes());
    request.extend(opening);
    request.extend(b"\r\n");
    stream.write_all(&request).unwrap();
    let begun = Instant::now();
    let piece = [b"10000\r\n".to_vec(), vec![7; 0x10000], b"\r\n".to_vec()].concat();
    while stream.write_all(&piece).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is still being read");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(client::receive(stream).status, 413);
}

fn a_long_recording_is_refused_by_name_of_the_limit() {
    let service = Service::start(Settings { max_audio_seconds: 2.0, ..service::settings() });
    let form = Form::default().file("audio_file", "a.wav", &client::silence(3.0));
    let reply = client::post(service.address, "/transcribe/", &form);
    assert_eq!(reply.status, 413);
    assert!(reply.detail().contains("2 seconds") && !reply.detail().contains("/proc"), "{}", reply.text());
    nothing_is_left(&service);
}

fn a_full_service_refuses_at_once() {
    let service = Service::start(Settings { max_requests: 1, ..service::settings() });
    let mut slow = client::connect(service.address);
    let mut request = client::head("POST", "/transcribe/", &[&Form::content_type(), "Content-Length: 1000"]);
    request.extend(b"\r\n");
    slow.write_all(&request).unwrap();
    eventually("the slow request is inside", Duration::from_secs(5), || service.inside() == 1);
    // Large enough that the client is still sending when the answer comes.
    let form = Form::default().file("audio_file", "a.wav", &vec![7; 30 << 20]);
    let asked = Instant::now();
    let reply = client::post(service.address, "/transcribe/", &form);
    assert_eq!(reply.status, 429);
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=120).contains(&wait));
    assert!(reply.detail().contains("try again"));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(client::get(service.address, "/health", &[]).status, 200, "a full service is alive");
    drop(slow);
    eventually("the place is free again", Duration::from_secs(5), || service.inside() == 0);
    let reply = client::post(service.address, "/transcribe/", &Form::default().file("audio_file", "a.wav", b""));
    assert_eq!(reply.status, 400);
}

fn a_body_that_is_cut_off_is_refused() {
    let service = Service::start(service::settings());
    let form = Form::default().file("audio_file", "a.wav", &client::silence(1.0)).body();
    let mut stream = client::connect(service.address);
    let length = format!("Content-Length: {}", form.len());
    let mut request = client::head("POST", "/transcribe/", &[&Form::content_type(), &length]);
    request.extend(b"\r\n");
    request.extend(&form[..form.len() / 2]);
    stream.write_all(&request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let reply = client::receive(stream);
    assert_eq!(reply.status, 400);
    assert!(reply.detail().contains("ends in the middle"), "{}", reply.text());

    // Less than was promised, but the end of the form is missing: the body is there, the form is not.
    let half = &form[..form.len() / 2];
    let length = format!("Content-Length: {}", half.len());
    let mut request = client::head("POST", "/transcribe/", &[&Form::content_type(), &length]);
    request.extend(b"\r\n");
    request.extend(half);
    let reply = client::send(service.address, &request);
    assert_eq!((reply.status, reply.detail().contains("ends in the middle")), (400, true));
    nothing_is_left(&service);
}

fn a_client_that_leaves_while_sending_leaves_nothing() {
    let service = Service::start(service::settings());
    for _ in 0..5 {
        let mut stream = client::connect(service.address);
        let mut request = client::head("POST", "/transcribe/", &[&Form::content_type(), "Content-Length: 5000000"]);
        request.extend(b"\r\n");
        request.extend(&Form::default().file("audio_file", "a.wav", &vec![7; 1 << 20]).body()[..900_000]);
        stream.write_all(&request).unwrap();
    }
    eventually("the places are free again", Duration::from_secs(10), || service.inside() == 0);
    nothing_is_left(&service);
}

fn forms_of_too_many_or_too_large_fields_are_refused() {
    let service = Service::start(service::settings());
    let many = (0..300).fold(Form::default(), |form, index| form.text(&format!("field{index}"), "x"));
    let reply = client::post(service.address, "/transcribe/", &many);
    assert_eq!((reply.status, reply.detail().contains("256")), (413, true));
    let large = Form::default().text("language", &"x".repeat(5 << 20));
    let reply = client::post(service.address, "/transcribe/", &large);
    assert_eq!((reply.status, reply.detail().contains("4 MiB")), (413, true));
    let several =
        (0..5).fold(Form::default(), |form, index| form.text(&format!("field{index}"), &"x".repeat(3_900_000)));
    let reply = client::post(service.address, "/transcribe/", &several);
    assert_eq!((reply.status, reply.detail().contains("16 MiB")), (413, true));
}

fn the_deadline_ends_a_request() {
    let service = Service::start(Settings { request_timeout: Duration::from_millis(1), ..service::settings() });
    let form = Form::default().file("audio_file", "a.wav", &client::silence(60.0));
    let reply = client::post(service.address, "/transcribe/", &form);
    assert_eq!(reply.status, 504);
    assert!(reply.detail().contains("time allowed"));
    eventually("the work has stopped", Duration::from_secs(30), || service.inside() == 0);
    nothing_is_left(&service);
}

fn work_stops_when_the_client_leaves(sample: &[u8]) {
    let service = Service::shared();
    let before = service.inside();
    // Half an hour: far longer to transcribe than this test waits.
    let data = sample.windows(4).position(|window| window == b"data").unwrap() + 8;
    let spoken: Vec<f64> = sample[data..]
        .chunks_exact(2)
        .map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
        .collect();
    let long = client::wav(1800.0, |time| spoken[(time * 16_000.0) as usize % spoken.len()]);
    let form = Form::default().file("audio_file", "a.wav", &long).body();
    let stated = format!("Content-Length: {}", form.len());
    let mut request = client::head("POST", "/transcribe/", &[&Form::content_type(), &stated]);
    request.extend(b"\r\n");
    request.extend(form);
    let mut stream = client::connect(service.address);
    stream.write_all(&request).unwrap();
    eventually("the request works", Duration::from_secs(60), || service.app.engine().admission().load().1 > 1000.0);
    std::thread::sleep(Duration::from_secs(1));
    drop(stream);
    let left = Instant::now();
    eventually("the work has stopped", Duration::from_secs(30), || service.inside() <= before);
    println!("work stopped {:?} after its client had left", left.elapsed());
    nothing_is_left(&service);
}

/// No file of an upload is left.
fn nothing_is_left(service: &Service) {
    eventually("the uploads are gone", Duration::from_secs(5), || {
        std::fs::read_dir(service.uploads.path()).unwrap().next().is_none()
    });
}
