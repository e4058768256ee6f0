//! Reads `uv.lock`: the packages that the function's own project needs on the target, with their archives.
//!
//! The graph is walked from the project's entry, which may be a member of a workspace. Extras are followed where an edge
//! names them; dependency groups and the project's own extras where the function's settings do. Where a lock holds several
//! versions of one package (it was resolved in forks), the edge says which one, or else the fork's `resolution-markers` do.

mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pep508_rs::ExtraName;
use serde::Deserialize;

use super::manifest::{PyProject, read_toml};
use super::names::{self, normalize};
use super::pin::{Origin, Pin, RemoteFile, remote_file};
use super::selection::{Kind, Selection};
use super::target::Target;
use crate::error::{Error, Result};
use crate::fsio;
use crate::store::{Digest, file_url};
use walk::Walk;

/// The layout that is read; uv raises it when older readers would misread a lock.
const VERSION: u32 = 1;

/// A lock file.
#[derive(Debug, Deserialize)]
pub(super) struct Lock {
    version: u32,
    #[serde(rename = "requires-python")]
    requires_python: Option<String>,
    #[serde(default, rename = "package")]
    packages: Vec<Package>,
    #[serde(skip)]
    path: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    #[serde(default)]
    version: String,
    source: Source,
    #[serde(default)]
    resolution_markers: Vec<String>,
    #[serde(default)]
    dependencies: Vec<Edge>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<Edge>>,
    /// Dependency groups, whatever they are called.
    #[serde(default)]
    dev_dependencies: BTreeMap<String, Vec<Edge>>,
    #[serde(default)]
    wheels: Vec<File>,
    sdist: Option<File>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    #[serde(default)]
    requires_dist: Vec<toml::Table>,
    #[serde(default)]
    provides_extras: Vec<String>,
    #[serde(default)]
    requires_dev: BTreeMap<String, Vec<toml::Table>>,
}

/// Where a package comes from; one field is set, besides `subdirectory`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
struct Source {
    registry: Option<String>,
    url: Option<String>,
    git: Option<String>,
    path: Option<String>,
    directory: Option<String>,
    editable: Option<String>,
    r#virtual: Option<String>,
    subdirectory: Option<String>,
}

impl Source {
    /// The folder of a project on this machine, relative to the lock.
    fn folder(&self) -> Option<&str> {
        self.directory.as_deref().or(self.editable.as_deref()).or(self.r#virtual.as_deref())
    }
}

#[derive(Debug, Deserialize)]
struct Edge {
    name: String,
    version: Option<String>,
    source: Option<Source>,
    #[serde(default)]
    extra: Vec<String>,
    #[serde(default)]
    marker: String,
}

#[derive(Debug, Deserialize)]
struct File {
    url: Option<String>,
    path: Option<String>,
    filename: Option<String>,
    hash: Option<String>,
    size: Option<u64>,
}

impl File {
    fn digest(&self) -> Option<Digest> {
        let (algorithm, hex) = self.hash.as_deref()?.split_once(':')?;
        Digest::from_hex(algorithm, hex)
    }
}

impl Lock {
    /// Reads a lock.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut lock: Self = read_toml(path)?;
        lock.path = path.to_owned();
        if lock.version != VERSION {
            return Err(Error::config(format!("a uv.lock of version {}; version {VERSION} is read", lock.version))
                .at(path, None)
                .hint(
                    "lock with another version of uv, or write `pylock.toml` with `uv export --format pylock.toml`",
                ));
        }
        Ok(lock)
    }

    /// The entry of the project in `folder`, if the lock has one.
    fn root(&self, folder: &Path) -> Option<usize> {
        self.packages.iter().position(|p| p.source.folder().is_some_and(|relative| self.beside(relative) == folder))
    }

    /// Whether the lock is for the project in `folder`: its own, or one of a workspace.
    pub(super) fn covers(&self, folder: &Path) -> bool {
        self.root(folder).is_some()
    }

