//! Builds, brings the zips to where a deployment can use them, and says in the manifest where that is.

use std::path::Path;
use std::time::Instant;

use super::push::Push;
use super::{Built, Failures, Manifest, ManifestLayer, ManifestObject, Pushes, Session, build, templates};
use crate::aws::Aws;
use crate::error::Result;
use crate::finding::{Finding, Level, Override, Overrides, Rule};
use crate::fsio;
use crate::project::Project;
use crate::publish::layers::{Layer, Layers, Zip};
use crate::publish::{self, Bucket, Options, Parcel, S3Mode, StorageMode, Stored};
use crate::report::{self, EventSender, Task, Unit};
use crate::template::edit::Place;
use crate::template::{LocalFile, Template};

/// Files that a template names, other than code, are held in memory: none is that large.
const MAX_FILE: u64 = 512 << 20;

/// What went through S3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sendings {
    /// Zips that were sent.
    pub sent: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Zips that were there already.
    pub present: usize,
    /// Layer versions that were published.
    pub published: usize,
    /// Layer versions that were there already.
    pub known: usize,
    /// What went to registries.
    pub images: Pushes,
}

/// Builds and publishes. When Lambda would refuse one function, or the bucket will not do, nothing is published: the
/// findings say why.
///
/// # Errors
/// See [`build`]; when a zip has to go through S3 and no bucket is named; and when AWS refuses. The manifest names only
/// what is there: after an error it is that of the build.
pub fn publish(project: &Project, session: Session<'_>, options: &Options) -> Result<(Built, Sendings), Failures> {
    let has_zips = project.functions.iter().any(|function| function.image.is_none());
    options.check(has_zips)?;
    report::relay(session.reporter, |events| {
        let start = Instant::now();
        // What is sure to be needed is asked for before a build that may take minutes.
        let aws = (options.s3 == S3Mode::Always && has_zips).then(|| connect(options, &events, session)).transpose()?;
        let bucket = match (&aws, &options.bucket) {
            (Some(aws), Some(name)) => Some(Bucket::open(aws, name, options)?),
            _ => None,
        };
        let mut push = Push::begin(project, session, options)?;
        // What the target has, or can have from its own registry, need not come here.
        let shallow = super::Options { shallow_bases: true, ..session.options.clone() };
        let mut built = build(&asked(project, options), Session { options: &shallow, ..session })?;
        let sendings = if has_error(&built) {
            Sendings::default()
        } else {
            let sender = Sender { project, session, options, events: &events };
            sender.send(&mut built, bucket.as_ref(), &mut push)?
        };
        built.plan.findings = Overrides::default().apply(std::mem::take(&mut built.plan.findings));
        built.plan.timings.total = start.elapsed();
        built.manifest.findings.clone_from(&built.plan.findings);
        built.manifest.timings_ms = built.plan.timings.into();
        built.write(project, &session.options.out_dir)?;
        Ok((built, sendings))
    })
}

/// Pushes images, with the time that it takes.
fn timed_push(push: &mut Push<'_>, project: &Project, built: &mut Built) -> Result<Pushes, Failures> {
    let start = Instant::now();
    let pushes = push.images(project, built)?;
    if pushes != Pushes::default() {
        built.plan.timings.upload += start.elapsed();
    }
    Ok(pushes)
}

/// The project with what publishing makes of its rules: without S3, Lambda itself refuses a zip that is too large.
fn asked(project: &Project, options: &Options) -> Project {
    let mut project = project.clone();
    if options.s3 == S3Mode::Never {
        project.checks.0.insert(Rule::ZipTooLargeForDirectUpload, Override::As(Level::Error));
    }
    project
}

fn has_error(built: &Built) -> bool {
    built.plan.findings.iter().any(|f| f.level == Level::Error)
}

fn connect(options: &Options, events: &EventSender, session: Session<'_>) -> Result<Aws> {
    let _task = Task::begin(session.reporter, "Signing in to AWS", None, Unit::Items);
    Aws::connect(&options.aws, events.clone())
}

/// What sending works with.
struct Sender<'a> {
    project: &'a Project,
    session: Session<'a>,
    options: &'a Options,
    events: &'a EventSender,
}

