//! What goes wrong in a request, as a status and one sentence, in the shape that the caller's API speaks.
//!
//! Handlers return `Result<HttpResponse, Failure>` and use `?` on [`Error`] and [`Failure`] alike. The shape is chosen
//! once, by the path, in the middleware around all routes ([`Shape::of`]); nobody else has to think of it. A handler
//! that wants to write a failure itself, inside a stream for instance, calls [`Failure::body`].

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde_json::{Value, json};

use crate::Error;

/// How errors look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{"detail": "..."}`, and for wrong fields `{"detail": [{"loc", "msg", "type"}]}` with 422 (FastAPI).
    Detail,
    /// `{"error": {"message", "type", "param", "code"}}`; wrong fields are 400 and the first of them is told (OpenAI).
    OpenAi,
}

impl Shape {
    /// The shape of the API to which a path belongs: OpenAI's under `/v1/`, FastAPI's elsewhere.
    pub fn of(path: &str) -> Self {
        if path == "/v1" || path.starts_with("/v1/") { Self::OpenAi } else { Self::Detail }
    }
}

/// One field of a form that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where it belongs: `body` or `query`.
    pub place: &'static str,
    /// The name of the field, without `[]`.
    pub field: String,
    /// What is wrong, in pydantic's words where it has some.
    pub message: String,
    /// Pydantic's name for it: `missing`, `int_parsing`, `bool_parsing`, `value_error`, ...
    pub kind: &'static str,
}

/// What a caller is told when a request fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The status; of wrong fields it follows from the shape.
    pub status: StatusCode,
    /// One sentence that says what is wrong and what to do.
    pub message: String,
    /// The field at fault, where there is one.
    pub param: Option<String>,
    /// A name for programs, such as `model_not_found`.
    pub code: Option<&'static str>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
    /// Every wrong field of a form; empty for all other failures.
    pub fields: Vec<FieldError>,
}

/// The status of a request whose client has left (nginx's): nobody reads it but the log.
pub const CLIENT_LEFT: u16 = 499;

impl Failure {
    /// A failure with a status and a sentence.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None, retry_after: None, fields: Vec::new() }
    }

    /// 400: the request must be changed.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 422 in one shape, 400 in the other: these fields must be changed.
    pub fn fields(fields: Vec<FieldError>) -> Self {
        let first = fields.first();
        let message = first.map(|wrong| format!("{}: {}", wrong.field, wrong.message)).unwrap_or_default();
        let param = first.map(|wrong| wrong.field.clone());
        Self { param, fields, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, message) }
    }

    /// 413: the limit is named in `message`.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// 500: what happened stands in the log, not here.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error; tell the operator the x-request-id of this response, under which the log has the details",
        )
    }

    /// The same failure about a field.
    pub fn about(self, param: &str) -> Self {
        Self { param: Some(param.to_owned()), ..self }
    }

    /// The same failure with a name for programs.
    pub fn named(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The status in a shape.
    pub fn status_in(&self, shape: Shape) -> StatusCode {
        match shape {
            Shape::OpenAi if !self.fields.is_empty() => StatusCode::BAD_REQUEST,
            _ => self.status,
        }
    }

    /// The body in a shape.
    pub fn body(&self, shape: Shape) -> Value {
        match shape {
            Shape::OpenAi => json!({ "error": {
                "message": self.message,
                "type": self.openai_type(),
                "param": self.param,
                "code": self.code,
            }}),
            Shape::Detail if self.fields.is_empty() => json!({ "detail": self.message }),
            Shape::Detail => {
                let entry = |wrong: &FieldError| json!({ "loc": [wrong.place, wrong.field], "msg": wrong.message, "type": wrong.kind });
                json!({ "detail": self.fields.iter().map(entry).collect::<Vec<_>>() })
            }
        }
    }

    /// The whole response in a shape.
    pub fn respond(&self, shape: Shape) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_in(shape));
        if let Some(wait) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, wait.as_secs_f64().ceil().max(1.0) as u64));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if shape == Shape::OpenAi && !self.may_be_retried() {
            response.insert_header(("x-should-retry", "false"));
        }
        response.json(self.body(shape))
    }

    /// Whether the same request may succeed later. OpenAI's clients repeat 408, 409, 429 and 5xx by themselves otherwise.
    pub fn may_be_retried(&self) -> bool {
        self.retry_after.is_some() || self.status == StatusCode::REQUEST_TIMEOUT
    }

    fn openai_type(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }
}

