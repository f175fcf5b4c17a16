//! `POST /transcribe/`: what clients of the replaced service send, right and wrong.

use std::{path::Path, time::Duration};

use libtest_mimic::Trial;
use palabra::{settings::Settings, stages::vad::VoiceDetector};
use serde_json::{Value, json};

use super::{
    client::{self, Form, Reply, post},
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
    let with_sample = |name: &str, body: fn(&Path)| trial(name, &needs.sample, move |sample| body(&sample));
    vec![
        plain("transcribe::forms_without_one_file_are_refused", forms_without_one_file_are_refused),
        plain("transcribe::files_that_are_no_audio_are_refused", files_that_are_no_audio_are_refused),
        plain("transcribe::every_wrong_field_is_told", every_wrong_field_is_told),
        plain("transcribe::fields_out_of_bounds_are_told", fields_out_of_bounds_are_told),
        plain("transcribe::an_unknown_model_is_told_with_those_that_are_known", an_unknown_model_is_told),
        plain("transcribe::bodies_that_are_no_form_are_refused", bodies_that_are_no_form_are_refused),
        with_sample("transcribe::the_answer_has_the_keys_of_both_versions", the_answer_has_the_keys_of_both_versions),
        with_sample("transcribe::without_word_times_and_speakers", without_word_times_and_speakers),
        with_sample("transcribe::characters_on_request", characters_on_request),
        with_sample("transcribe::speech_is_found_by_the_network_asked_for", speech_is_found_by_the_network_asked_for),
        with_sample("transcribe::every_spelling_of_a_boolean_is_taken", every_spelling_of_a_boolean_is_taken),
        with_sample("transcribe::silence_and_a_blink_are_empty_transcripts", |_| {
            silence_and_a_blink_are_empty_transcripts()
        }),
        with_sample("transcribe::a_form_with_the_default_of_every_field_is_answered", default_of_every_field),
        with_sample("transcribe::a_path_in_a_file_name_is_only_a_name", a_path_in_a_file_name_is_only_a_name),
        with_sample("transcribe::requests_side_by_side_do_not_touch_each_other", requests_side_by_side),
    ]
}

fn refused(form: &Form) -> Reply {
    let service = Service::start(service::settings());
    let reply = post(service.address, "/transcribe/", form);
    eventually("its place is free again", Duration::from_secs(5), || service.inside() == 0);
    reply
}

