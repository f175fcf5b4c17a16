//! What `palabra bench gpu` prints.

use serde_json::{Value, json};

use super::measure::{Group, Measured};
use crate::cli::bench::{
    cost::cards::Peak,
    peak::Limits,
    rounds::Rounds,
    table::{digits, markdown},
};

/// Everything as Markdown.
pub fn tables(limits: &Limits, rounds: Rounds, groups: &[Group]) -> String {
    let mut text = heading(limits, rounds);
    for group in groups {
        text += &format!("\n### {}, {}\n\n{}", group.name, group.dtype, checks(group));
        if !group.stages.is_empty() {
            let rows: Vec<_> = group.stages.iter().map(|measured| row(limits, measured)).collect();
            text += &format!("\n{}", markdown(&HEADING, &rows));
        }
        for left_out in &group.left_out {
            let batch = left_out.batch.map_or_else(String::new, |batch| format!(" at batch {batch}"));
            text += &format!("\nNo time for {}{batch}: {}.\n", left_out.stage, left_out.reason);
        }
    }
    text
}

const HEADING: [&str; 9] =
    ["stage", "batch", "ms", "spread %", "times real time", "GFLOP/s", "of peak %", "GB/s", "of peak %"];

fn heading(limits: &Limits, rounds: Rounds) -> String {
    let written = |peak: &Peak| {
        format!(
            "{} TFLOP/s in f16, {} in f32, {} GB/s",
            digits(peak.half / 1e12),
            digits(peak.single / 1e12),
            digits(peak.bandwidth / 1e9)
        )
    };
    let source = if limits.known {
        format!("data sheet of {}: {}; measured here", limits.peak.name, written(&limits.peak))
    } else {
        "measured, since no data sheet of it is known".to_owned()
    };
    format!(
        "{}. Peaks: {source}: {}.\nTimes are those of all the audio of a batch of 30 s chunks (decoder: 101 steps): the median of {} \
         rounds after {} that do not count. GFLOP/s and GB/s count what a stage must do and move at the least.\n",
        limits.measured.name,
        written(&limits.measured),
        rounds.counted,
        rounds.warm_up,
    )
}

fn checks(group: &Group) -> String {
    let rows: Vec<Vec<String>> = group
        .checks
        .iter()
        .map(|check| {
            vec![
                check.what.clone(),
                format!("{:.1e}", check.difference),
                format!("{:.0e}", check.tolerance),
                if check.passed() { "right" } else { "WRONG" }.to_owned(),
            ]
        })
        .collect();
    markdown(&["beside the CPU in f32", "difference", "allowed", "result"], &rows)
}

/// The peak of operations that counts for a stage.
fn peak_of(limits: &Limits, measured: &Measured) -> f64 {
    if measured.size < 4 { limits.peak.half } else { limits.peak.single }
}

fn row(limits: &Limits, measured: &Measured) -> Vec<String> {
    let timing = measured.timing;
    let mut row = vec![
        measured.stage.clone(),
        measured.batch.to_string(),
        digits(timing.median * 1e3),
        digits(100.0 * (timing.slowest - timing.fastest) / timing.median),
        digits(measured.times_real_time()),
    ];
    if let Some((flops, bytes)) = measured.rates() {
        row.extend([
            digits(flops / 1e9),
            digits(100.0 * flops / peak_of(limits, measured)),
            digits(bytes / 1e9),
            digits(100.0 * bytes / limits.peak.bandwidth),
        ]);
    }
    row
}

