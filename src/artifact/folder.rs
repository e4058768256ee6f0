//! A folder as it would be zipped: all of it, links as links.

use std::fs;
use std::path::Path;

use super::Opened;
use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::tree::{ArchivePath, Entry, Source, Tree};

/// Folders with more paths than this are refused.
const MAX_PATHS: usize = 500_000;

pub(super) fn open(root: &Path) -> Result<Opened> {
    let mut tree = Tree::new();
    let mut findings = Vec::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|e| Error::failed(format!("Failed to read `{}`", root.display())).because(e))?;
        if tree.len() >= MAX_PATHS {
            return Err(Error::failed(format!("`{}` holds more than {MAX_PATHS} files", root.display())));
        }
        let below = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let path = match ArchivePath::from_disk(below) {
            Ok(path) => path,
            Err(problem) => {
                findings.push(
                    Finding::new(
                        Rule::PathNotUtf8,
                        format!("the name {problem} and cannot be named in a zip"),
                        "rename it",
                    )
                    .path(below.to_string_lossy()),
                );
                continue;
            }
        };
        if let Some(entry) = of_disk(entry.path(), &entry.file_type()) {
            tree.insert(path, entry);
        }
    }
    Ok(Opened { tree, findings, zip_bytes: None, is_whole: true })
}

fn of_disk(path: &Path, kind: &fs::FileType) -> Option<Entry> {
    if kind.is_symlink() {
        let target = fs::read_link(path).ok()?.to_str()?.to_owned();
        return Some(Entry::Symlink { target });
    }
    let metadata = fs::metadata(path).ok().filter(|_| kind.is_file())?;
    let executable = crate::tree::walk::is_executable(path, &metadata);
    Some(Entry::File { executable, size: metadata.len(), source: Source::Disk(path.to_owned()) })
}
