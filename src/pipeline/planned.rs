//! What has been decided: functions, their packages, layers and findings, as values that can be printed.

use super::Timings;
use super::layers::PlannedLayer;
use crate::finding::{Finding, Level};
use crate::fresh::{Inputs, Kept, KeptPackage};
use crate::image::PlannedImage;
use crate::project::FunctionSpec;
use crate::resolve::Package;
use crate::store::Method;
use crate::tree::walk::Decision;
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
    /// What would be in the zip, or at `/var/task`; empty when an earlier zip stands.
    pub tree: Tree,
    /// The image that it becomes; nothing for a zip, and when an earlier image stands.
    pub image: Option<Box<PlannedImage>>,
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
    /// Bytes of everything in the zip, or of all layers of the image, unpacked.
    pub fn unzipped_bytes(&self) -> u64 {
        match (&self.kept, &self.image) {
            (Some(kept), _) => kept.artifact.unzipped_bytes,
            (None, Some(image)) => image.uncompressed_bytes(),
            (None, None) => self.tree.bytes(),
        }
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

impl PlannedFunction {
    /// A function of which nothing is known but what the project says.
    pub(super) fn unresolved(spec: &FunctionSpec, handler: Option<String>) -> Self {
        Self {
            spec: spec.clone(),
            handler,
            tree: Tree::new(),
            image: None,
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

    pub(super) fn of_kept(spec: &FunctionSpec, handler: Option<String>, kept: Box<Kept>) -> Self {
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
