//! Which packages share a layer: large ones have one of their own, the long tail is dealt out by name.
//!
//! A bump of one package must change one layer, and functions with the same packages must have the same layers. So what a
//! package is dealt to depends on its name and size alone, never on what else a function has; only where layers run out are
//! the smallest of the large ones dealt out, too.

use std::collections::BTreeMap;

use crate::store::sha256;
use crate::tree::{ArchivePath, Entry, Tree};

/// From this size on, in bytes, a package has a layer of its own.
const LARGE: u64 = 10 << 20;
/// Layers of the tail, when it is worth several.
const BUCKETS: u8 = 8;
/// A tail of fewer bytes is one layer.
const TAIL: u64 = 8 << 20;
/// At most so many packages have a layer of their own; the rest of the 127 is for the base, the code and what is split.
const MOST: usize = 60;
/// About the bytes of a layer at most: layers are sent, and fetched again, side by side.
const SPLIT: u64 = 512 << 20;

/// A layer to be made.
#[derive(Debug, Clone)]
pub struct PlannedPiece {
    /// What is in it, for its history: `numpy 2.3.4`, `code`.
    pub label: String,
    /// Where everything goes, from the image's root.
    pub tree: Tree,
}

/// A package, or what else is packed, with the paths that are its own.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) tree: Tree,
}

/// Deals packages out to layers, in an order that only they decide.
pub(crate) fn group(parts: Vec<Part>) -> Vec<PlannedPiece> {
    let (mut large, mut tail): (Vec<Part>, Vec<Part>) =
        parts.into_iter().filter(|part| !part.tree.is_empty()).partition(|part| part.tree.bytes() >= LARGE);
    large.sort_by(|a, b| b.tree.bytes().cmp(&a.tree.bytes()).then_with(|| a.label.cmp(&b.label)));
    if large.len() > MOST {
        tail.extend(large.split_off(MOST));
    }
    large.sort_by(|a, b| a.label.cmp(&b.label));
    let mut out: Vec<PlannedPiece> =
        large.into_iter().map(|part| PlannedPiece { label: part.label, tree: part.tree }).collect();
    let buckets = if tail.iter().map(|part| part.tree.bytes()).sum::<u64>() < TAIL { 1 } else { BUCKETS };
    let mut dealt: BTreeMap<u8, Vec<Part>> = BTreeMap::new();
    for part in tail {
        let digit = u8::from_str_radix(&sha256(part.name.as_bytes()).hex()[..2], 16).unwrap_or(0);
        dealt.entry(digit % buckets).or_default().push(part);
    }
    for (_, mut parts) in dealt {
        parts.sort_by(|a, b| a.label.cmp(&b.label));
        let label = parts.iter().map(|part| part.label.as_str()).collect::<Vec<_>>().join(", ");
        let tree = parts.into_iter().flat_map(|part| part.tree).collect();
        out.push(PlannedPiece { label, tree });
    }
    out
}

/// Cuts a layer that is too large where its paths allow it.
pub(crate) fn cut(piece: PlannedPiece) -> Vec<PlannedPiece> {
    if super::tar::tar_bytes(&piece.tree) <= SPLIT {
        return vec![piece];
    }
    let mut trees = Vec::new();
    let (mut tree, mut bytes) = (Tree::new(), 0);
    for (path, entry) in piece.tree {
        let more = super::tar::item_bytes(path.as_str(), Some(&entry));
        if bytes + more > SPLIT && !tree.is_empty() {
            trees.push(std::mem::take(&mut tree));
            bytes = 0;
        }
        bytes += more;
        tree.insert(path, entry);
    }
    trees.push(tree);
    let all = trees.len();
    let numbered = |(at, tree)| PlannedPiece { label: format!("{} ({} of {all})", piece.label, at + 1), tree };
    trees.into_iter().enumerate().map(numbered).collect()
}

/// What every image has: at its root for sandboxes and for Lambda's own mounts, and where functions are started. The same layer
/// in all of them.
pub(crate) fn folders() -> PlannedPiece {
    let folder = |name| ArchivePath::new(name).ok().map(|path| (path, Entry::Directory));
    PlannedPiece {
        label: "folders".to_owned(),
        tree: ["dev", "proc", "tmp", "var/task"].into_iter().filter_map(folder).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tree::Source;

    fn part(name: &str, version: &str, bytes: u64) -> Part {
        let source = Source::Bytes(Arc::from([]));
        let entry = Entry::File { executable: false, size: bytes, source };
        let tree = [(ArchivePath::new(&format!("{name}/{version}")).unwrap(), entry)].into_iter().collect();
        Part { name: name.to_owned(), label: format!("{name} {version}"), tree }
    }

    fn labels(parts: Vec<Part>) -> Vec<String> {
        group(parts).into_iter().map(|piece| piece.label).collect()
    }

    #[test]
    fn a_bump_changes_one_layer() {
        let all = |bumped: &str| -> Vec<Part> {
            let version = |name: &str| if name == bumped { "2" } else { "1" };
            let tail: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
            let small = tail.iter().map(|name| part(name, version(name), 1 << 20));
            small.chain(["torch", "numpy"].map(|name| part(name, version(name), 50 << 20))).collect()
        };
        let before = labels(all(""));
        assert_eq!(before[..2], ["numpy 1", "torch 1"]);
        assert_eq!(before.len(), 2 + usize::from(BUCKETS));
        for bumped in ["torch", "p7"] {
            let after = labels(all(bumped));
            assert_eq!(before.iter().zip(&after).filter(|(a, b)| a != b).count(), 1, "{bumped}");
        }
        assert_eq!(labels(vec![part("b", "1", 5), part("a", "1", 5)]), ["a 1, b 1"]);
        assert!(labels((0..200).map(|n| part(&format!("p{n}"), "1", LARGE)).collect()).len() <= MOST + 8);
    }

    #[test]
    fn large_layers_are_cut_between_files() {
        let tree: Tree = (0..5).flat_map(|n| part(&format!("f{n}"), "1", 300 << 20).tree).collect();
        let cut = cut(PlannedPiece { label: "torch 1".to_owned(), tree });
        assert_eq!(cut.len(), 5);
        assert_eq!(cut[4].label, "torch 1 (5 of 5)");
        assert_eq!(super::cut(folders()).len(), 1);
    }
}
