//! Runs of Go: what the programs are made of, then the build, and what is said when it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::list::{self, Listed};
use super::settings::{GoEnv, go};
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::fresh::Inputs;
use crate::fsio::{self, Scratch};
use crate::lambda::UNZIPPED_LIMIT;
use crate::process::{Failure, Output, Tool, find_program, first_lines};
use crate::project::GoChoice;
use crate::report::{Event, Task, Unit};
use crate::resolve::Context;
use crate::resolve::compile::{Aim, Compilers, Settings, Wrappers};

/// What was built of one group.
pub(super) struct Built {
    /// The Go that built it.
    pub(super) version: String,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// What is wrong with the settings.
    pub(super) findings: Vec<Finding>,
    programs: BTreeMap<PathBuf, Program>,
}

/// A program.
pub(super) struct Program {
    /// Its package's name in imports.
    pub(super) import_path: String,
    /// The executable.
    pub(super) bytes: Arc<[u8]>,
    /// What it was made of; nothing when that cannot be said.
    pub(super) inputs: Option<Inputs>,
}

impl Built {
    /// The program of a package's folder.
    pub(super) fn program(&self, package: &Path) -> Result<&Program> {
        let package = real(package);
        let missing = || Error::failed(format!("`go build` made no executable of `{}`", package.display()));
        self.programs.get(&package).ok_or_else(missing)
    }
}

/// How Go is run for a group.
pub(super) struct Run<'a> {
    root: &'a Path,
    aim: Aim,
    context: &'a Context<'a>,
    env: GoEnv,
    flags: Vec<String>,
    compilers: Option<Wrappers>,
    notes: Vec<String>,
    scratch: Scratch,
}

impl<'a> Run<'a> {
    /// Asks Go for its settings.
    pub(super) fn new(root: &'a Path, choice: &GoChoice, aim: Aim, context: &'a Context<'a>) -> Result<Self> {
        let env = GoEnv::ask(root, aim.architecture)?;
        let flags = env.flags(choice);
        let scratch = fsio::scratch_dir()?;
        let mut notes = Vec::new();
        let compilers = match choice.cgo {
            false => None,
            true => {
                let python = find_program("python3");
                let pythons: Vec<&Path> = python.as_deref().into_iter().collect();
                let compilers = Compilers::choose(aim, &pythons).map_err(|why| {
                    Error::failed(format!("cannot compile C for {aim}: {why}")).hint(super::INSTALL_ZIG)
                })?;
                notes.push(format!("C is compiled with {compilers}"));
                let renamed = [(scratch.path(), "/build")];
                let settings = Settings { include: None, renamed: &renamed };
                Some(Wrappers::write(&scratch.path().join("cc"), &compilers, aim, &settings)?)
            }
        };
        Ok(Self { root, aim, context, env, flags, compilers, notes, scratch })
    }

