//! `build` and `plan`.

use std::time::Duration;

use clap::ValueEnum as _;

use super::Exit;
use super::args::{BuildArgs, Format, ProjectArgs, absolute};
use super::print::{self, Style};
use super::progress::Terminal;
use super::summary;
use super::{invoke, output};
use crate::aws;
use crate::error::{Error, Result};
use crate::finding::{Finding, Level};
use crate::pipeline::{self, Failures, Manifest, Session};
use crate::project::{self, Project};
use crate::registry::{self, Registries};
use crate::report::{self, Tracer};
use crate::store::{Mirror, Store};

/// How long the shared store may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(args: &BuildArgs) -> Exit {
    if args.dry_run {
        return plan(&args.project);
    }
    finish(&args.project, || {
        only(&args.project, &[Format::Text, Format::Json, Format::Env, Format::Github, Format::Tfvars])?;
        build_and_print(args)
    })
}

pub(super) fn plan(args: &ProjectArgs) -> Exit {
    finish(args, || {
        only(args, &[Format::Text, Format::Json])?;
        plan_and_print(args)
    })
}

/// Refuses a format that says what only a later stage knows.
fn only(args: &ProjectArgs, formats: &[Format]) -> Result<()> {
    if formats.contains(&args.format) {
        return Ok(());
    }
    let name = args.format.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    Err(Error::config(format!("`--format {name}` says where zips are, which only `publish` knows"))
        .hint("use `--format json` here"))
}

pub(super) fn finish(args: &ProjectArgs, work: impl FnOnce() -> Result<Vec<Finding>, Failures>) -> Exit {
    match work() {
        Ok(findings) if findings.iter().any(|f| f.level == Level::Error) => Exit::Refused,
        Ok(_) => Exit::Done,
        Err(failures) => print::failures(&failures, args.output),
    }
}

fn build_and_print(build: &BuildArgs) -> Result<Vec<Finding>, Failures> {
    let args = &build.project;
    with_session(args, &aws::Settings::default(), |project, session| {
        let mut built = pipeline::build(project, session)?;
        if build.self_check {
            pipeline::self_check(project, session, &built)?;
        }
        if build.verify {
            let found = invoke::verify(project, &built, session, args.output)?;
            built.add_findings(project, session, found)?;
        }
        let style = Style::stdout(args.output);
        output::print(args.format, &built.manifest, args.output, || {
            summary::build(project, &built, &session.options.out_dir, style)
        })?;
        print::findings(&built.plan.findings, args.output);
        Ok(built.plan.findings)
    })
}

fn plan_and_print(args: &ProjectArgs) -> Result<Vec<Finding>, Failures> {
    with_session(args, &aws::Settings::default(), |project, session| {
        let plan = pipeline::plan(project, session)?;
        match args.format {
            Format::Json => print::stdout(&Manifest::of_plan(&plan).to_json())?,
            // What a plan says is all that it is for: `--quiet` does not take it away.
            _ => print::stdout(&summary::plan(project, &plan, args.output.verbose > 0, Style::stdout(args.output)))?,
        }
        print::findings(&plan.findings, args.output);
        Ok(plan.findings)
    })
}

pub(super) fn with_session<T>(
    args: &ProjectArgs,
    aws: &aws::Settings,
    work: impl FnOnce(&Project, Session<'_>) -> Result<T, Failures>,
) -> Result<T, Failures> {
    let project = project::load(&args.selection(aws.region.as_deref())?)?;
    refuse_images_of_template(&project)?;
    let options = args.options(&project)?;
    let scratch = args.no_cache.then(crate::fsio::scratch_dir).transpose()?;
    let root = scratch.as_ref().map_or_else(Store::default_root, |dir| Ok(dir.path().to_owned()))?;
    let store = Store::new(root);
    let store = match project.store.clone().filter(|_| !args.no_cache) {
        Some(place) => {
            store.with_mirror(Mirror::new(place, aws::Settings { patience: PATIENCE, ..Default::default() }))
        }
        None => store,
    };
    let terminal = Terminal::new(args.output);
    let threads = args.jobs.map_or(0, usize::from); // 0: one for each core
    // The one pool of the process: fetching and packing share it, so that `--jobs` means all of them.
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| Error::failed("Failed to start the worker threads").because(e))?;
    let tracer = Tracer::new(&terminal);
    let settings = registry_settings(args, aws, &project)?;
    let done = report::relay(&tracer, |events| {
        let registries = Registries::new(&store, settings, events);
        work(&project, Session { options: &options, store: &store, registries: &registries, reporter: &tracer })
    });
    if let Some(mirror) = store.mirror() {
        mirror.finish(&tracer);
    }
    // Also of work that failed: that may be why it is looked at.
    if let Some(trace) = &args.trace {
        crate::fsio::write_atomic(&absolute(trace)?, tracer.to_json().as_bytes())?;
    }
    done
}

/// A template says itself what its functions become: `PackageType`, `Runtime` and `Handler` would contradict an image.
fn refuse_images_of_template(project: &Project) -> Result<()> {
    let image = project.functions.iter().find(|function| function.image.is_some());
    match image.filter(|_| project.template.is_some()) {
        Some(function) => Err(Error::config(format!(
            "`{}` of the template is a zip, and `--package image` would make it an image",
            function.name
        ))
        .hint("describe it in a lambda-pack.toml, and let the template take `ImageUri` as a parameter (`--format cloudformation`)")),
        None => Ok(()),
    }
}

/// How registries are asked: what SAM's config says counts where the command line says nothing.
fn registry_settings(args: &ProjectArgs, aws: &aws::Settings, project: &Project) -> Result<registry::Settings> {
    let silence = super::publish::silence()?;
    let sam = project.sam.as_ref();
    let aws = aws::Settings {
        region: aws.region.clone().or_else(|| sam?.region.clone()),
        profile: aws.profile.clone().or_else(|| sam?.profile.clone()),
        patience: silence.min(super::publish::PATIENCE),
    };
    Ok(registry::Settings { offline: args.offline, aws, silence })
}
