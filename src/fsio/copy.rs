//! A folder copied to where a build may write into it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::{create_dir_all, normalize};
use crate::error::{Error, Result};

/// More is not copied: it is no source of a function.
const MAX_FILES: usize = 500_000;
/// Links to folders may lead to each other.
const MAX_DEPTH: usize = 16;

/// What is copied, and how far links are followed.
#[derive(Debug, Clone, Copy)]
pub struct Copy<'a> {
    /// The folder.
    pub from: &'a Path,
    /// Links out of the folder become what they lead to when that is below this one; others stay links.
    pub root: &'a Path,
    /// Folders that are not copied, by path.
    pub skip: &'a [PathBuf],
    /// Folders that are not copied, by name.
    pub skip_names: &'a [&'a str],
}

impl Copy<'_> {
    /// Copies to `to`, with times and modes: builds go by them.
    ///
    /// # Errors
    /// When something cannot be read or written, or there is unreasonably much.
    pub fn run(&self, to: &Path) -> Result<()> {
        let mut count = 0;
        self.folder(self.from, to, 0, &mut count)
    }

    fn folder(&self, from: &Path, to: &Path, depth: usize, count: &mut usize) -> Result<()> {
        create_dir_all(to)?;
        let is_copied = |entry: &walkdir::DirEntry| {
            let is_skipped = entry.depth() > 0
                && entry.file_type().is_dir()
                && (self.skip.iter().any(|skip| skip == entry.path())
                    || entry.file_name().to_str().is_some_and(|name| self.skip_names.contains(&name)));
            !is_skipped
        };
        for entry in WalkDir::new(from).min_depth(1).into_iter().filter_entry(is_copied) {
            let entry = entry.map_err(|e| Error::failed(format!("Failed to copy `{}`", from.display())).because(e))?;
            let below = entry.path().strip_prefix(from).unwrap_or(entry.path());
            *count += 1;
            if *count > MAX_FILES {
                let error = Error::failed(format!("`{}` has more than {MAX_FILES} files", self.from.display()));
                return Err(error.hint("point `path` at the folder of the function alone"));
            }
            let to = to.join(below);
            if entry.file_type().is_dir() {
                create_dir_all(&to)?;
            } else if entry.path_is_symlink() {
                self.link(entry.path(), &to, depth, count)?;
            } else if entry.file_type().is_file() {
                file(entry.path(), &to)?;
            }
        }
        Ok(())
    }

    /// A link stays one when it leads to what is copied, too, or out of the project.
    fn link(&self, from: &Path, to: &Path, depth: usize, count: &mut usize) -> Result<()> {
        let target = fs::read_link(from).map_err(|e| Error::io("read", from, &e))?;
        let leads_to = normalize(from.parent().unwrap_or(Path::new("/")), &target);
        let stays = target.is_relative() && leads_to.starts_with(self.from);
        let real =
            fs::canonicalize(from).ok().filter(|real| !stays && depth < MAX_DEPTH && real.starts_with(self.root));
        match real {
            Some(real) if real.is_dir() => self.folder(&real, to, depth + 1, count),
            Some(real) => file(&real, to),
            None if stays => symlink(&target, to),
            None => symlink(&leads_to, to),
        }
    }
}

fn file(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map_err(|e| Error::io("copy", from, &e))?;
    let modified = fs::metadata(from).and_then(|metadata| metadata.modified());
    // `make` compares them; where they cannot be set, it only works more.
    if let (Ok(modified), Ok(file)) = (modified, File::open(to)) {
        let _ = file.set_modified(modified);
    }
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &Path, at: &Path) -> Result<()> {
    std::os::unix::fs::symlink(target, at).map_err(|e| Error::io("create the link", at, &e))
}

#[cfg(not(unix))]
fn symlink(target: &Path, at: &Path) -> Result<()> {
    let real = at.parent().unwrap_or(Path::new(".")).join(target);
    if real.is_file() { file(&real, at) } else { Ok(()) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::fsio::write_atomic;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn links_out_of_the_folder_become_what_they_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let at = |below: &str| root.join(below);
        for name in ["project/f/a", "project/f/.git/x", "project/f/out/x", "project/shared/deep/y", "elsewhere"] {
            write_atomic(&at(name), name.as_bytes()).unwrap();
        }
        crate::fsio::make_executable(&at("project/f/a")).unwrap();
        symlink("a", at("project/f/near")).unwrap();
        symlink("../shared", at("project/f/shared")).unwrap();
        symlink("../../elsewhere", at("project/f/away")).unwrap();
        symlink("nowhere", at("project/f/dangling")).unwrap();
        symlink("..", at("project/shared/loop")).unwrap();
        let project = at("project");
        let skip = [at("project/f/out")];
        let copy = Copy { from: &at("project/f"), root: &project, skip: &skip, skip_names: &[".git"] };
        copy.run(&at("copy")).unwrap();
        let to = |below: &str| at("copy").join(below);
        assert!(!to(".git").exists() && !to("out").exists());
        assert_eq!(fs::read_link(to("near")).unwrap(), Path::new("a"));
        assert_eq!(fs::read(to("shared/deep/y")).unwrap(), b"project/shared/deep/y");
        assert!(!to("shared").is_symlink());
        assert_eq!(fs::read_link(to("away")).unwrap(), at("elsewhere"));
        assert_eq!(fs::read_link(to("dangling")).unwrap(), Path::new("nowhere"));
        let metadata = |path: &Path| fs::metadata(path).unwrap();
        assert_eq!(metadata(&to("a")).modified().unwrap(), metadata(&at("project/f/a")).modified().unwrap());
        assert_eq!(metadata(&to("a")).permissions().mode() & 0o777, 0o755);
    }
}
