//! OpenAI's audio API as its callers meet it, without OpenAI's client.

use std::{io::Write, path::Path, time::Duration};

use libtest_mimic::Trial;
use palabra::settings::Settings;
use serde_json::{Value, json};

use super::{
    client::{self, Form, Reply, get, post},
    service::{self, Needs, Service, eventually},
    support::trial,
};

const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";

pub fn trials(needs: &Needs) -> Vec<Trial> {
    let plain = |name: &str, body: fn()| {
        Trial::test(name, move || {
            body();
            Ok(())
        })
    };
    let with_sample = |name: &str, body: fn(&Path)| trial(name, &needs.sample, move |sample| body(&sample));
    vec![
        plain("openai::models_are_listed_and_found", models_are_listed_and_found),
        plain("openai::wrong_fields_are_told_one_by_one", wrong_fields_are_told_one_by_one),
        plain("openai::wrong_files_are_told", wrong_files_are_told),
        plain("openai::failures_around_the_routes_have_the_same_shape", failures_around_the_routes),
        plain("openai::the_document_shows_forms_formats_and_errors", the_document_shows_the_routes),
        with_sample("openai::every_format_has_its_body", every_format_has_its_body),
        with_sample("openai::words_and_segments_when_asked_for", words_and_segments_when_asked_for),
        with_sample("openai::speakers_have_letters_or_names", speakers_have_letters_or_names),
        with_sample("openai::translations_have_their_formats", translations_have_their_formats),
        with_sample("openai::events_add_up_to_the_text", events_add_up_to_the_text),
        with_sample("openai::a_stream_that_fails_ends_with_an_error", a_stream_that_fails_ends_with_an_error),
        with_sample("openai::a_client_that_leaves_frees_its_place", a_client_that_leaves_frees_its_place),
    ]
}

fn tone() -> Vec<u8> {
    client::wav(1.0, |time| (time * 440.0 * std::f64::consts::TAU).sin() * 0.3)
}

/// A form with a model and a file.
fn form(recording: &[u8]) -> Form {
    Form::default().text("model", "whisper-1").file("file", "talk.wav", recording)
}

/// The failure in OpenAI's shape: status, field and code; nothing of it is worth a second try.
fn failure(reply: &Reply) -> (u16, Value, Value) {
    let body = reply.json();
    let error = body["error"].as_object().unwrap_or_else(|| panic!("{}", reply.text()));
    assert_eq!(error.keys().collect::<Vec<_>>(), ["message", "type", "param", "code"]);
    assert!(error["message"].as_str().is_some_and(|sentence| !sentence.is_empty()));
    assert_eq!(error["type"], if reply.status == 401 { "authentication_error" } else { "invalid_request_error" });
    assert_eq!(reply.header("x-should-retry"), Some("false"), "{}", reply.text());
    assert!(reply.header("x-request-id").is_some());
    (reply.status, error["param"].clone(), error["code"].clone())
}

