//! Decides what is packed: runtimes, handlers, packages, trees, findings.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;

use super::draft::{Draft, Role, Scene, Settled, resolve_all};
use super::images::{self, Bases};
use super::layers::{self, Layers, Mount, Placement, PlannedLayer};
use super::native;
use super::own_layers::{self, Sources};
use super::parts::Parts;
use super::planned::{Plan, PlannedFunction, PlannedPackage, Trace};
use super::{Earlier, Failures, Session, Timings, timed};
use crate::check::{self, Subject};
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::fresh::Key;
use crate::project::{LayerChoice, Project};
use crate::report::{Task, Unit};
use crate::resolve;
use crate::store::Store;

/// Decides everything, packs nothing.
///
/// # Errors
/// Everything that stopped a function from being resolved. What Lambda would refuse is not an error but a finding.
pub fn plan(project: &Project, session: Session<'_>) -> Result<Plan, Failures> {
    apart(project, session)?;
    plan_after(project, session, None)
}

/// Decides everything but what an earlier build has decided.
pub(super) fn plan_after(project: &Project, session: Session<'_>, earlier: Option<&Earlier>) -> Result<Plan, Failures> {
    let start = Instant::now();
    let mut timings = Timings::default();
    let mut findings = project.findings.clone();
    let skip = skipped_folders(session);
    let scene = Scene { project, skip: &skip, session };
    let nothing = Earlier::nothing();

    let mut drafts = Draft::all(project, session, &mut findings);
    let resolvers = resolve::resolvers();
    if let Some(earlier) = earlier {
        timed(&mut timings.check, || {
            let facts = resolvers.iter().map(|resolver| resolver.facts()).collect::<Vec<_>>();
            drafts.par_iter_mut().for_each(|draft| draft.compare(earlier, &resolvers, &facts, scene));
        });
    }
    let is_packed = earlier.is_some();
    let earlier = earlier.unwrap_or(&nothing);
    let standing = stand_together(&mut drafts, scene, earlier);
    timed(&mut timings.resolve, || resolve_all(&mut drafts, &resolvers, project, &skip, session))?;
    let settled =
        timed(&mut timings.check, || collect(drafts.into_par_iter().map(|draft| draft.settle(scene)).collect()))?;
    let (finished, mut parts) = sorted(settled);
    let own = match standing {
        Some(_) => Vec::new(),
        None => timed(&mut timings.split, || own_layers(&parts, project, earlier))?,
    };
    timed(&mut timings.resolve, || {
        let functions = parts.par_iter_mut().filter(|(role, _)| role.is_function()).map(|(_, parts)| parts);
        native::of_functions(functions, &own)
    })?;
    let bases = timed(&mut timings.resolve, || Bases::open(&parts, project, session, is_packed))?;
    let mut layers = timed(&mut timings.split, || match standing {
        Some(kept) => Ok(kept),
        None => split_all(&parts, own, project, session, earlier),
    })?;
    // Where layers stand, only functions without layers are left.
    layers.of.resize(parts.iter().filter(|(role, _)| role.is_function()).count(), Placement::default());
    let mut functions = timed(&mut timings.check, || {
        let task = Task::begin(session.reporter, "Checking", Some(parts.len() as u64), Unit::Items);
        let mounts = layers.mounts();
        let functions = parts.into_iter().filter(|(role, _)| role.is_packed()).map(|(_, parts)| parts);
        let placed: Vec<_> = functions.zip(&layers.of).collect();
        let finish = |(parts, placement): (Parts<'_>, &Placement)| {
            task.advance(1);
            finish(parts, placement, &layers, &mounts, &bases, session)
        };
        collect(placed.into_par_iter().map(finish).collect())
    })?;
    functions.extend(finished);
    functions.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    findings.extend(functions.iter().flat_map(|function| function.trace.findings.iter().cloned()));
    let layers = needed(layers, project);
    findings
        .extend(layers.iter().flat_map(|layer| layer.findings.iter().cloned().map(|f| f.layer(layer.name.as_str()))));
    let findings = findings.into_iter().map(|finding| portable(finding, &project.root)).collect();
    let findings = project.checks.apply(findings);
    timings.total = start.elapsed();
    Ok(Plan { functions, layers, findings, timings })
}

/// All that went well, or all that did not.
fn collect<T>(results: Vec<Result<T>>) -> Result<Vec<T>, Failures> {
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => done.push(one),
            Err(error) => failures.push(error),
        }
    }
    if failures.is_empty() { Ok(done) } else { Err(Failures(failures)) }
}

