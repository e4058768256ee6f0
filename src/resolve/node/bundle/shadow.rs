//! The project's files at their places in a scratch folder, as links: so that what is imported is looked for beside the
//! packages of the lock, and not beside what is installed in the project.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::super::scratch;
use crate::error::{Error, Result};
use crate::fsio;
use crate::resolve::Request;

/// Folders that hold no sources.
const SKIPPED: [&str; 14] = [
    "node_modules",
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "__pycache__",
    ".aws-sam",
    ".serverless",
    ".terraform",
    "cdk.out",
    ".yarn",
    ".pnpm-store",
    ".turbo",
    ".next",
];
/// Projects with more files are refused.
const MAX_FILES: usize = 200_000;
/// No source is larger that somebody has written.
const MAX_SOURCE: u64 = 2 << 20;
/// Endings of files that may import packages.
const SOURCES: [&str; 8] = ["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"];

/// Makes links to all files of the project below `to`.
pub(super) fn make(request: &Request<'_>, to: &Path) -> Result<()> {
    for path in files(request)? {
        let below = path.strip_prefix(request.project_root).unwrap_or(&path);
        let at = to.join(below);
        match path.to_str() {
            Some(target) if cfg!(unix) => scratch::link(target, &at)?,
            _ => fsio::write_atomic(&at, &fsio::read_bounded(&path, 1 << 30)?)?,
        }
    }
    fsio::create_dir_all(&to.join(request.function.path.strip_prefix(request.project_root).unwrap_or(Path::new(""))))
}

/// The texts of the project's sources, and of what configures TypeScript.
pub(super) fn sources(request: &Request<'_>) -> Result<Vec<String>> {
    let is_source = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        SOURCES.contains(&extension) || (name.starts_with("tsconfig") && extension == "json")
    };
    let small = |path: &PathBuf| path.metadata().is_ok_and(|metadata| metadata.len() <= MAX_SOURCE);
    let paths = files(request)?.into_iter().filter(is_source).filter(small);
    Ok(paths.filter_map(|path| fsio::read_text(&path).ok()).collect())
}

fn files(request: &Request<'_>) -> Result<Vec<PathBuf>> {
    let is_wanted = |entry: &DirEntry| {
        let name = entry.file_name().to_str().unwrap_or_default();
        let is_folder = entry.file_type().is_dir();
        let is_of_cargo = || entry.path().join("CACHEDIR.TAG").is_file();
        let is_ours = request.skip.iter().any(|skip| skip == entry.path());
        !(is_folder && entry.depth() > 0 && (SKIPPED.contains(&name) || is_ours || is_of_cargo()))
    };
    let mut out = Vec::new();
    let walk = WalkDir::new(request.project_root).sort_by_file_name().into_iter().filter_entry(is_wanted);
    for entry in walk {
        let entry = entry.map_err(|e| Error::failed("Failed to read the project's sources").because(e))?;
        let path = entry.path();
        // A link to a file of the project is that file; what leads elsewhere is not the project's.
        let is_linked = entry.file_type().is_symlink()
            && path.canonicalize().is_ok_and(|real| real.is_file() && real.starts_with(request.project_root));
        if entry.file_type().is_file() || is_linked {
            out.push(entry.into_path());
        }
        if out.len() > MAX_FILES {
            let root = request.project_root.display();
            return Err(Error::failed(format!(
                "`{root}` has more than {MAX_FILES} files, which are not all looked through"
            ))
            .hint("move `lambda-pack.toml` down to the folder that the function's sources are in"));
        }
    }
    Ok(out)
}
