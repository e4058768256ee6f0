//! A folder that is the root of an image. Paths lead where they would lead inside, and never out of it: whoever wrote the image
//! may have written `etc -> /` or `a -> ../../..`.
//!
//! Nobody else may write into the folder meanwhile; links are looked at one by one, and what is given back has none.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Links after links are followed so often, as Linux does.
const MAX_LINKS: usize = 40;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Rooted {
    root: PathBuf,
}

impl Rooted {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where a path leads, from the root on and without a link in it, whether something is there or not.
    ///
    /// # Errors
    /// When links lead in a circle.
    pub(crate) fn follow(&self, path: &Path) -> io::Result<PathBuf> {
        let mut left: VecDeque<OsString> = parts(path).map(OsStr::to_owned).collect();
        let mut at = PathBuf::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            if part == ".." {
                at.pop();
                continue;
            }
            at.push(&part);
            let place = self.root.join(&at);
            if !fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_symlink()) {
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::other(format!("too many levels of symbolic links in `/{}`", path.display())));
            }
            let target = fs::read_link(&place)?;
            at.pop();
            if target.has_root() {
                at = PathBuf::new();
            }
            parts(&target).rev().for_each(|part| left.push_front(part.to_owned()));
        }
        Ok(at)
    }

    /// What a path leads to, and where that is on this machine; nothing when it is not there.
    pub(crate) fn find(&self, path: &Path) -> Option<(PathBuf, Metadata)> {
        let place = self.root.join(self.follow(path).ok()?);
        let metadata = fs::symlink_metadata(&place).ok()?;
        Some((place, metadata))
    }
}

/// The parts of a path; `..` is one, a root or `.` is none.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(part) => Some(part),
        Component::ParentDir => Some(OsStr::new("..")),
        _ => None,
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        for (link, target) in [
            ("lib", "usr/lib"),
            ("up", "../../.."),
            ("abs", "/usr/../usr/lib"),
            ("loop", "loop"),
            ("usr/out", "/../.."),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let rooted = Rooted::new(&root);
        for (path, leads) in [
            ("lib/x", "usr/lib/x"),
            ("/lib/../y", "usr/y"),
            ("up/etc", "etc"),
            ("abs/x", "usr/lib/x"),
            ("usr/out/z", "z"),
            ("../../etc", "etc"),
            ("not/there", "not/there"),
        ] {
            assert_eq!(rooted.follow(Path::new(path)).unwrap(), Path::new(leads), "{path}");
        }
        assert!(rooted.follow(Path::new("loop/x")).is_err());
        assert!(rooted.find(Path::new("abs")).is_some_and(|(_, metadata)| metadata.is_dir()));
        assert!(rooted.find(Path::new("up/nothing")).is_none());
    }
}
