//! Telephone numbers and other long codes, in one written word or over several: read digit by digit.

use super::{number, speech::Speech, text::Written};

/// Fewer digits than this make no telephone number.
const FEWEST_DIGITS: usize = 7;
/// More groups than this are a list of numbers.
const MOST_GROUPS: usize = 8;
/// So many groups of four digits make a card number.
const CARD_GROUPS: usize = 4;

/// The phrases of the words that belong to telephone numbers; none for all others.
pub(super) fn phrases(written: &[Written], speech: &Speech) -> Vec<Option<String>> {
    let mut phrases: Vec<Option<String>> = vec![None; written.len()];
    let mut at = 0;
    while at < written.len() {
        let length = run_length(&written[at..]);
        for offset in at..at + length {
            phrases[offset] = Some(say(&written[offset].core, speech));
        }
        at += length.max(1);
    }
    phrases
}

/// How many written words from here on are one telephone or card number.
fn run_length(written: &[Written]) -> usize {
    let Some(first) = written.first().filter(|word| is_group(&word.core)) else { return 0 };
    let mut length = 1;
    while length <= MOST_GROUPS
        && written.get(length).is_some_and(|next| is_group(&next.core) && !next.core.starts_with('+'))
        && !(written[length - 1].parted && !written[length - 1].core.ends_with(')') && !written[length - 1].bracketed)
    {
        length += 1;
    }
    if length > MOST_GROUPS {
        return 0;
    }
    let run = &written[..length];
    let opens = first.core.starts_with('+') || first.bracketed || first.core.starts_with('0');
    let enough = run.iter().map(|word| count_digits(&word.core)).sum::<usize>() >= FEWEST_DIGITS;
    let equal = run.iter().all(|word| word.is_digits() && word.core.len() == first.core.len());
    let years = run.iter().all(|word| matches!(word.core.as_bytes(), [b'1', ..] | [b'2', b'0', ..]));
    let card = length == CARD_GROUPS && equal && first.core.len() == 4 && !years;
    let single = first.core.starts_with('+') || is_hyphenated(&first.core);
    let telephone = enough && opens && (length > 1 || single || first.is_digits());
    match () {
        () if telephone || card => length,
        () if is_hyphenated(&first.core) => 1,
        () => 0,
    }
}

/// Digits, perhaps after a plus, with the signs that part groups.
fn is_group(core: &str) -> bool {
    let inner = core.strip_prefix('+').unwrap_or(core);
    inner.starts_with(|c: char| c.is_ascii_digit())
        && inner.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'(' | b')'))
        && !is_date(inner)
        && !is_decimal(inner)
}

/// Groups as telephones are written in one word: 555-1234, 212-555-1234, 1-800-273-8255, 9-1-1.
fn is_hyphenated(core: &str) -> bool {
    let inner = core.strip_prefix('+').unwrap_or(core);
    let groups: Vec<&str> = inner.split(['-', '.', '(', ')']).filter(|group| !group.is_empty()).take(8).collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let digits = groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_digit()));
    let shaped = match lengths.as_slice() {
        [3, 4] => inner.contains('-'),
        [3, 3, 4] | [1, 3, 3, 4] | [1, 3, 4] | [3, 2, 4] => true,
        [1, 1, 1] => inner.contains('-'),
        [2..=4, 2..=4, 2..=4, rest @ ..] => {
            rest.iter().all(|length| (2..=4).contains(length)) && inner.starts_with('0')
        }
        _ => core.starts_with('+') && lengths.len() > 1,
    };
    digits && shaped && !is_date(inner)
}

fn is_date(inner: &str) -> bool {
    let lengths: Vec<usize> = inner.split(['-', '.']).map(str::len).take(4).collect();
    matches!(lengths.as_slice(), [1 | 2, 1 | 2, 4] | [4, 1 | 2, 1 | 2] | [2, 2, 2])
}

fn is_decimal(inner: &str) -> bool {
    inner.matches('.').count() == 1 && !inner.contains('-')
}

fn count_digits(core: &str) -> usize {
    core.bytes().filter(u8::is_ascii_digit).count()
}

fn say(core: &str, speech: &Speech) -> String {
    let mut said = Vec::new();
    if core.starts_with('+') {
        said.push(speech.signs.plus.to_owned());
    }
    for group in core.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()) {
        said.push(say_group(group, core.contains('-'), speech));
    }
    said.join(" ")
}

/// One group: by digit, in pairs where the language does so, "800" and the like as hundreds.
fn say_group(group: &str, hyphenated: bool, speech: &Speech) -> String {
    let round = hyphenated && group.len() == 3 && group.ends_with("00") && !group.starts_with('0');
    let pair = speech.paired_telephone && group.len() <= 2 && !group.starts_with('0');
    match number::digits(group).and_then(|(digits, _)| digits.parse().ok()) {
        Some(value) if round || pair => speech.cardinal(value),
        _ => speech.digits(group),
    }
}
