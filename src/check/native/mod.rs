//! Rules on machine code: would the runtime's loader take it? `wrong-architecture`, `musl-library`, `glibc-too-new`,
//! `libstdcxx-too-new`, `missing-shared-library`, `cpu-level-too-high`, `python-abi-mismatch`, `native-file-damaged`.
//!
//! ```text
//! mounts (/var/task, /opt) ──► native files with their facts ──► what the loader would say of each
//! ```
//!
//! Facts of archives in the store are known; other files are read when they are looked at. A file that does not load for
//! one reason is not judged by the next. What a rule asks beyond facts (who brings a file, whether anything loads it) is
//! only worked out for files that something is wrong with, so that packages that load cost next to nothing.

mod libraries;
mod machine;
mod owner;
mod platform;
mod python;
mod reach;
mod search;
#[cfg(test)]
mod tests;
mod versions;
mod view;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;

use crate::elf::{Elf, Image, Kind};
use crate::finding::{Finding, Level, Rule};
use crate::lambda::{Architecture, Family, Runtime};
use crate::resolve::Package;

use owner::Owners;
use python::{Extension, Fate, Interpreter};
use reach::Reach;
pub use view::Mount;
use view::{Binary, View};

/// Of one rule so many findings are told; more of them say nothing new.
const MOST: usize = 20;

/// So many questions about texts are answered; a stranger's package may raise any number of them.
const QUESTIONS: usize = 500;

/// What these rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Native<'a> {
    /// The runtime.
    pub runtime: &'static Runtime,
    /// The function's architecture.
    pub architecture: Architecture,
    /// What the function sees of files: its package, and its layers merged in their order.
    pub mounts: &'a [Mount<'a>],
    /// The handler, when there is one.
    pub handler: Option<&'a str>,
    /// The packages in `/var/task`, as far as they are known, to say who brings a file.
    pub packages: &'a [Package],
}

/// What the loader would refuse.
pub fn check_native(native: &Native<'_>) -> Vec<Finding> {
    let view = View::new(native.mounts);
    let judge = Judge {
        native,
        view: &view,
        owners: Owners::new(native.packages, &view),
        reach: Reach::default(),
        paths: OnceCell::new(),
        fitting: OnceCell::new(),
        told: RefCell::default(),
        questions: Cell::new(QUESTIONS),
    };
    let misnamed = judge.misnamed();
    let mut findings: Vec<Finding> =
        view.binaries.iter().flat_map(|binary| judge.judge(binary, misnamed.contains(&binary.path))).collect();
    judge.forgive_alternatives(&mut findings);
    let of_another_machine: BTreeSet<String> = findings.iter().filter_map(|finding| finding.path.clone()).collect();
    findings.extend(misnamed.iter().filter_map(|path| judge.misnamed_finding(path, &of_another_machine)));
    at_most(findings)
}

/// The first findings of each rule; the last of them says how many there are.
fn at_most(findings: Vec<Finding>) -> Vec<Finding> {
    let mut kept: Vec<Finding> = Vec::new();
    for rule in Rule::ALL {
        let (mut of_rule, rest): (Vec<Finding>, Vec<Finding>) =
            findings.iter().filter(|finding| finding.rule == *rule).cloned().partition(|f| f.level == Level::Error);
        of_rule.extend(rest);
        let more = of_rule.len().saturating_sub(MOST);
        of_rule.truncate(MOST);
        if let Some(last) = of_rule.last_mut().filter(|_| more > 0) {
            last.message.push_str(&format!("; so it is with {more} more files"));
        }
        kept.extend(of_rule);
    }
    kept
}

/// The folder from which Python imports what a path belongs to.
fn site_root(path: &str) -> &str {
    if !path.starts_with("/opt/") {
        return "/var/task";
    }
    match path.find("/site-packages/") {
        Some(at) => &path[..at + "/site-packages".len()],
        None if path.starts_with("/opt/python/") => "/opt/python",
        None => "/opt",
    }
}

/// What judging works with.
struct Judge<'a> {
    native: &'a Native<'a>,
    view: &'a View<'a>,
    owners: Owners<'a>,
    reach: Reach,
    /// All paths, for what lies beside a file.
    paths: OnceCell<BTreeSet<String>>,
    /// Keys of files that are for this platform.
    fitting: OnceCell<BTreeSet<String>>,
    /// Packages of which it was said that they bring files for other platforms only.
    told: RefCell<BTreeSet<String>>,
    /// How many questions about texts are left.
    questions: Cell<usize>,
}

