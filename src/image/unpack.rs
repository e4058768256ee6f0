//! An image as a folder: its layers over each other, as a sandbox shows them.
//!
//! A layer is a stranger's. Nothing is written outside of the folder, by whatever name or link; how much is written is bounded
//! before it is; and what was read is compared with the digests of the blob and of the tar, at the end of each layer: whoever
//! calls this throws the folder away when that fails.
//!
//! What is there in the end belongs to whoever runs this, and in the sandbox that is Lambda's user. So that what only others
//! may read on Lambda cannot be read here either, the owner of a file gets no more than everybody has ([`file_mode`]). Folders
//! stay open to their owner, who must be able to delete them: what only root may enter on Lambda can be entered here. Bits that
//! change the user are dropped, as are owners and extended attributes. Devices, pipes and sockets are left out, which is said.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::ahead::ahead;
use super::members::{self, MAX_ENTRIES, Member};
use super::rooted::Rooted;
use super::{BuiltImage, BuiltLayer, Verified, compression};
use crate::error::{Error, Result};
use crate::fsio;
use crate::interrupt;
use crate::lambda::IMAGE_LIMIT;
use crate::report::Task;
use crate::store::Digest;

/// Progress is told in steps of so many bytes.
const STEP: u64 = 4 << 20;
/// What a file system gives to anything at once.
const CLUSTER: u64 = 4_096;
/// Names in messages, at most.
const SHOWN: usize = 3;

/// Unpacks all layers into a folder that is empty. Gives notes on what is not as in the image.
///
/// # Errors
/// When a layer is not here, damaged, larger than Lambda takes, or wants to be written elsewhere. What was written is left.
pub(crate) fn unpack(image: &BuiltImage, root: &Path, task: &Task<'_>) -> Result<Vec<String>> {
    let mut unpacker = Unpacker::new(root, IMAGE_LIMIT);
    for layer in &image.layers {
        let blob = image.open(layer)?;
        let done = unpacker.layer(blob, layer, task);
        done.map_err(|e| told(&format!("Failed to unpack the layer {}", layer.descriptor.digest), &e))?;
    }
    fs::set_permissions(root, Permissions::from_mode(0o755)).map_err(|e| Error::io("write", root, &e))?;
    Ok(unpacker.notes())
}

fn told(what: &str, cause: &io::Error) -> Error {
    let error = Error::failed(what).because(cause);
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => error.hint(
            "free some space (`cargo lambda-pack cache prune`), or choose another place with LAMBDA_PACK_CACHE_DIR",
        ),
        io::ErrorKind::InvalidData => error.hint("build the image again, with `--no-cache` if that does not help"),
        _ => error,
    }
}

/// The mode of a file whose owner is the one who may not have more than everybody.
fn file_mode(mode: u32) -> u32 {
    let others = mode & 0o005;
    (mode & 0o277) | (others << 6) & 0o777
}

/// The mode of a folder that its owner can delete.
fn folder_mode(mode: u32) -> u32 {
    mode & 0o1777 | 0o700
}

struct Unpacker {
    rooted: Rooted,
    /// Bytes that may still be unpacked, and written: a sparse file is larger than what of it lies in a tar.
    room: u64,
    space: u64,
    /// Entries of all layers, and folders that no layer has named, that there may still be.
    entries: usize,
    /// What the layer at hand has brought, by a hash of the path: its own whiteouts do not hide that.
    fresh: HashSet<u64>,
    state: RandomState,
    skipped: Vec<PathBuf>,
    more_skipped: usize,
}

impl Unpacker {
    fn new(root: &Path, limit: u64) -> Self {
        Self {
            rooted: Rooted::new(root),
            room: limit,
            // Lambda does not count what is lost to small files, so that an image below its limit may take more here.
            space: limit.saturating_add(limit / 2),
            entries: MAX_ENTRIES,
            fresh: HashSet::new(),
            state: RandomState::new(),
            skipped: Vec::new(),
            more_skipped: 0,
        }
    }

    fn notes(&self) -> Vec<String> {
        if self.skipped.is_empty() {
            return Vec::new();
        }
        let mut names: Vec<String> = self.skipped.iter().map(|path| in_root(path)).collect();
        if self.more_skipped > 0 {
            names.push(format!("{} more", self.more_skipped));
        }
        vec![format!("devices, pipes and sockets of the image are not there: {}", names.join(", "))]
    }

