//! What a native file says of itself: the machine that it is for, what it needs, and how new the system must be.
//!
//! ```text
//! bytes ──► Image: ELF with its facts, or a file of another system
//! ```
//!
//! Of an ELF file, what the kernel and the loader go by is read: program headers, the dynamic segment and notes. Sections
//! are not: `strip` may take them away. Files come from strangers: all that is kept is bounded, and what cannot be read is
//! [`Image::Malformed`], never a panic.

mod read;
mod strip;
#[cfg(test)]
pub(crate) mod testing;
mod versions;

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::lambda::{Architecture, UNZIPPED_LIMIT};

pub use strip::strip;
pub use versions::{VersionFamily, VersionNeed};

/// The bytes an ELF file begins with.
const MAGIC: &[u8; 4] = b"\x7fELF";
/// Mach-O in both widths and byte orders; a universal binary begins like a Java class.
const MACH_O: &[[u8; 4]] =
    &[[0xfe, 0xed, 0xfa, 0xce], [0xfe, 0xed, 0xfa, 0xcf], [0xce, 0xfa, 0xed, 0xfe], [0xcf, 0xfa, 0xed, 0xfe]];
const UNIVERSAL: &[u8; 4] = &[0xca, 0xfe, 0xba, 0xbe];
/// A universal binary holds so few machines; a Java class of any version has a larger number in that place.
const MOST_MACHINES: u32 = 20;
/// So many bytes tell what a file is; of an ELF file the facts take all of them.
pub const PROBE: usize = 4096;

/// What a native file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Image {
    /// ELF, with its facts.
    Elf(Box<Elf>),
    /// It begins like ELF and cannot be read, for this reason.
    Malformed(String),
    /// Mach-O: macOS.
    MachO,
    /// PE: Windows.
    Pe,
}

impl Image {
    /// The facts of a file of which these are all bytes; nothing when it is not native.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if is_elf(bytes) {
            return Some(match read::read(bytes) {
                Ok(elf) => Self::Elf(Box::new(Elf { debug: strip::saved(bytes), ..elf })),
                Err(why) => Self::Malformed(why),
            });
        }
        Self::foreign(bytes)
    }

    /// The same of a file on disk; nothing also when it cannot be read.
    pub fn of_file(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let mut start = Vec::new();
        file.by_ref().take(PROBE as u64).read_to_end(&mut start).ok()?;
        if !is_elf(&start) {
            return Self::foreign(&start);
        }
        file.rewind().ok()?;
        let mut bytes = Vec::new();
        file.take(UNZIPPED_LIMIT).read_to_end(&mut bytes).ok()?;
        Self::of(&bytes)
    }

    /// What a file of another system is, by its first [`PROBE`] bytes.
    pub fn foreign(start: &[u8]) -> Option<Self> {
        let four = start.get(..4)?;
        if MACH_O.iter().any(|magic| magic == four) {
            return Some(Self::MachO);
        }
        let word = |at: usize| <[u8; 4]>::try_from(start.get(at..at + 4)?).ok();
        if four == UNIVERSAL && u32::from_be_bytes(word(4)?) < MOST_MACHINES {
            return Some(Self::MachO);
        }
        let pe = usize::try_from(u32::from_le_bytes(word(0x3c)?)).ok()?;
        (four.starts_with(b"MZ") && start.get(pe..pe.checked_add(4)?)? == b"PE\0\0").then_some(Self::Pe)
    }
}

/// Whether these bytes begin an ELF file.
pub fn is_elf(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

/// `e_machine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine(pub u16);

impl Machine {
    /// What a function of this architecture runs.
    pub const fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::X86_64 => Self(62),
            Architecture::Arm64 => Self(183),
        }
    }

    /// The architecture of Lambda's that it is, if it is one.
    pub fn architecture(self) -> Option<Architecture> {
        [Architecture::X86_64, Architecture::Arm64].into_iter().find(|a| Self::of(*a) == self)
    }

    /// Linux's name (`uname -m`) for those that are met.
    pub fn name(self) -> String {
        match self.0 {
            62 => "x86_64".to_owned(),
            183 => "aarch64".to_owned(),
            3 => "i386".to_owned(),
            40 => "arm (32 bit)".to_owned(),
            21 => "ppc64".to_owned(),
            22 => "s390x".to_owned(),
            243 => "riscv".to_owned(),
            258 => "loongarch".to_owned(),
            other => format!("machine {other}"),
        }
    }
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A shared object: a library or an extension module.
    Library,
    /// A program.
    Program,
    /// An object file or a core dump: nothing that is loaded.
    Other,
}

/// The facts of an ELF file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elf {
    /// The processor.
    pub machine: Machine,
    /// 64-bit, not 32-bit.
    pub is_64: bool,
    /// Little-endian, as Lambda's processors are.
    pub is_little_endian: bool,
    /// What it is for.
    pub kind: Kind,
    /// `PT_INTERP`: the loader that a program asks the kernel for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// `DT_SONAME`: the name under which others need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soname: Option<String>,
    /// `DT_NEEDED`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<String>,
    /// Folders of `DT_RPATH`; the loader ignores them when there is a `DT_RUNPATH`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rpath: Vec<String>,
    /// Folders of `DT_RUNPATH`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runpath: Vec<String>,
    /// The highest version of each family that it needs of each library.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<VersionNeed>,
    /// 1 to 4: the x86-64 level that it is marked to need; 0 when it says nothing.
    #[serde(default)]
    pub isa_level: u8,
    /// Made by the Go toolchain.
    #[serde(default)]
    pub is_go: bool,
    /// Bytes of debug sections that can be taken out safely ([`strip()`]).
    #[serde(default)]
    pub debug: u64,
}

