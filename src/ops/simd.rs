//! Vectors of f32: which instructions run is chosen at run time, once per task, by the processor.

use half::{bf16, f16, slice::HalfFloatSliceExt};
use pulp::{Arch, NullaryFnOnce, Scalar, Simd};

#[cfg(target_arch = "x86_64")]
use super::instructions::{Level, limit};

/// A set of vector instructions, with what `pulp` lacks: loads that widen.
pub(super) trait Lanes: Simd {
    /// The first `F32_LANES` elements of `source` in f32.
    #[inline(always)]
    fn widen_f16(self, source: &[f16]) -> Self::f32s {
        let mut lanes = [0.0; 16];
        for (target, &bits) in lanes[..Self::F32_LANES].iter_mut().zip(source.reinterpret_cast()) {
            *target = widen_half(bits);
        }
        Self::as_simd_f32s(&lanes).0[0]
    }

    /// The first `F32_LANES` elements of `source` in f32.
    #[inline(always)]
    fn widen_bf16(self, source: &[bf16]) -> Self::f32s {
        let mut lanes = [0.0; 16];
        for (target, &bits) in lanes[..Self::F32_LANES].iter_mut().zip(source.reinterpret_cast()) {
            *target = f32::from_bits(u32::from(bits) << 16);
        }
        Self::as_simd_f32s(&lanes).0[0]
    }
}

/// f16 to f32 by shifting the fields into place and moving the exponent; exact for all finite numbers.
#[inline(always)]
fn widen_half(bits: u16) -> f32 {
    let bits = u32::from(bits);
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(magnitude.to_bits() | ((bits & 0x8000) << 16))
}

