//! Recordings that a request names by url instead of sending them: off unless an operator lists hosts.
//!
//! A url makes the server ask in the place of its caller, so nothing is asked that the operator did not allow:
//! - only http and https, only listed hosts and their ports, no user names in urls, and the same for every redirect;
//! - only public addresses ([`address`]). They are checked in the resolver, of which the connector takes the very addresses
//!   it connects to: a name that resolves to something else a moment later changes nothing. Literal addresses pass through
//!   the same resolver. No proxy is used, since it would resolve names by itself;
//! - never more bytes or seconds than allowed, whatever a header promises;
//! - what an answer says beyond its status never reaches the caller, and names without a public address look alike,
//!   whether they exist or not.

mod address;

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{http::StatusCode, web};
use ureq::{
    Agent, Body, Error as WebError,
    http::{Response, Uri, header},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};
use url::Url;

use super::{
    app::App,
    failure::Failure,
    upload::{Upload, unstorable},
};
use crate::{
    progress::Watch,
    settings::{HostRule, Settings},
};

/// Redirects that are followed.
const REDIRECTS: usize = 3;
/// How long a name may take to resolve, a host to accept a connection, and an answer to begin.
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may come of a recording.
const STALL: Duration = Duration::from_secs(20);
/// Bytes per read; the watch is asked between two of them.
const BLOCK: usize = 64 << 10;

/// From where recordings may be read, and how long that may take.
#[derive(Debug, Clone, Default)]
pub struct Remote {
    hosts: Vec<HostRule>,
    total: Duration,
    /// Addresses that count as public: for tests, which have no other.
    trusted: Vec<SocketAddr>,
}

/// A recording that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The last part of the url's path, for messages.
    pub name: Option<String>,
    /// Its length.
    pub bytes: u64,
}

impl Remote {
    /// What the settings allow.
    pub fn new(settings: &Settings) -> Self {
        Self { hosts: settings.url_hosts.clone(), total: settings.url_timeout, trusted: Vec::new() }
    }

    /// Counts `addresses` as public ones, besides those that are.
    #[cfg(test)]
    fn trusting(self, addresses: Vec<SocketAddr>) -> Self {
        Self { trusted: addresses, ..self }
    }

    /// Refuses a url before anything is asked of anyone.
    ///
    /// # Errors
    /// 403 when urls are off or the host is not listed, 400 when it is no url that can be read.
    pub fn check(&self, url: &str) -> Result<Url, Failure> {
        if self.hosts.is_empty() {
            return Err(forbidden(
                "this server does not read recordings from urls; send the file itself, or ask the operator to allow the \
                 host (--url-hosts)",
            ));
        }
        let url = Url::parse(url.trim())
            .map_err(|_| refused("it is not a url; write it whole, such as https://media.example.com/talk.mp3"))?;
        self.permit(&url)?;
        Ok(url)
    }

    /// Reads the recording at `url` for a request; when the request is given up, reading ends too.
    ///
    /// # Errors
    /// As [`Remote::fetch`]; 503, or 507 when the disk is full.
    pub(super) async fn receive(&self, app: &App, url: String) -> Result<Upload, Failure> {
        self.check(&url)?;
        let (remote, folder, max_bytes) =
            (self.clone(), app.settings().temp_folder.clone(), app.settings().max_upload_bytes);
        let given_up = GivenUp::default();
        let (flag, mark) = (given_up.0.clone(), app.job());
        let reading = web::block(move || {
            let _mark = mark;
            let watch = Watch::new(&|_| {}, &flag);
            Upload::filled(&folder, |file| {
                remote.fetch(&url, max_bytes, file, &watch).map(|read| (read.name, read.bytes))
            })
        });
        reading.await.map_err(|_| Failure::internal())?
    }

    /// Reads the recording at `url` into `sink`, at most `max_bytes` of it. Blocks.
    ///
    /// # Errors
    /// As [`Remote::check`]; 400 when the recording cannot be had, 413 when it is too large, 504 when it takes too long or
    /// the watch's deadline passes, and 499 when it is cancelled.
    pub fn fetch(&self, url: &str, max_bytes: u64, sink: &mut dyn Write, watch: &Watch) -> Result<Fetched, Failure> {
        let mut url = self.check(url)?;
        let agent = self.agent();
        let started = Instant::now();
        for _ in 0..=REDIRECTS {
            watch.check()?;
            // A budget of zero would mean none at all.
            let budget = self.total.saturating_sub(started.elapsed()).max(Duration::from_millis(1));
            let request = agent.get(url.as_str()).config().timeout_global(Some(budget)).build();
            let response = request.call().map_err(|error| unreachable(&error))?;
            if let Some(next) = redirect(&url, &response)? {
                self.permit(&next)?;
                url = next;
                continue;
            }
            let bytes = receive(response, max_bytes, sink, watch)?;
            return Ok(Fetched { name: name_of(&url), bytes });
        }
        Err(refused("it redirects too often; give the address that it ends at"))
    }

