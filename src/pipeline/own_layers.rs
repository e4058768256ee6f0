//! Layers of the project's own, each from its parts: its folder, what was resolved for each runtime and processor, and what is
//! brought along from a system.

use super::Earlier;
use super::layers::{PlannedLayer, content, mount};
use super::native;
use super::parts::Parts;
use super::planned::PlannedPackage;
use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::lambda::{self, Architecture, Family, Runtime};
use crate::project::{LayerSource, LayerSpec};
use crate::resolve::java;
use crate::resolve::native::Brought;
use crate::split::{self, layout};
use crate::tree::{Assembly, Entry, Tree};

/// What a layer is judged for that no runtime is named for and no function has.
const ANY_RUNTIME: &str = "provided.al2023";

/// What a layer is made of.
pub(super) struct Sources<'a> {
    /// Its folder.
    pub(super) folder: Option<&'a Parts<'a>>,
    /// What was resolved for each runtime and processor.
    pub(super) resolved: Vec<&'a Parts<'a>>,
    /// Functions that have it.
    pub(super) users: Vec<&'a Parts<'a>>,
    /// Layers that are finished.
    pub(super) done: &'a [PlannedLayer],
}

/// A layer for one runtime and processor.
#[derive(Clone, Copy)]
struct Variant<'a> {
    parts: Option<&'a Parts<'a>>,
    runtime: &'static Runtime,
    architecture: Architecture,
}

/// A layer of the project's own. All of its variants must be the same.
pub(super) fn own_layer(spec: &LayerSpec, sources: &Sources<'_>, earlier: &Earlier) -> Result<PlannedLayer> {
    let mut layer = empty(spec);
    let to = match &spec.source {
        LayerSource::Existing { arn, unzipped_bytes } => {
            layer.arn = Some(arn.clone());
            layer.unzipped_bytes = *unzipped_bytes;
            return Ok(layer);
        }
        LayerSource::Built { to, .. } => to.as_deref(),
    };
    let mut first: Option<(String, &str)> = None;
    for variant in variants(spec, sources) {
        let (tree, mut findings) = own_tree(spec, sources.folder, variant.parts, to)?;
        let brought = native::of_layer(spec, sources, &tree, variant.runtime, variant.architecture)?;
        let (tree, met) = with_native(tree, &brought)?;
        findings.extend(met);
        findings.extend(native::judge_layer(&tree, &brought, variant.runtime, variant.architecture));
        let content = content(&tree, earlier)?;
        if let Some((_, runtime)) = first.as_ref().filter(|(other, _)| *other != content) {
            return Err(Error::config(format!(
                "layer `{}` is not the same for {runtime} and for {} on {}",
                spec.name, variant.runtime.id, variant.architecture
            ))
            .hint("make a layer for each: what they hold depends on runtime or processor"));
        }
        first.get_or_insert((content.clone(), variant.runtime.id));
        layer.unzipped_bytes = Some(tree.bytes());
        layer.packages = variant.parts.map_or_else(Vec::new, |parts| PlannedPackage::all(&parts.resolution.packages));
        layer.packages.extend(PlannedPackage::all_native(&brought.packages));
        layer.content = Some(content);
        layer.tree = tree;
        layer.notes = brought.notes;
        // What is wrong in all variants is said once.
        findings.retain(|finding| !layer.findings.contains(finding));
        layer.findings.extend(findings);
    }
    layer.findings.extend(check_tree(&layer.tree));
    Ok(layer)
}

fn empty(spec: &LayerSpec) -> PlannedLayer {
    PlannedLayer {
        name: spec.name.clone(),
        tree: Tree::new(),
        kept: None,
        arn: None,
        is_own: true,
        runtimes: spec.runtimes.clone(),
        architectures: spec.architectures.clone(),
        packages: Vec::new(),
        users: Vec::new(),
        unzipped_bytes: None,
        content: None,
        notes: Vec::new(),
        findings: Vec::new(),
    }
}

/// What it is built for: what was resolved says it, else the config, else the functions that have it.
fn variants<'a>(spec: &LayerSpec, sources: &Sources<'a>) -> Vec<Variant<'a>> {
    let of = |parts: Option<&'a Parts<'a>>, runtime: &str, architecture: Architecture| {
        lambda::find(runtime).map(|runtime| Variant { parts, runtime, architecture })
    };
    if !sources.resolved.is_empty() {
        let resolved = sources.resolved.iter();
        return resolved
            .map(|parts| Variant { parts: Some(parts), runtime: parts.runtime, architecture: parts.spec.architecture })
            .collect();
    }
    let default = spec.architectures.first().copied().unwrap_or(Architecture::X86_64);
    let any = || of(None, ANY_RUNTIME, default).into_iter().collect();
    if spec.native.is_empty() {
        return any();
    }
    let mut named: Vec<&str> = spec.runtimes.iter().map(String::as_str).collect();
    if named.is_empty() {
        named = sources.users.iter().map(|parts| parts.runtime.id).collect();
        named.sort_unstable();
        named.dedup();
    }
    let pairs = named.iter().flat_map(|runtime| spec.architectures.iter().map(move |one| (*runtime, *one)));
    let variants: Vec<Variant<'a>> = pairs.filter_map(|(runtime, one)| of(None, runtime, one)).collect();
    if variants.is_empty() { any() } else { variants }
}

