//! Compiles a source with machine code into a wheel for the target: zig makes code for any processor and glibc, and the
//! build is told that it runs in the target's Python.
//!
//! ```text
//! source ──► environment of the target's Python version, with what the build asks for (`uv pip install`, or pip)
//!        ──► the build backend, called by PEP 517, sees: wrapped compilers, the target's variables and headers ──► wheel
//!        ──► taken when its tag is the target's and every file in it that was compiled would load there
//! ```
//!
//! The backend is called directly and not by `uv build` or pip: what it is told of the target is a lie about this machine,
//! by which an installer would choose what the build itself runs with.

mod cross;
mod interpreter;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::manifest::PyProject;
use super::programs::Programs;
use super::tags::WheelName;
use super::target::Target;
use crate::elf::{self, Image};
use crate::error::{Error, Result};
use crate::fsio;
use crate::process::{Failure, Tool};
use crate::resolve::compile::{Aim, Compilers, Settings, Wrappers, fit};
use crate::resolve::environment;
use crate::store::Archive;
use cross::Cross;
pub(super) use interpreter::Interpreter;

/// Calls the backend.
const DRIVER: &str = include_str!("driver.py");
/// What is asked for when a project says nothing (PEP 517, PEP 518).
const DEFAULT_BACKEND: &str = "setuptools.build_meta:__legacy__";
const DEFAULT_REQUIRES: &str = "setuptools >= 40.8.0";
/// Larger libraries than this are not looked at before they are packed.
const MOST_BYTES: u64 = 1 << 30;

/// What compiles for a target here.
#[derive(Debug)]
pub(super) struct Toolchain {
    interpreter: Interpreter,
    compilers: Compilers,
}

impl Toolchain {
    /// Looks for it, or says what is missing.
    pub(super) fn find(programs: &Programs, target: &Target) -> Result<Self, String> {
        let interpreter = Interpreter::find(programs, target.minor);
        let pythons = [interpreter.as_ref().ok().map(|found| found.program.as_path()), programs.python.as_deref()];
        let pythons: Vec<&Path> = pythons.into_iter().flatten().collect();
        let compilers = Compilers::choose(target.aim(), &pythons)?;
        Ok(Self { interpreter: interpreter?, compilers })
    }

    /// What its results are known by.
    pub(super) fn facts(&self) -> Vec<String> {
        self.interpreter.facts().into_iter().chain(self.compilers.facts()).collect()
    }

    /// What it is, for a note.
    pub(super) fn name(&self) -> String {
        self.compilers.to_string()
    }
}

/// A source to compile.
pub(super) struct Job<'a> {
    pub(super) programs: &'a Programs,
    pub(super) toolchain: &'a Toolchain,
    pub(super) target: &'a Target,
    pub(super) source: &'a Path,
    /// A folder for all that is needed on the way.
    pub(super) scratch: &'a Path,
    pub(super) offline: bool,
    /// The value of `SOURCE_DATE_EPOCH`.
    pub(super) epoch: &'a str,
}

/// Why there is no wheel.
pub(super) enum Unbuilt {
    /// The build says so.
    Refused(String),
    /// What runs it cannot be had.
    Broken(Error),
}

impl From<Error> for Unbuilt {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl Job<'_> {
    /// Builds; the wheel is below the scratch folder.
    pub(super) fn run(&self) -> Result<(PathBuf, WheelName), Unbuilt> {
        let build = BuildSystem::read(self.source)?;
        // By its real name: compilers see folders without links.
        let scratch = self.scratch.canonicalize().map_err(|e| Error::io("read", self.scratch, &e))?;
        let source = self.source.canonicalize().map_err(|e| Error::io("read", self.source, &e))?;
        let cross = Cross::write(&scratch, &self.toolchain.interpreter, self.target)?;
        let renamed = [(scratch.as_path(), "/build"), (source.as_path(), "/source")];
        let settings = Settings { include: Some(&cross.include), renamed: &renamed };
        let wrappers = Wrappers::write(&scratch.join("bin"), &self.toolchain.compilers, self.target.aim(), &settings)?;
        let (driver, wanted, out) = (scratch.join("driver.py"), scratch.join("wanted.txt"), scratch.join("out"));
        fsio::write_atomic(&driver, DRIVER.as_bytes())?;
        fsio::create_dir_all(&out)?;
        let environment = scratch.join("environment");
        self.environment(&environment).run().map_err(Error::from)?;
        let python = environment.join("bin/python");
        let call = |what: &str, out: &Path| {
            let paths = serde_json::to_string(&build.paths).unwrap_or_default();
            let tool = Tool::new(&python).arg(&driver).args([what, &build.backend, &paths]).arg(out);
            let tool = tool.args(settings_of(&build.backend, &cross)).cwd(&source);
            let tool = environment::without_shell(tool)
                .env("SOURCE_DATE_EPOCH", self.epoch)
                .env("PYTHONHASHSEED", "0")
                .env("PYTHONNOUSERSITE", "1")
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .env("VIRTUAL_ENV", &environment);
            let tool = rust_flags(&scratch, &source).into_iter().fold(tool, |tool, flags| tool.env(RUST_FLAGS, flags));
            let tool =
                cross.environment(self.target).into_iter().fold(tool, |tool, (name, value)| tool.env(name, value));
            wrappers.used_by(tool, &[environment.join("bin")]).run().map_err(refused)
        };
        self.install(&python, &build.requires, &scratch.join("requires.txt"))?;
        call("requires", &wanted)?;
        let more: Vec<String> = fsio::read_text(&wanted)?.lines().map(str::to_owned).collect();
        self.install(&python, &more, &wanted)?;
        call("wheel", &out)?;
        super::build::only_wheel(&out).ok_or_else(|| Unbuilt::Refused("the build gave no wheel".to_owned()))
    }

