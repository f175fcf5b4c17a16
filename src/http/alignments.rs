//! `POST /v1/audio/alignments`: a recording and what is said in it, to the time of every word.
//!
//! The text comes whole, as `text`, or in pieces with rough times, as `segments`: a JSON array of objects with `start`,
//! `end` (seconds) and `text`, whose other keys are ignored, so that segments of `verbose_json` can be sent as they are.
//! The answer is close to `verbose_json`.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::{
    App, Failure, Form, Work,
    openai::{
        self,
        bodies::{seconds, text},
        names::Model,
        usage::Usage,
    },
    schema::OpenAiFailures,
};
use crate::{
    engine::{GivenText, Options},
    formats::{self, Format},
    span::Span,
    stages::{
        language::LanguageChoice,
        vad::{VadOptions, VoiceDetector},
    },
    transcript::{Segment, Source, Transcript, Word},
};

/// The file's field.
const FILE: &str = "file";
/// Segments of one request.
const MOST_SEGMENTS: usize = 100_000;

/// The routes of this API.
pub fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/v1/audio/alignments").route(web::post().to(align)));
}

/// The document of this API.
#[derive(OpenApi)]
#[openapi(paths(align), components(schemas(AlignmentForm, Alignment)))]
pub struct Api;

/// The form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
struct AlignmentForm {
    /// The recording.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream", required = false)]
    file: Vec<u8>,
    /// In the place of `file`: where the recording lies, on a host that the operator allows.
    #[schema(nullable = false, example = "https://media.example.com/talk.mp3")]
    url: Option<String>,
    /// The network that finds speech, `silero` or `pyannote`; without it, the service's own.
    #[schema(nullable = false, pattern = "^(silero|pyannote)$")]
    vad_method: Option<String>,
    /// The Whisper model that tells the language, and whose attention places the words where there is no aligner for it; the
    /// service's own where it is absent or named whisper-1.
    #[schema(nullable = false, example = "base")]
    model: Option<String>,
    /// The language of the text, as a code or an English name; detected where it is absent.
    #[schema(nullable = false, example = "en")]
    language: Option<String>,
    /// All that is said. Either this or `segments`.
    #[schema(nullable = false, example = "And so, my fellow Americans, ask not what your country can do for you.")]
    text: Option<String>,
    /// What is said when: a JSON array in order of time. Either this or `text`.
    #[schema(nullable = false, example = json!("[{\"start\": 0.3, \"end\": 2.2, \"text\": \"And so, my fellow Americans,\"}]"))]
    segments: Option<String>,
    /// `json`, `srt` or `vtt`.
    #[schema(nullable = false, default = "json", pattern = "^(json|srt|vtt)$")]
    response_format: Option<String>,
}

/// A piece of the given text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Piece {
    start: f64,
    end: f64,
    text: String,
}

/// What a form asks for.
#[derive(Debug, Clone, PartialEq)]
struct Ask {
    model: String,
    language: LanguageChoice,
    given: GivenText,
    format: Format,
    vad: VadOptions,
}

impl Ask {
    fn read(app: &App, form: &Form) -> Result<Self, Failure> {
        let mut fields = form.fields();
        fields.require(FILE);
        let formats = [("json", Format::Json), ("srt", Format::Srt), ("vtt", Format::Vtt)];
        let whole = fields.parse("text", |text| {
            if text.trim().is_empty() { Err("it is blank; send what is said") } else { Ok(text.trim().to_owned()) }
        });
        let pieces = fields.parse("segments", pieces);
        let given = match (whole, pieces, form.text("text").is_some(), form.text("segments").is_some()) {
            (_, _, true, true) => {
                fields.refuse("segments", "send either text or segments, not both", "value_error");
                None
            }
            (_, _, false, false) => {
                fields.refuse("text", "Field required: send what is said as text, or in pieces as segments", "missing");
                None
            }
            (Some(whole), ..) => Some(GivenText::Whole(whole)),
            (None, pieces, ..) => pieces.map(GivenText::Pieces),
        };
        let model = fields.text("model");
        let language = fields.parse("language", language).unwrap_or_default();
        let format = fields.choice("response_format", &formats).unwrap_or(Format::Json);
        let vad = app.vad(fields.choice("vad_method", &VoiceDetector::NAMES));
        fields.finish()?;
        let given = given.ok_or_else(Failure::internal)?;
        let model = Model::find(model.as_deref().unwrap_or_default(), app)?.name;
        Ok(Self { model, language, given, format, vad })
    }