/// The layer with what was brought along, which its own files win over.
fn with_native(tree: Tree, brought: &Brought) -> Result<(Tree, Vec<Finding>)> {
    if brought.packages.is_empty() {
        return Ok((tree, Vec::new()));
    }
    let mut assembly = Assembly::default();
    for package in &brought.packages {
        assembly.add(package.label(), &package.tree);
    }
    assembly.add("the layer's own files", &tree);
    let (tree, mut findings) = assembly.finish();
    let (tree, links) = layout::without_links(&tree)?;
    findings.extend(links);
    Ok((tree, findings))
}

fn own_tree(
    spec: &LayerSpec,
    folder: Option<&Parts<'_>>,
    resolved: Option<&Parts<'_>>,
    to: Option<&str>,
) -> Result<(Tree, Vec<Finding>)> {
    let scope = resolved.and_then(|parts| split::shape::scope(parts.runtime.family)).or_else(|| {
        let runtimes = spec.runtimes.iter().filter_map(|runtime| lambda::find(runtime));
        runtimes.filter_map(|runtime| split::shape::scope(runtime.family)).next()
    });
    let mut findings = Vec::new();
    let mut own = Tree::new();
    // Of a module that was compiled, its classes are in the layer, as a jar beside those that it needs.
    let module = resolved.filter(|parts| matches!(parts.runtime.family, Family::Java { .. }));
    if let Some(parts) = folder.filter(|_| module.is_none()) {
        findings.extend(parts.walked.findings.iter().cloned());
        let mut tree = parts.walked.tree.clone();
        for manifest in [
            "requirements.txt",
            "uv.lock",
            "pylock.toml",
            "poetry.lock",
            "pdm.lock",
            "Pipfile.lock",
            "Gemfile",
            "Gemfile.lock",
        ] {
            if resolved.is_some() {
                tree.remove(manifest); // Its packages are there.
            }
        }
        if resolved.is_some() && scope == Some("ruby") {
            // Gems come from there, in another place.
            let is_of_bundler =
                |path: &str| ["vendor/bundle/", "vendor/cache/", ".bundle/"].iter().any(|f| path.starts_with(f));
            tree = tree.into_iter().filter(|(path, _)| !is_of_bundler(path.as_str())).collect();
        }
        let prefix = match to {
            Some(to) => to,
            None if layout::is_laid_out(&tree) => "",
            None => layout::prefix(scope.unwrap_or_default()),
        };
        own = layout::below(prefix.trim_matches('/'), &tree)?;
    }
    if let Some(parts) = resolved {
        findings.extend(parts.resolution.findings.iter().cloned());
        if parts.spec.ready.is_some() {
            own = layout::below(to.unwrap_or_default().trim_matches('/'), &parts.resolution.built)?;
        }
        if let Some(cargo) = &parts.spec.cargo {
            // An extension is known by its file's name.
            let to = to.map_or_else(|| format!("extensions/{}", cargo.bin), |to| to.trim_matches('/').to_owned());
            let built = parts.resolution.built.iter().map(|(_, entry)| entry.clone());
            let path = crate::tree::ArchivePath::new(&to)
                .map_err(|problem| Error::config(format!("`to = \"{to}\"` of layer `{}` {problem}", spec.name)))?;
            built.for_each(|entry| {
                own.insert(path.clone(), entry);
            });
            own = parts.walked.tree.iter().fold(own, |mut own, (path, entry)| {
                own.insert(path.clone(), entry.clone());
                own
            });
        } else if parts.spec.build.is_whole() {
            // It is laid out as a layer by whoever built it.
            own = layout::below(to.unwrap_or_default().trim_matches('/'), &parts.resolution.built)?;
        }
    }
    if let Some(built) = module.map(|parts| &parts.resolution.built).filter(|built| !built.is_empty()) {
        let (path, entry) = java::own_jar(&spec.name, built)?;
        own.insert(path.below(layout::prefix(scope.unwrap_or_default())), entry);
    }
    let packages = resolved.map_or(&[][..], |parts| &parts.resolution.packages);
    let (tree, found) = mount(scope.unwrap_or_default(), packages.iter(), own)?;
    findings.extend(found);
    Ok((tree, findings))
}

/// What Lambda would not take, or not start, in a layer.
fn check_tree(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    if tree.files() == 0 {
        findings.push(Finding::new(
            Rule::EmptyPackage,
            "there is no file in the layer",
            "check `path` and the patterns in `.lambdaignore` and `exclude`",
        ));
    }
    if tree.bytes() >= lambda::UNZIPPED_LIMIT {
        findings.push(Finding::new(
            Rule::LayerTooLarge,
            format!("{}; this one has {} bytes unzipped", lambda::LAYERS_SIZE_MESSAGE, tree.bytes()),
            "leave out what is not needed, or make a container image, which may have 10 GB",
        ));
    }
    for (path, entry) in tree.iter() {
        let is_extension = path.as_str().strip_prefix("extensions/").is_some_and(|name| !name.contains('/'));
        if is_extension && matches!(entry, Entry::File { executable: false, .. }) {
            findings.push(
                Finding::new(
                    Rule::ExtensionNotExecutable,
                    "Extension.LaunchError: permission denied",
                    "make it executable: `chmod +x`",
                )
                .path(path.as_str()),
            );
        }
        if path.as_str() == "bootstrap" && matches!(entry, Entry::File { executable: false, .. }) {
            findings.push(
                Finding::new(
                    Rule::BootstrapNotExecutable,
                    "Runtime.InvalidEntrypoint: fork/exec /opt/bootstrap: permission denied",
                    "make it executable: `chmod +x bootstrap`",
                )
                .path("bootstrap"),
            );
        }
    }
    findings
}
