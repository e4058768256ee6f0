//! Detection: what a folder is, told by the files in it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{go, versions};
use crate::error::{Error, Result};
use crate::fsio;
use crate::jvm;

/// Files that make a folder Python's, beside `*.py`.
pub(super) const PYTHON_FILES: [&str; 8] = [
    "requirements.txt",
    "pyproject.toml",
    "uv.lock",
    "pylock.toml",
    "poetry.lock",
    "pdm.lock",
    "Pipfile",
    "Pipfile.lock",
];
/// Files that make a folder Java's.
const JAVA_FILES: [&str; 3] = ["pom.xml", "build.gradle", "build.gradle.kts"];
/// Files that say of a folder that it has packages of a language.
const MANIFESTS: [&str; 12] = [
    "package.json",
    "requirements.txt",
    "pyproject.toml",
    "uv.lock",
    "pylock.toml",
    "poetry.lock",
    "pdm.lock",
    "Pipfile",
    "Gemfile",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
];
/// Extensions of what Node.js runs.
const NODE_EXTENSIONS: [&str; 3] = ["mjs", "js", "cjs"];
/// Manifests of languages that this version packs only once they are built.
const BUILT_ELSEWHERE: [(&str, &str); 1] = [("Gemfile", "Ruby")];
/// What was looked for, in the words of the error.
const LOOKED_FOR: &str = "looked for: Cargo.toml with a binary that depends on lambda_runtime or lambda_http; go.mod with a package main; package.json, \
                          *.mjs, *.js; requirements.txt, pyproject.toml, uv.lock, pylock.toml, *.py; pom.xml, build.gradle, build.gradle.kts; \
                          Gemfile, *.rb; *.csproj; an executable bootstrap";

/// The runtime that a folder's files ask for.
///
/// # Errors
/// When the folder is of no language or of several.
pub(crate) fn runtime(dir: &Path) -> Result<String> {
    choose(dir, &evidence(dir)?)
}

/// The runtime that a function's folder asks for: of the language that `resolver` packs, when the config names one.
/// `compiled` are resolvers that have found a program in it, each with its manifest.
///
/// # Errors
/// When the folder is of no language or of several.
pub(super) fn runtime_of(
    dir: &Path,
    resolver: Option<&str>,
    compiled: &[(&str, &str)],
    is_sure: bool,
) -> Result<String> {
    let mut found = evidence(dir)?;
    if let Some(resolver) = resolver {
        let of_it: Vec<_> = found.iter().filter(|(language, _)| language.resolver() == resolver).cloned().collect();
        if of_it.is_empty() && compiled.is_empty() && resolver_is_of_a_language(resolver) {
            return Err(Error::config(format!(
                "`resolver = \"{resolver}\"` finds nothing of its own in `{}`",
                dir.display()
            ))
            .hint("check `path`, or leave `resolver` out"));
        }
        // A command or a Makefile may build whatever the folder is of.
        if !of_it.is_empty() {
            found = of_it;
        }
    }
    if compiled.is_empty() {
        return choose(dir, &found);
    }
    // Scripts beside a program are no functions by themselves; manifests are.
    let named = |file: &str| !file.contains('.') || MANIFESTS.contains(&file);
    let others = found
        .iter()
        .filter(|(language, file)| *language != Language::Go && *language != Language::Provided && named(file));
    let others = others.map(|(language, file)| (language.resolver().to_owned(), file.clone()));
    let all: Vec<(String, String)> =
        compiled.iter().map(|(resolver, file)| ((*resolver).to_owned(), (*file).to_owned())).chain(others).collect();
    if all.len() > compiled.len() && resolver.is_none() && !is_sure {
        return Err(super::several(&format!("`{}`", dir.display()), &all));
    }
    Ok(versions::DEFAULT_PROVIDED.to_owned())
}

fn resolver_is_of_a_language(resolver: &str) -> bool {
    !["command", "makefile", "files"].contains(&resolver)
}

