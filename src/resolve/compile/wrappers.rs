//! A folder of programs by the names that builds call: `cc`, `gcc`, `c++`, `ar`, …, each a script that calls the chosen
//! compiler for the target. It comes first on PATH, so that a build which names `gcc` gets the same compiler as one that
//! asks for `CC`.
//!
//! What the scripts see to, whatever a build says: no code for the processor of this machine (`-march=native`), no headers
//! of this machine's glibc, no debug information and no symbol tables, and none of this machine's folders in the result.

use std::path::{Path, PathBuf};

use super::{Aim, Compilers};
use crate::error::Result;
use crate::fsio;
use crate::process::{Tool, quote};

/// Names under which builds call a C compiler.
const C_NAMES: &[&str] = &["cc", "gcc", "clang"];
/// Names under which they call one for C++.
const CXX_NAMES: &[&str] = &["c++", "g++", "clang++"];
/// What a build may ask of a compiler for the sake of the machine that it runs on: instructions of its processor, debug
/// information, and the headers of its own C library, which are not those of the target.
const DROPPED: &[&str] = &[
    "-march=native",
    "-mtune=native",
    "-mcpu=native",
    "-g",
    "-g1",
    "-g2",
    "-g3",
    "-ggdb",
    "-I/usr/include",
    "-I/usr/local/include",
];

/// What zig's linker does not know (patterns of the shell): that symbols of static libraries are not offered to others. What
/// Python and Node.js load as a module is not offered to others anyway (`dlopen` without `RTLD_GLOBAL`).
const UNKNOWN_TO_ZIG: &[&str] = &["-Wl,--exclude-libs=*", "-Wl,--exclude-libs,*"];

/// See the module.
#[derive(Debug)]
pub(in crate::resolve) struct Wrappers {
    folder: PathBuf,
    has_cxx: bool,
}

/// What the scripts add to each call.
#[derive(Debug, Clone, Default)]
pub(in crate::resolve) struct Settings<'a> {
    /// Folders of headers that come before all others.
    pub(in crate::resolve) include: Option<&'a Path>,
    /// Folders of this machine, and what they are called in the result.
    pub(in crate::resolve) renamed: &'a [(&'a Path, &'a str)],
}

impl Wrappers {
    /// Writes them into a new folder.
    pub(in crate::resolve) fn write(
        folder: &Path,
        compilers: &Compilers,
        aim: Aim,
        settings: &Settings<'_>,
    ) -> Result<Self> {
        let flags = flags(settings);
        let script = |name: &str, text: String| {
            let path = folder.join(name);
            fsio::write_atomic(&path, text.as_bytes())?;
            fsio::make_executable(&path)
        };
        let mut dropped = DROPPED.to_vec();
        let (c, cxx) = match compilers {
            Compilers::Zig(zig) => {
                dropped.extend(UNKNOWN_TO_ZIG);
                let zig = quote(&zig.program.display().to_string());
                for tool in ["ar", "ranlib"] {
                    script(tool, format!("#!/bin/sh\nexec {zig} {tool} \"$@\"\n"))?;
                }
                // Without it, zig makes code that stops where C leaves a result open.
                let call = |mode| format!("{zig} {mode} -target {} -fno-sanitize=undefined", aim.zig_target());
                (call("cc"), Some(call("c++")))
            }
            // What a variable says is words of a shell.
            Compilers::Host { c, cxx } => (c.clone(), cxx.clone()),
        };
        let gnu = aim.gnu();
        let all = [(C_NAMES, Some(&c), "gcc"), (CXX_NAMES, cxx.as_ref(), "g++")];
        for (names, command, suffix) in all {
            let Some(command) = command else { continue };
            for name in names.iter().map(|name| (*name).to_owned()).chain([format!("{gnu}-{suffix}")]) {
                script(&name, compiler(command, &flags, &dropped.join("|")))?;
            }
        }
        Ok(Self { folder: folder.to_owned(), has_cxx: cxx.is_some() })
    }

    /// `PATH` with them first, and these folders after them.
    pub(in crate::resolve) fn path(&self, more: &[PathBuf]) -> std::ffi::OsString {
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let all = [self.folder.clone()].into_iter().chain(more.iter().cloned()).chain(std::env::split_paths(&rest));
        // A folder with a colon in its name cannot be on PATH.
        std::env::join_paths(all).unwrap_or(rest)
    }

    /// The program, made to use them; `more` are folders for its PATH.
    pub(in crate::resolve) fn used_by(&self, tool: Tool, more: &[PathBuf]) -> Tool {
        let cxx = if self.has_cxx { "c++" } else { "false" };
        [
            ("CC", "cc"),
            ("CXX", cxx),
            ("LD", "cc"),
            ("LINK", cxx),
            ("AR", "ar"),
            ("RANLIB", "ranlib"),
            ("LDSHARED", "cc -shared"),
        ]
        .into_iter()
        .fold(tool, |tool, (name, value)| tool.env(name, value))
        .env("PATH", self.path(more))
    }
}

