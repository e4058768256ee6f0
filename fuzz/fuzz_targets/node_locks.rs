//! A lock of npm, pnpm, Yarn or Bun of any bytes beside a fixed `package.json`: packages or an error, never a panic.
#![no_main]

use std::cell::LazyCell;

use lambda_pack::lambda::{Architecture, find};
use lambda_pack::project::FunctionSpec;
use lambda_pack::report::Silent;
use lambda_pack::resolve::node::Node;
use lambda_pack::resolve::{Context, Request, Resolver};
use lambda_pack::store::{Fetcher, Store};
use libfuzzer_sys::fuzz_target;

const LOCKS: [(&str, &str); 5] = [
    ("package-lock.json", ""),
    ("pnpm-lock.yaml", ""),
    ("yarn.lock", ""),
    ("yarn.lock", "__metadata:\n  version: 8\n\n"),
    ("bun.lock", ""),
];

thread_local! {
    static FOLDERS: LazyCell<Vec<tempfile::TempDir>> = LazyCell::new(|| {
        let folder = |_| {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("package.json"), r#"{"dependencies":{"a":"1"}}"#).expect("a file");
            std::fs::write(folder.path().join(".yarnrc.yml"), "nodeLinker: node-modules\n").expect("a file");
            folder
        };
        LOCKS.iter().map(folder).collect()
    });
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    FOLDERS.with(|folders| {
        let index = usize::from(*kind) % LOCKS.len();
        let (folder, (file, head)) = (&folders[index], LOCKS[index]);
        std::fs::write(folder.path().join(file), [head.as_bytes(), data].concat()).expect("a file");
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
