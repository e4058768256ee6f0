//! `publish`.

use std::time::Duration;

use super::Exit;
use super::args::{Format, KeyArg, PublishArgs, S3Arg, StorageArg};
use super::print::{self, Style};
use super::{build, output, summary};
use crate::aws;
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::outputs;
use crate::pipeline::{self, Failures};
use crate::publish::{KeyStyle, Options, S3Mode, StorageMode};

/// How long nothing may move on an upload, unless `LAMBDA_PACK_STALL_SECONDS` says otherwise: a line of 30 kB/s empties
/// what a system buffers by then.
const SILENCE: Duration = Duration::from_secs(120);

/// How long an answer to anything else may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(args: &PublishArgs) -> Exit {
    if args.dry_run {
        return build::plan(&args.project);
    }
    build::finish(&args.project, || publish_and_print(args))
}

fn publish_and_print(args: &PublishArgs) -> Result<Vec<Finding>, Failures> {
    let options = options(args)?;
    // A bucket may be named where the project is described.
    options.check_names()?;
    let project_args = &args.project;
    build::with_session(project_args, &options.aws, |project, session| {
        let mut options = options.clone();
        if let Some(sam) = &project.sam {
            options.bucket = options.bucket.or_else(|| sam.bucket.clone());
            options.repository = options.repository.or_else(|| sam.repository.clone());
            if options.prefix.is_empty() {
                options.prefix = Options::clean_prefix(sam.prefix.as_deref().unwrap_or_default())?;
            }
            let aws = &mut options.aws;
            aws.region = aws.region.take().or_else(|| sam.region.clone());
            aws.profile = aws.profile.take().or_else(|| sam.profile.clone());
        }
        if project.template.is_some() && args.s3.is_none_or(|mode| mode == S3Arg::Auto) {
            // A template has no other way to name a zip.
            options.s3 = S3Mode::Always;
        }
        if project_args.format == Format::Cloudformation {
            let layers = project.layers.iter().map(|layer| layer.name.as_str());
            outputs::unique_parameters(project.functions.iter().map(|f| f.name.as_str()).chain(layers))?;
        }
        let (built, sendings) = pipeline::publish(project, session, &options)?;
        let style = Style::stdout(project_args.output);
        output::print(project_args.format, &built.manifest, project_args.output, || {
            summary::publish(project, &built, &options, sendings, &session.options.out_dir, style)
        })?;
        print::findings(&built.plan.findings, project_args.output);
        Ok(built.plan.findings)
    })
}

fn options(args: &PublishArgs) -> Result<Options> {
    Ok(Options {
        bucket: args.bucket.clone().filter(|bucket| !bucket.is_empty()),
        prefix: Options::clean_prefix(&args.prefix)?,
        key: match args.key {
            KeyArg::Content => KeyStyle::Content,
            KeyArg::Name => KeyStyle::Name,
        },
        s3: s3_mode(args)?,
        storage: match args.storage_mode {
            StorageArg::Copy => StorageMode::Copy,
            StorageArg::Reference => StorageMode::Reference,
        },
        kms_key: args.kms_key_id.clone(),
        expected_owner: args.expected_bucket_owner.clone(),
        tags: args.object_tags.clone(),
        publish_layers: args.publish_layers,
        repository: args.repository.clone().filter(|repository| !repository.is_empty()),
        tag: args.tag.clone(),
        create_repository: args.create_repository,
        aws: aws::Settings {
            region: args.region.clone(),
            profile: args.profile.clone(),
            patience: silence()?.min(PATIENCE),
        },
        silence: silence()?,
    })
}

/// What was asked for, or what the rest of the command line implies: outputs that name objects must not come and go with
/// the size of a zip, and Lambda reads only what is in S3.
fn s3_mode(args: &PublishArgs) -> Result<S3Mode> {
    let implied = match (args.project.format, args.storage_mode) {
        (Format::Cloudformation, _) => Some("--format cloudformation"),
        (Format::Tfvars, _) => Some("--format tfvars"),
        (_, StorageArg::Reference) => Some("--storage-mode reference"),
        _ => None,
    };
    match (args.s3, implied) {
        (Some(S3Arg::Never), Some(flag)) => {
            Err(Error::config(format!("`{flag}` names objects in S3, and `--s3 never` makes none"))
                .hint("leave out one of them"))
        }
        (Some(S3Arg::Never), None) => Ok(S3Mode::Never),
        (Some(S3Arg::Always), _) | (_, Some(_)) => Ok(S3Mode::Always),
        (Some(S3Arg::Auto) | None, None) => Ok(S3Mode::Auto),
    }
}

pub(super) fn silence() -> Result<Duration> {
    match std::env::var("LAMBDA_PACK_STALL_SECONDS") {
        Ok(text) if !text.is_empty() => match text.parse() {
            Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
            _ => Err(Error::config(format!("LAMBDA_PACK_STALL_SECONDS: `{text}` is not a number of seconds"))),
        },
        _ => Ok(SILENCE),
    }
}