fn flags(settings: &Settings<'_>) -> String {
    let mut flags = vec!["-g0".to_owned(), "-s".to_owned(), "-Wno-unused-command-line-argument".to_owned()];
    flags.extend(settings.include.map(|folder| format!("-I{}", folder.display())));
    for (folder, name) in settings.renamed {
        flags.push(format!("-ffile-prefix-map={}={name}", folder.display()));
    }
    flags.iter().map(|flag| quote(flag)).collect::<Vec<_>>().join(" ")
}

/// A script that calls the compiler without the arguments that are dropped.
fn compiler(command: &str, flags: &str, dropped: &str) -> String {
    format!(
        "#!/bin/sh\n\
         for argument do\n\
         \x20 shift\n\
         \x20 case $argument in\n\
         \x20   {dropped}) ;;\n\
         \x20   *) set -- \"$@\" \"$argument\" ;;\n\
         \x20 esac\n\
         done\n\
         exec {command} {flags} \"$@\"\n"
    )
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::lambda::{Architecture, OperatingSystem};

    #[test]
    fn arguments_for_this_machine_are_dropped_and_others_are_passed_on() {
        let dir = tempfile::tempdir().unwrap();
        let show = dir.path().join("show it");
        fsio::write_atomic(&show, b"#!/bin/sh\nprintf '<%s>' \"$@\"\n").unwrap();
        fsio::make_executable(&show).unwrap();
        let host = Compilers::Host { c: quote(&show.display().to_string()), cxx: None };
        let aim = Aim { architecture: Architecture::X86_64, os: OperatingSystem::AmazonLinux2 };
        let include = Path::new("/a b");
        let renamed = [(Path::new("/scratch"), "/build")];
        let settings = Settings { include: Some(include), renamed: &renamed };
        let wrappers = Wrappers::write(&dir.path().join("bin"), &host, aim, &settings).unwrap();
        for name in ["cc", "gcc", "x86_64-linux-gnu-gcc"] {
            let tool = Tool::new("sh").args(["-c", &format!("{name} -O2 -march=native -g '-DX=\"a  b\"' -c x.c")]);
            let said = wrappers.used_by(tool, &[]).run().unwrap().text();
            let own = "<-g0><-s><-Wno-unused-command-line-argument><-I/a b><-ffile-prefix-map=/scratch=/build>";
            assert_eq!(said, format!("{own}<-O2><-DX=\"a  b\"><-c><x.c>"), "{name}");
        }
        let tool = wrappers.used_by(Tool::new("sh").args(["-c", "echo $CC $CXX; command -v cc"]), &[]);
        let expected = format!("cc false\n{}\n", dir.path().join("bin/cc").display());
        assert_eq!(tool.run().unwrap().text(), expected);
    }

    #[test]
    fn zigs_linker_is_not_told_what_it_does_not_know() {
        let dir = tempfile::tempdir().unwrap();
        let show = dir.path().join("show");
        fsio::write_atomic(&show, b"#!/bin/sh\nprintf '<%s>' \"$@\"\n").unwrap();
        fsio::make_executable(&show).unwrap();
        let aim = Aim { architecture: Architecture::X86_64, os: OperatingSystem::AmazonLinux2 };
        let zig = Compilers::Zig(super::super::Zig { program: show.clone(), version: "1".to_owned() });
        let host = Compilers::Host { c: "true".to_owned(), cxx: Some(show.display().to_string()) };
        let said = |compilers: &Compilers| {
            let wrappers = Wrappers::write(&dir.path().join("bin"), compilers, aim, &Settings::default()).unwrap();
            let call = "c++ -shared -Wl,--exclude-libs,ALL -Wl,--exclude-libs=libx.a -Wl,-z,now x.o";
            wrappers.used_by(Tool::new("sh").args(["-c", call]), &[]).run().unwrap().text()
        };
        assert!(said(&zig).ends_with("<-shared><-Wl,-z,now><x.o>"));
        assert!(said(&host).ends_with("<-shared><-Wl,--exclude-libs,ALL><-Wl,--exclude-libs=libx.a><-Wl,-z,now><x.o>"));
    }

    #[test]
    fn zig_is_told_processor_and_glibc() {
        let dir = tempfile::tempdir().unwrap();
        let zig = super::super::Zig { program: "/x y/zig".into(), version: "1".to_owned() };
        let aim = Aim { architecture: Architecture::Arm64, os: OperatingSystem::AmazonLinux2023 };
        Wrappers::write(dir.path(), &Compilers::Zig(zig), aim, &Settings::default()).unwrap();
        let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(text("g++").contains("exec '/x y/zig' c++ -target aarch64-linux-gnu.2.34 "), "{}", text("g++"));
        assert!(text("ar").contains("exec '/x y/zig' ar \"$@\"") && text("aarch64-linux-gnu-gcc").contains(" cc "));
    }
}
