//! Images that are unpacked to be run, each by the digest of its manifest:
//!
//! ```text
//! roots-v1/<key>/…      the image's root
//! roots-v1/<key>.note   what it was when it was unpacked, and when it was last wanted
//! roots-v1/<key>.lock   locked for as long as somebody runs it
//! roots-v1/partial-…    where one is unpacked, or is run that has no name, and its lock
//! ```
//!
//! They are bound read-only where they are run. Files are not hashed again: what the file system says of each (size, mode,
//! times, inode) is compared with what it said at first, and where anything differs the image is unpacked anew. The bucket is
//! bounded: what was not wanted for longest goes first, and nothing goes that somebody runs.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::digest::{Digest, sha256};
use crate::error::{Error, Result};
use crate::fsio;
use crate::interrupt::{self, Remembered};

/// The bucket.
pub(super) const ROOTS: &str = "roots-v1";
/// The bucket is trimmed to this: the largest image that there may be, and some others.
const MOST: u64 = 16 << 30;
/// Nobody needs an hour between unpacking an image and locking it.
const IN_USE: Duration = Duration::from_secs(60 * 60);

/// The bucket of images that are unpacked.
#[derive(Debug)]
pub struct Roots {
    folder: PathBuf,
}

/// An image's root. It stays as it is for as long as this lives.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    notes: Vec<String>,
    _lock: Option<File>,
    _partial: Option<Partial>,
}

impl Root {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is not as in the image.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[derive(Serialize, Deserialize)]
struct Note {
    /// A digest of what the file system says of all files.
    state: String,
    bytes: u64,
    notes: Vec<String>,
}

/// A folder in which a root is filled. It goes again, with what is still in it; its lock goes last, as nobody deletes what is
/// locked.
#[derive(Debug)]
struct Partial {
    dir: tempfile::TempDir,
    _lock: tempfile::NamedTempFile,
    _remembered: [Remembered; 2],
}

impl Partial {
    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Where a root is put whose name another one gets.
    fn replaced(&self) -> PathBuf {
        self.dir.path().join("replaced")
    }
}

impl Roots {
    pub(super) fn new(root: &Path) -> Self {
        Self { folder: root.join(ROOTS) }
    }

    /// The root of the image with this digest; `fill` unpacks it into an empty folder where it is not there, or not as it was,
    /// and gives notes on what is not as in the image.
    ///
    /// # Errors
    /// When it cannot be unpacked.
    pub fn root(&self, digest: &Digest, fill: &mut dyn FnMut(&Path) -> Result<Vec<String>>) -> Result<Root> {
        let key = digest.hex();
        if let Some(root) = self.standing(&key) {
            return Ok(root);
        }
        fsio::create_dir_all(&self.folder)?;
        let partial = self.partial()?;
        let filled = fill(&partial.root());
        interrupt::stay_if_ending();
        let root = self.keep(&key, partial, filled?)?;
        self.trim(MOST);
        Ok(root)
    }

    /// Where images are unpacked to.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn beside(&self, key: &str, what: &str) -> PathBuf {
        self.folder.join(format!("{key}.{what}"))
    }

    /// Held while something gets or loses its name, so that no lock is taken in between by somebody else. The folder itself is
    /// locked: a file for it would be left there. Nothing where that cannot be done.
    fn alone(&self) -> Option<File> {
        let folder = File::open(&self.folder).ok()?;
        folder.lock().ok()?;
        Some(folder)
    }

    fn standing(&self, key: &str) -> Option<Root> {
        let name = self.beside(key, "lock");
        let lock = File::open(&name).ok()?;
        lock.lock_shared().ok()?;
        // It may have been deleted before it was locked; from now on it is not.
        if !is_same(&lock, &name) {
            return None;
        }
        let (path, note) = (self.folder.join(key), self.beside(key, "note"));
        let said: Note = serde_json::from_str(&fsio::read_text(&note).ok()?).ok()?;
        if state(&path)?.0 != said.state {
            return None;
        }
        let _ = File::open(note).and_then(|file| file.set_modified(SystemTime::now()));
        Some(Root { path, notes: said.notes, _lock: Some(lock), _partial: None })
    }

