//! Amounts as people write them: `90`, `10m`, `4h` for times, `500MB`, `1GiB` for sizes.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// Longest time that a setting may give: a year.
const LONGEST: f64 = 366.0 * 86_400.0;

/// A time, in seconds where no unit is written.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Seconds(pub f64);

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Seconds {
    /// As the standard library has it.
    pub fn duration(self) -> Duration {
        Duration::from_secs_f64(self.0)
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0), ("", 1.0)];
        match amount(text, &units) {
            Some(seconds) if seconds <= LONGEST => Ok(Self(seconds)),
            Some(_) => Err(format!("'{text}' is longer than a year")),
            None => Err(format!("'{text}' is no time; write seconds, or a number with a unit such as 90s, 10m or 4h")),
        }
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kilo, kibi) = (1e3, 1024f64);
        let units = [
            ("KiB", kibi),
            ("MiB", kibi.powi(2)),
            ("GiB", kibi.powi(3)),
            ("TiB", kibi.powi(4)),
            ("KB", kilo),
            ("MB", kilo.powi(2)),
            ("GB", kilo.powi(3)),
            ("TB", kilo.powi(4)),
            ("B", 1.0),
            ("", 1.0),
        ];
        match amount(text, &units) {
            // Beyond this a number of bytes is no longer exact in the arithmetic here, and nobody has so many.
            Some(bytes) if bytes <= kibi.powi(5) => Ok(Self(bytes as u64)),
            _ => Err(format!("'{text}' is no size; write bytes, or a number with a unit such as 500MB or 1GiB")),
        }
    }
}

/// A number with one of the units, in any case; `None` for everything else.
fn amount(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?.1;
    number.parse::<f64>().ok().map(|number| number * factor).filter(|amount| amount.is_finite())
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Amount).and_then(|text| text.parse().map_err(de::Error::custom))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Amount).and_then(|text| text.parse().map_err(de::Error::custom))
    }
}

/// A number or a text, as text.
struct Amount;

impl de::Visitor<'_> for Amount {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a text with a number and a unit")
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_default_to_seconds() {
        for (text, seconds) in [("90", 90.0), ("1.5s", 1.5), ("10m", 600.0), ("4 h", 14_400.0), ("250ms", 0.25)] {
            assert_eq!(text.parse::<Seconds>(), Ok(Seconds(seconds)), "{text}");
        }
        for text in ["", "soon", "-1", "1w", "1e9", "999999999", "nan"] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_decimal_or_binary() {
        for (text, bytes) in [("1024", 1024), ("1GiB", 1 << 30), ("500 MB", 500_000_000), ("1.5kib", 1536)] {
            assert_eq!(text.parse::<Bytes>(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "much", "-1", "1.2.3", "9999999TB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
