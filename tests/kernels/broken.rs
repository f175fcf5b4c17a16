//! Kernels with mistakes (`host/broken.cu`): each is caught by the program that looks for its kind.

use candle_core::DType;
use libtest_mimic::Trial;
use palabra::ops::kernels::{Argument, Launch};

use crate::{case::Case, program::Flavour, support::trial};

/// Threads of the block.
const THREADS: usize = 64;
/// Elements: not as many as there are threads.
const COUNT: usize = 61;

/// What a program says of a kernel, over several orders of threads; empty where all is well.
fn judgement(flavour: Flavour, kernel: &str, expected: &dyn Fn(&[f32]) -> Vec<f32>) -> String {
    let program = flavour.program().unwrap_or_else(|reason| panic!("{reason}"));
    let x: Vec<f32> = (0..COUNT).map(|index| index as f32 + 1.0).collect();
    let y = expected(&x);
    let mut said = String::new();
    for order in 0..4 {
        let mut case = Case::new(kernel);
        let (x, result) = (case.buffer(&x), case.empty(y.len(), DType::F32));
        case.launch(Launch {
            file: "broken",
            kernel: kernel.into(),
            grid: [1, 1, 1],
            block: THREADS,
            shared: COUNT * size_of::<f32>(),
            arguments: vec![x, result, Argument::I32(COUNT as i32)],
        });
        case.expect(result, DType::F32, &y);
        let outcome = program.answer(std::slice::from_ref(&case), order);
        let outcome = outcome.and_then(|answer| case.compare(&mut answer.as_slice()));
        said += &outcome.err().unwrap_or_default();
    }
    said
}

fn reversed(x: &[f32]) -> Vec<f32> {
    x.iter().rev().copied().collect()
}

fn mirrored_in_warps(x: &[f32]) -> Vec<f32> {
    (0..x.len()).map(|index| x.get(index / 32 * 32 + 31 - index % 32).copied().unwrap_or(0.0)).collect()
}

fn sum(x: &[f32]) -> Vec<f32> {
    vec![x.iter().sum()]
}

/// The trials.
pub fn trials(tools: &[Result<Flavour, String>]) -> Vec<Trial> {
    let (plain, bounds, races) = (&tools[0], &tools[1], &tools[2]);
    let caught = |tools, kernel: &'static str, expected: fn(&[f32]) -> Vec<f32>, words: &'static str| {
        let name = tools_name(tools);
        trial(&format!("{kernel}_is_caught_by_{name}"), tools, move |flavour| {
            let said = judgement(flavour, kernel, &expected);
            assert!(said.contains(words), "{kernel} was not caught: {said}");
        })
    };
    let whole = |tools: &Result<Flavour, String>| {
        trial(&format!("a_kernel_without_mistakes_passes_{}", tools_name(tools)), tools, |flavour| {
            assert_eq!(judgement(flavour, "broken_not", &reversed), "");
        })
    };
    vec![
        whole(plain),
        whole(bounds),
        whole(races),
        caught(plain, "broken_barrier", reversed, "instead of"),
        caught(plain, "broken_warp", mirrored_in_warps, "instead of"),
        caught(plain, "broken_divergence", reversed, "a barrier that 3 threads never reach"),
        caught(bounds, "broken_read", reversed, "heap-buffer-overflow"),
        caught(bounds, "broken_shared", reversed, "heap-buffer-overflow"),
        caught(races, "broken_barrier", reversed, "data race"),
        caught(races, "broken_warp", mirrored_in_warps, "data race"),
        caught(races, "broken_sum", sum, "data race"),
    ]
}

fn tools_name(tools: &Result<Flavour, String>) -> String {
    tools.as_ref().map_or_else(|_| "a_program".into(), |flavour| format!("{flavour:?}").to_lowercase())
}
