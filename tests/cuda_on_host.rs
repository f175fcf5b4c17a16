//! The feature `cuda` without a GPU: everything that the program asks of CUDA goes to a driver that runs on the CPU
//! (`tests/cuda_on_host/README.md`). Needs the feature, g++ and the toolkit that `tools/cuda/setup.sh` prepares.

#![allow(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

#[cfg(feature = "cuda")]
#[path = "cuda_on_host/devices.rs"]
mod devices;
#[path = "cuda_on_host/driver.rs"]
mod driver;
#[cfg(feature = "cuda")]
#[path = "cuda_on_host/launches.rs"]
mod launches;
#[cfg(feature = "cuda")]
#[path = "cuda_on_host/operations.rs"]
mod operations;
#[cfg(feature = "cuda")]
#[path = "cuda_on_host/program.rs"]
mod program;
mod support;

use std::process::exit;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    match driver::Driver::find() {
        // Libraries are looked for where the environment says when a process starts, so the tests run in a second one.
        driver::Driver::Built(folder) => exit(driver::run_with(&folder)),
        driver::Driver::InUse => libtest_mimic::run(&arguments, trials()).exit(),
        driver::Driver::Missing(reason) => {
            let ignored = support::trial("the_feature_cuda_on_the_host", &Err::<(), _>(reason), |()| ());
            libtest_mimic::run(&arguments, vec![ignored]).exit()
        }
    }
}

#[cfg(feature = "cuda")]
fn trials() -> Vec<libtest_mimic::Trial> {
    let mut trials = operations::trials();
    trials.extend(launches::trials());
    trials.extend(program::trials());
    trials.extend(devices::trials());
    trials
}

#[cfg(not(feature = "cuda"))]
fn trials() -> Vec<libtest_mimic::Trial> {
    Vec::new()
}
