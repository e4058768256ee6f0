//! A project file of MSBuild, as far as packing goes by it: which one it is, what it makes, and for which framework. It is
//! searched as text: what properties are in the end, only MSBuild knows.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::fsio;

/// Endings of project files.
const ENDINGS: [&str; 3] = ["csproj", "fsproj", "vbproj"];

/// The project of a folder.
#[derive(Debug)]
pub(super) struct Project {
    /// Its file.
    pub(super) file: PathBuf,
    /// What its assembly is called.
    pub(super) assembly: String,
    /// Whether it is compiled ahead of time.
    pub(super) is_aot: bool,
}

/// Project files of a folder, in the order of their names.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).ok().into_iter().flatten().flatten().map(|entry| entry.path());
    let is_project = |path: &PathBuf| {
        path.is_file()
            && path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending))
    };
    let mut files: Vec<PathBuf> = entries.filter(is_project).collect();
    files.sort();
    files
}

/// The version of .NET that the project of a folder is for, such as `8`; nothing when it does not say one.
pub(crate) fn framework_of(folder: &Path) -> Option<String> {
    let text = fsio::read_text(files(folder).first()?).ok()?;
    let framework = property(&text, "TargetFramework")?;
    let version = framework.strip_prefix("net")?;
    version.strip_suffix(".0").map(str::to_owned)
}

impl Project {
    /// Of a folder with one project.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let all = files(folder);
        let [file] = all.as_slice() else {
            let names: Vec<String> =
                all.iter().map(|file| file.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect();
            return Err(Error::config(format!("`{}` has several projects: {}", folder.display(), names.join(", ")))
                .hint("give each a folder of its own, and point `path` at one"));
        };
        let text = fsio::read_text(file)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self {
            file: file.clone(),
            assembly: property(&text, "AssemblyName").filter(|name| !name.contains('$')).unwrap_or(stem),
            is_aot: property(&text, "PublishAot").is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }

    /// Its file's name.
    pub(super) fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The text of the first element of a name that no comment holds.
fn property(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    let mut plain = String::new();
    while let Some((before, comment)) = rest.split_once("<!--") {
        plain.push_str(before);
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let start = plain
        .match_indices(&format!("<{name}"))
        .find(|(at, found)| plain[at + found.len()..].starts_with(|c: char| c == '>' || c.is_whitespace()))?;
    let (_, value) = plain[start.0..].split_once('>')?;
    let (value, _) = value.split_once('<')?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_says_its_assembly_and_framework() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fsio::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        write(
            "Api.csproj",
            "<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup><!-- <AssemblyName>no</AssemblyName> -->\n\
            <TargetFrameworks>x</TargetFrameworks><TargetFramework Condition=\"true\">net8.0</TargetFramework></PropertyGroup></Project>",
        );
        let project = Project::read(dir.path()).unwrap();
        assert_eq!((project.assembly.as_str(), project.is_aot, project.name().as_str()), ("Api", false, "Api.csproj"));
        assert_eq!(framework_of(dir.path()).as_deref(), Some("8"));
        write("Api.csproj", "<Project><AssemblyName>bootstrap</AssemblyName><PublishAot>True</PublishAot></Project>");
        let project = Project::read(dir.path()).unwrap();
        assert_eq!((project.assembly.as_str(), project.is_aot), ("bootstrap", true));
        assert_eq!(framework_of(dir.path()), None);
        write("Other.fsproj", "<Project/>");
        assert!(
            Project::read(dir.path()).unwrap_err().message().contains("several projects: Api.csproj, Other.fsproj")
        );
    }
}
