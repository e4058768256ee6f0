//! A SAM or CloudFormation template as a project: each function with local code is one to be packed, each layer with local
//! code is one of the project's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::MakeTarget;
use super::builds::BuildChoice;
use super::bundle::{self, Bundle};
use super::config::{Settings, Written};
use super::functions::Loader;
use super::layers::WrittenLayer;
use super::reader::Located;
use super::samconfig::{self, SamConfig};
use super::sizing::Sizing;
use super::sources::{Build, Candidate, Described};
use crate::error::{Error, Position, Result};
use crate::finding::{Finding, Overrides, Rule};
use crate::fsio;
use crate::lambda::Architecture;
use crate::resolve::ready;
use crate::template::{self, Code, LayerUse, Template};

/// Names of templates that are looked for in a folder.
pub(super) const NAMES: [&str; 3] = ["template.yaml", "template.yml", "template.json"];

impl Loader<'_> {
    /// `--template`, when it is named.
    pub(super) fn by_template(&mut self) -> Result<Option<Described>> {
        let Some(file) = &self.selection.template else { return Ok(None) };
        if !file.is_file() {
            return Err(Error::config(format!("the template `{}` does not exist", file.display())));
        }
        self.of_template(&file.clone()).map(Some)
    }

    /// The template in the folder itself, when there is one.
    pub(super) fn by_template_here(&mut self) -> Result<Option<Described>> {
        let config = SamConfig::read(&self.path)?;
        let named = config.as_ref().and_then(|config| config.template.clone());
        if let Some(file) = named.as_ref().filter(|file| !file.is_file()) {
            let error = Error::config(format!("the template `{}` does not exist", file.display()));
            return Err(error.hint(format!("`{}` names it", samconfig::NAME)));
        }
        let beside = || NAMES.iter().map(|name| self.path.join(name)).find(|file| is_template(file));
        let Some(file) = named.or_else(beside) else { return Ok(None) };
        let config = config.unwrap_or_default();
        let mut parameters = config.parameters.clone();
        parameters.extend(self.selection.parameters.clone());
        let pseudo = match (&config.region, self.selection.pseudo.is_empty()) {
            (Some(region), true) => pseudo(Some(region)),
            _ => self.selection.pseudo.clone(),
        };
        let template = Template::read(&file, &parameters, &pseudo)?;
        let described = Self::describe_template(template)?;
        Ok(Some(Described { sam: Some(config), ..described }))
    }

    fn of_template(&mut self, file: &Path) -> Result<Described> {
        Self::describe_template(Template::read(file, &self.selection.parameters, &self.selection.pseudo)?)
    }

    fn describe_template(template: Template) -> Result<Described> {
        let folder = template.folder().to_owned();
        let root = root_of(&folder);
        let mut found = Found { root: root.clone(), ..Found::default() };
        found.take(&template)?;
        let Found { candidates, layers, findings, .. } = found;
        Ok(Described {
            whole: folder.clone(),
            origin: "the template",
            out_beside: folder,
            candidates,
            checks: Overrides::default(),
            store: None,
            layers,
            layer_threshold: None,
            template: Some(Arc::new(template)),
            sam: None,
            findings,
            root,
        })
    }
}

/// What templates describe.
#[derive(Default)]
struct Found {
    root: PathBuf,
    candidates: Vec<Candidate>,
    layers: Vec<WrittenLayer>,
    findings: Vec<Finding>,
}

impl Found {
    /// Takes what a template and those of its nested stacks have.
    fn take(&mut self, template: &Template) -> Result<()> {
        for layer in &template.layers {
            self.inside(&layer.code, &layer.site, template)?;
            self.layers.extend(of_layer(layer, template)?);
        }
        for function in &template.functions {
            self.inside(&function.code, &function.site, template)?;
            match &function.code {
                Code::Local(path) => {
                    let candidate = of_function(function, path, template, &mut self.layers)?;
                    self.candidates.push(candidate);
                }
                other => self.findings.extend(left_alone(function, other)),
            }
        }
        template.stacks.iter().try_for_each(|stack| self.take(&stack.template))
    }

    /// Refuses code from outside of the project.
    fn inside(&self, code: &Code, site: &template::Site, template: &Template) -> Result<()> {
        let (Code::Local(path) | Code::Image(path)) = code else { return Ok(()) };
        if path.starts_with(&self.root) {
            return Ok(());
        }
        let at = at(template, site);
        let what = format!("`{}` leaves the project `{}`", path.display(), self.root.display());
        Err(Error::config(what).at(&at.path, at.line_column).hint("a project is the checkout that the template is in"))
    }
}

