//! `init`: a commented `lambda-pack.toml` of the functions that are found in a folder and below it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::cargo::Workspaces;
use super::detect;
use super::go;
use super::handler::find_handler;
use super::shares;
use super::sources::name_of;
use crate::error::{Error, Result};
use crate::fsio;
use crate::lambda;

const TEMPLATE: &str = include_str!("../../templates/lambda-pack.toml");
/// Where functions share packages.
const SHARED: &str =
    "layers = \"shared\"                           # packages that several functions have go to layers";
/// Where they do not.
const ALONE: &str =
    "# layers = \"shared\"                           # packages that several functions have go to layers";
/// Folders below the first that are looked into.
const MAX_DEPTH: usize = 3;
/// Folders that hold what tools wrote, or tests; besides all whose names start with a dot.
const SKIPPED: [&str; 12] = [
    "node_modules",
    "target",
    "__pycache__",
    "venv",
    "site-packages",
    "cdk.out",
    "dist",
    "build",
    "vendor",
    "tests",
    "test",
    "fixtures",
];

/// A function that was found.
#[derive(Debug)]
struct Found {
    name: String,
    /// Relative to the config, `/` between the parts.
    path: String,
    how: How,
}

#[derive(Debug)]
enum How {
    Cargo {
        /// The binary, when the package has several and the function's name does not tell.
        bin: Option<String>,
    },
    Folder {
        runtime: String,
        handler: Option<String>,
    },
}

/// What was found, and what was not taken.
#[derive(Debug, Default)]
struct Search {
    root: PathBuf,
    workspaces: Workspaces,
    found: Vec<Found>,
    /// Folders that look like functions but are not taken, each with the reason.
    passed_over: BTreeMap<String, String>,
}

/// The text of a `lambda-pack.toml` for the folder `path` (absolute): its functions and those up to three folders below.
///
/// # Errors
/// When there are no functions.
pub fn init_config(path: &Path) -> Result<String> {
    let mut search = Search { root: path.to_owned(), ..Search::default() };
    search.folder(path, 0)?;
    if search.found.is_empty() {
        // A folder of its own that follows no convention still is a function, whose handler has to be written.
        let runtime = detect::runtime(path).map_err(|error| search.explain(error))?;
        search.passed_over.clear();
        search.found.push(Found {
            name: name_of(path),
            path: ".".to_owned(),
            how: How::Folder { runtime, handler: None },
        });
    }
    search.distinguish();
    search.found.sort_by(|a, b| a.name.cmp(&b.name));
    let layers = if shares::shares_packages(&search.folders()) { SHARED } else { ALONE };
    Ok(TEMPLATE.replace("{{layers}}", layers).replace("{{functions}}\n", &search.render()))
}

impl Search {
    fn folder(&mut self, dir: &Path, depth: usize) -> Result<()> {
        if self.cargo(dir)? || self.function(dir) || depth == MAX_DEPTH {
            return Ok(());
        }
        let entries = fs::read_dir(dir).map_err(|e| Error::io("read the folder", dir, &e))?;
        let mut folders: Vec<PathBuf> = entries
            .filter_map(std::result::Result::ok)
            // Links are not followed: what they lead to is found where it is.
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter(|entry| !is_skipped(&entry.file_name().to_string_lossy()))
            .map(|entry| entry.path())
            .filter(|folder| !folder.join("pyvenv.cfg").is_file())
            .collect();
        folders.sort();
        folders.iter().try_for_each(|folder| self.folder(folder, depth + 1))
    }

    /// Takes the functions of the Cargo workspace or package in a folder. Whether there are any.
    fn cargo(&mut self, dir: &Path) -> Result<bool> {
        let manifest = dir.join("Cargo.toml");
        if !manifest.is_file() {
            return Ok(false);
        }
        let workspace = match self.workspaces.of(&manifest) {
            Ok(workspace) => workspace,
            Err(error) if dir == self.root => return Err(error),
            Err(error) => {
                let said = error.to_string();
                let reason =
                    said.lines().map(str::trim).find(|line| line.starts_with("error")).unwrap_or(error.message());
                self.passed_over.insert(self.relative(dir), reason.to_owned());
                return Ok(false);
            }
        };
        let before = self.found.len();
        for member in workspace.members_below(dir).into_iter().filter(|member| member.uses_lambda) {
            if !member.folder().starts_with(&self.root) {
                continue;
            }
            for bin in &member.bins {
                let path = self.relative(member.folder());
                let bin_key = (member.bins.len() > 1).then(|| bin.clone());
                self.found.push(Found { name: bin.clone(), path, how: How::Cargo { bin: bin_key } });
            }
        }
        Ok(self.found.len() > before)
    }