    fn options(&self) -> Options {
        let mut options = Options { vad: self.vad.clone(), ..Options::default() };
        options.transcribe.language = self.language;
        options
    }
}

/// A code, a name, or `auto`.
fn language(text: &str) -> crate::Result<LanguageChoice> {
    if text.trim().eq_ignore_ascii_case("auto") {
        Ok(LanguageChoice::Detect)
    } else {
        text.parse().map(LanguageChoice::Fixed)
    }
}

/// Pieces in order of time, each with a length and with text.
fn pieces(text: &str) -> Result<Vec<(Span, String)>, String> {
    let pieces: Vec<Piece> = serde_json::from_str(text).map_err(|reason| {
        let (line, column) = (reason.line(), reason.column());
        format!("it is no JSON array of objects with start, end and text (line {line}, column {column})")
    })?;
    if pieces.is_empty() {
        return Err("it is empty; send what is said".into());
    }
    if pieces.len() > MOST_SEGMENTS {
        return Err(format!("there are more than {MOST_SEGMENTS} of them; join some"));
    }
    let mut before = 0.0;
    let mut read = Vec::with_capacity(pieces.len());
    for (index, Piece { start, end, text }) in pieces.into_iter().enumerate() {
        let text = text.trim().to_owned();
        match () {
            () if !(start >= 0.0 && end > start && end.is_finite()) => {
                return Err(format!("number {index} must start at 0 or later and end after its start"));
            }
            () if start < before => {
                return Err(format!("number {index} starts before the one before it; send them in order of time"));
            }
            () if text.is_empty() => return Err(format!("number {index} has no text; leave it out")),
            () => read.push((Span::new(start, end), text)),
        }
        before = start;
    }
    Ok(read)
}

/// Times the words of a transcript.
///
/// Send a recording with its text, get the time of every word.
#[utoipa::path(
    post,
    path = "/v1/audio/alignments",
    tag = "Audio",
    request_body(content = AlignmentForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "Words with times; with `response_format=srt` or `vtt` subtitles as text", content(
            (Alignment = "application/json"),
            (String = "text/plain", example = "1\n00:00:00,300 --> 00:00:02,100\nAnd so, my fellow Americans.\n"),
            (String = "text/vtt", example = "WEBVTT\n\n00:00:00.300 --> 00:00:02.100\nAnd so, my fellow Americans.\n"),
        )),
        OpenAiFailures,
    )
)]
async fn align(app: Data<App>, request: HttpRequest, body: Payload) -> Result<HttpResponse, Failure> {
    let work = Work::enter(&app)?;
    let form = Form::receive(&app, &request, body, &[FILE]).await?;
    let ask = Ask::read(&app, &form)?;
    let recording = openai::recording(&work, form).await?;
    let (options, format, Ask { model, given, .. }) = (ask.options(), ask.format, ask);
    let transcript = work
        .run(move |job| {
            let pipeline = job.engine().pipeline(&model, None, &job.watch())?;
            pipeline.align(recording.decoded, recording.seconds, &given, &options, &job.watch())
        })
        .await?;
    let mut response = HttpResponse::Ok();
    work.finish(&transcript.timings).write(&mut response);
    Ok(match format {
        Format::Json => response.json(Alignment::new(&transcript)),
        other => {
            let kind = if other == Format::Vtt { "text/vtt; charset=utf-8" } else { "text/plain; charset=utf-8" };
            response.content_type(kind).body(formats::render(other, &transcript, FILE))
        }
    })
}

