//! What functions do not need of packages: `slim = true`, or a list of rules.
//!
//! Only packages are made slimmer, never the function's own files. Metadata stays whatever the rules say: `.dist-info` and
//! licences, because programs look into them and licences ask for it. Left out is what nothing reads while a program runs;
//! each rule says what it saved.

use std::collections::BTreeSet;

use super::Package;
use crate::elf::{self, Image};
use crate::report::{bytes, count};
use crate::tree::{ArchivePath, Entry, Source, Tree};

/// One kind of files that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlimRule {
    /// Folders named `tests` of Python packages; `test`, `tests` and `__tests__` at the root of Node.js packages.
    Tests,
    /// What compilers include: `.h`, `.hpp`, `.pxd`, `.pyx`, …
    Headers,
    /// Static libraries.
    Static,
    /// Types for editors: `.pyi`, `py.typed`, `.d.ts`.
    Stubs,
    /// Byte code, and what tools keep for the next time.
    Caches,
    /// Source maps of JavaScript and style sheets.
    SourceMaps,
    /// Debug sections of libraries and programs, where they can be taken out without touching what is loaded.
    Debug,
}

impl SlimRule {
    /// Every rule.
    pub const ALL: &'static [Self] =
        &[Self::Tests, Self::Headers, Self::Static, Self::Stubs, Self::Caches, Self::SourceMaps, Self::Debug];

    /// Its name in `slim = […]`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tests => "tests",
            Self::Headers => "headers",
            Self::Static => "static",
            Self::Stubs => "stubs",
            Self::Caches => "caches",
            Self::SourceMaps => "source-maps",
            Self::Debug => "debug",
        }
    }

    /// From its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name)
    }

    fn leaves_out(self, path: &str, tree: &Tree) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
        match self {
            Self::Tests => is_test(path),
            Self::Headers => ends(&[".h", ".hh", ".hpp", ".hxx", ".cuh", ".pxd", ".pxi", ".pyx"]),
            Self::Static => ends(&[".a", ".lib"]),
            Self::Stubs => {
                ends(&[".d.ts", ".d.mts", ".d.cts"])
                    || name == "py.typed"
                    || (name.ends_with(".pyi") && !is_read(path, tree))
            }
            Self::Caches => {
                ends(&[".pyc", ".pyo"]) || folders(path).any(|part| part == "__pycache__" || part == ".cache")
            }
            Self::SourceMaps => {
                ends(&[".js.map", ".mjs.map", ".cjs.map", ".ts.map", ".mts.map", ".cts.map", ".css.map"])
            }
            Self::Debug => false, // No file goes, only a part of some.
        }
    }
}

fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.rsplit_once('/').map_or("", |(folder, _)| folder).split('/')
}

/// Whether a path lies in a folder of tests. Of Python packages only folders called `tests` inside of a package are taken
/// for such: `test` is what programs import (`django.test`). Of Node.js packages only those at their root.
fn is_test(path: &str) -> bool {
    let Some((_, below)) = path.rsplit_once("node_modules/") else {
        return folders(path).skip(1).any(|part| part == "tests");
    };
    let root = if below.starts_with('@') { 2 } else { 1 };
    below.split('/').count() > root + 1
        && below.split('/').nth(root).is_some_and(|part| ["test", "tests", "__tests__"].contains(&part))
}

/// Whether the module beside a stub reads it, as those that load lazily do (`lazy_loader.attach_stub`).
fn is_read(path: &str, tree: &Tree) -> bool {
    let module = path.strip_suffix('i').and_then(|module| tree.get(module)).and_then(|entry| entry.read().ok());
    module.is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains("attach_stub"))
}

/// Whether a file is metadata, which stays.
fn is_metadata(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let is_licence = ["licen", "copying", "notice", "authors", "copyright"].iter().any(|start| name.starts_with(start));
    is_licence
        || name == "package.json"
        || folders(path).any(|part| part.ends_with(".dist-info") || part.ends_with(".egg-info"))
}

/// The rules that a function wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slim(BTreeSet<SlimRule>);

impl Slim {
    /// All rules.
    pub fn all() -> Self {
        Self(SlimRule::ALL.iter().copied().collect())
    }

    /// Adds a rule.
    pub fn add(&mut self, rule: SlimRule) {
        self.0.insert(rule);
    }

    /// Leaves out of packages what the rules say, and tells what that saved.
    pub(crate) fn apply(&self, packages: &mut [Package]) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut saved: Vec<(SlimRule, usize, u64)> = self.0.iter().map(|rule| (*rule, 0, 0)).collect();
        for package in packages {
            let rule_of = |path: &str, tree: &Tree| {
                (!is_metadata(path)).then(|| self.0.iter().position(|rule| rule.leaves_out(path, tree))).flatten()
            };
            let out: Vec<(String, u64, usize)> = package
                .tree
                .iter()
                .filter(|(_, entry)| !matches!(entry, Entry::Directory))
                .filter_map(|(path, entry)| {
                    Some((path.to_string(), entry.size(), rule_of(path.as_str(), &package.tree)?))
                })
                .collect();
            for (path, size, rule) in out {
                package.tree.remove(&path);
                saved[rule].1 += 1;
                saved[rule].2 += size;
            }
            if let Some(rule) = self.0.iter().position(|rule| *rule == SlimRule::Debug) {
                let (files, size) = strip_all(&mut package.tree);
                saved[rule].1 += files;
                saved[rule].2 += size;
            }
        }
        Some(told(&saved))
    }
}

