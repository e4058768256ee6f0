//! Reads `pdm.lock` (lock versions 4.x).
//!
//! With the strategy `inherit_metadata`, PDM's default since 2.11, each package says which groups need it, and where. Without,
//! what is needed is walked from `pyproject.toml`. A package with extras is an entry beside the one without.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use pep508_rs::{Requirement, VersionOrUrl};
use serde::Deserialize;

use super::super::manifest::{PyProject, read_toml};
use super::super::names::{self, normalize};
use super::super::pin::Origin;
use super::super::selection::{Kind, Selection};
use super::super::target::Target;
use super::{File, Index, Locked, Package, Place, Reader, environment};
use crate::error::{Error, Result};

/// Everything that starts like this is read.
const MAJOR: &str = "4";

/// A lock file.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Lock {
    metadata: Metadata,
    #[serde(default, rename = "package")]
    packages: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    lock_version: String,
    content_hash: Option<String>,
    #[serde(default)]
    strategy: BTreeSet<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    targets: Vec<LockTarget>,
    /// By name and version, until 4.3.
    #[serde(default)]
    files: BTreeMap<String, Vec<WrittenFile>>,
}

#[derive(Debug, Deserialize)]
struct LockTarget {
    requires_python: Option<String>,
    platform: Option<String>,
    implementation: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    extras: Vec<String>,
    requires_python: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    marker: String,
    #[serde(default)]
    dependencies: Vec<String>,
    files: Option<Vec<WrittenFile>>,
    path: Option<String>,
    url: Option<String>,
    git: Option<String>,
    revision: Option<String>,
    subdirectory: Option<String>,
}

#[derive(Debug, Deserialize)]
struct WrittenFile {
    file: Option<String>,
    url: Option<String>,
    hash: String,
}

impl Lock {
    /// Reads a lock.
    pub(in super::super) fn read(path: &Path) -> Result<Self> {
        let lock: Self = read_toml(path)?;
        if lock.metadata.lock_version.split('.').next() != Some(MAJOR) {
            let shown = lock.metadata.lock_version.escape_debug().to_string();
            return Err(Error::config(format!("a pdm.lock of version {shown}; versions {MAJOR}.x are read"))
                .at(path, None)
                .hint("lock with PDM 2.8 or newer (`pdm lock`), or write `pylock.toml` with `pdm export -f pylock`"));
        }
        Ok(lock)
    }

    /// The digest of what it was made from.
    pub(in super::super) fn content_hash(&self) -> Option<&str> {
        self.metadata.content_hash.as_deref()
    }

    /// What the project and the selected extras and groups need on the target.
    pub(in super::super) fn locked(
        &self,
        path: &Path,
        pyproject: &PyProject,
        selection: &Selection,
        target: &Target,
    ) -> Result<Locked> {
        let reader = Reader { path, command: "pdm lock" };
        self.check_target(&reader, target)?;
        let (extras, groups) = (pyproject.extra_names(), pyproject.group_names());
        selection.check(Kind::Extra, &extras, &pyproject.path)?;
        selection.check(Kind::Group, &groups, &pyproject.path)?;
        for name in selection.extras.iter().chain(&selection.groups) {
            if !self.metadata.groups.iter().any(|group| normalize(group) == *name) {
                return Err(reader
                    .error(format!("`{name}` was not locked"))
                    .hint(format!("run `pdm lock --group {name}`, or `pdm lock --group :all`")));
            }
        }
        let entries = match self.metadata.strategy.contains("inherit_metadata") {
            true => self.of_groups(&reader, selection, target)?,
            false => self.needed(&reader, pyproject, selection, target)?,
        };
        for name in pyproject.needs(target) {
            if !self.packages.iter().any(|entry| normalize(&entry.name) == name) {
                return Err(reader.stale(format!("pyproject.toml needs `{name}`, which the lock does not know")));
            }
        }
        let index = index(&reader, pyproject)?;
        let packages = entries.into_iter().map(|entry| self.package(&reader, entry, &index, target));
        Ok(Locked { packages: reader.sorted(packages.collect::<Result<Vec<_>>>()?, target)?, notes: Vec::new() })
    }

