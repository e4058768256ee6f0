//! Package managers beside npm: their lock files as a [`Lock`], so that all that follows is the same for all of them.
//!
//! ```text
//! bun.lock ─────────────► places, as npm's lock has them
//! pnpm-lock.yaml ───┐
//! yarn.lock ────────┼───► what packages are to each other; [`super::hoist`] finds the places
//! yarn.lock (Berry) ┘
//! ```
//!
//! Where several locks lie in one folder, `packageManager` of the `package.json` there says which decides, else
//! `devEngines.packageManager`; else the first of [`LOCKS`] does. The others are named in a note.

mod berry;
mod bun;
mod graph;
mod pnpm;
pub(super) mod prove;
mod settings;
mod yarn;

pub(super) use graph::with_peers;

use std::path::{Path, PathBuf};

use super::lock::{LOCK_FILES, Lock};
use crate::error::{Error, Result};
use crate::fsio;

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Npm,
    Pnpm,
    /// Yarn 1.
    Yarn,
    /// Yarn since 2.
    Berry,
    Bun,
}

impl Manager {
    /// What it is called in `packageManager`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn | Self::Berry => "yarn",
            Self::Bun => "bun",
        }
    }

    /// What it is called at the start of a sentence.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn | Self::Berry => "Yarn",
            Self::Bun => "Bun",
        }
    }

    /// The command that writes the lock and nothing else, where it has one.
    pub(super) fn relock(self) -> &'static str {
        match self {
            Self::Npm => "npm install --package-lock-only",
            Self::Pnpm => "pnpm install --lockfile-only",
            Self::Yarn => "yarn install",
            Self::Berry => "yarn install --mode=update-lockfile",
            Self::Bun => "bun install --lockfile-only",
        }
    }

    /// The command that brings lock and `package.json` together.
    pub(super) fn install(self) -> String {
        format!("{} install", self.name())
    }
}

/// Lock files, the one that decides first, each with the name of its manager.
const LOCKS: [(&str, Manager); 6] = [
    (LOCK_FILES[0], Manager::Npm),
    (LOCK_FILES[1], Manager::Npm),
    ("pnpm-lock.yaml", Manager::Pnpm),
    ("yarn.lock", Manager::Yarn),
    ("bun.lock", Manager::Bun),
    ("bun.lockb", Manager::Bun),
];

/// Files beside locks that an answer depends on.
const BESIDE: [&str; 5] = ["pnpm-workspace.yaml", ".yarnrc.yml", ".yarnrc", "bunfig.toml", ".npmrc"];

/// Names of all files of a folder that an answer may depend on.
pub(super) fn files() -> impl Iterator<Item = &'static str> {
    LOCKS.iter().map(|(name, _)| *name).chain(BESIDE)
}

