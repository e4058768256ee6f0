//! A function's own files as they were before anything was read, which is what the next build compares with.

use std::collections::BTreeSet;

use super::{Session, images};
use crate::fresh::{self, Files, Key};
use crate::resolve::{Application, Own, Request, Resolver};
use crate::tree::{ArchivePath, Tree, walk};

/// See the module.
pub(super) struct OwnFiles {
    /// Digest of these and of the settings.
    pub(super) digest: String,
    /// Where they stand in the package.
    paths: BTreeSet<ArchivePath>,
}

impl OwnFiles {
    /// Looks at them. The digest covers also what `package.json` leaves out: more than is packed, never less. Nothing when a
    /// file cannot be read.
    pub(super) fn look(
        request: &Request<'_>,
        handler: Option<&str>,
        resolver: &dyn Resolver,
        session: Session<'_>,
        files: &Files,
    ) -> Option<Self> {
        let (replaced, only_include) = match resolver.own(request) {
            Own::Folder(replaced) => (replaced, false),
            Own::Nothing => (&[][..], true),
        };
        let walked = walk::walk(&walk::Options {
            root: &request.function.path,
            project_root: request.project_root,
            skip: request.skip,
            exclude: &request.function.exclude,
            include: &request.function.include,
            replaced,
            filter: None,
            only_include,
            // Those that are new are read anyway.
            probe: false,
        });
        let walked = walked.ok().filter(|walked| walked.findings.is_empty())?;
        let mut key = Key::new();
        key.add(format!("{:?}", request.function))
            .add(format!("{handler:?}"))
            .add(request.runtime.id)
            .add(resolver.name())
            .add(format!("{} {}", session.options.locked, session.options.offline))
            .add(if images::is_shallow(request.function, session) { "shallow" } else { "" })
            .add(request.project_root.as_os_str().as_encoded_bytes())
            .add(fresh::of_tree(&walked.tree, files)?);
        let paths = walked.tree.iter().map(|(path, _)| path.clone()).collect();
        Some(Self { digest: key.finish(), paths })
    }

    /// Whether a later walk has found the same paths, but for what the manifest leaves out. What their contents are is
    /// compared when they are packed.
    pub(super) fn agree(&self, walked: &Tree, application: &Application) -> bool {
        let is_left_out = |path: &ArchivePath| match application {
            Application::Folder { filter: Some(filter), .. } => filter(path.as_str()).is_some(),
            _ => false,
        };
        walked.iter().all(|(path, _)| self.paths.contains(path))
            && self.paths.iter().all(|path| walked.contains(path.as_str()) || is_left_out(path))
    }
}
