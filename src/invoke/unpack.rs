//! An artifact as it lies at `/var/task`, and layers as they lie merged at `/opt`.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::artifact;
use crate::error::{Error, Result};
use crate::finding::Level;
use crate::fsio;
use crate::lambda::UNZIPPED_LIMIT;
use crate::tree::{ArchivePath, Entry, Tree};

/// The contents of a zip, as Lambda would unpack it.
pub(super) fn open(zip: &Path) -> Result<Tree> {
    let (tree, findings) = artifact::open_zip(zip)?;
    let refused = findings.into_iter().find(|finding| finding.level == Level::Error);
    match refused {
        Some(finding) => Err(Error::failed(format!("`{}` cannot be unpacked: {}", zip.display(), finding.message))),
        None => Ok(tree),
    }
}

/// Layers merged in their order: of one path the later layer wins.
pub(super) fn merge(layers: &[PathBuf]) -> Result<Tree> {
    let mut merged = Tree::new();
    for layer in layers {
        for (path, entry) in open(layer)? {
            merged.insert(path, entry);
        }
    }
    Ok(merged)
}

/// Writes a tree into a folder that is empty. Links come last, so that nothing is written through one.
pub(super) fn write(tree: &Tree, folder: &Path) -> Result<()> {
    if tree.bytes() > UNZIPPED_LIMIT.saturating_mul(4) {
        return Err(Error::failed(format!("it unpacks to {} bytes, which Lambda does not take", tree.bytes())));
    }
    fsio::create_dir_all(folder)?;
    let (links, others): (Vec<_>, Vec<_>) = tree.iter().partition(|(_, entry)| matches!(entry, Entry::Symlink { .. }));
    for (path, entry) in &others {
        let place = folder.join(path.as_str());
        let is_folder = matches!(entry, Entry::Directory);
        fsio::create_dir_all(if is_folder { &place } else { place.parent().unwrap_or(folder) })?;
    }
    others.par_iter().try_for_each(|(path, entry)| file(path, entry, folder))?;
    links.iter().try_for_each(|(path, entry)| link(path, entry, folder))
}

fn file(path: &ArchivePath, entry: &Entry, folder: &Path) -> Result<()> {
    let Entry::File { executable, .. } = entry else { return Ok(()) };
    let place = folder.join(path.as_str());
    fsio::write_new(&place, &entry.read()?, *executable)
}

#[cfg(unix)]
fn link(path: &ArchivePath, entry: &Entry, folder: &Path) -> Result<()> {
    let Entry::Symlink { target } = entry else { return Ok(()) };
    let place = folder.join(path.as_str());
    fsio::create_dir_all(place.parent().unwrap_or(folder))?;
    std::os::unix::fs::symlink(target, &place).map_err(|e| Error::io("write the link", &place, &e))
}

#[cfg(not(unix))]
fn link(path: &ArchivePath, _entry: &Entry, _folder: &Path) -> Result<()> {
    Err(Error::failed(format!("`{path}` is a symbolic link, which this system does not have")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, Entry)]) -> Tree {
        let mut tree = Tree::new();
        for (path, entry) in entries {
            tree.insert(ArchivePath::new(path).unwrap(), entry.clone());
        }
        tree
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let link = Entry::Symlink { target: outside.display().to_string() };
        let hostile =
            tree(&[("a", link.clone()), ("a/b", Entry::bytes(*b"x", false)), ("c", Entry::bytes(*b"y", true))]);
        let error = write(&hostile, &dir.path().join("task")).unwrap_err().to_string();
        assert!(error.contains("write the link"), "{error}");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        let mode = |p: &str| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::metadata(dir.path().join(p)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("task/c"), mode("task/a/b")), (0o755, 0o644));
    }
}
