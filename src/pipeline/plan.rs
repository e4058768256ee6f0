//! Decides what is packed: runtimes, handlers, packages, trees, findings.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;

use super::layers::{self, Layers, Mount, Placement, PlannedLayer};
use super::native;
use super::own::OwnFiles;
use super::own_layers::{self, Sources};
use super::parts::Parts;
use super::sdk;
use super::{Earlier, Failures, Session, Timings, timed};
use crate::check::{self, Subject};
use crate::error::{Error, Result};
use crate::finding::{Finding, Level, Rule};
use crate::fresh::{Inputs, Kept, KeptPackage, Key};
use crate::lambda::{Family, Runtime};
use crate::project::{self, FunctionSpec, LayerChoice, LayerSource, Project};
use crate::report::{Task, Unit};
use crate::resolve::native::Brought;
use crate::resolve::{self, Application, Context, Package, Request, Resolution, Resolver};
use crate::store::{Fetcher, Method, Store};
use crate::tree::walk::{self, Decision, Walked};
use crate::tree::{Entry, Source, Tree};

/// What would be packed.
#[derive(Debug)]
pub struct Plan {
    /// Functions in the order of their names.
    pub functions: Vec<PlannedFunction>,
    /// Layers: the project's own in the order of their names, then those that packages were split into.
    pub layers: Vec<PlannedLayer>,
    /// What the rules found, at the levels that the config wants.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub timings: Timings,
}

impl Plan {
    /// Whether Lambda would refuse this function.
    pub fn is_refused(&self, function: &str) -> bool {
        self.findings.iter().any(|f| f.level == Level::Error && f.function.as_deref() == Some(function))
    }

    /// Whether Lambda would refuse this layer.
    pub fn is_layer_refused(&self, layer: &str) -> bool {
        self.findings.iter().any(|f| f.level == Level::Error && f.layer.as_deref() == Some(layer))
    }
}

/// One function of a plan.
#[derive(Debug)]
pub struct PlannedFunction {
    /// What the project says of it.
    pub spec: FunctionSpec,
    /// The handler, written or found by convention.
    pub handler: Option<String>,
    /// What would be in the zip; empty when an earlier zip stands.
    pub tree: Tree,
    /// What an earlier build has left, when it is what this one would make.
    pub kept: Option<Box<Kept>>,
    /// What the answers depended on, for the next build.
    pub(super) trace: Trace,
    /// Its packages, those in layers among them.
    pub packages: Vec<PlannedPackage>,
    /// Names of its layers, in the order in which Lambda unpacks them.
    pub layers: Vec<String>,
    /// Unpacked bytes of these.
    pub layers_bytes: u64,
    /// What was decided about each path of the function's folder.
    pub decisions: Vec<Decision>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What decided the packages.
    pub resolved_by: String,
}

/// What decided a function, so that the next build knows whether that is the same still.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Digest of settings and own files, as they were before anything was read.
    pub(super) own: Option<String>,
    /// What the resolver has read.
    pub(super) inputs: Option<Inputs>,
    /// What the rules found, at their own levels.
    pub(super) findings: Vec<Finding>,
}

impl PlannedFunction {
    /// Bytes of everything in the zip, unpacked.
    pub fn unzipped_bytes(&self) -> u64 {
        self.kept.as_ref().map_or_else(|| self.tree.bytes(), |kept| kept.artifact.unzipped_bytes)
    }

    /// What the zip will have, about: what is copied is known, what is to be deflated is guessed at a third.
    pub fn estimated_zip_bytes(&self) -> u64 {
        const HEADERS: u64 = 46 + 30;
        let packed = |entry: &Entry| match entry {
            Entry::File { source: Source::Member(archive, index), .. }
                if archive.members()[*index].method == Method::Deflated =>
            {
                archive.members()[*index].compressed_size
            }
            other => other.size() / 3,
        };
        self.tree.iter().map(|(path, entry)| packed(entry) + HEADERS + 2 * path.as_str().len() as u64).sum()
    }
}

/// A package of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPackage {
    /// Its name in its registry.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its unpacked bytes.
    pub bytes: u64,
    /// The layer that it is in; nothing when it is in the zip itself.
    pub layer: Option<String>,
    /// Whether it is a file that was brought along from a system; its name is that of a library or a program then.
    pub is_native: bool,
}

