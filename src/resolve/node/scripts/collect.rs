//! What scripts have left of a package: its files as an archive, without what a compiler needed on the way.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use walkdir::{DirEntry, WalkDir};

use crate::error::{Error, Result};
use crate::fsio::{self, AtomicFile};
use crate::pack::zip::{Header, Method, ZipWriter};
use crate::tree::ArchivePath;

/// A package that is larger afterwards is refused.
const MAX_BYTES: u64 = 1 << 30;
/// npm's own, wherever it puts them.
const OF_NPM: &[&str] = &[".bin", ".package-lock.json"];

/// What there is in a package's folder.
pub(super) struct Folder<'a> {
    /// The folder.
    pub(super) root: &'a Path,
    /// Folders below it that are other packages.
    pub(super) apart: &'a [PathBuf],
    /// Whether the package was published with a file at this path.
    pub(super) is_published: &'a dyn Fn(&str) -> bool,
}

struct File {
    path: PathBuf,
    executable: bool,
}

impl Folder<'_> {
    /// Writes its files as a zip, which says nothing of when and where it was made.
    pub(super) fn write_zip(&self, to: &Path) -> Result<()> {
        let files = self.files()?;
        let mut out = AtomicFile::create(to)?;
        let mut zip = ZipWriter::new(&mut out);
        let mut left = MAX_BYTES;
        for (name, file) in &files {
            let bytes = fsio::read_bounded(&file.path, left)?;
            left -= bytes.len() as u64;
            let header = Header {
                name: name.as_str(),
                mode: if file.executable { 0o100_755 } else { 0o100_644 },
                method: Method::Stored,
                crc32: crc32fast::hash(&bytes),
                compressed_size: bytes.len() as u64,
                size: bytes.len() as u64,
            };
            zip.add(header, &mut bytes.as_slice()).map_err(|e| Error::io("write", to, &e))?;
        }
        zip.finish().map_err(|e| Error::io("write", to, &e))?;
        out.flush().map_err(|e| Error::io("write", to, &e))?;
        out.commit()
    }

    fn files(&self) -> Result<BTreeMap<ArchivePath, File>> {
        let mut files = BTreeMap::new();
        let real_root = fs::canonicalize(self.root).map_err(|e| Error::io("read", self.root, &e))?;
        for entry in WalkDir::new(self.root).min_depth(1).into_iter().filter_entry(|entry| !self.is_left_out(entry)) {
            let entry = entry.map_err(|e| Error::failed("Failed to read what scripts have left").because(e))?;
            if entry.file_type().is_dir() {
                continue;
            }
            let below = entry.path().strip_prefix(self.root).unwrap_or(entry.path());
            let name = ArchivePath::from_disk(below)
                .map_err(|problem| Error::failed(format!("the file `{}` {problem}", below.display())))?;
            let path = match entry.path_is_symlink() {
                true => linked(entry.path(), &real_root).ok_or_else(|| bad_link(below, entry.path()))?,
                false => entry.path().to_owned(),
            };
            let executable = is_executable(&path);
            files.insert(name, File { path, executable });
        }
        Ok(files)
    }

    fn is_left_out(&self, entry: &DirEntry) -> bool {
        let name = entry.file_name().to_str().unwrap_or_default();
        let below = entry.path().strip_prefix(self.root).unwrap_or(entry.path());
        let is_of_npm = OF_NPM.contains(&name) && below.parent().is_some_and(|above| above.ends_with("node_modules"));
        is_of_npm
            || self.apart.iter().any(|other| other == entry.path())
            || (self.is_intermediate(below) && !below.to_str().is_some_and(|below| (self.is_published)(below)))
    }

    /// Whether a path is what node-gyp leaves beside its result: objects, notes on dependencies, and makefiles, which name
    /// folders of this machine and serve nobody but the next run of the compiler.
    fn is_intermediate(&self, below: &Path) -> bool {
        let parts: Vec<&str> = below.iter().map(|part| part.to_str().unwrap_or_default()).collect();
        let Some(at) = parts.iter().position(|part| *part == "build") else { return false };
        let folder = self.root.join(parts[..=at].iter().collect::<PathBuf>());
        if !folder.join("Makefile").is_file() || !folder.join("config.gypi").is_file() {
            return false;
        }
        let is_source =
            |name: &str| name == "gyp-mac-tool" || ["Makefile", ".mk", ".gypi"].iter().any(|end| name.ends_with(end));
        match &parts[at + 1..] {
            ["node_gyp_bins", ..] | ["Release" | "Debug", "obj.target" | "obj" | ".deps", ..] => true,
            [name] => is_source(name),
            ["Release" | "Debug", name] => [".a", ".o", ".d", ".stamp"].iter().any(|end| name.ends_with(end)),
            _ => false,
        }
    }
}

