//! Where the description of a project comes from: a config file, tables in the manifests of a Cargo workspace, or what is
//! detected in the folder. Each gives candidates, which [`super::functions`] selects from and completes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cargo::{Member, Workspace};
use super::config::{self, Config, Scope, Settings, Written};
use super::functions::{Loader, is_provided, real};
use super::layers::WrittenLayer;
use super::reader::{Document, Located, Section};
use super::samconfig::SamConfig;
use super::{CONFIG_FILE, CargoBinary, GoMain, detect, go};
use crate::error::{Error, Position, Result};
use crate::finding::{Finding, Overrides};
use crate::fsio;
use crate::lambda::FUNCTION_NAME_LENGTH;
use crate::store::Place;
use crate::template::Template;

/// Whether a function's binary comes from Cargo.
#[derive(Debug, Clone)]
pub(super) enum Build {
    /// It does when its folder has a binary.
    IfCargo,
    /// It does not.
    No,
    /// It is this one.
    Binary(CargoBinary),
    /// Go builds this program.
    Go(GoMain),
}

/// A function that may be selected, before its folder is looked at.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) written: Written,
    pub(super) build: Build,
    pub(super) detected: bool,
}

/// A described project, before functions are selected.
pub(super) struct Described {
    pub(super) root: PathBuf,
    /// The folder that stands for all functions.
    pub(super) whole: PathBuf,
    pub(super) origin: &'static str,
    pub(super) out_beside: PathBuf,
    pub(super) candidates: Vec<Candidate>,
    pub(super) checks: Overrides,
    pub(super) store: Option<Place>,
    pub(super) layers: Vec<WrittenLayer>,
    pub(super) layer_threshold: Option<u64>,
    /// The template that describes it.
    pub(super) template: Option<Arc<Template>>,
    /// What SAM was told of it.
    pub(super) sam: Option<SamConfig>,
    /// What was found while it was read.
    pub(super) findings: Vec<Finding>,
}

