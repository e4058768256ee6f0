//! For what Cargo builds, and whether this machine can: the target's standard library and a linker for it.

use std::path::{Path, PathBuf};

use super::cargo_config::CargoConfig;
use super::{cargo, flags, rustc};
use crate::error::{Error, Result};
use crate::lambda::{Architecture, OperatingSystem, Runtime};
use crate::process::{Tool, find_program};
use crate::resolve::compile::Zig;

/// A target of the compiler, as it is here.
#[derive(Debug)]
pub(super) struct Target {
    /// Its name, such as `aarch64-unknown-linux-gnu`.
    pub(super) triple: String,
    /// Where the compiler is installed.
    pub(super) sysroot: PathBuf,
    /// The commit the compiler was built from, which names the sources of its standard library.
    pub(super) compiler_commit: Option<String>,
    linker: Linker,
}

/// What links.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Linker {
    /// The one that Cargo would take anyway.
    Default,
    /// A cross compiler by its name on `PATH`.
    Named(String),
    /// `cargo zigbuild`, linking against the runtime's glibc.
    Zig(ZigBuild),
}

/// `cargo zigbuild` as it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ZigBuild {
    zig: Zig,
    glibc: (u16, u16),
}

/// What decides about linkers on this machine.
#[derive(Debug, Default)]
struct Here {
    /// The compiler's own target.
    host: String,
    /// The glibc that a linker of this machine links against, if it has that.
    glibc: Option<(u16, u16)>,
    /// zig, when `cargo-zigbuild` is here to call it.
    zig: Option<Zig>,
}

impl Here {
    fn look(host: String) -> Self {
        let said = Tool::new("getconf").arg("GNU_LIBC_VERSION").run().map(|output| output.text()).unwrap_or_default();
        let version = said.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
        let glibc = version.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let python = find_program("python3");
        let find = || Zig::find(&python.as_deref().into_iter().collect::<Vec<_>>());
        Self { host, glibc, zig: find_program("cargo-zigbuild").and_then(|_| find()) }
    }
}

impl Target {
    /// The target for an architecture, if it can be built here.
    pub(super) fn choose(
        workspace: &Path,
        architecture: Architecture,
        runtime: &Runtime,
        config: &CargoConfig,
    ) -> Result<Self> {
        let triple = triple(architecture, config);
        let installed = Installed::read(workspace, &triple)?;
        let here = Here::look(installed.host.clone());
        let linker = find_linker(&here, &triple, config, runtime.os);
        let has_std = installed.libdir.is_dir() || !config.all(&["unstable", "build-std"]).is_empty();
        if let Some(error) = missing(architecture, &triple, has_std, linker.as_ref()) {
            return Err(error);
        }
        Ok(Self {
            triple,
            sysroot: installed.sysroot,
            compiler_commit: installed.commit,
            linker: linker.unwrap_or(Linker::Default),
        })
    }

    /// The command that builds.
    pub(super) fn cargo(&self) -> Tool {
        match &self.linker {
            Linker::Zig(build) => cargo().arg("zigbuild").env("CARGO_ZIGBUILD_ZIG_PATH", &build.zig.program),
            Linker::Default | Linker::Named(_) => cargo().arg("build"),
        }
    }

    /// The command's name for the summary.
    pub(super) fn resolved_by(&self) -> &'static str {
        match self.linker {
            Linker::Zig(_) => "cargo zigbuild",
            Linker::Default | Linker::Named(_) => "cargo build",
        }
    }

    /// The value of `--target`.
    pub(super) fn argument(&self) -> String {
        match &self.linker {
            Linker::Zig(ZigBuild { glibc: (major, minor), .. }) if self.triple.ends_with("-gnu") => {
                format!("{}.{major}.{minor}", self.triple)
            }
            _ => self.triple.clone(),
        }
    }

    /// What to do about an executable that needs a newer glibc than the runtime has.
    pub(super) fn too_new_hint(&self, os: OperatingSystem) -> String {
        let zig = match self.linker {
            Linker::Zig(_) => String::new(),
            Linker::Default | Linker::Named(_) => {
                "install `cargo-zigbuild` and zig (`pip install cargo-zigbuild ziglang`), which link it for the runtime's glibc; or ".to_owned()
            }
        };
        let machine = machine_of(&self.triple);
        format!(
            "{zig}link it statically, with `build.target = \"{machine}-unknown-linux-musl\"` in `.cargo/config.toml`; or build on {}",
            os.name()
        )
    }

    /// The arguments that name the linker.
    pub(super) fn linker_config(&self) -> Vec<String> {
        match &self.linker {
            Linker::Named(name) => {
                vec!["--config".to_owned(), format!("target.{}.linker=\"{name}\"", self.triple)]
            }
            Linker::Default | Linker::Zig(_) => Vec::new(),
        }
    }
}

