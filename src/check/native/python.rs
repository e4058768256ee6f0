//! `python-abi-mismatch`: extension modules whose names the runtime's Python does not look for.
//!
//! `CPython` finds an extension module by its suffix (`importlib.machinery.EXTENSION_SUFFIXES`): `.cpython-313-x86_64-linux-gnu.so`,
//! `.abi3.so` and `.so`, nothing else.

use std::collections::BTreeSet;

use crate::lambda::Architecture;

/// An extension module, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension<'n> {
    /// The module: `_core`.
    pub(super) module: &'n str,
    /// What its name says of the interpreter: `cpython-313-x86_64-linux-gnu`, `abi3`; empty when it says nothing.
    pub(super) tag: &'n str,
}

impl<'n> Extension<'n> {
    /// From a file's name; nothing for libraries (`libx.so.1`) and other files.
    pub(super) fn parse(name: &'n str) -> Option<Self> {
        let (stem, suffix) = name.rsplit_once('.')?;
        let (module, tag) = stem.split_once('.').unwrap_or((stem, ""));
        let known = ["cpython-", "pypy", "graalpy", "abi3", "cp3", "cp2"].iter().any(|start| tag.starts_with(start));
        let is_extension = match suffix {
            "so" => tag.is_empty() || known,
            "pyd" => tag.starts_with("cp"),
            _ => false,
        };
        (is_extension && !module.is_empty()).then_some(Self { module, tag })
    }

    /// Whether its name is one that only extension modules have.
    pub(super) fn is_tagged(&self) -> bool {
        !self.tag.is_empty()
    }

    /// For whom it is, in words.
    pub(super) fn made_for(&self) -> String {
        let mut parts = self.tag.splitn(3, '-');
        let digits = match parts.next() {
            Some("cpython") => parts.next().unwrap_or_default(),
            Some(first) if first.starts_with("cp") => first.trim_start_matches("cp"),
            _ => return format!("`{}`", self.tag),
        };
        let version = digits.split_at_checked(1).map_or_else(String::new, |(major, minor)| format!("{major}.{minor}"));
        format!("CPython {version}{}", parts.next().map_or_else(String::new, |platform| format!(" ({platform})")))
    }
}

/// The interpreter of a runtime.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interpreter {
    pub(super) minor: u8,
    pub(super) architecture: Architecture,
}

impl Interpreter {
    /// The tag that it looks for: `cpython-313-x86_64-linux-gnu`.
    pub(super) fn tag(self) -> String {
        // Until 3.7 the ABI tag told that the interpreter was built with pymalloc.
        let abi = if self.minor < 8 { "m" } else { "" };
        format!("cpython-3{}{abi}-{}-linux-gnu", self.minor, self.architecture.machine())
    }

    /// Whether it loads an extension module of this name.
    pub(super) fn loads(self, extension: &Extension<'_>) -> bool {
        matches!(extension.tag, "" | "abi3") || extension.tag == self.tag()
    }
}

/// What becomes of the import of a module whose file has the wrong name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Another file of the same module loads.
    Loads,
    /// The module is there in Python, too, which is slower.
    Slow,
    /// It fails.
    Fails,
}

/// By what else lies in its folder.
pub(super) fn fate(
    folder: &str,
    extension: &Extension<'_>,
    interpreter: Interpreter,
    paths: &BTreeSet<String>,
) -> Fate {
    let at = |name: String| paths.contains(&format!("{folder}/{name}"));
    let module = extension.module;
    let loads = [format!("{module}.{}.so", interpreter.tag()), format!("{module}.abi3.so"), format!("{module}.so")];
    if loads.into_iter().any(at) {
        Fate::Loads
    } else if at(format!("{module}.py")) {
        Fate::Slow
    } else {
        Fate::Fails
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM_312: Interpreter = Interpreter { minor: 12, architecture: Architecture::Arm64 };

    #[test]
    fn names_tell_the_interpreter() {
        for (name, loads) in [
            ("_x.cpython-312-aarch64-linux-gnu.so", Some(true)),
            ("_x.cpython-313-aarch64-linux-gnu.so", Some(false)),
            ("_x.cpython-312t-aarch64-linux-gnu.so", Some(false)),
            ("_x.cpython-312-x86_64-linux-gnu.so", Some(false)),
            ("_x.cpython-312-aarch64-linux-musl.so", Some(false)),
            ("_x.cpython-312-darwin.so", Some(false)),
            ("_x.pypy310-pp73-aarch64-linux-gnu.so", Some(false)),
            ("_x.cp312-win_amd64.pyd", Some(false)),
            ("_x.abi3.so", Some(true)),
            ("_x.abi3t.so", Some(false)),
            ("_x.so", Some(true)),
            ("libx.so.1", None),
            ("libx.1.2.so", None),
            ("x.py", None),
            ("x.pyd", None),
        ] {
            assert_eq!(Extension::parse(name).map(|e| ARM_312.loads(&e)), loads, "{name}");
        }
        let old = Interpreter { minor: 7, architecture: Architecture::X86_64 };
        assert_eq!(old.tag(), "cpython-37m-x86_64-linux-gnu");
        let made_for = |name| Extension::parse(name).unwrap().made_for();
        assert_eq!(made_for("_x.cpython-312-darwin.so"), "CPython 3.12 (darwin)");
        assert_eq!(made_for("_x.cp313-win_amd64.pyd"), "CPython 3.13 (win_amd64)");
    }

    #[test]
    fn what_lies_beside_it_decides() {
        let extension = Extension::parse("_x.cpython-311-aarch64-linux-gnu.so").unwrap();
        for (beside, expected) in [
            ("p/_x.cpython-312-aarch64-linux-gnu.so", Fate::Loads),
            ("p/_x.abi3.so", Fate::Loads),
            ("p/_x.py", Fate::Slow),
            ("q/_x.py", Fate::Fails),
        ] {
            assert_eq!(fate("p", &extension, ARM_312, &BTreeSet::from([beside.to_owned()])), expected, "{beside}");
        }
    }
}
