//! NuGet packages of what was published, as `NAME.deps.json` lists them.
//! Source of the form: "runtime-configuration-file" in the documents of `dotnet/sdk`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::resolve::Package;
use crate::tree::Tree;

#[derive(Debug, Deserialize)]
struct Dependencies {
    #[serde(default)]
    targets: BTreeMap<String, BTreeMap<String, Library>>,
    #[serde(default)]
    libraries: BTreeMap<String, Kind>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Library {
    runtime: BTreeMap<String, serde_json::Value>,
    native: BTreeMap<String, serde_json::Value>,
    resources: BTreeMap<String, Resource>,
    runtime_targets: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    #[serde(default)]
    locale: String,
}

#[derive(Debug, Deserialize)]
struct Kind {
    #[serde(default, rename = "type")]
    kind: String,
}

/// The packages in a tree, and the rest of it.
pub(super) fn split(tree: Tree, assembly: &str) -> (Vec<Package>, Tree) {
    let listed = tree.get(&format!("{assembly}.deps.json")).and_then(|entry| entry.read().ok());
    let Some(listed) = listed.and_then(|bytes| serde_json::from_slice::<Dependencies>(&bytes).ok()) else {
        return (Vec::new(), tree);
    };
    let mut rest = tree;
    let mut packages = Vec::new();
    for (id, _) in listed.libraries.iter().filter(|(_, kind)| kind.kind == "package") {
        let Some((name, version)) = id.split_once('/') else { continue };
        let mut files = Tree::new();
        for library in listed.targets.values().filter_map(|target| target.get(id)) {
            for path in library.paths() {
                if let (Ok(at), Some(entry)) = (crate::tree::ArchivePath::new(&path), rest.remove(&path)) {
                    files.insert(at, entry);
                }
            }
        }
        packages.push(Package { name: name.to_owned(), version: version.to_owned(), tree: files });
    }
    (packages, rest)
}

impl Library {
    /// Where its files are published: assemblies at the root, those of one language in its folder, others where they were.
    fn paths(&self) -> Vec<String> {
        let base = |path: &String| path.rsplit('/').next().unwrap_or(path).to_owned();
        let resources = self.resources.iter().map(|(path, resource)| format!("{}/{}", resource.locale, base(path)));
        let at_root = self.runtime.keys().chain(self.native.keys()).map(base);
        at_root.chain(resources).chain(self.runtime_targets.keys().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{ArchivePath, Entry};

    #[test]
    fn files_belong_to_the_packages_that_bring_them() {
        let listed = r#"{"targets": {"net8.0/linux-x64": {
            "Api/1.0.0": {"runtime": {"Api.dll": {}}},
            "Newtonsoft.Json/13.0.3": {"runtime": {"lib/net6.0/Newtonsoft.Json.dll": {}}},
            "Empty/1.0.0": {},
            "H/2": {"resources": {"lib/net6.0/de/H.resources.dll": {"locale": "de"}}, "runtimeTargets": {"runtimes/linux/H.so": {}}}}},
            "libraries": {"Api/1.0.0": {"type": "project"}, "Newtonsoft.Json/13.0.3": {"type": "package"},
            "Empty/1.0.0": {"type": "package"}, "H/2": {"type": "package"}}}"#;
        let file = |path: &str, text: &str| (ArchivePath::new(path).unwrap(), Entry::bytes(text.as_bytes(), false));
        let tree: Tree = [
            file("Api.dll", ""),
            file("Api.deps.json", listed),
            file("Newtonsoft.Json.dll", "json"),
            file("de/H.resources.dll", ""),
            file("runtimes/linux/H.so", ""),
        ]
        .into_iter()
        .collect();
        let (packages, rest) = split(tree.clone(), "Api");
        let shown: Vec<(String, usize)> = packages.iter().map(|p| (p.label(), p.tree.len())).collect();
        let expected = [("Empty 1.0.0", 0), ("H 2", 2), ("Newtonsoft.Json 13.0.3", 1)];
        assert_eq!(shown, expected.map(|(label, files)| (label.to_owned(), files)));
        assert_eq!(rest.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["Api.deps.json", "Api.dll"]);
        assert_eq!(split(tree, "Other").0.len(), 0);
    }
}
