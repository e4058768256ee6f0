//! From names to files: each library with all that it needs in turn, in the order of `ld.so(8)`: the folders that whoever
//! needs it names, then the system's. A file for another machine is passed over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use super::system::{Place, System};
use super::{Brought, Origin, Wanted};
use crate::elf::{Elf, Image, Machine};
use crate::error::{Error, Result};
use crate::finding::{Finding, Level, Rule};
use crate::fresh::Inputs;
use crate::lambda::has_library;
use crate::resolve::Package;
use crate::tree::{ArchivePath, Entry, Source, Tree};

/// More libraries than this nobody needs.
const MOST: usize = 1_000;
/// Of so many folders a message tells.
const TOLD: usize = 8;
/// Where a sysroot has its programs.
const BIN: &[&str] = &["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// A library that is looked for.
struct Want {
    /// As the loader knows it, or a path.
    name: String,
    /// Who needs it, as messages say it; nothing when the config names it.
    by: Option<String>,
    /// Folders that whoever needs it names.
    folders: Vec<String>,
}

/// A file that fits.
struct Found {
    place: Place,
    elf: Box<Elf>,
}

/// What looking for a library came to.
enum Answer {
    Found(Found),
    /// Only for another machine.
    Unfit(PathBuf, String),
    Nothing,
}

/// See the module.
pub(super) struct Search<'a> {
    wanted: &'a Wanted<'a>,
    system: System,
    brought: Brought,
    /// Names that were looked for.
    done: BTreeSet<String>,
    /// What the runtime has itself.
    left_out: Vec<String>,
    /// Whether what is looked for now is needed for sure.
    is_needed: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(wanted: &'a Wanted<'a>, system: System) -> Self {
        let (brought, done, left_out) = (Brought::default(), BTreeSet::new(), Vec::new());
        Self { wanted, system, brought, done, left_out, is_needed: true }
    }

    pub(super) fn run(mut self) -> Result<Brought> {
        let choice = self.wanted.choice;
        let mut first: VecDeque<Want> =
            choice.libraries.iter().map(|name| Want { name: name.clone(), by: None, folders: Vec::new() }).collect();
        for program in &choice.executables {
            first.extend(self.program(program)?);
        }
        let collected = if choice.collect { self.wanted.missing } else { &[] };
        let collect = |is_loaded: bool| {
            let missing = collected.iter().filter(move |missing| missing.is_loaded == is_loaded);
            missing.map(|missing| Want {
                name: missing.library.clone(),
                by: Some(missing.needed_by.clone()),
                folders: Vec::new(),
            })
        };
        first.extend(collect(true));
        self.libraries(first)?;
        // What nothing is seen to load is brought too, but is no reason to refuse anything.
        self.is_needed = false;
        self.libraries(collect(false).collect())?;
        Ok(self.finish())
    }

    fn libraries(&mut self, mut left: VecDeque<Want>) -> Result<()> {
        while let Some(want) = left.pop_front() {
            if self.done.len() > MOST {
                return Err(Error::failed(format!("more than {MOST} libraries are needed of the system")));
            }
            left.extend(self.library(&want)?);
        }
        Ok(())
    }

    /// Brings one library; what it needs in turn.
    fn library(&mut self, want: &Want) -> Result<Vec<Want>> {
        let name = file_name(&want.name).to_owned();
        let is_of_runtime = has_library(self.wanted.runtime, self.wanted.architecture, &name);
        if is_of_runtime && want.by.is_none() {
            self.left_out.push(name.clone());
        }
        let is_there = want.by.is_some() && (self.wanted.is_there)(&name);
        if is_of_runtime || is_there || !self.done.insert(name.clone()) {
            return Ok(Vec::new());
        }
        let found = match self.find(want) {
            Answer::Found(found) => found,
            Answer::Unfit(path, machine) => {
                self.unfit(want, &path, &machine);
                return Ok(Vec::new());
            }
            Answer::Nothing => {
                self.nothing(want);
                return Ok(Vec::new());
            }
        };
        let soname = found.elf.soname.clone().filter(|soname| !soname.contains('/') && soname.contains(".so"));
        let soname = soname.unwrap_or_else(|| name.clone());
        let mut links = Tree::new();
        if soname != name {
            links.insert(at("lib", &name)?, Entry::Symlink { target: soname.clone() });
            if has_library(self.wanted.runtime, self.wanted.architecture, &soname) {
                self.left_out.push(soname);
                return Ok(Vec::new());
            }
            if !self.done.insert(soname.clone()) {
                // It is there under its own name: only the other one is new.
                self.brought.packages.push(Package { name, version: String::new(), tree: links });
                return Ok(Vec::new());
            }
        }
        let version = version(&soname, &found.place);
        let needs = needs(&found, &format!("lib/{soname}"));
        self.add("lib", &soname, version, &found.place, links)?;
        Ok(needs)
    }

    fn add(&mut self, folder: &str, name: &str, version: String, place: &Place, mut tree: Tree) -> Result<()> {
        let size = std::fs::metadata(&place.host).map_err(|e| Error::io("read", &place.host, &e))?.len();
        let source = Source::Disk(place.host.clone());
        tree.insert(at(folder, name)?, Entry::File { executable: folder == "bin", size, source });
        let origin = Origin { path: place.host.clone(), is_needed: self.is_needed };
        self.brought.origins.insert(format!("{folder}/{name}"), origin);
        self.brought.packages.push(Package { name: name.to_owned(), version, tree });
        Ok(())
    }

    fn find(&mut self, want: &Want) -> Answer {
        let paths: Vec<String> = if want.name.contains('/') {
            vec![want.name.clone()]
        } else {
            let folders = want.folders.iter().chain(self.system.folders());
            folders.map(|folder| format!("{folder}/{}", want.name)).collect()
        };
        let mut unfit = None;
        for path in paths {
            let Some(place) = self.system.file(&path) else { continue };
            let Some(Image::Elf(elf)) = Image::of_file(&place.host) else { continue };
            if self.fits(&elf) {
                return Answer::Found(Found { place, elf });
            }
            unfit.get_or_insert((place.host, elf.machine.name()));
        }
        unfit.map_or(Answer::Nothing, |(path, machine)| Answer::Unfit(path, machine))
    }

    fn fits(&self, elf: &Elf) -> bool {
        elf.machine == Machine::of(self.wanted.architecture) && elf.is_64 && elf.is_little_endian
    }

    fn unfit(&mut self, want: &Want, path: &std::path::Path, machine: &str) {
        let name = file_name(&want.name);
        let message = format!(
            "{name}: cannot open shared object file: No such file or directory{}: {} is for {machine}, the function for {}",
            required(want),
            path.display(),
            self.wanted.architecture
        );
        self.refuse(Rule::WrongArchitecture, name, message);
    }

    fn nothing(&mut self, want: &Want) {
        // It may be in a layer that exists.
        if want.by.is_some() && !self.wanted.is_known {
            return;
        }
        let name = file_name(&want.name);
        let message = format!(
            "{name}: cannot open shared object file: No such file or directory{}; looked for in {}",
            required(want),
            if want.name.contains('/') { want.name.clone() } else { self.looked_in(&want.folders) }
        );
        self.refuse(Rule::MissingSharedLibrary, name, message);
    }

    fn refuse(&mut self, rule: Rule, name: &str, message: String) {
        let hint = match &self.wanted.choice.sysroot {
            None => format!(
                "install the system package that has it, or name an unpacked image of {} that has it with `sysroot`",
                self.wanted.runtime.os.name()
            ),
            Some(_) => format!(
                "install its package for {} below the sysroot, which may be any folder with a `usr/lib64`",
                self.wanted.architecture
            ),
        };
        let level = if self.is_needed { Level::Error } else { Level::Warning };
        self.brought.unfound.insert(name.to_owned());
        self.brought.findings.push(Finding::new(rule, message, hint).path(format!("lib/{name}")).level(level));
    }

    /// Folders as messages tell them.
    fn looked_in(&self, first: &[String]) -> String {
        let folders: Vec<&str> = first.iter().chain(self.system.folders()).map(String::as_str).collect();
        let more = if folders.len() > TOLD { format!(" and {} more", folders.len() - TOLD) } else { String::new() };
        let told = folders[..folders.len().min(TOLD)].join(", ");
        match &self.wanted.choice.sysroot {
            Some(sysroot) => format!("{told}{more} below {}", sysroot.display()),
            None => format!("{told}{more}"),
        }
    }

    /// Brings a program; the libraries that it needs.
    fn program(&mut self, asked: &str) -> Result<Vec<Want>> {
        let place = self.find_program(asked)?;
        let elf = match Image::of_file(&place.host) {
            Some(Image::Elf(elf)) => elf,
            _ => {
                return Err(Error::config(format!("`{}` is no program of Linux", place.host.display())).hint(
                    "`executables` are machine code; a script is packed from the function's folder, or by `include`",
                ));
            }
        };
        let name = file_name(asked);
        let found = Found { place, elf };
        let needs = if self.fits(&found.elf) { needs(&found, &format!("bin/{name}")) } else { Vec::new() };
        self.add("bin", name, String::new(), &found.place, Tree::new())?;
        Ok(needs)
    }

    fn find_program(&mut self, asked: &str) -> Result<Place> {
        let folders: Vec<String> = match &self.wanted.choice.sysroot {
            Some(_) => BIN.iter().map(|folder| (*folder).to_owned()).collect(),
            None => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let folders = std::env::split_paths(&path).filter_map(|folder| folder.to_str().map(str::to_owned));
                folders.filter(|folder| folder.starts_with('/')).collect()
            }
        };
        let paths: Vec<String> = match asked.starts_with('/') {
            true => vec![asked.to_owned()],
            false => folders.iter().map(|folder| format!("{folder}/{asked}")).collect(),
        };
        let found = paths.iter().find_map(|path| self.system.file(path));
        found.ok_or_else(|| {
            let below = self.wanted.choice.sysroot.as_ref();
            let below = below.map_or_else(String::new, |root| format!(" below `{}`", root.display()));
            let error = Error::config(format!("the program `{asked}` is not there{below}"));
            match asked.starts_with('/') {
                true => error,
                false => error.hint(format!("looked for in {}; or name its path", folders.join(", "))),
            }
        })
    }

    fn finish(mut self) -> Brought {
        let mut folders: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for origin in self.brought.origins.values() {
            let path = origin.path.to_str().unwrap_or_default();
            folders
                .entry(path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned())
                .or_default()
                .push(file_name(path));
        }
        let notes = folders.iter().map(|(folder, names)| format!("brought along from {folder}: {}", names.join(", ")));
        self.brought.notes = notes.collect();
        if !self.left_out.is_empty() {
            let (names, runtime) = (self.left_out.join(", "), self.wanted.runtime);
            self.brought.notes.push(format!("not brought along, since {} has its own: {names}", runtime.id));
        }
        self.brought.inputs = self.system.looked().map(|files| Inputs { files, ..Inputs::default() });
        self.brought
    }
}

