//! Functions that become container images: their bases, what goes into which layer, and the folders that are written.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::draft::Role;
use super::manifest::ManifestImage;
use super::parts::Parts;
use super::{Failures, Session};
use crate::check::{self, ImageSubject};
use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::fresh::{Files, Stat};
use crate::fsio::AtomicFile;
use crate::image::{self, Base, BaseReference, BuiltImage, Merged, Part, PlannedImage, layout};
use crate::lambda::{Architecture, IMAGE_LIMIT, Runtime};
use crate::pack::Artifact;
use crate::project::{FunctionSpec, ImageArchive, ImageSpec, LayerSource, Project};
use crate::report::{Task, Unit};
use crate::store::{Digest, Store};
use crate::tree::Tree;

/// Bases that were opened, by name and processor.
#[derive(Debug, Default)]
pub(super) struct Bases(HashMap<(String, Architecture), Arc<Base>>);

/// What a function's image is built on.
fn reference(spec: &FunctionSpec, image: &ImageSpec, runtime: &Runtime) -> Result<BaseReference> {
    match (&image.base, runtime.image()) {
        (Some(base), _) => Ok(base.clone()),
        (None, Some(image)) => Ok(BaseReference::Registry(image)),
        (None, None) => Err(Error::config(format!("AWS has no image for `{}`", spec.runtime))
            .hint("name what the image is built on with `base`")),
    }
}

