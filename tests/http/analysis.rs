//! `POST /v1/audio/alignments` and `POST /v1/audio/diarizations`.

use std::{path::Path, time::Duration};

use libtest_mimic::Trial;
use palabra::{audio::decode::decode_file, progress::Watch, span::Span};
use serde_json::{Value, json};

use super::{
    client::{self, Form, Reply, post},
    service::{self, Needs, Service, eventually},
    support::trial,
};

const ALIGNMENTS: &str = "/v1/audio/alignments";
const DIARIZATIONS: &str = "/v1/audio/diarizations";

pub fn trials(needs: &Needs) -> Vec<Trial> {
    let plain = |name: &str, body: fn()| {
        Trial::test(name, move || {
            body();
            Ok(())
        })
    };
    let with_sample = |name: &str, body: fn(&Path)| trial(name, &needs.sample, move |sample| body(&sample));
    vec![
        plain("alignments::wrong_requests_name_their_field", wrong_alignments_name_their_field),
        plain("diarizations::wrong_requests_name_their_field", wrong_diarizations_name_their_field),
        with_sample("alignments::a_whole_text_gets_the_times_of_its_words", a_whole_text_gets_the_times_of_its_words),
        with_sample("alignments::pieces_stay_where_they_were_sent", pieces_stay_where_they_were_sent),
        with_sample("alignments::subtitles_are_written", subtitles_are_written),
        with_sample("diarizations::speakers_and_turns_are_told", speakers_and_turns_are_told),
        with_sample("diarizations::rttm_has_a_line_a_turn", rttm_has_a_line_a_turn),
        with_sample("diarizations::known_speakers_have_their_names", known_speakers_have_their_names),
        with_sample("diarizations::silence_has_no_speakers", |_| silence_has_no_speakers()),
    ]
}

fn sound() -> Vec<u8> {
    client::wav(1.0, |time| (time * 440.0 * std::f64::consts::TAU).sin() * 0.3)
}

fn upload(sample: &Path) -> Form {
    Form::default().file("file", "my talk.wav", &std::fs::read(sample).unwrap())
}

fn answer(path: &str, form: &Form) -> Reply {
    let reply = post(Service::shared().address, path, form);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply
}

/// A refusal in OpenAI's shape that names a field.
fn refused(path: &str, form: &Form, status: u16, param: &str) -> String {
    let service = Service::start(service::settings());
    let reply = post(service.address, path, form);
    let error = reply.json()["error"].clone();
    assert_eq!((reply.status, error["param"].as_str()), (status, Some(param)), "{}", reply.text());
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    eventually("its place is free again", Duration::from_secs(5), || service.inside() == 0);
    error["message"].as_str().unwrap().to_owned()
}

fn wrong_alignments_name_their_field() {
    let file = || Form::default().file("file", "a.wav", &sound());
    refused(ALIGNMENTS, &Form::default().text("text", "Hello."), 400, "file");
    refused(ALIGNMENTS, &file(), 400, "text");
    refused(ALIGNMENTS, &file().text("text", "  "), 400, "text");
    let piece = r#"[{"start": 0, "end": 1, "text": "Hello."}]"#;
    refused(ALIGNMENTS, &file().text("text", "Hello.").text("segments", piece), 400, "segments");
    let message = refused(ALIGNMENTS, &file().text("segments", "[{}]"), 400, "segments");
    assert!(message.contains("JSON"), "{message}");
    refused(ALIGNMENTS, &file().text("text", "a").text("language", "klingon"), 400, "language");
    refused(ALIGNMENTS, &file().text("text", "a").text("response_format", "docx"), 400, "response_format");
    refused(ALIGNMENTS, &file().text("text", "a").text("model", "whisper-9"), 404, "model");
    refused(ALIGNMENTS, &Form::default().file("file", "a.wav", b"text").text("text", "a"), 400, "file");
}