#[cfg(target_arch = "x86_64")]
impl Lanes for pulp::x86::V4 {
    #[inline(always)]
    fn widen_f16(self, source: &[f16]) -> Self::f32s {
        let Some(bits) = source.reinterpret_cast().first_chunk::<16>() else {
            unreachable!("callers pass whole vectors");
        };
        pulp::cast(self.avx512f._mm512_cvtph_ps(pulp::cast(*bits)))
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for pulp::x86::V3 {
    #[inline(always)]
    fn widen_f16(self, source: &[f16]) -> Self::f32s {
        let Some(bits) = source.reinterpret_cast().first_chunk::<8>() else {
            unreachable!("callers pass whole vectors");
        };
        // SAFETY: `dispatch` takes these instructions only where F16C is there too (as on every processor with AVX2).
        pulp::cast(unsafe { std::arch::x86_64::_mm256_cvtph_ps(pulp::cast(*bits)) })
    }
}

/// Runs a task where F16C may be used, which `pulp` does not count among the instructions of V3.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,avx2,bmi1,bmi2,f16c,fma,lzcnt,popcnt")]
fn with_f16c<T: Task>(task: T, simd: pulp::x86::V3) -> T::Output {
    task.run(simd)
}

/// Whether the processor widens f16 by an instruction; where it must be done by hand, f16 is slower than f32.
pub(super) fn widens_f16() -> bool {
    match arch() {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => true,
        #[cfg(target_arch = "x86_64")]
        Arch::V3(_) => std::arch::is_x86_feature_detected!("f16c"),
        _ => false,
    }
}

#[cfg(target_arch = "aarch64")]
impl Lanes for pulp::aarch64::Neon {}

impl Lanes for Scalar {}

/// Work written once for all instruction sets; `run` must be `#[inline(always)]`.
pub(super) trait Task {
    /// What the work yields.
    type Output;

    /// Does the work.
    fn run<S: Lanes>(self, simd: S) -> Self::Output;
}

struct Call<T, S> {
    task: T,
    simd: S,
}

impl<T: Task, S: Lanes> NullaryFnOnce for Call<T, S> {
    type Output = T::Output;

    #[inline(always)]
    fn call(self) -> Self::Output {
        self.task.run(self.simd)
    }
}

/// The widest vectors of this processor within the user's limit.
#[inline]
fn arch() -> Arch {
    #[cfg(target_arch = "x86_64")]
    {
        let limit = limit();
        if limit < Level::Avx512 {
            return match pulp::x86::V3::try_new() {
                Some(simd) if limit == Level::Avx2 => Arch::V3(simd),
                _ => Arch::Scalar,
            };
        }
    }
    Arch::new()
}

/// Runs a task with the widest vectors that the processor has.
pub(super) fn dispatch<T: Task>(task: T) -> T::Output {
    match arch() {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(simd) => simd.vectorize(Call { task, simd }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: pulp found all of V3, and F16C is checked here.
        Arch::V3(simd) if std::arch::is_x86_feature_detected!("f16c") => unsafe { with_f16c(task, simd) },
        #[cfg(target_arch = "aarch64")]
        Arch::Neon(simd) => simd.vectorize(Call { task, simd }),
        _ => task.run(Scalar),
    }
}

/// An element of weights and caches: stored in its own type, computed with in f32.
pub(super) trait Element: Copy + Send + Sync + Default + 'static {
    /// The first `F32_LANES` elements of `source` in f32.
    fn load<S: Lanes>(simd: S, source: &[Self]) -> S::f32s;

    /// The element in f32.
    fn widen(self) -> f32;

    /// All elements of `source` in f32.
    fn widen_all(source: &[Self], target: &mut [f32]);
}

impl Element for f32 {
    #[inline(always)]
    fn load<S: Lanes>(_: S, source: &[Self]) -> S::f32s {
        S::as_simd_f32s(source).0[0]
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    fn widen_all(source: &[Self], target: &mut [f32]) {
        target.copy_from_slice(source);
    }
}

impl Element for f16 {
    #[inline(always)]
    fn load<S: Lanes>(simd: S, source: &[Self]) -> S::f32s {
        simd.widen_f16(source)
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }

    fn widen_all(source: &[Self], target: &mut [f32]) {
        source.convert_to_f32_slice(target);
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn load<S: Lanes>(simd: S, source: &[Self]) -> S::f32s {
        simd.widen_bf16(source)
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }

    fn widen_all(source: &[Self], target: &mut [f32]) {
        source.convert_to_f32_slice(target);
    }
}

/// `c[0] + c[1] x + c[2] x^2 + ...` by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(coefficients[N - 1]);
    for &coefficient in coefficients[..N - 1].iter().rev() {
        sum = simd.mul_add_f32s(sum, x, simd.splat_f32s(coefficient));
    }
    sum
}

/// `2^x` with a relative error of 2e-7 for x in -125 .. 127; below, 2^-125 (2.4e-38).
///
/// x is split into its nearest integer n, which becomes the exponent, and a rest in -1/2 .. 1/2, whose power is a
/// polynomial (minimax, relative error 7.5e-8).
#[inline(always)]
pub(super) fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Adding 1.5 * 2^23 leaves n in the lowest bits of the sum.
    let shifter = simd.splat_f32s(12_582_912.0);
    let x = simd.max_f32s(x, simd.splat_f32s(-125.0));
    let shifted = simd.add_f32s(x, shifter);
    let rest = simd.sub_f32s(x, simd.sub_f32s(shifted, shifter));
    let power =
        polynomial(simd, rest, [1.000_000_1, 0.693_146_94, 0.240_221_2, 0.055_507_13, 0.009_675_541, 0.001_327_647_1]);
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(power), exponent))
}

