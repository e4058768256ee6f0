//! Which folders are programs of Go, told by reading the beginnings of their files; Go itself is not asked.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::config::Settings;
use super::reader::nearest;
use crate::error::{Error, Result};
use crate::fsio;

/// What a program imports that is a function without being told.
const LAMBDA_MODULE: &str = "\"github.com/aws/aws-lambda-go/";
/// Folders below a module that Go itself does not look into, or that hold what tools wrote.
const SKIPPED: [&str; 4] = ["vendor", "testdata", "node_modules", "cdk.out"];
/// Folders below a module's root that are looked into.
const MAX_DEPTH: usize = 8;
/// A source file's beginning: comments, the package clause and the imports are in it.
const MAX_SOURCE: u64 = 4 << 20;

/// A program of a Go module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoMain {
    /// The folder that Go is run in: of `go.work`, else of `go.mod`. Absolute.
    pub root: PathBuf,
    /// The folder of the module's `go.mod`. Absolute.
    pub module: PathBuf,
    /// The folder of the package `main`. Absolute.
    pub package: PathBuf,
}

/// What a folder's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// A program.
    Main {
        /// Whether it imports what makes it a function.
        uses_lambda: bool,
    },
    /// Not a program.
    Other,
}

/// The module that a folder is in.
pub(super) fn module_of(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().find(|above| above.join("go.mod").is_file()).map(Path::to_owned)
}

/// What is in a folder itself.
pub(super) fn look(dir: &Path) -> Files {
    let mut is_main = false;
    let mut uses_lambda = false;
    for path in sources(dir) {
        let Ok(bytes) = fsio::read_bounded(&path, MAX_SOURCE) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let Some((package, rest)) = package_clause(&text) else { continue };
        if package == "main" {
            is_main = true;
            // Imports come before everything else.
            let imports = rest.split("\nfunc ").next().unwrap_or(rest);
            uses_lambda |= imports.contains(LAMBDA_MODULE);
        }
    }
    if is_main { Files::Main { uses_lambda } } else { Files::Other }
}

/// Go's files in a folder, without tests.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).ok().into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".go") && !name.ends_with("_test.go") && !name.starts_with(['.', '_']) && path.is_file()
    });
    paths.sort();
    paths
}

/// The name in the package clause, and what follows it; nothing for a file that no build takes.
fn package_clause(text: &str) -> Option<(&str, &str)> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if let Some(comment) = rest.strip_prefix("//") {
            let (line, after) = comment.split_once('\n').unwrap_or((comment, ""));
            let constraint = line.strip_prefix("go:build ").or_else(|| line.trim().strip_prefix("+build "));
            if constraint.is_some_and(|constraint| constraint.trim() == "ignore") {
                return None;
            }
            rest = after;
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/")?.1;
        } else {
            let after = rest.strip_prefix("package")?.trim_start();
            let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
            return Some(after.split_at(end));
        }
    }
}

/// A program by the folder of its package.
fn main(module: &Path, package: PathBuf) -> GoMain {
    let works = std::env::var("GOWORK").unwrap_or_default();
    let root = match works.as_str() {
        "" => module.ancestors().find(|above| above.join("go.work").is_file()).unwrap_or(module),
        "off" => module,
        file => Path::new(file).parent().unwrap_or(module),
    };
    GoMain { root: root.to_owned(), module: module.to_owned(), package }
}

/// The programs in a module at or below `dir`, each with whether it is a function without being told.
pub(super) fn programs(dir: &Path) -> Vec<(GoMain, bool)> {
    let Some(module) = module_of(dir) else { return Vec::new() };
    let mut found = Vec::new();
    collect(dir, &module, 0, &mut found);
    found
}

fn collect(dir: &Path, module: &Path, depth: usize, found: &mut Vec<(GoMain, bool)>) {
    if let Files::Main { uses_lambda } = look(dir) {
        found.push((main(module, dir.to_owned()), uses_lambda));
    }
    if depth == MAX_DEPTH {
        return;
    }
    let entries = fs::read_dir(dir).ok().into_iter().flatten().flatten();
    let folders: BTreeSet<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            !name.starts_with(['.', '_']) && !SKIPPED.contains(&name.as_ref())
        })
        .map(|entry| entry.path())
        // Another module.
        .filter(|folder| !folder.join("go.mod").is_file())
        .collect();
    folders.iter().for_each(|folder| collect(folder, module, depth + 1, found));
}

