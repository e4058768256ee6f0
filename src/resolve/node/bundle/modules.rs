//! The `node_modules` that esbuild looks into. Unpacking takes longer than bundling, so that files of archives are unpacked
//! once for each lock, into the store; `node_modules` has links to them, and to sources of the project that are packages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::super::scratch;
use crate::error::{Error, Result};
use crate::fresh::{self, Key};
use crate::fsio;
use crate::resolve::Package;
use crate::store::Store;
use crate::tree::{Entry, Source, Tree};

/// See the module.
pub(super) struct Modules<'p> {
    entries: BTreeMap<&'p str, &'p Entry>,
    key: String,
    store: &'p Store,
}

impl<'p> Modules<'p> {
    /// Takes the files of packages that `is_wanted` by their paths.
    pub(super) fn new(packages: &'p [Package], store: &'p Store, is_wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let all = packages.iter().flat_map(|package| package.tree.iter());
        let entries: BTreeMap<&str, &Entry> =
            all.map(|(path, entry)| (path.as_str(), entry)).filter(|(path, _)| is_wanted(path)).collect();
        let tree: Tree = packages
            .iter()
            .flat_map(|package| package.tree.iter())
            .filter(|(path, entry)| is_member(entry) && entries.contains_key(path.as_str()))
            .map(|(path, entry)| (path.clone(), entry.clone()))
            .collect();
        let digest = fresh::of_tree(&tree, &fresh::Files::default());
        let digest = digest.ok_or_else(|| Error::failed("Failed to read the packages of a bundle"))?;
        let key = Key::new().add("node_modules").add(digest).finish();
        Ok(Self { entries, key, store })
    }

    /// Puts all of them below `root`.
    pub(super) fn place(&self, root: &Path) -> Result<()> {
        let unpacked = self.unpacked()?;
        let mixed: BTreeSet<&str> =
            self.entries.iter().filter(|(_, entry)| !is_member(entry)).map(|(path, _)| unit(path)).collect();
        let whole: BTreeSet<&str> =
            self.entries.keys().map(|path| unit(path)).filter(|unit| !mixed.contains(unit)).collect();
        for unit in whole {
            link(&unpacked.join(unit), &root.join(unit))?;
        }
        for (path, entry) in self.entries.iter().filter(|(path, _)| mixed.contains(unit(path))) {
            let to = root.join(path);
            match entry {
                Entry::File { source: Source::Member(..), .. } => link(&unpacked.join(path), &to)?,
                Entry::File { source: Source::Disk(from), .. } => link(from, &to)?,
                Entry::File { .. } => fsio::write_atomic(&to, &entry.read()?)?,
                Entry::Symlink { .. } | Entry::Directory => {}
            }
        }
        Ok(())
    }

    fn unpacked(&self) -> Result<PathBuf> {
        let members = self.entries.iter().filter(|(_, entry)| is_member(entry));
        let paths: BTreeSet<String> = members.map(|(path, _)| (*path).to_owned()).collect();
        self.store.trees().folder(&self.key, &paths, &|at| {
            let all: Vec<&String> = paths.iter().collect();
            all.par_iter().try_for_each(|path| scratch::write(&at.join(path), &self.entries[path.as_str()].read()?))
        })
    }

    /// Whether files that were read, by their paths, are what was unpacked. If not, all of them are thrown away.
    pub(super) fn are_whole(&self, root: &Path, read: &[String]) -> bool {
        let manifests =
            self.entries.keys().filter(|path| path.ends_with("/package.json")).map(|path| (*path).to_owned());
        let read: BTreeSet<String> = read.iter().cloned().chain(manifests).collect();
        let is_same = |path: &String| match self.entries.get(path.as_str()) {
            Some(Entry::File { source: Source::Member(archive, index), .. }) => {
                let bytes = fsio::read_bounded(&root.join(path), 1 << 30).unwrap_or_default();
                crc32fast::hash(&bytes) == archive.members()[*index].crc32
            }
            _ => true,
        };
        let read: Vec<String> = read.into_iter().collect();
        let are_whole = read.par_iter().all(is_same);
        if !are_whole {
            self.store.trees().forget(&self.key);
        }
        are_whole
    }
}

fn is_member(entry: &Entry) -> bool {
    matches!(entry, Entry::File { source: Source::Member(..), .. })
}

/// `node_modules/a` or `node_modules/@s/a` of a path in it.
fn unit(path: &str) -> &str {
    let named = path.strip_prefix("node_modules/").unwrap_or(path);
    let start = path.len() - named.len();
    let mut slashes = named.match_indices('/').map(|(at, _)| at);
    let end = if named.starts_with('@') { slashes.nth(1) } else { slashes.next() };
    end.map_or(path, |end| &path[..start + end])
}

fn link(from: &Path, to: &Path) -> Result<()> {
    let target = from.to_str().ok_or_else(|| Error::failed(format!("`{}` is not UTF-8", from.display())))?;
    scratch::link(target, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_what_lies_at_the_top() {
        for (path, expected) in [
            ("node_modules/a/b.js", "node_modules/a"),
            ("node_modules/@s/a/node_modules/b/c.js", "node_modules/@s/a"),
            ("node_modules/a", "node_modules/a"),
        ] {
            assert_eq!(unit(path), expected);
        }
    }
}
