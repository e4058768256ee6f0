//! Any tree, packed: another reader finds what was put in, in the order of paths.
#![no_main]

use std::collections::BTreeMap;
use std::io::Read;

use lambda_pack::pack::{Packed, pack};
use lambda_pack::report::{Silent, Task, Unit};
use lambda_pack::tree::{ArchivePath, Entry, Tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|files: BTreeMap<String, (Vec<u8>, bool)>| {
    let mut tree = Tree::new();
    for (path, (bytes, executable)) in &files {
        if let Ok(path) = ArchivePath::new(path) {
            tree.insert(path, Entry::bytes(bytes.clone(), *executable));
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("x.zip");
    let task = Task::begin(&Silent, "pack", None, Unit::Bytes);
    let Packed { file, artifact, .. } = pack(&tree, &target, &task).expect("a tree in memory can be packed");
    file.commit().expect("committed");
    let mut reader = zip::ZipArchive::new(std::fs::File::open(&target).expect("a file")).expect("a zip");
    assert_eq!(reader.len(), tree.len());
    assert_eq!(artifact.files, tree.files());
    for (index, (path, entry)) in tree.iter().enumerate() {
        let mut member = reader.by_index(index).expect("a member");
        assert_eq!(member.name_raw(), path.as_str().as_bytes());
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).expect("its bytes");
        assert_eq!(bytes, entry.read().expect("bytes in memory"));
    }
});
