//! What one function needs of a `uv.lock`, and whether that was made from what its project says now.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pep508_rs::ExtraName;

use super::super::manifest::PyProject;
use super::super::names::{self, normalize};
use super::super::selection::Selection;
use super::super::target::Target;
use super::{Edge, Lock, Package};
use crate::error::{Error, Result};

/// A lock as one function sees it.
pub(super) struct Walk<'l> {
    lock: &'l Lock,
    root: usize,
    selection: &'l Selection,
    target: &'l Target,
    /// What is selected, as uv's markers name it where extras or groups exclude each other.
    extras: Vec<ExtraName>,
}

/// `extra-4-demo-s3` and `group-4-demo-prod`: the length keeps names apart.
fn conflicting(root: &Package, selection: &Selection) -> Vec<ExtraName> {
    let name = normalize(&root.name);
    let encoded = |kind: &str, one: &String| format!("{kind}-{}-{name}-{one}", name.len());
    let extras = selection.extras.iter().map(|extra| encoded("extra", extra));
    let all: Vec<String> = extras.chain(selection.groups.iter().map(|group| encoded("group", group))).collect();
    names::extras(&all)
}

/// Which of a package's lists of edges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Edges {
    Own,
    Extra(String),
    Group(String),
}

impl<'l> Walk<'l> {
    /// Of the package with the index `root`.
    pub(super) fn new(lock: &'l Lock, root: usize, selection: &'l Selection, target: &'l Target) -> Self {
        Self { lock, root, selection, target, extras: conflicting(&lock.packages[root], selection) }
    }