impl Elf {
    /// A program that needs neither a loader nor a library.
    pub fn is_static(&self) -> bool {
        self.kind == Kind::Program && self.interpreter.is_none() && self.needed.is_empty()
    }

    /// What it needs of musl, if it was built for that.
    pub fn musl(&self) -> Option<&str> {
        let interpreter = self.interpreter.as_deref().filter(|path| path.contains("/ld-musl-"));
        let library = || self.needed.iter().find(|name| name.starts_with("libc.musl-") || name.starts_with("ld-musl-"));
        interpreter.or_else(|| library().map(String::as_str))
    }

    /// Folders that it names for its libraries before those of the environment: `DT_RPATH`, unless there is a `DT_RUNPATH`.
    pub fn first_folders(&self) -> &[String] {
        if self.runpath.is_empty() { &self.rpath } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Sketch;
    use super::*;
    use proptest::prelude::*;

    fn facts(bytes: &[u8]) -> Elf {
        match Image::of(bytes) {
            Some(Image::Elf(elf)) => *elf,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_library_tells_all_that_the_loader_reads() {
        let elf = facts(
            &Sketch::library()
                .soname("libx.so.1")
                .needed(&["libc.so.6", "libstdc++.so.6"])
                .runpath("$ORIGIN/../lib:/opt/lib")
                .version("libc.so.6", "GLIBC_2.2.5", "malloc")
                .version("libc.so.6", "GLIBC_2.38", "__isoc23_strtol")
                .version("libstdc++.so.6", "GLIBCXX_3.4.30", "_ZSt1x")
                .version("libstdc++.so.6", "CXXABI_1.3", "__cxa_throw")
                .isa_level(3)
                .bytes(),
        );
        assert_eq!((elf.machine.name().as_str(), elf.is_64, elf.kind), ("x86_64", true, Kind::Library));
        assert_eq!(elf.soname.as_deref(), Some("libx.so.1"));
        assert_eq!(elf.needed, ["libc.so.6", "libstdc++.so.6"]);
        assert_eq!(elf.runpath, ["$ORIGIN/../lib", "/opt/lib"]);
        let said: Vec<_> =
            elf.versions.iter().map(|v| (v.library.as_str(), v.name.as_str(), v.symbol.as_deref().unwrap())).collect();
        assert_eq!(
            said,
            [
                ("libc.so.6", "GLIBC_2.38", "__isoc23_strtol"),
                ("libstdc++.so.6", "GLIBCXX_3.4.30", "_ZSt1x"),
                ("libstdc++.so.6", "CXXABI_1.3", "__cxa_throw")
            ]
        );
        assert_eq!(elf.isa_level, 3);
        assert!(!elf.is_static() && elf.musl().is_none() && elf.first_folders().is_empty());
    }

    #[test]
    fn programs_static_ones_and_musl() {
        let dynamic = facts(&Sketch::program("/lib64/ld-linux-x86-64.so.2").needed(&["libc.so.6"]).bytes());
        assert_eq!((dynamic.kind, dynamic.is_static()), (Kind::Program, false));
        let alone = facts(&Sketch::static_program().bytes());
        assert!(alone.is_static() && alone.musl().is_none());
        let musl = facts(&Sketch::program("/lib/ld-musl-x86_64.so.1").bytes());
        assert_eq!(musl.musl(), Some("/lib/ld-musl-x86_64.so.1"));
        let library = facts(&Sketch::library().machine(183).needed(&["libc.musl-aarch64.so.1"]).bytes());
        assert_eq!((library.musl(), library.machine.name().as_str()), (Some("libc.musl-aarch64.so.1"), "aarch64"));
    }

    #[test]
    fn files_of_other_systems_are_known() {
        assert_eq!(Image::of(&[0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1]), Some(Image::MachO));
        let universal = [&UNIVERSAL[..], &[0, 0, 0, 2]].concat();
        assert_eq!(Image::of(&universal), Some(Image::MachO));
        let mut class = [&UNIVERSAL[..], &[0, 0, 0, 52]].concat();
        class.resize(100, 0);
        assert_eq!(Image::of(&class), None);
        let mut pe = vec![0; 200];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x80;
        pe[0x80..0x84].copy_from_slice(b"PE\0\0");
        assert_eq!(Image::of(&pe), Some(Image::Pe));
        assert_eq!(Image::of(b"MZ"), None);
        assert_eq!(Image::of(b""), None);
        assert!(matches!(Image::of(b"\x7fELF"), Some(Image::Malformed(_))));
    }

    #[test]
    fn facts_survive_being_written_down() {
        let image = Image::of(&Sketch::library().needed(&["liba.so"]).version("libc.so.6", "GLIBC_2.17", "f").bytes());
        let text = serde_json::to_string(&image).unwrap();
        assert_eq!(serde_json::from_str::<Option<Image>>(&text).unwrap(), image);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// Whatever is written over a good file: facts or a reason, and never more than is bounded.
        #[test]
        fn damaged_files_never_panic(
            damage in proptest::collection::vec((0_usize..1500, any::<u8>()), 0..12),
            cut in 0_usize..1500,
            cuts in any::<bool>(),
        ) {
            let mut bytes = Sketch::library()
                .soname("libx.so.1")
                .needed(&["libc.so.6", "libm.so.6"])
                .rpath("$ORIGIN")
                .version("libc.so.6", "GLIBC_2.38", "symbol")
                .isa_level(4)
                .bytes();
            for (at, byte) in damage {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            if cuts {
                bytes.truncate(cut);
            }
            if let Some(Image::Elf(elf)) = Image::of(&bytes) {
                prop_assert!(serde_json::to_string(&elf).unwrap().len() < 1 << 20);
            }
        }
    }
}