    /// Refuses a lock that was made for other machines only.
    fn check_target(&self, reader: &Reader<'_>, target: &Target) -> Result<()> {
        let targets = &self.metadata.targets;
        if targets.is_empty() || targets.iter().any(|one| one.is_of(target)) {
            return Ok(());
        }
        let shown: Vec<String> = targets.iter().map(LockTarget::name).collect();
        Err(reader
            .error(format!("it is for {}, which leaves out {}", shown.join(" and "), target.name()))
            .hint("choose another runtime, or widen `requires-python` in pyproject.toml and run `pdm lock`; `--platform` and `--python` say what it is for"))
    }

    fn of_groups(&self, reader: &Reader<'_>, selection: &Selection, target: &Target) -> Result<Vec<&Entry>> {
        let mut needed = Vec::new();
        for entry in &self.packages {
            let is_wanted = |group: &String| {
                let group = normalize(group);
                group == "default" || selection.extras.contains(&group) || selection.groups.contains(&group)
            };
            if entry.groups.iter().any(is_wanted) && reader.holds(&entry.marker, target, &selection.extra_names())? {
                needed.push(entry);
            }
        }
        Ok(needed)
    }

    /// What is reached from the requirements of the project.
    fn needed(
        &self,
        reader: &Reader<'_>,
        pyproject: &PyProject,
        selection: &Selection,
        target: &Target,
    ) -> Result<Vec<&Entry>> {
        let mut texts: Vec<(String, String)> = Vec::new();
        let selected = pyproject.selected(selection)?;
        for text in pyproject.dependencies().unwrap_or_default().iter().chain(&selected) {
            texts.push(("pyproject.toml".to_owned(), text.clone()));
        }
        let mut queue = VecDeque::from(texts);
        let mut seen = BTreeSet::new();
        while let Some((owner, text)) = queue.pop_front() {
            // PDM writes paths of this machine as URLs with a variable; their names are what counts.
            let requirement = named_requirement(&text).map_err(|why| {
                reader
                    .error(format!("`{owner}` needs `{}`, which is no requirement", names::shortened(&text)))
                    .because(why)
            })?;
            if !requirement.marker.evaluate(&target.markers, &selection.extra_names()) {
                continue;
            }
            let name = normalize(requirement.name.as_ref());
            let extras =
                std::iter::once(None).chain(requirement.extras.iter().map(|extra| Some(normalize(extra.as_ref()))));
            for extra in extras {
                let Some(index) = self.find(&name, extra.as_deref(), &requirement, target) else {
                    if extra.is_some() {
                        continue; // An extra that the package does not have.
                    }
                    return Err(
                        reader.stale(format!("`{owner}` needs `{name}`, which has no entry for {}", target.name()))
                    );
                };
                if seen.insert(index) {
                    let entry = &self.packages[index];
                    queue.extend(entry.dependencies.iter().map(|text| (name.clone(), text.clone())));
                }
            }
        }
        Ok(seen.into_iter().map(|index| &self.packages[index]).collect())
    }

    fn find(&self, name: &str, extra: Option<&str>, requirement: &Requirement, target: &Target) -> Option<usize> {
        let is_meant = |entry: &Entry| {
            let has = match extra {
                None => entry.extras.is_empty(),
                Some(extra) => entry.extras.iter().any(|one| normalize(one) == extra),
            };
            let fits = entry.requires_python.as_deref().is_none_or(|requires| target.admitted_by(requires));
            let version = match (&requirement.version_or_url, entry.version.parse()) {
                (Some(VersionOrUrl::VersionSpecifier(specifiers)), Ok(version)) => specifiers.contains(&version),
                _ => true,
            };
            normalize(&entry.name) == name && has && fits && version
        };
        let holds = |entry: &Entry| names::holds(&entry.marker, &target.markers, &[]).unwrap_or(true);
        self.packages.iter().position(|entry| is_meant(entry) && holds(entry))
    }

    fn package(&self, reader: &Reader<'_>, entry: &Entry, index: &Index, target: &Target) -> Result<Package> {
        let (name, version) = reader.named(&entry.name, &entry.version)?;
        let label = format!("{name} {version}");
        if let Some(requires) = entry.requires_python.as_deref().filter(|requires| !target.admitted_by(requires)) {
            return Err(reader
                .error(format!("{label} is for Python `{requires}`, which leaves out {}", target.runtime.id))
                .hint("choose another runtime, or lock again for this one"));
        }
        let by_name = || self.metadata.files.get(&format!("{} {}", entry.name, entry.version));
        let files = entry.files.as_ref().or_else(by_name).map_or(&[][..], Vec::as_slice);
        Ok(Package { place: entry.place(reader, &label, files, index)?, name, version })
    }
}