/// Functions that need no more, and the parts of the others: functions and neighbours first.
fn sorted<'a>(settled: Vec<(Role, Settled<'a>)>) -> (Vec<PlannedFunction>, Vec<(Role, Parts<'a>)>) {
    let (mut finished, mut parts) = (Vec::new(), Vec::new());
    for (role, settled) in settled {
        match settled {
            Settled::Finished(function) if role == Role::Function => finished.push(*function),
            Settled::Finished(_) => {}
            Settled::Parts(part) => parts.push((role, *part)),
        }
    }
    parts.sort_by_key(|(role, _)| *role);
    (finished, parts)
}

/// The project's own layers, in the order of their names.
fn own_layers(
    parts: &[(Role, Parts<'_>)],
    project: &Project,
    earlier: &Earlier,
) -> Result<Vec<PlannedLayer>, Failures> {
    let mut own = Vec::new();
    for (index, spec) in project.layers.iter().enumerate() {
        let of = |wanted: Role| parts.iter().filter(move |(role, _)| *role == wanted).map(|(_, parts)| parts);
        let has_it = |parts: &&Parts<'_>| parts.spec.layers.attached.contains(&spec.name);
        let sources = Sources {
            folder: of(Role::Folder(index)).next(),
            resolved: of(Role::Resolved(index)).collect(),
            users: of(Role::Function).chain(of(Role::Neighbour)).filter(has_it).collect(),
            done: &own,
        };
        let layer = own_layers::own_layer(spec, &sources, earlier)?;
        own.push(layer);
    }
    Ok(own)
}

fn split_all(
    parts: &[(Role, Parts<'_>)],
    own: Vec<PlannedLayer>,
    project: &Project,
    session: Session<'_>,
    earlier: &Earlier,
) -> Result<Layers, Failures> {
    let functions: Vec<&Parts<'_>> =
        parts.iter().filter(|(role, _)| role.is_function()).map(|(_, parts)| parts).collect();
    Ok(layers::decide(&functions, own, project, &session.options.layer_prefix, earlier)?)
}

/// Layers that are packed: those of the selected functions, and those of the project's own that no function has.
fn needed(layers: Layers, project: &Project) -> Vec<PlannedLayer> {
    let is_selected = |name: &String| project.functions.iter().any(|function| function.name == *name);
    let is_needed = |layer: &PlannedLayer| layer.users.is_empty() || layer.users.iter().any(is_selected);
    layers.planned.into_iter().filter(is_needed).collect()
}

/// Functions whose layers depend on each other stand together, or not at all. Their layers, when they stand.
fn stand_together(drafts: &mut [Draft<'_>], scene: Scene<'_>, earlier: &Earlier) -> Option<Layers> {
    let set = layered_set(scene.project, scene.session);
    let is_layered = |draft: &&Draft<'_>| draft.role != Role::Function || draft.spec.layers != LayerChoice::default();
    if drafts.iter().all(|draft| !is_layered(&draft)) {
        return None;
    }
    // Whether files of a system have changed is only known when they are looked for.
    let brings = scene.project.layers.iter().any(|layer| !layer.native.is_empty());
    let stands = !brings
        && drafts.iter().filter(is_layered).all(|draft| draft.role == Role::Function && draft.kept.is_some())
        && earlier.state.stands_as(&set, &scene.session.options.out_dir);
    if !stands {
        drafts.iter_mut().filter(|draft| is_layered(&&**draft)).for_each(|draft| draft.kept = None);
        return None;
    }
    let planned = earlier.state.layers().map(|(name, kept)| PlannedLayer::of_kept(name, kept)).collect();
    Some(Layers { planned, of: Vec::new() })
}

/// What decides which function gets which layer, beside the functions themselves.
pub(super) fn layered_set(project: &Project, session: Session<'_>) -> String {
    let mut key = Key::new();
    key.add(&session.options.layer_prefix).add(project.layer_threshold.to_le_bytes());
    for function in project.functions.iter().filter(|f| f.layers != LayerChoice::default()) {
        key.add(&function.name);
    }
    for layer in &project.layers {
        key.add(format!("{layer:?}"));
    }
    key.finish()
}

/// What is packed of a function, and what the rules find.
fn finish(
    parts: Parts<'_>,
    placement: &Placement,
    layers: &Layers,
    mounts: &HashMap<Vec<usize>, Mount>,
    bases: &Bases,
    session: Session<'_>,
) -> Result<PlannedFunction> {
    let empty = Mount::default();
    let mount = mounts.get(&placement.layers).unwrap_or(&empty);
    let spec = parts.spec;
    let (tree, met) = parts.tree(|package| placement.places.get(package).copied().flatten().is_none());
    let attached: Vec<&PlannedLayer> = placement.layers.iter().map(|at| &layers.planned[*at]).collect();
    let subject = Subject {
        runtime: parts.runtime,
        architecture: spec.architecture,
        handler: parts.handler.as_deref(),
        tree: &tree,
        packages: &parts.resolution.packages,
        environment: &spec.environment,
        today: session.options.today,
        layers: &attached.iter().map(|layer| layer.as_attached()).collect::<Vec<_>>(),
        opt: &mount.tree,
        opt_bytes: mount.bytes,
        opt_is_known: mount.is_known,
    };
    let found = parts.native.explain(check::check(&subject), "", parts.runtime);
    let image = bases.of(spec, parts.runtime).map(|base| images::plan(&parts, &tree, &mount.tree, base));
    let found = match &image {
        Some(image) => images::judge(found, image, spec, session.store)?,
        None => found,
    };
    let mut found = native::unsaid(found, &attached);
    // Who has built a file knows more of it.
    let own = &parts.resolution.findings;
    found.retain(|finding| !own.iter().any(|o| o.path.is_some() && (o.rule, &o.path) == (finding.rule, &finding.path)));
    found.extend(placement.stays.map(check::packages_stay));
    let found =
        [&parts.walked.findings, &met, &mount.findings, &parts.resolution.findings, &parts.native.findings, &found];
    let findings = found.into_iter().flatten().map(|finding| finding.clone().function(&spec.name)).collect();
    let place = |index: usize| placement.places.get(index).copied().flatten();
    let packages = parts.resolution.packages.iter().enumerate().map(|(index, package)| PlannedPackage {
        layer: place(index).map(|at| layers.planned[at].name.clone()),
        ..PlannedPackage::of(package)
    });
    Ok(PlannedFunction {
        spec: spec.clone(),
        packages: packages.chain(PlannedPackage::all_native(&parts.native.packages)).collect(),
        // What is in an image is no layer of the function.
        layers: attached.iter().filter(|_| image.is_none()).map(|layer| layer.name.clone()).collect(),
        layers_bytes: if image.is_some() { 0 } else { mount.bytes },
        image: image.map(Box::new),
        tree,
        kept: None,
        trace: Trace { own: parts.own.clone(), inputs: parts.inputs(), findings },
        decisions: parts.walked.decisions,
        notes: parts.resolution.notes.into_iter().chain(parts.native.notes).collect(),
        resolved_by: parts.resolution.resolved_by,
        handler: parts.handler,
    })
}

/// Folders that are never part of a package.
fn skipped_folders(session: Session<'_>) -> Vec<PathBuf> {
    vec![session.options.out_dir.clone(), Store::root(session.store).to_owned()]
}

/// Refuses an output folder that is a function's own: each build would pack what the one before has written.
pub(super) fn apart(project: &Project, session: Session<'_>) -> Result<()> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let out_dir = real(&session.options.out_dir);
    match project.functions.iter().find(|f| f.cargo.is_none() && real(&f.path) == out_dir) {
        None => Ok(()),
        Some(function) => Err(Error::config(format!(
            "the output folder `{}` is the folder of function `{}`, which would be packed with it",
            out_dir.display(),
            function.name
        ))
        .hint("name another with `--out-dir`; one below it is never packed")),
    }
}

/// The same finding wherever the project lies: paths in it are told from the project's folder.
fn portable(mut finding: Finding, root: &Path) -> Finding {
    let real = root.canonicalize().ok();
    for folder in [real.as_deref(), Some(root)].into_iter().flatten().filter_map(Path::to_str) {
        if folder.len() > 1 {
            finding.message = from_folder(&finding.message, folder);
            finding.hint = from_folder(&finding.hint, folder);
            finding.path = finding.path.map(|path| from_folder(&path, folder));
        }
    }
    finding
}

fn from_folder(text: &str, folder: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(folder) {
        let (before, found) = rest.split_at(at);
        let behind = &found[folder.len()..];
        out.push_str(before);
        let is_part = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        match behind.chars().next() {
            Some('/') => rest = &behind[1..],
            Some(c) if is_part(c) => {
                out.push_str(folder);
                rest = behind;
            }
            _ => {
                out.push('.');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_the_projects_folder() {
        for (text, told) in [
            ("`/p/a/services/x.py` is bad", "`services/x.py` is bad"),
            ("in `/p/a`, or /p/a", "in `.`, or ."),
            ("/p/ab /p/a-c/x", "/p/ab /p/a-c/x"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(from_folder(text, "/p/a"), told);
        }
    }
}
