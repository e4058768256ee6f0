//! Would Lambda take it, and would the function start? Rules over what is to be packed.
//!
//! Each rule is a function from facts to findings, without I/O but for looking into a file that it is about. All of them
//! run, so that everything that is wrong is told at once. A new rule is a variant in [`crate::finding::Rule`], a function
//! in one of these modules, and a trap in the tests.

mod dotnet;
mod environment;
mod handler;
mod image;
mod java;
mod layers;
mod native;
mod runtime;
mod secrets;
mod size;
mod template;

use std::collections::BTreeMap;

use crate::finding::{Finding, Rule};
use crate::lambda::{Architecture, Date, Runtime};
use crate::resolve::Package;
use crate::tree::Tree;

pub(crate) use dotnet::beside_assembly;
pub(crate) use image::{ImageSubject, LayerMedia, Media, check_image, check_media};
pub use layers::{Attached, packages_stay};
pub use native::{MissingLibrary, Mount, Native, check_native, missing_libraries};
pub use runtime::check_runtime;
pub use size::check_zip_size;
pub use template::check_template;

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The runtime.
    pub runtime: &'static Runtime,
    /// The processor.
    pub architecture: Architecture,
    /// The handler, when there is one.
    pub handler: Option<&'a str>,
    /// What would be packed.
    pub tree: &'a Tree,
    /// The packages in it, for saying who takes the most.
    pub packages: &'a [Package],
    /// Environment variables that the deployment will set.
    pub environment: &'a BTreeMap<String, String>,
    /// Today.
    pub today: Date,
    /// Its layers, in the order in which Lambda unpacks them.
    pub layers: &'a [Attached<'a>],
    /// What they bring to `/opt`.
    pub opt: &'a Tree,
    /// Unpacked bytes of them together, as Lambda counts them.
    pub opt_bytes: u64,
    /// Whether all that they bring is known.
    pub opt_is_known: bool,
}

/// What a function without layers has at `/opt`.
static NOTHING: Tree = Tree::new();

impl<'a> Subject<'a> {
    /// A package by itself: no handler is named, no layers, nothing is known of where its files come from.
    pub fn alone(
        runtime: &'static Runtime,
        architecture: Architecture,
        tree: &'a Tree,
        environment: &'a BTreeMap<String, String>,
        today: Date,
    ) -> Self {
        Self {
            runtime,
            architecture,
            handler: None,
            tree,
            packages: &[],
            environment,
            today,
            layers: &[],
            opt: &NOTHING,
            opt_bytes: 0,
            opt_is_known: true,
        }
    }
}

/// Runs every rule that does not need the finished zip.
pub fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let rules: [fn(&Subject<'_>) -> Vec<Finding>; 7] = [
        size::check_unzipped,
        handler::check_handler,
        environment::check_environment,
        secrets::check_secrets,
        layers::check_layers,
        check_machine_code,
        java::check_versions,
    ];
    rules.iter().flat_map(|rule| rule(subject)).collect()
}

/// Runs the rules that look at files alone, whatever they are for: what a layer is judged by.
pub fn check_files(subject: &Subject<'_>) -> Vec<Finding> {
    [size::check_unzipped(subject), secrets::check_secrets(subject)].concat()
}

fn check_machine_code(subject: &Subject<'_>) -> Vec<Finding> {
    let opt = (!subject.opt.is_empty()).then(|| Mount::layers(subject.opt));
    let mounts: Vec<Mount<'_>> = std::iter::once(Mount::task(subject.tree)).chain(opt).collect();
    let mut findings = check_native(&Native {
        runtime: subject.runtime,
        architecture: subject.architecture,
        mounts: &mounts,
        handler: subject.handler,
        packages: subject.packages,
    });
    if !subject.opt_is_known {
        // It may be in a layer that exists.
        findings.retain(|finding| finding.rule != Rule::MissingSharedLibrary);
    }
    findings
}

#[cfg(test)]
mod testing {
    //! Subjects for the rules' own tests.

    use super::*;
    use crate::lambda;
    use crate::tree::{ArchivePath, Entry};

    pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
        files
            .iter()
            .map(|(path, text)| (ArchivePath::new(path).unwrap(), Entry::bytes(text.as_bytes(), path.ends_with('*'))))
            .collect()
    }

    /// Findings as `rule path: message`.
    pub(super) fn check_files(runtime: &str, handler: &str, files: &[(&str, &str)]) -> Vec<String> {
        check_tree(runtime, handler, &tree(files))
    }

    pub(super) fn check_tree(runtime: &str, handler: &str, tree: &Tree) -> Vec<String> {
        let environment = BTreeMap::new();
        let runtime = lambda::find(runtime).unwrap();
        let alone = Subject::alone(runtime, Architecture::X86_64, tree, &environment, Date::new(2026, 11, 23));
        let subject = Subject { handler: Some(handler), ..alone };
        check(&subject).iter().map(|f| format!("{}: {}", f.rule, f.message)).collect()
    }
}