/// Everything as JSON: seconds, operations and bytes a second, shares from 0 to 1.
pub fn json(limits: &Limits, rounds: Rounds, groups: &[Group]) -> String {
    let peak = |peak: &Peak| json!({"name": peak.name, "half_flops": peak.half, "single_flops": peak.single, "bandwidth": peak.bandwidth});
    let document = json!({
        "device": limits.measured.name,
        "peak": peak(&limits.peak),
        "peak_source": if limits.known { "data sheet" } else { "measured" },
        "measured_peak": peak(&limits.measured),
        "rounds": rounds.counted,
        "warm_up": rounds.warm_up,
        "right": groups.iter().all(Group::is_right),
        "groups": groups.iter().map(|group| group_json(limits, group)).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn group_json(limits: &Limits, group: &Group) -> Value {
    let checks = group.checks.iter().map(|check| {
        json!({
            "what": check.what,
            // Infinity has no place in JSON.
            "difference": check.difference.is_finite().then_some(check.difference),
            "tolerance": check.tolerance,
            "right": check.passed(),
        })
    });
    let left_out =
        group.left_out.iter().map(|one| json!({"stage": one.stage, "batch_size": one.batch, "reason": one.reason}));
    json!({
        "name": group.name,
        "dtype": group.dtype,
        "checks": checks.collect::<Vec<_>>(),
        "stages": group.stages.iter().map(|measured| stage_json(limits, measured)).collect::<Vec<_>>(),
        "left_out": left_out.collect::<Vec<_>>(),
    })
}

fn stage_json(limits: &Limits, measured: &Measured) -> Value {
    let (work, rates) = (measured.work, measured.rates());
    json!({
        "stage": measured.stage,
        "batch_size": measured.batch,
        "seconds": measured.timing.median,
        "fastest": measured.timing.fastest,
        "slowest": measured.timing.slowest,
        "times_real_time": measured.times_real_time(),
        "flops": work.map(|work| work.flops),
        "bytes": work.map(|work| work.bytes),
        "flops_per_second": rates.map(|rates| rates.0),
        "share_of_flops": rates.map(|rates| rates.0 / peak_of(limits, measured)),
        "bytes_per_second": rates.map(|rates| rates.1),
        "share_of_bandwidth": rates.map(|rates| rates.1 / limits.peak.bandwidth),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::{cost::work::Work, gpu::check::Check, rounds::Timing};

    fn limits() -> Limits {
        let peak = Peak { name: "toy".into(), half: 4e12, single: 2e12, bandwidth: 1e12 };
        Limits { known: false, measured: peak.clone(), peak }
    }

    fn group() -> Group {
        let work = Work { flops: 1e12, bytes: 5e11, ..Work::default() };
        let timing = Timing { median: 1.0, fastest: 0.9, slowest: 1.2 };
        let stage = |size, work| Measured { stage: "encoder".into(), batch: 16, size, timing, work };
        let check = |difference| Check { what: "encoder".into(), difference, tolerance: 0.02 };
        let mut group = Group {
            name: "base".into(),
            dtype: "f16".into(),
            checks: vec![check(0.001), check(f64::INFINITY)],
            stages: vec![stage(2, Some(work)), stage(4, None)],
            ..Group::default()
        };
        group.leave_out("log-mel", Some(32), "it does not fit the device's memory");
        group
    }

    #[test]
    fn the_table_states_terms_rates_and_what_is_wrong() {
        let text = tables(&limits(), Rounds { warm_up: 2, counted: 5 }, &[group()]);
        assert!(
            text.starts_with("toy. Peaks: measured, since no data sheet of it is known: 4.00 TFLOP/s in f16"),
            "{text}"
        );
        assert!(text.contains("the median of 5 rounds after 2 that do not count"), "{text}");
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| encoder")).map(cells).collect();
        assert_eq!(rows[0][2..5], ["1.0e-3", "2e-2", "right"]);
        assert_eq!(rows[1][4], "WRONG");
        assert_eq!(rows[2][2..10], ["16", "1000", "30.0", "480", "1000", "25.0", "500", "50.0"]);
        assert_eq!(rows[3][6..10], ["", "", "", ""]);
        assert!(text.ends_with("No time for log-mel at batch 32: it does not fit the device's memory.\n"));
    }

    #[test]
    fn json_says_the_same() {
        let text = json(&limits(), Rounds { warm_up: 2, counted: 5 }, &[group()]);
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&document["right"], &document["peak_source"]), (&false.into(), &"measured".into()));
        let group = &document["groups"][0];
        assert_eq!(group["stages"][0]["share_of_flops"], 0.25);
        assert_eq!(group["stages"][0]["share_of_bandwidth"], 0.5);
        assert_eq!(group["stages"][1]["flops"], Value::Null);
        assert_eq!((&group["checks"][1]["difference"], &group["checks"][1]["right"]), (&Value::Null, &false.into()));
        assert_eq!(group["left_out"][0]["batch_size"], 32);
    }
}
