//! From resolved functions to layers: those that packages are split into, those of the project's own, and those that exist.

use std::collections::{BTreeSet, HashMap};

use rayon::prelude::*;

use super::Earlier;
use super::parts::Parts;
use super::planned::PlannedPackage;
use crate::check::Attached;
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::fresh::{self, KeptLayer};
use crate::lambda::{self, Architecture};
use crate::project::Project;
use crate::resolve::Package;
use crate::split::{self, Consumer, Policy, layout, shape};
use crate::tree::{ArchivePath, Assembly, Tree};

/// Digits of a digest that a layer's name carries.
const DIGITS: usize = 16;

/// A layer of a plan.
#[derive(Debug, Clone)]
pub struct PlannedLayer {
    /// Its name; its ARN when it exists and has no other name here.
    pub name: String,
    /// What would be in it; empty when it exists, or an earlier zip stands.
    pub tree: Tree,
    /// What an earlier build has left, when it is what this one would make.
    pub kept: Option<Box<KeptLayer>>,
    /// The version that exists.
    pub arn: Option<String>,
    /// Whether the config names it; else packages were split into it.
    pub is_own: bool,
    /// Runtimes that it is for.
    pub runtimes: Vec<String>,
    /// Processors that it is for.
    pub architectures: Vec<Architecture>,
    /// Packages in it.
    pub packages: Vec<PlannedPackage>,
    /// Functions that get it.
    pub users: Vec<String>,
    /// Its unpacked bytes; nothing when it exists and that is not said.
    pub unzipped_bytes: Option<u64>,
    /// The digest of its entries: names, modes and contents.
    pub content: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What is wrong with it, at the rules' own levels.
    pub(super) findings: Vec<Finding>,
}

/// What goes where.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) planned: Vec<PlannedLayer>,
    /// For each of the functions.
    pub(super) of: Vec<Placement>,
}

/// Where a function's packages are.
#[derive(Debug, Default, Clone)]
pub(super) struct Placement {
    /// Its layers, in the order in which Lambda unpacks them.
    pub(super) layers: Vec<usize>,
    /// For each of its packages, the layer that it is in.
    pub(super) places: Vec<Option<usize>>,
    /// Why packages stay that the policy would move.
    pub(super) stays: Option<&'static str>,
}

