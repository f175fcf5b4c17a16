//! `palabra serve`: the service, and whether it could run.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use palabra::{
    Error, Result,
    device::{Compute, Devices},
    engine::Engine,
    http::{App, Server, engine_options, traces::Exporter},
    settings::{Given, LogFormat, Settings},
    weights::{Store, StoreOptions},
};

use super::{Global, arguments::start_threads, exit_code, report, start_service_log, streams};

/// Serve transcription over HTTP.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct ServeArguments {
    /// File with settings in TOML: the long flags as keys, such as max_requests = 32
    #[arg(long, env = "PALABRA_CONFIG", value_name = "FILE", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Check settings, device, folders, port and models, say a line of each, and end
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    given: Given,
}

const NOTES: &str = "\
A flag wins over its variable (PALABRA_MAX_REQUESTS for --max-requests), that over the file, that over the default.
HF_TOKEN is the service's own token for the model hub; a request may bring one of its own.
The first request for a model fetches and loads it; --preload does so at the start, and GET /ready says when.
SIGTERM or Ctrl-C lets requests finish; a second one ends at once.
Several GPUs (--device cuda:0,cuda:1) each hold the models and share all requests. Where a GPU's memory runs out, batches
become smaller; where a GPU fails, requests are told (503), /ready says no, and the service ends with exit code 75, so that
systemd, Docker or Kubernetes starts it again.

Examples:
  palabra serve --preload base
  curl -F audio_file=@talk.mp3 -F diarize_audio=true http://127.0.0.1:8000/transcribe/
  PALABRA_API_KEYS=sesame palabra serve --host 0.0.0.0 --max-audio-seconds 1h
  palabra serve --config palabra.toml --check

People read http://127.0.0.1:8000/docs, programs /openapi.json, probes /live and /ready, Prometheus /metrics.";

/// Runs the service until it is told to end, or only checks whether it could.
///
/// # Errors
/// What keeps the service from running.
pub fn run(arguments: &ServeArguments, global: &Global, store: &StoreOptions) -> anyhow::Result<ExitCode> {
    // Before what follows starts threads of its own.
    let settings = settings(arguments).and_then(|settings| start_threads(settings.threads).map(|()| settings));
    let json = global.json_log || settings.as_ref().is_ok_and(|settings| settings.log_format == LogFormat::Json);
    let endpoint = settings.as_ref().ok().and_then(|settings| settings.otlp_endpoint.as_ref());
    let traces = endpoint.map(Exporter::to).transpose();
    start_service_log(json, global.quiet, traces.as_ref().ok().and_then(Option::as_ref));
    let (settings, _traces_until_the_end) = (settings?, traces?);
    if arguments.check {
        return check(settings, global, store);
    }
    let app = App::new(engine(&settings, store)?, settings);
    let server = Server::bind(app)?;
    announce(&server)?;
    server.run(told_to_end())?;
    tracing::info!("ended");
    Ok(ExitCode::SUCCESS)
}

fn settings(arguments: &ServeArguments) -> Result<Settings> {
    let mut given = arguments.given.clone();
    if given.max_models.is_none()
        && let Ok(number) = std::env::var("MAX_WHISPER_MODELS")
        && !number.is_empty()
    {
        let number = number.trim().parse().map_err(|_| {
            Error::Request(format!("MAX_WHISPER_MODELS must be a whole number, not '{number}'; 0 means any number"))
        })?;
        given.max_models = Some(number);
    }
    Settings::gather(given, arguments.config.as_deref())
}

fn engine(settings: &Settings, store: &StoreOptions) -> Result<Engine> {
    let devices = Devices::open(&settings.device, settings.compute_type)?;
    // Many requests load at once; their bars would be a muddle.
    let store = Store::open(&StoreOptions { quiet: true, ..store.clone() })?;
    Ok(Engine::new(store, devices, engine_options(settings)))
}

