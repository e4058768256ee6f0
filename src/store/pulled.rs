//! What was fetched of images in registries: manifests, configs and layers by their digest, and which digest a tag had when
//! it was last asked for. It shares the bucket of layers that were made here: a base's layer is one of them.
//!
//! ```text
//!   blobs-v1/<hex>          the bytes, by their digest
//!   blobs-v1/<key>.tag      a digest; the key is the SHA-256 of the name
//! ```

use std::fs::{self, File};
use std::io::{self, Seek as _, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use super::blobs::Blobs;
use super::digest::{Digest, Hasher, sha256};
use super::hash_file;
use crate::error::{Error, Result};
use crate::fsio::{self, AtomicFile};

/// A digest with the name of its algorithm is shorter.
const MAX_TAG: u64 = 256;

impl Blobs {
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

    /// A document's bytes, if it is there, undamaged, and has no more than `most`.
    pub fn document(&self, digest: &Digest, most: u64) -> Option<Vec<u8>> {
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

    /// Keeps a document that has been checked to have this digest.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_document(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        fsio::write_atomic(&self.path(digest), bytes)
    }

    /// Begins a blob that comes piece by piece.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn fetching(&self, digest: &Digest) -> Result<NewBlob> {
        let file = AtomicFile::create(&self.path(digest))?;
        Ok(NewBlob { file, hasher: digest.hasher(), digest: digest.clone(), bytes: 0 })
    }

    fn tag(&self, name: &str) -> PathBuf {
        self.path(&sha256(name.as_bytes())).with_extension("tag")
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
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// More of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take(&mut self, piece: &[u8]) -> Result<()> {
        let written: io::Result<()> = self.file.write_all(piece);
        written.map_err(|e| Error::io("write", self.file.path(), &e))?;
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_its_digest_is_kept_and_given() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path());
        let digest = sha256(b"bytes");
        assert!(blobs.open(&digest).is_none() && blobs.document(&digest, 9).is_none());
        let mut blob = blobs.fetching(&digest).unwrap();
        blob.take(b"byt").unwrap();
        assert_eq!((blob.bytes(), blob.finish().unwrap()), (3, Err(sha256(b"byt"))));
        assert!(!blobs.path(&digest).exists());
        let mut blob = blobs.fetching(&digest).unwrap();
        blob.take(b"bytes").unwrap();
        assert_eq!(blob.finish().unwrap(), Ok(()));
        assert_eq!(blobs.document(&digest, 9).unwrap(), b"bytes");
        assert!(blobs.document(&digest, 4).is_none() && blobs.open(&digest).is_some());
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
