//! What packages are to each other, collected one by one: the common part of locks that say no places.
//!
//! Most locks say of a peer only that it is wanted. What it is depends on who asks: a package finds what its user has. So
//! [`with_peers`] gives a package that different users bring different peers several locations, one for each choice, as
//! pnpm's lock does itself.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use super::Manager;
use crate::error::Result;
use crate::resolve::node::lock::{Entry, Links, Lock, slot, slot_name, slot_owner};

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

/// A peer that a user brings: where the lock has it, and where it is for this user.
type Brought = BTreeMap<String, (String, String)>;

/// The same lock with a location for each choice of peers, and for each of these the location that it comes from. `asked`
/// says which names the package at a location wants from its user; what no user has means what the lock has there already.
pub(in crate::resolve::node) fn with_peers(
    lock: Lock,
    asked: &dyn Fn(&str, &Entry) -> Vec<String>,
) -> Result<(Lock, BTreeMap<String, String>)> {
    let mut peers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (location, entry) in lock.entries().filter(|(location, _)| slot_name(location).is_some()) {
        let needs = &entry.needs;
        let own = |name: &String| needs.required.contains_key(name) || needs.optional.contains_key(name);
        peers.insert(location, asked(location, entry).into_iter().filter(|name| !own(name)).collect());
    }
    let mut work =
        Work { lock: &lock, peers, nodes: Nodes::default(), origin: BTreeMap::new(), queue: VecDeque::new() };
    for (location, _) in lock.entries().filter(|(location, _)| slot_name(location).is_none()) {
        work.queue.push_back((location.to_owned(), location.to_owned(), Brought::new()));
    }
    while let Some((from, to, brought)) = work.queue.pop_front() {
        if !work.nodes.has(&to) {
            work.visit(&from, to, brought);
        }
    }
    let Work { nodes, origin, .. } = work;
    let mut made = nodes.lock(lock.manager, &lock.path, &lock.folder)?;
    (made.settings, made.read) = (lock.settings, lock.read);
    Ok((made, origin))
}

struct Work<'l> {
    lock: &'l Lock,
    peers: BTreeMap<&'l str, Vec<String>>,
    nodes: Nodes,
    origin: BTreeMap<String, String>,
    queue: VecDeque<(String, String, Brought)>,
}

/// Who brings peers: the location in the lock, the one that it has got, and its name.
struct User<'u> {
    from: &'u str,
    to: &'u str,
    name: String,
    own: BTreeMap<String, String>,
    brought: &'u Brought,
}

impl Work<'_> {
    fn visit(&mut self, from: &str, to: String, brought: Brought) {
        let Some(entry) = self.lock.get(from) else { return };
        let asked = self.peers.get(from).map(Vec::as_slice).unwrap_or_default();
        let links = self.lock.links_of(from);
        let own = links.iter().filter(|(name, _)| !asked.contains(name)).map(|(n, l)| (n.clone(), l.clone())).collect();
        let user = User { from, to: &to, name: self.lock.name(from), own, brought: &brought };
        let mut made = BTreeMap::new();
        for (name, child) in &user.own {
            let at = self.place(child, &user);
            let peers = self.bring(child, &user);
            self.queue.push_back((child.clone(), at.clone(), peers));
            made.insert(name.clone(), at);
        }
        let mut entry = entry.clone();
        for name in asked {
            let meant = brought.get(name).map(|(_, to)| to.clone()).or_else(|| links.get(name).cloned());
            if let Some(meant) = meant {
                if !brought.contains_key(name) {
                    self.queue.push_back((meant.clone(), meant.clone(), Brought::new()));
                }
                made.insert(name.clone(), meant);
                entry.needs.peer.entry(name.clone()).or_insert_with(|| "*".to_owned());
            }
        }
        self.origin.insert(to.clone(), from.to_owned());
        self.nodes.add(to, entry, made);
    }

    /// What a package gets as peers from a user.
    fn bring(&self, child: &str, user: &User<'_>) -> Brought {
        let asked = self.peers.get(child).into_iter().flatten();
        let find = |name: &String| {
            if let Some(own) = user.own.get(name) {
                return Some((own.clone(), self.place(own, user)));
            }
            if *name == user.name {
                return Some((user.from.to_owned(), user.to.to_owned()));
            }
            user.brought.get(name).cloned()
        };
        asked.filter_map(|name| Some((name.clone(), find(name)?))).collect()
    }

    /// Where a package stands for a user that brings its peers.
    fn place(&self, child: &str, user: &User<'_>) -> String {
        let asked = self.peers.get(child).into_iter().flatten();
        let find = |name: &String| {
            let of_user = if *name == user.name { Some(user.from) } else { None };
            let own = user.own.get(name).map(String::as_str).or(of_user);
            own.or_else(|| user.brought.get(name).map(|(from, _)| from.as_str()))
        };
        let peers: Vec<String> =
            asked.filter_map(|name| Some(format!("{name}={}", slot_owner(find(name)?).unwrap_or_default()))).collect();
        match (slot_owner(child), slot_name(child)) {
            (Some(key), Some(name)) if !peers.is_empty() => slot(&format!("{key}({})", peers.join(",")), name),
            _ => child.to_owned(),
        }
    }
}