    /// Indices of the packages that are needed, the root among them.
    pub(super) fn reachable(&self) -> Result<BTreeSet<usize>> {
        let mut seen: BTreeSet<(usize, Edges)> = BTreeSet::new();
        let mut queue = VecDeque::from([(self.root, Edges::Own)]);
        queue.extend(self.selection.extras.iter().map(|extra| (self.root, Edges::Extra(extra.clone()))));
        queue.extend(self.selection.groups.iter().map(|group| (self.root, Edges::Group(group.clone()))));
        while let Some((index, which)) = queue.pop_front() {
            if !seen.insert((index, which.clone())) {
                continue;
            }
            let package = &self.lock.packages[index];
            let named = |lists: &'_ BTreeMap<String, Vec<Edge>>, wanted: &str| {
                lists.iter().find(|(name, _)| normalize(name) == normalize(wanted)).map(|(name, _)| name.clone())
            };
            let edges = match &which {
                Edges::Own => Some(&package.dependencies),
                Edges::Extra(extra) => named(&package.optional_dependencies, extra)
                    .and_then(|name| package.optional_dependencies.get(&name)),
                Edges::Group(group) => {
                    named(&package.dev_dependencies, group).and_then(|name| package.dev_dependencies.get(&name))
                }
            };
            for edge in edges.into_iter().flatten() {
                if !self.holds(&edge.marker)? {
                    continue;
                }
                let next = self.find(edge, package)?;
                queue.push_back((next, Edges::Own));
                queue.extend(edge.extra.iter().map(|extra| (next, Edges::Extra(extra.clone()))));
            }
        }
        Ok(seen.into_iter().map(|(index, _)| index).collect())
    }

    fn holds(&self, marker: &str) -> Result<bool> {
        self.lock.holds(marker, self.target, &self.extras)
    }

    fn find(&self, edge: &Edge, owner: &Package) -> Result<usize> {
        let mut found = Vec::new();
        for (index, package) in self.lock.packages.iter().enumerate() {
            let same = package.name == edge.name
                && edge.version.as_ref().is_none_or(|version| *version == package.version)
                && edge.source.as_ref().is_none_or(|source| *source == package.source);
            if same {
                found.push(index);
            }
        }
        if found.len() > 1 {
            let mut in_fork = Vec::new();
            for index in found {
                let forks = &self.lock.packages[index].resolution_markers;
                if forks.is_empty() || forks.iter().map(|m| self.holds(m)).collect::<Result<Vec<_>>>()?.contains(&true)
                {
                    in_fork.push(index);
                }
            }
            found = in_fork;
        }
        let (owner, name, target) = (&owner.name, &edge.name, self.target.name());
        match found[..] {
            [one] => Ok(one),
            [] => Err(self
                .lock
                .error(format!("`{owner}` needs `{name}`, which has no entry for {target}"))
                .hint("run `uv lock`")),
            _ => Err(self.lock.error(format!("`{owner}` needs `{name}`, of which several entries are for {target}"))),
        }
    }

    /// Compares what the lock was made from with what `pyproject.toml` says now, as far as the target sees it and as far as
    /// it is selected.
    pub(super) fn compare(&self, root: &Package, pyproject: &PyProject) -> Result<()> {
        let extras = self.selection.extra_names();
        let of_project = |texts: &[String]| {
            let declared =
                |text: &String| declared(text, self.target).map_err(|e| e.at(&pyproject.path, None)).transpose();
            texts.iter().filter_map(declared).collect::<Result<Vec<_>>>()
        };
        if let Some(dependencies) = pyproject.dependencies() {
            let optional: Vec<String> = self.selection.extras.iter().flat_map(|extra| pyproject.extra(extra)).collect();
            let wanted = of_project(&[dependencies, &optional].concat())?;
            self.same(&wanted, &self.written(&root.metadata.requires_dist, &extras)?)?;
        }
        for group in &self.selection.groups {
            let locked = root.metadata.requires_dev.iter().filter(|(name, _)| normalize(name) == *group);
            let locked: Vec<toml::Table> = locked.flat_map(|(_, needs)| needs).cloned().collect();
            self.same(&of_project(&pyproject.group(group)?)?, &self.written(&locked, &[])?)?;
        }
        Ok(())
    }

    /// What the lock was made from: names, and the specifiers of what is in an index.
    fn written(&self, entries: &[toml::Table], extras: &[ExtraName]) -> Result<Vec<Declared>> {
        let mut locked = Vec::new();
        for entry in entries {
            let text = |key: &str| entry.get(key).and_then(toml::Value::as_str).unwrap_or_default();
            if !self.lock.holds(text("marker"), self.target, extras)? {
                continue;
            }
            let from_index =
                entry.keys().all(|key| ["name", "extras", "specifier", "marker", "index"].contains(&key.as_str()));
            locked.push((normalize(text("name")), from_index.then(|| specifiers(text("specifier")))));
        }
        Ok(locked)
    }

    fn same(&self, wanted: &[Declared], locked: &[Declared]) -> Result<()> {
        let stale = |message: String| Err(self.lock.error(message).hint("run `uv lock`"));
        let text = |specifiers: &Option<Vec<String>>| specifiers.clone().unwrap_or_default().join(",");
        for (name, now) in wanted {
            let known: Vec<_> = locked.iter().filter(|(one, _)| one == name).map(|(_, then)| then).collect();
            match known.first() {
                None => return stale(format!("pyproject.toml needs `{name}`, which the lock does not know")),
                // What has no specifiers is no version of an index.
                Some(then) if !known.iter().any(|then| now.is_none() || then.is_none() || *then == now) => {
                    let (now, then) = (text(now), text(then));
                    return stale(format!("pyproject.toml needs `{name}{now}`, but `{name}{then}` was locked"));
                }
                Some(_) => {}
            }
        }
        match locked.iter().find(|(name, _)| !wanted.iter().any(|(one, _)| one == name)) {
            Some((name, _)) => stale(format!("the lock was made with `{name}`, which pyproject.toml no longer needs")),
            None => Ok(()),
        }
    }
}

/// A normalised name, and its version specifiers, if it is from an index.
type Declared = (String, Option<Vec<String>>);

/// A requirement's name and version specifiers; nothing when its marker rules the target out. URLs have no specifiers.
fn declared(text: &str, target: &Target) -> Result<Option<Declared>> {
    let requirement = names::requirement(text)
        .map_err(|(why, _)| Error::config(format!("`{text}` is no requirement")).because(why))?;
    if !requirement.marker.evaluate(&target.markers, &[]) {
        return Ok(None);
    }
    let specifier = match &requirement.version_or_url {
        None => Some(Vec::new()),
        Some(pep508_rs::VersionOrUrl::VersionSpecifier(found)) => Some(specifiers(&found.to_string())),
        Some(pep508_rs::VersionOrUrl::Url(_)) => None,
    };
    Ok(Some((normalize(requirement.name.as_ref()), specifier)))
}

/// Version specifiers, each in one spelling, in a fixed order.
fn specifiers(text: &str) -> Vec<String> {
    let mut out: Vec<String> = match text.parse::<pep508_rs::pep440_rs::VersionSpecifiers>() {
        Ok(found) => found.iter().map(ToString::to_string).collect(),
        Err(_) => vec![text.to_owned()],
    };
    out.sort();
    out.retain(|one| !one.is_empty());
    out
}
