//! Who brings a file: the package and its version, when that is known.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::view::View;
use crate::resolve::Package;

/// Lists longer than this are not read.
const MAX_RECORD: u64 = 32 << 20;

/// A Python package as it is installed.
#[derive(Debug)]
struct Installed {
    /// `numpy 2.3.4`.
    label: String,
    /// Its `.dist-info`.
    info: String,
}

/// Owners of files. What lies in the archives is only read when somebody asks.
pub(super) struct Owners<'a> {
    packages: &'a [Package],
    view: &'a View<'a>,
    recorded: OnceCell<HashMap<String, Rc<Installed>>>,
}

impl<'a> Owners<'a> {
    pub(super) fn new(packages: &'a [Package], view: &'a View<'a>) -> Self {
        Self { packages, view, recorded: OnceCell::new() }
    }

    /// `numpy 2.3.4`, for a path as it is when the function runs.
    pub(super) fn of(&self, path: &str) -> Option<String> {
        if let Some(package) = self.known(path) {
            return Some(format!("{} {}", package.name, package.version));
        }
        self.of_node(path).or_else(|| self.installed(path).map(|installed| installed.label.clone()))
    }

    /// Of two packages that bring a path the later has won.
    fn known(&self, path: &str) -> Option<&Package> {
        let below = path.strip_prefix("/var/task/")?;
        self.packages.iter().rev().find(|package| package.tree.contains(below))
    }

    fn installed(&self, path: &str) -> Option<&Rc<Installed>> {
        self.recorded.get_or_init(|| records(self.view)).get(path)
    }

    /// Whether its wheel is for every platform (`py3-none-any`): machine code in such a one is chosen by the package itself,
    /// which does without where there is none.
    pub(super) fn is_universal(&self, path: &str) -> bool {
        let wheel = match self.known(path) {
            Some(package) => {
                let mut entries = package.tree.iter();
                entries.find(|(path, _)| path.as_str().ends_with(".dist-info/WHEEL")).map(|(_, entry)| entry)
            }
            None if path.contains("/node_modules/") => None,
            None => self.installed(path).and_then(|installed| self.view.entry(&format!("{}/WHEEL", installed.info))),
        };
        let wheel = wheel.filter(|entry| entry.size() <= MAX_RECORD).and_then(|entry| entry.read().ok());
        let text = wheel.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let mut tags = text.lines().filter_map(|line| line.strip_prefix("Tag:")).peekable();
        tags.peek().is_some() && tags.all(|tag| tag.trim().ends_with("-none-any"))
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
fn records(view: &View<'_>) -> HashMap<String, Rc<Installed>> {
    let mut owners = HashMap::new();
    for (path, entry) in view.entries() {
        let Some(info) = path.strip_suffix(".dist-info/RECORD") else { continue };
        let (root, label) = info.rsplit_once('/').unwrap_or(("", info));
        let Some((name, version)) = label.rsplit_once('-').filter(|_| entry.size() <= MAX_RECORD) else { continue };
        let Ok(record) = entry.read() else { continue };
        let installed = Rc::new(Installed { label: format!("{name} {version}"), info: format!("{info}.dist-info") });
        for line in String::from_utf8_lossy(&record).lines() {
            // Paths with commas are quoted; no library has one.
            let file = line.split(',').next().unwrap_or_default();
            owners.insert(format!("{root}/{file}"), Rc::clone(&installed));
        }
    }
    owners
}