/// Decides for functions, those that are only neighbours among them. `own` are the parts of the project's layers.
pub(super) fn decide(
    functions: &[&Parts<'_>],
    own: Vec<PlannedLayer>,
    project: &Project,
    prefix: &str,
    earlier: &Earlier,
) -> Result<Layers> {
    let mut layers = Layers { planned: own, of: Vec::new() };
    let shapes: Vec<Option<shape::Shape>> =
        functions.par_iter().map(|parts| moves(parts).then(|| shape_of(parts, &layers.beside(parts)))).collect();
    let mut consumers = Vec::new();
    let mut ids = Vec::new();
    for (parts, shape) in functions.iter().zip(&shapes) {
        let attached = layers.attached(parts);
        let places = vec![None; parts.resolution.packages.len()];
        let Some(shape) = shape else {
            layers.of.push(Placement { layers: attached, places, stays: None });
            continue;
        };
        let bytes = parts.bytes() + attached.iter().filter_map(|at| layers.planned[*at].unzipped_bytes).sum::<u64>();
        let tell = |package: &Package| fresh::of_tree(&package.tree, &earlier.files).unwrap_or_default();
        let told: Vec<String> = parts.resolution.packages.iter().map(tell).collect();
        let base = Consumer {
            name: parts.spec.name.clone(),
            scope: split::shape::scope(parts.runtime.family).unwrap_or_default(),
            policy: parts.spec.layers.policy,
            room: lambda::LAYERS_PER_FUNCTION.saturating_sub(attached.len()),
            bytes,
            claims: Vec::new(),
            items: Vec::new(),
        };
        ids.push(layers.of.len());
        consumers.push(shape.consumer(base, &parts.resolution.packages, &told));
        layers.of.push(Placement { layers: attached, places, stays: shape.stays });
    }
    let split = split::split(&consumers, project.layer_threshold, lambda::UNZIPPED_LIMIT);
    for (at, group) in split.groups.iter().enumerate() {
        let users: Vec<&Parts<'_>> = group.users.iter().map(|user| functions[ids[*user]]).collect();
        let packages = packages_of(at, &split, &consumers, &ids, functions, &shapes);
        let layer = split_layer(group.scope, &users, &packages, prefix, earlier)?;
        let number = layers.planned.len();
        layers.planned.push(layer);
        for user in &group.users {
            let placement = &mut layers.of[ids[*user]];
            let Some(shape) = &shapes[ids[*user]] else { continue };
            for (item, _) in split.places[*user].iter().enumerate().filter(|(_, place)| **place == Some(at)) {
                shape.movable[item].iter().for_each(|package| placement.places[*package] = Some(number));
            }
            // Before those that the config names, which win where both bring a path.
            let before =
                placement.layers.iter().position(|at| layers.planned[*at].is_own).unwrap_or(placement.layers.len());
            placement.layers.insert(before, number);
        }
    }
    for placement in &mut layers.of {
        let own = placement.layers.iter().position(|at| layers.planned[*at].is_own).unwrap_or(placement.layers.len());
        placement.layers[..own].sort_by(|a, b| layers.planned[*a].name.cmp(&layers.planned[*b].name));
    }
    layers.name_users(functions);
    Ok(layers)
}

/// Whether a function's policy moves packages that layers can have.
fn moves(parts: &Parts<'_>) -> bool {
    parts.spec.image.is_none()
        && parts.spec.layers.policy != Policy::None
        && split::shape::scope(parts.runtime.family).is_some()
}

/// How a function's packages may be moved.
fn shape_of(parts: &Parts<'_>, beside: &Tree) -> shape::Shape {
    if shape::stays_for(parts.runtime.family, &parts.walked.tree) {
        return shape::Shape { stays: Some(shape::ESM), ..shape::Shape::default() };
    }
    shape::Shape::of(parts.runtime.family, &parts.resolution.packages, beside)
}

/// The packages of a group, each from the first function that has it there.
fn packages_of<'p>(
    group: usize,
    split: &split::Split,
    consumers: &[Consumer],
    ids: &[usize],
    functions: &'p [&Parts<'_>],
    shapes: &[Option<shape::Shape>],
) -> Vec<&'p Package> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for user in &split.groups[group].users {
        let Some(shape) = &shapes[ids[*user]] else { continue };
        for (item, _) in split.places[*user].iter().enumerate().filter(|(_, place)| **place == Some(group)) {
            if seen.insert(consumers[*user].items[item].id.as_str()) {
                out.extend(shape.movable[item].iter().map(|at| &functions[ids[*user]].resolution.packages[*at]));
            }
        }
    }
    out.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    out
}

fn split_layer(
    scope: &'static str,
    users: &[&Parts<'_>],
    packages: &[&Package],
    prefix: &str,
    earlier: &Earlier,
) -> Result<PlannedLayer> {
    let (tree, found) = mount(scope, packages.iter().copied(), Tree::new())?;
    let content = content(&tree, earlier)?;
    let mut runtimes: Vec<String> = users.iter().map(|parts| parts.spec.runtime.clone()).collect();
    runtimes.sort();
    runtimes.dedup();
    runtimes.truncate(lambda::COMPATIBLE_RUNTIMES);
    let mut architectures: Vec<Architecture> = users.iter().map(|parts| parts.spec.architecture).collect();
    architectures.sort_unstable();
    architectures.dedup();
    Ok(PlannedLayer {
        name: format!("{prefix}{scope}-deps-{}", &content[..DIGITS]),
        unzipped_bytes: Some(tree.bytes()),
        packages: packages.iter().map(|package| PlannedPackage::of(package)).collect(),
        content: Some(content),
        tree,
        kept: None,
        arn: None,
        is_own: false,
        runtimes,
        architectures,
        users: Vec::new(),
        notes: Vec::new(),
        findings: found,
    })
}

/// Packages where a runtime looks for them in a layer, over what is there.
pub(super) fn mount<'p>(
    scope: &str,
    packages: impl Iterator<Item = &'p Package>,
    own: Tree,
) -> Result<(Tree, Vec<Finding>)> {
    let mut assembly = Assembly::default();
    for package in packages {
        assembly.add(package.label(), &layout::below(layout::prefix(scope), &package.tree)?);
    }
    assembly.add("the layer's own files", &own);
    let (tree, mut findings) = assembly.finish();
    let (tree, links) = layout::without_links(&tree)?;
    findings.extend(links);
    Ok((tree, findings))
}

