//! The engine with real weights: requests side by side get what they get alone, speakers and given texts, models that come
//! and go.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Arguments;
use palabra::{
    Error,
    audio::decode::Decoded,
    device::{ComputeType, Devices},
    engine::{Align, Engine, EngineOptions, GivenText, Keep, ModelState, Options},
    models::whisper::tokenizer::Task,
    progress::Watch,
    span::Span,
    stages::{
        beam::Beam, chunk::ChunkOptions, diarize::DiarizeOptions, language::LanguageChoice,
        transcribe::TranscribeOptions, vad::VadOptions,
    },
    transcript::Transcript,
};

#[derive(Clone)]
struct Need {
    engine: Engine,
    sample: PathBuf,
}

fn main() {
    let arguments = Arguments::from_args();
    let need = support::weights("base").and_then(|_| {
        support::weights("campplus")?;
        support::weights("silero-vad")?;
        Ok(Need {
            engine: support::engine(EngineOptions::default()),
            sample: support::weights("sample")?.join("sample.wav"),
        })
    });
    let both = need.clone().and_then(|need| support::weights("tiny.en").map(|_| need));
    libtest_mimic::run(
        &arguments,
        vec![
            support::trial("requests_side_by_side_get_what_they_get_alone", &need, |need| side_by_side(&need)),
            support::trial("two_devices_give_what_one_gives", &need, |need| two_devices(&need)),
            support::trial("segments_are_told_in_order_before_the_end", &need, |need| live(&need)),
            support::trial("what_a_chunk_holds_behind_its_last_time_is_written_too", &need, |need| {
                written_to_the_end(&need)
            }),
            support::trial("a_cancelled_request_ends_soon_and_harms_no_other", &need, |need| cancelled(&need)),
            support::trial("a_given_text_gets_its_times", &need, |need| given(&need)),
            support::trial("a_given_text_that_is_cut_in_pieces_stays_so", &need, |need| pieces(&need)),
            support::trial("a_voice_is_like_itself_and_unlike_another", &need, |need| voices(&need)),
            support::trial("the_language_of_a_recording", &need, |need| language(&need)),
            support::trial("models_leave_for_others_and_after_their_time", &both, |need| models(&need)),
        ],
    )
    .exit();
}

impl Need {
    fn decoded(&self) -> Decoded {
        support::decoded(&self.sample)
    }

    /// A part of the sample.
    fn part(&self, start: f64, end: f64) -> Decoded {
        let decoded = self.decoded();
        Decoded { audio: decoded.audio.slice(Span::new(start, end)), ..decoded }
    }

    fn transcribe(&self, decoded: Decoded, options: &Options) -> Transcript {
        let pipeline = self.engine.pipeline("base", None, &Watch::silent()).unwrap();
        pipeline.transcribe(decoded, 0.0, options, &Watch::silent()).unwrap()
    }
}

fn english() -> Options {
    let language = LanguageChoice::Fixed("en".parse().unwrap());
    Options { transcribe: TranscribeOptions { language, ..TranscribeOptions::default() }, ..Options::default() }
}

/// Text, times and speakers, in a form that can be compared.
fn shown(transcript: &Transcript) -> Vec<String> {
    let line = |segment: &palabra::transcript::Segment| {
        let words: Vec<String> = segment
            .words
            .iter()
            .map(|word| format!("{} {:.2?}", word.text, word.span.map(|s| (s.start, s.end))))
            .collect();
        format!("{:.2}-{:.2} {:?} {} {words:?}", segment.span.start, segment.span.end, segment.speaker, segment.text)
    };
    transcript.segments.iter().map(line).collect()
}

