//! Word times with real weights: how exact they are, that every word has one, and what a text that does not belong gets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::HashMap, fmt::Write as _, path::PathBuf};

use candle_core::{Device, Tensor};
use libtest_mimic::Arguments;
use palabra::{
    Error, Result,
    audio::{Audio, decode::Decoded},
    engine::{Align, Engine, EngineOptions, GivenText, Options},
    progress::Watch,
    span::Span,
    stages::language::LanguageChoice,
    transcript::{Source, Transcript, Word},
};
use serde_json::{Value, json};

#[derive(Clone)]
struct Need {
    engine: Engine,
    sample: PathBuf,
}

fn main() {
    let arguments = Arguments::from_args();
    let need = support::weights("base").and_then(|_| {
        support::weights("silero-vad")?;
        Ok(Need { engine: engine(EngineOptions::default()), sample: support::weights("sample")?.join("sample.wav") })
    });
    let both = need.clone().and_then(|need| support::weights("tiny.en").map(|_| need));
    let data = need.clone().and_then(|need| Ok((need, support::reference_data()?)));
    libtest_mimic::run(
        &arguments,
        vec![
            support::trial("words_are_as_exact_as_the_card_says", &data, |(need, data)| exactness(&need, data)),
            support::trial("every_word_is_timed_and_says_how", &need, |need| every_word(&need)),
            support::trial("another_transcriber_listens_through_the_same_encoder", &both, |need| encoder(&need)),
            support::trial("numbers_prices_and_dates_are_timed", &need, |need| numbers(&need)),
            support::trial("a_text_that_does_not_belong_is_told", &need, |need| foreign(&need)),
            support::trial("what_is_not_a_text_is_refused_or_spread", &need, |need| odd_texts(&need)),
            support::trial("a_long_piece_is_aligned_at_once", &need, |need| long_piece(&need)),
            support::trial("a_moment_of_sound_is_enough", &need, |need| moment(&need)),
            support::trial("translations_are_not_aligned", &need, |need| translations(&need)),
            support::trial("an_aligner_from_a_folder", &need, |need| from_a_folder(&need)),
            support::trial("without_an_aligner_attention_serves", &need, |need| without(&need)),
        ],
    )
    .exit();
}

fn engine(options: EngineOptions) -> Engine {
    support::engine(EngineOptions { folders: true, ..options })
}

fn options(align: Align, language: &str) -> Options {
    let mut options = Options { align, ..Options::default() };
    options.transcribe.language = LanguageChoice::Fixed(language.parse().unwrap());
    options
}

impl Need {
    fn decoded(&self) -> Decoded {
        support::decoded(&self.sample)
    }

    fn transcribe(&self, model: &str, options: &Options) -> Result<Transcript> {
        let pipeline = self.engine.pipeline(model, None, &Watch::silent())?;
        pipeline.transcribe(self.decoded(), 0.0, options, &Watch::silent())
    }

    fn align(&self, decoded: Decoded, text: &GivenText, options: &Options) -> Result<Transcript> {
        self.engine.pipeline("base", None, &Watch::silent())?.align(decoded, 0.0, text, options, &Watch::silent())
    }
}

fn words(transcript: &Transcript) -> Vec<&Word> {
    transcript.segments.iter().flat_map(|segment| &segment.words).collect()
}

/// Every word has a time, inside the recording, in order.
fn assert_sound(transcript: &Transcript) {
    let mut last = 0.0;
    for word in words(transcript) {
        let span = word.span.unwrap_or_else(|| panic!("{} has no time", word.text));
        assert!(last <= span.start + 1e-6 && span.start < span.end, "{} at {span:?} after {last}", word.text);
        last = span.end;
    }
    assert!(last <= transcript.duration + 1e-6);
}

/// Median and 90th percentile in milliseconds, and the share within 100 ms.
fn summary(mut errors: Vec<f64>) -> (f64, f64, f64) {
    errors.sort_by(f64::total_cmp);
    let at = |share: f64| errors[((errors.len() - 1) as f64 * share).round() as usize] * 1000.0;
    let within = errors.iter().filter(|&&error| error <= 0.1).count() as f64 / errors.len() as f64;
    (at(0.5), at(0.9), within)
}

