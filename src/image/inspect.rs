//! An image that anyone has made, looked at as a whole: its media types, its layers, its merged files, and how it is started.

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::archive::{DockerArchive, LayoutArchive, Members};
use super::build::base_history;
use super::document::{self, Document, parse};
use super::layout::Layout;
use super::listing::{self, Listing};
use super::merged::Merged;
use super::opened::{self, Base, single};
use super::{Blobs, BuiltImage, Descriptor, OCI_MANIFEST, PlannedImage, Starter, Verified, Wanted, build, compression};
use crate::error::{Error, Result};
use crate::lambda::{Architecture, IMAGE_LIMIT};
use crate::store::{Digest, Store};

/// An image, read whole.
pub struct Opened {
    /// Whether what is named is an index.
    pub(crate) is_index: bool,
    /// Media type of its manifest.
    pub(crate) manifest_type: String,
    /// Media type of its config.
    pub(crate) config_type: String,
    /// `os` of its config.
    pub(crate) os: String,
    /// `architecture` of its config.
    pub(crate) arch: String,
    /// The same by Lambda's name, if Lambda has it.
    pub(crate) architecture: Option<Architecture>,
    /// Its layers.
    pub(crate) layers: Vec<LayerRead>,
    /// Its files.
    pub(crate) merged: Merged,
    /// How it is started.
    pub(crate) starter: Starter,
}

/// A layer, read.
pub(crate) struct LayerRead {
    pub(crate) descriptor: Descriptor,
    /// What its bytes are.
    pub(crate) compression: &'static str,
    /// Bytes of its tar.
    pub(crate) plain_bytes: u64,
    /// Why it cannot be read, or is not what it should be.
    pub(crate) problem: Option<String>,
}

/// Whether a file is an archive of images.
pub(crate) fn is_archive(path: &Path) -> bool {
    Members::read(path).is_ok_and(|members| members.is_layout() || members.is_docker())
}

/// Opens a layout or an archive, whichever it is.
///
/// # Errors
/// When it is neither.
pub(crate) fn open_artifact(path: &Path) -> Result<Arc<dyn Blobs>> {
    if path.is_dir() {
        return Ok(Arc::new(Layout::open(path, None)?));
    }
    let members = Members::read(path)?;
    if members.is_layout() {
        return Ok(Arc::new(LayoutArchive::new(members, None)?));
    }
    Ok(Arc::new(DockerArchive::new(members, None)?))
}

impl Opened {
    /// Reads an image; of an index that for the processor, or for x86-64 when none is said.
    ///
    /// # Errors
    /// When it has no manifest or config that can be read. What is wrong with a layer is said of it.
    pub(crate) fn read(blobs: &dyn Blobs, architecture: Option<Architecture>) -> Result<Self> {
        let raw = blobs.manifest(Wanted::Named)?;
        let is_index = matches!(raw.read(&blobs.name())?, Document::Index(_));
        let one = match (is_index, architecture) {
            (false, _) => single(blobs, None)?,
            (true, Some(architecture)) => single(blobs, Some(architecture))?,
            // Whichever there is.
            (true, None) => single(blobs, None)
                .or_else(|_| single(blobs, Some(Architecture::X86_64)))
                .or_else(|_| single(blobs, Some(Architecture::Arm64)))?,
        };
        let mut merged = Merged::default();
        let mut layers = Vec::new();
        let mut room = IMAGE_LIMIT.saturating_mul(2);
        let ids = one.config.rootfs().diff_ids();
        for (index, layer) in one.manifest.layers().iter().enumerate() {
            let descriptor = Descriptor::of(layer)?;
            let (read, listing) = LayerRead::of(blobs, descriptor, ids.get(index).map(String::as_str), room);
            room = room.saturating_sub(read.plain_bytes);
            merged.add(&listing);
            layers.push(read);
        }
        if ids.len() != layers.len()
            && let Some(last) = layers.last_mut()
        {
            last.problem = Some(format!(
                "there are {} layers and {} diff ids: number of layers and diffIDs don't match",
                one.manifest.layers().len(),
                ids.len()
            ));
        }
        // What the document says counts; without it, what names it.
        let said = one.manifest.media_type().as_ref().map(ToString::to_string);
        Ok(Self {
            is_index,
            manifest_type: said.unwrap_or_else(|| {
                if one.raw.media_type.is_empty() { OCI_MANIFEST.to_owned() } else { one.raw.media_type.clone() }
            }),
            config_type: one.manifest.config().media_type().to_string(),
            os: one.config.os().to_string(),
            arch: one.config.architecture().to_string(),
            architecture: document::architecture(one.config.architecture()),
            layers,
            merged,
            starter: Starter::of(&one.config),
        })
    }
}

