//! Interpreters of this machine, by the version that a runtime has.

mod dotnet;
mod java;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub(super) use dotnet::{Dotnet, dotnet};
pub(super) use java::{java, javac};

use crate::process::{Tool, find_programs};

/// An interpreter that starts.
#[derive(Debug, Clone)]
pub(super) struct Interpreter {
    /// The program itself, not a script that looks for it.
    pub(super) program: PathBuf,
    /// Its version, such as `3.13.0`.
    pub(super) version: String,
    /// Folders that it cannot run without.
    pub(super) seen: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Said {
    program: PathBuf,
    version: String,
    folders: Vec<PathBuf>,
}

// Where each has its own library is asked apart: that is seen also where what it is installed in is a home.
const ASK_PYTHON: &str = "import json, os, sys; print(json.dumps({'program': getattr(sys, '_base_executable', sys.executable), \
     'version': '%d.%d.%d' % sys.version_info[:3], 'folders': [sys.base_prefix, sys.base_exec_prefix, \
     os.path.dirname(os.__file__)]}))";
const ASK_NODE: &str =
    "console.log(JSON.stringify({program: process.execPath, version: process.versions.node, folders: []}))";
const ASK_RUBY: &[&str] = &[
    "--disable=gems",
    "-rrbconfig",
    "-rjson",
    "-e",
    "puts JSON.generate(program: RbConfig.ruby, version: RUBY_VERSION, folders: RbConfig::CONFIG.values_at('prefix', 'rubylibprefix'))",
];

/// A Python 3.`minor`, or another one.
pub(super) fn python(minor: u8) -> Option<Interpreter> {
    let exact = format!("python3.{minor}");
    let versions = pyenv().join("versions");
    let of_pyenv = newest(&versions, &format!("3.{minor}.")).map(|folder| folder.join("bin").join(&exact));
    let own = find_programs(&exact).into_iter().chain(of_pyenv);
    let others = ["python3", "python"].iter().flat_map(|name| find_programs(name));
    let found = own.chain(others).filter_map(|program| ask(&program, &["-I", "-S", "-c", ASK_PYTHON]));
    best(found, &format!("3.{minor}.")).filter(|found| found.version.starts_with("3."))
}

/// A Node.js of this major version, or another one.
pub(super) fn node(major: u8) -> Option<Interpreter> {
    let home = std::env::var_os("NVM_DIR").map(PathBuf::from).or_else(|| Some(etcetera::home_dir().ok()?.join(".nvm")));
    let versions = home.unwrap_or_default().join("versions/node");
    let of_nvm = newest(&versions, &format!("v{major}.")).map(|folder| folder.join("bin/node"));
    let candidates = ["node", "nodejs"].iter().flat_map(|name| find_programs(name)).chain(of_nvm);
    best(candidates.filter_map(|program| ask(&program, &["-e", ASK_NODE])), &format!("{major}."))
}

/// A Ruby of this version (`3.4`), or another one.
pub(super) fn ruby(version: &str) -> Option<Interpreter> {
    let home = etcetera::home_dir().unwrap_or_default();
    let set = |name: &str, below: &str| std::env::var_os(name).map_or_else(|| home.join(below), PathBuf::from);
    // Version managers keep them apart; each has its own way to name the folders.
    let kept = [
        (set("RBENV_ROOT", ".rbenv").join("versions"), ""),
        (set("ASDF_DATA_DIR", ".asdf").join("installs/ruby"), ""),
        (home.join(".rvm/rubies"), "ruby-"),
        (home.join(".rubies"), "ruby-"),
        (PathBuf::from("/opt/rubies"), "ruby-"),
    ];
    let kept = kept.iter().filter_map(|(folder, name)| newest(folder, &format!("{name}{version}.")));
    let exact = find_programs(&format!("ruby{version}")).into_iter().chain(kept.map(|f| f.join("bin/ruby")));
    let all = exact.chain(find_programs("ruby"));
    best(all.filter_map(|program| ask(&program, ASK_RUBY)), &format!("{version}."))
}

/// The first whose version begins so, else the first. No more are asked than it takes.
fn best(found: impl Iterator<Item = Interpreter>, version: &str) -> Option<Interpreter> {
    let mut fallback = None;
    for found in found {
        if found.version.starts_with(version) {
            return Some(found);
        }
        fallback = fallback.or(Some(found));
    }
    fallback
}

fn ask(program: &Path, args: &[&str]) -> Option<Interpreter> {
    let tool = Tool::new(program).args(args.iter().copied());
    let tool = ["PYTHONPATH", "NODE_OPTIONS", "RUBYOPT", "RUBYLIB"].iter().fold(tool, Tool::env_remove);
    let said: Said = serde_json::from_str(tool.run().ok()?.text().trim()).ok()?;
    let program = said.program.canonicalize().ok()?;
    let mut seen = said.folders;
    seen.push(installed(&program));
    seen.extend(own_libraries(&program));
    let seen = without_homes(seen);
    Some(Interpreter { program, version: said.version, seen })
}

/// What an interpreter is installed as: the folder that has its `bin`, or the program alone where that is somebody's home.
pub(super) fn installed(program: &Path) -> PathBuf {
    match program.ancestors().nth(2).filter(|folder| !is_home(folder)) {
        Some(folder) => folder.to_owned(),
        None => program.to_owned(),
    }
}

/// What an interpreter may be linked with of itself, beside its `bin`.
fn own_libraries(program: &Path) -> impl Iterator<Item = PathBuf> {
    let folder = program.ancestors().nth(2).unwrap_or(program).join("lib");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_it = |name: &str| ["libpython", "libruby", "libnode"].iter().any(|begin| name.starts_with(begin));
    files.filter(move |file| file.file_name().to_str().is_some_and(is_it)).map(|file| file.path())
}

/// What functions may see of these: nothing that has a developer's own files in it.
pub(super) fn without_homes(mut seen: Vec<PathBuf>) -> Vec<PathBuf> {
    seen.retain(|path| path.exists() && !is_home(path));
    // What lies in one of them is seen with it. A folder comes before what is in it.
    seen.sort();
    let mut out: Vec<PathBuf> = Vec::new();
    for path in seen {
        if !out.iter().any(|folder| path.starts_with(folder)) {
            out.push(path);
        }
    }
    out
}

/// Whether a folder is the home folder, `~/.local`, or one that has these in it.
fn is_home(folder: &Path) -> bool {
    let Ok(home) = etcetera::home_dir() else { return folder == Path::new("/") };
    let home = home.canonicalize().unwrap_or(home);
    home.starts_with(folder) || folder == home.join(".local")
}

fn pyenv() -> PathBuf {
    let set = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    set.or_else(|| Some(etcetera::home_dir().ok()?.join(".pyenv"))).unwrap_or_default()
}

/// The folder of the newest version that begins so.
fn newest(versions: &Path, prefix: &str) -> Option<PathBuf> {
    let number = |folder: &Path| -> Option<Vec<u32>> {
        let rest = folder.file_name()?.to_str()?.strip_prefix(prefix)?;
        rest.split('.').map(|part| part.parse().ok()).collect()
    };
    let folders = std::fs::read_dir(versions).into_iter().flatten().flatten().map(|entry| entry.path());
    folders.filter_map(|folder| Some((number(&folder)?, folder))).max().map(|(_, folder)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_seen_once_and_is_no_home() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("a/lib")).unwrap();
        std::fs::create_dir_all(at("a-b")).unwrap();
        let home = etcetera::home_dir().unwrap();
        let seen = vec![at("a/lib"), at("a-b"), at("a"), at("none"), home.join(".local"), home, "/".into(), at("a")];
        assert_eq!(without_homes(seen), [at("a"), at("a-b")]);
    }
}
