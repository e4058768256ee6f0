//! `pnpm-lock.yaml`, versions 6.0 (pnpm 8) and 9.0 (pnpm 9 and newer).
//!
//! `importers` are the workspace's folders; `snapshots` (with the packages themselves in version 6) say for each package and
//! each choice of peers what its names mean. Keys are `name@version(peer@version)`, with a leading `/` in version 6.
//! Source: pnpm's `lockfile-types` and `dependency-path`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::graph::Nodes;
use super::{Manager, location_of, own_manifest, settings, split_name};
use crate::error::{Error, Result};
use crate::resolve::node::lock::{Entry, Lock, Platform, slot};
use crate::resolve::node::manifest::Needs;
use crate::template::yaml::{Document, Node};

pub(super) fn read(path: &Path, folder: &Path) -> Result<Lock> {
    parse(&Document::read(path)?, folder)
}

fn parse(document: &Document, folder: &Path) -> Result<Lock> {
    let root = &document.root;
    let version = root.get("lockfileVersion").and_then(|node| node.text()).unwrap_or_default();
    let is_old = match version.split('.').next() {
        Some("9") => false,
        Some("6") => true,
        _ => {
            return Err(Error::config(format!("the lock file is of version `{version}`; 6.0 and 9.0 are read"))
                .at(&document.path, None)
                .hint("write it anew with `pnpm install --lockfile-only` of pnpm 8 or newer"));
        }
    };
    let mut work = Work { document, folder, is_old, packages: map(root.get("packages")), nodes: Nodes::default() };
    let importers = match root.get("importers") {
        Some(importers) => map(Some(importers)),
        // A project that is no workspace, in version 6.
        None => BTreeMap::from([(".", &**root)]),
    };
    let changed = changed(root);
    for (location, importer) in &importers {
        work.importer(&location_of("", location), importer, &importers, &changed)?;
    }
    let snapshots = if is_old { root.get("packages") } else { root.get("snapshots") };
    for (key, snapshot) in map(snapshots) {
        work.package(key, snapshot, &importers)?;
    }
    let mut lock = work.nodes.lock(Manager::Pnpm, &document.path, folder)?;
    lock.settings = settings::pnpm(folder)?;
    Ok(lock)
}

/// Names of packages whose ranges pnpm has changed, so that those of a `package.json` do not stand in the lock.
fn changed(root: &Node) -> BTreeSet<String> {
    let overrides = map(root.get("overrides"));
    let names = overrides.keys().map(|key| {
        let last = key.rsplit('>').next().unwrap_or(key);
        split_name(last).map_or(last, |(name, _)| name).to_owned()
    });
    let ignored = root.get("ignoredOptionalDependencies").and_then(|node| node.items()).into_iter().flatten();
    names.chain(ignored.filter_map(|name| name.text().map(str::to_owned))).collect()
}

/// Keys and values of a map.
fn map(node: Option<&std::sync::Arc<Node>>) -> BTreeMap<&str, &Node> {
    let entries = node.map(|node| node.entries()).unwrap_or_default();
    entries.iter().filter_map(|(key, value)| Some((key.text()?, &**value))).collect()
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key)?.text().map(str::to_owned)
}

fn words(node: &Node, key: &str) -> Option<Vec<String>> {
    let items = node.get(key)?.items()?;
    Some(items.iter().filter_map(|item| item.text().map(str::to_owned)).collect())
}

struct Work<'d> {
    document: &'d Document,
    folder: &'d Path,
    is_old: bool,
    packages: BTreeMap<&'d str, &'d Node>,
    nodes: Nodes,
}

type Importers<'d> = BTreeMap<&'d str, &'d Node>;

