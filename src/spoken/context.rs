//! A written word among its neighbours.

use super::{number::Number, speech::Speech, text::Written};

/// One written word of a text, with what reads it.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub written: &'a [Written],
    pub at: usize,
    pub speech: &'a Speech,
    /// Whether the text is written in capitals throughout.
    pub shouting: bool,
}

impl<'a> Context<'a> {
    pub fn word(&self) -> &'a Written {
        &self.written[self.at]
    }

    pub fn previous(&self) -> Option<&'a Written> {
        self.at.checked_sub(1).and_then(|at| self.written.get(at))
    }

    pub fn next(&self) -> Option<&'a Written> {
        self.written.get(self.at + 1)
    }

    /// The next word in lower case, unless punctuation parts it from this one.
    pub fn next_key(&self) -> Option<String> {
        self.next().filter(|_| !self.word().parted || self.word().dotted).map(|next| next.core.to_lowercase())
    }

    /// The previous word in lower case.
    pub fn previous_key(&self) -> Option<String> {
        self.previous().map(|previous| previous.core.to_lowercase())
    }

    /// The number that the previous word ends with, where nothing parts it from this one.
    pub fn previous_number(&self) -> Option<Number> {
        let previous = self.previous().filter(|previous| !previous.parted)?;
        let last = previous.core.rsplit([':', '-', '/', '⁄', '\u{2064}']).next()?;
        let start = last.find(|c: char| c.is_ascii_digit())?;
        Number::exactly(&last[start..], self.speech)
    }

    /// The word as a small number, where it is nothing else.
    pub fn plain_value(&self) -> Option<u64> {
        self.word().is_digits().then(|| self.word().core.parse().ok())?
    }
}
