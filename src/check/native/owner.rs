//! Who brings a file: the package and its version, when that is known.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::view::View;
use crate::resolve::Package;

/// Lists longer than this are not read.
const MAX_RECORD: u64 = 32 << 20;

/// Owners of files. What lies in the archives is only read when somebody asks.
pub(super) struct Owners<'a> {
    packages: &'a [Package],
    view: &'a View<'a>,
    recorded: OnceCell<HashMap<String, String>>,
}

impl<'a> Owners<'a> {
    pub(super) fn new(packages: &'a [Package], view: &'a View<'a>) -> Self {
        Self { packages, view, recorded: OnceCell::new() }
    }

    /// `numpy 2.3.4`, for a path as it is when the function runs.
    pub(super) fn of(&self, path: &str) -> Option<String> {
        let known = path.strip_prefix("/var/task/").and_then(|below| {
            // Of two that bring it the later has won.
            self.packages.iter().rev().find(|package| package.tree.contains(below))
        });
        if let Some(package) = known {
            return Some(format!("{} {}", package.name, package.version));
        }
        self.of_node(path).or_else(|| self.recorded.get_or_init(|| records(self.view)).get(path).cloned())
    }

    /// The package of the innermost `node_modules`, by its `package.json`.
    fn of_node(&self, path: &str) -> Option<String> {
        let (before, below) = path.rsplit_once("/node_modules/")?;
        let mut parts = below.split('/');
        let first = parts.next()?;
        let name = if first.starts_with('@') { format!("{first}/{}", parts.next()?) } else { first.to_owned() };
        let manifest = self.view.entry(&format!("{before}/node_modules/{name}/package.json"));
        let manifest = manifest.filter(|entry| entry.size() <= MAX_RECORD).and_then(|entry| entry.read().ok());
        let json: Option<serde_json::Value> = manifest.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let version = json.as_ref().and_then(|json| json["version"].as_str()).unwrap_or_default();
        Some(format!("{name} {version}").trim_end().to_owned())
    }
}

/// What the `RECORD` of every installed Python package lists.
fn records(view: &View<'_>) -> HashMap<String, String> {
    let mut owners = HashMap::new();
    for (path, entry) in view.entries() {
        let Some(info) = path.strip_suffix(".dist-info/RECORD") else { continue };
        let (root, label) = info.rsplit_once('/').unwrap_or(("", info));
        let Some((name, version)) = label.rsplit_once('-').filter(|_| entry.size() <= MAX_RECORD) else { continue };
        let Ok(record) = entry.read() else { continue };
        for line in String::from_utf8_lossy(&record).lines() {
            // Paths with commas are quoted; no library has one.
            let file = line.split(',').next().unwrap_or_default();
            owners.insert(format!("{root}/{file}"), format!("{name} {version}"));
        }
    }
    owners
}