impl Judge<'_> {
    /// At most one finding for each cause.
    fn judge(&self, binary: &Binary<'_>, is_misnamed: bool) -> Vec<Finding> {
        let elf = match binary.image.as_ref() {
            Image::Elf(elf) if elf.kind == Kind::Other => return Vec::new(),
            Image::Elf(elf) => elf,
            Image::Malformed(why) => return self.damaged(binary, why).into_iter().collect(),
            Image::MachO => return self.of_another_system(binary, "macOS", is_misnamed).into_iter().collect(),
            Image::Pe => return self.of_another_system(binary, "Windows", is_misnamed).into_iter().collect(),
        };
        if let Some(unfit) = self.machine(binary, elf) {
            return unfit.into_iter().collect();
        }
        if let Some(built_for) = elf.musl() {
            return self.musl(binary, built_for).into_iter().collect();
        }
        if is_misnamed || elf.is_static() || self.is_of_another_platform(binary) {
            return self.level(binary, elf).filter(|_| !is_misnamed).into_iter().collect();
        }
        [self.glibc(binary, elf), self.libstdcxx(binary, elf), self.missing(binary, elf), self.level(binary, elf)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Addons of which the package has another of the same name that loads: which of them it takes cannot be told.
    fn forgive_alternatives(&self, findings: &mut [Finding]) {
        let refused: BTreeSet<String> = findings.iter().filter_map(|finding| finding.path.clone()).collect();
        let loads = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or(path);
            let owner = self.owners.of(&format!("/var/task/{path}"));
            self.view.called(name).any(|other| {
                !refused.contains(&other.shown)
                    && other.elf().is_some_and(|elf| self.fits(elf))
                    && self.owners.of(&other.path) == owner
            })
        };
        let errors = findings.iter_mut().filter(|finding| finding.level == Level::Error);
        for finding in errors.take(QUESTIONS) {
            let addon =
                finding.path.as_deref().filter(|path| path.ends_with(".node") && path.contains("node_modules/"));
            if addon.is_some_and(loads) {
                finding.level = Level::Warning;
            }
        }
    }

    /// The finding as a warning when the file is a library, no module of a language, and nothing that was seen loads it.
    fn unless_unloaded(&self, binary: &Binary<'_>, finding: Finding) -> Finding {
        let is_module =
            binary.name().ends_with(".node") || Extension::parse(binary.name()).is_some_and(|e| e.is_tagged());
        if is_module || self.is_loaded(binary) { finding } else { finding.level(Level::Warning) }
    }

    /// Whether one more question about texts is to be answered.
    fn may_ask(&self) -> bool {
        let left = self.questions.get();
        self.questions.set(left.saturating_sub(1));
        left > 0
    }

    /// ` (numpy 2.3.4 brings it)`, when it is known who does.
    fn brought(&self, binary: &Binary<'_>) -> String {
        self.owners.of(&binary.path).map_or_else(String::new, |owner| format!(" ({owner} brings it)"))
    }

    fn interpreter(&self) -> Option<Interpreter> {
        match self.native.runtime.family {
            Family::Python { major: 3, minor } => Some(Interpreter { minor, architecture: self.native.architecture }),
            _ => None,
        }
    }

    /// Files named as extension modules that this Python does not look for.
    fn misnamed(&self) -> BTreeSet<String> {
        let Some(interpreter) = self.interpreter() else { return BTreeSet::new() };
        let is_misnamed = |name: &str| Extension::parse(name).is_some_and(|extension| !interpreter.loads(&extension));
        self.view.files_named(is_misnamed).collect()
    }

    fn misnamed_finding(&self, path: &str, known: &BTreeSet<String>) -> Option<Finding> {
        let interpreter = self.interpreter()?;
        let shown = path.strip_prefix("/var/task/").unwrap_or(path);
        let (folder, name) = path.rsplit_once('/')?;
        let extension = Extension::parse(name)?;
        // For another machine, which says more; or one of many that the package chooses from.
        if known.contains(shown) || self.owners.is_universal(path) {
            return None;
        }
        let paths = self.paths.get_or_init(|| self.view.entries().map(|(path, _)| path).collect());
        let level = match python::fate(folder, &extension, interpreter, paths) {
            Fate::Loads => return None,
            Fate::Slow => Level::Warning,
            Fate::Fails => Level::Error,
        };
        let module = path.strip_prefix(site_root(path))?.trim_start_matches('/');
        let module = module.strip_suffix(name)?.replace('/', ".") + extension.module;
        let owner = self.owners.of(path);
        let brought = owner.as_ref().map_or_else(String::new, |owner| format!(" ({owner} brings it)"));
        let runtime = self.native.runtime.id;
        let hint = match owner {
            Some(owner) => format!(
                "install {owner} for {runtime} on {}: let this program resolve it from a lock file, or `pip install --platform manylinux2014_{} --python-version 3.{} --only-binary=:all:`",
                self.native.architecture,
                self.native.architecture.machine(),
                interpreter.minor
            ),
            None => format!(
                "build it with Python 3.{} on Linux, or choose the runtime that it was built for",
                interpreter.minor
            ),
        };
        let finding = Finding::new(
            Rule::PythonAbiMismatch,
            format!(
                "No module named '{module}': `{name}` is for {}; {runtime} looks for `.{}.so`, `.abi3.so` and `.so`{brought}",
                extension.made_for(),
                interpreter.tag()
            ),
            hint,
        );
        Some(finding.path(shown).level(level))
    }

    /// A file that begins like ELF and is none. Only of those that somebody would load it is worth a word.
    fn damaged(&self, binary: &Binary<'_>, why: &str) -> Option<Finding> {
        let said = if binary.is_started() { "exec format error" } else { "invalid ELF header" };
        self.is_loadable(binary).then(|| {
            Finding::new(
                Rule::NativeFileDamaged,
                format!("{said}: it cannot be read as ELF: {why}{}", self.brought(binary)),
                "it was cut off or changed on its way: build or fetch it again",
            )
            .path(&binary.shown)
        })
    }

    /// Whether its name or place says that it is loaded or started.
    fn is_loadable(&self, binary: &Binary<'_>) -> bool {
        let name = binary.name();
        binary.is_started() || name.ends_with(".node") || name.ends_with(".so") || name.contains(".so.")
    }

    fn is_program(binary: &Binary<'_>, elf: &Elf) -> bool {
        elf.kind == Kind::Program && !binary.name().ends_with(".so") && !binary.name().ends_with(".node")
    }
}