    fn permit(&self, url: &Url) -> Result<(), Failure> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("only http:// and https:// can be read"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it must not hold a user name or a password"));
        }
        if !self.hosts.iter().any(|rule| rule.allows(url)) {
            return Err(forbidden(
                "its host or port (or that of a redirect) is not among those that this server may read from; send the \
                 file itself, or ask the operator to allow it (--url-hosts)",
            ));
        }
        Ok(())
    }

    fn agent(&self) -> Agent {
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .accept_encoding("identity")
            .user_agent(concat!("palabra/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(STALL))
            .timeout_per_read(Some(STALL))
            .timeout_per_write(Some(STALL))
            .build();
        let resolver = PublicResolver { inner: DefaultResolver::default(), trusted: self.trusted.clone() };
        Agent::with_parts(config, DefaultConnector::default(), resolver)
    }
}

/// Tells a thread that nobody waits for it any more.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Resolves names to public addresses alone.
#[derive(Debug)]
struct PublicResolver {
    inner: DefaultResolver,
    trusted: Vec<SocketAddr>,
}

impl Resolver for PublicResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, WebError> {
        let all = self.inner.resolve(uri, config, timeout).map_err(|error| match error {
            // Whether a name exists at all is nothing that a caller should learn of this network.
            WebError::Io(_) => WebError::HostNotFound,
            other => other,
        })?;
        let mut public = self.empty();
        let open = |place: &&SocketAddr| address::is_public(place.ip()) || self.trusted.contains(place);
        all.iter().filter(open).for_each(|place| public.push(*place));
        if public.is_empty() { Err(WebError::HostNotFound) } else { Ok(public) }
    }
}

/// Where an answer points to, when it is a redirect.
fn redirect(from: &Url, response: &Response<Body>) -> Result<Option<Url>, Failure> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let place = response.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
    let next = place.and_then(|place| from.join(place).ok());
    match next {
        Some(next) if from.scheme() == "https" && next.scheme() != "https" => {
            Err(refused("its host redirects from https to something less safe; give the address that it ends at"))
        }
        Some(next) => Ok(Some(next)),
        None => Err(refused("its host redirects to no valid address; check the url")),
    }
}

/// Copies the body of an answer; returns its length.
fn receive(response: Response<Body>, max_bytes: u64, sink: &mut dyn Write, watch: &Watch) -> Result<u64, Failure> {
    let status = response.status();
    if status != StatusCode::OK.as_u16() {
        return Err(refused(&format!("its host answered with status {}; check the url", status.as_u16())));
    }
    if response.body().content_length().is_some_and(|length| length > max_bytes) {
        return Err(too_large(max_bytes));
    }
    let mut body = response.into_body().into_reader();
    let mut block = vec![0; BLOCK];
    let mut total = 0;
    loop {
        watch.check()?;
        let count = body.read(&mut block).map_err(|error| unreachable(&WebError::from(error)))?;
        if count == 0 {
            return Ok(total);
        }
        total += count as u64;
        if total > max_bytes {
            return Err(too_large(max_bytes));
        }
        sink.write_all(&block[..count]).map_err(|reason| unstorable(&reason))?;
    }
}

/// The last part of the path.
fn name_of(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    (!last.is_empty()).then(|| last.to_owned())
}

fn too_large(max_bytes: u64) -> Failure {
    Failure::too_large(format!("url: the recording has more than the {max_bytes} bytes that this server takes"))
        .about("url")
}

fn refused(reason: &str) -> Failure {
    Failure::request(format!("url: {reason}")).about("url")
}

fn forbidden(reason: &str) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, format!("url: {reason}")).about("url").named("url_not_allowed")
}

/// What a caller is told of a failed exchange: nothing of what the other side said.
fn unreachable(error: &WebError) -> Failure {
    match error {
        WebError::Timeout(_) => {
            let message = "url: its host took too long; try again later, or send the file itself";
            Failure::new(StatusCode::GATEWAY_TIMEOUT, message).about("url")
        }
        WebError::HostNotFound => refused("its host has no public address; check the url"),
        _ => refused("its host cannot be reached or broke off; check the url, or send the file itself"),
    }
}

#[cfg(test)]
mod tests;
