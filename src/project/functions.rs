//! From a description to functions: which of them are selected, and what each one is.

use std::path::{Path, PathBuf};

use super::cargo::Workspaces;
use super::config::{Settings, Written};
use super::layers::{self, WrittenLayer};
use super::reader::{Located, nearest};
use super::sources::{Build, Candidate, Described};
use super::{
    AwsSdk, BuildChoice, CONFIG_FILE, CargoBinary, FunctionSpec, LayerChoice, LayerSpec, Project, Selection, detect, go,
};
use crate::error::{Error, Result};
use crate::fsio;
use crate::lambda::{self, Architecture};
use crate::split::{self, Policy};

/// The runtime that Go had before programs brought their own.
const RETIRED_GO: &str = "go1.x";

/// Reads one project.
pub(crate) struct Loader<'a> {
    pub(super) selection: &'a Selection,
    pub(super) path: PathBuf,
    pub(super) workspaces: Workspaces,
}

impl<'a> Loader<'a> {
    /// A loader for the folder `path`, which exists.
    pub(crate) fn new(selection: &'a Selection, path: PathBuf) -> Self {
        Self { selection, path, workspaces: Workspaces::default() }
    }

    /// The project with the functions that are selected.
    pub(crate) fn load(mut self) -> Result<Project> {
        let described = self.describe()?;
        if described.template.is_none() && !self.selection.parameters.is_empty() {
            return Err(Error::config("`--parameter-overrides` is for templates, and this project has none")
                .hint("name it with `--template`"));
        }
        layers::unique_names(described.candidates.iter().map(|c| &c.written.name), &described.layers)?;
        // A template may have layers only.
        let is_empty = described.template.is_some() && described.candidates.is_empty();
        let chosen = if is_empty { Vec::new() } else { self.select(&described)? };
        let names: Vec<&str> = chosen.iter().map(|c| c.written.name.value.as_str()).collect();
        let (mut functions, mut neighbours) = (Vec::new(), Vec::new());
        let mut layers = Vec::new();
        for layer in &described.layers {
            layers.push(self.layer(layer, &described.root)?);
        }
        for candidate in &described.candidates {
            let is_chosen = names.contains(&candidate.written.name.value.as_str());
            let choice = self.layer_choice(candidate, &described.layers, &mut layers)?;
            // What others need decides what is shared, and what a layer collects.
            if is_chosen || decides(&choice, &layers) {
                let function = FunctionSpec { layers: choice, ..self.complete(candidate.clone(), &described.root)? };
                if is_chosen { functions.push(function) } else { neighbours.push(function) }
            }
        }
        if functions.iter().all(|function| !decides(&function.layers, &layers)) {
            neighbours.clear();
        }
        layers.sort_by(|a, b| a.name.cmp(&b.name));
        functions.sort_by(|a, b| a.name.cmp(&b.name));
        neighbours.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Project {
            template: described.template,
            sam: described.sam,
            findings: described.findings,
            is_whole: names.len() == described.candidates.len(),
            layers,
            neighbours,
            layer_threshold: described.layer_threshold.unwrap_or(split::THRESHOLD),
            root: described.root,
            origin: described.origin.to_owned(),
            default_out_dir: described.out_beside.join("target").join("lambda-pack"),
            functions,
            checks: described.checks,
            store: described.store,
        })
    }

    fn layer_choice(
        &self,
        candidate: &Candidate,
        known: &[WrittenLayer],
        layers: &mut Vec<LayerSpec>,
    ) -> Result<LayerChoice> {
        let written = candidate.written.settings.layers.as_deref().unwrap_or_default();
        layers::choice(written, self.selection.layers, known, layers)
    }

    fn select(&self, described: &Described) -> Result<Vec<Candidate>> {
        let all = &described.candidates;
        // By their real names, as `--config` and PATH may spell the same folder in two ways.
        let (path, whole) = (real(&self.path), real(&described.whole));
        let below = path.starts_with(&whole) && path != whole;
        let at_path: Vec<&Candidate> =
            all.iter().filter(|c| !below || real(&c.written.path.value).starts_with(&path)).collect();
        if at_path.is_empty() {
            let error = if all.is_empty() {
                Error::config(format!("`{}` describes no functions", described.origin))
            } else {
                let shown = self.path.display();
                Error::config(format!("no function of `{}` is at or below `{shown}`", described.origin))
            };
            return Err(list(error, all, &described.root));
        }
        let names: Vec<&str> = at_path.iter().map(|c| c.written.name.value.as_str()).collect();
        for wanted in &self.selection.functions {
            if !names.contains(&wanted.as_str()) {
                let error = Error::config(format!("there is no function `{wanted}`"));
                return Err(match nearest(wanted, &names) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => list(error, all, &described.root),
                });
            }
        }
        let wanted = |c: &&Candidate| {
            self.selection.functions.is_empty() || self.selection.functions.contains(&c.written.name.value)
        };
        Ok(at_path.into_iter().filter(wanted).cloned().collect())
    }

    fn complete(&mut self, candidate: Candidate, root: &Path) -> Result<FunctionSpec> {
        let Candidate { written, build, detected } = candidate;
        let Written { name, path, settings } = written;
        check_folder(&path, root, &build)?;
        let runtime = self.selection.runtime.clone().or_else(|| settings.runtime.clone());
        let is_retired = runtime.as_deref() == Some(RETIRED_GO);
        let is_compiled = (runtime.as_deref().is_none_or(is_provided) || is_retired)
            && settings.ready.is_none()
            && !settings.is_built
            && settings.build.make.is_none();
        let wanted = settings.build.resolver.as_deref();
        let is_wanted = |resolver: &str| is_compiled && wanted.is_none_or(|wanted| wanted == resolver);
        let cargo = match is_wanted("rust") && !is_retired {
            true => self.binary(&build, &path.value, &name.value, &settings)?,
            false => None,
        };
        let go_main = match is_wanted("go") && settings.build.command.is_none() {
            true => go_main(&build, &path.value, &name.value, &settings, cargo.is_some())?,
            false => None,
        };
        if is_retired && go_main.is_some() {
            return Err(retired(&name.value, &path));
        }
        if let (Some(bin), None, None) = (&settings.bin, &cargo, &go_main) {
            return Err(bin.error("`bin` is for functions that Cargo or Go builds").hint(
                "point `path` at a folder with a `Cargo.toml` or `go.mod`, and leave `runtime` out or at `provided.al2023`",
            ));
        }
        let runtime = match runtime {
            Some(runtime) => runtime,
            None if settings.ready.is_some() => {
                let error = path.error(format!("function `{}`: what runs an archive cannot be told", name.value));
                return Err(error.hint("name its `runtime`"));
            }
            None => {
                let compiled = [("rust", "Cargo.toml", cargo.is_some()), ("go", "go.mod", go_main.is_some())];
                let compiled = compiled.iter().filter(|(.., is)| *is).map(|(resolver, file, _)| (*resolver, *file));
                // What Cargo itself says is a function is one.
                let is_sure = matches!(build, Build::Binary(_));
                detect::runtime_of(&path.value, wanted, &compiled.collect::<Vec<_>>(), is_sure)
                    .map_err(|error| error.context(format!("function `{}`", name.value)))?
            }
        };
        let aws_sdk = match &settings.aws_sdk {
            Some(written) => {
                check_sdk(written, &runtime)?;
                written.value
            }
            None => settings.default_aws_sdk.unwrap_or_default(),
        };
        let bundle = match settings.bundle {
            Some(written) if written.value.is_some() && !is_node(&runtime) => {
                let error =
                    written.error(format!("`bundle` is for functions of Node.js, and this one runs on {runtime}"));
                return Err(error.hint("leave it out; in `[defaults]` it holds for functions of Node.js only"));
            }
            Some(written) => written.value,
            None => settings.default_bundle.filter(|_| is_node(&runtime)),
        };
        let written_handler = self.selection.handler.clone().or(settings.handler);
        Ok(FunctionSpec {
            // Whatever starts, it is the file of this name.
            handler: written_handler.or_else(|| is_provided(&runtime).then(|| "bootstrap".to_owned())),
            architecture: self.selection.architecture.or(settings.architecture).unwrap_or(Architecture::X86_64),
            include: settings.include,
            exclude: settings.exclude,
            allow_scripts: settings.allow_scripts,
            extras: settings.extras,
            groups: settings.groups,
            environment: settings.environment,
            sizing: settings.sizing,
            ready: settings.ready,
            is_built: settings.is_built,
            slim: settings.slim.unwrap_or_default(),
            native: settings.native,
            build: BuildChoice { go_main, go: settings.go.unwrap_or_default(), ..settings.build },
            image: settings.image.spec(self.selection.package),
            aws_sdk,
            bundle,
            defined_at: (!detected).then_some(name.at),
            cargo,
            ..FunctionSpec::new(name.value, path.value, runtime)
        })
    }

    fn binary(&mut self, build: &Build, folder: &Path, name: &str, settings: &Settings) -> Result<Option<CargoBinary>> {
        let manifest = folder.join("Cargo.toml");
        match build {
            Build::Binary(binary) => Ok(Some(binary.clone())),
            Build::IfCargo if manifest.is_file() => self.workspaces.of(&manifest)?.choose(folder, name, settings),
            Build::IfCargo | Build::Go(_) | Build::No => Ok(None),
        }
    }
}

