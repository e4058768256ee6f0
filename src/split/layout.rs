//! Where packages lie in a layer, and how a folder becomes one: Lambda unpacks layers below `/opt`, in which each runtime
//! looks in places of its own ("Packaging your layer content" in the AWS Lambda Developer Guide).

use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::tree::{ArchivePath, Entry, Tree};

/// Folders and files at the root of a layer that mean something to Lambda or a runtime.
const PLACES: &[&str] = &["python", "nodejs", "java", "ruby", "dotnet", "bin", "lib", "extensions", "bootstrap"];
/// A chain of links is followed so far, as Linux does.
const MAX_LINKS: usize = 40;
/// Links to folders may multiply files: a layer has at most so many.
const MAX_FILES: usize = 500_000;

/// Where packages of a scope lie: what `node_modules/x` or `x/__init__.py` of a function is put below.
pub fn prefix(scope: &str) -> &str {
    match scope {
        "python" | "nodejs" | "java" => scope,
        // Where it looks for files; gems have a place of their own.
        "ruby" => "ruby/lib",
        _ => "",
    }
}

/// Where a package of a scope goes in a layer.
///
/// # Errors
/// When a path becomes one that cannot be packed.
pub fn placed(scope: &str, tree: &Tree) -> Result<Tree> {
    if scope != "ruby" {
        return below(prefix(scope), tree);
    }
    let path = |path: &str| match path.strip_prefix("vendor/bundle/ruby/") {
        Some(gem) => format!("ruby/gems/{gem}"),
        None => format!("{}/{path}", prefix(scope)),
    };
    tree.iter()
        .map(|(at, entry)| {
            let to = path(at.as_str());
            let to = ArchivePath::new(&to).map_err(|problem| Error::failed(format!("`{to}` {problem}")))?;
            Ok((to, entry.clone()))
        })
        .collect()
}

/// Whether a folder is laid out as a layer already.
pub fn is_laid_out(tree: &Tree) -> bool {
    PLACES.iter().any(|place| tree.contains(place) || tree.contains_folder(place))
}

/// The tree below a folder.
///
/// # Errors
/// When a path becomes one that cannot be packed.
pub fn below(prefix: &str, tree: &Tree) -> Result<Tree> {
    if prefix.is_empty() {
        return Ok(tree.clone());
    }
    tree.iter()
        .map(|(path, entry)| {
            let moved = ArchivePath::new(&format!("{prefix}/{path}"))
                .map_err(|problem| Error::failed(format!("`{prefix}/{path}` {problem}")))?;
            Ok((moved, entry.clone()))
        })
        .collect()
}

/// The tree with files in place of links. Lambda may refuse a layer with links ("Lambda layer conversion failed").
///
/// # Errors
/// When there would be too many files.
pub fn without_links(tree: &Tree) -> Result<(Tree, Vec<Finding>)> {
    let mut out = Tree::new();
    let mut findings = Vec::new();
    for (path, entry) in tree.iter() {
        let Entry::Symlink { target } = entry else {
            out.insert(path.clone(), entry.clone());
            continue;
        };
        let files = follow(tree, path.as_str(), target);
        if files.is_empty() {
            findings.push(left_out(path.as_str(), target));
        }
        for (at, entry) in files {
            let at = ArchivePath::new(&at).map_err(|problem| Error::failed(format!("`{at}` {problem}")))?;
            out.insert(at, entry);
        }
        if out.len() > MAX_FILES {
            return Err(Error::config(format!(
                "links in a layer lead to more than {MAX_FILES} files; the last is `{path}`"
            )));
        }
    }
    Ok((out, findings))
}

fn left_out(path: &str, target: &str) -> Finding {
    Finding::new(
        Rule::LayerSymlink,
        format!(
            "links to `{target}`, which is not in the layer; it is left out, since Lambda refuses layers with links (`Lambda layer conversion failed`)"
        ),
        "put the file itself there, or remove the link",
    )
    .path(path)
}

