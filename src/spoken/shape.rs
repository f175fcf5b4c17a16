//! Which reading a written word gets: the shapes of prices, dates, ranges and codes are tried from narrow to wide.

use super::{
    acronym,
    amount::{Amount, price_parts},
    calendar,
    context::Context,
    number::{self, Number},
    speech::{Currency, Speech, look_up},
    text::{self, Written},
    web,
};

/// The phrase that is said for the word.
pub(super) fn phrase(context: &Context) -> String {
    let (word, speech) = (context.word(), context.speech);
    let core = word.core.as_str();
    (speech.context)(context)
        .or_else(|| money(context))
        .or_else(|| abbreviation(context))
        .or_else(|| parted_price(context))
        .or_else(|| behind_number(context))
        .or_else(|| web::phrase(core, speech))
        .unwrap_or_else(|| if word.has_digit() { numeric(core, context) } else { literal(core, context) })
}

fn abbreviation(context: &Context) -> Option<String> {
    let (word, speech) = (context.word(), context.speech);
    let key = word.dotted_key();
    let bare = key.trim_end_matches('.');
    let always = || look_up(speech.abbreviations, &key).or_else(|| look_up(speech.abbreviations, bare));
    let name = context.next().is_some_and(|next| next.is_capitalised());
    let title = || look_up(speech.titles, &key).filter(|_| name);
    let number = context.next().into_iter().chain(context.previous()).any(Written::has_digit);
    let counter = || look_up(speech.counters, &key).filter(|_| number);
    counter().or_else(title).or_else(always).map(str::to_owned)
}

/// A price and the power of ten that follows it as a word share the currency: "$3.5 million" ends in dollars.
fn money(context: &Context) -> Option<String> {
    let speech = context.speech;
    let core = context.word().core.as_str();
    if let Some((bare, _)) = price(core, speech) {
        let next = context.next_key().filter(|_| !context.word().parted)?;
        return speech.scale(&next).map(|_| bare);
    }
    let previous = context.previous().filter(|previous| !previous.parted)?;
    let scale = speech.scale(core).or_else(|| speech.scale(&core.to_lowercase()))?;
    let (_, currency) = price(&previous.core, speech)?;
    Some(format!("{} {} {}", scale.said, scale.link, currency.unit.forms[2]))
}

/// A price whose currency stands apart is said around it: in "3,50 €" the hundredths come last.
fn parted_price(context: &Context) -> Option<String> {
    let speech = context.speech;
    let decimal =
        |core: &str| Number::exactly(core, speech).filter(|n| n.fraction.as_ref().is_some_and(|f| f.len() == 2));
    let (before, after) =
        (context.previous().filter(|word| !word.parted), context.next().filter(|_| !context.word().parted));
    if let Some((number, currency)) =
        decimal(&context.word().core).zip(after.and_then(|next| counted(&next.core, speech)))
    {
        let (unit, cents) = price_parts(&number, number.fraction.as_deref()?, currency, speech);
        let said = unit.unwrap_or(cents);
        return said.rsplit_once(' ').map(|(number, _)| number.to_owned());
    }
    if let Some(price) = before.and_then(|sign| sign_before(&sign.core, context)) {
        return Some(price);
    }
    let currency = counted(&context.word().core, speech)?;
    let opens = speech.currency(&context.word().core).is_some() && before.is_none_or(|word| !word.has_digit());
    if opens && after.is_some_and(|next| Number::exactly(&next.core, speech).is_some()) {
        // Said behind the number, with it.
        return Some(String::new());
    }
    let number = before.and_then(|previous| decimal(&previous.core))?;
    let (unit, cents) = price_parts(&number, number.fraction.as_deref()?, currency, speech);
    let joint = if cents.is_empty() { "" } else { speech.price_joint };
    match unit {
        Some(unit) => unit.rsplit_once(' ').map(|(_, noun)| format!("{noun} {joint} {cents}")),
        None => cents.rsplit_once(' ').map(|(_, noun)| noun.to_owned()),
    }
}

/// A number behind a currency sign that stands apart: "€ 3,50".
fn sign_before(sign: &str, context: &Context) -> Option<String> {
    let speech = context.speech;
    speech.currency(sign)?;
    let earlier = context.at.checked_sub(2).and_then(|at| context.written.get(at));
    if earlier.is_some_and(|word| !word.parted && word.has_digit()) {
        return None;
    }
    let price = format!("{sign}{}", context.word().core);
    Number::exactly(&context.word().core, speech)?;
    Amount::parse(&price, speech).map(|amount| amount.say())
}

