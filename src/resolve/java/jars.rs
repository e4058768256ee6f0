//! Jars: how they are called in `lib/`, and how a folder of classes becomes one whose bytes depend on nothing else.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::error::{Error, Result};
use crate::fsio;
use crate::lambda::UNZIPPED_LIMIT;
use crate::pack::deflate::deflate;
use crate::pack::zip::{Header, Method, ZipWriter};
use crate::resolve::Package;
use crate::tree::{ArchivePath, Entry, Source, Tree};

/// Where Lambda looks for jars, in the order of their names.
pub(super) const LIB: &str = "lib";

/// A dependency as a build tool names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Artifact {
    /// Its group; empty for a jar that comes from no repository.
    pub(super) group: String,
    /// Its name in the group.
    pub(super) name: String,
    /// Its version; may be empty.
    pub(super) version: String,
    /// What tells it from others of the same name and version, such as `linux-x86_64`.
    pub(super) classifier: String,
    /// The jar, or the folder of another module's classes.
    pub(super) files: Vec<PathBuf>,
}

impl Artifact {
    /// Its name in messages and manifests: `group:name`.
    fn label(&self) -> String {
        let parts = [&self.group, &self.name, &self.classifier];
        parts.iter().filter(|part| !part.is_empty()).map(|part| part.as_str()).collect::<Vec<_>>().join(":")
    }

    /// `group.name-version-classifier.jar`: no two artifacts of a class path have the same.
    fn file_name(&self) -> String {
        let full = if self.group.is_empty() { self.name.clone() } else { format!("{}.{}", self.group, self.name) };
        let parts = [&full, &self.version, &self.classifier];
        let name = parts.iter().filter(|part| !part.is_empty()).map(|part| part.as_str()).collect::<Vec<_>>().join("-");
        let safe = |c: char| if c == '/' || c == '\\' || c.is_control() { '_' } else { c };
        format!("{}.jar", name.chars().map(safe).collect::<String>())
    }

    /// It as a package. `place` says where a file of the build's own folder will be once that is gone.
    ///
    /// # Errors
    /// When a file of it cannot be read.
    pub(super) fn package(&self, place: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<Package> {
        let name = ArchivePath::new(&format!("{LIB}/{}", self.file_name()))
            .map_err(|problem| Error::failed(format!("the name of {} {problem}", self.label())))?;
        let entry = match self.files.as_slice() {
            [jar] if jar.is_file() => of_file(jar, place)?,
            folders => Entry::bytes(jar(&classes(folders)?)?, false),
        };
        let tree = [(name, entry)].into_iter().collect();
        Ok(Package { name: self.label(), version: self.version.clone(), tree })
    }
}

/// A jar where it is; in memory when it lies in a folder that will be gone.
fn of_file(jar: &Path, place: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<Entry> {
    match place(jar) {
        Some(stays) => {
            let size = std::fs::metadata(&stays).map_err(|e| Error::io("read", &stays, &e))?.len();
            Ok(Entry::File { executable: false, size, source: Source::Disk(stays) })
        }
        None => Ok(Entry::bytes(fsio::read_bounded(jar, UNZIPPED_LIMIT * 2)?, false)),
    }
}

/// Files below folders of classes, in memory, as they will stand in the package. Of two of one path, the first wins, as on a
/// class path.
///
/// # Errors
/// When one cannot be read, or all of them are more than Lambda could take.
pub(super) fn classes(folders: &[PathBuf]) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut room = UNZIPPED_LIMIT * 2;
    for folder in folders {
        for entry in WalkDir::new(folder).min_depth(1).sort_by_file_name() {
            let entry =
                entry.map_err(|e| Error::failed(format!("Failed to read `{}`", folder.display())).because(e))?;
            if !entry.file_type().is_file() {
                continue;
            }
            let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            let path = ArchivePath::from_disk(below)
                .map_err(|problem| Error::failed(format!("what the build made at `{}` {problem}", below.display())))?;
            if tree.contains(path.as_str()) {
                continue;
            }
            let bytes = fsio::read_bounded(entry.path(), room)?;
            room -= bytes.len() as u64;
            tree.insert(path, Entry::bytes(bytes, false));
        }
    }
    Ok(tree)
}

/// A jar of these files.
///
/// # Errors
/// When one of them cannot be read.
pub(super) fn jar(tree: &Tree) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Error::failed("Failed to write a jar").because(e);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, entry) in tree.iter() {
        let bytes = entry.read()?;
        let packed = deflate(&bytes);
        let header = Header {
            name: path.as_str(),
            mode: 0o100_644,
            method: if packed.is_some() { Method::Deflated } else { Method::Stored },
            crc32: crc32fast::hash(&bytes),
            compressed_size: packed.as_ref().unwrap_or(&bytes).len() as u64,
            size: bytes.len() as u64,
        };
        zip.add(header, &mut packed.as_ref().unwrap_or(&bytes).as_slice()).map_err(failed)?;
    }
    Ok(zip.finish().map_err(failed)?.0.into_inner())
}

/// Name and version from a jar's file name: the version begins at the first part that begins with a digit.
pub(super) fn named(stem: &str) -> (String, String) {
    let at =
        stem.match_indices('-').map(|(at, _)| at).find(|at| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    match at {
        Some(at) if at > 0 => (stem[..at].to_owned(), stem[at + 1..].to_owned()),
        _ => (stem.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(group: &str, classifier: &str, files: Vec<PathBuf>) -> Artifact {
        let (name, version) = ("core".to_owned(), "1.0".to_owned());
        Artifact { group: group.into(), name, version, classifier: classifier.into(), files }
    }

    #[test]
    fn names_in_lib_do_not_collide() {
        let names =
            [("a.b", ""), ("a", ""), ("a.b", "linux"), ("", "")].map(|(g, c)| artifact(g, c, vec![]).file_name());
        assert_eq!(names, ["a.b.core-1.0.jar", "a.core-1.0.jar", "a.b.core-1.0-linux.jar", "core-1.0.jar"]);
        assert_eq!(artifact("../x", "", vec![]).file_name(), ".._x.core-1.0.jar");
    }

    #[test]
    fn a_folder_of_classes_becomes_the_same_jar_anywhere() {
        let made: Vec<Vec<u8>> = ["one", "zwei ü"]
            .iter()
            .map(|name| {
                let dir = tempfile::tempdir().unwrap();
                let at = dir.path().join(name);
                fsio::write_atomic(&at.join("a/B.class"), &[7; 500]).unwrap();
                fsio::write_atomic(&at.join("x.properties"), b"a=b").unwrap();
                let package = artifact("g", "", vec![at, dir.path().join(name)]).package(&|_| None).unwrap();
                assert_eq!((package.name.as_str(), package.version.as_str()), ("g:core", "1.0"));
                package.tree.get("lib/g.core-1.0.jar").unwrap().read().unwrap()
            })
            .collect();
        assert!(made[0] == made[1]);
        let mut zip = ::zip::ZipArchive::new(Cursor::new(&made[0])).unwrap();
        assert_eq!(zip.len(), 2);
        assert_eq!(std::io::read_to_string(zip.by_name("x.properties").unwrap()).unwrap(), "a=b");
    }

    #[test]
    fn names_of_files_tell_versions() {
        for (stem, name, version) in [
            ("jackson-core-2.17.2", "jackson-core", "2.17.2"),
            ("log4j-1.2-api-2.0", "log4j", "1.2-api-2.0"),
            ("tools", "tools", ""),
            ("-1", "-1", ""),
        ] {
            assert_eq!(named(stem), (name.to_owned(), version.to_owned()));
        }
    }
}
