//! Builds wheels from sources: projects on this machine, Git commits, and packages that are published as source only.
//!
//! A build runs in a copy of the source, so that nothing is left in the project. Sources without machine code are built with
//! `uv build` or else `pip wheel`, once for all targets. Those with machine code are compiled for the target
//! ([`super::native`]); where nothing can, they are built with no compiler to find, so that packages with an optional
//! extension still are. The build backend is the newest that the project's `build-system` allows, as for every installer; it
//! may leave its own version in `WHEEL`.
//!
//! What a build has given is taken again that day for the same source, tools and, for a project of this machine or for
//! machine code, the same environment: it sees its files only in the copy ([`super::sources`]).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::answers;
use super::git::checkout;
use super::manifest::PyProject;
use super::native::{self, Toolchain, Unbuilt};
use super::programs::{INSTALL_HINT, Programs};
use super::sources::{self, Sources, is_inside, outside};
use super::tags::WheelName;
use super::target::Target;
use crate::error::{Error, Result};
use crate::fresh::{self, Key};
use crate::fsio::{self, Scratch};
use crate::process::{Failure, Tool};
use crate::report::{Task, Unit};
use crate::resolve::{Context, environment};
use crate::store::{Archive, Digest, Form};
use crate::tree::ArchivePath;

/// 1980-01-01, the first day that a zip can name.
const EPOCH: &str = "315532800";
/// Sources of machine code, by extension.
const NATIVE_SOURCES: &[&str] =
    &["c", "cc", "cpp", "cxx", "pyx", "rs", "f", "f90", "f77", "m", "go", "cu", "pyf", "asm", "s"];

/// What became of a build.
#[derive(Debug, Clone)]
pub(super) enum Built {
    /// A wheel that the target can load, in the store and, under its own name, on disk.
    Wheel {
        /// It in the store.
        archive: Arc<Archive>,
        /// Its file name, which has name, version and tags.
        name: WheelName,
        /// The file as the tool wrote it.
        path: PathBuf,
        /// Of a source with machine code, how it was built.
        note: Option<String>,
    },
    /// It needs a compiler, which did not do: why.
    Native(String),
}

/// Builds, each source once for each target.
pub(super) struct Builder<'a> {
    context: &'a Context<'a>,
    programs: &'a Programs,
    project_root: &'a Path,
    done: Mutex<HashMap<String, Built>>,
    toolchains: Mutex<HashMap<String, Arc<Result<Toolchain, String>>>>,
    scratches: Mutex<Vec<Scratch>>,
}

impl<'a> Builder<'a> {
    /// A builder for one run. Nothing of this machine from outside `project_root` is built.
    pub(super) fn new(context: &'a Context<'a>, programs: &'a Programs, project_root: &'a Path) -> Self {
        let (done, toolchains, scratches) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { context, programs, project_root, done, toolchains, scratches }
    }

