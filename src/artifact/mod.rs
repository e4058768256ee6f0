//! Artifacts that anyone has made, judged against Lambda's rules: `check ARTIFACT…`.
//!
//! ```text
//! zip or folder ──► tree, and what is wrong with it as an archive ──► the rules ──► verdict
//! ```
//!
//! A zip is a stranger's: sizes are bounded before memory is taken, and nothing is unpacked to disk. Which runtime and
//! architecture an artifact is for is guessed from what is in it, unless it is said.

mod directory;
mod folder;
mod guess;
mod image;
mod judge;
mod links;
mod zip;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::tree::Tree;

pub use image::{fix, fix_blobs, judge_blobs};
pub use judge::{Kind, Question, Verdict, judge};

/// An artifact whose files are known.
#[derive(Debug, Default)]
struct Opened {
    tree: Tree,
    findings: Vec<Finding>,
    /// The zip's own bytes; nothing of a folder.
    zip_bytes: Option<u64>,
    /// Whether all that is in it could be read.
    is_whole: bool,
}

/// What is in a zip, and what is wrong with it as an archive.
///
/// # Errors
/// When it is none.
pub(crate) fn open_zip(path: &Path) -> Result<(Tree, Vec<Finding>)> {
    let Opened { tree, findings, .. } = zip::open(path)?;
    Ok((tree, findings))
}

fn open(path: &Path) -> Result<Opened> {
    let neither = |why: &str| {
        Error::config(format!("`{}` is not a zip, a folder or an image{why}", path.display()))
            .hint("name a zip, the folder that is to be zipped, or an OCI layout or archive of an image")
    };
    let Ok(metadata) = fs::metadata(path) else { return Err(neither(": there is no such file")) };
    if metadata.is_dir() {
        return folder::open(path);
    }
    if !metadata.is_file() {
        return Err(neither(""));
    }
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(4).read_to_end(&mut start)).map_err(|e| Error::io("read", path, &e))?;
    // One with something before it has a directory all the same.
    let is_zip = || File::open(path).is_ok_and(|mut file| directory::read(&mut file).is_ok());
    if start.starts_with(b"PK") || is_zip() { zip::open(path) } else { Err(neither("")) }
}
