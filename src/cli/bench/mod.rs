//! `palabra bench`: how good Palabra is on recordings whose truth is known, and how fast on a machine.

mod arguments;
mod clock;
mod cost;
mod cpu;
mod diarization;
mod folder;
mod gpu;
mod peak;
mod report;
mod rounds;
mod table;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use palabra::weights::StoreOptions;

use self::{arguments::DiarizationArguments, cost::CostArguments, cpu::CpuArguments, gpu::GpuArguments};
use super::Global;

/// Measure Palabra: its errors on recordings of your own that have references, its speed on this machine
#[derive(Debug, Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Measure how well speakers are told apart
    Diarization(DiarizationArguments),
    Cpu(CpuArguments),
    Gpu(GpuArguments),
    Cost(CostArguments),
}

/// Runs `palabra bench`: the figures go to standard output, everything else to standard error.
///
/// # Errors
/// What keeps all recordings from being measured.
pub fn run(arguments: &BenchArguments, global: &Global, store: &StoreOptions) -> anyhow::Result<ExitCode> {
    match &arguments.what {
        What::Diarization(arguments) => diarization::run(arguments, global, store),
        What::Cpu(arguments) => cpu::run(arguments, global, store),
        What::Gpu(arguments) => gpu::run(arguments, global, store),
        What::Cost(arguments) => cost::run(arguments),
    }
}