impl LayerRead {
    fn of(blobs: &dyn Blobs, descriptor: Descriptor, diff_id: Option<&str>, room: u64) -> (Self, Listing) {
        let (mut read, mut listing) =
            (Self { descriptor, compression: "no compression", plain_bytes: 0, problem: None }, Listing::default());
        let result = list(blobs, &read.descriptor, room);
        match result {
            Ok(Listed { compression, plain_bytes, plain, list }) => {
                (read.compression, read.plain_bytes, listing) = (compression, plain_bytes, list);
                if diff_id.is_some_and(|id| id != plain.to_string()) {
                    read.problem = Some(format!(
                        "the layer {} holds {plain}, and the config says {}",
                        read.descriptor.digest,
                        diff_id.unwrap_or_default().escape_debug()
                    ));
                }
            }
            Err(error) => {
                read.problem = Some(format!("the layer {} cannot be read: {error}", read.descriptor.digest));
            }
        }
        (read, listing)
    }
}

struct Listed {
    compression: &'static str,
    plain_bytes: u64,
    plain: Digest,
    list: Listing,
}

/// Reads a layer to its end.
fn list(blobs: &dyn Blobs, descriptor: &Descriptor, room: u64) -> Result<Listed> {
    let bad = |e: io::Error| Error::failed(e.to_string());
    let verified = Verified::new(blobs.blob(descriptor)?, descriptor);
    let mut packed = BufReader::with_capacity(256 << 10, verified);
    let compression = match compression::of(&mut packed).map_err(bad)? {
        compression::Compression::Gzip => "gzip",
        compression::Compression::Zstd => "zstd",
        compression::Compression::None => "no compression",
    };
    let (list, plain, plain_bytes) = {
        let reader = compression::open(&mut packed).map_err(bad)?;
        let mut measured = Measured { inner: reader.take(room.saturating_add(1)), hash: Sha256::new(), bytes: 0 };
        let list = listing::read(&mut measured).map_err(bad)?;
        io::copy(&mut measured, &mut io::sink()).map_err(bad)?;
        if measured.bytes > room {
            return Err(Error::failed(format!("it unpacks to more than {room} bytes")));
        }
        (list, Digest::of_sha256(measured.hash), measured.bytes)
    };
    // The digest is compared at the end.
    io::copy(&mut packed, &mut io::sink()).map_err(bad)?;
    Ok(Listed { compression, plain_bytes, plain, list })
}

/// Counts and hashes what is read.
struct Measured<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

impl PlannedImage {
    /// Its files as they will be: those of the base, and its own over them. What the base's layers hold is read once and kept.
    ///
    /// # Errors
    /// When a layer of the base, or a file, cannot be read.
    pub(crate) fn merged(&self, store: &Store) -> Result<Merged> {
        let mut merged = Merged::default();
        for layer in &self.base.layers {
            if let Some(blobs) = &self.base.blobs {
                merged.add(&kept_listing(layer, blobs.as_ref(), store)?);
            }
        }
        for piece in &self.pieces {
            merged.add(&Listing::of_tree(&piece.tree)?);
        }
        Ok(merged)
    }

    /// Whether it is known what the base's layers hold, wherever these are.
    pub(crate) fn is_listed(&self, store: &Store) -> bool {
        let kept = store.blobs();
        self.base.layers.iter().all(|layer| kept.text(&listing_key(layer)).is_some())
    }
}

fn listing_key(layer: &super::BuiltLayer) -> String {
    format!("{}.listing-1", layer.diff_id.hex())
}

fn kept_listing(layer: &super::BuiltLayer, blobs: &dyn Blobs, store: &Store) -> Result<Listing> {
    let kept = store.blobs();
    let key = listing_key(layer);
    if let Some(listing) = kept.text(&key).and_then(|text| serde_json::from_str(&text).ok()) {
        return Ok(listing);
    }
    let placed = Placed { layer, blobs };
    let listed = list(&placed, &layer.descriptor, IMAGE_LIMIT.saturating_mul(2))
        .map_err(|e| e.context(format!("the layer {} of {}", layer.descriptor.digest, blobs.name())))?;
    let _ = kept.keep_text(&key, &serde_json::to_string(&listed.list).unwrap_or_default());
    Ok(listed.list)
}

/// A layer of a base, which may have been compressed anew.
struct Placed<'a> {
    layer: &'a super::BuiltLayer,
    blobs: &'a dyn Blobs,
}

impl Blobs for Placed<'_> {
    fn name(&self) -> String {
        self.blobs.name()
    }
    fn manifest(&self, wanted: Wanted<'_>) -> Result<super::RawManifest> {
        self.blobs.manifest(wanted)
    }
    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>> {
        self.layer.open_here()?.map_or_else(|| self.blobs.blob(descriptor), Ok)
    }
}

/// The same image as Lambda takes it: one manifest, gzipped layers, media types of OCI.
///
/// # Errors
/// When it is damaged, or has no single image for the processor.
pub(crate) fn rewrite(blobs: Arc<dyn Blobs>, architecture: Option<Architecture>, store: &Store) -> Result<BuiltImage> {
    let one = single(blobs.as_ref(), architecture)?;
    let layers = opened::layers(&one, blobs.as_ref(), store, true)?;
    let base = Base {
        name: blobs.name(),
        reference: None,
        digest: None,
        config: parse(&one.config_bytes, "the config")?,
        layers,
        blobs: Some(blobs),
    };
    let history = base_history(&base);
    build::assemble(&base, base.layers.clone(), history, None)
}
