//! The handler by convention: which file of a folder defines a name that people give to handlers.
//!
//! Files are scanned as text, not executed: a name that is defined, imported or exported at the top level counts, one in
//! a comment or a string does not.

mod dotnet;
mod java;
mod javascript;
mod python;
mod ruby;

use std::path::Path;

use super::Bundle;
use crate::lambda::Family;

/// No handler by convention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingHandler {
    /// What was looked for, or why nothing was.
    pub looked: String,
    /// The next step, when the folder tells which.
    pub hint: Option<String>,
}

/// The handler of a function in `dir` of this language.
///
/// # Errors
/// What was looked for, when nothing of it is there.
pub fn find_handler(family: Family, dir: &Path) -> Result<String, MissingHandler> {
    match family {
        Family::Python { .. } => python::find(dir),
        Family::Node { .. } => javascript::find(dir),
        Family::Java { .. } => java::find(dir),
        Family::Ruby { .. } => ruby::find(dir),
        Family::Dotnet => dotnet::find(dir),
        Family::Provided => Ok("bootstrap".to_owned()),
        _ => Err(MissingHandler { looked: "this language has no convention for it".to_owned(), hint: None }),
    }
}

/// The handler of a function in `dir` that is bundled, by its sources.
///
/// # Errors
/// As [`find_handler`].
pub fn bundle_handler(dir: &Path, bundle: &Bundle) -> Result<String, MissingHandler> {
    javascript::find_source(dir, &bundle.entries)
}
