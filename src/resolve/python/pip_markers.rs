//! pip evaluates markers for the Python that it runs in, not for the one asked for. Its report has every package's
//! requirements, so the graph is walked again with the target's markers: what only pip's Python needs is dropped, and
//! what the target needs but pip left out is an error.

use std::collections::{BTreeSet, HashMap, VecDeque};

use pep508_rs::{ExtraName, Requirement, VersionOrUrl};

use super::ask::Question;
use super::names::{self, normalize};
use super::pip::{Item, Report};
use super::programs::INSTALL_HINT;
use super::requirements::Kind;
use crate::error::{Error, Result};

/// Normalised names of the packages that the target needs.
///
/// # Errors
/// When a marker holds on the target, but not where pip ran, and what it guards is therefore missing.
pub(super) fn reachable(report: &Report, question: &Question<'_>) -> Result<BTreeSet<String>> {
    let items = report.install.iter().map(|item| (normalize(&item.metadata.name), item)).collect();
    let mut walk = Walk { report, question, items, queue: VecDeque::new() };
    walk.start()?;
    let mut seen = BTreeSet::new();
    while let Some((name, extra)) = walk.queue.pop_front() {
        if !seen.insert((name.clone(), extra.clone())) {
            continue;
        }
        let Some(item) = walk.items.get(&name).copied() else { continue };
        let extras: Vec<ExtraName> = extra.into_iter().collect();
        for text in &item.metadata.requires_dist {
            // A requirement that our parser refuses was good enough for pip, which has read it, too.
            if let Ok(requirement) = names::requirement(text) {
                walk.follow(&requirement, &name, &extras)?;
            }
        }
    }
    Ok(seen.into_iter().map(|(name, _)| name).collect())
}

struct Walk<'a> {
    report: &'a Report,
    question: &'a Question<'a>,
    items: HashMap<String, &'a Item>,
    /// A package alone, or with one of its extras.
    queue: VecDeque<(String, Option<ExtraName>)>,
}

impl Walk<'_> {
    /// Begins with what the file asks for.
    fn start(&mut self) -> Result<()> {
        let owner = self.question.shown.display().to_string();
        let mut named = BTreeSet::new();
        for line in self.question.requirements.lines.iter().filter(|line| !line.constraint) {
            if let Kind::Named(requirement, _) = &line.kind {
                named.insert(normalize(requirement.name.as_ref()));
                self.follow(requirement, &owner, &[])?;
            }
        }
        // Asked for by a line that has no name: a URL, or a project on this machine, with or without extras.
        for (name, item) in &self.items {
            if item.requested && !named.contains(name) {
                self.queue.push_back((name.clone(), None));
                let extras = names::extras(&item.requested_extras);
                self.queue.extend(extras.into_iter().map(|extra| (name.clone(), Some(extra))));
            }
        }
        Ok(())
    }

    fn follow(&mut self, requirement: &Requirement, owner: &str, extras: &[ExtraName]) -> Result<()> {
        if !requirement.marker.evaluate(&self.question.target.markers, extras) {
            return Ok(());
        }
        let name = normalize(requirement.name.as_ref());
        if !self.items.get(&name).is_some_and(|item| satisfies(item, requirement)) {
            return Err(self.differs(requirement, owner));
        }
        self.queue.push_back((name.clone(), None));
        self.queue.extend(requirement.extras.iter().map(|extra| (name.clone(), Some(extra.clone()))));
        Ok(())
    }

    fn differs(&self, requirement: &Requirement, owner: &str) -> Error {
        let python = self.report.environment.get("python_version").map_or("?", String::as_str);
        let marker = requirement.marker.try_to_string().unwrap_or_default();
        let target = self.question.target;
        Error::config(format!(
            "`{owner}` needs `{}` where `{marker}`: that holds for {}, but not for the Python {python} that pip runs in, \
             so pip left it out",
            requirement.name,
            target.name()
        ))
        .hint(format!("uv resolves for any Python: {INSTALL_HINT}"))
        .hint(format!("or run with the Python of {} first on PATH", target.runtime.id))
    }
}

fn satisfies(item: &Item, requirement: &Requirement) -> bool {
    match (&requirement.version_or_url, item.metadata.version.parse()) {
        (Some(VersionOrUrl::VersionSpecifier(specifiers)), Ok(version)) => specifiers.contains(&version),
        _ => true,
    }
}