/// Whether a file is a template, and not one of something else that is called so.
fn is_template(file: &Path) -> bool {
    file.is_file()
        && template::yaml::Document::read(file).is_ok_and(|document| {
            let resources = document.root.get("Resources");
            resources.is_some_and(|resources| {
                resources.entries().iter().any(|(key, resource)| {
                    resource.get("Type").is_some() || key.text().is_some_and(|key| key.starts_with("Fn::ForEach"))
                })
            })
        })
}

/// Nothing outside of it is packed: the checkout that the template is in, else its folder.
fn root_of(folder: &Path) -> PathBuf {
    folder.ancestors().find(|above| above.join(".git").exists()).unwrap_or(folder).to_owned()
}

/// What is not packed, and why.
fn left_alone(function: &template::Function, code: &Code) -> Option<Finding> {
    let finding = match code {
        Code::Dockerfile => Finding::new(
            Rule::TemplateLeftAlone,
            "its image is made by a Dockerfile, which needs Docker; it is left as it is",
            "name its `Runtime`, `Handler` and `CodeUri` for a zip; or build an image without Docker (`package = \"image\"` in a `lambda-pack.toml`), and name its folder `NAME.oci` in `ImageUri`",
        ),
        Code::Unknown(why) => Finding::new(
            Rule::TemplateLeftAlone,
            format!("where its code is cannot be told: {why}; it is left as it is"),
            "write the path itself, or give parameters a value with `--parameter-overrides`",
        ),
        _ => return None,
    };
    Some(finding.function(&function.id).path(format!("Resources.{}.Properties.{}", function.id, function.site.key)))
}

fn at(template: &Template, site: &template::Site) -> Position {
    let node = site.value.as_ref().unwrap_or(&site.properties);
    Position { path: template.document.path.clone(), line_column: Some(template.document.position(node.start)) }
}

fn of_function(
    function: &template::Function,
    path: &Path,
    template: &Template,
    layers: &mut Vec<WrittenLayer>,
) -> Result<Candidate> {
    let at = at(template, &function.site);
    let located = |value: String| Located { value, at: at.clone() };
    let error = |message: String| Error::config(message).at(&at.path, at.line_column);
    let id = &function.id;
    let Some(runtime) = &function.runtime else {
        return Err(error(format!("the `Runtime` of function `{id}` is not known")));
    };
    let is_rust = function.build.method.as_deref() == Some("rust-cargolambda");
    let method = function.build.method.as_deref().filter(|_| !function.build.skip);
    check_method(id, method).map_err(|error| error.at(&at.path, at.line_column))?;
    let architecture = match &function.architecture {
        Some(text) => Some(
            Architecture::parse(text)
                .ok_or_else(|| error(format!("function `{id}` cannot be for `{text}`: Lambda has x86_64 and arm64")))?,
        ),
        None => None,
    };
    let words = function.layers.iter().enumerate().map(|(index, layer)| match layer {
        LayerUse::Here(id) | LayerUse::Arn(id) => located(id.clone()),
        LayerUse::Unknown(_) => {
            let name = located(format!("{id}.Layers[{index}]"));
            layers.push(WrittenLayer::unknown(name.clone()));
            name
        }
    });
    let words: Vec<Located<String>> = words.collect();
    let is_file = path.is_file();
    let bundle = (method == Some("esbuild")).then(|| of_esbuild(function)).transpose();
    let bundle = bundle.map_err(|what| error(format!("function `{id}`: {what}")))?;
    let settings = Settings {
        bundle: bundle.map(|bundle| Located { value: Some(bundle), at: at.clone() }),
        runtime: Some(runtime.clone()),
        handler: function.handler.clone(),
        architecture,
        environment: function.environment.clone(),
        sizing: Sizing {
            timeout: function.deployment.timeout,
            memory: function.deployment.memory,
            ephemeral_storage: function.deployment.ephemeral_storage,
        },
        bin: bin(function, path, method, is_rust).map(located),
        layers: Some(words),
        ready: is_file.then(|| path.to_owned()),
        is_built: function.build.skip,
        build: build(&function.build, id, method, template),
        ..Settings::default()
    };
    let folder = if is_file { path.parent().unwrap_or(path) } else { path };
    let written = Written {
        name: Located { value: id.clone(), at: at.clone() },
        path: Located { value: folder.to_owned(), at: at.clone() },
        settings,
    };
    let build = if is_rust { Build::IfCargo } else { Build::No };
    Ok(Candidate { written, build, detected: false })
}

/// The program of several: as `BuildProperties` names it; for Go, SAM looks for a folder that the handler names.
fn bin(function: &template::Function, path: &Path, method: Option<&str>, is_rust: bool) -> Option<String> {
    let handler = || function.handler.clone().filter(|handler| method == Some("go1.x") && path.join(handler).is_dir());
    if is_rust { function.build.binary.clone() } else { handler() }
}