/// What the compiler says of itself.
struct Installed {
    host: String,
    commit: Option<String>,
    sysroot: PathBuf,
    libdir: PathBuf,
}

impl Installed {
    fn read(workspace: &Path, triple: &str) -> Result<Self> {
        let version = rustc(workspace).arg("-vV").run().map_err(Error::from)?.text();
        let field = |name: &str| {
            version.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(|v| v.trim().to_owned())
        };
        let printed = rustc(workspace)
            .args(["--print", "sysroot", "--print", "target-libdir", "--target", triple])
            .run()
            .map_err(Error::from)?
            .text();
        let mut lines = printed.lines().map(PathBuf::from);
        let (Some(sysroot), Some(libdir)) = (lines.next(), lines.next()) else {
            return Err(Error::failed("Failed to read what `rustc --print` said"));
        };
        let commit = field("commit-hash").filter(|hash| hash != "unknown");
        Ok(Self { host: field("host").unwrap_or_default(), commit, sysroot, libdir })
    }
}

/// GNU, unless the user builds for musl of the same architecture: linked statically, it runs on Lambda too.
fn triple(architecture: Architecture, config: &CargoConfig) -> String {
    let machine = architecture.machine();
    let musl = format!("{machine}-unknown-linux-musl");
    let configured = config.build_target().filter(|configured| *configured == musl);
    configured.unwrap_or_else(|| format!("{machine}-unknown-linux-gnu"))
}

fn machine_of(triple: &str) -> &str {
    triple.split('-').next().unwrap_or(triple)
}

/// The name that GNU cross compilers have.
fn cross_compiler(triple: &str) -> String {
    format!("{}-linux-gnu-gcc", machine_of(triple))
}

/// The linker that the user has configured; else the one of this machine, when it links for the target and its glibc is not
/// newer than the runtime's; else zig, a cross compiler, or what there is.
fn find_linker(here: &Here, triple: &str, config: &CargoConfig, os: OperatingSystem) -> Option<Linker> {
    if config.has_target(triple, "linker") || flags::name_a_linker(config, triple) {
        return Some(Linker::Default);
    }
    let is_native = here.host.contains("-linux-") && machine_of(&here.host) == machine_of(triple);
    let is_old_enough = !triple.ends_with("-gnu") || here.glibc.is_none_or(|glibc| glibc <= os.glibc());
    if is_native && is_old_enough {
        return Some(Linker::Default);
    }
    if let Some(zig) = &here.zig {
        return Some(Linker::Zig(ZigBuild { zig: zig.clone(), glibc: os.glibc() }));
    }
    let compiler = cross_compiler(triple);
    if is_native { Some(Linker::Default) } else { find_program(&compiler).map(|_| Linker::Named(compiler)) }
}

