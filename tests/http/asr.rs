//! `POST /asr` and `POST /detect-language`: what clients of whisper-asr-webservice send and read.

use std::{path::Path, time::Duration};

use libtest_mimic::Trial;
use palabra::{audio::decode::decode_file, progress::Watch};
use serde_json::{Value, json};

use super::{
    client::{self, Form, Reply, get, post},
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
        plain("asr::errors_of_query_and_form_are_told_together", errors_of_query_and_form_are_told_together),
        plain("asr::what_cannot_be_raw_samples_is_refused", what_cannot_be_raw_samples_is_refused),
        with_sample("asr::every_output_has_its_format_and_headers", every_output_has_its_format_and_headers),
        with_sample("asr::json_has_the_keys_of_its_engines", json_has_the_keys_of_its_engines),
        with_sample("asr::raw_samples_give_the_text_of_the_file", raw_samples_give_the_text_of_the_file),
        with_sample("asr::silence_is_an_empty_transcript", |_| silence_is_an_empty_transcript()),
        with_sample("asr::the_language_is_detected", the_language_is_detected),
    ]
}

fn upload(sample: &Path) -> Form {
    Form::default().file("audio_file", "my talk.wav", &std::fs::read(sample).unwrap())
}

fn answer(path: &str, form: &Form) -> Reply {
    let reply = post(Service::shared().address, path, form);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply
}

fn errors_of_query_and_form_are_told_together() {
    let service = Service::start(service::settings());
    let reply = post(service.address, "/asr?task=sing&encode=perhaps&output=docx", &Form::default());
    assert_eq!(reply.status, 422);
    let body = reply.json();
    let told: Vec<_> = body["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["loc"], entry["type"].as_str().unwrap()))
        .collect();
    let expected = [
        (&json!(["query", "encode"]), "bool_parsing"),
        (&json!(["query", "task"]), "literal_error"),
        (&json!(["query", "output"]), "literal_error"),
        (&json!(["body", "audio_file"]), "missing"),
    ];
    assert_eq!(told, expected);
    assert_eq!(post(service.address, "/detect-language?encode=2", &Form::default()).status, 422);
    for path in ["/asr", "/detect-language"] {
        assert_eq!(get(service.address, path, &[]).status, 405, "{path}");
        let text = Form::default().file("audio_file", "a.mp3", &b"This is a text.\n".repeat(100));
        let reply = post(service.address, path, &text);
        assert_eq!((reply.status, reply.detail().is_empty()), (400, false), "{path}");
    }
    eventually("its place is free again", Duration::from_secs(5), || service.inside() == 0);
}

fn what_cannot_be_raw_samples_is_refused() {
    let service = Service::start(service::settings());
    let refused = |content: &[u8]| {
        let reply = post(service.address, "/asr?encode=false", &Form::default().file("audio_file", "a", content));
        assert_eq!(reply.status, 400, "{}", reply.text());
        reply.detail()
    };
    assert!(refused(&[0; 3201]).contains("3201 bytes"));
    assert!(refused(&client::silence(0.5)).contains("encode=true"));
    assert!(refused(b"").contains("empty"));
    let mut settings = service::settings();
    settings.max_audio_seconds = 1.0;
    let service = Service::start(settings);
    let long = Form::default().file("audio_file", "a", &[0; 32_002]);
    let reply = post(service.address, "/asr?encode=false", &long);
    assert_eq!((reply.status, reply.detail().contains("limit of 1 seconds")), (413, true), "{}", reply.text());
}

fn every_output_has_its_format_and_headers(sample: &Path) {
    for (output, begins) in [
        ("", ""),
        ("txt", ""),
        ("text", ""),
        ("srt", "1\n00:00:"),
        ("vtt", "WEBVTT\n\n00:00:"),
        ("tsv", "start\tend\ttext\n"),
        ("json", "{\"text\":\" "),
    ] {
        let query = if output.is_empty() { String::new() } else { format!("?output={output}&video_file=x") };
        let reply = answer(&format!("/asr{query}"), &upload(sample));
        assert!(reply.text().starts_with(begins) && reply.text().len() > 100, "{output}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(reply.header("asr-engine"), Some("palabra"));
        let extension = if begins.is_empty() { "txt" } else { output };
        let disposition = format!("attachment; filename=\"my%20talk.wav.{extension}\"");
        assert_eq!(reply.header("content-disposition"), Some(disposition.as_str()));
        assert!(reply.header("x-inference-time").is_some());
    }
}

fn json_has_the_keys_of_its_engines(sample: &Path) {
    let path =
        "/asr?output=json&word_timestamps=true&diarize=true&min_speakers=2&max_speakers=2&language=en&task=transcribe";
    let body: Value = answer(path, &upload(sample)).json();
    assert_eq!(body["language"], "en");
    let segments = body["segments"].as_array().unwrap();
    let joined: String = segments.iter().map(|segment| segment["text"].as_str().unwrap()).collect();
    assert_eq!(body["text"].as_str(), Some(joined.as_str()));
    for (id, segment) in segments.iter().enumerate() {
        assert_eq!(segment["id"], id);
        for key in ["seek", "start", "end", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob"] {
            assert!(segment[key].is_number(), "{key}");
        }
        assert!(!segment["tokens"].as_array().unwrap().is_empty());
        assert!(segment["speaker"].as_str().is_some_and(|name| name.starts_with("SPEAKER_0")));
        let words = segment["words"].as_array().unwrap();
        let text: String = words.iter().map(|word| word["word"].as_str().unwrap()).collect();
        assert_eq!(segment["text"].as_str(), Some(text.as_str()));
        assert!(
            words.iter().all(|word| word["start"].as_f64() < word["end"].as_f64() && word["probability"].is_number())
        );
    }
    let speakers: std::collections::BTreeSet<_> = segments.iter().map(|segment| segment["speaker"].as_str()).collect();
    assert_eq!(speakers.len(), 2);
    let plain = answer("/asr?output=json", &upload(sample)).json();
    assert!(plain["segments"][0].get("words").is_none() && plain["segments"][0].get("speaker").is_none());
}

fn raw_samples_give_the_text_of_the_file(sample: &Path) {
    let decoded = decode_file(sample, &Default::default(), &Watch::silent()).unwrap();
    let samples: Vec<u8> =
        decoded.audio.samples().iter().flat_map(|sample| ((sample * 32_768.0) as i16).to_le_bytes()).collect();
    let raw = answer("/asr?encode=false", &Form::default().file("audio_file", "audio_file", &samples));
    let file = answer("/asr", &upload(sample));
    assert_eq!(raw.text(), file.text());
}

fn silence_is_an_empty_transcript() {
    let silence = Form::default().file("audio_file", "a.wav", &client::silence(2.0));
    assert_eq!(answer("/asr", &silence).text(), "");
    let body = answer("/asr?output=json&word_timestamps=true", &silence).json();
    assert_eq!((&body["text"], &body["segments"]), (&json!(""), &json!([])));
    let expected = json!({"detected_language": "english", "language_code": "en", "confidence": 0.0});
    assert_eq!(answer("/detect-language", &silence).json(), expected);
}

fn the_language_is_detected(sample: &Path) {
    let body = answer("/detect-language", &upload(sample)).json();
    assert_eq!((&body["detected_language"], &body["language_code"]), (&json!("english"), &json!("en")));
    assert!((0.5..=1.0).contains(&body["confidence"].as_f64().unwrap()), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 3);
}
