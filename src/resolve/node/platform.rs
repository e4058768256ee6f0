//! Which packages are for Lambda's system: npm's `os`, `cpu` and `libc`.

use super::lock::Platform;
use crate::lambda::Architecture;

/// What runs the function: Linux with glibc on this processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// The processor.
    pub(super) architecture: Architecture,
}

impl Target {
    /// Whether a package is for it.
    pub(super) fn takes(self, platform: &Platform) -> bool {
        let cpu = self.architecture.node_cpu();
        allows(platform.os.as_deref(), "linux")
            && allows(platform.cpu.as_deref(), cpu)
            && allows(platform.libc.as_deref(), "glibc")
    }

    /// Whether a package of this name is the part of another that holds its binaries for this target, going by the
    /// words of its name (`@img/sharp-linux-x64`, `@rollup/rollup-linux-arm64-gnu`). Only asked about packages that a
    /// lock does not hold, where nothing but the name is known.
    pub(super) fn is_named_in(self, name: &str) -> bool {
        let name = name.to_lowercase();
        let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let cpus: &[&str] = match self.architecture {
            Architecture::X86_64 => &["x64", "amd64"],
            Architecture::Arm64 => &["arm64", "aarch64"],
        };
        let x86_64 = self.architecture == Architecture::X86_64 && name.contains("x86_64");
        let has = |word: &str| words.contains(&word);
        has("linux") && (x86_64 || cpus.iter().any(|cpu| has(cpu))) && !has("musl") && !has("wasm")
    }
}

/// The system that a package is for by its name, as far as this names both a system and a processor
/// (`@esbuild/darwin-arm64`, `@img/sharp-linuxmusl-x64`); of all others nothing is told.
pub(super) fn named_platform(name: &str) -> Platform {
    const SYSTEMS: [&str; 9] = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "sunos", "win32"];
    const CPUS: [&str; 12] =
        ["arm", "arm64", "ia32", "loong64", "mips64el", "ppc64", "ppc64le", "riscv64", "s390x", "x64", "ppc", "mipsel"];
    let words: Vec<&str> = name.split(['-', '/', '_', '@', '.']).collect();
    let is_musl = words.iter().any(|word| matches!(*word, "musl" | "linuxmusl"));
    let system =
        words.iter().map(|word| if *word == "linuxmusl" { "linux" } else { word }).find(|w| SYSTEMS.contains(w));
    let cpu = words.iter().find(|word| CPUS.contains(word));
    let (Some(system), Some(cpu)) = (system, cpu) else { return Platform::default() };
    let list = |word: &str| Some(vec![word.to_owned()]);
    Platform { os: list(system), cpu: list(cpu), libc: is_musl.then(|| vec!["musl".to_owned()]) }
}

/// npm's reading of such a list: no negated word may be `value`, and one of the others must be, if there are others.
fn allows(list: Option<&[String]>, value: &str) -> bool {
    let Some(list) = list else { return true };
    if list.len() == 1 && list[0] == "any" {
        return true;
    }
    let negated = list.iter().filter(|word| word.starts_with('!')).count();
    let refused = list.iter().any(|word| word.strip_prefix('!') == Some(value));
    !refused && (negated == list.len() || list.iter().any(|word| word == value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const X64: Target = Target { architecture: Architecture::X86_64 };
    const ARM: Target = Target { architecture: Architecture::Arm64 };

    #[test]
    fn lists_are_read_as_npm_reads_them() {
        for (list, taken) in [
            (&["linux"][..], true),
            (&["darwin", "linux"], true),
            (&["darwin"], false),
            (&["!win32"], true),
            (&["!linux"], false),
            (&["!win32", "darwin"], false),
            (&["any"], true),
            (&[], true),
        ] {
            let list: Vec<String> = list.iter().map(|w| (*w).to_owned()).collect();
            assert_eq!(allows(Some(&list), "linux"), taken, "{list:?}");
        }
        let musl = Platform { libc: Some(vec!["musl".to_owned()]), ..Platform::default() };
        assert!(!X64.takes(&musl) && X64.takes(&Platform::default()));
    }

    #[test]
    fn names_of_a_system_and_a_processor_are_believed() {
        for (name, x64, arm) in [
            ("@img/sharp-linux-x64", true, false),
            ("@img/sharp-linuxmusl-x64", false, false),
            ("@rollup/rollup-linux-arm64-gnu", false, true),
            ("@esbuild/win32-x64", false, false),
            ("windows-release", true, true),
            ("fsevents", true, true),
            ("@img/sharp-wasm32", true, true),
        ] {
            let platform = named_platform(name);
            assert_eq!((X64.takes(&platform), ARM.takes(&platform)), (x64, arm), "{name}");
        }
    }

    #[test]
    fn names_tell_the_target() {
        for (name, x64, arm) in [
            ("@img/sharp-linux-x64", true, false),
            ("@img/sharp-libvips-linux-arm64", false, true),
            ("@img/sharp-linuxmusl-x64", false, false),
            ("@rollup/rollup-linux-x64-gnu", true, false),
            ("@rollup/rollup-linux-x64-musl", false, false),
            ("@esbuild/linux-arm64", false, true),
            ("@esbuild/android-arm64", false, false),
            ("tool-linux-x86_64", true, false),
            ("fsevents", false, false),
        ] {
            assert_eq!((X64.is_named_in(name), ARM.is_named_in(name)), (x64, arm), "{name}");
        }
    }
}
