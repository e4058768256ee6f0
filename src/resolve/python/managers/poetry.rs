//! Reads `poetry.lock` (lock versions 1.0, 1.1, 2.0 and 2.1).
//!
//! Since 2.1 (Poetry 2) a lock says for each package which groups need it, and where: it is read as `poetry install` reads it.
//! Before, what is needed is walked from `pyproject.toml` ([`super::poetry_graph`]).

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::super::manifest::{PyProject, read_toml};
use super::super::names::{self, normalize};
use super::super::pin::Origin;
use super::super::selection::{Kind, Selection};
use super::super::target::Target;
use super::poetry_graph::{self, Edges};
use super::{File, Index, Locked, Package, Place, Reader, constraint, environment};
use crate::error::{Error, Result};

/// Written since Poetry 2.0; the newest that is known.
const NEWEST: (u32, u32) = (2, 1);

/// A lock file.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Lock {
    #[serde(default, rename = "package")]
    pub(super) packages: Vec<Entry>,
    #[serde(default)]
    extras: BTreeMap<String, Vec<String>>,
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    lock_version: String,
    python_versions: Option<String>,
    content_hash: Option<String>,
    /// By name, until 1.1.
    #[serde(default)]
    files: BTreeMap<String, Vec<WrittenFile>>,
}

/// A package.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) version: String,
    python_versions: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    markers: Option<Markers>,
    files: Option<Vec<WrittenFile>>,
    #[serde(default)]
    pub(super) dependencies: BTreeMap<String, Edges>,
    #[serde(default)]
    pub(super) extras: BTreeMap<String, Vec<String>>,
    source: Option<Source>,
}

/// One marker for all groups, or one for each.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Markers {
    All(String),
    Each(BTreeMap<String, String>),
}

#[derive(Debug, Clone, Deserialize)]
struct WrittenFile {
    file: String,
    hash: String,
}

#[derive(Debug, Deserialize)]
struct Source {
    r#type: String,
    url: String,
    reference: Option<String>,
    resolved_reference: Option<String>,
    subdirectory: Option<String>,
}

impl Lock {
    /// Reads a lock.
    pub(in super::super) fn read(path: &Path) -> Result<Self> {
        let lock: Self = read_toml(path)?;
        let version = &lock.metadata.lock_version;
        let mut numbers = version.split('.').map(|n| n.parse::<u32>().unwrap_or(u32::MAX));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version.0 == 0 || version > NEWEST {
            let shown = lock.metadata.lock_version.escape_debug().to_string();
            return Err(Error::config(format!("a poetry.lock of version {shown}; versions 1.0 to 2.1 are read"))
                .at(path, None)
                .hint("lock with another version of Poetry (`poetry lock`), or export it: `poetry export --output requirements.txt`, and pack without the lock"));
        }
        Ok(lock)
    }

    /// The digest of what it was made from.
    pub(in super::super) fn content_hash(&self) -> Option<&str> {
        self.metadata.content_hash.as_deref()
    }

    /// What the main group and the selected ones need on the target.
    pub(in super::super) fn locked(
        &self,
        path: &Path,
        pyproject: &PyProject,
        selection: &Selection,
        target: &Target,
    ) -> Result<Locked> {
        let reader = Reader { path, command: "poetry lock" };
        if let Some(pythons) = self.metadata.python_versions.as_deref().filter(|text| !is_for(text, target)) {
            return Err(reader
                .error(format!("it is for Python `{pythons}`, which leaves out {}", target.runtime.id))
                .hint("choose another runtime, or widen `python` in pyproject.toml and run `poetry lock`"));
        }
        let declared = pyproject.extra_names();
        selection.check(Kind::Extra, self.extras.keys().chain(&declared), path)?;
        let groups = pyproject.group_names();
        let locked = self.packages.iter().flat_map(|entry| &entry.groups);
        selection.check(Kind::Group, groups.iter().chain(locked), &pyproject.path)?;
        let entries = match self.packages.iter().all(|entry| entry.groups.is_empty()) {
            true => poetry_graph::needed(self, &reader, pyproject, selection, target)?,
            false => self.of_groups(&reader, selection, target)?,
        };
        self.knows_all(&reader, pyproject, target)?;
        let packages =
            entries.into_iter().map(|entry| self.package(&reader, entry, target)).collect::<Result<Vec<_>>>()?;
        Ok(Locked { packages: reader.sorted(packages, target)?, notes: Vec::new() })
    }

    /// The extras of the project as the lock has them.
    pub(super) fn extra(&self, name: &str) -> Option<&Vec<String>> {
        self.extras.iter().find(|(extra, _)| normalize(extra) == name).map(|(_, needs)| needs)
    }

    fn of_groups(&self, reader: &Reader<'_>, selection: &Selection, target: &Target) -> Result<Vec<&Entry>> {
        let extras = selection.extra_names();
        let mut needed = Vec::new();
        for entry in &self.packages {
            for group in &entry.groups {
                if normalize(group) != "main" && !selection.groups.contains(&normalize(group)) {
                    continue;
                }
                let marker = match &entry.markers {
                    None => "",
                    Some(Markers::All(marker)) => marker,
                    Some(Markers::Each(markers)) => markers.get(group).map_or("", String::as_str),
                };
                if reader.holds(marker, target, &extras)? {
                    needed.push(entry);
                    break;
                }
            }
        }
        Ok(needed)
    }

