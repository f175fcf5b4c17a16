//! What `palabra bench cpu` prints.

use std::{path::Path, time::Duration};

use palabra::{
    device::Compute,
    ops::profile::{Class, Numbers, Profile, Spent, StageProfile, Work},
};
use serde_json::{Value, json};

use super::{
    machine,
    peaks::{PRODUCT, Peaks},
    request::Wanted,
    run::{Round, Run},
};
use crate::cli::bench::{
    rounds::Rounds,
    table::{digits, markdown},
};

/// Everything that was found.
pub struct Report<'a> {
    /// What was asked for.
    pub wanted: &'a Wanted,
    /// The transcriber's numbers.
    pub compute: &'a Compute,
    /// How often.
    pub rounds: Rounds,
    /// One for each number of threads.
    pub runs: &'a [Run],
}

const HEADING: [&str; 9] =
    ["stage, operations", "s", "%", "ms/min", "calls", "GOP/s", "of peak %", "GB/s", "of mem. %"];

impl Report<'_> {
    /// As Markdown.
    pub fn tables(&self) -> String {
        let mut text = self.heading();
        for run in self.runs {
            text += &format!("\n### {}\n\n{}\n", counted(run.threads, "thread"), self.about(run));
            let view = View { run, round: run.middle() };
            text += &markdown(&HEADING, &view.stages());
            text += &format!("\nThe same by kind, over all stages:\n\n{}", markdown(&HEADING, &view.classes()));
        }
        if self.runs.len() > 1 {
            text += &format!("\n### Threads\n\n{}", self.scaling());
        }
        text
    }

    fn heading(&self) -> String {
        let Some(run) = self.runs.first() else { return String::new() };
        let (told, warm_up) = (&run.told, self.rounds.warm_up);
        let mut heard =
            vec![format!("{:.0} s", told.seconds), counted(told.chunks, "chunk"), counted(told.tokens, "token")];
        if told.fallbacks > 0 {
            heard.push(format!("{} decoded again", counted(told.fallbacks, "chunk")));
        }
        if self.wanted.speakers {
            heard.push(counted(told.speakers, "speaker"));
        }
        let after = if warm_up > 0 { format!(" after {warm_up} that did not count") } else { String::new() };
        format!(
            "{}. {}: {}. {} in {}, at most {} side by side. The middle one of {}{after}; loading left out.\n",
            machine::name(),
            file_name(&self.wanted.file),
            heard.join(", "),
            self.wanted.model,
            self.compute.type_name(),
            counted(self.wanted.batch_size, "chunk"),
            counted(run.rounds.len(), "round"),
        )
    }

    fn about(&self, run: &Run) -> String {
        let (wall, peaks) = (run.middle().cost.wall, &run.peaks);
        let spread = match (run.rounds.first(), run.rounds.last()) {
            (Some(fastest), Some(slowest)) if run.rounds.len() > 1 => {
                format!(" ({} to {})", digits(fastest.cost.wall), digits(slowest.cost.wall))
            }
            _ => String::new(),
        };
        let cpu = run.middle().cost.cpu.map_or_else(String::new, |cpu| format!(", {} s of processors", digits(cpu)));
        let giga = |rate: f64| digits(rate / 1e9);
        let narrow = |name: &str, found: Option<(f64, &'static str)>| match found {
            Some((rate, instructions)) => format!(", {name} {} ({instructions})", giga(rate)),
            None => String::new(),
        };
        let (rows, inputs, outputs) = PRODUCT;
        let products: Vec<String> =
            peaks.products.iter().map(|(weights, rate)| format!("{weights} {}", giga(*rate))).collect();
        let products = products.join(", ");
        format!(
            "{} s{spread}{cpu}, {} times real time. Peaks in registers, GOP/s: f32 {}{}{}. Palabra's product of {rows}x{inputs} and \
             {inputs}x{outputs}, by its weights: {products}. Reading, GB/s: {} from memory ({} MiB), {} beyond the second cache ({} KiB a \
             thread).\n",
            digits(wall),
            digits(run.told.seconds / wall),
            giga(peaks.single),
            narrow("bf16", peaks.bfloat),
            narrow("int8", peaks.int8),
            giga(peaks.memory),
            peaks.sizes.0 >> 20,
            giga(peaks.cache),
            peaks.sizes.1 >> 10,
        )
    }

    /// Seconds of every stage by the number of threads, and how many times faster than with the first of these.
    fn scaling(&self) -> String {
        let mut heading = vec!["stage".to_owned()];
        for run in self.runs {
            heading.push(format!("{}, s", counted(run.threads, "thread")));
        }
        heading.extend(self.runs.iter().skip(1).map(|run| format!("{} times", counted(run.threads, "thread"))));
        let row = |name: &str, seconds: Vec<f64>| {
            let first = seconds.first().copied().unwrap_or(0.0);
            let faster = seconds.iter().skip(1).map(|seconds| digits(first / seconds.max(f64::MIN_POSITIVE)));
            [vec![name.to_owned()], seconds.iter().map(|&seconds| digits(seconds)).collect(), faster.collect()].concat()
        };
        let stages = self.runs.first().map(|run| run.middle().profile.stages.as_slice()).unwrap_or_default();
        let mut rows: Vec<Vec<String>> = stages
            .iter()
            .map(|stage| {
                let seconds = |run: &Run| {
                    let same = run.middle().profile.stages.iter().find(|other| other.stage == stage.stage);
                    same.map_or(0.0, |stage| stage.time.as_secs_f64())
                };
                row(stage_name(stage), self.runs.iter().map(seconds).collect())
            })
            .collect();
        rows.push(row("all", self.runs.iter().map(|run| run.middle().profile.total.as_secs_f64()).collect()));
        markdown(&heading.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
    }

    /// As JSON: seconds, operations and bytes a second, shares from 0 to 1.
    pub fn json(&self) -> String {
        let document = json!({
            "machine": machine::name(),
            "file": file_name(&self.wanted.file),
            "model": self.wanted.model,
            "compute_type": self.compute.type_name(),
            "batch_size": self.wanted.batch_size,
            "warm_up": self.rounds.warm_up,
            "runs": self.runs.iter().map(run_json).collect::<Vec<_>>(),
        });
        format!("{document:#}\n")
    }
}