fn side_by_side(need: &Need) {
    let with = |change: &dyn Fn(&mut Options)| {
        let mut options = english();
        change(&mut options);
        options
    };
    let requests = [
        (need.part(0.0, 30.0), with(&|options| options.diarize = Some(DiarizeOptions::default()))),
        (need.part(6.0, 14.0), with(&|options| options.transcribe.language = LanguageChoice::Detect)),
        (need.part(12.0, 22.0), with(&|options| options.transcribe.initial_prompt = Some("Diane, Sheila".into()))),
        (need.part(0.0, 30.0), with(&|options| options.align = Align::Off)),
        (need.part(9.0, 27.0), with(&|options| options.transcribe.hotwords = Some("Yankee".into()))),
        (need.part(0.0, 30.0), with(&|options| options.chunk.chunk_size = 8.0)),
        (
            need.part(0.0, 30.0),
            with(&|options| {
                options.chunk.chunk_size = 8.0;
                options.transcribe.beam = Beam { size: 5, patience: 1.5, length_penalty: Some(0.8) };
            }),
        ),
        (
            need.part(4.0, 26.0),
            with(&|options| {
                options.align = Align::Off;
                options.transcribe.beam = Beam { size: 3, ..Beam::default() };
                // Nothing passes: each text is searched, then drawn.
                options.transcribe.gates.logprob = Some(0.0);
                options.transcribe.temperatures = vec![0.0, 0.4];
            }),
        ),
        (
            need.part(10.0, 20.0),
            with(&|options| {
                options.transcribe.language = LanguageChoice::Fixed("de".parse().unwrap());
                options.transcribe.task = Task::Translate;
            }),
        ),
    ];
    let alone: Vec<Vec<String>> =
        requests.iter().map(|(decoded, options)| shown(&need.transcribe(decoded.clone(), options))).collect();
    let together: Vec<Vec<String>> = thread::scope(|scope| {
        let started: Vec<_> = requests
            .iter()
            .map(|(decoded, options)| scope.spawn(|| shown(&need.transcribe(decoded.clone(), options))))
            .collect();
        started.into_iter().map(|request| request.join().unwrap()).collect()
    });
    for (index, (alone, together)) in alone.iter().zip(&together).enumerate() {
        assert!(!alone.is_empty(), "request {index} has text");
        assert_eq!(alone, together, "request {index}");
    }
}

fn two_devices(need: &Need) {
    let devices = Devices::open(&"cpu,cpu".parse().unwrap(), ComputeType::Float32).unwrap();
    let both = Need { engine: support::engine_on(devices, EngineOptions::default()), sample: need.sample.clone() };
    // Short chunks: enough jobs for both.
    let chunk = ChunkOptions { chunk_size: 6.0, ..ChunkOptions::default() };
    let options = Options { diarize: Some(DiarizeOptions::default()), chunk, ..english() };
    let [one, two] = [need, &both].map(|need| need.transcribe(need.part(0.0, 40.0), &options));
    assert_eq!(shown(&two), shown(&one));
    assert!(!one.segments.is_empty() && !one.turns.is_empty());
}

fn live(need: &Need) {
    let pipeline = need.engine.pipeline("base", None, &Watch::silent()).unwrap();
    let mut options = english();
    options.chunk.chunk_size = 6.0;
    for diarize in [None, Some(DiarizeOptions::default())] {
        options.diarize = diarize;
        let mut told = Vec::new();
        let mut calls = 0;
        let transcript = pipeline
            .transcribe_live(need.decoded(), 0.0, &options, &Watch::silent(), &mut |segments| {
                calls += 1;
                told.extend(segments);
            })
            .unwrap();
        assert!(calls > 2, "{calls} calls");
        let told = Transcript { segments: told, ..transcript.clone() };
        assert_eq!(shown(&told), shown(&transcript));
        assert_eq!(told.segments.iter().all(|segment| segment.speaker.is_some()), diarize.is_some());
    }
}

/// Whisper would close its last segment seconds before these recordings end, in the middle of a sentence.
fn written_to_the_end(need: &Need) {
    let options = Options { align: Align::Off, ..english() };
    for turn in [14.0, 15.0, 16.0] {
        let end = need.part(turn, 30.0).audio;
        let start = need.part(0.0, turn - 0.5).audio;
        let audio = palabra::audio::Audio::new([end.samples(), start.samples()].concat());
        let transcript = need.transcribe(Decoded { audio, ..need.decoded() }, &options);
        let text: Vec<&str> = transcript.segments.iter().map(|segment| segment.text.as_str()).collect();
        let text = text.join(" ");
        assert_eq!(text.matches("This is Dian").count(), 1, "turned at {turn} s: {text}");
        assert_eq!(text.matches("I need to design").count(), 1, "nothing comes twice: {text}");
        assert!(transcript.segments.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start + 1e-6));
        assert!(transcript.segments.last().is_some_and(|last| last.span.end > 28.0), "{text}");
    }
}

