//! Decides what is packed: runtimes, handlers, packages, trees, findings.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;

use super::own::OwnFiles;
use super::{Earlier, Failures, Session, Timings, timed};
use crate::check::{self, Subject};
use crate::error::{Error, Result};
use crate::finding::{Finding, Level, Rule};
use crate::fresh::{Inputs, Kept};
use crate::lambda::{Family, Runtime};
use crate::project::{self, FunctionSpec, Project};
use crate::report::{Task, Unit};
use crate::resolve::{self, Application, Context, Request, Resolution, Resolver};
use crate::store::{Fetcher, Method, Store};
use crate::tree::walk::{self, Decision, Walked};
use crate::tree::{Assembly, Entry, Source, Tree};

/// What would be packed.
#[derive(Debug)]
pub struct Plan {
    /// Functions in the order of their names.
    pub functions: Vec<PlannedFunction>,
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
    /// Packages in it.
    pub packages: Vec<PlannedPackage>,
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

    let mut drafts: Vec<Draft<'_>> =
        project.functions.iter().map(|spec| Draft::new(spec, session, &mut findings)).collect();
    let resolvers = resolve::resolvers();
    if let Some(earlier) = earlier {
        timed(&mut timings.check, || {
            let facts = resolvers.iter().map(|resolver| resolver.facts()).collect::<Vec<_>>();
            drafts.par_iter_mut().for_each(|draft| draft.compare(earlier, &resolvers, &facts, project, &skip, session));
        });
    }
    timed(&mut timings.resolve, || resolve_all(&mut drafts, &resolvers, project, &skip, session))?;
    let functions = timed(&mut timings.check, || {
        let task = Task::begin(session.reporter, "Checking", Some(drafts.len() as u64), Unit::Items);
        let mut functions = Vec::new();
        let mut failures = Vec::new();
        let finished: Vec<_> = drafts
            .into_par_iter()
            .map(|draft| {
                let finished = draft.finish(project, &skip, session);
                task.advance(1);
                finished
            })
            .collect();
        for one in finished {
            match one {
                Ok(function) => {
                    findings.extend(function.trace.findings.iter().cloned());
                    functions.push(function);
                }
                Err(error) => failures.push(error),
            }
        }
        if failures.is_empty() { Ok(functions) } else { Err(Failures(failures)) }
    })?;
    timings.total = start.elapsed();
    let findings = findings.into_iter().map(|finding| portable(finding, &project.root)).collect();
    Ok(Plan { functions, findings: project.checks.apply(findings), timings })
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

/// A function on its way through the stages.
struct Draft<'a> {
    spec: &'a FunctionSpec,
    runtime: Option<&'static Runtime>,
    handler: Option<String>,
    resolution: Option<Resolution>,
    kept: Option<Box<Kept>>,
    own: Option<OwnFiles>,
    facts: Vec<String>,
}

impl<'a> Draft<'a> {
    fn new(spec: &'a FunctionSpec, session: Session<'_>, findings: &mut Vec<Finding>) -> Self {
        let (runtime, found) = check::check_runtime(&spec.runtime, spec.architecture, session.options.today);
        findings.extend(found.into_iter().map(|f| f.function(&spec.name)));
        let handler = match (&spec.handler, runtime) {
            (Some(handler), _) => Some(handler.clone()),
            (None, Some(runtime)) => match find_handler(spec, runtime) {
                Ok(handler) => Some(handler),
                Err(finding) => {
                    findings.push(finding.function(&spec.name));
                    None
                }
            },
            (None, None) => None,
        };
        Self { spec, runtime, handler, resolution: None, kept: None, own: None, facts: Vec::new() }
    }

