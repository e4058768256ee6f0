//! `yarn.lock` of Yarn 1: for each `name@range` that anything asks for, which version that is. The lock does not name the
//! folders of a workspace, nor peers: the former are read from the project, and the latter from the packages themselves,
//! once they are here.
//!
//! It does not say either which systems a package is for. Of optional packages, names of a system and a processor
//! (`@img/sharp-darwin-arm64`) are believed, so that not all of them are fetched; all others say it themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::graph::Nodes;
use super::settings;
use super::{Manager, location_of, own_manifest, split_name};
use crate::error::{Error, Result};
use crate::resolve::node::fresh_lock::workspaces;
use crate::resolve::node::lock::{Entry, Lock, slot};
use crate::resolve::node::manifest::{Manifest, Needs};
use crate::resolve::node::platform::named_platform;
use crate::resolve::node::project::relative;
use crate::store::Digest;

/// An entry of the lock.
#[derive(Debug, Default)]
struct Locked {
    values: BTreeMap<String, String>,
    required: BTreeMap<String, String>,
    optional: BTreeMap<String, String>,
}

/// Entries, and for each `name@range` which of them it is.
#[derive(Debug, Default)]
struct Text {
    entries: Vec<Locked>,
    keys: BTreeMap<String, usize>,
}

pub(super) fn read(text: &str, path: &Path, folder: &Path) -> Result<Lock> {
    let text = parse(text, path)?;
    let manifest_path = folder.join("package.json");
    let manifest = Manifest::read(&manifest_path)?;
    let resolutions = resolutions(folder);
    let mut members = BTreeMap::new();
    let mut read = vec![manifest_path];
    for member in workspaces(folder, &manifest) {
        let Some(location) = relative(&member, folder) else { continue };
        read.push(member.join("package.json"));
        members.insert(location.clone(), own_manifest(folder, &location)?);
    }
    members.insert(String::new(), own_manifest(folder, "")?);
    let mut work = Work { text: &text, folder, members: &members, resolutions, nodes: Nodes::default() };
    for (location, (manifest, name, version)) in &members {
        let needs = manifest.needs.clone();
        let links = work.links(location, "", &needs);
        let (name, version) = (name.clone(), version.clone());
        work.nodes.add(location.clone(), Entry { name, version, needs, ..Entry::default() }, links);
    }
    let optional: BTreeSet<&String> = text.entries.iter().flat_map(|entry| entry.optional.keys()).collect();
    let of_members = members.values().flat_map(|(manifest, ..)| manifest.needs.optional.keys());
    let optional: BTreeSet<&String> = optional.into_iter().chain(of_members).collect();
    for (key, index) in &text.keys {
        work.package(key, *index, &optional);
    }
    let mut lock = work.nodes.lock(Manager::Yarn, path, folder)?;
    lock.settings = settings::yarn(folder)?;
    lock.read = read;
    Ok(lock)
}

/// `resolutions` of the root: what is meant by a name, for whom (the last folder of the pattern before it, if any).
fn resolutions(folder: &Path) -> Vec<(Option<String>, String, String)> {
    let text = crate::fsio::read_text(&folder.join("package.json")).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let map = manifest.get("resolutions").and_then(|map| map.as_object());
    let read = |(pattern, range): (&String, &serde_json::Value)| {
        let mut names: Vec<String> = Vec::new();
        let mut scope = None;
        for part in pattern.split('/') {
            match scope.take() {
                Some(scope) => names.push(format!("{scope}/{part}")),
                None if part.starts_with('@') => scope = Some(part),
                None => names.push(part.to_owned()),
            }
        }
        let name = names.pop()?;
        let parent = names.pop().filter(|name| name != "**");
        Some((parent, name, range.as_str()?.to_owned()))
    };
    map.into_iter().flatten().filter_map(read).collect()
}

struct Work<'t> {
    text: &'t Text,
    folder: &'t Path,
    members: &'t BTreeMap<String, (Manifest, Option<String>, Option<String>)>,
    resolutions: Vec<(Option<String>, String, String)>,
    nodes: Nodes,
}

