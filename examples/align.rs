//! The time of every word of a text that is given: `cargo run --release --example align -- FILE TEXT [FILE TEXT]...`,
//! where TEXT is a text file with what is said in the recording FILE. Prints start, end, score, source and word.

use std::path::PathBuf;

use clap::Parser;
use palabra::{
    audio::decode::{Limits, decode_file},
    device::Compute,
    engine::{Align, Engine, EngineOptions, GivenText, Options},
    language::Language,
    progress::Watch,
    stages::language::LanguageChoice,
    weights::{Store, StoreOptions},
};

#[derive(Parser)]
struct Arguments {
    /// Recordings, and a text file after each.
    #[arg(num_args = 2.., required = true)]
    files: Vec<PathBuf>,
    /// What is spoken.
    #[arg(long, default_value = "en")]
    language: Language,
    /// Use the transcriber's cross-attention instead of an aligner.
    #[arg(long)]
    attention: bool,
}

fn main() -> anyhow::Result<()> {
    let (arguments, watch) = (Arguments::parse(), Watch::silent());
    let engine = Engine::new(Store::open(&StoreOptions::default())?, Compute::cpu(), EngineOptions::default());
    let pipeline = engine.pipeline("base", None, &watch)?;
    let mut options =
        Options { align: if arguments.attention { Align::Dtw } else { Align::Ctc }, ..Options::default() };
    options.transcribe.language = LanguageChoice::Fixed(arguments.language);
    for pair in arguments.files.chunks_exact(2) {
        let decoded = decode_file(&pair[0], &Limits::default(), &watch)?;
        let text = GivenText::Whole(std::fs::read_to_string(&pair[1])?);
        let transcript = pipeline.align(decoded, 0.0, &text, &options, &watch)?;
        println!("# {}", pair[0].display());
        for word in transcript.segments.iter().flat_map(|segment| &segment.words) {
            let span = word.span.unwrap_or_else(|| palabra::span::Span::new(0.0, 0.0));
            println!("{:.3}\t{:.3}\t{:.3}\t{:?}\t{}", span.start, span.end, word.score, word.source, word.text);
        }
        transcript.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    }
    Ok(())
}
