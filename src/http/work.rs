//! The work of one request, off the threads that answer: admitted, timed, cancelled when its client has left.
//!
//! ```ignore
//! async fn transcribe(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> Result<HttpResponse, Failure> {
//!     let work = Work::enter(&app)?;                                      // 429/503 at once, before the body is read
//!     let form = Form::receive(&app, &request, body, &["file"]).await?;
//!     let ask = Ask::read(&form)?;                                        // cheap refusals first
//!     let upload = form.file("file")?;
//!     work.received();                                                    // the deadline starts
//!     let recording = work.decode(upload).await?;                         // 400, 413, 429
//!     let transcript = work.run(move |job| {                              // on a thread of its own; may block
//!         let pipeline = job.engine().pipeline(&ask.model, None, &job.watch())?;
//!         pipeline.transcribe(recording.decoded, recording.seconds, &ask.options, &job.watch())
//!     }).await?;
//!     let mut response = HttpResponse::Ok();
//!     work.finish(&transcript.timings).write(&mut response);              // x-queue-time, x-inference-time
//!     Ok(response.json(...))
//! }
//! ```
//!
//! A stream of events moves its `Work` into the body stream: [`Work::start`] gives the running job as a future beside
//! which events can be sent, and dropping the stream cancels the job. Nothing here blocks a thread that answers. The
//! place in the queue is given back when the client is served and the thread is done, whichever comes last.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::HttpResponseBuilder;
use tokio::sync::oneshot;

use super::{app::App, failure::Failure, upload::Upload};
use crate::{
    Error, Result,
    audio::decode::{Decoded, Limits, decode_file},
    engine::{Engine, Permit},
    progress::{Progress, Watch},
    transcript::Timings,
};

/// When a device has failed, what still runs (on others, or before it comes to one) may come to its end for so long; then its
/// client is told, too.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A request that was let in. Dropping it cancels what still runs for it.
pub struct Work(Arc<Shared>);

struct Shared {
    app: App,
    permit: Mutex<Permit>,
    cancelled: AtomicBool,
    /// When everything of the request had arrived.
    received: OnceLock<Instant>,
}

/// A decoded upload.
#[derive(Debug)]
pub struct Recording {
    /// The samples and what was lost.
    pub decoded: Decoded,
    /// Seconds that decoding took.
    pub seconds: f64,
}