impl Work<'_> {
    /// What names mean to a package. What the lock does not hold is a package of the workspace, or missing.
    fn links(&mut self, base: &str, user: &str, needs: &Needs) -> BTreeMap<String, String> {
        let all = needs.dev.iter().chain(&needs.required).chain(&needs.optional);
        all.filter_map(|(name, range)| Some((name.clone(), self.target(base, user, name, range)?))).collect()
    }

    fn target(&mut self, base: &str, user: &str, name: &str, range: &str) -> Option<String> {
        let resolved =
            self.resolutions.iter().find(|(parent, of, _)| of == name && parent.as_ref().is_none_or(|p| p == user));
        let resolved =
            resolved.map(|(.., range)| format!("{name}@{range}")).filter(|key| self.text.keys.contains_key(key));
        let key = resolved.unwrap_or_else(|| format!("{name}@{range}"));
        if let Some(path) = range.strip_prefix("link:") {
            let location = location_of(base, path);
            if !self.nodes.has(&location) && !self.members.contains_key(&location) {
                self.nodes.add(location.clone(), Entry::default(), BTreeMap::new());
            }
            return Some(location);
        }
        if let Some(index) = self.text.keys.get(&key) {
            return Some(location(&self.text.entries[*index], &key));
        }
        let member = self.members.iter().find(|(_, (_, of, _))| of.as_deref() == Some(name));
        member.map(|(location, _)| location.clone())
    }

    fn package(&mut self, key: &str, index: usize, optional: &BTreeSet<&String>) {
        let locked = &self.text.entries[index];
        let at = location(locked, key);
        if self.nodes.has(&at) {
            return;
        }
        let name = own_name(key);
        let needs = Needs { required: locked.required.clone(), optional: locked.optional.clone(), ..Needs::default() };
        let links = self.links("", &name, &needs);
        let mut entry = Entry { version: locked.values.get("version").cloned(), needs, ..Entry::default() };
        entry.integrity = locked.values.get("integrity").cloned();
        if let Some(resolved) = locked.values.get("resolved") {
            place(&mut entry, resolved);
        } else if let Some(path) = split_name(key).and_then(|(_, range)| range.strip_prefix("file:")) {
            entry.resolved = Some(self.file(path));
        }
        if optional.contains(&name) {
            entry.platform = named_platform(&name);
        }
        entry.name = Some(name);
        self.nodes.add(at, entry, links);
    }

    /// A folder or an archive that somebody names, relative to the root or to one of the workspace's folders.
    fn file(&self, path: &str) -> String {
        let mut bases = self.members.keys().map(|member| location_of(member, path));
        let there = bases.find(|location| self.folder.join(location).exists());
        format!("file:{}", there.unwrap_or_else(|| location_of("", path)))
    }
}

/// Where the archive is: the digest follows a `#`, or the commit of a repository.
fn place(entry: &mut Entry, resolved: &str) {
    let (url, mark) = resolved.split_once('#').unwrap_or((resolved, ""));
    if matches!(mark.len(), 40 | 64) && (url.ends_with(".git") || url.starts_with("git")) {
        let start = if url.starts_with("git") { "" } else { "git+" };
        entry.resolved = Some(format!("{start}{url}#{mark}"));
        return;
    }
    entry.resolved = Some(url.to_owned());
    if let (None, Some(digest)) = (&entry.integrity, Digest::from_hex("sha1", mark)) {
        entry.integrity = Some(format!("sha1-{}", digest.base64()));
    }
}

/// The name that a package has in its registry: `npm:` gives it another one for whoever asks.
fn own_name(key: &str) -> String {
    let (name, range) = split_name(key).unwrap_or((key, ""));
    let aliased = range.strip_prefix("npm:").map(|spec| split_name(spec).map_or(spec, |(name, _)| name));
    aliased.unwrap_or(name).to_owned()
}

fn location(locked: &Locked, key: &str) -> String {
    let name = own_name(key);
    let version = locked.values.get("version").map_or("", String::as_str);
    let resolved = locked.values.get("resolved").map_or(key, |_| "");
    slot(&format!("{name}@{version}{resolved}"), &name)
}

/// Reads the lines: keys at the left, values two blanks in, dependencies four.
fn parse(text: &str, path: &Path) -> Result<Text> {
    let mut out = Text::default();
    let mut list: Option<bool> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        let indent = line.len() - line.trim_start_matches(' ').len();
        let content = line.trim_start();
        let bad = |what: &str| {
            let error = Error::config(format!("{what}: `{content}`")).at(path, Some((number + 1, indent + 1)));
            error.hint("Yarn did not write it so; if it is a conflict of a merge, `yarn install` resolves it")
        };
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if indent == 0 {
            let keys = content.strip_suffix(':').ok_or_else(|| bad("a key without a colon"))?;
            out.entries.push(Locked::default());
            for key in keys.split(", ") {
                out.keys.insert(unquote(key.trim()), out.entries.len() - 1);
            }
            list = None;
            continue;
        }
        let Some(entry) = out.entries.last_mut() else { return Err(bad("a value without a key")) };
        if let (2, Some(name)) = (indent, content.strip_suffix(':')) {
            list = Some(name == "optionalDependencies");
            continue;
        }
        let (name, value) = words(content).ok_or_else(|| bad("neither a key nor a value"))?;
        match (indent, list) {
            (2, _) => drop(entry.values.insert(name, value)),
            (4, Some(true)) => drop(entry.optional.insert(name, value)),
            (4, Some(false)) => drop(entry.required.insert(name, value)),
            _ => return Err(bad("a line that belongs to nothing")),
        }
    }
    Ok(out)
}

