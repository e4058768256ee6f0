//! A function, or a part of a layer, on its way from what the project says to what was resolved for it.

use std::path::PathBuf;

use super::own::OwnFiles;
use super::parts::Parts;
use super::planned::PlannedFunction;
use super::sdk;
use super::{Earlier, Failures, Session};
use crate::check;
use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::fresh::Kept;
use crate::lambda::{Family, Runtime};
use crate::project::{self, FunctionSpec, LayerSource, Project};
use crate::resolve::native::Brought;
use crate::resolve::{self, Application, Context, Request, Resolution, Resolver};
use crate::store::Fetcher;
use crate::tree::walk::{self, Walked};

/// What a run works on.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) project: &'a Project,
    pub(super) skip: &'a [PathBuf],
    pub(super) session: Session<'a>,
}

/// Why something is resolved. The order is that in which parts are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
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
    pub(super) fn is_function(self) -> bool {
        matches!(self, Self::Function | Self::Neighbour)
    }

    pub(super) fn is_packed(self) -> bool {
        self == Self::Function
    }
}

/// A draft after resolving.
pub(super) enum Settled<'a> {
    /// An earlier zip stands, or the runtime is unknown.
    Finished(Box<PlannedFunction>),
    Parts(Box<Parts<'a>>),
}

/// A function on its way through the stages.
pub(super) struct Draft<'a> {
    pub(super) role: Role,
    pub(super) spec: &'a FunctionSpec,
    pub(super) runtime: Option<&'static Runtime>,
    pub(super) handler: Option<String>,
    pub(super) resolution: Option<Resolution>,
    pub(super) kept: Option<Box<Kept>>,
    pub(super) own: Option<OwnFiles>,
    pub(super) facts: Vec<String>,
}

impl<'a> Draft<'a> {
    /// Everything that has to be looked at.
    pub(super) fn all(project: &'a Project, session: Session<'_>, findings: &mut Vec<Finding>) -> Vec<Self> {
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

    pub(super) fn new(role: Role, spec: &'a FunctionSpec, session: Session<'_>, findings: &mut Vec<Finding>) -> Self {
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
    pub(super) fn compare(
        &mut self,
        earlier: &Earlier,
        resolvers: &[Box<dyn Resolver>],
        facts: &[Vec<String>],
        scene: Scene<'_>,
    ) {
        if !self.role.is_packed() {
            return;
        }
        let Some(request) = self.request(scene.project, scene.skip) else { return };
        let Ok(index) = resolve::claim(resolvers, &request) else { return };
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

    pub(super) fn request<'r>(&self, project: &'r Project, skip: &'r [PathBuf]) -> Option<Request<'r>>
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

    pub(super) fn settle(self, scene: Scene<'_>) -> Result<(Role, Settled<'a>)> {
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
        resolution.notes.extend(spec.slim.apply(&mut resolution.packages));
        let (handler, facts) = (self.handler, self.facts);
        let native = Brought::default();
        Ok((role, Settled::Parts(Box::new(Parts { spec, runtime, handler, facts, own, walked, resolution, native }))))
    }
}

/// ``function `a` ``, or ``functions `a`, `b` `` for several.
pub(super) fn named(functions: &[&str]) -> String {
    let names: Vec<String> = functions.iter().map(|name| format!("`{name}`")).collect();
    format!("function{} {}", if names.len() > 1 { "s" } else { "" }, names.join(", "))
}

pub(super) fn find_handler(spec: &FunctionSpec, runtime: &Runtime) -> Result<String, Finding> {
    if runtime.family == Family::Provided {
        return Ok("bootstrap".to_owned());
    }
    let found = match &spec.bundle {
        Some(bundle) => project::bundle_handler(&spec.path, bundle),
        None => project::find_handler(runtime.family, &spec.path),
    };
    found.map_err(|missing| {
        let name_it = "name it with `handler = \"…\"` in lambda-pack.toml, or with `--handler`";
        let hint = missing.hint.map_or_else(|| name_it.to_owned(), |first| format!("{first}; or {name_it}"));
        Finding::new(
            Rule::HandlerNotFound,
            format!("no handler is named, and none was found: {}", missing.looked),
            hint,
        )
    })
}

pub(super) fn walk_application(
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
pub(super) fn resolve_all(
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
        match resolve::claim(resolvers, &request) {
            Ok(resolver) => claimed[resolver].push(index),
            Err(error) => failures.push(error.context(named(&[draft.spec.name.as_str()]))),
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