    /// The pins for the project of `pyproject`.
    pub(super) fn pins(&self, pyproject: &PyProject, selection: &Selection, target: &Target) -> Result<Vec<Pin>> {
        let folder = pyproject.path.parent().unwrap_or(Path::new("."));
        let root = self.root(folder).ok_or_else(|| {
            self.error(format!("it has no entry for the project in `{}`", folder.display())).hint("run `uv lock`")
        })?;
        if let Some(requires) = self.requires_python.as_deref().filter(|r| !target.admitted_by(r)) {
            return Err(self
                .error(format!("it is for Python `{requires}`, which leaves out {}", target.runtime.id))
                .hint("choose another runtime, or widen `requires-python` in pyproject.toml and run `uv lock`"));
        }
        let entry = &self.packages[root];
        selection.check(
            Kind::Extra,
            entry.optional_dependencies.keys().chain(&entry.metadata.provides_extras),
            &self.path,
        )?;
        let groups = entry.dev_dependencies.keys().chain(entry.metadata.requires_dev.keys());
        selection.check(Kind::Group, groups, &self.path)?;
        let walk = Walk::new(self, root, selection, target);
        walk.compare(entry, pyproject)?;
        let mut pins = BTreeMap::new();
        for index in walk.reachable()? {
            let package = &self.packages[index];
            if index == root {
                if package.source.r#virtual.is_none() && pyproject.needs_wheel() {
                    pins.insert(index, self.pin(package)?);
                }
            } else if package.source.r#virtual.is_none() {
                pins.insert(index, self.pin(package)?);
            }
        }
        let mut pins: Vec<Pin> = pins.into_values().collect();
        pins.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        if let Some(twice) = pins.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(self.error(format!(
                "it names both {} and {} for {}",
                twice[0].label(),
                twice[1].label(),
                target.name()
            )));
        }
        Ok(pins)
    }

    fn error(&self, message: String) -> Error {
        Error::config(message).at(&self.path, None)
    }

    fn beside(&self, relative: &str) -> PathBuf {
        fsio::normalize(self.path.parent().unwrap_or(Path::new(".")), Path::new(relative))
    }

    fn holds(&self, marker: &str, target: &Target, extras: &[ExtraName]) -> Result<bool> {
        names::holds(marker, &target.markers, extras)
            .map_err(|e| self.error(format!("the marker `{}` cannot be read", names::shortened(marker))).because(e))
    }

    fn pin(&self, package: &Package) -> Result<Pin> {
        let name = normalize(&package.name);
        let origin = self.origin(package, &format!("{name} {}", package.version))?;
        Ok(Pin { name, version: package.version.clone(), origin })
    }

    fn origin(&self, package: &Package, label: &str) -> Result<Origin> {
        let source = &package.source;
        if let Some(folder) = source.folder() {
            return Ok(Origin::Folder(self.beside(folder)));
        }
        if let Some(git) = &source.git {
            let (url, commit) = git.rsplit_once('#').unwrap_or((git, ""));
            let url = url.split('?').next().unwrap_or(url).to_owned();
            let subdirectory = source.subdirectory.clone().unwrap_or_default();
            return Ok(Origin::Git { url, commit: commit.to_owned(), subdirectory });
        }
        if let Some(path) = source.path.as_ref().filter(|path| path.ends_with(".whl")) {
            let digest = package.wheels.first().and_then(File::digest);
            return Ok(Origin::Wheel(self.beside(path), digest));
        }
        let file = |file: &File| self.file(file, source, label);
        Ok(Origin::Files {
            wheels: package.wheels.iter().map(file).collect::<Result<_>>()?,
            sdist: package.sdist.as_ref().map(file).transpose()?,
        })
    }

    fn file(&self, file: &File, source: &Source, label: &str) -> Result<RemoteFile> {
        let url = match (&file.url, &file.path) {
            (Some(url), _) => url.clone(),
            // Paths in an index that is a folder are relative to that folder.
            (None, Some(path)) => {
                let base = source.registry.as_deref().unwrap_or_default();
                file_url(&self.beside(base).join(path))
            }
            (None, None) => match (&source.url, &source.path) {
                (Some(url), _) => url.clone(),
                (None, Some(path)) => file_url(&self.beside(path)),
                (None, None) => return Err(self.error(format!("an archive of {label} has neither URL nor path"))),
            },
        };
        remote_file(label, url, file.filename.as_deref(), file.digest(), file.size).map_err(|e| e.at(&self.path, None))
    }
}

#[cfg(test)]
mod tests;
