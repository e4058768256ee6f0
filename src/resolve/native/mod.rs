//! What a function or layer brings along from a system: shared libraries that the runtime lacks, and programs.
//!
//! ```text
//! config, and what the rules miss ──► files of the system, with all that they need in turn ──► lib/SONAME, bin/NAME
//!                                search                                            packages, findings, what was looked at
//! ```
//!
//! Libraries are looked for as the loader would, in the system that this program runs on or below a `sysroot`. What the
//! runtime's own system has is left out. Whether what is brought loads there is for the rules to say, as of any other file;
//! here they are told where it came from. Nothing is run: neither `ldd` nor the loader.
//!
//! What is not seen: files that a library opens by itself (plugins, certificates, tables), and libraries below
//! `glibc-hwcaps`, which are for newer processors.

mod folders;
mod search;
mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::check::MissingLibrary;
use crate::error::Result;
use crate::finding::{Finding, Rule};
use crate::fresh::Inputs;
use crate::lambda::{Architecture, Runtime};
use crate::project::NativeChoice;
use crate::store::sha256;
use crate::tree::Tree;

use super::Package;
use search::Search;
use system::System;

/// What is to be brought along, and what is there already.
pub struct Wanted<'a> {
    /// What the config says.
    pub choice: &'a NativeChoice,
    /// The runtime.
    pub runtime: &'static Runtime,
    /// Its processor.
    pub architecture: Architecture,
    /// What the rules miss; used when the config wants it collected.
    pub missing: &'a [MissingLibrary],
    /// Whether the loader finds a library of this name in the package or its layers.
    pub is_there: &'a dyn Fn(&str) -> bool,
    /// Whether everything in the layers is known; what is missed may else be in one of them.
    pub is_known: bool,
}

/// What was brought along.
#[derive(Debug, Default)]
pub struct Brought {
    /// Each file with its place below the function's or layer's root. Names are SONAMEs and names of programs, versions are
    /// what the file's real name adds, and may be empty.
    pub packages: Vec<Package>,
    /// What could not be brought.
    pub findings: Vec<Finding>,
    /// What came from where.
    pub notes: Vec<String>,
    /// All files that were looked for, there or not; nothing when that does not tell everything.
    pub inputs: Option<Inputs>,
    /// By the place in the package, where a file came from.
    origins: BTreeMap<String, Origin>,
    /// What findings are about already.
    unfound: BTreeSet<String>,
}

/// Where a file came from.
#[derive(Debug)]
struct Origin {
    path: PathBuf,
    /// Whether the config names it, or something loads it that does.
    is_needed: bool,
}

/// Finds what is wanted.
///
/// # Errors
/// When a program that the config names is not there, or is none.
pub fn bring(wanted: &Wanted<'_>) -> Result<Brought> {
    let system = System::new(wanted.choice.sysroot.as_deref(), wanted.architecture);
    Search::new(wanted, system).run()
}

/// What of this machine decides where things are looked for, in words.
pub fn facts(choice: &NativeChoice, architecture: Architecture) -> Vec<String> {
    if choice.is_empty() {
        return Vec::new();
    }
    let system = System::new(choice.sysroot.as_deref(), architecture);
    let mut facts = vec![format!("libraries of {}: {}", system.root().display(), system.folders().join(":"))];
    if choice.sysroot.is_none() && choice.executables.iter().any(|name| !name.contains('/')) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        facts.push(format!("programs: {}", sha256(path.as_encoded_bytes())));
    }
    facts
}

impl Brought {
    /// Unpacked bytes.
    pub fn bytes(&self) -> u64 {
        self.packages.iter().map(|package| package.tree.bytes()).sum()
    }

    /// All files in one tree.
    pub fn tree(&self) -> Tree {
        let entries = self.packages.iter().flat_map(|package| package.tree.iter());
        entries.map(|(path, entry)| (path.clone(), entry.clone())).collect()
    }

    /// Adds to what the rules say of files that were brought where they came from, and what to do then; drops what is said
    /// here already. Paths of a layer begin with `/opt/`, as `at` says.
    pub fn explain(&self, findings: Vec<Finding>, at: &str, runtime: &Runtime) -> Vec<Finding> {
        let is_said = |finding: &Finding| {
            finding.rule == Rule::MissingSharedLibrary
                && finding.message.split(": ").next().is_some_and(|name| self.unfound.contains(name))
        };
        findings.into_iter().filter(|finding| !is_said(finding)).map(|f| self.explained(f, at, runtime)).collect()
    }

    /// Whether a finding is about a file that was brought.
    pub fn is_about(&self, finding: &Finding, at: &str) -> bool {
        self.origin(finding, at).is_some()
    }

    fn origin(&self, finding: &Finding, at: &str) -> Option<&Origin> {
        self.origins.get(finding.path.as_deref()?.strip_prefix(at)?)
    }

    fn explained(&self, mut finding: Finding, at: &str, runtime: &Runtime) -> Finding {
        let Some(origin) = self.origin(&finding, at) else { return finding };
        if !is_of_the_build(finding.rule) {
            return finding;
        }
        finding.message.push_str(&format!("; it was taken from {}", origin.path.display()));
        finding.hint = format!(
            "take it from {}: build there, or in a container of its image, or name an unpacked image with `sysroot`",
            runtime.os.name()
        );
        if origin.is_needed {
            finding.level = finding.rule.default_level();
        }
        finding
    }
}

/// Whether a file of another system would be right.
fn is_of_the_build(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::GlibcTooNew
            | Rule::LibstdcxxTooNew
            | Rule::WrongArchitecture
            | Rule::MuslLibrary
            | Rule::MissingSharedLibrary
            | Rule::CpuLevelTooHigh
            | Rule::NativeFileDamaged
    )
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
