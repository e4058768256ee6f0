//! What a build reads of the project: which files there are, and a copy of them that it runs in, so that nothing is left in
//! the project.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::{Error, Result};
use crate::fsio;
use crate::jvm::pom;
use crate::jvm::project::{GRADLE_BUILDS, GRADLE_SETTINGS};
use crate::process::Tool;
use crate::tree::walk::OUTPUT_LOCK;

/// Never part of what is built, wherever they are.
const LEFT_OUT: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".gradle",
    ".kotlin",
    ".idea",
    ".vscode",
    ".settings",
    ".aws-sam",
    ".bsp",
    ".metals",
    "cdk.out",
    "node_modules",
];
/// Wrappers of the build tools, which may lie above what is built.
const WRAPPERS: &[&str] = &["mvnw", "mvnw.cmd", ".mvn", "gradlew", "gradlew.bat", "gradle/wrapper"];

/// What is built together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Layout {
    /// The folder that all of it lies below.
    pub(super) base: PathBuf,
    /// The folder that the tool is run in, at or below it.
    pub(super) root: PathBuf,
    /// Single files outside of `root`.
    pub(super) beside: Vec<PathBuf>,
    /// Folders that are no part of it.
    pub(super) skip: Vec<PathBuf>,
}

impl Layout {
    /// Files and folders, in the order of their names; whether each is a folder.
    ///
    /// # Errors
    /// When one cannot be read, or a link leads out of the project.
    fn entries(&self, project_root: &Path) -> Result<Vec<(PathBuf, bool)>> {
        let mut out = Vec::new();
        self.walk(&self.root, project_root, &mut out)?;
        for folder in self.root.ancestors().skip(1).take_while(|above| above.starts_with(&self.base)) {
            for wrapper in WRAPPERS.iter().map(|name| folder.join(name)).filter(|path| path.exists()) {
                self.walk(&wrapper, project_root, &mut out)?;
            }
        }
        out.extend(self.beside.iter().map(|file| (file.clone(), false)));
        Ok(out)
    }

    fn walk(&self, from: &Path, project_root: &Path, out: &mut Vec<(PathBuf, bool)>) -> Result<()> {
        let kept = |entry: &DirEntry| is_kept(entry) && !self.skip.iter().any(|skip| entry.path() == skip);
        for entry in WalkDir::new(from).follow_links(true).sort_by_file_name().into_iter().filter_entry(kept) {
            let entry = entry.map_err(|e| Error::failed(format!("Failed to read `{}`", from.display())).because(e))?;
            if entry.path_is_symlink() && !is_inside(entry.path(), project_root) {
                let link = fsio::relative_to(entry.path(), project_root);
                return Err(Error::config(format!("the link `{}` leads out of the project", link.display()))
                    .hint("put a copy of the file in the place of the link"));
            }
            let kind = entry.file_type();
            if kind.is_dir() || kind.is_file() {
                out.push((entry.path().to_owned(), kind.is_dir()));
            }
        }
        Ok(())
    }

    /// All files; nothing when they cannot be told.
    pub(super) fn files(&self, project_root: &Path) -> Option<Vec<PathBuf>> {
        let entries = self.entries(project_root).ok()?.into_iter();
        Some(entries.filter(|(_, is_folder)| !is_folder).map(|(path, _)| path).collect())
    }