/// What a link leads to, as it is to stand in its place: a file, or all files of a folder. Nothing when it leads nowhere.
fn follow(tree: &Tree, path: &str, target: &str) -> Vec<(String, Entry)> {
    let Some(end) = resolve(tree, path, target, 0) else { return Vec::new() };
    match tree.get(&end) {
        Some(entry @ Entry::File { .. }) => vec![(path.to_owned(), entry.clone())],
        _ if path.starts_with(&format!("{end}/")) => Vec::new(), // It holds itself.
        _ => {
            let prefix = format!("{end}/");
            let below =
                tree.iter().filter_map(|(at, entry)| Some((at.as_str().strip_prefix(&prefix)?, at.as_str(), entry)));
            below
                .filter_map(|(rest, at, entry)| {
                    let entry = match entry {
                        Entry::Symlink { target } => match tree.get(&resolve(tree, at, target, 0)?)? {
                            file @ Entry::File { .. } => file.clone(),
                            _ => return None,
                        },
                        other => other.clone(),
                    };
                    Some((format!("{path}/{rest}"), entry))
                })
                .collect()
        }
    }
}

/// The file or folder of the tree that a link at `path` leads to in the end.
fn resolve(tree: &Tree, path: &str, target: &str, depth: usize) -> Option<String> {
    if depth > MAX_LINKS || target.starts_with('/') {
        return None;
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut at: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    let parts: Vec<&str> = target.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    for (index, part) in parts.iter().enumerate() {
        if *part == ".." {
            at.pop()?;
            continue;
        }
        at.push(part);
        let here = at.join("/");
        if let Some(Entry::Symlink { target }) = tree.get(&here) {
            let rest = parts[index + 1..].join("/");
            let next = if rest.is_empty() { target.clone() } else { format!("{target}/{rest}") };
            return resolve(tree, &here, &next, depth + 1);
        }
    }
    let end = at.join("/");
    (tree.contains(&end) || tree.contains_folder(&end)).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, Entry)]) -> Tree {
        entries.iter().map(|(path, entry)| (ArchivePath::new(path).unwrap(), entry.clone())).collect()
    }

    fn file(text: &str) -> Entry {
        Entry::bytes(text.as_bytes(), false)
    }

    fn link(target: &str) -> Entry {
        Entry::Symlink { target: target.to_owned() }
    }

    #[test]
    fn links_become_what_they_lead_to() {
        let before = tree(&[
            ("lib/liba.so.1.2", file("a")),
            ("lib/liba.so.1", link("liba.so.1.2")),
            ("lib/liba.so", link("../lib/liba.so.1")),
            ("share", link("lib")),
            ("gone", link("/opt/lib/x")),
            ("loop", link("loop")),
            ("out", link("../../etc/passwd")),
            ("self/again", link("..")),
        ]);
        let (after, findings) = without_links(&before).unwrap();
        let shown: Vec<String> = after
            .iter()
            .map(|(path, entry)| format!("{path}={}", String::from_utf8(entry.read().unwrap()).unwrap()))
            .collect();
        assert_eq!(
            shown,
            [
                "lib/liba.so=a",
                "lib/liba.so.1=a",
                "lib/liba.so.1.2=a",
                "share/liba.so=a",
                "share/liba.so.1=a",
                "share/liba.so.1.2=a"
            ]
        );
        let told: Vec<&str> = findings.iter().filter_map(|finding| finding.path.as_deref()).collect();
        assert_eq!(told, ["gone", "loop", "out", "self/again"]);
    }

    #[test]
    fn what_is_laid_out_is_known() {
        assert!(is_laid_out(&tree(&[("python/a.py", file(""))])));
        assert!(is_laid_out(&tree(&[("bootstrap", file(""))])));
        assert!(!is_laid_out(&tree(&[("pythonic/a.py", file(""))])));
        let moved = below("python", &tree(&[("a.py", file(""))])).unwrap();
        assert!(moved.contains("python/a.py"));
    }
}