impl LockTarget {
    fn is_of(&self, target: &Target) -> bool {
        let machine = target.architecture.machine();
        let platform = self.platform.as_deref().is_none_or(|platform| {
            let is_linux = platform.starts_with("linux") || platform.starts_with("manylinux");
            let other = ["x86_64", "aarch64", "armv7l", "i686", "ppc64le", "s390x"];
            is_linux && (platform.ends_with(machine) || !other.iter().any(|name| platform.ends_with(name)))
        });
        let python = self.requires_python.as_deref().is_none_or(|requires| target.admitted_by(requires));
        let implementation = self.implementation.as_deref().is_none_or(|name| name.eq_ignore_ascii_case("cpython"));
        platform && python && implementation
    }

    fn name(&self) -> String {
        let parts = [&self.implementation, &self.requires_python, &self.platform];
        let parts: Vec<&str> = parts.into_iter().filter_map(|part| part.as_deref()).collect();
        format!("`{}`", parts.join(" "))
    }
}

impl Entry {
    fn place(&self, reader: &Reader<'_>, label: &str, written: &[WrittenFile], index: &Index) -> Result<Place> {
        if let Some(url) = &self.git {
            return Ok(Place::Known(Origin::Git {
                url: url.strip_prefix("git+").unwrap_or(url).to_owned(),
                commit: self.revision.clone().unwrap_or_default(),
                subdirectory: self.subdirectory.clone().unwrap_or_default(),
            }));
        }
        let named = |file: &WrittenFile| file.file.clone().or_else(|| file.url.as_deref().map(names::file_name));
        let files = written
            .iter()
            .map(|file| Ok(File { name: named(file), digest: reader.digest(label, &file.hash)? }))
            .collect::<Result<Vec<_>>>()?;
        let digest = files.first().map(|file| &file.digest);
        if let Some(path) = &self.path {
            return Ok(Place::Known(reader.local(label, path, digest)?));
        }
        if let Some(url) = &self.url {
            return Ok(Place::Known(reader.at_url(label, url, digest)?));
        }
        let urls: Option<Vec<&String>> = written.iter().map(|file| file.url.as_ref()).collect();
        match urls.filter(|urls| !urls.is_empty()) {
            None => reader.in_index(label, index.clone(), files),
            Some(urls) => {
                let (mut wheels, mut sdist) = (Vec::new(), None);
                for (url, file) in urls.into_iter().zip(&files) {
                    match reader.at_url(label, url, Some(&file.digest))? {
                        Origin::Files { sdist: Some(found), .. } => sdist = Some(found),
                        Origin::Files { wheels: found, .. } => wheels.extend(found),
                        _ => {}
                    }
                }
                Ok(Place::Known(Origin::Files { wheels, sdist }))
            }
        }
    }
}

/// A requirement by its name alone, when what follows `@` has a variable that is no URL.
fn named_requirement(text: &str) -> std::result::Result<Requirement, String> {
    let text = text.trim().trim_start_matches("-e ").trim();
    if let Some((_, fragment)) = text.split_once("#egg=") {
        return names::requirement(fragment).map_err(|(why, _)| why);
    }
    let without_place = || {
        let (head, place) = text.split_once('@')?;
        place.contains("://").then(|| {
            let marker = place.split_once(" ;").or_else(|| place.split_once("; ")).map_or("", |(_, marker)| marker);
            if marker.is_empty() { head.to_owned() } else { format!("{head}; {marker}") }
        })
    };
    match without_place() {
        Some(text) => names::requirement(&text).map_err(|(why, _)| why),
        None => names::requirement(text).map_err(|(why, _)| why),
    }
}

/// The indexes of `[[tool.pdm.source]]`: the one called `pypi` stands in for the usual one.
fn index(reader: &Reader<'_>, pyproject: &PyProject) -> Result<Index> {
    let sources = pyproject.tool("pdm").and_then(|pdm| pdm.get("source")).and_then(toml::Value::as_array);
    let mut index = Index::default();
    for source in sources.into_iter().flatten() {
        let text = |key: &str| source.get(key).and_then(toml::Value::as_str);
        if text("type") == Some("find_links") {
            continue;
        }
        let Some(url) = text("url") else { continue };
        let url = reader.index_url(url, &environment)?;
        match text("name") {
            Some("pypi") => index.url = Some(url),
            _ => index.more.push(url),
        }
    }
    Ok(index)
}
