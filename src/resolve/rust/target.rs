//! For what Cargo builds, and whether this machine can: the target's standard library and a linker for it.

use std::path::{Path, PathBuf};

use super::cargo_config::CargoConfig;
use super::{cargo, flags, rustc};
use crate::error::{Error, Result};
use crate::lambda::{Architecture, OperatingSystem, Runtime};
use crate::process::{Tool, find_program};

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
    /// `cargo zigbuild`, linking against this glibc.
    Zig(&'static str),
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
        let linker = find_linker(&installed.host, &triple, config, runtime.os);
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
        match self.linker {
            Linker::Zig(_) => cargo().arg("zigbuild"),
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
        match self.linker {
            Linker::Zig(glibc) if self.triple.ends_with("-gnu") => format!("{}.{glibc}", self.triple),
            _ => self.triple.clone(),
        }
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

fn find_linker(host: &str, triple: &str, config: &CargoConfig, os: OperatingSystem) -> Option<Linker> {
    let native = host.contains("-linux-") && machine_of(host) == machine_of(triple);
    if native || config.has_target(triple, "linker") || flags::name_a_linker(config, triple) {
        return Some(Linker::Default);
    }
    let compiler = cross_compiler(triple);
    if find_program(&compiler).is_some() {
        return Some(Linker::Named(compiler));
    }
    find_program("cargo-zigbuild").map(|_| Linker::Zig(glibc(os)))
}

/// The glibc to link against, which must not be newer than the runtime's.
fn glibc(os: OperatingSystem) -> &'static str {
    match os {
        OperatingSystem::AmazonLinux2023 => "2.34",
        OperatingSystem::AmazonLinux2 => "2.26",
        OperatingSystem::AmazonLinux1 => "2.17",
    }
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

    #[test]
    fn a_linker_that_is_configured_is_left_alone() {
        let os = OperatingSystem::AmazonLinux2023;
        let x86 = "x86_64-unknown-linux-gnu";
        assert_eq!(find_linker(x86, x86, &config(&[]), os), Some(Linker::Default));
        assert_eq!(find_linker(x86, "x86_64-unknown-linux-musl", &config(&[]), os), Some(Linker::Default));
        let linker = config(&[("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "my-ld")]);
        assert_eq!(find_linker(x86, ARM, &linker, os), Some(Linker::Default));
        let flags = config(&[("RUSTFLAGS", "-Clinker=my-ld")]);
        assert_eq!(find_linker(x86, ARM, &flags, os), Some(Linker::Default));
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
        let zig = with(Linker::Zig(glibc(OperatingSystem::AmazonLinux2)));
        assert_eq!((zig.argument().as_str(), zig.resolved_by()), ("aarch64-unknown-linux-gnu.2.26", "cargo zigbuild"));
    }
}
