//! From pieces and a base to an image: one layer for each piece, a config, a manifest.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use oci_spec::image as oci;

use super::document::canonical;
use super::group::{self, Part, PlannedPiece};
use super::gzip::{ENCODER, GzipWriter};
use super::tar::{self, ReadFiles};
use super::{
    AWS_ENTRYPOINT, Base, BuiltImage, BuiltLayer, Descriptor, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Place,
    TASK_ROOT,
};
use crate::error::{Error, Result};
use crate::fresh::{self, Files, Key};
use crate::project::ImageSpec;
use crate::report::Task;
use crate::store::{KeptBlob, Store, sha256};
use crate::tree::{ArchivePath, Tree};

/// When everything was made, so that the day is no part of the result.
const EPOCH: &str = "1970-01-01T00:00:00Z";
/// Where a `bootstrap` is started from.
const BOOTSTRAP: &str = "var/runtime/bootstrap";

/// An image that is to be built.
#[derive(Debug, Clone)]
pub struct PlannedImage {
    /// What it is built on.
    pub base: Arc<Base>,
    /// Its own layers, in order.
    pub pieces: Vec<PlannedPiece>,
    /// How it is started.
    pub starter: Starter,
}

/// The parts of a config that say how an image is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Starter {
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub command: Vec<String>,
    /// `WorkingDir`.
    pub working_dir: String,
    /// `Env`.
    pub environment: Vec<String>,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
}

/// An image, and the files on disk that were read for it, with the SHA-256 of what was read, in hexadecimal.
#[derive(Debug)]
pub struct Built {
    /// The image.
    pub image: BuiltImage,
    /// The files.
    pub read: Vec<(PathBuf, String)>,
}

impl PlannedImage {
    /// Plans an image. `packages` and `code` lie below the function's root, `opt` below `/opt`.
    pub(crate) fn new(
        base: Arc<Base>,
        packages: Vec<Part>,
        opt: &Tree,
        code: &Tree,
        spec: &ImageSpec,
        handler: Option<&str>,
        is_provided: bool,
    ) -> Self {
        let starter = Starter::new(&base, spec, handler, is_provided);
        let below = |tree: &Tree| -> Tree {
            tree.iter().filter_map(|(p, e)| Some((task_path(p.as_str(), is_provided)?, e.clone()))).collect()
        };
        let packages = packages.into_iter().map(|part| Part { tree: below(&part.tree), ..part }).collect();
        let mut pieces = vec![group::folders()];
        pieces.extend(group::group(packages));
        let opt = opt.iter().filter_map(|(p, e)| Some((ArchivePath::new(&format!("opt/{p}")).ok()?, e.clone())));
        pieces.push(PlannedPiece { label: "layers".to_owned(), tree: opt.collect() });
        pieces.push(PlannedPiece { label: "code".to_owned(), tree: below(code) });
        let pieces = pieces.into_iter().filter(|piece| !piece.tree.is_empty()).flat_map(group::cut).collect();
        Self { base, pieces, starter }
    }

    /// Bytes of all layers unpacked, those of the base as far as they are known.
    pub fn uncompressed_bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| tar::tar_bytes(&piece.tree)).fold(self.base.known_bytes(), u64::saturating_add)
    }

    /// Whether all layers of its base are on this machine.
    pub fn is_here(&self) -> bool {
        self.base.layers.iter().all(|layer| layer.place != Place::Base)
    }

    /// Layers, those of the base among them.
    pub fn layers(&self) -> usize {
        self.base.layers.len() + self.pieces.len()
    }

    /// What tells it from another image; nothing when a file cannot be read.
    pub fn digest(&self, files: &Files) -> Option<String> {
        let mut key = Key::new();
        key.add(ENCODER)
            .add(format!("{:?}", self.starter))
            .add(format!("{:?} {:?}", self.base.reference, self.base.digest));
        for layer in &self.base.layers {
            key.add(layer.descriptor.digest.to_string());
        }
        for piece in &self.pieces {
            key.add(&piece.label).add(fresh::of_contents(&piece.tree, files)?);
        }
        Some(key.finish())
    }
}

/// Where a file of the function goes. Images of AWS start `/var/runtime/bootstrap`, and so do those that are started by it.
fn task_path(path: &str, is_provided: bool) -> Option<ArchivePath> {
    match path {
        "bootstrap" if is_provided => ArchivePath::new(BOOTSTRAP),
        path => ArchivePath::new(&format!("{}/{path}", TASK_ROOT.trim_start_matches('/'))),
    }
    .ok()
}

