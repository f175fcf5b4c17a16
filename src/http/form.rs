//! The form of a request, from any client: text fields in memory, files in temporary files, everything bounded.
//!
//! ```ignore
//! let work = Work::enter(&app)?;                                        // before anything of the body is read
//! let form = Form::receive(&app, &request, body, &["file"]).await?;     // which fields hold files
//! let mut fields = form.fields();
//! let model = fields.text("model").unwrap_or_default();                 // Option<String>; "" and absent are None
//! let align = fields.boolean("align_audio").unwrap_or(true);
//! let batch = fields.integer("batch_size", 1..=64).unwrap_or(16);
//! let temperature = fields.number("temperature", 0.0..=1.0);
//! let task = fields.choice("task", &[("transcribe", Task::Transcribe), ("translate", Task::Translate)]);
//! let language = fields.parse("language", |text| text.parse::<Language>());
//! let words = fields.texts("timestamp_granularities");                  // `name` and `name[]`, each any number of times
//! fields.require("file");                                               // a file or a text of this name
//! fields.refuse("min_speakers", "must not exceed max_speakers", "value_error");
//! fields.finish()?;                                                     // every error of the form at once
//! let upload = form.file("file")?;                                      // exactly one, not empty
//! ```
//!
//! What is refused here: no form at all (415), a form that is broken or cut off (400), more than the settings allow (413,
//! before the body is read where Content-Length tells), a client that stops sending (408). Unknown fields are kept and
//! ignored; files under names that were not asked for are read and thrown away. A field may come URL-encoded
//! (`application/x-www-form-urlencoded`) as well, which has no files. A `url` in the place of the first file is read
//! where the operator allows its host ([`super::remote`]).

use std::cell::RefCell;

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::{
    HttpRequest,
    error::PayloadError,
    http::{StatusCode, header},
    web::{Bytes, Payload},
};
use futures_util::StreamExt;

use super::{
    app::App,
    body::{Body, Ending},
    failure::Failure,
    fields::Fields,
    upload::{Incoming, Upload},
};

/// Parts of one form.
const MOST_PARTS: usize = 256;
/// Bytes of one text field.
const LONGEST_TEXT: usize = 4 << 20;
/// Bytes of all text fields of a form.
const MOST_TEXT: usize = 16 << 20;

/// The field that names a recording to be read from elsewhere.
const URL: &str = "url";

/// What a request carries.
#[derive(Debug, Default)]
pub struct Form {
    texts: Vec<(String, String)>,
    files: RefCell<Vec<(String, Upload)>>,
    /// Names of fields that hold files where text is wanted.
    misplaced: Vec<String>,
    in_query: bool,
}

