//! What is to be deleted when the process is told to stop.
//!
//! Half-written files have a name that no later run trusts ([`crate::fsio::PARTIAL_SUFFIX`]); this only keeps them from
//! piling up. Guards forget their path when they are done.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Adds a temporary file or folder; it is forgotten when the guard is dropped.
pub fn remember(path: &Path) -> Remembered {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
    Remembered(path.to_owned())
}

/// A path that is to be deleted on an interrupt, for as long as this lives.
#[derive(Debug)]
pub struct Remembered(PathBuf);

impl Drop for Remembered {
    fn drop(&mut self) {
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Deletes everything remembered. For the signal handler.
pub fn clean_up() {
    let paths = std::mem::take(&mut *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner));
    for path in paths {
        if path.is_dir() {
            let _ = std::fs::remove_dir_all(&path);
        } else {
            let _ = std::fs::remove_file(&path);
        }
    }
}
