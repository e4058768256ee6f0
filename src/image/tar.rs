//! A tree as the tar of a layer, with nothing of the machine in it.
//!
//! Entries are sorted by the bytes of their paths; each folder above an entry stands once, before what is in it. Owner and
//! group are 0, times are 1970, modes are 0644, 0755 and, for links, 0777: Lambda runs functions as another user, who must
//! be able to read everything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::error::{Error, Result};
use crate::report::Task;
use crate::store::encode_hex;
use crate::tree::{Entry, Source, Tree};

/// Bytes of a header, and what everything is padded to.
const RECORD: u64 = 512;
/// The longest name that a header holds by itself.
const NAME: usize = 100;

/// Files on disk that were read, with the SHA-256 of what was read, in hexadecimal.
pub(crate) type ReadFiles = Vec<(PathBuf, String)>;

/// Everything that stands in the tar of a tree, in order: `None` is a folder above an entry.
fn items(tree: &Tree) -> BTreeMap<&str, Option<&Entry>> {
    let mut items: BTreeMap<&str, Option<&Entry>> = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let path = path.as_str();
        for (at, _) in path.match_indices('/') {
            items.entry(&path[..at]).or_insert(None);
        }
        items.insert(path, Some(entry).filter(|entry| !matches!(entry, Entry::Directory)));
    }
    items
}

/// Bytes of the tar of a tree, told without reading a file.
pub(crate) fn tar_bytes(tree: &Tree) -> u64 {
    items(tree).into_iter().map(|(path, entry)| item_bytes(path, entry)).fold(2 * RECORD, u64::saturating_add)
}

/// Bytes that one entry adds; folders above it are not counted.
pub(crate) fn item_bytes(path: &str, entry: Option<&Entry>) -> u64 {
    let padded = |bytes: u64| bytes.div_ceil(RECORD).saturating_mul(RECORD);
    // A name or target that is too long stands before the entry, with a header of its own and a zero byte.
    let long = |text: usize| if text > NAME { RECORD + padded(text as u64 + 1) } else { 0 };
    let slash = usize::from(matches!(entry, None | Some(Entry::Directory)));
    let rest = match entry {
        Some(Entry::File { size, .. }) => padded(*size),
        Some(Entry::Symlink { target }) => long(target.len()),
        Some(Entry::Directory) | None => 0,
    };
    (RECORD + long(path.len() + slash)).saturating_add(rest)
}

/// Writes the tar of a tree.
pub(crate) fn write<W: Write>(tree: &Tree, out: W, task: &Task<'_>) -> Result<(W, ReadFiles)> {
    let mut builder = Builder::new(out);
    let mut read = Vec::new();
    for (path, entry) in items(tree) {
        append(&mut builder, path, entry, &mut read)?;
        task.advance(entry.map_or(0, Entry::size));
    }
    let out = builder.into_inner().map_err(|e| Error::io("write", Path::new("a layer"), &e))?;
    Ok((out, read))
}

fn append<W: Write>(builder: &mut Builder<W>, path: &str, entry: Option<&Entry>, read: &mut ReadFiles) -> Result<()> {
    let (kind, mode, size) = match entry {
        // Sticky, as everybody may write there.
        None | Some(Entry::Directory) if path == "tmp" => (EntryType::Directory, 0o1777, 0),
        None | Some(Entry::Directory) => (EntryType::Directory, 0o755, 0),
        Some(Entry::Symlink { .. }) => (EntryType::Symlink, 0o777, 0),
        Some(Entry::File { executable, size, .. }) => {
            (EntryType::Regular, if *executable { 0o755 } else { 0o644 }, *size)
        }
    };
    let mut header = header(kind, mode, size);
    let failed = |e: io::Error| Error::failed(format!("Failed to put `{path}` into a layer")).because(e);
    match entry {
        None | Some(Entry::Directory) => {
            builder.append_data(&mut header, format!("{path}/"), io::empty()).map_err(failed)
        }
        Some(Entry::Symlink { target }) => builder.append_link(&mut header, path, target).map_err(failed),
        Some(entry @ Entry::File { source, .. }) => {
            let mut exact = Exact { inner: entry.open()?, left: size, hash: Sha256::new() };
            builder.append_data(&mut header, path, &mut exact).map_err(failed)?;
            // One byte more than was said: the file grows while it is read.
            if exact.inner.read(&mut [0]).map_err(failed)? > 0 {
                return Err(changed(path));
            }
            if let Source::Disk(path) = source {
                read.push((path.clone(), encode_hex(&exact.hash.finalize())));
            }
            Ok(())
        }
    }
}

fn changed(path: &str) -> Error {
    Error::failed(format!("`{path}` was changed by another program while it was packed")).hint("build again")
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

/// Exactly so many bytes, hashed.
struct Exact<R> {
    inner: R,
    left: u64,
    hash: Sha256,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::Error::other("it was changed by another program while it was packed"));
        }
        self.hash.update(&buffer[..read]);
        self.left -= read as u64;
        Ok(read)
    }
}

impl Entry {
    /// A file's bytes from their beginning, however many; a link's are its target.
    pub(crate) fn open(&self) -> Result<Box<dyn Read + '_>> {
        match self {
            Self::File { source: Source::Disk(path), .. } => {
                if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
                    return Err(Error::failed(format!("Failed to read `{}`: it is not a file", path.display())));
                }
                Ok(Box::new(File::open(path).map_err(|e| Error::io("read", path, &e))?))
            }
            Self::File { source: Source::Bytes(bytes), .. } => Ok(Box::new(&bytes[..])),
            Self::File { source: Source::Member(archive, index), .. } => archive.open_member(*index),
            Self::Symlink { target } => Ok(Box::new(target.as_bytes())),
            Self::Directory => Ok(Box::new(io::empty())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Silent;
    use crate::tree::ArchivePath;

    #[test]
    fn sizes_are_told_before_and_entries_are_plain() {
        let long = format!("{}/x", vec!["deep"; 40].join("/"));
        let entries = [
            ("var/task/a-b".to_owned(), Entry::bytes(&b"x"[..], false)),
            ("var/task/a/run".to_owned(), Entry::bytes(vec![7; 513], true)),
            ("var/task/link".to_owned(), Entry::Symlink { target: long.clone() }),
            ("tmp".to_owned(), Entry::Directory),
            (long, Entry::bytes(&b""[..], false)),
        ];
        let tree: Tree = entries.into_iter().map(|(p, e)| (ArchivePath::new(&p).unwrap(), e)).collect();
        let task = Task::begin(&Silent, "x", None, crate::report::Unit::Bytes);
        let (bytes, read) = write(&tree, Vec::new(), &task).unwrap();
        assert!(read.is_empty());
        assert_eq!(bytes.len() as u64, tar_bytes(&tree));
        let mut archive = tar::Archive::new(bytes.as_slice());
        let seen: Vec<(String, u32)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
                (entry.path().unwrap().display().to_string(), header.mode().unwrap())
            })
            .collect();
        let short: Vec<(&str, u32)> =
            seen.iter().map(|(p, m)| (p.as_str(), *m)).filter(|(p, _)| p.len() < 20).collect();
        assert!(short.starts_with(&[("deep/", 0o755), ("deep/deep/", 0o755)]), "{short:?}");
        let expected = [
            ("tmp/", 0o1777),
            ("var/", 0o755),
            ("var/task/", 0o755),
            ("var/task/a/", 0o755),
            ("var/task/a-b", 0o644),
            ("var/task/a/run", 0o755),
            ("var/task/link", 0o777),
        ];
        assert!(short.ends_with(&expected), "{short:?}");
    }
}
