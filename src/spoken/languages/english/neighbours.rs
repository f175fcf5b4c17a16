//! What the neighbours of an English word decide: dates, saints and streets, Roman numerals, rooms and roads.

use super::{code, ordinal, tables::MONTHS, year};
use crate::spoken::{calendar, context::Context, roman};

/// Names whose numbers are read in pairs of digits.
const NUMBERED: [&str; 16] = [
    "room",
    "flight",
    "route",
    "highway",
    "interstate",
    "boeing",
    "airbus",
    "channel",
    "apartment",
    "suite",
    "bus",
    "peugeot",
    "porsche",
    "gate",
    "locker",
    "extension",
];
/// Nouns whose Roman numerals are counted, where those of a name are ordinals: Chapter IV, Henry VIII.
const COUNTED: [&str; 34] = [
    "war",
    "part",
    "chapter",
    "act",
    "volume",
    "book",
    "type",
    "phase",
    "level",
    "class",
    "title",
    "article",
    "section",
    "bowl",
    "rocky",
    "mark",
    "episode",
    "final",
    "fantasy",
    "grade",
    "stage",
    "appendix",
    "table",
    "figure",
    "apollo",
    "gemini",
    "category",
    "factor",
    "schedule",
    "annex",
    "scene",
    "godfather",
    "saw",
    "division",
];

pub(super) fn phrase(context: &Context) -> Option<String> {
    let core = context.word().core.as_str();
    match core.to_lowercase().as_str() {
        "st" if context.word().dotted => Some(if names_follow(context) { "saint" } else { "street" }.to_owned()),
        "dr" => Some(if names_follow(context) || !follows_name(context) { "doctor" } else { "drive" }.to_owned()),
        "no" | "nos" if context.word().dotted && number_follows(context) => {
            Some(if core.len() == 2 { "number" } else { "numbers" }.to_owned())
        }
        _ if context.word().is_digits() => digits(context),
        _ => half(context).or_else(|| numbered(context)).or_else(|| hour(context)).or_else(|| roman(context)),
    }
}

fn names_follow(context: &Context) -> bool {
    let follows = context.next().is_some_and(|next| next.is_capitalised());
    // "on Main St. The" ends a sentence: an article or pronoun is no name.
    let opener = context.next_key().is_some_and(|next| OPENERS.contains(&next.as_str()));
    follows && !context.word().closed && !opener
}

/// Words that open a sentence rather than name someone.
const OPENERS: [&str; 16] =
    ["the", "a", "it", "he", "she", "they", "we", "i", "in", "and", "but", "there", "this", "that", "at", "on"];

fn follows_name(context: &Context) -> bool {
    context.previous().is_some_and(|previous| previous.is_capitalised() && !previous.parted)
}

fn number_follows(context: &Context) -> bool {
    context.next().is_some_and(|next| next.core.starts_with(|c: char| c.is_ascii_digit()))
}

/// Digits alone: the day of a month, the number of a room, a year with a preposition, a code behind a state.
fn digits(context: &Context) -> Option<String> {
    let core = context.word().core.as_str();
    let value = context.plain_value()?;
    let previous = context.previous().filter(|previous| !previous.parted || previous.dotted);
    let named = previous.map(|previous| previous.core.to_lowercase()).unwrap_or_default();
    let day = (1..=31).contains(&value) && core.len() <= 2;
    if day && (previous.is_some_and(|previous| previous.is_capitalised()) && is_month(&named) || month_follows(context))
    {
        return Some(ordinal(value));
    }
    if NUMBERED.contains(&named.as_str()) {
        return code(core);
    }
    let state =
        previous.is_some_and(|previous| previous.core.len() == 2 && previous.core.chars().all(char::is_uppercase));
    if state && core.len() == 5 {
        return Some(context.speech.digits(core));
    }
    // What is counted is no year: 1500 meters.
    let unit = context
        .next_key()
        .is_some_and(|next| context.speech.unit(&next).is_some() || context.speech.scale(&next).is_some());
    let counted = unit && core.len() == 4 && year(value).is_some();
    counted.then(|| context.speech.cardinal(value))
}

fn is_month(word: &str) -> bool {
    let short = (3..=4).contains(&word.len()) && MONTHS.iter().any(|month| month.starts_with(word));
    MONTHS.contains(&word) || short
}

/// "3 March": the month must be capitalised, for "may" and "march" are verbs as well.
fn month_follows(context: &Context) -> bool {
    let next = context.next().filter(|next| next.is_capitalised() && !context.word().parted);
    next.is_some_and(|next| is_month(&next.core.to_lowercase()))
}

/// A fraction behind a whole number: "1 1/2".
fn half(context: &Context) -> Option<String> {
    let core = context.word().core.as_str();
    let (above, below) = core.split_once(['/', '⁄'])?;
    let whole = context.previous().filter(|previous| previous.is_digits() && !previous.parted);
    let (above, below) = (above.parse().ok()?, below.parse().ok()?);
    whole.and_then(|_| (context.speech.mixed)(above, below))
}

/// "No.1" in one word.
fn numbered(context: &Context) -> Option<String> {
    let lower = context.word().core.to_lowercase();
    let value = lower.strip_prefix("no.").or_else(|| lower.strip_prefix("nos."))?.parse().ok()?;
    Some(format!("number {}", context.speech.cardinal(value)))
}

/// A full hour before "pm" is said without o'clock.
fn hour(context: &Context) -> Option<String> {
    let next = context.next_key()?.replace('.', "");
    let said = calendar::time(&context.word().core, context.speech).filter(|_| matches!(next.as_str(), "am" | "pm"))?;
    Some(said.trim_end_matches(" o'clock").to_owned())
}

/// Henry VIII, World War II. One letter counts only behind a noun that is numbered, or between a name and a small word.
fn roman(context: &Context) -> Option<String> {
    let core = context.word().core.as_str();
    let (core, ending) = core.strip_suffix("'s").map_or((core, ""), |stem| (stem, "'s"));
    let value = roman::value(core)?;
    let previous = context.previous().filter(|previous| previous.is_capitalised() && !previous.parted)?;
    let noun = previous.core.to_lowercase();
    let counted = COUNTED.contains(&noun.as_str());
    let proper = match core {
        // "I" is the pronoun wherever a verb may follow; of a war it never is.
        "I" => noun == "war" || counted && !context.next_key().is_some_and(|next| VERBS.contains(&next.as_str())),
        "V" | "X" | "L" => counted || REIGNING.contains(&noun.as_str()),
        _ => true,
    };
    if context.shouting || !proper || previous.core.chars().count() == 1 {
        return None;
    }
    let said = if counted { context.speech.cardinal(value) } else { format!("the {}", ordinal(value)) };
    Some(said + ending)
}

/// Names that the numeral V or X follows as an ordinal.
const REIGNING: [&str; 14] = [
    "henry",
    "george",
    "charles",
    "louis",
    "philip",
    "james",
    "edward",
    "pius",
    "paul",
    "william",
    "leo",
    "john",
    "ferdinand",
    "gregory",
];
/// Behind "I" these show that it is the pronoun.
const VERBS: [&str; 12] = ["am", "was", "have", "had", "will", "would", "think", "know", "can", "could", "do", "did"];
