//! Dot products of narrow numbers in registers: the instructions that multiply bf16 or int8 and add into 32 bits.

/// Operations that one call does, in as many as [`super::peaks::INSTRUCTIONS`] instructions, and what these are called.
pub type Way = (fn() -> f64, &'static str);

/// The widest instructions of this processor for bf16.
pub fn bfloat() -> Option<Way> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512bf16") {
        return Some((x86::bfloat, "AVX512-BF16"));
    }
    None
}

/// The widest instructions of this processor for int8.
pub fn int8() -> Option<Way> {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512vnni") {
            return Some((x86::vnni, "AVX512-VNNI"));
        }
        if std::arch::is_x86_feature_detected!("avxvnni") {
            return Some((x86::narrow_vnni, "AVX-VNNI"));
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return Some((x86::avx2, "AVX2"));
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("dotprod") {
        return Some((arm::dotprod, "NEON dot product"));
    }
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::{arch::x86_64::*, hint::black_box};

    use super::super::peaks::INSTRUCTIONS;

    const CHAINS: usize = 12;
    const TIMES: usize = INSTRUCTIONS / CHAINS;

    pub fn bfloat() -> f64 {
        // SAFETY: only offered where the processor has these instructions.
        unsafe { bfloat_loop() }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn bfloat_loop() -> f64 {
        let bits: __m512bh = pulp::cast(black_box([0x3f80_3f80_u32; 16]));
        let mut sums = [_mm512_setzero_ps(); CHAINS];
        for _ in 0..TIMES {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, bits, bits);
            }
        }
        black_box(sums);
        // Sixteen sums of two products each.
        (TIMES * CHAINS * 16 * 2 * 2) as f64
    }

    pub fn vnni() -> f64 {
        // SAFETY: only offered where the processor has these instructions.
        unsafe { vnni_loop() }
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn vnni_loop() -> f64 {
        let ones = _mm512_set1_epi8(black_box(1));
        let mut sums = [_mm512_setzero_si512(); CHAINS];
        for _ in 0..TIMES {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, ones, ones);
            }
        }
        black_box(sums);
        // Sixteen sums of four products each.
        (TIMES * CHAINS * 16 * 4 * 2) as f64
    }

    pub fn narrow_vnni() -> f64 {
        // SAFETY: only offered where the processor has these instructions.
        unsafe { narrow_vnni_loop() }
    }

    #[target_feature(enable = "avx2,avxvnni")]
    fn narrow_vnni_loop() -> f64 {
        let ones = _mm256_set1_epi8(black_box(1));
        let mut sums = [_mm256_setzero_si256(); CHAINS];
        for _ in 0..TIMES {
            for sum in &mut sums {
                *sum = _mm256_dpbusd_avx_epi32(*sum, ones, ones);
            }
        }
        black_box(sums);
        (TIMES * CHAINS * 8 * 4 * 2) as f64
    }

    pub fn avx2() -> f64 {
        // SAFETY: only offered where the processor has these instructions.
        unsafe { avx2_loop() }
    }

    /// Three instructions for what the others do in one: products in pairs, pairs in pairs, sums.
    #[target_feature(enable = "avx2")]
    fn avx2_loop() -> f64 {
        let (left, right) = (_mm256_set1_epi8(black_box(1)), _mm256_set1_epi16(black_box(1)));
        let mut sums = [_mm256_setzero_si256(); CHAINS];
        for _ in 0..TIMES / 3 {
            for sum in &mut sums {
                // The sums go back in, so that no product is made once for all.
                let pairs = _mm256_maddubs_epi16(left, *sum);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, right));
            }
        }
        black_box(sums);
        (TIMES / 3 * CHAINS * 8 * 4 * 2) as f64
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn wider_instructions_do_more() {
            let per_instruction = |operations: f64| operations / (TIMES * CHAINS) as f64;
            if std::arch::is_x86_feature_detected!("avx512vnni") {
                assert_eq!(per_instruction(vnni()), 128.0);
            }
            if std::arch::is_x86_feature_detected!("avxvnni") {
                assert_eq!(per_instruction(narrow_vnni()), 64.0);
            }
            if std::arch::is_x86_feature_detected!("avx512bf16") {
                assert_eq!(per_instruction(bfloat()), 64.0);
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                assert!(avx2() > 0.0);
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::asm;

    use super::super::peaks::INSTRUCTIONS;

    /// Eight chains of `sdot`, whose intrinsic is not stable.
    pub fn dotprod() -> f64 {
        let times = INSTRUCTIONS / 8;
        // SAFETY: only offered where the processor has the instruction; registers are declared, memory is not touched.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "2:",
                "sdot v0.4s, v8.16b, v9.16b",
                "sdot v1.4s, v8.16b, v9.16b",
                "sdot v2.4s, v8.16b, v9.16b",
                "sdot v3.4s, v8.16b, v9.16b",
                "sdot v4.4s, v8.16b, v9.16b",
                "sdot v5.4s, v8.16b, v9.16b",
                "sdot v6.4s, v8.16b, v9.16b",
                "sdot v7.4s, v8.16b, v9.16b",
                "subs {left}, {left}, #1",
                "b.ne 2b",
                left = inout(reg) times => _,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _,
                out("v5") _, out("v6") _, out("v7") _, out("v8") _, out("v9") _,
                options(nomem, nostack),
            );
        }
        // Four sums of four products each.
        (times * 8 * 4 * 4 * 2) as f64
    }
}
