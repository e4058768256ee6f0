//! The Python of the target's version that is on this machine: it runs the build, and its headers are compiled against.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::programs::Programs;
use crate::error::Result;
use crate::fresh;
use crate::fsio;
use crate::process::Tool;

/// What an interpreter is asked: where its headers are, and with what it was built.
const ASK: &str = r#"
import json, os, sys, sysconfig
variables = sysconfig.get_config_vars()
include, minor = sysconfig.get_path("include"), "python3.%d" % sys.version_info[1]
# Debian's own is one line that names another by the processor of whoever compiles.
multiarch = os.path.join(os.path.dirname(include), variables.get("MULTIARCH") or "", minor, "pyconfig.h")
print(json.dumps({
    "implementation": sys.implementation.name,
    "minor": sys.version_info[1],
    "version": sys.version,
    "flags": getattr(sys, "abiflags", ""),
    "include": include,
    "configs": [multiarch, sysconfig.get_config_h_filename(), os.path.join(include, "pyconfig.h")],
    "variables": {k: v for k, v in variables.items() if isinstance(v, (str, int)) and not isinstance(v, bool)},
}))
"#;

/// A variable of Python's build.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

#[derive(Debug, Clone, Deserialize)]
struct Facts {
    implementation: String,
    minor: u8,
    version: String,
    flags: String,
    include: PathBuf,
    configs: Vec<PathBuf>,
    variables: BTreeMap<String, Value>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(in crate::resolve::python) struct Interpreter {
    /// The program.
    pub(super) program: PathBuf,
    /// The folder of `Python.h`.
    pub(super) include: PathBuf,
    /// The `pyconfig.h` that has the facts.
    pub(super) config: PathBuf,
    /// What it was built with (`sysconfig.get_config_vars()`).
    pub(super) variables: BTreeMap<String, Value>,
    version: String,
}

impl Interpreter {
    /// One of `CPython` 3.`minor` with its headers, or why there is none.
    pub(in crate::resolve::python) fn find(programs: &Programs, minor: u8) -> Result<Self, String> {
        let mut without_headers = None;
        let mut seen = Vec::new();
        for candidates in [Programs::interpreters(minor), of_pyenv(minor), of_uv(programs, minor)] {
            for program in candidates {
                let real = program.canonicalize().unwrap_or_else(|_| program.clone());
                if seen.contains(&real) {
                    continue;
                }
                seen.push(real);
                match Self::ask(&program, minor) {
                    Some(Ok(found)) => return Ok(found),
                    Some(Err(include)) => without_headers = without_headers.or(Some((program, include))),
                    None => {}
                }
            }
        }
        Err(match without_headers {
            Some((program, include)) => format!(
                "`{}` has no headers in `{}`: install `python3.{minor}-dev`, or run `uv python install 3.{minor}`",
                program.display(),
                include.display()
            ),
            None => {
                format!("Python 3.{minor}, which would run the build, is not here: run `uv python install 3.{minor}`")
            }
        })
    }

    /// What it is known by.
    pub(super) fn facts(&self) -> [String; 2] {
        [fresh::tool(&self.program), self.version.clone()]
    }

    /// Nothing when it is another Python; as an error the folder in which its headers should be.
    fn ask(program: &Path, minor: u8) -> Option<Result<Self, PathBuf>> {
        let said = Tool::new(program).args(["-I", "-c", ASK]).run().ok()?.text();
        let facts: Facts = serde_json::from_str(&said).ok()?;
        let flags = if minor < 8 { "m" } else { "" };
        if facts.implementation != "cpython" || facts.minor != minor || facts.flags != flags {
            return None;
        }
        let config = facts.configs.into_iter().find(|path| is_complete(path));
        Some(match config.filter(|_| facts.include.join("Python.h").is_file()) {
            Some(config) => Ok(Self {
                program: program.to_owned(),
                include: facts.include,
                config,
                variables: facts.variables,
                version: facts.version,
            }),
            None => Err(facts.include),
        })
    }
}

fn is_complete(config: &Path) -> bool {
    fsio::read_text(config).is_ok_and(|text| text.contains("SIZEOF_LONG"))
}

/// Those that pyenv keeps, whether or not it has put them on PATH; the newest first.
fn of_pyenv(minor: u8) -> Vec<PathBuf> {
    let set = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let Some(root) = set.or_else(|| Some(etcetera::home_dir().ok()?.join(".pyenv"))) else { return Vec::new() };
    let prefix = format!("3.{minor}.");
    let patch = |folder: &Path| folder.file_name()?.to_str()?.strip_prefix(&prefix)?.parse::<u32>().ok();
    let folders = std::fs::read_dir(root.join("versions")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<(u32, PathBuf)> = folders.filter_map(|folder| Some((patch(&folder)?, folder))).collect();
    found.sort_by(|a, b| b.cmp(a));
    let programs = found.into_iter().map(|(_, folder)| folder.join(format!("bin/python3.{minor}")));
    programs.filter(|program| program.is_file()).collect()
}

/// The one that uv would take, such as one that it has installed.
fn of_uv(programs: &Programs, minor: u8) -> Vec<PathBuf> {
    let Some(uv) = &programs.uv else { return Vec::new() };
    let ask = Programs::call_uv(uv, true).args(["python", "find", "--no-project", "--system", &format!("3.{minor}")]);
    ask.run().map(|output| PathBuf::from(output.text().trim())).into_iter().filter(|path| path.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_has_headers_or_it_is_said_how_to_get_them() {
        let none = Interpreter::find(&Programs::default(), 99).unwrap_err();
        assert_eq!(none, "Python 3.99, which would run the build, is not here: run `uv python install 3.99`");
        let here = (8..15).find_map(|minor| Some((minor, Interpreter::find(&Programs::default(), minor).ok()?)));
        let (minor, found) = here.expect("no Python with headers: apt-get install python3-dev");
        assert!(found.include.join("Python.h").is_file() && is_complete(&found.config));
        assert!(found.version.starts_with(&format!("3.{minor}.")) && found.variables.contains_key("EXT_SUFFIX"));
    }
}
