//! Images in one tar: the OCI layout as `oci-archive`, and what `docker save` writes as `docker-archive`.
//!
//! The tar is a stranger's. It is walked once by its headers; blobs are then read where they lie in it, nothing is unpacked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use oci_spec::image as oci;
use serde::Deserialize;

use super::document::{canonical, parse};
use super::layout::{self, choose};
use super::{
    Blobs, DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_LAYER_TAR, DOCKER_MANIFEST, Descriptor, MAX_DOCUMENT, OCI_INDEX,
    OCI_LAYER_ZSTD, Place, RawManifest, Wanted, compression,
};
use crate::error::{Error, Result};
use crate::store::{Digest, Hasher, sha256};
use crate::tree::ArchivePath;

/// No archive of images has more members.
const MAX_MEMBERS: usize = 100_000;
/// What names the images of a `docker save`.
const DOCKER_INDEX: &str = "manifest.json";

/// The members of a tar, by name.
#[derive(Debug)]
pub(crate) struct Members {
    path: PathBuf,
    files: BTreeMap<String, Span>,
}

/// Where a member's bytes are.
#[derive(Debug, Clone, Copy)]
struct Span {
    offset: u64,
    size: u64,
}

impl Members {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| {
            Error::failed(format!("`{}` is not a tar that can be read", path.display()))
                .because(e)
                .hint("name an archive that is not compressed itself (`gunzip` it), as `docker save` and `skopeo copy` write it")
        };
        if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(Error::config(format!("`{}` is not a file", path.display())));
        }
        let file = File::open(path).map_err(|e| Error::io("read", path, &e))?;
        let length = file.metadata().map_err(failed)?.len();
        let mut archive = tar::Archive::new(file);
        let (mut files, mut links) = (BTreeMap::new(), Vec::new());
        for (count, entry) in archive.entries_with_seek().map_err(failed)?.enumerate() {
            let entry = entry.map_err(failed)?;
            if count >= MAX_MEMBERS {
                return Err(Error::failed(format!("`{}` has more than {MAX_MEMBERS} members", path.display())));
            }
            let name = entry.path_bytes();
            let Some(name) = std::str::from_utf8(&name).ok().and_then(|name| ArchivePath::new(name).ok()) else {
                continue;
            };
            let kind = entry.header().entry_type();
            if kind.is_file() {
                let span = Span { offset: entry.raw_file_position(), size: entry.size() };
                if span.offset.checked_add(span.size).is_none_or(|end| end > length) {
                    return Err(Error::failed(format!("`{}` ends within `{name}`", path.display())));
                }
                files.insert(name.to_string(), span);
            } else if (kind.is_symlink() || kind.is_hard_link())
                && let Some(target) = entry.link_name_bytes()
                && let Ok(target) = std::str::from_utf8(&target)
            {
                links.push((name.to_string(), target.to_owned(), kind.is_symlink()));
            }
        }
        // Old versions of Docker link layers that several images have.
        for (name, target, is_symlink) in links {
            let folder = if is_symlink { Path::new(&name).parent().unwrap_or(Path::new("")) } else { Path::new("") };
            let target = crate::fsio::normalize(folder, Path::new(&target));
            if let Some(span) = target.to_str().and_then(|target| files.get(target)).copied() {
                files.insert(name, span);
            }
        }
        Ok(Self { path: path.to_owned(), files })
    }

    /// Whether it is a layout in a tar.
    pub(crate) fn is_layout(&self) -> bool {
        self.files.contains_key(layout::MARKER) && self.files.contains_key(layout::INDEX)
    }

    /// Whether Docker can load it.
    pub(crate) fn is_docker(&self) -> bool {
        self.files.contains_key(DOCKER_INDEX)
    }

    fn name(&self) -> String {
        format!("`{}`", self.path.display())
    }

    fn open(&self, span: Span) -> Result<std::io::Take<File>> {
        let io = |e: std::io::Error| Error::io("read", &self.path, &e);
        let mut file = File::open(&self.path).map_err(io)?;
        file.seek(SeekFrom::Start(span.offset)).map_err(io)?;
        Ok(file.take(span.size))
    }

    fn document(&self, name: &str) -> Result<Vec<u8>> {
        let span = self.files.get(name).copied();
        let span = span.ok_or_else(|| Error::failed(format!("{} has no `{name}`", self.name())))?;
        if span.size > MAX_DOCUMENT {
            return Err(Error::failed(format!("`{name}` of {} has {} bytes", self.name(), span.size)));
        }
        let mut bytes = Vec::new();
        self.open(span)?.read_to_end(&mut bytes).map_err(|e| Error::io("read", &self.path, &e))?;
        Ok(bytes)
    }

    fn place(&self, span: Span) -> Place {
        Place::Disk { path: self.path.clone(), offset: span.offset }
    }
}

/// A layout in a tar.
#[derive(Debug)]
pub(crate) struct LayoutArchive {
    members: Members,
    tag: Option<String>,
}

impl LayoutArchive {
    pub(crate) fn new(members: Members, tag: Option<&str>) -> Result<Self> {
        if !members.is_layout() {
            return Err(Error::config(format!("{} is no OCI archive: it has no `oci-layout`", members.name()))
                .hint("what `docker save` writes is named as `docker-archive:PATH`"));
        }
        Ok(Self { members, tag: tag.map(str::to_owned) })
    }

    fn span(&self, descriptor: &Descriptor) -> Option<Span> {
        let digest = &descriptor.digest;
        self.members.files.get(&format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())).copied()
    }
}

impl Blobs for LayoutArchive {
    fn name(&self) -> String {
        self.members.name()
    }

