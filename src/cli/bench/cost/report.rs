//! What `palabra bench cost` prints.

use palabra::models::whisper::{Config, checkpoints::parameters};
use serde_json::{Value, json};

use super::{
    Question,
    cards::Peak,
    estimate::{self, Stage, real_time_factors},
    whisper::Batch,
    work::{Design, Work},
};
use crate::cli::bench::table::{digits, markdown};

/// The batch sizes of the last table.
const BATCHES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const DESIGNS: [(Design, &str); 3] =
    [(Design::Fused, "fused"), (Design::Built, "built"), (Design::Composed, "composed")];

fn stages(question: &Question, config: &Config, rows: usize, design: Design) -> Vec<Stage> {
    estimate::stages(config, rows, question.size, design, &question.assumptions)
}

/// Everything as Markdown.
pub fn tables(question: &Question) -> String {
    let mut text = terms(question);
    for (name, config) in &question.models {
        for (design, word) in DESIGNS {
            let millions = parameters(config) as f64 / 1e6;
            text += &format!("\n### {name} ({millions:.1} M parameters), batch {}, {word}\n\n", question.rows);
            text += &by_stage(question, &stages(question, config, question.rows, design));
        }
    }
    text += &format!("\n### One decoding step, batch {}\n\n{}", question.rows, steps(question));
    text + "\n### Times real time by batch size, without speakers\n\n" + &by_batch(question)
}

fn terms(question: &Question) -> String {
    let assumptions = &question.assumptions;
    let card = |card: &Peak| {
        format!(
            "{} {} T operations/s in f16, {} in f32, {} GB/s",
            card.name,
            digits(card.half / 1e12),
            digits(card.single / 1e12),
            digits(card.bandwidth / 1e9)
        )
    };
    format!(
        "Transcriber in {}, the rest in f32. Peaks: {}.\nReached of them: {} in products, {} in attention, {} elsewhere, {} \
         of the bandwidth. The bus copies {} GB/s. A launch takes the processor {} us, the beginning and end of a kernel {} us. {} tokens in a chunk \
         of 30 s.\n",
        if question.size == 4 { "f32" } else { "f16 (or bf16)" },
        question.cards.iter().map(card).collect::<Vec<_>>().join("; "),
        assumptions.products,
        assumptions.attention,
        assumptions.other,
        assumptions.bandwidth,
        digits(assumptions.bus / 1e9),
        assumptions.launch * 1e6,
        assumptions.gap * 1e6,
        assumptions.tokens
    )
}

fn by_stage(question: &Question, stages: &[Stage]) -> String {
    let titles: Vec<[String; 3]> = question
        .cards
        .iter()
        .map(|card| [format!("{} ms", card.name), "limit".to_owned(), "graph ms".to_owned()])
        .collect();
    let mut heading = vec!["stage", "GFLOP", "GB", "FLOP/byte", "kernels", "bus MB"];
    heading.extend(titles.iter().flatten().map(String::as_str));
    let mut rows: Vec<Vec<String>> = stages.iter().map(|stage| row(question, stage)).collect();
    for (label, speakers) in [("times real time", false), ("the same with speakers", true)] {
        let mut row = vec![String::new(); 6];
        row[0] = label.to_owned();
        for card in &question.cards {
            let (launched, graph) = real_time_factors(stages, question.rows, card, &question.assumptions, speakers);
            row.extend([digits(launched), String::new(), digits(graph)]);
        }
        rows.push(row);
    }
    markdown(&heading, &rows)
}

fn row(question: &Question, stage: &Stage) -> Vec<String> {
    let Work { flops, bytes, kernels, bus } = stage.work;
    let mut row = vec![
        stage.name.to_owned(),
        digits(flops / 1e9),
        digits(bytes / 1e9),
        if bytes > 0.0 { digits(stage.work.intensity()) } else { String::new() },
        format!("{kernels:.0}"),
        digits(bus / 1e6),
    ];
    for card in &question.cards {
        let time = stage.time(card, &question.assumptions);
        row.extend([digits(time.launched * 1e3), time.limit.name().to_owned(), digits(time.graph * 1e3)]);
    }
    row
}

/// The work of one step with half of the text written.
fn step(question: &Question, config: &Config, design: Design) -> Work {
    let batch = Batch { config, rows: question.rows, size: question.size, design };
    batch.step(question.assumptions.tokens / 2) + batch.step_logits()
}

