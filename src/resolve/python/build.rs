//! Builds wheels from sources: projects on this machine, Git commits, and packages that are published as source only.
//!
//! A build runs in a copy of the source, so that nothing is left in the project, with `uv build` or else `pip wheel`.
//! Only wheels without machine code are taken, since a compiler here would compile for this machine; there is none for the
//! build to find, so that packages with an optional extension build without it. The build backend is the newest that the
//! project's `build-system` allows, as for every installer; it may leave its own version in `WHEEL`.
//!
//! What a build has given is taken again that day for the same source, tools and, for a project of this machine, the same
//! environment: it sees its files only in the copy ([`super::sources`]).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::answers;
use super::manifest::PyProject;
use super::sources::{Sources, is_inside, outside};
use super::tags::WheelName;
use crate::error::{Error, Result};
use crate::fresh::{self, Key};
use crate::fsio::{self, Scratch};
use crate::process::{Failure, Tool, find_program, find_programs};
use crate::report::{Task, Unit};
use crate::resolve::{Context, environment};
use crate::store::{Archive, Digest, Form};
use crate::tree::ArchivePath;

/// 1980-01-01, the first day that a zip can name.
const EPOCH: &str = "315532800";
/// Sources of machine code, by extension.
const NATIVE_SOURCES: &[&str] =
    &["c", "cc", "cpp", "cxx", "pyx", "rs", "f", "f90", "f77", "m", "go", "cu", "pyf", "asm", "s"];

/// How to get uv or pip when neither is here.
pub(super) const INSTALL_HINT: &str =
    "install uv (https://docs.astral.sh/uv/), or pip with `python3 -m ensurepip`, and see that it is on PATH";

/// The tools of Python that are on PATH.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    /// `uv`.
    pub uv: Option<PathBuf>,
    /// `python3`, which may or may not have pip.
    pub python: Option<PathBuf>,
}

impl Programs {
    /// Looks for them.
    pub fn find() -> Self {
        Self { uv: find_program("uv"), python: find_program("python3").or_else(|| find_program("python")) }
    }

    /// An interpreter for uv: the target's when it is here, else any. One that is a script is a version manager's, which
    /// uv would start anew each time, to find out where it leads today.
    pub(super) fn interpreter(&self, minor: u8) -> Option<PathBuf> {
        let names = [format!("python3.{minor}"), "python3".to_owned()];
        names.iter().flat_map(|name| find_programs(name)).find(|path| starts_like_elf(path))
    }

    /// What these programs are, and which of their settings the environment has.
    pub(super) fn facts(&self) -> Vec<String> {
        let tools = [&self.uv, &self.python].into_iter().flatten().map(|path| fresh::tool(path));
        tools.chain(fresh::variables(&["UV_", "PIP_", "XDG_CONFIG", "HOME", "VIRTUAL_ENV"])).collect()
    }

    /// A call of uv that downloads no Python.
    pub(super) fn call_uv(uv: &Path, offline: bool) -> Tool {
        let tool = Tool::new(uv).env("UV_PYTHON_DOWNLOADS", "never").env("NO_COLOR", "1").env_remove("VIRTUAL_ENV");
        if offline { tool.arg("--offline") } else { tool }
    }

    /// A call of pip.
    pub(super) fn call_pip(python: &Path) -> Tool {
        Tool::new(python)
            .args(["-m", "pip"])
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("PIP_NO_INPUT", "1")
            .env("PIP_USER", "0")
            .env("PIP_REQUIRE_VIRTUALENV", "0")
            .env("NO_COLOR", "1")
            .install_hint(INSTALL_HINT)
    }
}

fn starts_like_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}

/// What became of a build.
#[derive(Debug, Clone)]
pub(super) enum Built {
    /// A wheel without machine code, in the store and, under its own name, on disk.
    Wheel {
        /// It in the store.
        archive: Arc<Archive>,
        /// Its file name, which has name, version and tags.
        name: WheelName,
        /// The file as the tool wrote it.
        path: PathBuf,
    },
    /// It needs a compiler; the tag that it got, or what the build said.
    Native(String),
}

