//! `symlink-escapes`, `symlink-dangling`, `layer-symlink`: links in an artifact.

use super::judge::Kind;
use crate::finding::{Finding, Rule};
use crate::tree::{ArchivePath, Entry, Tree};

/// Folders of Lambda's own that a link may lead to.
const LAMBDAS: &[&str] = &["/opt", "/var", "/tmp", "/mnt", "/lib64", "/usr", "/proc", "/dev", "/etc"];

pub(super) fn check_links(tree: &Tree, kind: Kind) -> Vec<Finding> {
    let links = tree.iter().filter_map(|(path, entry)| match entry {
        Entry::Symlink { target } => Some((path, target.as_str())),
        _ => None,
    });
    links.filter_map(|(path, target)| check(tree, kind, path, target)).collect()
}

fn check(tree: &Tree, kind: Kind, path: &ArchivePath, target: &str) -> Option<Finding> {
    let finding = if target.starts_with('/') {
        let is_lambdas = LAMBDAS
            .iter()
            .any(|folder| target.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        if is_lambdas { None } else { Some(escapes(target)) }
    } else {
        match inside(path, target) {
            None => Some(escapes(target)),
            Some(inside) if leads_somewhere(tree, &inside) => None,
            Some(_) => Some(Finding::new(
                Rule::SymlinkDangling,
                format!("the link leads to `{target}`, which does not exist"),
                "remove the link, or bring its target along",
            )),
        }
    };
    let of_layer = || {
        (kind == Kind::Layer).then(|| {
            Finding::new(
                Rule::LayerSymlink,
                format!("a link to `{target}` in a layer; Lambda may say `Lambda layer conversion failed`"),
                "put the file itself there",
            )
        })
    };
    finding.or_else(of_layer).map(|finding| finding.path(path.as_str()))
}

fn escapes(target: &str) -> Finding {
    Finding::new(
        Rule::SymlinkEscapes,
        format!("the link leads to `{target}`, outside the package"),
        "put the file itself there, or remove the link",
    )
}

/// The path below the root that a link leads to, by name; nothing when it leaves the root.
fn inside(path: &ArchivePath, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.as_str().split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn leads_somewhere(tree: &Tree, path: &str) -> bool {
    let through_link =
        || path.match_indices('/').any(|(at, _)| matches!(tree.get(&path[..at]), Some(Entry::Symlink { .. })));
    path.is_empty() || tree.contains(path) || tree.contains_folder(path) || through_link()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_judged_by_where_they_lead() {
        let link = |target: &str| Entry::Symlink { target: target.to_owned() };
        let said = |target: &str, kind| {
            let tree: Tree =
                [("a/link", link(target)), ("a/file", Entry::bytes(b"".as_slice(), false)), ("b/x/y", link("/opt"))]
                    .into_iter()
                    .map(|(path, entry)| (ArchivePath::new(path).unwrap(), entry))
                    .collect();
            let findings = check_links(&tree, kind);
            findings.iter().find(|f| f.path.as_deref() == Some("a/link")).map(|f| f.rule.id())
        };
        for (target, rule) in [
            ("file", None),
            ("../a/file", None),
            ("..", None),
            ("../b/x/y/lib/libz.so", None),
            ("gone", Some("symlink-dangling")),
            ("../../etc/passwd", Some("symlink-escapes")),
            ("/home/me/file", Some("symlink-escapes")),
            ("/variable", Some("symlink-escapes")),
            ("/opt/lib/x", None),
            ("/var/task/a", None),
        ] {
            assert_eq!(said(target, Kind::Function), rule, "{target}");
        }
        assert_eq!(said("file", Kind::Layer), Some("layer-symlink"));
    }
}