/// Refuses to build for the runtime of Go that ended with its Amazon Linux.
fn retired(name: &str, path: &Located<PathBuf>) -> Error {
    path.error(format!(
        "function `{name}`: `{RETIRED_GO}` takes no new functions, and gets no security patches since 2024-01-08"
    ))
    .hint(
        "set the runtime to `provided.al2023`: the program is packed as its `bootstrap`, and `handler` does not matter",
    )
}

/// The Go program that a function is.
fn go_main(
    build: &Build,
    folder: &Path,
    name: &str,
    settings: &Settings,
    is_cargo: bool,
) -> Result<Option<super::GoMain>> {
    match build {
        // Which of its programs it is does not matter while it is not known to be Go's.
        _ if is_cargo => Ok(go::programs(folder)
            .into_iter()
            .map(|(main, _)| main)
            .find(|main| main.module == folder || main.package == folder)),
        Build::Go(main) => Ok(Some(main.clone())),
        _ => go::choose(folder, name, settings),
    }
}

fn is_node(runtime: &str) -> bool {
    lambda::find(runtime).is_some_and(|runtime| matches!(runtime.family, lambda::Family::Node { .. }))
}

/// Refuses to leave to a runtime what it does not have.
fn check_sdk(written: &Located<AwsSdk>, runtime: &str) -> Result<()> {
    let has_none = lambda::find(runtime).is_some_and(|runtime| lambda::sdk(runtime).is_none());
    if written.value == AwsSdk::Bundle || !has_none {
        return Ok(());
    }
    Err(written
        .error(format!("`aws-sdk = \"runtime\"`: `{runtime}` has no AWS SDK that could stand in for packages"))
        .hint("leave it out: what a program is built with is in it. In `[defaults]` it holds for Python and Node.js alone"))
}