fn models_are_listed_and_found() {
    let service = Service::start(service::settings());
    let list = get(service.address, "/v1/models", &[]).json();
    assert_eq!(list["object"], "list");
    let names: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    for name in ["whisper-base", "whisper-large-v3", "whisper-1", "gpt-4o-transcribe-diarize"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    for (name, root) in
        [("whisper-1", "whisper-base"), ("tiny", "whisper-tiny"), ("openai/whisper-tiny", "whisper-tiny")]
    {
        for path in [name.to_owned(), name.replace('/', "%2F")] {
            let model = get(service.address, &format!("/v1/models/{path}"), &[]);
            assert_eq!(model.status, 200, "{}", model.text());
            let model = model.json();
            assert_eq!((&model["id"], &model["root"]), (&json!(name), &json!(root)));
            assert_eq!((&model["object"], model["created"].is_u64()), (&json!("model"), true));
        }
    }
    for name in ["whisper-9", "a/b/c", "silero-vad", "..%2F..%2Fetc"] {
        let reply = get(service.address, &format!("/v1/models/{name}"), &[]);
        assert_eq!(failure(&reply), (404, json!("model"), json!("model_not_found")), "{name}");
    }
}

fn wrong_fields_are_told_one_by_one() {
    let service = Service::start(service::settings());
    let cases: [(&[(&str, &str)], &str); 17] = [
        (&[("response_format", "docx")], "response_format"),
        (&[("temperature", "2")], "temperature"),
        (&[("language", "klingon")], "language"),
        (&[("languages[]", "klingon")], "languages"),
        (&[("timestamp_granularities[]", "word")], "timestamp_granularities"),
        (&[("response_format", "verbose_json"), ("timestamp_granularities[]", "letter")], "timestamp_granularities"),
        (&[("stream", "true"), ("response_format", "vtt")], "stream"),
        (&[("include[]", "logprobs"), ("response_format", "verbose_json")], "include"),
        (&[("chunking_strategy", "{\"type\": \"server_vad\", \"threshold\": 3}")], "chunking_strategy"),
        (&[("known_speaker_names[]", "ada"), ("response_format", "diarized_json")], "known_speaker_references"),
        (&[("diarize_audio", "true")], "diarize_audio"),
        (&[("response_format", "srt"), ("diarize_audio", "true"), ("num_speakers", "0")], "num_speakers"),
        (&[("batch_size", "1e9")], "batch_size"),
        (&[("beam_size", "1e9")], "beam_size"),
        (&[("beam_size", "5"), ("temperature", "0.5")], "beam_size"),
        (&[("patience", "3")], "patience"),
        (&[("hf_token", "hf_secret secret")], "hf_token"),
    ];
    for (fields, param) in cases {
        let form = fields.iter().fold(form(&tone()), |form, (name, value)| form.text(name, value));
        let reply = post(service.address, TRANSCRIPTIONS, &form);
        assert_eq!(failure(&reply), (400, json!(param), Value::Null), "{fields:?}: {}", reply.text());
        assert!(!reply.text().contains("hf_secret"));
    }
    let reply = post(service.address, TRANSCRIPTIONS, &Form::default().file("file", "a.wav", &tone()));
    assert_eq!(failure(&reply), (400, json!("model"), Value::Null));
    assert!(reply.text().contains("whisper-1"), "{}", reply.text());
    let reply =
        post(service.address, TRANSCRIPTIONS, &Form::default().file("file", "a.wav", &tone()).text("model", "none"));
    assert_eq!(failure(&reply), (404, json!("model"), json!("model_not_found")));
    let translation = form(&tone()).text("response_format", "diarized_json");
    let reply = post(service.address, "/v1/audio/translations", &translation);
    assert_eq!(failure(&reply), (400, json!("response_format"), Value::Null));
    eventually("its place is free again", Duration::from_secs(5), || service.inside() == 0);
}

fn wrong_files_are_told() {
    let service = Service::start(Settings { max_audio_seconds: 2.0, ..service::settings() });
    let model = Form::default().text("model", "whisper-1");
    let text = b"This is a text and not a recording.\n".repeat(100);
    for (form, status) in [
        (model.clone(), 400),
        (model.clone().text("file", "a.wav"), 400),
        (model.clone().file("file", "a.wav", b""), 400),
        (model.clone().file("file", "a.wav", &text), 400),
        (form(&tone()).file("file", "b.wav", &tone()), 400),
        (form(&client::silence(3.0)), 413),
    ] {
        let reply = post(service.address, TRANSCRIPTIONS, &form);
        assert_eq!(failure(&reply), (status, json!("file"), Value::Null), "{}", reply.text());
    }
    // Nothing was written yet, so a stream too fails with a status.
    let reply = post(service.address, TRANSCRIPTIONS, &form(&client::silence(3.0)).text("stream", "true"));
    assert_eq!(failure(&reply).0, 413);
    let reference = "data:audio/wav;base64,AAAA";
    let form = form(&tone())
        .text("response_format", "diarized_json")
        .text("known_speaker_names[]", "ada")
        .text("known_speaker_references[]", reference.trim_start_matches("data:"));
    let reply = post(service.address, TRANSCRIPTIONS, &form);
    assert_eq!(failure(&reply), (400, json!("known_speaker_references"), Value::Null));
}

fn failures_around_the_routes() {
    let service = Service::start(Settings { api_keys: vec!["sesame".parse().unwrap()], ..service::settings() });
    let reply = get(service.address, "/v1/models", &[]);
    assert_eq!(failure(&reply), (401, Value::Null, json!("invalid_api_key")));
    let key = ["Authorization: Bearer sesame"];
    assert_eq!(get(service.address, "/v1/models", &key).status, 200);
    assert_eq!(failure(&get(service.address, "/v1/nothing", &key)).0, 404);
    assert_eq!(failure(&get(service.address, TRANSCRIPTIONS, &key)).0, 405);
    let mut request =
        client::head("POST", TRANSCRIPTIONS, &[key[0], "Content-Type: application/json", "Content-Length: 2"]);
    request.extend(b"\r\n{}");
    assert_eq!(failure(&client::send(service.address, &request)).0, 415);
}

fn the_document_shows_the_routes() {
    let service = Service::start(service::settings());
    let document = get(service.address, "/openapi.json", &[]).json();
    for path in [TRANSCRIPTIONS, "/v1/audio/translations"] {
        let operation = &document["paths"][path]["post"];
        let form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["$ref"].as_str().unwrap();
        let form = document.pointer(form.trim_start_matches('#')).unwrap();
        assert_eq!(form["required"], json!(["file", "model"]));
        let formats = operation["responses"]["200"]["content"].as_object().unwrap();
        assert!(formats["application/json"]["examples"]["verbose_json"]["value"]["segments"].is_array(), "{formats:?}");
        assert!(formats.contains_key("text/plain") && formats.contains_key("text/vtt"));
        assert!(operation["responses"]["413"]["content"]["application/json"]["schema"].is_object());
    }
    assert!(
        document["paths"]["/v1/models"]["get"].is_object() && document["paths"]["/v1/models/{id}"]["get"].is_object()
    );
}

/// The answer to the sample with these fields.
fn answer(sample: &Path, path: &str, fields: &[(&str, &str)]) -> Reply {
    let form = fields.iter().fold(form(&std::fs::read(sample).unwrap()), |form, (name, value)| form.text(name, value));
    let reply = post(Service::shared().address, path, &form);
    assert_eq!(reply.status, 200, "{fields:?}: {}", reply.text());
    reply
}

fn every_format_has_its_body(sample: &Path) {
    let of = |format: &str| answer(sample, TRANSCRIPTIONS, &[("response_format", format), ("unknown", "field")]);
    let reply = answer(sample, TRANSCRIPTIONS, &[]);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.header("x-inference-time").is_some_and(|time| time.parse::<u64>().is_ok()));
    let text = reply.json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("New Jersey"), "{text}");
    assert_eq!(reply.json()["usage"], json!({"type": "duration", "seconds": 30}));

    let reply = of("text");
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(reply.text(), format!("{text}\n"));
    let reply = of("srt");
    assert!(reply.text().starts_with("1\n00:00:") && reply.text().contains(" --> "), "{}", reply.text());
    let reply = of("vtt");
    assert_eq!(reply.header("content-type"), Some("text/vtt; charset=utf-8"));
    assert!(reply.text().starts_with("WEBVTT\n\n"), "{}", reply.text());

    let listed = answer(sample, TRANSCRIPTIONS, &[("include[]", "logprobs"), ("model", "gpt-transcribe")]).json();
    let tokens = listed["logprobs"].as_array().unwrap();
    let bytes =
        tokens.iter().flat_map(|token| token["bytes"].as_array().unwrap()).map(|byte| byte.as_u64().unwrap() as u8);
    let spelled = String::from_utf8(bytes.collect()).unwrap();
    assert_eq!(spelled.split_whitespace().collect::<Vec<_>>().join(" "), text);
    assert_eq!(listed["languages"], json!([{"code": "en"}]));
}

