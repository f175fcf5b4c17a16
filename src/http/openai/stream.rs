//! `stream=true`: events over a response that stays open (server-sent events).
//!
//! What fails within [`PATIENCE`], and before anything was written, is answered with its status; later failures are a
//! last event `{"error": ...}`. While nothing is to be told, a comment keeps the connection alive. A client that leaves
//! takes the stream with it, and the stream its work.

use std::{convert::Infallible, pin::Pin, time::Duration};

use actix_web::{
    HttpResponse,
    http::header::{self, ContentEncoding},
    web::Bytes,
};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{
    answer::Ready,
    events::{Event, Teller},
    labels::Labels,
    request::Ask,
};
use crate::{
    http::{
        failure::{Failure, Shape},
        work::{Job, Recording, Work},
    },
    transcript::Timings,
};

/// So long a failure may still be answered with a status.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two signs of life. Proxies close connections that are silent for 30 to 60 s.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// The response of events.
///
/// # Errors
/// What fails at once.
pub async fn respond(work: Work, ask: Ask, recording: Recording) -> Result<HttpResponse, Failure> {
    let mut telling = Telling::start(work, ask, recording);
    let first = match telling.next(PATIENCE).await {
        Some(Step::Failed(failure)) => return Err(failure),
        first => first,
    };
    let rest = stream::unfold(telling, |mut telling| async {
        let step = telling.next(SIGN_OF_LIFE).await?;
        Some((step, telling))
    });
    let body = stream::iter(first).chain(rest).map(|step| Ok::<_, Infallible>(step.bytes()));
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        // Neither compression nor a proxy may hold events back.
        .insert_header(ContentEncoding::Identity)
        .insert_header(("x-accel-buffering", "no"))
        .streaming(body))
}

/// What happens next in a stream.
enum Step {
    Told(Event),
    Quiet,
    Failed(Failure),
}

impl Step {
    fn bytes(self) -> Bytes {
        let data = match self {
            Self::Quiet => return Bytes::from_static(b": ping\n\n"),
            Self::Told(event) => {
                serde_json::to_value(event).unwrap_or_else(|_| Failure::internal().body(Shape::OpenAi))
            }
            Self::Failed(failure) => failure.body(Shape::OpenAi),
        };
        Bytes::from(format!("data: {data}\n\n"))
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Timings, Failure>>>>;

/// A transcription at work and what it has told.
struct Telling {
    /// Held until the last event is sent; dropping it cancels the job.
    work: Work,
    job: Running,
    events: mpsc::UnboundedReceiver<Event>,
    outcome: Option<Result<Timings, Failure>>,
    over: bool,
}

impl Telling {
    fn start(work: Work, ask: Ask, recording: Recording) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let job = work.start(move |job| Ok(tell(job, &ask, recording, &sender)));
        let job: Running = Box::pin(async move { job.await? });
        Self { work, job, events, outcome: None, over: false }
    }

    /// The next event, or a sign of life after `patience`; `None` at the end.
    async fn next(&mut self, patience: Duration) -> Option<Step> {
        if self.over {
            return None;
        }
        while self.outcome.is_none() {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => return Some(Step::Told(event)),
                outcome = &mut self.job => self.outcome = Some(outcome),
                () = tokio::time::sleep(patience) => return Some(Step::Quiet),
            }
        }
        if let Ok(event) = self.events.try_recv() {
            return Some(Step::Told(event));
        }
        self.over = true;
        match self.outcome.take()? {
            Ok(timings) => {
                let _times = self.work.finish(&timings);
                None
            }
            Err(failure) => Some(Step::Failed(failure)),
        }
    }
}

/// Transcribes and sends events. Blocks.
fn tell(job: &Job, ask: &Ask, recording: Recording, sender: &mpsc::UnboundedSender<Event>) -> Result<Timings, Failure> {
    let send = |events: Vec<Event>| {
        // Nobody listens when the client has left; the work is cancelled then.
        events.into_iter().for_each(|event| drop(sender.send(event)));
    };
    let ready = Ready::prepare(job, ask, &recording.decoded)?;
    let bytes_of = |id| ready.pipeline.token_bytes(id);
    let mut teller = Teller::new(ask.telling());
    let mut listener = |segments: Vec<_>| send(teller.hear(&segments, &bytes_of));
    let (decoded, seconds) = (recording.decoded, recording.seconds);
    let transcript = ready.pipeline.transcribe_live(decoded, seconds, &ready.options, &job.watch(), &mut listener)?;
    let labels = Labels::new(transcript.names.clone());
    send(teller.finish(&transcript, &labels, &bytes_of));
    Ok(transcript.timings)
}