fn check_folder(path: &Located<PathBuf>, root: &Path, build: &Build) -> Result<()> {
    let shown = fsio::relative_to(&path.value, root).display().to_string();
    if !path.value.is_dir() {
        let problem = if path.value.exists() { "is not a folder" } else { "does not exist" };
        return Err(path.error(format!("`{shown}` {problem}")).hint("paths are relative to the file that holds them"));
    }
    // Members of a Cargo workspace may lie elsewhere: of them only the binary is packed.
    if matches!(build, Build::Binary(_)) {
        return Ok(());
    }
    if !real(&path.value).starts_with(real(root)) {
        return Err(path.error(format!("`{shown}` is a link that leaves the project `{}`", root.display())));
    }
    Ok(())
}

/// Whether what a function needs decides what is in a layer that others have.
fn decides(choice: &LayerChoice, layers: &[LayerSpec]) -> bool {
    let collects = |name: &String| layers.iter().any(|layer| layer.name == *name && layer.native.collect);
    choice.policy != Policy::None || choice.attached.iter().any(collects)
}

/// The path without links; as it is when it cannot be followed.
pub(super) fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The error with a hint that names every function and its folder.
fn list(error: Error, all: &[Candidate], root: &Path) -> Error {
    let mut shown: Vec<String> = all
        .iter()
        .map(|c| format!("{} ({})", c.written.name.value, fsio::relative_to(&c.written.path.value, root).display()))
        .collect();
    shown.sort();
    match shown.len() {
        0 => error.hint(format!("run `cargo lambda-pack init` to write a `{CONFIG_FILE}`")),
        _ => error.hint(format!("functions: {}", shown.join(", "))),
    }
}

/// Whether this is a runtime that starts a `bootstrap`.
pub(super) fn is_provided(runtime: &str) -> bool {
    runtime == "provided" || runtime.starts_with("provided.")
}
