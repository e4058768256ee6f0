//! What packages are to each other, collected one by one: the common part of locks that say no places.

use std::collections::BTreeMap;
use std::path::Path;

use super::Manager;
use crate::error::Result;
use crate::resolve::node::lock::{Entry, Links, Lock};

/// Locations with what stands there, and what names mean to it.
#[derive(Default)]
pub(super) struct Nodes {
    entries: BTreeMap<String, Entry>,
    links: Links,
}

impl Nodes {
    pub(super) fn has(&self, location: &str) -> bool {
        self.entries.contains_key(location)
    }

    pub(super) fn add(&mut self, location: String, entry: Entry, links: BTreeMap<String, String>) {
        self.links.insert(location.clone(), links);
        self.entries.insert(location, entry);
    }

    pub(super) fn lock(self, manager: Manager, path: &Path, folder: &Path) -> Result<Lock> {
        Lock::linked(manager, path, folder, self.entries, self.links)
    }
}
