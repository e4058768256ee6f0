//! The file system that a function sees: its package at `/var/task`, its layers together at `/opt`. And the native files
//! in it.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{Read as _, Seek as _};

use crate::elf::{self, Elf, Image};
use crate::lambda::UNZIPPED_LIMIT;
use crate::tree::{ArchivePath, Entry, Source, Tree};

/// Links after links are followed so often, as Linux does.
const MAX_LINKS: usize = 40;

/// A tree, and where Lambda puts it.
#[derive(Debug, Clone, Copy)]
pub struct Mount<'a> {
    /// `/var/task` or `/opt`.
    pub at: &'static str,
    /// What is there.
    pub tree: &'a Tree,
}

impl<'a> Mount<'a> {
    /// A function's package.
    pub const fn task(tree: &'a Tree) -> Self {
        Self { at: "/var/task", tree }
    }

    /// Its layers, merged in their order.
    pub const fn layers(tree: &'a Tree) -> Self {
        Self { at: "/opt", tree }
    }
}

/// A native file.
pub(super) struct Binary<'a> {
    /// Where it is when the function runs.
    pub(super) path: String,
    /// Its path in the package, or in full when it is of a layer.
    pub(super) shown: String,
    /// What it is.
    pub(super) image: Cow<'a, Image>,
}

impl Binary<'_> {
    pub(super) fn elf(&self) -> Option<&Elf> {
        match self.image.as_ref() {
            Image::Elf(elf) => Some(elf),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(super) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether the runtime itself starts it.
    pub(super) fn is_started(&self) -> bool {
        matches!(self.path.as_str(), "/var/task/bootstrap" | "/opt/bootstrap") || self.folder() == "/opt/extensions"
    }
}

/// All mounts with their native files.
pub(super) struct View<'a> {
    mounts: &'a [Mount<'a>],
    /// In the order of mounts and paths.
    pub(super) binaries: Vec<Binary<'a>>,
    by_path: HashMap<String, usize>,
    /// Who needs a library, by the name that it is needed by.
    needing: HashMap<String, Vec<usize>>,
    /// Files by name and by SONAME.
    called: HashMap<String, Vec<usize>>,
}

impl<'a> View<'a> {
    pub(super) fn new(mounts: &'a [Mount<'a>]) -> Self {
        let mut binaries = Vec::new();
        for mount in mounts {
            for (path, entry) in mount.tree.iter() {
                let Some(image) = look(path, entry) else { continue };
                let full = format!("{}/{path}", mount.at);
                let shown = if mount.at == "/var/task" { path.to_string() } else { full.clone() };
                binaries.push(Binary { path: full, shown, image });
            }
        }
        let by_path = binaries.iter().enumerate().map(|(index, binary)| (binary.path.clone(), index)).collect();
        let mut needing: HashMap<String, Vec<usize>> = HashMap::new();
        let mut called: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, binary) in binaries.iter().enumerate() {
            let soname = binary.elf().and_then(|elf| elf.soname.as_deref()).filter(|soname| *soname != binary.name());
            for name in [Some(binary.name()), soname].into_iter().flatten() {
                called.entry(name.to_owned()).or_default().push(index);
            }
            for name in binary.elf().into_iter().flat_map(|elf| &elf.needed) {
                needing.entry(name.clone()).or_default().push(index);
            }
        }
        Self { mounts, binaries, by_path, needing, called }
    }

    /// Files of this name or SONAME anywhere.
    pub(super) fn called(&self, name: &str) -> impl Iterator<Item = &Binary<'a>> {
        self.called.get(name).into_iter().flatten().map(|index| &self.binaries[*index])
    }

    /// The files that need a library of this name.
    pub(super) fn needing(&self, name: &str) -> impl Iterator<Item = &Binary<'a>> {
        self.needing.get(name).into_iter().flatten().map(|index| &self.binaries[*index])
    }

    /// Entries of all mounts, by their paths when the function runs.
    pub(super) fn entries(&self) -> impl Iterator<Item = (String, &'a Entry)> {
        self.mounts
            .iter()
            .flat_map(|mount| mount.tree.iter().map(|(path, entry)| (format!("{}/{path}", mount.at), entry)))
    }

    /// Paths of files whose names are such.
    pub(super) fn files_named(&self, is_such: impl Fn(&str) -> bool) -> impl Iterator<Item = String> {
        self.mounts.iter().flat_map(move |mount| {
            let is_such = &is_such;
            let files = mount.tree.iter().filter(|(_, entry)| matches!(entry, Entry::File { .. }));
            let named: Vec<String> = files
                .filter(|(path, _)| is_such(path.file_name()))
                .map(|(path, _)| format!("{}/{path}", mount.at))
                .collect();
            named
        })
    }

    /// What stands at a path; links are not followed.
    pub(super) fn entry(&self, path: &str) -> Option<&'a Entry> {
        self.mounts.iter().find_map(|mount| mount.tree.get(path.strip_prefix(mount.at)?.strip_prefix('/')?))
    }

    /// The native file of a path, if there is one.
    pub(super) fn binary(&self, path: &str) -> Option<&Binary<'a>> {
        self.by_path.get(path).map(|index| &self.binaries[*index])
    }

    /// The path of the file that a path leads to.
    pub(super) fn resolve(&self, path: &str) -> Option<String> {
        let mut left: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut at = String::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." => at.truncate(at.rfind('/').unwrap_or(0)),
                name => {
                    let parent = at.len();
                    at.push('/');
                    at.push_str(name);
                    if let Some(Entry::Symlink { target }) = self.entry(&at) {
                        links += 1;
                        if links > MAX_LINKS {
                            return None;
                        }
                        at.truncate(if target.starts_with('/') { 0 } else { parent });
                        target.split('/').rev().for_each(|part| left.push_front(part.to_owned()));
                    }
                }
            }
        }
        matches!(self.entry(&at), Some(Entry::File { .. })).then_some(at)
    }
}

