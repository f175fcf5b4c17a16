//! The kernels as a program for this machine: compiled once for each flavour, fed with cases on its standard input.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

use crate::case::Case;

/// How the program is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// For speed.
    Plain,
    /// Steps outside of memory, and what the language leaves undefined, end it.
    Bounds,
    /// Threads of the system run the threads of a block; a race between them ends it.
    Races,
}

/// The program of one flavour.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
}

const HOST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels/host");
const KERNELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels");

impl Flavour {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Bounds => "bounds",
            Self::Races => "races",
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &["-O2", "-DCUDA_ON_HOST_FILLED"],
            Self::Bounds => &["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
            Self::Races => &["-O1", "-fsanitize=thread"],
        }
    }

    /// Whether this machine compiles and runs such programs, or why not.
    pub fn tools(self) -> Result<Self, String> {
        let folder = folder(self);
        let (source, program) = (folder.join("probe.cpp"), folder.join("probe"));
        fs::create_dir_all(&folder).map_err(|reason| format!("{}: {reason}", folder.display()))?;
        fs::write(&source, "int main() { return 0; }\n").map_err(|reason| reason.to_string())?;
        let compiler = compiler();
        let command = format!("{} {}", compiler.display(), self.flags().join(" "));
        let made = Command::new(&compiler).args(self.flags()).arg(&source).arg("-o").arg(&program).output();
        match made {
            Err(reason) => Err(format!("needs g++: {reason}")),
            Ok(made) if !made.status.success() => Err(format!("needs what `{command}` lacks")),
            Ok(_) => match Command::new(&program).output() {
                Ok(run) if run.status.success() => Ok(self),
                _ => Err(format!("needs a machine that runs what `{command}` makes")),
            },
        }
    }

    /// The program; compiled at the first call.
    pub fn program(self) -> Result<&'static Program, String> {
        static PROGRAMS: [OnceLock<Result<Program, String>>; 3] = [const { OnceLock::new() }; 3];
        PROGRAMS[self as usize].get_or_init(|| Program::compile(self)).as_ref().map_err(Clone::clone)
    }
}

fn compiler() -> PathBuf {
    env::var_os("CXX").map_or_else(|| "g++".into(), PathBuf::from)
}

fn folder(flavour: Flavour) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels").join(flavour.name())
}

impl Program {
    fn compile(flavour: Flavour) -> Result<Self, String> {
        let folder = folder(flavour);
        let mut sources = files(Path::new(KERNELS), &["cu"])?;
        sources.push(Path::new(HOST).join("broken.cu"));
        let mut objects = vec![Unit::main(flavour)];
        for source in sources {
            objects.push(Unit::kernels(flavour, &source)?);
        }
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        for units in objects.chunks(at_once) {
            let done: Vec<Result<(), String>> = thread::scope(|scope| {
                let running: Vec<_> = units.iter().map(|unit| scope.spawn(|| unit.compile(flavour))).collect();
                running.into_iter().map(|unit| unit.join().unwrap()).collect()
            });
            done.into_iter().collect::<Result<(), String>>()?;
        }
        let path = folder.join("kernels");
        let mut link = Command::new(compiler());
        link.args(flavour.flags()).args(objects.iter().map(|unit| &unit.object)).arg("-pthread").arg("-o").arg(&path);
        run(&mut link)?;
        Ok(Self { path })
    }

    /// Carries out the cases, the first one in this order of threads and so on, and gives the answer, or what the program
    /// said at its end.
    pub fn answer(&self, cases: &[Case], first_order: u32) -> Result<Vec<u8>, String> {
        let mut input = (cases.len() as u32).to_le_bytes().to_vec();
        for (index, case) in cases.iter().enumerate() {
            case.encode(first_order + index as u32, &mut input);
        }
        let mut child = Command::new(&self.path)
            .env("TSAN_OPTIONS", "halt_on_error=1 report_signal_unsafe=0")
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|reason| format!("{}: {reason}", self.path.display()))?;
        let mut to = child.stdin.take().ok_or("the program has no input")?;
        // It ends early where something is wrong; its own words say what.
        let writer = thread::spawn(move || to.write_all(&input).is_ok());
        let output = child.wait_with_output().map_err(|reason| reason.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        match writer.join() {
            Ok(true) if output.status.success() => Ok(output.stdout),
            _ => Err(explain(cases, &said, &output.status.to_string())),
        }
    }
}

