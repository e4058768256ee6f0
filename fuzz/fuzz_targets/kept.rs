//! Whatever an earlier run seems to have left: it is known for what it is, or not at all, and never a panic.
#![no_main]

use lambda_pack::fresh::State;
use lambda_pack::store::Store;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |below: &str| {
        let path = folder.path().join(below);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        std::fs::write(path, bytes).expect("written");
    };
    put(".lambda-pack.state-1");
    // Also behind a digest that is right: then it is for the parser to say.
    let mut state = State::read(folder.path(), "fuzz");
    let _ = (state.known_files(), state.function("x"));
    let signed = [lambda_pack::store::sha256(bytes).hex().as_bytes(), b"\n", bytes].concat();
    std::fs::write(folder.path().join(".lambda-pack.state-1"), signed).expect("written");
    let _ = State::read(folder.path(), "fuzz").function("x");

    put(&format!("entries-v1/{}/ab/abcd", lambda_pack::pack::deflate::ENCODER));
    put("answers-v1/abcd");
    let store = Store::new(folder.path());
    assert!(store.entries().get("abcd").is_none(), "without its digest nothing is believed");
    assert!(store.answer("abcd").is_none());
});