    fn manifest(&self, wanted: Wanted<'_>) -> Result<RawManifest> {
        let descriptor = match wanted {
            Wanted::Child(descriptor) => descriptor.clone(),
            Wanted::Named => {
                let bytes = self.members.document(layout::INDEX)?;
                match choose(&bytes, self.tag.as_deref(), &self.name())? {
                    Some(descriptor) => descriptor,
                    None => {
                        let digest = sha256(&bytes);
                        return Ok(RawManifest { bytes, media_type: OCI_INDEX.to_owned(), digest });
                    }
                }
            }
        };
        let bytes = layout::read_document(self, &descriptor)?;
        Ok(RawManifest { bytes, media_type: descriptor.media_type, digest: descriptor.digest })
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>> {
        let span = self.span(descriptor);
        let span = span.ok_or_else(|| Error::failed(format!("{} has no {}", self.name(), descriptor.digest)))?;
        Ok(Box::new(self.members.open(span)?))
    }

    fn place(&self, descriptor: &Descriptor) -> Option<Place> {
        self.span(descriptor).map(|span| self.members.place(span))
    }
}

/// What `docker save` writes. It names no digests, so that a manifest is made of what is there.
#[derive(Debug)]
pub(crate) struct DockerArchive {
    members: Members,
    manifest: RawManifest,
    blobs: BTreeMap<Digest, Span>,
}

#[derive(Deserialize)]
struct Saved {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags", default)]
    tags: Option<Vec<String>>,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

impl DockerArchive {
    pub(crate) fn new(members: Members, tag: Option<&str>) -> Result<Self> {
        let name = members.name();
        if !members.is_docker() {
            return Err(Error::config(format!("{name} is no Docker archive: it has no `{DOCKER_INDEX}`"))
                .hint("a layout in a tar is named as `oci-archive:PATH`"));
        }
        let saved: Vec<Saved> = parse(&members.document(DOCKER_INDEX)?, &format!("`{DOCKER_INDEX}` of {name}"))?;
        let tags = |one: &Saved| one.tags.clone().unwrap_or_default();
        let found = match (tag, saved.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(tag), all) => all.iter().find(|one| tags(one).iter().any(|name| is_named(name, tag))),
        };
        let found = found.ok_or_else(|| {
            let all: Vec<String> = saved.iter().flat_map(tags).collect();
            Error::config(format!("{name} holds {} images, and none that was asked for", saved.len()))
                .hint(format!("name one of its tags: {}", all.join(", ")))
        })?;
        let mut blobs = BTreeMap::new();
        let config_bytes = members.document(&found.config)?;
        let config = Descriptor {
            media_type: DOCKER_CONFIG.to_owned(),
            digest: sha256(&config_bytes),
            size: config_bytes.len() as u64,
        };
        if let Some(span) = members.files.get(&found.config) {
            blobs.insert(config.digest.clone(), *span);
        }
        let mut layers = Vec::new();
        for layer in &found.layers {
            let span = members.files.get(layer).copied();
            let span = span.ok_or_else(|| Error::failed(format!("{name} has no `{layer}`")))?;
            let descriptor = describe(&members, span)?;
            blobs.insert(descriptor.digest.clone(), span);
            layers.push(descriptor.to_oci()?);
        }
        let manifest = oci::ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(DOCKER_MANIFEST)
            .config(config.to_oci()?)
            .layers(layers)
            .build()
            .map_err(|e| Error::failed("Failed to describe an image").because(e))?;
        let bytes = canonical(&manifest)?;
        let digest = sha256(&bytes);
        Ok(Self { members, manifest: RawManifest { bytes, media_type: DOCKER_MANIFEST.to_owned(), digest }, blobs })
    }
}

/// Whether a whole reference is what is asked for: `docker.io/library/base:1` is also `base:1`, and `1`.
fn is_named(reference: &str, tag: &str) -> bool {
    reference.strip_suffix(tag).is_some_and(|rest| rest.is_empty() || rest.ends_with(['/', ':']))
}

/// The digest of a layer, and how it is compressed.
fn describe(members: &Members, span: Span) -> Result<Descriptor> {
    let io = |e: std::io::Error| Error::io("read", &members.path, &e);
    let mut reader = BufReader::with_capacity(256 << 10, members.open(span)?);
    let media_type = match compression::of(&mut reader).map_err(io)? {
        compression::Compression::Gzip => DOCKER_LAYER_GZIP,
        compression::Compression::Zstd => OCI_LAYER_ZSTD,
        compression::Compression::None => DOCKER_LAYER_TAR,
    };
    let mut hasher = Hasher::new(crate::store::Algorithm::Sha256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer).map_err(io)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(Descriptor { media_type: media_type.to_owned(), digest: hasher.finish(), size: span.size })
}

impl Blobs for DockerArchive {
    fn name(&self) -> String {
        self.members.name()
    }

    fn manifest(&self, wanted: Wanted<'_>) -> Result<RawManifest> {
        match wanted {
            Wanted::Named => Ok(self.manifest.clone()),
            Wanted::Child(child) => Err(Error::failed(format!("{} has no {}", self.name(), child.digest))),
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>> {
        let span = self.blobs.get(&descriptor.digest).copied();
        let span = span.ok_or_else(|| Error::failed(format!("{} has no {}", self.name(), descriptor.digest)))?;
        Ok(Box::new(self.members.open(span)?))
    }

    fn place(&self, descriptor: &Descriptor) -> Option<Place> {
        self.blobs.get(&descriptor.digest).map(|span| self.members.place(*span))
    }
}
