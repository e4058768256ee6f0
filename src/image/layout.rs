//! The OCI image layout: a folder with `oci-layout`, `index.json` and blobs named after their digests.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use oci_spec::image as oci;

use super::document::{self, Document, canonical, parse};
use super::{
    Blobs, BuiltImage, BuiltLayer, Descriptor, MAX_DOCUMENT, OCI_INDEX, OCI_MANIFEST, Place, RawManifest, Wanted,
};
use crate::error::{Error, Result};
use crate::fsio;
use crate::store::{Algorithm, Digest, sha256};

/// The file that says that a folder is a layout.
pub(crate) const MARKER: &str = "oci-layout";
/// The file that names its images.
pub(crate) const INDEX: &str = "index.json";
/// What `oci-layout` holds.
pub(crate) const VERSION: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The tag of what is written.
pub(crate) const TAG: &str = "latest";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A layout that is read.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    tag: Option<String>,
}

impl Layout {
    pub(crate) fn open(root: &Path, tag: Option<&str>) -> Result<Self> {
        if !root.join(MARKER).is_file() {
            let problem = if root.exists() { "is no OCI layout: it has no `oci-layout`" } else { "does not exist" };
            return Err(Error::config(format!("`{}` {problem}", root.display()))
                .hint("`skopeo copy docker://IMAGE oci:FOLDER` and `docker buildx build --output type=oci,tar=false` make one"));
        }
        Ok(Self { root: root.to_owned(), tag: tag.map(str::to_owned) })
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        read_document(self, descriptor)
    }
}

/// A manifest or config by its descriptor, with the digest and size that it says.
pub(crate) fn read_document(blobs: &dyn Blobs, descriptor: &Descriptor) -> Result<Vec<u8>> {
    if descriptor.size > MAX_DOCUMENT {
        return Err(Error::failed(format!(
            "{} of {} has {} bytes; at most {MAX_DOCUMENT} are read",
            descriptor.digest,
            blobs.name(),
            descriptor.size
        )));
    }
    let mut bytes = Vec::new();
    super::Verified::new(blobs.blob(descriptor)?, descriptor)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::failed(format!("Failed to read {} of {}", descriptor.digest, blobs.name())).because(e))?;
    Ok(bytes)
}

impl Blobs for Layout {
    fn name(&self) -> String {
        format!("`{}`", self.root.display())
    }

    fn manifest(&self, wanted: Wanted<'_>) -> Result<RawManifest> {
        let descriptor = match wanted {
            Wanted::Child(descriptor) => descriptor.clone(),
            Wanted::Named => {
                let bytes = fsio::read_bounded(&self.root.join(INDEX), MAX_DOCUMENT)?;
                match choose(&bytes, self.tag.as_deref(), &self.name())? {
                    Some(descriptor) => descriptor,
                    None => {
                        let digest = sha256(&bytes);
                        return Ok(RawManifest { bytes, media_type: OCI_INDEX.to_owned(), digest });
                    }
                }
            }
        };
        let bytes = self.document(&descriptor)?;
        Ok(RawManifest { bytes, media_type: descriptor.media_type, digest: descriptor.digest })
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>> {
        let path = self.blob_path(&descriptor.digest);
        // Before it is opened: opening a named pipe waits for whoever writes to it.
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(Error::failed(format!("`{}` is not a file", path.display())));
        }
        let file = File::open(&path).map_err(|e| Error::io("read", &path, &e))?;
        Ok(Box::new(file))
    }

    fn place(&self, descriptor: &Descriptor) -> Option<Place> {
        let path = self.blob_path(&descriptor.digest);
        path.is_file().then_some(Place::Disk { path, offset: 0 })
    }
}

/// The image of an `index.json`; nothing when it is an index itself: several images without names.
pub(crate) fn choose(bytes: &[u8], tag: Option<&str>, name: &str) -> Result<Option<Descriptor>> {
    let index: oci::ImageIndex = parse(bytes, &format!("`{INDEX}` of {name}"))?;
    let tag_of = |d: &oci::Descriptor| d.annotations().as_ref().and_then(|a| a.get(REF_NAME)).cloned();
    let tags = || {
        let mut tags: Vec<String> = index.manifests().iter().filter_map(tag_of).collect();
        tags.sort();
        tags
    };
    let found = match (tag, index.manifests().as_slice()) {
        (_, []) => return Err(Error::config(format!("{name} holds no image"))),
        (Some(tag), all) => all.iter().find(|d| {
            // containerd writes whole references.
            tag_of(d).is_some_and(|name| name == tag || name.rsplit_once(':').is_some_and(|(_, last)| last == tag))
        }),
        (None, [only]) => Some(only),
        (None, all) if all.iter().all(|d| d.platform().is_some()) && tags().len() <= 1 => return Ok(None),
        (None, _) => None,
    };
    match found {
        Some(descriptor) => Descriptor::of(descriptor).map(Some),
        None => {
            let error = match tag {
                Some(tag) => Error::config(format!("{name} has no image `{tag}`")),
                None => Error::config(format!("{name} holds {} images", index.manifests().len())),
            };
            Err(error.hint(format!("name one of its tags: {}", tags().join(", "))))
        }
    }
}

