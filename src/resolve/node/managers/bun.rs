//! `bun.lock`: JSON with commas after the last item and comments. Its keys are places, as npm's lock has them:
//! `a/@s/b` is the `@s/b` in the `node_modules` of `a`. Source: Bun's `TextLockfile`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::graph::with_peers;
use super::{Manager, location_of, settings, split_name};
use crate::error::{Error, Result};
use crate::fsio;
use crate::resolve::node::lock::{Entry, Lock, Platform, child};
use crate::resolve::node::manifest::{self, Needs, Words};

pub(super) fn read(path: &Path, folder: &Path) -> Result<Lock> {
    let mut lock = parse(&fsio::read_text(path)?, path, folder)?;
    lock.settings = settings::bun(folder)?;
    // In workspaces Bun's own layout is an isolated one, where packages find what their users have.
    let (lock, _) = with_peers(lock.into_linked()?, &|_, entry| entry.needs.peer.keys().cloned().collect())?;
    Ok(lock)
}

fn parse(text: &str, path: &Path, folder: &Path) -> Result<Lock> {
    let root: Value = manifest::parse_json(&plain(text), path)?;
    let object = |key: &str| root.get(key).and_then(Value::as_object);
    let (Some(workspaces), Some(packages)) = (object("workspaces"), object("packages")) else {
        return Err(Error::config("the lock file has no `workspaces` or no `packages`").at(path, None).hint(REWRITE));
    };
    let mut entries = BTreeMap::new();
    // Folders of the workspace by the name that others call them.
    let mut folders: BTreeMap<&str, String> = BTreeMap::new();
    for (location, workspace) in workspaces {
        let location = location_of("", location);
        let word = |key: &str| workspace.get(key).and_then(Value::as_str);
        if let Some(name) = word("name") {
            folders.insert(name, location.clone());
        }
        let (name, version) = (word("name").map(str::to_owned), word("version").map(str::to_owned));
        let needs = needs(workspace.as_object().unwrap_or(&Map::new()));
        entries.insert(location, Entry { name, version, needs, ..Entry::default() });
    }
    for (key, value) in packages {
        let bad = |what: &str| Error::config(format!("the package `{key}` {what}")).at(path, None).hint(REWRITE);
        let location = location(key, &folders).ok_or_else(|| bad("has a key that is no path of names"))?;
        let tuple = value.as_array().ok_or_else(|| bad("is no list"))?;
        let entry = entry(tuple).ok_or_else(|| bad("does not begin with a name and a version"))?;
        entries.insert(location, entry);
    }
    Lock::located(Manager::Bun, path, folder, entries)
}

const REWRITE: &str = "Bun did not write it so; write it anew with `bun install --lockfile-only`";

/// The place that a key means. One of the workspace's folders, in front, means that folder itself.
fn location(key: &str, folders: &BTreeMap<&str, String>) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    let mut parts = key.split('/');
    while let Some(part) = parts.next() {
        names.push(if part.starts_with('@') { format!("{part}/{}", parts.next()?) } else { part.to_owned() });
    }
    let own = (names.len() > 1).then(|| folders.get(names[0].as_str())).flatten();
    let base = own.cloned().unwrap_or_default();
    Some(names.iter().skip(usize::from(own.is_some())).fold(base, |at, name| child(&at, name)))
}

/// `[name@version, registry, {…}, integrity]`, `[name@workspace:path]`, `[name@git+…#commit, {…}, …]`, `[name@file:…, {…}]`.
fn entry(tuple: &[Value]) -> Option<Entry> {
    let (name, what) = split_name(tuple.first()?.as_str()?)?;
    let info = tuple.iter().find_map(Value::as_object);
    let words = |key: &str| {
        let value = info.and_then(|info| info.get(key)).cloned().unwrap_or_default();
        serde_json::from_value::<Words>(value).unwrap_or_default().0
    };
    let mut entry = Entry {
        name: Some(name.to_owned()),
        needs: info.map(needs).unwrap_or_default(),
        platform: Platform { os: words("os"), cpu: words("cpu"), libc: words("libc") },
        in_bundle: info.and_then(|info| info.get("bundled")).and_then(Value::as_bool) == Some(true),
        ..Entry::default()
    };
    let texts: Vec<&str> = tuple.iter().skip(1).filter_map(Value::as_str).collect();
    entry.integrity = texts.iter().find(|text| is_integrity(text)).map(|text| (*text).to_owned());
    if let Some(path) = ["workspace:", "link:"].iter().find_map(|start| what.strip_prefix(start)) {
        entry.link = Some(location_of("", path));
    } else if what.starts_with("root:") {
        entry.link = Some(String::new());
    } else if let Some(path) = what.strip_prefix("file:") {
        entry.resolved = Some(format!("file:{}", location_of("", path)));
    } else if what.starts_with(|c: char| c.is_ascii_digit()) {
        entry.version = Some(what.to_owned());
        // A registry of its own has the address of the archive here, the usual one nothing.
        entry.resolved =
            texts.iter().find(|text| text.ends_with(".tgz") && text.contains("://")).map(|text| (*text).to_owned());
    } else if what.starts_with("http://") || what.starts_with("https://") {
        entry.resolved = Some(what.to_owned());
    } else if let Some(path) = (!what.contains(':')).then_some(what).filter(|what| what.ends_with(".tgz")) {
        entry.resolved = Some(format!("file:{}", location_of("", path)));
    } else {
        entry.resolved = Some(full_commit(what, &texts));
    }
    Some(entry)
}