/// What a template says of how code is built.
fn build(build: &template::Build, id: &str, method: Option<&str>, template: &Template) -> BuildChoice {
    let below = |path: &String| fsio::normalize(template.folder(), Path::new(path));
    let make = (method == Some("makefile")).then(|| MakeTarget {
        // In a nested stack, its own part of the name.
        target: format!("build-{}", id.rsplit('/').next().unwrap_or(id)),
        context: build.context.as_ref().map(below),
        working_directory: build.working_directory.as_ref().map(below),
    });
    let resolver = (method == Some("go1.x")).then(|| "go".to_owned());
    BuildChoice { make, resolver, ..BuildChoice::default() }
}

/// Whether a method is the name of a runtime whose functions are built by what their folder holds.
fn is_runtime(method: &str) -> bool {
    ["python", "nodejs", "java", "ruby", "dotnet"].iter().any(|language| method.starts_with(language))
}

/// SAM's `BuildProperties`, with what SAM takes when they do not say it.
fn of_esbuild(function: &template::Function) -> Result<Bundle, String> {
    let mut bundle = Bundle::default();
    let is_said = |name: &str| function.build.properties.iter().any(|(property, _)| property == name);
    let defaults = [("Minify", "true"), ("Target", "es2020"), ("Format", "cjs")];
    for (property, value) in defaults.into_iter().filter(|(property, _)| !is_said(property)) {
        bundle.add(&bundle::option_of(property), &[value.to_owned()]);
    }
    for (property, words) in &function.build.properties {
        if !bundle.add(&bundle::option_of(property), words) && property != "UseNpmCi" {
            return Err(format!("the build property `{property}` of esbuild is not known"));
        }
    }
    // A function that is told to read source maps gets them.
    let options = function.environment.get("NODE_OPTIONS").map(String::as_str).unwrap_or_default();
    if options.contains("--enable-source-maps") && !is_said("Sourcemap") {
        bundle.sourcemap = Some("linked".to_owned());
    }
    Ok(bundle)
}

/// Refuses what has to be built in a way that this version does not know.
fn check_method(id: &str, method: Option<&str>) -> Result<()> {
    match method {
        Some("rust-cargolambda" | "makefile" | "go1.x" | "esbuild") | None => Ok(()),
        Some(method) if is_runtime(method) => Ok(()),
        Some(method) => Err(Error::config(format!("`BuildMethod: {method}` of function `{id}` is not built by this version"))
            .hint("build it with its own tool, and point the template at the folder, zip or jar that comes out, with `Metadata: {SkipBuild: true}`")),
    }
}

/// Nothing for a layer that is somewhere else already.
fn of_layer(layer: &template::Layer, template: &Template) -> Result<Option<WrittenLayer>> {
    let at = at(template, &layer.site);
    let name = Located { value: layer.id.clone(), at: at.clone() };
    let path = match &layer.code {
        Code::Local(path) => path,
        // What is in it is not known, and its name is.
        _ => return Ok(Some(WrittenLayer::unknown(name))),
    };
    let error = |message: String| Error::config(message).at(&at.path, at.line_column);
    let method = layer.build.method.as_deref().filter(|_| !layer.build.skip);
    if !path.is_dir() && !ready::is_archive(path) {
        return Err(error(format!(
            "`{}`, the content of layer `{}`, is neither a folder nor a zip",
            path.display(),
            layer.id
        )));
    }
    match method {
        None => {}
        Some(method) if method == "makefile" || is_runtime(method) && !method.starts_with("dotnet") => {}
        Some(method) => {
            return Err(error(format!("`BuildMethod: {method}` of layer `{}` is not built by this version", layer.id)));
        }
    }
    let mut architectures = Vec::new();
    for text in &layer.architectures {
        let parsed = Architecture::parse(text);
        architectures.push(parsed.ok_or_else(|| error(format!("layer `{}` cannot be for `{text}`", layer.id)))?);
    }
    let path = Located { value: path.clone(), at };
    let build = build(&layer.build, &layer.id, method, template);
    Ok(Some(WrittenLayer::of_template(name, path, method, build, &layer.runtimes, architectures)))
}

/// Values of pseudo parameters that are known before a deployment.
pub(crate) fn pseudo(region: Option<&str>) -> BTreeMap<String, String> {
    let region =
        region.map(str::to_owned).or_else(|| std::env::var("AWS_REGION").ok().filter(|region| !region.is_empty()));
    let Some(region) = region else { return BTreeMap::new() };
    let partition = crate::aws::partition(&region);
    [("AWS::Region".to_owned(), region), ("AWS::Partition".to_owned(), partition.to_owned())].into()
}
