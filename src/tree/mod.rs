//! The value that travels the pipeline: a [`Tree`] of archive paths and what is to stand there.
//!
//! A tree is built by walking a folder ([`walk`]), by a resolver, or from an archive of the store; stages add, move or
//! drop entries. Nothing is read until it is packed or a rule must look: an [`Entry`] says where its bytes are.

mod assemble;
mod path;
pub mod walk;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use assemble::Assembly;
pub use path::{ArchivePath, PathProblem};

use crate::error::Result;
use crate::store::Archive;

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file on disk.
    Disk(PathBuf),
    /// Made by this program.
    Bytes(Arc<[u8]>),
    /// A member of an archive in the store, by its index; most are deflated already and are copied as they are.
    Member(Arc<Archive>, usize),
}

/// What stands at a path.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A regular file.
    File {
        /// Mode 0755 instead of 0644.
        executable: bool,
        /// Unpacked size in bytes.
        size: u64,
        /// Its bytes.
        source: Source,
    },
    /// A symbolic link with its target as it is written.
    Symlink {
        /// The target.
        target: String,
    },
    /// An empty folder.
    Directory,
}

impl Entry {
    /// A file with these bytes.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>, executable: bool) -> Self {
        let bytes = bytes.into();
        Self::File { executable, size: bytes.len() as u64, source: Source::Bytes(bytes) }
    }

    /// A member of an archive.
    pub fn member(archive: &Arc<Archive>, index: usize) -> Self {
        let member = &archive.members()[index];
        Self::File {
            executable: member.executable,
            size: member.size,
            source: Source::Member(Arc::clone(archive), index),
        }
    }

    /// Unpacked bytes. Links and folders count nothing.
    pub fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Symlink { .. } | Self::Directory => 0,
        }
    }

    /// Reads a file's bytes; a link's are its target.
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::File { source: Source::Disk(path), size, .. } => {
                // A file may grow between walk and read; it is bounded by what Lambda could take anyway.
                crate::fsio::read_bounded(path, (*size).max(crate::lambda::UNZIPPED_LIMIT).saturating_mul(2))
            }
            Self::File { source: Source::Bytes(bytes), .. } => Ok(bytes.to_vec()),
            Self::File { source: Source::Member(archive, index), .. } => archive.read(*index),
            Self::Symlink { target } => Ok(target.clone().into_bytes()),
            Self::Directory => Ok(Vec::new()),
        }
    }

    /// Whether both surely have the same kind, mode and contents, told without reading files from disk.
    pub fn surely_equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Directory, Self::Directory) => true,
            (Self::Symlink { target: a }, Self::Symlink { target: b }) => a == b,
            (
                Self::File { executable: xa, size: sa, source: a },
                Self::File { executable: xb, size: sb, source: b },
            ) => {
                xa == xb
                    && sa == sb
                    && match (a, b) {
                        (Source::Disk(a), Source::Disk(b)) => a == b,
                        (Source::Bytes(a), Source::Bytes(b)) => a == b,
                        (Source::Member(a, i), Source::Member(b, j)) => a.members()[*i].crc32 == b.members()[*j].crc32,
                        _ => false,
                    }
            }
            _ => false,
        }
    }
}

/// Archive paths in the order of their bytes, each with its entry.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    entries: BTreeMap<ArchivePath, Entry>,
}

impl Tree {
    /// An empty tree.
    pub const fn new() -> Self {
        Self { entries: BTreeMap::new() }
    }

    /// Puts an entry at a path and returns what stood there.
    pub fn insert(&mut self, path: ArchivePath, entry: Entry) -> Option<Entry> {
        self.entries.insert(path, entry)
    }

    /// Takes the entry at a path away.
    pub fn remove(&mut self, path: &str) -> Option<Entry> {
        self.entries.remove(path)
    }

    /// What stands at a path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Whether something stands at a path.
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// Whether something stands below the folder `path`.
    pub fn contains_folder(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.entries
            .range::<str, _>((std::ops::Bound::Included(prefix.as_str()), std::ops::Bound::Unbounded))
            .next()
            .is_some_and(|(p, _)| p.as_str().starts_with(&prefix))
    }

    /// Entries in the order of their paths' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&ArchivePath, &Entry)> {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Unpacked bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.entries.values().fold(0, |sum, entry| sum.saturating_add(entry.size()))
    }

    /// Files and links, folders not counted.
    pub fn files(&self) -> usize {
        self.entries.values().filter(|e| !matches!(e, Entry::Directory)).count()
    }
}

impl IntoIterator for Tree {
    type Item = (ArchivePath, Entry);
    type IntoIter = std::collections::btree_map::IntoIter<ArchivePath, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl FromIterator<(ArchivePath, Entry)> for Tree {
    fn from_iter<I: IntoIterator<Item = (ArchivePath, Entry)>>(iter: I) -> Self {
        Self { entries: iter.into_iter().collect() }
    }
}