fn choose(dir: &Path, found: &[(Language, String)]) -> Result<String> {
    match found {
        [] => Err(nothing_found(dir)),
        [(language, _)] => language.runtime(dir),
        several => {
            let files: Vec<String> =
                several.iter().map(|(language, file)| format!("{} (`{file}`)", language.name())).collect();
            Err(Error::config(format!("`{}` is of several languages: {}", dir.display(), files.join(", "))).hint(format!(
                "say which with `--runtime`, or in its table of `lambda-pack.toml` with `runtime`, or with `resolver = \"{}\"`",
                several[0].0.resolver()
            )))
        }
    }
}

/// Whether a folder is of some language.
pub(crate) fn is_function(dir: &Path) -> bool {
    evidence(dir).is_ok_and(|evidence| !evidence.is_empty())
}

/// The folder of npm's, pnpm's or uv's workspace that a folder is a member of, where its lock file is, or of a build of Maven or
/// Gradle; else the folder itself.
pub(crate) fn workspace_root(dir: &Path) -> PathBuf {
    let of_java = jvm::project::workspace(dir);
    if of_java != dir {
        return of_java;
    }
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
    Java,
    Go,
    Ruby,
    Dotnet,
    Provided,
}

impl Language {
    fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Node => "Node.js",
            Self::Java => "Java",
            Self::Go => "Go",
            Self::Ruby => "Ruby",
            Self::Dotnet => ".NET",
            Self::Provided => "a custom runtime",
        }
    }

    fn runtime(self, dir: &Path) -> Result<String> {
        match self {
            Self::Python => versions::python(dir),
            Self::Node => versions::node(dir),
            Self::Java => versions::java(dir),
            Self::Ruby => versions::ruby(dir),
            Self::Dotnet => versions::dotnet(dir),
            Self::Go | Self::Provided => Ok(versions::DEFAULT_PROVIDED.to_owned()),
        }
    }

    /// The resolver of such functions.
    fn resolver(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Java => "java",
            Self::Go => "go",
            Self::Ruby => "ruby",
            Self::Dotnet => "dotnet",
            Self::Provided => "files",
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
    let is_go = matches!(go::look(dir), go::Files::Main { .. }) && go::module_of(dir).is_some();
    let mut out = Vec::new();
    // A script alone does not make a program of Go's something else.
    let python = || if is_go { None } else { with_extension(&["py"]) };
    if let Some(file) = named(&PYTHON_FILES).or_else(python) {
        out.push((Language::Python, file));
    }
    // A script alone does not make a Python function one of Node.js too: it may be served to browsers.
    let scripts = || if out.is_empty() && !is_go { with_extension(&NODE_EXTENSIONS) } else { None };
    if let Some(file) = named(&["package.json"]).or_else(scripts) {
        out.push((Language::Node, file));
    }
    if let Some(file) = named(&JAVA_FILES).or_else(|| gradle_module(dir)) {
        out.push((Language::Java, file));
    }
    let ruby = || if out.is_empty() && !is_go { with_extension(&["rb"]) } else { None };
    if let Some(file) = named(&["Gemfile"]).or_else(ruby) {
        out.push((Language::Ruby, file));
    }
    if let Some(file) = with_extension(&["csproj", "fsproj", "vbproj"]) {
        out.push((Language::Dotnet, file));
    }
    if is_go {
        out.push((Language::Go, with_extension(&["go"]).unwrap_or_default()));
    } else if is_executable(&dir.join("bootstrap")) {
        out.push((Language::Provided, "bootstrap".to_owned()));
    }
    Ok(out)
}

/// What says that a folder is a module of a build above it that says all.
fn gradle_module(dir: &Path) -> Option<String> {
    let file = jvm::project::gradle_file(dir, Path::new("/"))?;
    (file.parent() != Some(dir)).then(|| file.file_name().unwrap_or_default().to_string_lossy().into_owned())
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
    if dir.join("go.mod").is_file() {
        let programs = go::programs(dir);
        let names: Vec<String> =
            programs.iter().map(|(main, _)| format!("`{}`", fsio::relative_to(&main.package, dir).display())).collect();
        return error.hint(match names.as_slice() {
            [] => "`go.mod` is Go's, and no folder of its module has a package `main`".to_owned(),
            _ => format!("`go.mod` is Go's: point at the folder of a program ({}), or name it with `path` or `bin` in `lambda-pack.toml`", names.join(", ")),
        });
    }
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
