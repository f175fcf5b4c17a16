//! `palabra bench cost`: what models take on paper, and what follows for a card.
//!
//! Nothing is run. [`whisper`] and [`listeners`] count operations, bytes and kernels from the dimensions of the networks;
//! [`cards`] holds data sheets; [`estimate`] says how long that takes under stated assumptions.

pub mod cards;
pub mod estimate;
pub mod listeners;
mod report;
pub mod whisper;
pub mod work;

use std::process::ExitCode;

use clap::Args;
use palabra::{
    Error, Result,
    device::ComputeType,
    models::whisper::{Config, checkpoints},
};

use self::{cards::Peak, estimate::Assumptions};
use crate::cli::streams;

/// Say what models take on paper, and how fast a card should be
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct CostArguments {
    /// Whisper checkpoints, by name
    #[arg(short, long, value_delimiter = ',', value_name = "MODEL,...", default_value = "base,large-v3")]
    model: Vec<String>,
    /// Cards, by name: H100, A100, L4, RTX-4090, ... (an unknown one lists them all)
    #[arg(long, value_delimiter = ',', value_name = "CARD,...", default_value = "H100,RTX-4090")]
    card: Vec<String>,
    /// Chunks in a batch, and rows of the decoder
    #[arg(short, long, value_name = "N", default_value_t = 16)]
    batch_size: usize,
    /// Number type of the transcriber: float16 (as bfloat16) or float32; the rest is f32
    #[arg(long, value_name = "TYPE", default_value = "float16")]
    compute_type: ComputeType,
    /// Tokens in the text of a chunk of 30 s
    #[arg(long, value_name = "N", default_value_t = 100)]
    tokens: usize,
    /// Microseconds that the processor takes to launch a kernel
    #[arg(long, value_name = "US", default_value_t = 5.0)]
    launch: f64,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

const NOTES: &str = "\
Columns: operations (a multiplication with its addition counts as two) and bytes between memory
and cores for one batch, the kernels launched for it, what crosses the bus, and for every card the
time with each kernel launched by the processor, what it waits for (compute, memory, launches or
bus), and the time with the steps of the decoder launched as CUDA graphs.
Three designs are told apart: `composed`, Candle's operations one after the other; `built`, with
the kernels that there are; `fused`, the aim, with attention of the encoder in blocks as well.

Examples:
  palabra bench cost
  palabra bench cost --model large-v3-turbo --card L4,A10 --batch-size 32 --json";

/// The largest batch and the longest text that make sense.
const MOST_ROWS: usize = 4096;
const MOST_TOKENS: usize = 444;

/// What was asked for, checked.
struct Question {
    models: Vec<(String, Config)>,
    cards: Vec<Peak>,
    rows: usize,
    /// Bytes of a number of the transcriber.
    size: usize,
    assumptions: Assumptions,
}

impl CostArguments {
    fn question(&self) -> Result<Question> {
        let unknown = |what: &str, name: &str, known: Vec<&str>| {
            Error::Request(format!("the {what} `{name}` is not known; known are {}", known.join(", ")))
        };
        let model = |name: &String| {
            let config = checkpoints::find(name);
            config
                .map(|config| (name.clone(), config))
                .ok_or_else(|| unknown("model", name, checkpoints::names().collect()))
        };
        let card = |name: &String| cards::find(name).ok_or_else(|| unknown("card", name, cards::names().collect()));
        if !(1..=MOST_ROWS).contains(&self.batch_size) {
            return Err(Error::Request(format!("--batch-size must lie between 1 and {MOST_ROWS}")));
        }
        if !(1..=MOST_TOKENS).contains(&self.tokens) {
            return Err(Error::Request(format!("--tokens must lie between 1 and {MOST_TOKENS}")));
        }
        if !(self.launch.is_finite() && self.launch >= 0.0) {
            return Err(Error::Request("--launch must be a number of microseconds from 0 up".into()));
        }
        Ok(Question {
            models: self.model.iter().map(model).collect::<Result<_>>()?,
            cards: self.card.iter().map(card).collect::<Result<_>>()?,
            rows: self.batch_size,
            size: self.compute_type.gpu_bytes(),
            assumptions: Assumptions { tokens: self.tokens, launch: self.launch * 1e-6, ..Assumptions::default() },
        })
    }
}

/// Prints the estimate.
///
/// # Errors
/// [`Error::Request`] for what is not known or cannot be.
pub fn run(arguments: &CostArguments) -> anyhow::Result<ExitCode> {
    let question = arguments.question()?;
    streams::write(&if arguments.json { report::json(&question) } else { report::tables(&question) })?;
    Ok(ExitCode::SUCCESS)
}
