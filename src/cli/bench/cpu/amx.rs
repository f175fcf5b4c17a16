//! Dot products of whole tiles in registers (Intel AMX), where the processor has them and the system lets a program use them.
//! Their intrinsics are not stable, so the loops are written as instructions.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use palabra::ops::instructions::{has_bfloat16_unit, int8_instructions};

use super::dot::Way;

/// Tiles of bf16.
pub fn bfloat() -> Option<Way> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if has_bfloat16_unit() {
        return Some((tiles::bfloat, "AMX-BF16"));
    }
    None
}

/// Tiles of int8.
pub fn int8() -> Option<Way> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if int8_instructions() == "AMX" {
        return Some((tiles::int8, "AMX-INT8"));
    }
    None
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles {
    use std::arch::asm;

    use super::super::peaks::INSTRUCTIONS;

    /// A tile instruction takes sixteen cycles, where others take a half.
    const TIMES: usize = INSTRUCTIONS / 4 / 16;

    /// Palette 1: eight tiles of 16 rows of 64 bytes.
    #[repr(C, align(64))]
    struct Shapes {
        palette: u8,
        start: u8,
        reserved: [u8; 14],
        bytes: [u16; 16],
        rows: [u8; 16],
    }

    static SHAPES: Shapes = {
        let (mut bytes, mut rows) = ([0; 16], [0; 16]);
        let mut tile = 0;
        while tile < 8 {
            (bytes[tile], rows[tile]) = (64, 16);
            tile += 1;
        }
        Shapes { palette: 1, start: 0, reserved: [0; 14], bytes, rows }
    };

    /// Runs an instruction on four sums from two pairs of tiles, [`TIMES`] times.
    macro_rules! repeat {
        ($instruction:literal) => {
            // SAFETY: only offered where Palabra's own operations use the tiles; the shapes are read, registers are declared, and the tiles are given
            // back at the end.
            unsafe {
                asm!(
                    "ldtilecfg [{shapes}]",
                    "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                    "tilezero tmm4", "tilezero tmm5", "tilezero tmm6", "tilezero tmm7",
                    "2:",
                    concat!($instruction, " tmm0, tmm4, tmm6"),
                    concat!($instruction, " tmm1, tmm4, tmm7"),
                    concat!($instruction, " tmm2, tmm5, tmm6"),
                    concat!($instruction, " tmm3, tmm5, tmm7"),
                    "dec {left}",
                    "jnz 2b",
                    "tilerelease",
                    shapes = in(reg) &raw const SHAPES,
                    left = inout(reg) TIMES => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(readonly, nostack),
                );
            }
        };
    }

    pub fn bfloat() -> f64 {
        repeat!("tdpbf16ps");
        // Sixteen by sixteen sums of 32 products each.
        (TIMES * 4 * 16 * 16 * 32 * 2) as f64
    }

    pub fn int8() -> f64 {
        repeat!("tdpbssd");
        (TIMES * 4 * 16 * 16 * 64 * 2) as f64
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn tiles_of_int8_do_twice_what_those_of_bf16_do() {
            if super::super::int8().is_some() && super::super::bfloat().is_some() {
                assert_eq!(int8(), 2.0 * bfloat());
            }
            assert_eq!(size_of::<Shapes>(), 64);
        }
    }
}