fn words_and_segments_when_asked_for(sample: &Path) {
    let verbose = ("response_format", "verbose_json");
    let body = answer(sample, TRANSCRIPTIONS, &[verbose]).json();
    assert_eq!((&body["task"], &body["language"]), (&json!("transcribe"), &json!("english")));
    assert!(body.get("words").is_none());
    let segments = body["segments"].as_array().unwrap();
    for (id, segment) in segments.iter().enumerate() {
        assert_eq!(segment["id"], id);
        assert!(segment["start"].as_f64() < segment["end"].as_f64(), "{segment}");
        assert!(segment["tokens"].as_array().is_some_and(|tokens| !tokens.is_empty()), "{segment}");
        for number in ["seek", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob"] {
            assert!(segment[number].is_number(), "{number} of {segment}");
        }
    }
    let body = answer(sample, TRANSCRIPTIONS, &[verbose, ("timestamp_granularities", "word")]).json();
    assert!(body.get("segments").is_none());
    let words: Vec<&str> =
        body["words"].as_array().unwrap().iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(body["text"], words.join(" "));
}

fn speakers_have_letters_or_names(sample: &Path) {
    let diarized = ("response_format", "diarized_json");
    let speakers = |body: &Value| -> Vec<String> {
        let segments = body["segments"].as_array().unwrap().iter();
        segments.map(|segment| segment["speaker"].as_str().unwrap().to_owned()).collect()
    };
    let letters = answer(sample, TRANSCRIPTIONS, &[diarized, ("num_speakers", "2")]).json();
    let first = speakers(&letters);
    assert!(first.contains(&"A".into()) && first.contains(&"B".into()), "{first:?}");
    let longest = letters["segments"].as_array().unwrap().iter().filter(|segment| segment["speaker"] == "B");
    let longest = longest.max_by(|a, b| length(a).total_cmp(&length(b))).unwrap();
    let reference = cut(sample, longest["start"].as_f64().unwrap(), length(longest).clamp(2.2, 8.0));
    let fields = [
        diarized,
        ("num_speakers", "2"),
        ("known_speaker_names[]", "bea"),
        ("known_speaker_references[]", reference.as_str()),
    ];
    let named = speakers(&answer(sample, TRANSCRIPTIONS, &fields).json());
    let expected: Vec<String> = first.iter().map(|letter| letter.replace('B', "bea")).collect();
    assert_eq!(named, expected);
    let text = answer(sample, TRANSCRIPTIONS, &[("response_format", "text"), ("diarize_audio", "true")]).text();
    assert!(text.lines().all(|line| line.starts_with("[SPEAKER_0")), "{text}");
}

