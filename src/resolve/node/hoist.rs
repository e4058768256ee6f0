//! Where packages go when the lock says only what they are to each other, as those of pnpm and Yarn do: one `node_modules`
//! like npm's, with each package as high as it can be found by all who mean it and by none who mean another.
//!
//! What the function asks for itself lies at the top, then of each name the version that most packages mean. All else is
//! placed from the top down, each beside or above those who need it. Packages that their users have to bring (peers) are
//! respected: a package lies only where it finds the very copy that its user has.
//!
//! [`super::layout`] looks at the result once more and gives copies to those that still find something else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::graph::Graph;
use super::layout::{self, Layout, find};
use super::lock::{child, parent};
use crate::error::Result;

/// Names that users have to bring, by location.
pub(super) type Peers = BTreeMap<String, BTreeSet<String>>;

/// Lays out what `importer` needs.
///
/// # Errors
/// When versions that need each other in a circle hide each other at every place: then there is no end of copies.
pub(super) fn hoist(graph: &Graph, peers: &Peers, importer: &str) -> Result<Layout> {
    let mut work = Work { graph, peers, placed: Layout::new(), queue: VecDeque::new(), uses: BTreeMap::new() };
    for (name, target) in graph.needs.get(importer).into_iter().flatten() {
        work.put(child("", name), target);
        work.used("", name, &child("", name));
    }
    for (name, target) in work.favourites(importer) {
        let path = child("", &name);
        if !work.placed.contains_key(&path) {
            work.put(path, &target);
        }
    }
    while let Some((path, location)) = work.queue.pop_front() {
        work.place_needs(&path, &location);
        if work.placed.len() > most(graph) {
            return Err(layout::endless(&location));
        }
    }
    Ok(work.placed)
}

/// More copies than this come of circles alone.
pub(super) fn most(graph: &Graph) -> usize {
    200 + 20 * graph.needs.len()
}

struct Work<'g> {
    graph: &'g Graph,
    peers: &'g Peers,
    placed: Layout,
    queue: VecDeque<(String, String)>,
    /// For each name, who uses it (by path) and what that is (by path).
    uses: BTreeMap<String, Vec<(String, String)>>,
}

impl Work<'_> {
    fn put(&mut self, path: String, location: &str) {
        self.placed.insert(path.clone(), location.to_owned());
        self.queue.push_back((path, location.to_owned()));
    }

    fn used(&mut self, by: &str, name: &str, found: &str) {
        self.uses.entry(name.to_owned()).or_default().push((by.to_owned(), found.to_owned()));
    }

    fn is_peer(&self, location: &str, name: &str) -> bool {
        self.peers.get(location).is_some_and(|peers| peers.contains(name))
    }

    /// Of each name, the package that most others mean by it, if it does not depend on where it lies.
    fn favourites(&self, importer: &str) -> Vec<(String, String)> {
        let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for (_, needs) in self.graph.needs.iter().filter(|(location, _)| *location != importer) {
            for (name, target) in needs {
                *counts.entry(name).or_default().entry(target).or_default() += 1;
            }
        }
        let best = counts.into_iter().filter_map(|(name, targets)| {
            let (target, _) = targets.into_iter().max_by_key(|(_, count)| *count)?;
            let has_peers = self.graph.needs.get(target).is_some_and(|n| n.keys().any(|n| self.is_peer(target, n)));
            (!has_peers && target != importer).then(|| (name.to_owned(), target.to_owned()))
        });
        best.collect()
    }

    /// Places what the package at a path needs: first what depends on nothing that the package has to bring.
    fn place_needs(&mut self, path: &str, location: &str) {
        let graph = self.graph;
        let mut waiting: Vec<(&String, &String)> = graph.needs.get(location).into_iter().flatten().collect();
        waiting.retain(|(name, _)| !self.is_peer(location, name));
        while !waiting.is_empty() {
            let names: BTreeSet<&String> = waiting.iter().map(|(name, _)| *name).collect();
            let is_ready = |target: &str| {
                let needs = graph.needs.get(target).into_iter().flatten();
                needs.filter(|(name, _)| self.is_peer(target, name)).all(|(name, _)| !names.contains(name))
            };
            let next = waiting.iter().position(|(_, target)| is_ready(target)).unwrap_or(0);
            let (name, target) = waiting.remove(next);
            self.place(path, name, target);
        }
    }

    fn place(&mut self, path: &str, name: &str, target: &str) {
        if let Some(found) = find(&self.placed, path, name)
            && self.placed[found] == *target
            && self.finds_peers(path, folder_of(found), target)
        {
            let found = found.to_owned();
            return self.used(path, name, &found);
        }
        let at = self.highest(path, name, target);
        let at = child(&at, name);
        if !self.placed.contains_key(&at) {
            self.put(at.clone(), target);
        }
        self.used(path, name, &at);
    }

    /// The highest folder whose `node_modules` may hold it: that of the path itself in the worst case.
    fn highest(&self, path: &str, name: &str, target: &str) -> String {
        let mut folders: Vec<&str> = std::iter::successors(Some(path), |at| parent(at)).collect();
        folders.reverse();
        let fits = |folder: &&&str| {
            let at = child(folder, name);
            let is_seen = find(&self.placed, path, name).is_none_or(|found| found.len() < at.len());
            !self.placed.contains_key(&at)
                && is_seen
                && !self.hides(&at, folder, name)
                && self.finds_peers(path, folder, target)
        };
        folders.iter().find(fits).map_or_else(|| path.to_owned(), |folder| (*folder).to_owned())
    }

    /// Whether a package at this place would be found by some who mean another, farther up.
    fn hides(&self, at: &str, folder: &str, name: &str) -> bool {
        let is_below = |path: &str| folder.is_empty() || path == folder || path.starts_with(&format!("{folder}/"));
        let users = self.uses.get(name).into_iter().flatten();
        users.into_iter().any(|(by, found)| is_below(by) && found.len() < at.len())
    }

    /// Whether a package in this folder finds the peers that the one at `path` has.
    fn finds_peers(&self, path: &str, folder: &str, target: &str) -> bool {
        let needs = self.graph.needs.get(target).into_iter().flatten().filter(|(name, _)| self.is_peer(target, name));
        needs.into_iter().all(|(name, meant)| {
            let of_user = find(&self.placed, path, name);
            let there = find(&self.placed, folder, name);
            there.is_some() && there == of_user && there.is_some_and(|there| self.placed[there] == *meant)
        })
    }
}

