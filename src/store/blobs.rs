//! Layers of images: what was made of a tree, or of a layer of a base, so that it is neither tarred nor compressed again.
//!
//! ```text
//!   blobs-v1/<hex>          a layer's blob, by the SHA-256 of its bytes
//!   blobs-v1/<key>.made     what was made of what the key stands for: the digest of the rest, then JSON
//! ```
//!
//! Bytes are hashed before they are believed. The bucket is bounded: what was not used for longest goes first.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::digest::{Digest, sha256};
use crate::error::Result;
use crate::fsio::{self, AtomicFile};

/// The bucket.
pub(super) const BLOBS: &str = "blobs-v1";
/// The bucket is trimmed to this.
const MOST: u64 = 12 << 30;
/// No listing is larger.
const MAX_TEXT: u64 = 512 << 20;

/// The bucket of layers.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: PathBuf,
}

/// A layer that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBlob {
    /// SHA-256 of the blob.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 of the tar in it.
    pub diff_id: Digest,
    /// Bytes of the tar.
    pub plain_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Note {
    digest: String,
    bytes: u64,
    diff_id: String,
    plain_bytes: u64,
}

impl Blobs {
    pub(super) fn new(root: &Path) -> Self {
        Self { folder: root.join(BLOBS) }
    }

    /// Where the blob of a digest is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// What was made of what the key stands for, as it was noted; whether the blob is there is another question.
    pub fn noted(&self, key: &str) -> Option<KeptBlob> {
        let made = self.noted_quietly(key)?;
        touch(&self.folder.join(format!("{key}.made")));
        Some(made)
    }

    fn noted_quietly(&self, key: &str) -> Option<KeptBlob> {
        let Note { digest, bytes, diff_id, plain_bytes } =
            serde_json::from_str(&self.text(&format!("{key}.made"))?).ok()?;
        Some(KeptBlob { digest: Digest::parse(&digest)?, bytes, diff_id: Digest::parse(&diff_id)?, plain_bytes })
    }

    /// Notes what was made.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&self, key: &str, made: &KeptBlob) -> Result<()> {
        let note = Note {
            digest: made.digest.to_string(),
            bytes: made.bytes,
            diff_id: made.diff_id.to_string(),
            plain_bytes: made.plain_bytes,
        };
        self.keep_text(&format!("{key}.made"), &serde_json::to_string(&note).unwrap_or_default())
    }

    /// What is known of a layer, in words of whoever keeps it.
    pub fn text(&self, key: &str) -> Option<String> {
        let path = self.folder.join(key);
        let text = String::from_utf8(fsio::read_bounded(&path, MAX_TEXT).ok()?).ok()?;
        let (digest, rest) = text.split_once('\n')?;
        (sha256(rest.as_bytes()).hex() == digest).then(|| rest.to_owned())
    }

    /// Keeps what is known of a layer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_text(&self, key: &str, text: &str) -> Result<()> {
        let digest = sha256(text.as_bytes()).hex();
        fsio::write_atomic(&self.folder.join(key), format!("{digest}\n{text}").as_bytes())
    }

    /// The blob's file, if it is there and its bytes have the digest.
    pub fn verified(&self, digest: &Digest, bytes: u64) -> Option<PathBuf> {
        let path = self.path(digest);
        let mut file = File::open(&path).ok().filter(|file| file.metadata().is_ok_and(|m| m.len() == bytes))?;
        let mut hasher = digest.hasher();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer).ok()? {
                0 => break,
                n => hasher.update(&buffer[..n]),
            }
        }
        if hasher.finish() == *digest {
            return Some(path);
        }
        let _ = fs::remove_file(path);
        None
    }

    /// A file for a blob whose digest is not known yet.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(&self) -> Result<AtomicFile> {
        AtomicFile::create(&self.folder.join("new"))
    }

    /// Gives a finished blob its name.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn keep(&self, file: AtomicFile, digest: &Digest) -> Result<PathBuf> {
        let path = self.path(digest);
        file.commit_as(&path)?;
        Ok(path)
    }

    /// Deletes what was not used for longest, if there is too much of it.
    pub fn trim(&self) {
        trim(&self.folder, MOST);
    }
}

/// Deletes blobs until no more than `most` bytes are left. Blobs are shared with layouts by hard links, so that their own times
/// may not be set: a blob was used when a note that names it was.
fn trim(folder: &Path, most: u64) {
    let mut blobs: BTreeMap<String, (SystemTime, u64)> = BTreeMap::new();
    let mut notes = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let (name, used) = (entry.file_name().to_string_lossy().into_owned(), metadata.modified());
        let Ok(used) = used else { continue };
        match name.strip_suffix(".made") {
            Some(key) => notes.push((key.to_owned(), used)),
            None => drop(blobs.insert(name, (used, metadata.len()))),
        }
    }
    let mut total: u64 = blobs.values().map(|(_, bytes)| bytes).sum();
    if total <= most {
        return;
    }
    let this = Blobs { folder: folder.to_owned() };
    for (key, used) in notes {
        if let Some(blob) = this.noted_quietly(&key).and_then(|made| blobs.get_mut(&made.digest.hex())) {
            blob.0 = blob.0.max(used);
        }
    }
    let mut oldest: Vec<(SystemTime, String, u64)> =
        blobs.into_iter().map(|(name, (used, n))| (used, name, n)).collect();
    oldest.sort();
    for (_, name, bytes) in oldest {
        if total <= most {
            return;
        }
        if fs::remove_file(folder.join(name)).is_ok() {
            total -= bytes;
        }
    }
}

/// So that what is used stays.
fn touch(path: &Path) {
    if let Ok(file) = File::open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_damaged_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path());
        let digest = sha256(b"blob");
        let made = KeptBlob { digest: digest.clone(), bytes: 4, diff_id: sha256(b"tar"), plain_bytes: 3 };
        let mut file = blobs.begin().unwrap();
        file.write_all(b"blob").unwrap();
        blobs.keep(file, &digest).unwrap();
        blobs.note("key", &made).unwrap();
        assert_eq!(blobs.noted("key"), Some(made));
        assert!(blobs.verified(&digest, 4).is_some() && blobs.verified(&digest, 5).is_none());
        fsio::write_atomic(&blobs.path(&digest), b"blub").unwrap();
        assert!(blobs.verified(&digest, 4).is_none() && !blobs.path(&digest).exists());
        let note = blobs.folder.join("key.made");
        let text = fs::read_to_string(&note).unwrap().replace("\"bytes\":4", "\"bytes\":5");
        fsio::write_atomic(&note, text.as_bytes()).unwrap();
        assert_eq!(blobs.noted("key"), None);
    }
}