/// The last case that the program began, and what it said of it.
fn explain(cases: &[Case], said: &str, status: &str) -> String {
    let (number, words) =
        said.rsplit_once("case ").map_or(("", said), |(_, last)| last.split_once('\n').unwrap_or((last, "")));
    let number = number.split(':').next().unwrap_or_default();
    let case = number.parse().ok().and_then(|number: usize| cases.get(number)).map_or("", |case| case.name.as_str());
    let words: Vec<&str> = words.lines().take(40).collect();
    format!("{case} ended with {status}:\n{}", words.join("\n"))
}

/// One file of the program.
struct Unit {
    source: PathBuf,
    object: PathBuf,
}

impl Unit {
    fn main(flavour: Flavour) -> Self {
        Self { source: Path::new(HOST).join("main.cpp"), object: folder(flavour).join("main.o") }
    }

    /// A file that includes one of kernels, in a namespace of its own, and makes its kernels known.
    fn kernels(flavour: Flavour, source: &Path) -> Result<Self, String> {
        let name = source.file_stem().and_then(|name| name.to_str()).ok_or("a kernel file has no name")?;
        let mut listing = Command::new(compiler());
        let listing = run(options(&mut listing).args(["-DCUDA_ON_HOST_LIST", "-E", "-P", "-x", "c++"]).arg(source))?;
        let known: String = kernels(&listing).map(|kernel| format!("CUDA_ON_HOST_KERNEL({kernel})\n")).collect();
        let text = format!(
            "#include \"common.cuh\"\nnamespace {name}_kernels {{\n#include \"{}\"\n{known}}}\n",
            source.display()
        );
        let unit = Self {
            source: folder(flavour).join(format!("{name}.cpp")),
            object: folder(flavour).join(format!("{name}.o")),
        };
        fs::write(&unit.source, text).map_err(|reason| format!("{}: {reason}", unit.source.display()))?;
        Ok(unit)
    }

    /// Compiles the unit, unless its object was made of the same texts in the same way.
    fn compile(&self, flavour: Flavour) -> Result<(), String> {
        let mut preprocess = Command::new(compiler());
        let text = run(options(&mut preprocess).args(flavour.flags()).args(["-E", "-P"]).arg(&self.source))?;
        let mut hasher = DefaultHasher::new();
        (&text, flavour.flags(), compiler()).hash(&mut hasher);
        let (stamp, mark) = (self.object.with_extension("stamp"), format!("{:x}", hasher.finish()));
        if self.object.is_file() && fs::read_to_string(&stamp).is_ok_and(|old| old == mark) {
            return Ok(());
        }
        let mut command = Command::new(compiler());
        options(&mut command).args(flavour.flags()).args(["-g1", "-c"]).arg(&self.source).arg("-o").arg(&self.object);
        run(&mut command)?;
        fs::write(&stamp, mark).map_err(|reason| format!("{}: {reason}", stamp.display()))
    }
}

fn options(command: &mut Command) -> &mut Command {
    let include = |folder: &str| format!("-I{folder}");
    // CUDA reads one type through a pointer to another.
    command.args(["-fno-strict-aliasing"]);
    command.args(["-std=c++17", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-function", "-pthread"]);
    command.args(["-DPALABRA_ON_HOST", &include(KERNELS), &include(HOST)])
}

/// The names of the kernels in preprocessed text.
fn kernels(text: &str) -> impl Iterator<Item = &str> {
    text.split("__global__").skip(1).filter_map(|after| {
        let after = after.trim_start().strip_prefix("void")?;
        Some(after.split_once('(')?.0.trim())
    })
}

/// The files of a folder with one of these endings, sorted.
pub fn files(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|reason| format!("{}: {reason}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| path.extension().is_some_and(|end| endings.iter().any(|wanted| end == *wanted)));
    files.sort();
    Ok(files)
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|reason| format!("{command:?}: {reason}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{command:?}:\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}
