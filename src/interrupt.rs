//! What is to be ended and deleted when the process is told to stop.
//!
//! Half-written files have a name that no later run trusts ([`crate::fsio::PARTIAL_SUFFIX`]); this only keeps them from
//! piling up. Guards forget their path when they are done.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static IS_ENDING: AtomicBool = AtomicBool::new(false);
static GROUPS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
/// Held to read by whoever does what may not be half done, and to write by the clean-up.
static WHOLE: RwLock<()> = RwLock::new(());

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

/// Adds a process group, by the id of the process that leads it; it is forgotten when the guard is dropped.
pub fn remember_group(leader: u32) -> RememberedGroup {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).insert(leader);
    RememberedGroup(leader)
}

/// A process group that is to be killed on an interrupt, for as long as this lives.
#[derive(Debug)]
pub struct RememberedGroup(u32);

impl RememberedGroup {
    /// Kills it.
    pub fn kill(&self) {
        kill_group(self.0);
    }
}

impl Drop for RememberedGroup {
    fn drop(&mut self) {
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

#[cfg(unix)]
fn kill_group(leader: u32) {
    use nix::sys::signal::{Signal, killpg};
    if let Some(leader) = i32::try_from(leader).ok().filter(|leader| *leader > 1) {
        let _ = killpg(nix::unistd::Pid::from_raw(leader), Signal::SIGKILL);
    }
}

#[cfg(not(unix))]
fn kill_group(_leader: u32) {}

/// Whether the process was told to stop: what ends now has not ended by itself.
pub fn is_ending() -> bool {
    IS_ENDING.load(Ordering::Acquire)
}

/// Does not return when the process was told to stop: what is written then would lie where things are being deleted, and what
/// fails then has not failed by itself.
pub fn stay_if_ending() {
    while is_ending() {
        std::thread::park();
    }
}

/// What is done while this lives is done before the clean-up begins, or not at all: once that has begun, this does not return.
/// For a few calls; Ctrl-C has no effect meanwhile.
pub fn hold() -> Held {
    let guard = WHOLE.read().unwrap_or_else(PoisonError::into_inner);
    if is_ending() {
        drop(guard);
        stay_if_ending();
        return hold();
    }
    Held { _guard: guard }
}

/// See [`hold`].
#[derive(Debug)]
pub struct Held {
    _guard: RwLockReadGuard<'static, ()>,
}

/// Kills and deletes everything remembered. For the signal handler, after which the process ends.
pub fn clean_up() {
    IS_ENDING.store(true, Ordering::Release);
    for leader in std::mem::take(&mut *GROUPS.lock().unwrap_or_else(PoisonError::into_inner)) {
        kill_group(leader);
    }
    let _alone = WHOLE.write().unwrap_or_else(PoisonError::into_inner);
    let paths = std::mem::take(&mut *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner));
    for path in paths {
        remove(&path);
    }
}

/// Deletes a file or a folder. Threads that write into it may go on while this is called, if only to the end of the call that
/// they are in ([`stay_if_ending`]): it is tried until nothing comes back, for a tenth of a second at most.
fn remove(path: &Path) {
    for _ in 0..20 {
        if path.is_dir() {
            let _ = std::fs::remove_dir_all(path);
        } else {
            let _ = std::fs::remove_file(path);
        }
        if !path.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
