//! Node.js: packages of npm, assembled from the lock file and the store. Nothing is installed, and no script is run but those
//! of packages that `allow-scripts` names.
//!
//! ```text
//! package.json ──► project: which lock, which entry   (fresh_lock: npm writes a lock when there is none; managers: locks of
//!                  pnpm, Yarn and Bun)
//!      lock ─────► graph: what the entry needs on Linux, glibc and this processor, without development dependencies
//!     graph ─────► source: archive, bundle or folder ──► fetch: everything missing, at once   (unlisted: npm fetches it)
//!     graph ─────► layout: one node_modules ──► packages: their files   (scripts: what those that may run leave of them)
//! ```
//!
//! A bundle takes these packages and the sources, and what it leaves outside stays as it is ([`bundle`]).
//!
//! What the lock does not say (where packages come from, who may read them) comes from npm's own configuration. Older
//! locks do not say that a package is for musl; then its own `package.json` in the archive does, and it is left out.
//!
//! A package that finds nothing where the lock has nothing (an optional peer) may find something in a workspace's
//! flattened layout; all that the lock resolves is resolved to the same.

mod assembly;
mod bundle;
mod fetch;
mod files;
mod fresh_lock;
mod graph;
mod hoist;
mod layout;
mod lock;
mod managers;
mod manifest;
pub(crate) mod needs;
mod npmrc;
mod packages;
mod platform;
mod prebuilds;
mod project;
mod scratch;
mod scripts;
mod source;
mod tools;
mod unlisted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use self::assembly::{Assembly, Bundling, bare, source_map_note, wanted};
use self::fetch::{Archives, Want};
use self::files::Files;
use self::graph::Graph;
use self::lock::{Entry, Lock};
use self::managers::{Manager, prove};
use self::manifest::Manifest;
use self::platform::Target;
use self::project::{Decided, Locks};
use self::scripts::UNUSED;
use self::source::Source;
use self::tools::Tools;
use self::unlisted::{Fetched, Npm, Said};
use super::{Application, ApplicationFilter, Context, Own, Request, Resolution, Resolver};
use crate::error::Result;
use crate::fresh::{self, Inputs};
use crate::lambda::Family;
use crate::store::Digest;
use crate::tree::Tree;

/// The resolver of Node.js functions.
#[derive(Debug, Default, Clone, Copy)]
pub struct Node;

impl Resolver for Node {
    fn name(&self) -> &'static str {
        "node"
    }

    fn own(&self, request: &Request<'_>) -> Own {
        let has_packages = request.function.bundle.is_some() || request.function.path.join("package.json").is_file();
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
        let (tools, mut fetched) = (Tools::default(), Fetched::default());
        let jobs: Vec<Result<Job>> =
            requests.iter().map(|request| prepare(request, &mut locks, &mut fetched, context, &tools)).collect();
        let archives = fetch::fetch(jobs.iter().flatten().flat_map(Job::wants).collect(), context);
        requests.iter().zip(jobs).map(|(request, job)| job?.finish(request, &archives, context, &tools)).collect()
    }
}

/// What packages replace.
const REPLACED: &[&str] = &["node_modules"];

/// What a lock's answer depends on: the manifests and locks of the function's folder, and of those above it. Archives have
/// the digests that the lock names, whichever registry they come from.
fn inputs(request: &Request<'_>) -> Inputs {
    let above = request.function.path.ancestors().take_while(|above| above.starts_with(request.project_root));
    let files = above.flat_map(|above| managers::files().chain(["package.json"]).map(|name| above.join(name)));
    Inputs { files: files.collect(), ..Inputs::default() }
}

/// What is known of a function before anything is fetched.
enum Job {
    /// No packages.
    Done(Box<Resolution>),
    /// A bundle without packages.
    Bare,
    /// Packages of a lock.
    Locked(Box<Locked>),
}

struct Locked {
    decided: Decided,
    target: Target,
    sources: BTreeMap<String, Source>,
    graph: Graph,
    application: Application,
    said: Said,
    bundle: Option<Bundling>,
}