/// Folders of run paths lead from where a file lies.
fn needs(found: &Found, shown: &str) -> Vec<Want> {
    let origin = found.place.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let expand = |folder: &String| {
        let folder = folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin);
        folder.replace("${LIB}", "lib64").replace("$LIB", "lib64")
    };
    let named = found.elf.first_folders().iter().chain(&found.elf.runpath);
    let folders: Vec<String> = named.map(expand).filter(|folder| folder.starts_with('/')).collect();
    let by = format!("{shown}, which is {}", found.place.host.display());
    let want = |name: &String| Want { name: name.clone(), by: Some(by.clone()), folders: folders.clone() };
    found.elf.needed.iter().map(want).collect()
}

fn required(want: &Want) -> String {
    want.by.as_ref().map_or_else(|| " (named in the config)".to_owned(), |by| format!(" (required by {by})"))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn at(folder: &str, name: &str) -> Result<ArchivePath> {
    ArchivePath::new(&format!("{folder}/{name}"))
        .map_err(|problem| Error::failed(format!("`{folder}/{name}` {problem}")))
}

/// What the real file's name says more than the SONAME: `5.15` of `libpq.so.5.15`, `2.5` of `libx-2.5.so`.
fn version(soname: &str, place: &Place) -> String {
    let name = file_name(&place.path);
    let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.to_owned());
    if let Some((_, number)) = name.split_once(".so.") {
        return digits(number).unwrap_or_default();
    }
    let stem = name.strip_suffix(".so").filter(|_| name != soname);
    stem.and_then(|stem| digits(stem.rsplit_once('-')?.1)).unwrap_or_default()
}