/// So many things.
fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

fn stage_name(stage: &StageProfile) -> &'static str {
    stage.stage.map_or("between stages", |stage| stage.name())
}

/// What an operation is called beside others.
fn class_name(class: Class, spent: &Spent) -> String {
    match spent.work.numbers {
        Numbers::Float32 => class.name().to_owned(),
        numbers => format!("{}, {}", class.name(), numbers.name()),
    }
}

/// What operations in these numbers can reach a second.
fn peak(numbers: Numbers, peaks: &Peaks) -> f64 {
    let narrow = |peak: Option<(f64, &'static str)>| peak.map_or(peaks.single, |(rate, _)| rate);
    match numbers {
        Numbers::Float32 => peaks.single,
        Numbers::BFloat16 => narrow(peaks.bfloat),
        Numbers::Int8 => narrow(peaks.int8),
    }
}

/// What a class took in all stages together, apart by its numbers, the longest first.
fn by_class(profile: &Profile) -> Vec<(Class, Spent)> {
    let mut classes: Vec<(Class, Spent)> = Vec::new();
    for (class, spent) in profile.stages.iter().flat_map(|stage| &stage.classes) {
        let same = |(known, sum): &&mut (Class, Spent)| known == class && sum.work.numbers == spent.work.numbers;
        match classes.iter_mut().find(same) {
            Some((_, sum)) => {
                sum.calls += spent.calls;
                sum.time += spent.time;
                sum.work += spent.work;
            }
            None => classes.push((*class, *spent)),
        }
    }
    classes.sort_by_key(|(_, spent)| std::cmp::Reverse(spent.time));
    classes
}

/// One round as rows.
struct View<'a> {
    run: &'a Run,
    round: &'a Round,
}

impl View<'_> {
    /// Every stage, with its classes under it.
    fn stages(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for stage in &self.round.profile.stages {
            rows.push(self.times(stage_name(stage).to_owned(), stage.time));
            for (class, spent) in &stage.classes {
                rows.push(self.class(&format!("- {}", class_name(*class, spent)), spent));
            }
            if !stage.classes.is_empty() {
                rows.push(self.times("- other".to_owned(), stage.other()));
            }
        }
        rows.push(self.times("all".to_owned(), self.round.profile.total));
        rows
    }

    fn classes(&self) -> Vec<Vec<String>> {
        let profile = &self.round.profile;
        let mut rows: Vec<_> =
            by_class(profile).iter().map(|(class, spent)| self.class(&class_name(*class, spent), spent)).collect();
        rows.push(self.times("other".to_owned(), profile.stages.iter().map(StageProfile::other).sum()));
        rows
    }

    fn times(&self, name: String, time: Duration) -> Vec<String> {
        let seconds = time.as_secs_f64();
        let share = 100.0 * seconds / self.round.profile.total.as_secs_f64();
        vec![name, digits(seconds), format!("{share:.1}"), digits(seconds * 1e3 * 60.0 / self.run.told.seconds)]
    }

    fn class(&self, name: &str, spent: &Spent) -> Vec<String> {
        let mut row = self.times(name.to_owned(), spent.time);
        row.push(spent.calls.to_string());
        let Rates { operations, of_peak, bytes, of_memory } = Rates::of(spent, &self.run.peaks);
        let cell = |value: Option<f64>, scale: f64| value.map_or_else(String::new, |value| digits(value * scale));
        row.extend([cell(operations, 1e-9), cell(of_peak, 100.0), cell(bytes, 1e-9), cell(of_memory, 100.0)]);
        row
    }
}

