//! What the user's Cargo configuration says, as far as our own flags must not undo it: `.cargo/config.toml` of the
//! workspace's folder and of all above it, then the one in `CARGO_HOME`; variables `CARGO_…` come before files.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::fsio;

/// Included files that include files deeper than this are a loop.
const MAX_INCLUDES: usize = 8;

/// Looks a variable up.
type Variables = Box<dyn Fn(&str) -> Option<String>>;

/// Configuration files, the nearest first, and variables.
pub(super) struct CargoConfig {
    files: Vec<(PathBuf, Table)>,
    environment: Variables,
    home: Option<PathBuf>,
}

impl CargoConfig {
    /// What holds in this folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::with(folder, cargo_home(), Box::new(environment))
    }

    /// What holds in this folder, given the variables.
    pub(super) fn with(folder: &Path, home: Option<PathBuf>, environment: Variables) -> Result<Self> {
        let mut folders: Vec<PathBuf> = folder.ancestors().map(|above| above.join(".cargo")).collect();
        if let Some(home) = &home
            && !folders.contains(home)
        {
            folders.push(home.clone());
        }
        let mut files = Vec::new();
        for folder in folders {
            // Cargo prefers the name without an extension when both are there.
            let names = ["config", "config.toml"].map(|name| folder.join(name));
            if let Some(file) = names.iter().find(|file| file.is_file()) {
                read_into(&mut files, file, 0)?;
            }
        }
        Ok(Self { files, environment, home })
    }

    /// `CARGO_HOME`, where the sources of dependencies are.
    pub(super) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// A variable that is set to something.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// The values of a key in all files, the nearest first.
    pub(super) fn all<'c>(&'c self, keys: &[&str]) -> Vec<&'c Value> {
        self.all_with_files(keys).into_iter().map(|(_, value)| value).collect()
    }

    /// The same with the files that they stand in.
    pub(super) fn all_with_files<'c>(&'c self, keys: &[&str]) -> Vec<(&'c Path, &'c Value)> {
        self.files.iter().filter_map(|(path, file)| Some((path.as_path(), lookup(file, keys)?))).collect()
    }

    /// The keys of `[target]` that have the setting `key`, such as a triple or `cfg(unix)`.
    pub(super) fn targets_with(&self, key: &str) -> Vec<&str> {
        let tables = self.files.iter().filter_map(|(_, file)| file.get("target")?.as_table());
        tables.flatten().filter(|(_, table)| table.get(key).is_some()).map(|(name, _)| name.as_str()).collect()
    }

    /// A setting of one target, by variable or file.
    pub(super) fn has_target(&self, triple: &str, key: &str) -> bool {
        self.variable(&target_variable(triple, key)).is_some() || !self.all(&["target", triple, key]).is_empty()
    }

    /// `build.target` when it is one triple.
    pub(super) fn build_target(&self) -> Option<String> {
        self.variable("CARGO_BUILD_TARGET").or_else(|| match self.all(&["build", "target"]).first()? {
            Value::String(triple) => Some(triple.clone()),
            Value::Array(triples) if triples.len() == 1 => triples[0].as_str().map(str::to_owned),
            _ => None,
        })
    }
}

/// `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER` for a triple and `linker`.
pub(super) fn target_variable(triple: &str, key: &str) -> String {
    format!("CARGO_TARGET_{triple}_{key}").to_uppercase().replace(['-', '.'], "_")
}

fn cargo_home() -> Option<PathBuf> {
    let set = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty());
    let home = set.map(PathBuf::from).or_else(|| Some(etcetera::home_dir().ok()?.join(".cargo")))?;
    std::path::absolute(home).ok()
}

fn lookup<'t>(table: &'t Table, keys: &[&str]) -> Option<&'t Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}

/// Reads a file, and after it what it includes, over which it has precedence.
fn read_into(files: &mut Vec<(PathBuf, Table)>, file: &Path, depth: usize) -> Result<()> {
    let text = fsio::read_text(file)?;
    let table: Table = text
        .parse()
        .map_err(|e: toml::de::Error| Error::config("bad Cargo configuration").at(file, None).because(e))?;
    let included = includes(&table);
    files.push((file.to_owned(), table));
    if depth < MAX_INCLUDES {
        // The last one included has precedence over those before it.
        for path in included.iter().rev() {
            let path = file.parent().unwrap_or(Path::new(".")).join(path);
            if path.is_file() {
                read_into(files, &path, depth + 1)?;
            }
        }
    }
    Ok(())
}

fn includes(table: &Table) -> Vec<String> {
    let path = |value: &Value| {
        let path = value.as_str().or_else(|| value.get("path")?.as_str());
        path.map(str::to_owned)
    };
    match table.get("include") {
        Some(Value::Array(values)) => values.iter().filter_map(path).collect(),
        Some(value) => path(value).into_iter().collect(),
        None => Vec::new(),
    }
}
