//! What programs are made of, as `go list -deps -json` says it: which files of the project decide, so that nobody has to ask
//! Go again while they are the same.
//!
//! Packages of the standard library belong to the Go that builds, and those of the module cache to a version that `go.sum`
//! holds by its digest: neither changes under its name. All others are in the project, or beside it by `replace`: their
//! files count, and the names of what else lies in their folders, since a file that is added may belong to the package.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use walkdir::WalkDir;

use crate::error::{Error, Result};
use crate::fresh::Inputs;

/// What is asked of each package.
pub(super) const FIELDS: &str = "-json=Dir,ImportPath,Name,Standard,Target,Module,Deps,GoFiles,CgoFiles,IgnoredGoFiles,\
    IgnoredOtherFiles,CFiles,CXXFiles,MFiles,HFiles,FFiles,SFiles,SwigFiles,SwigCXXFiles,SysoFiles,EmbedFiles";

/// A package.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    /// Its folder.
    pub(super) dir: PathBuf,
    /// Its name in imports.
    pub(super) import_path: String,
    /// Where it would be installed; the last part is what `go build` calls it in a folder.
    target: PathBuf,
    standard: bool,
    module: Option<Module>,
    deps: Vec<String>,
    embed_files: Vec<PathBuf>,
    #[serde(flatten)]
    files: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    #[serde(default)]
    dir: PathBuf,
}

impl Listed {
    /// What `go build -o FOLDER/` calls it.
    pub(super) fn program_name(&self) -> Option<&str> {
        self.target.file_name()?.to_str()
    }

    /// Its files that any build may take; not those of tests.
    fn sources(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let lists = self.files.iter().filter(|(key, _)| key.ends_with("Files"));
        let names = lists.filter_map(|(_, value)| value.as_array()).flatten().filter_map(|name| name.as_str());
        names.map(PathBuf::from).chain(self.embed_files.iter().cloned()).map(|name| self.dir.join(name))
    }
}

/// Reads one JSON document after the other.
pub(super) fn parse(text: &str) -> Result<Vec<Listed>> {
    let documents = serde_json::Deserializer::from_str(text).into_iter::<Listed>();
    let bad = |e| Error::failed("Failed to read what `go list` said").because(e);
    documents.collect::<std::result::Result<_, _>>().map_err(bad)
}

/// All that decides what a program is made of. `root` is the folder that Go runs in, `cache` that of modules of others.
pub(super) fn inputs(program: &Listed, all: &[Listed], root: &Path, cache: &Path) -> Inputs {
    let needed: BTreeSet<&str> =
        program.deps.iter().map(String::as_str).chain([program.import_path.as_str()]).collect();
    let mut files = BTreeSet::new();
    let mut folders = BTreeSet::new();
    // A workspace or vendored modules decide, also when they come.
    for above in root.ancestors() {
        files.extend(["go.work", "go.work.sum"].map(|name| above.join(name)));
    }
    files.extend(["go.mod", "go.sum", "vendor/modules.txt"].map(|name| root.join(name)));
    files.insert(program.dir.join("default.pgo"));
    let is_local = |package: &&Listed| {
        needed.contains(package.import_path.as_str()) && !package.standard && !package.dir.starts_with(cache)
    };
    for package in all.iter().filter(is_local) {
        files.extend(package.sources());
        folders.insert(package.dir.clone());
        let module = package.module.as_ref().map_or(root, |module| module.dir.as_path());
        files.extend(["go.mod", "go.sum"].map(|name| module.join(name)));
        // A `go.mod` on the way would make it another module.
        let between = package.dir.ancestors().take_while(|above| above.starts_with(module) && *above != module);
        files.extend(between.map(|above| above.join("go.mod")));
        // What is embedded may be a pattern, or a folder with all that is below.
        let tops = package.embed_files.iter().filter_map(|file| file.parent().and_then(|_| file.components().next()));
        let tops: BTreeSet<PathBuf> = tops.map(|top| package.dir.join(top)).filter(|top| top.is_dir()).collect();
        for entry in tops.iter().flat_map(WalkDir::new).flatten().filter(|entry| entry.file_type().is_dir()) {
            folders.insert(entry.path().to_owned());
        }
    }
    Inputs { files: files.into_iter().collect(), folders: folders.into_iter().collect(), ..Inputs::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsio;

    #[test]
    fn files_of_the_project_and_of_replaced_modules_decide() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("m");
        for file in ["cmd/a/main.go", "cmd/a/static/deep/x.txt", "internal/l.go"] {
            fsio::write_atomic(&root.join(file), b"").unwrap();
        }
        let shown = root.display();
        let text = format!(
            r#"{{"Dir": "/go/src/fmt", "ImportPath": "fmt", "Standard": true, "GoFiles": ["print.go"]}}
            {{"Dir": "/cache/x@v1", "ImportPath": "x", "Module": {{"Path": "x", "Dir": "/cache/x@v1"}}, "GoFiles": ["x.go"]}}
            {{"Dir": "/beside/y", "ImportPath": "y", "Module": {{"Path": "y", "Dir": "/beside"}}, "GoFiles": ["y.go"], "IgnoredGoFiles": ["y_windows.go"]}}
            {{"Dir": "{shown}/internal", "ImportPath": "m/internal", "Module": {{"Path": "m", "Dir": "{shown}"}}, "GoFiles": ["l.go"]}}
            {{"Dir": "{shown}/cmd/a", "ImportPath": "m/cmd/a", "Name": "main", "Target": "/home/me/go/bin/linux_arm64/a",
              "Module": {{"Path": "m", "Dir": "{shown}"}}, "GoFiles": ["main.go"], "EmbedFiles": ["static/deep/x.txt"],
              "Deps": ["fmt", "x", "y"]}}"#
        );
        let all = parse(&text).unwrap();
        let program = all.last().unwrap();
        assert_eq!(program.program_name(), Some("a"));
        let inputs = inputs(program, &all, &root, Path::new("/cache"));
        let has = |path: &Path| inputs.files.iter().any(|file| file == path);
        for file in [
            "cmd/a/main.go",
            "cmd/a/static/deep/x.txt",
            "go.mod",
            "go.sum",
            "go.work",
            "cmd/go.mod",
            "cmd/a/default.pgo",
        ] {
            assert!(has(&root.join(file)), "{file}: {inputs:?}");
        }
        assert!(has(Path::new("/beside/y/y_windows.go")) && has(Path::new("/beside/go.mod")));
        for path in ["/cache/x@v1/x.go", "/go/src/fmt/print.go"] {
            assert!(!has(Path::new(path)), "{path}");
        }
        // What the program does not import.
        assert!(!has(&root.join("internal/l.go")));
        let folders: Vec<PathBuf> = ["cmd/a", "cmd/a/static", "cmd/a/static/deep"].map(|f| root.join(f)).to_vec();
        assert_eq!(inputs.folders[1..], folders);
        assert!(parse("{\"Dir\": 1}").is_err() && parse("go: nothing").is_err());
    }
}