impl Bases {
    /// Opens what is needed, each once. Layers that only a registry has are fetched when the image is packed, too.
    pub(super) fn open(
        parts: &[(Role, Parts<'_>)],
        project: &Project,
        session: Session<'_>,
        is_packed: bool,
    ) -> Result<Self, Failures> {
        let mut bases = Self::default();
        let mut failures = Vec::new();
        let images = parts.iter().filter(|(role, _)| role.is_packed()).map(|(_, parts)| parts);
        let images: Vec<&Parts<'_>> = images.filter(|parts| parts.spec.image.is_some()).collect();
        let task = (!images.is_empty())
            .then(|| Task::begin(session.reporter, "Opening bases", Some(images.len() as u64), Unit::Items));
        for parts in images {
            if let Err(error) = bases.open_one(parts, project, session, is_packed && !session.options.shallow_bases) {
                failures.push(error.context(format!("function `{}`", parts.spec.name)));
            }
            task.iter().for_each(|task| task.advance(1));
        }
        if failures.is_empty() { Ok(bases) } else { Err(Failures(failures)) }
    }

    fn open_one(&mut self, parts: &Parts<'_>, project: &Project, session: Session<'_>, complete: bool) -> Result<()> {
        let Some(image) = &parts.spec.image else { return Ok(()) };
        if let Some(layer) = project.layers.iter().find(|layer| {
            parts.spec.layers.attached.contains(&layer.name) && matches!(layer.source, LayerSource::Existing { .. })
        }) {
            return Err(Error::config(format!(
                "`{}` cannot be put into an image: Lambda layers are not supported for functions created with container images",
                layer.name
            ))
            .hint("take what is in it into the project, as a layer with a `path`; its files come to `/opt` in the image"));
        }
        let reference = reference(parts.spec, image, parts.runtime)?;
        let architecture = parts.spec.architecture;
        let key = (format!("{reference:?}"), architecture);
        if let Entry::Vacant(vacant) = self.0.entry(key) {
            vacant.insert(Arc::new(Base::open(&reference, architecture, session.store, session.registries, complete)?));
        }
        Ok(())
    }

    /// The base of a function that becomes an image.
    pub(super) fn of(&self, spec: &FunctionSpec, runtime: &Runtime) -> Option<Arc<Base>> {
        let reference = reference(spec, spec.image.as_ref()?, runtime).ok()?;
        self.0.get(&(format!("{reference:?}"), spec.architecture)).cloned()
    }
}

/// Whether a function's image is made without the layers that only a registry has.
pub(super) fn is_shallow(spec: &FunctionSpec, session: Session<'_>) -> bool {
    session.options.shallow_bases && spec.image.is_some()
}

/// Files of a base that decide, and whether the day does, too: a tag may be another image tomorrow.
pub(super) fn inputs(spec: &FunctionSpec) -> (Option<PathBuf>, bool) {
    match spec.image.as_ref().map(|image| image.base.as_ref()) {
        None | Some(Some(BaseReference::Scratch)) => (None, false),
        Some(Some(BaseReference::Layout(path, _))) => (Some(path.join(layout::INDEX)), false),
        Some(Some(BaseReference::LayoutArchive(path, _) | BaseReference::DockerArchive(path, _))) => {
            (Some(path.clone()), false)
        }
        Some(Some(BaseReference::Registry(reference))) => (None, !reference.contains('@')),
        Some(None) => (None, true),
    }
}

/// The image of a function: `tree` is all of it, from which each package takes the paths that are its own in the end.
pub(super) fn plan(parts: &Parts<'_>, tree: &Tree, opt: &Tree, base: Arc<Base>) -> PlannedImage {
    let own = [&parts.walked.tree, &parts.resolution.built];
    let packages: Vec<_> = parts.resolution.packages.iter().chain(&parts.native.packages).collect();
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, package) in packages.iter().enumerate() {
        owners.extend(package.tree.iter().map(|(path, _)| (path.as_str(), index)));
    }
    let mut trees = vec![Tree::new(); packages.len()];
    let mut code = Tree::new();
    for (path, entry) in tree.iter() {
        match owners.get(path.as_str()).filter(|_| !own.iter().any(|tree| tree.contains(path.as_str()))) {
            Some(owner) => trees[*owner].insert(path.clone(), entry.clone()),
            None => code.insert(path.clone(), entry.clone()),
        };
    }
    let part = |(package, tree): (&&crate::resolve::Package, Tree)| Part {
        name: package.name.clone(),
        label: package.label(),
        tree,
    };
    let packages = packages.iter().zip(trees).map(part).collect();
    let spec = parts.spec.image.clone().unwrap_or_default();
    let handler = parts.handler.as_deref();
    PlannedImage::new(base, packages, opt, &code, &spec, handler, parts.runtime.is_provided())
}

/// What is said of a function that becomes an image. The limits of zips and layers are none of its own; what the loader finds
/// is judged by the tables of the runtime where the base is one of AWS, else by what is in the image.
pub(super) fn judge(
    found: Vec<Finding>,
    image: &PlannedImage,
    spec: &FunctionSpec,
    store: &Store,
) -> Result<Vec<Finding>> {
    let is_of_aws = image.base.is_of_aws();
    let stays = |rule: Rule| match rule {
        Rule::UnzippedTooLarge | Rule::LayerTooLarge | Rule::TooManyLayers | Rule::LayerSymlink => false,
        Rule::GlibcTooNew | Rule::LibstdcxxTooNew | Rule::MissingSharedLibrary | Rule::MuslLibrary => is_of_aws,
        _ => true,
    };
    let mut found: Vec<Finding> = found.into_iter().filter(|finding| stays(finding.rule)).collect();
    // Refused before anything is read; and what stays in a registry is not fetched to be judged.
    let bytes = image.uncompressed_bytes();
    let is_read = bytes <= IMAGE_LIMIT && (image.is_here() || image.is_listed(store));
    let merged = if is_read { image.merged(store)? } else { Merged::default() };
    let judged = check::check_image(&ImageSubject {
        architecture: spec.architecture,
        starter: &image.starter,
        merged: &merged,
        layers: image.layers(),
        bytes,
        judges_libraries: !is_of_aws,
    });
    found.extend(judged.into_iter().filter(|finding| is_read || finding.rule != Rule::ImageEntrypoint));
    Ok(found)
}

/// The archive that is wanted of a function's image.
pub(super) fn archive(spec: &FunctionSpec) -> Option<ImageArchive> {
    spec.image.as_ref().and_then(|image| image.archive)
}

/// The folder of a function's image in the output folder.
fn folder(name: &str) -> String {
    format!("{name}.oci")
}

/// Whether an artifact of this path is an image.
pub(super) fn is_layout(path: &str) -> bool {
    path.ends_with(".oci")
}

/// Deletes an image that is no more, if it is one.
pub(super) fn remove(name: &str, out_dir: &Path) {
    let root = out_dir.join(folder(name));
    if root.join(layout::MARKER).is_file() {
        let _ = fs::remove_dir_all(root);
        remove_archives(name, None, out_dir);
    }
}

/// Deletes archives of an image that are wanted no more.
fn remove_archives(name: &str, wanted: Option<ImageArchive>, out_dir: &Path) {
    for form in [ImageArchive::Docker, ImageArchive::Oci].into_iter().filter(|form| Some(*form) != wanted) {
        let _ = fs::remove_file(out_dir.join(archive_name(name, form)));
    }
}

/// As the manifest has it.
pub(super) fn described(artifact: Artifact, spec: &ImageSpec, name: &str) -> ManifestImage {
    ManifestImage {
        uri: None,
        digest: format!("sha256:{}", artifact.sha256),
        layout: artifact.path,
        bytes: artifact.bytes,
        uncompressed_bytes: artifact.unzipped_bytes,
        archive: spec.archive.map(|form| archive_name(name, form)),
    }
}

/// The archive of a function's image in the output folder.
fn archive_name(name: &str, form: ImageArchive) -> String {
    match form {
        ImageArchive::Docker => format!("{name}.docker.tar"),
        ImageArchive::Oci => format!("{name}.oci.tar"),
    }
}

/// An image whose blobs are where they belong, and which has no name yet.
pub(super) struct StagedImage {
    image: BuiltImage,
    blobs: Vec<PathBuf>,
    name: String,
    archive: Option<(ImageArchive, AtomicFile)>,
    /// What is said of it, in the form of a zip.
    pub(super) artifact: Artifact,
    /// Files on disk that were read, with the SHA-256 of what was read.
    pub(super) read: Vec<(PathBuf, String)>,
}

impl StagedImage {
    pub(super) fn make(
        planned: &PlannedImage,
        archive: Option<ImageArchive>,
        name: &str,
        files: usize,
        session: Session<'_>,
        known: &Files,
        task: &Task<'_>,
    ) -> Result<Self> {
        let built = image::build(planned, session.store, known, task)?;
        let blobs = layout::stage(&built.image, &session.options.out_dir.join(folder(name)), session.store.root())?;
        let save = |form| {
            let target = session.options.out_dir.join(archive_name(name, form));
            image::save(&built.image, form, name, &target).map(|file| (form, file))
        };
        let archive = archive.map(save).transpose()?;
        let digest: &Digest = &built.image.descriptor.digest;
        let artifact = Artifact {
            path: folder(name),
            bytes: built.image.bytes(),
            unzipped_bytes: built.image.layers.iter().filter_map(|layer| layer.uncompressed_bytes).sum(),
            files,
            sha256: digest.hex(),
            code_sha256: digest.base64(),
        };
        Ok(Self { image: built.image, blobs, name: name.to_owned(), archive, artifact, read: built.read })
    }

    /// Gives it its name. All files of it are said, relative to the output folder, with what the file system says of them.
    pub(super) fn finish(self, out_dir: &Path) -> Result<(Artifact, Vec<(PathBuf, Stat)>)> {
        let mut files = layout::finish(&self.image, &out_dir.join(&self.artifact.path), &self.blobs)?;
        remove_archives(&self.name, self.archive.as_ref().map(|(form, _)| *form), out_dir);
        if let Some((form, file)) = self.archive {
            file.commit()?;
            files.push(out_dir.join(archive_name(&self.name, form)));
        }
        let stat = |path: PathBuf| {
            let stat = Stat::of(&path)?;
            Some((path.strip_prefix(out_dir).unwrap_or(&path).to_owned(), stat))
        };
        let stats: Vec<_> = files.into_iter().filter_map(stat).collect();
        Ok((self.artifact, stats))
    }
}
