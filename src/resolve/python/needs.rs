//! What Python packages need of each other: `Requires-Dist` of their `METADATA`, with markers decided for the target.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pep508_rs::{ExtraName, MarkerTree};

use super::names;
use super::target::Target;
use crate::error::Result;
use crate::lambda::{Architecture, Runtime};
use crate::resolve::Package;
use crate::tree::Tree;

/// No `METADATA` is larger.
const MAX_METADATA: u64 = 16 << 20;

/// Who needs whom, for one runtime and processor.
pub(crate) struct Needs {
    target: Target,
    packages: Vec<Described>,
}

/// What a package says of itself.
#[derive(Default)]
struct Described {
    extras: Vec<ExtraName>,
    needs: Vec<Need>,
}

/// A package that is there and may be needed.
struct Need {
    package: usize,
    extras: Vec<ExtraName>,
    marker: MarkerTree,
}

impl Needs {
    /// Reads them.
    ///
    /// # Errors
    /// When the runtime is no Python.
    pub(crate) fn read(packages: &[Package], runtime: &'static Runtime, architecture: Architecture) -> Result<Self> {
        let target = Target::new(runtime, architecture)?;
        let index: HashMap<String, usize> =
            packages.iter().enumerate().map(|(at, package)| (names::normalize(&package.name), at)).collect();
        let described = packages.iter().map(|package| describe(&package.tree, &index)).collect();
        Ok(Self { target, packages: described })
    }

    /// What a package needs with any of its extras.
    pub(crate) fn all(&self, package: usize) -> Vec<usize> {
        let described = &self.packages[package];
        self.active(package, &described.extras).map(|need| need.package).collect()
    }

    /// These packages, and all that they need in turn with the extras that are asked for among them.
    pub(crate) fn closure(&self, roots: &[usize]) -> BTreeSet<usize> {
        let mut extras: BTreeMap<usize, BTreeSet<ExtraName>> = BTreeMap::new();
        let mut left: Vec<(usize, Vec<ExtraName>)> = roots.iter().map(|root| (*root, Vec::new())).collect();
        while let Some((package, asked)) = left.pop() {
            let is_new = !extras.contains_key(&package);
            let known = extras.entry(package).or_default();
            let before = known.len();
            known.extend(asked);
            if is_new || known.len() > before {
                let known: Vec<ExtraName> = known.iter().cloned().collect();
                left.extend(self.active(package, &known).map(|need| (need.package, need.extras.clone())));
            }
        }
        extras.into_keys().collect()
    }

    fn active<'n>(&'n self, package: usize, extras: &'n [ExtraName]) -> impl Iterator<Item = &'n Need> {
        let needs = self.packages[package].needs.iter();
        needs.filter(|need| need.marker.evaluate(&self.target.markers, extras))
    }
}

fn describe(tree: &Tree, index: &HashMap<String, usize>) -> Described {
    let metadata = tree.iter().find(|(path, entry)| {
        let folder = path.as_str().strip_suffix(".dist-info/METADATA");
        folder.is_some_and(|folder| !folder.contains('/')) && entry.size() <= MAX_METADATA
    });
    let bytes = metadata.and_then(|(_, entry)| entry.read().ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // The description follows behind an empty line.
    let headers = text.lines().take_while(|line| !line.trim().is_empty());
    let mut out = Described::default();
    for (key, value) in headers.filter_map(|line| line.split_once(':')) {
        match key.to_ascii_lowercase().as_str() {
            "provides-extra" => out.extras.extend(names::extras([&value.trim().to_owned()])),
            "requires-dist" => out.needs.extend(need(value.trim(), index)),
            _ => {}
        }
    }
    out
}

/// What a requirement is about, if that is there. One that cannot be read needs what it begins with.
fn need(text: &str, index: &HashMap<String, usize>) -> Option<Need> {
    match names::requirement(text) {
        Ok(requirement) => Some(Need {
            package: *index.get(&names::normalize(requirement.name.as_ref()))?,
            extras: requirement.extras,
            marker: requirement.marker,
        }),
        Err(_) => {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let name = text.split(|c| !is_name(c)).next().unwrap_or_default();
            let package = *index.get(&names::normalize(name))?;
            Some(Need { package, extras: Vec::new(), marker: MarkerTree::TRUE })
        }
    }
}
