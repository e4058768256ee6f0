//! `package-lock.json` and `npm-shrinkwrap.json`: what npm decided, by location.
//!
//! A location is a folder relative to the lock's own: empty for the project, `packages/api` for a workspace,
//! `node_modules/a/node_modules/b` for an installed package. Locks come from other people: every location is checked
//! before anything is done with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::managers::Manager;
use super::manifest::{self, Needs, Words};
use crate::error::{Error, Result};
use crate::fsio;
use crate::tree::ArchivePath;

/// The lock files that npm reads, the one that wins first.
pub(super) const LOCK_FILES: [&str; 2] = ["npm-shrinkwrap.json", "package-lock.json"];
/// Locks with more entries than this are refused.
const MAX_ENTRIES: usize = 200_000;

/// A lock file.
#[derive(Debug, Clone)]
pub(super) struct Lock {
    /// Who has written it.
    pub(super) manager: Manager,
    /// The file, for messages.
    pub(super) path: PathBuf,
    /// The folder that locations are relative to. Absolute.
    pub(super) folder: PathBuf,
    /// Settings of its manager that npm's configuration lacks: registries and who may read them.
    pub(super) settings: BTreeMap<String, String>,
    /// Files beside the lock that it was read with.
    pub(super) read: Vec<PathBuf>,
    entries: BTreeMap<String, Entry>,
    links: Option<Links>,
}

/// For each location, what names mean to the package there, in locks that say no places.
pub(super) type Links = BTreeMap<String, BTreeMap<String, String>>;

/// What stands at a location.
#[derive(Debug, Default, Clone)]
pub(super) struct Entry {
    /// The package's own name, where it differs from the folder's (aliases, workspaces).
    pub(super) name: Option<String>,
    /// Its version.
    pub(super) version: Option<String>,
    /// Where its archive is; some locks do not say it.
    pub(super) resolved: Option<String>,
    /// The digests of its archive.
    pub(super) integrity: Option<String>,
    /// For a link, the location that it leads to.
    pub(super) link: Option<String>,
    /// Whether it came in the archive of the package that it lies in.
    pub(super) in_bundle: bool,
    /// Whether it wants to run a script when it is installed.
    pub(super) install_script: bool,
    /// The systems it is for.
    pub(super) platform: Platform,
    /// What it needs.
    pub(super) needs: Needs,
    /// The digest of the zip that Yarn makes of its archive.
    pub(super) checksum: Option<String>,
    /// Why it cannot be packed, if that is known; said once it is needed.
    pub(super) refused: Option<String>,
}

