//! Archives that are unpacked for programs which want to find files, each by a digest of all that is in it:
//!
//! ```text
//! trees-v1/<key>/…      the files
//! trees-v1/<key>.used   when it was last wanted
//! ```
//!
//! Files are not hashed again each time. Whether all of them are there is looked at, and whoever has read some of them
//! compares these ([`Trees::forget`]).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::fsio;

/// The bucket.
pub(super) const TREES: &str = "trees-v1";
/// So many are kept.
const MOST: usize = 16;
/// What was wanted in this time may be in use.
const IN_USE: Duration = Duration::from_secs(60 * 60);
/// What an unfinished one begins with.
const PARTIAL: &str = "partial-";

/// The bucket of unpacked files.
#[derive(Debug)]
pub struct Trees {
    folder: PathBuf,
}

impl Trees {
    pub(super) fn new(root: &Path) -> Self {
        Self { folder: root.join(TREES) }
    }

    /// The folder of a key, in which `paths` are; `write` fills it where it is not there, or not whole.
    pub fn folder(&self, key: &str, paths: &BTreeSet<String>, write: &dyn Fn(&Path) -> Result<()>) -> Result<PathBuf> {
        let at = self.folder.join(key);
        if at.is_dir() && names(&at) != *paths {
            self.forget(key);
        }
        if !at.is_dir() {
            fsio::create_dir_all(&self.folder)?;
            let partial = tempfile::Builder::new()
                .prefix(PARTIAL)
                .tempdir_in(&self.folder)
                .map_err(|e| Error::io("create a folder in", &self.folder, &e))?;
            write(partial.path())?;
            let made = partial.keep();
            if fs::rename(&made, &at).is_err() {
                // Somebody else was faster.
                let _ = fs::remove_dir_all(&made);
            }
            self.trim();
        }
        fsio::write_atomic(&at.with_extension("used"), b"")?;
        Ok(at)
    }

    /// Throws one away that is damaged.
    pub fn forget(&self, key: &str) {
        let _ = fs::remove_dir_all(self.folder.join(key));
    }

    /// Deletes those that were not wanted for `age`; returns their bytes and files.
    pub(super) fn prune(&self, age: Duration) -> (u64, u64) {
        self.oldest().into_iter().filter(|(idle, _)| *idle >= age).fold((0, 0), |(bytes, files), (_, path)| {
            let found = walkdir::WalkDir::new(&path).into_iter().filter_map(|entry| entry.ok()?.metadata().ok());
            let (more, count) = found.filter(fs::Metadata::is_file).fold((0, 0), |(b, n), m| (b + m.len(), n + 1));
            let _ = fs::remove_file(path.with_extension("used"));
            if fs::remove_dir_all(&path).is_ok() { (bytes + more, files + count) } else { (bytes, files) }
        })
    }

    fn trim(&self) {
        let all = self.oldest();
        let many = all.len().saturating_sub(MOST);
        for (_, path) in all.into_iter().take(many).filter(|(idle, _)| *idle >= IN_USE) {
            let _ = fs::remove_file(path.with_extension("used"));
            let _ = fs::remove_dir_all(path);
        }
    }

    /// All of them, with the time since each was wanted, the longest first.
    fn oldest(&self) -> Vec<(Duration, PathBuf)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let idle = |path: &Path| {
            let used = [path.with_extension("used"), path.to_owned()];
            let used = used.iter().find_map(|path| path.metadata().ok()?.modified().ok())?;
            SystemTime::now().duration_since(used).ok()
        };
        let mut out: Vec<_> =
            entries.filter(|path| path.is_dir()).filter_map(|path| Some((idle(&path)?, path))).collect();
        out.sort_by(|a, b| b.cmp(a));
        out
    }
}

/// Paths of all files in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok).filter(|e| !e.file_type().is_dir());
    files.filter_map(|e| Some(e.path().strip_prefix(folder).ok()?.to_str()?.replace('\\', "/"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_written_once_and_again_when_it_is_not_whole() {
        let dir = tempfile::tempdir().unwrap();
        let trees = Trees::new(dir.path());
        let paths = BTreeSet::from(["a/x.js".to_owned(), "b.js".to_owned()]);
        let count = std::cell::Cell::new(0);
        let write = |at: &Path| {
            count.set(count.get() + 1);
            paths.iter().try_for_each(|path| fsio::write_atomic(&at.join(path), b"x"))
        };
        let at = trees.folder("k", &paths, &write).unwrap();
        assert_eq!((trees.folder("k", &paths, &write).unwrap(), count.get()), (at.clone(), 1));
        std::fs::remove_file(at.join("b.js")).unwrap();
        trees.folder("k", &paths, &write).unwrap();
        assert!(at.join("b.js").is_file() && count.get() == 2);
        let failed = trees.folder("l", &paths, &|_| Err(Error::failed("no")));
        assert!(failed.is_err() && trees.oldest().len() == 1, "nothing is left of what could not be written");
        assert_eq!(trees.prune(Duration::from_secs(60)), (0, 0));
        assert_eq!(trees.prune(Duration::ZERO), (2, 2));
    }
}
