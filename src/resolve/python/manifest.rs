//! Reading TOML: errors name file, line and column. And what `pyproject.toml` says of its project (PEP 621).

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::fsio;

/// Reads a TOML file.
pub(super) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse_toml(&fsio::read_text(path)?, path)
}

/// Parses TOML text that came from `path`.
pub(super) fn parse_toml<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T> {
    toml::from_str(text).map_err(|e| {
        let position = e.span().map(|span| line_column(text, span.start));
        Error::config(e.message().to_owned()).at(path, position)
    })
}

/// Line and column, from 1, of a byte.
fn line_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    (line, column)
}

/// `pyproject.toml`, as far as it decides what is packed.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PyProject {
    /// Table `[project]`.
    pub(super) project: Option<ProjectTable>,
    /// Table `[build-system]`; with it the project is a package.
    #[serde(rename = "build-system")]
    pub(super) build_system: Option<toml::Table>,
    #[serde(default)]
    tool: toml::Table,
    /// The file.
    #[serde(skip)]
    pub(super) path: PathBuf,
}

/// Table `[project]`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ProjectTable {
    /// The project's name.
    pub(super) name: Option<String>,
    /// What it needs, as requirement texts.
    #[serde(default)]
    pub(super) dependencies: Vec<String>,
    /// Fields that only the build backend knows.
    #[serde(default)]
    pub(super) dynamic: Vec<String>,
    /// The Pythons that it is for.
    #[serde(rename = "requires-python")]
    pub(super) requires_python: Option<String>,
}

impl PyProject {
    /// Reads it.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut read: Self = read_toml(path)?;
        read.path = path.to_owned();
        Ok(read)
    }

    /// The dependencies when they are written down here, not left to the build backend.
    pub(super) fn dependencies(&self) -> Option<&[String]> {
        let project = self.project.as_ref()?;
        (!project.dynamic.iter().any(|field| field == "dependencies")).then_some(project.dependencies.as_slice())
    }

    /// Whether the dependencies are written for a tool of before PEP 621, which only that tool can read.
    pub(super) fn is_poetry_only(&self) -> bool {
        self.project.is_none() && self.tool.get("poetry").is_some_and(|poetry| poetry.get("dependencies").is_some())
    }

    /// Whether uv may take its dependencies from elsewhere on this machine: a source, or a workspace, also of a project
    /// above.
    pub(super) fn names_sources(&self) -> bool {
        let above = self.path.ancestors().skip(1).map(|folder| folder.join("pyproject.toml"));
        above
            .filter_map(|path| fsio::read_text(&path).ok())
            .any(|text| text.contains("sources") || text.contains("workspace"))
    }

    /// Whether the project is a package whose modules lie below `src/`, where Lambda would not find them: its wheel is
    /// built and packed. Modules beside `pyproject.toml` are found where they are.
    pub(super) fn needs_wheel(&self) -> bool {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        self.build_system.is_some() && self.project.is_some() && folder.join("src").is_dir()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_errors_have_a_place() {
        let error = parse_toml::<PyProject>("[project]\nname = \"a\"\ndependencies = [1,\n", Path::new("p.toml"));
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("p.toml:3:") || text.starts_with("p.toml:4:"), "{text}");
    }

    #[test]
    fn dependencies_of_before_pep_621_are_recognised() {
        let poetry: PyProject =
            parse_toml("[tool.poetry.dependencies]\nrequests = '*'\n", Path::new("pyproject.toml")).unwrap();
        assert!(poetry.is_poetry_only() && poetry.dependencies().is_none());
        let dynamic: PyProject =
            parse_toml("[project]\nname='a'\ndynamic=['dependencies']\n", Path::new("pyproject.toml")).unwrap();
        assert!(dynamic.dependencies().is_none() && !dynamic.is_poetry_only());
    }
}