fn steps(question: &Question) -> String {
    let titles: Vec<String> = question.cards.iter().map(|card| format!("{} memory ms", card.name)).collect();
    let mut heading = vec!["model", "MB", "kernels", "launches ms", "graph ms"];
    heading.extend(titles.iter().map(String::as_str));
    let mut rows = Vec::new();
    for (name, config) in &question.models {
        for (design, word) in DESIGNS {
            let work = step(question, config, design);
            let assumptions = &question.assumptions;
            let mut row = vec![
                format!("{name}, {word}"),
                digits(work.bytes / 1e6),
                format!("{:.0}", work.kernels),
                digits(work.kernels * assumptions.launch * 1e3),
                digits(work.kernels * assumptions.gap * 1e3),
            ];
            let memory = |card: &Peak| digits(work.bytes / (card.bandwidth * assumptions.bandwidth) * 1e3);
            row.extend(question.cards.iter().map(memory));
            rows.push(row);
        }
    }
    markdown(&heading, &rows)
}

fn by_batch(question: &Question) -> String {
    let sizes = BATCHES.map(|rows| rows.to_string());
    let mut heading = vec!["model, card, design"];
    heading.extend(sizes.iter().map(String::as_str));
    let mut rows = Vec::new();
    for (name, config) in &question.models {
        for card in &question.cards {
            let factors = |design| BATCHES.map(|rows| factors(question, config, card, rows, design));
            let [composed, built, fused] = [Design::Composed, Design::Built, Design::Fused].map(factors);
            let kinds = [
                ("composed", composed.map(|(launched, _)| launched)),
                ("built", built.map(|(launched, _)| launched)),
                ("built, graph", built.map(|(_, graph)| graph)),
                ("fused", fused.map(|(launched, _)| launched)),
                ("fused, graph", fused.map(|(_, graph)| graph)),
            ];
            rows.extend(kinds.into_iter().map(|(word, values)| {
                let label = format!("{name}, {}, {word}", card.name);
                std::iter::once(label).chain(values.map(digits)).collect()
            }));
        }
    }
    markdown(&heading, &rows)
}

fn factors(question: &Question, config: &Config, card: &Peak, rows: usize, design: Design) -> (f64, f64) {
    real_time_factors(&stages(question, config, rows, design), rows, card, &question.assumptions, false)
}

/// Everything as JSON: times in seconds, rates in operations and bytes a second.
pub fn json(question: &Question) -> String {
    let assumptions = &question.assumptions;
    let card = |card: &Peak| json!({"name": card.name, "half_flops": card.half, "single_flops": card.single, "bandwidth": card.bandwidth});
    let document = json!({
        "batch_size": question.rows,
        "bytes_per_number": question.size,
        "tokens": assumptions.tokens,
        "assumptions": {
            "products": assumptions.products,
            "attention": assumptions.attention,
            "other": assumptions.other,
            "bandwidth": assumptions.bandwidth,
            "bus": assumptions.bus,
            "launch_seconds": assumptions.launch,
            "gap_seconds": assumptions.gap,
        },
        "cards": question.cards.iter().map(card).collect::<Vec<_>>(),
        "models": question.models.iter().map(|(name, config)| model_json(question, name, config)).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn model_json(question: &Question, name: &str, config: &Config) -> Value {
    let design = |(design, word): (Design, &str)| {
        let stages = stages(question, config, question.rows, design);
        let on = |card: &Peak| {
            let (launched, graph) = real_time_factors(&stages, question.rows, card, &question.assumptions, false);
            let with_speakers = real_time_factors(&stages, question.rows, card, &question.assumptions, true);
            json!({
                "card": card.name,
                "times_real_time": launched,
                "times_real_time_graph": graph,
                "times_real_time_speakers": with_speakers.0,
                "times_real_time_speakers_graph": with_speakers.1,
            })
        };
        json!({
            "design": word,
            "stages": stages.iter().map(|stage| stage_json(question, stage)).collect::<Vec<_>>(),
            "cards": question.cards.iter().map(on).collect::<Vec<_>>(),
        })
    };
    json!({"model": name, "parameters": parameters(config), "designs": DESIGNS.map(design)})
}

fn stage_json(question: &Question, stage: &Stage) -> Value {
    let on = |card: &Peak| {
        let time = stage.time(card, &question.assumptions);
        json!({"card": card.name, "seconds": time.launched, "graph_seconds": time.graph, "limit": time.limit.name()})
    };
    json!({
        "stage": stage.name,
        "speakers": stage.speakers,
        "flops": stage.work.flops,
        "bytes": stage.work.bytes,
        "kernels": stage.work.kernels,
        "bus_bytes": stage.work.bus,
        "cards": question.cards.iter().map(on).collect::<Vec<_>>(),
    })
}