/// Reads the samples of a file.
pub(super) type Reader = fn(&Path, &Limits, &Watch<'_>) -> Result<Decoded>;

impl Work {
    /// Lets a request in, before anything of it is read.
    ///
    /// # Errors
    /// 429 with Retry-After when the service is full, 503 while it shuts down or when its device has failed.
    pub fn enter(app: &App) -> std::result::Result<Self, Failure> {
        app.engine().health().check()?;
        let admission = app.engine().admission();
        let permit = admission.enter().map_err(|error| {
            let failure = Failure::from(error);
            if admission.is_closed() {
                Failure { status: actix_web::http::StatusCode::SERVICE_UNAVAILABLE, ..failure }
            } else {
                failure
            }
        })?;
        let cancelled = AtomicBool::new(false);
        Ok(Self(Arc::new(Shared {
            app: app.clone(),
            permit: Mutex::new(permit),
            cancelled,
            received: OnceLock::new(),
        })))
    }

    /// Notes that everything of the request has arrived: from here its deadline and its queue time count. The first job
    /// notes it otherwise.
    pub fn received(&self) {
        self.0.received();
    }

    /// Decodes an upload within the limits of the settings, and holds its seconds against what the service may hold.
    ///
    /// # Errors
    /// 400 for what is no audio, 413 for what is too long, 429 with Retry-After when the queue is full, 504.
    pub async fn decode(&self, upload: Upload) -> std::result::Result<Recording, Failure> {
        self.decode_as(upload, decode_file).await
    }

    /// As [`Work::decode`], with another reader than that of recordings in general.
    pub(super) async fn decode_as(&self, upload: Upload, read: Reader) -> std::result::Result<Recording, Failure> {
        let deadline = self.0.deadline();
        let turn = tokio::time::timeout_at(deadline.into(), self.0.app.decoders().clone().acquire_owned()).await;
        let turn = turn.map_err(|_| late())?.map_err(|_| Failure::internal())?;
        self.run(move |job| {
            let started = Instant::now();
            let limits = Limits { max_seconds: Some(job.0.app.settings().max_audio_seconds), max_bytes: None };
            let decoded = read(upload.path(), &limits, &job.watch()).map_err(|e| unnamed(e, upload.path()))?;
            drop((upload, turn));
            job.bring(decoded.seconds())?;
            Ok(Recording { decoded, seconds: started.elapsed().as_secs_f64() })
        })
        .await
    }

    /// Runs blocking work on a thread of its own and waits for it.
    ///
    /// # Errors
    /// What the work gives, 500 when it panics, 504 when the deadline passes.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Job) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, Failure> {
        self.start(work).await
    }

    /// Starts blocking work on a thread of its own at once; the result can be awaited beside other things and does not
    /// borrow the `Work`, which must live as long as the result is wanted.
    pub fn start<T, W>(&self, work: W) -> impl Future<Output = std::result::Result<T, Failure>> + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&Job) -> Result<T> + Send + 'static,
    {
        let shared = self.0.clone();
        let deadline = shared.deadline();
        let (sender, receiver) = oneshot::channel();
        let job = Job(shared.clone());
        let mark = shared.app.job();
        let span = tracing::info_span!("work");
        let thread = std::thread::Builder::new().name("request".into());
        let started = thread.spawn(move || {
            let result =
                catch_unwind(AssertUnwindSafe(|| span.in_scope(|| work(&job)))).unwrap_or_else(|_| Err(panicked()));
            // Nobody listens when the client has left.
            let _unheard = sender.send(result);
            drop((job, mark));
        });
        async move {
            started.map_err(|reason| Error::Machine(format!("no thread can be started: {reason}")))?;
            let health = shared.app.engine().health();
            let lost = async {
                let reason = health.until_lost().await;
                tokio::time::sleep(LAST_WORDS).await;
                reason
            };
            let stopped = tokio::select! {
                result = receiver => return result.map_or_else(|_| Err(Failure::internal()), |result| Ok(result?)),
                () = tokio::time::sleep_until(deadline.into()) => late(),
                reason = lost => Error::DeviceLost(reason).into(),
            };
            shared.cancelled.store(true, Ordering::SeqCst);
            Err(stopped)
        }
    }

    /// Notes that the request was served, and how long it took. `timings` are the transcript's.
    pub fn finish(&self, timings: &Timings) -> Times {
        self.0.permit.lock().unwrap_or_else(PoisonError::into_inner).finish();
        let passed = self.0.received().elapsed();
        let at_work = |(stage, _): &&(&str, f64)| !matches!(*stage, "total" | "load" | "queue");
        let inference: f64 = timings.0.iter().filter(at_work).map(|(_, seconds)| seconds).sum();
        let inference = Duration::from_secs_f64(inference.max(0.0)).min(passed);
        Times { queue: passed - inference, inference }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn received(&self) -> Instant {
        *self.received.get_or_init(Instant::now)
    }

    fn deadline(&self) -> Instant {
        self.received() + self.app.settings().request_timeout
    }
}

/// What the work of a request may use; it lives on the thread that works.
pub struct Job(Arc<Shared>);

impl Job {
    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.0.app.engine()
    }

    /// Ends the work when the client leaves or the deadline passes.
    pub fn watch(&self) -> Watch<'_> {
        self.watch_with(&|_: Progress| {})
    }

    /// As [`Job::watch`], and tells where the work is.
    pub fn watch_with<'a>(&'a self, report: &'a (dyn Fn(Progress) + Sync)) -> Watch<'a> {
        Watch::new(report, &self.0.cancelled).until(self.0.deadline())
    }

    /// Holds `seconds` of audio, all that the request has, against what the service may hold.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn bring(&self, seconds: f64) -> Result<()> {
        self.0.permit.lock().unwrap_or_else(PoisonError::into_inner).bring(seconds)
    }
}

/// How long a request waited and was worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From the arrival of its last byte: everything that is not inference, such as waiting for a model.
    pub queue: Duration,
    /// In the stages of the pipeline.
    pub inference: Duration,
}

impl Times {
    /// Adds the headers `x-queue-time` and `x-inference-time`, in milliseconds.
    pub fn write(&self, response: &mut HttpResponseBuilder) {
        response.insert_header(("x-queue-time", self.queue.as_millis().to_string()));
        response.insert_header(("x-inference-time", self.inference.as_millis().to_string()));
    }
}

fn late() -> Failure {
    Failure::from(Error::Deadline("the time allowed for this request is over; send a shorter recording".into()))
}

