//! With the feature `cuda`, compiles `kernels/*.cu`: one file for each kernel file with machine code for every GPU that we name
//! and PTX for those to come.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, exit},
};

/// Compute capabilities with machine code of their own: Turing, A100, the RTX 30 series, Ada, Hopper, and both Blackwells.
const ARCHITECTURES: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];
/// PTX that the driver of a newer GPU compiles.
const PTX: u32 = 75;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo:rerun-if-changed=kernels");
    for variable in ["NVCC", "NVCC_CCBIN", "CUDA_HOME", "PATH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    if let Err(reason) = compile() {
        eprintln!("{reason}");
        exit(1);
    }
}

fn compile() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo has set no OUT_DIR")?);
    let mut table = String::from("&[\n");
    for source in sources()? {
        let name = source.file_stem().and_then(|name| name.to_str()).ok_or("a kernel file has no name")?.to_owned();
        let image = out.join(format!("{name}.fatbin"));
        nvcc(&source, &image)?;
        table += &format!("    ({name:?}, include_bytes!({image:?})),\n");
    }
    table += "]\n";
    fs::write(out.join("kernels.rs"), table).map_err(|reason| format!("{}: {reason}", out.display()))
}

fn sources() -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir("kernels").map_err(|reason| format!("kernels: {reason}"))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "cu"));
    files.sort();
    Ok(files)
}

/// Compiles one file. Warnings and registers that are spilled are errors; `tests/kernels` prints what each kernel takes.
fn nvcc(source: &Path, image: &Path) -> Result<(), String> {
    let compiler = compiler();
    let mut command = Command::new(&compiler);
    command.args([
        "-fatbin",
        "-std=c++17",
        "-O3",
        "--threads=0",
        "-Werror=all-warnings",
        "-Xptxas=-warn-spills,-Werror",
    ]);
    for architecture in ARCHITECTURES {
        command.arg(format!("-gencode=arch=compute_{architecture},code=sm_{architecture}"));
    }
    command.arg(format!("-gencode=arch=compute_{PTX},code=compute_{PTX}"));
    if let Some(host) = env::var_os("NVCC_CCBIN") {
        command.arg("-ccbin").arg(host);
    }
    let output = command.arg(source).arg("-o").arg(image).output().map_err(|reason| {
        format!("nvcc cannot be started ({reason}): install CUDA 13, or run tools/cuda/setup.sh, which brings it from Python wheels")
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{} does not compile:\n{}", source.display(), String::from_utf8_lossy(&output.stderr)))
}

fn compiler() -> PathBuf {
    let at_home =
        || env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin/nvcc")).filter(|path| path.is_file());
    env::var_os("NVCC").map(PathBuf::from).or_else(at_home).unwrap_or_else(|| "nvcc".into())
}