fn wrong_diarizations_name_their_field() {
    let file = || Form::default().file("file", "a.wav", &sound());
    refused(DIARIZATIONS, &Form::default(), 400, "file");
    refused(DIARIZATIONS, &file().text("min_speakers", "3").text("max_speakers", "2"), 400, "min_speakers");
    refused(DIARIZATIONS, &file().text("num_speakers", "two"), 400, "num_speakers");
    refused(DIARIZATIONS, &file().text("max_speakers", "0"), 400, "max_speakers");
    refused(DIARIZATIONS, &file().text("include[]", "logprobs"), 400, "include");
    refused(DIARIZATIONS, &file().text("response_format", "srt"), 400, "response_format");
    let message =
        refused(DIARIZATIONS, &file().text("known_speaker_names[]", "agent"), 400, "known_speaker_references");
    assert!(message.contains("1 names and 0 recordings"), "{message}");
    let rttm = file().text("response_format", "rttm").text("include", "embeddings");
    refused(DIARIZATIONS, &rttm, 400, "response_format");
}

/// Words of a body with their times; every one has a length, in order, inside the recording.
fn timed(body: &Value) -> Vec<(String, f64, f64)> {
    let duration = body["duration"].as_f64().unwrap();
    let word = |word: &Value| {
        assert!((0.0..=1.0).contains(&word["score"].as_f64().unwrap()));
        (word["word"].as_str().unwrap().to_owned(), word["start"].as_f64().unwrap(), word["end"].as_f64().unwrap())
    };
    let words: Vec<_> = body["words"].as_array().unwrap().iter().map(word).collect();
    assert!(words.iter().all(|(_, start, end)| 0.0 <= *start && start < end && *end <= duration + 0.001));
    assert!(words.is_sorted_by(|a, b| a.1 <= b.1));
    words
}

fn transcript(sample: &Path) -> Value {
    let file = Form::default().file("audio_file", "a.wav", &std::fs::read(sample).unwrap());
    answer("/asr?output=json&word_timestamps=true", &file).json()
}

fn a_whole_text_gets_the_times_of_its_words(sample: &Path) {
    let said = transcript(sample);
    let text = said["text"].as_str().unwrap().trim();
    let body = answer(ALIGNMENTS, &upload(sample).text("text", text).text("model", "whisper-1")).json();
    assert_eq!(
        (&body["task"], &body["language"], body["text"].as_str()),
        (&json!("align"), &json!("english"), Some(text))
    );
    assert_eq!(body["usage"]["seconds"].as_f64(), Some(body["duration"].as_f64().unwrap().ceil()));
    let words = timed(&body);
    let written: Vec<_> = text.split_whitespace().collect();
    assert_eq!(words.iter().map(|(word, ..)| word.as_str()).collect::<Vec<_>>(), written);
    // The words as they were written first lie at the same times.
    let first = said["segments"].as_array().unwrap().iter().flat_map(|segment| segment["words"].as_array().unwrap());
    let mut apart: Vec<f64> =
        first.zip(&words).map(|(first, (_, start, _))| (first["start"].as_f64().unwrap() - start).abs()).collect();
    apart.sort_by(f64::total_cmp);
    assert!(apart[apart.len() / 2] < 0.1 && apart[apart.len() * 9 / 10] < 0.5, "{apart:?}");
    let of_segments =
        body["segments"].as_array().unwrap().iter().map(|segment| segment["words"].as_array().unwrap().len());
    assert_eq!(of_segments.sum::<usize>(), words.len());
}

fn pieces_stay_where_they_were_sent(sample: &Path) {
    let said = transcript(sample);
    let sent = said["segments"].as_array().unwrap();
    let body =
        answer(ALIGNMENTS, &upload(sample).text("segments", &said["segments"].to_string()).text("language", "en"));
    let body = body.json();
    let segments = body["segments"].as_array().unwrap();
    assert_eq!(segments.len(), sent.len());
    for (index, (segment, sent)) in segments.iter().zip(sent).enumerate() {
        assert_eq!(segment["id"], index);
        assert_eq!(segment["text"].as_str(), sent["text"].as_str().map(str::trim));
        assert!((segment["start"].as_f64().unwrap() - sent["start"].as_f64().unwrap()).abs() < 1.0, "{segment} {sent}");
        assert!(!segment["words"].as_array().unwrap().is_empty());
    }
    timed(&body);
}

