//! Which extras and dependency groups of a project a function wants beside what the project needs anyway.

use std::collections::BTreeSet;
use std::path::Path;

use pep508_rs::ExtraName;

use super::names::{self, normalize};
use crate::error::{Error, Result};
use crate::project::FunctionSpec;

/// Names of extras and groups, each in its one form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Optional dependencies.
    pub(super) extras: BTreeSet<String>,
    /// Dependency groups.
    pub(super) groups: BTreeSet<String>,
}

/// One of the two kinds of names.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// `extras`.
    Extra,
    /// `groups`.
    Group,
}

impl Selection {
    /// What the config says of a function.
    pub(super) fn of(function: &FunctionSpec) -> Self {
        let set = |names: &[String]| names.iter().map(|name| normalize(name)).collect();
        Self { extras: set(&function.extras), groups: set(&function.groups) }
    }

    /// Two selections of one key are the same.
    pub(super) fn key(&self) -> String {
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(",");
        format!("[{}][{}]", list(&self.extras), list(&self.groups))
    }

    /// The extras as markers compare them.
    pub(super) fn extra_names(&self) -> Vec<ExtraName> {
        names::extras(&self.extras)
    }

    /// Refuses a name that is not among the known ones.
    pub(super) fn check<'k>(&self, kind: Kind, known: impl IntoIterator<Item = &'k String>, file: &Path) -> Result<()> {
        let wanted = match kind {
            Kind::Extra => &self.extras,
            Kind::Group => &self.groups,
        };
        let known: BTreeSet<String> = known.into_iter().map(|name| normalize(name)).collect();
        match wanted.iter().find(|name| !known.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(unknown(kind, name, &known, file)),
        }
    }

    /// Refuses any selection, where `what` has neither extras nor groups.
    pub(super) fn refuse(&self, what: &str, file: &Path) -> Result<()> {
        let first = self.extras.iter().map(|name| (Kind::Extra, name));
        match first.chain(self.groups.iter().map(|name| (Kind::Group, name))).next() {
            None => Ok(()),
            Some((kind, name)) => Err(Error::config(format!("{what} has no {} `{name}`", kind.name()))
                .at(file, None)
                .hint(format!("take it out of `{}s` for this function, or pack from a lock that has it", kind.name()))),
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Extra => "extra",
            Self::Group => "group",
        }
    }
}

fn unknown(kind: Kind, name: &str, known: &BTreeSet<String>, file: &Path) -> Error {
    let kind = kind.name();
    let error = Error::config(format!("there is no {kind} `{name}`")).at(file, None);
    let list: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    match list.is_empty() {
        true => error.hint(format!("the project has no {kind}s; take it out of `{kind}s` in the config")),
        false => error.hint(format!("the {kind}s are {}", list.join(", "))),
    }
}
