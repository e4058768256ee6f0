//! Compilers for packages with a `binding.gyp`: zig for the function's processor and glibc, else those of this machine, and
//! the headers of the Node.js that is here. node-gyp goes by `CC`, `CXX`, `AR`, `LINK` and `npm_config_arch`; with
//! `npm_config_nodedir` it downloads no headers.

use std::path::Path;

use crate::elf::Image;
use crate::error::{Error, Result};
use crate::finding::Rule;
use crate::process::Tool;
use crate::resolve::compile::{Aim, Compilers, INSTALL_ZIG, Settings, Wrappers, fit};
use crate::resolve::node::tools::LocalNode;
use crate::tree::Tree;

/// What node-gyp compiles of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compiled {
    /// For what.
    pub(super) aim: Aim,
    /// With what; nothing when there is nothing here, so that a package which can do without still may.
    pub(super) compilers: Option<Compilers>,
    /// Whether its sources are C++, so that they are linked as such.
    is_cxx: bool,
}

impl Compiled {
    /// Of the package at a path; nothing when it has nothing to compile.
    pub(super) fn of(tree: &Tree, path: &str, aim: Aim) -> Option<Self> {
        if !tree.contains(&format!("{path}/binding.gyp")) {
            return None;
        }
        let is_cxx = |name: &str| [".cc", ".cpp", ".cxx"].iter().any(|end| name.ends_with(end));
        let is_cxx = tree.iter().any(|(path, _)| is_cxx(path.as_str()));
        let python = crate::process::find_program("python3");
        let pythons: Vec<&Path> = python.as_deref().into_iter().collect();
        Some(Self { aim, compilers: Compilers::choose(aim, &pythons).ok(), is_cxx })
    }

    /// What the result is known by.
    pub(super) fn facts(&self) -> Vec<String> {
        self.compilers.iter().flat_map(Compilers::facts).chain([self.aim.to_string()]).collect()
    }

    /// npm, made to compile with them. `folder` is for the scripts that call them, `home` what it runs in.
    pub(super) fn applied(&self, tool: Tool, node: &LocalNode, folder: &Path, home: &Path) -> Result<Tool> {
        let tool = match &node.headers {
            Some(headers) => tool.env("npm_config_nodedir", headers),
            None => tool,
        };
        let Some(compilers) = &self.compilers else { return Ok(tool) };
        let renamed = [(home, "/build")];
        let settings = Settings { include: None, renamed: &renamed };
        let tool = Wrappers::write(folder, compilers, self.aim, &settings)?.used_by(tool, &[]);
        Ok(if self.is_cxx { tool } else { tool.env("LINK", "cc") })
    }

    /// What has to be installed before it can be compiled at all.
    pub(super) fn missing(&self) -> Option<String> {
        match &self.compilers {
            None => Some(format!("there is no compiler for {} here: {INSTALL_ZIG}", self.aim)),
            Some(Compilers::Host { cxx: None, .. }) if self.is_cxx => {
                Some(format!("it is C++, and there is no C++ compiler here: install g++, or {INSTALL_ZIG}"))
            }
            Some(_) => None,
        }
    }

    /// How it is compiled, for a person; also where headers come from when they are not here.
    pub(super) fn note(&self, label: &str, node: &LocalNode) -> String {
        let with = self.compilers.as_ref().map_or_else(|| "no compiler".to_owned(), Compilers::to_string);
        let headers = match &node.headers {
            Some(_) => String::new(),
            None => format!(
                "; headers of Node.js {} are not beside it, so node-gyp takes them from its own cache or downloads them",
                node.version
            ),
        };
        format!("{label} is compiled for {} with {with}{headers}", self.aim)
    }

    /// What to do when what came out does not load there.
    pub(super) fn hint(&self) -> String {
        let zig = match &self.compilers {
            Some(Compilers::Zig(_)) => String::new(),
            _ => format!("{INSTALL_ZIG}, which compiles for every runtime and processor; or "),
        };
        let (os, architecture) = (self.aim.os.name(), self.aim.architecture);
        format!(
            "{zig}pack on {os} on {architecture}, or choose a version of the package that brings prebuilt files for it"
        )
    }

