//! Layers in a config: `[layers.NAME]` tables, and the `layers` of a function, which say what of its packages leaves its zip
//! and which of the project's layers, or of those that exist, it gets.

use std::path::{Path, PathBuf};

use super::builds::{self, BuildChoice};
use super::config::{self, Scope, Settings, is_name_of};
use super::detect;
use super::functions::{Loader, is_provided, real};
use super::native::{self, NativeChoice};
use super::reader::{Located, Section, nearest, suggest};
use super::spec::{FunctionSpec, LayerChoice, LayerSource, LayerSpec};
use super::versions;
use crate::error::{Error, Result};
use crate::fsio;
use crate::lambda::{Architecture, Family, LAYER_NAME_LENGTH};
use crate::resolve::ready;
use crate::split::Policy;
use crate::tree::walk::Include;

/// Keys of a layer.
const KEYS: &[&str] = &[
    "path",
    "manifest",
    "runtime",
    "architecture",
    "include",
    "exclude",
    "native",
    "bin",
    "to",
    "arn",
    "unzipped-bytes",
    "resolver",
    "build",
    "output",
];

/// A layer as it is written.
#[derive(Debug, Clone)]
pub(crate) struct WrittenLayer {
    /// Its name, and where.
    pub(crate) name: Located<String>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Existing { arn: String, unzipped_bytes: Option<u64> },
    Built(Box<Written>),
}

#[derive(Debug, Clone)]
struct Written {
    path: Option<Located<PathBuf>>,
    manifest: Option<Located<PathBuf>>,
    runtimes: Vec<Located<String>>,
    architectures: Vec<Architecture>,
    default_architecture: Architecture,
    include: Vec<Include>,
    exclude: Vec<String>,
    settings: Settings,
    to: Option<Located<String>>,
    /// Nothing is resolved.
    as_it_is: bool,
}

impl WrittenLayer {
    /// One of which only its name is known.
    pub(super) fn unknown(name: Located<String>) -> Self {
        let kind = Kind::Existing { arn: name.value.clone(), unzipped_bytes: None };
        Self { name, kind }
    }

    /// The folder of a template's layer. With a build method, its manifest is resolved for that runtime; without one, the
    /// folder is packed as it is.
    pub(super) fn of_template(
        name: Located<String>,
        path: Located<PathBuf>,
        method: Option<&str>,
        build: BuildChoice,
        runtimes: &[String],
        architectures: Vec<Architecture>,
    ) -> Self {
        let located = |value: &str| Located { value: value.to_owned(), at: name.at.clone() };
        let built: Vec<Located<String>> = match method {
            Some(method) if build.make.is_none() => vec![located(method)],
            _ => runtimes.iter().map(|runtime| located(runtime)).collect(),
        };
        let written = Written {
            path: Some(path),
            manifest: None,
            runtimes: built,
            architectures,
            default_architecture: Architecture::X86_64,
            include: Vec::new(),
            exclude: Vec::new(),
            settings: Settings { build, ..Settings::default() },
            to: method.is_none().then(|| located("")),
            as_it_is: method.is_none(),
        };
        Self { name, kind: Kind::Built(Box::new(written)) }
    }
}

/// Reads `[layers]`.
pub(super) fn layers(section: &Section<'_>, scope: &Scope<'_>, defaults: &Settings) -> Result<Vec<WrittenLayer>> {
    let mut out = Vec::new();
    for name in section.keys() {
        if !is_name_of(&name.value, LAYER_NAME_LENGTH) || Policy::parse(&name.value).is_some() {
            let error = name.error(format!("`{}` cannot name a layer", name.value));
            return Err(error.hint(format!(
                "Lambda takes 1 to {LAYER_NAME_LENGTH} letters, digits, `-` and `_`; `none`, `shared` and `deps` have a meaning of their own"
            )));
        }
        let Some(layer) = section.section(&name.value)? else { continue };
        layer.only(KEYS)?;
        let kind = match layer.text("arn")? {
            Some(arn) => existing(&layer, &arn)?,
            None => built(&layer, scope, defaults)?,
        };
        out.push(WrittenLayer { name, kind });
    }
    Ok(out)
}