    fn layer(&mut self, blob: impl Read + Send, layer: &BuiltLayer, task: &Task<'_>) -> io::Result<()> {
        self.fresh.clear();
        let packed = BufReader::with_capacity(256 << 10, Verified::new(blob, &layer.descriptor));
        // The blob's digest is compared at its end.
        let inflate = |out: &mut dyn Write| compression::unpack(packed, out, u64::MAX).map(drop);
        let plain = ahead(inflate, |tar| {
            let mut counted = Counted { inner: tar, hash: Sha256::new(), left: self.room, untold: 0, task };
            members::each(&mut counted, |entry| self.entry(entry))?;
            io::copy(&mut counted, &mut io::sink())?;
            self.room = counted.left;
            Ok(Digest::of_sha256(counted.hash))
        })?;
        if plain != layer.diff_id {
            let said = format!("it holds {plain}, and the config says {}", layer.diff_id);
            return Err(io::Error::new(io::ErrorKind::InvalidData, said));
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, entry: &mut Member<'_, R>) -> io::Result<()> {
        interrupt::stay_if_ending();
        self.entries = self.entries.checked_sub(1).ok_or_else(too_many)?;
        let raw = entry.path_bytes().into_owned();
        let path = inside(&raw)?;
        let Some(name) = path.file_name() else { return Ok(()) };
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let folder = self.follow(path.parent().unwrap_or(Path::new("")))?;
        if let Some(hidden) = name.as_bytes().strip_prefix(b".wh.") {
            return match hidden {
                // What a link leads to is no folder of this layer.
                b".wh..opq" => self.hide_below(&self.unfollowed(path.parent().unwrap_or(Path::new("")))?),
                // Names of AUFS's own.
                _ if hidden.starts_with(b".wh.") => Ok(()),
                b"" | b"." | b".." => Err(io::Error::other(format!("`{}` hides nothing", shown(&raw)))),
                _ => self.hide(&folder.join(OsStr::from_bytes(hidden))),
            };
        }
        let place = folder.join(name);
        let said = |e: io::Error| io::Error::new(e.kind(), format!("`{}`: {e}", in_root(&path)));
        self.put(entry, &folder, &place).map_err(said)
    }

    fn put<R: Read>(&mut self, entry: &mut Member<'_, R>, folder: &Path, place: &Path) -> io::Result<()> {
        let kind = entry.header().entry_type();
        let mode = entry.header().mode().unwrap_or(0);
        let at = self.rooted.root().join(place);
        self.make(folder)?;
        self.note(place);
        if kind.is_hard_link() {
            let name = entry.link_name_bytes().unwrap_or_default().into_owned();
            self.take(0)?;
            return self.link(&inside(&name)?, place);
        }
        let is_folder = kind.is_dir();
        match fs::symlink_metadata(&at) {
            Ok(there) if there.is_dir() && is_folder => {
                return fs::set_permissions(&at, Permissions::from_mode(folder_mode(mode)));
            }
            Ok(there) if there.is_dir() => fs::remove_dir_all(&at)?,
            // Another name of the same file keeps what it has.
            Ok(_) => fs::remove_file(&at)?,
            Err(_) => {}
        }
        let is_file = kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse();
        self.take(if is_file { entry.size() } else { 0 })?;
        if is_folder {
            fs::create_dir(&at)?;
            fs::set_permissions(&at, Permissions::from_mode(folder_mode(mode)))
        } else if kind.is_symlink() {
            let target = entry.link_name_bytes().unwrap_or_default().into_owned();
            symlink(OsStr::from_bytes(&target), &at)
        } else if is_file {
            let size = entry.size();
            let modified = entry.header().mtime().unwrap_or(0);
            let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(modified));
            let written = fsio::copy_new(&at, entry, file_mode(mode), modified)?;
            if written == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        } else {
            match self.skipped.len() {
                0..SHOWN => self.skipped.push(place.to_owned()),
                _ => self.more_skipped += 1,
            }
            Ok(())
        }
    }

    /// Counts something that is to be written, and what it takes: a name alone takes some, too.
    fn take(&mut self, bytes: u64) -> io::Result<()> {
        let taken = bytes.max(1).checked_next_multiple_of(CLUSTER).ok_or_else(too_large)?;
        self.space = self.space.checked_sub(taken).ok_or_else(too_large)?;
        Ok(())
    }

    /// A folder that is only there by what is in it.
    fn make(&mut self, folder: &Path) -> io::Result<()> {
        let at = self.rooted.root().join(folder);
        if at.is_dir() {
            return Ok(());
        }
        // Nothing is above the root: it was there, and is deleted by somebody.
        self.make(folder.parent().ok_or(io::ErrorKind::NotFound)?)?;
        // As many as an entry's path has parts, of which none is an entry.
        self.entries = self.entries.checked_sub(1).ok_or_else(too_many)?;
        self.take(0)?;
        fs::create_dir(&at)?;
        fs::set_permissions(&at, Permissions::from_mode(0o755))
    }

