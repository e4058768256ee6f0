//! `packages.lock.json`: NuGet reads and completes a copy, so that nothing is written into the project, and what it has changed of
//! what stood there is known.
//!
//! NuGet's own `RestoreLockedMode` would refuse every lock without a section for the processor, which only projects with
//! `RuntimeIdentifiers` have.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::fsio;

/// Read by MSBuild in each project of a build, from beside which the copies lie.
const PROPERTIES: &str = include_str!("locks.props");

#[derive(Debug, Deserialize)]
struct Lock {
    #[serde(default)]
    dependencies: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

/// Makes a folder for copies; the file that MSBuild has to read.
pub(super) fn prepare(folder: &Path) -> Result<std::path::PathBuf> {
    fsio::create_dir_all(folder)?;
    let file = folder.join("locks.props");
    fsio::write_new(&file, PROPERTIES.as_bytes(), false)?;
    Ok(file)
}

/// What is no longer as locked, by project and package, after a build.
pub(super) fn changed(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io("read", folder, &e))?;
    let mut was: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    was.retain(|path| path.extension() == Some("was".as_ref()));
    was.sort();
    let mut out = Vec::new();
    for was in was {
        let project = was.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (before, after) = (read(&was)?, read(&was.with_extension("json"))?);
        out.extend(differences(&before, &after).into_iter().map(|what| format!("{what} of {project}")));
    }
    Ok(out)
}

fn read(file: &Path) -> Result<Lock> {
    serde_json::from_str(&fsio::read_text(file)?)
        .map_err(|e| Error::failed("`packages.lock.json` cannot be read").because(e))
}

/// Sections that are only in one of them are for other processors, or frameworks that are not built.
fn differences(before: &Lock, after: &Lock) -> Vec<String> {
    let mut out = Vec::new();
    for (target, packages) in &before.dependencies {
        let Some(now) = after.dependencies.get(target) else { continue };
        for name in packages.keys().chain(now.keys().filter(|name| !packages.contains_key(*name))) {
            let version = |lock: &BTreeMap<String, serde_json::Value>| {
                let package = lock.get(name)?;
                Some(package["resolved"].as_str().unwrap_or("of the project").to_owned())
            };
            if packages.get(name) != now.get(name) {
                let said = |version: Option<String>| version.unwrap_or_else(|| "nothing".to_owned());
                out.push(format!("{name} ({}, was {})", said(version(now)), said(version(packages))));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_for_a_processor_changes_nothing() {
        let lock = |text: &str| serde_json::from_str::<Lock>(text).unwrap();
        let before = lock(
            r#"{"version": 1, "dependencies": {"net8.0": {"A": {"resolved": "1.0.0"}, "b": {"type": "Project"}}}}"#,
        );
        let same = r#"{"version": 1, "dependencies": {"net8.0": {"A": {"resolved": "1.0.0"}, "b": {"type": "Project"}}, "net8.0/linux-x64": {"A": {"resolved": "1.0.0"}}}}"#;
        assert_eq!(differences(&before, &lock(same)), Vec::<String>::new());
        let other = lock(r#"{"dependencies": {"net8.0": {"A": {"resolved": "1.1.0"}, "C": {"resolved": "2.0.0"}}}}"#);
        assert_eq!(
            differences(&before, &other),
            ["A (1.1.0, was 1.0.0)", "b (nothing, was of the project)", "C (2.0.0, was nothing)"]
        );
    }
}
