//! Reading TOML: errors name file, line and column. And what `pyproject.toml` says of its project (PEP 621), of its
//! dependency groups (PEP 735), and of both for Poetry and PDM.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::managers::poetry_graph::Edges;
use super::names::{self, normalize};
use super::selection::Selection;
use super::target::Target;
use crate::error::{Error, Result};
use crate::fsio;

/// Groups that include each other deeper than this do so without end.
const MAX_INCLUDES: usize = 16;

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
    /// Requirements, or tables that include another group.
    #[serde(default, rename = "dependency-groups")]
    groups: BTreeMap<String, Vec<toml::Value>>,
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
    /// What its extras need.
    #[serde(default, rename = "optional-dependencies")]
    optional_dependencies: BTreeMap<String, Vec<String>>,
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
        let says_no = |tool: &str, key: &str| {
            self.tool(tool).and_then(|t| t.get(key)).and_then(toml::Value::as_bool) == Some(false)
        };
        let is_package = !says_no("poetry", "package-mode") && !says_no("pdm", "distribution");
        self.build_system.is_some() && self.name().is_some() && is_package && folder.join("src").is_dir()
    }

    /// The project's name.
    pub(super) fn name(&self) -> Option<&str> {
        let of_poetry = || self.tool("poetry")?.get("name")?.as_str();
        self.project.as_ref().and_then(|project| project.name.as_deref()).or_else(of_poetry)
    }

    /// The settings of a tool.
    pub(super) fn tool(&self, name: &str) -> Option<&toml::Table> {
        self.tool.get(name)?.as_table()
    }

    /// Names of its extras.
    pub(super) fn extra_names(&self) -> Vec<String> {
        let of_project = self.project.iter().flat_map(|project| project.optional_dependencies.keys());
        of_project.chain(keys(self.tool("poetry"), "extras")).cloned().collect()
    }

    /// Names of its dependency groups, the tools' own among them.
    pub(super) fn group_names(&self) -> Vec<String> {
        let (poetry, pdm) = (self.tool("poetry"), self.tool("pdm"));
        let of_tools = keys(poetry, "group").chain(keys(pdm, "dev-dependencies"));
        let dev = poetry.is_some_and(|table| table.contains_key("dev-dependencies"))
            || self.tool("uv").is_some_and(|table| table.contains_key("dev-dependencies"));
        self.groups.keys().chain(of_tools).cloned().chain(dev.then(|| "dev".to_owned())).collect()
    }

    /// What an extra adds.
    pub(super) fn extra(&self, name: &str) -> Vec<String> {
        let all = self.project.iter().flat_map(|project| &project.optional_dependencies);
        all.filter(|(extra, _)| normalize(extra) == name).flat_map(|(_, needs)| needs).cloned().collect()
    }

    /// What a dependency group needs, with the groups that it includes.
    pub(super) fn group(&self, name: &str) -> Result<Vec<String>> {
        let mut out = Vec::new();
        self.add_group(name, 0, &mut out)?;
        for table in [self.tool("pdm"), self.tool("uv")].into_iter().flatten() {
            match table.get("dev-dependencies") {
                Some(toml::Value::Table(groups)) => {
                    let found = groups.iter().filter(|(group, _)| normalize(group) == name);
                    out.extend(found.flat_map(|(_, needs)| texts(needs)));
                }
                Some(needs @ toml::Value::Array(_)) if name == "dev" => out.extend(texts(needs)),
                _ => {}
            }
        }
        Ok(out)
    }

    fn add_group(&self, name: &str, depth: usize, out: &mut Vec<String>) -> Result<()> {
        if depth > MAX_INCLUDES {
            return Err(Error::config(format!("the dependency group `{name}` includes itself")).at(&self.path, None));
        }
        for need in self.groups.iter().filter(|(group, _)| normalize(group) == name).flat_map(|(_, needs)| needs) {
            match (need.as_str(), need.get("include-group").and_then(toml::Value::as_str)) {
                (Some(text), _) => out.push(text.to_owned()),
                (None, Some(other)) => self.add_group(&normalize(other), depth + 1, out)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// What the selected extras and groups need, as requirement texts.
    pub(super) fn selected(&self, selection: &Selection) -> Result<Vec<String>> {
        let mut out: Vec<String> = selection.extras.iter().flat_map(|extra| self.extra(extra)).collect();
        for group in &selection.groups {
            out.extend(self.group(group)?);
        }
        Ok(out)
    }

    /// Normalised names of what `[project]` needs on a target; what cannot be read is left to whoever resolves.
    pub(super) fn needs(&self, target: &Target) -> Vec<String> {
        let read = self.dependencies().unwrap_or_default().iter().filter_map(|text| names::requirement(text).ok());
        let held = read.filter(|requirement| requirement.marker.evaluate(&target.markers, &[]));
        held.map(|requirement| normalize(requirement.name.as_ref())).collect()
    }

    /// Normalised names of what `[tool.poetry.dependencies]` needs on a target, when that is where dependencies stand.
    pub(super) fn poetry_needs(&self, target: &Target) -> Vec<String> {
        if self.dependencies().is_some_and(|all| !all.is_empty()) {
            return Vec::new(); // Then the table only says where packages come from.
        }
        let all = self.poetry_dependencies(&Selection::default()).unwrap_or_default();
        let needed = all.into_iter().filter(|(_, edges)| edges.is_plain_need(target));
        needed.map(|(name, _)| normalize(&name)).collect()
    }

    /// Names that an extra of `[tool.poetry.extras]` lists.
    pub(super) fn poetry_extra(&self, name: &str) -> Vec<String> {
        let extras = self.tool("poetry").and_then(|poetry| poetry.get("extras")).and_then(toml::Value::as_table);
        extras.into_iter().flatten().filter(|(extra, _)| normalize(extra) == name).flat_map(|(_, v)| texts(v)).collect()
    }

    /// The dependencies of Poetry's main group, and of the selected ones.
    pub(super) fn poetry_dependencies(&self, selection: &Selection) -> Result<Vec<(String, Edges)>> {
        let Some(poetry) = self.tool("poetry") else { return Ok(Vec::new()) };
        let table = |value: Option<&toml::Value>| value.and_then(toml::Value::as_table).cloned().unwrap_or_default();
        let mut all = vec![table(poetry.get("dependencies"))];
        for (name, group) in table(poetry.get("group")) {
            if selection.groups.contains(&normalize(&name)) {
                all.push(table(group.get("dependencies")));
            }
        }
        if selection.groups.contains("dev") {
            all.push(table(poetry.get("dev-dependencies")));
        }
        let edges = |(name, value): (String, toml::Value)| {
            let read = value.try_into::<Edges>();
            let read =
                read.map_err(|e| Error::config(format!("the dependency `{name}` cannot be read")).because(e.message()));
            Ok((name, read?))
        };
        all.into_iter().flatten().filter(|(name, _)| name != "python").map(edges).collect()
    }
}

fn keys<'t>(table: Option<&'t toml::Table>, key: &str) -> impl Iterator<Item = &'t String> {
    table.and_then(|table| table.get(key)).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys)
}

/// The texts of a list.
fn texts(value: &toml::Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(|one| one.as_str().map(str::to_owned)).collect()
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
