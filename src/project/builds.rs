//! How a function is built, where its folder alone does not say it: `resolver`, `build` with `output`, `bin` and `go` of the
//! config, and what a template says of a Makefile.

use std::path::{Component, Path, PathBuf};

use super::GoMain;
use super::reader::{Section, suggest};
use crate::error::{Error, Result};
use crate::resolve;

/// How a function is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildChoice {
    /// The resolver that packs it, by its name, whatever else the folder holds.
    pub resolver: Option<String>,
    /// A command of the shell that builds it.
    pub command: Option<String>,
    /// The folder or zip that the command leaves, relative to the function's folder; nothing when it fills `ARTIFACTS_DIR`.
    pub output: Option<PathBuf>,
    /// The target of a Makefile that builds it.
    pub make: Option<MakeTarget>,
    /// The Go program that it is.
    pub go_main: Option<GoMain>,
    /// How Go builds it.
    pub go: GoChoice,
}

impl BuildChoice {
    /// Whether what is packed is what a command or a Makefile leaves.
    pub fn is_whole(&self) -> bool {
        self.command.is_some() || self.make.is_some() || self.resolver.as_deref() == Some(resolve::MAKEFILE)
    }
}

/// A target of a Makefile, as `BuildMethod: makefile` of SAM names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeTarget {
    /// The target: `build-` and the name of the function or layer.
    pub target: String,
    /// The folder that has the Makefile, when it is not the function's. Absolute.
    pub context: Option<PathBuf>,
    /// The folder that `make` is run in, when it is not a copy of the function's. Absolute.
    pub working_directory: Option<PathBuf>,
}

/// `go = { … }`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoChoice {
    /// Whether C is compiled, too.
    pub cgo: bool,
    /// Build tags beside `lambda.norpc`.
    pub tags: Vec<String>,
    /// Flags of the linker beside `-s -w`.
    pub ldflags: String,
}

/// Reads `resolver`, `build` and `output`.
pub(super) fn build(section: &Section<'_>) -> Result<BuildChoice> {
    let mut choice = BuildChoice::default();
    if let Some(resolver) = section.text("resolver")? {
        let known = resolve::names();
        if !known.contains(&resolver.value.as_str()) {
            let error = resolver.error(format!("there is no resolver `{}`", resolver.value));
            return Err(suggest(error, &resolver.value, &known, "resolvers"));
        }
        choice.resolver = Some(resolver.value);
    }
    let command = section.text("build")?;
    let output = section.text("output")?;
    if let (Some(output), None) = (&output, &command) {
        let error = output.error("`output` is what `build` leaves, and there is no `build`");
        return Err(error.hint("what was built already is packed by `path` alone: name the folder, zip or jar"));
    }
    if let Some(command) = command {
        if let Some(other) = choice.resolver.as_deref().filter(|name| *name != resolve::COMMAND) {
            return Err(command.error(format!("`build` and `resolver = \"{other}\"` exclude each other")));
        }
        if command.value.trim().is_empty() {
            return Err(command.error("`build` is empty"));
        }
        choice.command = Some(command.value);
    }
    if let Some(output) = output {
        let path = Path::new(&output.value);
        if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            let error = output.error(format!("`output = \"{}\"` leaves the function's folder", output.value));
            return Err(error.hint("name what the command leaves relative to `path`, such as `output = \"dist\"`"));
        }
        choice.output = Some(path.to_owned());
    }
    Ok(choice)
}

/// Reads `go`.
pub(super) fn go(section: &Section<'_>) -> Result<Option<GoChoice>> {
    let Some(go) = section.section("go")? else { return Ok(None) };
    go.only(&["cgo", "tags", "ldflags"])?;
    let mut tags = Vec::new();
    for tag in go.texts("tags")? {
        if tag.value.is_empty() || !tag.value.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.') {
            return Err(tag.error(format!("`{}` is not a build tag", tag.value)));
        }
        tags.push(tag.value);
    }
    Ok(Some(GoChoice {
        cgo: go.flag("cgo")?.unwrap_or(false),
        tags,
        ldflags: go.text("ldflags")?.map(|text| text.value).unwrap_or_default(),
    }))
}

/// The error of a folder that several resolvers could pack.
pub(crate) fn several(what: &str, claims: &[(String, String)]) -> Error {
    let shown: Vec<String> = claims.iter().map(|(resolver, file)| format!("`{resolver}` (by `{file}`)")).collect();
    let first = claims.first().map(|(resolver, _)| resolver.as_str()).unwrap_or_default();
    Error::config(format!("{what} can be packed in several ways: {}", shown.join(", ")))
        .hint(format!("say which in its table of `lambda-pack.toml`, such as `resolver = \"{first}\"`"))
}