fn cancelled(need: &Need) {
    let pipeline = need.engine.pipeline("base", None, &Watch::silent()).unwrap();
    let mut samples = Vec::new();
    (0..20).for_each(|_| samples.extend_from_slice(need.decoded().audio.samples()));
    let long = Decoded { audio: palabra::audio::Audio::new(samples), ..need.decoded() };
    let expected = shown(&need.transcribe(need.part(6.0, 14.0), &english()));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let ended = scope.spawn(|| {
            let outcome = pipeline.transcribe(long, 0.0, &english(), &Watch::new(&|_| {}, &stop));
            (outcome.map(|_| ()), Instant::now())
        });
        thread::sleep(Duration::from_millis(1500));
        let beside = scope.spawn(|| shown(&need.transcribe(need.part(6.0, 14.0), &english())));
        thread::sleep(Duration::from_millis(100));
        let asked = Instant::now();
        stop.store(true, Ordering::Relaxed);
        let (outcome, at) = ended.join().unwrap();
        assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
        assert!(at.saturating_duration_since(asked) < Duration::from_secs(5));
        assert_eq!(beside.join().unwrap(), expected);
    });
    let late = Watch::silent().until(Instant::now());
    let outcome = pipeline.transcribe(need.decoded(), 0.0, &english(), &late);
    assert!(matches!(outcome, Err(Error::Deadline(_))));
}

/// Both texts through the same words: those of the transcript get nearly the times that transcribing gives them.
fn given(need: &Need) {
    let transcript = need.transcribe(need.decoded(), &english());
    let text: Vec<&str> = transcript.segments.iter().map(|segment| segment.text.as_str()).collect();
    let pipeline = need.engine.pipeline("base", None, &Watch::silent()).unwrap();
    let align = |options: &Options, text: &str| {
        pipeline.align(need.decoded(), 0.0, &GivenText::Whole(text.into()), options, &Watch::silent())
    };
    let mut cut = english();
    cut.chunk.chunk_size = 7.0;
    for options in [english(), cut] {
        let aligned = align(&options, &text.join(" ")).unwrap();
        let words: Vec<_> = aligned.segments.iter().flat_map(|segment| &segment.words).collect();
        let written: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(written, text.join(" ").split(' ').collect::<Vec<_>>());
        let reference = transcript.segments.iter().flat_map(|segment| &segment.words);
        let near =
            words.iter().zip(reference).filter(|(a, b)| (a.span.unwrap().start - b.span.unwrap().start).abs() < 0.2);
        let share = near.count() as f64 / words.len() as f64;
        println!("{:.0}% of {} words within 0.2 s", share * 100.0, words.len());
        assert!(share > 0.9, "{share}");
        assert!(words.windows(2).all(|pair| pair[0].span.unwrap().start <= pair[1].span.unwrap().start));
    }
    assert!(matches!(align(&english(), "  "), Err(Error::Request(_))));
    assert!(
        matches!(align(&english(), &"too much ".repeat(600)), Err(Error::Request(text)) if text.contains("more text"))
    );
}

fn pieces(need: &Need) {
    let pipeline = need.engine.pipeline("base", None, &Watch::silent()).unwrap();
    let pieces = vec![
        (Span::new(11.0, 14.2), "I thought you know I heard a beep. This is Diane in New Jersey.".to_owned()),
        (Span::new(18.0, 20.2), "Oh, I'm originally from Chicago also.".to_owned()),
    ];
    let text = GivenText::Pieces(pieces.clone());
    let aligned = pipeline.align(need.decoded(), 0.0, &text, &english(), &Watch::silent()).unwrap();
    assert_eq!(aligned.segments.len(), 2);
    for (segment, (span, text)) in aligned.segments.iter().zip(&pieces) {
        assert_eq!((&segment.text, segment.span), (text, *span));
        let inside = |word: &palabra::transcript::Word| {
            word.span.is_some_and(|word| word.start > span.start - 0.3 && word.end < span.end + 0.3)
        };
        assert!(segment.words.iter().all(inside), "{:?}", segment.words);
    }
    let outside = GivenText::Pieces(vec![(Span::new(40.0, 41.0), "nobody".into())]);
    let refused = pipeline.align(need.decoded(), 0.0, &outside, &english(), &Watch::silent());
    assert!(matches!(refused, Err(Error::Request(text)) if text.contains("segment 0")));
}