/// The table of errors and statuses.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Request(_) | Error::Audio(_) => Self::request(text),
            Error::TooLarge(_) => Self::too_large(text),
            Error::Weights(_) => Self::new(StatusCode::FAILED_DEPENDENCY, text),
            Error::Busy { retry_after, .. } => {
                Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, text) }
            }
            Error::Deadline(_) => Self::new(StatusCode::GATEWAY_TIMEOUT, text),
            Error::Cancelled => Self::new(client_left(), "the request was cancelled"),
            Error::Machine(_) => machine(&text),
            Error::OutOfMemory(_) => {
                tracing::error!("{text}");
                // Says which model would do.
                unavailable(&text).named("out_of_memory")
            }
            // The log has the reason once already.
            Error::DeviceLost(_) => {
                unavailable("the server's GPU failed and the service restarts; send the request again")
                    .named("device_lost")
            }
            Error::Tensor(_) | Error::Bug(_) => {
                tracing::error!("{text}");
                Self::internal()
            }
        }
    }
}

fn client_left() -> StatusCode {
    StatusCode::from_u16(CLIENT_LEFT).unwrap_or(StatusCode::BAD_REQUEST)
}

/// The operator must act; a caller need not know the paths of the machine.
fn machine(text: &str) -> Failure {
    tracing::error!("{text}");
    if text.contains("disk is full") {
        return Failure::new(StatusCode::INSUFFICIENT_STORAGE, "the server's disk is full; tell its operator");
    }
    unavailable("the server lacks something that it needs (a permission, a device, memory); its log says what")
}

/// 503: it may be different in half a minute.
fn unavailable(message: &str) -> Failure {
    Failure { retry_after: Some(Duration::from_secs(30)), ..Failure::new(StatusCode::SERVICE_UNAVAILABLE, message) }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The middleware around all routes writes the response anew in the shape of the path.
impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.respond(Shape::Detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_fields_are_all_told_in_one_shape_and_the_first_in_the_other() {
        let wrong = |field: &str, message: &str, kind| FieldError {
            place: "body",
            field: field.into(),
            message: message.into(),
            kind,
        };
        let failure =
            Failure::fields(vec![wrong("file", "Field required", "missing"), wrong("n", "too low", "value_error")]);
        assert_eq!(failure.status_in(Shape::Detail), 422);
        let detail = json!({"detail": [
            {"loc": ["body", "file"], "msg": "Field required", "type": "missing"},
            {"loc": ["body", "n"], "msg": "too low", "type": "value_error"},
        ]});
        assert_eq!(failure.body(Shape::Detail), detail);
        assert_eq!(failure.status_in(Shape::OpenAi), 400);
        let error =
            json!({"message": "file: Field required", "type": "invalid_request_error", "param": "file", "code": null});
        assert_eq!(failure.body(Shape::OpenAi), json!({ "error": error }));
    }

    #[test]
    fn errors_have_the_status_of_the_table_and_say_when_to_come_again() {
        let busy = Error::Busy { message: "full".into(), retry_after: Duration::from_millis(1500) };
        let response = Failure::from(busy).respond(Shape::OpenAi);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers().get("retry-after").map(|v| v.as_bytes()), Some(&b"2"[..]));
        assert!(!response.headers().contains_key("x-should-retry"));
        for (error, status) in [
            (Error::Request("a".into()), 400),
            (Error::Audio("a".into()), 400),
            (Error::TooLarge("a".into()), 413),
            (Error::Weights("a".into()), 424),
            (Error::Deadline("a".into()), 504),
            (Error::Cancelled, 499),
            (Error::Bug("secret detail".into()), 500),
        ] {
            let response = Failure::from(error).respond(Shape::OpenAi);
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().get("x-should-retry").map(|v| v.as_bytes()), Some(&b"false"[..]), "{status}");
        }
        let full = Failure::from(Error::OutOfMemory("12 GB are needed; small fits".into()));
        assert_eq!((full.status.as_u16(), full.code), (503, Some("out_of_memory")));
        let lost = Failure::from(Error::DeviceLost("CUDA_ERROR_ECC_UNCORRECTABLE".into()));
        assert_eq!((lost.status.as_u16(), lost.code), (503, Some("device_lost")));
        assert!(full.message.contains("small fits") && !lost.message.contains("ECC"));
        assert!(full.retry_after.is_some() && lost.retry_after.is_some());
        assert!(!Failure::from(Error::Bug("secret detail".into())).message.contains("secret"));
        assert!(!Failure::from(Error::Machine("cannot write `/home/x`".into())).message.contains("/home"));
    }

    #[test]
    fn the_path_decides_the_shape() {
        assert_eq!(Shape::of("/v1/audio/transcriptions"), Shape::OpenAi);
        assert_eq!(Shape::of("/v10"), Shape::Detail);
        assert_eq!(Shape::of("/transcribe/"), Shape::Detail);
    }
}