    /// What the function's system lacks of what a compiled file needs.
    pub(super) fn misfit(&self, label: &str, file: &[u8]) -> Option<(Rule, String)> {
        let (rule, said) = fit::misfit(&Image::of(file)?, self.aim)?;
        Some((rule, format!("what the install scripts of {label} compiled here {said}")))
    }

    /// Refuses a module that calls V8 with types of zig's C++ library: Node.js is linked with another one, so that no such
    /// function is there.
    pub(super) fn check_module(&self, label: &str, path: &str, module: &[u8]) -> Result<()> {
        let is_zig = matches!(self.compilers, Some(Compilers::Zig(_)));
        if !is_zig || !calls_with_foreign_types(module) {
            return Ok(());
        }
        Err(Error::failed(format!(
            "`{path}`, which the install scripts of {label} made with zig, calls Node.js with types of another C++ library than it has"
        ))
        .hint(format!(
            "pack without zig on PATH, on {} on {}; or choose a version of the package that uses Node-API or brings prebuilt files",
            self.aim.os.name(),
            self.aim.architecture
        )))
    }
}

/// Whether a symbol of V8 or Node.js has a type of LLVM's C++ library (`std::__1`) in its signature.
fn calls_with_foreign_types(module: &[u8]) -> bool {
    let names = module.split(|byte| *byte == 0);
    let contains = |name: &[u8], part: &[u8]| name.windows(part.len()).any(|window| window == part);
    names
        .filter(|name| name.starts_with(b"_ZN2v8") || name.starts_with(b"_ZN4node") || name.starts_with(b"_ZNK2v8"))
        .any(|name| contains(name, b"St3__1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::{Architecture, OperatingSystem};
    use crate::tree::{ArchivePath, Entry};

    const AIM: Aim = Aim { architecture: Architecture::Arm64, os: OperatingSystem::AmazonLinux2023 };

    #[test]
    fn only_packages_with_a_binding_are_compiled() {
        let tree = |files: &[&str]| -> Tree {
            files.iter().map(|path| (ArchivePath::new(path).unwrap(), Entry::bytes(Vec::new(), false))).collect()
        };
        let of = |files: &[&str]| Compiled::of(&tree(files), "node_modules/a", AIM);
        assert_eq!(of(&["node_modules/a/index.js", "node_modules/a/x/binding.gyp"]), None);
        assert!(!of(&["node_modules/a/binding.gyp", "node_modules/a/a.c"]).unwrap().is_cxx);
        assert!(of(&["node_modules/a/binding.gyp", "node_modules/a/src/a.cc"]).unwrap().is_cxx);
    }

    #[test]
    fn types_of_the_other_library_are_seen_in_names() {
        assert!(calls_with_foreign_types(b"\0_ZN2v811ArrayBuffer3NewENSt3__110unique_ptrE\0"));
        assert!(!calls_with_foreign_types(b"\0_ZN2v811ArrayBuffer3NewENSt10unique_ptrE\0_ZNSt3__16vectorE\0"));
    }

    #[test]
    fn what_is_missing_is_said() {
        let c = Some(Compilers::Host { c: "cc".to_owned(), cxx: None });
        let says = |compilers: &Option<Compilers>, is_cxx| {
            Compiled { aim: AIM, compilers: compilers.clone(), is_cxx }.missing().unwrap_or_default()
        };
        assert!(says(&c, true).contains("install g++") && says(&c, false).is_empty());
        assert!(says(&None, false).contains("no compiler for arm64"));
        let compiled = Compiled { aim: AIM, compilers: None, is_cxx: false };
        let node = LocalNode { version: "22.1.0".to_owned(), abi: "127".to_owned(), headers: None };
        let note = compiled.note("a 1.0.0", &node);
        assert!(
            note.starts_with(
                "a 1.0.0 is compiled for arm64 with glibc 2.34 with no compiler; headers of Node.js 22.1.0"
            )
        );
        assert!(compiled.hint().starts_with("install zig"));
    }
}
