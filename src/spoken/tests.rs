//! What is said for what is written, language by language.

mod dutch;
mod english;
mod french;
mod german;
mod hostile;
mod italian;
mod polish;
mod portuguese;
mod russian;
mod sentences;
mod spanish;
mod swedish;
mod turkish;

use super::{Spoken, spoken};
use crate::language::Language;

fn language(code: &str) -> Language {
    code.parse().expect("a code of the table")
}

fn read(text: &str, code: &str) -> Vec<Spoken> {
    let words: Vec<&str> = text.split(' ').collect();
    spoken(&words, language(code))
}

/// Compares written texts with what is said, the written words parted by bars.
fn check(code: &str, cases: &[(&str, &str)]) {
    let said = |text: &str| {
        let words: Vec<String> = read(text, code).into_iter().map(|spoken| spoken.words.join(" ")).collect();
        words.join(" | ")
    };
    let differ = |(written, expected): &&(&str, &str)| said(written) != *expected;
    let wrong: Vec<String> = cases
        .iter()
        .filter(differ)
        .map(|(written, expected)| format!("{written}: {} for {expected}", said(written)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
