//! Pushes images that were built, and says in the manifest where each one is.

use std::collections::BTreeMap;

use super::{Built, Failures, ManifestFunction, Session, ready_images};
use crate::error::{Error, Result};
use crate::fsio;
use crate::image::{BuiltImage, layout};
use crate::project::Project;
use crate::publish::Options;
use crate::registry::{self, Known, Reference, Target, Wanted, is_tag, tag_of, tag_part};
use crate::report::{Event, Task, Unit};
use crate::store::Digest;
use crate::template::edit::Place;

/// What stands for a function's name in `--repository` and `--tag`.
const FUNCTION: &str = "{function}";
/// Annotations by which an image says what it was built on. Source: "Pre-Defined Annotation Keys" of the OCI image
/// specification.
const BASE_NAME: &str = "org.opencontainers.image.base.name";
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Media type of a list of packages. Source: the CycloneDX specification, "Media Types".
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
/// No list of packages is larger.
const MAX_SBOM: u64 = 64 << 20;

/// What went to registries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushes {
    /// Images that were sent, at least their manifests.
    pub pushed: usize,
    /// Images that were there already.
    pub present: usize,
    /// Blobs that were sent.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that were mounted from another repository.
    pub mounted: usize,
}

/// Images on their way.
pub(super) struct Push<'a> {
    session: Session<'a>,
    options: &'a Options,
    known: Known,
}

impl<'a> Push<'a> {
    /// Looks at the repositories, so that what is wrong with them is told before a build that may take minutes.
    pub(super) fn begin(project: &Project, session: Session<'a>, options: &'a Options) -> Result<Self, Failures> {
        let push = Self { session, options, known: Known::default() };
        let built = project.functions.iter().filter(|f| f.image.is_some()).map(|f| f.name.as_str());
        let names: Vec<&str> = built.chain(ready_images::all(project).iter().map(|image| image.function)).collect();
        if names.is_empty() {
            return Ok(push);
        }
        let places = push.places(&names)?;
        for repository in places.keys() {
            let create = options.create_repository;
            registry::check_repository(&Wanted { repository, create }, options.aws.region.as_deref())?;
        }
        let _task = Task::begin(session.reporter, "Looking at repositories", None, Unit::Items);
        for repository in places.keys() {
            session.registries.target(&Wanted { repository, create: false })?;
        }
        Ok(push)
    }

