//! A folder of jars, and perhaps classes, that was put together elsewhere.

use std::path::{Path, PathBuf};

use super::jars::{LIB, named};
use crate::error::{Error, Result};
use crate::fresh::Inputs;
use crate::resolve::{Application, Package, Request, Resolution};
use crate::tree::{ArchivePath, Entry, Source};

/// The first jar of a folder, or of its `lib`.
pub(super) fn first_jar(folder: &Path) -> Option<PathBuf> {
    jars(folder).into_iter().chain(jars(&folder.join(LIB))).next()
}

fn jars(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).ok().into_iter().flatten().flatten();
    let is_jar = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "jar") && path.is_file();
    let mut jars: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_jar).collect();
    jars.sort();
    jars
}

/// Jars are packages in `lib/`; all else is packed as it lies there.
pub(super) fn resolve(request: &Request<'_>) -> Result<Resolution> {
    let folder = &request.function.path;
    let at_root = jars(folder);
    let mut notes = Vec::new();
    if !at_root.is_empty() {
        notes.push("jars of the folder are packed into `lib/`, where Lambda looks for them".to_owned());
    }
    let mut packages: Vec<Package> = Vec::new();
    for jar in at_root.iter().chain(&jars(&folder.join(LIB))) {
        let name = jar.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = ArchivePath::new(&format!("{LIB}/{name}"))
            .map_err(|problem| Error::config(format!("its name {problem}")).at(jar, None))?;
        let size = std::fs::metadata(jar).map_err(|e| Error::io("read", jar, &e))?.len();
        let entry = Entry::File { executable: false, size, source: Source::Disk(jar.clone()) };
        let (name, version) = named(name.trim_end_matches(".jar"));
        packages.push(Package { name, version, tree: [(path, entry)].into_iter().collect() });
    }
    let is_package = |path: &str| {
        let name = path.strip_prefix("lib/").unwrap_or(path);
        (name.ends_with(".jar") && !name.contains('/')).then_some("a package in `lib/`")
    };
    Ok(Resolution {
        application: Application::Folder { replaced: &[], filter: Some(Box::new(is_package)) },
        inputs: Some(Inputs { files: [at_root, jars(&folder.join(LIB))].concat(), ..Inputs::default() }),
        packages,
        notes,
        resolved_by: "jars of the folder".to_owned(),
        ..Resolution::default()
    })
}
