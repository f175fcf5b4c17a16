//! `palabra bench gpu`: every stage on a device, checked against the CPU, timed, and set beside what the device can do.

mod beside;
mod check;
mod input;
mod measure;
mod report;
mod subject;
mod whisper;
mod whole;
mod writing;

use std::{process::ExitCode, sync::Arc};

use clap::Args;
use palabra::{
    Error, Result,
    device::{Compute, ComputeType, DeviceChoice, Devices},
    engine,
    progress::Watch,
    weights::{Role, Store, StoreOptions},
};

use self::{
    beside::Listeners,
    input::Input,
    measure::{Group, Plan, is_out_of_memory},
    whole::Whole,
};
use super::{peak, rounds::Rounds};
use crate::cli::{Global, arguments::start_threads, bars::Bars, cancel, streams};

/// Measure every stage on a GPU, beside what the card can do
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct GpuArguments {
    /// Whisper models: names, folders, or repositories of the hub [default: those in the cache]
    #[arg(short, long, value_delimiter = ',', value_name = "MODEL,...")]
    model: Vec<String>,
    /// Chunks in a batch
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_value = "1,2,4,8,16,32,64")]
    batch_sizes: Vec<usize>,
    /// What is measured: cuda, cuda:1, or cpu
    #[arg(long, default_value = "cuda")]
    device: String,
    /// Number type of the transcriber: auto (float16 on a GPU; the CPU stands in with float32), float32, float16, bfloat16
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    compute_type: ComputeType,
    /// Rounds that count, of which the median is told
    #[arg(long, value_name = "N", default_value_t = 10)]
    rounds: usize,
    /// Rounds before them
    #[arg(long, value_name = "N", default_value_t = 2)]
    warm_up: usize,
    /// Only these stages, by their names in the table
    #[arg(long, value_delimiter = ',', value_name = "STAGE,...")]
    only: Vec<String>,
    /// Processor threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

const NOTES: &str = "\
First every stage is computed on the device and on the CPU in f32, from the same input, and compared; a
stage whose result is wrong gets no time, and the exit code is then 70. Then each is timed at each batch
size; the clock is read when the device is idle. What does not fit the device's memory is named.

Shares of the peak are those of the card's data sheet where the card is known, else of what a large
product and a large copy reach. `palabra bench cost` says what the stages should reach.

Examples:
  palabra bench gpu
  palabra bench gpu --model large-v3 --batch-sizes 16 --json > figures.json
  palabra bench gpu --only 'encoder attention,decoder step' --compute-type bfloat16
  palabra bench gpu --device cpu --model tiny.en --batch-sizes 1,2";

/// The largest batch that makes sense.
const MOST_ROWS: usize = 1024;
/// More rounds than this are a slip of the keyboard.
const MOST_ROUNDS: usize = 10_000;
/// The exit code of a result that is wrong, as of every bug.
const WRONG: u8 = 70;