fn length(segment: &Value) -> f64 {
    segment["end"].as_f64().unwrap() - segment["start"].as_f64().unwrap()
}

/// The samples of a 16-bit mono file at 16 kHz, as bytes.
fn samples(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!((&bytes[22..28], &bytes[34..36]), (&b"\x01\0\x80\x3e\0\0"[..], &b"\x10\0"[..]), "mono, 16 kHz, 16 bits");
    let data = bytes.windows(4).position(|window| window == b"data").unwrap();
    bytes[data + 8..].to_vec()
}

/// A file of these samples.
fn file_of(samples: &[u8]) -> Vec<u8> {
    let sample = |time: f64| (time * 16_000.0).round() as usize * 2;
    let value =
        |time: f64| f64::from(i16::from_le_bytes([samples[sample(time)], samples[sample(time) + 1]])) / 32_767.0;
    client::wav(samples.len() as f64 / 32_000.0, value)
}

/// A part of a recording as a data: URL.
fn cut(path: &Path, start: f64, seconds: f64) -> String {
    use base64::Engine;
    let samples = samples(path);
    let place = |time: f64| ((time * 16_000.0) as usize * 2).min(samples.len());
    let part = file_of(&samples[place(start)..place(start + seconds)]);
    format!("data:audio/wav;base64,{}", base64::engine::general_purpose::STANDARD.encode(part))
}

