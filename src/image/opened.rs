//! A base that was opened: its config for one processor, and its layers as Lambda takes them.
//!
//! An index is followed to the image of the processor. Layers that are not gzipped are compressed anew, once: what came out
//! is noted by the digest of what went in. What is on this machine is read whole once, so that digests are true and the size
//! of the tar is known; what is in a registry stays there, unless a complete layout is wanted.

use std::io::{self, BufReader, Read, Write};
use std::sync::Arc;

use oci_spec::image as oci;

use super::document::{self, Document, arch, parse};
use super::gzip::{ENCODER, GzipWriter};
use super::layout::read_document;
use super::{
    BaseReference, Blobs, BuiltLayer, Descriptor, OCI_LAYER_GZIP, Place, RawManifest, Verified, Wanted, compression,
};
use crate::error::{Error, Result};
use crate::lambda::{Architecture, IMAGE_LIMIT};
use crate::registry::Registries;
use crate::store::{Digest, KeptBlob, Store, sha256};

/// Indexes of indexes are followed so deep.
const MAX_DEPTH: usize = 4;
/// No image has more layers.
const MAX_LAYERS: usize = 1_000;

/// A base.
pub struct Base {
    /// What messages call it.
    pub name: String,
    /// As it is written in a registry; nothing for what lies on this machine.
    pub reference: Option<String>,
    /// Digest of the manifest for the processor; nothing for `scratch`.
    pub digest: Option<Digest>,
    /// Its config.
    pub config: oci::ImageConfiguration,
    /// Its layers, gzipped.
    pub layers: Vec<BuiltLayer>,
    /// Where they come from.
    pub blobs: Option<Arc<dyn Blobs>>,
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").field("name", &self.name).field("digest", &self.digest).finish()
    }
}

/// A manifest for one processor, with its config.
pub(crate) struct Single {
    pub(crate) raw: RawManifest,
    pub(crate) manifest: oci::ImageManifest,
    pub(crate) config: oci::ImageConfiguration,
    pub(crate) config_bytes: Vec<u8>,
}

impl Base {
    /// Nothing at all.
    pub fn scratch(architecture: Architecture) -> Self {
        let mut config = oci::ImageConfiguration::default();
        config.set_architecture(arch(architecture)).set_os(oci::Os::Linux);
        config.set_created(None).set_config(None).set_history(None).set_rootfs(oci::RootFs::default());
        Self { name: "scratch".to_owned(), reference: None, digest: None, config, layers: Vec::new(), blobs: None }
    }

    /// Opens a base for a processor. With `complete`, all of its layers are on this machine then.
    ///
    /// # Errors
    /// When it is not there, has no image for the processor, or is damaged.
    pub fn open(
        reference: &BaseReference,
        architecture: Architecture,
        store: &Store,
        registries: &Registries,
        complete: bool,
    ) -> Result<Self> {
        let Some(blobs) = reference.open(registries)? else { return Ok(Self::scratch(architecture)) };
        let single = single(blobs.as_ref(), Some(architecture))?;
        check_architecture(&single.config, architecture, &blobs.name())?;
        let layers = layers(&single, blobs.as_ref(), store, complete)?;
        let reference = match reference {
            BaseReference::Registry(reference) => Some(reference.clone()),
            _ => None,
        };
        Ok(Self {
            name: blobs.name(),
            reference,
            digest: Some(single.raw.digest),
            config: single.config,
            layers,
            blobs: Some(blobs),
        })
    }

    /// Bytes of its layers unpacked, as far as they are known.
    pub fn known_bytes(&self) -> u64 {
        self.layers.iter().filter_map(|layer| layer.uncompressed_bytes).sum()
    }

    /// What the process is started with.
    pub fn entrypoint(&self) -> &[String] {
        self.config.config().as_ref().and_then(|config| config.entrypoint().as_deref()).unwrap_or_default()
    }

    /// Whether it starts functions as the images of AWS do.
    pub fn is_of_aws(&self) -> bool {
        matches!(self.entrypoint(), [only] if only == super::AWS_ENTRYPOINT)
    }
}