/// A commit with its full id: Bun shortens it in front, and says it whole behind (`owner-repo-commit`) or not at all.
fn full_commit(what: &str, texts: &[&str]) -> String {
    let (url, short) = what.rsplit_once('#').unwrap_or((what, ""));
    let whole = texts.iter().filter(|text| text.len() >= 40).find_map(|text| {
        let id =
            text.rsplit('-').next().filter(|id| id.starts_with(short) && id.bytes().all(|b| b.is_ascii_hexdigit()))?;
        Some(id.to_owned())
    });
    format!("{url}#{}", whole.unwrap_or_else(|| short.to_owned()))
}

fn is_integrity(text: &str) -> bool {
    ["sha512-", "sha384-", "sha256-", "sha1-"].iter().any(|start| text.starts_with(start))
}

fn needs(info: &Map<String, Value>) -> Needs {
    let map = |key: &str| -> Option<BTreeMap<String, String>> {
        let map = info.get(key)?.as_object()?;
        Some(map.iter().filter_map(|(name, range)| Some((name.clone(), range.as_str()?.to_owned()))).collect())
    };
    let optional = info.get("optionalPeers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let meta = optional.map(|name| (name.to_owned(), serde_json::json!({"optional": true}))).collect();
    let needs = Needs::new(map("dependencies"), map("optionalDependencies"), map("peerDependencies"), meta);
    Needs { dev: map("devDependencies").unwrap_or_default(), ..needs }
}

/// JSON without comments and commas that nothing follows. What is taken away becomes blanks, so that places stay.
fn plain(text: &str) -> String {
    let mut out: Vec<u8> = text.bytes().collect();
    let (mut at, mut comma) = (0, None);
    while at < out.len() {
        match (out[at], out.get(at + 1)) {
            (b'"', _) => {
                comma = None;
                at += 1;
                while at < out.len() && out[at] != b'"' {
                    at += if out[at] == b'\\' { 2 } else { 1 };
                }
            }
            (b'/', Some(b'/')) => {
                while at < out.len() && out[at] != b'\n' {
                    out[at] = b' ';
                    at += 1;
                }
            }
            (b'/', Some(b'*')) => {
                let end =
                    text.as_bytes()[at + 2..].windows(2).position(|two| two == b"*/").map_or(out.len(), |n| at + n + 4);
                out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
                at = end.saturating_sub(1);
            }
            (b',', _) => comma = Some(at),
            (b'}' | b']', _) => {
                if let Some(comma) = comma.take() {
                    out[comma] = b' ';
                }
            }
            (byte, _) if !byte.is_ascii_whitespace() => comma = None,
            _ => {}
        }
        at += 1;
    }
    // Only ASCII was replaced, by ASCII, or whole comments.
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lock(text: &str) -> Result<Lock> {
        parse(text, Path::new("/p/bun.lock"), Path::new("/p"))
    }

    #[test]
    fn keys_are_places() {
        let lock = lock(
            r#"{ // a comment
            "lockfileVersion": 1,
            "workspaces": {"": {"name": "root"}, "packages/api": {"name": "@x/api", "dependencies": {"ms": "1.0.0",}}, },
            "packages": {
                "@x/api": ["@x/api@workspace:packages/api"],
                "@x/api/ms": ["ms@1.0.0", "", {}, "sha512-x=="],
                "ms": ["ms@2.0.0", "", {"os": "!win32", "peerDependencies": {"p": "*"}, "optionalPeers": ["p"],}, "sha512-y=="],
                "a/@s/b": ["@s/b@1.0.0", "", {}, "sha512-z=="],
                "git": ["g@github:o/r#0123456", {}, "o-r-0123456789abcdef0123456789abcdef01234567"],
            }, /* the end */ }"#,
        )
        .unwrap();
        assert_eq!(lock.find("packages/api", "ms"), Some("packages/api/node_modules/ms"));
        assert_eq!(lock.target("node_modules/@x/api").unwrap(), "packages/api");
        assert_eq!(lock.get("node_modules/a/node_modules/@s/b").unwrap().version.as_deref(), Some("1.0.0"));
        let ms = lock.get("node_modules/ms").unwrap();
        assert_eq!(ms.platform.os.as_deref(), Some(&["!win32".to_owned()][..]));
        assert!(ms.needs.optional_peers.contains("p"));
        let git = lock.get("node_modules/git").unwrap().resolved.clone();
        assert_eq!(git.as_deref(), Some("github:o/r#0123456789abcdef0123456789abcdef01234567"));
    }

    #[test]
    fn what_is_hostile_or_cut_off_is_an_error() {
        for (packages, why) in [
            (r#"{"../../x": ["x@1.0.0"]}"#, "has a `..` component"),
            (r#"{"x": ["x@workspace:/../../../etc"]}"#, "no package of the lock"),
            (r#"{"x": []}"#, "does not begin"),
            (r#"{"x": {}}"#, "no list"),
        ] {
            let text = format!(r#"{{"workspaces": {{"": {{}}}}, "packages": {packages}}}"#);
            let done = lock(&text).and_then(|lock| lock.target("node_modules/x").map(str::to_owned));
            let error = done.unwrap_err().to_string();
            assert!(error.contains(why), "{packages}: {error}");
        }
        let error = lock("{\n  \"workspaces\": {").unwrap_err().to_string();
        assert!(error.starts_with("/p/bun.lock:2:"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[{}\\[\\]\",/*:a\\\\é \n]{0,60}", key in "[a@/.]{0,12}", what in "[a@/:.#1]{0,12}") {
            let _ = lock(&text);
            let _ = lock(&serde_json::json!({"workspaces": {key.clone(): {}}, "packages": {key: [what]}}).to_string());
        }
    }
}
