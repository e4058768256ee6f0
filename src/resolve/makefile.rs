//! What a Makefile builds, by the convention of `BuildMethod: makefile` of AWS SAM: its target `build-NAME` puts what is to be
//! packed into `ARTIFACTS_DIR`.
//!
//! `make` runs in a copy of the function's folder with the Makefile of that copy, so that nothing is written into the
//! project. Two settings of a template lead out of the copy, as they do with SAM: `ContextPath` (the folder of the Makefile),
//! and a `WorkingDirectory` outside of the function's folder, in which `make` may then write; a note says so.
//! Source of the convention: "Building Lambda functions with custom runtimes" in the AWS SAM Developer Guide, and
//! `custom_make` of aws-lambda-builders.

use std::ffi::OsString;
use std::path::PathBuf;

use super::made::Workshop;
use super::{Context, MAKEFILE, Own, Request, Resolution, Resolver, Weight};
use crate::error::{Error, Result};
use crate::process::find_program;
use crate::project::MakeTarget;

/// Names of makefiles, in the order in which GNU make looks for them.
const NAMES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Makefile;

impl Resolver for Makefile {
    fn name(&self) -> &'static str {
        MAKEFILE
    }

    fn weight(&self) -> Weight {
        Weight::Told
    }

    fn own(&self, _request: &Request<'_>) -> Own {
        Own::Nothing
    }

    fn claims(&self, request: &Request<'_>) -> Option<PathBuf> {
        let choice = &request.function.build;
        let is_told = choice.make.is_some() || choice.resolver.as_deref() == Some(MAKEFILE);
        is_told.then(|| request.function.path.join(NAMES[2]))
    }

    fn resolve(&self, requests: &[Request<'_>], context: &Context<'_>) -> Vec<Result<Resolution>> {
        requests.iter().map(|request| build(request, context)).collect()
    }
}

fn build(request: &Request<'_>, context: &Context<'_>) -> Result<Resolution> {
    let function = request.function;
    let target = function.build.make.clone().unwrap_or_else(|| MakeTarget {
        target: format!("build-{}", function.name),
        context: None,
        working_directory: None,
    });
    let folder = target.context.as_ref().unwrap_or(&function.path);
    let Some(name) = NAMES.into_iter().find(|name| folder.join(name).is_file()) else {
        return Err(Error::config(format!("there is no Makefile in `{}`", folder.display())).hint(format!(
            "write one whose target `{}` copies what is to be packed to $(ARTIFACTS_DIR)",
            target.target
        )));
    };
    let Some(make) = find_program("make") else {
        return Err(Error::failed("`make` was not found on PATH").hint("install it (`apt-get install make`)"));
    };
    let workshop = Workshop::open(request)?;
    let makefile = target.context.as_ref().map_or_else(|| workshop.source(), Clone::clone).join(name);
    let inside = target.working_directory.as_ref().map(|folder| folder.strip_prefix(&function.path));
    let (cwd, is_outside) = match (&target.working_directory, inside) {
        (Some(_), Some(Ok(below))) => (workshop.source().join(below), false),
        (Some(outside), _) => (outside.clone(), true),
        (None, _) => (workshop.source(), false),
    };
    let shown = format!("make {}", target.target);
    let words: Vec<OsString> = vec![make.into(), "--makefile".into(), makefile.into(), target.target.clone().into()];
    workshop.run(words, &shown, &cwd, request, context)?;
    let mut resolution = workshop.finish(&workshop.artifacts(), format!("`{shown}`"), request, context)?;
    if resolution.built.is_empty() {
        return Err(Error::failed(format!("`{shown}` left nothing in the folder that `ARTIFACTS_DIR` names"))
            .hint("the target copies what is to be packed to $(ARTIFACTS_DIR)"));
    }
    if is_outside {
        resolution.notes.push(format!(
            "`make` ran in `{}`, as `WorkingDirectory` says, and may have written there",
            cwd.strip_prefix(request.project_root).unwrap_or(&cwd).display()
        ));
    }
    Ok(resolution)
}
