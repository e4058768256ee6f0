//! Would Lambda take it, and would the function start? Rules over what is to be packed.
//!
//! Each rule is a function from facts to findings, without I/O but for looking into a file that it is about. All of them
//! run, so that everything that is wrong is told at once. A new rule is a variant in [`crate::finding::Rule`], a function
//! in one of these modules, and a trap in the tests.

mod environment;
mod handler;
mod native;
mod runtime;
mod secrets;
mod size;

use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::lambda::{Architecture, Date, Runtime};
use crate::resolve::Package;
use crate::tree::Tree;

pub use native::{Mount, Native, check_native};
pub use runtime::check_runtime;
pub use size::check_zip_size;

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The runtime.
    pub runtime: &'static Runtime,
    /// The architecture.
    pub architecture: Architecture,
    /// The handler, when there is one.
    pub handler: Option<&'a str>,
    /// What would be packed.
    pub tree: &'a Tree,
    /// What the function's layers hold, merged in their order, when it has layers.
    pub layers: Option<&'a Tree>,
    /// The packages in it, for saying who takes the most.
    pub packages: &'a [Package],
    /// Environment variables that the deployment will set.
    pub environment: &'a BTreeMap<String, String>,
    /// Today.
    pub today: Date,
}

/// Runs every rule that does not need the finished zip.
pub fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let rules: [fn(&Subject<'_>) -> Vec<Finding>; 5] = [
        size::check_unzipped,
        handler::check_handler,
        environment::check_environment,
        secrets::check_secrets,
        check_machine_code,
    ];
    rules.iter().flat_map(|rule| rule(subject)).collect()
}

/// Runs the rules that look at files alone, whatever they are for: what a layer is judged by.
pub fn check_files(subject: &Subject<'_>) -> Vec<Finding> {
    [size::check_unzipped(subject), secrets::check_secrets(subject)].concat()
}

fn check_machine_code(subject: &Subject<'_>) -> Vec<Finding> {
    let mounts: Vec<Mount<'_>> =
        std::iter::once(Mount::task(subject.tree)).chain(subject.layers.map(Mount::layers)).collect();
    check_native(&Native {
        runtime: subject.runtime,
        architecture: subject.architecture,
        mounts: &mounts,
        handler: subject.handler,
        packages: subject.packages,
    })
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
        let subject = Subject {
            runtime: lambda::find(runtime).unwrap(),
            architecture: Architecture::X86_64,
            handler: Some(handler),
            tree,
            layers: None,
            packages: &[],
            environment: &environment,
            today: Date::new(2026, 11, 23),
        };
        check(&subject).iter().map(|f| format!("{}: {}", f.rule, f.message)).collect()
    }
}