impl Starter {
    fn new(base: &Base, spec: &ImageSpec, handler: Option<&str>, is_provided: bool) -> Self {
        let config = base.config.config().clone().unwrap_or_default();
        let of_base = base.entrypoint();
        let entrypoint = match &spec.entrypoint {
            Some(entrypoint) => entrypoint.clone(),
            None if is_provided && !base.is_of_aws() => vec![format!("/{BOOTSTRAP}")],
            None => of_base.to_vec(),
        };
        let is_started_by_aws = matches!(entrypoint.as_slice(), [only] if only == AWS_ENTRYPOINT);
        let command = match &spec.command {
            Some(command) => command.clone(),
            None if is_started_by_aws || !is_provided => handler.map(str::to_owned).into_iter().collect(),
            None => Vec::new(),
        };
        let mut environment = config.env().clone().unwrap_or_default();
        for (name, value) in [
            ("LAMBDA_TASK_ROOT", TASK_ROOT),
            ("LD_LIBRARY_PATH", "/var/task/lib:/opt/lib"),
            ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
        ] {
            if !environment.iter().any(|variable| name_of(variable) == name) {
                environment.push(format!("{name}={value}"));
            }
        }
        for (name, value) in &spec.environment {
            environment.retain(|variable| name_of(variable) != name);
            environment.push(format!("{name}={value}"));
        }
        let mut labels: BTreeMap<String, String> = config.labels().clone().unwrap_or_default().into_iter().collect();
        labels.extend(spec.labels.clone());
        let working_dir = spec.working_dir.clone().unwrap_or_else(|| TASK_ROOT.to_owned());
        Self { entrypoint, command, working_dir, environment, labels }
    }

    /// As an image's config says it.
    pub(crate) fn of(config: &oci::ImageConfiguration) -> Self {
        let config = config.config().clone().unwrap_or_default();
        Self {
            entrypoint: config.entrypoint().clone().unwrap_or_default(),
            command: config.cmd().clone().unwrap_or_default(),
            working_dir: config.working_dir().clone().unwrap_or_default(),
            environment: config.env().clone().unwrap_or_default(),
            labels: config.labels().clone().unwrap_or_default().into_iter().collect(),
        }
    }

    /// The config of an image on this base.
    fn config(&self, base: &Base) -> oci::Config {
        let some = |list: &Vec<String>| Some(list.clone()).filter(|list| !list.is_empty());
        let mut config = base.config.config().clone().unwrap_or_default();
        config.set_entrypoint(some(&self.entrypoint)).set_cmd(some(&self.command));
        config.set_working_dir(Some(self.working_dir.clone())).set_env(some(&self.environment));
        let labels: Vec<(String, String)> = self.labels.clone().into_iter().collect();
        config.set_labels(
            Some(labels.into_iter().collect()).filter(|labels: &std::collections::HashMap<_, _>| !labels.is_empty()),
        );
        config
    }
}

fn name_of(variable: &str) -> &str {
    variable.split('=').next().unwrap_or_default()
}

/// Builds an image; what was made before is taken from the store.
///
/// # Errors
/// When a file cannot be read, or the store cannot be written.
pub fn build(planned: &PlannedImage, store: &Store, files: &Files, task: &Task<'_>) -> Result<Built> {
    let mut layers = planned.base.layers.clone();
    let mut read = Vec::new();
    let mut history = base_history(&planned.base);
    for piece in &planned.pieces {
        layers.push(layer(piece, store, files, task, &mut read)?);
        let mut entry = oci::History::default();
        entry.set_created(Some(EPOCH.to_owned()));
        entry.set_created_by(Some(format!("cargo-lambda-pack: {}", piece.label)));
        history.push(entry);
    }
    store.blobs().trim();
    let image = assemble(&planned.base, layers, history, Some(&planned.starter))?;
    Ok(Built { image, read })
}

/// The base's history with an entry for each of its layers: some tools count them.
pub(crate) fn base_history(base: &Base) -> Vec<oci::History> {
    let mut history = base.config.history().clone().unwrap_or_default();
    let told = history.iter().filter(|entry| !entry.empty_layer().unwrap_or(false)).count();
    if told > base.layers.len() {
        history.clear();
    }
    let told = told.min(base.layers.len());
    let missing = if history.is_empty() { base.layers.len() } else { base.layers.len() - told };
    for _ in 0..missing {
        let mut entry = oci::History::default();
        entry.set_created(Some(EPOCH.to_owned())).set_created_by(Some("base".to_owned()));
        history.push(entry);
    }
    history
}