/// The systems a package is for, as npm writes them; nothing means all.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) os: Option<Vec<String>>,
    pub(super) cpu: Option<Vec<String>>,
    pub(super) libc: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLock {
    lockfile_version: Option<u64>,
    packages: Option<BTreeMap<String, RawEntry>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawEntry {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<String>,
    integrity: Option<String>,
    link: Option<bool>,
    in_bundle: Option<bool>,
    has_install_script: Option<bool>,
    os: Words,
    cpu: Words,
    libc: Words,
    dependencies: Option<BTreeMap<String, String>>,
    optional_dependencies: Option<BTreeMap<String, String>>,
    peer_dependencies: Option<BTreeMap<String, String>>,
    peer_dependencies_meta: Option<BTreeMap<String, serde_json::Value>>,
}

impl Lock {
    /// Reads a lock file; `folder` is what its locations are relative to.
    pub(super) fn read(path: &Path, folder: &Path) -> Result<Self> {
        Self::parse(&fsio::read_text(path)?, path, folder)
    }

    /// Reads a lock file's text.
    pub(super) fn parse(text: &str, path: &Path, folder: &Path) -> Result<Self> {
        let raw: RawLock = manifest::parse_json(text, path)?;
        let Some(packages) = raw.packages.filter(|_| raw.lockfile_version != Some(1)) else {
            return Err(Error::config("the lock file is of version 1, which does not say where packages lie")
                .at(path, None)
                .hint("write it anew with `npm install --package-lock-only --lockfile-version=3` (npm 8.1 or newer); versions stay"));
        };
        let mut entries = BTreeMap::new();
        for (location, raw) in packages {
            let entry = Entry::new(raw).map_err(|problem| {
                Error::config(format!("the link {location:?} {problem}")).at(path, None).hint(rewrite(Manager::Npm))
            })?;
            entries.insert(location, entry);
        }
        Self::located(Manager::Npm, path, folder, entries)
    }

    /// A lock that says where packages lie, as npm does.
    pub(super) fn located(
        manager: Manager,
        path: &Path,
        folder: &Path,
        entries: BTreeMap<String, Entry>,
    ) -> Result<Self> {
        for (location, entry) in &entries {
            let bad = |what: String| Error::config(what).at(path, None).hint(rewrite(manager));
            if let Some(problem) = location_problem(location) {
                return Err(bad(format!("the location {location:?} {problem}")));
            }
            if let Some(problem) = entry.link.as_deref().and_then(location_problem) {
                return Err(bad(format!("the link {location:?} {problem}")));
            }
        }
        Self::new(manager, path, folder, entries, None)
    }

    /// A lock that says what packages are to each other, and not where they lie. What is no folder of the project has a
    /// location of any beginning that ends with `/node_modules/` and its name ([`slot`]).
    pub(super) fn linked(
        manager: Manager,
        path: &Path,
        folder: &Path,
        entries: BTreeMap<String, Entry>,
        links: Links,
    ) -> Result<Self> {
        for location in entries.keys().filter(|location| slot_name(location).is_none()) {
            if let Some(problem) = location_problem(location) {
                let bad = Error::config(format!("the location {location:?} {problem}")).at(path, None);
                return Err(bad.hint(rewrite(manager)));
            }
        }
        Self::new(manager, path, folder, entries, Some(links))
    }

    fn new(
        manager: Manager,
        path: &Path,
        folder: &Path,
        entries: BTreeMap<String, Entry>,
        links: Option<Links>,
    ) -> Result<Self> {
        if entries.len() > MAX_ENTRIES {
            let many = format!("the lock file has {} packages; at most {MAX_ENTRIES} are taken", entries.len());
            return Err(Error::config(many).at(path, None));
        }
        let (path, folder) = (path.to_owned(), folder.to_owned());
        Ok(Self { manager, path, folder, settings: BTreeMap::new(), read: Vec::new(), entries, links })
    }

    /// Whether the lock says what packages are to each other, and not where they lie.
    pub(super) fn is_linked(&self) -> bool {
        self.links.is_some()
    }

    /// What names mean to the package at a location, in a lock that says no places.
    pub(super) fn links_of(&self, location: &str) -> BTreeMap<String, String> {
        self.links.as_ref().and_then(|links| links.get(location)).cloned().unwrap_or_default()
    }

    /// The same lock without places: what is found from each location stays what it is.
    pub(super) fn into_linked(self) -> Result<Self> {
        let mut links = Links::new();
        for (location, entry) in &self.entries {
            let needs = &entry.needs;
            let names =
                needs.required.keys().chain(needs.optional.keys()).chain(needs.peer.keys()).chain(needs.dev.keys());
            let found: Option<BTreeMap<String, String>> = names
                .filter_map(|name| Some((name, self.find(location, name)?)))
                .map(|(name, slot)| Some((name.clone(), self.target(slot).ok()?.to_owned())))
                .collect();
            links.insert(location.clone(), found.unwrap_or_default());
        }
        let entries = self.entries.into_iter().filter(|(_, entry)| entry.link.is_none()).collect();
        let lock = Self::linked(self.manager, &self.path, &self.folder, entries, links)?;
        Ok(Self { settings: self.settings, read: self.read, ..lock })
    }

    /// All locations with what stands there.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(location, entry)| (location.as_str(), entry))
    }

    /// What stands at a location.
    pub(super) fn get(&self, location: &str) -> Option<&Entry> {
        self.entries.get(location)
    }

    /// The location that `name` means to the package at `from`, as Node.js looks it up: in the `node_modules` of its
    /// folder, then of each folder above.
    pub(super) fn find(&self, from: &str, name: &str) -> Option<&str> {
        if let Some(links) = &self.links {
            return self.entries.get_key_value(links.get(from)?.get(name)?).map(|(key, _)| key.as_str());
        }
        let mut folder = Some(from);
        while let Some(at) = folder {
            let candidate = child(at, name);
            if let Some((key, _)) = self.entries.get_key_value(&candidate) {
                return Some(key);
            }
            folder = parent(at);
        }
        None
    }

    /// The location behind a location: the target of a link, or itself.
    pub(super) fn target<'a>(&'a self, location: &'a str) -> Result<&'a str> {
        let Some(target) = self.entries.get(location).and_then(|e| e.link.as_deref()) else { return Ok(location) };
        match self.entries.get_key_value(target) {
            Some((key, entry)) if entry.link.is_none() => Ok(key),
            _ => Err(Error::config(format!(
                "the link `{location}` leads to `{target}`, which is no package of the lock"
            ))
            .at(&self.path, None)
            .hint(rewrite(self.manager))),
        }
    }

    /// How a person knows the package at a location: `sharp 0.33.5`.
    pub(super) fn label(&self, location: &str) -> String {
        let version = self.entries.get(location).and_then(|e| e.version.as_deref());
        let name = self.name(location);
        version.map_or_else(|| name.clone(), |version| format!("{name} {version}"))
    }

    /// The own name of the package at a location.
    pub(super) fn name(&self, location: &str) -> String {
        let own = self.entries.get(location).and_then(|e| e.name.as_deref());
        let name = own.or_else(|| slot_name(location)).unwrap_or(location);
        if name.is_empty() { "the project".to_owned() } else { name.to_owned() }
    }
}