fn translations_have_their_formats(sample: &Path) {
    let of = |format: &str| answer(sample, "/v1/audio/translations", &[("response_format", format)]);
    let body = of("json").json();
    assert!(body["text"].as_str().is_some_and(|text| text.contains("Jersey")), "{body}");
    let body = of("verbose_json").json();
    assert_eq!((&body["task"], &body["language"]), (&json!("translate"), &json!("english")));
    assert!(body["segments"].is_array());
    assert!(of("vtt").text().starts_with("WEBVTT"));
}

/// The events of a stream, comments left out.
fn events(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let text = reply.text();
    assert!(text.ends_with("\n\n"), "{text}");
    let lines = text.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(": "));
    lines.map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

fn events_add_up_to_the_text(sample: &Path) {
    let reply = answer(sample, TRANSCRIPTIONS, &[("stream", "true"), ("response_format", "diarized_json")]);
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    let events = events(&reply);
    let of = |kind: &str, member: &str| -> Vec<String> {
        let kind = format!("transcript.text.{kind}");
        let those = events.iter().filter(|event| event["type"] == kind.as_str());
        those.map(|event| event[member].as_str().unwrap().to_owned()).collect()
    };
    let [text] = of("done", "text").try_into().unwrap();
    assert_eq!(events.last().unwrap()["type"], "transcript.text.done");
    assert_eq!(of("delta", "delta").concat(), text);
    assert_eq!(of("segment", "text").join(" "), text);
    let ids = of("segment", "id");
    assert_eq!(ids, (1..=ids.len()).map(|number| format!("seg_{number:03}")).collect::<Vec<_>>());
    assert!(of("segment", "speaker").contains(&"B".into()));
}

fn a_stream_that_fails_ends_with_an_error(sample: &Path) {
    let service = Service::start(Settings { request_timeout: Duration::from_secs(6), ..service::settings() });
    let long = file_of(&samples(sample).repeat(20));
    let reply = post(service.address, TRANSCRIPTIONS, &form(&long).text("stream", "true").text("batch_size", "1"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let events = events(&reply);
    let error = &events.last().unwrap()["error"];
    assert_eq!((&error["type"], &error["param"], &error["code"]), (&json!("server_error"), &Value::Null, &Value::Null));
    assert!(error["message"].as_str().is_some_and(|sentence| sentence.contains("time allowed")), "{error}");
    assert!(events.iter().all(|event| event["type"] != "transcript.text.done"));
    eventually("the work has ended", Duration::from_secs(20), || service.inside() == 0);
}

fn a_client_that_leaves_frees_its_place(sample: &Path) {
    let service = Service::start(service::settings());
    let form = form(&file_of(&samples(sample).repeat(20))).text("stream", "true").text("batch_size", "1");
    let (content_type, body) = (Form::content_type(), form.body());
    let length = format!("Content-Length: {}", body.len());
    let mut stream = client::connect(service.address);
    stream.write_all(&client::head("POST", TRANSCRIPTIONS, &[&content_type, &length])).unwrap();
    stream.write_all(b"\r\n").unwrap();
    stream.write_all(&body).unwrap();
    // It is at work once something was answered.
    std::io::Read::read_exact(&mut stream, &mut [0; 12]).unwrap();
    assert_eq!(service.inside(), 1);
    drop(stream);
    eventually("its place is free", Duration::from_secs(20), || service.inside() == 0);
}