impl Form {
    /// Reads the body of `request` in full. The fields named `files` hold files.
    ///
    /// # Errors
    /// A [`Failure`] with 400, 408, 413, 415, or 507 when the disk is full.
    pub async fn receive(app: &App, request: &HttpRequest, body: Payload, files: &[&str]) -> Result<Self, Failure> {
        let limit = app.settings().max_upload_bytes;
        refuse_by_headers(request, limit)?;
        let content_type = content_type(request);
        let (body, ending) = Body::new(body, limit);
        if content_type.starts_with("application/x-www-form-urlencoded") {
            let received = Self::from_pairs(body).await.map_err(|failure| ending.explain(limit).unwrap_or(failure));
            return received?.with_remote(app, files).await;
        }
        if !content_type.starts_with("multipart/form-data") {
            return Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the request holds no form; send the recording and the options as multipart/form-data (curl -F)",
            ));
        }
        let multipart = Multipart::new(request.headers(), body);
        let received = Self::from_parts(app, multipart, files).await;
        received.map_err(|failure| ending.explain(limit).unwrap_or(failure))?.with_remote(app, files).await
    }

    /// The query of a request as fields; its errors say so.
    pub fn from_query(request: &HttpRequest) -> Self {
        let texts = url::form_urlencoded::parse(request.query_string().as_bytes()).take(MOST_PARTS);
        let texts = texts.map(|(name, text)| (name.into_owned(), text.into_owned())).collect();
        Self { texts, in_query: true, ..Self::default() }
    }

    /// Reads the recording that the form names by `url` instead of holding it, as if it had come under the first of
    /// `files`.
    async fn with_remote(mut self, app: &App, files: &[&str]) -> Result<Self, Failure> {
        let (Some(&name), Some(url)) = (files.first(), self.text(URL)) else { return Ok(self) };
        if self.has_file(name) {
            let mut fields = self.fields();
            fields.refuse(URL, format!("Value error, both {name} and url were sent; send one of them"), "value_error");
            return Err(fields.failure());
        }
        let upload = app.remote().receive(app, url.to_owned()).await?;
        self.files.get_mut().push((name.to_owned(), upload));
        Ok(self)
    }

    async fn from_parts(app: &App, mut parts: Multipart, files: &[&str]) -> Result<Self, Failure> {
        let mut form = Self::default();
        let (mut count, mut text_bytes) = (0, 0);
        while let Some(part) = parts.next().await {
            let mut part = part.map_err(broken)?;
            count += 1;
            if count > MOST_PARTS {
                return Err(Failure::too_large(format!("the form has more than {MOST_PARTS} fields; send fewer")));
            }
            let name = part.name().unwrap_or_default().to_owned();
            let file_name = part.content_disposition().and_then(|place| place.get_filename().map(str::to_owned));
            match file_name {
                Some(file_name) if files.contains(&name.as_str()) => {
                    form.take_file(app, name, &file_name, &mut part).await?;
                }
                Some(_) => {
                    while let Some(chunk) = part.next().await {
                        chunk.map_err(broken)?;
                    }
                    form.misplaced.push(name);
                }
                None => {
                    let text = text_of(&name, &mut part).await?;
                    text_bytes += text.len();
                    if text_bytes > MOST_TEXT {
                        return Err(Failure::too_large(format!(
                            "the text fields of the form hold more than {} MiB; send less",
                            MOST_TEXT >> 20
                        )));
                    }
                    form.texts.push((name, text));
                }
            }
        }
        Ok(form)
    }

    async fn take_file(&mut self, app: &App, name: String, file_name: &str, part: &mut Field) -> Result<(), Failure> {
        let mut incoming = Incoming::create(app.settings().temp_folder.clone()).await?;
        while let Some(chunk) = part.next().await {
            incoming.push(&chunk.map_err(broken)?).await?;
        }
        let upload = incoming.finish(Some(file_name)).await?;
        // A browser sends a file without a name and content where none was chosen.
        if upload.bytes > 0 || upload.name.is_some() {
            self.files.get_mut().push((name, upload));
        }
        Ok(())
    }

    async fn from_pairs(mut body: Body<Payload>) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| broken(MultipartError::Payload(error)))?;
            if bytes.len() + chunk.len() > LONGEST_TEXT {
                return Err(Failure::too_large(format!("the form is larger than {} MiB", LONGEST_TEXT >> 20)));
            }
            bytes.extend_from_slice(&chunk);
        }
        let texts = url::form_urlencoded::parse(&bytes).take(MOST_PARTS + 1);
        let texts: Vec<_> = texts.map(|(name, text)| (name.into_owned(), text.into_owned())).collect();
        if texts.len() > MOST_PARTS {
            return Err(Failure::too_large(format!("the form has more than {MOST_PARTS} fields; send fewer")));
        }
        Ok(Self { texts, ..Self::default() })
    }

    /// The text of a field; of several the last. `None` where there is none or it is empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        let texts = self.texts.iter().filter(|(field, _)| field == name);
        texts.map(|(_, text)| text.as_str()).next_back().filter(|text| !text.is_empty())
    }

    /// All texts under `name` and `name[]`, in order, without empty ones.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let same = |field: &str| field.strip_suffix("[]").unwrap_or(field) == name;
        let texts = self.texts.iter().filter(|(field, text)| same(field) && !text.is_empty());
        texts.map(|(_, text)| text.as_str()).collect()
    }

    /// Every text field with its name, as sent; for fields such as `chunking_strategy[type]`.
    pub fn all_texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Whether a file came under `name`.
    pub fn has_file(&self, name: &str) -> bool {
        self.files.borrow().iter().any(|(field, _)| field == name)
    }

    /// Takes the one file under `name`.
    ///
    /// # Errors
    /// A field error when there is none or more than one; 400 when it is empty.
    pub fn file(&self, name: &str) -> Result<Upload, Failure> {
        let mut files = self.files.borrow_mut();
        let places: Vec<usize> =
            files.iter().enumerate().filter(|(_, (field, _))| field == name).map(|(place, _)| place).collect();
        let mut fields = self.fields();
        match places.as_slice() {
            [place] if files[*place].1.bytes == 0 => {
                return Err(Failure::request("the file is empty; send a recording").about(name));
            }
            [place] => return Ok(files.remove(*place).1),
            [] if self.text(name).is_some() => {
                fields.refuse(
                    name,
                    "Value error, Expected UploadFile: send it as a file (curl -F 'name=@file')",
                    "value_error",
                );
            }
            [] => fields.refuse(name, "Field required", "missing"),
            several => {
                let message =
                    format!("{} files were sent, but a request takes one; send one request per file", several.len());
                fields.refuse(name, message, "too_long");
            }
        }
        Err(fields.failure())
    }

    /// Reads fields of a type, gathering what is wrong with them.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(self)
    }

    /// Where the fields stand in the request, as errors call it.
    pub(super) fn place(&self) -> &'static str {
        if self.in_query { "query" } else { "body" }
    }

    /// Whether a file was sent under `name`, which wants text.
    pub(super) fn is_misplaced(&self, name: &str) -> bool {
        self.misplaced.iter().any(|field| field.strip_suffix("[]").unwrap_or(field) == name)
    }
}

