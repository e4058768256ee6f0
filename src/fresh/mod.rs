//! Whether what an earlier build made still stands, so that nothing is done twice.
//!
//! ```text
//! files ──► stat ──► digest, read only when the stat is new   (files)
//! spec, options, program, tools, digests of all that was read ──► key
//! key and the zip's own stat as they were ──► the zip stands  (state)
//! ```
//!
//! A key is made of contents, never of times; times only tell which files need not be read again. What could have changed
//! unseen, in the same tick of the file system's clock in which it was looked at, is read again. The worst that a wrong
//! guess here may cost is work: what cannot be told is taken for changed.
//!
//! What it does not see: a file that is written to through a mapping, or restored with all of its times, by somebody who
//! wants it unseen. `--no-cache` looks at nothing of an earlier build.

mod files;
mod state;

pub use files::{Files, Stat, listing};
pub use state::{Kept, KeptLayer, KeptPackage, State};

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::pack;
use crate::store::{Archive, encode_hex, sha256};
use crate::tree::{Entry, Source, Tree};

/// What a resolver's answer is a function of, beside the function's settings and its folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Files whose contents, or absence, decide.
    pub files: Vec<PathBuf>,
    /// Folders that decide by what is in them: names, not contents.
    pub folders: Vec<PathBuf>,
    /// Tools and settings of the environment that decide, in words.
    pub facts: Vec<String>,
    /// Also the day decides: newest versions were asked for.
    pub of_the_day: bool,
}

/// A digest over parts that cannot run into each other.
#[derive(Default)]
pub struct Key(Sha256);

impl Key {
    /// An empty key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part.
    pub fn add(&mut self, part: impl AsRef<[u8]>) -> &mut Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// The digest in hexadecimal.
    pub fn finish(&self) -> String {
        encode_hex(&self.0.clone().finalize())
    }
}

/// This program, as whoever replaces it changes it.
pub fn program() -> String {
    let stat = std::env::current_exe().ok().and_then(|path| Stat::of(&path));
    format!("{} {} {} {stat:?}", env!("CARGO_PKG_VERSION"), pack::deflate::ENCODER, pack::large::ENCODER)
}

/// A tool, as whoever replaces it changes it: its path and what stands there, links followed.
pub fn tool(path: &Path) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    format!("{} {} {:?}", path.display(), real.display(), Stat::of(&real))
}

/// Environment variables that begin so, in upper or lower case, with a digest of their values.
pub fn variables(prefixes: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = std::env::vars_os()
        .filter(|(name, _)| {
            let name = name.to_string_lossy().to_uppercase();
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        })
        // Values may be secrets.
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), sha256(value.as_encoded_bytes())))
        .collect();
    found.sort();
    found
}

/// The digest of a tree's paths, modes and contents. Files on disk are looked up in `files`.
///
/// Nothing when one of them cannot be read.
pub fn of_tree(tree: &Tree, files: &Files) -> Option<String> {
    let on_disk: Vec<&Path> = tree
        .iter()
        .filter_map(|(_, entry)| match entry {
            Entry::File { source: Source::Disk(path), .. } => Some(path.as_path()),
            _ => None,
        })
        .collect();
    files.read_all(&on_disk);
    let mut key = Key::new();
    let mut text = String::new();
    for (path, entry) in tree.iter() {
        text.clear();
        match entry {
            Entry::Directory => text.push('d'),
            Entry::Symlink { target } => text.push_str(&format!("l{target}")),
            Entry::File { executable, source, .. } => {
                let _ = write!(text, "{} {}", if *executable { 'x' } else { 'f' }, content(source, files)?);
            }
        }
        key.add(path.as_str()).add(&text);
    }
    Some(key.finish())
}

/// The digest of a tree's paths, modes and contents, wherever they come from: the same on any machine. Archives of which
/// it is not yet known what is in them are read whole.
///
/// Nothing when something cannot be read.
pub fn of_contents(tree: &Tree, files: &Files) -> Option<String> {
    let mut key = Key::new();
    for (path, entry) in tree.iter() {
        let text = match entry {
            Entry::Directory => "d".to_owned(),
            Entry::Symlink { target } => format!("l{target}"),
            Entry::File { executable, source, .. } => {
                let digest = match source {
                    Source::Disk(path) => files.digest(path)?,
                    Source::Bytes(bytes) => sha256(bytes).hex(),
                    Source::Member(archive, index) => archive.contents().ok()?[*index].clone(),
                };
                format!("{} {digest}", if *executable { 'x' } else { 'f' })
            }
        };
        key.add(path.as_str()).add(&text);
    }
    Some(key.finish())
}

/// What tells contents apart: a digest, or the place in an archive whose name is its digest.
fn content(source: &Source, files: &Files) -> Option<String> {
    Some(match source {
        Source::Disk(path) => files.digest(path)?,
        // Never packed in pieces, as a large file on disk is: the same contents may have other bytes in the zip.
        Source::Bytes(bytes) => format!("memory {}", sha256(bytes)),
        Source::Member(archive, index) => format!("{}#{index}", archive_name(archive)),
    })
}

/// What names an archive of the store, wherever the store is.
pub(crate) fn archive_name(archive: &Archive) -> String {
    // Its folder names form and encoder, its file the digest.
    let parts: Vec<_> = archive.path().iter().rev().take(3).map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
