//! Node.js: packages of npm, assembled from the lock file and the store. Nothing is installed and no script is run.
//!
//! ```text
//! package.json ──► project: which lock, which entry   (fresh_lock: npm writes a lock when there is none)
//!      lock ─────► graph: what the entry needs on Linux, glibc and this processor, without development dependencies
//!     graph ─────► source: archive, bundle or folder ──► fetch: everything missing, at once
//!     graph ─────► layout: one node_modules ──► packages: their files
//! ```
//!
//! What the lock does not say (where packages come from, who may read them) comes from npm's own configuration. Older
//! locks do not say that a package is for musl; then its own `package.json` in the archive does, and it is left out.
//!
//! A package that finds nothing where the lock has nothing (an optional peer) may find something in a workspace's
//! flattened layout; all that the lock resolves is resolved to the same.

mod fetch;
mod files;
mod fresh_lock;
mod graph;
mod layout;
mod lock;
mod manifest;
mod npmrc;
mod packages;
mod platform;
mod prebuilds;
mod project;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use self::fetch::{Archives, Want};
use self::files::Files;
use self::graph::Graph;
use self::lock::LOCK_FILES;
use self::manifest::Manifest;
use self::packages::Parts;
use self::platform::Target;
use self::project::{Decided, Locks};
use self::source::Source;
use super::{Application, ApplicationFilter, Context, Own, Request, Resolution, Resolver};
use crate::error::Result;
use crate::fresh::{self, Inputs};
use crate::lambda::Family;
use crate::store::Digest;

/// The resolver of Node.js functions.
#[derive(Debug, Default, Clone, Copy)]
pub struct Node;

impl Resolver for Node {
    fn name(&self) -> &'static str {
        "node"
    }

    fn own(&self, request: &Request<'_>) -> Own {
        let has_packages = request.function.path.join("package.json").is_file();
        Own::Folder(if has_packages { REPLACED } else { &[] })
    }

    fn facts(&self) -> Vec<String> {
        fresh::variables(&["NPM_CONFIG_"])
    }

    /// A function of a Node.js runtime; its folder stands for a `package.json` that is not there.
    fn claims(&self, request: &Request<'_>) -> Option<PathBuf> {
        if !matches!(request.runtime.family, Family::Node { .. }) {
            return None;
        }
        let manifest = request.function.path.join("package.json");
        Some(if manifest.is_file() { manifest } else { request.function.path.clone() })
    }

    fn resolve(&self, requests: &[Request<'_>], context: &Context<'_>) -> Vec<Result<Resolution>> {
        let mut locks = Locks::default();
        let jobs: Vec<Result<Job>> = requests.iter().map(|request| prepare(request, &mut locks, context)).collect();
        let archives = fetch::fetch(jobs.iter().flatten().flat_map(Job::wants).collect(), context);
        requests.iter().zip(jobs).map(|(request, job)| job?.finish(request, &archives)).collect()
    }
}

/// What packages replace.
const REPLACED: &[&str] = &["node_modules"];

/// What a lock's answer depends on: the manifests and locks of the function's folder, and of those above it. Archives have
/// the digests that the lock names, whichever registry they come from.
fn inputs(request: &Request<'_>) -> Inputs {
    let above = request.function.path.ancestors().take_while(|above| above.starts_with(request.project_root));
    let names = LOCK_FILES.iter().copied().chain(["package.json"]);
    let files = above.flat_map(|above| names.clone().map(|name| above.join(name))).collect();
    Inputs { files, ..Inputs::default() }
}

/// What is known of a function before anything is fetched.
enum Job {
    /// No packages.
    Done(Box<Resolution>),
    /// Packages of a lock.
    Locked(Box<Locked>),
}

struct Locked {
    decided: Decided,
    target: Target,
    sources: BTreeMap<String, Source>,
    graph: Graph,
    application: Application,
}