    /// Builds the project in a folder of this machine.
    pub(super) fn folder(&self, folder: &Path, target: &Target) -> Result<Built> {
        if !is_inside(folder, self.project_root) {
            return Err(outside(folder, self.project_root));
        }
        self.once(&folder.display().to_string(), target, || {
            let label =
                folder.file_name().map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into_owned());
            let sources = Sources::of(folder, self.project_root)?;
            let digest = sources.digest()?;
            self.kept(&format!("folder {digest}\n{}", surroundings()), target, || {
                let scratch = fsio::scratch_dir()?;
                let copy = scratch.path().join("source");
                if sources.copy(&copy)?.digest()? != digest {
                    let shown = folder.display();
                    return Err(Error::failed(format!("`{shown}` was changed while it was read")));
                }
                self.build(scratch, &copy, &label, target).map_err(|e| e.at(folder, None))
            })
        })
    }

    /// Builds a source distribution that is in the store.
    pub(super) fn sdist(&self, archive: &Arc<Archive>, label: &str, target: &Target) -> Result<Built> {
        self.once(&archive.path().display().to_string(), target, || {
            self.kept(&fresh::archive_name(archive), target, || {
                let scratch = fsio::scratch_dir()?;
                let copy = scratch.path().join("source");
                unpack(archive, &copy)?;
                self.build(scratch, &project_below(&copy), label, target)
            })
        })
    }

    /// Builds a commit of a Git repository.
    pub(super) fn git(
        &self,
        url: &str,
        commit: &str,
        subdirectory: &str,
        label: &str,
        target: &Target,
    ) -> Result<Built> {
        self.once(&format!("{url}#{commit}:{subdirectory}"), target, || {
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
            self.kept(&format!("{url}#{commit}:{subdirectory}"), target, || {
                let scratch = fsio::scratch_dir()?;
                let clone = scratch.path().join("clone");
                let copy = scratch.path().join("source");
                checkout(url, commit, &clone).map_err(|e| e.context(label))?;
                let sources = Sources::of(&clone.join(below), &clone).map_err(|e| e.context(label))?;
                sources.copy(&copy)?;
                self.build(scratch, &copy, label, target)
            })
        })
    }

    /// Takes a wheel that lies on this machine into the store.
    pub(super) fn adopt(&self, wheel: &Path, label: &str, expected: Option<&Digest>) -> Result<Arc<Archive>> {
        self.context.store.adopt_built(wheel, label, expected)
    }

    fn once(&self, key: &str, target: &Target, build: impl FnOnce() -> Result<Built>) -> Result<Built> {
        let key = format!("{key}\n{}", target.name());
        // Held while building: two builds at once would fight for the same cores, and one of them may be for nothing.
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = done.get(&key) {
            return Ok(built.clone());
        }
        let built = build()?;
        done.insert(key, built.clone());
        Ok(built)
    }

    /// What a build has given today, of the same source with the same tools; else builds, and keeps what that gives.
    fn kept(&self, source: &str, target: &Target, build: impl FnOnce() -> Result<Built>) -> Result<Built> {
        let mut key = Key::new();
        key.add("build").add(source);
        for fact in self.programs.facts() {
            key.add(fact);
        }
        let (store, pure) = (self.context.store, key.finish());
        let find = |key: &str| store.answer(key).and_then(|answer| self.told(&answer));
        if let Some(built) = find(&pure) {
            return Ok(built);
        }
        // With machine code, it is of the target and of what compiles for it.
        let facts = self.target_facts(target);
        let compiled = facts.iter().fold(&mut key, |key, fact| key.add(fact)).finish();
        if let Some(built) = find(&compiled) {
            return Ok(built);
        }
        let built = build()?;
        // What has no wheel may have had no network.
        if let Built::Wheel { archive, path, note, .. } = &built {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            // The store names it by the digest that it had when it was built.
            let digest = archive.path().file_stem().unwrap_or_default().to_string_lossy();
            let (key, note) = note.as_ref().map_or((&pure, ""), |note| (&compiled, note.as_str()));
            // What cannot be kept is built again.
            let _ = store.keep_answer(key, &format!("{file} {digest}\n{note}"));
        }
        Ok(built)
    }

    fn target_facts(&self, target: &Target) -> Vec<String> {
        let mut facts = vec![target.name(), surroundings()];
        match self.toolchain(target).as_ref() {
            Ok(toolchain) => facts.extend(toolchain.facts()),
            Err(why) => facts.push(why.clone()),
        }
        facts
    }

    /// What compiles for a target, looked for once.
    fn toolchain(&self, target: &Target) -> Arc<Result<Toolchain, String>> {
        let mut known = self.toolchains.lock().unwrap_or_else(PoisonError::into_inner);
        let find = || Arc::new(Toolchain::find(self.programs, target));
        Arc::clone(known.entry(target.name()).or_insert_with(find))
    }

    fn told(&self, answer: &str) -> Option<Built> {
        let (wheel, note) = answer.split_once('\n')?;
        let (file, digest) = wheel.split_once(' ')?;
        let (algorithm, hex) = digest.split_once('-')?;
        let archive = self.context.store.archive(Form::Built, &Digest::from_hex(algorithm, hex)?).ok()??;
        let name = WheelName::parse(file)?;
        // pip knows a wheel by the name of its file.
        let scratch = fsio::scratch_dir().ok()?;
        let path = scratch.path().join(file);
        std::fs::copy(archive.path(), &path).ok()?;
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        let note = Some(note).filter(|note| !note.is_empty()).map(str::to_owned);
        Some(Built::Wheel { archive, name, path, note })
    }

    fn build(&self, scratch: Scratch, source: &Path, label: &str, target: &Target) -> Result<Built> {
        let _task = Task::begin(self.context.reporter, format!("Building {label}"), None, Unit::Items);
        let built = match has_native_sources(source) {
            true => self.with_machine_code(scratch.path(), source, label, target)?,
            false => self.without_compiler(&scratch.path().join("out"), source, label)?,
        };
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        Ok(built)
    }

    /// Compiled for the target; else without the machine code, if the project does without.
    fn with_machine_code(&self, scratch: &Path, source: &Path, label: &str, target: &Target) -> Result<Built> {
        let copy = scratch.join("without-compiler");
        sources::copy_all(source, &copy)?;
        let why = match self.compiled(scratch, source, label, target)? {
            Built::Native(why) => why,
            built => return Ok(built),
        };
        if needs_compiler(source) {
            return Ok(Built::Native(why));
        }
        match self.without_compiler(&scratch.join("out"), &copy, label) {
            Ok(Built::Wheel { archive, name, path, .. }) => {
                let note =
                    format!("{label} is packed without its optional native code, which cannot be compiled: {why}");
                Ok(Built::Wheel { archive, name, path, note: Some(note) })
            }
            _ => Ok(Built::Native(why)),
        }
    }

    fn compiled(&self, scratch: &Path, source: &Path, label: &str, target: &Target) -> Result<Built> {
        let toolchain = self.toolchain(target);
        let toolchain = match toolchain.as_ref() {
            Ok(toolchain) => toolchain,
            Err(why) => return Ok(Built::Native(why.clone())),
        };
        let ready_made = native::ready_made(source);
        let job = native::Job {
            programs: self.programs,
            toolchain,
            target,
            source,
            scratch: &scratch.join("compiled"),
            offline: self.context.offline,
            epoch: EPOCH,
        };
        fsio::create_dir_all(job.scratch)?;
        let (path, name) = match job.run() {
            Ok(wheel) => wheel,
            Err(Unbuilt::Refused(why)) => return Ok(Built::Native(format!("with {}, {why}", toolchain.name()))),
            Err(Unbuilt::Broken(error)) => return Err(error.context(format!("Failed to build {label}"))),
        };
        let archive = self.context.store.adopt_built(&path, label, None)?;
        if let Some(why) = native::misfit(&archive, &name, target, &ready_made) {
            return Ok(Built::Native(format!("with {}, {why}", toolchain.name())));
        }
        let note = format!("{label} has no wheel for {}; it was compiled with {}", target.name(), toolchain.name());
        Ok(Built::Wheel { archive, name, path, note: Some(note) })
    }

    /// Built with no compiler to find: a wheel without machine code.
    fn without_compiler(&self, out: &Path, source: &Path, label: &str) -> Result<Built> {
        fsio::create_dir_all(out)?;
        let failed = |error: Error| error.context(format!("Failed to build {label}"));
        self.tool(source, out)?.run().map_err(|failure: Failure| failed(failure.into()))?;
        let Some((path, name)) = only_wheel(out) else {
            return Err(Error::failed(format!("building {label} gave no wheel")));
        };
        if !name.is_pure() {
            return Ok(Built::Native(format!("building it gives `{}`", name.tags())));
        }
        let archive = self.context.store.adopt_built(&path, label, None)?;
        Ok(Built::Wheel { archive, name, path, note: None })
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

/// The wheel that a build has left in a folder.
pub(super) fn only_wheel(folder: &Path) -> Option<(PathBuf, WheelName)> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    entries.map(|e| e.path()).find_map(|path| {
        let name = WheelName::parse(path.file_name()?.to_str()?)?;
        Some((path, name))
    })
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
