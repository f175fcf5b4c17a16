//! What the kernels need of a GPU, from nvcc where it is at hand: the same compilation as the build's.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use libtest_mimic::Trial;

use crate::{program::files, support::trial};

/// As in build.rs.
const ARCHITECTURES: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];

fn compiler() -> Result<PathBuf, String> {
    let at_home =
        || env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin/nvcc")).filter(|path| path.is_file());
    let path = env::var_os("NVCC").map(PathBuf::from).or_else(at_home).unwrap_or_else(|| "nvcc".into());
    match Command::new(&path).arg("--version").output() {
        Ok(output) if output.status.success() => Ok(path),
        _ => Err("needs nvcc: set NVCC, CUDA_HOME or PATH".into()),
    }
}

/// Of one kernel on one architecture.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Resources {
    registers: usize,
    shared: usize,
    stack: usize,
    spilled: usize,
}

/// Reads what `ptxas -v` says: kernel and architecture -> resources.
fn parse(report: &str) -> BTreeMap<(String, u32), Resources> {
    let number_before = |line: &str, words: &str| -> usize {
        let number = line.split(words).next().and_then(|before| before.trim_end().rsplit([' ', ',']).next());
        if line.contains(words) { number.and_then(|number| number.parse().ok()).unwrap_or(0) } else { 0 }
    };
    let mut found: BTreeMap<(String, u32), Resources> = BTreeMap::new();
    let mut current = None;
    for line in report.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let mut parts = rest.split('\'');
            let kernel = parts.next().unwrap_or_default().to_owned();
            let architecture = parts.nth(1).unwrap_or_default().trim_start_matches("sm_");
            current = architecture.parse().ok().map(|architecture: u32| (kernel, architecture));
        }
        let Some(key) = &current else { continue };
        let entry = found.entry(key.clone()).or_default();
        if line.contains("bytes stack frame") {
            entry.stack = number_before(line, " bytes stack frame");
            entry.spilled = number_before(line, " bytes spill stores") + number_before(line, " bytes spill loads");
        }
        if line.contains("Used ") {
            entry.registers = number_before(line, " registers");
            entry.shared = number_before(line, " bytes smem");
        }
    }
    found
}

fn compile(compiler: &Path, source: &Path) -> Result<String, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels/resources");
    fs::create_dir_all(&folder).map_err(|reason| reason.to_string())?;
    let image = folder.join(source.file_name().unwrap_or_default()).with_extension("fatbin");
    let mut command = Command::new(compiler);
    command.args(["-fatbin", "-std=c++17", "-O3", "-Werror=all-warnings", "-Xptxas=-v,-warn-spills,-Werror"]);
    for architecture in ARCHITECTURES {
        command.arg(format!("-gencode=arch=compute_{architecture},code=sm_{architecture}"));
    }
    let output = command.arg(source).arg("-o").arg(&image).output().map_err(|reason| reason.to_string())?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(report) } else { Err(format!("{}:\n{report}", source.display())) }
}

fn table(compiler: &Path) -> Result<(), String> {
    let sources = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels"), &["cu"])?;
    let mut reports = Vec::new();
    for sources in sources.chunks(thread::available_parallelism().map_or(1, usize::from)) {
        let done: Vec<Result<String, String>> = thread::scope(|scope| {
            let running: Vec<_> = sources.iter().map(|source| scope.spawn(|| compile(compiler, source))).collect();
            running.into_iter().map(|source| source.join().unwrap()).collect()
        });
        reports.extend(done.into_iter().collect::<Result<Vec<_>, String>>()?);
    }
    let found = parse(&reports.concat());
    let names: Vec<&String> = found.keys().map(|(kernel, _)| kernel).collect();
    println!("registers / bytes of static shared memory / bytes of stack");
    println!(
        "{:<40}{}",
        "kernel",
        ARCHITECTURES.map(|architecture| format!("{:>16}", format!("sm_{architecture}"))).concat()
    );
    for kernel in names.chunk_by(|a, b| a == b).map(|names| names[0]) {
        let mut row = format!("{kernel:<40}");
        for architecture in ARCHITECTURES {
            let of = found
                .get(&(kernel.clone(), architecture))
                .ok_or(format!("nothing is said of {kernel} on sm_{architecture}"))?;
            if of.spilled != 0 || of.registers == 0 {
                return Err(format!("{kernel} on sm_{architecture}: {of:?}"));
            }
            row += &format!("{:>16}", format!("{}/{}/{}", of.registers, of.shared, of.stack));
        }
        println!("{row}");
    }
    Ok(())
}

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("resources", &compiler(), |compiler| table(&compiler).unwrap_or_else(|reason| panic!("{reason}"))),
        Trial::test("reports_of_the_assembler_are_read", || {
            let report = "ptxas info    : Compiling entry function 'f' for 'sm_90'\n\
                          ptxas info    : Function properties for f\n    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\n\
                          ptxas info    : Used 30 registers, used 1 barriers, 8 bytes cumulative stack size, 128 bytes smem, 420 bytes cmem[0]\n";
            let of = Resources { registers: 30, shared: 128, stack: 8, spilled: 16 };
            assert_eq!(parse(report), BTreeMap::from([(("f".into(), 90), of)]));
            Ok(())
        }),
    ]
}