fn prepare(
    request: &Request<'_>,
    locks: &mut Locks,
    fetched: &mut Fetched,
    context: &Context<'_>,
    tools: &Tools,
) -> Result<Job> {
    let is_bundled = request.function.bundle.is_some();
    let folder = &if is_bundled { bundle::package_folder(request) } else { request.function.path.clone() };
    let path = folder.join("package.json");
    if !path.is_file() && is_bundled {
        return Ok(Job::Bare);
    }
    if !path.is_file() {
        let application = Application::Folder { replaced: &[], filter: None };
        let resolved_by = "no package.json".to_owned();
        let inputs = Some(inputs(request));
        return Ok(Job::Done(Box::new(Resolution { application, inputs, resolved_by, ..Resolution::default() })));
    }
    let manifest = Manifest::read(&path)?;
    let application = if is_bundled { Application::Nothing } else { application(&manifest, request)? };
    let above = || folder.ancestors().take_while(|above| above.starts_with(request.project_root));
    if is_bundled
        && manifest.needs.is_empty()
        && manifest.needs.dev.is_empty()
        && above().all(|at| managers::choose(at).is_none())
    {
        return Ok(Job::Bare);
    }
    if !is_bundled && manifest.needs.is_empty() && managers::choose(folder).is_none() {
        let mut notes = Vec::new();
        if folder.join("node_modules").is_dir() {
            notes.push("`node_modules` is not packed: package.json names no dependencies.".to_owned());
        }
        let resolved_by = "package.json".to_owned();
        let inputs = Some(inputs(request));
        let resolution = Resolution { application, inputs, notes, resolved_by, ..Resolution::default() };
        return Ok(Job::Done(Box::new(resolution)));
    }
    let decided = locks.decide(folder, request.project_root, context, tools)?;
    project::agree(&decided.lock, &decided.importer, &manifest, &path)?;
    let target = Target { architecture: request.architecture };
    let (lock, importer) = (&decided.lock, decided.importer.as_str());
    let bundle = match is_bundled {
        true => {
            let names = bundle::named(request, &manifest, lock, importer)?;
            Some(Bundling { names, program: bundle::in_lock(lock, importer) })
        }
        false => None,
    };
    let graph = graph::needed(lock, importer, target, &BTreeSet::new(), &wanted(bundle.as_ref(), lock, importer))?;
    let npm = Npm { lock: &decided.lock, request, context, tools };
    let mut said = Said::default();
    let mut sources = BTreeMap::new();
    let esbuild = bundle.as_ref().and_then(|bundle| bundle.program.as_ref()).map(|(location, _)| location.as_str());
    let needed: BTreeSet<&str> = graph.packages().into_iter().chain(esbuild).collect();
    let needed: Vec<&str> = needed.into_iter().collect();
    let proven = prove::prove(&decided.lock, &needed, context)?;
    said.notes.extend(proven.note());
    for location in needed {
        if let Some(digest) = proven.digests.get(location) {
            sources.insert(location.to_owned(), Source::Archive(digest.clone()));
            continue;
        }
        let source = source_of(location, &npm, fetched, &mut said)?;
        if let Source::Bundled { owner, .. } = &source
            && !sources.contains_key(owner)
        {
            sources.insert(owner.clone(), source_of(owner, &npm, fetched, &mut said)?);
        }
        sources.insert(location.to_owned(), source);
    }
    Ok(Job::Locked(Box::new(Locked { decided, target, sources, graph, application, said, bundle })))
}

/// Where the files of a package are. What the lock proves nothing of is fetched at once, and is an archive from then on.
fn source_of(location: &str, npm: &Npm<'_>, fetched: &mut Fetched, said: &mut Said) -> Result<Source> {
    match source::find(npm.lock, location, npm.request.project_root)? {
        Source::Unlisted(unlisted) => npm.take(location, &unlisted, fetched, said).map(Source::Archive),
        source => Ok(source),
    }
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

    fn finish(
        self,
        request: &Request<'_>,
        archives: &Archives,
        context: &Context<'_>,
        tools: &Tools,
    ) -> Result<Resolution> {
        match self {
            Self::Done(resolution) => Ok(*resolution),
            Self::Bare => bare(request, context),
            Self::Locked(locked) => locked.finish(request, archives, context, tools),
        }
    }
}

