//! What Cargo says of a workspace: members, binaries, and which of them are functions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cargo_metadata::{DependencyKind, MetadataCommand};

use super::config::Settings;
use super::reader::{Located, nearest};
use super::spec::CargoBinary;
use crate::error::{Error, Result};
use crate::process::Tool;

/// Depending on one of these makes a package's binaries functions.
const LAMBDA_CRATES: [&str; 2] = ["lambda_runtime", "lambda_http"];

/// A Cargo workspace; a package on its own is one too.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Its root folder.
    pub(crate) root: PathBuf,
    target_dir: PathBuf,
    /// Its packages in the order of their names.
    pub(crate) members: Vec<Member>,
}

/// A package of a workspace.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Its `Cargo.toml`.
    pub(crate) manifest: PathBuf,
    /// Its binaries in the order of their names.
    pub(crate) bins: Vec<String>,
    /// Whether its binaries are functions without being told.
    pub(crate) uses_lambda: bool,
}

impl Member {
    /// The folder of its manifest.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new("."))
    }
}

/// Workspaces that were read, so that each is read once.
#[derive(Debug, Default)]
pub(crate) struct Workspaces {
    read: Vec<Rc<Workspace>>,
}

impl Workspaces {
    /// The workspace that the package or workspace of this manifest belongs to.
    pub(crate) fn of(&mut self, manifest: &Path) -> Result<Rc<Workspace>> {
        let folder = manifest.parent();
        let known = self.read.iter().find(|workspace| {
            Some(workspace.root.as_path()) == folder || workspace.members.iter().any(|m| m.manifest == manifest)
        });
        if let Some(workspace) = known {
            return Ok(Rc::clone(workspace));
        }
        let workspace = Rc::new(read(manifest)?);
        self.read.push(Rc::clone(&workspace));
        Ok(workspace)
    }
}

/// Cargo as it should be run: the one that runs us, when it does.
pub(crate) fn cargo() -> Tool {
    let program = std::env::var_os("CARGO").filter(|p| !p.is_empty()).unwrap_or_else(|| "cargo".into());
    Tool::new(program).install_hint("install Rust with rustup, then run `rustup toolchain install stable`")
}

fn read(manifest: &Path) -> Result<Workspace> {
    // Without dependencies it needs neither the network nor a lock file.
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1", "--color", "never", "--manifest-path"])
        .arg(manifest)
        .cwd(manifest.parent().unwrap_or(Path::new(".")))
        .run()
        .map_err(Error::from)?;
    let metadata = MetadataCommand::parse(output.text())
        .map_err(|e| Error::failed("Failed to read what `cargo metadata` said").because(e))?;
    let mut members: Vec<Member> = metadata.workspace_packages().into_iter().map(member).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Workspace { root: metadata.workspace_root.into(), target_dir: metadata.target_directory.into(), members })
}

fn member(package: &cargo_metadata::Package) -> Member {
    let mut bins: Vec<String> =
        package.targets.iter().filter(|t| t.is_bin()).map(|target| target.name.clone()).collect();
    bins.sort();
    let uses_lambda = package
        .dependencies
        .iter()
        .any(|d| d.kind == DependencyKind::Normal && LAMBDA_CRATES.contains(&d.name.as_str()));
    Member { name: package.name.to_string(), manifest: package.manifest_path.clone().into(), bins, uses_lambda }
}

impl Workspace {
    /// One binary of one member.
    pub(crate) fn binary(&self, member: &Member, bin: &str) -> CargoBinary {
        CargoBinary {
            workspace_root: self.root.clone(),
            manifest: member.manifest.clone(),
            package: member.name.clone(),
            bin: bin.to_owned(),
            target_dir: self.target_dir.clone(),
        }
    }

    /// The members at or below `folder`: all of them for the root, also those that lie elsewhere.
    pub(crate) fn members_below(&self, folder: &Path) -> Vec<&Member> {
        self.members.iter().filter(|m| folder == self.root || m.folder().starts_with(folder)).collect()
    }

    /// The binary that a function in `folder` called `name` is: the one that `bin` names, the only one, or the one of
    /// the function's name. Nothing when there are no binaries.
    pub(crate) fn choose(&self, folder: &Path, name: &str, settings: &Settings) -> Result<Option<CargoBinary>> {
        let package = self.members.iter().find(|m| m.folder() == folder);
        let members = package.map_or_else(|| self.members_below(folder), |package| vec![package]);
        let all: BTreeMap<&str, &Member> =
            members.iter().flat_map(|m| m.bins.iter().map(|bin| (bin.as_str(), *m))).collect();
        let names: Vec<&str> = all.keys().copied().collect();
        let chosen = match (&settings.bin, names.as_slice()) {
            (Some(bin), _) => named(bin, &names)?,
            (None, []) => return Ok(None),
            (None, [only]) => only,
            (None, _) if all.contains_key(name) => name,
            (None, _) => {
                return Err(Error::config(format!(
                    "which binary is function `{name}`? `{}` has {}",
                    folder.display(),
                    names.join(", ")
                ))
                .hint(format!("name one with `bin = \"{}\"`", names[0])));
            }
        };
        let owners: Vec<&str> =
            members.iter().filter(|m| m.bins.iter().any(|bin| bin == chosen)).map(|m| m.name.as_str()).collect();
        if owners.len() > 1 {
            return Err(Error::config(format!("several packages have a binary `{chosen}`: {}", owners.join(", ")))
                .hint("point `path` at the folder of one of them"));
        }
        Ok(all.get(chosen).map(|member| self.binary(member, chosen)))
    }
}

fn named<'b>(bin: &'b Located<String>, names: &[&str]) -> Result<&'b str> {
    if names.contains(&bin.value.as_str()) {
        return Ok(&bin.value);
    }
    let error = bin.error(format!("there is no binary `{}`", bin.value));
    Err(match nearest(&bin.value, names) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None if names.is_empty() => error.hint("the package has no binaries: add a `src/main.rs`"),
        None => error.hint(format!("binaries: {}", names.join(", "))),
    })
}
