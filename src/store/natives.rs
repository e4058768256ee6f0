//! What the native files in an archive say of themselves, kept beside it so that no later run inflates them.
//!
//! ```text
//! <alg>-<hex>.natives-2   SHA-256 of the rest, then JSON: of each native member its index, CRC and facts
//! ```
//!
//! Facts are taken while the archive enters the store and every member is inflated anyway. A file that is missing, damaged
//! or of another archive is made anew. The version in its name is that of the facts: whoever changes [`crate::elf::Elf`]
//! counts it up.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::archive::Archive;
use super::digest::sha256;
use crate::elf::Image;
use crate::fsio;

/// The end of its name.
pub(super) const SUFFIX: &str = "natives-2";
/// What stands beside an archive's digest when it has no native members, so that nothing more is opened for it.
pub(super) const NONE: &str = "natives-2: none";
/// Larger files than this are not read: facts are bounded, and an archive has fewer libraries than this holds.
const MOST: u64 = 64 << 20;

/// One native member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Native {
    /// Its index in the archive.
    pub index: usize,
    /// Its CRC-32, by which it is known to be the same file still.
    pub crc32: u32,
    /// Its facts.
    pub image: Image,
}

/// The native members of an archive in the order of their indices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Natives(Vec<Native>);

impl Natives {
    pub(super) fn new(mut found: Vec<Native>) -> Self {
        found.sort_by_key(|native| native.index);
        Self(found)
    }

    /// The facts of the member of an index, if it is native.
    pub fn get(&self, index: usize) -> Option<&Image> {
        let at = self.0.binary_search_by_key(&index, |native| native.index).ok()?;
        Some(&self.0[at].image)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was kept of an archive, if it is whole and speaks of this one.
    pub(super) fn read(archive: &Archive) -> Option<Self> {
        let bytes = fsio::read_bounded(&beside(archive.path()), MOST).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (digest, rest) = text.split_once('\n')?;
        let natives: Self = serde_json::from_str(rest).ok().filter(|_| sha256(rest.as_bytes()).hex() == digest)?;
        let is_of = |native: &Native| archive.members().get(native.index).is_some_and(|m| m.crc32 == native.crc32);
        let ordered = natives.0.windows(2).all(|pair| pair[0].index < pair[1].index);
        (ordered && natives.0.iter().all(is_of)).then_some(natives)
    }

    /// Keeps them beside the archive at `path`.
    pub(super) fn write(&self, path: &Path) -> crate::error::Result<()> {
        let rest = serde_json::to_string(self).unwrap_or_default();
        fsio::write_atomic(&beside(path), format!("{}\n{rest}", sha256(rest.as_bytes()).hex()).as_bytes())
    }
}

pub(super) fn beside(archive: &Path) -> PathBuf {
    archive.with_extension(SUFFIX)
}