    fn partial(&self) -> Result<Partial> {
        let told = |e: io::Error| Error::io("create a folder in", &self.folder, &e);
        // Not on Ctrl-C before it is remembered.
        let _whole = interrupt::hold();
        let builder = || tempfile::Builder::new().prefix("partial-").suffix(".lock").tempfile_in(&self.folder);
        // Before the folder is there: one that nobody has locked may be deleted.
        let lock = builder().map_err(told)?;
        match lock.as_file().try_lock() {
            Err(TryLockError::WouldBlock) => return Err(told(io::ErrorKind::WouldBlock.into())),
            // On a file system without locks (some NFS) nothing is deleted.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let path = lock.path().with_extension("");
        let name = path.file_name().unwrap_or_default();
        let dir = tempfile::Builder::new().prefix(name).rand_bytes(0).tempdir_in(&self.folder).map_err(told)?;
        let remembered = [interrupt::remember(dir.path()), interrupt::remember(lock.path())];
        let partial = Partial { dir, _lock: lock, _remembered: remembered };
        fs::create_dir(partial.root()).map_err(told)?;
        Ok(partial)
    }

    /// Gives a root its name. Where somebody runs what has that name, it goes without.
    fn keep(&self, key: &str, partial: Partial, notes: Vec<String>) -> Result<Root> {
        // Before it has its name: whatever is deleted from then on, by whomever, the note says what was unpacked.
        let Some((state, bytes)) = state(&partial.root()) else {
            interrupt::stay_if_ending();
            return Err(Error::failed(format!("Failed to read what was unpacked into `{}`", self.folder.display())));
        };
        let note = Note { state, bytes, notes };
        let lock = self.name(key, &partial, &note)?;
        let notes = note.notes;
        Ok(match lock {
            Some(_) => Root { path: self.folder.join(key), notes, _lock: lock, _partial: None },
            None => Root { path: partial.root(), notes, _lock: None, _partial: Some(partial) },
        })
    }

    /// Gives what was unpacked its name, and a lock that is shared. Nothing where it cannot have that name.
    fn name(&self, key: &str, partial: &Partial, note: &Note) -> Result<Option<File>> {
        let Some(_alone) = self.alone() else { return Ok(None) };
        // With its note or not at all; on Ctrl-C it is deleted where it was unpacked.
        let _whole = interrupt::hold();
        let name = self.beside(key, "lock");
        let lock = File::create(&name).ok().filter(|lock| lock.try_lock().is_ok());
        let Some(lock) = lock else { return Ok(None) };
        let (at, noted) = (self.folder.join(key), self.beside(key, "note"));
        // What had the name is deleted with the partial folder, which may take long.
        let is_free = fs::rename(&at, partial.replaced()).is_ok() || fs::symlink_metadata(&at).is_err();
        let is_named = is_free && fs::rename(partial.root(), &at).is_ok();
        let text = serde_json::to_string(note).unwrap_or_default();
        if is_named && fsio::write_atomic(&noted, text.as_bytes()).is_ok() {
            // Not at once the one after the other, but nobody else locks it exclusively while the folder is locked.
            lock.lock_shared().map_err(|e| Error::io("lock", &name, &e))?;
            return Ok(Some(lock));
        }
        if is_named {
            fs::rename(&at, partial.root()).map_err(|e| Error::io("rename", &at, &e))?;
        }
        let _ = fs::remove_file(noted);
        let _ = fs::remove_file(name);
        Ok(None)
    }

    /// Deletes those that were not wanted for `age`; returns their bytes and files.
    pub(super) fn prune(&self, age: Duration) -> (u64, u64) {
        self.oldest().into_iter().filter(|(idle, _)| *idle >= age).fold((0, 0), |(bytes, files), (_, key)| {
            let (more, count) = self.delete(&key).unwrap_or_default();
            (bytes + more, files + count)
        })
    }

    /// What it took when it was unpacked, as its note says.
    fn size(&self, key: &str) -> u64 {
        let note = fsio::read_text(&self.beside(key, "note")).ok();
        note.and_then(|text| serde_json::from_str::<Note>(&text).ok()).map_or(0, |note| note.bytes)
    }

    fn trim(&self, most: u64) {
        let all = self.oldest();
        let mut total: u64 = all.iter().map(|(_, key)| self.size(key)).sum();
        for (idle, key) in all {
            // What a program that was killed has left has no note.
            let is_left = !self.beside(&key, "note").exists() && idle >= IN_USE;
            let bytes = self.size(&key);
            if (is_left || total > most) && self.delete(&key).is_some() {
                total = total.saturating_sub(bytes);
            }
        }
    }

    /// Deletes one that nobody runs; its bytes and files.
    fn delete(&self, key: &str) -> Option<(u64, u64)> {
        let _alone = self.alone()?;
        let lock = self.beside(key, "lock");
        let held = File::create(&lock).ok()?;
        held.try_lock().ok()?;
        let path = self.folder.join(key);
        let found = walkdir::WalkDir::new(&path).into_iter().filter_map(|entry| entry.ok()?.metadata().ok());
        let freed = found.filter(Metadata::is_file).fold((0, 0), |(b, n), m| (b + m.len(), n + 1));
        // First, so that what is half deleted is not taken for whole.
        let _ = fs::remove_file(self.beside(key, "note"));
        if fs::remove_dir_all(&path).is_err() && path.exists() {
            return None;
        }
        let _ = fs::remove_file(lock);
        Some(freed)
    }

    /// All of them, with the time since each was wanted, the longest first.
    fn oldest(&self) -> Vec<(Duration, String)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let idle = |key: &str| {
            let used = [self.beside(key, "note"), self.folder.join(key)];
            let used = used.iter().find_map(|path| path.metadata().ok()?.modified().ok())?;
            SystemTime::now().duration_since(used).ok()
        };
        let keys = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let keys = keys.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut out: Vec<_> = keys.filter_map(|key| Some((idle(&key)?, key))).collect();
        out.sort_by(|a, b| b.cmp(a));
        out
    }
}

