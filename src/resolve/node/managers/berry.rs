//! `yarn.lock` of Yarn since version 2, for projects that have a `node_modules` (`nodeLinker: node-modules` or `pnpm`).
//!
//! Entries say which version each `name@npm:range` is. Peers are what a package's user has ([`with_peers`]). Which needs of a workspace's folder are for development is read from its `package.json`.
//!
//! `checksum` is of the zip that Yarn makes, not of the archive in the registry: see [`super::prove`].

use std::collections::BTreeMap;
use std::path::Path;

use super::graph::{Nodes, with_peers};
use super::settings::Berry;
use super::{Manager, location_of, own_manifest, split_name};
use crate::error::{Error, Result};
use crate::resolve::node::lock::{Entry, Lock, Platform, slot};
use crate::resolve::node::manifest::Needs;
use crate::store::percent_decode;
use crate::template::yaml::{Document, Node};

/// Whether the text of a `yarn.lock` is of Yarn 2 or newer.
pub(super) fn is_berry(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("__metadata:"))
}

pub(super) fn read(text: String, path: &Path, folder: &Path) -> Result<Lock> {
    let settings = Berry::read(folder)?;
    match settings.linker.as_deref() {
        Some("node-modules" | "pnpm") => {}
        linker => {
            let what = match linker {
                None => "sets no `nodeLinker`, which means Plug'n'Play".to_owned(),
                Some(linker) => format!("sets `nodeLinker: {linker}`"),
            };
            return Err(Error::config(format!(
                "the project {what}: its packages would be loaded through `.pnp.cjs`, and Lambda looks for `node_modules`"
            ))
            .at(folder.join(".yarnrc.yml"), None)
            .hint("set `nodeLinker: node-modules` in `.yarnrc.yml` and run `yarn install`; the lock stays as it is"));
        }
    }
    parse(&Document::parse(path, text)?, folder, settings)
}

/// What an entry says.
struct Locked {
    /// Its name, and what tells it from others: `npm:1.2.3`, `workspace:packages/api`.
    name: String,
    reference: String,
    version: Option<String>,
    needs: Needs,
    platform: Platform,
    checksum: Option<String>,
}

impl Locked {
    fn new(node: &Node) -> Option<Self> {
        let text = |key: &str| node.get(key).and_then(|node| node.text()).map(str::to_owned);
        let (name, reference) = split_name(node.get("resolution")?.text()?)?;
        let map = |key: &str| -> BTreeMap<String, String> {
            let entries = node.get(key).map(|node| node.entries()).unwrap_or_default();
            entries
                .iter()
                .filter_map(|(name, range)| Some((name.text()?.to_owned(), range.text()?.to_owned())))
                .collect()
        };
        let optional_of = |key: &str| -> Vec<String> {
            let entries = node.get(key).map(|node| node.entries()).unwrap_or_default();
            let is_optional = |meta: &Node| meta.get("optional").and_then(|node| node.text()) == Some("true");
            entries
                .iter()
                .filter(|(_, meta)| is_optional(meta))
                .filter_map(|(name, _)| Some(name.text()?.to_owned()))
                .collect()
        };
        let mut needs = Needs { required: map("dependencies"), peer: map("peerDependencies"), ..Needs::default() };
        for name in optional_of("dependenciesMeta") {
            if let Some(range) = needs.required.remove(&name) {
                needs.optional.insert(name, range);
            }
        }
        needs.optional_peers = optional_of("peerDependenciesMeta").into_iter().collect();
        Some(Self {
            name: name.to_owned(),
            reference: reference.to_owned(),
            version: text("version"),
            needs,
            platform: conditions(&text("conditions").unwrap_or_default()),
            checksum: text("checksum"),
        })
    }

    fn resolution(&self) -> String {
        format!("{}@{}", self.name, self.reference)
    }

    /// The folder of the project that it is, if it is one.
    fn folder(&self) -> Option<String> {
        if let Some(path) = self.reference.strip_prefix("workspace:") {
            return Some(location_of("", path));
        }
        let path = ["portal:", "link:"].iter().find_map(|start| self.reference.strip_prefix(start))?;
        Some(location_of(&base_of(path), before_marks(path)))
    }
}

/// A path without what Yarn adds: `../x::locator=…`, `./x.tgz#./x.tgz::hash=…`.
fn before_marks(path: &str) -> &str {
    let path = path.split("::").next().unwrap_or(path);
    path.split('#').next().unwrap_or(path)
}