/// What the page at /docs sends when nothing is filled in but the file: defaults where the document tells of them, nothing in
/// all other fields.
fn default_of_every_field(sample: &Path) {
    let address = Service::shared().address;
    let document = client::get(address, "/openapi.json", &[]).json();
    for path in ["/transcribe/", "/v1/audio/transcriptions", "/v1/audio/translations"] {
        let content = &document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"];
        let schema = match content["schema"]["$ref"].as_str() {
            Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => &content["schema"],
        };
        let fields = schema["properties"].as_object().unwrap();
        assert!(fields.len() > 5, "{path}: {fields:?}");
        let form =
            fields.iter().fold(Form::default(), |form, (name, field)| match (name.as_str(), &field["default"]) {
                ("audio_file" | "file", _) => form.file(name, "speech.wav", &std::fs::read(sample).unwrap()),
                ("model", _) => form.text(name, "base"),
                (_, Value::Null) => form.text(name, ""),
                (_, Value::String(text)) => form.text(name, text),
                (_, other) => form.text(name, &other.to_string()),
            });
        let reply = post(address, path, &form);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
}

fn sound() -> Vec<u8> {
    client::wav(1.0, |time| (time * 440.0 * std::f64::consts::TAU).sin() * 0.3)
}

fn forms_without_one_file_are_refused() {
    let missing = vec![("audio_file".to_owned(), "missing".to_owned())];
    assert_eq!(refused(&Form::default()).wrong_fields(), missing);
    assert_eq!(refused(&Form::default().text("model_name", "base")).wrong_fields(), missing);
    assert_eq!(refused(&Form::default().file("file", "a.wav", &sound())).wrong_fields(), missing);
    assert_eq!(refused(&Form::default().file("audio_file", "", b"")).wrong_fields(), missing, "none was chosen");
    let text = refused(&Form::default().text("audio_file", "a.wav"));
    assert_eq!(text.wrong_fields(), [("audio_file".to_owned(), "value_error".to_owned())]);
    let two = Form::default().file("audio_file", "a.wav", &sound()).file("audio_file", "b.wav", &sound());
    let two = refused(&two);
    assert_eq!(two.wrong_fields(), [("audio_file".to_owned(), "too_long".to_owned())]);
    assert!(two.text().contains("one request per file"));
}

fn files_that_are_no_audio_are_refused() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and so on".to_vec();
    for (content, told) in [
        (Vec::new(), "empty"),
        (b"This is a text and not a recording.\n".repeat(100), "text, not audio"),
        (png, "a PNG picture"),
        (sound()[..20].to_vec(), "RIFF"),
        (vec![0; 1000], "no audio format"),
    ] {
        let reply = refused(&Form::default().file("audio_file", "talk.mp3", &content));
        assert_eq!(reply.status, 400, "{told}: {}", reply.text());
        let sentence = reply.detail();
        assert!(told == "RIFF" || sentence.contains(told), "{told}: {sentence}");
        assert!(!sentence.contains("/proc") && !sentence.contains("/tmp"), "{sentence}");
    }
}

fn every_wrong_field_is_told() {
    let form = Form::default()
        .file("audio_file", "a.wav", &sound())
        .text("batch_size", "many")
        .text("align_audio", "perhaps")
        .text("word_level_timestamps", "2")
        .text("diarize_audio", "ja")
        .text("min_speakers", "1.5")
        .text("max_speakers", "0x10")
        .text("hf_token", "two words")
        .text("vad_method", "webrtc")
        .text("language", "klingon");
    let mut wrong = refused(&form).wrong_fields();
    wrong.sort();
    let expected = [
        ("align_audio", "bool_parsing"),
        ("batch_size", "int_parsing"),
        ("diarize_audio", "bool_parsing"),
        ("hf_token", "value_error"),
        ("language", "value_error"),
        ("max_speakers", "int_parsing"),
        ("min_speakers", "int_parsing"),
        ("vad_method", "literal_error"),
        ("word_level_timestamps", "bool_parsing"),
    ];
    assert_eq!(wrong, expected.map(|(field, kind)| (field.to_owned(), kind.to_owned())));
    let reply = refused(&Form::default().file("audio_file", "a.wav", &sound()).text("hf_token", "hf_secret secret"));
    assert!(!reply.text().contains("secret"), "a token is never repeated");
    let file_for_text = Form::default().file("audio_file", "a.wav", &sound()).file("batch_size", "x.txt", b"16");
    assert_eq!(refused(&file_for_text).wrong_fields(), [("batch_size".to_owned(), "string_type".to_owned())]);
}

fn fields_out_of_bounds_are_told() {
    let form = || Form::default().file("audio_file", "a.wav", &sound());
    for (name, value, kind) in [
        ("batch_size", "0", "greater_than_equal"),
        ("batch_size", "-3", "greater_than_equal"),
        ("batch_size", "100000", "less_than_equal"),
        ("batch_size", "99999999999999999999999", "int_parsing"),
        ("beam_size", "0", "greater_than_equal"),
        ("beam_size", "17", "less_than_equal"),
        ("beam_size", "five", "int_parsing"),
        ("patience", "0", "greater_than_equal"),
        ("patience", "inf", "finite_number"),
        ("patience", "2", "value_error"),
        ("length_penalty", "1.5", "less_than_equal"),
        ("length_penalty", "0.5", "value_error"),
        ("min_speakers", "0", "greater_than_equal"),
        ("max_speakers", "-1", "greater_than_equal"),
    ] {
        let wrong = refused(&form().text(name, value)).wrong_fields();
        assert_eq!(wrong, [(name.to_owned(), kind.to_owned())], "{value}");
    }
    let crossed = refused(&form().text("diarize_audio", "true").text("min_speakers", "4").text("max_speakers", "2"));
    assert_eq!(crossed.wrong_fields(), [("min_speakers".to_owned(), "value_error".to_owned())]);
    assert!(crossed.text().contains("above the largest"));
}

