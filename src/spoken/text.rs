//! Written words in one script form: compatibility forms folded, surrounding punctuation off, words of letters read out.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// A sign that joins a whole number and its fraction, as in "1½" (Unicode: INVISIBLE PLUS).
pub(super) const INVISIBLE_PLUS: char = '\u{2064}';
/// Signs that mean something before a number or word; every other leading sign is punctuation.
const LEADING: &str = "+-#@&%°§=<>~±×÷*/.";
/// Signs that mean something after a number or word.
const TRAILING: &str = "+%°#@&=\"^/§";
/// Where the ten digits of a script begin that compatibility forms leave alone.
const ZEROS: [char; 18] = [
    '\u{660}', '\u{6F0}', '\u{7C0}', '\u{966}', '\u{9E6}', '\u{A66}', '\u{AE6}', '\u{B66}', '\u{BE6}', '\u{C66}',
    '\u{CE6}', '\u{D66}', '\u{E50}', '\u{ED0}', '\u{F20}', '\u{1040}', '\u{17E0}', '\u{1810}',
];

/// One written word, folded.
#[derive(Debug)]
pub(super) struct Written {
    /// The word without the punctuation around it.
    pub core: String,
    /// Whether a full stop follows the core directly.
    pub dotted: bool,
    /// Whether punctuation follows the core that parts it from the next word.
    pub parted: bool,
    /// Whether more than a full stop follows the core.
    pub closed: bool,
    /// Whether a bracket opens before it.
    pub bracketed: bool,
}

impl Written {
    pub fn new(raw: &str) -> Self {
        let folded = fold(raw);
        let start = leading(&folded);
        let end = start + trailing(&folded[start..]);
        let after = &folded[end..];
        Self {
            dotted: after.starts_with('.'),
            parted: after.contains(['.', ',', ';', ':', '!', '?', ')']),
            closed: after.contains([',', ';', ':', '!', '?', ')']),
            bracketed: folded[..start].ends_with('('),
            core: folded[start..end].to_owned(),
        }
    }

    pub fn has_digit(&self) -> bool {
        self.core.contains(|c: char| c.is_ascii_digit())
    }

    /// Whether it is made of digits alone.
    pub fn is_digits(&self) -> bool {
        !self.core.is_empty() && self.core.bytes().all(|b| b.is_ascii_digit())
    }

    pub fn is_capitalised(&self) -> bool {
        self.core.starts_with(char::is_uppercase)
    }

    /// The core in lower case, with the full stop that followed it.
    pub fn dotted_key(&self) -> String {
        let dot = if self.dotted { "." } else { "" };
        format!("{}{dot}", self.core.to_lowercase())
    }

    /// What its letters alone give: lower-case words, digits and signs left out.
    pub fn letters(&self) -> Vec<String> {
        words(&self.core)
    }
}

/// The lower-case words of letters in a phrase; an apostrophe between letters stays, every other sign parts words.
pub(super) fn words(phrase: &str) -> Vec<String> {
    let lower = phrase.to_lowercase();
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = lower.chars().peekable();
    while let Some(c) = characters.next() {
        let inside = !word.is_empty();
        let letter_follows = characters.peek().is_some_and(|next| next.is_alphabetic());
        if c.is_alphabetic() || inside && (is_combining_mark(c) || c == '\'' && letter_follows) {
            word.push(c);
        } else if inside {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The compatibility form (NFKC) with digits in ASCII; fractions, exponents and ordinal signs keep what sets them apart.
fn fold(raw: &str) -> String {
    let mut kept = String::with_capacity(raw.len());
    let mut before = ' ';
    let mut characters = raw.chars().peekable();
    while let Some(c) = characters.next() {
        let degree_scale = matches!(characters.peek(), Some('C' | 'F'));
        match c {
            '’' | '‘' | 'ʼ' | '′' | '´' | '`' | '‛' => kept.push('\''),
            '″' | '“' | '”' | '„' => kept.push('"'),
            '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' => kept.push('-'),
            '№' => kept.push('#'),
            'º' if degree_scale => kept.push('°'),
            '¼'..='¾' | '⅐'..='⅞' if before.is_ascii_digit() => kept.extend([INVISIBLE_PLUS, c]),
            '²' | '³' | '¹' => kept.extend(['^', c]),
            '™' | '®' | '©' | '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' => {}
            '\u{2061}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' => {}
            _ => kept.push(digit(c).unwrap_or(c)),
        }
        before = digit(c).unwrap_or(c);
    }
    kept.nfkc().collect()
}

fn digit(c: char) -> Option<char> {
    let zero =
        ZEROS.into_iter().find(|zero| (*zero..=char::from_u32(*zero as u32 + 9).unwrap_or(*zero)).contains(&c))?;
    char::from_digit(c as u32 - zero as u32, 10)
}

/// Where the core begins.
fn leading(folded: &str) -> usize {
    let mut at = folded.char_indices().peekable();
    while let Some((position, c)) = at.next() {
        let next = at.peek().map(|(_, next)| *next);
        let means = match c {
            '-' | '.' => next.is_some_and(|next| next.is_ascii_digit() || c == '-' && is_currency(next)),
            _ => c.is_alphanumeric() || is_currency(c) || LEADING.contains(c),
        };
        if means {
            return position;
        }
    }
    folded.len()
}

/// Where the core ends, counted from its start. A quote counts only behind a digit, as feet and inches.
fn trailing(core: &str) -> usize {
    let mut end = core.len();
    for (position, c) in core.char_indices().rev() {
        let means = match c {
            '"' => is_height(&core[..position]),
            '/' | '=' | '^' => core.chars().take(3).count() <= 2,
            _ => c.is_alphanumeric() || is_combining_mark(c) || is_currency(c) || TRAILING.contains(c),
        };
        if means {
            break;
        }
        end = position;
    }
    end
}

/// Whether the text reads feet and inches up to its closing sign: 5'11.
fn is_height(text: &str) -> bool {
    text.split_once('\'').is_some_and(|(feet, inches)| {
        let short = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        short(feet) && short(inches)
    })
}

/// Whether the character belongs to the letter before it.
pub(super) fn is_mark(c: char) -> bool {
    is_combining_mark(c)
}

/// Whether the character is a currency sign that a table may name.
pub(super) fn is_currency(c: char) -> bool {
    matches!(c, '$' | '¢' | '£' | '¥' | '₠'..='₿')
}