fn existing(section: &Section<'_>, arn: &Located<String>) -> Result<Kind> {
    section.only(&["arn", "unzipped-bytes"]).map_err(|error| error.hint("a layer that has an ARN exists already"))?;
    if !is_layer_version(&arn.value) {
        return Err(arn
            .error(format!("`{}` is not the ARN of a version of a layer", arn.value))
            .hint("it ends with the version: `arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION`"));
    }
    Ok(Kind::Existing { arn: arn.value.clone(), unzipped_bytes: section.count("unzipped-bytes")? })
}

fn built(section: &Section<'_>, scope: &Scope<'_>, defaults: &Settings) -> Result<Kind> {
    let place = |key: &str| -> Result<Option<Located<PathBuf>>> {
        let Some(text) = section.text(key)? else { return Ok(None) };
        Ok(Some(Located { value: config::below_root(&text, scope, key)?, at: text.at }))
    };
    let (path, manifest) = (place("path")?, place("manifest")?);
    if path.is_none() && manifest.is_none() && !section.has("include") && !section.has("native") {
        return Err(section
            .error("a layer needs a `path`, a `manifest`, `native` or an `arn`")
            .hint("`path` is a folder, `manifest` a file such as requirements.txt, `native` names libraries of a system, `arn` a layer that exists"));
    }
    let architectures = section.text_or_texts("architecture")?.unwrap_or_default();
    let written = Written {
        include: config::includes(section, scope, path.as_ref().map(|path| path.value.as_path()))?,
        exclude: section.texts("exclude")?.into_iter().map(|text| text.value).collect(),
        runtimes: section.text_or_texts("runtime")?.unwrap_or_default(),
        architectures: architectures.iter().map(config::architecture).collect::<Result<_>>()?,
        default_architecture: defaults.architecture.unwrap_or(Architecture::X86_64),
        settings: Settings {
            bin: section.text("bin")?,
            native: native::native(section, scope)?,
            build: builds::build(section)?,
            ..Settings::default()
        },
        to: section.text("to")?,
        as_it_is: false,
        path,
        manifest,
    };
    Ok(Kind::Built(Box::new(written)))
}

/// `arn:PARTITION:lambda:REGION:ACCOUNT:layer:NAME:VERSION`, as in `LayerVersionArn` of the Lambda API model.
pub(super) fn is_layer_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let [arn, partition, service, _region, account, layer, name, version] = parts[..] else { return false };
    (arn, service, layer) == ("arn", "lambda", "layer")
        && !partition.is_empty()
        && (account.is_empty() || account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()))
        && is_name_of(name, LAYER_NAME_LENGTH)
        && !version.is_empty()
        && version.bytes().all(|b| b.is_ascii_digit())
}

/// What the `layers` of a function mean. ARNs that no table names become layers of their own.
pub(super) fn choice(
    written: &[Located<String>],
    policy: Option<Policy>,
    known: &[WrittenLayer],
    existing: &mut Vec<LayerSpec>,
) -> Result<LayerChoice> {
    let mut out = LayerChoice::default();
    let mut said: Option<&Located<String>> = None;
    for word in written {
        let text = word.value.as_str();
        // A template may have a layer of such a name.
        let is_layer = known.iter().any(|layer| layer.name.value == text);
        if let Some(policy) = Policy::parse(text).filter(|_| !is_layer) {
            if let Some(other) = said.replace(word) {
                return Err(word.error(format!("`layers` cannot be both `{}` and `{text}`", other.value)));
            }
            out.policy = policy;
        } else if is_layer_version(text) {
            if !existing.iter().any(|layer| layer.name == text) {
                existing.push(existing_layer(text, text, None));
            }
            out.attached.push(text.to_owned());
        } else if is_layer {
            out.attached.push(text.to_owned());
        } else {
            let names: Vec<&str> = known.iter().map(|layer| layer.name.value.as_str()).chain(Policy::NAMES).collect();
            let error = word.error(format!("`layers` cannot be `{text}`: there is no layer of that name"));
            return Err(match nearest(text, &names) {
                Some(_) => suggest(error, text, &names, "layers"),
                None => error.hint(format!(
                    "`none`, `shared` or `deps`, and names of `[layers.NAME]` tables or ARNs: {}",
                    names.join(", ")
                )),
            });
        }
    }
    out.policy = policy.unwrap_or(out.policy);
    Ok(out)
}

