//! Which packages of a lock one function needs on its target: those that can be reached from its own entry without
//! development dependencies, less the optional ones that are for other systems.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::lock::{Lock, is_package_name, slot_name};
use super::managers::Manager;
use super::platform::Target;
use crate::error::{Error, Result};

/// What one function needs.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Locations in a `node_modules` that are needed, each with the location that it leads to (itself, but for links).
    pub(super) slots: BTreeMap<String, String>,
    /// Locations of packages, each with the names that it uses and the locations that they mean.
    pub(super) needs: BTreeMap<String, BTreeMap<String, String>>,
    /// For a lock that says no places: locations of packages with the names that whoever uses them has to bring.
    pub(super) peers: Option<BTreeMap<String, BTreeSet<String>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Required,
    Optional,
    Peer,
    OptionalPeer,
}

/// A need of a package, looked up in the lock.
struct Edge<'a> {
    name: &'a str,
    kind: Kind,
    /// The slot it is found in and the location that leads to; nothing when the lock has no such package.
    found: Option<(&'a str, &'a str)>,
}

/// Which needs of the importer are looked at, beside those that its `package.json` has for running.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Others by name and slot, such as some for development.
    pub(super) more: BTreeMap<String, String>,
    /// Only these of its own.
    pub(super) only: Option<BTreeSet<String>>,
}

/// Finds what the package at `importer` needs. `unfit` are packages that are known to be for other systems although the
/// lock does not say so.
pub(super) fn needed(
    lock: &Lock,
    importer: &str,
    target: Target,
    unfit: &BTreeSet<String>,
    wanted: &Wanted,
) -> Result<Graph> {
    let edges = all_edges(lock, importer, wanted)?;
    let left_out = left_out(lock, &edges, importer, target, unfit);
    if let Some(why) = left_out.get(importer) {
        return Err(Error::config(format!("{why}, and the function cannot do without it"))
            .at(&lock.path, None)
            .hint("depend on a version that supports Linux, or make it an optional dependency"));
    }
    let mut graph = Graph { peers: lock.is_linked().then(BTreeMap::new), ..Graph::default() };
    let mut queue = VecDeque::from([importer]);
    while let Some(at) = queue.pop_front() {
        if graph.needs.contains_key(at) {
            continue;
        }
        let mut needs = BTreeMap::new();
        for edge in &edges[at] {
            match edge.found {
                Some((_, to)) if left_out.contains_key(to) => {}
                Some((slot, to)) => {
                    graph.slots.insert(slot.to_owned(), to.to_owned());
                    needs.insert(edge.name.to_owned(), to.to_owned());
                    queue.push_back(to);
                }
                None => missing(lock, at, edge, target)?,
            }
        }
        if let Some(peers) = &mut graph.peers
            && let Some(entry) = lock.get(at)
        {
            peers.insert(at.to_owned(), entry.needs.peer.keys().cloned().collect());
        }
        graph.needs.insert(at.to_owned(), needs);
    }
    Ok(graph)
}

fn all_edges<'a>(lock: &'a Lock, importer: &'a str, wanted: &'a Wanted) -> Result<BTreeMap<&'a str, Vec<Edge<'a>>>> {
    let mut edges = BTreeMap::new();
    let mut queue = VecDeque::from([importer]);
    while let Some(at) = queue.pop_front() {
        if edges.contains_key(at) {
            continue;
        }
        let mut of_package = edges_of(lock, at)?;
        if at == importer {
            of_package.retain(|edge| wanted.only.as_ref().is_none_or(|only| only.contains(edge.name)));
            for (name, slot) in &wanted.more {
                of_package.retain(|edge| edge.name != name);
                let found = Some((slot.as_str(), lock.target(slot)?));
                of_package.push(Edge { name, kind: Kind::Optional, found });
            }
        }
        queue.extend(of_package.iter().filter_map(|edge| edge.found.map(|(_, to)| to)));
        edges.insert(at, of_package);
    }
    Ok(edges)
}

