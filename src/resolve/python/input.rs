//! Which file in a function's folder decides.

use std::path::{Path, PathBuf};

use super::answers;
use super::requirements::{Line, Requirements};
use super::uv_lock::Lock;
use crate::error::Result;
use crate::store::sha256;

/// The file that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// `uv.lock` and the project's `pyproject.toml`.
    UvLock(PathBuf, PathBuf),
    /// `pylock.toml`.
    Pylock(PathBuf),
    /// `poetry.lock` and the project's `pyproject.toml`.
    Poetry(PathBuf, PathBuf),
    /// `pdm.lock` and the project's `pyproject.toml`.
    Pdm(PathBuf, PathBuf),
    /// `Pipfile.lock`.
    Pipfile(PathBuf),
    /// `requirements.txt`.
    Requirements(PathBuf),
    /// `pyproject.toml` without a lock.
    PyProject(PathBuf),
    /// No dependencies; the folder.
    Nothing(PathBuf),
}

impl Input {
    /// Looks for it in `folder`; a `uv.lock` of a workspace also above, up to `project_root`.
    pub(super) fn find(folder: &Path, project_root: &Path) -> Self {
        let pyproject = folder.join("pyproject.toml");
        let is_there = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        if pyproject.is_file()
            && let Some(lock) = uv_lock(folder, project_root)
        {
            return Self::UvLock(lock, pyproject);
        }
        if let Some(path) = is_there("pylock.toml") {
            return Self::Pylock(path);
        }
        if pyproject.is_file()
            && let Some(lock) = is_there("poetry.lock")
        {
            return Self::Poetry(lock, pyproject);
        }
        if pyproject.is_file()
            && let Some(lock) = is_there("pdm.lock")
        {
            return Self::Pdm(lock, pyproject);
        }
        if let Some(path) = is_there("Pipfile.lock") {
            return Self::Pipfile(path);
        }
        if let Some(path) = is_there("requirements.txt") {
            return Self::Requirements(path);
        }
        if pyproject.is_file() { Self::PyProject(pyproject) } else { Self::Nothing(folder.to_owned()) }
    }

    /// The file, or the folder.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::UvLock(path, _)
            | Self::Poetry(path, _)
            | Self::Pdm(path, _)
            | Self::Pylock(path)
            | Self::Pipfile(path)
            | Self::Requirements(path)
            | Self::PyProject(path)
            | Self::Nothing(path) => path,
        }
    }

    /// Names of the files in a function's folder that would decide if this one were not there: what a person may think is
    /// read.
    pub(super) fn passed_over(&self, folder: &Path) -> Vec<&'static str> {
        const LOCKS: [&str; 6] =
            ["uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.txt"];
        let is_other = |name: &&str| folder.join(name).is_file() && self.path() != folder.join(name);
        LOCKS.into_iter().filter(is_other).collect()
    }

    /// Of what the answer is a function, besides the target: two inputs of one key have the same pins.
    pub(super) fn key(&self) -> Result<String> {
        let folder = self.path().parent().unwrap_or(Path::new("."));
        Ok(match self {
            Self::Nothing(_) => String::new(),
            Self::Requirements(path) => {
                let requirements = Requirements::read(path)?;
                let texts: String = requirements.files.iter().map(|(_, text)| format!("{text}\0")).collect();
                // What paths and index folders mean depends on where the file is.
                let relative = requirements.lines.iter().any(Line::is_relative);
                format!(
                    "r{}{}{}",
                    sha256(texts.as_bytes()),
                    sha256(answers::settings_text(folder).as_bytes()),
                    if relative { path.display().to_string() } else { String::new() }
                )
            }
            Self::Pylock(path)
            | Self::PyProject(path)
            | Self::Poetry(path, _)
            | Self::Pdm(path, _)
            | Self::Pipfile(path) => format!("p{}", path.display()),
            Self::UvLock(_, pyproject) => format!("u{}{}", pyproject.display(), folder.display()),
        })
    }
}

/// The `uv.lock` beside a project, or the one above it that has an entry for it. A lock that cannot be read decides, too:
/// reading it again tells what is wrong.
fn uv_lock(folder: &Path, project_root: &Path) -> Option<PathBuf> {
    let above = folder.ancestors().take_while(|dir| dir.starts_with(project_root));
    above
        .map(|dir| dir.join("uv.lock"))
        .filter(|path| path.is_file())
        .find(|path| path.parent() == Some(folder) || Lock::read(path).is_ok_and(|lock| lock.covers(folder)))
}