fn rewrite(manager: Manager) -> String {
    format!("{} did not write it so; write it anew with `{}`", manager.title(), manager.relock())
}

/// The location of a package in a lock that says no places: `key` tells it from others of its name.
pub(super) fn slot(key: &str, name: &str) -> String {
    format!("{key}/node_modules/{name}")
}

impl Entry {
    fn new(raw: RawEntry) -> Result<Self, &'static str> {
        let link = match (raw.link, &raw.resolved) {
            (Some(true), Some(resolved)) => {
                let target = resolved.strip_prefix("file:").unwrap_or(resolved);
                let target = target.strip_prefix("./").unwrap_or(target).trim_end_matches('/');
                let target = if target == "." { "" } else { target };
                match location_problem(target) {
                    Some(problem) => return Err(problem),
                    None => Some(target.to_owned()),
                }
            }
            (Some(true), None) => return Err("does not say where it leads"),
            _ => None,
        };
        let needs = Needs::new(
            raw.dependencies,
            raw.optional_dependencies,
            raw.peer_dependencies,
            raw.peer_dependencies_meta.unwrap_or_default(),
        );
        Ok(Self {
            name: raw.name,
            version: raw.version,
            resolved: raw.resolved,
            integrity: raw.integrity,
            link,
            in_bundle: raw.in_bundle == Some(true),
            install_script: raw.has_install_script == Some(true),
            platform: Platform { os: raw.os.0, cpu: raw.cpu.0, libc: raw.libc.0 },
            needs,
            ..Self::default()
        })
    }
}

/// Where `name` lies in the `node_modules` of `folder`.
pub(super) fn child(folder: &str, name: &str) -> String {
    if folder.is_empty() { format!("node_modules/{name}") } else { format!("{folder}/node_modules/{name}") }
}

/// The next folder above whose `node_modules` Node.js looks into; none above the lock's own folder.
pub(super) fn parent(folder: &str) -> Option<&str> {
    let mut at = folder;
    loop {
        if at.is_empty() || at == ".." || at.ends_with("/..") {
            return None;
        }
        at = at.rsplit_once('/').map_or("", |(above, _)| above);
        if at != "node_modules" && !at.ends_with("/node_modules") {
            return Some(at);
        }
    }
}

/// The name under which a location lies in a `node_modules`, if it does.
pub(super) fn slot_name(location: &str) -> Option<&str> {
    let name = match location.rfind("/node_modules/") {
        Some(at) => &location[at + "/node_modules/".len()..],
        None => location.strip_prefix("node_modules/")?,
    };
    is_package_name(name).then_some(name)
}

/// The folder whose `node_modules` a location lies in.
pub(super) fn slot_owner(location: &str) -> Option<&str> {
    let name = slot_name(location)?;
    let owner = location.strip_suffix(name)?.strip_suffix("node_modules/")?;
    Some(owner.trim_end_matches('/'))
}

/// Whether this can name a folder in `node_modules`: `name` or `@scope/name`.
pub(super) fn is_package_name(name: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part != "node_modules"
            && !part.contains(['/', '\\', '\0', '%'])
            && !part.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    match name.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').is_some_and(|(scope, name)| plain(scope) && plain(name)),
        None => plain(name),
    }
}