fn edges_of<'a>(lock: &'a Lock, at: &'a str) -> Result<Vec<Edge<'a>>> {
    let Some(entry) = lock.get(at) else { return Ok(Vec::new()) };
    let needs = &entry.needs;
    let peers = needs
        .peer
        .keys()
        .map(|name| (name, if needs.optional_peers.contains(name) { Kind::OptionalPeer } else { Kind::Peer }));
    let all = peers
        .chain(needs.optional.keys().map(|name| (name, Kind::Optional)))
        .chain(needs.required.keys().map(|name| (name, Kind::Required)));
    // A name that is needed in two ways is needed in the stronger one, which comes later.
    let kinds: BTreeMap<&String, Kind> = all.collect();
    kinds.into_iter().map(|(name, kind)| edge(lock, at, name, kind)).collect()
}

fn edge<'a>(lock: &'a Lock, at: &str, name: &'a str, kind: Kind) -> Result<Edge<'a>> {
    if !is_package_name(name) {
        return Err(Error::config(format!("{} depends on {name:?}, which is no package name", lock.label(at)))
            .at(&lock.path, None)
            .hint("no package manager writes such a lock; do not trust it before you know where it is from"));
    }
    let Some(slot) = lock.find(at, name) else { return Ok(Edge { name, kind, found: None }) };
    Ok(Edge { name, kind, found: Some((slot, lock.target(slot)?)) })
}

/// The packages that are left out, each with the reason: those for other systems, and those that cannot do without one.
fn left_out(
    lock: &Lock,
    edges: &BTreeMap<&str, Vec<Edge<'_>>>,
    importer: &str,
    target: Target,
    unfit: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (at, list) in edges {
        for edge in list.iter().filter(|edge| matches!(edge.kind, Kind::Required | Kind::Peer)) {
            if let Some((_, to)) = edge.found {
                users.entry(to).or_default().push(at);
            }
        }
    }
    let mut out = BTreeMap::new();
    let mut queue = VecDeque::new();
    for at in edges.keys().filter(|at| **at != importer) {
        let fits = lock.get(at).is_none_or(|entry| target.takes(&entry.platform));
        if !fits || unfit.contains(*at) {
            let why = format!(
                "{} is not for the function's system (Linux, {}, glibc)",
                lock.label(at),
                target.architecture.node_cpu()
            );
            queue.push_back((*at, why));
        }
    }
    while let Some((at, why)) = queue.pop_front() {
        if out.contains_key(at) {
            continue;
        }
        queue.extend(users.get(at).into_iter().flatten().map(|user| (*user, why.clone())));
        out.insert(at.to_owned(), why);
    }
    out
}

/// What it means that a lock does not hold a package that another one names.
fn missing(lock: &Lock, at: &str, edge: &Edge<'_>, target: Target) -> Result<()> {
    let (name, user) = (edge.name, lock.label(at));
    match edge.kind {
        // npm installs peers by itself, unless it was told not to (`legacy-peer-deps`).
        Kind::Peer | Kind::OptionalPeer => Ok(()),
        Kind::Required => Err(Error::config(format!("{user} needs `{name}`, which the lock does not hold"))
            .at(&lock.path, None)
            .hint(format!("run `{}` and commit the lock", lock.manager.relock()))),
        Kind::Optional if lock.manager != Manager::Npm => Ok(()),
        Kind::Optional if !target.is_named_in(name) => Ok(()),
        Kind::Optional => Err(Error::config(format!(
            "the lock lacks `{name}`, the part of {user} for the function's system: it was written on another one (a known bug of npm), or the registry lacks it too"
        ))
        .at(&lock.path, None)
        .hint("add it with `npm install --package-lock-only`, which npm 11.19 and newer mend the lock with")
        .hint("with an older npm: `rm -rf node_modules package-lock.json && npm install --package-lock-only`; versions may move within their ranges")),
    }
}

impl Graph {
    /// Locations of needed packages; the function's own only when one of them depends on it.
    pub(super) fn packages(&self) -> BTreeSet<&str> {
        self.slots.values().map(String::as_str).collect()
    }