/// The content type in lower case, as far as its parameters.
fn content_type(request: &HttpRequest) -> String {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim().to_ascii_lowercase()
}

/// Refuses what the headers tell already, so that the client need not send it.
fn refuse_by_headers(request: &HttpRequest, limit: u64) -> Result<(), Failure> {
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body has a content encoding; send it as it is, recordings are compressed already",
        ));
    }
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > limit) { Err(Ending::over(limit)) } else { Ok(()) }
}

async fn text_of(name: &str, part: &mut Field) -> Result<String, Failure> {
    let bytes: Bytes = match part.bytes(LONGEST_TEXT).await {
        Ok(bytes) => bytes.map_err(broken)?,
        Err(_) => {
            let message = format!("the field is longer than {} MiB; send less, or a file", LONGEST_TEXT >> 20);
            return Err(Failure::too_large(message).about(name));
        }
    };
    String::from_utf8(bytes.into())
        .map_err(|_| Failure::request("the field is not UTF-8 text; encode it so").about(name))
}

/// What a broken form is called; causes that [`Body`] has noted are told by it.
fn broken(error: MultipartError) -> Failure {
    Failure::request(match error {
        MultipartError::BoundaryMissing => {
            "the multipart form is broken: its Content-Type has no boundary, or the body does not keep to it; let the HTTP client write the header"
        }
        MultipartError::ContentDispositionMissing | MultipartError::ContentDispositionNameMissing => {
            "the multipart form is broken: a part has no name; give each part a Content-Disposition with a name"
        }
        MultipartError::Incomplete | MultipartError::Payload(PayloadError::Incomplete(_)) => {
            "the body ends in the middle of the form; send it whole"
        }
        _ => "the multipart form is broken and cannot be read; let an HTTP client library write it",
    })
}
