//! What graphics cards can do at most, from their public data sheets.
//!
//! Products in f16 are those with sums in f32, which is what Candle asks cuBLAS for; GeForce cards halve the rate of their
//! sheets' larger figure for it. All figures are dense; sheets that tell only sparse ones are halved. Candle leaves TF32
//! off, so products in f32 run on the ordinary cores.

/// A device's limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Peak {
    /// What it is called.
    pub name: String,
    /// Operations a second of products in f16 with sums in f32.
    pub half: f64,
    /// Operations a second in f32.
    pub single: f64,
    /// Bytes a second between memory and cores.
    pub bandwidth: f64,
}

/// A card: its short name, how the driver calls it, T operations a second in f16 and in f32, GB/s.
struct Card {
    name: &'static str,
    driver: &'static [&'static str],
    half: f64,
    single: f64,
    bandwidth: f64,
}

const CARDS: [Card; 18] = [
    card("B200", &["NVIDIA B200"], 2250.0, 75.0, 8000.0),
    card("H200", &["NVIDIA H200"], 989.4, 66.9, 4800.0),
    card("H100", &["NVIDIA H100 80GB HBM3"], 989.4, 66.9, 3350.0),
    card("H100-PCIe", &["NVIDIA H100 PCIe"], 756.5, 51.2, 2000.0),
    card("H100-NVL", &["NVIDIA H100 NVL"], 835.5, 60.0, 3900.0),
    card("A100", &["NVIDIA A100-SXM4-80GB"], 312.0, 19.5, 2039.0),
    card("A100-PCIe", &["NVIDIA A100 80GB PCIe"], 312.0, 19.5, 1935.0),
    card("A100-40GB", &["NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB"], 312.0, 19.5, 1555.0),
    card("A30", &["NVIDIA A30"], 165.0, 10.3, 933.0),
    card("A10", &["NVIDIA A10"], 125.0, 31.2, 600.0),
    card("A10G", &["NVIDIA A10G"], 70.0, 35.0, 600.0),
    card("L4", &["NVIDIA L4"], 121.0, 30.3, 300.0),
    card("L40S", &["NVIDIA L40S"], 362.05, 91.6, 864.0),
    card("T4", &["Tesla T4"], 65.0, 8.1, 300.0),
    card("RTX-A6000", &["NVIDIA RTX A6000"], 154.8, 38.7, 768.0),
    card("RTX-3090", &["NVIDIA GeForce RTX 3090"], 71.0, 35.6, 936.0),
    card("RTX-4090", &["NVIDIA GeForce RTX 4090"], 165.2, 82.6, 1008.0),
    card("RTX-5090", &["NVIDIA GeForce RTX 5090"], 209.5, 104.8, 1792.0),
];

const fn card(name: &'static str, driver: &'static [&'static str], half: f64, single: f64, bandwidth: f64) -> Card {
    Card { name, driver, half, single, bandwidth }
}

impl Card {
    fn peak(&self) -> Peak {
        Peak {
            name: self.name.into(),
            half: self.half * 1e12,
            single: self.single * 1e12,
            bandwidth: self.bandwidth * 1e9,
        }
    }
}

/// The short names of all known cards.
pub fn names() -> impl Iterator<Item = &'static str> {
    CARDS.iter().map(|card| card.name)
}

/// A card by its short name, in whatever case.
pub fn find(name: &str) -> Option<Peak> {
    CARDS.iter().find(|card| card.name.eq_ignore_ascii_case(name)).map(Card::peak)
}

/// A card by the name that its driver gives it. Variants (laptops, `D`, `SUPER`) have other limits and are not known.
pub fn of_driver(name: &str) -> Option<Peak> {
    CARDS.iter().find(|card| card.driver.contains(&name.trim())).map(Card::peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_found_by_both_names() {
        assert_eq!(find("rtx-4090"), of_driver("NVIDIA GeForce RTX 4090"));
        assert_eq!(of_driver("NVIDIA GeForce RTX 4090 Laptop GPU"), None);
        assert_eq!(of_driver("NVIDIA H100 80GB HBM3").map(|peak| peak.bandwidth), Some(3.35e12));
        assert_eq!(find("abacus"), None);
        let distinct: std::collections::BTreeSet<_> = names().collect();
        assert_eq!(distinct.len(), CARDS.len());
        for name in names() {
            let peak = find(name).unwrap();
            assert!(peak.half > 1.5 * peak.single && peak.half / peak.bandwidth > 40.0, "{peak:?}");
        }
    }
}
