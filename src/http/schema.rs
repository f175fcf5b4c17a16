//! What the OpenAPI document says of values that several APIs share. These types describe; nothing is made of them.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, Modify, OpenApi as _, ToSchema,
    openapi::{
        Components, Content, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema,
        header::HeaderBuilder,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

/// A failure in FastAPI's shape.
#[derive(ToSchema)]
#[schema(example = json!({"detail": "the file is empty; send a recording"}))]
#[expect(dead_code, reason = "describes")]
pub struct Detail {
    /// One sentence, or with 422 every field that is wrong.
    detail: DetailContent,
}

#[derive(serde::Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes")]
enum DetailContent {
    Sentence(String),
    Fields(Vec<FieldProblem>),
}

/// A field that is missing or wrong.
#[derive(serde::Serialize, ToSchema)]
#[schema(example = json!({"loc": ["body", "audio_file"], "msg": "Field required", "type": "missing"}))]
pub struct FieldProblem {
    /// `body` or `query`, and the name of the field.
    loc: Vec<String>,
    /// What is wrong.
    msg: String,
    /// Pydantic's name for it.
    r#type: String,
}

/// A failure in OpenAI's shape.
#[derive(ToSchema)]
#[schema(example = json!({"error": {
    "message": "file: Field required", "type": "invalid_request_error", "param": "file", "code": null
}}))]
#[expect(dead_code, reason = "describes")]
pub struct OpenAiError {
    error: OpenAiProblem,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes")]
struct OpenAiProblem {
    /// One sentence that says what is wrong and what to do.
    message: String,
    r#type: String,
    /// The field at fault.
    #[schema(required)]
    param: Option<String>,
    #[schema(required)]
    code: Option<String>,
}

/// A stretch of text, in WhisperX's schema.
#[derive(ToSchema)]
#[schema(example = json!({"start": 0.5, "end": 1.4, "text": "Hello there.", "speaker": "SPEAKER_00", "words": [
    {"word": "Hello", "start": 0.5, "end": 0.9, "score": 0.9, "speaker": "SPEAKER_00"},
    {"word": "there.", "start": 0.9, "end": 1.4, "score": 0.8, "speaker": "SPEAKER_00"},
]}))]
#[expect(dead_code, reason = "describes")]
pub struct Segment {
    /// Seconds from the start of the recording.
    start: f64,
    /// Seconds.
    end: f64,
    text: String,
    /// Empty without word times.
    words: Vec<Word>,
    /// With `return_char_alignments`.
    #[schema(nullable = false)]
    chars: Option<Vec<Character>>,
    /// With diarization.
    #[schema(nullable = false)]
    speaker: Option<String>,
    /// The language that it was written in, as a code.
    language: String,
    /// Mean log-probability of what it was written from.
    #[schema(required)]
    avg_logprob: Option<f64>,
    #[schema(required)]
    no_speech_prob: Option<f64>,
    #[schema(required)]
    compression_ratio: Option<f64>,
    temperature: f64,
}

/// A word with its punctuation. One that could not be placed has no times.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes")]
pub struct Word {
    word: String,
    #[schema(nullable = false)]
    start: Option<f64>,
    #[schema(nullable = false)]
    end: Option<f64>,
    /// Mean probability of its pieces, 0 to 1.
    #[schema(required)]
    score: Option<f64>,
    /// How it got its time: `aligned` and `wildcard` by an aligner, `attention` by Whisper, `interpolated` between its
    /// neighbours.
    #[schema(nullable = false, pattern = "^(aligned|wildcard|attention|interpolated)$")]
    source: Option<String>,
    #[schema(nullable = false)]
    speaker: Option<String>,
}

/// A character of a word; punctuation has no times.
#[derive(ToSchema)]
#[schema(example = json!({"char": "H", "start": 0.5, "end": 0.56, "score": 0.97}))]
#[expect(dead_code, reason = "describes")]
pub struct Character {
    char: String,
    #[schema(nullable = false)]
    start: Option<f64>,
    #[schema(nullable = false)]
    end: Option<f64>,
    #[schema(nullable = false)]
    score: Option<f64>,
}

/// Who speaks when.
#[derive(ToSchema)]
#[schema(example = json!({"start": 0.5, "end": 4.2, "speaker": "SPEAKER_00", "confidence": 0.93}))]
#[expect(dead_code, reason = "describes")]
pub struct Turn {
    start: f64,
    end: f64,
    speaker: String,
    /// How sure it is that it is this speaker and no other, 0 to 1.
    confidence: f64,
}

/// Every failure of a route that speaks FastAPI's shape, for `responses(...)`.
pub struct DetailFailures;

/// Every failure of a route that speaks OpenAI's shape, for `responses(...)`.
pub struct OpenAiFailures;

impl IntoResponses for DetailFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        FAILURES.iter().map(|failure| told(failure, "Detail")).collect()
    }
}

impl IntoResponses for OpenAiFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let told_so = FAILURES.iter().filter(|(status, _)| *status != "422");
        told_so.map(|failure| told(failure, "OpenAiError")).collect()
    }
}

const FAILURES: [(&str, &str); 15] = [
    ("400", "The request or the recording cannot be used"),
    ("401", "A key is missing or wrong"),
    ("403", "The recording may not be read from this url"),
    ("404", "There is no such model"),
    ("408", "The body arrives too slowly"),
    ("413", "The upload is larger, or the recording longer, than the service takes"),
    ("415", "The body is no form"),
    ("422", "Fields are missing or wrong"),
    ("424", "The model cannot be fetched or read"),
    ("429", "The service is full; Retry-After says when to come again"),
    ("500", "A bug"),
    ("501", "Switched off in this service"),
    ("503", "The service shuts down, or lacks something"),
    ("504", "The time allowed for a request is over"),
    ("507", "The disk is full"),
];

fn told((status, description): &(&str, &str), schema: &str) -> (String, RefOr<Response>) {
    let content = Content::new(Some(Ref::from_schema_name(schema)));
    let mut response = ResponseBuilder::new().description(*description).content("application/json", content);
    if matches!(*status, "429" | "503") {
        let header = HeaderBuilder::new().description(Some("Seconds to wait")).build();
        response = response.header("retry-after", header);
    }
    ((*status).to_owned(), response.build().into())
}

/// The schemas that others refer to by name.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(Detail, DetailContent, FieldProblem, OpenAiError, OpenAiProblem, Segment, Word, Turn)))]
struct Shared;

/// Adds the shared schemas, and that a key may be wanted.
pub(super) struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        document.merge(Shared::openapi());
        let components = document.components.get_or_insert_with(Components::default);
        components.add_security_scheme("key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        // Either is enough, since a service may have no keys.
        let none: [&str; 0] = [];
        document.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new("key", none)]);
    }
}
/// Gives every optional field of a form an empty example where it has no default: the page at /docs fills its boxes with
/// examples and sends them, and nobody means the one that it makes up otherwise.
pub fn blank_optional_fields(mut document: OpenApi) -> OpenApi {
    let schemas = document.components.iter_mut().flat_map(|components| &mut components.schemas);
    for (_, schema) in schemas.filter(|(name, _)| name.ends_with("Form")) {
        let RefOr::T(Schema::Object(form)) = schema else { continue };
        for (name, field) in &mut form.properties {
            match field {
                RefOr::T(Schema::Object(field)) if !form.required.contains(name) && field.default.is_none() => {
                    field.example = Some("".into());
                }
                RefOr::T(Schema::Array(field)) if !form.required.contains(name) => {
                    field.example = Some(serde_json::json!([]));
                }
                _ => {}
            }
        }
    }
    document
}
