//! .NETs of this machine.

use std::path::{Path, PathBuf};

use super::Interpreter;
use crate::process::{Tool, find_programs};

/// The framework that every function is for, and that Lambda's runtimes are named after.
const FRAMEWORK: &str = "Microsoft.NETCore.App";

/// A .NET that starts.
#[derive(Debug, Clone)]
pub(in crate::invoke) struct Dotnet {
    /// Its host, the version of its framework, and what it cannot run without.
    pub(in crate::invoke) found: Interpreter,
    /// What was asked for it: a script may set what .NET needs on this machine.
    pub(in crate::invoke) asked: PathBuf,
}

/// A .NET with a framework of this major version; else of the next newer one; else the newest.
pub(in crate::invoke) fn dotnet(major: u32) -> Option<Dotnet> {
    let user = etcetera::home_dir().unwrap_or_default().join(".dotnet");
    let set = std::env::var_os("DOTNET_ROOT").map(PathBuf::from);
    let usual = ["/usr/share/dotnet", "/usr/lib/dotnet", "/usr/lib64/dotnet", "/opt/dotnet"].map(PathBuf::from);
    let folders = set.into_iter().chain([user]).chain(usual).map(|folder| folder.join("dotnet"));
    let mut best: Option<(bool, u32, Dotnet)> = None;
    for program in find_programs("dotnet").into_iter().chain(folders.filter(|program| program.is_file())) {
        for (version, found) in ask(&program) {
            let rank = (version < major, version.abs_diff(major));
            if best.as_ref().is_none_or(|(is_older, distance, _)| rank < (*is_older, *distance)) {
                best = Some((rank.0, rank.1, found));
            }
        }
        if matches!(best, Some((_, 0, _))) {
            break;
        }
    }
    best.map(|(_, _, found)| found)
}

impl Dotnet {
    /// The folder of its host. A user's own also has certificates and caches, which are not to be seen.
    pub(in crate::invoke) fn root(&self) -> &Path {
        self.found.program.parent().unwrap_or(&self.found.program)
    }

    /// The folder of its framework's assemblies.
    pub(in crate::invoke) fn framework(&self) -> PathBuf {
        self.root().join("shared").join(FRAMEWORK).join(&self.found.version)
    }

    /// The C# compiler of its newest SDK.
    pub(in crate::invoke) fn compiler(&self) -> Option<PathBuf> {
        let sdks = std::fs::read_dir(self.root().join("sdk")).ok()?.flatten();
        let number = |sdk: &Path| numbers(sdk.file_name().and_then(|name| name.to_str()).unwrap_or_default());
        let with = sdks.map(|sdk| sdk.path()).filter(|sdk| sdk.join(CSC).is_file());
        Some(with.max_by_key(|sdk| number(sdk))?.join(CSC))
    }
}

const CSC: &str = "Roslyn/bincore/csc.dll";

/// What a `dotnet` says that it has, by major version. It is asked, since it may be a script or a link that leads to the host.
fn ask(program: &Path) -> Vec<(u32, Dotnet)> {
    let Ok(said) = Tool::new(program).arg("--list-runtimes").run() else { return Vec::new() };
    let mut all: Vec<(Vec<u32>, Dotnet)> = said.text().lines().filter_map(|line| of_line(line, program)).collect();
    // The newest of each major version, as the host chooses.
    all.sort_by(|(left, _), (right, _)| right.cmp(left));
    all.into_iter().filter_map(|(version, found)| Some((*version.first()?, found))).collect()
}

/// `NAME VERSION [FOLDER]`, where the folder is `shared/NAME` beside the host.
fn of_line(line: &str, asked: &Path) -> Option<(Vec<u32>, Dotnet)> {
    let (version, folder) = line.strip_prefix(FRAMEWORK)?.strip_prefix(' ')?.split_once(" [")?;
    let root = Path::new(folder.strip_suffix(']')?).canonicalize().ok()?.ancestors().nth(2)?.to_owned();
    let program = root.join("dotnet").canonicalize().ok()?;
    let seen = [program.clone(), root.join("host"), root.join("shared")].into_iter().filter(|path| path.exists());
    let found = Interpreter { program, version: version.to_owned(), seen: seen.collect() };
    Some((numbers(version), Dotnet { found, asked: asked.to_owned() }))
}

fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framework_lies_beside_its_host() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("a [b]");
        let folder = root.join("shared").join(FRAMEWORK);
        for version in ["sdk/8.0.99", "sdk/8.0.401", "sdk/9.0.100"] {
            std::fs::create_dir_all(root.join(version).join("Roslyn/bincore")).unwrap();
        }
        std::fs::create_dir_all(folder.join("8.0.11")).unwrap();
        for file in ["dotnet", "sdk/8.0.99/Roslyn/bincore/csc.dll", "sdk/8.0.401/Roslyn/bincore/csc.dll"] {
            crate::fsio::write_new(&root.join(file), b"", false).unwrap();
        }
        let line = format!("{FRAMEWORK} 8.0.11 [{}]", folder.display());
        let (version, dotnet) = of_line(&line, Path::new("dotnet")).unwrap();
        assert_eq!((version, dotnet.root()), (vec![8, 0, 11], root.as_path()));
        assert_eq!(dotnet.framework(), folder.join("8.0.11"));
        // The newest SDK has no compiler.
        assert_eq!(dotnet.compiler(), Some(root.join("sdk/8.0.401/Roslyn/bincore/csc.dll")));
        assert_eq!(dotnet.found.seen, [root.join("dotnet"), root.join("shared")]);
        assert!(of_line(&line.replace("NETCore", "AspNetCore"), Path::new("dotnet")).is_none());
    }
}