fn an_unknown_model_is_told() {
    for model in ["gpt-5", "../../etc", "/root/.cache", "openai/whisper-nonsense", "silero-vad", "src/http"] {
        let reply = refused(&Form::default().file("audio_file", "a.wav", &sound()).text("model_name", model));
        assert_eq!(reply.status, 404, "{model}");
        assert!(reply.detail().contains("whisper-base"), "{model}");
    }
}

fn bodies_that_are_no_form_are_refused() {
    let service = Service::start(service::settings());
    let send = |headers: &[&str], body: &[u8]| {
        let length = format!("Content-Length: {}", body.len());
        let mut request = client::head("POST", "/transcribe/", &[headers, &[&length]].concat());
        request.extend(b"\r\n");
        request.extend(body);
        client::send(service.address, &request)
    };
    let form = Form::default().file("audio_file", "a.wav", &sound()).body();
    for headers in
        [vec![], vec!["Content-Type: audio/wav"], vec!["Content-Type: application/json"], vec!["Content-Type: ,"]]
    {
        let reply = send(&headers, &form);
        assert_eq!(reply.status, 415, "{headers:?}");
        assert!(reply.detail().contains("multipart/form-data"));
    }
    let packed = send(&[&Form::content_type(), "Content-Encoding: gzip"], &form);
    assert_eq!((packed.status, packed.detail().contains("encoding")), (415, true));
    for content_type in
        ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=another"]
    {
        let reply = send(&[&format!("Content-Type: {content_type}")], &form);
        assert_eq!(reply.status, 400, "{content_type}");
        assert!(reply.detail().contains("form"), "{content_type}: {}", reply.text());
    }
    let nameless = b"--a-boundary-that-occurs-nowhere-else\r\n\r\nx\r\n--a-boundary-that-occurs-nowhere-else--\r\n";
    assert_eq!(send(&[&Form::content_type()], nameless).status, 400);
    let latin1 = b"--a-boundary-that-occurs-nowhere-else\r\nContent-Disposition: form-data; name=\"language\"\r\n\r\n\xe9\r\n--a-boundary-that-occurs-nowhere-else--\r\n";
    let reply = send(&[&Form::content_type()], latin1);
    assert_eq!((reply.status, reply.detail().contains("UTF-8")), (400, true));
    // A part that states another length than it has.
    let lying = b"--a-boundary-that-occurs-nowhere-else\r\nContent-Disposition: form-data; name=\"audio_file\"; filename=\"a\"\r\nContent-Length: 3\r\n\r\n123456789\r\n--a-boundary-that-occurs-nowhere-else--\r\n";
    assert_eq!(send(&[&Form::content_type()], lying).status, 400);
    let encoded = send(&["Content-Type: application/x-www-form-urlencoded"], b"model_name=base&batch_size=x");
    let wrong: Vec<String> = encoded.wrong_fields().into_iter().map(|(field, _)| field).collect();
    assert_eq!(wrong, ["audio_file", "batch_size"]);
}

/// A request of the shared service that must succeed.
fn answer(form: Form) -> (Reply, Value) {
    let service = Service::shared();
    let reply = post(service.address, "/transcribe/", &form);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json();
    (reply, body)
}

fn upload(sample: &Path) -> Form {
    Form::default().file("audio_file", "sample.wav", &std::fs::read(sample).unwrap())
}