/// The lock that decides in a folder.
pub(super) struct Chosen {
    pub(super) path: PathBuf,
    manager: Manager,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// Finds the lock that decides in a folder, if it has any.
pub(super) fn choose(folder: &Path) -> Option<Chosen> {
    let there: Vec<(&str, Manager)> = LOCKS.into_iter().filter(|(name, _)| folder.join(name).is_file()).collect();
    let first = *there.first()?;
    let named = named_manager(folder);
    let by_name = named.as_ref().and_then(|(_, name)| there.iter().find(|(_, manager)| manager.name() == name));
    let (name, manager) = by_name.copied().unwrap_or(first);
    let mut notes = Vec::new();
    let others: Vec<String> =
        there.iter().filter(|(_, other)| *other != manager).map(|(other, _)| format!("`{other}`")).collect();
    match (&named, by_name) {
        (Some((key, by)), None) => notes.push(format!(
            "`{key}` in package.json names {by}, which has no lock here: `{name}` of {} decides.",
            manager.name()
        )),
        (Some((key, _)), Some(_)) if !others.is_empty() => {
            notes.push(format!("`{name}` decides, as `{key}` in package.json says; {} is not read.", others.join(", ")));
        }
        (None, _) if !others.is_empty() => notes.push(format!(
            "`{name}` decides; {} is not read: delete what is not used, or say which with `packageManager` in package.json.",
            others.join(", ")
        )),
        _ => {}
    }
    Some(Chosen { path: folder.join(name), manager, notes })
}

/// The package manager that a folder's `package.json` names, and the key that does.
fn named_manager(folder: &Path) -> Option<(&'static str, String)> {
    let text = fsio::read_text(&folder.join("package.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    if let Some(spec) = manifest.get("packageManager").and_then(|spec| spec.as_str()) {
        let name = spec.split('@').next().filter(|name| !name.is_empty())?;
        return Some(("packageManager", name.to_owned()));
    }
    let name = manifest.pointer("/devEngines/packageManager/name")?.as_str()?;
    Some(("devEngines.packageManager", name.to_owned()))
}

/// Reads the lock that was chosen.
pub(super) fn read(chosen: &Chosen, folder: &Path) -> Result<Lock> {
    let path = &chosen.path;
    match chosen.manager {
        Manager::Npm => Lock::read(path, folder),
        Manager::Pnpm => pnpm::read(path, folder),
        Manager::Bun if path.ends_with("bun.lockb") => {
            Err(Error::config("the lock file is binary, which is not read")
                .at(path, None)
                .hint("write it as text with `bun install --save-text-lockfile --frozen-lockfile --lockfile-only` (Bun 1.2 or newer), and delete `bun.lockb`"))
        }
        Manager::Bun => bun::read(path, folder),
        Manager::Yarn | Manager::Berry => {
            let text = fsio::read_text(path)?;
            if berry::is_berry(&text) { berry::read(text, path, folder) } else { yarn::read(&text, path, folder) }
        }
    }
}

/// Splits `name@rest` and `@scope/name@rest`.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let at = text.get(1..)?.find('@')? + 1;
    Some((&text[..at], &text[at + 1..]))
}

/// A path that a lock writes, relative to one of its folders, as a location: relative to the lock's own folder.
fn location_of(base: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split(['/', '\\'])) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What the `package.json` of a folder of the project says, and its name and version.
fn own_manifest(folder: &Path, location: &str) -> Result<(super::manifest::Manifest, Option<String>, Option<String>)> {
    let path = folder.join(location).join("package.json");
    let text = fsio::read_text(&path)?;
    let manifest = super::manifest::Manifest::parse(&text, &path)?;
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let word = |key: &str| value.get(key).and_then(|word| word.as_str()).map(str::to_owned);
    Ok((manifest, word("name"), word("version")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_manager_of_the_manifest_decides() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fsio::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        assert!(choose(dir.path()).is_none());
        write("yarn.lock", "");
        write("pnpm-lock.yaml", "");
        let chosen = choose(dir.path()).unwrap();
        assert!(chosen.path.ends_with("pnpm-lock.yaml"));
        assert!(chosen.notes[0].starts_with("`pnpm-lock.yaml` decides; `yarn.lock` is not read"), "{:?}", chosen.notes);
        for manifest in [
            r#"{"packageManager": "yarn@1.22.22+sha512.x"}"#,
            r#"{"devEngines": {"packageManager": {"name": "yarn"}}}"#,
        ] {
            write("package.json", manifest);
            let chosen = choose(dir.path()).unwrap();
            assert!(chosen.path.ends_with("yarn.lock"), "{manifest}");
            assert!(chosen.notes[0].contains("`pnpm-lock.yaml` is not read"), "{:?}", chosen.notes);
        }
        write("package.json", r#"{"packageManager": "bun@1.2.0"}"#);
        assert!(choose(dir.path()).unwrap().notes[0].contains("names bun, which has no lock here"));
    }

    #[test]
    fn paths_become_locations() {
        for (base, path, location) in [
            ("packages/api", "../shared", "packages/shared"),
            ("", "./a", "a"),
            ("a", "../..", ".."),
            ("a", "..", ""),
            ("", "../x", "../x"),
        ] {
            assert_eq!(location_of(base, path), location, "{base} {path}");
        }
    }
}