/// The currency that a sign, a code or its name stands for.
fn counted<'a>(core: &str, speech: &'a Speech) -> Option<&'a Currency> {
    let lower = core.to_lowercase();
    let named = || speech.currencies.iter().find(|currency| currency.unit.forms.contains(&lower.as_str()));
    speech.currency(core).or_else(named)
}

/// A price or a range of prices without its currency, and that currency.
fn price<'a>(core: &'a str, speech: &'a Speech) -> Option<(String, &'a Currency)> {
    if let Some(amount) = Amount::parse(core, speech) {
        return amount.currency.filter(|_| amount.awaits_scale()).map(|currency| (amount.say_bare(), currency));
    }
    let (left, right) = core.split_once('-')?;
    let (from, to) = (Amount::parse(left, speech)?, Amount::parse(right, speech)?);
    let bare = format!("{} {} {}", from.say_bare(), speech.signs.to, to.say_bare());
    from.currency.filter(|_| from.awaits_scale()).map(|currency| (bare, currency))
}

/// A unit, percent or currency sign that stands apart from its number: "5 km", "20 %", "10 €".
fn behind_number(context: &Context) -> Option<String> {
    let speech = context.speech;
    let core = context.word().core.as_str();
    let Some(number) = context.previous_number() else {
        // "5 million €"
        let previous = context.previous().filter(|previous| !previous.closed)?;
        speech.scale(&previous.core).or_else(|| speech.scale(&previous.core.to_lowercase()))?;
        return speech.currency(core).map(|currency| currency.unit.forms[2].to_owned());
    };
    let dotless = core.replace('.', "");
    let noun = match core {
        "°" => Some(&speech.signs.degrees),
        "%" => Some(&speech.signs.percent),
        _ => speech.unit(&dotless).or_else(|| speech.currency(core).map(|currency| &currency.unit)),
    };
    let scale = || speech.scale(&dotless).filter(|scale| core.chars().count() > 1 && !scale.said.is_empty());
    noun.map(|noun| noun.forms[(speech.form)(&number)].to_owned())
        .or_else(|| scale().map(|scale| scale.said.to_owned()))
}

/// A word without digits: a sign, initials or plain letters.
fn literal(core: &str, context: &Context) -> String {
    let speech = context.speech;
    if let Some(unit) = speech.unit(core).filter(|_| core.starts_with('°')) {
        return unit.forms[2].to_owned();
    }
    if core.contains(char::is_alphabetic) {
        return lettered(core, context);
    }
    let said: Vec<&str> = core.chars().filter_map(|c| sign(c, speech)).collect();
    said.join(" ")
}

/// Letters with signs among them.
fn lettered(core: &str, context: &Context) -> String {
    let (speech, shouting) = (context.speech, context.shouting);
    let lead = match core.chars().next() {
        Some('@') => speech.signs.at,
        Some('#') => speech.signs.hashtag,
        _ => "",
    };
    let inner: Vec<String> = core
        .split(['=', '/', '@', '#'])
        .filter(|part| !part.is_empty())
        .map(|part| acronym::phrase(part, speech, shouting))
        .collect();
    let joint = if core.contains('=') { format!(" {} ", speech.signs.equals) } else { " ".to_owned() };
    format!("{lead} {}", inner.join(&joint))
}

/// What a sign says on its own.
fn sign(c: char, speech: &Speech) -> Option<&'static str> {
    let signs = &speech.signs;
    match c {
        '&' => Some(signs.and),
        '@' => Some(signs.at),
        '%' => Some(signs.percent.forms[2]),
        '+' => Some(signs.plus),
        '=' => Some(signs.equals),
        '#' => Some(signs.number),
        '§' => Some(signs.section),
        '°' => Some(signs.degrees.forms[2]),
        '×' => Some(signs.times),
        _ => speech.currency(c.encode_utf8(&mut [0; 4])).map(|currency| currency.unit.forms[2]),
    }
}

/// A word with digits.
fn numeric(core: &str, context: &Context) -> String {
    let speech = context.speech;
    calendar::time(core, speech)
        .or_else(|| calendar::date(core, speech))
        .or_else(|| height(core, speech))
        .or_else(|| Amount::parse(core, speech).map(|amount| amount.say_before(context)))
        .or_else(|| range(core, speech))
        .or_else(|| ratio(core, speech))
        .unwrap_or_else(|| pieces(core, context))
}