/// The program that a function in `dir` called `name` is: the folder itself, else, in the folder of a `go.mod`, the one that
/// `bin` names, the one of the function's name, or the only one. Nothing when the folder is none of Go's.
pub(super) fn choose(dir: &Path, name: &str, settings: &Settings) -> Result<Option<GoMain>> {
    let Some(module) = module_of(dir) else { return Ok(None) };
    if settings.bin.is_none() && matches!(look(dir), Files::Main { .. }) {
        return Ok(Some(main(&module, dir.to_owned())));
    }
    if module != dir {
        return match &settings.bin {
            Some(bin) if has_sources(dir) => Err(bin
                .error(format!("`{}` is one program", dir.display()))
                .hint("`bin` chooses among the programs of a module: leave it out, or point `path` at the folder of the `go.mod`")),
            _ => Ok(None),
        };
    }
    let all = programs(dir);
    let shown = |main: &GoMain| {
        let below = fsio::relative_to(&main.package, dir);
        below.to_string_lossy().replace('\\', "/")
    };
    let names: Vec<String> = all.iter().map(|(main, _)| shown(main)).collect();
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    if let Some(bin) = &settings.bin {
        let wanted = bin.value.trim_start_matches("./").trim_end_matches('/');
        let named: Vec<usize> =
            (0..names.len()).filter(|at| names[*at] == wanted || last(&names[*at]) == wanted).collect();
        let exact =
            named.iter().find(|at| names[**at] == wanted).or_else(|| named.first().filter(|_| named.len() == 1));
        if let Some(at) = exact {
            return Ok(Some(all[*at].0.clone()));
        }
        let error = bin.error(format!("there is no program `{}` in the module", bin.value));
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(match nearest(wanted, &known) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("programs: {}", known.join(", "))),
        });
    }
    let chosen = match names.as_slice() {
        [] => return Ok(None),
        [_] => Some(0),
        several => several.iter().position(|path| last(path) == name),
    };
    match chosen {
        Some(at) => Ok(Some(all[at].0.clone())),
        None => Err(Error::config(format!(
            "which program is function `{name}`? `{}` has {}",
            dir.display(),
            names.join(", ")
        ))
        .hint(format!("point `path` at the folder of one of them, or name it with `bin = \"{}\"`", names[0]))),
    }
}

fn has_sources(dir: &Path) -> bool {
    !sources(dir).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Position;
    use crate::project::reader::Located;

    fn write(dir: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            fsio::write_atomic(&dir.join(name), text.as_bytes()).unwrap();
        }
    }

    fn below(found: &[(GoMain, bool)], dir: &Path) -> Vec<(String, bool)> {
        let shown = |main: &GoMain| fsio::relative_to(&main.package, dir).display().to_string();
        found.iter().map(|(main, uses)| (shown(main), *uses)).collect()
    }

    #[test]
    fn programs_are_told_by_their_package_clause() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &[
                ("go.mod", "module x\n"),
                ("lib.go", "package x\n\n// package main\n"),
                ("gen.go", "//go:build ignore\n\npackage main\n"),
                (
                    "cmd/api/main.go",
                    "/* package x */ // c\npackage main // y\nimport \"github.com/aws/aws-lambda-go/lambda\"\n",
                ),
                ("cmd/tool/main.go", "package main\nfunc main() {}\nvar s = \"github.com/aws/aws-lambda-go/\"\n"),
                ("cmd/tool/main_test.go", "package main_test\n"),
                ("vendor/y/main.go", "package main\n"),
                ("testdata/main.go", "package main\n"),
                ("other/go.mod", "module y\n"),
                ("other/main.go", "package main\n"),
                ("only_test.go", "package main\n"),
            ],
        );
        let found = programs(dir.path());
        assert_eq!(below(&found, dir.path()), [("cmd/api".to_owned(), true), ("cmd/tool".to_owned(), false)]);
        assert_eq!(look(dir.path()), Files::Other);
        assert_eq!(package_clause("package main"), Some(("main", "")));
        assert_eq!(package_clause("// only"), None);
    }

    #[test]
    fn a_function_is_the_folder_the_name_or_what_bin_names() {
        let dir = tempfile::tempdir().unwrap();
        let main = "package main\nfunc main() {}\n";
        write(
            dir.path(),
            &[("go.mod", "module x\n"), ("cmd/a/m.go", main), ("cmd/b/m.go", main), ("lib/l.go", "package l")],
        );
        let at = Position { path: "lambda-pack.toml".into(), line_column: None };
        let choose = |below: &str, name: &str, bin: Option<&str>| {
            let bin = bin.map(|bin| Located { value: bin.to_owned(), at: at.clone() });
            let folder = if below.is_empty() { dir.path().to_owned() } else { dir.path().join(below) };
            choose(&folder, name, &Settings { bin, ..Settings::default() })
                .map(|main| main.map(|main| fsio::relative_to(&main.package, dir.path()).display().to_string()))
                .map_err(|error| format!("{} {}", error.message(), error.hints().join(" ")))
        };
        assert_eq!(choose("cmd/a", "x", None), Ok(Some("cmd/a".to_owned())));
        assert_eq!(choose("", "b", None), Ok(Some("cmd/b".to_owned())));
        assert_eq!(choose("", "x", Some("a")), Ok(Some("cmd/a".to_owned())));
        assert_eq!(choose("", "x", Some("./cmd/b/")), Ok(Some("cmd/b".to_owned())));
        assert_eq!(choose("lib", "x", None), Ok(None));
        assert!(choose("", "x", None).unwrap_err().contains("has cmd/a, cmd/b"));
        assert!(choose("", "x", Some("cmd/c")).unwrap_err().contains("did you mean `cmd/"));
        assert!(choose("cmd/a", "x", Some("a")).unwrap_err().contains("is one program"));
    }
}
