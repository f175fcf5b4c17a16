//! What the system says of the processor: its name and its caches. Where it says nothing, common sizes are taken.

use std::{fs, path::Path};

/// The second cache of a core, and the last one of all, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caches {
    /// Of one core.
    pub second: usize,
    /// Of all of them; as large as the second where there is no other.
    pub last: usize,
}

const USUAL: Caches = Caches { second: 2 << 20, last: 32 << 20 };

impl Caches {
    /// Those of the first core.
    pub fn of_this_machine() -> Self {
        Self::read(Path::new("/sys/devices/system/cpu/cpu0/cache")).unwrap_or(USUAL)
    }

    fn read(folder: &Path) -> Option<Self> {
        let of_level = |wanted: usize| {
            (0..8).find_map(|index| {
                let read = |name: &str| fs::read_to_string(folder.join(format!("index{index}")).join(name)).ok();
                let level: usize = read("level")?.trim().parse().ok()?;
                (level == wanted).then(|| size(read("size")?.trim()))?
            })
        };
        let second = of_level(2)?;
        Some(Self { second, last: of_level(3).unwrap_or(second) })
    }
}

/// `48K`, `2M` or plain bytes.
fn size(text: &str) -> Option<usize> {
    let (number, unit) = match text.strip_suffix('K') {
        Some(number) => (number, 1 << 10),
        None => text.strip_suffix('M').map_or((text, 1), |number| (number, 1 << 20)),
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}

/// The processor's name; its architecture where the system does not tell.
pub fn name() -> String {
    let named = |text: String| {
        let line = text.lines().find(|line| line.starts_with("model name"))?.split_once(':')?.1.trim().to_owned();
        Some(line)
    };
    fs::read_to_string("/proc/cpuinfo").ok().and_then(named).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_found_by_their_level() {
        let folder = tempfile::tempdir().unwrap();
        for (index, (level, size)) in [("1", "48K"), ("1", "32K"), ("2", "2048K"), ("3", "96M")].into_iter().enumerate()
        {
            let cache = folder.path().join(format!("index{index}"));
            fs::create_dir(&cache).unwrap();
            fs::write(cache.join("level"), level).unwrap();
            fs::write(cache.join("size"), format!("{size}\n")).unwrap();
        }
        assert_eq!(Caches::read(folder.path()), Some(Caches { second: 2 << 20, last: 96 << 20 }));
        assert_eq!(Caches::read(&folder.path().join("none")), None);
        assert_eq!((size("512"), size("x"), size("3M")), (Some(512), None, Some(3 << 20)));
    }
}
