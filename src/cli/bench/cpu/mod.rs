//! `palabra bench cpu`: where the time of a recording goes on the processor, beside what the machine can do.

mod amx;
mod dot;
mod machine;
mod peaks;
mod report;
mod request;
mod run;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use palabra::{
    Error, Result,
    device::{Compute, ComputeType, DeviceChoice, Devices},
    language::Language,
    progress::Watch,
    weights::{Store, StoreOptions},
};

use self::{
    request::{Networks, Wanted},
    run::Runs,
};
use super::rounds::Rounds;
use crate::cli::{Global, arguments::MOST_THREADS, bars::Bars, cancel, streams};

/// Measure where the time goes on the processor: every stage and kind of operation, beside what the machine can do
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct CpuArguments {
    /// Recording to transcribe: an audio or video file of any common format [default: the sample of two speakers, fetched
    /// once]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Whisper model: a name (`palabra models list`), a repository of the hub, or a folder
    #[arg(short, long, value_name = "MODEL", default_value = "base")]
    model: String,
    /// Number type of the transcriber, as for `palabra transcribe`
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    compute_type: ComputeType,
    /// Language spoken, as a code (en, de) or an English name [default: detected]
    #[arg(short, long, value_name = "LANGUAGE")]
    language: Option<Language>,
    /// Chunks of the recording that are written side by side
    #[arg(short, long, value_name = "N", default_value_t = 16)]
    batch_size: usize,
    /// Leave out speakers: only the text and the times of its words
    #[arg(long)]
    no_diarize: bool,

    /// Processor threads, each number in a run of its own [default: 1 and all cores]
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    threads: Vec<usize>,
    /// Rounds that count, of which the middle one is told
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Rounds before them
    #[arg(long, value_name = "N", default_value_t = 1)]
    warm_up: usize,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

const NOTES: &str = "\
The recording is transcribed from the file to words with times and speakers, one stage after the other
(`palabra transcribe --diarize` listens for speakers while it writes), first with one thread, then with
all cores. Loading is left out. What the table shows is the middle round, whole, so its shares sum to 100.

Rows: the stages, and under each the kinds of operations in it. `other` is what a stage does outside of
them. An operation that is made of others counts as one: GELU behind a linear layer is `linear`, softmax
in attention is `attention`.

Columns:
  s          seconds on the wall
  %          their share of the round
  ms/min     milliseconds for a minute of audio
  calls      operations that were called
  GOP/s      operations a second that the shapes ask for; a multiplication with its addition counts as two
  of peak %  the same beside what the threads reach in registers, in the numbers of that operation
  GB/s       bytes a second, every operand read once and every result written once
  of mem. %  the same beside what the threads read from memory; above 100 where the caches served

An operation that is far from both is held up by something else. What the machine can do is measured in
the same run, with as many threads: multiply-adds in f32, dot products in bf16 and int8 where the
processor has them, reading from memory and from the cache behind the second, and a product of
1024x512 and 512x2048 by Palabra's own linear layer, which shows how much of the peak its code gets.
Where something else runs on the machine, all figures are too low; the spread of the rounds tells.

Examples:
  palabra bench cpu
  palabra bench cpu lecture.mp3 --threads 2 --no-diarize
  palabra bench cpu lecture.mp3 --model small --compute-type float32 --rounds 5 --json > profile.json";

/// More rounds than this are a slip of the keyboard.
const MOST_ROUNDS: usize = 10_000;
/// More chunks side by side than this make no sense.
const MOST_ROWS: usize = 1024;

impl CpuArguments {
    fn rounds(&self) -> Result<Rounds> {
        if !(1..=MOST_ROUNDS).contains(&self.rounds) || self.warm_up > MOST_ROUNDS {
            return Err(Error::Request(format!(
                "--rounds must lie between 1 and {MOST_ROUNDS}, and --warm-up between 0 and {MOST_ROUNDS}"
            )));
        }
        Ok(Rounds { warm_up: self.warm_up, counted: self.rounds })
    }

    /// The numbers of threads, each once, in the order in which they were given.
    fn thread_counts(&self) -> Result<Vec<usize>> {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let wanted = if self.threads.is_empty() { vec![1, all] } else { self.threads.clone() };
        if let Some(wrong) = wanted.iter().find(|count| !(1..=MOST_THREADS).contains(*count)) {
            return Err(Error::Request(format!(
                "--threads takes numbers between 1 and {MOST_THREADS}, such as 1,{all}, not {wrong}"
            )));
        }
        let mut counts = Vec::new();
        wanted.into_iter().for_each(|count| {
            if !counts.contains(&count) {
                counts.push(count);
            }
        });
        Ok(counts)
    }

    fn compute(&self) -> Result<Compute> {
        Ok(Devices::open(&DeviceChoice::Cpu(1), self.compute_type)?.first().clone())
    }

    fn batch_size(&self) -> Result<usize> {
        match self.batch_size {
            size if (1..=MOST_ROWS).contains(&size) => Ok(size),
            size => Err(Error::Request(format!("--batch-size must lie between 1 and {MOST_ROWS}, not be {size}"))),
        }
    }

    /// The recording.
    fn audio(&self, store: &Store, watch: &Watch) -> Result<PathBuf> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        match store.fetch("sample", watch) {
            Ok(folder) => Ok(folder.join("sample.wav")),
            Err(Error::Cancelled) => Err(Error::Cancelled),
            Err(reason) => Err(Error::Request(format!(
                "the sample recording cannot be had ({reason}); name a recording of your own: palabra bench cpu FILE"
            ))),
        }
    }
}

