//! The command line: what can be asked for, and what the exit code says.

mod bars;
mod cancel;
mod models;
mod output;
mod transcribe;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use palabra::{Error, weights::StoreOptions};
use tracing_subscriber::EnvFilter;

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
Exit codes:
  0    everything was done
  2    the command line is wrong
  3    an input cannot be transcribed (the other inputs were)
  4    a model cannot be found, fetched or read
  5    the machine refuses: disk, device, permission
  70   a bug in palabra
  130  interrupted";

/// Options of every command.
#[derive(Debug, Args)]
struct Global {
    /// Where models are kept [default: the user's cache folder, palabra inside it]
    #[arg(long, global = true, env = "PALABRA_CACHE", value_name = "FOLDER", help_heading = "General")]
    cache_dir: Option<PathBuf>,
    /// Use only models that are in the cache; never touch the network
    #[arg(long, global = true, env = "PALABRA_OFFLINE", value_parser = clap::builder::FalseyValueParser::new(), help_heading = "General")]
    offline: bool,
    /// No progress, no warnings on standard error; errors still appear
    #[arg(short, long, global = true, help_heading = "General")]
    quiet: bool,
    /// Write logs as JSON lines to standard error, instead of progress bars
    #[arg(long, global = true, help_heading = "General")]
    json_log: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn recordings into text with times and speakers
    Transcribe(Box<transcribe::TranscribeArguments>),
    /// See, fetch and check models
    Models(models::ModelsArguments),
}

/// Parses the arguments, runs the command, and maps its outcome to an exit code.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    start_log(&cli.global);
    let store = StoreOptions {
        root: cli.global.cache_dir.clone(),
        offline: cli.global.offline,
        quiet: cli.global.quiet || cli.global.json_log,
        ..StoreOptions::default()
    };
    let outcome = match &cli.command {
        Command::Transcribe(arguments) => transcribe::run(arguments, &cli.global, &store),
        Command::Models(arguments) => models::run(arguments, &store),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            report(&error, cli.global.json_log);
            exit_code(&error)
        }
    }
}

/// One sentence on standard error.
fn report(error: &anyhow::Error, json_log: bool) {
    if json_log {
        tracing::error!("{error:#}");
    } else {
        eprintln!("error: {error:#}");
    }
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(match error.downcast_ref::<Error>() {
        Some(Error::Request(_)) => 2,
        Some(Error::Audio(_)) => 3,
        Some(Error::Weights(_)) => 4,
        Some(Error::Machine(_)) => 5,
        Some(Error::Cancelled) => 130,
        Some(Error::Tensor(_) | Error::Bug(_)) | None => 70,
    })
}

/// Logs go to standard error: warnings by default, more with RUST_LOG.
fn start_log(global: &Global) {
    let default = if global.quiet {
        "error"
    } else if global.json_log {
        "palabra=info,warn"
    } else {
        "warn"
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if global.json_log { log.json().init() } else { log.without_time().with_target(false).init() }
}