/// Feet and inches: 5'11".
fn height(core: &str, speech: &Speech) -> Option<String> {
    let (feet, rest) = number::digits(core)?;
    let inches = rest.strip_prefix('\'')?.trim_end_matches('"');
    let short = (1..=2).contains(&inches.len()) && inches.bytes().all(|b| b.is_ascii_digit());
    let noun = speech.unit("ft").filter(|_| short && feet.len() <= 2)?;
    let feet = Number::exactly(feet, speech)?;
    let inches = Number::exactly(inches, speech)?;
    Some(format!(
        "{} {} {}",
        feet.say(speech, noun.agreement),
        noun.forms[(speech.form)(&feet)],
        inches.say_alone(speech)
    ))
}

/// Two amounts with a dash between them: 10-12, $5-10, 10%-20%.
fn range(core: &str, speech: &Speech) -> Option<String> {
    let at = core.match_indices('-').map(|(at, _)| at).find(|at| *at > 0)?;
    let (left, right) = (&core[..at], &core[at + 1..]);
    if right.trim_start_matches('-').contains('-') {
        return None;
    }
    if let (Some(from), Some(to)) = (calendar::time(left, speech), calendar::time(right, speech)) {
        return Some(format!("{from} {} {to}", speech.signs.to));
    }
    let from = Amount::parse(left, speech)?;
    let mut to = Amount::parse(right, speech)?;
    let shared = from.currency.is_some() && to.currency.is_none();
    let first = if shared { from.say_bare() } else { from.say() };
    to.currency = to.currency.or(from.currency);
    // "50-50" shares out rather than spans.
    let joint = if left == right { "" } else { speech.signs.to };
    Some(format!("{first} {joint} {}", to.say()))
}

/// Two numbers with a slash, colon or times sign between them: 2/3, 24/7, 2:1, 3x4.
fn ratio(core: &str, speech: &Speech) -> Option<String> {
    let (left, rest) = Number::parse(core, speech)?;
    let mark = rest.chars().next()?;
    let (right, tail) = Number::parse(&rest[mark.len_utf8()..], speech)?;
    let said = match mark {
        '/' | '⁄' => {
            let named = left.value().zip(right.value()).and_then(|(above, below)| (speech.fraction)(above, below));
            named.unwrap_or_else(|| format!("{} {}", left.say_alone(speech), right.say_alone(speech)))
        }
        ':' => format!("{} {} {}", left.say_alone(speech), speech.signs.to, right.say_alone(speech)),
        'x' | '×' | '*' => format!("{} {} {}", left.say_alone(speech), speech.signs.times, right.say_alone(speech)),
        _ => return None,
    };
    let unit = if tail.is_empty() { Some("") } else { speech.unit(tail).map(|noun| noun.forms[2]) };
    unit.map(|unit| format!("{said} {unit}"))
}

/// Everything else, piece by piece: codes, versions, words with numbers in them.
fn pieces(core: &str, context: &Context) -> String {
    let speech = context.speech;
    let mut said: Vec<String> = Vec::new();
    for part in core.split(['-', '/', '_', ':', ';', '|', '(', ')', '[', ']', ' ']).filter(|part| !part.is_empty()) {
        match Amount::parse(part, speech) {
            Some(amount) => said.push(amount.say()),
            None => runs(part, context, &mut said),
        }
    }
    said.join(" ")
}

/// Runs of letters, numbers and signs.
fn runs(part: &str, context: &Context, said: &mut Vec<String>) {
    let speech = context.speech;
    let mut rest = part;
    let mut capitals = false;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_digit() {
            let Some((number, further)) = Number::parse(rest, speech) else { return };
            let code = if capitals { (speech.code)(&number.whole).filter(|_| number.fraction.is_none()) } else { None };
            said.push(code.unwrap_or_else(|| number.say_alone(speech)));
            (rest, capitals) = (further, false);
            continue;
        }
        let letter = |c: char| c.is_alphabetic() || text::is_mark(c) || c == '\'';
        let end = if letter(c) { rest.find(|c| !letter(c)).unwrap_or(rest.len()) } else { c.len_utf8() };
        let (run, further) = rest.split_at(end);
        let between = !said.is_empty() && further.starts_with(|c: char| c.is_ascii_digit());
        match c {
            '.' if between => said.push(speech.signs.point.to_owned()),
            _ if letter(c) => {
                capitals = run.chars().count() <= 3 && run.chars().all(char::is_uppercase);
                said.push(if capitals {
                    acronym::spell(run)
                } else {
                    acronym::word_phrase(run, speech, context.shouting)
                });
            }
            '^' if further.starts_with(['2', '3']) && !further[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                said.push(speech.signs.powers[usize::from(further.starts_with('3'))].to_owned());
                rest = &further[1..];
                continue;
            }
            _ => said.extend(sign(c, speech).map(str::to_owned)),
        }
        rest = further;
    }
}
