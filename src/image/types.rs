//! What is said of images: descriptors, manifests as they were read, and the value that is pushed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::store::Digest;

/// Manifest of one image, OCI.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Index of images, OCI.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Config of an image, OCI.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A gzipped layer, OCI.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer without compression, OCI.
pub const OCI_LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer in zstd, OCI.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Manifest of one image, Docker's schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// List of manifests, Docker's schema 2.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Config of an image, Docker's.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A gzipped layer, Docker's.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// A layer without compression, Docker's.
pub const DOCKER_LAYER_TAR: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// The most bytes of a manifest, an index or a config: what ECR takes of a manifest.
pub const MAX_DOCUMENT: u64 = 4 << 20;

/// What names a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Which manifest is wanted of a [`Blobs`].
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// The one that it was opened for: a tag, a digest, or the only one that there is.
    Named,
    /// One that an index names.
    Child(&'a Descriptor),
}

/// A manifest, or an index, byte by byte as it is kept.
#[derive(Debug, Clone)]
pub struct RawManifest {
    /// The bytes, at most [`MAX_DOCUMENT`].
    pub bytes: Vec<u8>,
    /// The media type that whoever keeps it names; the document's own where that is not said.
    pub media_type: String,
    /// SHA-256 of the bytes.
    pub digest: Digest,
}

/// Where an image is that can be read: a layout, an archive or a repository, opened for one reference.
pub trait Blobs: Send + Sync {
    /// What messages call it.
    fn name(&self) -> String;

    /// A manifest or an index.
    ///
    /// # Errors
    /// When there is none, it is too large, or its bytes have another digest than the one that was asked for.
    fn manifest(&self, wanted: Wanted<'_>) -> Result<RawManifest>;

    /// The bytes of a blob from its beginning. The reader need not check the digest or the size: whoever reads does
    /// (`image::verify`).
    ///
    /// # Errors
    /// When it is not there.
    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>>;

    /// Where the blob's bytes are on this machine, when they are in a file as they are.
    fn place(&self, _descriptor: &Descriptor) -> Option<Place> {
        None
    }

    /// The image in a registry that it is, when it is one: its blobs may be mounted, or streamed from there.
    fn remote(&self) -> Option<&crate::registry::Remote> {
        None
    }
}

/// Where the bytes of a blob are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file, from an offset on for the descriptor's size.
    Disk {
        /// The file.
        path: PathBuf,
        /// Where the blob begins.
        offset: u64,
    },
    /// Nowhere on this machine: in the base that the image was built on, under the same digest.
    Base,
}

/// A layer of an image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltLayer {
    /// Its blob.
    pub descriptor: Descriptor,
    /// SHA-256 of the tar in it.
    pub diff_id: Digest,
    /// Bytes of the tar; nothing for a layer of a base that nobody has unpacked yet.
    pub uncompressed_bytes: Option<u64>,
    /// Its bytes.
    pub place: Place,
}

impl BuiltLayer {
    /// The bytes of its blob, if they are on this machine.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_here(&self) -> Result<Option<Box<dyn Read + Send>>> {
        let Place::Disk { path, offset } = &self.place else { return Ok(None) };
        let io = |e: std::io::Error| Error::io("read", path, &e);
        let mut file = File::open(path).map_err(io)?;
        file.seek(SeekFrom::Start(*offset)).map_err(io)?;
        Ok(Some(Box::new(file.take(self.descriptor.size))))
    }
}

/// Whether a layer of this media type is gzipped, as Lambda wants it.
pub fn is_gzip_layer(media_type: &str) -> bool {
    matches!(media_type, OCI_LAYER_GZIP | DOCKER_LAYER_GZIP)
}

/// An image that Lambda takes: one manifest, one config, gzipped layers.
#[derive(Clone)]
pub struct BuiltImage {
    /// The manifest as it is pushed.
    pub manifest: Vec<u8>,
    /// Its media type, size and digest.
    pub descriptor: Descriptor,
    /// The config as it is pushed.
    pub config: Vec<u8>,
    /// Its media type, size and digest.
    pub config_descriptor: Descriptor,
    /// Layers, those of the base first.
    pub layers: Vec<BuiltLayer>,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The base, where it is still needed for [`Place::Base`].
    pub base: Option<Arc<dyn Blobs>>,
}

impl BuiltImage {
    /// Bytes of the manifest, the config and all layers, as they are pushed.
    pub fn bytes(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(|layer| layer.descriptor.size).sum();
        layers + self.descriptor.size + self.config_descriptor.size
    }

    /// Bytes of all tars; nothing when one is not known.
    pub fn uncompressed_bytes(&self) -> Option<u64> {
        self.layers.iter().map(|layer| layer.uncompressed_bytes).sum()
    }

    /// How it is started.
    ///
    /// # Errors
    /// When its config cannot be read.
    pub(crate) fn starter(&self) -> Result<super::Starter> {
        super::document::parse(&self.config, "the config").map(|config| super::Starter::of(&config))
    }

    /// The bytes of a layer's blob, wherever they are.
    ///
    /// # Errors
    /// When the file cannot be read, or the base is not known.
    pub fn open(&self, layer: &BuiltLayer) -> Result<Box<dyn Read + Send>> {
        match (layer.open_here()?, &self.base) {
            (Some(file), _) => Ok(file),
            (None, Some(base)) => base.blob(&layer.descriptor),
            (None, None) => Err(Error::failed(format!("the layer {} is not here", layer.descriptor.digest))
                .hint("build the image again, so that its base is known")),
        }
    }
}

impl std::fmt::Debug for BuiltImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuiltImage").field("descriptor", &self.descriptor).field("layers", &self.layers).finish()
    }
}
