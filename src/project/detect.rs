//! Detection: what a folder is, told by the files in it.

use std::fs;
use std::path::{Path, PathBuf};

use super::versions;
use crate::error::{Error, Result};
use crate::fsio;

/// Files that make a folder Python's, beside `*.py`.
pub(super) const PYTHON_FILES: [&str; 6] =
    ["requirements.txt", "pyproject.toml", "uv.lock", "pylock.toml", "poetry.lock", "Pipfile"];
/// Extensions of what Node.js runs.
const NODE_EXTENSIONS: [&str; 3] = ["mjs", "js", "cjs"];
/// Manifests of languages that this version packs only once they are built.
const BUILT_ELSEWHERE: [(&str, &str); 5] = [
    ("go.mod", "Go"),
    ("pom.xml", "Java"),
    ("build.gradle", "Java"),
    ("build.gradle.kts", "Java"),
    ("Gemfile", "Ruby"),
];
/// What was looked for, in the words of the error.
const LOOKED_FOR: &str = "looked for: Cargo.toml with a binary that depends on lambda_runtime or lambda_http; package.json, \
                          *.mjs, *.js; requirements.txt, pyproject.toml, uv.lock, pylock.toml, *.py; an executable bootstrap";

/// The runtime that a folder's files ask for.
///
/// # Errors
/// When the folder is of no language or of several.
pub(crate) fn runtime(dir: &Path) -> Result<String> {
    match evidence(dir)?.as_slice() {
        [] => Err(nothing_found(dir)),
        [(language, _)] => language.runtime(dir),
        several => {
            let files: Vec<String> =
                several.iter().map(|(language, file)| format!("{} (`{file}`)", language.name())).collect();
            Err(Error::config(format!("`{}` is of several languages: {}", dir.display(), files.join(", ")))
                .hint("say which with `--runtime`, or `runtime` in `lambda-pack.toml`"))
        }
    }
}

/// Whether a folder is of some language.
pub(crate) fn is_function(dir: &Path) -> bool {
    evidence(dir).is_ok_and(|evidence| !evidence.is_empty())
}

/// The folder of npm's, pnpm's or uv's workspace that a folder is a member of, where its lock file is; else the folder itself.
pub(crate) fn workspace_root(dir: &Path) -> PathBuf {
    let has_member = |above: &&Path| members(above).is_some_and(|patterns| is_member(dir, above, &patterns));
    dir.ancestors().skip(1).find(has_member).unwrap_or(dir).to_owned()
}

/// The patterns of a workspace's members, if a folder is the root of one.
fn members(dir: &Path) -> Option<Vec<String>> {
    let pnpm = dir.join("pnpm-workspace.yaml");
    if pnpm.is_file()
        && let Ok(document) = crate::template::yaml::Document::read(&pnpm)
        && let Some(packages) = document.root.get("packages").and_then(|node| node.items())
    {
        return Some(packages.iter().filter_map(|node| node.text().map(str::to_owned)).collect());
    }
    let texts = |values: &serde_json::Value| -> Option<Vec<String>> {
        Some(values.as_array()?.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
    };
    if let Ok(text) = fsio::read_text(&dir.join("package.json"))
        && let Ok(manifest) = serde_json::from_str::<serde_json::Value>(&text)
        && let Some(workspaces) = manifest.get("workspaces")
    {
        return texts(workspaces).or_else(|| texts(workspaces.get("packages")?));
    }
    let text = fsio::read_text(&dir.join("pyproject.toml")).ok()?;
    let manifest: toml::Table = text.parse().ok()?;
    let members = manifest.get("tool")?.get("uv")?.get("workspace")?.get("members")?.as_array()?;
    Some(members.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
}

fn is_member(dir: &Path, root: &Path, patterns: &[String]) -> bool {
    let mut builder = ignore::gitignore::GitignoreBuilder::new(root);
    for pattern in patterns {
        // Anchored: a workspace's patterns start at its root.
        let _ = builder.add_line(None, &format!("/{}", pattern.trim_start_matches("./").trim_end_matches('/')));
    }
    builder.build().is_ok_and(|matcher| matcher.matched(dir, true).is_ignore())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Python,
    Node,
    Provided,
}

impl Language {
    fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Node => "Node.js",
            Self::Provided => "a custom runtime",
        }
    }

    fn runtime(self, dir: &Path) -> Result<String> {
        match self {
            Self::Python => versions::python(dir),
            Self::Node => versions::node(dir),
            Self::Provided => Ok(versions::DEFAULT_PROVIDED.to_owned()),
        }
    }
}

/// The languages of a folder, each with the file that tells.
fn evidence(dir: &Path) -> Result<Vec<(Language, String)>> {
    let names = file_names(dir)?;
    let named = |wanted: &[&str]| wanted.iter().find(|w| names.iter().any(|n| n == *w)).map(|w| (*w).to_owned());
    let with_extension = |wanted: &[&str]| {
        let has = |name: &&String| Path::new(name).extension().is_some_and(|e| wanted.iter().any(|w| e == *w));
        names.iter().find(has).cloned()
    };
    let mut out = Vec::new();
    if let Some(file) = named(&PYTHON_FILES).or_else(|| with_extension(&["py"])) {
        out.push((Language::Python, file));
    }
    // A script alone does not make a Python function one of Node.js too: it may be served to browsers.
    let scripts = || if out.is_empty() { with_extension(&NODE_EXTENSIONS) } else { None };
    if let Some(file) = named(&["package.json"]).or_else(scripts) {
        out.push((Language::Node, file));
    }
    if is_executable(&dir.join("bootstrap")) {
        out.push((Language::Provided, "bootstrap".to_owned()));
    }
    Ok(out)
}

/// Names of the files directly in a folder, in a fixed order.
fn file_names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).map_err(|e| Error::io("read the folder", dir, &e))?;
    let mut names: Vec<String> = entries
        .filter_map(std::result::Result::ok)
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

fn nothing_found(dir: &Path) -> Error {
    let error =
        Error::config(format!("cannot tell what `{}` is: no file of it says which runtime it is for", dir.display()))
            .hint(LOOKED_FOR);
    match BUILT_ELSEWHERE.iter().find(|(file, _)| dir.join(file).is_file()) {
        Some((file, language)) => error.hint(format!(
            "`{file}` is {language}'s, which this version does not build: build it first, then pack the folder of the result with `--runtime`"
        )),
        None => error.hint(
            "say it with `--runtime`; if functions are in folders below, `cargo lambda-pack init` writes a config of them",
        ),
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o100 != 0)
}

/// Windows has no such bit.
#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}
