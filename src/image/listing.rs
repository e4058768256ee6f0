//! What stands in the tar of a layer: paths, modes, links, and of native files what they say of themselves.
//!
//! A layer is a stranger's: paths are checked, numbers are bounded, and whatever cannot be read is told, never a panic. Nothing
//! is unpacked. A listing is kept by the layer's digest, so that a base is read once.

use std::io::Read;

use serde::{Deserialize, Serialize};

use super::members;
use crate::elf::{self, Elf, Image};
use crate::error::{Error, Result};
use crate::tree::{ArchivePath, Entry, Source, Tree};

/// Larger native files are only known by their first bytes: their facts lie anywhere in them.
const MAX_NATIVE: u64 = 48 << 20;
/// Programs name their interpreters within so many bytes.
const SHEBANG: usize = 256;
/// At most so many complaints are kept.
const MAX_PROBLEMS: usize = 20;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    /// A file, with its size.
    File(u64),
    /// A folder.
    Folder,
    /// A symbolic link.
    Link(String),
    /// The same file as another path of this or a lower layer.
    Same(String),
    /// A device, a pipe, a socket.
    Other,
    /// What lower layers have here is gone.
    Whiteout,
    /// What lower layers have in this folder is gone.
    Opaque,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// Its path from the image's root, without a slash before it.
    pub(crate) path: String,
    /// What it is.
    pub(crate) what: What,
    /// Its permission bits.
    pub(crate) mode: u32,
    /// What a native file says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) elf: Option<Box<Elf>>,
    /// `e_machine` of a native file, also of those that are too large to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<u16>,
    /// What stands behind `#!`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shebang: Option<String>,
    /// The version that a C library says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) glibc: Option<(u16, u16)>,
}

/// The entries of a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing {
    /// In the order of the tar.
    pub(crate) entries: Vec<Listed>,
    /// What is wrong with it.
    pub(crate) problems: Vec<String>,
}

impl Listed {
    fn new(path: String, what: What, mode: u32) -> Self {
        Self { path, what, mode, elf: None, machine: None, shebang: None, glibc: None }
    }

    /// Takes what the first bytes of a file tell, and reads on where they promise more.
    fn look(&mut self, reader: &mut dyn Read, size: u64) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        reader.take(elf::PROBE as u64).read_to_end(&mut bytes)?;
        if let Some(line) = bytes.strip_prefix(b"#!") {
            let line = line[..line.len().min(SHEBANG)].split(|b| *b == b'\n').next().unwrap_or_default();
            self.shebang = Some(String::from_utf8_lossy(line).trim().to_owned());
            return Ok(());
        }
        if !elf::is_elf(&bytes) {
            return Ok(());
        }
        self.machine = bytes.get(18..20).and_then(|two| two.try_into().ok()).map(u16::from_le_bytes);
        if size > MAX_NATIVE {
            return Ok(());
        }
        reader.take(size).read_to_end(&mut bytes)?;
        if let Some(Image::Elf(elf)) = Image::of(&bytes) {
            self.elf = Some(elf);
        }
        let name = self.path.rsplit('/').next().unwrap_or_default();
        if name == "libc.so.6" || (name.starts_with("libc-2.") && name.ends_with(".so")) {
            self.glibc = glibc(&bytes);
        }
        Ok(())
    }
}

/// glibc tells its version when it is run: `GNU C Library (…) stable release version 2.36.`
fn glibc(bytes: &[u8]) -> Option<(u16, u16)> {
    const SAID: &[u8] = b"release version 2.";
    let at = bytes.windows(SAID.len()).position(|window| window == SAID)? + SAID.len();
    let digits: String =
        bytes[at..].iter().take(4).take_while(|b| b.is_ascii_digit()).map(|b| char::from(*b)).collect();
    Some((2, digits.parse().ok()?))
}

/// Reads the tar of a layer.
///
/// # Errors
/// When it is no tar, ends too early, or has too many entries.
pub(crate) fn read(tar: impl Read) -> std::io::Result<Listing> {
    let mut listing = Listing::default();
    members::each(tar, |entry| {
        let raw = entry.path_bytes().into_owned();
        let Some(path) = listing.path(&raw) else { return Ok(()) };
        let mode = entry.header().mode().unwrap_or(0) & 0o7777;
        let size = entry.size();
        let kind = entry.header().entry_type();
        let target = entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
        let what = match (kind, target) {
            (kind, _) if kind.is_dir() => What::Folder,
            (kind, Some(target)) if kind.is_symlink() => What::Link(target),
            (kind, Some(target)) if kind.is_hard_link() => match listing.path(target.as_bytes()) {
                Some(target) => What::Same(target),
                None => return Ok(()),
            },
            (kind, _) if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() => What::File(size),
            (kind, _) if kind.is_pax_global_extensions() => return Ok(()),
            _ => What::Other,
        };
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let gone = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let mut listed = match name.strip_prefix(".wh.") {
            Some(".wh..opq") => Listed::new(folder.to_owned(), What::Opaque, mode),
            // Names of AUFS's own.
            Some(rest) if rest.starts_with(".wh.") => return Ok(()),
            Some(rest) => Listed::new(gone(rest), What::Whiteout, mode),
            None => Listed::new(path.clone(), what, mode),
        };
        if matches!(listed.what, What::File(_)) {
            listed.look(entry, size)?;
        }
        listing.entries.push(listed);
        Ok(())
    })?;
    Ok(listing)
}

impl Listing {
    /// A path as it is meant: `./a/` is `a`; nothing for the root itself, and for one that leaves it.
    fn path(&mut self, raw: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(raw);
        let mut out: Vec<&str> = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    self.problem(format!("the path `{}` leaves the image's root", text.escape_debug()));
                    return None;
                }
                part if part.contains('\0') => {
                    self.problem(format!("the path `{}` has a NUL byte", text.escape_debug()));
                    return None;
                }
                part => out.push(part),
            }
        }
        (!out.is_empty() && text.len() <= 4_096).then(|| out.join("/"))
    }

    fn problem(&mut self, problem: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    /// What a layer that is made of a tree will hold.
    pub(crate) fn of_tree(tree: &Tree) -> Result<Self> {
        let mut listing = Self::default();
        for (path, entry) in tree.iter() {
            listing.entries.push(of_entry(path, entry)?);
        }
        Ok(listing)
    }
}

fn of_entry(path: &ArchivePath, entry: &Entry) -> Result<Listed> {
    let path = path.to_string();
    Ok(match entry {
        Entry::Directory => Listed::new(path, What::Folder, 0o755),
        Entry::Symlink { target } => Listed::new(path, What::Link(target.clone()), 0o777),
        Entry::File { executable, size, source } => {
            let mode = if *executable { 0o755 } else { 0o644 };
            let mut listed = Listed::new(path, What::File(*size), mode);
            match source {
                // Known since the archive was taken in.
                Source::Member(archive, index) if !*executable || archive.natives().get(*index).is_some() => {
                    if let Some(Image::Elf(elf)) = archive.natives().get(*index) {
                        listed.machine = Some(elf.machine.0);
                        listed.elf = Some(elf.clone());
                    }
                }
                _ => {
                    let mut reader = entry.open()?;
                    let read = listed.look(&mut reader, *size);
                    let shown = &listed.path;
                    read.map_err(|e| Error::failed(format!("Failed to read `{shown}`")).because(e))?;
                }
            }
            listed
        }
    })
}