/// Takes debug sections out. How many files got smaller, and by how much.
fn strip_all(tree: &mut Tree) -> (usize, u64) {
    let has_debug = |image: Option<&Image>| matches!(image, Some(Image::Elf(elf)) if elf.debug > 0);
    let found: Vec<(ArchivePath, bool)> = tree
        .iter()
        .filter_map(|(path, entry)| match entry {
            Entry::File { executable, source: Source::Member(archive, index), .. } => {
                has_debug(archive.natives().get(*index)).then(|| (path.clone(), *executable))
            }
            Entry::File { executable, source: Source::Bytes(bytes), .. } => {
                has_debug(Image::of(bytes).as_ref()).then(|| (path.clone(), *executable))
            }
            _ => None,
        })
        .collect();
    let (mut files, mut saved) = (0, 0);
    for (path, executable) in found {
        // What cannot be read fails when it is packed.
        let Some(before) = tree.get(path.as_str()).and_then(|entry| entry.read().ok()) else { continue };
        let Some(after) = elf::strip(&before) else { continue };
        files += 1;
        saved += (before.len() - after.len()) as u64;
        tree.insert(path, Entry::bytes(after, executable));
    }
    (files, saved)
}

fn told(saved: &[(SlimRule, usize, u64)]) -> String {
    let total: u64 = saved.iter().map(|(_, _, size)| size).sum();
    let parts: Vec<String> = saved
        .iter()
        .filter(|(_, files, _)| *files > 0)
        .map(|(rule, files, size)| format!("{} {} ({})", rule.name(), bytes(*size), count(*files, "file")))
        .collect();
    if parts.is_empty() {
        "slim: there was nothing to leave out".to_owned()
    } else {
        format!("slim: {} left out of packages: {}", bytes(total), parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::ArchivePath;

    fn package(paths: &[(&str, &str)]) -> Package {
        let tree = paths
            .iter()
            .map(|(path, text)| (ArchivePath::new(path).unwrap(), Entry::bytes(text.as_bytes(), false)))
            .collect();
        Package { name: "p".to_owned(), version: "1".to_owned(), tree }
    }

    #[test]
    fn what_is_read_while_a_program_runs_stays() {
        let mut packages = [package(&[
            ("p/__init__.py", "import lazy; lazy.attach_stub(1)"),
            ("p/__init__.pyi", "x"),
            ("p/core.pyi", "x"),
            ("p/core.py", "x"),
            ("p/py.typed", ""),
            ("p/test/utils.py", "x"),
            ("p/testing/__init__.py", "x"),
            ("p/sub/tests/test_x.py", "12345"),
            ("p/sub/tests/data/LICENSE.txt", "x"),
            ("tests/helper.py", "x"),
            ("p/include/a.h", "x"),
            ("p/lib/libx.a", "x"),
            ("p/lib/libx.so", "x"),
            ("p/_x.pyx", "x"),
            ("p-1.dist-info/METADATA", "x"),
            ("p-1.dist-info/licenses/tests/NOTES.h", "x"),
            ("node_modules/n/index.js", "x"),
            ("node_modules/n/index.js.map", "x"),
            ("node_modules/n/index.d.ts", "x"),
            ("node_modules/n/test/a.js", "x"),
            ("node_modules/n/test.js", "x"),
            ("node_modules/n/lib/test/a.js", "x"),
            ("node_modules/@s/n/__tests__/a.js", "x"),
            ("node_modules/test/index.js", "x"),
            ("node_modules/n/test/package.json", "x"),
        ])];
        let note = Slim::all().apply(&mut packages).unwrap();
        let left: Vec<&str> = packages[0].tree.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            left,
            [
                "node_modules/n/index.js",
                "node_modules/n/lib/test/a.js",
                "node_modules/n/test.js",
                "node_modules/n/test/package.json",
                "node_modules/test/index.js",
                "p-1.dist-info/METADATA",
                "p-1.dist-info/licenses/tests/NOTES.h",
                "p/__init__.py",
                "p/__init__.pyi",
                "p/core.py",
                "p/lib/libx.so",
                "p/sub/tests/data/LICENSE.txt",
                "p/test/utils.py",
                "p/testing/__init__.py",
                "tests/helper.py",
            ]
        );
        assert_eq!(
            note,
            "slim: 13 B left out of packages: tests 7 B (3 files), headers 2 B (2 files), static 1 B (1 file), stubs 2 B (3 files), source-maps 1 B (1 file)"
        );
        assert_eq!(Slim::default().apply(&mut packages), None);
        assert_eq!(Slim::all().apply(&mut packages).unwrap(), "slim: there was nothing to leave out");
    }

    #[test]
    fn one_rule_alone() {
        let mut slim = Slim::default();
        slim.add(SlimRule::parse("static").unwrap());
        let mut packages = [package(&[("p/a.h", "x"), ("p/a.a", "x")])];
        assert!(slim.apply(&mut packages).unwrap().contains("static 1 B (1 file)"));
        assert!(packages[0].tree.contains("p/a.h"));
        assert_eq!(SlimRule::parse("symbols"), None);
    }
}