fn subtitles_are_written(sample: &Path) {
    let form = || upload(sample).text("text", transcript(sample)["text"].as_str().unwrap());
    let srt = answer(ALIGNMENTS, &form().text("response_format", "srt"));
    assert!(srt.text().starts_with("1\n00:00:"), "{}", srt.text());
    assert_eq!(srt.header("content-type"), Some("text/plain; charset=utf-8"));
    let vtt = answer(ALIGNMENTS, &form().text("response_format", "vtt"));
    assert!(vtt.text().starts_with("WEBVTT\n\n00:00:"), "{}", vtt.text());
    assert_eq!(vtt.header("content-type"), Some("text/vtt; charset=utf-8"));
}

fn speakers_and_turns_are_told(sample: &Path) {
    let form = upload(sample).text("num_speakers", "2").text("include[]", "embeddings");
    let body = answer(DIARIZATIONS, &form).json();
    let speakers = body["speakers"].as_array().unwrap();
    assert_eq!(speakers.len(), 2);
    for (number, speaker) in speakers.iter().enumerate() {
        let name = format!("SPEAKER_{number:02}");
        assert_eq!(speaker["speaker"], name.as_str());
        let own = body["segments"].as_array().unwrap().iter().filter(|turn| turn["speaker"] == name.as_str());
        let seconds: f64 = own.map(|turn| turn["end"].as_f64().unwrap() - turn["start"].as_f64().unwrap()).sum();
        assert!((speaker["seconds"].as_f64().unwrap() - seconds).abs() < 0.05 && seconds > 1.0);
        let voice: Vec<f64> = speaker["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        assert!((voice.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-3, "of length one");
    }
    let plain = answer(DIARIZATIONS, &upload(sample)).json();
    assert!(plain["speakers"][0].get("embedding").is_none());
    assert_eq!(plain["usage"]["type"], "duration");
}

fn rttm_has_a_line_a_turn(sample: &Path) {
    let form = upload(sample).text("min_speakers", "2").text("max_speakers", "2");
    let turns = answer(DIARIZATIONS, &form).json()["segments"].as_array().unwrap().len();
    let rttm = answer(DIARIZATIONS, &form.text("response_format", "rttm"));
    assert_eq!(rttm.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(rttm.text().lines().count(), turns);
    assert!(rttm.text().lines().all(|line| line.starts_with("SPEAKER my_talk 1 ") && line.split(' ').count() == 10));
}

/// A second speaker is known by a stretch of the recording itself.
fn known_speakers_have_their_names(sample: &Path) {
    let body = answer(DIARIZATIONS, &upload(sample).text("num_speakers", "2")).json();
    let turns = body["segments"].as_array().unwrap();
    let length = |turn: &Value| turn["end"].as_f64().unwrap() - turn["start"].as_f64().unwrap();
    let own = turns.iter().filter(|turn| turn["speaker"] == "SPEAKER_01" && length(turn) > 2.1);
    let longest = own.max_by(|a, b| length(a).total_cmp(&length(b))).expect("a turn of more than two seconds");
    let start = longest["start"].as_f64().unwrap();
    let audio = decode_file(sample, &Default::default(), &Watch::silent()).unwrap().audio;
    let voice = audio.slice(Span::new(start, start + length(longest).min(9.0)));
    let wave = client::wav(voice.duration(), |time| f64::from(voice.samples()[(time * 16_000.0).round() as usize]));
    let reference = format!("data:audio/wav;base64,{}", base64(&wave));
    let form = upload(sample).text("num_speakers", "2").text("known_speaker_names[]", "the other one");
    let body = answer(DIARIZATIONS, &form.text("known_speaker_references[]", &reference)).json();
    let names: Vec<_> = body["speakers"].as_array().unwrap().iter().map(|speaker| &speaker["speaker"]).collect();
    assert_eq!(names, [&json!("SPEAKER_00"), &json!("the other one")]);
    assert_eq!(body["segments"].as_array().unwrap().len(), turns.len());
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn silence_has_no_speakers() {
    let form = Form::default().file("file", "a.wav", &client::silence(2.0));
    let body = answer(DIARIZATIONS, &form).json();
    assert_eq!((&body["speakers"], &body["segments"]), (&json!([]), &json!([])));
    assert_eq!(answer(DIARIZATIONS, &form.text("response_format", "rttm")).text(), "");
}
