//! Runs the scripts of one package, in a folder that holds it and what it can require, and nothing else of this machine's
//! projects.

use std::path::{Path, PathBuf};

use super::collect::{Folder, Surroundings};
use super::compile::Compiled;
use super::machine;
use crate::error::{Error, Result};
use crate::fsio;
use crate::process::{Failure, Tool};
use crate::report::{Task, Unit};
use crate::resolve::node::platform::Target;
use crate::resolve::node::scratch;
use crate::resolve::node::tools::{self, LocalNode};
use crate::resolve::{Context, environment};
use crate::tree::Tree;

/// What a package without a place in a project is run in.
const MANIFEST: &str = "{\"name\": \"scripts\", \"version\": \"0.0.0\", \"private\": true}\n";

/// A package whose scripts are to run.
pub(super) struct Job<'a> {
    /// `name 1.2.3`, for messages.
    pub(super) label: &'a str,
    /// Where it lies below the function's folder.
    pub(super) path: &'a str,
    /// It, and all that it can require, by their paths.
    pub(super) parts: &'a [(&'a str, &'a Tree)],
    /// What it is to run on.
    pub(super) target: Target,
    /// The major version of the Node.js that it is to run in.
    pub(super) major: u8,
    /// The Node.js that runs here.
    pub(super) node: &'a LocalNode,
    /// The project's own configuration of npm.
    pub(super) npmrc: Option<&'a Path>,
    /// What is compiled of it, and with what.
    pub(super) compiled: Option<&'a Compiled>,
}

/// What scripts have left.
pub(super) struct Done {
    /// The package's files, as a zip below the folder.
    pub(super) zip: PathBuf,
    /// Files that they wrote outside of the package.
    pub(super) elsewhere: Vec<String>,
    /// Holds the zip.
    pub(super) _scratch: fsio::Scratch,
}

/// Runs the scripts.
pub(super) fn run(job: &Job<'_>, context: &Context<'_>) -> Result<Done> {
    let _task = Task::begin(context.reporter, format!("Running scripts of {}", job.label), None, Unit::Items);
    let scratch = fsio::scratch_dir()?;
    let zip = scratch.path().join("package.zip");
    // By its real name: npm compares paths.
    let home = scratch.path().canonicalize().map_err(|e| Error::io("read", scratch.path(), &e))?.join("project");
    for (_, tree) in job.parts {
        scratch::write_tree(tree, &home)?;
    }
    fsio::write_atomic(&home.join("package.json"), MANIFEST.as_bytes())?;
    if let Some(npmrc) = job.npmrc {
        fsio::write_atomic(&home.join(".npmrc"), fsio::read_text(npmrc)?.as_bytes())?;
    }
    let package = home.join(job.path);
    if job.parts.len() > 1 {
        // Commands of other packages, which scripts call by their names.
        let linked = tools::npm(&home).args(["rebuild", "--ignore-scripts"]).run();
        linked.map_err(|failure| {
            tools::refused(format!("the commands that {} needs cannot be linked", job.label), failure)
        })?;
    }
    let before = Surroundings::look(&home, &package);
    let mut tool = call(job, &home);
    if let Some(compiled) = job.compiled {
        tool = compiled.applied(tool, job.node, &home.with_file_name("bin"), &home)?;
    }
    let said = tool
        .run()
        .map_err(|failure| {
            let missing = job.compiled.and_then(Compiled::missing);
            let error = failed(job.label, failure);
            match missing {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })?
        .stderr;
    if Events::read(&said).begun.is_empty() {
        return Err(Error::failed(format!("npm ran none of the install scripts of {}", job.label))
            .hint("take it from `allow-scripts`, or look at what `npm rebuild --loglevel=info` says of it"));
    }
    let elsewhere = Surroundings::look(&home, &package).changed_since(&before);
    let apart: Vec<PathBuf> = job.parts.iter().map(|(path, _)| home.join(path)).filter(|p| *p != package).collect();
    let own = job.parts.iter().find(|(path, _)| *path == job.path).map(|(_, tree)| *tree);
    let is_published = |below: &str| own.is_some_and(|tree| tree.contains(&format!("{}/{below}", job.path)));
    let folder = Folder { root: &package, apart: &apart, is_published: &is_published };
    folder.write_zip(&zip).map_err(|e| e.context(format!("after the install scripts of {}", job.label)))?;
    Ok(Done { zip, elsewhere, _scratch: scratch })
}

fn call(job: &Job<'_>, home: &Path) -> Tool {
    let other_node = (job.node.major() != Some(job.major)).then(|| format!("{}.0.0", job.major));
    let tool = tools::npm(home)
        .args(["rebuild", "--ignore-scripts=false", "--foreground-scripts=false", "--loglevel=info"])
        .arg(format!("./{}", job.path))
        // It is named in `allow-scripts`; what else npm is told to ask for has been asked.
        .env("npm_config_dangerously_allow_all_scripts", "true");
    environment::without_shell(tools::aimed(tool, job.target, other_node.as_deref())).in_no_repository()
}

/// Which scripts npm says that it has begun, and which of them failed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Events {
    begun: Vec<String>,
    failed: Option<String>,
}