    fn environment(&self, at: &Path) -> Tool {
        let python = &self.toolchain.interpreter.program;
        match &self.programs.uv {
            Some(uv) => Programs::call_uv(uv, self.offline)
                .args(["venv", "--quiet", "--no-project", "--python"])
                .arg(python)
                .arg(at),
            None => Tool::new(python).args(["-m", "venv", "--without-pip"]).arg(at),
        }
    }

    /// Installs what the build runs with into its environment.
    fn install(&self, python: &Path, requirements: &[String], list: &Path) -> Result<(), Unbuilt> {
        if requirements.is_empty() {
            return Ok(());
        }
        fsio::write_atomic(list, requirements.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes())?;
        let tool = match (&self.programs.uv, &self.programs.python) {
            (Some(uv), _) => Programs::call_uv(uv, self.offline)
                .args(["pip", "install", "--quiet", "--no-sources", "--python"])
                .arg(python),
            (None, with_pip) => {
                // Since pip 22.3 it installs for a Python that has no pip.
                let pip = with_pip.as_deref().unwrap_or(&self.toolchain.interpreter.program);
                let tool = Programs::call_pip(pip).arg("--python").arg(python).args(["install", "--quiet"]);
                if self.offline { tool.arg("--no-index") } else { tool }
            }
        };
        tool.arg("-r").arg(list).run().map(drop).map_err(|failure| match refused(failure) {
            Unbuilt::Refused(why) => {
                Unbuilt::Refused(format!("what its build asks for ({}) cannot be had: {why}", requirements.join(", ")))
            }
            broken @ Unbuilt::Broken(_) => broken,
        })
    }
}

/// Flags that keep this machine's folders out of what rustc makes, unless the user has flags of his own.
fn rust_flags(scratch: &Path, source: &Path) -> Option<String> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("RUSTFLAGS") || is_set(RUST_FLAGS) {
        return None;
    }
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(etcetera::home_dir().ok()?.join(".cargo")));
    let renamed = [(Some(scratch.to_owned()), "/build"), (Some(source.to_owned()), "/source"), (home, "/cargo")];
    let flags = renamed
        .into_iter()
        .filter_map(|(folder, name)| folder.map(|folder| format!("--remap-path-prefix={}={name}", folder.display())));
    Some(flags.collect::<Vec<_>>().join("\u{1f}"))
}

/// The settings that tell a backend what its environment does not: Meson of another processor.
fn settings_of(backend: &str, cross: &Cross) -> Option<String> {
    let file = cross.meson.as_ref().filter(|_| backend == "mesonpy")?;
    Some(serde_json::json!({ "setup-args": [format!("--cross-file={}", file.display())] }).to_string())
}

fn refused(failure: Failure) -> Unbuilt {
    match failure {
        // Some backends say on standard output what went wrong, which the error then quotes.
        Failure::Status { error, stderr } if stderr.trim().is_empty() => {
            Unbuilt::Refused(telling_line(&error.to_string()))
        }
        Failure::Status { stderr, .. } => Unbuilt::Refused(telling_line(&stderr)),
        Failure::NotStarted(error) => Unbuilt::Broken(error),
    }
}

/// Where Cargo takes flags from before it looks anywhere else.
const RUST_FLAGS: &str = "CARGO_ENCODED_RUSTFLAGS";
/// What stands in lines that say why.
const MARKS: &[&str] = &[" error: ", "undefined symbol", "ERROR: "];

/// The line that says most: the compiler's first error, else the last line.
fn telling_line(stderr: &str) -> String {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let of_compiler = lines().find(|line| MARKS.iter().any(|mark| line.contains(mark)));
    let line = of_compiler.or_else(|| lines().next_back()).unwrap_or("the build failed");
    crate::process::redact(line)
}

