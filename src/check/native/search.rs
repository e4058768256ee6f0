//! Where the loader finds a library, in the order of `ld.so(8)`: folders of `DT_RPATH` (when there is no `DT_RUNPATH`),
//! those of `LD_LIBRARY_PATH`, those of `DT_RUNPATH`, the system's. A file for another machine is passed over. A library
//! that is loaded already is found by its SONAME wherever it came from.

use super::Judge;
use super::view::Binary;
use crate::elf::{Elf, Machine};
use crate::lambda::{LIBRARY_FOLDERS, has_library};

/// A loader's loader's loader …: longer chains are not followed.
const MAX_CHAIN: usize = 32;

impl Judge<'_> {
    /// Whether the loader finds a library for a file by itself.
    pub(super) fn finds(&self, binary: &Binary<'_>, elf: &Elf, name: &str) -> bool {
        if name.contains('/') {
            return self.view.resolve(&from_task(name)).is_some() || self.is_of_system(name);
        }
        self.brings(binary, elf, name)
            || has_library(self.native.runtime, self.native.architecture, name)
            || LIBRARY_FOLDERS.iter().any(|folder| self.has(folder, name))
            || elf.runpath.iter().any(|folder| self.has(&expand(folder, binary), name))
    }

    /// Whether it names a folder for its libraries that has this one and comes before the system's.
    pub(super) fn brings(&self, binary: &Binary<'_>, elf: &Elf, name: &str) -> bool {
        elf.first_folders().iter().any(|folder| self.has(&expand(folder, binary), name))
    }

    /// Whether the system has a file of this path: of a library or of the loader.
    pub(super) fn is_of_system(&self, path: &str) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        let is_library = has_library(self.native.runtime, self.native.architecture, name);
        matches!(folder, "/lib" | "/lib64" | "/usr/lib" | "/usr/lib64") && is_library
    }

    fn has(&self, folder: &str, name: &str) -> bool {
        self.view
            .resolve(&format!("{folder}/{name}"))
            .is_some_and(|path| self.view.binary(&path).and_then(Binary::elf).is_some_and(|elf| self.fits(elf)))
    }

    pub(super) fn fits(&self, elf: &Elf) -> bool {
        elf.machine == Machine::of(self.native.architecture) && elf.is_64 && elf.is_little_endian
    }

    /// Whether whoever loads a file has loaded the library before, or hands down its `DT_RPATH`.
    pub(super) fn is_inherited(&self, binary: &Binary<'_>, name: &str) -> bool {
        let mut seen = vec![binary.path.as_str()];
        let mut left = vec![binary];
        while let Some(loaded) = left.pop().filter(|_| seen.len() < MAX_CHAIN) {
            for (loader, elf) in self.needing(loaded) {
                if seen.contains(&loader.path.as_str()) {
                    continue;
                }
                let loads = elf.needed.iter().any(|needed| needed == name) && self.finds(loader, elf, name);
                if loads || self.brings(loader, elf, name) {
                    return true;
                }
                seen.push(&loader.path);
                left.push(loader);
            }
        }
        false
    }

    /// The files that need this one, by the name that they know it by.
    pub(super) fn needing(&self, library: &Binary<'_>) -> impl Iterator<Item = (&Binary<'_>, &Elf)> {
        let soname = library.elf().and_then(|elf| elf.soname.as_deref()).filter(|soname| *soname != library.name());
        let loaders: Vec<&Binary<'_>> =
            [Some(library.name()), soname].into_iter().flatten().flat_map(|name| self.view.needing(name)).collect();
        loaders.into_iter().filter_map(|binary| Some((binary, binary.elf()?)))
    }

    /// Libraries of this name or SONAME anywhere in the package that would load.
    pub(super) fn called(&self, name: &str) -> impl Iterator<Item = &Binary<'_>> {
        self.view.called(name).filter(|binary| binary.elf().is_some_and(|elf| self.fits(elf)))
    }
}

/// Functions are started in `/var/task`.
fn from_task(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/var/task/{path}") }
}

/// A folder of a run path with what the loader puts in for its variables.
fn expand(folder: &str, binary: &Binary<'_>) -> String {
    let mut folder = folder.to_owned();
    for (variable, value) in [("ORIGIN", binary.folder()), ("LIB", "lib64")] {
        folder = folder.replace(&format!("${{{variable}}}"), value).replace(&format!("${variable}"), value);
    }
    from_task(&folder)
}
