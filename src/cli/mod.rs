//! The command line: what can be asked for, and what the exit code says.

mod ahead;
mod arguments;
mod bars;
mod bench;
mod cancel;
mod health;
mod models;
mod output;
mod panic;
mod serve;
mod speakers;
mod streams;
mod transcribe;

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, builder::Resettable};
use palabra::{Error, http::traces::Exporter, weights::StoreOptions};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        SubscriberBuilder,
        format::{DefaultFields, Format},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// Speech in, words out, each with its time and its speaker.
#[derive(Debug, Parser)]
#[command(name = "palabra", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

const EXIT_CODES: &str = "\
To see what it does:
  palabra transcribe --diarize --sample

Exit codes:
  0    everything was done
  2    the command line is wrong
  3    an input cannot be transcribed (the other inputs were)
  4    a model cannot be found, fetched or read
  5    the machine refuses: disk, device, permission
  70   a bug in palabra
  75   the GPU failed while it worked: start palabra again
  130  interrupted";

/// The exit code after a GPU has failed: sysexits' EX_TEMPFAIL, "try again".
const DEVICE_LOST: u8 = 75;

/// Options of every command.
#[derive(Debug, Args)]
struct Global {
    /// Where models are kept [default: palabra in the user's cache folder; `palabra models path` prints it]
    #[arg(
        long,
        global = true,
        env = "PALABRA_CACHE",
        hide_env_values = true,
        value_name = "FOLDER",
        help_heading = "General"
    )]
    cache_dir: Option<PathBuf>,
    /// Use only models that are in the cache; never touch the network
    #[arg(long, global = true, env = "PALABRA_OFFLINE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new(), help_heading = "General")]
    offline: bool,
    /// No progress, no warnings on standard error; errors still appear
    #[arg(short, long, global = true, help_heading = "General")]
    quiet: bool,
    /// Write logs as JSON lines to standard error, instead of progress bars
    #[arg(long, global = true, help_heading = "General")]
    json_log: bool,
}

impl Global {
    /// Whether people read standard error.
    fn talks(&self) -> bool {
        !self.quiet && !self.json_log
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn recordings into text with times and speakers
    Transcribe(Box<arguments::TranscribeArguments>),
    /// Serve the same over HTTP: the API of the WhisperX service that this replaces, and OpenAI's
    Serve(Box<serve::ServeArguments>),
    /// Ask a service on this machine whether it lives
    Health(health::HealthArguments),
    /// Measure Palabra on recordings of your own that have references
    Bench(bench::BenchArguments),
    /// See, fetch and check models
    Models(models::ModelsArguments),
}

/// Parses the arguments, runs the command, and maps its outcome to an exit code.
pub fn run() -> ExitCode {
    let cli = match command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(refusal) => return refuse(&refusal),
    };
    let global = &cli.global;
    // The service's own settings say how its log looks.
    if !matches!(cli.command, Command::Serve(_)) {
        start_log(global.json_log, global.quiet);
    }
    let store = StoreOptions {
        root: global.cache_dir.clone(),
        offline: global.offline,
        quiet: global.quiet || global.json_log,
        ..StoreOptions::default()
    };
    let outcome = panic::guarded(|| match &cli.command {
        Command::Transcribe(arguments) => transcribe::run(arguments, global, &store),
        Command::Serve(arguments) => serve::run(arguments, global, &store),
        Command::Health(arguments) => health::run(arguments),
        Command::Bench(arguments) => bench::run(arguments, global, &store),
        Command::Models(arguments) => models::run(arguments, global, &store),
    });
    outcome.unwrap_or_else(|error| {
        report(&error, global.json_log);
        if let Some(Error::DeviceLost(_)) = error.downcast_ref() {
            streams::leave(DEVICE_LOST);
        }
        exit_code(&error)
    })
}

/// The command line, to which an empty variable is none: compose files and charts set all that they name.
fn command() -> clap::Command {
    let heed = |argument: clap::Arg| {
        let empty = |name| std::env::var_os(name).is_some_and(|value| value.is_empty());
        if argument.get_env().is_some_and(empty) { argument.env(Resettable::Reset) } else { argument }
    };
    Cli::command().mut_args(heed).mut_subcommands(|command| command.mut_args(heed))
}