pub(super) fn content(tree: &Tree, earlier: &Earlier) -> Result<String> {
    fresh::of_contents(tree, &earlier.files).ok_or_else(|| Error::failed("a file of a layer could not be read"))
}

impl PlannedLayer {
    /// As the rules see it.
    pub(super) fn as_attached(&self) -> Attached<'_> {
        Attached {
            name: &self.name,
            arn: self.arn.as_deref(),
            is_own: self.is_own,
            runtimes: &self.runtimes,
            architectures: &self.architectures,
        }
    }

    /// One that an earlier build has left.
    pub(super) fn of_kept(name: &str, kept: &KeptLayer) -> Self {
        Self {
            name: name.to_owned(),
            tree: Tree::new(),
            kept: Some(Box::new(kept.clone())),
            arn: kept.arn.clone(),
            is_own: kept.is_own,
            runtimes: kept.runtimes.clone(),
            architectures: kept.architectures.clone(),
            packages: kept.packages.iter().map(PlannedPackage::of_kept).collect(),
            users: kept.users.clone(),
            unzipped_bytes: kept.unzipped_bytes,
            content: kept.content.clone(),
            notes: Vec::new(),
            findings: kept.findings.clone(),
        }
    }
}

impl Layers {
    /// The layers that a function's config names.
    fn attached(&self, parts: &Parts<'_>) -> Vec<usize> {
        let find = |name: &String| self.planned.iter().position(|layer| layer.name == *name);
        parts.spec.layers.attached.iter().filter_map(find).collect()
    }

    /// A function's own files, with those of the layers that its config names: where these meet a package, it stays in the
    /// zip, in which it comes first, instead of being mixed with them.
    fn beside(&self, parts: &Parts<'_>) -> Tree {
        let mut out = parts.walked.tree.clone();
        let Some(scope) = split::shape::scope(parts.runtime.family) else { return out };
        let folder = format!("{}/", layout::prefix(scope));
        for (path, entry) in self.attached(parts).iter().flat_map(|at| self.planned[*at].tree.iter()) {
            let below = path.as_str().strip_prefix(&folder).map(|below| match below.split_once("/site-packages/") {
                Some((_, below)) => below,
                None => below,
            });
            if let Some(below) = below.and_then(|below| ArchivePath::new(below).ok()) {
                out.insert(below, entry.clone());
            }
        }
        out
    }

    fn name_users(&mut self, functions: &[&Parts<'_>]) {
        for (parts, placement) in functions.iter().zip(&self.of) {
            for layer in &placement.layers {
                self.planned[*layer].users.push(parts.spec.name.clone());
            }
        }
    }

    /// What is at `/opt` for each combination of layers: later ones win.
    pub(super) fn mounts(&self) -> HashMap<Vec<usize>, Mount> {
        let combinations: BTreeSet<&Vec<usize>> = self.of.iter().map(|placement| &placement.layers).collect();
        combinations.into_iter().map(|layers| (layers.clone(), self.mount(layers))).collect()
    }

    fn mount(&self, layers: &[usize]) -> Mount {
        let mut assembly = Assembly::default();
        let mut mount = Mount::default();
        for layer in layers.iter().map(|at| &self.planned[*at]) {
            assembly.add(format!("layer `{}`", layer.name), &layer.tree);
            mount.bytes += layer.unzipped_bytes.unwrap_or_default();
            mount.is_known &= layer.arn.is_none();
        }
        (mount.tree, mount.findings) = assembly.finish();
        mount
    }
}

/// What a function's layers come to.
#[derive(Debug)]
pub(super) struct Mount {
    /// What is at `/opt`.
    pub(super) tree: Tree,
    /// Unpacked bytes of all layers together, as Lambda counts them.
    pub(super) bytes: u64,
    /// Whether all of it is known.
    pub(super) is_known: bool,
    /// Where layers bring one path.
    pub(super) findings: Vec<Finding>,
}

impl Default for Mount {
    fn default() -> Self {
        Self { tree: Tree::new(), bytes: 0, is_known: true, findings: Vec::new() }
    }
}
