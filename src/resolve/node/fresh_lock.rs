//! A lock for a project that has none: npm writes one in a scratch folder that holds the project's manifests at their
//! places, so that the project itself stays as it is. What npm has answered is not asked again that day, unless it depends
//! on what a URL or a branch gives at the time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ignore::gitignore::GitignoreBuilder;

use super::lock::{Lock, slot_name};
use super::manifest::Manifest;
use super::npmrc::INSTALL_NPM;
use super::tools::Tools;
use crate::error::{Error, Result};
use crate::fresh::Key;
use crate::fsio;
use crate::process::Tool;
use crate::report::{Task, Unit};
use crate::resolve::Context;

/// Folders of workspaces are not looked for deeper than this.
const MAX_DEPTH: usize = 8;
/// No `.npmrc` is larger.
const MAX_SETTINGS: u64 = 1 << 20;

/// The folder that npm works in for the package in `folder`: a workspace root above it that names it, or itself.
pub(super) fn npm_root(folder: &Path, project_root: &Path) -> PathBuf {
    let above = folder.ancestors().skip(1).take_while(|above| above.starts_with(project_root));
    let names_it = |root: &&Path| {
        let manifest = Manifest::read(&root.join("package.json")).ok();
        manifest.is_some_and(|manifest| workspaces(root, &manifest).contains(folder))
    };
    above.into_iter().find(names_it).unwrap_or(folder).to_owned()
}

/// A lock that npm writes for the project in `root`, or has written today for one that is the same in all that npm reads.
/// Locks are for all systems, so that the target is no part of the question.
pub(super) fn lock(root: &Path, project_root: &Path, context: &Context<'_>, tools: &Tools) -> Result<Lock> {
    let mut files = Files::new();
    collect(root, project_root, &mut files)?;
    let npmrc = root.join(".npmrc");
    if npmrc.is_file() {
        files.insert(below(&npmrc, project_root)?, fsio::read_bounded(&npmrc, MAX_SETTINGS)?);
    }
    let question = question(&files, &below(root, project_root)?, &tools.facts(root)?);
    let read = |written: &str| Lock::parse(written, &root.join("package-lock.json"), root);
    // What the network has said today is better than what npm remembers without it.
    if let Some(written) = context.store.answer(&question) {
        return read(&written);
    }
    let written = ask(root, project_root, &files, context)?;
    let lock = read(&written)?;
    if !context.offline && is_told(&lock, &files) {
        // What cannot be kept is asked for again.
        let _ = context.store.keep_answer(&question, &written);
    }
    Ok(lock)
}

/// What npm reads, by its path below the project's root.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn question(files: &Files, at: &Path, facts: &[String]) -> String {
    let mut key = Key::new();
    key.add("npm install --package-lock-only").add(at.as_os_str().as_encoded_bytes());
    for fact in facts {
        key.add(fact);
    }
    for (path, bytes) in files {
        key.add(path.as_os_str().as_encoded_bytes()).add(bytes);
    }
    key.finish()
}

/// Whether the answer is all of versions in registries, which do not change: no URL, and nothing from Git.
fn is_told(lock: &Lock, files: &Files) -> bool {
    let is_elsewhere = |spec: &str| spec.contains("://") || spec.starts_with("git") || spec.starts_with("github:");
    let texts: Vec<_> = files.values().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    lock.entries().all(|(location, entry)| {
        let proven =
            entry.integrity.is_some() || entry.link.is_some() || entry.in_bundle || slot_name(location).is_none();
        let needs = [&entry.needs.required, &entry.needs.optional, &entry.needs.peer];
        let is_named = |resolved: &String| resolved.contains("://") && texts.iter().any(|text| text.contains(resolved));
        proven
            && !needs.iter().any(|needs| needs.values().any(|spec| is_elsewhere(spec)))
            && !entry.resolved.as_ref().is_some_and(is_named)
    })
}

/// Lets npm write a lock.
fn ask(root: &Path, project_root: &Path, files: &Files, context: &Context<'_>) -> Result<String> {
    let scratch = fsio::scratch_dir()?;
    for (path, bytes) in files {
        fsio::write_atomic(&scratch.path().join(path), bytes)?;
    }
    let at = scratch.path().join(below(root, project_root)?);
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
    fsio::read_text(&at.join("package-lock.json"))
}