/// Prints what clap has to say: help and version on standard output, a wrong command line on standard error.
fn refuse(refusal: &clap::Error) -> ExitCode {
    let json_log = std::env::args_os().any(|argument| argument == "--json-log");
    if refusal.use_stderr() && json_log {
        start_log(true, false);
        let text = refusal.to_string();
        let sentence = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        tracing::error!("{}", on_one_line(sentence));
    } else if let Err(reason) = refusal.print() {
        tracing::debug!(%reason, "the help could not be printed");
    }
    ExitCode::from(u8::try_from(refusal.exit_code()).unwrap_or(2))
}

/// One sentence on standard error.
fn report(error: &anyhow::Error, json_log: bool) {
    let sentence = match error.downcast_ref::<Error>() {
        Some(Error::Cancelled) => "interrupted".to_owned(),
        Some(Error::Tensor(_) | Error::Bug(_)) | None => {
            format!("{}; please report this together with the command", on_one_line(&format!("{error:#}")))
        }
        Some(_) => on_one_line(&format!("{error:#}")),
    };
    if json_log {
        tracing::error!("{sentence}");
    } else {
        streams::tell(&format!("error: {sentence}"));
    }
}

fn on_one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(match error.downcast_ref::<Error>() {
        Some(Error::Request(_)) => 2,
        Some(Error::Audio(_) | Error::TooLarge(_)) => 3,
        Some(Error::Weights(_)) => 4,
        Some(Error::Machine(_) | Error::OutOfMemory(_) | Error::Busy { .. } | Error::Deadline(_)) => 5,
        Some(Error::DeviceLost(_)) => DEVICE_LOST,
        Some(Error::Cancelled) => 130,
        Some(Error::Tensor(_) | Error::Bug(_)) | None => 70,
    })
}

/// Logs go to standard error: warnings by default, more with RUST_LOG.
fn start_log(json: bool, quiet: bool) {
    let default = match (quiet, json) {
        (true, _) => "error",
        (false, true) => "palabra=info,warn",
        (false, false) => "warn",
    };
    let log = log(default);
    if json {
        log.json().init();
    } else {
        log.without_time().with_target(false).with_ansi(std::io::stderr().is_terminal()).init();
    }
}

/// The log of a service: a line per request and what happens between them, with the time.
fn start_service_log(json: bool, quiet: bool, traces: Option<&Exporter>) {
    let log = log(if quiet { "error" } else { "palabra=info,warn" });
    if json {
        start(log.json().finish(), traces);
    } else {
        start(log.with_target(false).with_ansi(std::io::stderr().is_terminal()).finish(), traces);
    }
}

fn start<S>(log: S, traces: Option<&Exporter>)
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    match traces {
        Some(traces) => log.with(traces.layer()).init(),
        None => log.init(),
    }
}

type Log = SubscriberBuilder<DefaultFields, Format, EnvFilter, fn() -> std::io::Stderr>;

fn log(default: &str) -> Log {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let writer: fn() -> std::io::Stderr = std::io::stderr;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        command().debug_assert();
    }

    #[test]
    fn exit_codes_are_those_of_the_help() {
        let code = |error: Error| format!("{:?}", exit_code(&anyhow::Error::new(error).context("talk.wav")));
        let expected = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(code(Error::Request(String::new())), expected(2));
        assert_eq!(code(Error::Audio(String::new())), expected(3));
        assert_eq!(code(Error::Weights(String::new())), expected(4));
        assert_eq!(code(Error::Machine(String::new())), expected(5));
        assert_eq!(code(Error::OutOfMemory(String::new())), expected(5));
        assert_eq!(code(Error::DeviceLost(String::new())), expected(75));
        assert_eq!(code(Error::Bug(String::new())), expected(70));
        assert_eq!(code(Error::Cancelled), expected(130));
    }
}
