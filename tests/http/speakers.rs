//! `POST /transcribe/` and speakers: names, voices, changes, channels.

use std::path::Path;

use libtest_mimic::Trial;
use palabra::{
    audio::decode::{Limits, decode_file},
    progress::Watch,
};
use serde_json::{Value, json};

use super::{
    client::{self, Form, post},
    service::{self, Needs, Service},
    support::{self, trial},
};

pub fn trials(needs: &Needs) -> Vec<Trial> {
    let with_sample = |name: &str, body: fn(&Path)| trial(name, &needs.sample, move |sample| body(&sample));
    vec![
        Trial::test("speakers::what_cannot_be_asked_for_is_told", || {
            what_cannot_be_asked_for_is_told();
            Ok(())
        }),
        with_sample("speakers::known_voices_are_named_and_voices_come_on_request", known_voices),
        with_sample("speakers::each_channel_is_a_speaker", each_channel_is_a_speaker),
    ]
}

/// The fields at fault and the sentences about them.
fn refused(fields: &[(&str, &str)]) -> (Vec<String>, String) {
    let service = Service::start(service::settings());
    let form = Form::default().file("audio_file", "a.wav", &client::silence(1.0));
    let form = fields.iter().fold(form, |form, (name, value)| form.text(name, value));
    let reply = post(service.address, "/transcribe/", &form);
    assert_eq!(reply.status, 422, "{}", reply.text());
    (reply.wrong_fields().into_iter().map(|(field, _)| field).collect(), reply.text())
}

fn what_cannot_be_asked_for_is_told() {
    let diarize = ("diarize_audio", "true");
    let reference = ("known_speaker_references[]", "data:audio/wav;base64,UklGRg==");
    let name = |name| ("known_speaker_names[]", name);
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: [Case; 10] = [
        (&[("speaker_changes", "word")], "speaker_changes", "diarize_audio=true"),
        (&[("speaker_embeddings", "yes")], "speaker_embeddings", "diarize_audio=true"),
        (&[name("Ann"), reference], "known_speaker_names", "diarize_audio=true"),
        (&[diarize, ("speaker_changes", "some")], "speaker_changes", "'smoothed' or 'word'"),
        (&[diarize, ("speaker_embeddings", "perhaps")], "speaker_embeddings", "boolean"),
        (&[diarize, ("channels", "speakers")], "channels", "leave out diarize_audio"),
        (&[("channels", "left")], "channels", "'mix' or 'speakers'"),
        (&[diarize, name("Ann")], "known_speaker_references", "1 names and 0 recordings"),
        (&[diarize, name("SPEAKER_00"), reference], "known_speaker_names", "unknown speakers are called"),
        (&[diarize, name("Ann"), ("known_speaker_references[]", "ann.wav")], "known_speaker_references", "data URL"),
    ];
    for (fields, field, told) in cases {
        let (wrong, text) = refused(fields);
        assert_eq!(wrong, [field], "{fields:?}: {text}");
        assert!(text.contains(told), "{fields:?}: {text}");
    }
}

fn answer(form: &Form) -> Value {
    let reply = post(Service::shared().address, "/transcribe/", form);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn samples(sample: &Path) -> Vec<f32> {
    decode_file(sample, &Limits::default(), &Watch::silent()).unwrap().audio.samples().to_vec()
}

/// A part of the sample as a file.
fn part(sample: &Path, start: f64, seconds: f64) -> Vec<u8> {
    let samples = samples(sample);
    client::wav(seconds, |time| f64::from(samples[((start + time) * 16_000.0) as usize]))
}

fn known_voices(sample: &Path) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let reference = |start, seconds| format!("data:audio/wav;base64,{}", STANDARD.encode(part(sample, start, seconds)));
    let form = Form::default()
        .file("audio_file", "sample.wav", &std::fs::read(sample).unwrap())
        .text("diarize_audio", "true")
        .text("speaker_changes", "none")
        .text("speaker_embeddings", "true")
        .text("known_speaker_names[]", "Diane")
        .text("known_speaker_references[]", &reference(18.3, 3.0));
    let body = answer(&form);
    let segments = body["segments"].as_array().unwrap();
    let speaker = |part: &str| {
        let of = segments.iter().find(|segment| segment["text"].as_str().unwrap().contains(part));
        of.map(|segment| segment["speaker"].as_str().unwrap()).unwrap_or_default()
    };
    assert_eq!(speaker("Diane in"), "Diane", "{segments:?}");
    assert!(speaker("Yankee").starts_with("SPEAKER_0"), "{segments:?}");
    for segment in segments {
        assert!(segment["words"].as_array().unwrap().iter().all(|word| word["speaker"] == segment["speaker"]));
    }
    let voices = body["speaker_embeddings"].as_object().unwrap();
    assert!(voices.contains_key("Diane") && voices.contains_key(speaker("Yankee")), "{:?}", voices.keys());
    let turns = body["speaker_activity_segments"].as_array().unwrap();
    assert!(turns.iter().any(|turn| turn["speaker"] == "Diane"), "{turns:?}");
    assert!(turns.iter().all(|turn| (0.0..=1.0).contains(&turn["confidence"].as_f64().unwrap())), "{turns:?}");
}

/// Two channels of 16 kHz samples as a file.
fn stereo(left: &[f32], right: &[f32]) -> Vec<u8> {
    let whole = |channel: &[f32]| channel.iter().map(|sample| (sample * 32_767.0) as i16).collect::<Vec<i16>>();
    support::wave(&[&whole(left), &whole(right)])
}

fn each_channel_is_a_speaker(sample: &Path) {
    let whole = samples(sample);
    let (sheila, diane) = (14.3..17.9, 18.1..21.5);
    let silent_but = |range: std::ops::Range<f64>| -> Vec<f32> {
        let inside = |index: usize| range.contains(&(index as f64 / 16_000.0));
        whole.iter().enumerate().map(|(index, sample)| if inside(index) { *sample } else { 0.0 }).collect()
    };
    let file = stereo(&silent_but(diane), &silent_but(sheila));
    let body = answer(&Form::default().file("audio_file", "call.wav", &file).text("channels", "speakers"));
    let segments = body["segments"].as_array().unwrap();
    let order: Vec<&str> = segments.iter().map(|segment| segment["speaker"].as_str().unwrap()).collect();
    assert!(order.first() == Some(&"SPEAKER_01") && order.last() == Some(&"SPEAKER_00"), "{segments:?}");
    assert!(segments[0]["text"].as_str().unwrap().contains("Sheila"), "{segments:?}");
    let speakers = body["speaker_activity_segments"].as_array().unwrap().iter().map(|turn| turn["speaker"].clone());
    assert!(
        speakers.clone().any(|who| who == json!("SPEAKER_00"))
            && speakers.clone().any(|who| who == json!("SPEAKER_01"))
    );
    assert_eq!(body["options_used"]["diarization_requested"], false);
    assert!(body.get("warnings").is_none(), "{}", body["warnings"]);
}