    /// [`Rooted::follow`], with an error that can be shown.
    fn follow(&self, path: &Path) -> io::Result<PathBuf> {
        let told = |e: io::Error| match e.raw_os_error() {
            Some(_) => e,
            None => io::Error::other(format!("too many levels of symbolic links in `{}`", in_root(path))),
        };
        self.rooted.follow(path).map_err(told)
    }

    /// Where a path is: of links on the way those are followed, one at its end is not.
    fn unfollowed(&self, path: &Path) -> io::Result<PathBuf> {
        let folder = self.follow(path.parent().unwrap_or(Path::new("")))?;
        Ok(path.file_name().map_or_else(PathBuf::new, |name| folder.join(name)))
    }

    /// The same file under another name. Of links on the way those are followed, the last one is not.
    fn link(&self, target: &Path, place: &Path) -> io::Result<()> {
        let missing =
            || io::Error::other(format!("it is a hard link to `{}`, which is no file there", in_root(target)));
        target.file_name().ok_or_else(missing)?;
        let target = self.unfollowed(target)?;
        let (from, to) = (self.rooted.root().join(&target), self.rooted.root().join(place));
        if fs::symlink_metadata(&from).map_err(|_| missing())?.is_dir() {
            return Err(missing());
        }
        if target == place {
            return Ok(());
        }
        match fs::symlink_metadata(&to) {
            // What the link is made of may be in there.
            Ok(there) if there.is_dir() => return Err(io::Error::other("it is a hard link in the place of a folder")),
            Ok(_) => fs::remove_file(&to)?,
            Err(_) => {}
        }
        fs::hard_link(from, to)
    }

    /// Takes away what lower layers have here.
    fn hide(&self, place: &Path) -> io::Result<()> {
        let at = self.rooted.root().join(place);
        let Ok(there) = fs::symlink_metadata(&at) else { return Ok(()) };
        if !there.is_dir() {
            return if self.is_fresh(place) { Ok(()) } else { fs::remove_file(&at) };
        }
        self.hide_below(place)?;
        if !self.is_fresh(place) && fs::read_dir(&at)?.next().is_none() {
            fs::remove_dir(&at)?;
        }
        Ok(())
    }

    /// Takes away what lower layers have in a folder.
    fn hide_below(&self, folder: &Path) -> io::Result<()> {
        let at = self.rooted.root().join(folder);
        if !fs::symlink_metadata(&at).is_ok_and(|there| there.is_dir()) {
            return Ok(());
        }
        let entries = fs::read_dir(at)?;
        // A list, since a folder that changes may be told twice or not at all.
        let names: Vec<_> = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        names.iter().try_for_each(|name| self.hide(&folder.join(name)))
    }

    fn note(&mut self, place: &Path) {
        self.fresh.insert(self.state.hash_one(place.as_os_str()));
    }

    fn is_fresh(&self, place: &Path) -> bool {
        self.fresh.contains(&self.state.hash_one(place.as_os_str()))
    }
}

/// A path as it is meant: `./a/` is `a`, and what begins with `/` begins at the image's root.
fn inside(raw: &[u8]) -> io::Result<PathBuf> {
    const MOST: usize = 4_096;
    let refused = |what: &str| Err(io::Error::other(format!("the path `{}` {what}", shown(raw))));
    if raw.len() > MOST {
        return refused("is too long");
    }
    if raw.contains(&0) {
        return refused("has a NUL byte");
    }
    let parts = raw.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let mut path = PathBuf::new();
    for part in parts {
        if part == b".." {
            return refused("leaves the image's root");
        }
        path.push(OsStr::from_bytes(part));
    }
    Ok(path)
}

/// A path in messages: a terminal is not to obey it.
fn in_root(path: &Path) -> String {
    format!("/{}", shown(path.as_os_str().as_bytes()))
}

fn shown(raw: &[u8]) -> String {
    String::from_utf8_lossy(&raw[..raw.len().min(200)]).escape_debug().to_string()
}

fn too_many() -> io::Error {
    io::Error::other(format!("the image has more than {MAX_ENTRIES} entries"))
}

fn too_large() -> io::Error {
    io::Error::other(format!("the image unpacks to more than {IMAGE_LIMIT} bytes, which Lambda does not take"))
}

/// Hashes what is read, counts it down, and tells how far it is.
struct Counted<'a, R> {
    inner: R,
    hash: Sha256,
    left: u64,
    untold: u64,
    task: &'a Task<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        interrupt::stay_if_ending();
        self.left = self.left.checked_sub(read as u64).ok_or_else(too_large)?;
        self.hash.update(&buffer[..read]);
        self.untold += read as u64;
        if self.untold >= STEP || read == 0 {
            self.task.advance(std::mem::take(&mut self.untold));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