impl Sender<'_> {
    fn send(&self, built: &mut Built, bucket: Option<&Bucket<'_>>, push: &mut Push<'_>) -> Result<Sendings, Failures> {
        let start = Instant::now();
        let parcels = publish::chosen(self.parcels(&built.manifest), self.options)?;
        let mut sendings = Sendings::default();
        let name = self.options.bucket.as_deref().filter(|_| !parcels.is_empty());
        let is_needed = bucket.is_none() && (name.is_some() || self.options.publish_layers);
        let own = is_needed.then(|| connect(self.options, self.events, self.session)).transpose()?;
        let Some(aws) = bucket.map(Bucket::aws).or(own.as_ref()) else {
            return Ok(Sendings { images: timed_push(push, self.project, built)?, ..sendings });
        };
        if let Some(name) = name {
            let (findings, stored) = match bucket {
                Some(bucket) => self.send_into(bucket, &parcels)?,
                None => self.send_into(&Bucket::open(aws, name, self.options)?, &parcels)?,
            };
            sendings = place(&mut built.manifest, &parcels, &stored, name, self.options.storage);
            built.plan.findings.extend(findings);
        }
        if !has_error(built) {
            sendings.images = timed_push(push, self.project, built)?;
        }
        // Nested templates name images, too.
        if let (Some(bucket), Some(template)) = (bucket, &self.project.template)
            && !has_error(built)
        {
            self.send_template(built, bucket, template, &mut sendings)?;
        }
        if self.options.publish_layers && !has_error(built) {
            self.publish_layers(&mut built.manifest, aws, &mut sendings)?;
        }
        built.plan.timings.upload = start.elapsed();
        Ok(sendings)
    }

    /// Sends the other files that templates name, then the templates of nested stacks, the innermost first, since each names
    /// what is in it.
    fn send_template(
        &self,
        built: &mut Built,
        bucket: &Bucket<'_>,
        template: &Template,
        sendings: &mut Sendings,
    ) -> Result<(), Failures> {
        let out_dir = &self.session.options.out_dir;
        let mut stacks = Vec::new();
        templates::nested(template, &mut stacks);
        let all = std::iter::once(template).chain(stacks.iter().map(|(_, template)| *template));
        let files: Vec<&LocalFile> = all.flat_map(|template| &template.files).collect();
        let parcels = files
            .iter()
            .map(|file| parcel(&file.name, &templates::on_disk(file, out_dir)))
            .collect::<Result<Vec<_>>>()?;
        let stored = publish::send_all(bucket, &parcels, self.options, self.session.reporter).map_err(Failures)?;
        for ((file, stored), parcel) in files.iter().zip(stored).zip(&parcels) {
            sendings.count(&stored, parcel.bytes);
            let object = (bucket.name().to_owned(), stored.key, stored.version);
            let (bucket, key, version) = object;
            built.places.insert(file.name.clone(), Place::S3 { bucket, key, version });
        }
        for (name, template) in stacks {
            let path = {
                let writer = templates::Writer { manifest: &built.manifest, out_dir, places: &built.places };
                writer.write_one(template, name)?;
                writer.file(name)
            };
            let parcel = Parcel { ending: ".template".to_owned(), ..parcel(name, &path)? };
            let sent = publish::send_all(bucket, std::slice::from_ref(&parcel), self.options, self.session.reporter);
            for stored in sent.map_err(Failures)? {
                sendings.count(&stored, parcel.bytes);
                built.places.insert(name.to_owned(), Place::Https(bucket.url(&stored.key)));
            }
        }
        Ok(())
    }

    /// Publishes layers that are not there, and says in the manifest which version each one is.
    fn publish_layers(&self, manifest: &mut Manifest, aws: &Aws, sendings: &mut Sendings) -> Result<(), Failures> {
        let layers = Layers::new(aws);
        let built = manifest.layers.iter_mut().filter(|layer| layer.arn.is_none() && layer.artifact.is_some());
        let built: Vec<&mut ManifestLayer> = built.collect();
        let task = Task::begin(self.session.reporter, "Publishing layers", Some(built.len() as u64), Unit::Items);
        for layer in built {
            task.detail(layer.name.clone());
            let version =
                layers.ensure(&self.as_published(layer)).map_err(|e| e.context(format!("layer `{}`", layer.name)))?;
            if version.published {
                sendings.published += 1;
            } else {
                sendings.known += 1;
            }
            layer.arn = Some(version.arn);
            task.advance(1);
        }
        Ok(())
    }

    fn as_published<'l>(&self, layer: &'l ManifestLayer) -> Layer<'l> {
        let path = || layer.artifact.as_ref().map(|artifact| self.session.options.out_dir.join(&artifact.path));
        Layer {
            name: &layer.name,
            content: layer.content.as_deref().unwrap_or_default(),
            runtimes: &layer.compatible_runtimes,
            architectures: layer.compatible_architectures.iter().map(|architecture| architecture.as_str()).collect(),
            zip: match &layer.s3 {
                Some(s3) => Zip::S3 { bucket: &s3.bucket, key: &s3.key, version: s3.version.as_deref() },
                None => Zip::Disk(path().unwrap_or_default()),
            },
        }
    }

    fn parcels(&self, manifest: &Manifest) -> Vec<Parcel> {
        let functions = manifest.functions.iter().filter_map(|f| Some((&f.name, f.artifact.as_ref()?, false)));
        let layers = manifest.layers.iter().filter_map(|l| Some((&l.name, l.artifact.as_ref()?, true)));
        functions
            .chain(layers)
            .map(|(name, artifact, is_layer)| Parcel {
                name: name.clone(),
                is_layer,
                ending: ".zip".to_owned(),
                path: self.session.options.out_dir.join(&artifact.path),
                bytes: artifact.bytes,
                sha256: artifact.sha256.clone(),
                code_sha256: artifact.code_sha256.clone(),
            })
            .collect()
    }

    /// Nothing is stored when the bucket will not do.
    fn send_into(&self, bucket: &Bucket<'_>, parcels: &[Parcel]) -> Result<(Vec<Finding>, Vec<Stored>), Failures> {
        // What a key by name, or a reference, cannot do without is no matter of taste.
        let (firm, found): (Vec<Finding>, Vec<Finding>) = publish::check_bucket(bucket, self.options)
            .into_iter()
            .partition(|finding| finding.rule == Rule::UnversionedBucket && finding.level == Level::Error);
        let findings = [firm, self.project.checks.apply(found)].concat();
        if findings.iter().any(|f| f.level == Level::Error) {
            return Ok((findings, Vec::new()));
        }
        let stored = publish::send_all(bucket, parcels, self.options, self.session.reporter).map_err(Failures)?;
        Ok((findings, stored))
    }
}

