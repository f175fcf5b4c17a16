//! `palabra models`: what can be fetched, what is cached, where it lies, whether it is whole.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use palabra::{
    Error,
    progress::Watch,
    weights::{CachedModel, Model, Store, StoreOptions},
};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::{Global, cancel, exit_code, report, streams};

/// Show, fetch and check models.
#[derive(Debug, Args)]
pub struct ModelsArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List every model: role, size, licence, whether it is cached, and where it comes from
    List {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Fetch models into the cache
    Pull {
        /// Names, aliases or hub repositories (owner/name)
        #[arg(value_name = "NAME", required_unless_present = "default")]
        names: Vec<String>,
        /// Fetch what `palabra transcribe --diarize` needs by default
        #[arg(long)]
        default: bool,
        /// Fetch even what is cached already, and replace it
        #[arg(long)]
        again: bool,
    },
    /// Read every cached file in full and compare it with the checksum recorded when it was fetched
    Verify {
        /// The model to verify [default: every cached model]
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Print the folder of a cached model, or of the cache itself
    Path {
        /// The model [default: the cache]
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
}

/// Runs `palabra models`. Results go to standard output, failures of single models to standard error.
///
/// # Errors
/// What the store gives for the first model that cannot be found or fetched, and a standard output that cannot be written.
pub fn run(arguments: &ModelsArguments, global: &Global, options: &StoreOptions) -> anyhow::Result<ExitCode> {
    let store = Store::open(options)?;
    let cancelled = cancel::on_interrupt();
    let watch = Watch::new(&|_| {}, &cancelled);
    match &arguments.action {
        Action::List { json } => list(&store, *json),
        Action::Pull { names, default, again } => pull(&store, names, *default, *again, &watch),
        Action::Verify { name } => verify(&store, name.as_deref(), global, &watch),
        Action::Path { name } => print_path(&store, name.as_deref()),
    }
}

/// One line of the list.
struct Row {
    name: String,
    aliases: Vec<String>,
    role: &'static str,
    /// Bytes on disk when cached, else nominal.
    bytes: u64,
    licence: String,
    origin: String,
    cached: Option<PathBuf>,
    sources: Vec<String>,
}

fn rows(store: &Store) -> anyhow::Result<Vec<Row>> {
    let mut cached = store.cached_models()?;
    let mut rows = Vec::new();
    for model in &store.manifest().models {
        let position = cached.iter().position(|entry| entry.name == model.name);
        rows.push(known_row(model, position.map(|position| cached.remove(position))));
    }
    rows.extend(cached.into_iter().map(other_row));
    Ok(rows)
}

fn known_row(model: &Model, cached: Option<CachedModel>) -> Row {
    Row {
        name: model.name.clone(),
        aliases: model.aliases.clone(),
        role: model.role.as_str(),
        bytes: cached.as_ref().map_or(model.megabytes * 1_000_000, CachedModel::bytes),
        licence: model.licence.clone(),
        origin: model.origin.clone(),
        sources: sources(cached.as_ref(), model.sources.iter().map(|source| source.describe()).collect()),
        cached: cached.map(|cached| cached.folder),
    }
}

/// A model that is cached and not in the manifest: a hub repository, a converted folder, or one that was put there by hand.
fn other_row(cached: CachedModel) -> Row {
    Row {
        aliases: Vec::new(),
        role: cached.role().as_str(),
        bytes: cached.bytes(),
        licence: cached
            .record
            .as_ref()
            .and_then(|record| record.licence.clone())
            .unwrap_or_else(|| "see its source".into()),
        origin: String::new(),
        sources: sources(Some(&cached), vec!["put there by hand".into()]),
        name: cached.name,
        cached: Some(cached.folder),
    }
}

fn sources(cached: Option<&CachedModel>, otherwise: Vec<String>) -> Vec<String> {
    match cached.and_then(|cached| cached.record.as_ref()) {
        Some(record) => vec![record.source.clone()],
        None => otherwise,
    }
}

fn list(store: &Store, as_json: bool) -> anyhow::Result<ExitCode> {
    let rows = rows(store)?;
    let text = if as_json {
        let values: Vec<Value> = rows.iter().map(row_as_json).collect();
        serde_json::to_string_pretty(&json!({ "cache": store.root(), "models": values }))?
    } else {
        table(&rows)
    };
    print_line(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn row_as_json(row: &Row) -> Value {
    json!({
        "name": row.name,
        "aliases": row.aliases,
        "role": row.role,
        "bytes": row.bytes,
        "licence": row.licence,
        "origin": row.origin,
        "cached": row.cached,
        "sources": row.sources,
    })
}

fn table(rows: &[Row]) -> String {
    let header = ["NAME", "ALSO", "ROLE", "SIZE", "LICENCE", "CACHED", "SOURCE"].map(String::from);
    let lines = rows.iter().map(|row| {
        let cached = if row.cached.is_some() { "yes" } else { "no" };
        let licence = row.licence.split(" (").next().unwrap_or_default();
        [
            row.name.clone(),
            row.aliases.join(", "),
            row.role.to_owned(),
            size(row.bytes),
            licence.to_owned(),
            cached.to_owned(),
            row.sources.join(" | "),
        ]
    });
    let lines: Vec<_> = std::iter::once(header).chain(lines).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].width()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let pad = |text: &str, width: usize| format!("{text}{}", " ".repeat(width - text.width()));
    let text = |line: &[String; 7]| {
        let cells: Vec<_> = line.iter().zip(widths).map(|(cell, width)| pad(cell, width)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(text).collect::<Vec<_>>().join("\n")
}

fn size(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    if megabytes >= 1000.0 { format!("{:.1} GB", megabytes / 1000.0) } else { format!("{:.0} MB", megabytes.ceil()) }
}

fn pull(store: &Store, names: &[String], default: bool, again: bool, watch: &Watch) -> anyhow::Result<ExitCode> {
    let defaults = store.manifest().models.iter().filter(|model| default && model.default).map(|model| &model.name);
    for name in defaults.chain(names) {
        let known = store.manifest().find(name).or_else(|| store.manifest().find_repository(name));
        let folder = match known {
            _ if again => store.fetch_again(name, watch)?,
            Some(model) => store.fetch(&model.name, watch)?,
            None => store.resolve(name, watch)?,
        };
        print_line(&format!("{name}  {}", folder.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(store: &Store, name: Option<&str>, global: &Global, watch: &Watch) -> anyhow::Result<ExitCode> {
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => store.cached_models()?.into_iter().map(|model| model.name).collect(),
    };
    if names.is_empty() {
        print_line("nothing is cached")?;
    }
    let mut code = ExitCode::SUCCESS;
    for name in names {
        let reason = match store.verify(&name, watch) {
            Ok(changed) if changed.is_empty() => {
                print_line(&format!("{name}  ok"))?;
                continue;
            }
            Ok(changed) => {
                let files: Vec<_> = changed.iter().map(|path| format!("`{}`", path.display())).collect();
                Error::Weights(format!(
                    "{} changed since it was fetched; fetch it again with `palabra models pull --again {name}`",
                    files.join(", ")
                ))
            }
            Err(error @ Error::Weights(_)) => error,
            Err(other) => return Err(other.into()),
        };
        let error = reason.into();
        report(&error, global.json_log);
        code = exit_code(&error);
    }
    Ok(code)
}

fn print_path(store: &Store, name: Option<&str>) -> anyhow::Result<ExitCode> {
    let folder = match name {
        None => store.root().to_owned(),
        Some(name) => store.cached(name)?.ok_or_else(|| {
            Error::Weights(format!("the model `{name}` is not cached; fetch it with `palabra models pull {name}`"))
        })?,
    };
    print_line(&folder.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn print_line(text: &str) -> anyhow::Result<()> {
    streams::write(&format!("{text}\n"))?;
    Ok(())
}
