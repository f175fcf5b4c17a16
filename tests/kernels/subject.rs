//! A kernel under test: random shapes, what its definition on the CPU makes of them, and three programs that run it.

use std::thread;

use candle_core::DType;
use libtest_mimic::Trial;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    case::{Case, Difference},
    program::Flavour,
    support::trial,
};

/// How large the shapes of a case may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As large as serves to find mistakes.
    Ordinary,
    /// For the sanitizers: few blocks, short loops.
    Small,
}

/// A kernel.
#[derive(Clone, Copy)]
pub struct Subject {
    /// The file in `kernels/`.
    pub name: &'static str,
    /// A case of random shape, and what it should give.
    pub case: fn(&mut StdRng, Size) -> Case,
    /// Cases of the plain program.
    pub cases: u64,
    /// Cases under the sanitizer of races, which is slow.
    pub race_cases: u64,
}

/// Cases under the sanitizer of bounds.
const BOUNDS_CASES: u64 = 100;
/// Cases that one process carries out.
const AT_ONCE: u64 = 50;

impl Subject {
    /// A kernel with as many cases as every kernel has at least.
    pub const fn new(name: &'static str, case: fn(&mut StdRng, Size) -> Case) -> Self {
        Self { name, case, cases: 1000, race_cases: 12 }
    }

    /// The trials of the kernel.
    pub fn trials(self, tools: &[Result<Flavour, String>]) -> Vec<Trial> {
        let one = |tools: &Result<Flavour, String>, end, cases, size| {
            trial(&format!("{}_{end}", self.name), tools, move |flavour| self.check(flavour, cases, size))
        };
        vec![
            one(&tools[0], "equals_its_definition", self.cases, Size::Ordinary),
            one(&tools[1], "stays_in_bounds", BOUNDS_CASES, Size::Small),
            one(&tools[2], "has_no_races", self.race_cases, Size::Small),
        ]
    }

    fn check(self, flavour: Flavour, cases: u64, size: Size) {
        let program = flavour.program().unwrap_or_else(|reason| panic!("{reason}"));
        let batches: Vec<u64> = (0..cases).step_by(AT_ONCE as usize).collect();
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let check = |first: u64| -> Result<Vec<Difference>, String> {
            let seeds = first..cases.min(first + AT_ONCE);
            let cases: Vec<Case> = seeds.map(|seed| (self.case)(&mut StdRng::seed_from_u64(seed), size)).collect();
            let answer = program.answer(&cases, first as u32)?;
            let mut rest = answer.as_slice();
            let mut found = Vec::with_capacity(cases.len());
            for case in &cases {
                let difference = case.compare(&mut rest)?;
                found.push(Difference { place: format!("{}: {}", case.name, difference.place), ..difference });
            }
            assert!(rest.is_empty(), "the answer is too long");
            Ok(found)
        };
        let found: Vec<Result<Vec<_>, String>> = thread::scope(|scope| {
            let check = &check;
            let batches = &batches;
            let running: Vec<_> = (0..workers)
                .map(|worker| {
                    let own = batches.iter().skip(worker).step_by(workers);
                    scope.spawn(move || own.map(|&first| check(first)).collect::<Result<Vec<_>, String>>())
                })
                .collect();
            running.into_iter().map(|worker| worker.join().unwrap().map(|found| found.concat())).collect()
        });
        let found = found.into_iter().collect::<Result<Vec<_>, String>>().unwrap_or_else(|reason| panic!("{reason}"));
        self.report(flavour, &found.concat());
    }

    /// Prints the largest difference in each number type, and where it is.
    fn report(self, flavour: Flavour, found: &[Difference]) {
        println!("{} ({flavour:?}): {} shapes", self.name, found.len());
        let mut dtypes: Vec<DType> = found.iter().filter_map(|difference| difference.dtype).collect();
        dtypes.sort_by_key(|dtype| dtype.as_str());
        dtypes.dedup();
        if dtypes.is_empty() {
            println!("    every element is exact");
        }
        for dtype in dtypes {
            let of_type = found.iter().filter(|difference| difference.dtype == Some(dtype));
            if let Some(worst) = of_type.max_by(|a, b| a.error.total_cmp(&b.error)) {
                println!("    {}: max abs error {:.1e} ({})", dtype.as_str(), worst.error, worst.place);
            }
        }
    }
}

/// One of f32, f16 and bf16.
pub fn any_float(random: &mut StdRng) -> DType {
    [DType::F32, DType::F16, DType::BF16][random.gen_range(0..3)]
}

/// Numbers in -1..1, rounded to a type, so that the definition reads what the kernel reads.
pub fn numbers(random: &mut StdRng, count: usize, dtype: DType) -> Vec<f32> {
    (0..count).map(|_| rounded(random.gen_range(-1.0..1.0), dtype)).collect()
}

/// A number in a type.
pub fn rounded(value: f32, dtype: DType) -> f32 {
    match dtype {
        DType::F16 => half::f16::from_f32(value).to_f32(),
        DType::BF16 => half::bf16::from_f32(value).to_f32(),
        _ => value,
    }
}
