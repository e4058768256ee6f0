//! The file system of an image: its layers over each other, as a sandbox would see them, without unpacking one.
//!
//! Whiteouts take away what lower layers have, never what their own layer brings. Links are followed inside the root alone.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::listing::{Listed, Listing, What};

/// Links after links are followed so often, as Linux does.
const MAX_LINKS: usize = 40;

/// A node, and the layer that it is of.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) listed: Listed,
    pub(crate) layer: usize,
}

/// Everything in an image, by path without a slash before it.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    nodes: BTreeMap<String, Node>,
    layers: usize,
    /// What is wrong with the layers.
    pub(crate) problems: Vec<String>,
}

impl Merged {
    /// Puts a layer over what is there.
    pub(crate) fn add(&mut self, listing: &Listing) {
        let layer = self.layers;
        self.layers += 1;
        self.problems.extend(listing.problems.iter().cloned());
        for listed in &listing.entries {
            let path = self.placed(&listed.path);
            match &listed.what {
                What::Whiteout => {
                    self.drop_below(&path, layer);
                    if self.nodes.get(&path).is_some_and(|node| node.layer < layer) {
                        self.nodes.remove(&path);
                    }
                }
                What::Opaque => self.drop_below(&path, layer),
                What::Same(target) => {
                    let target = self.placed(target);
                    match self.nodes.get(&target).filter(|node| node.listed.what != What::Folder).cloned() {
                        Some(node) => {
                            let listed = Listed { path: path.clone(), ..node.listed };
                            self.put(path, listed, layer);
                        }
                        None => {
                            let problem = format!("`/{path}` is a hard link to `/{target}`, which is not there");
                            self.problems.push(problem);
                        }
                    }
                }
                _ => self.put(path.clone(), Listed { path, ..listed.clone() }, layer),
            }
        }
    }

    fn put(&mut self, path: String, listed: Listed, layer: usize) {
        let is_folder = listed.what == What::Folder;
        // A file takes the place of a folder with all that is in it, also of one that is only there by that; a folder leaves what
        // is in a folder.
        if !is_folder {
            self.drop_below(&path, usize::MAX);
        }
        self.nodes.insert(path, Node { listed, layer });
    }

    /// Removes what layers before `layer` have below a folder; below the root with an empty path.
    fn drop_below(&mut self, path: &str, layer: usize) {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let gone: Vec<String> =
            self.below(&prefix).filter(|(_, node)| node.layer < layer).map(|(path, _)| path.to_owned()).collect();
        gone.iter().for_each(|path| drop(self.nodes.remove(path)));
    }

    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Node)> {
        self.nodes
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(path, _)| path.starts_with(prefix))
            .map(|(path, node)| (path.as_str(), node))
    }

    /// Where an entry of this path ends up: folders on the way that are links lead elsewhere, but never out of the root.
    fn placed(&self, path: &str) -> String {
        let Some((folder, name)) = path.rsplit_once('/') else { return path.to_owned() };
        // Most folders are folders.
        let is_plain =
            folder.match_indices('/').map(|(at, _)| &folder[..at]).chain([folder]).all(|part| {
                !matches!(self.nodes.get(part), Some(Node { listed: Listed { what: What::Link(_), .. }, .. }))
            });
        if is_plain {
            return path.to_owned();
        }
        let folder = self.follow(folder).unwrap_or_else(|| folder.to_owned());
        if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
    }

    /// The path that a path leads to when all links are followed, whether something is there or not; nothing for a loop.
    pub(crate) fn follow(&self, path: &str) -> Option<String> {
        let mut left: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut at = String::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            match part.as_str() {
                "" | "." => {}
                ".." => at.truncate(at.rfind('/').unwrap_or(0)),
                name => {
                    let parent = at.len();
                    if !at.is_empty() {
                        at.push('/');
                    }
                    at.push_str(name);
                    if let Some(Node { listed: Listed { what: What::Link(target), .. }, .. }) = self.nodes.get(&at) {
                        links += 1;
                        if links > MAX_LINKS {
                            return None;
                        }
                        at.truncate(if target.starts_with('/') { 0 } else { parent });
                        target.split('/').rev().for_each(|part| left.push_front(part.to_owned()));
                    }
                }
            }
        }
        Some(at)
    }

    /// What a path leads to.
    pub(crate) fn find(&self, path: &str) -> Option<&Node> {
        self.nodes.get(&self.follow(path)?)
    }

    /// What stands at a path; a link at its end is not followed.
    pub(crate) fn at(&self, path: &str) -> Option<&Node> {
        self.nodes.get(&self.placed(path.trim_matches('/')))
    }

    /// Whether a path leads to a folder, also to one that is only there by what is in it.
    pub(crate) fn is_folder(&self, path: &str) -> bool {
        let Some(path) = self.follow(path) else { return false };
        match self.nodes.get(&path) {
            Some(node) => node.listed.what == What::Folder,
            None => path.is_empty() || self.below(&format!("{path}/")).next().is_some(),
        }
    }

    /// Everything, by path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Files that are seen in the end.
    pub(crate) fn files(&self) -> usize {
        self.nodes.values().filter(|node| node.listed.what != What::Folder).count()
    }

    /// The version of its C library.
    pub(crate) fn glibc(&self) -> Option<(u16, u16)> {
        self.nodes.values().find_map(|node| node.listed.glibc)
    }
}

