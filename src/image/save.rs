//! An image in one tar, for tools that want it so: as `docker load` takes it, or the layout.

use std::io::{BufWriter, Read};
use std::path::Path;

use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::layout::{self, TAG};
use super::{BuiltImage, Verified};
use crate::error::{Error, Result};
use crate::fsio::AtomicFile;
use crate::project::ImageArchive;

/// Writes the archive under a temporary name; the caller commits it.
pub(crate) fn save(image: &BuiltImage, form: ImageArchive, name: &str, target: &Path) -> Result<AtomicFile> {
    let file = AtomicFile::create(target)?;
    let mut saver = Saver { tar: Builder::new(BufWriter::with_capacity(256 << 10, file)), target };
    match form {
        ImageArchive::Oci => saver.oci(image)?,
        ImageArchive::Docker => saver.docker(image, name)?,
    }
    let out = saver.tar.into_inner().map_err(|e| Error::io("write", target, &e))?;
    out.into_inner().map_err(|e| Error::io("write", target, e.error()))
}

struct Saver<'a> {
    tar: Builder<BufWriter<AtomicFile>>,
    target: &'a Path,
}

impl Saver<'_> {
    fn put(&mut self, path: &str, size: u64, bytes: impl Read) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        self.tar.append_data(&mut header, path, bytes).map_err(|e| Error::io("write", self.target, &e))
    }

    fn bytes(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.put(path, bytes.len() as u64, bytes)
    }

    fn oci(&mut self, image: &BuiltImage) -> Result<()> {
        let slot = |digest: &crate::store::Digest| format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex());
        self.bytes(layout::MARKER, layout::VERSION.as_bytes())?;
        self.bytes(layout::INDEX, &layout::index_of(image, TAG)?)?;
        self.bytes(&slot(&image.descriptor.digest), &image.manifest)?;
        self.bytes(&slot(&image.config_descriptor.digest), &image.config)?;
        self.layers(image, |layer| slot(&layer.descriptor.digest))
    }

    /// Docker takes gzipped layers, too.
    fn docker(&mut self, image: &BuiltImage, name: &str) -> Result<()> {
        let layer_path = |layer: &super::BuiltLayer| format!("{}.tar.gz", layer.descriptor.digest.hex());
        let config = format!("{}.json", image.config_descriptor.digest.hex());
        let layers: Vec<String> = image.layers.iter().map(layer_path).collect();
        let repository: String = name.to_lowercase();
        let index = json!([{"Config": config, "RepoTags": [format!("{repository}:{TAG}")], "Layers": layers}]);
        self.bytes("manifest.json", index.to_string().as_bytes())?;
        self.bytes(&config, &image.config)?;
        self.layers(image, layer_path)
    }

    fn layers(&mut self, image: &BuiltImage, path: impl Fn(&super::BuiltLayer) -> String) -> Result<()> {
        let mut written = Vec::new();
        for layer in &image.layers {
            // An image may have one layer twice.
            if written.contains(&&layer.descriptor.digest) {
                continue;
            }
            let reader = Verified::new(image.open(layer)?, &layer.descriptor);
            self.put(&path(layer), layer.descriptor.size, reader)?;
            written.push(&layer.descriptor.digest);
        }
        Ok(())
    }
}
