//! Where packages go below the function: from locations of a lock, which may span a whole workspace, to one
//! `node_modules` in which every package finds exactly what the lock means for it.
//!
//! For a function whose folder is the lock's own, that is the lock's layout as it is. A workspace's own
//! `node_modules` comes first; what is hoisted to the folders above fills the free places; a package that would find
//! something else than the lock means gets a copy in its own `node_modules`. Locks that say no places (pnpm, Yarn) get theirs
//! from [`hoist`].

use std::collections::BTreeMap;

use super::graph::Graph;
use super::hoist;
use super::lock::{child, parent, slot_owner};
use crate::error::{Error, Result};

/// More copies than this are not laid out.
const MAX_PLACED: usize = 100_000;
/// Linux opens no longer path.
const MAX_PATH: usize = 2_048;

/// Paths below the function's root, each with the location of the package that lies there.
pub(super) type Layout = BTreeMap<String, String>;

/// Lays out what `importer` needs.
pub(super) fn lay_out(graph: &Graph, importer: &str) -> Result<Layout> {
    if let Some(peers) = &graph.peers {
        let placed = hoist::hoist(graph, peers, importer)?;
        let mut work = Work { children: Children::new(), placed, most: hoist::most(graph) };
        while work.mend(graph, importer)? {}
        return Ok(work.placed);
    }
    let mut work = Work { children: children(graph), placed: Layout::new(), most: MAX_PLACED };
    let mut folder = Some(importer);
    while let Some(at) = folder {
        for (name, _, target) in work.children_of(at) {
            let path = child("", &name);
            if !work.placed.contains_key(&path) {
                work.place(path, &target)?;
            }
        }
        folder = parent(at);
    }
    while work.mend(graph, importer)? {}
    Ok(work.placed)
}

/// What lies in the `node_modules` of each location: name, slot, target.
type Children = BTreeMap<String, Vec<(String, String, String)>>;

fn children(graph: &Graph) -> Children {
    let mut children = Children::new();
    for (slot, target) in &graph.slots {
        if let (Some(owner), Some(name)) = (slot_owner(slot), super::lock::slot_name(slot)) {
            children.entry(owner.to_owned()).or_default().push((name.to_owned(), slot.clone(), target.clone()));
        }
    }
    children
}

struct Work {
    children: Children,
    placed: Layout,
    /// More copies than this are not laid out.
    most: usize,
}

impl Work {
    fn children_of(&self, location: &str) -> Vec<(String, String, String)> {
        self.children.get(location).cloned().unwrap_or_default()
    }

    /// Puts a package, and what the lock nests in it, at a path. Links in it are left to [`Work::mend`]: they may lead
    /// around in circles.
    fn place(&mut self, path: String, target: &str) -> Result<()> {
        if self.placed.len() >= self.most || path.len() > MAX_PATH {
            return Err(endless(target));
        }
        self.placed.insert(path.clone(), target.to_owned());
        for (name, nested, nested_target) in self.children_of(target) {
            if nested == nested_target {
                self.place(child(&path, &name), &nested_target)?;
            }
        }
        Ok(())
    }

    /// Gives each package that finds something else than the lock means a copy of its own. Returns whether any did: such
    /// a copy can change what packages below it find.
    fn mend(&mut self, graph: &Graph, importer: &str) -> Result<bool> {
        let mut changed = false;
        let mut all: Vec<(String, String)> = self.placed.iter().map(|(p, l)| (p.clone(), l.clone())).collect();
        all.insert(0, (String::new(), importer.to_owned()));
        for (path, location) in all {
            for (name, target) in graph.needs.get(&location).into_iter().flatten() {
                if find(&self.placed, &path, name).is_none_or(|found| self.placed[found] != *target) {
                    self.place(child(&path, name), target)?;
                    changed = true;
                }
            }
        }
        Ok(changed)
    }
}

/// Copies that need copies without end.
pub(super) fn endless(target: &str) -> Error {
    Error::failed(format!(
        "the packages of the function cannot be laid out below one folder: `{target}` would be needed at ever deeper places"
    ))
    .hint("let the packages of the workspace agree on versions, so that one of each name is enough")
}

