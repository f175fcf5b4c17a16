//! What the outputs of a CTC network stand for: characters, the blank, and the mark between words.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

/// The label set of a CTC network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    of: HashMap<char, u32>,
    blank: u32,
    delimiter: Option<u32>,
    count: usize,
}

impl Labels {
    /// `count` labels, of which `characters` stand for a character each, `blank` for nothing, and `delimiter`, where there
    /// is one, for the border between two words.
    pub fn new(
        characters: impl IntoIterator<Item = (char, u32)>,
        blank: u32,
        delimiter: Option<u32>,
        count: usize,
    ) -> Self {
        let special = |label: u32| label == blank || Some(label) == delimiter;
        let of = characters.into_iter().filter(|&(_, label)| !special(label) && (label as usize) < count).collect();
        Self { of, blank, delimiter, count }
    }

    /// How many labels there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The label that stands for nothing.
    pub fn blank(&self) -> u32 {
        self.blank
    }

    /// The label between words.
    pub fn delimiter(&self) -> Option<u32> {
        self.delimiter
    }

    /// The label of a character: its own, else that of its lower or upper case, else that of the letter without accents.
    pub fn of(&self, character: char) -> Option<u32> {
        self.cased(character)
            .or_else(|| character.nfd().next().filter(|&base| base != character).and_then(|base| self.cased(base)))
    }

    fn cased(&self, character: char) -> Option<u32> {
        let own = self.of.get(&character).copied();
        let lower = || character.to_lowercase().next().and_then(|lower| self.of.get(&lower).copied());
        let upper = || character.to_uppercase().next().and_then(|upper| self.of.get(&upper).copied());
        own.or_else(lower).or_else(upper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_found_in_any_case_and_without_accents() {
        let labels =
            Labels::new([('A', 2), ('e', 3), ('\'', 4), ('ñ', 5), ('n', 6), ('|', 1), ('x', 99)], 0, Some(1), 7);
        let of = |text: &str| text.chars().map(|character| labels.of(character)).collect::<Vec<_>>();
        assert_eq!(of("aÁéÉ'ñÑn"), [2, 2, 3, 3, 4, 5, 5, 6].map(Some));
        assert_eq!(of("|x7ж"), [None; 4]);
        assert_eq!((labels.blank(), labels.delimiter(), labels.count()), (0, Some(1), 7));
    }
}
