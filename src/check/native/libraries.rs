//! `missing-shared-library`: what a file needs and the loader does not find.

use super::Judge;
use super::view::Binary;
use crate::elf::Elf;
use crate::finding::{Finding, Level, Rule};

/// Files that their makers load if they can and do without: .NET's tracing, which wants `LTTng`.
const DISPENSABLE: &[&str] = &["libcoreclrtraceptprovider.so"];

/// What to do about libraries that are often missing, by the beginning of their names.
const HINTS: &[(&str, &str)] = &[
    (
        "libcrypt.so",
        "libxcrypt is not part of Amazon Linux 2023: build against one that is linked statically, or let `native = { collect = true }` take it from a system",
    ),
    (
        "libpq.so",
        "take `psycopg2-binary` or `psycopg[binary]` instead of `psycopg2`, which brings the library along; or let `native = { collect = true }` take it from a system",
    ),
    (
        "libmysqlclient.so",
        "take a client that needs no library (`PyMySQL`), or let `native = { collect = true }` take it from a system",
    ),
    (
        "libmariadb.so",
        "take a client that needs no library (`PyMySQL`), or let `native = { collect = true }` take it from a system",
    ),
    // Of Debian's interpreters; those of Lambda bear other names.
    (
        "libruby",
        "it is compiled for the Ruby of another system: compile it with the runtime's, in an image that AWS has for builds",
    ),
    ("libpython", "it is compiled for the Python of another system: take a wheel, which needs no such library"),
    ("libGL.so", "take the headless variant of the package (`opencv-python-headless`)"),
    ("libX11.so", "take a variant of the package that needs no display"),
    ("libcuda.so", "Lambda has no GPU: take the variant of the package for CPUs"),
    ("libcudart.so", "Lambda has no GPU: take the variant of the package for CPUs"),
    ("libssl.so.1", "the runtime has another OpenSSL: take a build for it, or one that brings its own"),
    ("libcrypto.so.1", "the runtime has another OpenSSL: take a build for it, or one that brings its own"),
];

impl Judge<'_> {
    pub(super) fn missing(&self, binary: &Binary<'_>, elf: &Elf) -> Option<Finding> {
        if let Some(finding) = self.missing_loader(binary, elf) {
            return Some(finding);
        }
        let missing = self.missing_names(binary, elf);
        let (first, others) = missing.split_first()?;
        let also = if others.is_empty() { String::new() } else { format!(", and neither is {}", others.join(", ")) };
        let is_loaded = self.is_loaded(binary);
        let unloaded = if is_loaded { "" } else { "; nothing that was seen loads it when the function starts" };
        let finding = Finding::new(
            Rule::MissingSharedLibrary,
            format!(
                "{first}: cannot open shared object file: No such file or directory (required by {}){also}{}{unloaded}",
                binary.path,
                self.brought(binary)
            ),
            self.hint(first),
        );
        let finding = finding.path(&binary.shown);
        Some(if is_loaded { finding } else { finding.level(Level::Warning) })
    }

    /// What it needs and the loader does not find.
    pub(super) fn missing_names<'e>(&self, binary: &Binary<'_>, elf: &'e Elf) -> Vec<&'e str> {
        let needed = elf.needed.iter().map(String::as_str);
        let mut missing: Vec<&str> = needed.filter(|name| !self.finds(binary, elf, name)).collect();
        if missing.is_empty() || DISPENSABLE.contains(&binary.name()) {
            return Vec::new();
        }
        missing.retain(|name| !self.is_too_new(elf, name) && !self.is_inherited(binary, name));
        missing.retain(|name| !self.is_loaded_before(binary, name));
        missing
    }

    /// A program that asks the kernel for a loader which is not there, such as one of another distribution.
    fn missing_loader(&self, binary: &Binary<'_>, elf: &Elf) -> Option<Finding> {
        let loader = elf.interpreter.as_deref().filter(|_| Self::is_program(binary, elf))?;
        if self.is_of_system(loader) || self.view.resolve(loader).is_some() {
            return None;
        }
        let finding = Finding::new(
            Rule::MissingSharedLibrary,
            format!(
                "fork/exec {}: no such file or directory: it asks for the loader {loader}, which is not there{}",
                binary.path,
                self.brought(binary)
            ),
            "build it where the loader is the system's own, or link it statically",
        );
        let finding = finding.path(&binary.shown);
        Some(if self.is_loaded(binary) { finding } else { finding.level(Level::Warning) })
    }

    /// Whether the library lies elsewhere in the package and its own package, or the text that loads it, is seen to care
    /// for it: it is then loaded by its path first, and found by its SONAME.
    fn is_loaded_before(&self, binary: &Binary<'_>, name: &str) -> bool {
        let owner = self.owners.of(&binary.path);
        let mut called = self.called(name).peekable();
        called.peek().is_some()
            && (called.any(|other| owner.is_some() && self.owners.of(&other.path) == owner) || self.is_mentioned(name))
    }

    fn hint(&self, missing: &str) -> String {
        if let Some(there) = self.called(missing).next() {
            return format!(
                "`{}` has it, where the loader does not look: move it to `lib/`, or link with `-Wl,-rpath,'$ORIGIN/…'`",
                there.shown
            );
        }
        let known = HINTS.iter().find(|(start, _)| missing.starts_with(start)).map(|(_, hint)| (*hint).to_owned());
        known.unwrap_or_else(|| {
            "bring it along in `lib/` of the function or of a layer, where the loader looks (`native = { collect = true }` takes it from a system), or link it statically"
                .to_owned()
        })
    }
}
