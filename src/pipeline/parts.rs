//! A function, or a part of a layer, between resolving and packing: its own files, what was built, and its packages.

use super::images;
use crate::finding::Finding;
use crate::fresh::Inputs;
use crate::lambda::Runtime;
use crate::project::FunctionSpec;
use crate::resolve::native::Brought;
use crate::resolve::{Package, Resolution};
use crate::tree::walk::Walked;
use crate::tree::{Assembly, Entry, Source, Tree};

/// See the module.
pub(super) struct Parts<'a> {
    pub(super) spec: &'a FunctionSpec,
    pub(super) runtime: &'static Runtime,
    pub(super) handler: Option<String>,
    /// Tools and settings of the machine that decided.
    pub(super) facts: Vec<String>,
    /// Digest of settings and own files, as they were before anything was read.
    pub(super) own: Option<String>,
    pub(super) walked: Walked,
    pub(super) resolution: Resolution,
    /// What it brings along from a system.
    pub(super) native: Brought,
}

impl Parts<'_> {
    /// Unpacked bytes of everything, wherever it ends up.
    pub(super) fn bytes(&self) -> u64 {
        let packages: u64 = self.resolution.packages.iter().map(|package| package.tree.bytes()).sum();
        packages + self.native.bytes() + self.walked.tree.bytes() + self.resolution.built.bytes()
    }

    /// One tree of the packages for which `stays` holds, the own files and what was built; and what is wrong where they meet.
    pub(super) fn tree(&self, stays: impl Fn(usize) -> bool) -> (Tree, Vec<Finding>) {
        let mut assembly = Assembly::default();
        for (_, package) in self.resolution.packages.iter().enumerate().filter(|(index, _)| stays(*index)) {
            assembly.add(package.label(), &package.tree);
        }
        for package in &self.native.packages {
            assembly.add(package.label(), &package.tree);
        }
        assembly.add("the function's own files", &self.walked.tree);
        assembly.add("what was built", &self.resolution.built);
        assembly.finish()
    }

    /// What the resolver and the search for libraries have read, if that is all that decides.
    pub(super) fn inputs(&self) -> Option<Inputs> {
        // Files of a linked package are not watched.
        let is_local = |package: &Package| {
            package.tree.iter().any(|(_, entry)| matches!(entry, Entry::File { source: Source::Disk(_), .. }))
        };
        let native = match self.spec.native.is_empty() {
            true => Vec::new(),
            false => self.native.inputs.as_ref()?.files.clone(),
        };
        let (base, base_of_the_day) = images::inputs(self.spec);
        let inputs = self.resolution.inputs.clone().filter(|_| !self.resolution.packages.iter().any(is_local));
        inputs.map(|inputs| Inputs {
            files: inputs.files.into_iter().chain(native).chain(base).collect(),
            facts: self.facts.clone(),
            of_the_day: inputs.of_the_day || base_of_the_day,
        })
    }
}
