//! Times of day and dates written in digits.

use super::{number, speech::Speech};

/// A time of day such as 12:30, 9:05:30, 12h30 or 5:30pm, in words.
pub(super) fn time(core: &str, speech: &Speech) -> Option<String> {
    let (hour, rest) = number::digits(core)?;
    let (mark, rest) = (rest.chars().next()?, rest.strip_prefix([':', 'h', '.'])?);
    let (minute, rest) = number::digits(rest)?;
    let (second, rest) = match rest.strip_prefix(':').and_then(number::digits) {
        Some((second, rest)) => (Some(second), rest),
        None => (None, rest),
    };
    let (hour, minute_value) = (small(hour, 24)?, small(minute, 59)?);
    if minute.len() != 2 {
        return None;
    }
    let mut said = (speech.clock)(hour, minute_value);
    if let Some(second) = second {
        said = format!("{said} {}", speech.cardinal(small(second, 59)?));
    }
    let half = rest.trim_start_matches(' ').trim_end_matches('.').replace('.', "").to_lowercase();
    match half.as_str() {
        // A point is a time's only before "pm" and the like: 5.30pm.
        "" => (mark != '.').then_some(said),
        "h" | "am" | "pm" => {
            speech.unit(&half).map(|noun| format!("{} {}", said.trim_end_matches(" o'clock"), noun.forms[2]))
        }
        _ => None,
    }
}

/// A date such as 21/03/2024, 2024-03-21 or 21.3.24, in words.
pub(super) fn date(core: &str, speech: &Speech) -> Option<String> {
    let mark = core.chars().find(|c| !c.is_ascii_digit()).filter(|c| matches!(c, '/' | '-' | '.'))?;
    let mut parts = core.splitn(4, mark);
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (year, month, day) = match (first.len(), second.len(), third.len()) {
        (4, 1 | 2, 1 | 2) => (first, second, third),
        (1 | 2, 1 | 2, 2 | 4) => {
            let american =
                mark != '.' && small(second, 31)? > 12 || mark != '.' && speech.month_first && small(first, 31)? <= 12;
            if american { (third, first, second) } else { (third, second, first) }
        }
        _ => return None,
    };
    let (day, month) = (small(day, 31)?, small(month, 12)?);
    let month = usize::try_from(month).ok()?;
    (day > 0 && month > 0)
        .then(|| (speech.date)(day, month, year.parse().unwrap_or_default(), &year_words(year, speech)))
}

/// A year of two or four digits in words.
pub(super) fn year_words(year: &str, speech: &Speech) -> String {
    match year.parse::<u64>() {
        Ok(value) if !year.starts_with('0') => (speech.year)(value).unwrap_or_else(|| speech.cardinal(value)),
        _ => speech.digits(year),
    }
}

/// A short number up to the bound; none for anything else.
fn small(digits: &str, most: u64) -> Option<u64> {
    let short = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|value| short && *value <= most)
}
