//! Any bytes as a wheel or a tarball: an archive all of whose members can be read, or an error; never a panic, and never a
//! path that leaves the root.
#![no_main]

use lambda_pack::report::Silent;
use lambda_pack::store::{Fetcher, Form, Remote, Store, sha256};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("archive");
    std::fs::write(&file, data).expect("a file");
    let store = Store::new(folder.path().join("store"));
    let remote = Remote {
        label: "thing".to_owned(),
        url: format!("file://{}", file.display()),
        digest: sha256(data),
        form: if kind % 2 == 0 { Form::Zip } else { Form::Tarball },
        size: None,
        authorization: None,
    };
    if let Ok(archive) = Fetcher::new(&store, false, &Silent).fetch(&remote) {
        for (index, member) in archive.members().iter().enumerate() {
            let bytes = archive.read(index).expect("what has entered the store can be read");
            assert_eq!(bytes.len() as u64, member.size);
            assert!(member.path.as_str().split('/').all(|part| part != ".."));
        }
    }
    let _ = store.adopt_built(&file, "thing", None);
});
