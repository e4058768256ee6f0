//! Whether functions name the same packages, told from their manifests alone: `init` resolves nothing.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::fsio;
use crate::jvm::{self, pom::Pom};

/// Whether a package is named by two of these folders.
pub(super) fn shares_packages(folders: &[PathBuf]) -> bool {
    let mut seen: HashSet<(&str, String)> = HashSet::new();
    // A folder's own are there once each.
    folders.iter().any(|folder| packages(folder).into_iter().any(|package| !seen.insert(package)))
}

/// Languages and names, each once.
fn packages(folder: &Path) -> BTreeSet<(&'static str, String)> {
    let text = |name: &str| fsio::read_text(&folder.join(name)).unwrap_or_default();
    let mut out: BTreeSet<(&'static str, String)> = BTreeSet::new();
    out.extend(text("requirements.txt").lines().filter_map(requirement).map(|name| ("python", name)));
    if let Ok(document) = text("pyproject.toml").parse::<toml::Table>() {
        let listed = document.get("project").and_then(|project| project.get("dependencies")?.as_array());
        let lines = listed.into_iter().flatten().filter_map(toml::Value::as_str);
        out.extend(lines.filter_map(requirement).map(|name| ("python", name)));
    }
    if let Ok(manifest) = serde_json::from_str::<serde_json::Value>(&text("package.json")) {
        let names = manifest.get("dependencies").and_then(|needs| needs.as_object());
        out.extend(names.into_iter().flat_map(|needs| needs.keys()).map(|name| ("node", name.clone())));
    }
    if let Some(pom) = jvm::project::maven_file(folder).and_then(|file| Pom::read(&file).ok()) {
        out.extend(pom.needs.into_iter().map(|name| ("java", name)));
    }
    out
}

/// The name in a line such as `Requests[socks]>=2 ; python_version > "3"`, as PyPI compares names.
fn requirement(line: &str) -> Option<String> {
    let name: String =
        line.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    (name.starts_with(|c: char| c.is_ascii_alphanumeric())).then(|| name.to_lowercase().replace(['_', '.'], "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_compared_by_names() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str, file: &str, text: &str| {
            let folder = dir.path().join(name);
            fsio::write_atomic(&folder.join(file), text.as_bytes()).unwrap();
            folder
        };
        let a = folder("a", "requirements.txt", "# one\n-r x\nTyping_Extensions>=4 # x\nidna\nidna\n");
        let b = folder("b", "pyproject.toml", "[project]\nname = 'b'\ndependencies = ['typing.extensions[x]==4']\n");
        let c = folder("c", "package.json", r#"{"dependencies": {"idna": "1"}}"#);
        let d = folder("d", "package.json", "{");
        assert!(shares_packages(&[a.clone(), b]));
        assert!(!shares_packages(&[a, c, d]));
    }
}