    /// Refuses a lock without something that the project says it needs on the target.
    fn knows_all(&self, reader: &Reader<'_>, pyproject: &PyProject, target: &Target) -> Result<()> {
        for name in pyproject.poetry_needs(target).into_iter().chain(pyproject.needs(target)) {
            if !self.packages.iter().any(|entry| normalize(&entry.name) == name) {
                return Err(reader.stale(format!("pyproject.toml needs `{name}`, which the lock does not know")));
            }
        }
        Ok(())
    }

    fn package(&self, reader: &Reader<'_>, entry: &Entry, target: &Target) -> Result<Package> {
        let (name, version) = reader.named(&entry.name, &entry.version)?;
        let label = format!("{name} {version}");
        if let Some(pythons) = entry.python_versions.as_deref().filter(|_| !entry.is_for(target)) {
            return Err(reader
                .error(format!("{label} is for Python `{pythons}`, which leaves out {}", target.runtime.id))
                .hint("choose another runtime, or lock again for this one"));
        }
        let by_name = || self.metadata.files.iter().find(|(key, _)| normalize(key) == name).map(|(_, files)| files);
        let written = entry.files.as_ref().or_else(by_name).map_or(&[][..], Vec::as_slice);
        let files = written
            .iter()
            .map(|file| Ok(File { name: Some(file.file.clone()), digest: reader.digest(&label, &file.hash)? }))
            .collect::<Result<Vec<_>>>()?;
        let place = match &entry.source {
            None => reader.in_index(&label, Index::default(), files)?,
            Some(source) => source.place(reader, &label, files)?,
        };
        Ok(Package { name, version, place })
    }
}

impl Entry {
    /// Whether its Pythons are those of the target, too.
    pub(super) fn is_for(&self, target: &Target) -> bool {
        self.python_versions.as_deref().is_none_or(|text| is_for(text, target))
    }
}

impl Source {
    fn place(&self, reader: &Reader<'_>, label: &str, files: Vec<File>) -> Result<Place> {
        let of = |name: &str| files.iter().find(|file| file.name.as_deref() == Some(name)).or(files.first());
        Ok(match self.r#type.as_str() {
            "legacy" => {
                let url = reader.index_url(&self.url, &environment)?;
                let url = with_credentials(&url, self.reference.as_deref().unwrap_or_default(), &environment);
                reader.in_index(label, Index { url: Some(url), more: Vec::new() }, files)?
            }
            "git" => Place::Known(Origin::Git {
                url: self.url.clone(),
                commit: self.resolved_reference.clone().unwrap_or_default(),
                subdirectory: self.subdirectory.clone().unwrap_or_default(),
            }),
            "directory" | "file" => {
                let name = self.url.rsplit('/').next().unwrap_or_default();
                let digest = of(name).map(|file| &file.digest);
                if self.r#type == "file" && digest.is_none() {
                    return Err(reader.stale(format!("`{}` has no digest in the lock", self.url.escape_debug())));
                }
                Place::Known(reader.local(label, &self.url, digest)?)
            }
            "url" => {
                let name = names::file_name(&self.url);
                Place::Known(reader.at_url(label, &self.url, of(&name).map(|file| &file.digest))?)
            }
            other => {
                let other = other.escape_debug();
                return Err(reader.error(format!("{label} comes from `{other}`, which is not read")));
            }
        })
    }
}

/// Whether a constraint on Python admits the target; one that cannot be read does: Poetry could read it.
pub(super) fn is_for(constraint: &str, target: &Target) -> bool {
    constraint::admits(constraint, &target.markers.python_full_version().version).unwrap_or(true)
}

/// The URL with the name and password that Poetry's own variables have for this source.
fn with_credentials(url: &str, source: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let name = source.to_uppercase().replace(['-', '.'], "_");
    let of = |what: &str| variable(&format!("POETRY_HTTP_BASIC_{name}_{what}"));
    match (of("USERNAME"), url.split_once("://")) {
        (Some(user), Some((scheme, rest))) if !rest.split('/').next().is_some_and(|host| host.contains('@')) => {
            let password = of("PASSWORD").unwrap_or_default();
            format!("{scheme}://{}:{}@{rest}", encoded(&user), encoded(&password))
        }
        _ => url.to_owned(),
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_from_poetrys_variables() {
        let variable = |name: &str| match name {
            "POETRY_HTTP_BASIC_OUR_OWN_USERNAME" => Some("me".to_owned()),
            "POETRY_HTTP_BASIC_OUR_OWN_PASSWORD" => Some("a/b".to_owned()),
            _ => None,
        };
        let with = |url: &str, source: &str| with_credentials(url, source, &variable);
        assert_eq!(with("https://h/simple", "our-own"), "https://me:a%2Fb@h/simple");
        assert_eq!(with("https://x@h/simple", "our-own"), "https://x@h/simple");
        assert_eq!(with("https://h/simple", "other"), "https://h/simple");
    }
}
