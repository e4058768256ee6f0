//! A `lambda-pack.toml` of any bytes: a project or an error, never a panic.
#![no_main]

use std::cell::LazyCell;

use lambda_pack::project::{Selection, load};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FOLDER: LazyCell<tempfile::TempDir> = LazyCell::new(|| tempfile::tempdir().expect("a folder"));
}

fuzz_target!(|data: &[u8]| {
    FOLDER.with(|folder| {
        std::fs::write(folder.path().join("lambda-pack.toml"), data).expect("a file");
        let _ = load(&Selection { path: folder.path().to_owned(), ..Selection::default() });
    });
});