/// A name and a value, both perhaps in quotes.
fn words(line: &str) -> Option<(String, String)> {
    let end = match line.strip_prefix('"') {
        Some(quoted) => quoted.find('"')? + 2,
        None => line.find(' ')?,
    };
    let value = line[end..].trim();
    (!value.is_empty()).then(|| (unquote(&line[..end]), unquote(value)))
}

fn unquote(text: &str) -> String {
    if text.starts_with('"')
        && let Ok(plain) = serde_json::from_str::<String>(text)
    {
        return plain;
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "# yarn lockfile v1\n\n\n\"@s/a@^1.0.0\", \"@s/a@~1.2\":\n  version \"1.2.3\"\n  resolved \"https://r.test/@s/a/-/a-1.2.3.tgz#aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n  dependencies:\n    \"@s/b\" \">= 1 < 3\"\n    ms \"*\"\n  optionalDependencies:\n    fsevents \"^1\"\n\n\"old@npm:lodash@3\":\n  version \"3.1.0\"\n  resolved \"https://r.test/lodash/-/lodash-3.1.0.tgz#bb\"\n  integrity sha512-x==\n";

    fn lock(text: &str, manifest: &str) -> Result<Lock> {
        let dir = tempfile::tempdir().unwrap();
        crate::fsio::write_atomic(&dir.path().join("package.json"), manifest.as_bytes()).unwrap();
        read(text, &dir.path().join("yarn.lock"), dir.path())
    }

    #[test]
    fn entries_are_read() {
        let lock = lock(TEXT, r#"{"dependencies": {"@s/a": "~1.2", "old": "npm:lodash@3"}}"#).unwrap();
        let a = lock.find("", "@s/a").unwrap();
        assert_eq!(lock.label(a), "@s/a 1.2.3");
        let entry = lock.get(a).unwrap();
        assert_eq!(entry.needs.required["@s/b"], ">= 1 < 3");
        assert!(entry.needs.optional.contains_key("fsevents"));
        assert_eq!(entry.integrity.as_deref(), Some("sha1-qqqqqqqqqqqqqqqqqqqqqqqqqqo="));
        assert_eq!(entry.resolved.as_deref(), Some("https://r.test/@s/a/-/a-1.2.3.tgz"));
        assert_eq!(lock.label(lock.find("", "old").unwrap()), "lodash 3.1.0");
    }

    #[test]
    fn what_is_no_lock_is_an_error_with_its_line() {
        for (text, at) in [
            ("<<<<<<< HEAD\n", "yarn.lock:1:1: a key without a colon"),
            ("a@1:\n  version\n", "yarn.lock:2:3: neither"),
            ("  version \"1\"\n", "yarn.lock:1:3: a value without a key"),
            ("a@1:\n      x y\n", "yarn.lock:2:7: a line that belongs to nothing"),
        ] {
            let error = lock(text, "{}").unwrap_err().to_string();
            assert!(error.contains(at), "{error}");
        }
    }

    #[test]
    fn resolutions_decide() {
        let text = "a@1:\n  version \"1.0.0\"\n  dependencies:\n    ms \"^2\"\n\nms@^2:\n  version \"2.1.3\"\n\nms@2.0.0:\n  version \"2.0.0\"\n";
        for (resolutions, version) in [
            ("{}", "2.1.3"),
            (r#"{"a/ms": "2.0.0"}"#, "2.0.0"),
            (r#"{"**/ms": "2.0.0"}"#, "2.0.0"),
            (r#"{"b/ms": "2.0.0"}"#, "2.1.3"),
        ] {
            let manifest = format!(r#"{{"dependencies": {{"a": "1"}}, "resolutions": {resolutions}}}"#);
            let lock = lock(text, &manifest).unwrap();
            let ms = lock.find(lock.find("", "a").unwrap(), "ms").unwrap();
            assert_eq!(lock.label(ms), format!("ms {version}"), "{resolutions}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(lines in proptest::collection::vec("( {0,5})[a@\":#é ,/.]{0,12}:?", 0..8)) {
            let _ = parse(&lines.join("\n"), Path::new("yarn.lock"));
        }
    }
}