    /// Builds the programs of these packages.
    pub(super) fn build(mut self, packages: &[&Path], label: &str) -> Result<Built> {
        let arguments: Vec<OsString> = packages.iter().map(|package| argument(package, self.root)).collect();
        let task = Task::begin(self.context.reporter, label, None, Unit::Items);
        let listed = self.list(&arguments, &task)?;
        let programs = self.programs(packages, &listed)?;
        let mut built = BTreeMap::new();
        // Go names programs by the last part of their packages' names: those of one name need runs of their own.
        let mut left: Vec<(&Listed, &OsString)> = programs.into_iter().zip(&arguments).collect();
        while !left.is_empty() {
            let mut names = BTreeSet::new();
            let (now, later): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(program, _)| names.insert(program.program_name().unwrap_or_default()));
            left = later;
            let folder = self.scratch.path().join(format!("bin{}", left.len()));
            fsio::create_dir_all(&folder)?;
            let tool = self.tool("build").arg("-o").arg(&folder).args(now.iter().map(|(_, argument)| *argument));
            self.run(&tool, &task).map_err(|failure| self.explain("go build", failure))?;
            for (program, _) in now {
                let path = folder.join(program.program_name().unwrap_or_default());
                let bytes: Arc<[u8]> = fsio::read_bounded(&path, UNZIPPED_LIMIT * 2)?.into();
                let _ = fs::remove_file(&path);
                let inputs =
                    self.compilers.is_none().then(|| list::inputs(program, &listed, self.root, &self.env.gomodcache));
                let import_path = program.import_path.clone();
                built.insert(real(&program.dir), Program { import_path, bytes, inputs });
            }
        }
        let findings = self.env.findings(self.aim.architecture);
        Ok(Built { version: self.env.goversion, notes: self.notes, findings, programs: built })
    }

    /// What `go list` says, with `go.sum` completed in a copy where that may be.
    fn list(&mut self, arguments: &[OsString], task: &Task<'_>) -> Result<Vec<Listed>> {
        let list = |run: &Self| {
            let tool = run.tool("list").args(["-deps", list::FIELDS]).args(arguments);
            run.run(&tool, task)
        };
        let said = match list(self) {
            Err(Failure::Status { stderr, .. }) if lacks_lock(&stderr) && self.may_complete() => {
                self.complete_lock()?;
                list(self)
            }
            said => said,
        };
        let output = said.map_err(|failure| self.explain("go list", failure))?;
        list::parse(&output.text())
    }

    /// Whether a copy of `go.mod` and `go.sum` may be completed. A workspace has no such copy.
    fn may_complete(&self) -> bool {
        !self.context.locked && !self.root.join("go.work").is_file()
    }

    fn complete_lock(&mut self) -> Result<()> {
        let copy = self.scratch.path().join("lock").join("go.mod");
        fsio::write_atomic(&copy, fsio::read_text(&self.root.join("go.mod"))?.as_bytes())?;
        if let Ok(sums) = fsio::read_text(&self.root.join("go.sum")) {
            fsio::write_atomic(&copy.with_extension("sum"), sums.as_bytes())?;
        }
        self.flags.retain(|flag| !flag.starts_with("-mod="));
        self.flags.push("-mod=mod".to_owned());
        self.flags.push(format!("-modfile={}", copy.display()));
        self.notes.push(
            "`go.sum` lacks digests of modules, which were taken as they came: run `go mod tidy` and commit `go.mod` and `go.sum`"
                .to_owned(),
        );
        Ok(())
    }

    fn tool(&self, command: &str) -> Tool {
        let tool = go(self.root, self.aim.architecture);
        let tool = match &self.compilers {
            Some(wrappers) => wrappers.used_by(tool, &[]).env("CGO_ENABLED", "1"),
            None => tool,
        };
        let tool = tool.arg(command).args(self.flags.iter());
        match self.context.offline {
            // Also for modules that no proxy is asked for.
            true => tool.env("GOPROXY", "off").env("GONOPROXY", "none").env("GOVCS", "*:off"),
            false => tool,
        }
    }

    fn run(&self, tool: &Tool, task: &Task<'_>) -> Result<Output, Failure> {
        self.context.reporter.event(Event::Debug(format!("running `{}`", tool.display())));
        tool.run_with(&mut |line| {
            if is_progress(line) {
                task.detail(line.trim_start_matches("go: "));
            }
        })
    }

    /// The programs in the order of their packages' folders.
    fn programs<'l>(&self, packages: &[&Path], listed: &'l [Listed]) -> Result<Vec<&'l Listed>> {
        let find = |package: &&Path| {
            let wanted = real(package);
            let found = listed.iter().find(|one| real(&one.dir) == wanted);
            found
                .filter(|one| one.program_name().is_some())
                .ok_or_else(|| Error::failed(format!("`go list` knows no program in `{}`", package.display())))
        };
        packages.iter().map(find).collect()
    }

    /// Go's own words, from the first of them on: the first error is mostly what causes the others.
    fn explain(&self, command: &str, failure: Failure) -> Error {
        const SHOWN: usize = 100;
        let Failure::Status { stderr, .. } = failure else { return failure.into() };
        let text = first_lines(&stderr, SHOWN, is_progress);
        if lacks_lock(&stderr) {
            let is_workspace = self.root.join("go.work").is_file();
            let hint =
                if is_workspace { "run `go work sync`, and `go mod tidy` in each module" } else { "run `go mod tidy`" };
            return Error::config("`go.sum` does not agree with the sources and `go.mod`")
                .because(text)
                .hint(format!("{hint}, and commit what it changes"));
        }
        let error = Error::failed(format!("`{command}` failed")).because(text);
        match hint(&stderr) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

fn is_progress(line: &str) -> bool {
    ["go: downloading ", "go: extracting ", "go: finding "].iter().any(|start| line.starts_with(start))
}

/// Whether Go asks for what `go mod tidy` would write.
fn lacks_lock(said: &str) -> bool {
    ["missing go.sum entry", "updates to go.mod needed", "updates to go.sum needed"]
        .iter()
        .any(|words| said.contains(words))
}

fn hint(said: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["GOPROXY=off", "disabled by GOVCS"]) {
        return Some("run `go mod download` once with the network, or leave `--offline` out");
    }
    if has(&["401 Unauthorized", "403 Forbidden", "407 Proxy", "could not read Username"]) {
        return Some(
            "the proxy or repository wants a name and a password: Go takes them from `.netrc`, from the address in `GOPROXY`, or from `GOAUTH`; for private repositories also set `GOPRIVATE`",
        );
    }
    if has(&["GOTOOLCHAIN=local", "toolchain not available"]) {
        return Some("the module asks for a newer Go: install it, or let Go fetch it with `GOTOOLCHAIN=auto`");
    }
    if has(&["build constraints exclude all Go files", "C source files not allowed when not using cgo"]) {
        return Some("a package that needs C is built with `go = { cgo = true }`");
    }
    None
}

/// A package as Go takes it: relative to where it runs.
fn argument(package: &Path, root: &Path) -> OsString {
    let below = fsio::relative_to(package, root);
    if below.is_absolute() { below.into_os_string() } else { Path::new(".").join(below).into_os_string() }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_from_where_go_runs() {
        let root = Path::new("/p/a b");
        assert_eq!(argument(Path::new("/p/a b/cmd/x"), root), "./cmd/x");
        assert_eq!(argument(Path::new("/p/a b"), root), "./.");
        assert_eq!(argument(Path::new("/p/c"), root), "./../c");
    }

    #[test]
    fn what_go_asks_for_is_known() {
        assert!(lacks_lock("x.go:1:2: missing go.sum entry for module providing package y; to add:\n\tgo get z"));
        assert!(!lacks_lock("./main.go:3:1: undefined: x"));
        assert!(
            hint("reading http://127.0.0.1/x/@v/list: 401 Unauthorized").is_some_and(|hint| hint.contains(".netrc"))
        );
        assert!(hint("module lookup disabled by GOPROXY=off").is_some_and(|hint| hint.contains("go mod download")));
        assert_eq!(hint("./main.go:3:1: undefined: x"), None);
    }
}