impl PlannedPackage {
    pub(super) fn of(package: &Package) -> Self {
        let (name, version) = (package.name.clone(), package.version.clone());
        Self { name, version, bytes: package.tree.bytes(), layer: None, is_native: false }
    }

    pub(super) fn all(packages: &[Package]) -> Vec<Self> {
        packages.iter().map(Self::of).collect()
    }

    /// Of files that were brought along.
    pub(super) fn all_native(packages: &[Package]) -> impl Iterator<Item = Self> {
        packages.iter().map(|package| Self { is_native: true, ..Self::of(package) })
    }

    /// `numpy 2.3.4`.
    pub fn label(&self) -> String {
        format!("{} {}", self.name, self.version).trim_end().to_owned()
    }

    pub(super) fn of_kept(kept: &KeptPackage) -> Self {
        let KeptPackage { name, version, bytes, layer, is_native } = kept.clone();
        Self { name, version, bytes, layer, is_native }
    }
}

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
    let mut findings = Vec::new();
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
            finish(parts, placement, &layers, &mounts, session)
        };
        placed.into_par_iter().map(finish).collect::<Vec<_>>()
    });
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

/// What a run works on.
#[derive(Clone, Copy)]
struct Scene<'a> {
    project: &'a Project,
    skip: &'a [PathBuf],
    session: Session<'a>,
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
    session: Session<'_>,
) -> PlannedFunction {
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
    let mut found = native::unsaid(found, &attached);
    found.extend(placement.stays.map(check::packages_stay));
    let found =
        [&parts.walked.findings, &met, &mount.findings, &parts.resolution.findings, &parts.native.findings, &found];
    let findings = found.into_iter().flatten().map(|finding| finding.clone().function(&spec.name)).collect();
    let place = |index: usize| placement.places.get(index).copied().flatten();
    let packages = parts.resolution.packages.iter().enumerate().map(|(index, package)| PlannedPackage {
        layer: place(index).map(|at| layers.planned[at].name.clone()),
        ..PlannedPackage::of(package)
    });
    PlannedFunction {
        spec: spec.clone(),
        packages: packages.chain(PlannedPackage::all_native(&parts.native.packages)).collect(),
        layers: attached.iter().map(|layer| layer.name.clone()).collect(),
        layers_bytes: mount.bytes,
        tree,
        kept: None,
        trace: Trace { own: parts.own.clone(), inputs: parts.inputs(), findings },
        decisions: parts.walked.decisions,
        notes: parts.resolution.notes.into_iter().chain(parts.native.notes).collect(),
        resolved_by: parts.resolution.resolved_by,
        handler: parts.handler,
    }
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

/// Why something is resolved. The order is that in which parts are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// A function to be packed.
    Function,
    /// A function that only decides with the others what is shared.
    Neighbour,
    /// The folder of a layer, by its index.
    Folder(usize),
    /// What is resolved for a layer.
    Resolved(usize),
}

impl Role {
    fn is_function(self) -> bool {
        matches!(self, Self::Function | Self::Neighbour)
    }

    fn is_packed(self) -> bool {
        self == Self::Function
    }
}

/// A draft after resolving.
enum Settled<'a> {
    /// An earlier zip stands, or the runtime is unknown.
    Finished(Box<PlannedFunction>),
    Parts(Box<Parts<'a>>),
}

/// A function on its way through the stages.
struct Draft<'a> {
    role: Role,
    spec: &'a FunctionSpec,
    runtime: Option<&'static Runtime>,
    handler: Option<String>,
    resolution: Option<Resolution>,
    kept: Option<Box<Kept>>,
    own: Option<OwnFiles>,
    facts: Vec<String>,
}

impl<'a> Draft<'a> {
    /// Everything that has to be looked at.
    fn all(project: &'a Project, session: Session<'_>, findings: &mut Vec<Finding>) -> Vec<Self> {
        let mut drafts: Vec<Self> =
            project.functions.iter().map(|spec| Self::new(Role::Function, spec, session, findings)).collect();
        // What is wrong with neighbours is said when they are built.
        let ignored = &mut Vec::new();
        drafts.extend(project.neighbours.iter().map(|spec| Self::new(Role::Neighbour, spec, session, ignored)));
        for (index, layer) in project.layers.iter().enumerate() {
            if let LayerSource::Built { folder, resolved, .. } = &layer.source {
                let mut found = Vec::new();
                drafts.extend(
                    folder.as_deref().into_iter().map(|spec| Self::new(Role::Folder(index), spec, session, &mut found)),
                );
                drafts.extend(resolved.iter().map(|spec| Self::new(Role::Resolved(index), spec, session, &mut found)));
                findings.extend(
                    found.into_iter().map(|finding| Finding { function: None, ..finding }.layer(layer.name.as_str())),
                );
            }
        }
        drafts
    }

