//! The settings of `lambda-pack.toml`, and of the `lambda-pack` metadata tables of a `Cargo.toml`: what may be written, and
//! what it means. Nothing here looks at the functions' folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::AwsSdk;
use super::builds::{self, BuildChoice, GoChoice};
use super::bundle::{self, Bundle};
use super::image::{self, WrittenImage};
use super::layers::{self, WrittenLayer};
use super::native::{self, NativeChoice};
use super::reader::{Document, Item, Located, Section, suggest};
use super::sizing::Sizing;
use crate::error::{Position, Result};
use crate::finding::{Level, Override, Overrides, Rule};
use crate::fsio;
use crate::lambda::{Architecture, FUNCTION_NAME_LENGTH};
use crate::resolve::slim::{Slim, SlimRule};
use crate::store::Place;
use crate::tree::walk::Include;

/// Keys that `[defaults]` and functions share.
const SETTINGS: &[&str] = &[
    "runtime",
    "handler",
    "architecture",
    "package",
    "layers",
    "base",
    "image",
    "include",
    "exclude",
    "environment",
    "timeout",
    "memory",
    "ephemeral-storage",
    "allow-scripts",
    "extras",
    "groups",
    "slim",
    "aws-sdk",
    "go",
    "bundle",
];
/// Keys of a function alone.
const OF_FUNCTIONS: &[&str] = &["path", "bin", "native", "resolver", "build", "output"];

/// What a config says.
#[derive(Debug)]
pub(crate) struct Config {
    /// The folder that paths are relative to, and that functions may not leave.
    pub(crate) root: PathBuf,
    /// Settings of every function that does not say otherwise.
    pub(crate) defaults: Settings,
    /// The functions in the order of the file; nothing when the config leaves them to be found.
    pub(crate) functions: Option<Vec<Written>>,
    /// Levels of rules.
    pub(crate) checks: Overrides,
    /// Where `[checks]` stands.
    pub(crate) checks_at: Option<Position>,
    /// The store that others share.
    pub(crate) store: Option<Place>,
    /// Layers of the project's own.
    pub(crate) layers: Vec<WrittenLayer>,
    /// A smaller group of packages is not worth a layer, in bytes.
    pub(crate) layer_threshold: Option<u64>,
}

/// A function as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// Its name, and where.
    pub(crate) name: Located<String>,
    /// Its folder, absolute, below the root; and where the path stands.
    pub(crate) path: Located<PathBuf>,
    /// Its settings, the defaults applied.
    pub(crate) settings: Settings,
}

/// What can be set for one function or for all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) architecture: Option<Architecture>,
    pub(crate) include: Vec<Include>,
    pub(crate) exclude: Vec<String>,
    pub(crate) allow_scripts: Vec<String>,
    pub(crate) extras: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) sizing: Sizing,
    pub(crate) slim: Option<Slim>,
    pub(crate) bin: Option<Located<String>>,
    /// Words and names as they are written.
    pub(crate) layers: Option<Vec<Located<String>>>,
    /// A file that is packed instead of the folder.
    pub(crate) ready: Option<PathBuf>,
    /// Nothing is resolved or built.
    pub(crate) is_built: bool,
    pub(crate) native: NativeChoice,
    pub(crate) build: BuildChoice,
    pub(crate) go: Option<GoChoice>,
    pub(crate) image: WrittenImage,
    pub(crate) aws_sdk: Option<Located<AwsSdk>>,
    /// How esbuild bundles it; nothing within for what is not to be bundled.
    pub(crate) bundle: Option<Located<Option<Bundle>>>,
    /// The same of the defaults: it holds for functions of Node.js.
    pub(crate) default_bundle: Option<Bundle>,
    /// What the defaults say of that: it holds for the functions whose runtimes have one.
    pub(crate) default_aws_sdk: Option<AwsSdk>,
}

