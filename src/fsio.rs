//! The one way to read and write files: errors name the path, and a file appears under its name complete or not at all.

mod copy;

pub use copy::Copy;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::interrupt::{self, Remembered};

/// Suffix of files that are being written. Whoever holds the folder's lock may delete leftovers of that name.
pub const PARTIAL_SUFFIX: &str = ".partial";

/// Reads a whole file, refusing more than `limit` bytes before memory is taken.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    // Before it is opened: opening a named pipe waits for whoever writes to it.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Error::failed(format!("Failed to read `{}`: it is not a file", path.display())));
    }
    let file = File::open(path).map_err(|e| Error::io("read", path, &e))?;
    let length = file.metadata().map_err(|e| Error::io("read", path, &e))?.len();
    if length > limit {
        return Err(too_large(path, length, limit));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    let read = file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, &e))?;
    if read as u64 > limit {
        return Err(too_large(path, read as u64, limit));
    }
    Ok(bytes)
}

fn too_large(path: &Path, length: u64, limit: u64) -> Error {
    Error::failed(format!("`{}` has {length} bytes; at most {limit} are read", path.display()))
}

/// Reads a UTF-8 text file of at most 64 MiB (manifests and lock files). A byte order mark is dropped.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = read_bounded(path, 64 << 20)?;
    let text = String::from_utf8(bytes)
        .map_err(|e| Error::config(format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to())).at(path, None))?;
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
}

/// A file that takes its final name only on [`AtomicFile::commit`]; dropped before that, nothing is left.
#[derive(Debug)]
pub struct AtomicFile {
    temp: tempfile::NamedTempFile,
    target: PathBuf,
    _remembered: Remembered,
}

impl AtomicFile {
    /// Starts a temporary file beside `target`, creating the folder when it is missing.
    pub fn create(target: &Path) -> Result<Self> {
        let folder = target.parent().unwrap_or(Path::new("."));
        create_dir_all(folder)?;
        let temp = tempfile::Builder::new()
            .prefix(".")
            .suffix(PARTIAL_SUFFIX)
            .tempfile_in(folder)
            .map_err(|e| Error::io("create a temporary file in", folder, &e))?;
        let remembered = interrupt::remember(temp.path());
        Ok(Self { temp, target: target.to_owned(), _remembered: remembered })
    }

    /// Gives the file its final name, with mode 0644, replacing what had it.
    pub fn commit(mut self) -> Result<()> {
        self.temp.flush().map_err(|e| Error::io("write", &self.target, &e))?;
        set_mode(self.temp.as_file(), 0o644).map_err(|e| Error::io("write", &self.target, &e))?;
        self.temp.persist(&self.target).map_err(|e| Error::io("write", &self.target, &e.error))?;
        Ok(())
    }

    /// The same under another name in the same folder, for what is named after its contents.
    pub fn commit_as(mut self, target: &Path) -> Result<()> {
        self.target = target.to_owned();
        self.commit()
    }

    /// The temporary file.
    pub fn file(&self) -> &File {
        self.temp.as_file()
    }

    /// The temporary path.
    pub fn path(&self) -> &Path {
        self.temp.path()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.temp.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.temp.flush()
    }
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_file: &File, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Writes a whole file, complete or not at all.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(|e| Error::io("write", path, &e))?;
    file.commit()
}

/// Writes a file that is not there yet into a scratch folder, with mode 0755 or 0644 whatever the umask is.
pub fn write_new(path: &Path, bytes: &[u8], executable: bool) -> Result<()> {
    let file = File::create_new(path);
    let written = file.and_then(|mut file| file.write_all(bytes).map(|()| file));
    let set = written.and_then(|file| set_mode(&file, if executable { 0o755 } else { 0o644 }));
    set.map_err(|e| Error::io("write", path, &e))
}

/// Copies into a file that is not there yet, with this mode whatever the umask is, and this time. Gives the bytes. What fails is
/// told as it came: whoever unpacks an archive names the path in there.
///
/// # Errors
/// When it is there, or cannot be written; and when `from` cannot be read.
pub fn copy_new(path: &Path, from: &mut dyn Read, mode: u32, modified: Option<SystemTime>) -> io::Result<u64> {
    let mut file = File::create_new(path)?;
    let written = io::copy(from, &mut file)?;
    set_mode(&file, mode)?;
    if let Some(modified) = modified {
        file.set_modified(modified)?;
    }
    Ok(written)
}

/// Bytes that this user may still write where a folder is; nothing where that cannot be known.
#[cfg(target_os = "linux")]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let told = nix::sys::statvfs::statvfs(folder).ok()?;
    told.blocks_available().checked_mul(told.fragment_size())
}

/// Bytes that this user may still write where a folder is; nothing where that cannot be known.
#[cfg(not(target_os = "linux"))]
pub fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

/// Lets everybody execute a file.
pub fn make_executable(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(|e| Error::io("read", path, &e))?;
    set_mode(&file, 0o755).map_err(|e| Error::io("write", path, &e))
}

/// Creates a folder and what is above it.
pub fn create_dir_all(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io("create the folder", path, &e))
}

/// A scratch folder that is removed when dropped, and on Ctrl-C.
pub fn scratch_dir() -> Result<Scratch> {
    let dir = tempfile::Builder::new()
        .prefix("lambda-pack-")
        .tempdir()
        .map_err(|e| Error::io("create a scratch folder in", &std::env::temp_dir(), &e))?;
    let remembered = interrupt::remember(dir.path());
    Ok(Scratch { dir, _remembered: remembered })
}

/// See [`scratch_dir`].
#[derive(Debug)]
pub struct Scratch {
    dir: tempfile::TempDir,
    _remembered: Remembered,
}

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// `base` joined with `relative`, with `.` and `..` taken away by name only (no links are followed).
pub fn normalize(base: &Path, relative: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in base.join(relative).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !out.pop() {
                    out.push("..");
                }
            }
            other => out.push(other),
        }
    }
    out
}

/// How `path` looks from `base`, with `..` where needed; `path` itself when they share nothing.
pub fn relative_to(path: &Path, base: &Path) -> PathBuf {
    let (mut a, mut b) = (path.components().peekable(), base.components().peekable());
    let mut shared = 0;
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        if x != y {
            break;
        }
        a.next();
        b.next();
        shared += 1;
    }
    if shared == 0 {
        return path.to_owned();
    }
    let mut out: PathBuf = b.map(|_| "..").collect();
    out.extend(a);
    if out.as_os_str().is_empty() { PathBuf::from(".") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_an_uncommitted_file() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("sub/x");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(dir.path().join("sub")).unwrap().count(), 0);
        write_atomic(&target, b"whole").unwrap();
        assert_eq!(read_bounded(&target, 5).unwrap(), b"whole");
        assert!(read_bounded(dir.path(), 4).unwrap_err().to_string().contains("not a file"));
        assert!(read_bounded(&target, 4).unwrap_err().to_string().contains("at most 4"));
    }

    #[test]
    fn relative_paths() {
        let rel = |p: &str, b: &str| relative_to(Path::new(p), Path::new(b)).display().to_string();
        assert_eq!(rel("/a/b/c", "/a/d"), "../b/c");
        assert_eq!(rel("/a", "/a"), ".");
        assert_eq!(normalize(Path::new("/a/b"), Path::new("../c/./d")), PathBuf::from("/a/c/d"));
    }
}