    fn new(role: Role, spec: &'a FunctionSpec, session: Session<'_>, findings: &mut Vec<Finding>) -> Self {
        let (runtime, found) = check::check_runtime(&spec.runtime, spec.architecture, session.options.today);
        findings.extend(found.into_iter().map(|f| f.function(&spec.name)));
        let handler = match (&spec.handler, runtime) {
            (Some(handler), _) => Some(handler.clone()),
            (None, Some(runtime)) if role.is_packed() => match find_handler(spec, runtime) {
                Ok(handler) => Some(handler),
                Err(finding) => {
                    findings.push(finding.function(&spec.name));
                    None
                }
            },
            (None, _) => None,
        };
        Self { role, spec, runtime, handler, resolution: None, kept: None, own: None, facts: Vec::new() }
    }

    /// Whether the zip of an earlier build is what this one would make.
    fn compare(&mut self, earlier: &Earlier, resolvers: &[Box<dyn Resolver>], facts: &[Vec<String>], scene: Scene<'_>) {
        if !self.role.is_packed() {
            return;
        }
        let Some(request) = self.request(scene.project, scene.skip) else { return };
        let Some(index) = resolvers.iter().position(|r| r.claims(&request).is_some()) else { return };
        self.facts.clone_from(&facts[index]);
        self.facts.extend(resolve::native::facts(&self.spec.native, self.spec.architecture));
        let resolver = resolvers[index].as_ref();
        self.own = OwnFiles::look(&request, self.handler.as_deref(), resolver, scene.session, &earlier.files);
        let Some(kept) = earlier.state.function(&self.spec.name) else { return };
        if kept.stands(self.own.as_ref().map(|own| own.digest.as_str()), &self.facts, &earlier.files)
            && kept.zip_stands(&scene.session.options.out_dir)
        {
            self.kept = Some(Box::new(kept.clone()));
        }
    }

    fn request<'r>(&self, project: &'r Project, skip: &'r [PathBuf]) -> Option<Request<'r>>
    where
        'a: 'r,
    {
        let runtime = self.runtime?;
        Some(Request {
            function: self.spec,
            runtime,
            architecture: self.spec.architecture,
            project_root: &project.root,
            skip,
        })
    }

    fn settle(self, scene: Scene<'_>) -> Result<(Role, Settled<'a>)> {
        let (role, spec) = (self.role, self.spec);
        if let Some(kept) = self.kept {
            let function = PlannedFunction::of_kept(spec, self.handler, kept);
            return Ok((role, Settled::Finished(Box::new(function))));
        }
        let (Some(runtime), Some(mut resolution)) = (self.runtime, self.resolution) else {
            let function = PlannedFunction::unresolved(spec, self.handler);
            return Ok((role, Settled::Finished(Box::new(function))));
        };
        let walked = match role {
            // Only what was resolved is wanted of it; of a Cargo package, also what `include` names.
            Role::Resolved(_) if spec.cargo.is_none() => Walked::default(),
            _ => walk_application(spec, &resolution.application, scene.project, scene.skip)
                .map_err(|e| e.context(format!("function `{}`", spec.name)))?,
        };
        if role.is_function() {
            sdk::settle(spec, runtime, &walked.tree, &mut resolution);
        }
        let own = self.own.filter(|own| own.agree(&walked.tree, &resolution.application)).map(|own| own.digest);
        let (handler, facts) = (self.handler, self.facts);
        let native = Brought::default();
        Ok((role, Settled::Parts(Box::new(Parts { spec, runtime, handler, facts, own, walked, resolution, native }))))
    }
}

impl PlannedFunction {
    /// A function of which nothing is known but what the project says.
    fn unresolved(spec: &FunctionSpec, handler: Option<String>) -> Self {
        Self {
            spec: spec.clone(),
            handler,
            tree: Tree::new(),
            kept: None,
            trace: Trace::default(),
            packages: Vec::new(),
            layers: Vec::new(),
            layers_bytes: 0,
            decisions: Vec::new(),
            notes: Vec::new(),
            resolved_by: String::new(),
        }
    }