/// GELU in its erf form, with an absolute error below 1e-7 for |x| < 1.
///
/// `gelu(x) = max(x, 0) - |x| / 2 * erfc(|x| / sqrt(2))`, and `log2(erfc(a / sqrt(2)))` is a polynomial of degree 8 in a
/// (minimax in the error of the product, 9e-9 on 0 .. 6; beyond 6 the product is below 6e-9).
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let a = simd.min_f32s(simd.abs_f32s(x), simd.splat_f32s(6.0));
    let logarithm = polynomial(
        simd,
        a,
        [
            0.0,
            -1.151_111,
            -0.459_162_15,
            -0.052_627_612,
            0.007_245_422,
            -0.000_272_076_02,
            -0.000_131_473_12,
            2.805_692_2e-5,
            -1.902_064_2e-6,
        ],
    );
    let product = simd.mul_f32s(simd.mul_f32s(a, simd.splat_f32s(0.5)), exp2(simd, logarithm));
    simd.sub_f32s(simd.max_f32s(x, simd.splat_f32s(0.0)), product)
}

/// Replaces every element by its GELU; the last, incomplete vector is padded with zeros.
///
/// No closure here or in other vector code: the compiler inlines a closure late, and without the instruction set around it.
#[inline(always)]
pub(super) fn gelu_all<S: Simd>(simd: S, values: &mut [f32]) {
    let (vectors, rest) = S::as_mut_simd_f32s(values);
    for vector in vectors {
        *vector = gelu(simd, *vector);
    }
    if !rest.is_empty() {
        let result = gelu(simd, simd.partial_load_f32s(rest));
        simd.partial_store_f32s(rest, result);
    }
}

/// Replaces every element below zero by zero.
#[inline(always)]
pub(super) fn relu_all<S: Simd>(simd: S, values: &mut [f32]) {
    let (vectors, rest) = S::as_mut_simd_f32s(values);
    for vector in vectors {
        *vector = simd.max_f32s(*vector, simd.splat_f32s(0.0));
    }
    for value in rest {
        *value = value.max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Widened(Vec<f16>, Vec<bf16>);

    impl Task for Widened {
        type Output = bool;

        fn run<S: Lanes>(self, simd: S) -> bool {
            let lanes = S::F32_LANES;
            let same = |vector: S::f32s, expected: &[f32]| {
                let mut values = [0.0; 16];
                S::as_mut_simd_f32s(&mut values).0[0] = vector;
                values[..lanes] == *expected
            };
            let half = self.0.chunks_exact(lanes).all(|chunk| {
                let expected: Vec<f32> = chunk.iter().map(|value| value.to_f32()).collect();
                same(f16::load(simd, chunk), &expected)
            });
            let brain = self.1.chunks_exact(lanes).all(|chunk| {
                let expected: Vec<f32> = chunk.iter().map(|value| value.to_f32()).collect();
                same(bf16::load(simd, chunk), &expected)
            });
            half && brain
        }
    }

    /// All finite numbers of both types; 63,488 and 65,280 of them, multiples of the longest vector.
    fn all_numbers() -> Widened {
        Widened(
            (0..=u16::MAX).map(f16::from_bits).filter(|value| value.is_finite()).collect(),
            (0..=u16::MAX).map(bf16::from_bits).filter(|value| value.is_finite()).collect(),
        )
    }

    #[test]
    fn every_instruction_set_widens_exactly() {
        assert!(dispatch(all_numbers()), "the widest");
        assert!(all_numbers().run(Scalar), "scalar");
        #[cfg(target_arch = "x86_64")]
        if let (true, Some(simd)) = (std::arch::is_x86_feature_detected!("f16c"), pulp::x86::V3::try_new()) {
            // SAFETY: both were just found.
            assert!(unsafe { with_f16c(all_numbers(), simd) }, "V3");
        }
    }

    #[test]
    fn powers_of_two_are_close() {
        let mut worst = 0f64;
        for step in -12_400..12_600 {
            let x = step as f32 * 0.01;
            let expected = f64::from(x).exp2();
            worst = worst.max((f64::from(exp2(Scalar, x)) / expected - 1.0).abs());
        }
        println!("exp2: max rel error {worst:.2e}");
        assert!(worst < 3e-7, "{worst:.2e}");
        assert!(exp2(Scalar, f32::NEG_INFINITY) < 3e-38);
    }
}