/// Measures; the figures go to standard output, everything else to standard error.
///
/// # Errors
/// Options that cannot be, a recording or a model that cannot be had, a tensor operation that failed.
pub fn run(arguments: &CpuArguments, global: &Global, store: &StoreOptions) -> anyhow::Result<ExitCode> {
    let (rounds, counts, batch_size) = (arguments.rounds()?, arguments.thread_counts()?, arguments.batch_size()?);
    let compute = arguments.compute()?;
    let store = Store::open(store)?;
    let cancelled = cancel::on_interrupt();
    let bars = Bars::new(global.talks());
    let show = |progress| bars.show(progress);
    let watch = Watch::new(&show, &cancelled);
    let wanted = Wanted {
        file: arguments.audio(&store, &watch)?,
        language: arguments.language,
        batch_size,
        model: arguments.model.clone(),
        speakers: !arguments.no_diarize,
    };
    let networks = Networks::load(&store, &compute, &wanted, &watch)?;
    bars.clear();
    let runs = Runs { networks: &networks, wanted: &wanted, rounds, cancelled: &cancelled, talks: global.talks() };
    let measured = counts.iter().map(|&threads| runs.measure(threads)).collect::<Result<Vec<_>>>()?;
    let report = report::Report { wanted: &wanted, compute: &compute, rounds, runs: &measured };
    streams::write(&if arguments.json { report.json() } else { report.tables() })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        cpu: CpuArguments,
    }

    fn line(arguments: &[&str]) -> CpuArguments {
        Line::parse_from([&["cpu"], arguments].concat()).cpu
    }

    #[test]
    fn threads_are_one_and_all_unless_they_are_named() {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let expected = if all == 1 { vec![1] } else { vec![1, all] };
        assert_eq!(line(&[]).thread_counts().unwrap(), expected);
        assert_eq!(line(&["--threads", "4,2,4"]).thread_counts().unwrap(), [4, 2]);
    }

    #[test]
    fn what_cannot_be_is_refused_in_a_sentence() {
        let refused = |arguments: &[&str]| {
            let line = line(arguments);
            let checks = [
                line.thread_counts().map(drop),
                line.rounds().map(drop),
                line.batch_size().map(drop),
                line.compute().map(drop),
            ];
            checks.into_iter().find_map(Result::err).map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(refused(&["--threads", "0"]).contains("--threads"));
        assert!(refused(&["--threads", "2,100000"]).contains("100000"));
        assert!(refused(&["--rounds", "0"]).contains("--rounds"));
        assert!(refused(&["--batch-size", "0"]).contains("--batch-size"));
        assert!(refused(&["--compute-type", "float16"]).contains("float16"));
        assert_eq!(refused(&["a.wav", "--threads", "1"]), "");
    }
}