impl Sendings {
    fn count(&mut self, stored: &Stored, bytes: u64) {
        if stored.sent {
            self.sent += 1;
            self.bytes += bytes;
        } else {
            self.present += 1;
        }
    }
}

/// A file that is no zip of ours, to be sent.
fn parcel(name: &str, path: &Path) -> Result<Parcel> {
    let bytes = fsio::read_bounded(path, MAX_FILE)?;
    let digest = crate::store::sha256(&bytes);
    Ok(Parcel {
        name: name.to_owned(),
        is_layer: false,
        ending: path.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default(),
        path: path.to_owned(),
        bytes: bytes.len() as u64,
        code_sha256: digest.base64(),
        sha256: digest.hex(),
    })
}

/// Says in the manifest where each zip is.
fn place(manifest: &mut Manifest, parcels: &[Parcel], stored: &[Stored], bucket: &str, mode: StorageMode) -> Sendings {
    let mut sendings = Sendings::default();
    for (parcel, stored) in parcels.iter().zip(stored) {
        sendings.count(stored, parcel.bytes);
        let object = ManifestObject {
            bucket: bucket.to_owned(),
            key: stored.key.clone(),
            version: stored.version.clone(),
            storage_mode: (mode == StorageMode::Reference).then_some("REFERENCE"),
        };
        if parcel.is_layer {
            let layer = manifest.layers.iter_mut().find(|layer| layer.name == parcel.name);
            layer.into_iter().for_each(|layer| layer.s3 = Some(object.clone()));
        } else {
            let function = manifest.functions.iter_mut().find(|function| function.name == parcel.name);
            function.into_iter().for_each(|function| function.s3 = Some(object.clone()));
        }
    }
    sendings
}