fn voices(need: &Need) {
    let likeness = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let voice = |start, end| need.engine.voice(&need.part(start, end).audio, &Watch::silent()).unwrap().embedding;
    let (diane, again, sheila) = (voice(11.0, 14.0), voice(18.0, 21.5), voice(14.3, 17.6));
    let (same, other) = (likeness(&diane, &again), likeness(&diane, &sheila));
    println!("the same voice {same:.2}, another {other:.2}");
    assert!(same > 0.5 && same > other + 0.2, "{same} {other}");
    assert!((likeness(&diane, &diane) - 1.0).abs() < 1e-3);
    let silence = need.engine.voice(&need.part(0.0, 5.0).audio, &Watch::silent());
    assert!(matches!(silence, Err(Error::Request(_))), "{silence:?}");

    let options = DiarizeOptions { num_speakers: Some(2), ..DiarizeOptions::default() };
    let spoken = need.engine.diarize(need.decoded(), 0.0, &options, &Watch::silent()).unwrap();
    assert_eq!(spoken.voices.len(), 2);
    assert!(spoken.segments.is_empty() && spoken.turns.len() > 4);
    let most = spoken.voices.iter().map(|heard| likeness(heard, &diane)).fold(f32::MIN, f32::max);
    assert!(most > 0.5, "{most}");
}

fn language(need: &Need) {
    let pipeline = need.engine.pipeline("base", None, &Watch::silent()).unwrap();
    let heard = pipeline.detect_language(need.decoded(), &VadOptions::default(), &Watch::silent()).unwrap();
    assert_eq!((heard[0].0.code(), heard.len()), ("en", 99));
    assert!(heard[0].1 > 0.5 && heard.iter().map(|(_, probability)| probability).sum::<f32>() > 0.99);
    let silence = pipeline.detect_language(need.part(0.0, 5.0), &VadOptions::default(), &Watch::silent()).unwrap();
    assert!(silence.is_empty(), "{silence:?}");
}

fn models(_: &Need) {
    let keep = Keep { models: Some(1), idle: Some(Duration::from_millis(500)), ..Keep::default() };
    let engine = support::engine(EngineOptions { keep, ..EngineOptions::default() });
    let state = |name: &str| engine.models().into_iter().find(|model| model.name == name).unwrap().state;
    assert_eq!(state("whisper-base"), ModelState::Cold);

    let seen = Arc::new(Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| seen.lock().unwrap().push(engine.pipeline("base", None, &Watch::silent()).unwrap()));
        }
    });
    let loaded = std::mem::take(&mut *seen.lock().unwrap());
    assert!(loaded.windows(2).all(|pair| Arc::ptr_eq(&pair[0], &pair[1])), "it was loaded once");
    assert_eq!(state("whisper-base"), ModelState::Warm);
    let tiny = engine.pipeline("tiny.en", None, &Watch::silent()).unwrap();
    assert_eq!((state("whisper-base"), state("whisper-tiny.en")), (ModelState::Cold, ModelState::Warm));
    drop((loaded, tiny));
    let deadline = Instant::now() + Duration::from_secs(10);
    while state("whisper-tiny.en") != ModelState::Cold {
        assert!(Instant::now() < deadline, "an idle model leaves");
        thread::sleep(Duration::from_millis(50));
    }
    for (model, why) in [("owner/some-whisper", "operator"), ("/etc", "not known"), ("nonsense", "not known")] {
        let refused = engine.pipeline(model, None, &Watch::silent()).map(|_| ());
        assert!(matches!(&refused, Err(Error::Request(text)) if text.contains(why)), "{model}: {refused:?}");
    }
}
