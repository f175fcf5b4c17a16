//! Roman numerals.

use super::context::Context;

/// The value of a Roman numeral below ninety in its one proper spelling.
pub(super) fn value(numeral: &str) -> Option<u64> {
    const PARTS: [(&str, u64); 7] = [("L", 50), ("XL", 40), ("X", 10), ("IX", 9), ("V", 5), ("IV", 4), ("I", 1)];
    let spell = |mut value: u64| {
        let mut spelled = String::new();
        for (part, worth) in PARTS {
            while value >= worth {
                spelled += part;
                value -= worth;
            }
        }
        spelled
    };
    (numeral.len() <= 7).then(|| (1..90).find(|value| spell(*value) == numeral))?
}

/// The value of a numeral of several letters that stands behind a name, or beside the word for a century.
pub(super) fn named(context: &Context, century: &str) -> Option<u64> {
    let core = context.word().core.as_str();
    let value = value(core).filter(|_| !context.shouting)?;
    let beside = context.previous_key().is_some_and(|previous| previous == century)
        || context.next_key().is_some_and(|next| next == century);
    let name = context.previous().is_some_and(|previous| {
        previous.is_capitalised() && !previous.parted && previous.core.contains(char::is_lowercase)
    });
    (beside || name && core.len() > 1).then_some(value)
}
