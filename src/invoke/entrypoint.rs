//! Whether an image starts, looked at before it is tried: sandboxes have other words than Lambda, and run what it would not.
//!
//! Sources of the words: `fork/exec …` of `Runtime.InvalidEntrypoint` as people have reported it of Lambda; those of
//! `Runtime.InvalidWorkingDir` as the Runtime Interface Emulator, which has the same code, and people have them.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::elf::{self, Machine};
use crate::fsio;
use crate::image::{Rooted, Starter};
use crate::lambda::Architecture;

/// A chain of interpreters is followed so far: Linux gives up after as many.
const MAX_SCRIPTS: usize = 4;
/// Programs name their interpreters within so many bytes.
const SHEBANG: u64 = 256;
/// Of larger programs it is not looked which loader they need.
const MAX_PROGRAM: u64 = 48 << 20;
/// Mounted in every sandbox, over what the image has there.
pub(super) const MOUNTS: [&str; 3] = ["proc", "dev", "tmp"];
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Why an image does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The type of the error.
    pub(super) kind: &'static str,
    /// What is said after the request's id.
    pub(super) message: String,
}

/// What starts, and in what.
pub(super) struct Start<'a> {
    pub(super) rooted: &'a Rooted,
    pub(super) starter: &'a Starter,
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) architecture: Architecture,
}

impl Start<'_> {
    /// Why it does not start, if it does not.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let invalid = |message: String| Some(Refusal { kind: "Runtime.InvalidEntrypoint", message });
        let folder = working_dir(self.starter);
        if let Some(message) = self.check_folder(folder) {
            return Some(Refusal { kind: "Runtime.InvalidWorkingDir", message });
        }
        let Some(program) = self.starter.entrypoint.first().or(self.starter.command.first()) else {
            return invalid("Couldn't find valid bootstrap(s): []".to_owned());
        };
        self.check(program, MAX_SCRIPTS).and_then(|why| invalid(format!("fork/exec {program}: {why}")))
    }

    fn check_folder(&self, folder: &str) -> Option<String> {
        if !folder.starts_with('/') {
            return Some(format!("the working directory '{folder}' is invalid, it needs to be an absolute path"));
        }
        // What is mounted is there.
        let is_there = self.rooted.follow(Path::new(folder)).is_ok_and(|path| {
            MOUNTS.iter().any(|mount| path == Path::new(mount))
                || self.find(Path::new(folder)).is_some_and(|(_, metadata)| metadata.is_dir())
        });
        (!is_there).then(|| format!("the working directory doesn't exist: {folder}"))
    }

    /// Why the kernel would not start a program, in its words.
    fn check(&self, program: &str, depth: usize) -> Option<&'static str> {
        const MISSING: &str = "no such file or directory";
        let Some((place, metadata)) = self.located(program) else { return Some(MISSING) };
        if !metadata.is_file() || !is_executable(&metadata) {
            return Some("permission denied");
        }
        let mut start = Vec::new();
        // What may be executed need not be readable: then the kernel is asked.
        let read = File::open(&place).and_then(|file| file.take(SHEBANG).read_to_end(&mut start));
        if read.is_err() {
            return None;
        }
        if let Some(line) = start.strip_prefix(b"#!") {
            let line =
                String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
            // A line that ends as on Windows names a program that is not there.
            let words = line.trim_start_matches([' ', '\t']);
            let interpreter = words.split([' ', '\t']).next().unwrap_or_default();
            return if depth > 0 && !interpreter.is_empty() {
                // The kernel looks for it from the working folder on, and not on `PATH`.
                self.check(&Path::new(working_dir(self.starter)).join(interpreter).to_string_lossy(), depth - 1)
            } else {
                Some("exec format error")
            };
        }
        let machine = start.get(18..20).and_then(|two| two.try_into().ok()).map(u16::from_le_bytes);
        if !elf::is_elf(&start) || machine.map(Machine) != Some(Machine::of(self.architecture)) {
            return Some("exec format error");
        }
        let bytes = fsio::read_bounded(&place, MAX_PROGRAM).ok()?;
        match elf::Image::of(&bytes) {
            Some(elf::Image::Elf(elf)) => {
                let loader = elf.interpreter?;
                self.find(Path::new(&loader)).is_none().then_some(MISSING)
            }
            _ => None,
        }
    }

    /// What a path leads to, but for what something is mounted over.
    fn find(&self, path: &Path) -> Option<(PathBuf, Metadata)> {
        let place = self.rooted.follow(path).ok()?;
        if MOUNTS.iter().any(|mount| place.starts_with(mount)) { None } else { self.rooted.find(path) }
    }

    /// Where a program is; one without a slash is looked for on `PATH`.
    fn located(&self, program: &str) -> Option<(PathBuf, Metadata)> {
        let file = |path: &Path| self.find(path).filter(|(_, metadata)| !metadata.is_dir());
        if program.contains('/') {
            return self.find(&Path::new(working_dir(self.starter)).join(program));
        }
        let folders = self.variables.get("PATH").map_or(PATH, String::as_str);
        folders.split(':').filter(|folder| !folder.is_empty()).find_map(|folder| file(&Path::new(folder).join(program)))
    }
}

/// Where it is started.
pub(super) fn working_dir(starter: &Starter) -> &str {
    if starter.working_dir.is_empty() { "/" } else { &starter.working_dir }
}

/// Names of programs in a folder of the image.
pub(super) fn programs(rooted: &Rooted, folder: &str) -> Vec<String> {
    let Some((place, _)) = rooted.find(Path::new(folder)) else { return Vec::new() };
    let names = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let is_program = |name: &std::ffi::OsString| {
        rooted.find(&Path::new(folder).join(name)).is_some_and(|(_, m)| m.is_file() && is_executable(&m))
    };
    names.filter(is_program).map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Whether everybody may execute it: Lambda's user is nobody in particular.
#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & 0o001 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &Metadata) -> bool {
    true
}