/// Builds, each source once.
pub(super) struct Builder<'a> {
    context: &'a Context<'a>,
    programs: &'a Programs,
    project_root: &'a Path,
    done: Mutex<HashMap<String, Built>>,
    scratches: Mutex<Vec<Scratch>>,
}

impl<'a> Builder<'a> {
    /// A builder for one run. Nothing of this machine from outside `project_root` is built.
    pub(super) fn new(context: &'a Context<'a>, programs: &'a Programs, project_root: &'a Path) -> Self {
        Self { context, programs, project_root, done: Mutex::default(), scratches: Mutex::default() }
    }

    /// Builds the project in a folder of this machine.
    pub(super) fn folder(&self, folder: &Path) -> Result<Built> {
        if !is_inside(folder, self.project_root) {
            return Err(outside(folder, self.project_root));
        }
        self.once(&folder.display().to_string(), || {
            let label =
                folder.file_name().map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into_owned());
            let sources = Sources::of(folder, self.project_root)?;
            let digest = sources.digest()?;
            self.kept(&format!("folder {digest}\n{}", surroundings()), || {
                let scratch = fsio::scratch_dir()?;
                let copy = scratch.path().join("source");
                if sources.copy(&copy)?.digest()? != digest {
                    let shown = folder.display();
                    return Err(Error::failed(format!("`{shown}` was changed while it was read")));
                }
                self.build(scratch, &copy, &label).map_err(|e| e.at(folder, None))
            })
        })
    }

    /// Builds a source distribution that is in the store.
    pub(super) fn sdist(&self, archive: &Arc<Archive>, label: &str) -> Result<Built> {
        self.once(&archive.path().display().to_string(), || {
            self.kept(&fresh::archive_name(archive), || {
                let scratch = fsio::scratch_dir()?;
                let copy = scratch.path().join("source");
                unpack(archive, &copy)?;
                self.build(scratch, &project_below(&copy), label)
            })
        })
    }

    /// Builds a commit of a Git repository.
    pub(super) fn git(&self, url: &str, commit: &str, subdirectory: &str, label: &str) -> Result<Built> {
        self.once(&format!("{url}#{commit}:{subdirectory}"), || {
            let is_local = url.starts_with("file:") || Path::new(url).is_absolute();
            if self.context.offline && !is_local {
                return Err(Error::failed(format!("{label} comes from Git, and `--offline` forbids fetching it")));
            }
            let below = match subdirectory.trim_matches('/') {
                "" => String::new(),
                below => ArchivePath::new(below)
                    .map_err(|problem| Error::config(format!("the subdirectory `{below}` of {label} {problem}")))?
                    .to_string(),
            };
            self.kept(&format!("{url}#{commit}:{subdirectory}"), || {
                let scratch = fsio::scratch_dir()?;
                let clone = scratch.path().join("clone");
                let copy = scratch.path().join("source");
                checkout(url, commit, &clone).map_err(|e| e.context(label))?;
                let sources = Sources::of(&clone.join(below), &clone).map_err(|e| e.context(label))?;
                sources.copy(&copy)?;
                self.build(scratch, &copy, label)
            })
        })
    }

    /// Takes a wheel that lies on this machine into the store.
    pub(super) fn adopt(&self, wheel: &Path, label: &str, expected: Option<&Digest>) -> Result<Arc<Archive>> {
        self.context.store.adopt_built(wheel, label, expected)
    }

    fn once(&self, key: &str, build: impl FnOnce() -> Result<Built>) -> Result<Built> {
        // Held while building: two builds at once would fight for the same cores, and one of them may be for nothing.
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = done.get(key) {
            return Ok(built.clone());
        }
        let built = build()?;
        done.insert(key.to_owned(), built.clone());
        Ok(built)
    }

    /// What a build has given today, of the same source with the same tools; else builds, and keeps what that gives.
    fn kept(&self, source: &str, build: impl FnOnce() -> Result<Built>) -> Result<Built> {
        let mut key = Key::new();
        key.add("build").add(source);
        for fact in self.programs.facts() {
            key.add(fact);
        }
        let (store, key) = (self.context.store, key.finish());
        if let Some(built) = store.answer(&key).and_then(|answer| self.told(&answer)) {
            return Ok(built);
        }
        let built = build()?;
        // What has no wheel may have had no network.
        if let Built::Wheel { archive, path, .. } = &built {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            // The store names it by the digest that it had when it was built.
            let digest = archive.path().file_stem().unwrap_or_default().to_string_lossy();
            // What cannot be kept is built again.
            let _ = store.keep_answer(&key, &format!("{file} {digest}"));
        }
        Ok(built)
    }

    fn told(&self, answer: &str) -> Option<Built> {
        let (file, digest) = answer.split_once(' ')?;
        let (algorithm, hex) = digest.split_once('-')?;
        let archive = self.context.store.archive(Form::Built, &Digest::from_hex(algorithm, hex)?).ok()??;
        let name = WheelName::parse(file)?;
        // pip knows a wheel by the name of its file.
        let scratch = fsio::scratch_dir().ok()?;
        let path = scratch.path().join(file);
        std::fs::copy(archive.path(), &path).ok()?;
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        Some(Built::Wheel { archive, name, path })
    }

    fn build(&self, scratch: Scratch, source: &Path, label: &str) -> Result<Built> {
        let _task = Task::begin(self.context.reporter, format!("Building {label}"), None, Unit::Items);
        let out = scratch.path().join("out");
        fsio::create_dir_all(&out)?;
        if has_native_sources(source) && needs_compiler(source) {
            return Ok(Built::Native("its build backend compiles".to_owned()));
        }
        let tool = match self.tool(source, &out) {
            Err(_) if has_native_sources(source) => return Ok(Built::Native("no tool is here to try".to_owned())),
            tool => tool?,
        };
        if let Err(failure) = tool.run() {
            return match failure {
                Failure::Status { stderr, .. } if has_native_sources(source) => Ok(Built::Native(last_line(&stderr))),
                Failure::Status { error, .. } | Failure::NotStarted(error) => {
                    Err(error.context(format!("Failed to build {label}")))
                }
            };
        }
        let Some((path, name)) = only_wheel(&out) else {
            return Err(Error::failed(format!("building {label} gave no wheel")));
        };
        if !name.is_pure() {
            return Ok(Built::Native(format!("building it gives `{}`", name.tags())));
        }
        let archive = self.context.store.adopt_built(&path, label, None)?;
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        Ok(Built::Wheel { archive, name, path })
    }

    fn tool(&self, source: &Path, out: &Path) -> Result<Tool> {
        let tool = match (&self.programs.uv, &self.programs.python) {
            (Some(uv), _) => Programs::call_uv(uv, self.context.offline)
                .args(["build", "--wheel", "--quiet", "--no-sources", "--out-dir"])
                .arg(out)
                .arg(source),
            (None, Some(python)) => {
                let pip = Programs::call_pip(python).args([
                    "wheel",
                    "--quiet",
                    "--no-deps",
                    "--ignore-requires-python",
                    "--wheel-dir",
                ]);
                let pip = pip.arg(out).arg(source);
                if self.context.offline { pip.arg("--no-index") } else { pip }
            }
            (None, None) => return Err(Error::failed("neither uv nor pip was found on PATH").hint(INSTALL_HINT)),
        };
        Ok(environment::without_shell(tool)
            .env("SOURCE_DATE_EPOCH", EPOCH)
            .env("PYTHONHASHSEED", "0")
            .env("CC", "false")
            .env("CXX", "false")
            .env("RUSTC", "false"))
    }
}