    /// Takes the folder as a function when it has a handler by convention. Whether it is one.
    fn function(&mut self, dir: &Path) -> bool {
        if !detect::is_function(dir) {
            return false;
        }
        let path = self.relative(dir);
        if go::look(dir) == (go::Files::Main { uses_lambda: false }) {
            self.passed_over.insert(path, "a Go program that does not use aws-lambda-go".to_owned());
            return false;
        }
        let runtime = match detect::runtime(dir) {
            Ok(runtime) => runtime,
            Err(error) => {
                self.passed_over.insert(path, error.message().to_owned());
                return false;
            }
        };
        let Some(known) = lambda::find(&runtime) else { return false };
        match find_handler(known.family, dir) {
            Ok(handler) => {
                let handler = (!known.is_provided()).then_some(handler);
                self.found.push(Found { name: name_of(dir), path, how: How::Folder { runtime, handler } });
                true
            }
            Err(_) => {
                self.passed_over.insert(path, format!("{runtime}, but no handler by convention"));
                false
            }
        }
    }

    /// Folders of functions whose packages could be shared.
    fn folders(&self) -> Vec<PathBuf> {
        let folders = self.found.iter().filter(|found| matches!(found.how, How::Folder { .. }));
        folders.map(|found| self.root.join(&found.path)).collect()
    }

    fn relative(&self, folder: &Path) -> String {
        let relative = fsio::relative_to(folder, &self.root);
        let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        parts.join("/")
    }

    /// The error of a folder without functions, which also says what was passed over.
    fn explain(&self, error: Error) -> Error {
        self.passed_over
            .iter()
            .filter(|(path, _)| *path != ".")
            .fold(error, |error, (path, reason)| error.hint(format!("`{path}` was not taken as a function: {reason}")))
    }

    /// Gives functions of the same name the names of their folders' paths, and a number if that is not enough.
    fn distinguish(&mut self) {
        let variable = |name: &str| name.to_uppercase().replace('-', "_");
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for found in &self.found {
            *count.entry(variable(&found.name)).or_default() += 1;
        }
        let mut taken: Vec<String> = Vec::new();
        for found in &mut self.found {
            let mut name = found.name.clone();
            if count.get(&variable(&name)).is_some_and(|count| *count > 1) {
                if let How::Cargo { bin } = &mut found.how {
                    // The name no longer tells which binary it is.
                    bin.get_or_insert_with(|| found.name.clone());
                }
                name = name_of(Path::new(&found.path.replace('/', "-")));
            }
            let base = name.clone();
            let mut number = 2;
            while taken.contains(&variable(&name)) {
                name = name_of(Path::new(&format!("{}-{number}", base.chars().take(60).collect::<String>())));
                number += 1;
            }
            taken.push(variable(&name));
            found.name = name;
        }
    }

    fn render(&self) -> String {
        let mut out = String::new();
        for found in &self.found {
            out.push_str(&format!("[functions.{}]\npath = {}\n", found.name, quoted(&found.path)));
            match &found.how {
                How::Cargo { bin } => {
                    if let Some(bin) = bin {
                        out.push_str(&format!("bin = {}\n", quoted(bin)));
                    }
                    out.push_str("# Cargo builds it: provided.al2023, bootstrap\n");
                }
                How::Folder { runtime, handler } => {
                    out.push_str(&format!("runtime = {}\n", quoted(runtime)));
                    match handler {
                        Some(handler) => out.push_str(&format!("handler = {}\n", quoted(handler))),
                        None if runtime.starts_with("provided") => {}
                        None => out
                            .push_str("# handler = \"FILE.NAME\"                     # none was found by convention\n"),
                    }
                }
            }
            out.push('\n');
        }
        if !self.passed_over.is_empty() {
            out.push_str("# Not taken as functions:\n");
            for (path, reason) in &self.passed_over {
                out.push_str(&format!("# {path}: {reason}\n"));
            }
            out.push('\n');
        }
        out
    }
}

fn is_skipped(name: &str) -> bool {
    name.starts_with('.') || SKIPPED.contains(&name)
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