    /// Copies everything below `to`, and says where `root` is there.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub(super) fn copy(&self, project_root: &Path, to: &Path) -> Result<PathBuf> {
        for (path, is_folder) in self.entries(project_root)? {
            let target = to.join(path.strip_prefix(&self.base).unwrap_or(&path));
            if is_folder {
                fsio::create_dir_all(&target)?;
                continue;
            }
            fsio::create_dir_all(target.parent().unwrap_or(to))?;
            std::fs::copy(&path, &target).map_err(|e| Error::io("copy", &path, &e))?;
        }
        Ok(to.join(self.root.strip_prefix(&self.base).unwrap_or(Path::new(""))))
    }

    /// The nearest wrapper of a name, in `root` or above it.
    pub(super) fn wrapper(&self, name: &str) -> Option<&Path> {
        let mut above = self.root.ancestors().take_while(|above| above.starts_with(&self.base));
        above.find(|folder| folder.join(name).is_file())
    }

    /// The wrapper of a name in the copy, run by a shell: it need not be executable, and often is not, where Git has lost the
    /// bit. With its folder; nothing when there is none.
    pub(super) fn wrapper_tool(&self, name: &str, copy: &Path) -> Option<(Tool, PathBuf)> {
        let folder = self.wrapper(name)?;
        let folder = copy.join(folder.strip_prefix(&self.base).unwrap_or(folder));
        Some((Tool::new("sh").arg(folder.join(name).as_os_str()), folder))
    }
}

/// Where the nearest wrapper is in `root` or above it, up to the project's root.
pub(super) fn wrapper_folder(root: &Path, project_root: &Path, name: &str) -> Option<PathBuf> {
    let mut above = root.ancestors().take_while(|above| above.starts_with(project_root));
    above.find(|folder| folder.join(name).is_file()).map(Path::to_owned)
}

fn is_kept(entry: &DirEntry) -> bool {
    if entry.depth() == 0 || !entry.file_type().is_dir() {
        return true;
    }
    let name = entry.file_name().to_string_lossy();
    let has = |names: &[&str]| entry.path().parent().is_some_and(|p| names.iter().any(|name| p.join(name).is_file()));
    let is_output = match name.as_ref() {
        "target" => has(&[pom::NAME]),
        "build" => has(&GRADLE_BUILDS) || has(&GRADLE_SETTINGS),
        _ => false,
    };
    let is_ours = || entry.path().join(OUTPUT_LOCK).is_file();
    !is_output && !is_ours() && !LEFT_OUT.contains(&name.as_ref())
}

/// Whether a path, links followed, lies in the project.
fn is_inside(path: &Path, project_root: &Path) -> bool {
    match (path.canonicalize(), project_root.canonicalize()) {
        (Ok(path), Ok(root)) => path.starts_with(root),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_have_left_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for file in [
            "mvnw",
            ".mvn/maven.config",
            "other/pom.xml",
            "app/pom.xml",
            "app/target/classes/A.class",
            "app/src/target/x",
            "app/.git/HEAD",
            "app/g/build.gradle",
            "app/g/build/x",
            "app/g/src/build/x",
            "app/out/api.zip",
            "app/zips/.lambda-pack.lock",
        ] {
            fsio::write_atomic(&at(file), b"x").unwrap();
        }
        let layout =
            Layout { base: at(""), root: at("app"), beside: vec![at("other/pom.xml")], skip: vec![at("app/out")] };
        let root = layout.copy(dir.path(), &at("copy")).unwrap();
        assert_eq!(root, at("copy/app"));
        let mut copied: Vec<String> = WalkDir::new(at("copy"))
            .into_iter()
            .flatten()
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| entry.path().strip_prefix(at("copy")).unwrap().display().to_string())
            .collect();
        copied.sort();
        assert_eq!(
            copied,
            [
                ".mvn/maven.config",
                "app/g/build.gradle",
                "app/g/src/build/x",
                "app/pom.xml",
                "app/src/target/x",
                "mvnw",
                "other/pom.xml"
            ]
        );
        assert_eq!(layout.files(dir.path()).unwrap().len(), copied.len());
        assert_eq!(layout.wrapper("mvnw"), Some(dir.path()));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_leave_the_project_are_not_followed() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("lib")).unwrap();
        let layout = Layout { base: dir.path().into(), root: dir.path().into(), beside: vec![], skip: vec![] };
        let error = layout.copy(dir.path(), &dir.path().join("copy")).unwrap_err().to_string();
        assert!(error.contains("`lib` leads out of the project"), "{error}");
        assert_eq!(layout.files(dir.path()), None);
    }
}
