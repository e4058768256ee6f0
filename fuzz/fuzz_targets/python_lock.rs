//! A `uv.lock`, `pylock.toml`, `poetry.lock`, `pdm.lock` or `Pipfile.lock` of any bytes: packages or an error, never a panic.
#![no_main]

use std::cell::LazyCell;

use lambda_pack::lambda::{Architecture, find};
use lambda_pack::project::FunctionSpec;
use lambda_pack::report::Silent;
use lambda_pack::resolve::python::Python;
use lambda_pack::resolve::{Context, Request, Resolver};
use lambda_pack::store::{Fetcher, Store};
use libfuzzer_sys::fuzz_target;

const PYPROJECT: &str = "[project]\nname = \"f\"\nversion = \"1\"\ndependencies = [\"a\"]\n\
    [tool.poetry.dependencies]\na = { version = \"^1\", extras = [\"x\"] }\n";
/// The locks, and whether a `pyproject.toml` stands beside each.
const LOCKS: [(&str, bool); 5] =
    [("uv.lock", true), ("pylock.toml", false), ("poetry.lock", true), ("pdm.lock", true), ("Pipfile.lock", false)];

thread_local! {
    static FOLDERS: LazyCell<Vec<tempfile::TempDir>> = LazyCell::new(|| {
        let folder = |(_, is_project): &(&str, bool)| {
            let folder = tempfile::tempdir().expect("a folder");
            if *is_project {
                std::fs::write(folder.path().join("pyproject.toml"), PYPROJECT).expect("a file");
            }
            folder
        };
        LOCKS.iter().map(folder).collect()
    });
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    FOLDERS.with(|folders| {
        let kind = usize::from(*kind) % LOCKS.len();
        let (folder, file) = (&folders[kind], LOCKS[kind].0);
        std::fs::write(folder.path().join(file), data).expect("a file");
        let function = FunctionSpec::new("f", folder.path(), "python3.13");
        let request = Request {
            function: &function,
            runtime: find("python3.13").expect("a runtime"),
            architecture: Architecture::Arm64,
            project_root: folder.path(),
            skip: &[],
        };
        let store = Store::new(folder.path().join("store"));
        let fetcher = Fetcher::new(&store, true, &Silent);
        let context = Context { store: &store, fetcher: &fetcher, reporter: &Silent, offline: true, locked: true };
        let _ = Python::default().resolve(&[request], &context);
    });
});
