//! `build` and `plan`.

use super::Exit;
use super::args::{BuildArgs, Format, ProjectArgs};
use super::print::{self, Style};
use super::progress::Terminal;
use super::summary;
use crate::error::{Error, Result};
use crate::finding::{Finding, Level};
use crate::pipeline::{self, Failures, Manifest, Session};
use crate::project::{self, Project};
use crate::store::Store;

pub(super) fn run(args: &BuildArgs) -> Exit {
    if args.dry_run {
        return plan(&args.project);
    }
    finish(&args.project, || build_and_print(&args.project))
}

pub(super) fn plan(args: &ProjectArgs) -> Exit {
    finish(args, || plan_and_print(args))
}

fn finish(args: &ProjectArgs, work: impl FnOnce() -> Result<Vec<Finding>, Failures>) -> Exit {
    match work() {
        Ok(findings) if findings.iter().any(|f| f.level == Level::Error) => Exit::Refused,
        Ok(_) => Exit::Done,
        Err(failures) => print::failures(&failures, args.output),
    }
}

fn build_and_print(args: &ProjectArgs) -> Result<Vec<Finding>, Failures> {
    with_session(args, |project, session| {
        let (plan, manifest) = pipeline::build(project, session)?;
        match args.format {
            Format::Json => print::stdout(&manifest.to_json())?,
            Format::Text if args.output.quiet => {}
            Format::Text => print::stdout(&summary::build(
                project,
                &plan,
                &manifest,
                &session.options.out_dir,
                Style::stdout(args.output),
            ))?,
        }
        print::findings(&plan.findings, args.output);
        Ok(plan.findings)
    })
}

fn plan_and_print(args: &ProjectArgs) -> Result<Vec<Finding>, Failures> {
    with_session(args, |project, session| {
        let plan = pipeline::plan(project, session)?;
        match args.format {
            Format::Json => print::stdout(&Manifest::of_plan(&plan).to_json())?,
            Format::Text => {
                print::stdout(&summary::plan(project, &plan, args.output.verbose > 0, Style::stdout(args.output)))?;
            }
        }
        print::findings(&plan.findings, args.output);
        Ok(plan.findings)
    })
}

fn with_session<T>(
    args: &ProjectArgs,
    work: impl FnOnce(&Project, Session<'_>) -> Result<T, Failures>,
) -> Result<T, Failures> {
    let project = project::load(&args.selection()?)?;
    let options = args.options(&project)?;
    let scratch = args.no_cache.then(crate::fsio::scratch_dir).transpose()?;
    let root = scratch.as_ref().map_or_else(Store::default_root, |dir| Ok(dir.path().to_owned()))?;
    let store = Store::new(root);
    let terminal = Terminal::new(args.output);
    let threads = args.jobs.map_or(0, usize::from); // 0: one for each core
    // The one pool of the process: fetching and packing share it, so that `--jobs` means all of them.
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| Error::failed("Failed to start the worker threads").because(e))?;
    work(&project, Session { options: &options, store: &store, reporter: &terminal })
}
