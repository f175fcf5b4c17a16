//! Which instructions the products of narrow numbers run on: found once, at run time.

use std::{env, sync::OnceLock};

/// Names the variable that keeps Palabra from instructions above a level, to measure what an older processor would do.
pub const LIMIT_VARIABLE: &str = "PALABRA_MAX_CPU_ISA";

/// Levels of instructions, each with those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// What every processor of its kind has.
    Baseline,
    /// 256-bit vectors.
    Avx2,
    /// 512-bit vectors.
    Avx512,
    /// Tiles.
    Amx,
}

/// Instructions that multiply int8 and sum in int32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Integers {
    /// `TDPBSSD`: 16 x 64 by 64 x 16 at once.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// `VPDPBUSD` on 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// `VPDPBUSD` on 256 bits.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// `VPMADDWD` on 256 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// `SDOT`.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// One product at a time.
    Portable,
}

impl Integers {
    /// The instructions' usual name.
    pub(super) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => "AMX",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => "AVX512-VNNI",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => "AVX-VNNI",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "NEON",
            Self::Portable => "portable",
        }
    }

    /// All that this processor has, the fastest first; the portable ones are always there.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx512f") && amx().is_some_and(|amx| amx.int8) {
                all.push(Self::Amx);
            }
            if has!("avx512f") && has!("avx512vnni") {
                all.push(Self::Avx512Vnni);
            }
            if has!("avx2") && has!("avxvnni") {
                all.push(Self::AvxVnni);
            }
            if has!("avx2") {
                all.push(Self::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            all.push(Self::Neon);
        }
        all.push(Self::Portable);
        all
    }

    fn level(self) -> Level {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Level::Amx,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => Level::Avx512,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni | Self::Avx2 => Level::Avx2,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => Level::Baseline,
            Self::Portable => Level::Baseline,
        }
    }
}

/// The fastest instructions for int8 within the limit.
pub(super) fn integers() -> Integers {
    static FOUND: OnceLock<Integers> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let limit = limit();
        Integers::all().into_iter().find(|integers| integers.level() <= limit).unwrap_or(Integers::Portable)
    })
}

/// Whether int8 is faster than f32 here: where the processor has instructions for it.
pub fn has_fast_int8() -> bool {
    integers() != Integers::Portable
}

/// Whether the processor has a matrix unit for bfloat16 that Palabra may use: AMX-BF16, beside AVX-512.
pub fn has_bfloat16_unit() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        static FOUND: OnceLock<bool> = OnceLock::new();
        *FOUND.get_or_init(|| {
            use std::arch::is_x86_feature_detected as has;
            limit() >= Level::Amx && has!("avx512f") && amx().is_some_and(|amx| amx.bfloat16)
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// What int8 products run on, for reports: `AMX`, `AVX512-VNNI`, `AVX-VNNI`, `AVX2`, `NEON` or `portable`.
pub fn int8_instructions() -> &'static str {
    integers().name()
}

/// The level that the user allows; a name that is not one is refused by [`check_limit`] at the start and counts as none.
pub(super) fn limit() -> Level {
    static LIMIT: OnceLock<Level> = OnceLock::new();
    *LIMIT.get_or_init(|| named_limit().unwrap_or(Level::Amx))
}

/// Refuses a limit that is not known.
///
/// # Errors
/// The sentence that says which names there are.
pub fn check_limit() -> Result<(), String> {
    named_limit().map(|_| ())
}

fn named_limit() -> Result<Level, String> {
    match env::var(LIMIT_VARIABLE).as_deref() {
        Err(_) | Ok("" | "amx") => Ok(Level::Amx),
        Ok("avx512") => Ok(Level::Avx512),
        Ok("avx2") => Ok(Level::Avx2),
        Ok("baseline") => Ok(Level::Baseline),
        Ok(other) => Err(format!(
            "{LIMIT_VARIABLE} is '{other}': use amx, avx512, avx2 or baseline, or leave it out for the best"
        )),
    }
}

/// The parts of AMX that the processor has and the kernel lets this process use.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
struct Amx {
    int8: bool,
    bfloat16: bool,
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn amx() -> Option<Amx> {
    static FOUND: OnceLock<Option<Amx>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // Intel's manual, volume 2, CPUID leaf 7: EDX bits 22 (AMX-BF16), 24 (AMX-TILE), 25 (AMX-INT8).
        let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
        if features & 1 << 24 == 0 {
            return None;
        }
        // Linux hands out the large register state on request: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
        // SAFETY: a system call that reads no memory of ours.
        let refused = unsafe { libc::syscall(libc::SYS_arch_prctl, 0x1023, 18) };
        (refused == 0).then_some(Amx { int8: features & 1 << 25 != 0, bfloat16: features & 1 << 22 != 0 })
    })
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn amx() -> Option<Amx> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portable_instructions_are_always_there_and_last() {
        let all = Integers::all();
        assert_eq!(all.last(), Some(&Integers::Portable));
        assert!(all.windows(2).all(|pair| pair[0].level() >= pair[1].level()), "{all:?}");
        println!("int8 runs on {}; of {all:?}", int8_instructions());
        assert!(all.contains(&integers()));
    }
}
