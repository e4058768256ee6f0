//! What functions and layers bring along from a system: what the rules miss is asked of `check`, what brings it of `resolve`.
//!
//! A function's own wants are met after its layers are known, so that nothing comes twice; a layer that collects brings what
//! the functions that have it miss.

use rayon::prelude::*;

use super::Failures;
use super::layers::PlannedLayer;
use super::own_layers::Sources;
use super::parts::Parts;
use crate::check::{self, MissingLibrary, Mount, Native};
use crate::error::Result;
use crate::finding::Finding;
use crate::lambda::{Architecture, LIBRARY_FOLDERS, Runtime};
use crate::project::LayerSpec;
use crate::resolve::native::{self, Brought, Wanted};
use crate::tree::{Assembly, Tree};

/// What paths of layers begin with.
const OPT: &str = "/opt/";

/// Meets the wants of functions. `own` are the project's layers.
pub(super) fn of_functions<'p, 'a: 'p>(
    parts: impl ParallelIterator<Item = &'p mut Parts<'a>>,
    own: &[PlannedLayer],
) -> Result<(), Failures> {
    let failed: Vec<_> = parts
        .filter(|parts| !parts.spec.native.is_empty())
        .filter_map(|parts| match of_function(parts, own) {
            Ok(brought) => {
                parts.native = brought;
                None
            }
            Err(error) => Some(error.context(format!("function `{}`", parts.spec.name))),
        })
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(Failures(failed)) }
}

fn of_function(parts: &Parts<'_>, own: &[PlannedLayer]) -> Result<Brought> {
    let layers: Vec<&PlannedLayer> = attached(parts, own).collect();
    let opt = merged(layers.iter().map(|layer| &layer.tree));
    let (task, _) = parts.tree(|_| true);
    let missing = missing(parts, &task, &opt);
    native::bring(&Wanted {
        choice: &parts.spec.native,
        runtime: parts.runtime,
        architecture: parts.spec.architecture,
        missing: &missing,
        is_there: &|name| is_there(&[("/var/task", &task), ("/opt", &opt)], name),
        is_known: layers.iter().all(|layer| layer.arn.is_none()),
    })
}

/// Meets the wants of a layer whose other files are `tree`.
pub(super) fn of_layer(
    spec: &LayerSpec,
    sources: &Sources<'_>,
    tree: &Tree,
    runtime: &'static Runtime,
    architecture: Architecture,
) -> Result<Brought> {
    if spec.native.is_empty() {
        return Ok(Brought::default());
    }
    let mut all = Vec::new();
    if spec.native.collect {
        let mounts = [Mount::layers(tree)];
        let alone = Native { runtime, architecture, mounts: &mounts, handler: None, packages: &[] };
        all.extend(check::missing_libraries(&alone));
        for user in sources.users.iter().filter(|user| user.spec.architecture == architecture) {
            let opt = merged(attached(user, sources.done).map(|layer| &layer.tree).chain([tree]));
            let needed_by = |missing: MissingLibrary| MissingLibrary {
                needed_by: format!("{} of function `{}`", missing.needed_by, user.spec.name),
                ..missing
            };
            all.extend(missing(user, &user.tree(|_| true).0, &opt).into_iter().map(needed_by));
        }
    }
    let wanted = Wanted {
        choice: &spec.native,
        runtime,
        architecture,
        missing: &all,
        is_there: &|name| is_there(&[("/opt", tree)], name),
        is_known: true,
    };
    native::bring(&wanted).map_err(|error| error.context(format!("layer `{}`", spec.name)))
}

/// What the rules say of what a layer brings along, and what could not be brought. Its other files are judged with the
/// functions that have it.
pub(super) fn judge_layer(
    tree: &Tree,
    brought: &Brought,
    runtime: &'static Runtime,
    architecture: Architecture,
) -> Vec<Finding> {
    let mounts = [Mount::layers(tree)];
    let judged = check::check_native(&Native { runtime, architecture, mounts: &mounts, handler: None, packages: &[] });
    let of_native = judged.into_iter().filter(|finding| brought.is_about(finding, OPT));
    let mut findings = brought.explain(of_native.collect(), OPT, runtime);
    for finding in &mut findings {
        finding.path = finding.path.take().map(|path| path.trim_start_matches(OPT).to_owned());
    }
    findings.extend(brought.findings.iter().cloned());
    findings
}

/// Findings of a function without those that its layers have said.
pub(super) fn unsaid(findings: Vec<Finding>, layers: &[&PlannedLayer]) -> Vec<Finding> {
    let is_said = |finding: &Finding| {
        let path = finding.path.as_deref().and_then(|path| path.strip_prefix(OPT));
        let mut said = layers.iter().flat_map(|layer| &layer.findings);
        path.is_some() && said.any(|said| said.rule == finding.rule && said.path.as_deref() == path)
    };
    findings.into_iter().filter(|finding| !is_said(finding)).collect()
}

fn attached<'l>(parts: &Parts<'_>, own: &'l [PlannedLayer]) -> impl Iterator<Item = &'l PlannedLayer> {
    parts.spec.layers.attached.iter().filter_map(|name| own.iter().find(|layer| layer.name == *name))
}

fn merged<'t>(trees: impl Iterator<Item = &'t Tree>) -> Tree {
    let mut assembly = Assembly::default();
    trees.for_each(|tree| assembly.add("a layer", tree));
    assembly.finish().0
}

/// What the rules miss of a function.
fn missing(parts: &Parts<'_>, task: &Tree, opt: &Tree) -> Vec<MissingLibrary> {
    check::missing_libraries(&Native {
        runtime: parts.runtime,
        architecture: parts.spec.architecture,
        mounts: &[Mount::task(task), Mount::layers(opt)],
        handler: parts.handler.as_deref(),
        packages: &parts.resolution.packages,
    })
}

/// Whether a file of this name lies where the loader looks.
fn is_there(mounts: &[(&str, &Tree)], name: &str) -> bool {
    LIBRARY_FOLDERS.iter().any(|folder| {
        mounts.iter().any(|(at, tree)| {
            let below = folder.strip_prefix(at).map(|below| below.trim_start_matches('/'));
            below.is_some_and(|below| match below {
                "" => tree.contains(name),
                below => tree.contains(&format!("{below}/{name}")),
            })
        })
    })
}
