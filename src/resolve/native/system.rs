//! A system whose files are taken: the one that this program runs on, or a folder that is the root of another. Links lead
//! where they would there, and never out of it.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use super::folders;
use crate::lambda::Architecture;

/// Links after links are followed so often, as Linux does.
const MAX_LINKS: usize = 40;

/// See the module.
pub(super) struct System {
    root: PathBuf,
    folders: Vec<String>,
    /// Every file that was looked for, there or not.
    looked: BTreeSet<PathBuf>,
    /// Whether reading these paths as this machine does tells all: links that lead elsewhere below a sysroot do not.
    is_told: bool,
}

/// A file of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// As the system itself calls it, links followed.
    pub(super) path: String,
    /// Where this machine has it.
    pub(super) host: PathBuf,
}

impl System {
    pub(super) fn new(sysroot: Option<&Path>, architecture: Architecture) -> Self {
        let root = sysroot.unwrap_or(Path::new("/")).to_owned();
        let mut system = Self { root, folders: Vec::new(), looked: BTreeSet::new(), is_told: true };
        system.folders = folders::of(&system, architecture);
        system
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the loader looks, in its order.
    pub(super) fn folders(&self) -> &[String] {
        &self.folders
    }

    /// Where this machine has a path of the system's, if anything is there.
    pub(super) fn host(&self, path: &str) -> Option<PathBuf> {
        self.follow(path).map(|(place, _)| place.host).filter(|host| host.exists())
    }

    /// The file of a path. That it was looked for is noted.
    pub(super) fn file(&mut self, path: &str) -> Option<Place> {
        self.looked.insert(self.root.join(path.trim_start_matches('/')));
        let (place, is_plain) = self.follow(path)?;
        self.is_told &= is_plain;
        if !place.host.is_file() {
            return None;
        }
        self.looked.insert(place.host.clone());
        Some(place)
    }

    /// All that was looked for; nothing when that does not tell everything.
    pub(super) fn looked(&self) -> Option<Vec<PathBuf>> {
        self.is_told.then(|| self.looked.iter().cloned().collect())
    }

    /// The path without links, and whether this machine would follow them to the same place.
    fn follow(&self, path: &str) -> Option<(Place, bool)> {
        let is_root = self.root == Path::new("/");
        let mut left: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let (mut links, mut is_plain) = (0, true);
        while let Some(part) = left.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    is_plain &= at.pop().is_some() || is_root;
                    continue;
                }
                _ => at.push(part),
            }
            let Ok(target) = fs::read_link(self.root.join(at.join("/"))) else { continue };
            let target = target.to_str()?.to_owned();
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            at.pop();
            if target.starts_with('/') {
                at.clear();
                is_plain &= is_root;
            }
            target.split('/').rev().for_each(|part| left.push_front(part.to_owned()));
        }
        let inner = at.join("/");
        Some((Place { host: self.root.join(&inner), path: format!("/{inner}") }, is_plain))
    }
}
