//! HE-AAC by its core.
//!
//! HE-AAC is AAC-LC at half the sample rate (for version 2: in mono) plus hints from which a full decoder invents the
//! upper octave and the stereo image. Speech recognition wants 8 kHz of bandwidth in mono, which the core nearly always
//! has, so the configuration is rewritten to plain AAC-LC and the hints are left aside. Configuration bits: ISO/IEC
//! 14496-3, 1.6.2.1.

/// Object types of the configuration.
const LOW_COMPLEXITY: u32 = 2;
const SPECTRAL_BAND_REPLICATION: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;

/// Index that announces a sample rate in full, in 24 bits.
const ESCAPED_RATE: u32 = 15;

/// Introduces the backward-compatible signalling at the end of a plain AAC-LC configuration.
const SYNC_EXTENSION: u32 = 0x2b7;

/// An AAC configuration as the container gives it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Configuration {
    /// The codec's usual name.
    pub name: &'static str,
    /// A configuration for the AAC-LC core, where the stream is HE-AAC.
    pub core: Option<Vec<u8>>,
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        if self.at + count > self.bytes.len() * 8 {
            return None;
        }
        let value = (self.at..self.at + count)
            .fold(0, |value, bit| value << 1 | u32::from(self.bytes[bit / 8] >> (7 - bit % 8) & 1));
        self.at += count;
        Some(value)
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            kind => Some(kind),
        }
    }

    /// A sample rate as its bits: the index, and the full rate where the index announces one.
    fn rate(&mut self) -> Option<(u32, Option<u32>)> {
        match self.take(4)? {
            ESCAPED_RATE => Some((ESCAPED_RATE, Some(self.take(24)?))),
            index => Some((index, None)),
        }
    }
}

/// Reads an AudioSpecificConfig; `None` when it is too short.
pub(super) fn read(config: &[u8]) -> Option<Configuration> {
    let mut bits = Bits { bytes: config, at: 0 };
    let mut kind = bits.object_type()?;
    let rate = bits.rate()?;
    let channels = bits.take(4)?;
    let mut name = match kind {
        PARAMETRIC_STEREO => "HE-AAC v2",
        SPECTRAL_BAND_REPLICATION => "HE-AAC",
        other => return Some(plain(other, rate, channels, &mut bits)),
    };
    bits.rate()?;
    kind = bits.object_type()?;
    if kind != LOW_COMPLEXITY {
        name = name_of(kind);
        return Some(Configuration { name, core: None });
    }
    Some(Configuration { name, core: Some(core(rate, channels)) })
}

/// A configuration whose first object type is not HE-AAC; AAC-LC may still announce it behind.
fn plain(kind: u32, rate: (u32, Option<u32>), channels: u32, bits: &mut Bits<'_>) -> Configuration {
    let announced = kind == LOW_COMPLEXITY && announces_replication(bits).unwrap_or(false);
    if announced {
        return Configuration { name: "HE-AAC", core: Some(core(rate, channels)) };
    }
    Configuration { name: name_of(kind), core: None }
}

fn announces_replication(bits: &mut Bits<'_>) -> Option<bool> {
    bits.take(1)?;
    if bits.take(1)? == 1 {
        bits.take(14)?;
    }
    bits.take(1)?;
    let announced = bits.take(11)? == SYNC_EXTENSION && bits.object_type()? == SPECTRAL_BAND_REPLICATION;
    Some(announced && bits.take(1)? == 1)
}

/// The bits of a plain AAC-LC configuration: object type, rate, channels, frames of 1024 samples, nothing more.
fn core((index, full): (u32, Option<u32>), channels: u32) -> Vec<u8> {
    let mut value = u64::from(LOW_COMPLEXITY) << 4 | u64::from(index);
    let mut width = 9;
    if let Some(rate) = full {
        value = value << 24 | u64::from(rate);
        width += 24;
    }
    value = (value << 4 | u64::from(channels)) << 3;
    width += 7;
    value.wrapping_shl(64 - width).to_be_bytes()[..(width as usize).div_ceil(8)].to_vec()
}

fn name_of(kind: u32) -> &'static str {
    match kind {
        1 => "AAC Main",
        LOW_COMPLEXITY => "AAC-LC",
        3 => "AAC SSR",
        4 => "AAC LTP",
        23 => "AAC-LD",
        39 => "AAC-ELD",
        42 => "xHE-AAC (USAC)",
        _ => "an unusual profile of AAC",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_aac_is_left_alone() {
        assert_eq!(read(&[0x12, 0x10]), Some(Configuration { name: "AAC-LC", core: None }));
        // AAC-LC, 16 kHz, mono, with the announcement that there is no band replication.
        assert_eq!(read(&[20, 8, 86, 229, 0]), Some(Configuration { name: "AAC-LC", core: None }));
        assert_eq!(read(&[0xf8]), None);
    }

    #[test]
    fn explicit_he_aac_becomes_its_core() {
        // Object type 5, core 22.05 kHz (7), stereo, full rate 44.1 kHz (4), core AAC-LC.
        let config = read(&[0x2b, 0x92, 0x08, 0x00]).expect("a whole configuration");
        assert_eq!(config.name, "HE-AAC");
        let core = config.core.expect("a core");
        // Object type 2, rate index 7, 2 channels: 00010 0111 0010 000.
        assert_eq!(core, [0x13, 0x90]);
        assert_eq!(read(&core), Some(Configuration { name: "AAC-LC", core: None }));
    }

    #[test]
    fn announced_he_aac_becomes_its_core() {
        // AAC-LC, 24 kHz (6), mono, sync extension, object type 5, present, 48 kHz (3).
        let config = read(&[0x13, 0x08, 0x56, 0xe5, 0x98]).expect("a whole configuration");
        assert_eq!((config.name, config.core), ("HE-AAC", Some(vec![0x13, 0x08])));
    }

    #[test]
    fn other_profiles_are_named() {
        assert_eq!(read(&[0xf9, 0x46, 0x40]).map(|config| config.name), Some("xHE-AAC (USAC)"));
    }
}