fn exactness(need: &Need, data: PathBuf) {
    let manifest = std::fs::read_to_string(data.join("dev/manifest.jsonl")).unwrap();
    let rows = manifest.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut errors: HashMap<&str, Vec<f64>> = HashMap::new();
    for row in rows.filter(|row| row["words"].is_string() && row["language"] == "en") {
        let group = match row["set"].as_str().unwrap() {
            "emu-ae" | "timit-sample" | "praatio" => "by hand",
            "fsdd" => "digits",
            _ => continue,
        };
        let path = |name: &str| data.join("dev").join(row[name].as_str().unwrap());
        let mut reference: Vec<Value> = serde_json::from_slice(&std::fs::read(path("words")).unwrap()).unwrap();
        // Marks of pauses are nothing that is said.
        reference.retain(|word| word["word"].as_str().unwrap().contains(char::is_alphanumeric));
        let text = reference.iter().fold(String::new(), |text, word| text + word["word"].as_str().unwrap() + " ");
        let decoded = support::decoded(&path("path"));
        let transcript = need.align(decoded, &GivenText::Whole(text), &options(Align::Ctc, "en")).unwrap();
        let found = words(&transcript);
        assert_eq!(found.len(), reference.len(), "{}", row["id"]);
        for (word, reference) in found.iter().zip(&reference) {
            let span = word.span.unwrap();
            let edges = [(span.start, "start"), (span.end, "end")];
            let edges = edges.map(|(time, edge)| (time - reference[edge].as_f64().unwrap()).abs());
            errors.entry(group).or_default().extend(edges);
        }
    }
    // A little above what the card of the head says, which tells starts and ends apart.
    for (group, median, most, least) in [("by hand", 20.0, 60.0, 0.97), ("digits", 20.0, 90.0, 0.92)] {
        let (middle, ninth, within) = summary(errors.remove(group).unwrap());
        println!(
            "{group}: median {middle:.0} ms, 90th percentile {ninth:.0} ms, {:.1} % within 100 ms",
            within * 100.0
        );
        assert!(middle <= median && ninth <= most && within >= least, "{group}");
    }
}

fn every_word(need: &Need) {
    let transcript = need.transcribe("base", &Options { characters: true, ..options(Align::Auto, "en") }).unwrap();
    assert_sound(&transcript);
    let words = words(&transcript);
    assert!(words.len() > 20 && transcript.warnings.is_empty(), "{:?}", transcript.warnings);
    assert!(words.iter().all(|word| word.source == Source::Aligned && word.score > 0.0));
    for word in words {
        let letters = word.characters.iter().filter(|character| character.text.is_alphanumeric());
        assert!(letters.clone().count() > 0 && letters.clone().all(|letter| letter.span.is_some()), "{}", word.text);
        assert_eq!(word.characters.iter().map(|character| character.text).collect::<String>(), word.text);
    }
    let attention = need.transcribe("base", &options(Align::Dtw, "en")).unwrap();
    assert!(self::words(&attention).iter().all(|word| word.source == Source::Attention));
}

fn encoder(need: &Need) {
    let transcript = need.transcribe("tiny.en", &options(Align::Auto, "en")).unwrap();
    assert_sound(&transcript);
    assert!(words(&transcript).iter().all(|word| word.source == Source::Aligned));
}

const NUMBERS: &str = "On March 3rd, 2024, at 12:30, Dr. Smith paid $3.50 for 2 coffees — and £1,299.99 for No. 7 & 10-12 \
                       others, e.g. 20% of the 1990s: 3/4, A4, 50 km/h, 007, 5pm …";

