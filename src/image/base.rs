//! What an image is built on: `base = "…"` as it is written, and opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Blobs;
use super::archive::{DockerArchive, LayoutArchive, Members};
use super::layout::Layout;
use crate::error::{Error, Result};
use crate::registry::{self, Registries};

/// A base as the config names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseReference {
    /// Nothing: for programs that need nothing.
    Scratch,
    /// `oci:PATH[:TAG]`: a folder in the OCI image layout.
    Layout(PathBuf, Option<String>),
    /// `oci-archive:PATH[:TAG]`: the same in a tar.
    LayoutArchive(PathBuf, Option<String>),
    /// `docker-archive:PATH[:REPO:TAG]`: what `docker save` writes.
    DockerArchive(PathBuf, Option<String>),
    /// A repository with a tag or a digest, as it is written: `public.ecr.aws/lambda/python:3.13`.
    Registry(String),
}

impl BaseReference {
    /// Reads what is written; paths are relative to `folder`.
    ///
    /// # Errors
    /// When nothing is named.
    pub fn parse(text: &str, folder: &Path) -> Result<Self> {
        if text == "scratch" {
            return Ok(Self::Scratch);
        }
        let (transport, rest) = text.split_once(':').unwrap_or(("", text));
        let local = |make: fn(PathBuf, Option<String>) -> Self| {
            let (path, tag) = match rest.split_once(':') {
                Some((path, tag)) => (path, Some(tag.to_owned())),
                None => (rest, None),
            };
            if path.is_empty() || tag.as_deref() == Some("") {
                return Err(Error::config(format!("`{text}` names no path")).hint("write `oci:PATH` or `oci:PATH:TAG`"));
            }
            Ok(make(crate::fsio::normalize(folder, Path::new(path)), tag))
        };
        match transport {
            "oci" => local(Self::Layout),
            "oci-archive" => local(Self::LayoutArchive),
            "docker-archive" => local(Self::DockerArchive),
            _ if text.trim().is_empty() || text.contains(char::is_whitespace) => {
                Err(Error::config(format!("`{text}` is no image"))
                    .hint("write a reference such as `public.ecr.aws/lambda/python:3.13`, `oci:PATH`, or `scratch`"))
            }
            _ => Ok(Self::Registry(text.strip_prefix("docker://").unwrap_or(text).to_owned())),
        }
    }

    /// Opens it; nothing for `scratch`.
    ///
    /// # Errors
    /// When it is not there, or is no image.
    pub fn open(&self, registries: &Registries) -> Result<Option<Arc<dyn Blobs>>> {
        match self {
            Self::Scratch => Ok(None),
            Self::Registry(reference) => Ok(Some(registry::open(reference, registries)?)),
            Self::Layout(path, tag) => Ok(Some(Arc::new(Layout::open(path, tag.as_deref())?))),
            Self::LayoutArchive(path, tag) => {
                Ok(Some(Arc::new(LayoutArchive::new(Members::read(path)?, tag.as_deref())?)))
            }
            Self::DockerArchive(path, tag) => {
                Ok(Some(Arc::new(DockerArchive::new(Members::read(path)?, tag.as_deref())?)))
            }
        }
    }
}
