//! The locks of Poetry, Pipenv and PDM.
//!
//! They name files by digest, but mostly not where these are: that is asked of the index ([`indexed`]). Each reader gives
//! the packages that the function needs on the target, as its manager would install them there.

pub(super) mod agreement;
mod constraint;
mod indexed;
pub(super) mod pdm;
pub(super) mod pipfile;
pub(super) mod poetry;
pub(super) mod poetry_graph;

use std::path::{Path, PathBuf};

use super::names::{self, normalize};
use super::pin::Origin;
use super::target::Target;
use crate::error::{Error, Result};
use crate::fsio;
use crate::store::{Digest, file_url, percent_decode};

/// What a lock says for a target.
#[derive(Debug, Default)]
pub(super) struct Locked {
    /// The packages.
    pub(super) packages: Vec<Package>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// A package at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    /// The normalised name.
    pub(super) name: String,
    /// The version; empty when only building it will tell.
    pub(super) version: String,
    /// Where it is to be had.
    pub(super) place: Place,
}

/// Where a package is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The lock says it.
    Known(Origin),
    /// Among the files of an index.
    Index(Index, Vec<File>),
}

/// The index that has a package.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Index {
    /// Its URL, perhaps with name and password; nothing for the one that uv and pip take.
    pub(super) url: Option<String>,
    /// Others that may have it, too.
    pub(super) more: Vec<String>,
}

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Its name, if the lock has it.
    pub(super) name: Option<String>,
    /// The digest that it must have.
    pub(super) digest: Digest,
}

impl Package {
    /// `numpy 2.3.4`, for messages.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.name, self.version).trim_end().to_owned()
    }
}

/// A lock that is being read, for what its readers have in common.
struct Reader<'a> {
    path: &'a Path,
    /// The command that makes it anew.
    command: &'a str,
}

impl Reader<'_> {
    fn error(&self, message: String) -> Error {
        Error::config(message).at(self.path, None)
    }

    fn stale(&self, message: String) -> Error {
        self.error(message).hint(format!("run `{}`", self.command))
    }

    fn beside(&self, relative: &str) -> PathBuf {
        fsio::normalize(self.path.parent().unwrap_or(Path::new(".")), Path::new(relative))
    }

    fn holds(&self, marker: &str, target: &Target, extras: &[pep508_rs::ExtraName]) -> Result<bool> {
        names::holds(marker, &target.markers, extras)
            .map_err(|e| self.error(format!("the marker `{}` cannot be read", names::shortened(marker))).because(e))
    }

    /// Name and version, once they are what their names say: they go into a file for uv or pip.
    fn named(&self, name: &str, version: &str) -> Result<(String, String)> {
        if !names::is_name(name) {
            return Err(self.error(format!("`{}` is no name of a package", name.escape_debug())));
        }
        let is_version = version.is_empty() || version.parse::<pep508_rs::pep440_rs::Version>().is_ok();
        if !is_version {
            return Err(self.error(format!("`{}` is no version of {name}", version.escape_debug())));
        }
        Ok((normalize(name), version.to_owned()))
    }

    fn digest(&self, label: &str, text: &str) -> Result<Digest> {
        let digest = text.split_once(':').and_then(|(algorithm, hex)| Digest::from_hex(algorithm, hex));
        digest.ok_or_else(|| {
            let shown = names::shortened(text).escape_debug().to_string();
            self.stale(format!("`{shown}` of {label} is no digest (sha256, sha384 or sha512)"))
        })
    }

    /// The files of an index; there must be some, and each has a digest.
    fn in_index(&self, label: &str, index: Index, files: Vec<File>) -> Result<Place> {
        if files.is_empty() {
            return Err(
                self.stale(format!("{label} has no digest in the lock, so nothing that is fetched can be verified"))
            );
        }
        Ok(Place::Index(index, files))
    }

    /// What a path leads to: a project, a wheel, or a source distribution.
    fn local(&self, label: &str, path: &str, digest: Option<&Digest>) -> Result<Origin> {
        let place = self.beside(&percent_decode(path));
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".whl") {
            return Ok(Origin::Wheel(place, digest.cloned()));
        }
        if place.is_dir() {
            return Ok(Origin::Folder(place));
        }
        if [".tar.gz", ".tgz", ".zip"].iter().any(|end| name.ends_with(end)) {
            return self.at_url(label, &file_url(&place), digest);
        }
        Err(self.error(format!("`{path}`, which {label} comes from, is not there")))
    }

    /// A wheel or source distribution at a URL.
    fn at_url(&self, label: &str, url: &str, digest: Option<&Digest>) -> Result<Origin> {
        let file = super::pin::remote_file(label, url.to_owned(), None, digest.cloned(), None)
            .map_err(|e| e.at(self.path, None))?;
        Ok(match file.file.ends_with(".whl") {
            true => Origin::Files { wheels: vec![file], sdist: None },
            false => Origin::Files { wheels: Vec::new(), sdist: Some(file) },
        })
    }

    /// One entry for each package: in the order of names.
    fn sorted(&self, mut packages: Vec<Package>, target: &Target) -> Result<Vec<Package>> {
        packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        packages.dedup();
        match packages.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(twice) => Err(self.error(format!(
                "it names both {} and {} for {}",
                twice[0].label(),
                twice[1].label(),
                target.name()
            ))),
            None => Ok(packages),
        }
    }

    /// The URL of an index with `${VARIABLE}` replaced by what `variable` gives.
    fn index_url(&self, url: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String> {
        let mut out = String::new();
        let mut rest = url;
        while let Some(at) = rest.find("${") {
            let (before, after) = rest.split_at(at);
            let Some((name, behind)) = after[2..].split_once('}') else { break };
            let value = variable(name).ok_or_else(|| {
                self.error(format!("the variable `{}` in the URL of an index is not set", name.escape_debug()))
                    .hint("set it where the function is packed")
            })?;
            out.push_str(before);
            out.push_str(&value);
            rest = behind;
        }
        out.push_str(rest);
        let is_web = ["https://", "http://", "file://"].iter().any(|scheme| out.starts_with(scheme));
        if !is_web || out.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'\\".contains(c)) {
            return Err(self.error(format!("`{}` is no URL of an index", url.escape_debug())));
        }
        Ok(out)
    }
}

/// A variable of this process.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests;