/// The path of what `name` means to the package at `path`.
pub(super) fn find<'a>(layout: &'a Layout, path: &str, name: &str) -> Option<&'a str> {
    let mut folder = Some(path);
    while let Some(at) = folder {
        if let Some((found, _)) = layout.get_key_value(&child(at, name)) {
            return Some(found);
        }
        folder = parent(at);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::Architecture;
    use crate::resolve::node::{graph, lock::Lock, platform::Target};
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};
    use std::collections::BTreeSet;
    use std::path::Path;

    fn graph_of(packages: Value, importer: &str) -> Graph {
        let text = json!({"lockfileVersion": 3, "packages": packages}).to_string();
        let lock = Lock::parse(&text, Path::new("/p/package-lock.json"), Path::new("/p")).unwrap();
        let target = Target { architecture: Architecture::X86_64 };
        graph::needed(&lock, importer, target, &BTreeSet::new(), &graph::Wanted::default()).unwrap()
    }

    fn shown(layout: &Layout) -> Vec<String> {
        layout.iter().map(|(path, location)| format!("{path} = {location}")).collect()
    }

    fn faithful(graph: &Graph, importer: &str, layout: &Layout) -> Result<(), String> {
        let root = (String::new(), importer.to_owned());
        for (path, location) in layout.iter().map(|(p, l)| (p.clone(), l.clone())).chain([root]) {
            for (name, target) in &graph.needs[&location] {
                let found = find(layout, &path, name).map(|f| layout[f].as_str());
                if found != Some(target) {
                    return Err(format!("{name} from {path} ({location}) is {found:?}, not {target}"));
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_workspace_becomes_one_folder_and_conflicts_are_nested() {
        let graph = graph_of(
            json!({
                "": {}, "packages/api": {"dependencies": {"shared": "*", "debug": "2", "ms": "2.1"}},
                "packages/api/node_modules/ms": {},
                "packages/shared": {"dependencies": {"ms": "1", "debug": "2"}},
                "packages/shared/node_modules/ms": {},
                "node_modules/shared": {"link": true, "resolved": "packages/shared"},
                "node_modules/debug": {"dependencies": {"ms": "2.0"}}, "node_modules/ms": {},
            }),
            "packages/api",
        );
        let layout = lay_out(&graph, "packages/api").unwrap();
        assert_eq!(
            shown(&layout),
            [
                "node_modules/debug = node_modules/debug",
                "node_modules/debug/node_modules/ms = node_modules/ms",
                "node_modules/ms = packages/api/node_modules/ms",
                "node_modules/shared = packages/shared",
                "node_modules/shared/node_modules/ms = packages/shared/node_modules/ms",
            ]
        );
    }

    #[test]
    fn workspaces_that_need_each_other_end() {
        let graph = graph_of(
            json!({
                "": {}, "packages/api": {"dependencies": {"shared": "*"}},
                "packages/shared": {"dependencies": {"api": "*"}},
                "packages/api/node_modules/shared": {"link": true, "resolved": "packages/shared"},
                "packages/shared/node_modules/api": {"link": true, "resolved": "packages/api"},
            }),
            "packages/api",
        );
        let layout = lay_out(&graph, "packages/api").unwrap();
        faithful(&graph, "packages/api", &layout).unwrap();
        assert_eq!(layout.len(), 2);
    }

    /// A random lock: packages nested at random, each depending on names that it can find, and two workspaces.
    fn locks() -> impl Strategy<Value = Value> {
        let slot = (0..4_usize, 0..5_usize, 0..4_usize);
        (prop::collection::vec(slot, 1..12), prop::collection::vec((0..16_usize, 0..6_usize), 0..30)).prop_map(
            |(slots, needs)| {
                let mut packages: Map<String, Value> = Map::new();
                for folder in ["", "packages/api", "packages/shared"] {
                    packages.insert(folder.to_owned(), json!({"dependencies": {}}));
                }
                packages.insert("node_modules/shared".to_owned(), json!({"link": true, "resolved": "packages/shared"}));
                for (owner, name, nested) in slots {
                    let mut at = ["", "packages/api", "packages/shared", ""][owner].to_owned();
                    // Only below packages that exist, as npm would write it.
                    for above in 0..nested {
                        let below = child(&at, &format!("p{above}"));
                        if packages.contains_key(&below) {
                            at = below;
                        }
                    }
                    packages.insert(child(&at, &format!("p{name}")), json!({"dependencies": {}}));
                }
                let text = json!({"lockfileVersion": 3, "packages": packages}).to_string();
                let lock = Lock::parse(&text, Path::new("/p/l"), Path::new("/p")).unwrap();
                let keys: Vec<String> = packages.keys().cloned().collect();
                for (at, name) in needs {
                    let at = &keys[at % keys.len()];
                    let name = if name == 5 { "shared".to_owned() } else { format!("p{name}") };
                    if lock.find(at, &name).is_some()
                        && let Some(Value::Object(needs)) = packages[at].get_mut("dependencies")
                    {
                        needs.insert(name, json!("*"));
                    }
                }
                packages["packages/api"]["dependencies"]["shared"] = json!("*");
                Value::Object(packages)
            },
        )
    }

    proptest! {
        #[test]
        fn every_package_finds_what_the_lock_means(packages in locks()) {
            let graph = graph_of(packages.clone(), "packages/api");
            if let Ok(layout) = lay_out(&graph, "packages/api") {
                prop_assert_eq!(faithful(&graph, "packages/api", &layout), Ok(()));
                prop_assert_eq!(layout, lay_out(&graph_of(packages, "packages/api"), "packages/api").unwrap());
            }
        }

        #[test]
        fn a_project_of_its_own_keeps_the_layout_of_its_lock(packages in locks()) {
            let graph = graph_of(packages, "");
            let links = graph.slots.iter().any(|(slot, target)| slot != target);
            if !links {
                let layout = lay_out(&graph, "").unwrap();
                prop_assert_eq!(layout, graph.slots);
            }
        }
    }
}