/// What is wrong with a location, if something is. `..` may only lead it (a folder beside the lock's own).
fn location_problem(location: &str) -> Option<&'static str> {
    let mut rest = location;
    while let Some(above) = rest.strip_prefix("../") {
        rest = above;
    }
    if rest.is_empty() || rest == ".." {
        return (rest.is_empty() && !location.is_empty()).then_some("is not written as npm writes it");
    }
    match ArchivePath::new(rest) {
        Err(crate::tree::PathProblem::Escapes) => return Some("has a `..` component"),
        Err(crate::tree::PathProblem::Absolute) => return Some("is absolute"),
        Err(_) => return Some("is no path that can be packed"),
        Ok(path) if path.as_str() != rest => return Some("is not written as npm writes it"),
        Ok(_) => {}
    }
    let mut parts = rest.split('/');
    while let Some(part) = parts.next() {
        if part != "node_modules" {
            continue;
        }
        let named = match parts.next() {
            Some(scope) if scope.starts_with('@') => {
                parts.next().is_some_and(|name| is_package_name(&format!("{scope}/{name}")))
            }
            Some(name) => is_package_name(name),
            None => false,
        };
        if !named {
            return Some("does not name a package after `node_modules/`");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Lock> {
        Lock::parse(text, Path::new("/p/package-lock.json"), Path::new("/p"))
    }

    fn with_location(location: &str) -> Result<Lock> {
        parse(&serde_json::json!({"lockfileVersion": 3, "packages": {"": {}, location: {}}}).to_string())
    }

    #[test]
    fn names_are_looked_up_as_node_does() {
        let lock = parse(
            r#"{"lockfileVersion": 3, "packages": {"": {}, "node_modules/x": {}, "node_modules/@s/a": {},
                "node_modules/@s/a/node_modules/x": {}, "packages/api": {}, "packages/api/node_modules/x": {},
                "../beside": {}}}"#,
        )
        .unwrap();
        for (from, name, expected) in [
            ("", "x", Some("node_modules/x")),
            ("node_modules/@s/a", "x", Some("node_modules/@s/a/node_modules/x")),
            ("node_modules/x", "@s/a", Some("node_modules/@s/a")),
            ("packages/api", "x", Some("packages/api/node_modules/x")),
            ("packages/api", "@s/a", Some("node_modules/@s/a")),
            ("../beside", "x", None),
            ("", "y", None),
        ] {
            assert_eq!(lock.find(from, name), expected, "{name} from {from}");
        }
    }

    #[test]
    fn hostile_locations_are_refused() {
        for (location, why) in [
            ("node_modules/../../x", "`..`"),
            ("node_modules/../x", "`..`"),
            ("/etc", "absolute"),
            ("node_modules/a\\..\\b", "no path"),
            ("node_modules/.bin", "does not name a package"),
            ("node_modules/@s", "does not name a package"),
            ("node_modules", "does not name a package"),
            ("packages//x", "as npm writes"),
            ("../", "as npm writes"),
            ("a\0b", "no path"),
        ] {
            let error = with_location(location).unwrap_err().to_string();
            assert!(error.contains(why), "{location:?}: {error}");
        }
        for fine in ["../shared", "node_modules/@s/a/node_modules/b", "packages/api"] {
            assert!(with_location(fine).is_ok(), "{fine}");
        }
        let link = r#"{"lockfileVersion": 3, "packages": {"node_modules/x": {"link": true, "resolved": "/etc"}}}"#;
        assert!(parse(link).unwrap_err().to_string().contains("is absolute"));
    }

    #[test]
    fn errors_say_where_and_version_1_is_refused() {
        let error = parse("{\n  \"packages\": {,}\n}").unwrap_err();
        assert!(error.to_string().starts_with("/p/package-lock.json:2:16: "), "{error}");
        let error = parse(r#"{"lockfileVersion": 1, "dependencies": {}}"#).unwrap_err();
        assert!(
            error.to_string().contains("version 1") && error.hints()[0].contains("--lockfile-version=3"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_location_makes_it_panic_or_leave(location in "[a@./\\\\_node_modules]{0,40}", name in "[a@./]{0,8}") {
            if let Ok(lock) = with_location(&location) {
                // `..` may lead, nothing else: `../..` is a folder above, `a/..` is not written so.
                let below = location.trim_start_matches("../");
                prop_assert!(below == ".." || !below.split('/').any(|p| p == ".."));
                let _ = (lock.find(&location, &name), slot_name(&location), slot_owner(&location), parent(&location));
            }
        }

        #[test]
        fn no_json_makes_it_panic(key in "[a-z@/.]{0,12}", link in any::<bool>(), resolved in "[a-z:/.]{0,12}", os in "[a-z!]{0,4}") {
            let lock = serde_json::json!({"lockfileVersion": 3, "packages": {key.clone(): {
                "link": link, "resolved": resolved, "os": [os], "dependencies": {key: "*"}}}});
            let _ = parse(&lock.to_string());
        }
    }
}
