//! `POST /v1/audio/diarizations`: a recording to who speaks when, without its words.
//!
//! Speakers are called `SPEAKER_00`, `SPEAKER_01`, ... as they are first heard, or by the names that the request gives
//! with their voices (`known_speaker_names[]`, `known_speaker_references[]`, as at `/v1/audio/transcriptions`).

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::{
    App, Failure, Form, Work,
    openai::{
        about_file,
        bodies::seconds,
        known::{self, KnownSpeaker},
        usage::Usage,
    },
    schema::OpenAiFailures,
};
use crate::{
    formats::{self, Format},
    stages::diarize::DiarizeOptions,
    transcript::{Speaker, Transcript},
};

/// The file's field.
const FILE: &str = "file";

/// The routes of this API.
pub fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/v1/audio/diarizations").route(web::post().to(diarize)));
}

/// The document of this API.
#[derive(OpenApi)]
#[openapi(paths(diarize), components(schemas(DiarizationForm, Diarized)))]
pub struct Api;

/// The form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
struct DiarizationForm {
    /// The recording.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream", required = false)]
    file: Vec<u8>,
    /// In the place of `file`: where the recording lies, on a host that the operator allows.
    #[schema(nullable = false, example = "https://media.example.com/talk.mp3")]
    url: Option<String>,
    /// Exactly so many speakers.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    num_speakers: Option<i64>,
    /// At least so many speakers.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    min_speakers: Option<i64>,
    /// At most so many speakers.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    max_speakers: Option<i64>,
    /// `embeddings` adds the voice of each speaker.
    #[serde(rename = "include[]")]
    #[schema(nullable = false)]
    include: Option<Vec<String>>,
    /// Names of speakers whose voices are sent as `known_speaker_references[]`.
    #[serde(rename = "known_speaker_names[]")]
    #[schema(nullable = false, max_items = 4)]
    known_speaker_names: Option<Vec<String>>,
    /// A recording of 2 to 10 seconds for each name, as a data URL.
    #[serde(rename = "known_speaker_references[]")]
    #[schema(nullable = false, max_items = 4)]
    known_speaker_references: Option<Vec<String>>,
    /// `json` or `rttm`.
    #[schema(nullable = false, default = "json", pattern = "^(json|rttm)$")]
    response_format: Option<String>,
}

/// What a form asks for.
#[derive(Debug, Clone, PartialEq)]
struct Ask {
    speakers: DiarizeOptions,
    embeddings: bool,
    known: Vec<KnownSpeaker>,
    format: Format,
}

impl Ask {
    fn read(form: &Form) -> Result<Self, Failure> {
        let mut fields = form.fields();
        fields.require(FILE);
        let mut count = |name| {
            let number = fields.integer(name, 1..=1000);
            number.and_then(|number| usize::try_from(number).ok())
        };
        let speakers = DiarizeOptions {
            num_speakers: count("num_speakers"),
            min_speakers: count("min_speakers"),
            max_speakers: count("max_speakers"),
        };
        if let Err(reason) = speakers.bounds() {
            fields.refuse("min_speakers", reason.to_string(), "value_error");
        }
        let included = fields.texts("include");
        if included.iter().any(|name| name != "embeddings") {
            fields.refuse("include", "Input should be 'embeddings'", "literal_error");
        }
        let formats = [("json", Format::Json), ("rttm", Format::Rttm)];
        let format = fields.choice("response_format", &formats).unwrap_or(Format::Json);
        let (names, references) = (fields.texts("known_speaker_names"), fields.texts("known_speaker_references"));
        if format == Format::Rttm && !included.is_empty() {
            let message = "rttm has no place for voices; ask for response_format=json";
            fields.refuse("response_format", message, "value_error");
        }
        fields.finish()?;
        let known = known::read(&names, &references)?;
        Ok(Self { speakers, embeddings: !included.is_empty(), known, format })
    }
}

/// Tells who speaks when.
///
/// Speakers are numbered in the order in which they are first heard.
#[utoipa::path(
    post,
    path = "/v1/audio/diarizations",
    tag = "Audio",
    request_body(content = DiarizationForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "Turns and speakers; with `response_format=rttm` the turns as text", content(
            (Diarized = "application/json"),
            (String = "text/plain", example = "SPEAKER talk 1 0.300 2.150 <NA> <NA> SPEAKER_00 0.930 <NA>\n"),
        )),
        OpenAiFailures,
    )
)]
async fn diarize(app: Data<App>, request: HttpRequest, body: Payload) -> Result<HttpResponse, Failure> {
    let work = Work::enter(&app)?;
    let form = Form::receive(&app, &request, body, &[FILE]).await?;
    let ask = Ask::read(&form)?;
    let upload = form.file(FILE)?;
    work.received();
    let name = upload.name.clone().unwrap_or_default();
    let recording = work.decode(upload).await.map_err(about_file)?;
    let Ask { speakers, embeddings, known, format } = ask;
    let told = work.run(move |job| {
        let known = match known::hear(&known, job.engine(), &job.watch()) {
            Ok(known) => known,
            Err(failure) => return Ok(Err(failure)),
        };
        let mut transcript = job.engine().diarize(recording.decoded, recording.seconds, &speakers, &job.watch())?;
        transcript.names = known.names_of(&transcript.voices);
        transcript.warnings.extend_from_slice(known.warnings());
        Ok(Ok(transcript))
    });
    let transcript = told.await??;
    let mut response = HttpResponse::Ok();
    work.finish(&transcript.timings).write(&mut response);
    Ok(match format {
        Format::Json => response.json(Diarized::new(&transcript, embeddings)),
        other => {
            let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
            response.content_type("text/plain; charset=utf-8").body(formats::render(other, &transcript, stem))
        }
    })
}

