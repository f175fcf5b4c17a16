//! From a request and its recording to the body of the answer, on a thread that works.

use std::sync::Arc;

use actix_web::HttpResponse;
use serde::Serialize;

use super::{
    bodies::{Logprob, Transcription, Translation, VerboseTranscription, text},
    diarized::DiarizedTranscription,
    format::ResponseFormat,
    known,
    labels::Labels,
    request::Ask,
    schema::{TranscriptionObject, TranslationObject},
};
use crate::{
    audio::decode::Decoded,
    engine::{Options, Pipeline},
    error::Error,
    formats::{Format, render},
    http::{
        failure::Failure,
        work::{Job, Recording, Work},
    },
    language::Language,
    models::whisper::tokenizer::Task,
    progress::Watch,
    stages::language::LanguageChoice,
    transcript::{Timings, Transcript},
};

/// A body that is ready to be sent.
#[derive(Debug)]
pub struct Answer {
    content_type: &'static str,
    body: String,
    timings: Timings,
}

impl Answer {
    /// The response.
    pub fn send(self, work: &Work) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        work.finish(&self.timings).write(&mut response);
        response.content_type(self.content_type).body(self.body)
    }
}

/// Transcribes or translates a recording and writes the body. Blocks.
///
/// # Errors
/// The failure to be told to the client.
pub fn answer(job: &Job, ask: Ask, recording: Recording) -> Result<Answer, Failure> {
    let ready = Ready::prepare(job, &ask, &recording.decoded)?;
    let transcript = ready.pipeline.transcribe(recording.decoded, recording.seconds, &ready.options, &job.watch())?;
    let labels = Labels::new(transcript.names.clone());
    let (content_type, body) = body(&ask, &transcript, &labels, &ready.pipeline)?;
    Ok(Answer { content_type, body, timings: transcript.timings })
}

/// All that a request needs before its recording is transcribed.
pub struct Ready {
    /// The model and the stages around it.
    pub pipeline: Arc<Pipeline>,
    /// What is to be done, the language chosen.
    pub options: Options,
}

impl Ready {
    /// Loads the model, refuses what it cannot do, listens to known speakers, chooses among the given languages. Blocks.
    ///
    /// # Errors
    /// As [`answer`].
    pub fn prepare(job: &Job, ask: &Ask, decoded: &Decoded) -> Result<Self, Failure> {
        let watch = job.watch();
        let hub_token = ask.hub_token.as_ref().map(|token| token.expose());
        let pipeline = job.engine().pipeline(&ask.model.name, hub_token, &watch)?;
        let mut options = ask.options.clone();
        if let Some(language) = likeliest(&pipeline, ask, decoded, &watch)? {
            options.transcribe.language = LanguageChoice::Fixed(language);
        }
        pipeline.check(&options)?;
        options.known = known::hear(&ask.known, job.engine(), &watch)?;
        Ok(Self { pipeline, options })
    }
}

/// The likeliest of several languages for the whole recording; `None` where none is given or nothing is said.
fn likeliest(
    pipeline: &Pipeline,
    Ask { candidates, options, .. }: &Ask,
    decoded: &Decoded,
    watch: &Watch,
) -> Result<Option<Language>, Error> {
    if candidates.is_empty() {
        return Ok(None);
    }
    let ranked = pipeline.detect_language(decoded.clone(), &options.vad, watch)?;
    Ok(ranked.into_iter().map(|(language, _)| language).find(|language| candidates.contains(language)))
}

/// Content type and body in the format asked for.
fn body(
    ask: &Ask,
    transcript: &Transcript,
    labels: &Labels,
    pipeline: &Pipeline,
) -> Result<(&'static str, String), Failure> {
    let translated = ask.options.transcribe.task == Task::Translate;
    let plain = "text/plain; charset=utf-8";
    Ok(match ask.format {
        ResponseFormat::Json if translated => json(&TranslationObject::Json(Translation::new(transcript)))?,
        ResponseFormat::Json => {
            let bytes_of = |id| pipeline.token_bytes(id);
            let logprobs = ask.logprobs.then(|| Logprob::of(&transcript.segments, &bytes_of));
            json(&TranscriptionObject::Json(Transcription::new(transcript, logprobs, ask.model.languages)))?
        }
        ResponseFormat::VerboseJson if translated => {
            json(&TranslationObject::Verbose(VerboseTranscription::translation(transcript, labels)))?
        }
        ResponseFormat::VerboseJson => {
            let verbose = VerboseTranscription::new(transcript, ask.granularities, labels);
            json(&TranscriptionObject::Verbose(verbose))?
        }
        ResponseFormat::DiarizedJson => {
            json(&TranscriptionObject::Diarized(DiarizedTranscription::new(transcript, labels)))?
        }
        // One line as at OpenAI, unless each has a speaker before it.
        ResponseFormat::Text if ask.options.diarize.is_none() => (plain, text(&transcript.segments) + "\n"),
        ResponseFormat::Text => (plain, render(Format::Txt, transcript, "")),
        ResponseFormat::Srt => (plain, render(Format::Srt, transcript, "")),
        ResponseFormat::Vtt => ("text/vtt; charset=utf-8", render(Format::Vtt, transcript, "")),
    })
}

fn json(body: &impl Serialize) -> Result<(&'static str, String), Failure> {
    let text = serde_json::to_string(body).map_err(|reason| Error::Bug(reason.to_string()))?;
    Ok(("application/json", text))
}