/// A digest of what the file system says of everything in a folder, and the bytes that it takes; nothing when it cannot be read.
fn state(folder: &Path) -> Option<(String, u64)> {
    let (mut text, mut bytes) = (String::new(), 0);
    for entry in walkdir::WalkDir::new(folder).min_depth(1).sort_by_file_name() {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok()?;
        bytes += taken(&metadata);
        let path = entry.path().strip_prefix(folder).ok()?;
        text.push_str(&format!("{path:?} {}\n", of_file(&metadata)));
        // Held in pieces: an image has many files.
        if text.len() > 1 << 20 {
            text = format!("{}\n", sha256(text.as_bytes()));
        }
    }
    Some((sha256(text.as_bytes()).hex(), bytes))
}

#[cfg(unix)]
fn of_file(metadata: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let m = metadata;
    format!("{} {} {} {} {} {} {}", m.mode(), m.len(), m.ino(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec())
}

#[cfg(not(unix))]
fn of_file(metadata: &Metadata) -> String {
    format!("{:?} {} {:?}", metadata.file_type(), metadata.len(), metadata.modified().ok())
}

/// Bytes that something takes on disk; of a file with several names each has its part.
#[cfg(unix)]
fn taken(metadata: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let names = if metadata.is_dir() { 1 } else { metadata.nlink().max(1) };
    metadata.blocks() * 512 / names
}

#[cfg(not(unix))]
fn taken(metadata: &Metadata) -> u64 {
    metadata.len()
}

/// Whether a file that was opened is the one that has the name: it may have been deleted meanwhile, and be another one.
#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if a.ino() == b.ino() && a.dev() == b.dev())
}

#[cfg(not(unix))]
fn is_same(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_unpacked_once_and_again_when_something_is_not_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots::new(dir.path());
        let count = std::cell::Cell::new(0);
        let open = |digest: &[u8]| {
            let mut fill = |at: &Path| {
                count.set(count.get() + 1);
                fsio::write_atomic(&at.join("etc/x"), b"text")?;
                Ok(vec!["a note".to_owned()])
            };
            roots.root(&sha256(digest), &mut fill).unwrap()
        };
        let first = open(b"1");
        let again = open(b"1");
        assert_eq!((first.path(), again.notes(), count.get()), (again.path(), ["a note".to_owned()].as_slice(), 1));
        // What is run does not go, and neither is it replaced.
        assert_eq!(roots.prune(Duration::ZERO), (0, 0));
        fsio::write_atomic(&first.path().join("etc/x"), b"mine").unwrap();
        let private = open(b"1");
        assert!(private.path() != first.path() && count.get() == 2);
        let place = private.path().to_owned();
        drop(private);
        assert!(!place.exists());
        let path = first.path().to_owned();
        drop((first, again));
        assert_eq!(fs::read(open(b"1").path().join("etc/x")).unwrap(), b"text");
        assert_eq!((open(b"1").path(), count.get()), (path.as_path(), 3));
        let one = roots.size(&sha256(b"1").hex());
        drop(open(b"2"));
        roots.trim(one);
        assert!(!path.exists() && count.get() == 4);
        assert_eq!(roots.prune(Duration::ZERO), (4, 1));
        assert_eq!(fs::read_dir(dir.path().join(ROOTS)).unwrap().count(), 0);
        // Nothing is left of what could not be unpacked.
        assert!(roots.root(&sha256(b"3"), &mut |_| Err(Error::failed("no"))).is_err());
        assert_eq!(fs::read_dir(dir.path().join(ROOTS)).unwrap().count(), 0);
    }

    #[test]
    fn what_is_unpacked_or_run_is_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots::new(dir.path());
        let run = || {
            for _ in 0..60 {
                let mut fill = |at: &Path| {
                    roots.prune(Duration::ZERO);
                    fsio::write_atomic(&at.join("x"), b"text")?;
                    Ok(Vec::new())
                };
                let root = roots.root(&sha256(b"1"), &mut fill).unwrap();
                roots.prune(Duration::ZERO);
                roots.trim(0);
                assert_eq!(fs::read(root.path().join("x")).unwrap(), b"text");
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(run))));
        roots.prune(Duration::ZERO);
        let left: Vec<_> = fs::read_dir(dir.path().join(ROOTS)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new());
    }
}