/// Collects what npm reads of the package in `folder`: its manifest, those of its workspaces and of the folders that it
/// depends on, and archives.
fn collect(folder: &Path, project_root: &Path, files: &mut Files) -> Result<()> {
    let source = folder.join("package.json");
    let at = below(&source, project_root).map_err(|_| outside(folder, project_root))?;
    if files.contains_key(&at) {
        return Ok(());
    }
    let text = fsio::read_text(&source)?;
    let manifest = Manifest::parse(&text, &source)?;
    files.insert(at, text.into_bytes());
    for workspace in workspaces(folder, &manifest) {
        collect(&workspace, project_root, files)?;
    }
    let needs = &manifest.needs;
    let specs = needs.required.values().chain(needs.optional.values()).chain(needs.peer.values());
    for spec in specs.chain(needs.dev.values()) {
        let Some(path) = spec.strip_prefix("file:").or_else(|| is_path(spec).then_some(spec.as_str())) else {
            continue;
        };
        let path = fsio::normalize(folder, Path::new(path));
        if path.join("package.json").is_file() {
            collect(&path, project_root, files)?;
        } else if path.is_file() {
            files.insert(below(&path, project_root)?, fsio::read_bounded(&path, 1 << 30)?);
        }
    }
    Ok(())
}

fn is_path(spec: &str) -> bool {
    ["./", "../", "/", "~/"].iter().any(|start| spec.starts_with(start))
}

fn below(path: &Path, project_root: &Path) -> Result<PathBuf> {
    path.strip_prefix(project_root).map(Path::to_owned).map_err(|_| outside(path, project_root))
}

fn outside(path: &Path, project_root: &Path) -> Error {
    let (path, root) = (path.display(), project_root.display());
    Error::config(format!("`{path}` is a dependency, but lies outside the project `{root}`"))
        .hint("copy it into the project, or move `lambda-pack.toml` up to a folder that holds both")
}

/// The folders of a workspace's packages.
pub(super) fn workspaces(root: &Path, manifest: &Manifest) -> BTreeSet<PathBuf> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(packages: &serde_json::Value, manifest: &str) -> bool {
        let text = serde_json::json!({"lockfileVersion": 3, "packages": packages}).to_string();
        let lock = Lock::parse(&text, Path::new("/p/package-lock.json"), Path::new("/p")).unwrap();
        is_told(&lock, &Files::from([("package.json".into(), manifest.into())]))
    }

    #[test]
    fn answers_about_registries_are_told_and_others_are_not() {
        let with =
            |entry: serde_json::Value| serde_json::json!({"": {"name": "p"}, "lib": {}, "node_modules/x": entry});
        let url = "https://host.test/x.tgz";
        for (entry, manifest, expected) in [
            (serde_json::json!({"integrity": "sha512-x", "resolved": url}), "{}", true),
            (serde_json::json!({"link": true, "resolved": "lib"}), "{}", true),
            (
                serde_json::json!({"integrity": "sha512-x", "resolved": url}),
                "{\"x\": \"https://host.test/x.tgz\"}",
                false,
            ),
            (serde_json::json!({"resolved": "git+ssh://git@host.test/x.git#1"}), "{}", false),
            (serde_json::json!({"integrity": "sha512-x", "dependencies": {"y": "github:o/y"}}), "{}", false),
            (serde_json::json!({"integrity": "sha512-x", "dependencies": {"y": "http://host.test/y"}}), "{}", false),
        ] {
            assert_eq!(told(&with(entry.clone()), manifest), expected, "{entry} {manifest}");
        }
    }

    #[test]
    fn a_question_is_all_that_npm_reads() {
        let files = Files::from([("package.json".into(), b"{}".to_vec())]);
        let at = Path::new("");
        let facts = ["npm".to_owned()];
        let one = question(&files, at, &facts);
        assert_eq!(question(&files, at, &facts), one);
        let more = Files::from([("package.json".into(), b"{}".to_vec()), (".npmrc".into(), Vec::new())]);
        for other in [
            question(&more, at, &facts),
            question(&files, Path::new("a"), &facts),
            question(&files, at, &["npm 2".to_owned()]),
        ] {
            assert_ne!(other, one);
        }
    }
}