/// What a project's own build may see beside its files: the environment, and settings of the tool where it is called.
fn surroundings() -> String {
    let here = std::env::current_dir().unwrap_or_default();
    format!("{}\n{}", environment::facts().join("\n"), answers::settings_text(&here))
}

fn only_wheel(folder: &Path) -> Option<(PathBuf, WheelName)> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    entries.map(|e| e.path()).find_map(|path| {
        let name = WheelName::parse(path.file_name()?.to_str()?)?;
        Some((path, name))
    })
}

fn last_line(text: &str) -> String {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("the build failed").to_owned()
}

fn has_native_sources(folder: &Path) -> bool {
    walkdir::WalkDir::new(folder).into_iter().flatten().any(|entry| {
        let extension = entry.path().extension().and_then(|e| e.to_str());
        extension.is_some_and(|e| NATIVE_SOURCES.contains(&e.to_ascii_lowercase().as_str()))
    })
}

/// Whether the build backend is one for compiled extensions, which does nothing without a compiler, but takes its time.
fn needs_compiler(folder: &Path) -> bool {
    const COMPILING: &[&str] = &["mesonpy", "maturin", "scikit_build_core", "py_build_cmake", "setuptools_rust"];
    let backend = PyProject::read(&folder.join("pyproject.toml")).ok().and_then(|read| read.build_system);
    let backend = backend.as_ref().and_then(|table| table.get("build-backend")).and_then(toml::Value::as_str);
    backend.is_some_and(|name| COMPILING.iter().any(|one| name.starts_with(one)))
}

