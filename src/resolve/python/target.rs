//! The Python that a function will run on: version, processor and glibc, and from these the wheel tags and the marker
//! environment.

use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};

use super::tags::Tags;
use crate::error::{Error, Result};
use crate::lambda::{Architecture, Family, Runtime};
use crate::resolve::compile::Aim;

/// Patch levels that the runtimes have at least (AWS only moves them up). A marker or `requires-python` that asks for a
/// patch level of a minor version is judged by it; `.0` would refuse what has worked for years, such as
/// `!=3.9.0,!=3.9.1`.
const PATCH_LEVELS: &[(u8, u8)] =
    &[(6, 15), (7, 16), (8, 20), (9, 20), (10, 15), (11, 10), (12, 7), (13, 1), (14, 0), (15, 0)];

/// A Python runtime on one processor.
#[derive(Debug)]
pub(super) struct Target {
    /// The runtime.
    pub(super) runtime: &'static Runtime,
    /// The processor.
    pub(super) architecture: Architecture,
    /// The minor version: 13 for Python 3.13.
    pub(super) minor: u8,
    /// Which wheels it loads, best first.
    pub(super) tags: Tags,
    /// What markers are evaluated against.
    pub(super) markers: MarkerEnvironment,
}

impl Target {
    /// The target of a function.
    ///
    /// # Errors
    /// When the runtime is no Python 3.
    pub(super) fn new(runtime: &'static Runtime, architecture: Architecture) -> Result<Self> {
        let Family::Python { major: 3, minor } = runtime.family else {
            return Err(Error::config(format!("packages cannot be resolved for `{}`", runtime.id))
                .hint("choose a runtime of Python 3, such as `runtime = \"python3.13\"`"));
        };
        let tags = Tags::new(minor, runtime.os.glibc().1, architecture.machine());
        let markers = markers(minor, architecture)?;
        Ok(Self { runtime, architecture, minor, tags, markers })
    }

    /// `3.13.1`: the version that tools are asked to resolve for.
    pub(super) fn full_version(&self) -> String {
        full_version(self.minor)
    }

    /// `python3.13 on x86_64`, for messages.
    pub(super) fn name(&self) -> String {
        format!("{} on {}", self.runtime.id, self.architecture)
    }

    /// What native code is compiled for.
    pub(super) fn aim(&self) -> Aim {
        Aim { architecture: self.architecture, os: self.runtime.os }
    }

    /// What the names of its extension modules say: `cpython-313-x86_64-linux-gnu`.
    pub(super) fn extension_tag(&self) -> String {
        // Until 3.7 it told that the interpreter was built with pymalloc.
        let flags = if self.minor < 8 { "m" } else { "" };
        format!("cpython-3{}{flags}-{}", self.minor, self.aim().gnu())
    }

    /// The minor version of its glibc 2.
    pub(super) fn glibc_minor(&self) -> u16 {
        self.runtime.os.glibc().1
    }

    /// Whether a `requires-python` text admits this Python. One that cannot be read admits it: the tool that wrote it
    /// could read it.
    pub(super) fn admitted_by(&self, requires_python: &str) -> bool {
        requires_python
            .parse::<pep508_rs::pep440_rs::VersionSpecifiers>()
            .map_or(true, |specifiers| specifiers.contains(&self.markers.python_full_version().version))
    }
}

fn full_version(minor: u8) -> String {
    let patch = PATCH_LEVELS.iter().find(|(m, _)| *m == minor).map_or(0, |(_, patch)| *patch);
    format!("3.{minor}.{patch}")
}

fn markers(minor: u8, architecture: Architecture) -> Result<MarkerEnvironment> {
    let full = full_version(minor);
    let short = format!("3.{minor}");
    MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: &full,
        os_name: "posix",
        platform_machine: architecture.machine(),
        platform_python_implementation: "CPython",
        platform_release: "5.10",
        platform_system: "Linux",
        platform_version: "#1 SMP",
        python_full_version: &full,
        python_version: &short,
        sys_platform: "linux",
    })
    .map_err(|e| Error::failed("Failed to describe the runtime to markers").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::find as find_runtime;

    #[test]
    fn markers_are_the_targets_own() {
        let target = Target::new(find_runtime("python3.9").unwrap(), Architecture::Arm64).unwrap();
        let holds = |text: &str| {
            pep508_rs::MarkerTree::parse_str::<pep508_rs::VerbatimUrl>(text).unwrap().evaluate(&target.markers, &[])
        };
        assert!(holds("python_version < '3.10' and sys_platform == 'linux'"));
        assert!(holds("platform_machine == 'aarch64' and os_name == 'posix' and platform_system == 'Linux'"));
        assert!(holds("implementation_name == 'cpython' and platform_python_implementation == 'CPython'"));
        assert!(
            !holds("python_full_version >= '3.10'") && !holds("extra == 'dev'") && !holds("sys_platform == 'win32'")
        );
        assert!(target.admitted_by("!=3.9.0,!=3.9.1,>=3.8") && !target.admitted_by(">=3.10"));
    }

    #[test]
    fn python_2_is_refused() {
        let error = Target::new(find_runtime("python2.7").unwrap(), Architecture::X86_64).unwrap_err();
        assert!(error.to_string().contains("python2.7"));
    }
}