/// Who speaks when.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "task": "diarize", "duration": 11.0,
    "speakers": [{"speaker": "SPEAKER_00", "seconds": 6.5}, {"speaker": "SPEAKER_01", "seconds": 3.25}],
    "segments": [
        {"start": 0.3, "end": 6.8, "speaker": "SPEAKER_00", "confidence": 0.93},
        {"start": 7.0, "end": 10.25, "speaker": "SPEAKER_01", "confidence": 0.9}
    ],
    "warnings": [], "usage": {"type": "duration", "seconds": 11}
}))]
struct Diarized {
    /// Always `diarize`.
    task: &'static str,
    /// Seconds of the recording.
    duration: f64,
    /// Who speaks, in the order in which they are first heard.
    speakers: Vec<Voice>,
    /// When they speak, in order of time.
    segments: Vec<SpokenTurn>,
    /// What the reader should know of the result.
    warnings: Vec<String>,
    /// The length of the recording.
    usage: Usage,
}

/// A speaker.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct Voice {
    /// What the speaker is called in this recording.
    speaker: String,
    /// Seconds of the recording in which they speak.
    seconds: f64,
    /// The voice: a vector of length one, to be compared by its dot product; with `include[]=embeddings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<Vec<f32>>,
}

/// A time in which somebody speaks.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct SpokenTurn {
    /// Where it starts, in seconds.
    start: f64,
    /// Where it ends, in seconds.
    end: f64,
    /// Who speaks.
    speaker: String,
    /// How sure it is that it is this speaker and no other, 0 to 1.
    confidence: f64,
}

impl Diarized {
    fn new(transcript: &Transcript, embeddings: bool) -> Self {
        let turns = &transcript.turns;
        let speakers = turns.iter().map(|turn| usize::from(turn.speaker.0) + 1).max().unwrap_or(0);
        let voice = |number: usize| {
            let own = turns.iter().filter(|turn| usize::from(turn.speaker.0) == number);
            Voice {
                speaker: transcript.label(Speaker(number as u16)),
                seconds: seconds(own.map(|turn| turn.span.duration()).sum()),
                embedding: transcript.voices.get(number).filter(|_| embeddings).cloned(),
            }
        };
        let turn = |turn: &crate::transcript::Turn| SpokenTurn {
            start: seconds(turn.span.start),
            end: seconds(turn.span.end),
            speaker: transcript.label(turn.speaker),
            confidence: seconds(turn.confidence.into()),
        };
        Self {
            task: "diarize",
            duration: seconds(transcript.duration),
            speakers: (0..speakers).map(voice).collect(),
            segments: turns.iter().map(turn).collect(),
            warnings: transcript.warnings.clone(),
            usage: Usage::of(transcript),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        language::Language,
        span::Span,
        transcript::{Timings, Turn},
    };

    #[test]
    fn speakers_are_listed_with_their_seconds_and_voices_when_asked_for() {
        let turn =
            |start, end, speaker| Turn { span: Span::new(start, end), speaker: Speaker(speaker), confidence: 0.75 };
        let mut transcript = Transcript {
            language: Language::ENGLISH,
            language_probability: 1.0,
            duration: 10.2,
            segments: Vec::new(),
            turns: vec![turn(0.5, 1.5, 0), turn(2.0, 4.0004, 1), turn(4.5, 5.0, 0)],
            voices: vec![vec![1.0, 0.0], vec![0.0, 1.0]],
            names: Vec::new(),
            warnings: Vec::new(),
            timings: Timings::default(),
        };
        let mut expected = json!({
            "task": "diarize", "duration": 10.2,
            "speakers": [{"speaker": "SPEAKER_00", "seconds": 1.5}, {"speaker": "SPEAKER_01", "seconds": 2.0}],
            "segments": [
                {"start": 0.5, "end": 1.5, "speaker": "SPEAKER_00", "confidence": 0.75},
                {"start": 2.0, "end": 4.0, "speaker": "SPEAKER_01", "confidence": 0.75},
                {"start": 4.5, "end": 5.0, "speaker": "SPEAKER_00", "confidence": 0.75},
            ],
            "warnings": [], "usage": {"type": "duration", "seconds": 11},
        });
        assert_eq!(serde_json::to_value(Diarized::new(&transcript, false)).unwrap(), expected);
        expected["speakers"][0]["embedding"] = json!([1.0, 0.0]);
        expected["speakers"][1]["embedding"] = json!([0.0, 1.0]);
        assert_eq!(serde_json::to_value(Diarized::new(&transcript, true)).unwrap(), expected);
        transcript.names = vec![None, Some("agent".into())];
        let named = serde_json::to_value(Diarized::new(&transcript, false)).unwrap();
        assert_eq!(named["speakers"][1]["speaker"], "agent");
        assert_eq!(
            (&named["segments"][0]["speaker"], &named["segments"][1]["speaker"]),
            (&json!("SPEAKER_00"), &json!("agent"))
        );
    }
}
