//! `wrong-architecture`, `musl-library`, `cpu-level-too-high`: files for another machine than the function runs on.
//!
//! Packages that bring binaries of several platforms choose among them by name; those of other platforms are not complained
//! about where there is one for this platform.

use std::collections::BTreeSet;

use super::view::Binary;
use super::{Judge, platform};
use crate::elf::Elf;
use crate::finding::{Finding, Level, Rule};
use crate::lambda::{Architecture, Family, ISA_LEVEL};

/// `Some(None)`: it does not fit, and that harms nobody.
type Unfit = Option<Option<Finding>>;

impl Judge<'_> {
    /// Whether it is for another processor. What the loader says then: of another width, that; of another machine, only
    /// that there is no such file, because it goes on looking.
    pub(super) fn machine(&self, binary: &Binary<'_>, elf: &Elf) -> Unfit {
        if self.fits(elf) {
            return None;
        }
        let is_program = Self::is_program(binary, elf);
        let said = match () {
            () if is_program => "exec format error",
            () if !elf.is_little_endian => "ELF file data encoding not little-endian",
            () if !elf.is_64 => "wrong ELF class: ELFCLASS32",
            () => "cannot open shared object file: No such file or directory",
        };
        let machine = elf.machine.name();
        let finding = Finding::new(
            Rule::WrongArchitecture,
            format!(
                "{said}: it is for {machine}, the function runs on {}{}",
                self.native.architecture.machine(),
                self.brought(binary)
            ),
            self.other_architecture(binary, elf.machine.architecture()),
        );
        Some(self.placed(binary, finding, is_program))
    }

    /// A file of macOS or Windows where the loader would look.
    pub(super) fn of_another_system(&self, binary: &Binary<'_>, system: &str, is_misnamed: bool) -> Option<Finding> {
        if is_misnamed || !self.is_loadable(binary) {
            return None;
        }
        let said = if binary.is_started() { "exec format error" } else { "invalid ELF header" };
        let finding = Finding::new(
            Rule::WrongArchitecture,
            format!("{said}: it is for {system}, the function runs on Linux{}", self.brought(binary)),
            match self.native.runtime.family {
                Family::Provided => format!("build it for Linux, such as with `GOOS=linux GOARCH={}` or `--target {}-unknown-linux-gnu`", go(self.native.architecture), self.native.architecture.machine()),
                _ => "let this program resolve the package from a lock file, or install it for Linux: what an installer takes is for the machine that it runs on".to_owned(),
            },
        );
        self.placed(binary, finding, false)
    }

    /// A file that was built for musl; no managed runtime has it.
    pub(super) fn musl(&self, binary: &Binary<'_>, built_for: &str) -> Option<Finding> {
        let message = if built_for.starts_with('/') {
            format!("fork/exec {}: no such file or directory: it asks for {built_for}", binary.path)
        } else {
            format!(
                "{built_for}: cannot open shared object file: No such file or directory (required by {})",
                binary.path
            )
        };
        let finding = Finding::new(
            Rule::MuslLibrary,
            format!(
                "{message}: it is built for musl (Alpine Linux); {} has glibc{}",
                self.native.runtime.id,
                self.brought(binary)
            ),
            "take the build for glibc (a manylinux wheel, `npm install --os=linux --libc=glibc`, a `-gnu` target), or link it statically",
        );
        self.placed(binary, finding, false)
    }

    /// A mark that it needs more than every processor of Lambda has.
    pub(super) fn level(&self, binary: &Binary<'_>, elf: &Elf) -> Option<Finding> {
        let is_chosen = binary.path.contains("/glibc-hwcaps/");
        let is_high = elf.isa_level > ISA_LEVEL && self.native.architecture == Architecture::X86_64;
        (is_high && !is_chosen).then(|| {
            Finding::new(
                Rule::CpuLevelTooHigh,
                format!(
                    "CPU ISA level is lower than required: it is marked as needing x86-64-v{}, and only x86-64-v{ISA_LEVEL} is sure to be there{}",
                    elf.isa_level,
                    self.brought(binary)
                ),
                "build it for x86-64-v2, such as with `-march=x86-64-v2` or `-C target-cpu=x86-64-v2`",
            )
            .path(&binary.shown)
        })
    }

    /// The finding where the file is. Not at all when its name says that it is for another platform and there is one for
    /// this, its wheel is for every platform, or nothing on Linux goes by that name; once for each package, as a warning, when it brings none for this;
    /// a warning when it is a program that some package brings.
    fn placed(&self, binary: &Binary<'_>, finding: Finding, is_program: bool) -> Option<Finding> {
        let finding = finding.path(&binary.shown);
        if binary.is_started() {
            return Some(finding);
        }
        let path = without_tag(&binary.shown);
        let owner = self.owners.of(&binary.path);
        if platform::is_for_another(&path, self.native.architecture) == Some(true) {
            let key = platform::counterpart_key(&path);
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let is_chosen =
                key.is_some_and(|key| self.fitting().contains(&key)) || self.owners.is_universal(&binary.path);
            if is_chosen || platform::is_for_another_system(folder) {
                return None;
            }
            let is_folder = platform::is_for_another(folder, self.native.architecture) == Some(true);
            if is_folder || owner.is_some() {
                let told = owner.unwrap_or_else(|| folder.to_owned());
                return self.told.borrow_mut().insert(told).then(|| finding.level(Level::Warning));
            }
        }
        // Called by name when it is needed, not when the function starts.
        if is_program && owner.is_some() { Some(finding.level(Level::Warning)) } else { Some(finding) }
    }

    /// Whether a file is, by the folder that its package has it in, for another platform that runs the same processor.
    pub(super) fn is_of_another_platform(&self, binary: &Binary<'_>) -> bool {
        let folder = binary.shown.rsplit_once('/').map_or("", |(folder, _)| folder);
        platform::is_for_another(folder, self.native.architecture) == Some(true)
            && self.owners.of(&binary.path).is_some()
    }

    fn fitting(&self) -> &BTreeSet<String> {
        self.fitting.get_or_init(|| {
            let fitting = self.view.binaries.iter().filter(|binary| {
                let elf = binary.elf();
                elf.is_some_and(|elf| self.fits(elf) && elf.musl().is_none())
            });
            fitting.flat_map(|binary| platform::fitting_keys(&without_tag(&binary.shown))).collect()
        })
    }

    fn other_architecture(&self, binary: &Binary<'_>, found: Option<Architecture>) -> String {
        let wanted = self.native.architecture;
        let instead = found.map_or_else(String::new, |found| format!(", or set `architecture = \"{found}\"`"));
        match self.owners.of(&binary.path) {
            Some(owner) => format!(
                "let this program resolve {owner} from a lock file for {wanted}, or install it for that: what an installer takes is for the machine that it runs on{instead}"
            ),
            None => format!("build it for {}{instead}", wanted.machine()),
        }
    }
}

/// A path without what an extension module's name says of its interpreter, which is for `python-abi-mismatch` to judge.
fn without_tag(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
    match super::Extension::parse(name).filter(super::Extension::is_tagged) {
        Some(extension) => format!("{folder}/{}.so", extension.module),
        None => path.to_owned(),
    }
}

fn go(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "amd64",
        Architecture::Arm64 => "arm64",
    }
}