/// One manifest and one config over layers that are gzipped. Without a starter, the base's config stays as it is.
pub(crate) fn assemble(
    base: &Base,
    layers: Vec<BuiltLayer>,
    history: Vec<oci::History>,
    starter: Option<&Starter>,
) -> Result<BuiltImage> {
    let mut config = base.config.clone();
    let mut rootfs = oci::RootFs::default();
    rootfs.set_diff_ids(layers.iter().map(|layer| layer.diff_id.to_string()).collect());
    config.set_rootfs(rootfs).set_history(Some(history));
    if let Some(starter) = starter {
        config.set_created(Some(EPOCH.to_owned())).set_config(Some(starter.config(base)));
    }
    let config = canonical(&config)?;
    let config_descriptor =
        Descriptor { media_type: OCI_CONFIG.to_owned(), digest: sha256(&config), size: config.len() as u64 };
    let mut annotations = BTreeMap::new();
    if let Some(digest) = base.digest.as_ref().filter(|_| starter.is_some()) {
        annotations.insert("org.opencontainers.image.base.digest".to_owned(), digest.to_string());
        // A path would name this machine.
        if let Some(reference) = &base.reference {
            annotations.insert("org.opencontainers.image.base.name".to_owned(), reference.clone());
        }
    }
    let manifest = manifest(&config_descriptor, &layers, &annotations)?;
    let descriptor =
        Descriptor { media_type: OCI_MANIFEST.to_owned(), digest: sha256(&manifest), size: manifest.len() as u64 };
    let base = base.blobs.clone();
    Ok(BuiltImage { manifest, descriptor, config, config_descriptor, layers, annotations, base })
}

fn manifest(config: &Descriptor, layers: &[BuiltLayer], annotations: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let layers = layers.iter().map(|layer| layer.descriptor.to_oci()).collect::<Result<Vec<_>>>()?;
    let mut builder = oci::ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(oci::MediaType::ImageManifest)
        .config(config.to_oci()?)
        .layers(layers);
    if !annotations.is_empty() {
        builder = builder.annotations(annotations.clone().into_iter().collect::<std::collections::HashMap<_, _>>());
    }
    let manifest = builder.build().map_err(|e| Error::failed("Failed to write a manifest").because(e))?;
    canonical(&manifest)
}

/// The blob of a layer, if it is there; it is hashed only when its stat is new.
fn kept(made: &KeptBlob, store: &Store, files: &Files) -> Option<PathBuf> {
    let path = store.blobs().path(&made.digest);
    // What is not there is not asked for: `files` would remember that.
    std::fs::metadata(&path).ok().filter(|metadata| metadata.is_file() && metadata.len() == made.bytes)?;
    if files.digest(&path)? == made.digest.hex() {
        return Some(path);
    }
    let _ = std::fs::remove_file(path);
    None
}

/// A layer: as it was made before, or anew.
fn layer(
    piece: &PlannedPiece,
    store: &Store,
    files: &Files,
    task: &Task<'_>,
    read: &mut ReadFiles,
) -> Result<BuiltLayer> {
    let blobs = store.blobs();
    task.detail(piece.label.clone());
    let contents = fresh::of_contents(&piece.tree, files);
    let key = contents.as_ref().map(|contents| Key::new().add("layer 1").add(ENCODER).add(contents).finish());
    let built = |made: KeptBlob, path: PathBuf| BuiltLayer {
        descriptor: Descriptor { media_type: OCI_LAYER_GZIP.to_owned(), digest: made.digest, size: made.bytes },
        diff_id: made.diff_id,
        uncompressed_bytes: Some(made.plain_bytes),
        place: Place::Disk { path, offset: 0 },
    };
    if let Some(made) = key.as_ref().and_then(|key| blobs.noted(key))
        && let Some(path) = kept(&made, store, files)
    {
        task.advance(piece.tree.bytes());
        return Ok(built(made, path));
    }
    let mut spool = blobs.begin()?;
    let (writer, files_read) = tar::write(&piece.tree, GzipWriter::new(&mut spool), task)?;
    let (_, gzipped) = writer.finish().map_err(|e| Error::failed("Failed to write a layer").because(e))?;
    spool.flush().map_err(|e| Error::failed("Failed to write a layer").because(e))?;
    let made = KeptBlob {
        digest: gzipped.digest,
        bytes: gzipped.bytes,
        diff_id: gzipped.diff_id,
        plain_bytes: gzipped.plain_bytes,
    };
    let path = blobs.keep(spool, &made.digest)?;
    // What was read is what the key says, unless somebody has written to it in between.
    let as_told = files_read.iter().all(|(path, digest)| files.digest(path).as_ref() == Some(digest));
    if let Some(key) = key.filter(|_| as_told) {
        let _ = blobs.note(&key, &made);
    }
    read.extend(files_read);
    Ok(built(made, path))
}
