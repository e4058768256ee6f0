//! `glibc-too-new`, `libstdcxx-too-new`: files that need newer versions of the system's libraries than it has.

use super::Judge;
use super::view::Binary;
use crate::elf::{Elf, VersionFamily, VersionNeed};
use crate::finding::{Finding, Rule};
use crate::lambda::{has_library, libstdcxx};

const LIBSTDCXX: &str = "libstdc++.so.6";

impl Judge<'_> {
    pub(super) fn glibc(&self, binary: &Binary<'_>, elf: &Elf) -> Option<Finding> {
        let runtime = self.native.runtime;
        let (major, minor) = runtime.os.glibc();
        let newest = elf
            .versions
            .iter()
            .filter(|need| need.family == VersionFamily::Glibc)
            .max_by_key(|need| need.version)
            .filter(|need| (need.version.0, need.version.1) > (major, minor))?;
        let hint = match self.owners.of(&binary.path) {
            Some(owner) => format!(
                "take an older version of {owner}, or a wheel of manylinux_{major}_{minor} or older; or a runtime with a newer glibc"
            ),
            None => format!(
                "build it on {}, in a container of its image, or against glibc {major}.{minor} (`cargo zigbuild --target {}-unknown-linux-gnu.{major}.{minor}`, `zig cc`)",
                runtime.os.name(),
                self.native.architecture.machine()
            ),
        };
        Some(self.too_new(
            Rule::GlibcTooNew,
            binary,
            newest,
            &format!("{} has glibc {major}.{minor}", runtime.id),
            hint,
        ))
    }

    pub(super) fn libstdcxx(&self, binary: &Binary<'_>, elf: &Elf) -> Option<Finding> {
        let [glibcxx, cxxabi] = libstdcxx(self.native.runtime.os)?;
        let is_too_new = |need: &&VersionNeed| match need.family {
            VersionFamily::Glibcxx => need.version > glibcxx,
            VersionFamily::Cxxabi => need.version > cxxabi,
            VersionFamily::Glibc => false,
        };
        // A copy under another name is the package's own, and so is one that `DT_RPATH` leads to.
        let newest = elf.versions.iter().filter(|need| need.library == LIBSTDCXX).find(is_too_new)?;
        if self.brings(binary, elf, LIBSTDCXX) {
            return None;
        }
        let said = |(a, b, c): (u16, u16, u16)| format!("{a}.{b}.{c}");
        let has = format!(
            "{} is sure to have GLIBCXX_{} and CXXABI_{} only",
            self.native.runtime.id,
            said(glibcxx),
            said(cxxabi)
        );
        let hint = match self.owners.of(&binary.path) {
            Some(owner) => format!("take an older version of {owner}, or a manylinux wheel"),
            None => format!(
                "build it with the compiler of {}, or link it with `-static-libstdc++ -static-libgcc`",
                self.native.runtime.os.name()
            ),
        };
        Some(self.too_new(Rule::LibstdcxxTooNew, binary, newest, &has, hint))
    }

    fn too_new(&self, rule: Rule, binary: &Binary<'_>, need: &VersionNeed, has: &str, hint: String) -> Finding {
        let asks = need.symbol.as_ref().map_or_else(String::new, |symbol| format!(", for `{symbol}`"));
        let finding = Finding::new(
            rule,
            format!(
                "/lib64/{}: version `{}' not found (required by {}{asks}); {has}{}",
                need.library,
                need.name,
                binary.path,
                self.brought(binary)
            ),
            hint,
        );
        self.unless_unloaded(binary, finding.path(&binary.shown))
    }

    /// Whether a library lacks only because this machine's glibc came to have it later, which has been said.
    pub(super) fn is_too_new(&self, elf: &Elf, library: &str) -> bool {
        let glibc = self.native.runtime.os.glibc();
        elf.versions.iter().any(|need| {
            need.family == VersionFamily::Glibc
                && need.library == library
                && (need.version.0, need.version.1) > glibc
                && !has_library(self.native.runtime, self.native.architecture, library)
        })
    }
}
