//! Paths inside an archive, checked once when they are made.

use std::borrow::Borrow;
use std::fmt;
use std::path::{Component, Path};

/// A relative path of UTF-8 components joined by `/`: none of them empty, `.` or `..`, and no NUL byte. Orders by bytes,
/// which is the order of entries in a zip.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchivePath(String);

/// Why a path may not stand in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// No components.
    #[error("is empty")]
    Empty,
    /// Starts at a root or a drive.
    #[error("is absolute")]
    Absolute,
    /// Has a `..` component.
    #[error("has a `..` component")]
    Escapes,
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Has a NUL byte or, in a name from an archive, a backslash.
    #[error("has a byte that no portable path has")]
    BadByte,
    /// Longer than the 65,535 bytes that a zip can name; Linux takes 4,096.
    #[error("is longer than 4,096 bytes")]
    TooLong,
}

impl ArchivePath {
    /// From text as an archive, a lock file or a config has it. `.` components and a trailing slash are dropped;
    /// backslashes are refused, because tools disagree on what they mean.
    pub fn new(text: &str) -> Result<Self, PathProblem> {
        if text.contains('\\') {
            return Err(PathProblem::BadByte);
        }
        Self::from_components(text.split('/').enumerate().filter_map(|(i, part)| match part {
            "" if i == 0 && text.starts_with('/') => Some(Err(PathProblem::Absolute)),
            "" | "." => None,
            ".." => Some(Err(PathProblem::Escapes)),
            part => Some(Ok(part)),
        }))
    }

    /// From a relative path on disk.
    pub fn from_disk(path: &Path) -> Result<Self, PathProblem> {
        Self::from_components(path.components().filter_map(|component| match component {
            Component::Prefix(_) | Component::RootDir => Some(Err(PathProblem::Absolute)),
            Component::CurDir => None,
            Component::ParentDir => Some(Err(PathProblem::Escapes)),
            Component::Normal(part) => Some(part.to_str().ok_or(PathProblem::NotUtf8)),
        }))
    }

    fn from_components<'a>(parts: impl Iterator<Item = Result<&'a str, PathProblem>>) -> Result<Self, PathProblem> {
        let mut out = String::new();
        for part in parts {
            let part = part?;
            if part.contains('\0') {
                return Err(PathProblem::BadByte);
            }
            if !out.is_empty() {
                out.push('/');
            }
            out.push_str(part);
        }
        match out.len() {
            0 => Err(PathProblem::Empty),
            1..=4_096 => Ok(Self(out)),
            _ => Err(PathProblem::TooLong),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// This path below `prefix`; an empty prefix changes nothing.
    #[must_use]
    pub fn below(&self, prefix: &str) -> Self {
        if prefix.is_empty() { self.clone() } else { Self(format!("{}/{}", prefix.trim_end_matches('/'), self.0)) }
    }
}

impl Borrow<str> for ArchivePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArchivePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_names_are_refused() {
        for (text, problem) in [
            ("/etc/passwd", PathProblem::Absolute),
            ("a/../../b", PathProblem::Escapes),
            ("..", PathProblem::Escapes),
            ("", PathProblem::Empty),
            ("./", PathProblem::Empty),
            ("a\0b", PathProblem::BadByte),
            ("a\\..\\b", PathProblem::BadByte),
        ] {
            assert_eq!(ArchivePath::new(text), Err(problem), "{text:?}");
        }
        assert_eq!(ArchivePath::new("./a//b/").unwrap().as_str(), "a/b");
    }

    proptest! {
        #[test]
        fn what_is_accepted_stays_below_its_root(text in "[a./\\\\é\0]{0,12}") {
            if let Ok(path) = ArchivePath::new(&text) {
                prop_assert!(!path.as_str().starts_with('/'));
                prop_assert!(path.as_str().split('/').all(|p| !p.is_empty() && p != "." && p != ".."));
                prop_assert_eq!(ArchivePath::new(path.as_str()).unwrap(), path);
            }
        }
    }
}