/// Follows indexes to the manifest of one processor; without one, to the only image that is for Linux.
pub(crate) fn single(blobs: &dyn Blobs, architecture: Option<Architecture>) -> Result<Single> {
    let name = blobs.name();
    let mut raw = blobs.manifest(Wanted::Named)?;
    for _ in 0..MAX_DEPTH {
        match raw.read(&name)? {
            Document::Index(index) => {
                let child = child(&index, architecture, &name)?;
                raw = blobs.manifest(Wanted::Child(&child))?;
                if sha256(&raw.bytes) != child.digest && child.digest != raw.digest {
                    return Err(Error::failed(format!("{name} gave another manifest than {}", child.digest)));
                }
            }
            Document::Manifest(manifest) => {
                let config_bytes = read_document(blobs, &Descriptor::of(manifest.config())?)?;
                let config = parse(&config_bytes, &format!("the config of {name}"))?;
                return Ok(Single { raw, manifest: *manifest, config, config_bytes });
            }
        }
    }
    Err(Error::failed(format!("{name} is an index of indexes, {MAX_DEPTH} deep")))
}

/// The image of an index for a processor. Attestations are no images.
fn child(index: &oci::ImageIndex, architecture: Option<Architecture>, name: &str) -> Result<Descriptor> {
    let is_image = |d: &&oci::Descriptor| {
        let marked = d.annotations().as_ref().is_some_and(|a| a.contains_key("vnd.docker.reference.type"));
        let known = d.platform().as_ref().is_none_or(|p| p.architecture().to_string() != "unknown");
        !marked && known && d.artifact_type().is_none()
    };
    let images: Vec<&oci::Descriptor> = index.manifests().iter().filter(is_image).collect();
    let fits = |d: &&&oci::Descriptor| match (d.platform(), architecture) {
        (Some(platform), Some(wanted)) => *platform.os() == oci::Os::Linux && *platform.architecture() == arch(wanted),
        (Some(platform), None) => *platform.os() == oci::Os::Linux,
        // An index in an index; what it leads to says for itself what it is for.
        (None, _) => images.len() == 1,
    };
    let fitting: Vec<&&oci::Descriptor> = images.iter().filter(fits).collect();
    match (fitting.as_slice(), architecture) {
        ([first, ..], Some(_)) | ([first], None) => Descriptor::of(first),
        (_, wanted) => {
            let mut offered: Vec<String> = images
                .iter()
                .filter_map(|d| d.platform().as_ref())
                .map(|p| format!("{}/{}", p.os(), p.architecture()))
                .collect();
            offered.sort();
            let wanted = wanted.map_or_else(|| "one processor".to_owned(), |wanted| format!("linux/{}", arch(wanted)));
            Err(Error::config(format!("{name} has no single image for {wanted}; it has {}", offered.join(", ")))
                .hint("name the processor (`architecture`, `--arch`), or an image that has it"))
        }
    }
}

fn check_architecture(config: &oci::ImageConfiguration, wanted: Architecture, name: &str) -> Result<()> {
    let said = config.architecture();
    if document::architecture(said) == Some(wanted) && *config.os() == oci::Os::Linux {
        return Ok(());
    }
    Err(Error::config(format!("{name} is for {}/{said}, and the function for linux/{}", config.os(), arch(wanted)))
        .hint("name an image for that processor, or set `architecture`"))
}

/// The layers of an image as Lambda takes them.
pub(crate) fn layers(single: &Single, blobs: &dyn Blobs, store: &Store, complete: bool) -> Result<Vec<BuiltLayer>> {
    let (layers, ids) = (single.manifest.layers(), single.config.rootfs().diff_ids());
    let name = blobs.name();
    if layers.len() != ids.len() || layers.len() > MAX_LAYERS {
        return Err(Error::failed(format!("{name} has {} layers and {} diff ids", layers.len(), ids.len())));
    }
    let mut out = Vec::new();
    let mut plain = 0_u64;
    for (layer, id) in layers.iter().zip(ids) {
        if layer.media_type().to_string().contains("foreign")
            || layer.media_type().to_string().contains("nondistributable")
        {
            return Err(Error::config(format!("{name} has a layer that may not be copied ({})", layer.media_type())));
        }
        let diff_id = Digest::parse(id).ok_or_else(|| Error::failed(format!("`{id}` of {name} is no digest")))?;
        let room = IMAGE_LIMIT.saturating_mul(2).saturating_sub(plain);
        let layer = normalized(&Descriptor::of(layer)?, &diff_id, blobs, store, complete, room)?;
        plain += layer.uncompressed_bytes.unwrap_or_default();
        out.push(layer);
    }
    Ok(out)
}