/// The folder that a path is relative to: that of the package behind `locator=`, when it is one of the workspace's.
fn base_of(path: &str) -> String {
    let marks = path.split_once("::").map_or("", |(_, marks)| marks);
    let locator =
        marks.split('&').find_map(|mark| mark.strip_prefix("locator=")).map(percent_decode).unwrap_or_default();
    let within = split_name(&locator).and_then(|(_, reference)| reference.strip_prefix("workspace:"));
    within.map(|path| location_of("", path)).unwrap_or_default()
}

/// `os=linux & cpu=x64 & (libc=glibc | libc=musl)`.
fn conditions(text: &str) -> Platform {
    let mut out = Platform::default();
    for word in text.split(|c: char| c.is_whitespace() || "()&|".contains(c)) {
        let Some((key, value)) = word.split_once('=') else { continue };
        let list = match key {
            "os" => &mut out.os,
            "cpu" => &mut out.cpu,
            "libc" => &mut out.libc,
            _ => continue,
        };
        list.get_or_insert_with(Vec::new).push(value.to_owned());
    }
    out
}

struct Work {
    locked: Vec<Locked>,
    keys: BTreeMap<String, usize>,
    settings: Berry,
    resolutions: Vec<(String, String)>,
    nodes: Nodes,
}

fn parse(document: &Document, folder: &Path, settings: Berry) -> Result<Lock> {
    let mut work = Work {
        locked: Vec::new(),
        keys: BTreeMap::new(),
        settings,
        resolutions: resolutions(folder),
        nodes: Nodes::default(),
    };
    for (key, node) in document.root.entries() {
        let Some(keys) = key.text().filter(|key| *key != "__metadata") else { continue };
        let Some(locked) = Locked::new(node) else {
            let error = document.error(key, format!("`{keys}` has no `resolution` that names a package"));
            return Err(error.hint("Yarn did not write it so; `yarn install` writes it anew"));
        };
        work.keys.extend(keys.split(", ").map(|key| (key.to_owned(), work.locked.len())));
        work.locked.push(locked);
    }
    let mut read = vec![folder.join("package.json")];
    for locked in work.locked.iter_mut().filter(|locked| locked.reference.starts_with("workspace:")) {
        let Some(location) = locked.folder() else { continue };
        let path = folder.join(&location).join("package.json");
        // Above the lock there may be none that is ours to read.
        if !location.starts_with("..") && path.is_file() {
            let (manifest, _, version) = own_manifest(folder, &location)?;
            (locked.needs, locked.version) = (manifest.needs, version);
            read.push(path);
        }
    }
    for index in 0..work.locked.len() {
        work.add(index);
    }
    let lock = work.nodes.lock(Manager::Berry, &document.path, folder)?;
    let (mut lock, _) = with_peers(lock, &|_, entry| entry.needs.peer.keys().cloned().collect())?;
    lock.settings = work.settings.settings;
    if let Some(cache) = work.settings.cache {
        lock.settings.insert(super::prove::CACHE.to_owned(), cache);
    }
    lock.read = read;
    Ok(lock)
}

/// `resolutions` of the root.
fn resolutions(folder: &Path) -> Vec<(String, String)> {
    let text = crate::fsio::read_text(&folder.join("package.json")).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let map = manifest.get("resolutions").and_then(|map| map.as_object());
    let pairs = map.into_iter().flatten();
    pairs.filter_map(|(pattern, range)| Some((pattern.clone(), range.as_str()?.to_owned()))).collect()
}

impl Work {
    fn add(&mut self, index: usize) {
        let needs = &self.locked[index].needs;
        let all = needs.dev.iter().chain(&needs.required).chain(&needs.optional);
        let found = all.filter_map(|(name, range)| Some((name.clone(), self.location(self.find(index, name, range)?))));
        let links: BTreeMap<String, String> = found.collect();
        self.nodes.add(self.location(index), self.entry(index), links);
    }

    fn location(&self, index: usize) -> String {
        let locked = &self.locked[index];
        locked.folder().unwrap_or_else(|| slot(&locked.resolution(), &locked.name))
    }

    /// The entry that a range of a package means.
    fn find(&self, user: usize, name: &str, range: &str) -> Option<usize> {
        let user = &self.locked[user];
        let of_catalog = |range: &str| {
            let catalog = range.strip_prefix("catalog:")?;
            let catalog = if catalog == "default" { "" } else { catalog };
            self.settings.catalogs.get(&(catalog.to_owned(), name.to_owned())).cloned()
        };
        let range = of_catalog(range).unwrap_or_else(|| range.to_owned());
        let replaced = self.resolutions.iter().find(|(pattern, _)| applies(pattern, user, name, &range));
        let found = replaced.and_then(|(_, range)| self.lookup(user, name, range));
        found.or_else(|| self.lookup(user, name, &range)).map(|index| self.without_builtin(index))
    }