fn existing_layer(name: &str, arn: &str, unzipped_bytes: Option<u64>) -> LayerSpec {
    LayerSpec {
        name: name.to_owned(),
        source: LayerSource::Existing { arn: arn.to_owned(), unzipped_bytes },
        runtimes: Vec::new(),
        architectures: Vec::new(),
        native: NativeChoice::default(),
        defined_at: None,
    }
}

impl Loader<'_> {
    /// Looks at a layer's folders.
    pub(super) fn layer(&mut self, layer: &WrittenLayer, root: &Path) -> Result<LayerSpec> {
        let name = &layer.name.value;
        let written = match &layer.kind {
            Kind::Existing { arn, unzipped_bytes } => return Ok(existing_layer(name, arn, *unzipped_bytes)),
            Kind::Built(written) => written,
        };
        for path in [&written.path, &written.manifest].into_iter().flatten() {
            check_place(path, root, written.manifest.as_ref().is_some_and(|manifest| manifest == path))?;
        }
        let (folder, resolved) = self.parts(name, written)?;
        let native = written.settings.native.clone();
        let said = !written.architectures.is_empty() || !resolved.is_empty() || !native.is_empty();
        let architectures = if said { written.processors() } else { Vec::new() };
        let mut runtimes: Vec<String> = written.runtimes.iter().map(|runtime| runtime.value.clone()).collect();
        let is_resolved = |spec: &FunctionSpec| spec.cargo.is_none() && spec.ready.is_none() && !spec.build.is_whole();
        if runtimes.is_empty() && resolved.iter().any(is_resolved) {
            runtimes = resolved.iter().map(|spec| spec.runtime.clone()).collect();
            runtimes.dedup();
        }
        Ok(LayerSpec {
            name: name.clone(),
            source: LayerSource::Built {
                folder: folder.map(Box::new),
                resolved,
                to: written.to.as_ref().map(|to| to.value.clone()),
            },
            runtimes,
            architectures,
            native,
            defined_at: Some(layer.name.at.clone()),
        })
    }

    /// The folder whose files are packed, and what is resolved, for each runtime and processor.
    fn parts(&mut self, name: &str, written: &Written) -> Result<(Option<FunctionSpec>, Vec<FunctionSpec>)> {
        let spec = |path: &Path, runtime: &str, architecture: Architecture| FunctionSpec {
            architecture,
            ..FunctionSpec::new(name, path, runtime)
        };
        let folder = |path: &Path| FunctionSpec {
            include: written.include.clone(),
            exclude: written.exclude.clone(),
            ..spec(path, versions::DEFAULT_PROVIDED, written.default_architecture)
        };
        let path = written.path.as_ref().map(|path| path.value.as_path());
        if let Some(zip) = path.filter(|path| path.is_file()) {
            let runtime = written.runtimes.first().map_or(versions::DEFAULT_PROVIDED, |runtime| &runtime.value);
            let ready = |architecture: &Architecture| FunctionSpec {
                ready: Some(zip.to_owned()),
                ..spec(zip.parent().unwrap_or(zip), runtime, *architecture)
            };
            return Ok((None, written.processors().iter().map(ready).collect()));
        }
        if let Some(path) = path
            && path.join("Cargo.toml").is_file()
            && written.runtimes.iter().all(|runtime| is_provided(&runtime.value))
        {
            let workspace = self.workspaces.of(&path.join("Cargo.toml"))?;
            let cargo = workspace.choose(path, name, &written.settings)?;
            let build = |architecture: &Architecture| FunctionSpec {
                cargo: cargo.clone(),
                include: written.include.clone(),
                ..spec(path, versions::DEFAULT_PROVIDED, *architecture)
            };
            return Ok((None, written.processors().iter().map(build).collect()));
        }
        if let Some(path) = path
            && written.settings.build.is_whole()
        {
            // What it leaves is the layer; the runtime only has to be one.
            let runtime = written.runtimes.first().map_or(versions::DEFAULT_PROVIDED, |runtime| runtime.value.as_str());
            let build = |architecture: &Architecture| FunctionSpec {
                build: written.settings.build.clone(),
                exclude: written.exclude.clone(),
                ..spec(path, runtime, *architecture)
            };
            return Ok((None, written.processors().iter().map(build).collect()));
        }
        let manifest = match (&written.manifest, path) {
            (Some(manifest), _) => Some(manifest.value.parent().unwrap_or(Path::new(".")).to_owned()),
            (None, Some(path)) if !written.as_it_is && has_manifest(path, written) => Some(path.to_owned()),
            (None, _) => None,
        };
        let folder = match (path, &manifest) {
            (Some(path), _) => Some(folder(path)),
            (None, Some(manifest)) if !written.include.is_empty() => {
                // Only what `include` names: the manifest's own folder is no part of the layer.
                Some(FunctionSpec { exclude: vec!["*".to_owned()], ..folder(manifest) })
            }
            (None, _) => None,
        };
        let mut resolved = Vec::new();
        if let Some(manifest) = manifest {
            let runtimes = match written.runtimes.as_slice() {
                [] => vec![
                    detect::runtime(&manifest)
                        .map_err(|error| error.context(format!("layer `{name}`")).hint("name its `runtime`"))?,
                ],
                runtimes => runtimes.iter().map(|runtime| runtime.value.clone()).collect(),
            };
            for runtime in &runtimes {
                resolved
                    .extend(written.processors().iter().map(|architecture| spec(&manifest, runtime, *architecture)));
            }
        }
        Ok((folder, resolved))
    }
}