    /// Whether the zip of an earlier build is what this one would make.
    fn compare(
        &mut self,
        earlier: &Earlier,
        resolvers: &[Box<dyn Resolver>],
        facts: &[Vec<String>],
        project: &Project,
        skip: &[PathBuf],
        session: Session<'_>,
    ) {
        let Some(request) = self.request(project, skip) else { return };
        let Some(index) = resolvers.iter().position(|r| r.claims(&request).is_some()) else { return };
        self.facts.clone_from(&facts[index]);
        self.own =
            OwnFiles::look(&request, self.handler.as_deref(), resolvers[index].as_ref(), session, &earlier.files);
        let Some(kept) = earlier.state.function(&self.spec.name) else { return };
        if kept.stands(self.own.as_ref().map(|own| own.digest.as_str()), &facts[index], &earlier.files)
            && kept.zip_stands(&session.options.out_dir)
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

    fn finish(self, project: &Project, skip: &[PathBuf], session: Session<'_>) -> Result<PlannedFunction> {
        let spec = self.spec;
        if let Some(kept) = self.kept {
            return Ok(PlannedFunction::of_kept(spec, self.handler, kept));
        }
        let (Some(runtime), Some(mut resolution)) = (self.runtime, self.resolution) else {
            return Ok(PlannedFunction {
                spec: spec.clone(),
                handler: self.handler,
                tree: Tree::new(),
                kept: None,
                trace: Trace::default(),
                packages: Vec::new(),
                decisions: Vec::new(),
                notes: Vec::new(),
                resolved_by: String::new(),
            });
        };
        let walked = walk_application(spec, &resolution.application, project, skip)
            .map_err(|e| e.context(format!("function `{}`", spec.name)))?;
        let own = self.own.filter(|own| own.agree(&walked.tree, &resolution.application)).map(|own| own.digest);
        resolution.notes.extend(spec.slim.apply(&mut resolution.packages));
        let mut assembly = Assembly::default();
        for package in &resolution.packages {
            assembly.add(format!("{} {}", package.name, package.version), &package.tree);
        }
        assembly.add("the function's own files", &walked.tree);
        assembly.add("what was built", &resolution.built);
        let (tree, met) = assembly.finish();
        let subject = Subject {
            runtime,
            architecture: spec.architecture,
            handler: self.handler.as_deref(),
            tree: &tree,
            layers: None,
            packages: &resolution.packages,
            environment: &spec.environment,
            today: session.options.today,
        };
        let found = [walked.findings, met, std::mem::take(&mut resolution.findings), check::check(&subject)];
        let findings = found.into_iter().flatten().map(|f| f.function(&spec.name)).collect();
        // Files of a linked package are not watched.
        let is_local =
            |tree: &Tree| tree.iter().any(|(_, entry)| matches!(entry, Entry::File { source: Source::Disk(_), .. }));
        let inputs = resolution.inputs.filter(|_| !resolution.packages.iter().any(|p| is_local(&p.tree)));
        let inputs = inputs.map(|inputs| Inputs { facts: self.facts, ..inputs });
        let packages = resolution
            .packages
            .iter()
            .map(|p| PlannedPackage { name: p.name.clone(), version: p.version.clone(), bytes: p.tree.bytes() })
            .collect();
        Ok(PlannedFunction {
            spec: spec.clone(),
            handler: self.handler,
            tree,
            kept: None,
            trace: Trace { own, inputs, findings },
            packages,
            decisions: walked.decisions,
            notes: resolution.notes,
            resolved_by: resolution.resolved_by,
        })
    }
}

impl PlannedFunction {
    fn of_kept(spec: &FunctionSpec, handler: Option<String>, kept: Box<Kept>) -> Self {
        let package = |(name, version, bytes): &(String, String, u64)| PlannedPackage {
            name: name.clone(),
            version: version.clone(),
            bytes: *bytes,
        };
        Self {
            spec: spec.clone(),
            handler,
            tree: Tree::new(),
            packages: kept.packages.iter().map(package).collect(),
            decisions: Vec::new(),
            notes: kept.notes.clone(),
            resolved_by: kept.resolved_by.clone(),
            trace: Trace { findings: kept.findings.clone(), ..Trace::default() },
            kept: Some(kept),
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
