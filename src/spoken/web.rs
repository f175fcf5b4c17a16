//! Addresses of the web and of mail, and names of files: dots, slashes and the at sign are said.

use super::{acronym, number::Number, speech::Speech};

/// Endings that make a dotted name an address or a file.
const DOMAINS: [&str; 56] = [
    "com", "org", "net", "edu", "gov", "mil", "info", "io", "ai", "app", "dev", "co", "tv", "me", "uk", "us", "ca",
    "au", "de", "fr", "es", "it", "pt", "br", "nl", "be", "ch", "at", "ru", "ua", "pl", "cz", "se", "no", "dk", "fi",
    "eu", "in", "jp", "cn", "mx", "ar", "biz", "fm", "html", "htm", "pdf", "txt", "doc", "csv", "json", "jpg", "png",
    "exe", "zip", "js",
];

/// The address in words, where the core is one.
pub(super) fn phrase(core: &str, speech: &Speech) -> Option<String> {
    let lower = core.to_lowercase();
    let bare = lower.find("://").map_or(lower.as_str(), |at| &lower[at + 3..]);
    let host = bare.split(['/', '?', '#']).next().unwrap_or_default();
    let name = host.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let named = ending.is_some_and(|ending| DOMAINS.contains(&ending));
    let labels = name.split('.').all(|label| label.chars().any(char::is_alphanumeric));
    let known = named && labels && name.split('.').any(|label| label.chars().count() > 1 && Some(label) != ending);
    let address = bare.len() < lower.len() || host.starts_with("www.") || known;
    address.then(|| say(bare, speech))
}

fn say(address: &str, speech: &Speech) -> String {
    let mut said = Vec::new();
    let mut rest = address.trim_end_matches('/');
    while let Some(c) = rest.chars().next() {
        let alike =
            |other: char| other.is_alphabetic() == c.is_alphabetic() && other.is_ascii_digit() == c.is_ascii_digit();
        let end =
            if c.is_alphanumeric() { rest.find(|other| !alike(other)).unwrap_or(rest.len()) } else { c.len_utf8() };
        let (part, further) = rest.split_at(end);
        said.push(part_phrase(part, speech));
        rest = further;
    }
    said.join(" ")
}

fn part_phrase(part: &str, speech: &Speech) -> String {
    let signs = &speech.signs;
    match part {
        "www" => "w w w".to_owned(),
        "." => signs.dot.to_owned(),
        "@" => signs.at.to_owned(),
        "/" => signs.slash.to_owned(),
        "-" => signs.dash.to_owned(),
        "_" => signs.underscore.to_owned(),
        "=" => signs.equals.to_owned(),
        "&" => signs.and.to_owned(),
        _ => match Number::exactly(part, speech) {
            Some(number) => number.say_alone(speech),
            None if part.chars().all(char::is_alphabetic) && acronym::lacks_vowel(part) && part.len() <= 4 => {
                acronym::spell(part)
            }
            None => part.to_owned(),
        },
    }
}