fn unpack(archive: &Archive, to: &Path) -> Result<()> {
    for (index, member) in archive.members().iter().enumerate() {
        fsio::write_atomic(&to.join(member.path.as_str()), &archive.read(index)?)?;
    }
    Ok(())
}

/// The project in an unpacked source distribution: its root, or in a zip its one folder.
fn project_below(folder: &Path) -> PathBuf {
    let is_project = |path: &Path| path.join("pyproject.toml").is_file() || path.join("setup.py").is_file();
    let below = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).find(|p| is_project(p));
    match below {
        Some(below) if !is_project(folder) => below,
        _ => folder.to_owned(),
    }
}

fn checkout(url: &str, commit: &str, to: &Path) -> Result<()> {
    // Locks come from other people: nothing in them may become an option of Git, or a command (`ext::…`).
    let helper = url.split_once("::").is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric()));
    if url.is_empty() || url.starts_with('-') || helper {
        return Err(Error::config(format!("`{url}` is no address of a Git repository")));
    }
    if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::config(format!("`{commit}` is no full id of a commit, so nothing proves what it is"))
            .hint("lock again; both uv and pip write full ids"));
    }
    let git = |args: &[&str]| {
        let tool = Tool::new("git").args(["-c", "core.autocrlf=false"]).args(args).env("GIT_TERMINAL_PROMPT", "0");
        tool.in_no_repository().install_hint("install Git, or depend on a published version").run().map_err(Error::from)
    };
    fsio::create_dir_all(to)?;
    let folder = to.display().to_string();
    git(&["init", "--quiet", &folder])?;
    // Servers that refuse to give out single commits give out everything.
    if git(&["-C", &folder, "fetch", "--quiet", "--depth", "1", url, commit]).is_err() {
        git(&["-C", &folder, "fetch", "--quiet", url, "+refs/*:refs/fetched/*"])?;
    }
    git(&["-C", &folder, "checkout", "--quiet", "--detach", commit])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_cannot_give_options_to_git() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        let to = dir.path().join("clone");
        let commit = "0".repeat(40);
        for (url, commit) in [
            (format!("--upload-pack=touch {};", made.display()), "."),
            (format!("--upload-pack=touch {};", made.display()), &commit),
            (format!("ext::touch {}", made.display()), &commit),
            (dir.path().display().to_string(), "main"),
            (dir.path().display().to_string(), "--force"),
        ] {
            assert_eq!(checkout(&url, commit, &to).unwrap_err().kind(), crate::error::Kind::Config, "{url} {commit}");
        }
        assert!(!made.exists() && !to.exists());
    }
}