impl Work<'_> {
    /// A folder of the workspace. Its needs have the ranges of its `package.json`.
    fn importer(
        &mut self,
        location: &str,
        importer: &Node,
        importers: &Importers<'_>,
        changed: &BTreeSet<String>,
    ) -> Result<()> {
        let mut links = BTreeMap::new();
        let mut needs = Needs::default();
        for (key, into) in [
            ("devDependencies", &mut needs.dev),
            ("dependencies", &mut needs.required),
            ("optionalDependencies", &mut needs.optional),
        ] {
            let specifiers = map(importer.get("specifiers"));
            for (name, need) in map(importer.get(key)) {
                let version = need.text().map(str::to_owned).or_else(|| text(need, "version"));
                let Some(version) = version else { continue };
                let specifier = specifiers.get(name).and_then(|node| node.text()).map(str::to_owned);
                let specifier = text(need, "specifier").or(specifier).unwrap_or_default();
                into.insert(name.to_owned(), specifier);
                links.insert(name.to_owned(), self.target(location, name, &version, importers)?);
            }
        }
        let (mut name, mut version) = (None, None);
        if !location.starts_with("..")
            && let Ok((manifest, own, of)) = own_manifest(self.folder, location)
        {
            (name, version) = (own, of);
            let asked = &manifest.needs;
            // Peers that pnpm has installed by itself stand among the dependencies.
            let is_peer = |name: &String| {
                asked.peer.contains_key(name)
                    && !asked.required.contains_key(name)
                    && !asked.optional.contains_key(name)
            };
            let peers: Vec<String> = needs.required.keys().filter(|name| is_peer(name)).cloned().collect();
            let own = needs.required.clone();
            needs.peer = asked.peer.clone();
            for name in peers {
                needs.required.remove(&name);
                needs.peer.insert(name.clone(), own[&name].clone());
            }
            // What an override has made of a range is no disagreement.
            for name in changed {
                for (asked, locked) in [
                    (&asked.required, &mut needs.required),
                    (&asked.optional, &mut needs.optional),
                    (&asked.peer, &mut needs.peer),
                ] {
                    if let (Some(asked), true) = (asked.get(name), locked.contains_key(name)) {
                        locked.insert(name.clone(), asked.clone());
                    }
                }
            }
            needs.optional_peers = asked.optional_peers.clone();
        }
        self.nodes.add(location.to_owned(), Entry { name, version, needs, ..Entry::default() }, links);
        Ok(())
    }

    /// The location of what `name: version` means in a folder.
    fn target(&mut self, base: &str, name: &str, version: &str, importers: &Importers<'_>) -> Result<String> {
        let Some(path) = version.strip_prefix("link:") else {
            let key = self.key(name, version);
            return Ok(slot(&key, self.name_of(&key).unwrap_or(name)));
        };
        let location = location_of(base, path);
        let is_importer = importers.keys().any(|importer| location_of("", importer) == location);
        if !is_importer && !self.nodes.has(&location) {
            // A folder that pnpm links and does not look into.
            self.nodes.add(location.clone(), Entry::default(), BTreeMap::new());
        }
        Ok(location)
    }

    /// The key under which the lock has what `name: reference` means.
    fn key(&self, name: &str, reference: &str) -> String {
        let bare = without_peers(reference);
        if self.is_old {
            let is_key = reference.starts_with("file:") || bare.contains('/');
            return if is_key { reference.to_owned() } else { format!("/{name}@{reference}") };
        }
        let at = reference.find('@');
        let is_before = |other: char| reference.find(other).is_none_or(|other| at.is_some_and(|at| at < other));
        let is_key = reference.starts_with('@') || (at.is_some() && is_before(':') && is_before('('));
        if is_key { reference.to_owned() } else { format!("{name}@{reference}") }
    }

    /// The name that a key begins with, or that its package has.
    fn name_of<'k>(&'k self, key: &'k str) -> Option<&'k str> {
        let bare = without_peers(key);
        let named = split_name(bare.strip_prefix('/').unwrap_or(bare)).map(|(name, _)| name);
        let own = self.packages.get(key).or_else(|| self.packages.get(bare));
        own.and_then(|own| own.get("name")?.text()).or(named)
    }

    fn package(&mut self, key: &str, snapshot: &Node, importers: &Importers<'_>) -> Result<()> {
        let bare = without_peers(key);
        let Some(package) = self.packages.get(if self.is_old { key } else { bare }).copied() else {
            return Err(self.bad(snapshot, format!("`{key}` stands in `snapshots` and not in `packages`")));
        };
        let Some(name) = self.name_of(key).map(str::to_owned) else {
            return Err(self.bad(snapshot, format!("`{key}` is no name of a package")));
        };
        let peer: BTreeMap<String, String> = map(package.get("peerDependencies"))
            .into_iter()
            .map(|(name, range)| (name.to_owned(), range.text().unwrap_or("*").to_owned()))
            .collect();
        let mut needs = Needs::default();
        let mut links = BTreeMap::new();
        for (field, is_optional) in [("dependencies", false), ("optionalDependencies", true)] {
            for (name, reference) in map(snapshot.get(field)) {
                let Some(reference) = reference.text() else { continue };
                let target = self.target("", name, reference, importers)?;
                links.insert(name.to_owned(), target);
                let into = if peer.contains_key(name) {
                    &mut needs.peer
                } else if is_optional {
                    &mut needs.optional
                } else {
                    &mut needs.required
                };
                into.insert(name.to_owned(), reference.to_owned());
            }
        }
        let platform = Platform { os: words(package, "os"), cpu: words(package, "cpu"), libc: words(package, "libc") };
        let version = text(package, "version")
            .or_else(|| split_name(bare.strip_prefix('/').unwrap_or(bare)).map(|(_, version)| version.to_owned()))
            .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()));
        let install_script = text(package, "requiresBuild").as_deref() == Some("true");
        let mut entry =
            Entry { name: Some(name.clone()), version, install_script, platform, needs, ..Entry::default() };
        resolution(&mut entry, package.get("resolution"), bare);
        if key.contains("(patch_hash=") {
            entry.refused = Some(PATCHED.to_owned());
        }
        self.nodes.add(slot(key, &name), entry, links);
        Ok(())
    }

    fn bad(&self, node: &Node, what: String) -> Error {
        self.document
            .error(node, what)
            .hint("pnpm did not write it so; write it anew with `pnpm install --lockfile-only`")
    }
}