fn the_answer_has_the_keys_of_both_versions(sample: &Path) {
    let form = upload(sample).text("diarize_audio", "true").text("language", "English").text("unknown_field", "x");
    let (reply, body) = answer(form.text("min_speakers", "2").text("max_speakers", "2"));
    for header in ["x-request-id", "x-queue-time", "x-inference-time"] {
        assert!(reply.header(header).is_some(), "{header}");
    }
    assert!(reply.header("x-inference-time").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(body["language"], "en");
    assert_eq!(body["language_probability"], 1.0);
    let segments = body["segments"].as_array().unwrap();
    let texts: Vec<&str> = segments.iter().map(|segment| segment["text"].as_str().unwrap().trim()).collect();
    assert_eq!(body["full_text"], texts.join(" "));
    assert!(texts.join(" ").len() > 100);
    for segment in segments {
        assert!(segment["start"].as_f64() <= segment["end"].as_f64());
        assert!(segment["speaker"].as_str().is_some_and(|name| name.starts_with("SPEAKER_0")));
        assert!(!segment["words"].as_array().unwrap().is_empty());
    }
    let words = segments.iter().map(|segment| segment["words"].as_array().unwrap().len()).sum::<usize>();
    assert_eq!(body["word_segments"].as_array().unwrap().len(), words);
    assert!(body["speaker_activity_segments"].as_array().unwrap().iter().all(|turn| turn["speaker"].is_string()));
    let options = json!({
        "model_name": "base", "language_requested": "English", "batch_size": 16, "alignment_performed": true,
        "diarization_performed": true, "alignment_requested_for_words": true, "alignment_performed_for_words": true,
        "diarization_requested": true, "diarization_speaker_turns_generated": true,
        "diarization_word_level_assigned": true, "word_level_timestamps_requested": true, "device": "cpu",
        "compute_type": "float32",
    });
    assert_eq!(body["options_used"], options);
}

fn without_word_times_and_speakers(sample: &Path) {
    for (name, value) in [("align_audio", "false"), ("word_level_timestamps", "off")] {
        let (_, body) = answer(upload(sample).text(name, value).text("language", "").text("batch_size", "4"));
        assert_eq!(body["options_used"]["alignment_performed"], false, "{name}");
        assert_eq!(body["options_used"]["language_requested"], Value::Null);
        assert_eq!(body["options_used"]["batch_size"], 4);
        assert_eq!(body["language"], "en");
        assert!(body["segments"].as_array().unwrap().iter().all(|segment| segment["words"] == json!([])));
        assert!(body.get("speaker_activity_segments").is_none());
        assert!(!body["full_text"].as_str().unwrap().is_empty());
    }
}

fn speech_is_found_by_the_network_asked_for(sample: &Path) {
    let service = Service::start(Settings { vad: VoiceDetector::Pyannote, ..service::settings() });
    let mut texts = Vec::new();
    // The sample's windows are two stretches; the service's own choice, another, and the same by name.
    for (method, stretches) in [("", 2), ("silero", 2), ("PYANNOTE", 4)] {
        let form = upload(sample).text("align_audio", "false").text("language", "en").text("vad_method", method);
        let reply = post(service.address, "/transcribe/", &form);
        assert_eq!(reply.status, 200, "{}", reply.text());
        texts.push(reply.json()["full_text"].as_str().unwrap().to_owned());
        let metrics = client::get(service.address, "/metrics", &[]).text();
        let done = format!("stage=\"segments\",outcome=\"done\"}} {stretches}\n");
        assert!(metrics.contains(&done), "no {done} after {method:?} in {metrics}");
    }
    assert_eq!(texts[0], texts[2]);
    assert!(texts.iter().all(|text| text.contains("New Jersey")), "{texts:?}");
}

fn characters_on_request(sample: &Path) {
    let (_, body) = answer(upload(sample).text("return_char_alignments", "true").text("language", "en"));
    let segments = body["segments"].as_array().unwrap();
    for segment in segments {
        let words = segment["words"].as_array().unwrap();
        assert!(words.iter().all(|word| word["source"] == "aligned"), "{words:?}");
        let characters = segment["chars"].as_array().unwrap();
        let text: String = characters.iter().filter_map(|entry| entry["char"].as_str()).collect();
        assert_eq!(text, segment["text"].as_str().unwrap().replace(' ', ""));
        let timed = characters.iter().filter(|entry| entry["start"].as_f64() < entry["end"].as_f64());
        // The apostrophe of "didn't" is heard as well.
        let heard = text.chars().filter(|character| character.is_alphanumeric() || *character == '\'');
        assert_eq!(timed.count(), heard.count(), "{text}");
    }
    let (_, body) = answer(upload(sample).text("language", "en"));
    assert!(body["segments"].as_array().unwrap().iter().all(|segment| segment.get("chars").is_none()));
    let without_words = upload(sample).text("return_char_alignments", "true").text("align_audio", "false");
    let wrong = refused(&without_words).wrong_fields();
    assert!(wrong.iter().any(|field| format!("{field:?}").contains("return_char_alignments")), "{wrong:?}");
}

fn every_spelling_of_a_boolean_is_taken(_: &Path) {
    for (value, taken) in [("TRUE", true), ("1", true), ("Yes", true), ("on", true), ("t", true), ("Y", true)]
        .into_iter()
        .chain([("False", false), ("0", false), ("no", false), ("OFF", false), ("f", false), ("n", false)])
    {
        let form = Form::default().file("audio_file", "a.wav", &client::silence(0.2)).text("diarize_audio", value);
        assert_eq!(answer(form).1["options_used"]["diarization_requested"], taken, "{value}");
    }
}

fn silence_and_a_blink_are_empty_transcripts() {
    for seconds in [0.05, 3.0] {
        let form = Form::default().file("audio_file", "a.wav", &client::silence(seconds)).text("diarize_audio", "true");
        let (_, body) = answer(form);
        assert_eq!((&body["segments"], &body["full_text"]), (&json!([]), &json!("")), "{seconds} s");
        assert!(body["warnings"]["transcription"].as_str().is_some_and(|warning| warning.contains("no speech")));
    }
}

fn a_path_in_a_file_name_is_only_a_name(_: &Path) {
    let service = Service::start(Settings { model: "base".into(), ..service::settings() });
    for name in ["../../../escaped.wav", "/escaped.wav", "C:\\\\escaped.wav", "esc%2e%2e/aped.wav"] {
        let form = Form::default().file("audio_file", name, b"not audio at all, but long enough to be looked at");
        let reply = post(service.address, "/transcribe/", &form);
        assert_eq!(reply.status, 400, "{name}");
    }
    assert_eq!(std::fs::read_dir(service.uploads.path()).unwrap().count(), 0);
    assert!(!service.uploads.path().parent().unwrap().join("escaped.wav").exists());
}

fn requests_side_by_side(sample: &Path) {
    let good = upload(sample);
    let bad = Form::default().file("audio_file", "a.wav", b"no audio");
    let address = Service::shared().address;
    let requests: Vec<_> = (0..6)
        .map(|index| if index % 2 == 0 { (good.clone(), 200) } else { (bad.clone(), 400) })
        .map(|(form, status)| (std::thread::spawn(move || post(address, "/transcribe", &form)), status))
        .collect();
    let mut texts = Vec::new();
    for (thread, status) in requests {
        let reply = thread.join().unwrap();
        assert_eq!(reply.status, status);
        if status == 200 {
            texts.push(reply.json()["full_text"].clone());
        }
    }
    assert!(texts.len() == 3 && texts.iter().all(|text| *text == texts[0]));
}
