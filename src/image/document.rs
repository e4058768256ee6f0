//! Manifests, indexes and configs: read with bounds from whoever gives them, written with sorted keys.

use oci_spec::image as oci;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Descriptor, MAX_DOCUMENT, RawManifest};
use crate::error::{Error, Result};
use crate::lambda::Architecture;
use crate::store::Digest;

/// What a manifest turns out to be.
#[derive(Debug)]
pub(crate) enum Document {
    /// One image.
    Manifest(Box<oci::ImageManifest>),
    /// Several.
    Index(Box<oci::ImageIndex>),
}

/// Reads JSON.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(Error::failed(format!("{what} has {} bytes; at most {MAX_DOCUMENT} are read", bytes.len())));
    }
    serde_json::from_slice(bytes).map_err(|e| Error::failed(format!("{what} cannot be read")).because(e))
}

/// The same bytes for the same value: maps of `oci-spec` have no order.
pub(crate) fn canonical(value: &impl Serialize) -> Result<Vec<u8>> {
    let fail = |e: serde_json::Error| Error::failed("Failed to write an image's JSON").because(e);
    let mut value = serde_json::to_value(value).map_err(fail)?;
    value.sort_all_objects();
    serde_json::to_vec(&value).map_err(fail)
}

impl RawManifest {
    /// Reads it as what its fields say that it is; the media type is believed only where they leave it open.
    pub(crate) fn read(&self, name: &str) -> Result<Document> {
        let what = format!("the manifest of {name}");
        let value: serde_json::Value = parse(&self.bytes, &what)?;
        if value.get("manifests").is_some_and(serde_json::Value::is_array) {
            return parse(&self.bytes, &what).map(|index| Document::Index(Box::new(index)));
        }
        if value.get("schemaVersion").and_then(serde_json::Value::as_u64) == Some(1) {
            return Err(Error::failed(format!("{what} has Docker's schema 1, which was given up in 2017"))
                .hint("push the image again with a tool of today"));
        }
        parse(&self.bytes, &what).map(|manifest| Document::Manifest(Box::new(manifest)))
    }
}

impl Descriptor {
    /// From a document; only digests that can be computed.
    pub(crate) fn of(descriptor: &oci::Descriptor) -> Result<Self> {
        let text = descriptor.digest().to_string();
        let digest = Digest::parse(&text)
            .ok_or_else(|| Error::failed(format!("`{text}` is no digest that is known here (sha256, sha512)")))?;
        Ok(Self { media_type: descriptor.media_type().to_string(), digest, size: descriptor.size() })
    }

    /// For a document.
    pub(crate) fn to_oci(&self) -> Result<oci::Descriptor> {
        let digest = self.digest.to_string().parse::<oci::Digest>();
        let digest = digest.map_err(|e| Error::failed(format!("`{}` is no digest", self.digest)).because(e))?;
        Ok(oci::Descriptor::new(self.media_type.as_str().into(), self.size, digest))
    }
}

/// The name that images have for it.
pub(crate) fn arch(architecture: Architecture) -> oci::Arch {
    match architecture {
        Architecture::X86_64 => oci::Arch::Amd64,
        Architecture::Arm64 => oci::Arch::ARM64,
    }
}

/// Lambda's name for it.
pub(crate) fn architecture(arch: &oci::Arch) -> Option<Architecture> {
    match arch {
        oci::Arch::Amd64 => Some(Architecture::X86_64),
        oci::Arch::ARM64 => Some(Architecture::Arm64),
        _ => None,
    }
}
