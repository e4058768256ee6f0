//! Resolvers: from a function's folder to the packages that it needs, one resolver per ecosystem behind one trait.
//!
//! Package managers do the resolving; the lock file is what they leave behind. Where it names archives and digests, they
//! are fetched into the store and packages are assembled from them; nothing is installed. Where something must be built,
//! the ecosystem's own tool builds it.

mod claim;
mod command;
mod compile;
pub mod dotnet;
mod environment;
pub mod files;
pub mod go;
pub mod java;
mod made;
mod makefile;
pub mod native;
pub mod node;
pub mod python;
pub mod ready;
pub mod ruby;
pub mod rust;
pub mod sdk;
pub mod slim;

pub use claim::claim;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::finding::Finding;
use crate::fresh::Inputs;
use crate::lambda::{Architecture, Runtime};
use crate::project::FunctionSpec;
use crate::report::Reporter;
use crate::store::{Archive, Digest, Fetcher, Form, Store};
use crate::tree::Tree;

/// What a resolver works with. One per run, shared by all functions.
pub struct Context<'a> {
    /// The content store.
    pub store: &'a Store,
    /// Fetches into it.
    pub fetcher: &'a Fetcher<'a>,
    /// Hears what happens.
    pub reporter: &'a dyn Reporter,
    /// No network.
    pub offline: bool,
    /// Lock files must exist, agree with their manifests, and stay as they are.
    pub locked: bool,
}

impl Context<'_> {
    /// Takes in a copy that lies in the cache of a package manager, if it has the digest, and shares it with those who may
    /// have another cache.
    fn adopt_copy(&self, form: Form, digest: &Digest, copy: &Path, label: &str) -> Option<Arc<Archive>> {
        let archive = self.store.adopt_copy(form, digest, copy, label)?;
        if let Some(mirror) = self.store.mirror().filter(|_| !self.offline)
            && let Ok(copy) = File::open(copy)
            && let Ok(metadata) = copy.metadata()
        {
            mirror.put(digest, copy, metadata.len());
        }
        Some(archive)
    }
}

/// A function to resolve.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The function.
    pub function: &'a FunctionSpec,
    /// Its runtime, known and not blocked.
    pub runtime: &'static Runtime,
    /// Its architecture, one that the runtime has.
    pub architecture: Architecture,
    /// The project's root: nothing outside it is packed.
    pub project_root: &'a Path,
    /// Folders that are never walked, such as the output folder.
    pub skip: &'a [PathBuf],
}

/// A package as it lies below the function's root (`numpy/__init__.py`, `node_modules/express/index.js`).
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name in its registry.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its files.
    pub tree: Tree,
}

impl Package {
    /// `numpy 2.3.4`, for messages.
    pub fn label(&self) -> String {
        format!("{} {}", self.name, self.version).trim_end().to_owned()
    }
}

/// What a manifest leaves out, by archive path: `Some(rule)` names the rule that drops it.
pub type ApplicationFilter = Box<dyn Fn(&str) -> Option<&'static str> + Send + Sync>;

/// What is packed of the function's own folder.
#[derive(Default)]
pub enum Application {
    /// The folder as `tree::walk` finds it, less `replaced` folders and what `filter` drops.
    Folder {
        /// Names of folders that the packages replace.
        replaced: &'static [&'static str],
        /// What the manifest leaves out.
        filter: Option<ApplicationFilter>,
    },
    /// Nothing of it: what is built is all there is (and what `include` names).
    #[default]
    Nothing,
}

/// What of functions' folders a resolver packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// All but folders of these names.
    Folder(&'static [&'static str]),
    /// Nothing.
    Nothing,
}

/// What a resolver answers for one function.
#[derive(Default)]
pub struct Resolution {
    /// What is packed of the function's own folder.
    pub application: Application,
    /// What was built or generated for the function, such as `bootstrap`.
    pub built: Tree,
    /// Packages in the order in which an installer would write them: of two that bring one path, the later wins.
    pub packages: Vec<Package>,
    /// What is wrong, but does not stop the work.
    pub findings: Vec<Finding>,
    /// What a person should know, such as which lock file decided. One sentence each.
    pub notes: Vec<String>,
    /// All that the answer depends on beside the function's folder and settings; nothing when that cannot be said, as of
    /// what a build reads.
    pub inputs: Option<Inputs>,
    /// Packages that are part of what was built, with their bytes in it: name, version, bytes.
    pub bundled: Vec<(String, String, u64)>,
    /// The tool and the file that decided, for the summary: `uv.lock`, `requirements.txt (uv 0.9.9)`, `cargo build`.
    pub resolved_by: String,
}

/// How sure a resolver may be of what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The project says itself how the function is packed: nobody else is asked.
    Told,
    /// It has found a manifest. Of two that have, the project must say which it is.
    Found,
    /// It takes what nobody else claims.
    Rest,
}

/// One ecosystem.
pub trait Resolver: Sync {
    /// Its name, such as `python`, by which a config may choose it (`resolver = "python"`).
    fn name(&self) -> &'static str;

    /// How sure it is of what it claims.
    fn weight(&self) -> Weight {
        Weight::Found
    }

    /// What of a function's folder is packed before `filter` looks at it.
    fn own(&self, _request: &Request<'_>) -> Own {
        Own::Folder(&[])
    }

    /// Files of the project that a build reads of which nothing is packed as it is: all there are, so that one that is new is
    /// noticed. Nothing when they cannot be told.
    fn sources(&self, _request: &Request<'_>) -> Option<Vec<PathBuf>> {
        Some(Vec::new())
    }

    /// Tools and settings of this machine that decide, in words; the same for all functions.
    fn facts(&self) -> Vec<String> {
        Vec::new()
    }

    /// The file that makes a function this resolver's, if it is: a manifest of its own, for a runtime of its own.
    fn claims(&self, request: &Request<'_>) -> Option<PathBuf>;

    /// Resolves all functions that are this resolver's, at once, so that what they share is done once. One answer per
    /// request, in their order.
    fn resolve(&self, requests: &[Request<'_>], context: &Context<'_>) -> Vec<Result<Resolution>>;
}

/// The resolver of what a command of the config builds.
pub(crate) const COMMAND: &str = "command";
/// The resolver of what a Makefile builds.
pub(crate) const MAKEFILE: &str = "makefile";

/// Names by which a config may choose a resolver.
pub(crate) fn names() -> Vec<&'static str> {
    // A file that is ready is named by `path`.
    resolvers().iter().map(|resolver| resolver.name()).filter(|name| *name != ready::NAME).collect()
}

/// Every resolver, in the order in which they are asked whether a function is theirs. See [`claim`] for how one is chosen.
pub fn resolvers() -> Vec<Box<dyn Resolver>> {
    vec![
        Box::new(ready::Ready),
        Box::new(command::Command),
        Box::new(makefile::Makefile),
        Box::new(python::Python::default()),
        Box::new(node::Node),
        Box::new(rust::Rust),
        Box::new(java::Java),
        Box::new(go::Go),
        Box::new(ruby::Ruby),
        Box::new(dotnet::Dotnet),
        Box::new(files::Files),
    ]
}
