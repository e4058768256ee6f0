//! Projects that tests change and resolve, and what npm makes of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lambda_pack::error::Error;
use lambda_pack::lambda::{self, Architecture};
use lambda_pack::process::Tool;
use lambda_pack::project::FunctionSpec;
use lambda_pack::report::Silent;
use lambda_pack::resolve::node::Node;
use lambda_pack::resolve::{Context, Request, Resolution, Resolver};
use lambda_pack::store::{Fetcher, Store};
use lambda_pack::tree::Entry;

/// A copy of a fixture (or an empty project) that a test may change.
pub(crate) struct Project {
    dir: tempfile::TempDir,
}

/// How a test resolves.
#[derive(Clone, Copy, Default)]
pub(crate) struct How<'h> {
    pub(crate) offline: bool,
    pub(crate) locked: bool,
    pub(crate) empty_store: bool,
    /// A store of the test's own.
    pub(crate) store: Option<&'h Path>,
    pub(crate) allow_scripts: &'h [&'h str],
    /// `nodejs22.x` unless it is said.
    pub(crate) runtime: Option<&'h str>,
}

impl Project {
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn fixture(name: &str) -> Self {
        let project = Self::empty();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name), project.root());
        project
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        self.write_bytes(path, text.as_bytes());
    }

    pub(crate) fn write_bytes(&self, path: &str, bytes: &[u8]) {
        lambda_pack::fsio::write_atomic(&self.root().join(path), bytes).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    pub(crate) fn npm(&self, args: &[&str]) {
        let install = "these tests compare with npm: install Node.js with npm, e.g. `sudo apt-get install npm`";
        let tool = Tool::new("npm").args(args).cwd(self.root()).install_hint(install);
        tool.run().map_err(Error::from).unwrap_or_else(|e| panic!("{e} {:?}", e.hints()));
    }

    pub(crate) fn resolve(&self, folder: &str, architecture: Architecture) -> Result<Resolution, Error> {
        self.resolve_as(folder, architecture, How::default())
    }

    pub(crate) fn resolve_as(
        &self,
        folder: &str,
        architecture: Architecture,
        how: How<'_>,
    ) -> Result<Resolution, Error> {
        let scratch = tempfile::tempdir().unwrap();
        // One store for all tests: each archive is fetched once.
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("node-store");
        let shared = if how.empty_store { scratch.path().to_owned() } else { kept };
        let store = Store::new(how.store.map_or(shared, Path::to_owned));
        let fetcher = Fetcher::new(&store, how.offline, &Silent);
        let (offline, locked) = (how.offline, how.locked);
        let context = Context { store: &store, fetcher: &fetcher, reporter: &Silent, offline, locked };
        let path = if folder.is_empty() { self.root().to_owned() } else { self.root().join(folder) };
        let runtime = how.runtime.unwrap_or("nodejs22.x");
        let mut function = FunctionSpec::new("f", path, runtime);
        function.allow_scripts = how.allow_scripts.iter().map(|name| (*name).to_owned()).collect();
        let runtime = lambda::find(runtime).unwrap();
        let request = Request { function: &function, runtime, architecture, project_root: self.root(), skip: &[] };
        assert!(Node.claims(&request).is_some());
        Node.resolve(&[request], &context).pop().unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Files of all packages by path, with their contents and whether they may be executed.
pub(crate) fn files(resolution: &Resolution) -> BTreeMap<String, (Vec<u8>, bool)> {
    let mut out = BTreeMap::new();
    for (path, entry) in resolution.packages.iter().flat_map(|package| package.tree.iter()) {
        let Entry::File { executable, .. } = entry else { panic!("{path} is no file") };
        let twice = out.insert(path.as_str().to_owned(), (entry.read().unwrap(), *executable));
        assert!(twice.is_none(), "{path} belongs to two packages");
    }
    out
}

/// Files that npm installed, as [`files`] has them. The links in `.bin` and npm's own notes are not compared.
pub(crate) fn installed(folder: &Path) -> BTreeMap<String, (Vec<u8>, bool)> {
    let mut out = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder.join("node_modules")).into_iter().map(Result::unwrap) {
        let path = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        if entry.file_type().is_file() && !path.ends_with("/.package-lock.json") {
            #[cfg(unix)]
            let executable =
                std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions()) & 0o100 != 0;
            #[cfg(not(unix))]
            let executable = false;
            out.insert(path, (fs::read(entry.path()).unwrap(), executable));
        }
    }
    out
}

pub(crate) fn assert_same(ours: &BTreeMap<String, (Vec<u8>, bool)>, npms: &BTreeMap<String, (Vec<u8>, bool)>) {
    assert_eq!(ours.keys().collect::<Vec<_>>(), npms.keys().collect::<Vec<_>>());
    for (path, (bytes, executable)) in ours {
        assert_eq!(bytes, &npms[path].0, "contents of {path}");
        assert!(cfg!(windows) || *executable == npms[path].1, "mode of {path}");
    }
}

pub(crate) fn names(resolution: &Resolution) -> Vec<String> {
    resolution.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
}

/// What the function answers, run by Node.js in a folder that holds what is packed and nothing else. The function's own
/// files are named.
pub(crate) fn answer(project: &Project, folder: &str, own: &[&str], resolution: &Resolution, script: &str) -> String {
    let packed = Project::empty();
    for (path, (bytes, _)) in files(resolution) {
        packed.write_bytes(&path, &bytes);
    }
    for path in own {
        packed.write(path, &project.read(Path::new(folder).join(path).to_str().unwrap()));
    }
    let tool = Tool::new("node").args(["-e", script]).cwd(packed.root());
    tool.run().map_err(Error::from).unwrap_or_else(|e| panic!("{e}")).text().trim().to_owned()
}