/// The error without the path of the temporary file.
fn unnamed(error: Error, path: &Path) -> Error {
    let place = format!("{}: ", path.display());
    let plain = |sentence: String| sentence.strip_prefix(&place).map(str::to_owned).unwrap_or(sentence);
    match error {
        Error::Audio(sentence) => Error::Audio(plain(sentence)),
        Error::TooLarge(sentence) => Error::TooLarge(plain(sentence)),
        other => other,
    }
}

/// Without the panic's own words, which may repeat what a caller sent; the log has its place.
fn panicked() -> Error {
    Error::Bug("a panic in the work of a request".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::Compute,
        http::engine_options,
        settings::Settings,
        weights::{Store, StoreOptions},
    };

    fn app(settings: Settings) -> App {
        let store = Store::open(&StoreOptions::default()).unwrap();
        App::new(Engine::new(store, Compute::cpu(), engine_options(&settings)), settings)
    }

    #[actix_web::test]
    async fn a_panic_is_the_failure_of_one_request() {
        let app = app(Settings::default());
        let work = Work::enter(&app).unwrap();
        let failure = work.run(|_| -> Result<()> { panic!("private words") }).await.unwrap_err();
        assert_eq!((failure.status.as_u16(), failure.message.contains("private")), (500, false));
        assert_eq!(work.run(|_| Ok(7)).await, Ok(7), "the next one works");
        drop(work);
        app.settle(Duration::from_secs(5)).await;
        assert_eq!(app.engine().admission().load().0, 0);
    }

    #[actix_web::test]
    async fn the_deadline_answers_at_once_and_ends_the_work() {
        let app = app(Settings { request_timeout: Duration::from_millis(50), ..Settings::default() });
        let work = Work::enter(&app).unwrap();
        let started = Instant::now();
        // A stage that looks at its watch only after a while.
        let late = work.run(|job| {
            std::thread::sleep(Duration::from_secs(1));
            job.watch().check()
        });
        assert_eq!(late.await.unwrap_err().status, 504);
        assert!(started.elapsed() < Duration::from_millis(900));
        drop(work);
        assert_eq!(app.engine().admission().load().0, 1, "the place is taken as long as the thread works");
        app.settle(Duration::from_secs(5)).await;
        assert_eq!(app.engine().admission().load().0, 0);
    }

    #[actix_web::test]
    async fn work_that_a_lost_device_leaves_behind_is_told_soon() {
        let app = app(Settings::default());
        let work = Work::enter(&app).unwrap();
        let running = work.start(|job| {
            while job.watch().check().is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
            job.watch().check()
        });
        app.engine().health().lose("an ECC error");
        let failure = running.await.unwrap_err();
        assert_eq!((failure.status.as_u16(), failure.code), (503, Some("device_lost")));
        let refused = Work::enter(&app).map(drop).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.code), (503, Some("device_lost")));
        drop(work);
        app.settle(Duration::from_secs(5)).await;
        assert_eq!(app.engine().admission().load().0, 0, "its thread has ended");
    }

    #[actix_web::test]
    async fn work_whose_client_has_left_is_cancelled() {
        let app = app(Settings::default());
        let work = Work::enter(&app).unwrap();
        let running = work.start(|job| {
            while job.watch().check().is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
            job.watch().check()
        });
        drop(work);
        assert_eq!(running.await.unwrap_err().status.as_u16(), 499);
    }

    #[actix_web::test]
    async fn who_does_not_fit_is_told_when_to_come_again() {
        let app = app(Settings { max_requests: 1, ..Settings::default() });
        let inside = Work::enter(&app).unwrap();
        let failure = Work::enter(&app).map(drop).unwrap_err();
        assert_eq!((failure.status.as_u16(), failure.retry_after.is_some()), (429, true));
        drop(inside);
        app.end();
        let failure = Work::enter(&app).map(drop).unwrap_err();
        assert_eq!((failure.status.as_u16(), failure.retry_after.is_some()), (503, true));
    }

    #[test]
    fn waiting_and_working_add_up() {
        let app = app(Settings::default());
        let work = Work::enter(&app).unwrap();
        work.received();
        std::thread::sleep(Duration::from_millis(20));
        let stages = vec![("load", 9.0), ("decode", 0.004), ("queue", 3.0), ("transcribe", 0.006), ("total", 12.0)];
        let times = work.finish(&Timings(stages));
        assert_eq!(times.inference, Duration::from_millis(10));
        assert!(times.queue >= Duration::from_millis(10));
        let impossible = work.finish(&Timings(vec![("transcribe", 1e6)]));
        assert_eq!(impossible.queue, Duration::ZERO, "stages that ran side by side count once");
    }
}
