//! From a graph to packages with their files, as they are or in a bundle.

use std::collections::{BTreeMap, BTreeSet};

use super::bundle::{self, Bundled, Program};
use super::digest_of;
use super::fetch::Archives;
use super::graph::{Graph, Wanted};
use super::layout;
use super::lock::Lock;
use super::packages::Parts;
use super::platform::Target;
use super::scripts::{Outcome, Scripts};
use super::source::Source;
use super::tools::Tools;
use crate::error::Result;
use crate::report::{Task, Unit};
use crate::resolve::{Context, Package, Request, Resolution};

/// How a function is bundled.
pub(super) struct Bundling {
    /// Names of packages that its sources may import beside those that it needs to run.
    pub(super) names: BTreeSet<String>,
    /// The location of esbuild for this machine, and esbuild's version.
    pub(super) program: Option<(String, String)>,
}

/// What of a lock is looked at.
pub(super) fn wanted(bundle: Option<&Bundling>, lock: &Lock, importer: &str) -> Wanted {
    let more = bundle.map(|bundle| bundle::slots(lock, importer, &bundle.names)).unwrap_or_default();
    Wanted { more, only: None }
}

/// A bundle of sources that no `package.json` describes.
pub(super) fn bare(request: &Request<'_>, context: &Context<'_>) -> Result<Resolution> {
    let program = Program::installed(request)?;
    let settings = request.function.bundle.clone().unwrap_or_default();
    let made = bundle::run(request, &settings, &[], &program, context.store)?;
    let notes = source_map_note(request).into_iter().collect();
    Ok(Resolution { built: made.built, notes, resolved_by: "esbuild".to_owned(), ..Resolution::default() })
}

/// Node.js reads source maps only when it is told to.
pub(super) fn source_map_note(request: &Request<'_>) -> Option<String> {
    let has_maps = request.function.bundle.as_ref().is_some_and(|bundle| bundle.sourcemap.is_some());
    let options = request.function.environment.get("NODE_OPTIONS").map(String::as_str).unwrap_or_default();
    (has_maps && !options.contains("--enable-source-maps")).then(|| {
        "The bundle has a source map, which Node.js reads when the function's environment has `NODE_OPTIONS=--enable-source-maps`.".to_owned()
    })
}

/// From a graph to packages with their files.
pub(super) struct Assembly<'a> {
    pub(super) lock: &'a Lock,
    pub(super) importer: &'a str,
    pub(super) sources: &'a BTreeMap<String, Source>,
    pub(super) archives: &'a Archives,
    pub(super) request: &'a Request<'a>,
    pub(super) context: &'a Context<'a>,
    pub(super) tools: &'a Tools,
    pub(super) target: Target,
}

impl Assembly<'_> {
    pub(super) fn assemble(&self, graph: &Graph, whole: bool) -> Result<(Vec<Package>, Outcome)> {
        let layout = layout::lay_out(graph, self.importer)?;
        let Self { lock, sources, archives, request, context, tools, target, .. } = *self;
        let parts = Parts { lock, graph, layout: &layout, sources, archives, request, whole };
        let scripts = Scripts { lock, graph, layout: &layout, sources, request, context, tools, target };
        parts.assemble(&scripts)
    }

    pub(super) fn bundle(&self, bundling: &Bundling, packages: &[Package]) -> Result<Bundled> {
        let settings = self.request.function.bundle.clone().unwrap_or_default();
        let archive = bundling.program.as_ref().and_then(|(location, _)| digest_of(self.sources.get(location)?));
        let program = match archive {
            Some(digest) => Program::Member(&self.archives.get(digest)?.archive),
            None => Program::installed(self.request)?,
        };
        let label = format!("Bundling {}", self.request.function.name);
        let _task = Task::begin(self.context.reporter, label, None, Unit::Items);
        bundle::run(self.request, &settings, packages, &program, self.context.store)
    }

    /// What is said of packages in a bundle whose machine code is not there: it is loaded by a path that only their own
    /// folder has.
    pub(super) fn left_natives(
        &self,
        graph: &Graph,
        made: &Bundled,
        whole: &[Package],
        kept: &[Package],
    ) -> Result<Option<String>> {
        let is_native = |package: &&Package| package.tree.iter().any(|(path, _)| path.as_str().ends_with(".node"));
        let kept: BTreeSet<String> = kept.iter().map(Package::label).collect();
        let natives: BTreeSet<String> =
            whole.iter().filter(is_native).map(Package::label).filter(|label| !kept.contains(label)).collect();
        let layout = layout::lay_out(graph, self.importer)?;
        let label = |location: &String| self.lock.label(location);
        let has_native = |location: &String| {
            let needs = graph.needs.get(location).into_iter().flat_map(|needs| needs.values());
            std::iter::once(location).chain(needs).any(|location| natives.contains(&label(location)))
        };
        let bundled: BTreeSet<&String> = made.sizes.keys().filter_map(|path| layout.get(path)).collect();
        let names: Vec<String> = bundled
            .into_iter()
            .filter(|location| has_native(location))
            .map(|at| format!("`{}`", self.lock.name(at)))
            .collect();
        let names = names.join(", ");
        Ok((!names.is_empty()).then(|| {
            format!("The bundle has {names}, whose machine code stays behind: name it in `external` of the function's `bundle`.")
        }))
    }

    /// Packages in a bundle with their bytes there.
    pub(super) fn shares(&self, graph: &Graph, made: &Bundled) -> Result<Vec<(String, String, u64)>> {
        let layout = layout::lay_out(graph, self.importer)?;
        let mut out: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (path, bytes) in &made.sizes {
            let Some(location) = layout.get(path) else { continue };
            let version = self.lock.get(location).and_then(|entry| entry.version.clone()).unwrap_or_default();
            *out.entry((self.lock.name(location), version)).or_default() += bytes;
        }
        Ok(out.into_iter().map(|((name, version), bytes)| (name, version, bytes)).collect())
    }
}
