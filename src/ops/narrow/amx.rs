//! Intel's Advanced Matrix Extensions: tiles of 16 rows of 64 bytes (Intel's manual, volume 1, chapter 18).
//!
//! Written as assembly since the compiler's own functions for it are not stable.

use std::{arch::asm, marker::PhantomData};

use super::{Block, LINE, Line, PANEL_LINES, TILE_ROWS};
use crate::ops::matrix::PANEL;

/// The tiles of this thread, set up for 16 rows of 64 bytes each; while it lives, other code of the thread may not use tiles.
pub(in crate::ops) struct Tiles {
    /// Bound to its thread.
    thread: PhantomData<*const ()>,
}

/// What `LDTILECFG` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes of a row.
    widths: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Sets the tiles up.
    ///
    /// # Safety
    /// The processor has AMX-TILE and the process may use it.
    pub(in crate::ops) unsafe fn new() -> Self {
        let mut widths = [0; 16];
        let mut rows = [0; 16];
        widths[..8].fill(LINE as u16);
        rows[..8].fill(TILE_ROWS as u8);
        let configuration = Configuration { palette: 1, start_row: 0, reserved: [0; 14], widths, rows };
        // SAFETY: the caller promises the instruction; it reads the 64 bytes of the configuration.
        unsafe {
            asm!(
                "ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            );
        }
        Self { thread: PhantomData }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // Tiles that hold nothing cost nothing when threads take turns.
        // SAFETY: the tiles were set up by `new`.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// `out[r][c] = sum of rows[r] · panel[c]` by one dot-product instruction: 32 rows by 32 columns, or 16 by 32.
macro_rules! tile_product {
    ($name:ident, $instruction:literal, $sum:ty, $what:literal) => {
        #[doc = concat!("Sums of a block of ", $what, " rows and a panel's columns. `out` is the first of as many rows, `stride` elements apart; all of the 16 or 32 rows in memory are written.")]
        ///
        /// # Safety
        /// The processor has the instruction, and `out` has room for 16 rows, or 32 where the block has more than 16.
        pub(in crate::ops) unsafe fn $name(_tiles: &Tiles, rows: Block<'_>, panel: &[Line], out: *mut $sum, stride: usize) {
            assert!(panel.len() >= rows.lines * PANEL_LINES && stride >= PANEL);
            let row_step = rows.lines * LINE;
            let first = rows.memory.as_ptr();
            let out_step = stride * size_of::<$sum>();
            if rows.count <= TILE_ROWS {
                // SAFETY: reads 16 rows and the panel, whose lengths were checked; writes where the caller allows it.
                unsafe {
                    asm!(
                        "tilezero tmm0",
                        "tilezero tmm1",
                        "2:",
                        "tileloadd tmm4, [{row} + {row_step}]",
                        "tileloadd tmm6, [{panel} + {panel_step}]",
                        "tileloadd tmm7, [{panel} + {panel_step} + 64]",
                        concat!($instruction, " tmm0, tmm4, tmm6"),
                        concat!($instruction, " tmm1, tmm4, tmm7"),
                        "add {row}, 64",
                        "add {panel}, 2048",
                        "dec {steps}",
                        "jnz 2b",
                        "tilestored [{out} + {out_step}], tmm0",
                        "tilestored [{out} + {out_step} + 64], tmm1",
                        row = inout(reg) first => _,
                        panel = inout(reg) panel.as_ptr() => _,
                        steps = inout(reg) rows.lines => _,
                        row_step = in(reg) row_step,
                        panel_step = in(reg) 2 * LINE,
                        out = in(reg) out,
                        out_step = in(reg) out_step,
                        out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
                return;
            }
            // SAFETY: as above, with 32 rows.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    "tileloadd tmm4, [{row} + {row_step}]",
                    "tileloadd tmm6, [{panel} + {panel_step}]",
                    "tileloadd tmm7, [{panel} + {panel_step} + 64]",
                    concat!($instruction, " tmm0, tmm4, tmm6"),
                    "tileloadd tmm5, [{second} + {row_step}]",
                    concat!($instruction, " tmm1, tmm4, tmm7"),
                    concat!($instruction, " tmm2, tmm5, tmm6"),
                    concat!($instruction, " tmm3, tmm5, tmm7"),
                    "add {row}, 64",
                    "add {second}, 64",
                    "add {panel}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{out} + {out_step}], tmm0",
                    "tilestored [{out} + {out_step} + 64], tmm1",
                    "tilestored [{lower} + {out_step}], tmm2",
                    "tilestored [{lower} + {out_step} + 64], tmm3",
                    row = inout(reg) first => _,
                    second = inout(reg) first.add(TILE_ROWS * rows.lines) => _,
                    panel = inout(reg) panel.as_ptr() => _,
                    steps = inout(reg) rows.lines => _,
                    row_step = in(reg) row_step,
                    panel_step = in(reg) 2 * LINE,
                    out = in(reg) out,
                    lower = in(reg) out.add(TILE_ROWS * stride),
                    out_step = in(reg) out_step,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

tile_product!(int8_tile, "tdpbssd", i32, "int8");
tile_product!(bfloat16_tile, "tdpbf16ps", f32, "bfloat16");