impl Settings {
    /// These settings where they say something, else `defaults`. Lists and tables are joined, the defaults first.
    pub(crate) fn over(self, defaults: &Self) -> Self {
        let mut environment = defaults.environment.clone();
        environment.extend(self.environment);
        Self {
            runtime: self.runtime.or_else(|| defaults.runtime.clone()),
            handler: self.handler.or_else(|| defaults.handler.clone()),
            architecture: self.architecture.or(defaults.architecture),
            include: defaults.include.iter().cloned().chain(self.include).collect(),
            exclude: defaults.exclude.iter().cloned().chain(self.exclude).collect(),
            allow_scripts: defaults.allow_scripts.iter().cloned().chain(self.allow_scripts).collect(),
            extras: defaults.extras.iter().cloned().chain(self.extras).collect(),
            groups: defaults.groups.iter().cloned().chain(self.groups).collect(),
            environment,
            sizing: self.sizing.over(defaults.sizing),
            slim: self.slim.or_else(|| defaults.slim.clone()),
            bin: self.bin,
            layers: self.layers.or_else(|| defaults.layers.clone()),
            ready: self.ready,
            is_built: self.is_built,
            native: self.native,
            build: self.build,
            go: self.go.or_else(|| defaults.go.clone()),
            image: self.image.over(&defaults.image),
            default_aws_sdk: defaults.aws_sdk.as_ref().map(|sdk| sdk.value).or(defaults.default_aws_sdk),
            aws_sdk: self.aws_sdk,
            default_bundle: match &defaults.bundle {
                Some(bundle) => bundle.value.clone(),
                None => defaults.default_bundle.clone(),
            },
            bundle: self.bundle,
        }
    }
}

/// Where the paths of a config lead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// What they are relative to.
    pub(crate) base: &'a Path,
    /// What they may not leave.
    pub(crate) root: &'a Path,
    /// Where functions are that do not say it; nothing when they have to.
    pub(crate) default_path: Option<&'a str>,
}

impl Config {
    /// A config that says nothing.
    pub(crate) fn empty(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            defaults: Settings::default(),
            functions: None,
            checks: Overrides::default(),
            checks_at: None,
            store: None,
            layers: Vec::new(),
            layer_threshold: None,
        }
    }
}

/// Reads a `lambda-pack.toml`.
pub(crate) fn from_document(document: &Document) -> Result<Config> {
    let folder = document.folder();
    from_section(&document.root(), &Settings::default(), &Scope { base: folder, root: folder, default_path: None })
}

/// Reads a table of that form. `defaults` are what it does not say itself.
pub(crate) fn from_section(section: &Section<'_>, defaults: &Settings, scope: &Scope<'_>) -> Result<Config> {
    section.only(&["defaults", "functions", "layers", "checks", "store"])?;
    let mut layer_threshold = None;
    let defaults = match section.section("defaults")? {
        Some(section) => {
            section.only(&[SETTINGS, &["layer-threshold"]].concat())?;
            layer_threshold = section.count("layer-threshold")?;
            settings(&section, scope)?.over(defaults)
        }
        None => defaults.clone(),
    };
    let layers = match section.section("layers")? {
        Some(section) => layers::layers(&section, scope, &defaults)?,
        None => Vec::new(),
    };
    let functions = match section.section("functions")? {
        Some(section) => Some(functions(&section, scope, &defaults)?),
        None => None,
    };
    let store = section.section("store")?.map(|section| store(&section)).transpose()?.flatten();
    let checks_section = section.section("checks")?;
    let checks = checks_section.as_ref().map(checks).transpose()?.unwrap_or_default();
    Ok(Config {
        root: scope.root.to_owned(),
        defaults,
        functions,
        checks,
        checks_at: checks_section.map(|s| s.at()),
        store,
        layers,
        layer_threshold,
    })
}

fn store(section: &Section<'_>) -> Result<Option<Place>> {
    section.only(&["remote"])?;
    let Some(remote) = section.text("remote")? else { return Ok(None) };
    Place::parse(&remote.value).map(Some).ok_or_else(|| {
        let error = remote.error(format!("`remote` cannot be `{}`", remote.value));
        error.hint("name a bucket, and what keys in it begin with: `s3://bucket/prefix`")
    })
}

fn functions(section: &Section<'_>, scope: &Scope<'_>, defaults: &Settings) -> Result<Vec<Written>> {
    let known: Vec<&str> = OF_FUNCTIONS.iter().chain(SETTINGS).copied().collect();
    let mut written: Vec<Written> = Vec::new();
    for name in section.keys() {
        check_name(&name)?;
        // `keys` names only what is there.
        let Some(function) = section.section(&name.value)? else { continue };
        function.only(&known)?;
        let path = match (function.text("path")?, scope.default_path) {
            (Some(path), _) => path,
            (None, Some(default)) => Located { value: default.to_owned(), at: name.at.clone() },
            (None, None) => {
                return Err(name
                    .error(format!("function `{}` has no `path`", name.value))
                    .hint("name its folder, such as `path = \"services/api\"`"));
            }
        };
        let path = Located { value: below_root(&path, scope, "path")?, at: path.at };
        let mut settings = settings(&function, scope)?.over(defaults);
        let path = ready(path, &mut settings);
        written.push(Written { name, path, settings });
    }
    unique_names(written.iter().map(|function| &function.name))?;
    Ok(written)
}