impl GpuArguments {
    fn check(&self) -> Result<Rounds> {
        if self.batch_sizes.iter().any(|size| !(1..=MOST_ROWS).contains(size)) {
            return Err(Error::Request(format!("--batch-sizes takes numbers from 1 to {MOST_ROWS}")));
        }
        if !(1..=MOST_ROUNDS).contains(&self.rounds) || self.warm_up > MOST_ROUNDS {
            return Err(Error::Request(format!(
                "--rounds must lie between 1 and {MOST_ROUNDS}, and --warm-up between 0 and {MOST_ROUNDS}"
            )));
        }
        if let Some(unknown) = self.only.iter().find(|name| !stage_names().any(|known| known == name.as_str())) {
            return Err(Error::Request(format!(
                "--only names `{unknown}`, which is no stage; stages are {}",
                stage_names().collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(Rounds { warm_up: self.warm_up, counted: self.rounds })
    }

    fn open(&self) -> Result<Compute> {
        let choice: DeviceChoice = self.device.parse()?;
        if choice == DeviceChoice::Auto {
            return Err(Error::Request("--device names what is measured: cuda, cuda:1, or cpu".into()));
        }
        // The CPU stands in for a GPU here, and is held to results in float32.
        let compute_type = match (&choice, self.compute_type) {
            (DeviceChoice::Cpu(_), ComputeType::Auto) => ComputeType::Float32,
            (DeviceChoice::Cpu(_), narrow @ (ComputeType::Int8 | ComputeType::BFloat16)) => {
                return Err(Error::Request(format!(
                    "--compute-type {narrow} of the CPU is measured by `palabra bench cpu`; here the CPU computes in float32"
                )));
            }
            (_, other) => other,
        };
        Ok(Devices::open(&choice, compute_type)?.first().clone())
    }

    /// The models to measure, by name.
    fn models(&self, store: &Store) -> Result<Vec<String>> {
        if !self.model.is_empty() {
            return Ok(self.model.clone());
        }
        let is_transcriber =
            |name: &str| store.manifest().find(name).map(|model| model.role) == Some(Role::Transcriber);
        let names = store.cached_models()?.into_iter().map(|cached| cached.name);
        let names: Vec<String> = names.filter(|name| is_transcriber(name)).collect();
        if names.is_empty() {
            return Err(Error::Weights(
                "no Whisper model is in the cache; name one with --model, or fetch one with `palabra models pull base`"
                    .into(),
            ));
        }
        Ok(names)
    }
}

/// The names of all stages.
fn stage_names() -> impl Iterator<Item = &'static str> {
    let [whisper, beside] =
        [whisper::STAGES.map(|stage| stage.0).to_vec(), beside::STAGES.map(|stage| stage.0).to_vec()];
    whisper.into_iter().chain(whole::STAGES.map(|stage| stage.0)).chain(beside)
}

/// Measures; the figures go to standard output, everything else to standard error.
///
/// # Errors
/// A device or a model that cannot be had, a device that fails.
pub fn run(arguments: &GpuArguments, global: &Global, store: &StoreOptions) -> anyhow::Result<ExitCode> {
    let rounds = arguments.check()?;
    start_threads(arguments.threads)?;
    let compute = arguments.open()?;
    let store = Store::open(store)?;
    let models = arguments.models(&store)?;
    let cancelled = cancel::on_interrupt();
    let bars = Bars::new(global.talks());
    let show = |progress| bars.show(progress);
    let watch = Watch::new(&show, &cancelled);
    let input = Input::new(&store, &watch)?;
    let tell = |line: &str| {
        if global.talks() {
            streams::tell(line);
        }
    };
    let limits = peak::limits(&compute)?;
    let plan = Plan {
        input: &input,
        batches: &arguments.batch_sizes,
        only: &arguments.only,
        rounds,
        watch: &watch,
        tell: &tell,
    };
    let bench = Bench { arguments, compute: &compute, store: &store, plan: &plan };
    let mut groups = Vec::new();
    if plan.wants_any(&whisper::STAGES) || plan.wants_any(&whole::STAGES) {
        for model in &models {
            groups.push(bench.whisper(model)?);
        }
    }
    if plan.wants_any(&beside::STAGES) {
        groups.push(bench.beside()?);
    }
    bars.clear();
    let right = groups.iter().all(Group::is_right);
    let text = if arguments.json { report::json } else { report::tables }(&limits, rounds, &groups);
    streams::write(&text)?;
    if !right {
        streams::tell("error: the device computes wrong results; please report this together with the figures");
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}

/// What is measured, and how.
struct Bench<'a> {
    arguments: &'a GpuArguments,
    compute: &'a Compute,
    store: &'a Store,
    plan: &'a Plan<'a>,
}

impl Bench<'_> {
    /// A checkpoint: its stages, then whole recordings.
    fn whisper(&self, model: &str) -> Result<Group> {
        let mut group = Group::new(model, self.compute);
        let folder = self.store.resolve_transcriber(model, self.plan.watch)?;
        let load = |compute: &Compute| engine::transcriber(&folder, compute).map(Arc::new);
        let ours = match load(self.compute) {
            Err(error) if is_out_of_memory(&error) => {
                group.leave_out("every stage", None, "the model does not fit the device's memory");
                return Ok(group);
            }
            loaded => loaded?,
        };
        let reference = load(&Compute::cpu())?;
        let tokens = check::tokens(&ours, &reference, self.plan.input)?;
        let writes = tokens.passed();
        group.measure((&ours, self.compute), Some(&reference), &whisper::STAGES, Some(tokens), self.plan)?;
        drop((ours, reference));
        self.whole(model, writes, &mut group)?;
        Ok(group)
    }

    fn whole(&self, model: &str, writes: bool, group: &mut Group) -> Result<()> {
        let why_not = match () {
            () if !self.plan.wants_any(&whole::STAGES) => return Ok(()),
            () if !self.plan.input.speech => Some("the sample recording cannot be had, and nobody speaks in noise"),
            () if !writes => Some("the tokens of a chunk are wrong (see the checks)"),
            () => None,
        };
        if let Some(reason) = why_not {
            group.leave_out("whole recordings", None, reason);
            return Ok(());
        }
        let largest = self.arguments.batch_sizes.iter().copied().max().unwrap_or(1);
        match Whole::load(self.store, self.compute, model, largest, self.plan.watch) {
            Ok(whole) => group.measure((&whole, self.compute), None, &whole::STAGES, None, self.plan),
            Err(error) if is_out_of_memory(&error) => {
                group.leave_out("whole recordings", None, "everything together does not fit the device's memory");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Everything beside Whisper.
    fn beside(&self) -> Result<Group> {
        let ours = Listeners::load(self.store, self.compute, self.plan.watch)?;
        let reference = Listeners::load(self.store, &Compute::cpu(), self.plan.watch)?;
        let mut group = Group::new("beside Whisper", ours.compute());
        group.measure((&ours, ours.compute()), Some(&reference), &beside::STAGES, None, self.plan)?;
        Ok(group)
    }
}
