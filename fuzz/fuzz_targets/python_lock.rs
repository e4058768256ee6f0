//! A `uv.lock` or `pylock.toml` of any bytes: packages or an error, never a panic.
#![no_main]

use std::cell::LazyCell;

use lambda_pack::lambda::{Architecture, find};
use lambda_pack::project::FunctionSpec;
use lambda_pack::report::Silent;
use lambda_pack::resolve::python::Python;
use lambda_pack::resolve::{Context, Request, Resolver};
use lambda_pack::store::{Fetcher, Store};
use libfuzzer_sys::fuzz_target;

const PYPROJECT: &str = "[project]\nname = \"f\"\nversion = \"1\"\ndependencies = [\"a\"]\n";

thread_local! {
    static FOLDERS: LazyCell<(tempfile::TempDir, tempfile::TempDir)> = LazyCell::new(|| {
        let uv = tempfile::tempdir().expect("a folder");
        std::fs::write(uv.path().join("pyproject.toml"), PYPROJECT).expect("a file");
        (uv, tempfile::tempdir().expect("a folder"))
    });
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    FOLDERS.with(|folders| {
        let (uv, pylock) = &**folders;
        let (folder, file) = if kind % 2 == 0 { (uv, "uv.lock") } else { (pylock, "pylock.toml") };
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
