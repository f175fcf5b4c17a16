//! The figures of `palabra bench diarization`: a table for people, JSON for programs.

use palabra::evaluation::{
    turns::{Scoring, SpeakerTime},
    words::WordErrors,
};
use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthStr;

use super::clock::Cost;

/// What was measured on one recording.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The recording.
    pub id: String,
    /// The set that it is counted in.
    pub set: String,
    /// Its length.
    pub seconds: f64,
    /// Errors of turns.
    pub time: SpeakerTime,
    /// Speakers of the reference, and those found.
    pub speakers: (usize, usize),
    /// Errors of words, where the reference has words and they were asked for.
    pub words: Option<WordErrors>,
    /// What it took.
    pub cost: Cost,
}

/// How it was measured.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What was scored.
    pub scoring: Scoring,
    /// Whether the number of speakers was told.
    pub known_count: bool,
    /// The model that transcribed, where one did.
    pub model: Option<String>,
    /// Where it was computed.
    pub device: String,
}

/// The figures of several recordings.
struct Pool {
    name: String,
    files: usize,
    minutes: f64,
    time: SpeakerTime,
    counts_right: usize,
    count_error: f64,
    words: Option<WordErrors>,
    cpu: Option<f64>,
    wall: f64,
}

impl Pool {
    fn of(name: &str, measured: &[&Measured]) -> Self {
        let minutes: f64 = measured.iter().map(|one| one.seconds / 60.0).sum();
        let per_minute = |seconds: f64| seconds / minutes.max(f64::MIN_POSITIVE);
        let off = |one: &&Measured| one.speakers.0.abs_diff(one.speakers.1);
        let words: Vec<WordErrors> = measured.iter().filter_map(|one| one.words).collect();
        let cpu: Option<f64> = measured.iter().map(|one| one.cost.cpu).sum();
        Self {
            name: name.to_owned(),
            files: measured.len(),
            minutes,
            time: measured.iter().map(|one| one.time).sum(),
            counts_right: measured.iter().filter(|one| off(one) == 0).count(),
            count_error: measured.iter().map(off).sum::<usize>() as f64 / measured.len().max(1) as f64,
            words: (!words.is_empty()).then(|| words.into_iter().sum()),
            cpu: cpu.map(per_minute),
            wall: per_minute(measured.iter().map(|one| one.cost.wall).sum()),
        }
    }

    fn json(&self) -> Value {
        let mut figures = percentages(&self.time, self.words.as_ref());
        figures.insert("counts_right".into(), self.counts_right.into());
        figures.insert("count_error".into(), self.count_error.into());
        figures.insert("cpu_seconds_per_minute".into(), self.cpu.into());
        figures.insert("wall_seconds_per_minute".into(), self.wall.into());
        let mut row = Map::new();
        row.insert("set".into(), self.name.as_str().into());
        row.insert("files".into(), self.files.into());
        row.insert("minutes".into(), self.minutes.into());
        row.append(&mut figures);
        row.into()
    }
}

/// One pool for each set in the order in which sets occur, and where there are several one for all.
fn pools(measured: &[Measured]) -> Vec<Pool> {
    let mut sets: Vec<&str> = Vec::new();
    for one in measured {
        if !sets.contains(&one.set.as_str()) {
            sets.push(&one.set);
        }
    }
    let own = |set: &&str| {
        let members: Vec<&Measured> = measured.iter().filter(|one| one.set == *set).collect();
        Pool::of(set, &members)
    };
    let mut pools: Vec<Pool> = sets.iter().map(own).collect();
    if pools.len() > 1 {
        pools.push(Pool::of("all", &measured.iter().collect::<Vec<_>>()));
    }
    pools
}

/// Rates in percent.
fn percentages(time: &SpeakerTime, words: Option<&WordErrors>) -> Map<String, Value> {
    let mut figures = vec![
        ("der", time.error_rate()),
        ("missed", time.rate(time.missed)),
        ("false_alarm", time.rate(time.false_alarm)),
        ("confusion", time.rate(time.confusion)),
        ("jer", time.jaccard_error_rate()),
    ];
    if let Some(words) = words {
        figures.push(("wder", words.diarization_error_rate()));
        figures.push(("words_right", 1.0 - words.diarization_error_rate()));
        figures.push(("cpwer", words.concatenated_error_rate()));
    }
    figures.into_iter().map(|(name, share)| (name.to_owned(), (100.0 * share).into())).collect()
}

