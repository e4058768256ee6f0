//! What an artifact is for, as far as its files tell: a layer or a function, the runtime, the architecture.

use std::collections::BTreeMap;

use crate::elf::Image;
use crate::lambda::{self, Architecture, Date, Family, Runtime, Status};
use crate::tree::{Entry, Source, Tree};

/// Folders at the root of a layer ("Packaging your layer content" in the AWS Lambda Developer Guide); `dotnet` is where SAM
/// builds into.
const LAYER_FOLDERS: &[&str] = &["bin", "dotnet", "extensions", "java", "lib", "nodejs", "python", "ruby"];

/// Whether nothing lies at the root but folders of layers.
pub(super) fn is_layer(tree: &Tree) -> bool {
    let is_of_layer = |path: &str| path.split_once('/').is_some_and(|(first, _)| LAYER_FOLDERS.contains(&first));
    !tree.is_empty() && tree.iter().all(|(path, _)| is_of_layer(path.as_str()))
}

/// The runtime that the files are for; of several that they do not tell apart, the newest that is in support.
pub(super) fn runtime(tree: &Tree, day: Date) -> &'static Runtime {
    let paths = || tree.iter().map(|(path, _)| path.as_str());
    let found = if tree.contains("bootstrap") {
        lambda::find("provided.al2023")
    } else if let Some(minor) = paths().find_map(python_minor) {
        lambda::find(&format!("python3.{minor}"))
    } else if let Some(major) = paths().find_map(node_major) {
        lambda::find(&format!("nodejs{major}.x"))
    } else {
        let ends = |suffix: &str| paths().any(|path| path.ends_with(suffix));
        let is_node = paths().any(|path| {
            let name = path.strip_prefix("nodejs/").unwrap_or(path);
            !name.contains('/') && [".js", ".mjs", ".cjs"].iter().any(|suffix| name.ends_with(suffix))
        }) || tree.contains_folder("node_modules")
            || tree.contains_folder("nodejs");
        let family: Option<fn(Family) -> bool> = match () {
            () if is_node => Some(|family| matches!(family, Family::Node { .. })),
            () if ends(".py") => Some(|family| matches!(family, Family::Python { .. })),
            () if ends(".rb") => Some(|family| matches!(family, Family::Ruby { .. })),
            () if ends(".jar") || ends(".class") => Some(|family| matches!(family, Family::Java { .. })),
            () if ends(".deps.json") => Some(|family| family == Family::Dotnet),
            () => None,
        };
        family.and_then(|is_of| newest(is_of, day))
    };
    found.or_else(|| lambda::find("provided.al2023")).unwrap_or(&lambda::RUNTIMES[0])
}

fn newest(is_of: fn(Family) -> bool, day: Date) -> Option<&'static Runtime> {
    let usable = |r: &&Runtime| is_of(r.family) && r.status(day) == Status::Supported && !r.lifecycle.preview;
    lambda::RUNTIMES.iter().find(usable)
}

/// 13 of `_x.cpython-313-x86_64-linux-gnu.so` and of `python/lib/python3.13/…`.
fn python_minor(path: &str) -> Option<u8> {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    let of_module = || path.ends_with(".so").then(|| path.split_once(".cpython-3")).flatten();
    let of_folder = || path.split_once("lib/python3.");
    of_folder().or_else(of_module).and_then(|(_, rest)| digits(rest))
}

fn node_major(path: &str) -> Option<u8> {
    path.strip_prefix("nodejs/node")?.split('/').next()?.parse().ok()
}

/// The architecture of most native files.
pub(super) fn architecture(tree: &Tree) -> Architecture {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, entry) in tree.iter() {
        let Entry::File { source, .. } = entry else { continue };
        let machine = match source {
            Source::Member(archive, index) => archive.natives().get(*index).and_then(machine),
            Source::Disk(path) => machine_of_file(path),
            Source::Bytes(bytes) => Image::of(bytes).as_ref().and_then(machine),
        };
        if let Some(machine) = machine {
            *counts.entry(machine.as_str()).or_default() += 1;
        }
    }
    let of = |architecture: Architecture| counts.get(architecture.as_str()).copied().unwrap_or(0);
    if of(Architecture::Arm64) > of(Architecture::X86_64) { Architecture::Arm64 } else { Architecture::X86_64 }
}

fn machine(image: &Image) -> Option<Architecture> {
    match image {
        Image::Elf(elf) => elf.machine.architecture(),
        _ => None,
    }
}

/// By the first bytes alone: little-endian ELF has its machine at 18.
fn machine_of_file(path: &std::path::Path) -> Option<Architecture> {
    use std::io::Read as _;
    let mut start = [0; 20];
    std::fs::File::open(path).ok()?.read_exact(&mut start).ok()?;
    let number = u16::from_le_bytes([start[18], start[19]]);
    crate::elf::is_elf(&start).then(|| crate::elf::Machine(number).architecture()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::ArchivePath;

    fn tree(paths: &[&str]) -> Tree {
        paths.iter().map(|path| (ArchivePath::new(path).unwrap(), Entry::bytes(b"".as_slice(), false))).collect()
    }

    #[test]
    fn files_tell_the_runtime() {
        for (paths, runtime_id, layer) in [
            (&["bootstrap", "config.py"][..], "provided.al2023", false),
            (&["app.py", "numpy/_x.cpython-311-x86_64-linux-gnu.so"], "python3.11", false),
            (&["python/lib/python3.12/site-packages/x.py"], "python3.12", true),
            (&["app.py"], "python3.14", false),
            (&["python/x.py", "bin/tool"], "python3.14", true),
            (&["index.mjs"], "nodejs24.x", false),
            (&["nodejs/node22/node_modules/x/index.js"], "nodejs22.x", true),
            (&["nodejs/node_modules/x/index.js"], "nodejs24.x", true),
            (&["lib/x.jar", "a/B.class"], "java25", false),
            (&["lib/libx.so"], "provided.al2023", true),
            (&["lib/x.py", "app.py"], "python3.14", false),
            (&[], "provided.al2023", false),
        ] {
            let tree = tree(paths);
            let said = (runtime(&tree, Date::new(2026, 11, 23)).id, is_layer(&tree));
            assert_eq!(said, (runtime_id, layer), "{paths:?}");
        }
    }
}
