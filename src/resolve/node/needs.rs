//! What packages of Node.js need of each other, as they lie in `node_modules`.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::resolve::Package;
use crate::tree::Tree;

/// A package of Node.js, by the folder that it lies in.
pub(crate) struct NodePackage<'t> {
    pub(crate) folder: &'t str,
    /// Names of what it asks for, optional ones among them.
    pub(crate) needs: Vec<String>,
    pub(crate) is_module: bool,
}

/// `node_modules/a` of `node_modules/a/node_modules/b`; nothing for a package that lies in none.
pub(crate) fn outermost(folder: &str) -> Option<&str> {
    let below = folder.strip_prefix("node_modules/")?;
    let at = below.find("/node_modules/")?;
    Some(&folder[.."node_modules/".len() + at])
}

/// The package that `name` is for whoever lies in `folder`.
pub(crate) fn find(by_folder: &HashMap<&str, usize>, folder: &str, name: &str) -> Option<usize> {
    let mut at = Some(folder);
    while let Some(folder) = at {
        if let Some(found) = by_folder.get(format!("{folder}/node_modules/{name}").as_str()) {
            return Some(*found);
        }
        at = folder.rfind("/node_modules/").map(|end| &folder[..end]);
    }
    by_folder.get(format!("node_modules/{name}").as_str()).copied()
}

/// What a package's own `package.json` says; nothing when it has none that can be read.
pub(crate) fn package(tree: &Tree) -> Option<NodePackage<'_>> {
    // The shallowest of them: others may lie deeper in the package.
    let manifests =
        tree.iter().filter(|(path, _)| Path::new(path.as_str()).file_name().is_some_and(|n| n == "package.json"));
    let (path, entry) = manifests.min_by_key(|(path, _)| path.as_str().len())?;
    let folder = path.as_str().strip_suffix("/package.json")?;
    let manifest: Value = serde_json::from_slice(&entry.read().ok()?).ok()?;
    let names = |key: &str| -> Vec<String> {
        manifest.get(key).and_then(Value::as_object).map(|needs| needs.keys().cloned().collect()).unwrap_or_default()
    };
    let needs =
        ["dependencies", "optionalDependencies", "peerDependencies"].iter().flat_map(|key| names(key)).collect();
    let is_module = manifest.get("type").and_then(Value::as_str) == Some("module");
    Some(NodePackage { folder, needs, is_module })
}

/// For each package, those that it asks for and finds, by their indices.
pub(crate) fn of(packages: &[Package]) -> Vec<Vec<usize>> {
    let read: Vec<Option<NodePackage<'_>>> = packages.iter().map(|one| package(&one.tree)).collect();
    let by_folder: HashMap<&str, usize> =
        read.iter().enumerate().filter_map(|(index, package)| Some((package.as_ref()?.folder, index))).collect();
    let needs = |package: &NodePackage<'_>| {
        package.needs.iter().filter_map(|name| find(&by_folder, package.folder, name)).collect()
    };
    read.iter().map(|package| package.as_ref().map_or_else(Vec::new, needs)).collect()
}