fn numbers(need: &Need) {
    let transcript = need.align(need.decoded(), &GivenText::Whole(NUMBERS.into()), &options(Align::Ctc, "en")).unwrap();
    assert_sound(&transcript);
    assert_eq!(words(&transcript).len(), NUMBERS.split_whitespace().count());
    let unsaid: Vec<&str> = words(&transcript)
        .iter()
        .filter(|word| word.source == Source::Interpolated)
        .map(|word| word.text.as_str())
        .collect();
    assert_eq!(unsaid, ["—", "…"]);
}

fn foreign(need: &Need) {
    let text = "Nobody in this recording has ever said a word about the migration of geese or the price of umbrellas \
                in Copenhagen during the unusually dry summers of the previous century.";
    let transcript = need.align(need.decoded(), &GivenText::Whole(text.into()), &options(Align::Ctc, "en")).unwrap();
    assert_sound(&transcript);
    assert!(transcript.warnings.iter().any(|warning| warning.contains("does not match")), "{:?}", transcript.warnings);
    let longest =
        words(&transcript).iter().filter_map(|word| word.span).map(|span| span.duration()).fold(0.0, f64::max);
    assert!(longest < 2.5, "a word lasts {longest} s");
}

fn odd_texts(need: &Need) {
    let align = |text: &str| need.align(need.decoded(), &GivenText::Whole(text.into()), &options(Align::Ctc, "en"));
    assert!(matches!(align(" \n "), Err(Error::Request(reason)) if reason.contains("empty")));
    let symbols = align("— … ♪ 🙂").unwrap();
    assert_sound(&symbols);
    assert!(words(&symbols).iter().all(|word| word.source == Source::Interpolated) && words(&symbols).len() == 4);
    assert!(symbols.warnings.iter().any(|warning| warning.contains("could not be aligned")), "{:?}", symbols.warnings);
    // More characters than there are frames.
    let crowd = "supercalifragilistic ".repeat(200);
    assert!(matches!(align(&crowd), Err(Error::Request(reason)) if reason.contains("more text was given")));
    // Of several pieces only that one suffers.
    let pieces = [(Span::new(6.0, 10.0), "didn't know you were there"), (Span::new(10.0, 12.0), crowd.as_str())];
    let pieces = GivenText::Pieces(pieces.map(|(span, text)| (span, text.to_owned())).into());
    let spread = need.align(need.decoded(), &pieces, &options(Align::Ctc, "en")).unwrap();
    assert!(spread.segments[0].words.iter().all(|word| word.source == Source::Aligned));
    assert!(spread.segments[1].words.iter().all(|word| word.source == Source::Interpolated && word.span.is_some()));
    assert!(spread.warnings.iter().any(|warning| warning.contains("could not be aligned")), "{:?}", spread.warnings);
}

/// The sample three times, as one piece with its text three times.
fn long_piece(need: &Need) {
    let once = need.transcribe("base", &options(Align::Auto, "en")).unwrap();
    let text = once.segments.iter().fold(String::new(), |mut text, segment| {
        write!(text, "{} ", segment.text).unwrap();
        text
    });
    let decoded = need.decoded();
    let length = decoded.audio.duration();
    let audio = Audio::new(decoded.audio.samples().repeat(3));
    let pieces = GivenText::Pieces(vec![(Span::new(0.0, 3.0 * length), text.repeat(3))]);
    let thrice = need.align(Decoded { audio, ..decoded }, &pieces, &options(Align::Ctc, "en")).unwrap();
    assert_sound(&thrice);
    let (once, thrice) = (words(&once), words(&thrice));
    assert_eq!(thrice.len(), 3 * once.len());
    let mut near = 0;
    for (index, word) in thrice.iter().enumerate() {
        let (copy, place) = (index / once.len(), index % once.len());
        let expected = once[place].span.unwrap().start + copy as f64 * length;
        near += usize::from((word.span.unwrap().start - expected).abs() < 0.1);
    }
    assert!(near * 20 >= thrice.len() * 19, "{near} of {} words are where they were", thrice.len());
}

fn moment(need: &Need) {
    let decoded = need.decoded();
    let audio = decoded.audio.slice(Span::new(6.9, 6.905));
    let pieces = GivenText::Pieces(vec![(Span::new(0.0, 0.005), "one two".into())]);
    let transcript = need.align(Decoded { audio, ..decoded }, &pieces, &options(Align::Ctc, "en")).unwrap();
    assert_sound(&transcript);
}

