//! Building the driver, and running the tests with it.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Tells the second process that it has the driver.
const IN_USE: &str = "PALABRA_CUDA_ON_HOST";

/// The driver that the tests run with.
pub enum Driver {
    /// This process has it.
    InUse,
    /// It lies in this folder.
    Built(PathBuf),
    /// It cannot be built here, and why.
    Missing(String),
}

impl Driver {
    /// Looks for the driver and builds what of it is older than its sources.
    pub fn find() -> Self {
        if env::var_os(IN_USE).is_some() {
            return Self::InUse;
        }
        if let Some(reason) = missing() {
            return Self::Missing(reason);
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda_on_host");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda_on_host/build.sh");
        let status = Command::new(&script).arg(&folder).stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "{} failed", script.display());
        Self::Built(folder)
    }
}

fn missing() -> Option<String> {
    let starts = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    let toolkit = || env::var_os("CUDA_HOME").map(|home| Path::new(&home).join("include/cuda_fp16.h"));
    if !cfg!(feature = "cuda") {
        Some("needs the feature cuda".into())
    } else if !starts("g++") {
        Some("needs g++".into())
    } else if !toolkit().is_some_and(|header| header.is_file()) {
        Some("needs the toolkit of tools/cuda/setup.sh in CUDA_HOME".into())
    } else {
        None
    }
}

/// Runs this program again with the driver in `folder`, and gives its exit code.
pub fn run_with(folder: &Path) -> i32 {
    let program = env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1)).env(IN_USE, folder).env("LD_LIBRARY_PATH", folder).env_remove("CUDA_ON_HOST");
    command.status().unwrap().code().unwrap_or(1)
}