/// The address on standard output, for whoever let the system choose the port.
fn announce(server: &Server) -> anyhow::Result<()> {
    let address = server.address();
    streams::write(&format!("Palabra listens on http://{address}\n"))?;
    tracing::info!(%address, "listening");
    Ok(())
}

/// Comes with the first SIGTERM or Ctrl-C; the second ends the program.
async fn told_to_end() {
    signal().await;
    actix_web::rt::spawn(async {
        signal().await;
        tracing::warn!("told twice: ending at once");
        std::process::exit(130);
    });
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        (Err(reason), _) | (_, Err(reason)) => {
            tracing::warn!("signals will not end the service in order: {reason}");
            std::future::pending().await
        }
    }
}

#[cfg(not(unix))]
async fn signal() {
    if let Err(reason) = tokio::signal::ctrl_c().await {
        tracing::warn!("Ctrl-C will not end the service in order: {reason}");
        std::future::pending().await
    }
}

/// Looks at everything that the service needs and says a line of each.
fn check(settings: Settings, global: &Global, store: &StoreOptions) -> anyhow::Result<ExitCode> {
    let keys = match settings.api_keys.len() {
        0 => "no key is asked for".to_owned(),
        keys => format!("{keys} keys"),
    };
    let folder = settings.temp_folder.display().to_string();
    let mut checks = vec![
        ("settings", Ok(keys)),
        ("device", device(&settings)),
        ("temporary folder", writable(&settings.temp_folder).map(|()| folder)),
    ];
    match Store::open(store) {
        Ok(store) => {
            checks.push(("cache folder", writable(store.root()).map(|()| store.root().display().to_string())));
            let wanted = settings.preload.iter().chain(&settings.pinned).chain([&settings.model]);
            let mut names: Vec<&String> = wanted.collect();
            names.sort();
            names.dedup();
            checks.extend(names.into_iter().map(|name| ("model", model(&store, name))));
        }
        Err(error) => checks.push(("cache folder", Err(error))),
    }
    checks.push(("port", port(settings, store)));
    let mut code = ExitCode::SUCCESS;
    for (what, outcome) in checks {
        match outcome {
            Ok(found) => streams::write(&format!("ok      {what}: {found}\n")).map(|_| ())?,
            Err(error) => {
                let error = anyhow::Error::new(error).context(what);
                if code == ExitCode::SUCCESS {
                    code = exit_code(&error);
                }
                report(&error, global.json_log);
            }
        }
    }
    Ok(code)
}

/// Where it would compute, and in which numbers.
fn device(settings: &Settings) -> Result<String> {
    let devices = Devices::open(&settings.device, settings.compute_type)?;
    Ok(format!("{} ({})", devices.names(), devices.first().type_name()))
}

/// Whether the port of the settings is free.
fn port(settings: Settings, store: &StoreOptions) -> Result<String> {
    let engine = Engine::new(Store::open(store)?, Compute::cpu(), engine_options(&settings));
    Server::bind(App::new(engine, settings)).map(|server| server.address().to_string())
}

/// Whether files can be written in `folder`, which is made where it is missing.
fn writable(folder: &std::path::Path) -> Result<()> {
    let try_it = || std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    try_it().map(drop).map_err(|reason| {
        Error::Machine(format!("`{}` cannot be written ({reason}); choose another folder", folder.display()))
    })
}

/// Where a model would come from.
fn model(store: &Store, name: &str) -> Result<String> {
    let manifest = store.manifest();
    if let Some(known) = manifest.find(name).or_else(|| manifest.find_repository(name)) {
        let cached = store.cached(&known.name)?.is_some();
        return Ok(format!("{name} ({})", if cached { "cached" } else { "will be fetched" }));
    }
    if std::path::Path::new(name).is_dir() {
        return Ok(format!("{name} (a folder)"));
    }
    if name.split('/').count() == 2 {
        return Ok(format!("{name} (a repository of the hub, not asked)"));
    }
    Err(Error::Weights(format!("`{name}` is not known; `palabra models list` shows the names")))
}
