//! What a function or layer brings along from a system: `native = { libraries = […], executables = […], collect = true,
//! sysroot = "…" }`.

use std::path::{Path, PathBuf};

use super::config::Scope;
use super::reader::{Located, Section};
use crate::error::Result;
use crate::fsio;

/// What is to be brought along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NativeChoice {
    /// Shared libraries, by the names that the loader knows them by (`libpq.so.5`) or by path.
    pub libraries: Vec<String>,
    /// Programs, by name or by path.
    pub executables: Vec<String>,
    /// Also every library that is missed.
    pub collect: bool,
    /// The system that they are taken from; nothing for the one that this program runs on. Absolute.
    pub sysroot: Option<PathBuf>,
}

impl NativeChoice {
    /// Whether nothing is to be brought along.
    pub fn is_empty(&self) -> bool {
        self.libraries.is_empty() && self.executables.is_empty() && !self.collect
    }
}

/// Reads `native` of a function or layer.
pub(super) fn native(section: &Section<'_>, scope: &Scope<'_>) -> Result<NativeChoice> {
    let Some(native) = section.section("native")? else { return Ok(NativeChoice::default()) };
    native.only(&["libraries", "executables", "collect", "sysroot"])?;
    let choice = NativeChoice {
        libraries: native.texts("libraries")?.into_iter().map(library).collect::<Result<_>>()?,
        executables: native.texts("executables")?.into_iter().map(executable).collect::<Result<_>>()?,
        collect: native.flag("collect")?.unwrap_or(false),
        sysroot: native.text("sysroot")?.map(|text| sysroot(&text, scope)).transpose()?,
    };
    if choice.is_empty() {
        return Err(native
            .error("`native` brings nothing along")
            .hint("name `libraries` or `executables`, or set `collect = true` for all libraries that are missed"));
    }
    Ok(choice)
}

fn library(text: Located<String>) -> Result<String> {
    let name = text.value.rsplit('/').next().unwrap_or_default();
    if !name.contains(".so") {
        let shown = if name.starts_with("lib") { name.to_owned() } else { format!("lib{name}") };
        return Err(text
            .error(format!("`{}` is not the name of a shared library", text.value))
            .hint(format!("name it as the loader does: `{shown}.so.1`, with the number that `ldd` shows")));
    }
    only_absolute(text)
}

fn executable(text: Located<String>) -> Result<String> {
    if text.value.is_empty() || text.value.ends_with('/') {
        return Err(text.error(format!("`{}` is not the name of a program", text.value)));
    }
    only_absolute(text)
}

/// A bare name, or a path of the system.
fn only_absolute(text: Located<String>) -> Result<String> {
    if text.value.contains('/') && !text.value.starts_with('/') {
        return Err(text
            .error(format!("`{}` is neither a name nor the path of a file of the system", text.value))
            .hint("what lies in the project is packed anyway, or brought in by `include`; a path begins with `/`, also below `sysroot`"));
    }
    Ok(text.value)
}

fn sysroot(text: &Located<String>, scope: &Scope<'_>) -> Result<PathBuf> {
    let path = fsio::normalize(scope.base, Path::new(&text.value));
    if path.is_dir() {
        return Ok(path);
    }
    let problem = if path.exists() { "is not a folder" } else { "does not exist" };
    Err(text
        .error(format!("the sysroot `{}` {problem}", text.value))
        .hint("it is a folder with the `usr/lib64` of a system, such as an unpacked image of Amazon Linux"))
}