fn normalized(
    layer: &Descriptor,
    diff_id: &Digest,
    blobs: &dyn Blobs,
    store: &Store,
    complete: bool,
    room: u64,
) -> Result<BuiltLayer> {
    let kept = store.blobs();
    let key = format!("{ENCODER}-{}", layer.digest.hex());
    let built = |made: &KeptBlob, place| BuiltLayer {
        descriptor: Descriptor { media_type: OCI_LAYER_GZIP.to_owned(), digest: made.digest.clone(), size: made.bytes },
        diff_id: made.diff_id.clone(),
        uncompressed_bytes: Some(made.plain_bytes),
        place,
    };
    if let Some(made) = kept.noted(&key).filter(|made| made.diff_id == *diff_id) {
        let place = if made.digest == layer.digest { blobs.place(layer) } else { None };
        let place =
            place.or_else(|| kept.verified(&made.digest, made.bytes).map(|path| Place::Disk { path, offset: 0 }));
        if let Some(place) = place {
            return Ok(built(&made, place));
        }
    }
    let here = blobs.place(layer);
    if here.is_none() && !complete && layer.media_type.ends_with("gzip") {
        let descriptor = Descriptor { media_type: OCI_LAYER_GZIP.to_owned(), ..layer.clone() };
        // As it was when it was here.
        let noted = kept.noted(&key).filter(|made| made.digest == layer.digest && made.diff_id == *diff_id);
        let uncompressed_bytes = noted.map(|made| made.plain_bytes);
        return Ok(BuiltLayer { descriptor, diff_id: diff_id.clone(), uncompressed_bytes, place: Place::Base });
    }
    let failed = |e: io::Error| {
        Error::failed(format!("Failed to read the layer {} of {}", layer.digest, blobs.name())).because(e)
    };
    let mut spool = kept.begin()?;
    let verified = Verified::new(blobs.blob(layer)?, layer);
    let mut packed = BufReader::with_capacity(256 << 10, verified);
    let made = if compression::of(&mut packed).map_err(failed)? == compression::Compression::Gzip {
        // As it is; what is in it is read to know that it is what the config says.
        let copy: Option<&mut dyn Write> = if here.is_none() { Some(&mut spool) } else { None };
        let (plain_id, plain_bytes) = compression::measure(Tee { inner: packed, copy }, room).map_err(failed)?;
        KeptBlob { digest: layer.digest.clone(), bytes: layer.size, diff_id: plain_id, plain_bytes }
    } else {
        let mut writer = GzipWriter::new(&mut spool);
        compression::unpack(packed, &mut writer, room).map_err(failed)?;
        let (_, gzipped) = writer.finish().map_err(failed)?;
        let (digest, diff_id) = (gzipped.digest, gzipped.diff_id);
        KeptBlob { digest, bytes: gzipped.bytes, diff_id, plain_bytes: gzipped.plain_bytes }
    };
    if made.diff_id != *diff_id {
        return Err(Error::failed(format!(
            "the layer {} of {} holds {}, and the config says {diff_id}",
            layer.digest,
            blobs.name(),
            made.diff_id
        ))
        .hint("the image is damaged: pull or build it again"));
    }
    let place = match here.filter(|_| made.digest == layer.digest) {
        Some(place) => place,
        None => Place::Disk { path: kept.keep(spool, &made.digest)?, offset: 0 },
    };
    let _ = kept.note(&key, &made);
    Ok(built(&made, place))
}

/// Copies what is read.
struct Tee<'a, R> {
    inner: R,
    copy: Option<&'a mut dyn Write>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(copy) = &mut self.copy {
            copy.write_all(&buffer[..read])?;
        }
        Ok(read)
    }
}