    /// Repositories, each with the functions whose images go there.
    fn places<'n>(&self, names: &[&'n str]) -> Result<BTreeMap<String, Vec<&'n str>>> {
        let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for name in names {
            places.entry(self.repository(name)?).or_default().push(name);
        }
        for (repository, names) in &places {
            let mut tags: BTreeMap<String, &str> = BTreeMap::new();
            for name in names {
                let Some(tag) = self.tag(name)? else { continue };
                if let Some(other) = tags.insert(tag.clone(), name) {
                    return Err(Error::config(format!(
                        "the images of `{other}` and `{name}` would both be `{repository}:{tag}`"
                    ))
                    .hint(format!("write `{FUNCTION}` into `--tag` or `--repository`, or leave `--tag` out")));
                }
            }
        }
        Ok(places)
    }

    fn repository(&self, name: &str) -> Result<String> {
        let Some(repository) = &self.options.repository else {
            return Err(Error::config(format!("`{name}` becomes an image, and no repository is named"))
                .hint("name one of the account's ECR, or host and repository, with `--repository`"));
        };
        Ok(repository.replace(FUNCTION, &tag_part(name).to_lowercase()))
    }

    /// The tag that was asked for.
    fn tag(&self, name: &str) -> Result<Option<String>> {
        let Some(tag) = &self.options.tag else { return Ok(None) };
        let tag = tag.replace(FUNCTION, &tag_part(name));
        if is_tag(&tag) {
            return Ok(Some(tag));
        }
        Err(Error::config(format!("`{tag}` is no tag: at most 128 letters, digits, `_`, `.` and `-`")))
    }

    /// Pushes the images of a build, and puts their places into its manifest.
    pub(super) fn images(&mut self, project: &Project, built: &mut Built) -> Result<Pushes, Failures> {
        let mut pushes = Pushes::default();
        let mut targets: BTreeMap<String, Target> = BTreeMap::new();
        for function in built.manifest.functions.iter_mut().filter(|function| function.image.is_some()) {
            self.image(function, &mut targets, &mut pushes)
                .map_err(|error| error.context(format!("function `{}`", function.name)))?;
        }
        for ready in ready_images::all(project) {
            let folder = ready_images::folder(&self.session.options.out_dir, ready.function);
            let uri = layout::read_built(&folder)
                .and_then(|image| self.push(ready.function, &image, &mut targets, &mut pushes))
                .map_err(|error| error.context(format!("function `{}`", ready.function)))?;
            built.places.insert(ready.function.to_owned(), Place::Https(uri));
        }
        Ok(pushes)
    }

    fn image(
        &mut self,
        function: &mut ManifestFunction,
        targets: &mut BTreeMap<String, Target>,
        pushes: &mut Pushes,
    ) -> Result<()> {
        let Some(described) = &mut function.image else { return Ok(()) };
        let mut image = layout::read_built(&self.session.options.out_dir.join(&described.layout))?;
        if image.base.is_none() {
            image.base = self.base(&image)?;
        }
        described.uri = Some(self.push(&function.name, &image, targets, pushes)?);
        if let (Some(file), Some(target)) = (&function.sbom, targets.get(&self.repository(&function.name)?)) {
            self.attach(target, &image, file);
        }
        Ok(())
    }

    /// Pushes one image of a function; gives its place, by its digest.
    fn push(
        &mut self,
        function: &str,
        image: &BuiltImage,
        targets: &mut BTreeMap<String, Target>,
        pushes: &mut Pushes,
    ) -> Result<String> {
        let text = self.repository(function)?;
        let registries = self.session.registries;
        if !targets.contains_key(&text) {
            let wanted = Wanted { repository: &text, create: self.options.create_repository };
            targets.insert(text.clone(), registries.target(&wanted)?);
        }
        let digest = &image.descriptor.digest;
        let tag = match self.tag(function)? {
            Some(tag) => tag,
            None => tag_of(function, digest),
        };
        let target = &targets[&text];
        let pushed = registries.push(target, image, Some(&tag), &mut self.known, function)?;
        pushes.pushed += usize::from(pushed.is_new);
        pushes.present += usize::from(!pushed.is_new);
        pushes.blobs += pushed.sent;
        pushes.bytes += pushed.bytes;
        pushes.mounted += pushed.mounted;
        self.session.reporter.event(Event::Debug(format!(
            "`{}:{tag}` is {digest}: {} blobs sent, {} mounted, {} there already",
            target.repository(),
            pushed.sent,
            pushed.mounted,
            pushed.present
        )));
        Ok(pushed.uri)
    }

    /// Attaches the list of packages. The image is there without it, too: a registry that refuses is told of.
    fn attach(&self, target: &Target, image: &BuiltImage, file: &str) {
        let path = self.session.options.out_dir.join(file);
        let attached = fsio::read_bounded(&path, MAX_SBOM)
            .and_then(|bytes| self.session.registries.attach(target, &image.descriptor, CYCLONEDX, &bytes));
        if let Err(error) = attached {
            let text = format!("`{file}` could not be attached to the image, which is there all the same: {error}");
            self.session.reporter.event(Event::Warning(text));
        }
    }

    /// What an image was built on, when that is in a registry.
    fn base(&self, image: &BuiltImage) -> Result<Option<std::sync::Arc<dyn crate::image::Blobs>>> {
        let said = |key: &str| image.annotations.get(key).map(String::as_str);
        let (Some(name), Some(digest)) = (said(BASE_NAME), said(BASE_DIGEST).and_then(Digest::parse)) else {
            return Ok(None);
        };
        let reference = Reference::parse(name)?.repository.at(&digest);
        registry::open(&reference.to_string(), self.session.registries).map(Some)
    }
}