/// What operations achieved; `None` where they have nothing of the kind to do.
struct Rates {
    operations: Option<f64>,
    of_peak: Option<f64>,
    bytes: Option<f64>,
    of_memory: Option<f64>,
}

impl Rates {
    fn of(spent: &Spent, peaks: &Peaks) -> Self {
        let Work { operations, bytes, numbers } = spent.work;
        let rate = |amount: u64| (amount > 0).then(|| amount as f64 / spent.time.as_secs_f64().max(1e-9));
        let (operations, bytes) = (rate(operations), rate(bytes));
        let of_peak = operations.map(|rate| rate / peak(numbers, peaks));
        Self { operations, of_peak, bytes, of_memory: bytes.map(|rate| rate / peaks.memory) }
    }
}

fn run_json(run: &Run) -> Value {
    let middle = run.middle();
    let total = middle.profile.total.as_secs_f64();
    let walls: Vec<f64> = run.rounds.iter().map(|round| round.cost.wall).collect();
    let class = |(class, spent): &(Class, Spent)| {
        let rates = Rates::of(spent, &run.peaks);
        json!({
            "name": class.name(),
            "numbers": spent.work.numbers.name(),
            "seconds": spent.time.as_secs_f64(),
            "share": spent.time.as_secs_f64() / total,
            "calls": spent.calls,
            "operations": spent.work.operations,
            "bytes": spent.work.bytes,
            "operations_per_second": rates.operations,
            "of_peak": rates.of_peak,
            "bytes_per_second": rates.bytes,
            "of_memory": rates.of_memory,
        })
    };
    let stage = |stage: &StageProfile| {
        let seconds = stage.time.as_secs_f64();
        json!({
            "name": stage_name(stage),
            "seconds": seconds,
            "share": seconds / total,
            "classes": stage.classes.iter().map(class).collect::<Vec<_>>(),
            "other_seconds": stage.other().as_secs_f64(),
        })
    };
    let narrow = |found: Option<(f64, &'static str)>| {
        found.map(|(rate, instructions)| json!({"operations_per_second": rate, "instructions": instructions}))
    };
    let product = |(weights, rate): &(&'static str, f64)| json!({"weights": weights, "operations_per_second": rate});
    json!({
        "threads": run.threads,
        "peaks": {
            "float32": {"operations_per_second": run.peaks.single},
            "bfloat16": narrow(run.peaks.bfloat),
            "int8": narrow(run.peaks.int8),
            "products": run.peaks.products.iter().map(product).collect::<Vec<_>>(),
            "memory_bytes_per_second": run.peaks.memory,
            "memory_bytes": run.peaks.sizes.0,
            "cache_bytes_per_second": run.peaks.cache,
            "cache_bytes_per_thread": run.peaks.sizes.1,
        },
        "audio_seconds": run.told.seconds,
        "chunks": run.told.chunks,
        "tokens": run.told.tokens,
        "fallbacks": run.told.fallbacks,
        "speakers": run.told.speakers,
        "rounds": walls,
        "seconds": middle.cost.wall,
        "cpu_seconds": middle.cost.cpu,
        "profiled_seconds": total,
        "stages": middle.profile.stages.iter().map(stage).collect::<Vec<_>>(),
        "classes": by_class(&middle.profile).iter().map(class).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use palabra::ops::profile::{self, Stage};

    use super::*;
    use crate::cli::bench::{clock::Cost, cpu::request::Told};

    /// A round with a product of `operations` operations in the encoder, and something beside it.
    fn round(operations: usize, wall: f64) -> Round {
        let pause = || std::thread::sleep(Duration::from_millis(3));
        let ((), profile) = profile::record(|| {
            let _stage = profile::stage(Stage::Encoder);
            pause();
            let _timed = profile::span(Class::Linear, || Work::pass(operations, 1000));
            pause();
            drop(_timed);
            drop(profile::span(Class::Linear, || Work::pass(8, 0).of(Numbers::Int8)));
            drop(profile::span(Class::CacheCopy, || Work::pass(0, 10)));
        });
        Round { cost: Cost { wall, cpu: Some(2.0 * wall) }, profile }
    }

    fn runs() -> Vec<Run> {
        let peaks = |threads: usize| Peaks {
            single: 1e9 * threads as f64,
            bfloat: None,
            int8: Some((4e9, "TEST")),
            memory: 1e10,
            products: vec![("f32", 5e8)],
            ..Peaks::default()
        };
        let run = |threads| Run {
            threads,
            peaks: peaks(threads),
            told: Told { seconds: 120.0, chunks: 5, tokens: 70, ..Told::default() },
            rounds: vec![round(100, 1.0), round(200, 2.0), round(300, 3.0), round(400, 4.0)],
        };
        vec![run(1), run(2)]
    }

    fn report<T>(write: impl Fn(&Report) -> T) -> T {
        let wanted =
            Wanted { file: "talks/a.wav".into(), language: None, batch_size: 7, model: "base".into(), speakers: true };
        let (compute, runs) = (Compute::cpu(), runs());
        write(&Report { wanted: &wanted, compute: &compute, rounds: Rounds { warm_up: 1, counted: 4 }, runs: &runs })
    }

    #[test]
    fn json_tells_the_middle_round_and_every_share() {
        let document: Value = serde_json::from_str(&report(|report| report.json())).unwrap();
        assert_eq!((&document["file"], &document["runs"][1]["threads"]), (&"a.wav".into(), &2.into()));
        let run = &document["runs"][0];
        assert_eq!(
            (&run["seconds"], &run["cpu_seconds"], &run["rounds"]),
            (&2.0.into(), &4.0.into(), &json!([1.0, 2.0, 3.0, 4.0]))
        );
        let [encoder, rest] = run["stages"].as_array().unwrap().as_slice() else { panic!("{run:#}") };
        assert_eq!((&encoder["name"], &rest["name"]), (&"encoder".into(), &"between stages".into()));
        let number = |value: &Value, key: &str| value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value:#}"));
        let classes = encoder["classes"].as_array().unwrap();
        let parts =
            classes.iter().map(|class| number(class, "seconds")).sum::<f64>() + number(encoder, "other_seconds");
        assert!((parts - number(encoder, "seconds")).abs() < 1e-8, "{encoder:#}");
        assert!((number(encoder, "share") + number(rest, "share") - 1.0).abs() < 1e-9);
        let [linear, int8, copies] = classes.as_slice() else { panic!("{encoder:#}") };
        assert_eq!(number(linear, "operations"), 200.0);
        let rate = 200.0 / number(linear, "seconds");
        assert!((number(linear, "operations_per_second") - rate).abs() < 1e-6 * rate);
        assert!((number(linear, "of_peak") - rate / 1e9).abs() < 1e-6 * rate);
        assert!((number(int8, "of_peak") - number(int8, "operations_per_second") / 4e9).abs() < 1e-9);
        assert!(int8["bytes_per_second"].is_null() && copies["of_peak"].is_null() && number(copies, "bytes") == 10.0);
        assert_eq!((&int8["name"], &int8["numbers"]), (&"linear".into(), &"int8".into()));
        assert_eq!(run["peaks"]["bfloat16"], Value::Null);
    }

    #[test]
    fn tables_hold_every_stage_and_the_threads_side_by_side() {
        let text = report(|report| report.tables());
        for part in [
            "a.wav: 120 s, 5 chunks, 70 tokens",
            "at most 7 chunks",
            "### 1 thread\n",
            "### 2 threads\n",
            "### Threads\n",
        ] {
            assert!(text.contains(part), "`{part}` is missing in {text}");
        }
        assert!(text.contains("2.00 s (1.00 to 4.00), 4.00 s of processors, 60.0 times real time"), "{text}");
        assert!(text.contains("int8 4.00 (TEST)") && !text.contains("bf16 "), "{text}");
        assert!(
            text.contains("| - linear, int8 ") && text.contains("| - other ") && text.contains("| 2 threads times |")
        );
    }
}