/// The folder whose `node_modules` a path lies in.
fn folder_of(path: &str) -> &str {
    parent(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A graph of `from: name=target name=target` lines; a name with `!` is a peer.
    fn laid_out(lines: &[&str]) -> Vec<String> {
        let mut graph = Graph::default();
        let mut peers = Peers::new();
        for line in lines {
            let (from, needs) = line.split_once(':').unwrap();
            let entry = graph.needs.entry(from.trim_matches('.').to_owned()).or_default();
            for need in needs.split_whitespace() {
                let (name, target) = need.split_once('=').unwrap();
                if let Some(name) = name.strip_suffix('!') {
                    peers.entry(from.to_owned()).or_default().insert(name.to_owned());
                }
                entry.insert(name.trim_end_matches('!').to_owned(), target.to_owned());
            }
        }
        let layout = hoist(&graph, &peers, "").unwrap();
        layout.iter().map(|(path, at)| format!("{} {at}", path.replace("node_modules/", "/"))).collect()
    }

    #[test]
    fn versions_that_clash_are_nested_and_the_most_wanted_is_on_top() {
        let shown = laid_out(&[".: a=a b=b c=c", "a: x=x1", "b: x=x2", "c: x=x2", "x1:", "x2:"]);
        assert_eq!(shown, ["/a a", "/a//x x1", "/b b", "/c c", "/x x2"]);
    }

    #[test]
    fn what_has_peers_lies_where_it_finds_the_copy_of_its_user() {
        let shown = laid_out(&[
            ".: lib=lib react=r17",
            "lib: react=r18 hook=hook dom=dom",
            "hook: react!=r18 dom!=dom",
            "dom: react!=r18 loose=loose",
            "r17: loose=loose",
            "r18: loose=loose",
            "loose:",
        ]);
        assert_eq!(
            shown,
            ["/lib lib", "/lib//dom dom", "/lib//hook hook", "/lib//react r18", "/loose loose", "/react r17"]
        );
    }

    #[test]
    fn circles_end() {
        let shown = laid_out(&[".: a=a2 b=b1", "b1: a=a1", "a1: b=b2", "b2: a=a1", "a2: b=b1"]);
        assert_eq!(shown, ["/a a2", "/b b1", "/b//a a1", "/b//b b2"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Packages `x@1`, `x@2`, … need each other at random, some as peers: each finds what it needs.
        #[test]
        fn everybody_finds_what_is_meant(edges in proptest::collection::vec((0..8_usize, 0..8_usize, any::<bool>()), 0..24)) {
            let location = |n: usize| if n == 0 { String::new() } else { format!("{}/node_modules/p{}", n, n % 4) };
            let mut graph = Graph { peers: Some(Peers::new()), ..Graph::default() };
            for n in 0..8 {
                graph.needs.insert(location(n), BTreeMap::new());
            }
            for (from, to, is_peer) in edges.into_iter().filter(|(_, to, _)| *to != 0) {
                let name = format!("p{}", to % 4);
                if is_peer && from != 0 {
                    graph.peers.get_or_insert_default().entry(location(from)).or_default().insert(name.clone());
                }
                graph.needs.get_mut(&location(from)).unwrap().insert(name, location(to));
            }
            // Versions that want each other in a circle, each below the other, have no end; that is told.
            let Ok(layout) = super::super::layout::lay_out(&graph, "") else { return Ok(()) };
            for (path, at) in layout.iter().map(|(p, l)| (p.as_str(), l.as_str())).chain([("", "")]) {
                for (name, target) in &graph.needs[at] {
                    let found = find(&layout, path, name).map(|found| layout[found].as_str());
                    prop_assert_eq!(found, Some(target.as_str()), "{} from {}", name, path);
                }
            }
        }
    }
}
