//! Javas of this machine.

use std::path::{Path, PathBuf};

use super::Interpreter;
use crate::process::{Tool, find_programs};

/// A Java of this major version; else the next newer one, for older ones load no newer classes; else the newest of them.
pub(in crate::invoke) fn java(major: u8) -> Option<Interpreter> {
    let wanted = u32::from(major);
    let mut found: Vec<(bool, u32, PathBuf)> = homes()
        .into_iter()
        .filter_map(|home| {
            let version = of_version(&home)?;
            let (is_older, distance) = (version < wanted, version.abs_diff(wanted));
            Some((is_older, distance, home))
        })
        .collect();
    // Stable: of one version, the first that was found.
    found.sort_by_key(|(is_older, distance, _)| (*is_older, *distance));
    found.into_iter().find_map(|(_, _, home)| ask(&home))
}

/// What compiles for a Java: its own compiler, else one of a Java that is not older. With the compiler's version.
pub(in crate::invoke) fn javac(java: &Interpreter) -> Option<(PathBuf, String)> {
    let own = java.program.ancestors().nth(2)?;
    let wanted: u32 = java.version.parse().ok()?;
    // A runtime of Java 8 lies in a JDK.
    let around = own.parent().filter(|_| own.ends_with("jre"));
    let near = [Some(own), around].into_iter().flatten().map(|home| (home.to_owned(), wanted));
    let others = homes().into_iter().filter_map(|home| Some((home.clone(), of_version(&home)?)));
    let program = |home: &Path| Some(home.join("bin/javac")).filter(|program| program.is_file());
    let mut all = near.chain(others).filter(|(_, version)| *version >= wanted);
    all.find_map(|(home, version)| Some((program(&home)?, version.to_string())))
}

/// Folders with `bin/java`, those that were chosen first.
fn homes() -> Vec<PathBuf> {
    let chosen = std::env::var_os("JAVA_HOME").map(PathBuf::from).into_iter();
    let on_path = find_programs("java").into_iter().filter_map(|java| java.canonicalize().ok());
    let on_path = on_path.filter_map(|java| java.ancestors().nth(2).map(Path::to_owned));
    let user = etcetera::home_dir().unwrap_or_default();
    let folders = [
        PathBuf::from("/usr/lib/jvm"),
        PathBuf::from("/opt/java"),
        user.join(".sdkman/candidates/java"),
        user.join(".jdks"),
    ];
    let kept = folders.iter().flat_map(|folder| {
        let mut inside: Vec<PathBuf> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        inside.sort();
        inside
    });
    let mut out: Vec<PathBuf> = Vec::new();
    for home in chosen.chain(on_path).chain(kept).filter_map(|home| home.canonicalize().ok()) {
        if home.join("bin/java").is_file() && !out.contains(&home) {
            out.push(home);
        }
    }
    out
}

/// The major version, as the folder says it; else as Java itself does.
fn of_version(home: &Path) -> Option<u32> {
    let release = std::fs::read_to_string(home.join("release")).unwrap_or_default();
    let said = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="));
    let said =
        said.map_or_else(|| ask(home).map(|java| java.version), |said| Some(said.trim_matches('"').to_owned()))?;
    said.trim_start_matches("1.").split(['.', '-', '+', '_']).next()?.parse().ok()
}

/// The Java in a folder, if it starts.
fn ask(home: &Path) -> Option<Interpreter> {
    let program = home.join("bin/java").canonicalize().ok()?;
    let tool = Tool::new(&program).args(["-XshowSettings:properties", "-version"]);
    let said = tool.env_remove("JAVA_TOOL_OPTIONS").env_remove("JDK_JAVA_OPTIONS").run().ok()?;
    let version = said.stderr.lines().find_map(|line| line.trim().strip_prefix("java.specification.version = "))?;
    let mut seen = super::without_homes(vec![super::installed(&program)]);
    // Debian keeps settings that the virtual machine reads apart from it.
    let settings = std::fs::read_dir("/etc").into_iter().flatten().flatten();
    seen.extend(settings.filter(|entry| entry.file_name().to_string_lossy().starts_with("java")).map(|e| e.path()));
    Some(Interpreter { version: version.trim_start_matches("1.").to_owned(), seen, program })
}
