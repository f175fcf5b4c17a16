//! What speakers are called here: the names that the request gave, or `A`, `B`, ... in order of first appearance.

use crate::transcript::Speaker;

/// Known names of speakers, by number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labels {
    known: Vec<Option<String>>,
}

impl Labels {
    /// `known[n]` is the name of speaker number n, where there is one.
    pub fn new(known: Vec<Option<String>>) -> Self {
        Self { known }
    }

    /// What `speaker` is called. A letter that is somebody's known name is left to them.
    pub fn of(&self, speaker: Speaker) -> String {
        let number = usize::from(speaker.0);
        if let Some(Some(name)) = self.known.get(number) {
            return name.clone();
        }
        let unnamed = (0..number).filter(|&before| !matches!(self.known.get(before), Some(Some(_)))).count();
        let taken = |label: &String| self.known.iter().flatten().any(|name| name == label);
        (0..).map(letters).filter(|label| !taken(label)).nth(unnamed).unwrap_or_default()
    }
}

/// `A` to `Z`, then `AA`, `AB`, ...
fn letters(mut number: usize) -> String {
    let mut label = Vec::new();
    loop {
        label.insert(0, b'A' + (number % 26) as u8);
        match (number / 26).checked_sub(1) {
            Some(rest) => number = rest,
            None => return String::from_utf8_lossy(&label).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speakers_are_letters_in_order() {
        let labels = Labels::default();
        let of = |number| labels.of(Speaker(number));
        assert_eq!([of(0), of(1), of(25), of(26), of(27), of(702)], ["A", "B", "Z", "AA", "AB", "AAA"]);
    }

    #[test]
    fn known_speakers_have_their_names_and_the_others_the_next_letters() {
        let labels = Labels::new(vec![None, Some("agent".into()), None]);
        let of = |number| labels.of(Speaker(number));
        assert_eq!([of(0), of(1), of(2), of(3)], ["A", "agent", "B", "C"]);
    }

    #[test]
    fn a_letter_that_is_a_name_belongs_to_one_speaker() {
        let labels = Labels::new(vec![None, Some("A".into())]);
        assert_eq!([labels.of(Speaker(0)), labels.of(Speaker(1)), labels.of(Speaker(2))], ["B", "A", "C"]);
    }
}
