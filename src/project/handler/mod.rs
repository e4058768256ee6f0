//! The handler by convention: which file of a folder defines a name that people give to handlers.
//!
//! Files are scanned as text, not executed: a name that is defined, imported or exported at the top level counts, one in
//! a comment or a string does not.

mod javascript;
mod python;

use std::path::Path;

use crate::lambda::Family;

/// The handler of a function in `dir` of this language.
///
/// # Errors
/// What was looked for, in the order of preference, when nothing of it is there.
pub fn find_handler(family: Family, dir: &Path) -> Result<String, Vec<String>> {
    match family {
        Family::Python { .. } => python::find(dir),
        Family::Node { .. } => javascript::find(dir),
        Family::Provided => Ok("bootstrap".to_owned()),
        _ => Err(vec!["`handler` in the config: this language has no convention for it".to_owned()]),
    }
}
