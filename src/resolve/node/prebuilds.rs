//! Prebuilt addons of other platforms, which packages bring side by side (`prebuilds/darwin-arm64/…`): left out, because
//! `node-gyp-build` looks into the folder of its own platform and architecture only.

use crate::lambda::Architecture;
use crate::tree::Tree;

/// What was left out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) files: usize,
    pub(super) bytes: u64,
}

impl LeftOut {
    pub(super) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
    }

    /// What a person is told; nothing when nothing was left out.
    pub(super) fn note(self, architecture: Architecture) -> Option<String> {
        (self.files > 0).then(|| {
            format!(
                "{} of prebuilt addons left out ({}): they are for other platforms than linux-{}",
                crate::report::bytes(self.bytes),
                crate::report::count(self.files, "file"),
                architecture.node_cpu()
            )
        })
    }
}

/// Takes prebuilt addons of other platforms out of a package's tree.
pub(super) fn leave_out(tree: Tree, architecture: Architecture) -> (Tree, LeftOut) {
    let mut out = LeftOut::default();
    let kept = tree.into_iter().filter(|(path, entry)| {
        let is_of_another = is_of_another(path.as_str(), architecture);
        if is_of_another {
            out.add(LeftOut { files: 1, bytes: entry.size() });
        }
        !is_of_another
    });
    let kept = kept.collect();
    (kept, out)
}

/// Whether a path lies in a folder of prebuilt addons for another platform, or is one for another libc.
///
/// Folders are named `<platform>-<architectures>`, the latter joined by `+`; a file's name has tags between dots, of which
/// `musl` and `glibc` are the libc (`node-gyp-build`, "Supported prebuild names").
fn is_of_another(path: &str, architecture: Architecture) -> bool {
    let Some((_, below)) = path.rsplit_once("/prebuilds/") else { return false };
    let Some((platform, file)) = below.split_once('/') else { return false };
    let Some((system, cpus)) = platform.split_once('-').filter(|(system, _)| is_system(system)) else { return false };
    let is_here = system == "linux" && cpus.split('+').any(|cpu| cpu == architecture.node_cpu());
    !is_here || (file.ends_with(".node") && file.split('.').any(|tag| tag == "musl"))
}

/// What `process.platform` can be.
fn is_system(name: &str) -> bool {
    ["aix", "android", "darwin", "freebsd", "ios", "linux", "netbsd", "openbsd", "sunos", "win32"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{ArchivePath, Entry};

    #[test]
    fn addons_of_this_platform_stay() {
        let tree: Tree = [
            "node_modules/a/prebuilds/linux-x64/node.napi.node",
            "node_modules/a/prebuilds/linux-x64/node.napi.glibc.node",
            "node_modules/a/prebuilds/linux-x64/node.napi.musl.node",
            "node_modules/a/prebuilds/linux-x64+arm64/node.napi.node",
            "node_modules/a/prebuilds/linux-arm64/node.napi.node",
            "node_modules/a/prebuilds/linux-arm/node.napi.armv7.node",
            "node_modules/a/prebuilds/darwin-x64+arm64/node.napi.node",
            "node_modules/a/prebuilds/win32-x64/node.napi.node",
            "node_modules/a/prebuilds/win32-x64/a.dll",
            "node_modules/a/prebuilds/my-own/data.node",
            "node_modules/a/build/Release/a.node",
        ]
        .iter()
        .map(|path| (ArchivePath::new(path).unwrap(), Entry::bytes(b"1234".as_slice(), false)))
        .collect();
        let (kept, out) = leave_out(tree.clone(), Architecture::X86_64);
        let left: Vec<&str> = kept.iter().map(|(path, _)| &path.as_str()["node_modules/a/".len()..]).collect();
        assert_eq!(
            left,
            [
                "build/Release/a.node",
                "prebuilds/linux-x64+arm64/node.napi.node",
                "prebuilds/linux-x64/node.napi.glibc.node",
                "prebuilds/linux-x64/node.napi.node",
                "prebuilds/my-own/data.node",
            ]
        );
        assert_eq!(out, LeftOut { files: 6, bytes: 24 });
        let note = out.note(Architecture::X86_64).unwrap();
        assert!(note.starts_with("24 B of prebuilt addons left out (6 files)"), "{note}");
        let (kept, _) = leave_out(tree, Architecture::Arm64);
        assert!(kept.contains("node_modules/a/prebuilds/linux-arm64/node.napi.node"));
        assert_eq!(LeftOut::default().note(Architecture::Arm64), None);
    }
}
