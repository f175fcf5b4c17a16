//! The languages whose numbers are spelled out.

mod dutch;
mod english;
mod french;
mod german;
mod italian;
mod polish;
mod portuguese;
mod russian;
mod spanish;
mod swedish;
mod turkish;

use super::speech::Speech;
use crate::language::Language;

/// The number words and tables of the language, where there are any.
pub(super) fn speech(language: Language) -> Option<&'static Speech> {
    match language.code() {
        "en" => Some(&english::SPEECH),
        "de" => Some(&german::SPEECH),
        "es" => Some(&spanish::SPEECH),
        "fr" => Some(&french::SPEECH),
        "it" => Some(&italian::SPEECH),
        "nl" => Some(&dutch::SPEECH),
        "pl" => Some(&polish::SPEECH),
        "ru" => Some(&russian::SPEECH),
        "pt" => Some(&portuguese::SPEECH),
        "sv" => Some(&swedish::SPEECH),
        "tr" => Some(&turkish::SPEECH),
        _ => None,
    }
}
