//! npm and Node.js as they are on this machine: what an answer of theirs is known by, and how npm is called.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;

use super::npmrc::{Config, Environment, INSTALL_NPM};
use super::platform::Target;
use crate::error::{Error, Result};
use crate::fresh;
use crate::fsio;
use crate::process::{Tool, find_program};
use crate::store::sha256;

/// See the module. One per run.
#[derive(Default)]
pub(super) struct Tools {
    node: OnceLock<Result<LocalNode>>,
}

/// The Node.js that runs npm and scripts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalNode {
    /// Its version without a `v`.
    pub(super) version: String,
    /// The version of its interface to native modules.
    pub(super) abi: String,
    /// Where its headers are: the folder above `include/node`.
    pub(super) headers: Option<PathBuf>,
}

/// What Node.js is asked.
const ASK: &str = "JSON.stringify({ version: process.versions.node, abi: process.versions.modules, \
    folders: [path.resolve(process.execPath, '../..'), process.config.variables.node_prefix || '/'] })";

/// What it answers: the last are folders in which its headers may be.
#[derive(Debug, Deserialize)]
struct Said {
    version: String,
    abi: String,
    folders: Vec<PathBuf>,
}

impl LocalNode {
    /// The major version.
    pub(super) fn major(&self) -> Option<u8> {
        self.version.split('.').next()?.parse().ok()
    }
}

impl Tools {
    /// Asks Node.js what it is. Its program is often a script of a version manager, which says nothing by itself.
    pub(super) fn node(&self) -> Result<&LocalNode> {
        let asked = self.node.get_or_init(|| {
            // Where no project chooses a version, as scripts are run.
            let elsewhere = fsio::scratch_dir()?;
            let tool = Tool::new("node").args(["-p", ASK]);
            let said = tool.cwd(elsewhere.path()).install_hint(INSTALL_NPM).run()?.text();
            let Said { version, abi, folders } = serde_json::from_str(&said)
                .map_err(|e| Error::failed("Failed to read what `node -p` said of itself").because(e))?;
            let headers = folders.into_iter().find(|folder| has_headers(folder, &version));
            Ok(LocalNode { version, abi, headers })
        });
        asked.as_ref().map_err(Clone::clone)
    }

    /// What npm's answers about the project in `folder` depend on, beside the project: npm itself, and its configuration.
    pub(super) fn facts(&self, folder: &Path) -> Result<Vec<String>> {
        // Without Node.js there is no npm either, which is for the call of npm to say.
        let mut facts: Vec<String> = self.node().ok().map(|node| format!("{node:?}")).into_iter().collect();
        for program in ["npm", "node"].into_iter().filter_map(find_program) {
            facts.push(fresh::tool(&program));
            // What a distribution has written beside npm's own code.
            let beside = program.canonicalize().ok().and_then(|real| Some(real.parent()?.parent()?.join("npmrc")));
            let text = beside.and_then(|path| fsio::read_text(&path).ok());
            facts.extend(text.map(|text| sha256(text.as_bytes()).to_string()));
        }
        facts.push(Config::read(folder, &Environment::of_process())?.digest());
        facts.extend(fresh::variables(&["NPM_CONFIG_", "HOME"]));
        Ok(facts)
    }
}

/// Whether the headers of exactly this version are below a folder.
fn has_headers(folder: &Path, version: &str) -> bool {
    let Ok(text) = fsio::read_text(&folder.join("include/node/node_version.h")) else { return false };
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("#define NODE_")?.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    let parts = ["MAJOR_VERSION ", "MINOR_VERSION ", "PATCH_VERSION "].map(number);
    parts.into_iter().flatten().collect::<Vec<_>>().join(".") == version
}

/// A call of npm in a scratch folder.
pub(super) fn npm(folder: &Path) -> Tool {
    Tool::new("npm").cwd(folder).args(["--color=false", "--no-audit", "--no-fund"]).install_hint(INSTALL_NPM)
}

/// Tells tools that download prebuilt binaries, or compile, which system they are for. `node` is the version of Node.js to
/// build for when it is not the one that runs here.
pub(super) fn aimed(tool: Tool, target: Target, node: Option<&str>) -> Tool {
    let cpu = target.architecture.node_cpu();
    let tool = [
        ("os", "linux"),
        ("platform", "linux"),
        ("target_platform", "linux"),
        ("cpu", cpu),
        ("arch", cpu),
        ("target_arch", cpu),
        ("libc", "glibc"),
        ("target_libc", "glibc"),
    ]
    .iter()
    .fold(tool, |tool, (key, value)| tool.env(format!("npm_config_{key}"), *value));
    match node {
        Some(version) => tool.env("npm_config_target", version),
        None => tool,
    }
}

/// The last lines that npm has said, without how it came there.
pub(super) fn last_words(stderr: &str) -> String {
    const NOISE: &[&str] =
        &["npm info ", "npm http ", "npm verb", "npm warn ", "npm WARN ", "npm notice", "npm timing"];
    let useful: Vec<&str> = stderr.lines().filter(|line| !NOISE.iter().any(|start| line.starts_with(start))).collect();
    crate::process::last_lines(&useful.join("\n"), 30)
}

/// The same failure of npm in its own last words.
pub(super) fn refused(what: String, failure: crate::process::Failure) -> Error {
    match failure {
        crate::process::Failure::NotStarted(error) => error.context(what),
        crate::process::Failure::Status { stderr, .. } => Error::failed(what).because(last_words(&stderr)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_same_version() {
        let dir = tempfile::tempdir().unwrap();
        let text = "#define NODE_MAJOR_VERSION 22\n#define NODE_MINOR_VERSION 9\n#define NODE_PATCH_VERSION 1\n";
        fsio::write_atomic(&dir.path().join("include/node/node_version.h"), text.as_bytes()).unwrap();
        assert!(has_headers(dir.path(), "22.9.1") && !has_headers(dir.path(), "22.9.0"));
        assert!(!has_headers(&dir.path().join("include"), "22.9.1"));
    }
}