/// Words with times.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "task": "align", "language": "english", "duration": 11.0, "text": "And so, my fellow Americans,",
    "words": [{"word": "And", "start": 0.33, "end": 0.54, "score": 0.98, "source": "aligned"}],
    "segments": [{"id": 0, "start": 0.33, "end": 2.2, "text": "And so, my fellow Americans,",
        "words": [{"word": "And", "start": 0.33, "end": 0.54, "score": 0.98, "source": "aligned"}]}],
    "warnings": [], "usage": {"type": "duration", "seconds": 11}
}))]
struct Alignment {
    /// Always `align`.
    task: &'static str,
    /// The English name of the language.
    language: &'static str,
    /// Seconds of the recording.
    duration: f64,
    /// The text.
    text: String,
    /// All words in order of time.
    words: Vec<AlignedWord>,
    /// The pieces that were sent, or sentences.
    segments: Vec<AlignedSegment>,
    /// What the reader should know of the result.
    warnings: Vec<String>,
    /// The length of the recording.
    usage: Usage,
}

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct AlignedSegment {
    /// Its number, from 0.
    id: usize,
    /// Where it starts, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// Its text.
    text: String,
    /// Its words.
    words: Vec<AlignedWord>,
}

/// A word.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct AlignedWord {
    /// As it was sent, with its punctuation.
    word: String,
    /// Where it starts, in seconds; `null` where Whisper's attention could not place it.
    start: Option<f64>,
    /// Where it ends, in seconds; `null` where Whisper's attention could not place it.
    end: Option<f64>,
    /// How well it fits, from 0 to 1.
    score: f64,
    /// How it got its time: `aligned` and `wildcard` by an aligner, `attention` by Whisper, `interpolated` between its
    /// neighbours.
    #[schema(value_type = String, pattern = "^(aligned|wildcard|attention|interpolated)$")]
    source: Source,
}

impl Alignment {
    fn new(transcript: &Transcript) -> Self {
        let segments = transcript.segments.iter().enumerate();
        Self {
            task: "align",
            language: transcript.language.name(),
            duration: seconds(transcript.duration),
            text: text(&transcript.segments),
            words: transcript.segments.iter().flat_map(|segment| segment.words.iter().map(AlignedWord::new)).collect(),
            segments: segments.map(|(id, segment)| AlignedSegment::new(id, segment)).collect(),
            warnings: transcript.warnings.clone(),
            usage: Usage::of(transcript),
        }
    }
}

impl AlignedSegment {
    fn new(id: usize, segment: &Segment) -> Self {
        Self {
            id,
            start: seconds(segment.span.start),
            end: seconds(segment.span.end),
            text: segment.text.clone(),
            words: segment.words.iter().map(AlignedWord::new).collect(),
        }
    }
}

impl AlignedWord {
    fn new(word: &Word) -> Self {
        Self {
            word: word.text.clone(),
            start: word.span.map(|span| seconds(span.start)),
            end: word.span.map(|span| seconds(span.end)),
            score: seconds(word.score.into()),
            source: word.source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_in_order_and_other_keys_are_left_alone() {
        let text = r#"[{"id": 0, "start": 0, "end": 1.5, "text": " One "}, {"start": 1.25, "end": 2, "text": "two", "words": []}]"#;
        let expected = vec![(Span::new(0.0, 1.5), "One".to_owned()), (Span::new(1.25, 2.0), "two".to_owned())];
        assert_eq!(pieces(text), Ok(expected));
    }

    #[test]
    fn pieces_that_cannot_be_are_told_by_number() {
        for (text, said) in [
            ("", "JSON array"),
            ("{}", "JSON array"),
            ("[]", "empty"),
            (r#"[{"start": 0, "end": 1}]"#, "line 1"),
            (r#"[{"start": "0", "end": 1, "text": "a"}]"#, "JSON array"),
            (r#"[{"start": -1, "end": 1, "text": "a"}]"#, "number 0"),
            (r#"[{"start": 1, "end": 1, "text": "a"}]"#, "number 0"),
            (
                r#"[{"start": 1, "end": 2, "text": "a"}, {"start": 0.5, "end": 2, "text": "b"}]"#,
                "number 1 starts before",
            ),
            (r#"[{"start": 1, "end": 2, "text": " "}]"#, "no text"),
        ] {
            let reason = pieces(text).unwrap_err();
            assert!(reason.contains(said), "{text}: {reason}");
        }
    }
}
