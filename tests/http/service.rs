//! The app on a free port, and what its tests need.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use palabra::{
    Error,
    device::Compute,
    engine::Engine,
    http::{App, Server, engine_options},
    settings::{Given, Settings},
    weights::{Store, StoreOptions},
};
use tokio::sync::oneshot;

use crate::support;

/// What tests that compute need: weights and a recording of two speakers, or why they are not there.
pub struct Needs {
    pub sample: Result<PathBuf, String>,
}

impl Needs {
    pub fn look() -> Self {
        let weights = ["base", "silero-vad", "segmentation-3.0", "campplus"]
            .iter()
            .try_for_each(|name| support::weights(name).map(drop));
        Self { sample: weights.and_then(|()| support::weights("sample")).map(|folder| folder.join("sample.wav")) }
    }
}

/// Settings of a test: a free port, the smallest model, uploads in a folder of their own.
pub fn settings() -> Settings {
    let given = Given { port: Some(0), model: Some("base".into()), device: Some("cpu".into()), ..Given::default() };
    Settings::from_given(given).unwrap()
}

/// A service in this process, which ends when it is dropped.
pub struct Service {
    pub app: App,
    pub address: SocketAddr,
    /// Where uploads go; deleted with the service.
    pub uploads: tempfile::TempDir,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Service {
    pub fn start(settings: Settings) -> Self {
        let uploads = tempfile::tempdir().unwrap();
        let settings = Settings { temp_folder: uploads.path().to_owned(), ..settings };
        let store = Store::open(&StoreOptions { quiet: true, ..StoreOptions::default() }).unwrap();
        let app = App::new(Engine::new(store, Compute::cpu(), engine_options(&settings)), settings);
        let server = Server::bind(app.clone()).unwrap();
        let address = server.address();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || server.run(async move { drop(ended.await) }));
        Self { app, address, uploads, end: Some(end), thread: Some(thread) }
    }

    /// The one that tests which compute share, so that its models are loaded once.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Service>> = OnceLock::new();
        SHARED.get_or_init(|| Arc::new(Self::start(settings()))).clone()
    }

    /// Tells it to end, and waits until it has.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.end.take().map(|end| end.send(()));
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap())
    }

    /// Requests inside.
    pub fn inside(&self) -> usize {
        self.app.engine().admission().load().0
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ended = self.stop();
    }
}

/// Waits until something is so; fails when it does not come.
pub fn eventually(what: &str, patience: Duration, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
