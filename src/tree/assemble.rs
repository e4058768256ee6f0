//! One tree of a function's own files, what was built for it, and its packages; and what is wrong where they meet.

use std::collections::BTreeMap;

use super::{ArchivePath, Entry, Tree};
use crate::finding::{Finding, Level, Rule};

/// At most so many findings of one kind; more of them say nothing new.
const MAX_FINDINGS: usize = 20;

/// Puts trees over each other. Later ones win; `labels` name them in findings.
#[derive(Debug, Default)]
pub struct Assembly {
    tree: Tree,
    owners: BTreeMap<ArchivePath, usize>,
    labels: Vec<String>,
    findings: Vec<Finding>,
}

impl Assembly {
    /// Puts a tree over what is there.
    pub fn add(&mut self, label: impl Into<String>, tree: &Tree) {
        let owner = self.labels.len();
        self.labels.push(label.into());
        for (path, entry) in tree.iter() {
            // Only files below it keep a folder that another tree says is empty.
            if matches!(entry, Entry::Directory) && self.tree.contains(path.as_str()) {
                continue;
            }
            let before = self.tree.insert(path.clone(), entry.clone());
            let first = self.owners.insert(path.clone(), owner);
            if let (Some(before), Some(first)) = (before, first)
                && !matches!(before, Entry::Directory)
                && !before.surely_equals(entry)
                && !same_bytes(&before, entry)
            {
                self.findings.push(
                    Finding::new(
                        Rule::DuplicateEntry,
                        format!(
                            "both {} and {} bring this path; {} wins, as it would when installed last",
                            self.labels[first], self.labels[owner], self.labels[owner]
                        ),
                        "leave one of them out (`exclude`), or check that both mean the same file",
                    )
                    .path(path.as_str()),
                );
            }
        }
    }

    /// The tree, and what is wrong with it.
    pub fn finish(mut self) -> (Tree, Vec<Finding>) {
        let clashes: Vec<ArchivePath> = self.tree.iter().filter_map(|(path, _)| self.clash(path)).collect();
        for path in clashes {
            match self.tree.get(path.as_str()) {
                Some(Entry::Directory) => {
                    self.tree.remove(path.as_str());
                }
                Some(_) => self.findings.push(
                    Finding::new(
                        Rule::DuplicateEntry,
                        "this path is a file or link, and also a folder with files in it; Lambda says `Could not unzip uploaded file`",
                        "rename one of them, or leave it out (`exclude`)",
                    )
                    .path(path.as_str())
                    .level(Level::Error),
                ),
                None => {}
            }
        }
        let mut findings = self.findings;
        findings.truncate(MAX_FINDINGS);
        findings.extend(case_collisions(&self.tree));
        (self.tree, findings)
    }

    /// The part of `path` that is itself an entry, though something lies below it.
    fn clash(&self, path: &ArchivePath) -> Option<ArchivePath> {
        path.as_str()
            .match_indices('/')
            .map(|(at, _)| &path.as_str()[..at])
            .find(|parent| self.tree.contains(parent))
            .and_then(|parent| ArchivePath::new(parent).ok())
    }
}

/// Compares contents, which is only done for the few paths that two trees bring.
fn same_bytes(a: &Entry, b: &Entry) -> bool {
    match (a, b) {
        (Entry::File { executable: xa, size: sa, .. }, Entry::File { executable: xb, size: sb, .. }) => {
            xa == xb && sa == sb && matches!((a.read(), b.read()), (Ok(a), Ok(b)) if a == b)
        }
        _ => false,
    }
}

fn case_collisions(tree: &Tree) -> Vec<Finding> {
    let mut folded: BTreeMap<String, &ArchivePath> = BTreeMap::new();
    tree.iter()
        .filter_map(|(path, _)| {
            let other = folded.insert(path.as_str().to_lowercase(), path)?;
            Some(
                Finding::new(
                    Rule::CaseCollision,
                    format!("differs from `{other}` only in upper and lower case; one of them is lost where the package is unpacked on macOS or Windows"),
                    "rename one of them; on Lambda itself both exist",
                )
                .path(path.as_str()),
            )
        })
        .take(MAX_FINDINGS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        files
            .iter()
            .map(|(path, text)| (ArchivePath::new(path).unwrap(), Entry::bytes(text.as_bytes(), false)))
            .collect()
    }

    fn assembled(trees: &[&[(&str, &str)]]) -> (Tree, Vec<(Option<String>, Rule, Level)>) {
        let mut assembly = Assembly::default();
        for (i, files) in trees.iter().enumerate() {
            assembly.add(format!("tree {i}"), &tree(files));
        }
        let (tree, findings) = assembly.finish();
        (tree, findings.into_iter().map(|f| (f.path, f.rule, f.level)).collect())
    }

    #[test]
    fn the_later_wins_and_only_real_differences_are_told() {
        let (tree, findings) = assembled(&[&[("a", "1"), ("same", "x")], &[("a", "2"), ("same", "x")]]);
        assert_eq!(tree.get("a").unwrap().read().unwrap(), b"2");
        assert_eq!(findings, [(Some("a".into()), Rule::DuplicateEntry, Level::Warning)]);
    }

    #[test]
    fn a_file_that_is_also_a_folder_is_an_error() {
        let (_, findings) = assembled(&[&[("a", "1")], &[("a/b", "2")]]);
        assert_eq!(findings, [(Some("a".into()), Rule::DuplicateEntry, Level::Error)]);
    }

    #[test]
    fn a_folder_that_is_not_empty_after_all_has_no_entry() {
        let mut assembly = Assembly::default();
        assembly.add("folder", &[(ArchivePath::new("d").unwrap(), Entry::Directory)].into_iter().collect());
        assembly.add("files", &tree(&[("d/x", "1")]));
        let (tree, findings) = assembly.finish();
        assert_eq!((tree.len(), findings.len()), (1, 0));
    }

    #[test]
    fn names_that_differ_in_case_are_told() {
        let (_, findings) = assembled(&[&[("A/x.py", "1"), ("a/X.py", "1"), ("b", "")]]);
        assert_eq!(findings, [(Some("a/X.py".into()), Rule::CaseCollision, Level::Warning)]);
    }
}