#[cfg(test)]
mod tests {
    use super::super::listing;
    use super::*;

    fn layer(entries: &[(&str, &str)]) -> Listing {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, what) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(0);
            let (kind, target) = match what.split_once(' ') {
                Some(("->", target)) => (tar::EntryType::Symlink, target),
                Some(("=", target)) => (tar::EntryType::Link, target),
                _ if *what == "dir" => (tar::EntryType::Directory, ""),
                _ => (tar::EntryType::Regular, ""),
            };
            header.set_entry_type(kind);
            if !target.is_empty() {
                header.set_link_name(target).unwrap();
            }
            // By hand: the library refuses names that leave the root.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            if kind == tar::EntryType::Regular {
                header.set_size(what.len() as u64);
            }
            header.set_cksum();
            let bytes = if kind == tar::EntryType::Regular { what.as_bytes() } else { b"" };
            builder.append(&header, bytes).unwrap();
        }
        listing::read(builder.into_inner().unwrap().as_slice()).unwrap()
    }

    fn merged(layers: &[&[(&str, &str)]]) -> Merged {
        let mut merged = Merged::default();
        layers.iter().for_each(|entries| merged.add(&layer(entries)));
        merged
    }

    fn paths(merged: &Merged) -> Vec<&str> {
        merged.iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn whiteouts_take_away_what_is_lower() {
        let image = merged(&[
            &[("a/", "dir"), ("a/x", "1"), ("a/y", "1"), ("b/", "dir"), ("b/x", "1"), ("c", "1")],
            &[
                ("a/.wh.x", ""),
                ("b/", "dir"),
                ("b/new", "2"),
                ("b/.wh..wh..opq", ""),
                (".wh.c", ""),
                ("./c/", "dir"),
                ("c/d", "2"),
            ],
        ]);
        assert_eq!(paths(&image), ["a", "a/y", "b", "b/new", "c", "c/d"]);
        // What a layer brings itself stays, whatever the order.
        let image = merged(&[&[("x", "1")], &[("x", "22"), (".wh.x", "")]]);
        assert_eq!(image.find("x").unwrap().listed.what, What::File(2));
        for lower in [&[("a/", "dir"), ("a/x", "1")][..], &[("a/x", "1")]] {
            assert_eq!(paths(&merged(&[lower, &[("a", "file")]])), ["a"]);
        }
        let image = merged(&[&[("a/", "dir"), ("a/x", "1")], &[("a", "file")]]);
        assert_eq!(image.files(), 1);
    }

    #[test]
    fn links_stay_inside() {
        let image = merged(&[
            &[("usr/lib/", "dir"), ("lib", "-> usr/lib"), ("up", "-> ../../../etc"), ("loop", "-> loop")],
            &[("lib/x.so", "1"), ("hard", "= lib/x.so"), ("dangling", "= nothing"), ("etc/passwd", "1")],
            &[("../../outside", "1"), ("/abs", "1"), ("abs2", "-> /lib/x.so")],
        ]);
        assert!(image.find("/usr/lib/x.so").is_some() && image.find("/lib/x.so").is_some());
        assert!(image.find("/up/passwd").is_some() && image.find("/loop").is_none() && image.find("/loop/x").is_none());
        assert!(image.find("hard").is_some() && image.find("abs").is_some() && image.find("abs2").is_some());
        assert_eq!(image.problems.len(), 2, "{:?}", image.problems);
        assert!(paths(&image).iter().all(|path| !path.contains("outside")));
    }

    proptest::proptest! {
        /// Whatever is written over a tar, it is read or refused.
        #[test]
        fn damaged_tars_never_panic(damage in proptest::collection::vec((0_usize..4096, proptest::prelude::any::<u8>()), 0..20)) {
            let mut builder = tar::Builder::new(Vec::new());
            let long = format!("{}/x", ["deep"; 40].join("/"));
            for path in ["a", long.as_str(), ".wh.b"] {
                let mut header = tar::Header::new_gnu();
                header.set_size(3);
                header.set_mode(0o644);
                builder.append_data(&mut header, path, &b"abc"[..]).unwrap();
            }
            let mut bytes = builder.into_inner().unwrap();
            for (at, byte) in damage {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            if let Ok(listing) = listing::read(bytes.as_slice()) {
                Merged::default().add(&listing);
            }
        }
    }
}
