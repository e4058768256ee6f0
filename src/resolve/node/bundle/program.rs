//! Which esbuild bundles: the version of the project's lock, for this machine; else one that is installed in the project, or on
//! PATH.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::lock::Lock;
use crate::error::{Error, Result};
use crate::fsio;
use crate::process::find_program;
use crate::resolve::Request;
use crate::store::Archive;

/// An esbuild that can be run.
pub(in crate::resolve::node) enum Program<'p> {
    /// In an archive of the store.
    Member(&'p Arc<Archive>),
    /// Here.
    At(PathBuf),
}

/// The package of a lock that holds esbuild for this machine, and esbuild's version.
pub(in crate::resolve::node) fn in_lock(lock: &Lock, importer: &str) -> Option<(String, String)> {
    let slot = lock.find(importer, "esbuild").or_else(|| lock.find("", "esbuild"))?;
    let esbuild = lock.target(slot).ok()?;
    let platform = lock.target(lock.find(esbuild, &package()?)?).ok()?;
    Some((platform.to_owned(), lock.get(esbuild)?.version.clone().unwrap_or_default()))
}

/// `@esbuild/linux-x64` for this machine.
fn package() -> Option<String> {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    let cpu = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => return None,
    };
    Some(format!("@esbuild/{system}-{cpu}"))
}

impl Program<'_> {
    /// What is installed.
    pub(in crate::resolve::node) fn installed(request: &Request<'_>) -> Result<Self> {
        let above = request.function.path.ancestors().take_while(|above| above.starts_with(request.project_root));
        let in_project = above.map(|above| above.join("node_modules/.bin/esbuild")).find(|path| path.is_file());
        in_project.or_else(|| find_program("esbuild")).map(Self::At).ok_or_else(|| {
            let name = &request.function.name;
            Error::config(format!("function `{name}` is bundled with the project's own esbuild, and there is none"))
                .hint("add it to the lock with `npm install --save-dev esbuild`, or the same of your package manager")
        })
    }

    /// Puts it where it can be run.
    pub(super) fn place(&self, scratch: &Path) -> Result<PathBuf> {
        let archive = match self {
            Self::At(path) => return Ok(path.clone()),
            Self::Member(archive) => archive,
        };
        let found = ["bin/esbuild", "esbuild.exe"].iter().find_map(|path| Some((path, archive.find(path)?)));
        let (path, index) =
            found.ok_or_else(|| Error::failed("the package of esbuild for this machine has no program"))?;
        let to = scratch.join(path);
        fsio::write_atomic(&to, &archive.read(index)?)?;
        fsio::make_executable(&to)?;
        Ok(to)
    }
}
