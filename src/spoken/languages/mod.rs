//! The languages whose numbers are spelled out.

mod english;

use super::speech::Speech;
use crate::language::Language;

/// The number words and tables of the language, where there are any.
pub(super) fn speech(language: Language) -> Option<&'static Speech> {
    match language.code() {
        "en" => Some(&english::SPEECH),
        _ => None,
    }
}