impl Locked {
    fn finish(
        self,
        request: &Request<'_>,
        archives: &Archives,
        context: &Context<'_>,
        tools: &Tools,
    ) -> Result<Resolution> {
        archives.check(self.sources.values().filter_map(digest_of))?;
        let Decided { lock, importer, by, mut notes, is_fresh } = self.decided;
        let (lock, sources) = match lock.manager {
            Manager::Yarn => with_own_peers(&lock, self.sources, archives)?,
            _ => (lock, self.sources),
        };
        let mut unfit = BTreeSet::new();
        for (location, source) in &sources {
            if let Some(digest) = digest_of(source)
                && !self.target.takes(&archives.get(digest)?.published.platform)
            {
                unfit.insert(location.clone());
            }
        }
        let again = lock.manager == Manager::Yarn || !unfit.is_empty();
        let graph = if !again {
            self.graph
        } else {
            graph::needed(&lock, &importer, self.target, &unfit, &wanted(self.bundle.as_ref(), &lock, &importer))?
        };
        let assembly = Assembly {
            lock: &lock,
            importer: &importer,
            sources: &sources,
            archives,
            request,
            context,
            tools,
            target: self.target,
        };
        let (application, said) = (self.application, self.said);
        let mut by = by;
        let (mut built, mut bundled, mut read) = (Tree::new(), Vec::new(), Some(Vec::new()));
        let (packages, outcome) = match &self.bundle {
            None => assembly.assemble(&graph, false)?,
            Some(bundling) => {
                let (whole, built_for) = assembly.assemble(&graph, true)?;
                let made = assembly.bundle(bundling, &whole)?;
                let outside = bundle::outside(request, &made, &lock, &importer);
                notes.extend(outside.notes);
                notes.extend(source_map_note(request));
                by = match &bundling.program {
                    Some((_, version)) => format!("{by} (esbuild {version})"),
                    None => format!("{by} (esbuild)"),
                };
                bundled = assembly.shares(&graph, &made)?;
                let kept = graph::needed(&lock, &importer, self.target, &unfit, &outside.wanted)?;
                let (packages, mut outcome) = assembly.assemble(&kept, false)?;
                notes.extend(assembly.left_natives(&graph, &made, &whole, &packages)?);
                // Another esbuild than the lock's may be replaced unseen.
                read = (bundling.program.is_some() && built_for.ran.is_empty()).then_some(made.inputs);
                built = made.built;
                // Of what has no script, the bundle knows: it has looked at all packages.
                outcome.notes.retain(|note| !note.starts_with(UNUSED) || built_for.notes.contains(note));
                (packages, outcome)
            }
        };
        let findings = [said.findings, outcome.findings].concat();
        notes.extend([said.notes, outcome.notes].concat());
        // What npm has read to write a lock is not known, scripts may read the whole environment, and what no digest proves
        // is looked at each time.
        let read = read.filter(|_| !is_fresh && !said.any && outcome.ran.is_empty());
        let inputs = read.map(|read| {
            let mut inputs = inputs(request);
            inputs.files.extend(lock.read.iter().cloned().chain(read));
            inputs
        });
        Ok(Resolution { application, built, packages, findings, inputs, notes, bundled, resolved_by: by })
    }
}

/// What Yarn 1 does not write into its lock: the peers that packages name themselves.
fn with_own_peers(
    lock: &Lock,
    sources: BTreeMap<String, Source>,
    archives: &Archives,
) -> Result<(Arc<Lock>, BTreeMap<String, Source>)> {
    let asked = |location: &str, _: &Entry| {
        let digest = sources.get(location).and_then(digest_of);
        let fetched = digest.and_then(|digest| archives.get(digest).ok());
        fetched.map(|fetched| fetched.published.peers.clone()).unwrap_or_default()
    };
    let (lock, origin) = managers::with_peers(lock.clone(), &asked)?;
    let sources = origin.into_iter().filter_map(|(to, from)| Some((to, sources.get(&from)?.clone()))).collect();
    Ok((Arc::new(lock), sources))
}

fn digest_of(source: &Source) -> Option<&Digest> {
    match source {
        Source::Archive(digest) => Some(digest),
        _ => None,
    }
}