/// The folder of a function. A zip or jar at `path` is all there is of it.
fn ready(path: Located<PathBuf>, settings: &mut Settings) -> Located<PathBuf> {
    let is_archive = path.value.extension().is_some_and(|ending| ending == "zip" || ending == "jar");
    match path.value.parent() {
        Some(folder) if is_archive && path.value.is_file() => {
            settings.ready = Some(path.value.clone());
            Located { value: folder.to_owned(), at: path.at }
        }
        _ => path,
    }
}

/// Whether Lambda takes this name for a function.
pub(crate) fn is_name(text: &str) -> bool {
    is_name_of(text, FUNCTION_NAME_LENGTH)
}

/// Whether it has at most `length` of the characters that Lambda takes in names.
pub(super) fn is_name_of(text: &str, length: usize) -> bool {
    (1..=length).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn check_name(name: &Located<String>) -> Result<()> {
    if is_name(&name.value) {
        return Ok(());
    }
    Err(name.error(format!(
        "`{}` cannot name a function: Lambda takes 1 to {FUNCTION_NAME_LENGTH} letters, digits, `-` and `_`",
        name.value
    )))
}

/// Outputs such as `API_S3_KEY` are named after functions, so names must differ in more than case, `-` and `_`.
pub(crate) fn unique_names<'a>(names: impl Iterator<Item = &'a Located<String>>) -> Result<()> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in names {
        let variable = name.value.to_uppercase().replace('-', "_");
        if let Some(other) = seen.insert(variable.clone(), &name.value) {
            return Err(name
                .error(format!(
                    "`{other}` and `{}` collide: both are `{variable}_…` in what `publish` prints",
                    name.value
                ))
                .hint("rename one of them"));
        }
    }
    Ok(())
}

pub(super) fn below_root(path: &Located<String>, scope: &Scope<'_>, key: &str) -> Result<PathBuf> {
    let full = fsio::normalize(scope.base, Path::new(&path.value));
    if full.starts_with(scope.root) {
        return Ok(full);
    }
    Err(path
        .error(format!("`{key} = \"{}\"` leaves the project `{}`", path.value, scope.root.display()))
        .hint("move the config up to a folder that holds both"))
}

pub(super) fn settings(section: &Section<'_>, scope: &Scope<'_>) -> Result<Settings> {
    let mut out = Settings {
        runtime: section.text("runtime")?.map(|text| text.value),
        handler: section.text("handler")?.map(|text| text.value),
        architecture: section.text("architecture")?.map(|text| architecture(&text)).transpose()?,
        exclude: section.texts("exclude")?.into_iter().map(|text| text.value).collect(),
        allow_scripts: section.texts("allow-scripts")?.into_iter().map(|text| text.value).collect(),
        extras: section.texts("extras")?.into_iter().map(|text| text.value).collect(),
        groups: section.texts("groups")?.into_iter().map(|text| text.value).collect(),
        sizing: Sizing::read(section)?,
        slim: slim(section)?,
        bin: section.text("bin")?,
        layers: section.text_or_texts("layers")?,
        native: native::native(section, scope)?,
        build: builds::build(section)?,
        go: builds::go(section)?,
        image: image::image(section, scope)?,
        aws_sdk: section.text("aws-sdk")?.map(aws_sdk).transpose()?,
        bundle: bundle::bundle(section)?.map(|value| Located { value, at: section.at_key("bundle") }),
        ..Settings::default()
    };
    let home = section.text("path")?.map(|path| fsio::normalize(scope.base, Path::new(&path.value)));
    out.include = includes(section, scope, home.as_deref())?;
    if let Some(variables) = section.section("environment")? {
        for key in variables.keys() {
            if let Some(value) = variables.text(&key.value)? {
                out.environment.insert(key.value, value.value);
            }
        }
    }
    Ok(out)
}

/// `slim = true` is every rule; a list names those that are wanted.
fn slim(section: &Section<'_>) -> Result<Option<Slim>> {
    if section.has_flag("slim")
        && let Some(flag) = section.flag("slim")?
    {
        return Ok(Some(if flag { Slim::all() } else { Slim::default() }));
    }
    if !section.has("slim") {
        return Ok(None);
    }
    let mut slim = Slim::default();
    for name in section.texts("slim")? {
        let Some(rule) = SlimRule::parse(&name.value) else {
            let known: Vec<&str> = SlimRule::ALL.iter().map(|rule| rule.name()).collect();
            return Err(suggest(
                name.error(format!("`slim` cannot be `{}`", name.value)),
                &name.value,
                &known,
                "rules",
            ));
        };
        slim.add(rule);
    }
    Ok(Some(slim))
}

