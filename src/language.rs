//! The hundred languages of Whisper, in the order of its language tokens.

use std::{fmt, str::FromStr};

use crate::error::{Error, Result};

/// One of Whisper's languages. The number is the offset of its token from `<|en|>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(u8);

impl Language {
    /// English, the language of `.en` checkpoints.
    pub const ENGLISH: Language = Language(0);

    /// The language whose token lies `index` after `<|en|>`.
    pub fn from_index(index: usize) -> Option<Self> {
        (index < TABLE.len()).then_some(Self(index as u8))
    }

    /// The offset of its token from `<|en|>`.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The code, for instance `en`.
    pub fn code(self) -> &'static str {
        TABLE[self.index()].0
    }

    /// The English name in lower case, for instance `english`.
    pub fn name(self) -> &'static str {
        TABLE[self.index()].1
    }

    /// Whether its words are written with spaces between them. Whisper splits the others by character.
    pub fn writes_spaces(self) -> bool {
        !matches!(self.code(), "zh" | "ja" | "th" | "lo" | "my" | "yue" | "km")
    }

    /// All languages in token order.
    pub fn all() -> impl Iterator<Item = Language> {
        (0..TABLE.len()).map(|index| Language(index as u8))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Language {
    type Err = Error;

    /// Reads a code or an English name, in any case; a region (`en-GB`) is ignored.
    fn from_str(text: &str) -> Result<Self> {
        let lower = text.trim().to_lowercase();
        let base = lower.split(['-', '_']).next().unwrap_or_default();
        let wanted = ALIASES.iter().find(|(alias, _)| *alias == lower || *alias == base).map_or(base, |(_, code)| code);
        TABLE
            .iter()
            .position(|(code, name)| *code == wanted || *name == lower)
            .map(|index| Self(index as u8))
            .ok_or_else(|| {
                Error::Request(format!(
                    "unknown language '{text}': give a code such as en, de or zh, an English name such as german, or auto to detect it"
                ))
            })
    }
}

/// Other names in use (openai/whisper, tokenizer.py, and ISO 639 codes that Whisper spells in its own way).
const ALIASES: [(&str, &str); 15] = [
    ("burmese", "my"),
    ("valencian", "ca"),
    ("flemish", "nl"),
    ("haitian", "ht"),
    ("letzeburgesch", "lb"),
    ("pushto", "ps"),
    ("panjabi", "pa"),
    ("moldavian", "ro"),
    ("moldovan", "ro"),
    ("sinhalese", "si"),
    ("castilian", "es"),
    ("mandarin", "zh"),
    ("iw", "he"),
    ("jv", "jw"),
    ("nb", "no"),
];

/// Code and name, in token order (openai/whisper, tokenizer.py).
#[rustfmt::skip]
const TABLE: [(&str, &str); 100] = [
    ("en", "english"), ("zh", "chinese"), ("de", "german"), ("es", "spanish"), ("ru", "russian"), ("ko", "korean"),
    ("fr", "french"), ("ja", "japanese"), ("pt", "portuguese"), ("tr", "turkish"), ("pl", "polish"),
    ("ca", "catalan"), ("nl", "dutch"), ("ar", "arabic"), ("sv", "swedish"), ("it", "italian"), ("id", "indonesian"),
    ("hi", "hindi"), ("fi", "finnish"), ("vi", "vietnamese"), ("he", "hebrew"), ("uk", "ukrainian"), ("el", "greek"),
    ("ms", "malay"), ("cs", "czech"), ("ro", "romanian"), ("da", "danish"), ("hu", "hungarian"), ("ta", "tamil"),
    ("no", "norwegian"), ("th", "thai"), ("ur", "urdu"), ("hr", "croatian"), ("bg", "bulgarian"),
    ("lt", "lithuanian"), ("la", "latin"), ("mi", "maori"), ("ml", "malayalam"), ("cy", "welsh"), ("sk", "slovak"),
    ("te", "telugu"), ("fa", "persian"), ("lv", "latvian"), ("bn", "bengali"), ("sr", "serbian"),
    ("az", "azerbaijani"), ("sl", "slovenian"), ("kn", "kannada"), ("et", "estonian"), ("mk", "macedonian"),
    ("br", "breton"), ("eu", "basque"), ("is", "icelandic"), ("hy", "armenian"), ("ne", "nepali"),
    ("mn", "mongolian"), ("bs", "bosnian"), ("kk", "kazakh"), ("sq", "albanian"), ("sw", "swahili"),
    ("gl", "galician"), ("mr", "marathi"), ("pa", "punjabi"), ("si", "sinhala"), ("km", "khmer"), ("sn", "shona"),
    ("yo", "yoruba"), ("so", "somali"), ("af", "afrikaans"), ("oc", "occitan"), ("ka", "georgian"),
    ("be", "belarusian"), ("tg", "tajik"), ("sd", "sindhi"), ("gu", "gujarati"), ("am", "amharic"),
    ("yi", "yiddish"), ("lo", "lao"), ("uz", "uzbek"), ("fo", "faroese"), ("ht", "haitian creole"), ("ps", "pashto"),
    ("tk", "turkmen"), ("nn", "nynorsk"), ("mt", "maltese"), ("sa", "sanskrit"), ("lb", "luxembourgish"),
    ("my", "myanmar"), ("bo", "tibetan"), ("tl", "tagalog"), ("mg", "malagasy"), ("as", "assamese"), ("tt", "tatar"),
    ("haw", "hawaiian"), ("ln", "lingala"), ("ha", "hausa"), ("ba", "bashkir"), ("jw", "javanese"),
    ("su", "sundanese"), ("yue", "cantonese"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_names_and_regions_are_read() {
        for (text, code) in [
            ("EN", "en"),
            ("German", "de"),
            ("pt-BR", "pt"),
            ("yue", "yue"),
            ("mandarin", "zh"),
            ("haitian creole", "ht"),
        ] {
            assert_eq!(text.parse::<Language>().map(Language::code).ok(), Some(code), "{text}");
        }
        assert!("klingon".parse::<Language>().is_err());
        assert!(Language::all().all(|l| l.code().parse::<Language>().ok() == Some(l)));
    }
}