    fn of_kept(spec: &FunctionSpec, handler: Option<String>, kept: Box<Kept>) -> Self {
        Self {
            packages: kept.packages.iter().map(PlannedPackage::of_kept).collect(),
            layers: kept.layers.clone(),
            layers_bytes: kept.layers_bytes,
            notes: kept.notes.clone(),
            resolved_by: kept.resolved_by.clone(),
            trace: Trace { findings: kept.findings.clone(), ..Trace::default() },
            kept: Some(kept),
            ..Self::unresolved(spec, handler)
        }
    }
}

/// ``function `a` ``, or ``functions `a`, `b` `` for several.
fn named(functions: &[&str]) -> String {
    let names: Vec<String> = functions.iter().map(|name| format!("`{name}`")).collect();
    format!("function{} {}", if names.len() > 1 { "s" } else { "" }, names.join(", "))
}

fn find_handler(spec: &FunctionSpec, runtime: &Runtime) -> Result<String, Finding> {
    if runtime.family == Family::Provided {
        return Ok("bootstrap".to_owned());
    }
    project::find_handler(runtime.family, &spec.path).map_err(|missing| {
        let name_it = "name it with `handler = \"…\"` in lambda-pack.toml, or with `--handler`";
        let hint = missing.hint.map_or_else(|| name_it.to_owned(), |first| format!("{first}; or {name_it}"));
        Finding::new(
            Rule::HandlerNotFound,
            format!("no handler is named, and none was found: {}", missing.looked),
            hint,
        )
    })
}

fn walk_application(
    spec: &FunctionSpec,
    application: &Application,
    project: &Project,
    skip: &[PathBuf],
) -> Result<Walked> {
    let (replaced, filter, only_include): (&[&str], _, bool) = match application {
        Application::Folder { replaced, filter } => (replaced, filter.as_deref(), false),
        Application::Nothing => (&[], None, true),
    };
    let filter = filter.map(|f| f as &walk::Filter<'_>);
    walk::walk(&walk::Options {
        root: &spec.path,
        project_root: &project.root,
        skip,
        exclude: &spec.exclude,
        include: &spec.include,
        replaced,
        filter,
        only_include,
        probe: true,
    })
}

/// Hands each function to the resolver that claims it, all functions of a resolver at once.
fn resolve_all(
    drafts: &mut [Draft<'_>],
    resolvers: &[Box<dyn Resolver>],
    project: &Project,
    skip: &[PathBuf],
    session: Session<'_>,
) -> Result<(), Failures> {
    let fetcher = Fetcher::new(session.store, session.options.offline, session.reporter);
    let context = Context {
        store: session.store,
        fetcher: &fetcher,
        reporter: session.reporter,
        offline: session.options.offline,
        locked: session.options.locked,
    };
    let mut failures = Vec::new();
    let mut failed: Vec<(Vec<&str>, Error)> = Vec::new();
    let mut claimed: Vec<Vec<usize>> = vec![Vec::new(); resolvers.len()];
    for (index, draft) in drafts.iter().enumerate() {
        let Some(request) = draft.request(project, skip).filter(|_| draft.kept.is_none()) else { continue };
        match resolvers.iter().position(|r| r.claims(&request).is_some()) {
            Some(resolver) => claimed[resolver].push(index),
            None => failures.push(Error::config(format!(
                "nothing knows how to pack function `{}` ({})",
                draft.spec.name, draft.spec.runtime
            ))),
        }
    }
    for (resolver, indices) in resolvers.iter().zip(&claimed) {
        let requests: Vec<Request<'_>> = indices.iter().filter_map(|i| drafts[*i].request(project, skip)).collect();
        if requests.is_empty() {
            continue;
        }
        let answers = resolver.resolve(&requests, &context);
        for (index, answer) in indices.iter().zip(answers) {
            match answer {
                Ok(resolution) => drafts[*index].resolution = Some(resolution),
                // What stops several functions, as a build of a workspace does, is told once.
                Err(error) => match failed.iter_mut().find(|(_, said)| *said == error) {
                    Some((names, _)) => names.push(&drafts[*index].spec.name),
                    None => failed.push((vec![&drafts[*index].spec.name], error)),
                },
            }
        }
    }
    failures.extend(failed.into_iter().map(|(names, error)| error.context(named(&names))));
    if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
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