/// What a project says of its build.
#[derive(Debug, PartialEq, Eq)]
struct BuildSystem {
    backend: String,
    paths: Vec<PathBuf>,
    requires: Vec<String>,
}

impl BuildSystem {
    fn read(source: &Path) -> Result<Self> {
        let file = source.join("pyproject.toml");
        let table = if file.is_file() { PyProject::read(&file)?.build_system } else { None };
        let Some(table) = table else {
            return Ok(Self {
                backend: DEFAULT_BACKEND.to_owned(),
                paths: Vec::new(),
                requires: vec![DEFAULT_REQUIRES.to_owned()],
            });
        };
        let list = |key: &str| -> Vec<String> {
            let values = table.get(key).and_then(toml::Value::as_array).into_iter().flatten();
            values.filter_map(toml::Value::as_str).map(str::to_owned).collect()
        };
        let backend = table.get("build-backend").and_then(toml::Value::as_str).unwrap_or(DEFAULT_BACKEND);
        Ok(Self {
            backend: backend.to_owned(),
            paths: list("backend-path").iter().map(|path| source.join(path)).collect(),
            requires: list("requires"),
        })
    }
}

/// Native files that a source brings ready-made, by CRC: nobody compiled them here.
pub(super) fn ready_made(source: &Path) -> HashSet<u32> {
    let files = walkdir::WalkDir::new(source).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    let native = files.filter_map(|file| {
        let bytes = fsio::read_bounded(file.path(), MOST_BYTES).ok()?;
        (elf::is_elf(&bytes) || Image::foreign(&bytes).is_some()).then(|| crc32fast::hash(&bytes))
    });
    native.collect()
}

/// What is wrong with a wheel that was compiled for a target; nothing when it can be taken.
pub(super) fn misfit(
    archive: &Archive,
    name: &WheelName,
    target: &Target,
    ready_made: &HashSet<u32>,
) -> Option<String> {
    if target.tags.rank(name, true).is_none() {
        return Some(format!("building it gives `{}`", name.tags()));
    }
    let aim: Aim = target.aim();
    archive.members().iter().enumerate().find_map(|(index, member)| {
        let image = archive.natives().get(index).filter(|_| !ready_made.contains(&member.crc32))?;
        let path = member.path.as_str();
        let said = fit::misfit(image, aim).map(|(_, said)| said).or_else(|| misnamed(path, target))?;
        Some(format!("`{path}`, as it is built here, {said}"))
    })
}

/// A module whose name says that another Python is to load it.
fn misnamed(path: &str, target: &Target) -> Option<String> {
    let (_, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (_, tag) = name.strip_suffix(".so")?.split_once('.')?;
    (tag.starts_with("cpython-") && tag != target.extension_tag())
        .then(|| format!("is named for another Python than `{}`", target.extension_tag()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::{Architecture, find as find_runtime};

    #[test]
    fn what_a_project_does_not_say_is_setuptools() {
        let dir = tempfile::tempdir().unwrap();
        let read = || BuildSystem::read(dir.path()).unwrap();
        assert_eq!(read().backend, DEFAULT_BACKEND);
        let text = "[build-system]\nrequires = ['a>=1', 'b']\nbuild-backend = 'own'\nbackend-path = ['tools']\n";
        fsio::write_atomic(&dir.path().join("pyproject.toml"), text.as_bytes()).unwrap();
        let paths = vec![dir.path().join("tools")];
        let requires = vec!["a>=1".to_owned(), "b".to_owned()];
        assert_eq!(read(), BuildSystem { backend: "own".to_owned(), paths, requires });
    }

    #[test]
    fn the_line_of_the_compiler_is_told() {
        let said =
            "running build\nsrc/a.c:1:10: fatal error: 'lber.h' file not found\n1 error generated.\nerror: failed\n";
        assert_eq!(telling_line(said), "src/a.c:1:10: fatal error: 'lber.h' file not found");
        assert_eq!(telling_line("one\ntwo\n\n"), "two");
        assert_eq!(telling_line(""), "the build failed");
    }

    #[test]
    fn modules_have_the_name_that_the_runtime_looks_for() {
        let target = Target::new(find_runtime("python3.11").unwrap(), Architecture::Arm64).unwrap();
        assert_eq!(misnamed("p/_x.cpython-311-aarch64-linux-gnu.so", &target), None);
        assert_eq!(misnamed("p/_x.abi3.so", &target), None);
        assert_eq!(misnamed("libx.so.1", &target), None);
        assert!(misnamed("_x.cpython-311-x86_64-linux-gnu.so", &target).is_some());
    }
}
