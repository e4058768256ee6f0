//! Manifests and blobs of images, by their digest, and which digest a tag had when it was last asked for.
//!
//! ```text
//!   blobs-v1/<alg>-<hex>     the bytes
//!   blobs-v1/tags/<key>      the digest; the key is the SHA-256 of the name
//! ```
//!
//! What is read is hashed before it is used; what is damaged is thrown away.

use std::fs::{self, File};
use std::io::{self, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::digest::{Digest, Hasher, sha256};
use super::hash_file;
use crate::error::{Error, Result};
use crate::fsio::{self, AtomicFile};

/// The bucket.
pub(super) const BLOBS: &str = "blobs-v1";
/// A digest with the name of its algorithm is shorter.
const MAX_TAG: u64 = 256;

/// The bucket of blobs.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    pub(super) fn new(root: &Path) -> Self {
        Self { folder: root.join(BLOBS) }
    }

    /// Where the blob of this digest is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}-{}", digest.algorithm().as_str(), digest.hex()))
    }

    /// A blob from its beginning, if it is there and undamaged.
    pub fn open(&self, digest: &Digest) -> Option<File> {
        let path = self.path(digest);
        let mut file = File::open(&path).ok()?;
        if hash_file(&mut file, digest.algorithm()).ok()? != *digest {
            let _ = fs::remove_file(&path);
            return None;
        }
        // So that what is used stays.
        let _ = file.set_modified(SystemTime::now());
        file.rewind().ok()?;
        Some(file)
    }

    /// A blob's bytes, if it is there, undamaged, and has no more than `most`.
    pub fn read(&self, digest: &Digest, most: u64) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let bytes = fsio::read_bounded(&path, most).ok()?;
        let mut hasher = digest.hasher();
        hasher.update(&bytes);
        if hasher.finish() == *digest {
            return Some(bytes);
        }
        let _ = fs::remove_file(&path);
        None
    }

    /// Keeps bytes that have been checked to have this digest.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        fsio::write_atomic(&self.path(digest), bytes)
    }

    /// Begins a blob that comes piece by piece.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self, digest: &Digest) -> Result<NewBlob> {
        Ok(NewBlob {
            file: AtomicFile::create(&self.path(digest))?,
            hasher: digest.hasher(),
            digest: digest.clone(),
            bytes: 0,
        })
    }

    fn tag(&self, name: &str) -> PathBuf {
        self.folder.join("tags").join(sha256(name.as_bytes()).hex())
    }

    /// The digest that this name had when it was last asked for.
    pub fn last_known(&self, name: &str) -> Option<Digest> {
        let bytes = fsio::read_bounded(&self.tag(name), MAX_TAG).ok()?;
        Digest::parse(std::str::from_utf8(&bytes).ok()?.trim())
    }

    /// Keeps the digest of a name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn know(&self, name: &str, digest: &Digest) -> Result<()> {
        fsio::write_atomic(&self.tag(name), digest.to_string().as_bytes())
    }
}

/// A blob that is being fetched. Dropped before [`NewBlob::finish`], nothing is left of it.
pub struct NewBlob {
    file: AtomicFile,
    hasher: Hasher,
    digest: Digest,
    bytes: u64,
}

impl NewBlob {
    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing has come yet.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Gives it its name, if it has its digest; what it has instead otherwise.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> Result<Result<(), Digest>> {
        let actual = self.hasher.finish();
        if actual != self.digest {
            return Ok(Err(actual));
        }
        self.file.commit().map(Ok)
    }
}

impl Write for NewBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewBlob {
    /// More of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let path = self.file.path().to_owned();
        self.write_all(bytes).map_err(|e| Error::io("write", &path, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_its_digest_is_kept_and_given() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path());
        let digest = sha256(b"bytes");
        assert!(blobs.open(&digest).is_none() && blobs.read(&digest, 9).is_none());
        let mut blob = blobs.begin(&digest).unwrap();
        blob.take(b"byt").unwrap();
        assert_eq!((blob.len(), blob.finish().unwrap()), (3, Err(sha256(b"byt"))));
        assert!(!blobs.path(&digest).exists());
        let mut blob = blobs.begin(&digest).unwrap();
        blob.take(b"bytes").unwrap();
        assert_eq!(blob.finish().unwrap(), Ok(()));
        assert_eq!(blobs.read(&digest, 9).unwrap(), b"bytes");
        assert!(blobs.read(&digest, 4).is_none() && blobs.open(&digest).is_some());
        fsio::write_atomic(&blobs.path(&digest), b"bytez").unwrap();
        assert!(blobs.open(&digest).is_none() && !blobs.path(&digest).exists());
    }

    #[test]
    fn a_tag_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path());
        assert_eq!(blobs.last_known("r.io/a:1"), None);
        blobs.know("r.io/a:1", &sha256(b"x")).unwrap();
        assert_eq!(blobs.last_known("r.io/a:1"), Some(sha256(b"x")));
    }
}
