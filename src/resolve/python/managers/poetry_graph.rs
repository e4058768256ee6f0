//! What a `poetry.lock` of before 2.1 is needed for: its edges are walked from `[tool.poetry]`, with markers, extras and
//! Python constraints decided for the target.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pep508_rs::ExtraName;
use serde::Deserialize;

use super::super::manifest::PyProject;
use super::super::names::{self, normalize};
use super::super::selection::Selection;
use super::super::target::Target;
use super::poetry::{Entry, Lock, is_for};
use super::{Reader, constraint};
use crate::error::Result;

/// What a package or a project needs of one name: `"^1.0"`, a table, or several of them for different targets.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(in super::super) enum Edges {
    /// A version.
    Version(String),
    /// A version and more.
    One(Edge),
    /// Several, each with its markers.
    Several(Vec<Edges>),
}

/// A dependency.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in super::super) struct Edge {
    version: Option<String>,
    #[serde(default)]
    extras: Vec<String>,
    markers: Option<String>,
    python: Option<String>,
    platform: Option<String>,
    #[serde(default)]
    optional: bool,
}

impl Edges {
    fn list(&self) -> Vec<Edge> {
        match self {
            Self::Version(version) => vec![Edge { version: Some(version.clone()), ..Edge::default() }],
            Self::One(edge) => vec![edge.clone()],
            // Poetry nests them no deeper.
            Self::Several(several) => several
                .iter()
                .filter_map(|one| match one {
                    Self::Version(version) => Some(Edge { version: Some(version.clone()), ..Edge::default() }),
                    Self::One(edge) => Some(edge.clone()),
                    Self::Several(_) => None,
                })
                .collect(),
        }
    }

    /// Whether it is wanted on a target whatever is selected.
    pub(in super::super) fn is_plain_need(&self, target: &Target) -> bool {
        let holds = |edge: &Edge| {
            edge.markers.as_deref().is_none_or(|m| names::holds(m, &target.markers, &[]).unwrap_or(false))
        };
        self.list().iter().any(|edge| !edge.optional && edge.is_on(target) && holds(edge))
    }
}

impl Edge {
    fn is_on(&self, target: &Target) -> bool {
        self.python.as_deref().is_none_or(|python| is_for(python, target))
            && self.platform.as_deref().is_none_or(|platform| platform == "linux")
    }
}

/// The packages that the main group and the selected ones need.
pub(super) fn needed<'l>(
    lock: &'l Lock,
    reader: &Reader<'_>,
    pyproject: &PyProject,
    selection: &Selection,
    target: &Target,
) -> Result<Vec<&'l Entry>> {
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, entry) in lock.packages.iter().enumerate() {
        by_name.entry(normalize(&entry.name)).or_default().push(index);
    }
    let mut walk = Walk { lock, reader, target, by_name, queue: VecDeque::new() };
    let optional: BTreeSet<String> = selection
        .extras
        .iter()
        .flat_map(|extra| {
            let written = pyproject.poetry_extra(extra);
            lock.extra(extra).cloned().into_iter().flatten().chain(written)
        })
        .map(|need| normalize(name_of(&need)))
        .collect();
    for (name, edges) in pyproject.poetry_dependencies(selection).map_err(|e| e.at(&pyproject.path, None))? {
        for edge in edges.list() {
            if !edge.optional || optional.contains(&normalize(&name)) {
                walk.follow("pyproject.toml", &name, &edge, &selection.extra_names())?;
            }
        }
    }
    walk.all()
}

/// The name at the beginning of `PySocks (>=1.5.6,!=1.5.7)`.
fn name_of(need: &str) -> &str {
    let end = need.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(need.len());
    &need[..end]
}

struct Walk<'l, 'r> {
    lock: &'l Lock,
    reader: &'r Reader<'r>,
    target: &'r Target,
    by_name: BTreeMap<String, Vec<usize>>,
    /// Packages with the extras that are asked of them.
    queue: VecDeque<(usize, Vec<ExtraName>)>,
}

impl<'l> Walk<'l, '_> {
    fn all(&mut self) -> Result<Vec<&'l Entry>> {
        let mut seen: BTreeMap<usize, BTreeSet<ExtraName>> = BTreeMap::new();
        while let Some((index, asked)) = self.queue.pop_front() {
            let is_new = !seen.contains_key(&index);
            let extras = seen.entry(index).or_default();
            let before = extras.len();
            extras.extend(asked);
            if !is_new && extras.len() == before {
                continue;
            }
            let extras: Vec<ExtraName> = extras.iter().cloned().collect();
            let entry = &self.lock.packages[index];
            for (name, edges) in &entry.dependencies {
                for edge in edges.list() {
                    if !edge.optional || entry.is_of_extra(name, &edge, &extras) {
                        self.follow(&entry.name, name, &edge, &extras)?;
                    }
                }
            }
        }
        Ok(seen.into_keys().map(|index| &self.lock.packages[index]).collect())
    }

    fn follow(&mut self, owner: &str, name: &str, edge: &Edge, extras: &[ExtraName]) -> Result<()> {
        if !edge.is_on(self.target) || !self.reader.holds(edge.markers.as_deref().unwrap_or(""), self.target, extras)? {
            return Ok(());
        }
        let index = self.find(owner, name, edge)?;
        self.queue.push_back((index, names::extras(&edge.extras)));
        Ok(())
    }

    fn find(&self, owner: &str, name: &str, edge: &Edge) -> Result<usize> {
        let mut found = self.by_name.get(&normalize(name)).cloned().unwrap_or_default();
        let entry = |index: &usize| &self.lock.packages[*index];
        if found.len() > 1 {
            // Of forks, the one that is for this Python, and that is meant.
            found.retain(|index| entry(index).is_for(self.target));
            let meant = |index: &usize| {
                let version = entry(index).version.parse().ok()?;
                constraint::admits(edge.version.as_deref().unwrap_or("*"), &version)
            };
            found.retain(|index| meant(index).unwrap_or(true));
        }
        match found.last() {
            Some(index) => Ok(*index),
            None => Err(self
                .reader
                .stale(format!("`{owner}` needs `{name}`, which has no entry for {}", self.target.name()))),
        }
    }
}

impl Entry {
    /// Whether an optional dependency belongs to one of these extras: its marker says so, or the list of extras.
    fn is_of_extra(&self, name: &str, edge: &Edge, extras: &[ExtraName]) -> bool {
        if edge.markers.as_deref().is_some_and(|marker| marker.contains("extra")) {
            return true; // decided with the marker
        }
        let wanted = |extra: &str| extras.iter().any(|one| normalize(one.as_ref()) == normalize(extra));
        let mut lists = self.extras.iter().filter(|(extra, _)| wanted(extra)).flat_map(|(_, needs)| needs);
        lists.any(|need| normalize(name_of(need)) == normalize(name))
    }
}
