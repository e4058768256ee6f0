//! The content store: archives by their digest, kept between runs and shared by all projects of a user.
//!
//! ```text
//! <root>/                      LAMBDA_PACK_CACHE_DIR, else the user's cache folder + cargo-lambda-pack
//!   archives-v1/
//!     zip/<alg>-<hex>.zip      a wheel as it was fetched
//!     tarball/<encoder>/<alg>-<hex>.zip  an npm tarball, written anew as a zip of ours
//!     built/<encoder>/<alg>-<hex>.zip    a wheel that was built here, written anew
//!     …/<alg>-<hex>.sha256     the digest of the file beside it; without it the file is not trusted. A second line says
//!                              when there are no native files in it
//!     …/<alg>-<hex>.natives-2  what the native files in it say of themselves (see `natives`)
//!     …/<alg>-<hex>.contents-1 digests of its members (see `contents`)
//!   answers-v1/
//!     <key>                    what a resolver has answered today: the digest of the rest, when it was, the answer
//!   entries-v1/                what was deflated once (see `entries`)
//!   blobs-v1/                  layers of images (see `blobs`), and what was fetched of them (see `pulled`)
//!   roots-v1/                  images that are unpacked to be run (see `roots`)
//!
//! ```
//!
//! A bucket carries its version in its name. Files are written under a temporary name and renamed; two processes that
//! fetch the same archive both succeed. An entry whose bytes do not have their digest is thrown away and fetched again.

mod archive;
mod blobs;
mod contents;
mod digest;
mod entries;
mod fetch;
mod ingest;
mod mirror;
mod natives;
mod pulled;
mod resolver;
mod roots;
mod trees;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

pub use archive::{Archive, Member};
pub use blobs::{Blobs, KeptBlob};
pub use digest::{Algorithm, Digest, Hasher, encode_hex, sha256};
pub use entries::{Entries, WORTH};
pub(crate) use fetch::percent_decode;
pub use fetch::{Fetcher, Remote, file_url};
pub use mirror::{Mirror, Place};
pub use natives::{Native, Natives};
pub use pulled::NewBlob;
pub use roots::{Root, Roots};
pub use trees::Trees;

use crate::error::{Error, Result};
use crate::fsio::{self, AtomicFile};
use crate::pack::deflate::ENCODER;
pub use crate::pack::zip::Method;

const ARCHIVES: &str = "archives-v1";
const ANSWERS: &str = "answers-v1";
/// Those of this version.
const CURRENT: &[&str] = &[ARCHIVES, ANSWERS, entries::ENTRIES, trees::TREES, blobs::BLOBS, roots::ROOTS];
/// What the names of buckets of all versions start with.
const BUCKETS: &[&str] = &["archives-v", "answers-v", "entries-v", "trees-v", "blobs-v", "roots-v"];
/// For how long an answer is taken again. A zip that was made of it stands as long once more: together a day.
pub const ANSWER_AGE: Duration = Duration::from_secs(12 * 60 * 60);

/// What an archive is, which decides what becomes of it in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A zip from a registry, kept as it is.
    Zip,
    /// A gzipped tarball, written anew as a zip without its first path component.
    Tarball,
    /// A zip that was built here, written anew so that its bytes do not depend on the tool.
    Built,
    /// A zip of Yarn's cache, written anew without the folders that the package lies in (`node_modules/NAME`).
    Yarn,
}

impl Form {
    const fn folder(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Tarball => "tarball",
            Self::Built => "built",
            Self::Yarn => "yarn",
        }
    }

    /// Whether the store holds it as this program wrote it.
    const fn is_final(self) -> bool {
        !matches!(self, Self::Zip)
    }
}

/// The content store in one folder.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    open: Mutex<HashMap<PathBuf, Arc<Archive>>>,
    mirror: Option<Mirror>,
}