/// Puts the blobs of an image into a layout's folder, and says which files there are now. Its `index.json` is not touched:
/// [`finish`] names the image. Blobs below `store`, whose digests are known to be true, are linked; all others are copied, and
/// their digests compared.
pub(crate) fn stage(image: &BuiltImage, root: &Path, store: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let slot = |digest: &Digest| blob_path(root, digest);
    // What is only in a registry stays there.
    for layer in image.layers.iter().filter(|layer| layer.place != Place::Base) {
        let target = slot(&layer.descriptor.digest);
        put(image, layer, &target, store)?;
        paths.push(target);
    }
    for (descriptor, bytes) in [(&image.config_descriptor, &image.config), (&image.descriptor, &image.manifest)] {
        let target = slot(&descriptor.digest);
        if !fs::read(&target).is_ok_and(|there| there == *bytes) {
            fsio::write_atomic(&target, bytes)?;
        }
        paths.push(target);
    }
    Ok(paths)
}

fn blob_path(root: &Path, digest: &Digest) -> PathBuf {
    root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
}

fn put(image: &BuiltImage, layer: &BuiltLayer, target: &Path, store: &Path) -> Result<()> {
    let Descriptor { digest, size, .. } = &layer.descriptor;
    let is_there = || fs::metadata(target).is_ok_and(|m| m.is_file() && m.len() == *size);
    if let Place::Disk { path, offset: 0 } = &layer.place
        && path.starts_with(store)
    {
        if path == target || same_file(path, target) {
            return Ok(());
        }
        // The same bytes twice on one disk are of no use to anybody.
        if let Some(folder) = target.parent() {
            fsio::create_dir_all(folder)?;
        }
        if is_link_wanted(path, *size) {
            let _ = fs::remove_file(target);
            if fs::hard_link(path, target).is_ok() {
                return Ok(());
            }
        }
    }
    if is_there() && crate::store::digest_of_file(target, digest.algorithm())? == *digest {
        return Ok(());
    }
    let mut from = super::Verified::new(image.open(layer)?, &layer.descriptor);
    let mut file = fsio::AtomicFile::create(target)?;
    std::io::copy(&mut from, &mut file).map_err(|e| Error::io("write", target, &e))?;
    file.commit()
}

/// A plain file of the right size; a link to elsewhere is copied.
fn is_link_wanted(path: &Path, size: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.len() == size)
}

#[cfg(unix)]
fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    matches!((fs::metadata(a), fs::metadata(b)), (Ok(a), Ok(b)) if a.ino() == b.ino() && a.dev() == b.dev())
}

#[cfg(not(unix))]
fn same_file(_a: &Path, _b: &Path) -> bool {
    false
}

/// The bytes of an `index.json` that names one image.
pub(crate) fn index_of(image: &BuiltImage, tag: &str) -> Result<Vec<u8>> {
    let mut descriptor = image.descriptor.to_oci()?;
    let config: oci::ImageConfiguration = parse(&image.config, "the config")?;
    let mut platform = oci::Platform::default();
    platform.set_architecture(config.architecture().clone()).set_os(config.os().clone());
    descriptor.set_platform(Some(platform));
    descriptor.set_annotations(Some([(REF_NAME.to_owned(), tag.to_owned())].into()));
    let mut index = oci::ImageIndex::default();
    index.set_schema_version(2).set_media_type(Some(oci::MediaType::ImageIndex)).set_manifests(vec![descriptor]);
    canonical(&index)
}

/// Names the image in its folder, and deletes what belonged to an earlier one. What [`stage`] has put there is `paths`.
/// Gives all files of the layout.
pub(crate) fn finish(image: &BuiltImage, root: &Path, paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let (marker, index) = (root.join(MARKER), root.join(INDEX));
    fsio::write_atomic(&marker, VERSION.as_bytes())?;
    fsio::write_atomic(&index, &index_of(image, TAG)?)?;
    let folder = root.join("blobs").join(Algorithm::Sha256.as_str());
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        if !paths.contains(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok([&[marker, index], paths].concat())
}

/// The image of a layout that this program has written, to be pushed. Layers that are not in the folder are said to be in
/// the base.
///
/// # Errors
/// When it is none, or its manifest or config is damaged.
pub fn read_built(root: &Path) -> Result<BuiltImage> {
    let layout = Layout::open(root, None)?;
    let raw = layout.manifest(Wanted::Named)?;
    let Document::Manifest(manifest) = raw.read(&layout.name())? else {
        return Err(Error::failed(format!("{} holds an index", layout.name())));
    };
    let config_descriptor = Descriptor::of(manifest.config())?;
    let config = read_document(&layout, &config_descriptor)?;
    let parsed: oci::ImageConfiguration = document::parse(&config, "the config")?;
    let ids = parsed.rootfs().diff_ids();
    if ids.len() != manifest.layers().len() {
        return Err(Error::failed(format!(
            "{} has {} layers and {} diff ids",
            layout.name(),
            manifest.layers().len(),
            ids.len()
        )));
    }
    let layers = manifest.layers().iter().zip(ids).map(|(descriptor, id)| {
        let descriptor = Descriptor::of(descriptor)?;
        let diff_id = Digest::parse(id).ok_or_else(|| Error::failed(format!("`{id}` is no digest")))?;
        let place = layout.place(&descriptor).unwrap_or(Place::Base);
        Ok(BuiltLayer { descriptor, diff_id, uncompressed_bytes: None, place })
    });
    let media_type = OCI_MANIFEST.to_owned();
    Ok(BuiltImage {
        layers: layers.collect::<Result<_>>()?,
        descriptor: Descriptor { media_type, digest: raw.digest, size: raw.bytes.len() as u64 },
        manifest: raw.bytes,
        config,
        config_descriptor,
        annotations: manifest.annotations().clone().unwrap_or_default().into_iter().collect(),
        base: None,
    })
}