/// The file that a link in the package leads to, if that is in the package, too.
fn linked(link: &Path, real_root: &Path) -> Option<PathBuf> {
    fs::canonicalize(link).ok().filter(|target| target.starts_with(real_root) && target.is_file())
}

fn bad_link(below: &Path, link: &Path) -> Error {
    let target = fs::read_link(link).unwrap_or_default();
    Error::failed(format!(
        "the link `{}` leads to `{}`, which is no file of the package",
        below.display(),
        target.display()
    ))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o100 != 0)
}

#[cfg(not(unix))]
fn is_executable(_path: &Path) -> bool {
    false
}

/// Files outside of the package's folder, as one looks at them before and after.
pub(super) struct Surroundings(BTreeMap<PathBuf, (u64, Option<SystemTime>)>);

impl Surroundings {
    /// Looks at what is in `folder` beside the package at `package`.
    pub(super) fn look(folder: &Path, package: &Path) -> Self {
        let is_seen = |entry: &DirEntry| {
            entry.path() != package && !OF_NPM.contains(&entry.file_name().to_str().unwrap_or_default())
        };
        let entries = WalkDir::new(folder).into_iter().filter_entry(is_seen).filter_map(Result::ok);
        let files = entries.filter(|entry| !entry.file_type().is_dir()).filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let path = entry.path().strip_prefix(folder).ok()?.to_owned();
            Some((path, (metadata.len(), metadata.modified().ok())))
        });
        Self(files.collect())
    }

    /// What is there now and was not before, or was otherwise.
    pub(super) fn changed_since(&self, before: &Self) -> Vec<String> {
        let changed = self.0.iter().filter(|(path, seen)| before.0.get(*path) != Some(*seen));
        changed.map(|(path, _)| path.display().to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Archive;

    #[test]
    fn what_the_compiler_needed_is_left_out_unless_it_was_published() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("p");
        for path in [
            "package.json",
            "index.js",
            "build/Makefile",
            "build/config.gypi",
            "build/x.target.mk",
            "build/binding.Makefile",
            "build/Release/x.node",
            "build/Release/x.a",
            "build/Release/obj.target/x.node",
            "build/Release/.deps/x.d",
            "build/data.json",
            "dist/build/Makefile",
            "node_modules/.bin/tool",
            "node_modules/own/index.js",
            "node_modules/other/index.js",
        ] {
            fsio::write_atomic(&root.join(path), b"x").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("index.js", root.join("link.js")).unwrap();
        let apart = [root.join("node_modules/other")];
        let zipped = |published: &[&str]| {
            let is_published = |path: &str| published.contains(&path);
            let zip = dir.path().join("out.zip");
            Folder { root: &root, apart: &apart, is_published: &is_published }.write_zip(&zip)?;
            let archive = Archive::open(&zip, false)?;
            Ok::<_, Error>(archive.members().iter().map(|m| m.path.as_str().to_owned()).collect::<Vec<_>>())
        };
        let mut all = vec![
            "build/Release/x.node",
            "build/data.json",
            "dist/build/Makefile",
            "index.js",
            "node_modules/own/index.js",
            "package.json",
        ];
        if cfg!(unix) {
            all.insert(4, "link.js");
        }
        assert_eq!(zipped(&[]).unwrap(), all);
        assert!(zipped(&["build/config.gypi"]).unwrap().contains(&"build/config.gypi".to_owned()));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/etc/passwd", root.join("away")).unwrap();
            assert!(zipped(&[]).unwrap_err().to_string().contains("`away` leads to `/etc/passwd`"));
        }
    }

    #[test]
    fn what_is_written_elsewhere_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fsio::write_atomic(&at("node_modules/p/a"), b"1").unwrap();
        fsio::write_atomic(&at("node_modules/q/a"), b"1").unwrap();
        let look = || Surroundings::look(dir.path(), &at("node_modules/p"));
        let before = look();
        fsio::write_atomic(&at("node_modules/p/a"), b"22").unwrap();
        fsio::write_atomic(&at("node_modules/.bin/p"), b"22").unwrap();
        assert!(look().changed_since(&before).is_empty());
        fsio::write_atomic(&at("node_modules/q/a"), b"22").unwrap();
        fsio::write_atomic(&at("node_modules/.generated/b"), b"22").unwrap();
        assert_eq!(look().changed_since(&before), ["node_modules/.generated/b", "node_modules/q/a"]);
    }
}
