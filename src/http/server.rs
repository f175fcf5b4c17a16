//! From bound port to the last answer: accepts, hears signals, ends in order.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_web::{HttpServer, dev::ServerHandle};
use tokio::sync::oneshot;

use super::app::App;
use crate::{Error, Result, engine::Health};

/// A client that was refused while it was still sending is listened to for so long, so that it reads the refusal.
const LINGER: Duration = Duration::from_secs(5);
/// Threads that work for requests have this long to notice that nobody waits any more.
const SETTLE: Duration = Duration::from_secs(10);
/// When the device has failed, requests that are inside have this long to be told; then the service ends, whoever is left.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Threads that answer: they never compute, and two of them keep one slow route from holding up the others.
const ANSWERING_THREADS: usize = 2;

/// A service that listens but does not answer yet.
pub struct Server {
    app: App,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on the host and port of the settings.
    ///
    /// # Errors
    /// [`Error::Machine`] when the address cannot be had.
    pub fn bind(app: App) -> Result<Self> {
        let (host, port) = (app.settings().host, app.settings().port);
        let refused = |reason: std::io::Error| {
            Error::Machine(format!(
                "cannot listen on {host}, port {port}: {reason}; choose others with --host and --port"
            ))
        };
        let listener = TcpListener::bind((host, port)).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { app, listener, address })
    }

    /// Where it listens; the port is a real one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `ended` comes or a model that is wanted from the start cannot be had, then lets requests finish within
    /// the settings' time. A device that fails ends the service within seconds, for only a new process can use it again.
    ///
    /// # Errors
    /// [`Error::Machine`] when the system refuses threads or sockets; what kept a model from being loaded;
    /// [`Error::DeviceLost`].
    pub fn run(self, ended: impl Future<Output = ()> + 'static) -> Result<()> {
        actix_web::rt::System::new().block_on(self.answer(ended))
    }

    async fn answer(self, ended: impl Future<Output = ()> + 'static) -> Result<()> {
        let Self { app, listener, .. } = self;
        let (patience, service) = (app.settings().shutdown_timeout, app.clone());
        let server = HttpServer::new(move || super::application(&service))
            .workers(ANSWERING_THREADS)
            .h1_allow_half_closed(false)
            .client_disconnect_timeout(LINGER)
            .shutdown_timeout(patience.as_secs().max(1))
            .disable_signals()
            .listen(listener)
            .map_err(refused)?
            .run();
        let end = actix_web::rt::spawn(end_after(ended, app.clone(), server.handle()));
        let health = app.engine().health().clone();
        tokio::select! {
            stopped = server => {
                stopped.map_err(refused)?;
                app.settle(if health.lost().is_some() { Duration::ZERO } else { SETTLE }).await;
            }
            () = last_words(&health) => tracing::warn!("some requests were not told that the device has failed"),
        }
        health.check()?;
        end.await.unwrap_or(Ok(()))
    }
}

/// Comes when a device has failed and everybody inside has had time to hear of it.
async fn last_words(health: &Health) {
    health.until_lost().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// Waits for the end, then stops the server in order.
async fn end_after(ended: impl Future<Output = ()>, app: App, server: ServerHandle) -> Result<()> {
    let (sender, loaded) = oneshot::channel();
    let loader = app.clone();
    std::thread::Builder::new()
        .name("preload".into())
        // Nobody listens when the service ends first.
        .spawn(move || drop(sender.send(loader.preload())))
        .map_err(refused)?;
    let failed = async {
        match loaded.await {
            Ok(Err(error)) => error,
            _ => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        () = ended => Ok(()),
        error = failed => Err(error),
        reason = app.engine().health().until_lost() => {
            tracing::error!("{reason}");
            Err(Error::DeviceLost(reason))
        }
    };
    app.end();
    let (inside, _) = app.engine().admission().load();
    tracing::info!(requests = inside, "shutting down: nobody is let in any more, requests that are inside may finish");
    server.stop(true).await;
    outcome
}

fn refused(reason: std::io::Error) -> Error {
    Error::Machine(format!("the service cannot run: {reason}"))
}
