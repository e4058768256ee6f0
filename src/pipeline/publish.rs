//! Builds, brings the zips to where a deployment can use them, and says in the manifest where that is.

use std::time::Instant;

use super::{Built, Failures, Manifest, ManifestObject, Session, build};
use crate::aws::Aws;
use crate::error::Result;
use crate::finding::{Level, Override, Overrides, Rule};
use crate::project::Project;
use crate::publish::{self, Bucket, Options, Parcel, S3Mode, StorageMode, Stored};
use crate::report::{self, EventSender, Task, Unit};

/// What went through S3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sendings {
    /// Zips that were sent.
    pub sent: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Zips that were there already.
    pub present: usize,
}

/// Builds and publishes. When Lambda would refuse one function, or the bucket will not do, nothing is published: the
/// findings say why.
///
/// # Errors
/// See [`build`]; when a zip has to go through S3 and no bucket is named; and when AWS refuses. The manifest names only
/// what is there: after an error it is that of the build.
pub fn publish(project: &Project, session: Session<'_>, options: &Options) -> Result<(Built, Sendings), Failures> {
    options.check()?;
    report::relay(session.reporter, |events| {
        let start = Instant::now();
        // What is sure to be needed is asked for before a build that may take minutes.
        let early = if options.s3 == S3Mode::Always { Some(connect(options, &events, session)?) } else { None };
        let mut built = build(&asked(project, options), session)?;
        let sendings = if has_error(&built) {
            Sendings::default()
        } else {
            send(&mut built, project, session, options, early, &events)?
        };
        built.plan.findings = Overrides::default().apply(std::mem::take(&mut built.plan.findings));
        built.plan.timings.total = start.elapsed();
        built.manifest.findings.clone_from(&built.plan.findings);
        built.manifest.timings_ms = built.plan.timings.into();
        built.write_manifest()?;
        Ok((built, sendings))
    })
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

fn send(
    built: &mut Built,
    project: &Project,
    session: Session<'_>,
    options: &Options,
    early: Option<Aws>,
    events: &EventSender,
) -> Result<Sendings, Failures> {
    let start = Instant::now();
    let paths: Vec<_> = built
        .manifest
        .functions
        .iter()
        .filter_map(|f| Some((f, f.artifact.as_ref()?)))
        .map(|(function, artifact)| (function, artifact, session.options.out_dir.join(&artifact.path)))
        .collect();
    let parcels = paths.iter().map(|(function, artifact, path)| Parcel {
        name: &function.name,
        path,
        bytes: artifact.bytes,
        sha256: &artifact.sha256,
        code_sha256: &artifact.code_sha256,
    });
    let parcels = publish::chosen(parcels.collect(), options)?;
    let Some(name) = options.bucket.as_deref().filter(|_| !parcels.is_empty()) else {
        return Ok(Sendings::default());
    };
    let aws = early.map_or_else(|| connect(options, events, session), Ok)?;
    let bucket = Bucket::open(&aws, name, options)?;
    let found = project.checks.apply(publish::check_bucket(&bucket, options));
    let refused = found.iter().any(|f| f.level == Level::Error);
    built.plan.findings.extend(found);
    if refused {
        return Ok(Sendings::default());
    }
    let stored = publish::send_all(&bucket, &parcels, options, &aws, session.reporter).map_err(Failures)?;
    let sendings = count(&parcels, &stored);
    let names: Vec<String> = parcels.iter().map(|parcel| parcel.name.to_owned()).collect();
    place(&mut built.manifest, &names, stored, name, options.storage);
    built.plan.timings.upload = start.elapsed();
    Ok(sendings)
}

fn count(parcels: &[Parcel<'_>], stored: &[Stored]) -> Sendings {
    let mut sendings = Sendings::default();
    for (parcel, stored) in parcels.iter().zip(stored) {
        if stored.sent {
            sendings.sent += 1;
            sendings.bytes += parcel.bytes;
        } else {
            sendings.present += 1;
        }
    }
    sendings
}

fn place(manifest: &mut Manifest, names: &[String], stored: Vec<Stored>, bucket: &str, storage: StorageMode) {
    for (name, stored) in names.iter().zip(stored) {
        if let Some(function) = manifest.functions.iter_mut().find(|f| f.name == *name) {
            function.s3 = Some(ManifestObject {
                bucket: bucket.to_owned(),
                key: stored.key,
                version: stored.version,
                storage_mode: (storage == StorageMode::Reference).then_some("REFERENCE"),
            });
        }
    }
}