/// What a file is, when it is native. Of an archive in the store that is known already; of other files only those are read
/// that may be native by name or mode.
fn look<'a>(path: &ArchivePath, entry: &'a Entry) -> Option<Cow<'a, Image>> {
    let Entry::File { executable, source, .. } = entry else { return None };
    match source {
        Source::Member(archive, index) => archive.natives().get(*index).map(Cow::Borrowed),
        Source::Bytes(bytes) => Image::of(bytes).map(Cow::Owned),
        Source::Disk(disk) => may_be_native(path, *executable).then(|| read(disk)).flatten().map(Cow::Owned),
    }
}

fn may_be_native(path: &ArchivePath, executable: bool) -> bool {
    let name = path.file_name();
    let native = [".so", ".node", ".pyd", ".dylib"].iter().any(|suffix| name.ends_with(suffix));
    executable || native || name.contains(".so.") || !name.contains('.')
}

fn read(disk: &std::path::Path) -> Option<Image> {
    let mut file = File::open(disk).ok()?;
    let mut start = Vec::new();
    file.by_ref().take(elf::PROBE as u64).read_to_end(&mut start).ok()?;
    if !elf::is_elf(&start) {
        return Image::foreign(&start);
    }
    file.rewind().ok()?;
    let mut bytes = Vec::new();
    file.take(UNZIPPED_LIMIT).read_to_end(&mut bytes).ok()?;
    Image::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_where_linux_goes() {
        let link = |target: &str| Entry::Symlink { target: target.to_owned() };
        let file = || Entry::bytes(b"x".as_slice(), false);
        let task: Tree = [
            ("lib/libx.so", link("libx.so.1")),
            ("lib/libx.so.1", file()),
            ("deep/current", link("../lib")),
            ("to-layer", link("/opt/lib/liby.so")),
            ("loop", link("loop")),
            ("up", link("../../opt/lib/liby.so")),
            ("folder", Entry::Directory),
        ]
        .into_iter()
        .map(|(path, entry)| (ArchivePath::new(path).unwrap(), entry))
        .collect();
        let layers: Tree = [(ArchivePath::new("lib/liby.so").unwrap(), file())].into_iter().collect();
        let mounts = [Mount::task(&task), Mount::layers(&layers)];
        let view = View::new(&mounts);
        for (path, leads_to) in [
            ("/var/task/lib/libx.so", Some("/var/task/lib/libx.so.1")),
            ("/var/task/deep/current/libx.so", Some("/var/task/lib/libx.so.1")),
            ("/var/task/deep/../lib/./libx.so.1", Some("/var/task/lib/libx.so.1")),
            ("/var/task/to-layer", Some("/opt/lib/liby.so")),
            ("/var/task/up", Some("/opt/lib/liby.so")),
            ("/var/task/loop", None),
            ("/var/task/folder", None),
            ("/lib64/libc.so.6", None),
        ] {
            assert_eq!(view.resolve(path).as_deref(), leads_to, "{path}");
        }
    }
}
