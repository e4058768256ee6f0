//! What a path says about the platform that its file is for. Packages that serve several (`prebuilds/darwin-arm64`,
//! `runtimes/linux-x64`, `attach_linux_x86.so`) choose by such names, so that a file of another platform harms nobody.
//!
//! It is only asked about files that are known not to load.

use crate::lambda::Architecture;

const X86_64: &[&str] = &["x64", "amd64"];
const ARM64: &[&str] = &["arm64", "aarch64"];
const OTHER_MACHINES: &[&str] = &[
    "386",
    "arm",
    "armel",
    "armhf",
    "armv6",
    "armv6l",
    "armv7",
    "armv7l",
    "i386",
    "i686",
    "ia32",
    "loong64",
    "mips",
    "mips64el",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390x",
    "universal2",
    "wasm32",
    "x86",
];
const OTHER_SYSTEMS: &[&str] = &[
    "aix",
    "alpine",
    "android",
    "androideabi",
    "darwin",
    "freebsd",
    "ios",
    "linuxmusl",
    "mac",
    "macos",
    "macosx",
    "musl",
    "netbsd",
    "openbsd",
    "osx",
    "solaris",
    "sunos",
    "win",
    "win10",
    "win32",
    "win64",
    "windows",
];
/// Those of them that are Linux with another C library.
const OTHER_LIBC: &[&str] = &["alpine", "linuxmusl", "musl"];
const NEUTRAL: &[&str] = &["linux", "glibc", "gnu", "manylinux"];

/// Words of a path's component, as platforms are spelt in them.
fn words(component: &str) -> Vec<String> {
    let lower = component.to_lowercase().replace("x86_64", "x64").replace("x86-64", "x64");
    lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether a path is, by its own account, for another platform: `Some(false)` when it names the function's, `None` when
/// it names none.
pub(super) fn is_for_another(path: &str, architecture: Architecture) -> Option<bool> {
    let (own, other) = match architecture {
        Architecture::X86_64 => (X86_64, ARM64),
        Architecture::Arm64 => (ARM64, X86_64),
    };
    let words: Vec<String> = path.split('/').flat_map(words).collect();
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    if has(OTHER_SYSTEMS) || has(other) || (has(OTHER_MACHINES) && !has(own)) {
        return Some(true);
    }
    (has(own) || has(NEUTRAL)).then_some(false)
}

/// Whether a path names another system than Linux, so that nothing here goes by it.
pub(super) fn is_for_another_system(path: &str) -> bool {
    path.split('/')
        .flat_map(words)
        .any(|word| OTHER_SYSTEMS.contains(&word.as_str()) && !OTHER_LIBC.contains(&word.as_str()))
}

/// A path up to the last component that names a platform, without those names: the same for files that are each
/// other's counterparts. Nothing when none does.
pub(super) fn counterpart_key(path: &str) -> Option<String> {
    let names_one = |component: &str| words(component).iter().any(|word| is_platform(word));
    let last = path.split('/').collect::<Vec<_>>().iter().rposition(|component| names_one(component))?;
    Some(bare(path, last + 1))
}

/// The keys under which a file that fits is the counterpart of others: its own, and that of the whole path, for files
/// beside it whose names alone tell them apart.
pub(super) fn fitting_keys(path: &str) -> impl Iterator<Item = String> + use<> {
    counterpart_key(path).into_iter().chain([bare(path, usize::MAX)])
}

fn is_platform(word: &str) -> bool {
    [X86_64, ARM64, OTHER_MACHINES, OTHER_SYSTEMS, NEUTRAL].iter().any(|list| list.contains(&word))
}

/// The first components of a path without the names of platforms.
fn bare(path: &str, components: usize) -> String {
    let bare = path
        .split('/')
        .take(components)
        .map(|component| words(component).into_iter().filter(|word| !is_platform(word)).collect::<Vec<_>>().join("-"));
    bare.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_platform() {
        for (path, x64, arm) in [
            ("prebuilds/darwin-x64/node.napi.node", Some(true), Some(true)),
            ("prebuilds/linux-x64/node.napi.node", Some(false), Some(true)),
            ("prebuilds/linux-x64/node.napi.musl.node", Some(true), Some(true)),
            ("runtimes/linux-arm64/native/libx.so", Some(true), Some(false)),
            ("pydevd/attach_linux_x86.so", Some(true), Some(true)),
            ("pydevd/attach_linux_amd64.so", Some(false), Some(true)),
            ("lib/x86_64/libx.so", Some(false), Some(true)),
            ("numpy/core.so", None, None),
            ("charm/alarm.so", None, None),
        ] {
            let said = |architecture| is_for_another(path, architecture);
            assert_eq!((said(Architecture::X86_64), said(Architecture::Arm64)), (x64, arm), "{path}");
        }
    }

    #[test]
    fn counterparts_have_one_key() {
        for (one, other) in [
            ("prebuilds/darwin-arm64/a.node", "prebuilds/linux-x64/b.node"),
            ("@img/sharp-libvips-linuxmusl-x64/lib/a.so.42", "@img/sharp-libvips-linux-x64/lib/a.so.8"),
            ("p/attach_linux_x86.so", "p/attach_linux_amd64.so"),
            ("a/node.napi.musl.node", "a/node.napi.glibc.node"),
        ] {
            assert_eq!(counterpart_key(one).unwrap(), counterpart_key(other).unwrap());
        }
        assert_ne!(counterpart_key("a/libx-arm64.so"), counterpart_key("a/liby-x64.so"));
        assert_eq!(counterpart_key("a/libx.so"), None);
    }
}