fn prepare(request: &Request<'_>, locks: &mut Locks, context: &Context<'_>) -> Result<Job> {
    let folder = &request.function.path;
    let path = folder.join("package.json");
    if !path.is_file() {
        let application = Application::Folder { replaced: &[], filter: None };
        let resolved_by = "no package.json".to_owned();
        let inputs = Some(inputs(request));
        return Ok(Job::Done(Box::new(Resolution { application, inputs, resolved_by, ..Resolution::default() })));
    }
    let manifest = Manifest::read(&path)?;
    let application = application(&manifest, request)?;
    if manifest.needs.is_empty() && project::lock_file(folder).is_none() {
        let mut notes = Vec::new();
        if folder.join("node_modules").is_dir() {
            notes.push("`node_modules` is not packed: package.json names no dependencies.".to_owned());
        }
        let resolved_by = "package.json".to_owned();
        let inputs = Some(inputs(request));
        let resolution = Resolution { application, inputs, notes, resolved_by, ..Resolution::default() };
        return Ok(Job::Done(Box::new(resolution)));
    }
    let decided = locks.decide(folder, request.project_root, context)?;
    project::agree(&decided.lock, &decided.importer, &manifest, &path)?;
    let target = Target { architecture: request.architecture };
    let graph = graph::needed(&decided.lock, &decided.importer, target, &BTreeSet::new())?;
    let mut sources = BTreeMap::new();
    for location in graph.packages() {
        let source = source::find(&decided.lock, location, request.project_root)?;
        if let Source::Bundled { owner, .. } = &source
            && !sources.contains_key(owner)
        {
            sources.insert(owner.clone(), source::find(&decided.lock, owner, request.project_root)?);
        }
        sources.insert(location.to_owned(), source);
    }
    Ok(Job::Locked(Box::new(Locked { decided, target, sources, graph, application })))
}

/// The function's own folder, as `files` has it.
fn application(manifest: &Manifest, request: &Request<'_>) -> Result<Application> {
    let files = Files::new(manifest, &request.function.path)?;
    let filter =
        files.map(|files| -> ApplicationFilter { Box::new(move |path| (!files.keeps(path)).then_some(files::RULE)) });
    Ok(Application::Folder { replaced: REPLACED, filter })
}

impl Job {
    fn wants(&self) -> Vec<Want> {
        let Self::Locked(locked) = self else { return Vec::new() };
        let archives = locked.sources.iter().filter_map(|(location, source)| Some((location, digest_of(source)?)));
        archives
            .map(|(location, digest)| Want {
                lock: Arc::clone(&locked.decided.lock),
                location: location.clone(),
                digest: digest.clone(),
            })
            .collect()
    }

    fn finish(self, request: &Request<'_>, archives: &Archives) -> Result<Resolution> {
        match self {
            Self::Done(resolution) => Ok(*resolution),
            Self::Locked(locked) => locked.finish(request, archives),
        }
    }
}

impl Locked {
    fn finish(self, request: &Request<'_>, archives: &Archives) -> Result<Resolution> {
        archives.check(self.sources.values().filter_map(digest_of))?;
        let mut unfit = BTreeSet::new();
        for (location, source) in &self.sources {
            if let Some(digest) = digest_of(source)
                && !self.target.takes(&archives.get(digest)?.published.platform)
            {
                unfit.insert(location.clone());
            }
        }
        let Decided { lock, importer, by, notes, is_fresh } = self.decided;
        let graph = if unfit.is_empty() { self.graph } else { graph::needed(&lock, &importer, self.target, &unfit)? };
        let layout = layout::lay_out(&graph, &importer)?;
        let parts = Parts { lock: &lock, graph: &graph, layout: &layout, sources: &self.sources, archives, request };
        let (packages, findings, left_out) = parts.assemble()?;
        let notes = notes.into_iter().chain(left_out.note(request.architecture)).collect();
        let application = self.application;
        // What npm has read to write a lock is not known.
        let inputs = (!is_fresh).then(|| inputs(request));
        Ok(Resolution { application, packages, findings, inputs, notes, resolved_by: by, ..Resolution::default() })
    }
}

fn digest_of(source: &Source) -> Option<&Digest> {
    match source {
        Source::Archive(digest) => Some(digest),
        _ => None,
    }
}