    fn lookup(&self, user: &Locked, name: &str, range: &str) -> Option<usize> {
        let exact = [format!("{name}@{range}"), format!("{name}@npm:{range}")];
        if let Some(index) = exact.iter().find_map(|key| self.keys.get(key)) {
            return Some(*index);
        }
        // Bound to whoever asks: `name@portal:../x::locator=root%40workspace%3A.`.
        let start = format!("{name}@{range}::");
        let bound = || self.keys.range(start.clone()..).take_while(|(key, _)| key.starts_with(&start));
        let own = user.resolution().replace('@', "%40").replace(':', "%3A").replace('/', "%2F");
        bound()
            .find(|(key, _)| key.contains(&format!("locator={own}")))
            .or_else(|| bound().next())
            .map(|(_, index)| *index)
    }

    /// Patches that Yarn itself brings (`patch:typescript@npm%3A5.4.5#optional!builtin<compat/typescript>`) are for
    /// Plug'n'Play: what they patch is meant.
    fn without_builtin(&self, index: usize) -> usize {
        let Some(patch) = self.locked[index].reference.strip_prefix("patch:") else { return index };
        let Some((inner, patches)) = patch.split_once('#') else { return index };
        let is_builtin = patches.contains("builtin<") && !patches.contains(".patch");
        let meant = || self.locked.iter().position(|other| other.resolution() == percent_decode(inner));
        if is_builtin { meant().unwrap_or(index) } else { index }
    }

    fn entry(&self, index: usize) -> Entry {
        let locked = &self.locked[index];
        let needs = locked.needs.clone();
        let mut entry = Entry {
            name: Some(locked.name.clone()),
            version: locked.version.clone(),
            needs,
            platform: locked.platform.clone(),
            checksum: locked.checksum.clone(),
            ..Entry::default()
        };
        let reference = locked.reference.as_str();
        if locked.folder().is_some() {
        } else if let Some(version) = reference.strip_prefix("npm:") {
            let (version, marks) = version.split_once("::").unwrap_or((version, ""));
            entry.version = Some(version.to_owned());
            let url = marks.split('&').find_map(|mark| mark.strip_prefix("__archiveUrl="));
            entry.resolved = url.map(percent_decode);
        } else if let Some(path) = reference.strip_prefix("file:") {
            entry.resolved = Some(format!("file:{}", location_of(&base_of(path), before_marks(path))));
        } else if reference.starts_with("patch:") {
            entry.refused = Some(PATCHED.to_owned());
        } else if let Some((url, commit)) = reference.split_once("#commit=") {
            let start = if url.starts_with("http") || url.starts_with("ssh:") { "git+" } else { "" };
            entry.resolved = Some(format!("{start}{url}#{}", commit.split('&').next().unwrap_or(commit)));
        } else {
            entry.resolved = Some(before_marks(reference).to_owned());
        }
        entry
    }
}

const PATCHED: &str =
    "is patched (`patch:`), and the patched zip is not in Yarn's cache; run `yarn install`, so that it is";

