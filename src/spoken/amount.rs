//! Amounts: a number with a sign or currency before it and a percent sign, unit, scale or ending behind it.

use super::{
    context::Context,
    number::{self, Number},
    speech::{Agreement, Currency, Noun, Scale, Speech},
    text::{self, INVISIBLE_PLUS},
};

/// An amount in its parts.
pub(super) struct Amount<'a> {
    speech: &'a Speech,
    /// Words before the number: minus, plus, number.
    lead: Vec<&'a str>,
    pub currency: Option<&'a Currency>,
    pub number: Number,
    /// The fraction behind a whole number, in words: 2½.
    half: Option<String>,
    scale: Option<&'a Scale>,
    tail: Tail<'a>,
}

/// What stands behind the number.
enum Tail<'a> {
    Nothing,
    /// An ending that makes one reading with the number: 3rd, 1980s.
    Ending(String),
    Unit(&'a Noun, Option<&'a str>),
    Sign(&'a str),
    /// What it is shared out to: 20 €/h. A unit may be, too: 4g/day.
    Per(&'a str),
}

impl<'a> Amount<'a> {
    /// Reads the whole text as one amount.
    pub fn parse(text: &'a str, speech: &'a Speech) -> Option<Self> {
        let (lead, currency, rest) = leads(text, speech)?;
        let (counted, rest) = if let Some(rest) = rest.strip_prefix('.') {
            let (digits, rest) = number::digits(rest)?;
            (Number { fraction: Some(digits.to_owned()), ..Number::plain("") }, rest)
        } else {
            Number::parse(rest, speech)?
        };
        let amount = Self { speech, lead, currency, number: counted, half: None, scale: None, tail: Tail::Nothing };
        amount.behind(rest)
    }

    /// Takes in what stands behind the number; none where that is no part of an amount.
    fn behind(mut self, rest: &'a str) -> Option<Self> {
        let rest = self.fraction(rest);
        let bare = rest.trim_start_matches([' ', '-']);
        if bare.len() < rest.len() && !bare.starts_with(char::is_alphabetic) {
            return None;
        }
        let rest = self.scaled(bare);
        self.tail = match rest {
            "" => return Some(self),
            "%" => Tail::Unit(&self.speech.signs.percent, None),
            "°" => Tail::Unit(&self.speech.signs.degrees, None),
            "+" => Tail::Sign(self.speech.signs.plus),
            "x" | "×" | "X" => Tail::Unit(&self.speech.signs.fold, None),
            _ => match rest.strip_prefix('/').filter(|_| self.speech.unit(rest).is_none()) {
                Some(to) => Tail::Per(self.sharer(to)?),
                None => self.named(rest)?,
            },
        };
        Some(self)
    }

    /// The unit or word that an amount is shared out to.
    fn sharer(&self, to: &'a str) -> Option<&'a str> {
        let word = !to.is_empty() && to.chars().all(char::is_alphabetic);
        let unit = self.speech.unit(to).map(|unit| unit.forms[0]);
        word.then(|| unit.unwrap_or(to))
    }

    /// The tail of letters or of a currency sign.
    fn named(&mut self, rest: &'a str) -> Option<Tail<'a>> {
        if self.currency.is_none() {
            self.currency = self.speech.currency(rest);
            if self.currency.is_some() {
                return Some(Tail::Nothing);
            }
        } else if self.speech.currency(rest).is_some() {
            return Some(Tail::Nothing);
        }
        let whole = self.number.fraction.is_none() && self.scale.is_none();
        let ending = self.number.value().filter(|_| whole).and_then(|value| (self.speech.suffixed)(value, rest));
        let unit = || self.speech.unit(rest).map(|unit| Tail::Unit(unit, None));
        let shared = || {
            let (written, to) = rest.split_once('/')?;
            Some(Tail::Unit(self.speech.unit(written)?, Some(self.sharer(to)?)))
        };
        ending.map(Tail::Ending).or_else(unit).or_else(shared)
    }

    /// Takes a mixed number's fraction off the rest.
    fn fraction(&mut self, rest: &'a str) -> &'a str {
        let read = || {
            let (numerator, further) = number::digits(rest.strip_prefix(INVISIBLE_PLUS)?)?;
            let (denominator, further) = number::digits(further.strip_prefix('⁄')?)?;
            let said = (self.speech.mixed)(numerator.parse().ok()?, denominator.parse().ok()?)?;
            Some((said, further))
        };
        match read() {
            Some((said, further)) => {
                self.half = Some(said);
                further
            }
            None => rest,
        }
    }

    /// Takes a power of ten off the rest: the letters of prices and large counts, unless a unit is written so.
    fn scaled(&mut self, rest: &'a str) -> &'a str {
        let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let (letters, further) = rest.split_at(end);
        let money = self.currency.is_some() || !further.is_empty() && self.speech.currency(further).is_some();
        let scale = self
            .speech
            .scale(letters)
            .filter(|_| !letters.is_empty() && (money || self.speech.unit(letters).is_none()));
        if scale.is_none() || !(further.is_empty() || money || further == "+") {
            return rest;
        }
        self.scale = scale;
        further
    }

    /// Whether it is a price that a scale may still follow: "$3.5" before "million".
    pub fn awaits_scale(&self) -> bool {
        self.currency.is_some() && self.scale.is_none() && matches!(self.tail, Tail::Nothing)
    }

    /// The amount without its currency, which is said later.
    pub fn say_bare(&self) -> String {
        self.with_lead(self.counted(Agreement::Alone))
    }

    /// The amount among its neighbours: a bare number agrees with the noun that follows.
    pub fn say_before(&self, context: &Context) -> String {
        let bare = matches!(self.tail, Tail::Nothing) && self.currency.is_none() && self.half.is_none();
        let year = self.number.looks_like_year();
        let next = context.next().filter(|next| bare && !year && !context.word().parted && !next.has_digit());
        let agreement = next.map_or(Agreement::Alone, |next| self.speech.agreement_before(&next.core));
        if agreement == Agreement::Alone { self.say() } else { self.with_lead(self.counted(agreement)) }
    }

    pub fn say(&self) -> String {
        let said = match (&self.tail, self.currency) {
            (Tail::Ending(ending), _) => ending.clone(),
            (Tail::Unit(unit, None), _) => self.with_noun(unit),
            (Tail::Unit(unit, Some(to)), _) => format!("{} {} {to}", self.with_noun(unit), self.speech.signs.per),
            (Tail::Per(shared), Some(currency)) => {
                format!("{} {} {shared}", self.price(currency), self.speech.signs.per)
            }
            (Tail::Per(shared), None) => {
                format!("{} {} {shared}", self.counted(Agreement::Alone), self.speech.signs.per)
            }
            (Tail::Sign(sign), None) => format!("{} {sign}", self.counted(Agreement::Alone)),
            (_, Some(currency)) => self.price(currency),
            (Tail::Nothing, None) if self.half.is_none() && self.scale.is_none() => self.number.say_alone(self.speech),
            (Tail::Nothing, None) => self.counted(Agreement::Alone),
        };
        self.with_lead(said)
    }

    fn with_lead(&self, said: String) -> String {
        if self.lead.is_empty() { said } else { format!("{} {said}", self.lead.join(" ")) }
    }

    /// Number, fraction and power of ten.
    fn counted(&self, agreement: Agreement) -> String {
        let mut said = if self.number.whole.is_empty() {
            let decimals = self.number.fraction.as_deref().unwrap_or_default();
            format!("{} {}", self.speech.signs.point, number::say_decimals(decimals, self.speech))
        } else {
            self.number.say(self.speech, agreement)
        };
        for part in self.half.as_deref().into_iter().chain(self.scale.map(|scale| scale.said)) {
            said = format!("{said} {part}");
        }
        said
    }

    fn with_noun(&self, noun: &Noun) -> String {
        let form = if self.half.is_some() || self.scale.is_some() { 2 } else { (self.speech.form)(&self.number) };
        let link = self.scale.map_or("", |scale| scale.link);
        format!("{} {link} {}", self.counted(noun.agreement), noun.forms[form])
    }

    /// A price: hundredths are said as such where two digits give them.
    fn price(&self, currency: &Currency) -> String {
        let hundredths = self.number.fraction.as_deref().filter(|digits| digits.len() == 2 && self.scale.is_none());
        let Some(hundredths) = hundredths else { return self.with_noun(&currency.unit) };
        let (unit, cents) = price_parts(&self.number, hundredths, currency, self.speech);
        match unit {
            Some(unit) if cents.is_empty() => unit,
            Some(unit) => format!("{unit} {} {cents}", self.speech.price_joint),
            None => cents,
        }
    }
}

/// The unit of a price with its number, and the words of its hundredths; no unit where there are only hundredths.
pub(super) fn price_parts(
    number: &Number,
    hundredths: &str,
    currency: &Currency,
    speech: &Speech,
) -> (Option<String>, String) {
    let part = |digits: &str, noun: &Noun, named: bool| {
        let number = Number { grouped: true, ..Number::plain(digits) };
        let said = number
            .value()
            .map_or_else(|| number.say(speech, noun.agreement), |value| (speech.cardinal)(value, noun.agreement));
        let noun = noun.forms[(speech.form)(&number)];
        if named { format!("{said} {noun}") } else { said }
    };
    let empty = |digits: &str| digits.bytes().all(|b| b == b'0');
    match (empty(&number.whole), empty(hundredths)) {
        (_, true) => (Some(part(&number.whole, &currency.unit, true)), String::new()),
        (true, false) => (None, part(hundredths, &currency.hundredth, true)),
        (false, false) => {
            let cents = part(hundredths, &currency.hundredth, speech.names_hundredths);
            (Some(part(&number.whole, &currency.unit, true)), cents)
        }
    }
}

/// The signs before the number, its currency, and the text from the first digit on.
fn leads<'a>(text: &'a str, speech: &'a Speech) -> Option<(Vec<&'a str>, Option<&'a Currency>, &'a str)> {
    let at = text.find(|c: char| c.is_ascii_digit())?;
    let at = if text[..at].ends_with('.') { at - 1 } else { at };
    let (before, rest) = text.split_at(at);
    let mut lead = Vec::new();
    let mut letters = before;
    while let Some(c) = letters.chars().next() {
        match c {
            '-' => lead.push(speech.signs.minus),
            '+' => lead.push(speech.signs.plus),
            '±' => lead.extend([speech.signs.plus, speech.signs.minus]),
            '#' => lead.push(speech.signs.number),
            '§' => lead.push(speech.signs.section),
            '~' | '<' | '>' | '=' | ' ' | '*' | '/' => {}
            _ => break,
        }
        letters = &letters[c.len_utf8()..];
    }
    let letters = letters.trim_end_matches(['-', ' ']);
    let minus = before.ends_with('-') && !letters.is_empty();
    lead.extend(minus.then_some(speech.signs.minus));
    if letters.is_empty() {
        return Some((lead, None, rest));
    }
    let known = letters.chars().all(|c| c.is_alphabetic() || text::is_currency(c) || c == '.');
    speech.currency(letters).filter(|_| known).map(|currency| (lead, Some(currency), rest))
}
