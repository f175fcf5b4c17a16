//! Text of any script in the Latin letters a to z, for an aligner that hears every language in them: the MMS aligner (Pratap
//! et al., 2023) was trained on text that uroman (Hermjakob, May and Knight, 2018) had romanised.

use uroman::{Uroman, rom_format};

use crate::language::Language;

/// The languages that uroman reads in a way of their own, by their codes here and there (ISO 639-3).
const OWN_RULES: [(&str, &str); 17] = [
    ("ar", "ara"),
    ("be", "bel"),
    ("bg", "bul"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("fa", "fas"),
    ("kk", "kaz"),
    ("lt", "lit"),
    ("lv", "lav"),
    ("mk", "mkd"),
    ("ps", "pus"),
    ("ru", "rus"),
    ("sr", "srp"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("yi", "yid"),
];

/// A word in the letters a to z and the apostrophe; empty where nothing of it is said.
pub fn romanise(word: &str, language: Language) -> String {
    let own = OWN_RULES.iter().find(|(code, _)| *code == language.code()).map(|(_, rules)| *rules);
    let text = Uroman::new().romanize_string::<rom_format::Str>(word, own).to_string();
    let letters = text.chars().flat_map(char::to_lowercase).map(|letter| if letter == '’' { '\'' } else { letter });
    letters.filter(|letter| letter.is_ascii_lowercase() || *letter == '\'').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn romanised(word: &str, language: &str) -> String {
        romanise(word, language.parse().unwrap())
    }

    #[test]
    fn every_script_becomes_latin() {
        let words = [
            ("Привет", "ru", "privet"),
            ("Щит", "uk", "shchyt"),
            ("你好", "zh", "nihao"),
            ("こんにちは", "ja", "konnichiha"),
            ("नमस्ते", "hi", "namaste"),
            ("안녕", "ko", "annyeong"),
            ("Θεός", "el", "theos"),
            ("Größe", "de", "groesse"),
            ("l’été", "fr", "l'ete"),
            ("don't", "en", "don't"),
        ];
        for (word, language, expected) in words {
            assert_eq!(romanised(word, language), expected, "{word}");
        }
    }

    #[test]
    fn what_is_not_said_leaves_nothing() {
        for word in ["", "…", "—", "🙂", "\u{200b}", "?!"] {
            assert_eq!(romanised(word, "en"), "", "{word:?}");
        }
    }

    #[test]
    fn no_text_breaks_it() {
        let letters: Vec<char> = (0..0x11_0000u32).step_by(97).filter_map(char::from_u32).collect();
        for word in letters.chunks(7) {
            let word: String = word.iter().collect();
            let text = romanised(&word, "en");
            assert!(text.chars().all(|letter| letter.is_ascii_lowercase() || letter == '\''), "{word:?}: {text:?}");
        }
    }
}