impl Written {
    fn processors(&self) -> Vec<Architecture> {
        if self.architectures.is_empty() { vec![self.default_architecture] } else { self.architectures.clone() }
    }
}

/// Whether a folder says itself which packages belong to it.
fn has_manifest(path: &Path, written: &Written) -> bool {
    let families = written.runtimes.iter().filter_map(|runtime| crate::lambda::find(&runtime.value));
    let names: Vec<&str> = families
        .flat_map(|runtime| match runtime.family {
            Family::Python { .. } => ["requirements.txt", "pyproject.toml", "pylock.toml"].as_slice(),
            Family::Node { .. } => &["package.json"],
            Family::Java { .. } => &["pom.xml", "build.gradle", "build.gradle.kts"],
            Family::Ruby { .. } => &["Gemfile"],
            _ => &[],
        })
        .copied()
        .collect();
    names.iter().any(|name| path.join(name).is_file())
}

fn check_place(path: &Located<PathBuf>, root: &Path, is_manifest: bool) -> Result<()> {
    let shown = fsio::relative_to(&path.value, root).display().to_string();
    let is_zip = || path.value.is_file() && ready::is_archive(&path.value);
    let fits = if is_manifest { path.value.is_file() } else { path.value.is_dir() || is_zip() };
    if !fits {
        let problem = match (path.value.exists(), is_manifest) {
            (false, _) => "does not exist",
            (true, true) => "is not a file",
            (true, false) => "is neither a folder nor a zip",
        };
        return Err(path.error(format!("`{shown}` {problem}")).hint("paths are relative to the file that holds them"));
    }
    if !real(&path.value).starts_with(real(root)) {
        return Err(path.error(format!("`{shown}` is a link that leaves the project `{}`", root.display())));
    }
    Ok(())
}

/// Refuses a project in which a layer and a function would have one name: both are files in the output folder.
pub(super) fn unique_names<'a>(
    functions: impl Iterator<Item = &'a Located<String>>,
    layers: &'a [WrittenLayer],
) -> Result<(), Error> {
    config::unique_names(functions.chain(layers.iter().map(|layer| &layer.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_layer_versions_are_known() {
        for (text, is_one) in [
            ("arn:aws:lambda:eu-west-1:123456789012:layer:common:3", true),
            ("arn:aws-cn:lambda:cn-north-1:123456789012:layer:a_b-c:12", true),
            ("arn:aws:lambda:eu-west-1:123456789012:layer:common", false),
            ("arn:aws:lambda:eu-west-1:12345:layer:common:3", false),
            ("arn:aws:lambda:eu-west-1:123456789012:function:common:3", false),
            ("arn:aws:lambda:eu-west-1:123456789012:layer:common:x", false),
            ("common", false),
        ] {
            assert_eq!(is_layer_version(text), is_one, "{text}");
        }
    }
}