fn translations(need: &Need) {
    let mut options = options(Align::Auto, "en");
    options.transcribe.task = palabra::models::whisper::tokenizer::Task::Translate;
    let transcript = need.transcribe("base", &options).unwrap();
    assert!(words(&transcript).iter().all(|word| word.source == Source::Attention));
    options.align = Align::Ctc;
    assert!(matches!(need.transcribe("base", &options), Err(Error::Request(reason)) if reason.contains("translation")));
}

/// A folder with a small random wav2vec2, as it would come from the hub.
fn tiny_aligner() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let golden = candle_core::safetensors::load(support::golden("wav2vec2.safetensors"), &Device::Cpu).unwrap();
    let tensors: HashMap<&str, Tensor> =
        golden.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("base/")?, tensor.clone()))).collect();
    candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
    let described: Value = serde_json::from_slice(&std::fs::read(support::golden("wav2vec2.json")).unwrap()).unwrap();
    let vocabulary: serde_json::Map<String, Value> = ["<pad>", "|", "E", "T", "A", "O", "N", "I", "H", "S", "R", "D"]
        .iter()
        .enumerate()
        .map(|(index, label)| ((*label).to_owned(), json!(index)))
        .collect();
    let write = |name: &str, value: &Value| std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    write("config.json", &described["variants"]["base"]["config"]);
    write("vocab.json", &Value::Object(vocabulary));
    folder
}

fn from_a_folder(need: &Need) {
    let folder = tiny_aligner();
    let named = |name: String| Need {
        engine: engine(EngineOptions { align_model: Some(name), ..EngineOptions::default() }),
        ..need.clone()
    };
    let own = named(folder.path().display().to_string());
    let transcript = own.transcribe("base", &options(Align::Auto, "en")).unwrap();
    assert_sound(&transcript);
    // Its weights are random: what it hears is not what is said, and the user is told.
    assert!(transcript.warnings.iter().any(|warning| warning.contains("does not match")));
    assert!(words(&transcript).iter().all(|word| word.source != Source::Attention));
    // Its twelve labels know no W.
    let given = own.align(need.decoded(), &GivenText::Whole("wwww tea".into()), &options(Align::Ctc, "en")).unwrap();
    let sources: Vec<Source> = words(&given).iter().map(|word| word.source).collect();
    assert_eq!(sources, [Source::Wildcard, Source::Aligned]);

    std::fs::write(folder.path().join("config.json"), r#"{"model_type": "bert"}"#).unwrap();
    for name in [folder.path().display().to_string(), "whisper-base".into(), "no such model".into()] {
        let error = named(name).transcribe("base", &options(Align::Auto, "en")).unwrap_err();
        println!("{error}");
        assert!(matches!(error, Error::Request(_) | Error::Weights(_)));
    }
}

fn without(need: &Need) {
    let transcript = need.transcribe("base", &options(Align::Auto, "cy")).unwrap();
    assert_sound(&transcript);
    assert!(words(&transcript).iter().all(|word| word.source == Source::Attention));
    let told = |warning: &String| warning.contains("cross-attention") && warning.contains("--align-model");
    assert!(transcript.warnings.iter().any(told), "{:?}", transcript.warnings);
    let error = need.transcribe("base", &options(Align::Ctc, "cy")).unwrap_err();
    assert!(matches!(&error, Error::Request(reason) if reason.contains("welsh")), "{error}");
    // Where its licence is no matter, the aligner of every language is tried; it is not on this machine.
    let options = EngineOptions { noncommercial_aligners: true, ..EngineOptions::default() };
    let error = Need { engine: engine(options), ..need.clone() }.transcribe("base", &self::options(Align::Ctc, "cy"));
    assert!(matches!(&error, Err(Error::Weights(reason)) if reason.contains("wav2vec2-mms")), "{error:?}");
}