impl Events {
    /// From lines such as `npm info run x@1.0.0 install node_modules/x node-gyp rebuild`, and of its end
    /// `npm info run x@1.0.0 install { code: 1, signal: null }`.
    fn read(stderr: &str) -> Self {
        let mut events = Self::default();
        for line in stderr.lines() {
            let Some((_, rest)) = line.split_once("info run ") else { continue };
            let mut words = rest.splitn(3, ' ');
            let (Some(_), Some(event), Some(more)) = (words.next(), words.next(), words.next()) else { continue };
            if !more.starts_with("{ code:") {
                events.begun.push(event.to_owned());
            } else if !more.starts_with("{ code: 0,") {
                events.failed.get_or_insert_with(|| event.to_owned());
            }
        }
        events
    }
}

fn failed(label: &str, failure: Failure) -> Error {
    let event = match &failure {
        Failure::Status { stderr, .. } => {
            let events = Events::read(stderr);
            events.failed.or_else(|| events.begun.last().cloned())
        }
        Failure::NotStarted(_) => None,
    };
    let name = label.rsplit_once(' ').map_or(label, |(name, _)| name);
    tools::refused(format!("the script `{}` of {label} failed", event.as_deref().unwrap_or("install")), failure).hint(
        format!("`npm rebuild {name}` shows whether it fails in the project, too; without it in `allow-scripts` the package is packed as it was published"),
    )
}

/// Refuses native modules that the function's Node.js cannot load.
pub(super) fn check_modules(job: &Job<'_>, tree: &Tree, changed: &[&str]) -> Result<()> {
    for path in changed.iter().filter(|path| path.ends_with(".node")) {
        let Some(entry) = tree.get(path) else { continue };
        let module = entry.read()?;
        if let Some(compiled) = job.compiled {
            compiled.check_module(job.label, path, &module)?;
        }
        if machine::is_for_another_node(&module, job.major, &job.node.abi) {
            return Err(Error::failed(format!(
                "the install scripts of {} made `{path}` for another Node.js than {}: {} runs here",
                job.label, job.major, job.node.version
            ))
            .hint(format!(
                "run it with Node.js {} on PATH, or with the runtime `nodejs{}.x`",
                job.major,
                job.node.major().unwrap_or(job.major)
            ))
            .hint("a version of the package that uses Node-API, or brings prebuilt files, does not depend on it"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npm_says_what_it_runs() {
        let said = "npm info using npm@10.9.0\nnpm info run x@1.0.0 preinstall node_modules/x node a.js\n\
             npm info run x@1.0.0 preinstall { code: 0, signal: null }\n\
             npm info run x@1.0.0 install node_modules/x node-gyp rebuild\n\
             npm info run x@1.0.0 install { code: 1, signal: null }\nnpm error code 1\n";
        let expected =
            Events { begun: vec!["preinstall".to_owned(), "install".to_owned()], failed: Some("install".to_owned()) };
        assert_eq!(Events::read(said), expected);
        assert_eq!(Events::read("npm info ok\n"), Events::default());
    }

    #[test]
    fn a_failure_names_package_and_script_and_what_npm_said_last() {
        let stderr = "npm info run x@1.0.0 install node_modules/x exit 3\nnpm error code 3\nnpm error no compiler\n";
        let error = failed("x 1.0.0", Failure::Status { error: Error::failed(""), stderr: stderr.to_owned() });
        let text = error.to_string();
        assert!(text.starts_with("the script `install` of x 1.0.0 failed:"), "{text}");
        assert!(text.ends_with("npm error no compiler") && !text.contains("npm info"), "{text}");
        assert!(error.hints()[0].contains("`npm rebuild x`"));
    }
}
