//! What `dotnet publish` complains of, and what to do about it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::Error;
use crate::process::{first_lines, last_lines};

/// Codes of MSBuild, NuGet and the SDK, with the next step where their text does not name it.
const HINTS: &[(&str, &str)] = &[
    ("MSB1001", "install the .NET SDK 8 or newer (https://dot.net): this one does not know `--artifacts-path`"),
    (
        "NU1403",
        "a package is another one than `packages.lock.json` says: look for its source, or `dotnet restore --force-evaluate`",
    ),
    ("NU1101", "name the package's source in a `nuget.config` beside the project"),
    (
        "NU1301",
        "check the network, or the sources in `nuget.config`; `--offline` takes what is in NuGet's folder of packages",
    ),
    ("NETSDK1045", "install the SDK of that version (https://dot.net), or a `global.json` chooses an older one"),
];

/// The error of a build that has failed, from all that it has said. MSBuild says some errors twice, with warnings between them,
/// and whole paths.
pub(super) fn failed(said: &str, root: &Path) -> Error {
    let root = format!("{}/", root.display());
    let mut known = BTreeSet::new();
    let errors: Vec<String> = said
        .lines()
        .filter(|line| line.contains("error ") && (line.contains(": error ") || line.starts_with("error ")))
        .map(|line| without_project(line.trim()).replace(&root, ""))
        .filter(|line| known.insert(line.clone()))
        .collect();
    let because = match errors.is_empty() {
        true => last_lines(said, 30),
        false => first_lines(&errors.join("\n"), 30, |_| false),
    };
    let error = Error::failed("`dotnet publish` failed").because(because);
    match HINTS.iter().find(|(code, _)| said.contains(&format!("error {code}:"))) {
        Some((_, hint)) => error.hint(*hint),
        None => error,
    }
}

/// Without the project that MSBuild names at the end in brackets.
fn without_project(line: &str) -> &str {
    line.rsplit_once(" [").filter(|(_, project)| project.ends_with("proj]")).map_or(line, |(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_said_once_and_by_file() {
        let said = "  Restore completed in 146.05 ms for Prog.csproj.\n\
            /p/a b/Lib/X.cs(1,2): warning CS0168: unused [/p/a b/Prog.csproj]\n\
            /p/a b/Program.cs(2,42): error CS0103: The name 'x' does not exist [/p/a b/Prog.csproj]\n\
            /p/a b/Program.cs(2,42): error CS0103: The name 'x' does not exist [/p/a b/Prog.csproj]\n";
        let error = failed(said, Path::new("/p/a b")).to_string();
        assert_eq!(error.matches("error CS0103").count(), 1, "{error}");
        assert!(error.contains("\n  Program.cs(2,42): error CS0103: The name 'x' does not exist"), "{error}");
        assert!(!error.contains("warning") && !error.contains("csproj"), "{error}");
        let unknown = failed("MSBUILD : error MSB1001: Unknown switch.\nSwitch: --artifacts-path\n", Path::new("/p"));
        assert!(unknown.to_string().contains("error MSB1001: Unknown switch."), "{unknown}");
        assert!(failed("Killed\n", Path::new("/p")).to_string().contains("Killed"));
    }
}