/// Everything as JSON: the terms, a list of sets, a list of recordings, and those that could not be measured with the
/// reason. Rates are percentages, times seconds.
pub fn json(terms: &Terms, measured: &[Measured], failed: &[(String, String)]) -> String {
    let recording = |one: &Measured| {
        let mut row = Map::new();
        row.insert("id".into(), one.id.as_str().into());
        row.insert("set".into(), one.set.as_str().into());
        row.insert("seconds".into(), one.seconds.into());
        row.append(&mut percentages(&one.time, one.words.as_ref()));
        row.insert("speakers".into(), json!({"reference": one.speakers.0, "found": one.speakers.1}));
        row.insert("speaker_seconds".into(), json!(one.time));
        row.insert("words".into(), json!(one.words));
        row.insert("cpu_seconds".into(), one.cost.cpu.into());
        row.insert("wall_seconds".into(), one.cost.wall.into());
        Value::from(row)
    };
    let document = json!({
        "collar": terms.scoring.collar,
        "skip_overlap": terms.scoring.skip_overlap,
        "known_count": terms.known_count,
        "model": terms.model,
        "device": terms.device,
        "sets": pools(measured).iter().map(Pool::json).collect::<Vec<_>>(),
        "recordings": measured.iter().map(recording).collect::<Vec<_>>(),
        "failed": failed.iter().map(|(id, reason)| json!({"id": id, "reason": reason})).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

/// A heading that states the terms, and a row for each set.
pub fn table(terms: &Terms, measured: &[Measured]) -> String {
    let pools = pools(measured);
    let worded = pools.iter().any(|pool| pool.words.is_some());
    let mut names = vec!["set", "files", "min", "DER%", "miss", "false", "conf", "JER%", "count", "off by"];
    names.extend(["right%", "cpWER%"].into_iter().filter(|_| worded));
    names.extend(["CPU/min", "s/min"]);
    let mut rows = vec![names.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    rows.extend(pools.iter().map(|pool| cells(pool, worded)));
    heading(terms, measured) + &aligned(&rows)
}

fn heading(terms: &Terms, measured: &[Measured]) -> String {
    let minutes: f64 = measured.iter().map(|one| one.seconds / 60.0).sum();
    let files = if measured.len() == 1 { "recording" } else { "recordings" };
    let collar = match terms.scoring.collar {
        0.0 => "no collar".to_owned(),
        collar => format!("collar {collar} s on either side of every reference border"),
    };
    let overlap = if terms.scoring.skip_overlap { "overlapped speech left out" } else { "overlapped speech scored" };
    let count = if terms.known_count { "number of speakers told" } else { "number of speakers not told" };
    let work = match &terms.model {
        Some(model) => format!("listening, and transcribing with {model},"),
        None => "listening".to_owned(),
    };
    format!(
        "Speakers of {} {files}, {minutes:.1} min: {collar}, {overlap}, {count}.\n\
         Time per minute of audio: {work} on {}, reading the file included, loading models not.\n\n",
        measured.len(),
        terms.device
    )
}

fn cells(pool: &Pool, worded: bool) -> Vec<String> {
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    let time = &pool.time;
    let mut cells = vec![pool.name.clone(), pool.files.to_string(), format!("{:.1}", pool.minutes)];
    cells.push(percent(time.error_rate()));
    cells.extend([time.missed, time.false_alarm, time.confusion].map(|seconds| percent(time.rate(seconds))));
    cells.push(percent(time.jaccard_error_rate()));
    cells.push(format!("{}/{}", pool.counts_right, pool.files));
    cells.push(format!("{:.2}", pool.count_error));
    if worded {
        let rates = pool.words.map(|words| [1.0 - words.diarization_error_rate(), words.concatenated_error_rate()]);
        cells.extend(rates.map_or(["-".into(), "-".into()], |rates| rates.map(percent)));
    }
    cells.push(pool.cpu.map_or_else(|| "-".into(), |seconds| format!("{seconds:.2}")));
    cells.push(format!("{:.2}", pool.wall));
    cells
}

/// Columns with two spaces between them: the first to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cell = |(column, text): (usize, &String)| {
            let fill = " ".repeat(widths[column] - text.width());
            if column == 0 { format!("{text}{fill}") } else { format!("  {fill}{text}") }
        };
        row.iter().enumerate().map(cell).collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(id: &str, set: &str, missed: f64, found: usize, words: Option<WordErrors>) -> Measured {
        let time =
            SpeakerTime { total: 50.0, missed, jaccard_errors: 1.0, jaccard_speakers: 2, ..SpeakerTime::default() };
        let cost = Cost { wall: 2.0, cpu: Some(3.0) };
        Measured { id: id.into(), set: set.into(), seconds: 60.0, time, speakers: (2, found), words, cost }
    }

    fn terms() -> Terms {
        let scoring = Scoring { collar: 0.25, skip_overlap: false };
        Terms { scoring, known_count: false, model: None, device: "cpu".into() }
    }

    #[test]
    fn sets_are_pooled_and_the_terms_are_stated() {
        let words = WordErrors { words: 10, heard: 8, misattributed: 1, concatenated: 3 };
        let measured = [
            measured("a", "far", 5.0, 2, None),
            measured("b", "near", 0.0, 5, Some(words)),
            measured("c", "far", 0.0, 1, None),
        ];
        let table = table(&terms(), &measured);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[0],
            "Speakers of 3 recordings, 3.0 min: collar 0.25 s on either side of every reference border, overlapped speech \
             scored, number of speakers not told."
        );
        assert_eq!(
            lines[3..],
            [
                "set   files  min  DER%  miss  false  conf   JER%  count  off by  right%  cpWER%  CPU/min  s/min",
                "far       2  2.0  5.00  5.00   0.00  0.00  50.00    1/2    0.50       -       -     3.00   2.00",
                "near      1  1.0  0.00  0.00   0.00  0.00  50.00    0/1    3.00   87.50   30.00     3.00   2.00",
                "all       3  3.0  3.33  3.33   0.00  0.00  50.00    1/3    1.33   87.50   30.00     3.00   2.00",
            ]
        );
    }

    #[test]
    fn json_holds_every_recording() {
        let document = json(&terms(), &[measured("a", "far", 5.0, 3, None)], &[("b".into(), "no audio".into())]);
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["collar"], 0.25);
        assert_eq!(document["sets"].as_array().map(Vec::len), Some(1));
        let row = &document["recordings"][0];
        assert_eq!((&row["der"], &row["speakers"]["found"], &row["words"]), (&10.0.into(), &3.into(), &Value::Null));
        assert_eq!(row["speaker_seconds"]["missed"], 5.0);
        assert_eq!(document["failed"][0]["reason"], "no audio");
    }
}