impl Loader<'_> {
    /// What the first of the sources that there is says.
    pub(super) fn describe(&mut self) -> Result<Described> {
        if let Some(described) = self.by_template()? {
            return Ok(described);
        }
        if let Some(file) = self.config_file() {
            if !file.is_file() {
                return Err(Error::config(format!("the config `{}` does not exist", file.display())));
            }
            let config = config::from_document(&Document::read(&file)?)?;
            return self.by_config(config);
        }
        if let Some(described) = self.by_manifests()? {
            return Ok(described);
        }
        if let Some(described) = self.by_template_here()? {
            return Ok(described);
        }
        self.by_detection(&Settings::default(), None)
    }

    /// `--config`, or the nearest `lambda-pack.toml` upwards.
    fn config_file(&self) -> Option<PathBuf> {
        if let Some(file) = &self.selection.config {
            return Some(fsio::normalize(&self.path, file));
        }
        self.path.ancestors().map(|folder| folder.join(CONFIG_FILE)).find(|file| file.is_file())
    }

    fn by_config(&mut self, config: Config) -> Result<Described> {
        let Some(functions) = config.functions else {
            let mut described = self.by_detection(&config.defaults, Some(&config.root))?;
            described.checks = config.checks;
            described.store = config.store;
            described.layers = config.layers;
            described.layer_threshold = config.layer_threshold;
            described.origin = CONFIG_FILE;
            return Ok(described);
        };
        Ok(Described {
            whole: config.root.clone(),
            origin: CONFIG_FILE,
            out_beside: config.root.clone(),
            candidates: functions.into_iter().map(candidate).collect(),
            checks: config.checks,
            store: config.store,
            layers: config.layers,
            layer_threshold: config.layer_threshold,
            template: None,
            sam: None,
            findings: Vec::new(),
            root: config.root,
        })
    }

    /// The functions that `lambda-pack` tables in the manifests of a Cargo workspace describe, if there are such tables.
    fn by_manifests(&mut self) -> Result<Option<Described>> {
        let Some(manifest) = self.manifest_with_table()? else { return Ok(None) };
        let workspace = self.workspaces.of(&manifest)?;
        let root_manifest = Document::read(&workspace.root.join("Cargo.toml"))?;
        let scope = Scope { base: &workspace.root, root: &workspace.root, default_path: Some(".") };
        let mut whole = match table(&root_manifest, "workspace")? {
            Some(section) => config::from_section(&section, &Settings::default(), &scope)?,
            None => Config::empty(&workspace.root),
        };
        let listed = whole.functions.is_some();
        let mut candidates: Vec<Candidate> =
            whole.functions.take().unwrap_or_default().into_iter().map(candidate).collect();
        for member in &workspace.members {
            let document = Document::read(&member.manifest)?;
            let settings = match table(&document, "package")? {
                None => None,
                Some(section) => {
                    let scope = Scope { base: member.folder(), root: &workspace.root, default_path: Some(".") };
                    Some(config::from_section(&section, &whole.defaults, &scope)?)
                }
            };
            candidates.extend(member_functions(&workspace, member, settings, &mut whole, listed)?);
        }
        // The tables list nothing, and what Cargo has is not here: the folder itself, such as scripts beside the crates.
        let here = real(&self.path);
        let elsewhere = |c: &Candidate| c.detected && !real(&c.written.path.value).starts_with(&here);
        if candidates.is_empty() || here != real(&workspace.root) && candidates.iter().all(elsewhere) {
            let described = self.by_detection(&whole.defaults, Some(&workspace.root))?;
            return Ok(Some(Described {
                checks: whole.checks,
                store: whole.store,
                layers: whole.layers,
                layer_threshold: whole.layer_threshold,
                template: None,
                sam: None,
                findings: Vec::new(),
                origin: "Cargo.toml",
                ..described
            }));
        }
        Ok(Some(Described {
            root: workspace.root.clone(),
            whole: workspace.root.clone(),
            origin: "Cargo.toml",
            out_beside: workspace.root.clone(),
            candidates,
            checks: whole.checks,
            store: whole.store,
            layers: whole.layers,
            layer_threshold: whole.layer_threshold,
            template: None,
            sam: None,
            findings: Vec::new(),
        }))
    }

    /// Whether a package of the workspace in `folder` has a table of ours.
    fn a_member_has_a_table(&mut self, manifest: &Path, folder: &Path) -> Result<bool> {
        let workspace = match self.workspaces.of(manifest) {
            Ok(workspace) => workspace,
            Err(error) if folder == self.path => return Err(error),
            Err(_) => return Ok(false),
        };
        for member in &workspace.members {
            if table(&Document::read(&member.manifest)?, "package")?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The nearest `Cargo.toml` upwards that has a table of ours, or a workspace of which a package has one.
    fn manifest_with_table(&mut self) -> Result<Option<PathBuf>> {
        let path = self.path.clone();
        for folder in path.ancestors() {
            let manifest = folder.join("Cargo.toml");
            if !manifest.is_file() {
                continue;
            }
            let document = match Document::read(&manifest) {
                Ok(document) => document,
                Err(error) if folder == path => return Err(error),
                // Somewhere above, and perhaps nothing to do with this folder.
                Err(_) => continue,
            };
            if table(&document, "workspace")?.is_some() || table(&document, "package")?.is_some() {
                return Ok(Some(manifest));
            }
            if document.root().section("workspace")?.is_some() && self.a_member_has_a_table(&manifest, folder)? {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    /// The folder itself: the functions of a Cargo workspace, or one function.
    fn by_detection(&mut self, defaults: &Settings, root: Option<&Path>) -> Result<Described> {
        let runtime = self.selection.runtime.clone().or_else(|| defaults.runtime.clone());
        // A config that `--config` names may lie elsewhere.
        let root = root.filter(|root| real(&self.path).starts_with(real(root)));
        let manifest = self.path.join("Cargo.toml");
        let mut candidates = Vec::new();
        let mut cargo_root = None;
        if manifest.is_file() && runtime.as_deref().is_none_or(is_provided) {
            let workspace = self.workspaces.of(&manifest)?;
            for member in workspace.members_below(&self.path) {
                candidates.extend(binaries(&workspace, member, defaults));
            }
            cargo_root = (!candidates.is_empty()).then(|| workspace.root.clone());
        }
        if candidates.is_empty() && runtime.as_deref().is_none_or(is_provided) {
            candidates.extend(self.programs(defaults));
        }
        if candidates.is_empty() {
            candidates.push(self.one_function(defaults, runtime)?);
        }
        Ok(Described {
            root: root.map(Path::to_owned).or(cargo_root).unwrap_or_else(|| detect::workspace_root(&self.path)),
            whole: self.path.clone(),
            origin: super::spec::DETECTION,
            out_beside: root.unwrap_or(&self.path).to_owned(),
            candidates,
            checks: Overrides::default(),
            store: None,
            layers: Vec::new(),
            layer_threshold: None,
            template: None,
            sam: None,
            findings: Vec::new(),
        })
    }

    /// The programs of Go's that are functions without being told, where the folder itself is a module and nothing else.
    fn programs(&self, defaults: &Settings) -> Vec<Candidate> {
        if !self.path.join("go.mod").is_file() || detect::is_function(&self.path) {
            return Vec::new();
        }
        let programs = go::programs(&self.path).into_iter().filter(|(_, uses_lambda)| *uses_lambda);
        let function = |main: GoMain| {
            let at = Position { path: main.package.clone(), line_column: None };
            let written = Written {
                name: Located { value: name_of(&main.package), at: at.clone() },
                path: Located { value: main.package.clone(), at },
                settings: defaults.clone(),
            };
            Candidate { written, build: Build::Go(main), detected: true }
        };
        programs.map(|(main, _)| function(main)).collect()
    }

    fn one_function(&self, defaults: &Settings, runtime: Option<String>) -> Result<Candidate> {
        // Only whoever says `provided` means a Cargo package that has nothing of Lambda in it.
        let build = if runtime.is_some() { Build::IfCargo } else { Build::No };
        let runtime = runtime.map_or_else(|| detect::runtime(&self.path), Ok)?;
        let at = Position { path: self.path.clone(), line_column: None };
        let written = Written {
            name: Located { value: name_of(&self.path), at: at.clone() },
            path: Located { value: self.path.clone(), at },
            settings: Settings { runtime: Some(runtime), ..defaults.clone() },
        };
        Ok(Candidate { written, build, detected: true })
    }
}

fn candidate(written: Written) -> Candidate {
    Candidate { written, build: Build::IfCargo, detected: false }
}

/// The functions of one package: those that its table lists; or, where nobody lists any, its binaries.
fn member_functions(
    workspace: &Workspace,
    member: &Member,
    settings: Option<Config>,
    whole: &mut Config,
    listed: bool,
) -> Result<Vec<Candidate>> {
    let Some(config) = settings else {
        return Ok(if listed { Vec::new() } else { binaries(workspace, member, &whole.defaults) });
    };
    if let Some(at) = &config.checks_at {
        if member.folder() != workspace.root {
            let error = Error::config("`checks` holds for the whole project, not for one package of it");
            let hint = "move it to `[workspace.metadata.lambda-pack.checks]` of the workspace's `Cargo.toml`";
            return Err(error.at(&at.path, at.line_column).hint(hint));
        }
        whole.checks.0.extend(config.checks.0);
    }
    whole.layers.extend(config.layers);
    Ok(match config.functions {
        Some(functions) => functions.into_iter().map(candidate).collect(),
        None if listed => Vec::new(),
        None => binaries(workspace, member, &config.defaults),
    })
}

/// The binaries of a package that are functions without being told.
fn binaries(workspace: &Workspace, member: &Member, settings: &Settings) -> Vec<Candidate> {
    if !member.uses_lambda {
        return Vec::new();
    }
    let at = Position { path: member.manifest.clone(), line_column: None };
    let function = |bin: &String| Candidate {
        written: Written {
            name: Located { value: shorten(bin), at: at.clone() },
            path: Located { value: member.folder().to_owned(), at: at.clone() },
            settings: settings.clone(),
        },
        build: Build::Binary(workspace.binary(member, bin)),
        detected: true,
    };
    member.bins.iter().map(function).collect()
}

/// `[KIND.metadata.lambda-pack]` of a manifest.
fn table<'d>(document: &'d Document, kind: &str) -> Result<Option<Section<'d>>> {
    let Some(section) = document.root().section(kind)? else { return Ok(None) };
    // Only what is ours is for us to judge: `metadata` of other tools may have any form.
    let Ok(Some(metadata)) = section.section("metadata") else { return Ok(None) };
    metadata.section("lambda-pack")
}

/// A function's name from its folder's.
pub(crate) fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let kept: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' }).collect();
    match kept.trim_matches('-') {
        "" => "function".to_owned(),
        name => shorten(name),
    }
}

fn shorten(name: &str) -> String {
    name.chars().take(FUNCTION_NAME_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_names_that_lambda_takes() {
        for (folder, name) in [("/x/my api", "my-api"), ("/x/a.b_c", "a-b_c"), ("/x/été", "t"), ("/", "function")] {
            assert_eq!(name_of(Path::new(folder)), name);
            assert!(config::is_name(&name_of(Path::new(folder))));
        }
        assert_eq!(name_of(Path::new(&format!("/{}", "a".repeat(99)))).len(), 64);
    }
}