const PATCHED: &str = "is patched (`patchedDependencies`), which this version does not apply; depend on a release with the change, \
                       or commit the patched package into the workspace";

/// Where the archive or the folder is.
fn resolution(entry: &mut Entry, resolution: Option<&std::sync::Arc<Node>>, key: &str) {
    let Some(resolution) = resolution else {
        entry.refused = Some(format!("has no `resolution` in the lock (`{key}`); run `pnpm install --lockfile-only`"));
        return;
    };
    entry.integrity = text(resolution, "integrity");
    entry.resolved = text(resolution, "tarball");
    if let Some(directory) = text(resolution, "directory") {
        entry.resolved = Some(format!("file:{directory}"));
    }
    if let (Some(repository), Some(commit)) = (text(resolution, "repo"), text(resolution, "commit")) {
        let start = if repository.contains("://") && !repository.starts_with("git") { "git+" } else { "" };
        let within = text(resolution, "path").map(|path| format!("::path:{path}")).unwrap_or_default();
        entry.resolved = Some(format!("{start}{repository}#{commit}{within}"));
    }
}

/// A key without the peers, `(react@18.2.0)`, and the patch at its end.
fn without_peers(key: &str) -> &str {
    let mut end = key.len();
    while key[..end].ends_with(')') {
        let mut depth = 0_usize;
        let open = key[..end].char_indices().rev().find(|(_, c)| {
            match c {
                ')' => depth += 1,
                '(' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let Some((open, _)) = open else { break };
        end = open;
    }
    &key[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lock(text: &str) -> Result<Lock> {
        let document = Document::parse(Path::new("/p/pnpm-lock.yaml"), text.to_owned())?;
        parse(&document, Path::new("/p"))
    }

    const NINE: &str = "lockfileVersion: '9.0'
importers:
  packages/api:
    dependencies:
      '@x/shared': {specifier: 'workspace:*', version: link:../shared}
      old: {specifier: 'npm:lodash@3', version: lodash@3.10.1}
      dom: {specifier: ^18, version: 18.2.0(react@18.2.0)}
  packages/shared: {}
packages:
  lodash@3.10.1: {resolution: {integrity: sha512-x}}
  dom@18.2.0:
    resolution: {integrity: sha512-y}
    peerDependencies: {react: '*'}
  react@18.2.0: {resolution: {integrity: sha512-z}, os: [linux]}
snapshots:
  lodash@3.10.1: {}
  dom@18.2.0(react@18.2.0):
    dependencies: {react: 18.2.0}
  react@18.2.0: {}
";

    #[test]
    fn names_are_looked_up_through_links_aliases_and_peers() {
        let lock = lock(NINE).unwrap();
        let find = |from: &str, name: &str| lock.find(from, name).map(str::to_owned);
        assert_eq!(find("packages/api", "@x/shared").as_deref(), Some("packages/shared"));
        assert_eq!(find("packages/api", "old").as_deref(), Some("lodash@3.10.1/node_modules/lodash"));
        let dom = find("packages/api", "dom").unwrap();
        assert_eq!(dom, "dom@18.2.0(react@18.2.0)/node_modules/dom");
        assert_eq!(find(&dom, "react").as_deref(), Some("react@18.2.0/node_modules/react"));
        assert!(lock.get(&dom).unwrap().needs.peer.contains_key("react"));
        assert_eq!(lock.label(&dom), "dom 18.2.0");
    }

    #[test]
    fn keys_of_version_6_have_a_slash() {
        let lock = lock("lockfileVersion: '6.0'\ndependencies:\n  '@s/a': {specifier: ^1, version: 1.0.0(b@2.0.0)}\n\
            packages:\n  /@s/a@1.0.0(b@2.0.0):\n    resolution: {integrity: sha512-x}\n    peerDependencies: {b: '*'}\n    dependencies: {b: 2.0.0}\n  /b@2.0.0:\n    resolution: {integrity: sha512-y}\n").unwrap();
        let a = lock.find("", "@s/a").unwrap();
        assert_eq!(lock.label(a), "@s/a 1.0.0");
        assert_eq!(lock.label(lock.find(a, "b").unwrap()), "b 2.0.0");
    }

    #[test]
    fn what_cannot_be_read_is_an_error_with_its_place() {
        for (text, why) in [
            ("lockfileVersion: 5.4\n", "6.0 and 9.0 are read"),
            ("lockfileVersion: '9.0'\nsnapshots:\n  a@1: {}\n", "not in `packages`"),
            (
                "lockfileVersion: '9.0'\nimporters:\n  a/../../b/c: {}\n  /etc: {dependencies: {a: {version: 'link:a/../..'}}}\n",
                "",
            ),
            ("lockfileVersion: '9.0'\npackages:\n  a@1:\n    resolution: {integr", "pnpm-lock.yaml:"),
        ] {
            match lock(text) {
                Ok(_) => assert_eq!(why, ""),
                Err(error) => assert!(error.to_string().contains(why), "{text}: {error}"),
            }
        }
    }

    #[test]
    fn peers_leave_keys() {
        for (key, bare) in [
            ("a@1(b@2(c@3))(d@4)", "a@1"),
            ("a@1", "a@1"),
            ("a)", "a)"),
            ("(a)", ""),
            ("a@file:x(y)/z", "a@file:x(y)/z"),
        ] {
            assert_eq!(without_peers(key), bare);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(key in "[a@/().:1-3é]{0,16}", reference in "[a@/().:1-3é]{0,16}", version in "[69]") {
            let text = format!("lockfileVersion: '{version}.0'\nimporters:\n  '{key}':\n    dependencies:\n      a: '{reference}'\n\
                packages:\n  '{key}': {{resolution: {{directory: '{reference}'}}}}\nsnapshots:\n  '{key}':\n    dependencies: {{'{reference}': '{key}'}}\n");
            let _ = lock(&text);
        }
    }
}
