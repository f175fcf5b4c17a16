//! Where sentences and clauses end, as far as a written word shows it.

/// Abbreviations after which a sentence goes on.
const ABBREVIATIONS: [&str; 14] =
    ["mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "no", "mt", "gen", "col", "capt"];

/// Whether a sentence ends with this word.
pub(super) fn ends_sentence(text: &str) -> bool {
    let bare = without_closing(text);
    if !bare.ends_with(['.', '?', '!', '…', '。', '？', '！', '؟', '।']) {
        return false;
    }
    let stem = bare.trim_end_matches('.').trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let initial = bare.ends_with('.') && (stem.chars().count() == 1 && stem != "i" || stem.contains('.'));
    !(initial || bare.ends_with('.') && ABBREVIATIONS.contains(&stem.as_str()))
}

/// Whether a clause, not a sentence, ends with this word.
pub(super) fn ends_clause(text: &str) -> bool {
    without_closing(text).ends_with([',', ';', ':', '–', '—', '、', '，', '；', '：', '،'])
}

fn without_closing(text: &str) -> &str {
    text.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»', '」', '』'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_with_their_marks_and_not_with_abbreviations() {
        for word in ["left.", "left?\"", "Ja!»", "散歩。", "I.", "so…"] {
            assert!(ends_sentence(word), "{word}");
        }
        for word in ["Mr.", "J.", "U.S.", "left", "left,", "3.5", "-"] {
            assert!(!ends_sentence(word), "{word}");
        }
        assert!(ends_clause("left,\"") && ends_clause("、") && !ends_clause("left.") && !ends_clause(""));
    }
}