fn aws_sdk(text: Located<String>) -> Result<Located<AwsSdk>> {
    let value = match text.value.as_str() {
        "bundle" => AwsSdk::Bundle,
        "runtime" => AwsSdk::Runtime,
        other => {
            let error = text.error(format!("`aws-sdk` cannot be `{other}`"));
            return Err(suggest(error, other, &AwsSdk::NAMES, "values"));
        }
    };
    Ok(Located { value, at: text.at })
}

pub(super) fn architecture(text: &Located<String>) -> Result<Architecture> {
    Architecture::parse(&text.value).ok_or_else(|| {
        let error = text.error(format!("`architecture` cannot be `{}`", text.value));
        match text.value.as_str() {
            "aarch64" | "arm" => error.hint("Lambda calls it `arm64`"),
            "amd64" | "x64" | "x86-64" => error.hint("Lambda calls it `x86_64`"),
            other => suggest(error, other, &["x86_64", "arm64"], "values"),
        }
    })
}

/// What `include` names; `home` is the folder that has it.
pub(super) fn includes(section: &Section<'_>, scope: &Scope<'_>, home: Option<&Path>) -> Result<Vec<Include>> {
    section.items("include")?.iter().map(|item| include(item, scope, home)).collect()
}

/// What is brought in, relative to the config's folder. `../x`, which would leave the project from there, is taken from
/// the function's own folder, `home`, when it is there: both are how people write it.
fn include(item: &Item<'_>, scope: &Scope<'_>, home: Option<&Path>) -> Result<Include> {
    let (from, to) = match item {
        Item::Text(from) => (from.clone(), None),
        Item::Section(section) => {
            section.only(&["from", "to"])?;
            let from = section.text("from")?.ok_or_else(|| section.error("an `include` has no `from`"))?;
            (from, section.text("to")?)
        }
    };
    let beside_home = home.map(|home| fsio::normalize(home, Path::new(&from.value)));
    let path = match below_root(&from, scope, "include") {
        Err(_) if beside_home.as_ref().is_some_and(|path| path.starts_with(scope.root) && path.exists()) => {
            beside_home.unwrap_or_default()
        }
        path => path?,
    };
    let to = match to {
        Some(to) => to.value,
        // A plain string keeps its own name: `include = ["../common/schemas"]` becomes `schemas`.
        None => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    Ok(Include { from: path, to })
}

fn checks(section: &Section<'_>) -> Result<Overrides> {
    let mut out = Overrides::default();
    for key in section.keys() {
        let Some(rule) = Rule::parse(&key.value) else {
            let known: Vec<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
            return Err(suggest(key.error(format!("unknown rule `{}`", key.value)), &key.value, &known, "rules"));
        };
        let Some(level) = section.text(&key.value)? else { continue };
        let parsed = match level.value.as_str() {
            "ignore" => Override::Ignore,
            "note" => Override::As(Level::Note),
            "warning" => Override::As(Level::Warning),
            "error" => Override::As(Level::Error),
            other => {
                let error = level.error(format!("`{}` cannot be `{other}`", key.value));
                return Err(suggest(error, other, &["ignore", "note", "warning", "error"], "levels"));
            }
        };
        out.0.insert(rule, parsed);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Lines of settings in any order, with values of any type, are read or refused with a position.
        #[test]
        fn any_config_is_read_or_refused_with_its_line(lines in proptest::collection::vec(
            prop_oneof![
                "\\[(defaults|functions\\.[a-c]|functions|checks|layers|layers\\.x|functions\\.a\\.native|defaults\\.bundle)\\]",
                "(path|runtime|resolver|build|output|go|architecture|package|layers|include|exclude|environment|extras|groups|bin|slim|secret-file|native|libraries|collect|bundle|minify) = \
                 ('(a|\\.\\./b|zip|image|arm64|error)'|1|\\['x', \\{ from = 'y' \\}\\]|\\{ A = 'b' \\}|true)",
            ],
            0..8,
        )) {
            let document = Document::parse(Path::new("/p/lambda-pack.toml"), lines.join("\n"));
            if let Err(error) = document.and_then(|document| from_document(&document).map(|_| ())) {
                let text = error.to_string();
                let place = text.strip_prefix("/p/lambda-pack.toml:").unwrap_or_default();
                prop_assert!(place.starts_with(|c: char| c.is_ascii_digit()), "{}", text);
            }
        }
    }
}
