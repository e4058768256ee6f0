//! What was deflated once: the packed bytes of a file by the digest of its contents, so that it is not deflated again.
//!
//! ```text
//!   entries-v1/<encoder>/<first two digits>/<key>   head (method, CRC, sizes, SHA-256 of all), packed bytes
//! ```
//!
//! A file that does not shrink has a head alone: knowing that is worth as much. What is read is hashed before it is used.
//! The bucket is bounded: what was not used for longest goes first.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::fsio::AtomicFile;
use crate::pack::deflate::ENCODER;
use crate::pack::zip::Method;

/// The bucket.
pub(super) const ENTRIES: &str = "entries-v1";
/// Files with fewer bytes are deflated faster than they are looked up.
pub const WORTH: u64 = 32 << 10;
/// The bucket is trimmed to this when it has grown.
const MOST: u64 = 2 << 30;
const MAGIC: &[u8; 4] = b"LPE1";
/// Magic, method, CRC, size, packed size, SHA-256 of these and of the packed bytes.
const HEAD: usize = 4 + 1 + 4 + 8 + 8 + 32;

/// The bucket of packed files.
#[derive(Debug)]
pub struct Entries {
    folder: PathBuf,
    grown: AtomicBool,
}

/// A packed file of the store.
#[derive(Debug)]
pub struct Entry {
    /// How its bytes are held in a zip.
    pub method: Method,
    /// CRC-32 of the unpacked bytes.
    pub crc32: u32,
    /// Bytes unpacked.
    pub size: u64,
    /// Packed bytes; none for what does not shrink.
    pub packed: u64,
    /// Where they are: the file stands at their beginning.
    pub file: File,
}

impl Entries {
    pub(super) fn new(root: &Path) -> Self {
        Self { folder: root.join(ENTRIES).join(ENCODER), grown: AtomicBool::new(false) }
    }

    fn slot(&self, key: &str) -> PathBuf {
        self.folder.join(key.get(..2).unwrap_or("xx")).join(key)
    }

    /// The entry of this key, if it is there and undamaged.
    pub fn get(&self, key: &str) -> Option<Entry> {
        let path = self.slot(key);
        let file = File::open(&path).ok()?;
        let entry = read(file);
        match &entry {
            // So that what is used stays.
            Some(entry) => drop(entry.file.set_modified(SystemTime::now())),
            None => drop(fs::remove_file(path)),
        }
        entry
    }

    /// Keeps what was packed; `data` has `packed` bytes, or none for what is stored.
    ///
    /// # Errors
    /// When it cannot be written; nothing is left then.
    pub fn put(&self, key: &str, head: (Method, u32, u64), packed: u64, data: &mut dyn Read) -> Result<()> {
        let path = self.slot(key);
        let mut file = AtomicFile::create(&path)?;
        write(&mut file, head, packed, data).map_err(|e| Error::io("write", &path, &e))?;
        self.grown.store(true, Ordering::Relaxed);
        file.commit()
    }

    /// Trims the bucket, if it has grown in this run.
    pub fn trim(&self) {
        if self.grown.swap(false, Ordering::Relaxed) {
            trim(&self.folder, MOST);
        }
    }
}

fn write(file: &mut AtomicFile, head: (Method, u32, u64), packed: u64, data: &mut dyn Read) -> io::Result<()> {
    let (method, crc32, size) = head;
    let mut bytes = MAGIC.to_vec();
    bytes.push(u8::from(method == Method::Deflated));
    bytes.extend(crc32.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(packed.to_le_bytes());
    let mut hasher = Sha256::new();
    hasher.update(&bytes);
    file.write_all(&[0; HEAD])?;
    let mut left = packed;
    let mut buffer = vec![0; 256 << 10];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = data.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(&buffer[..read]);
        file.write_all(&buffer[..read])?;
        left -= read as u64;
    }
    bytes.extend(hasher.finalize());
    let mut raw = file.file();
    raw.rewind()?;
    raw.write_all(&bytes)
}

/// An entry, if its bytes are those that were written.
fn read(mut file: File) -> Option<Entry> {
    let mut head = [0; HEAD];
    file.read_exact(&mut head).ok()?;
    let (magic, rest) = head.split_at(4);
    let word = |at: usize| Some(u64::from_le_bytes(rest.get(at..at + 8)?.try_into().ok()?));
    let crc32 = u32::from_le_bytes(rest.get(1..5)?.try_into().ok()?);
    let (size, packed, sha256) = (word(5)?, word(13)?, rest.get(21..)?);
    if magic != MAGIC || file.metadata().ok()?.len() != HEAD as u64 + packed {
        return None;
    }
    let mut hasher = Sha256::new();
    hasher.update(&head[..HEAD - 32]);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    if hasher.finalize().as_slice() != sha256 {
        return None;
    }
    file.seek(SeekFrom::Start(HEAD as u64)).ok()?;
    let method = if rest[0] == 1 { Method::Deflated } else { Method::Stored };
    Some(Entry { method, crc32, size, packed, file })
}

/// Deletes what was not used for longest, until no more than `most` bytes are left.
pub(super) fn trim(folder: &Path, most: u64) {
    let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    let mut files: Vec<(SystemTime, u64, PathBuf)> = files
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, metadata.len(), entry.into_path()))
        })
        .collect();
    let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    files.sort();
    for (_, bytes, path) in files {
        if total <= most {
            return;
        }
        if fs::remove_file(path).is_ok() {
            total -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_found_and_what_is_damaged_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let entries = Entries::new(dir.path());
        assert!(entries.get("ab12").is_none());
        entries.put("ab12", (Method::Deflated, 7, 100), 5, &mut &b"bytes"[..]).unwrap();
        entries.put("cd34", (Method::Stored, 8, 9), 0, &mut io::empty()).unwrap();
        let mut found = entries.get("ab12").unwrap();
        let mut bytes = Vec::new();
        found.file.read_to_end(&mut bytes).unwrap();
        assert_eq!((found.crc32, found.size, found.packed, bytes.as_slice()), (7, 100, 5, b"bytes".as_slice()));
        assert_eq!(entries.get("cd34").unwrap().method, Method::Stored);
        assert!(entries.put("ef56", (Method::Deflated, 7, 100), 6, &mut &b"bytes"[..]).is_err());
        assert!(entries.get("ef56").is_none());
        let path = entries.slot("ab12");
        let whole = fs::read(&path).unwrap();
        for damage in [0, 4, 20, HEAD - 1, HEAD + 2] {
            let mut bytes = whole.clone();
            bytes[damage] ^= 0x40;
            File::create(&path).unwrap().write_all(&bytes).unwrap();
            assert!(entries.get("ab12").is_none(), "byte {damage}");
        }
    }

    #[test]
    fn the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let entries = Entries::new(dir.path());
        for (key, age) in [("aa", 30), ("bb", 10), ("cc", 20)] {
            entries.put(key, (Method::Deflated, 0, 10), 3, &mut &b"abc"[..]).unwrap();
            let file = File::options().write(true).open(entries.slot(key)).unwrap();
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        }
        trim(&entries.folder, 2 * (HEAD as u64 + 3));
        assert_eq!(["aa", "bb", "cc"].map(|key| entries.slot(key).exists()), [false, true, true]);
    }
}