    /// The name under which a location is used.
    pub(super) fn slot_of(&self, location: &str) -> Option<&str> {
        self.slots.iter().find(|(_, to)| *to == location).and_then(|(slot, _)| slot_name(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::Architecture;
    use std::path::Path;

    fn lock(packages: serde_json::Value) -> Lock {
        let text = serde_json::json!({"lockfileVersion": 3, "packages": packages}).to_string();
        Lock::parse(&text, Path::new("/p/package-lock.json"), Path::new("/p")).unwrap()
    }

    fn slots(lock: &Lock) -> Result<Vec<String>> {
        let target = Target { architecture: Architecture::Arm64 };
        needed(lock, "", target, &BTreeSet::new(), &Wanted::default()).map(|graph| graph.slots.into_keys().collect())
    }

    #[test]
    fn development_dependencies_are_left_out_and_shared_ones_stay() {
        let lock = lock(serde_json::json!({
            "": {"dependencies": {"a": "1"}, "devDependencies": {"dev": "1"}},
            "node_modules/a": {"dependencies": {"both": "1"}, "peerDependencies": {"peer": "1", "none": "1", "opt": "1"},
                "peerDependenciesMeta": {"opt": {"optional": true}}},
            "node_modules/both": {}, "node_modules/peer": {"peer": true}, "node_modules/opt": {"devOptional": true},
            "node_modules/dev": {"dev": true, "dependencies": {"both": "1", "only": "1"}}, "node_modules/only": {"dev": true},
        }));
        assert_eq!(
            slots(&lock).unwrap(),
            ["node_modules/a", "node_modules/both", "node_modules/opt", "node_modules/peer"]
        );
    }

    #[test]
    fn optional_packages_of_other_systems_go_with_what_needs_them() {
        let lock = lock(serde_json::json!({
            "": {"optionalDependencies": {"watch": "1", "native-linux-arm64": "1", "native-linux-x64": "1"}},
            "node_modules/watch": {"optional": true, "dependencies": {"mac": "1", "kept-by-nobody": "1"}},
            "node_modules/mac": {"optional": true, "os": ["darwin"]},
            "node_modules/kept-by-nobody": {"optional": true},
            "node_modules/native-linux-arm64": {"os": ["linux"], "cpu": ["arm64"]},
            "node_modules/native-linux-x64": {"os": ["linux"], "cpu": ["x64"]},
        }));
        assert_eq!(slots(&lock).unwrap(), ["node_modules/native-linux-arm64"]);
    }

    #[test]
    fn a_required_package_of_another_system_is_an_error() {
        let lock = lock(serde_json::json!({
            "": {"dependencies": {"a": "1"}},
            "node_modules/a": {"version": "1.0.0", "dependencies": {"mac": "1"}},
            "node_modules/mac": {"version": "2.0.0", "os": "darwin"},
        }));
        let error = slots(&lock).unwrap_err().to_string();
        assert!(error.contains("mac 2.0.0 is not for the function's system (Linux, arm64, glibc)"), "{error}");
    }

    #[test]
    fn a_lock_of_another_system_is_an_error_that_says_the_command() {
        let lock = lock(serde_json::json!({
            "": {"dependencies": {"sharp": "1"}},
            "node_modules/sharp": {"version": "0.33.5", "optionalDependencies":
                {"@img/sharp-darwin-arm64": "1", "@img/sharp-linux-arm64": "1", "@img/sharp-linux-x64": "1", "fsevents": "1"}},
            "node_modules/@img/sharp-darwin-arm64": {"os": ["darwin"]},
        }));
        let error = slots(&lock).unwrap_err();
        assert!(error.to_string().contains("lacks `@img/sharp-linux-arm64`"), "{error}");
        assert!(error.hints()[1].contains("rm -rf node_modules package-lock.json"), "{:?}", error.hints());
    }

    #[test]
    fn what_is_missing_or_misnamed_is_an_error() {
        let missing = lock(serde_json::json!({"": {"dependencies": {"a": "1"}}}));
        assert!(slots(&missing).unwrap_err().to_string().contains("the project needs `a`"));
        let hostile = lock(serde_json::json!({"": {"dependencies": {"../../a": "1"}}}));
        assert!(slots(&hostile).unwrap_err().to_string().contains("no package name"));
        let dangling = lock(serde_json::json!({"": {"dependencies": {"a": "1"}},
            "node_modules/a": {"link": true, "resolved": "gone"}}));
        assert!(slots(&dangling).unwrap_err().to_string().contains("leads to `gone`"));
    }
}
