//! Reads `Pipfile.lock`, which is flat: a section for each group, each package with a marker.
//!
//! Pipenv resolves for the Python that it runs in. What only another one needs is not in the lock, or has no version there.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::super::names;
use super::super::pin::Origin;
use super::super::selection::{Kind, Selection};
use super::super::target::Target;
use super::{File, Index, Locked, Package, Place, Reader, environment};
use crate::error::{Error, Result};
use crate::fsio;

/// The layout that is read.
const SPEC: u64 = 6;

/// A lock file.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Lock {
    #[serde(rename = "_meta")]
    meta: Meta,
    /// `default`, `develop`, and groups by their own names.
    #[serde(flatten)]
    sections: BTreeMap<String, BTreeMap<String, Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    pipfile_spec: u64,
    #[serde(default)]
    hash: BTreeMap<String, String>,
    #[serde(default)]
    requires: BTreeMap<String, String>,
    #[serde(default)]
    sources: Value,
}

#[derive(Debug, Default, Deserialize)]
struct Entry {
    version: Option<String>,
    #[serde(default)]
    hashes: Vec<String>,
    #[serde(default)]
    markers: String,
    index: Option<String>,
    git: Option<String>,
    r#ref: Option<String>,
    subdirectory: Option<String>,
    path: Option<String>,
    file: Option<String>,
}

impl Lock {
    /// Reads a lock.
    pub(in super::super) fn read(path: &Path) -> Result<Self> {
        let text = fsio::read_text(path)?;
        let lock: Self = serde_json::from_str(&text).map_err(|e| {
            Error::config(e.to_string()).at(path, Some((e.line(), e.column()))).hint("run `pipenv lock`")
        })?;
        if lock.meta.pipfile_spec != SPEC {
            let version = lock.meta.pipfile_spec;
            return Err(Error::config(format!("a Pipfile.lock of version {version}; version {SPEC} is read"))
                .at(path, None)
                .hint("lock with another version of Pipenv (`pipenv lock`), or run `pipenv requirements > requirements.txt` and pack without the lock"));
        }
        Ok(lock)
    }

    /// The digest of what it was made from.
    pub(in super::super) fn hash(&self) -> Option<&str> {
        self.meta.hash.get("sha256").map(String::as_str)
    }

    /// The indexes that it was made with, as they are written.
    pub(in super::super) fn sources(&self) -> &Value {
        &self.meta.sources
    }

    /// What the default packages and the selected groups need on the target.
    pub(in super::super) fn locked(&self, path: &Path, selection: &Selection, target: &Target) -> Result<Locked> {
        let reader = Reader { path, command: "pipenv lock" };
        let without_groups = Selection { groups: Default::default(), ..selection.clone() };
        without_groups.refuse("a Pipfile", path)?;
        let names: Vec<String> =
            self.sections.keys().filter(|name| *name != "default").map(|name| group(name)).collect();
        selection.check(Kind::Group, &names, path)?;
        let is_wanted =
            |section: &str| section == "default" || selection.groups.contains(&names::normalize(&group(section)));
        let mut packages = Vec::new();
        for (name, entry) in self.sections.iter().filter(|(section, _)| is_wanted(section)).flat_map(|(_, all)| all) {
            if reader.holds(&entry.markers, target, &[])? {
                packages.push(self.package(&reader, name, entry, target)?);
            }
        }
        Ok(Locked {
            packages: reader.sorted(packages, target)?,
            notes: self.other_python(target).into_iter().collect(),
        })
    }

    /// Says when the lock was made for another Python than the target's.
    fn other_python(&self, target: &Target) -> Option<String> {
        let full =
            self.meta.requires.get("python_full_version").or_else(|| self.meta.requires.get("python_version"))?;
        let minor = full.split('.').nth(1)?.parse::<u8>().ok()?;
        (minor != target.minor)
            .then(|| format!("Pipfile.lock is for Python {full}: what only {} needs is not in it", target.runtime.id))
    }

    fn package(&self, reader: &Reader<'_>, name: &str, entry: &Entry, target: &Target) -> Result<Package> {
        let version = entry.version.as_deref().unwrap_or_default();
        let exact = version.strip_prefix("==").map(|version| version.trim_start_matches('='));
        if let Some(place) = entry.elsewhere(reader, name)? {
            let (name, version) = reader.named(name, exact.unwrap_or_default().trim())?;
            return Ok(Package { name, version, place });
        }
        let Some(exact) = exact else {
            return Err(reader
                .error(format!("`{name}` has no exact version in the lock, but {} needs it", target.name()))
                .hint(format!(
                    "Pipenv locks for the Python that it runs in: run `pipenv lock --python 3.{}`",
                    target.minor
                )));
        };
        let (name, version) = reader.named(name, exact.trim())?;
        let label = format!("{name} {version}");
        let files = digests(reader, &label, &entry.hashes)?;
        let index = self.index(reader, entry.index.as_deref())?;
        Ok(Package { place: reader.in_index(&label, index, files)?, name, version })
    }

    /// The source of this name, or the first: Pipenv looks for a package that names none there alone.
    fn index(&self, reader: &Reader<'_>, name: Option<&str>) -> Result<Index> {
        let sources = self.meta.sources.as_array().map_or(&[][..], Vec::as_slice);
        let text = |source: &Value, key: &str| source.get(key).and_then(Value::as_str).map(str::to_owned);
        let source = match name {
            Some(name) => {
                let found = sources.iter().find(|source| text(source, "name").as_deref() == Some(name));
                Some(found.ok_or_else(|| {
                    reader.stale(format!("the index `{}` is not among the sources of the lock", name.escape_debug()))
                })?)
            }
            None => sources.first(),
        };
        let url = source.and_then(|source| text(source, "url"));
        let url = url.map(|url| reader.index_url(&url, &environment)).transpose()?;
        Ok(Index { url, more: Vec::new() })
    }
}

impl Entry {
    /// Where it is, when it is not in an index.
    fn elsewhere(&self, reader: &Reader<'_>, name: &str) -> Result<Option<Place>> {
        if let Some(url) = &self.git {
            return Ok(Some(Place::Known(Origin::Git {
                url: url.strip_prefix("git+").unwrap_or(url).to_owned(),
                commit: self.r#ref.clone().unwrap_or_default(),
                subdirectory: self.subdirectory.clone().unwrap_or_default(),
            })));
        }
        let Some(place) = self.path.as_ref().or(self.file.as_ref()) else { return Ok(None) };
        let files = digests(reader, name, &self.hashes)?;
        // Of several, which one is meant cannot be told.
        let digest =
            Some(&files).filter(|files| files.len() == 1).and_then(|files| files.first()).map(|file| &file.digest);
        let path = place.strip_prefix("file://").or_else(|| place.strip_prefix("file:"));
        Ok(Some(Place::Known(match place.contains("://") && path.is_none() {
            true => reader.at_url(name, place, digest)?,
            false => reader.local(name, path.unwrap_or(place), digest)?,
        })))
    }
}

fn digests(reader: &Reader<'_>, label: &str, hashes: &[String]) -> Result<Vec<File>> {
    hashes.iter().map(|hash| Ok(File { name: None, digest: reader.digest(label, hash)? })).collect()
}

/// A section as a person calls it: `develop` is `dev-packages` in a Pipfile, and `dev` everywhere else.
fn group(section: &str) -> String {
    if section == "develop" { "dev".to_owned() } else { section.to_owned() }
}
