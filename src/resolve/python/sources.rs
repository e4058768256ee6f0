//! The files of a project that is built: which there are, what they are known by, and a copy of them. A build runs in the
//! copy, so that nothing is left in the project, and sees nothing of it that is not known.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::{Error, Result};
use crate::fresh::Key;
use crate::fsio;
use crate::store::{Algorithm, digest_of_file};

/// Never part of what is built, wherever they are.
const LEFT_OUT: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "__pycache__",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".pdm-build",
    "__pypackages__",
    ".aws-sam",
    "node_modules",
];

/// Files and folders below a project's own, in the order of their names.
pub(super) struct Sources {
    root: PathBuf,
    /// Below the root; whether it is a folder.
    entries: Vec<(PathBuf, bool)>,
}

impl Sources {
    /// Those of the project in `folder`, without version control, environments and what earlier builds left. Links count for
    /// what they point to, which must not lie outside of `root`: whoever wrote them would choose which files of this machine
    /// are packed.
    pub(super) fn of(folder: &Path, root: &Path) -> Result<Self> {
        let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(is_kept);
        let mut entries = Vec::new();
        for entry in walk {
            let entry =
                entry.map_err(|e| Error::failed(format!("Failed to read `{}`", folder.display())).because(e))?;
            if entry.path_is_symlink() && !is_inside(entry.path(), root) {
                let link = entry.path().strip_prefix(root).unwrap_or(entry.path());
                return Err(Error::config(format!("the link `{}` leads out of the project", link.display()))
                    .hint("put a copy of the file in the place of the link"));
            }
            let (is_folder, is_file) = (entry.file_type().is_dir(), entry.file_type().is_file());
            if is_folder || is_file {
                let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
                entries.push((below.to_owned(), is_folder));
            }
        }
        Ok(Self { root: folder.to_owned(), entries })
    }

    /// What they are known by: names, modes and contents.
    pub(super) fn digest(&self) -> Result<String> {
        let mut key = Key::new();
        for (below, is_folder) in &self.entries {
            let path = self.root.join(below);
            key.add(below.as_os_str().as_encoded_bytes());
            if *is_folder {
                key.add("folder");
            } else {
                key.add(format!("{:o}", mode(&path))).add(digest_of_file(&path, Algorithm::Sha256)?.hex());
            }
        }
        Ok(key.finish())
    }

    /// Copies them into a new folder.
    pub(super) fn copy(&self, to: &Path) -> Result<Self> {
        for (below, is_folder) in &self.entries {
            let (from, target) = (self.root.join(below), to.join(below));
            if *is_folder {
                fsio::create_dir_all(&target)?;
            } else {
                std::fs::copy(&from, &target).map_err(|e| Error::io("copy", &from, &e))?;
            }
        }
        Ok(Self { root: to.to_owned(), entries: self.entries.clone() })
    }
}

/// Copies all files of a folder into a new one.
pub(super) fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fsio::create_dir_all(to)?;
    for entry in WalkDir::new(from).min_depth(1).into_iter().flatten() {
        let at = to.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        if entry.file_type().is_dir() {
            fsio::create_dir_all(&at)?;
        } else if entry.file_type().is_file() {
            std::fs::copy(entry.path(), &at).map_err(|e| Error::io("copy", entry.path(), &e))?;
        }
    }
    Ok(())
}

fn is_kept(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let is_output = entry.depth() == 1 && (name == "build" || name == "dist");
    let is_dropped = LEFT_OUT.contains(&name.as_ref()) || name.ends_with(".egg-info") || is_output;
    entry.depth() == 0 || !(entry.file_type().is_dir() && (is_dropped || entry.path().join("pyvenv.cfg").is_file()))
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode(_path: &Path) -> u32 {
    0
}

/// Whether a path, links followed, lies in the project.
pub(super) fn is_inside(path: &Path, project_root: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| fsio::normalize(path, Path::new("")));
    real(path).starts_with(real(project_root))
}

/// The error of a path that does not.
pub(super) fn outside(path: &Path, project_root: &Path) -> Error {
    Error::config(format!("`{}` lies outside the project `{}`", path.display(), project_root.display()))
        .hint("copy it into the project, or move `lambda-pack.toml` up to a folder that holds both")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn links_that_leave_the_project_are_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fsio::write_atomic(&at("secret"), b"x").unwrap();
        fsio::write_atomic(&at("project/shared"), b"y").unwrap();
        fsio::create_dir_all(&at("project/lib")).unwrap();
        symlink("../shared", at("project/lib/inner")).unwrap();
        let sources = || Sources::of(&at("project/lib"), &at("project"));
        sources().unwrap().copy(&at("copy")).unwrap();
        assert_eq!(std::fs::read(at("copy/inner")).unwrap(), b"y");
        symlink("../../secret", at("project/lib/outer")).unwrap();
        let error = sources().err().unwrap().to_string();
        assert!(error.contains("`lib/outer` leads out of the project"), "{error}");
    }

    #[test]
    fn all_that_a_build_sees_is_part_of_the_digest() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join("p").join(path);
        let digest = || Sources::of(&at(""), dir.path()).unwrap().digest().unwrap();
        fsio::write_atomic(&at("src/a.py"), b"1").unwrap();
        fsio::write_atomic(&at("README.md"), b"1").unwrap();
        let copied = Sources::of(&at(""), dir.path()).unwrap().copy(&dir.path().join("copy")).unwrap();
        let mut seen = vec![digest()];
        assert_eq!(copied.digest().unwrap(), seen[0]);
        let changes: [&dyn Fn(); 5] = [
            &|| fsio::write_atomic(&at("src/a.py"), b"2").unwrap(),
            &|| std::fs::rename(at("README.md"), at("README.rst")).unwrap(),
            &|| fsio::create_dir_all(&at("src/empty")).unwrap(),
            &|| std::fs::set_permissions(at("src/a.py"), std::fs::Permissions::from_mode(0o755)).unwrap(),
            &|| fsio::write_atomic(&at("MANIFEST.in"), b"").unwrap(),
        ];
        for change in changes {
            change();
            assert!(!seen.contains(&digest()));
            seen.push(digest());
        }
        // What is never copied is no part of it.
        fsio::write_atomic(&at("dist/a.whl"), b"").unwrap();
        fsio::write_atomic(&at("src/__pycache__/a.pyc"), b"").unwrap();
        assert_eq!(&digest(), seen.last().unwrap());
    }
}
