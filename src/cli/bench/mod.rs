//! `palabra bench`: how good Palabra is on recordings whose truth is known.

mod arguments;
mod clock;
mod diarization;
mod folder;
mod report;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use palabra::weights::StoreOptions;

use self::arguments::DiarizationArguments;
use super::Global;

/// Measure Palabra on recordings of your own that have references.
#[derive(Debug, Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Measure how well speakers are told apart
    Diarization(DiarizationArguments),
}

/// Runs `palabra bench`: the figures go to standard output, everything else to standard error.
///
/// # Errors
/// What keeps all recordings from being measured.
pub fn run(arguments: &BenchArguments, global: &Global, store: &StoreOptions) -> anyhow::Result<ExitCode> {
    match &arguments.what {
        What::Diarization(arguments) => diarization::run(arguments, global, store),
    }
}
