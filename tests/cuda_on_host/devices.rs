//! GPUs that cannot be used, several of them, too little memory, and one that fails at work.

use std::path::PathBuf;

use libtest_mimic::Trial;

use super::program::{needs, run, texts};
use crate::support::trial;

/// Allocations by which the models are loaded and the first chunk is being worked on.
const AT_WORK_ALLOCATIONS: u32 = 1100;
/// The same in launches.
const AT_WORK_LAUNCHES: u32 = 700;

/// One trial for each way in which GPUs differ from one that works.
pub fn trials() -> Vec<Trial> {
    let clip = needs();
    let with = |name: &str, body: fn(PathBuf)| trial(name, &clip, body);
    vec![
        with("a_gpu_that_cannot_be_used_is_refused_with_the_reason", refused),
        with("auto_runs_on_the_cpu_where_there_is_no_gpu_and_says_so", fallen_back),
        with("two_gpus_write_what_one_writes", two),
        with("a_model_that_does_not_fit_is_refused_with_numbers", too_large),
        with("memory_that_runs_out_makes_batches_smaller", out_of_memory),
        with("a_gpu_that_fails_ends_the_program_with_its_code", lost),
    ]
}

fn refused(clip: PathBuf) {
    for (gpu, device, told) in [
        ("devices=0", "cuda", "no NVIDIA GPU or no driver"),
        ("devices=1", "cuda:3", "there is no GPU 3: this machine has one, cuda:0"),
        ("devices=4", "cuda:0,cuda:7", "this machine has 4, cuda:0 to cuda:3"),
        ("capability=7.0", "cuda", "has compute capability 7.0, and 7.5"),
        ("driver=12080", "cuda", "the CUDA driver for CUDA 12.8 is too old"),
    ] {
        let run = run(&clip, device, gpu);
        assert_eq!(run.code, Some(5), "{gpu}: {}", run.said);
        assert!(run.said.contains(told) && run.said.contains("--device cpu"), "{gpu}: {}", run.said);
        assert_eq!(run.said.trim().lines().count(), 1, "{gpu}: {}", run.said);
    }
}

fn fallen_back(clip: PathBuf) {
    let run = run(&clip, "auto", "devices=0");
    assert!(!texts(&run.document()).is_empty());
    assert_eq!(run.said.matches("running on the CPU: no NVIDIA GPU").count(), 1, "{}", run.said);
}

fn two(clip: PathBuf) {
    let (one, two) = (run(&clip, "cpu", ""), run(&clip, "cuda:0,cuda:1", "devices=2"));
    assert_eq!(texts(&one.document()), texts(&two.document()));
}

fn too_large(clip: PathBuf) {
    let run = run(&clip, "cuda", "memory=600");
    assert_eq!(run.code, Some(5), "{}", run.said);
    assert!(run.said.contains("the model needs 1.3 GB of memory on cuda:0, where 0.6 GB are free"), "{}", run.said);
}

fn out_of_memory(clip: PathBuf) {
    let run = run(&clip, "cuda", &format!("full-after={AT_WORK_ALLOCATIONS}"));
    assert!(!texts(&run.document()).is_empty());
    assert!(run.said.contains("going on with smaller batches"), "{}", run.said);
}

fn lost(clip: PathBuf) {
    let run = run(&clip, "cuda", &format!("lost-after={AT_WORK_LAUNCHES}"));
    assert_eq!(run.code, Some(75), "{}", run.said);
    assert!(
        run.said.contains("the GPU failed: a kernel failed") && run.said.contains("start palabra again"),
        "{}",
        run.said
    );
}
