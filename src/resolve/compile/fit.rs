//! Whether the runtime's loader would take what a compiler has made: its machine, and the versions of glibc and libstdc++
//! that it asks for. The rules of `check/native` say the same of a whole package later; here it decides whether a build is
//! taken at all.

use super::Aim;
use crate::elf::{Elf, Image, Kind, Machine, VersionFamily};
use crate::finding::Rule;
use crate::lambda::libstdcxx;

/// What is wrong with a file for the target: the rule that says so, and words that follow its name. Nothing when it fits.
pub(in crate::resolve) fn misfit(image: &Image, aim: Aim) -> Option<(Rule, String)> {
    match image {
        Image::Elf(elf) if elf.kind == Kind::Other => None,
        Image::Elf(elf) => of_elf(elf, aim),
        Image::Malformed(why) => Some((Rule::NativeFileDamaged, format!("cannot be read as ELF: {why}"))),
        Image::MachO => Some((Rule::WrongArchitecture, "is for macOS".to_owned())),
        Image::Pe => Some((Rule::WrongArchitecture, "is for Windows".to_owned())),
    }
}

fn of_elf(elf: &Elf, aim: Aim) -> Option<(Rule, String)> {
    if elf.machine != Machine::of(aim.architecture) {
        let said = format!("is for {}, not for {}", elf.machine.name(), aim.architecture.machine());
        return Some((Rule::WrongArchitecture, said));
    }
    if elf.musl().is_some() {
        return Some((Rule::MuslLibrary, "is for musl".to_owned()));
    }
    let (major, minor) = aim.os.glibc();
    let stdcxx = libstdcxx(aim.os);
    let too_new = elf.versions.iter().find(|need| match need.family {
        VersionFamily::Glibc => (need.version.0, need.version.1) > (major, minor),
        VersionFamily::Glibcxx => stdcxx.is_some_and(|[newest, _]| need.version > newest),
        VersionFamily::Cxxabi => stdcxx.is_some_and(|[_, newest]| need.version > newest),
    })?;
    let for_what = too_new.symbol.as_ref().map_or_else(String::new, |symbol| format!(" for `{symbol}`"));
    let rule = match too_new.family {
        VersionFamily::Glibc => Rule::GlibcTooNew,
        VersionFamily::Glibcxx | VersionFamily::Cxxabi => Rule::LibstdcxxTooNew,
    };
    Some((rule, format!("needs {}{for_what}, which is newer than what {} has", too_new.name, aim.os.name())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::testing::Sketch;
    use crate::lambda::{Architecture, OperatingSystem};

    #[test]
    fn what_the_loader_would_refuse_does_not_fit() {
        let of =
            |sketch: Sketch, architecture, os| misfit(&Image::of(&sketch.bytes()).unwrap(), Aim { architecture, os });
        let (x86, arm) = (Architecture::X86_64, Architecture::Arm64);
        let (al2, al2023) = (OperatingSystem::AmazonLinux2, OperatingSystem::AmazonLinux2023);
        let new = || Sketch::library().version("libc.so.6", "GLIBC_2.34", "pthread_create");
        assert_eq!(of(new(), x86, al2023), None);
        let said = of(new(), x86, al2).unwrap();
        let expected = "needs GLIBC_2.34 for `pthread_create`, which is newer than what Amazon Linux 2 has";
        assert_eq!(said, (Rule::GlibcTooNew, expected.to_owned()));
        let said = of(new(), arm, al2023).unwrap();
        assert_eq!(said, (Rule::WrongArchitecture, "is for x86_64, not for aarch64".to_owned()));
        let cxx = Sketch::library().version("libstdc++.so.6", "GLIBCXX_3.4.30", "_ZSt1x");
        assert_eq!(of(cxx, x86, al2023).unwrap().0, Rule::LibstdcxxTooNew);
        let musl = Sketch::library().needed(&["libc.musl-x86_64.so.1"]);
        assert_eq!(of(musl, x86, al2).unwrap().0, Rule::MuslLibrary);
        assert_eq!(misfit(&Image::MachO, Aim { architecture: x86, os: al2 }).unwrap().1, "is for macOS");
    }
}
