//! Compilers for what is published as source only: which one makes code that a function can load, and how the builds of
//! other ecosystems are made to use it.
//!
//! ```text
//! Aim (processor, Amazon Linux) ──► Compilers: zig for exactly that, else this machine's ──► Wrappers: `cc`, `c++`, `ar`
//! what they made ──► fit: would the runtime's loader take it?
//! ```
//!
//! zig has the headers and the symbols of every glibc, for every processor, so that what it links asks for no newer version
//! than the runtime has. A compiler of this machine links against the glibc that is here: what it makes is taken only when
//! it turns out not to need a newer one.

pub(super) mod fit;
mod wrappers;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::fresh;
use crate::lambda::{Architecture, OperatingSystem};
use crate::process::{Tool, find_program};

pub(super) use wrappers::{Settings, Wrappers};

/// How to get zig.
pub(super) const INSTALL_ZIG: &str = "install zig (`pip install ziglang`, or https://ziglang.org)";

/// What code is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Aim {
    /// The processor.
    pub(super) architecture: Architecture,
    /// The system, which decides glibc.
    pub(super) os: OperatingSystem,
}

impl Aim {
    /// zig's name for it: `aarch64-linux-gnu.2.34`.
    pub(super) fn zig_target(self) -> String {
        let (major, minor) = self.os.glibc();
        format!("{}-linux-gnu.{major}.{minor}", self.architecture.machine())
    }

    /// The GNU name: `aarch64-linux-gnu`.
    pub(super) fn gnu(self) -> String {
        format!("{}-linux-gnu", self.architecture.machine())
    }

    /// Whether programs that are made for it start here.
    pub(super) fn is_of_this_processor(self) -> bool {
        std::env::consts::ARCH == self.architecture.machine()
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.os.glibc();
        write!(f, "{} with glibc {major}.{minor}", self.architecture)
    }
}

/// zig, as it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zig {
    /// The program.
    pub(super) program: PathBuf,
    /// What it says of its version.
    pub(super) version: String,
}

impl Zig {
    /// The one on PATH, else the package `ziglang` of one of these Pythons. One that does not start is none.
    pub(super) fn find(pythons: &[&Path]) -> Option<Self> {
        let of_pythons = || pythons.iter().find_map(|python| packaged(python));
        find_program("zig").and_then(Self::at).or_else(|| of_pythons().and_then(Self::at))
    }

    fn at(program: PathBuf) -> Option<Self> {
        let said = Tool::new(&program).arg("version").run().ok()?.text();
        Some(Self { program, version: said.trim().to_owned() })
    }
}

/// The program of the package `ziglang` that a Python has.
fn packaged(python: &Path) -> Option<PathBuf> {
    const ASK: &str = "import importlib.util as u; s = u.find_spec('ziglang'); print(s.submodule_search_locations[0])";
    let folder = Tool::new(python).args(["-c", ASK]).run().ok()?.text();
    Some(Path::new(folder.trim()).join("zig")).filter(|program| program.is_file())
}

/// What compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Compilers {
    /// zig, for any glibc and processor.
    Zig(Zig),
    /// Those of this machine, which compile for it.
    Host {
        /// The C compiler: a program, or what the variable `CC` says.
        c: String,
        /// The C++ compiler, if there is one.
        cxx: Option<String>,
    },
}

impl Compilers {
    /// What compiles for `aim`, or why nothing does.
    pub(super) fn choose(aim: Aim, pythons: &[&Path]) -> Result<Self, String> {
        if !cfg!(unix) {
            return Err("no compiler is called on this system".to_owned());
        }
        if let Some(zig) = Zig::find(pythons) {
            return Ok(Self::Zig(zig));
        }
        if !cfg!(target_os = "linux") || !aim.is_of_this_processor() {
            let here = format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH);
            return Err(format!("there is no zig here, and a compiler for {here} makes nothing for {aim}"));
        }
        let named = |variable: &str| std::env::var(variable).ok().filter(|words| !words.trim().is_empty());
        let found = |names: &[&str]| names.iter().find_map(|name| find_program(name)).map(|p| p.display().to_string());
        match named("CC").or_else(|| found(&["cc", "gcc", "clang"])) {
            Some(c) => Ok(Self::Host { c, cxx: named("CXX").or_else(|| found(&["c++", "g++", "clang++"])) }),
            None => Err("neither zig nor a C compiler is here".to_owned()),
        }
    }

    /// What results of theirs are known by.
    pub(super) fn facts(&self) -> Vec<String> {
        match self {
            Self::Zig(zig) => vec![fresh::tool(&zig.program), zig.version.clone()],
            Self::Host { c, cxx } => {
                let named = [Some(c), cxx.as_ref()].into_iter().flatten();
                named.cloned().chain(super::environment::compilers()).collect()
            }
        }
    }
}

impl fmt::Display for Compilers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zig(zig) => write!(f, "zig {}", zig.version),
            Self::Host { c, .. } => write!(f, "this machine's `{}`", c.rsplit('/').next().unwrap_or(c)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_processor_and_glibc() {
        let aim = Aim { architecture: Architecture::Arm64, os: OperatingSystem::AmazonLinux2 };
        assert_eq!((aim.zig_target().as_str(), aim.gnu().as_str()), ("aarch64-linux-gnu.2.26", "aarch64-linux-gnu"));
        assert_eq!(aim.to_string(), "arm64 with glibc 2.26");
    }

    #[test]
    fn a_compiler_is_known_by_its_name() {
        let host = Compilers::Host { c: "/usr/bin/gcc".to_owned(), cxx: None };
        assert_eq!(host.to_string(), "this machine's `gcc`");
        let zig = Zig { program: "/x/zig".into(), version: "0.15.1".to_owned() };
        assert_eq!(Compilers::Zig(zig).to_string(), "zig 0.15.1");
    }
}
