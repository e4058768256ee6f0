//! A lock for a project that has none: npm writes one in a scratch folder that holds the project's manifests at their
//! places, so that the project itself stays as it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ignore::gitignore::GitignoreBuilder;

use super::lock::Lock;
use super::manifest::Manifest;
use super::npmrc::INSTALL_NPM;
use crate::error::{Error, Result};
use crate::fsio;
use crate::process::Tool;
use crate::report::{Task, Unit};
use crate::resolve::Context;

/// Folders of workspaces are not looked for deeper than this.
const MAX_DEPTH: usize = 8;

/// The folder that npm works in for the package in `folder`: a workspace root above it that names it, or itself.
pub(super) fn npm_root(folder: &Path, project_root: &Path) -> PathBuf {
    let above = folder.ancestors().skip(1).take_while(|above| above.starts_with(project_root));
    let names_it = |root: &&Path| {
        let manifest = Manifest::read(&root.join("package.json")).ok();
        manifest.is_some_and(|manifest| workspaces(root, &manifest).contains(folder))
    };
    above.into_iter().find(names_it).unwrap_or(folder).to_owned()
}

/// Lets npm write a lock for the project in `root`.
pub(super) fn lock(root: &Path, project_root: &Path, context: &Context<'_>) -> Result<Lock> {
    let scratch = fsio::scratch_dir()?;
    let mut copied = BTreeSet::new();
    copy(root, project_root, scratch.path(), &mut copied)?;
    let at = place(root, project_root, scratch.path())?;
    let npmrc = root.join(".npmrc");
    if npmrc.is_file() {
        fsio::write_atomic(&at.join(".npmrc"), fsio::read_text(&npmrc)?.as_bytes())?;
    }
    let mut tool = Tool::new("npm")
        .args(["install", "--package-lock-only", "--package-lock=true", "--lockfile-version=3"])
        .args(["--ignore-scripts", "--no-audit", "--no-fund"])
        .cwd(&at)
        .install_hint(INSTALL_NPM);
    if context.offline {
        tool = tool.arg("--offline");
    }
    let task = Task::begin(context.reporter, "Resolving with npm", None, Unit::Items);
    let done = tool.run().map_err(Error::from);
    drop(task);
    done.map_err(|error| {
        let error = error.context(format!("there is no `package-lock.json` in `{}`", root.display()));
        if context.offline { error.hint("run the same command once without `--offline`") } else { error }
    })?;
    let written = fsio::read_text(&at.join("package-lock.json"))?;
    Lock::parse(&written, &root.join("package-lock.json"), root)
}

/// Copies what npm reads of the package in `folder`: its manifest, those of its workspaces and of the folders that it
/// depends on, and archives.
fn copy(folder: &Path, project_root: &Path, scratch: &Path, copied: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !copied.insert(folder.to_owned()) {
        return Ok(());
    }
    let source = folder.join("package.json");
    let text = fsio::read_text(&source)?;
    let manifest = Manifest::parse(&text, &source)?;
    fsio::write_atomic(&place(folder, project_root, scratch)?.join("package.json"), text.as_bytes())?;
    for workspace in workspaces(folder, &manifest) {
        copy(&workspace, project_root, scratch, copied)?;
    }
    let needs = &manifest.needs;
    let specs = needs.required.values().chain(needs.optional.values()).chain(needs.peer.values());
    for spec in specs.chain(manifest.dev.values()) {
        let Some(path) = spec.strip_prefix("file:").or_else(|| is_path(spec).then_some(spec.as_str())) else {
            continue;
        };
        let path = fsio::normalize(folder, Path::new(path));
        if path.join("package.json").is_file() {
            copy(&path, project_root, scratch, copied)?;
        } else if path.is_file() {
            let bytes = fsio::read_bounded(&path, 1 << 30)?;
            fsio::write_atomic(&place(&path, project_root, scratch)?, &bytes)?;
        }
    }
    Ok(())
}

fn is_path(spec: &str) -> bool {
    ["./", "../", "/", "~/"].iter().any(|start| spec.starts_with(start))
}

fn place(path: &Path, project_root: &Path, scratch: &Path) -> Result<PathBuf> {
    let below = path.strip_prefix(project_root).map_err(|_| {
        let (path, root) = (path.display(), project_root.display());
        Error::config(format!("`{path}` is a dependency, but lies outside the project `{root}`"))
            .hint("copy it into the project, or move `lambda-pack.toml` up to a folder that holds both")
    })?;
    Ok(scratch.join(below))
}

/// The folders of a workspace's packages.
fn workspaces(root: &Path, manifest: &Manifest) -> BTreeSet<PathBuf> {
    if manifest.workspaces.is_empty() {
        return BTreeSet::new();
    }
    let mut builder = GitignoreBuilder::new(root);
    for pattern in &manifest.workspaces {
        let (negation, plain) = pattern.strip_prefix('!').map_or(("", pattern.as_str()), |rest| ("!", rest));
        // A pattern that cannot be read names nothing here; npm is going to say so.
        let _ = builder.add_line(None, &format!("{negation}/{}", super::manifest::clean(plain)));
    }
    let Ok(patterns) = builder.build() else { return BTreeSet::new() };
    let hidden = |name: &str| name == "node_modules" || name == ".git" || name == "target";
    walkdir::WalkDir::new(root)
        .min_depth(1)
        .max_depth(MAX_DEPTH)
        .into_iter()
        .filter_entry(|entry| entry.file_type().is_dir() && !entry.file_name().to_str().is_some_and(hidden))
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .filter(|path| patterns.matched(path, true).is_ignore() && path.join("package.json").is_file())
        .collect()
}
