//! From the file that decides to the pins of a function: who reads it, and who is asked.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::answers::{self, Answers};
use super::ask::{Question, scratch_file};
use super::build::{Builder, Built};
use super::input::Input;
use super::managers::agreement;
use super::managers::{pdm, pipfile, poetry};
use super::manifest::PyProject;
use super::pin::{Origin, Pin, Pins, RemoteFile};
use super::pip::Pip;
use super::programs::{INSTALL_HINT, Programs};
use super::requirements::{Line, Local, Requirements};
use super::selection::{Kind, Selection};
use super::target::Target;
use super::uv::Uv;
use super::uv_lock::Lock;
use super::{pylock, select, sources};
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::fresh::Inputs;
use crate::fsio;
use crate::report::{Task, Unit};
use crate::resolve::Context;
use crate::store::percent_decode;

/// Finds the pins of an input.
pub(super) struct Planner<'a> {
    /// The run.
    pub(super) context: &'a Context<'a>,
    /// What is on PATH.
    pub(super) programs: &'a Programs,
    /// Builds what has no wheel.
    pub(super) builder: &'a Builder<'a>,
    /// Locks name nothing of this machine from outside this folder.
    pub(super) project_root: &'a Path,
}

impl Planner<'_> {
    /// The pins.
    pub(super) fn plan(&self, input: &Input, selection: &Selection, target: &Target) -> Result<Pins> {
        match input {
            Input::UvLock(lock, pyproject) => {
                let pins = Lock::read(lock)?.pins(&PyProject::read(pyproject)?, selection, target)?;
                self.contained(&pins, lock)?;
                let inputs = of_lock(&pins, &[lock, pyproject]);
                Ok(Pins { pins, inputs, resolved_by: "uv.lock".to_owned(), ..Pins::default() })
            }
            Input::Pylock(path) => {
                let pins = pylock::pins(&fsio::read_text(path)?, path, selection, target)?;
                self.contained(&pins, path)?;
                let inputs = of_lock(&pins, &[path]);
                Ok(Pins { pins, inputs, resolved_by: "pylock.toml".to_owned(), ..Pins::default() })
            }
            Input::Poetry(lock, pyproject) => self.poetry(lock, pyproject, selection, target),
            Input::Pdm(lock, pyproject) => self.pdm(lock, pyproject, selection, target),
            Input::Pipfile(lock) => self.pipfile(lock, selection, target),
            Input::Requirements(path) => {
                selection.refuse("a requirements.txt", path)?;
                self.requirements(path, target)
            }
            Input::PyProject(path) => self.pyproject(path, selection, target),
            Input::Nothing(folder) => nothing(folder),
        }
    }

    /// Refuses a lock that names files of this machine outside of the project: it may come from somebody else.
    fn contained(&self, pins: &[Pin], lock: &Path) -> Result<()> {
        for pin in pins {
            let of_url =
                |url: &str| url.strip_prefix("file://").or_else(|| url.strip_prefix("file:")).map(str::to_owned);
            let files = |files: &[RemoteFile]| -> Vec<PathBuf> {
                files.iter().filter_map(|file| of_url(&file.url)).map(|path| percent_decode(&path).into()).collect()
            };
            let paths = match &pin.origin {
                Origin::Folder(path) | Origin::Wheel(path, _) => vec![path.clone()],
                Origin::Git { url, .. } => match of_url(url) {
                    Some(path) => vec![percent_decode(&path).into()],
                    None => vec![PathBuf::from(url)].into_iter().filter(|path| path.is_absolute()).collect(),
                },
                Origin::Files { wheels, sdist } => [files(wheels), files(sdist.as_slice())].concat(),
            };
            if let Some(path) = paths.iter().find(|path| !sources::is_inside(path, self.project_root)) {
                return Err(sources::outside(path, self.project_root).context(pin.label()).at(lock, None));
            }
        }
        Ok(())
    }

    fn requirements(&self, path: &Path, target: &Target) -> Result<Pins> {
        let requirements = Requirements::read(path)?;
        if self.context.locked
            && let Some(unpinned) = requirements.unpinned()
        {
            return Err(unlocked(path, &format!("`{unpinned}` has no exact version")));
        }
        if requirements.lines.iter().all(Line::asks_for_nothing) {
            let inputs = answers::inputs(&requirements, path, self.programs);
            return Ok(Pins { inputs, resolved_by: "requirements.txt".to_owned(), ..Pins::default() });
        }
        let scratch = fsio::scratch_dir()?;
        let (input, findings, built) = self.without_folders(&requirements, path, scratch.path(), target)?;
        let question = Question {
            shown: path,
            input,
            requirements: &requirements,
            scratch: &scratch,
            target,
            offline: self.context.offline,
            answers: Answers::about(&requirements, folder_of(path), self.programs, self.context.store),
            is_complete: false,
            added: &[],
        };
        let (mut pins, found, tool) = self.ask(&question, None)?;
        verify(&mut pins, &requirements, path)?;
        if self.context.locked {
            let pinned = requirements.pinned_names();
            let surprise = pins.iter().find(|pin| !pinned.contains(&pin.name) && !built.contains(&pin.name));
            if let Some(pin) = surprise {
                return Err(unlocked(path, &format!("{} is needed and does not stand in it", pin.label())));
            }
        }
        let findings = findings.into_iter().chain(found).collect();
        let resolved_by = format!("requirements.txt ({tool})");
        let inputs =
            answers::inputs(&requirements, path, self.programs).filter(|_| !pins.iter().any(Pin::is_of_this_machine));
        Ok(Pins { pins, findings, resolved_by, inputs, _scratch: vec![scratch], ..Pins::default() })
    }

    /// The file for the tool: with every project of this machine replaced by its wheel, which is built from a copy. Also
    /// what could not be built, and the names of what was.
    fn without_folders(
        &self,
        requirements: &Requirements,
        path: &Path,
        scratch: &Path,
        target: &Target,
    ) -> Result<(PathBuf, Vec<Finding>, Vec<String>)> {
        let mut lines: HashMap<PathBuf, Option<(String, PathBuf)>> = HashMap::new();
        let mut findings = Vec::new();
        for local in requirements.locals() {
            if lines.contains_key(&local.folder) {
                continue;
            }
            let wheel = match self.builder.folder(&local.folder, target)? {
                Built::Wheel { name, path, .. } => Some((name.name, path)),
                Built::Native(why) => {
                    findings.push(select::native(&local.folder.display().to_string(), &[], &why, target));
                    None
                }
            };
            lines.insert(local.folder.clone(), wheel);
        }
        if lines.is_empty() {
            return Ok((path.to_owned(), findings, Vec::new()));
        }
        let input = requirements.stage(scratch, |local| {
            lines.get(&local.folder)?.as_ref().map(|(name, wheel)| requirement_of(local, name, wheel))
        })?;
        Ok((input, findings, lines.into_values().flatten().map(|(name, _)| name).collect()))
    }

    fn poetry(&self, lock: &Path, pyproject: &Path, selection: &Selection, target: &Target) -> Result<Pins> {
        let read = poetry::Lock::read(lock)?;
        let project = PyProject::read(pyproject)?;
        let note = agreement::poetry(read.content_hash(), pyproject)?;
        let note = note.told(self.context.locked, "pyproject.toml", lock, "poetry lock")?;
        let mut pins = self.locate(read.locked(lock, &project, selection, target)?, lock, target)?;
        pins.pins.extend(project.needs_wheel().then(|| of_project(&project)));
        self.managed(pins, note, &[lock, pyproject], "poetry.lock")
    }

    fn pdm(&self, lock: &Path, pyproject: &Path, selection: &Selection, target: &Target) -> Result<Pins> {
        let read = pdm::Lock::read(lock)?;
        let project = PyProject::read(pyproject)?;
        let note = agreement::pdm(read.content_hash(), pyproject)?;
        let note = note.told(self.context.locked, "pyproject.toml", lock, "pdm lock")?;
        let mut pins = self.locate(read.locked(lock, &project, selection, target)?, lock, target)?;
        pins.pins.extend(project.needs_wheel().then(|| of_project(&project)));
        self.managed(pins, note, &[lock, pyproject], "pdm.lock")
    }

    fn pipfile(&self, lock: &Path, selection: &Selection, target: &Target) -> Result<Pins> {
        let read = pipfile::Lock::read(lock)?;
        let manifest = lock.with_file_name("Pipfile");
        let agrees = match manifest.is_file() {
            true => agreement::pipfile(read.hash(), read.sources(), &manifest)?,
            false => agreement::Agreement::Untold,
        };
        let note = agrees.told(self.context.locked, "Pipfile", lock, "pipenv lock")?;
        let pins = self.locate(read.locked(lock, selection, target)?, lock, target)?;
        self.managed(pins, note, &[lock, &manifest], "Pipfile.lock")
    }

    /// The pins of a manager's lock: of the project alone, in the order of names, with all that they depend on.
    fn managed(&self, mut pins: Pins, note: Option<String>, files: &[&Path], resolved_by: &str) -> Result<Pins> {
        self.contained(&pins.pins, files[0])?;
        pins.pins.sort_by(|a, b| a.name.cmp(&b.name));
        pins.inputs = of_lock(&pins.pins, files);
        pins.notes.extend(note);
        resolved_by.clone_into(&mut pins.resolved_by);
        Ok(pins)
    }

    fn pyproject(&self, path: &Path, selection: &Selection, target: &Target) -> Result<Pins> {
        let pyproject = PyProject::read(path)?;
        if pyproject.is_poetry_only() {
            return Err(Error::config("its dependencies are written for Poetry, in `[tool.poetry]`")
                .at(path, None)
                .hint("run `poetry lock`, or move them to `[project]`, and run `uv lock`"));
        }
        if let Some(requires) = pyproject.project.as_ref().and_then(|p| p.requires_python.as_deref())
            && !target.admitted_by(requires)
        {
            return Err(Error::config(format!("requires-python `{requires}` leaves out {}", target.runtime.id))
                .at(path, None)
                .hint("choose another runtime, or widen `requires-python`"));
        }
        let mut out =
            Pins { inputs: Some(Inputs::default()), resolved_by: "pyproject.toml".to_owned(), ..Pins::default() };
        let is_dynamic = pyproject.project.is_some() && pyproject.dependencies().is_none();
        selection.check(Kind::Extra, &pyproject.extra_names(), path)?;
        selection.check(Kind::Group, &pyproject.group_names(), path)?;
        let dependencies = [pyproject.dependencies().unwrap_or_default(), &pyproject.selected(selection)?].concat();
        let extras = selection.extras.iter().map(|extra| format!("--extra={extra}"));
        let added: Vec<String> =
            extras.chain(selection.groups.iter().map(|group| format!("--group={group}"))).collect();
        if is_dynamic || !dependencies.is_empty() {
            if self.context.locked {
                return Err(unlocked(path, "there is no lock file beside it"));
            }
            let scratch = fsio::scratch_dir()?;
            let text = dependencies.iter().map(|line| format!("{line}\n")).collect::<String>();
            let requirements = read_dependencies(path, scratch_file(&scratch, "0-requirements.txt", &text)?)?;
            let question = Question {
                shown: path,
                input: scratch.path().join("0-requirements.txt"),
                requirements: &requirements,
                scratch: &scratch,
                target,
                offline: self.context.offline,
                // Its text is among the settings that an answer is known by; what is dynamic may read any file.
                answers: (!is_dynamic && !pyproject.names_sources())
                    .then(|| Answers::about(&requirements, folder_of(path), self.programs, self.context.store))
                    .flatten(),
                is_complete: false,
                added: &added,
            };
            let is_told = question.answers.is_some();
            let (pins, findings, tool) = self.ask(&question, Some(is_dynamic))?;
            let is_told = is_told && !pins.iter().any(Pin::is_of_this_machine);
            let inputs = is_told.then(|| answers::inputs(&requirements, path, self.programs)).flatten();
            out = Pins {
                pins,
                findings,
                resolved_by: format!("pyproject.toml ({tool})"),
                inputs,
                _scratch: vec![scratch],
                ..Pins::default()
            };
            let note = "pyproject.toml has no lock beside it, so the newest versions were taken; `uv lock` makes one";
            out.notes.push(note.to_owned());
        }
        if pyproject.needs_wheel() {
            out.inputs = None;
            out.pins.push(of_project(&pyproject));
        }
        out.pins.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    /// Shows which file is being resolved, by its folder: those of several functions are called the same.
    fn resolving(&self, tool: &str, question: &Question<'_>) -> Task<'_> {
        let task = Task::begin(self.context.reporter, format!("Resolving with {tool}"), None, Unit::Items);
        let parts: Vec<_> = question.shown.iter().rev().take(2).collect();
        task.detail(parts.into_iter().rev().collect::<PathBuf>().display().to_string());
        task
    }

    /// Asks uv, or else pip. `dynamic` is about a `pyproject.toml`, which uv reads itself: whether its dependencies are known
    /// to its build backend only.
    pub(super) fn ask(
        &self,
        question: &Question<'_>,
        dynamic: Option<bool>,
    ) -> Result<(Vec<Pin>, Vec<Finding>, String)> {
        if let Some(program) = &self.programs.uv {
            let python = self.programs.interpreter(question.target.minor);
            let uv = Uv::new(program, python.as_deref(), self.context.store)?;
            let _task = self.resolving("uv", question);
            let (pins, findings) = match dynamic {
                None => uv.resolve(question)?,
                Some(_) => uv.resolve(&Question {
                    input: question.shown.to_owned(),
                    answers: question.answers.clone(),
                    ..*question
                })?,
            };
            return Ok((pins, findings, uv.name()));
        }
        if dynamic == Some(true) {
            return Err(Error::config("its dependencies are dynamic, which pip cannot resolve for another Python")
                .at(question.shown, None)
                .hint(INSTALL_HINT));
        }
        let Some(python) = &self.programs.python else {
            return Err(Error::failed("neither uv nor pip was found on PATH").hint(INSTALL_HINT));
        };
        let pip = Pip::new(python)?;
        let _task = self.resolving("pip", question);
        let (pins, findings) = pip.resolve(question, self.builder, self.context)?;
        Ok((pins, findings, pip.name()))
    }
}

/// The dependencies of a `pyproject.toml` as requirements; mistakes in them are told of that file.
fn read_dependencies(path: &Path, staged: PathBuf) -> Result<Requirements> {
    let mut read = Requirements::read(&staged).map_err(|e| e.at(path, None))?;
    for (file, _) in &mut read.files {
        path.clone_into(file);
    }
    Ok(read)
}

/// Keeps the archives that `--hash` allows: `uv pip compile` does not compare them, and pip compares what it took.
fn verify(pins: &mut [Pin], requirements: &Requirements, path: &Path) -> Result<()> {
    let allowed = requirements.hashes();
    for pin in pins.iter_mut().filter(|_| !allowed.is_empty()) {
        let label = pin.label();
        let Origin::Files { wheels, sdist } = &mut pin.origin else { continue };
        let Some(hashes) = allowed.get(&pin.name) else {
            return Err(Error::config(format!(
                "{label} is needed, too, and has no `--hash`, but other lines have one"
            ))
            .at(path, None)
            .hint("write all with `uv pip compile --generate-hashes`, or none"));
        };
        let is_allowed = |file: &RemoteFile| hashes.contains(&file.digest.to_string());
        wheels.retain(is_allowed);
        *sdist = sdist.take().filter(is_allowed);
        if wheels.is_empty() && sdist.is_none() {
            return Err(Error::config(format!("no archive of {label} has a digest that `--hash` allows"))
                .at(path, None)
                .hint("if the package was published anew, look at why, and write the hashes again"));
        }
    }
    Ok(())
}

fn requirement_of(local: &Local, name: &str, wheel: &Path) -> String {
    let marker = if local.marker.is_empty() { String::new() } else { format!(" ; {}", local.marker) };
    format!("{name}{} @ file://{}{marker}", local.extras, wheel.display())
}

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// The project itself, to be built into a wheel.
fn of_project(pyproject: &PyProject) -> Pin {
    Pin {
        name: super::names::normalize(pyproject.name().unwrap_or_default()),
        version: String::new(),
        origin: Origin::Folder(folder_of(&pyproject.path).to_owned()),
    }
}

/// What the pins of a lock depend on: its files, unless something is built from this machine.
fn of_lock(pins: &[Pin], files: &[&Path]) -> Option<Inputs> {
    (!pins.iter().any(Pin::is_of_this_machine))
        .then(|| Inputs { files: files.iter().map(|file| file.to_path_buf()).collect(), ..Inputs::default() })
}

fn unlocked(path: &Path, why: &str) -> Error {
    Error::config(format!("`--locked` wants a lock: {why}")).at(path, None).hint(
        "run `uv lock`, or `uv pip compile --generate-hashes --output-file requirements.txt` on what is not pinned",
    )
}

/// A folder without any of our files, unless another manager's lock lies there.
fn nothing(folder: &Path) -> Result<Pins> {
    let others = BTreeMap::from([
        ("Pipfile", "run `pipenv lock`"),
        ("poetry.lock", "put its pyproject.toml beside it"),
        ("pdm.lock", "put its pyproject.toml beside it"),
        ("uv.lock", "put its pyproject.toml beside it"),
    ]);
    match others.iter().find(|(name, _)| folder.join(name).is_file()) {
        Some((name, hint)) => {
            let what = if *name == "Pipfile" { "has no lock beside it" } else { "is no project by itself" };
            Err(Error::config(format!("`{name}` {what}")).at(folder.join(name), None).hint(*hint))
        }
        None => match setup_with_requirements(folder) {
            Some(path) => Err(Error::config("`install_requires` is not read").at(&path, None).hint(format!(
                "run `uv pip compile {} --output-file requirements.txt`",
                path.file_name().unwrap_or_default().to_string_lossy()
            ))),
            None => {
                let inputs = Some(Inputs::default());
                Ok(Pins { inputs, resolved_by: "no dependencies".to_owned(), ..Pins::default() })
            }
        },
    }
}

/// The file that names dependencies for setuptools.
fn setup_with_requirements(folder: &Path) -> Option<PathBuf> {
    let names = |path: &PathBuf| fsio::read_text(path).is_ok_and(|text| text.contains("install_requires"));
    ["setup.py", "setup.cfg"].iter().map(|name| folder.join(name)).find(names)
}
