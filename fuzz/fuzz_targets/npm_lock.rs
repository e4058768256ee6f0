//! A `package-lock.json` of any bytes beside a fixed `package.json`: packages or an error, never a panic.
#![no_main]

use std::cell::LazyCell;

use lambda_pack::lambda::{Architecture, find};
use lambda_pack::project::FunctionSpec;
use lambda_pack::report::Silent;
use lambda_pack::resolve::node::Node;
use lambda_pack::resolve::{Context, Request, Resolver};
use lambda_pack::store::{Fetcher, Store};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FOLDER: LazyCell<tempfile::TempDir> = LazyCell::new(|| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("package.json"), r#"{"dependencies":{"a":"1"}}"#).expect("a file");
        folder
    });
}

fuzz_target!(|data: &[u8]| {
    FOLDER.with(|folder| {
        std::fs::write(folder.path().join("package-lock.json"), data).expect("a file");
        let function = FunctionSpec::new("f", folder.path(), "nodejs22.x");
        let request = Request {
            function: &function,
            runtime: find("nodejs22.x").expect("a runtime"),
            architecture: Architecture::X86_64,
            project_root: folder.path(),
            skip: &[],
        };
        let store = Store::new(folder.path().join("store"));
        let fetcher = Fetcher::new(&store, true, &Silent);
        let context = Context { store: &store, fetcher: &fetcher, reporter: &Silent, offline: true, locked: true };
        let _ = Node.resolve(&[request], &context);
    });
});