/// One error for all that is missing.
fn missing(architecture: Architecture, triple: &str, has_std: bool, linker: Option<&Linker>) -> Option<Error> {
    let mut what = Vec::new();
    let mut hints = Vec::new();
    if !has_std {
        what.push("the target's standard library");
        hints.push(format!("run `rustup target add {triple}`"));
    }
    if linker.is_none() {
        what.push("a linker");
        let package = format!("gcc-{}-linux-gnu", machine_of(triple).replace('_', "-"));
        hints.push(format!("run `apt-get install {package}`, or install `cargo-zigbuild` and zig"));
    }
    if what.is_empty() {
        return None;
    }
    let verb = if what.len() == 1 { "is" } else { "are" };
    let message = format!("cannot build for {architecture} on this machine: {} {verb} missing", what.join(" and "));
    Some(hints.into_iter().fold(Error::failed(message), Error::hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Target {
        /// A target of which nothing is known but the name.
        pub(in crate::resolve::rust) fn new(triple: &str) -> Self {
            Self {
                triple: triple.to_owned(),
                sysroot: PathBuf::from("/sysroot"),
                compiler_commit: None,
                linker: Linker::Default,
            }
        }
    }

    fn config(variables: &'static [(&'static str, &'static str)]) -> CargoConfig {
        let find = |name: &str| variables.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
        CargoConfig::with(Path::new("/no-such-folder"), None, Box::new(find)).unwrap()
    }

    const ARM: &str = "aarch64-unknown-linux-gnu";

    #[test]
    fn what_is_missing_is_said_at_once() {
        let error = missing(Architecture::Arm64, ARM, false, None).unwrap();
        assert_eq!(
            error.to_string(),
            "cannot build for arm64 on this machine: the target's standard library and a linker are missing"
        );
        assert_eq!(
            error.hints(),
            [
                "run `rustup target add aarch64-unknown-linux-gnu`",
                "run `apt-get install gcc-aarch64-linux-gnu`, or install `cargo-zigbuild` and zig"
            ]
        );
        assert!(missing(Architecture::Arm64, ARM, true, Some(&Linker::Default)).is_none());
    }

    const X86: &str = "x86_64-unknown-linux-gnu";

    fn zig() -> Zig {
        Zig { program: "/zig".into(), version: "1".to_owned() }
    }

    fn here(glibc: (u16, u16), zig: Option<Zig>) -> Here {
        Here { host: X86.to_owned(), glibc: Some(glibc), zig }
    }

    #[test]
    fn a_linker_that_is_configured_is_left_alone() {
        let os = OperatingSystem::AmazonLinux2023;
        let here = here((2, 36), Some(zig()));
        assert_eq!(find_linker(&here, "x86_64-unknown-linux-musl", &config(&[]), os), Some(Linker::Default));
        let linker = config(&[("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "my-ld")]);
        assert_eq!(find_linker(&here, ARM, &linker, os), Some(Linker::Default));
        let flags = config(&[("RUSTFLAGS", "-Clinker=my-ld")]);
        assert_eq!(find_linker(&here, X86, &flags, os), Some(Linker::Default));
    }

    #[test]
    fn zig_links_for_other_processors_and_where_glibc_is_too_new() {
        let (al2, al2023) = (OperatingSystem::AmazonLinux2, OperatingSystem::AmazonLinux2023);
        let config = config(&[]);
        let with_zig = |os: OperatingSystem| Some(Linker::Zig(ZigBuild { zig: zig(), glibc: os.glibc() }));
        assert_eq!(find_linker(&here((2, 34), Some(zig())), X86, &config, al2023), Some(Linker::Default));
        assert_eq!(find_linker(&here((2, 34), Some(zig())), X86, &config, al2), with_zig(al2));
        assert_eq!(find_linker(&here((2, 36), Some(zig())), X86, &config, al2023), with_zig(al2023));
        assert_eq!(find_linker(&here((2, 34), Some(zig())), ARM, &config, al2023), with_zig(al2023));
        // Without it the executable is built, and looked at afterwards.
        assert_eq!(find_linker(&here((2, 36), None), X86, &config, al2), Some(Linker::Default));
    }

    #[test]
    fn musl_of_the_same_architecture_is_respected() {
        let musl = config(&[("CARGO_BUILD_TARGET", "x86_64-unknown-linux-musl")]);
        assert_eq!(triple(Architecture::X86_64, &musl), "x86_64-unknown-linux-musl");
        assert_eq!(triple(Architecture::Arm64, &musl), ARM);
        let other = config(&[("CARGO_BUILD_TARGET", "wasm32-unknown-unknown")]);
        assert_eq!(triple(Architecture::X86_64, &other), "x86_64-unknown-linux-gnu");
    }

    #[test]
    fn a_cross_linker_and_zig_are_passed_on() {
        let with = |linker: Linker| Target { linker, ..Target::new(ARM) };
        let named = with(Linker::Named("aarch64-linux-gnu-gcc".to_owned()));
        assert_eq!(
            named.linker_config(),
            ["--config", "target.aarch64-unknown-linux-gnu.linker=\"aarch64-linux-gnu-gcc\""]
        );
        let zig = with(Linker::Zig(ZigBuild { zig: zig(), glibc: OperatingSystem::AmazonLinux2.glibc() }));
        assert_eq!((zig.argument().as_str(), zig.resolved_by()), ("aarch64-unknown-linux-gnu.2.26", "cargo zigbuild"));
    }
}
