//! `response_format`, and what it has a place for.

/// How the response looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFormat {
    /// The text in an object.
    Json,
    /// The text.
    Text,
    /// SubRip subtitles.
    Srt,
    /// Text, segments, words.
    VerboseJson,
    /// WebVTT subtitles.
    Vtt,
    /// Segments with speakers.
    DiarizedJson,
}

impl ResponseFormat {
    /// Every name; the last is no translation's.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("json", Self::Json),
        ("text", Self::Text),
        ("srt", Self::Srt),
        ("verbose_json", Self::VerboseJson),
        ("vtt", Self::Vtt),
        ("diarized_json", Self::DiarizedJson),
    ];

    /// Whether speakers have a place in it when the request asks for them.
    pub fn shows_speakers(self) -> bool {
        self != Self::Json
    }
}
