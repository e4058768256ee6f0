//! Digests of files, each read once for as long as its stat stays the same.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::store::encode_hex;

/// Times of some file systems have a granularity of two seconds (FAT); a file that changed within so long before it was
/// looked at may change again without a new time.
const GRANULARITY: Duration = Duration::from_secs(2);

/// What a file system says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    size: u64,
    /// Nanoseconds since 1970 of the last change of contents.
    modified: i128,
    /// Nanoseconds since 1970 of the last change of anything; no program sets it back.
    changed: i128,
    inode: u64,
    device: u64,
}

impl Stat {
    /// Of what stands at a path, links followed; nothing when that is no file or cannot be told.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self::of_metadata(&metadata))
    }

    /// Whether nothing was written to the file between the two, as far as times that programs may set tell.
    pub fn same_contents(&self, other: &Self) -> bool {
        Self { changed: 0, ..*self } == Self { changed: 0, ..*other }
    }

    #[cfg(unix)]
    fn of_metadata(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self {
            size: metadata.size(),
            modified: nanos(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanos(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }

    #[cfg(not(unix))]
    fn of_metadata(metadata: &fs::Metadata) -> Self {
        let nanos = |time: std::io::Result<SystemTime>| time.map_or(0, since_1970);
        Self {
            size: metadata.len(),
            modified: nanos(metadata.modified()),
            changed: nanos(metadata.created()),
            inode: 0,
            device: 0,
        }
    }

    /// Whether it may change again without a new time, as seen at `now` by the same clock.
    fn is_recent(&self, now: i128) -> bool {
        let margin = i128::try_from(GRANULARITY.as_nanos()).unwrap_or_default();
        self.modified.max(self.changed) > now - margin
    }
}

fn since_1970(time: SystemTime) -> i128 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i128::try_from(after.as_nanos()).unwrap_or(i128::MAX),
        Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
    }
}

/// Digests of files, those of an earlier run among them.
#[derive(Debug, Default)]
pub struct Files {
    known: HashMap<PathBuf, (Stat, String)>,
    seen: Mutex<HashMap<PathBuf, Option<(Stat, String)>>>,
    now: i128,
}

impl Files {
    /// Digests that are `known` from an earlier run. Call it before anything is read.
    pub fn new(known: HashMap<PathBuf, (Stat, String)>) -> Self {
        Self { known, seen: Mutex::default(), now: since_1970(SystemTime::now()) }
    }

    /// The SHA-256 of a file in hexadecimal; nothing when it cannot be read.
    pub fn digest(&self, path: &Path) -> Option<String> {
        if let Some(seen) = self.seen().get(path) {
            return seen.as_ref().map(|(_, digest)| digest.clone());
        }
        let found = self.look(path);
        self.seen().entry(path.to_owned()).or_insert(found).as_ref().map(|(_, digest)| digest.clone())
    }

    /// Looks at several files at once.
    pub fn read_all(&self, paths: &[&Path]) {
        let missing: Vec<&&Path> = {
            let seen = self.seen();
            paths.iter().filter(|path| !seen.contains_key(**path)).collect()
        };
        let found: Vec<_> = missing.par_iter().map(|path| (path.to_path_buf(), self.look(path))).collect();
        self.seen().extend(found);
    }

    fn look(&self, path: &Path) -> Option<(Stat, String)> {
        // Before it is read: what changes meanwhile has another stat the next time.
        let stat = Stat::of(path)?;
        if let Some((known, digest)) = self.known.get(path)
            && *known == stat
        {
            return Some((stat, digest.clone()));
        }
        Some((stat, hash(path)?))
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Option<(Stat, String)>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a file is as it was before this run began, so that whoever read it in between has read the same.
    pub fn is_untouched(&self, path: &Path) -> bool {
        // The clock of a file system ticks some milliseconds late.
        const TICK: i128 = 20_000_000;
        Stat::of(path).is_none_or(|stat| stat.modified.max(stat.changed) < self.now - TICK)
    }

    /// What a later run may take for known: of all files that were looked at, those that have been at rest.
    pub fn settled(&self) -> BTreeMap<PathBuf, (Stat, String)> {
        let seen = self.seen();
        let settled = seen.iter().filter_map(|(path, found)| Some((path, found.as_ref()?)));
        settled
            .filter(|(_, (stat, _))| !stat.is_recent(self.now))
            .map(|(path, found)| (path.clone(), found.clone()))
            .collect()
    }
}

fn hash(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(encode_hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}