impl Store {
    /// A store in this folder, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), open: Mutex::new(HashMap::new()), mirror: None }
    }

    /// The same with a store that others share.
    #[must_use]
    pub fn with_mirror(self, mirror: Mirror) -> Self {
        Self { mirror: Some(mirror), ..self }
    }

    /// The store that others share.
    pub fn mirror(&self) -> Option<&Mirror> {
        self.mirror.as_ref()
    }

    /// Where the user's store is: `LAMBDA_PACK_CACHE_DIR`, else `cargo-lambda-pack` in the system's cache folder.
    pub fn default_root() -> Result<PathBuf> {
        use etcetera::BaseStrategy as _;
        if let Some(dir) = std::env::var_os("LAMBDA_PACK_CACHE_DIR").filter(|d| !d.is_empty()) {
            return std::path::absolute(&dir).map_err(|e| Error::io("find", Path::new(&dir), &e));
        }
        let base = etcetera::choose_base_strategy().map_err(|e| {
            Error::failed("Failed to find the cache folder").because(e).hint("set LAMBDA_PACK_CACHE_DIR")
        })?;
        Ok(base.cache_dir().join("cargo-lambda-pack"))
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What was deflated once.
    pub fn entries(&self) -> Entries {
        Entries::new(&self.root)
    }

    /// The bucket of unpacked files.
    pub fn trees(&self) -> Trees {
        Trees::new(&self.root)
    }

    /// Layers of images, and what was fetched of them.
    pub fn blobs(&self) -> Blobs {
        Blobs::new(&self.root)
    }

    /// Images that are unpacked to be run.
    pub fn roots(&self) -> Roots {
        Roots::new(&self.root)
    }

    fn slot(&self, form: Form, digest: &Digest) -> PathBuf {
        let name = format!("{}-{}.zip", digest.algorithm().as_str(), digest.hex());
        let folder = self.root.join(ARCHIVES).join(form.folder());
        if form.is_final() { folder.join(ENCODER).join(name) } else { folder.join(name) }
    }

    /// The archive whose original bytes have this digest, if it is there and undamaged.
    pub fn archive(&self, form: Form, digest: &Digest) -> Result<Option<Arc<Archive>>> {
        let path = self.slot(form, digest);
        if let Some(archive) = self.opened().get(&path) {
            return Ok(Some(Arc::clone(archive)));
        }
        let Ok(beside) = fs::read_to_string(path.with_extension("sha256")) else { return Ok(None) };
        let (expected, natives) = beside.split_once('\n').unwrap_or((&beside, ""));
        let Ok(mut file) = File::open(&path) else { return Ok(None) };
        let actual = hash_file(&mut file, Algorithm::Sha256).map_err(|e| Error::io("read", &path, &e))?;
        if actual.hex() != expected.trim()
            || (form == Form::Zip && digest.algorithm() == Algorithm::Sha256 && actual != *digest)
        {
            self.forget(&path);
            return Ok(None);
        }
        match Archive::open(&path, form.is_final()) {
            Ok(archive) if natives.trim() == natives::NONE => {
                Ok(Some(self.keep_open(path, archive.with_natives(Natives::default()))))
            }
            Ok(archive) => Ok(Some(self.keep_open(path, archive))),
            Err(_) => {
                self.forget(&path);
                Ok(None)
            }
        }
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Arc<Archive>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_open(&self, path: PathBuf, archive: Archive) -> Arc<Archive> {
        let archive = Arc::new(archive);
        self.opened().insert(path, Arc::clone(&archive));
        archive
    }

    fn forget(&self, path: &Path) {
        let _ = fs::remove_file(path.with_extension("sha256"));
        let _ = fs::remove_file(natives::beside(path));
        let _ = fs::remove_file(path);
    }

    /// Takes a file in whose bytes have been checked to have `digest`. Every member is inflated once and its CRC compared.
    fn adopt(&self, form: Form, digest: &Digest, mut downloaded: AtomicFile, label: &str) -> Result<Arc<Archive>> {
        let slot = self.slot(form, digest);
        let finished = match form {
            Form::Zip => downloaded,
            Form::Tarball => {
                let mut out = AtomicFile::create(&slot)?;
                let mut source = downloaded.file().try_clone().map_err(|e| Error::io("read", downloaded.path(), &e))?;
                ingest::tarball_to_zip(&mut source, label, &mut out)?;
                out
            }
            Form::Built | Form::Yarn => {
                let mut out = AtomicFile::create(&slot)?;
                std::io::Write::flush(&mut downloaded).map_err(|e| Error::io("write", downloaded.path(), &e))?;
                let archive = Archive::open(downloaded.path(), false)?;
                ingest::zip_to_zip(&archive, label, form == Form::Yarn, &mut out)?;
                out
            }
        };
        // Checked before it gets its name: what has a name in the store has been proven.
        let archive = Archive::open(finished.path(), false).and_then(|archive| archive.verify());
        let natives = archive.map_err(|e| e.context(label))?;
        let mut file = finished.file().try_clone().map_err(|e| Error::io("read", finished.path(), &e))?;
        let actual = hash_file(&mut file, Algorithm::Sha256).map_err(|e| Error::io("read", finished.path(), &e))?;
        finished.commit()?;
        let none = if natives.is_empty() { natives::NONE } else { "" };
        fsio::write_atomic(&slot.with_extension("sha256"), format!("{}\n{none}", actual.hex()).as_bytes())?;
        if !natives.is_empty() {
            natives.write(&slot)?;
        }
        let archive = Archive::open(&slot, form.is_final())?.with_natives(natives);
        Ok(self.keep_open(slot, archive))
    }

    /// Takes a wheel in that was built here (or lies in a folder of the project), written anew. With `expected`, its bytes
    /// must have that digest.
    pub fn adopt_built(&self, wheel: &Path, label: &str, expected: Option<&Digest>) -> Result<Arc<Archive>> {
        if !ingest::looks_like_zip(wheel) {
            return Err(Error::failed(format!("`{}` is no zip file", wheel.display())));
        }
        let read = |e: std::io::Error| Error::io("read", wheel, &e);
        let mut file = File::open(wheel).map_err(read)?;
        if let Some(expected) = expected {
            let actual = hash_file(&mut file, expected.algorithm()).map_err(read)?;
            if actual != *expected {
                let shown = wheel.display();
                return Err(Error::failed(format!(
                    "{label} does not have the digest that its lock names: expected {expected}, got {actual} (`{shown}`)"
                ))
                .hint("lock again if the wheel was built anew; do not pack it before you know why it differs"));
            }
        }
        let digest = hash_file(&mut file, Algorithm::Sha256).map_err(read)?;
        if let Some(archive) = self.archive(Form::Built, &digest)? {
            return Ok(archive);
        }
        let mut copy = AtomicFile::create(&self.slot(Form::Built, &digest))?;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| std::io::copy(&mut file, &mut copy))
            .map_err(|e| Error::io("copy", wheel, &e))?;
        // Of the copy: the file may have been replaced since it was looked at.
        let mut copied = copy.file().try_clone().map_err(|e| Error::io("read", copy.path(), &e))?;
        if hash_file(&mut copied, Algorithm::Sha256).map_err(|e| Error::io("read", copy.path(), &e))? != digest {
            return Err(Error::failed(format!("`{}` was changed while it was read", wheel.display())));
        }
        self.adopt(Form::Built, &digest, copy, label)
    }

    /// Takes a zip in that was made here, written anew, and says by which digest it is known.
    pub fn adopt_made(&self, zip: &Path, label: &str) -> Result<(Arc<Archive>, Digest)> {
        let digest = digest_of_file(zip, Algorithm::Sha256)?;
        Ok((self.adopt_built(zip, label, Some(&digest))?, digest))
    }

    /// Takes in a copy that lies in the cache of a package manager; nothing when there is none, or it has another digest.
    pub fn adopt_copy(&self, form: Form, digest: &Digest, copy: &Path, label: &str) -> Option<Arc<Archive>> {
        let mut from = File::open(copy).ok()?;
        let mut file = AtomicFile::create(&self.slot(form, digest)).ok()?;
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match from.read(&mut buffer).ok()? {
                0 => break,
                n => {
                    hasher.update(&buffer[..n]);
                    std::io::Write::write_all(&mut file, &buffer[..n]).ok()?;
                }
            }
        }
        if hasher.finish() != *digest {
            return None;
        }
        self.adopt(form, digest, file, label).ok()
    }

    /// What a resolver has answered to the question with this key today.
    pub fn answer(&self, key: &str) -> Option<String> {
        let text = fsio::read_text(&self.root.join(ANSWERS).join(key)).ok()?;
        let (digest, rest) = text.split_once('\n')?;
        let (time, answer) = rest.split_once('\n').filter(|_| sha256(rest.as_bytes()).hex() == digest)?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time.parse().ok()?);
        // An answer of tomorrow was given by another clock.
        SystemTime::now().duration_since(time).is_ok_and(|age| age < ANSWER_AGE).then(|| answer.to_owned())
    }

    /// Keeps an answer.
    pub fn keep_answer(&self, key: &str, answer: &str) -> Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let rest = format!("{now}\n{answer}");
        let text = format!("{}\n{rest}", sha256(rest.as_bytes()).hex());
        fsio::write_atomic(&self.root.join(ANSWERS).join(key), text.as_bytes())
    }

    /// Bytes and files in the store.
    pub fn size(&self) -> (u64, u64) {
        walkdir::WalkDir::new(&self.root)
            .into_iter()
            .filter_map(|entry| entry.ok()?.metadata().ok())
            .filter(fs::Metadata::is_file)
            .fold((0, 0), |(bytes, files), m| (bytes + m.len(), files + 1))
    }

    /// Deletes what has not been read or written for `age`, and everything that other versions of this program left.
    /// Returns bytes and files freed.
    pub fn prune(&self, age: std::time::Duration) -> (u64, u64) {
        let (trees, roots) = (self.trees().prune(age), self.roots().prune(age));
        let mut freed = (trees.0 + roots.0, trees.1 + roots.1);
        let now = std::time::SystemTime::now();
        // The folder may be one that others use, too: only buckets are ours.
        let is_bucket = |entry: &walkdir::DirEntry| {
            entry.depth() != 1
                || (entry.file_type().is_dir() && {
                    let name = entry.file_name().to_string_lossy();
                    BUCKETS.iter().any(|bucket| name.starts_with(bucket))
                })
        };
        let entries = walkdir::WalkDir::new(&self.root).into_iter().filter_entry(is_bucket);
        for entry in entries.filter_map(Result::ok) {
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_file() {
                continue;
            }
            let below = entry.path().strip_prefix(&self.root);
            if below.as_ref().is_ok_and(|below| below.starts_with(trees::TREES) || below.starts_with(roots::ROOTS)) {
                // They go as a whole.
                continue;
            }
            let ours = below.is_ok_and(|below| CURRENT.iter().any(|bucket| below.starts_with(bucket)));
            let used = metadata.accessed().into_iter().chain(metadata.modified()).max();
            let old = used.is_some_and(|used| now.duration_since(used).is_ok_and(|idle| idle >= age));
            if (!ours || old) && fs::remove_file(entry.path()).is_ok() {
                freed = (freed.0 + metadata.len(), freed.1 + 1);
            }
        }
        freed
    }
}

/// The digest of a file on disk.
pub fn digest_of_file(path: &Path, algorithm: Algorithm) -> Result<Digest> {
    let read = |e: std::io::Error| Error::io("read", path, &e);
    hash_file(&mut File::open(path).map_err(read)?, algorithm).map_err(read)
}

fn hash_file(file: &mut File, algorithm: Algorithm) -> std::io::Result<Digest> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests;
