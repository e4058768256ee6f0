//! What resolving leaves: a list of pins, each a package at one version and where it is to be had.

use std::path::PathBuf;

use super::names;
use crate::error::Error;
use crate::finding::Finding;
use crate::fresh::Inputs;
use crate::store::{Digest, Form, Remote};

/// A package at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    /// The normalised name.
    pub(super) name: String,
    /// The version; empty when only building it will tell.
    pub(super) version: String,
    /// Where it is to be had.
    pub(super) origin: Origin,
}

/// Where a package is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Archives with digests: wheels, and the source to build when none of them loads.
    Files {
        /// All wheels that were named.
        wheels: Vec<RemoteFile>,
        /// The source distribution.
        sdist: Option<RemoteFile>,
    },
    /// A project folder, to be built into a wheel.
    Folder(PathBuf),
    /// A wheel on this machine, and the digest that it must have, if a lock names one.
    Wheel(PathBuf, Option<Digest>),
    /// A commit of a Git repository, to be built into a wheel.
    Git {
        /// URL of the repository.
        url: String,
        /// The commit's full id.
        commit: String,
        /// The project's folder in it; empty for its root.
        subdirectory: String,
    },
}

/// An archive by URL and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// Its file name, which has the tags.
    pub(super) file: String,
    /// Where it is.
    pub(super) url: String,
    /// The digest it must have.
    pub(super) digest: Digest,
    /// Its length when known.
    pub(super) size: Option<u64>,
}

impl RemoteFile {
    /// What to fetch.
    pub(super) fn remote(&self, label: &str, form: Form) -> Remote {
        Remote {
            label: label.to_owned(),
            url: self.url.clone(),
            digest: self.digest.clone(),
            form,
            size: self.size,
            authorization: None,
        }
    }
}

impl Pin {
    /// Whether it is made of something on this machine, or of what a URL gives today.
    pub(super) fn is_of_this_machine(&self) -> bool {
        match &self.origin {
            Origin::Folder(_) | Origin::Wheel(..) => true,
            Origin::Git { url, .. } => url.starts_with("file:") || url.starts_with('/'),
            Origin::Files { wheels, sdist } => wheels.iter().chain(sdist).any(|file| file.url.starts_with("file:")),
        }
    }

    /// `numpy 2.3.4`, for messages.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.name, self.version).trim_end().to_owned()
    }
}

/// The pins of one function and how they came about.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// In the order of names.
    pub(super) pins: Vec<Pin>,
    /// Packages that had to be left out already.
    pub(super) findings: Vec<Finding>,
    /// The file and the tool that decided.
    pub(super) resolved_by: String,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// All that they depend on beside the function's folder; nothing when a source on this machine is part of it.
    pub(super) inputs: Option<Inputs>,
    /// Indexes that a lock names, perhaps with what they want to know of whoever fetches. Never shown.
    pub(super) index_urls: Vec<String>,
    /// Keeps wheels that were built for these pins on disk.
    pub(super) _scratch: Vec<crate::fsio::Scratch>,
}

/// A lock file's archive: URL, or a path resolved by the caller, with a digest in one of the usual notations
/// (`sha256:hex`, or algorithm and hex apart).
pub(super) fn remote_file(
    owner: &str,
    url: String,
    file: Option<&str>,
    digest: Option<Digest>,
    size: Option<u64>,
) -> Result<RemoteFile, Error> {
    let file = file.map_or_else(|| names::file_name(&url), str::to_owned);
    let digest = digest.ok_or_else(|| {
        Error::config(format!(
            "`{file}` of {owner} has no digest (sha256, sha384 or sha512) in the lock, so it cannot be verified"
        ))
        .hint("lock it again from an index that has digests")
    })?;
    Ok(RemoteFile { file, url, digest, size })
}
