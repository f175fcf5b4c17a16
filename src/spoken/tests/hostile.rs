//! Hostile input: nothing panics, nothing takes long, one entry comes back per word.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

/// Pieces that random words are made of: what the readings look for, and what they do not expect.
const PIECES: [&str; 58] = [
    "1",
    "0",
    "9",
    "12",
    "345",
    "2024",
    "1984",
    "99999999999999999999",
    ".",
    ",",
    ":",
    "-",
    "–",
    "/",
    "'",
    "\"",
    "$",
    "€",
    "£",
    "%",
    "°",
    "C",
    "km/h",
    "st",
    "th",
    "s",
    "'s",
    "pm",
    "+",
    "#",
    "@",
    "&",
    "=",
    "x",
    "²",
    "½",
    "⁄",
    "º",
    "k",
    "M",
    "million",
    "U.S.",
    "FBI",
    "VIII",
    "Dr.",
    "(",
    ")",
    "www.",
    ".com",
    "é",
    "ß",
    "مرحبا",
    "漢",
    "😀",
    "\u{200d}",
    "\u{301}",
    "\u{202e}",
    "٣",
];

/// A megabyte takes a second or two; what grows with the square of the length takes hours.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn random_words_never_panic() {
    let mut random = StdRng::seed_from_u64(7);
    let codes: Vec<&str> = Language::all().map(Language::code).collect();
    for round in 0..40_000 {
        let word = |random: &mut StdRng| -> String {
            (0..random.gen_range(0..7)).map(|_| PIECES[random.gen_range(0..PIECES.len())]).collect()
        };
        let text: Vec<String> = (0..4).map(|_| word(&mut random)).collect();
        let words: Vec<&str> = text.iter().map(String::as_str).collect();
        let said = spoken(&words, language(codes[round % 16]));
        assert_eq!(said.len(), words.len(), "{text:?}");
        assert!(
            said.iter().flat_map(|s| &s.words).all(|w| !w.is_empty() && !w.contains(' ')),
            "{text:?} gives {said:?}"
        );
    }
}

#[test]
fn random_characters_never_panic() {
    let mut random = StdRng::seed_from_u64(8);
    for _ in 0..20_000 {
        let word: String = (0..random.gen_range(0..12)).map(|_| random.r#gen::<char>()).collect();
        assert_eq!(spoken(&[&word, "5", &word], Language::ENGLISH).len(), 3, "{word:?}");
    }
}

#[test]
fn huge_words_are_read_fast() {
    let huge = [
        "9".repeat(1 << 20),
        "a".repeat(1 << 20),
        "A".repeat(1 << 20),
        "1,".repeat(1 << 19),
        "1-".repeat(1 << 19),
        "a1".repeat(1 << 19),
        "1.".repeat(1 << 19),
        "a.".repeat(1 << 19),
        "'".repeat(1 << 20),
        "$".repeat(1 << 20),
        "é\u{301}".repeat(1 << 18),
        "😀".repeat(1 << 18),
        "1 ".repeat(1 << 19),
        "www.".repeat(1 << 18),
        "+1(".repeat(1 << 18),
        "½".repeat(1 << 18),
    ];
    for word in &huge {
        let begun = Instant::now();
        assert_eq!(spoken(&[word], Language::ENGLISH).len(), 1);
        assert!(begun.elapsed() < SOON, "{}... takes {:?}", &word[..word.floor_char_boundary(4)], begun.elapsed());
    }
    let begun = Instant::now();
    let many = vec!["1984"; 200_000];
    assert_eq!(spoken(&many, Language::ENGLISH).len(), many.len());
    let digits = vec!["123"; 200_000];
    assert_eq!(spoken(&digits, language("fr")).len(), digits.len());
    assert!(begun.elapsed() < SOON, "long texts take {:?}", begun.elapsed());
}

#[test]
fn no_words_give_none() {
    assert!(spoken(&[], Language::ENGLISH).is_empty());
    assert_eq!(spoken(&[""], Language::ENGLISH), [Spoken::default()]);
}

#[test]
fn numbers_beyond_all_names_are_read_digit_by_digit() {
    let said = &spoken(&[&"7".repeat(100)], Language::ENGLISH)[0];
    assert_eq!(said.words, vec!["seven"; 100]);
    assert!(said.spelled_out);
}

#[test]
fn a_language_without_numbers_keeps_letters_and_leaves_digits_as_written() {
    let said = spoken(&["Tere,", "(12)", "5-aastane", "—"], language("et"));
    assert_eq!(said[0], Spoken { words: vec!["tere".into()], spelled_out: false });
    assert_eq!(said[1], Spoken { words: vec!["12".into()], spelled_out: false });
    assert_eq!(said[2], Spoken { words: vec!["5-aastane".into()], spelled_out: false });
    assert_eq!(said[3], Spoken::default());
}

#[test]
fn what_is_read_off_the_letters_is_not_spelled_out() {
    for (word, spelled) in [
        ("Hello,", false),
        ("don't", false),
        ("well-known", false),
        ("5", true),
        ("Mr.", true),
        ("-", false),
        ("&", true),
    ] {
        assert_eq!(spoken(&[word], Language::ENGLISH)[0].spelled_out, spelled, "{word}");
    }
}