/// Whether a pattern of `resolutions` (`a`, `a@npm:1`, `user/a`, `user@npm:1/a`) is about this need.
fn applies(pattern: &str, user: &Locked, name: &str, range: &str) -> bool {
    let mut parts: Vec<String> = Vec::new();
    let mut scope = None;
    for part in pattern.split('/') {
        match scope.take() {
            Some(scope) => parts.push(format!("{scope}/{part}")),
            None if part.starts_with('@') => scope = Some(part),
            None => parts.push(part.to_owned()),
        }
    }
    let is = |part: &String, name: &str, what: &[&str]| match split_name(part) {
        Some((of, range)) => of == name && what.iter().any(|w| *w == range || w.strip_prefix("npm:") == Some(range)),
        None => part == name,
    };
    let (Some(last), before) = (parts.pop(), parts.pop()) else { return false };
    let range_npm = format!("npm:{range}");
    is(&last, name, &[range, &range_npm])
        && before.is_none_or(|before| before == "**" || is(&before, &user.name, &[&user.reference]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lock(text: &str, manifest: &str) -> Result<Lock> {
        let dir = tempfile::tempdir().unwrap();
        crate::fsio::write_atomic(&dir.path().join("package.json"), manifest.as_bytes()).unwrap();
        crate::fsio::write_atomic(&dir.path().join(".yarnrc.yml"), b"nodeLinker: node-modules\n").unwrap();
        read(text.to_owned(), &dir.path().join("yarn.lock"), dir.path())
    }

    const ROOT: &str = "__metadata:\n  version: 8\n\n\"root@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"root@workspace:.\"\n  languageName: unknown\n  linkType: soft\n\n";

    fn entry(keys: &str, resolution: &str, more: &str) -> String {
        format!("\"{keys}\":\n  version: 1.0.0\n  resolution: \"{resolution}\"\n{more}  checksum: 10c0/aa\n\n")
    }

    #[test]
    fn peers_are_what_the_user_has() {
        let peer = "  peerDependencies:\n    react: \"*\"\n";
        let text = [
            ROOT.to_owned(),
            entry("dom@npm:^1", "dom@npm:1.0.0", peer),
            entry("lib@npm:^1", "lib@npm:1.0.0", "  dependencies:\n    dom: \"npm:^1\"\n    react: \"npm:^18\"\n"),
            entry("react@npm:^17", "react@npm:17.0.0", "  conditions: os=linux & (cpu=x64 | cpu=arm64)\n"),
            entry("react@npm:^18", "react@npm:18.0.0", ""),
        ]
        .concat();
        let lock = lock(
            &text,
            r#"{"name": "root", "dependencies": {"dom": "^1", "lib": "^1"}, "devDependencies": {"react": "^17"}}"#,
        )
        .unwrap();
        let find = |from: &str, name: &str| lock.find(from, name).unwrap().to_owned();
        let (of_root, of_lib) = (find("", "dom"), find(&find("", "lib"), "dom"));
        assert_ne!(of_root, of_lib);
        assert_eq!(lock.label(&find(&of_root, "react")), "react 17.0.0");
        assert_eq!(lock.label(&find(&of_lib, "react")), "react 18.0.0");
        let cpus = lock.get(&find(&of_root, "react")).unwrap().platform.cpu.clone();
        assert_eq!(cpus, Some(vec!["x64".to_owned(), "arm64".to_owned()]));
    }

    #[test]
    fn resolutions_patches_and_aliases_are_followed() {
        let text = [
            ROOT.to_owned(),
            entry("a@npm:1", "a@npm:1.0.0", "  dependencies:\n    ms: \"npm:^2\"\n"),
            entry("ms@npm:2.0.0", "ms@npm:2.0.0", ""),
            entry("old@npm:lodash@3", "lodash@npm:3.0.0", ""),
            entry("ts@npm:5", "ts@npm:5.0.0", ""),
            entry(
                "ts@patch:ts@npm%3A5#optional!builtin<compat/typescript>",
                "ts@patch:ts@npm%3A5.0.0#optional!builtin<compat/typescript>::version=5.0.0&hash=x",
                "",
            ),
        ]
        .concat();
        let manifest = r#"{"name": "root", "dependencies": {"a": "1", "old": "npm:lodash@3", "ts": "patch:ts@npm%3A5#optional!builtin<compat/typescript>"}, "resolutions": {"a/ms": "2.0.0"}}"#;
        let lock = lock(&text, manifest).unwrap();
        let a = lock.find("", "a").unwrap();
        assert_eq!(lock.label(lock.find(a, "ms").unwrap()), "ms 2.0.0");
        assert_eq!(lock.label(lock.find("", "old").unwrap()), "lodash 3.0.0");
        let ts = lock.get(lock.find("", "ts").unwrap()).unwrap();
        assert_eq!((ts.version.as_deref(), &ts.refused), (Some("5.0.0"), &None));
    }

    #[test]
    fn plug_n_play_is_refused_with_the_setting() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(ROOT.to_owned(), &dir.path().join("yarn.lock"), dir.path()).unwrap_err();
        assert!(error.to_string().contains("Plug'n'Play") && error.hints()[0].contains("nodeLinker: node-modules"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(key in "[a@/:.%#~1]{0,16}", resolution in "[a@/:.%#~1]{0,16}", range in "[a@/:.1]{0,8}") {
            let text = format!("{ROOT}\"{key}\":\n  resolution: \"a@{resolution}\"\n  dependencies:\n    a: \"{range}\"\n  peerDependencies:\n    a: \"*\"\n");
            let _ = lock(&text, &serde_json::json!({"dependencies": {"a": range}}).to_string());
        }
    }
}
