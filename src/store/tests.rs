//! The store against damaged, hostile and concurrent archives.

use super::*;
use crate::report::Silent;
use std::io::Write as _;

fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, ::zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn tarball_of(members: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, mode, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(*mode);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("store"));
        Self { dir, store }
    }

    fn remote(&self, bytes: &[u8], form: Form) -> Remote {
        let digest = sha256(bytes);
        let path = self.dir.path().join(digest.hex());
        let mut file = File::create(&path).unwrap();
        file.write_all(bytes).unwrap();
        Remote {
            label: "thing 1.0".into(),
            url: format!("file://{}", path.display()),
            digest,
            form,
            size: None,
            authorization: None,
        }
    }

    fn fetch(&self, remote: &Remote) -> Result<Arc<Archive>> {
        Fetcher::new(&self.store, false, &Silent).fetch(remote)
    }

    fn refused(&self, bytes: &[u8], form: Form) -> String {
        let error = self.fetch(&self.remote(bytes, form)).unwrap_err().to_string();
        let left: Vec<_> =
            walkdir::WalkDir::new(self.store.root()).into_iter().flatten().filter(|e| e.path().is_file()).collect();
        assert!(left.is_empty(), "{left:?}");
        error
    }
}

#[test]
fn a_tarball_loses_its_first_component_whatever_it_is_called() {
    let bench = Bench::new();
    let bytes =
        tarball_of(&[("node/index.js", 0o600, b"x"), ("node/bin/cli", 0o755, b"#!/bin/sh"), ("top", 0o644, b"")]);
    let archive = bench.fetch(&bench.remote(&bytes, Form::Tarball)).unwrap();
    let found: Vec<_> = archive.members().iter().map(|m| (m.path.as_str(), m.executable)).collect();
    assert_eq!(found, [("bin/cli", true), ("index.js", false)]);
    assert_eq!(archive.read_text("index.js").unwrap(), "x");
}

#[test]
fn bytes_without_their_digest_get_no_name() {
    let bench = Bench::new();
    let mut remote = bench.remote(&zip_of(&[("a", b"1")]), Form::Zip);
    remote.digest = sha256(b"other");
    let error = bench.fetch(&remote).unwrap_err().to_string();
    assert!(error.contains("thing 1.0") && error.contains("does not have the digest"), "{error}");
    assert!(bench.store.archive(Form::Zip, &remote.digest).unwrap().is_none());
}

#[test]
fn hostile_archives_are_refused() {
    let bench = Bench::new();
    assert!(bench.refused(&zip_of(&[("../evil", b"1")]), Form::Zip).contains("`..`"));
    assert!(bench.refused(&zip_of(&[("/etc/evil", b"1")]), Form::Zip).contains("absolute"));
    assert!(bench.refused(b"not a zip", Form::Zip).contains("cannot be used"));
    assert!(bench.refused(&tarball_of(&[("package/../../evil", 0o644, b"1")]), Form::Tarball).contains("`..`"));
    assert!(bench.refused(b"not a tarball", Form::Tarball).contains("tarball of thing 1.0"));
    let mut flipped = zip_of(&[("a", &[b'x'; 5000])]);
    flipped[40] ^= 0x55;
    let said = bench.refused(&flipped, Form::Zip);
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn a_damaged_entry_is_fetched_again() {
    let bench = Bench::new();
    let remote = bench.remote(&zip_of(&[("a", b"12345")]), Form::Zip);
    let path = bench.fetch(&remote).unwrap().path().to_owned();
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 30;
    bytes[last] ^= 1;
    File::create(&path).unwrap().write_all(&bytes).unwrap();
    let again = Bench { store: Store::new(bench.store.root()), dir: bench.dir };
    assert!(again.store.archive(Form::Zip, &remote.digest).unwrap().is_none());
    assert_eq!(again.fetch(&remote).unwrap().read_text("a").unwrap(), "12345");
}

#[test]
fn offline_only_looks() {
    let bench = Bench::new();
    let mut remote = bench.remote(&zip_of(&[("a", b"1")]), Form::Zip);
    remote.url = "https://127.0.0.1:9/a.whl".into();
    let error = Fetcher::new(&bench.store, true, &Silent).fetch(&remote).unwrap_err();
    assert!(error.to_string().contains("--offline"), "{error}");
    assert_eq!(error.hints().len(), 1);
}

#[test]
fn many_at_once_and_the_same_twice() {
    let bench = Bench::new();
    let remotes: Vec<_> = (0..40_u8).map(|i| bench.remote(&zip_of(&[("a", &[i / 2])]), Form::Zip)).collect();
    let results = Fetcher::new(&bench.store, false, &Silent).fetch_all(&remotes);
    for (i, archive) in results.into_iter().enumerate() {
        assert_eq!(archive.unwrap().read(0).unwrap(), [u8::try_from(i / 2).unwrap()]);
    }
    assert_eq!(bench.store.size().1, 40, "20 archives, each with its digest");
    assert_eq!(bench.store.prune(std::time::Duration::ZERO).1, 40);
}

#[test]
fn only_buckets_are_pruned() {
    let bench = Bench::new();
    bench.fetch(&bench.remote(&zip_of(&[("a", b"1")]), Form::Zip)).unwrap();
    for other in ["notes.txt", "archives-v0/zip/x.zip", "elsewhere/archives-v1/x"] {
        fsio::write_atomic(&bench.store.root().join(other), b"x").unwrap();
    }
    assert_eq!(bench.store.prune(std::time::Duration::ZERO).1, 3);
    let exists = |path: &str| bench.store.root().join(path).exists();
    assert!(exists("notes.txt") && exists("elsewhere/archives-v1/x") && !exists("archives-v0/zip/x.zip"));
}

/// A tarball whose pax header claims `length` bytes, which are all zeros.
fn tarball_with_header_of(length: usize) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(length as u64);
    header.set_cksum();
    tar.append(&header, std::io::repeat(0).take(length as u64)).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_tarball_that_unpacks_to_more_than_it_says_is_refused_before_memory_is_taken() {
    let bench = Bench::new();
    let said = bench.refused(&tarball_with_header_of(64 << 20), Form::Tarball);
    assert!(said.contains("headers"), "{said}");
    let mut long = vec![("package/a", 0o644, b"x".as_slice())];
    let big = vec![0; 3 << 20];
    // What is skipped, because it lies at the top, does not count against the headers after it.
    long.insert(0, ("top", 0o644, &big));
    long.push(("top2", 0o644, &big));
    assert_eq!(bench.fetch(&bench.remote(&tarball_of(&long), Form::Tarball)).unwrap().members().len(), 1);
}

#[test]
fn a_local_wheel_must_have_the_digest_that_is_asked_for() {
    let bench = Bench::new();
    let bytes = zip_of(&[("a", b"1")]);
    let path = bench.dir.path().join("a.whl");
    fsio::write_atomic(&path, &bytes).unwrap();
    let error = bench.store.adopt_built(&path, "a 1", Some(&sha256(b"other"))).unwrap_err();
    assert!(error.to_string().contains("does not have the digest"), "{error}");
    let mut sha512 = Hasher::new(Algorithm::Sha512);
    sha512.update(&bytes);
    bench.store.adopt_built(&path, "a 1", Some(&sha512.finish())).unwrap();
    assert!(bench.store.adopt_built(&path, "a 1", Some(&sha256(b"other"))).is_err(), "also when the store has it");
}

#[test]
fn facts_of_native_members_are_kept_beside_the_archive_and_made_anew_when_they_are_not_whole() {
    use crate::elf::testing::Sketch;
    let bench = Bench::new();
    let library = Sketch::library().needed(&["libc.so.6"]).soname("libx.so").bytes();
    let remote = bench.remote(&zip_of(&[("a.py", b"x"), ("lib/libx.so", &library), ("z.exe", b"MZ")]), Form::Zip);
    let archive = bench.fetch(&remote).unwrap();
    let beside = archive.path().with_extension("natives-2");
    let kept = fs::read(&beside).unwrap();
    let facts = archive.natives().clone();
    assert_eq!((facts.len(), facts.get(0)), (1, None));
    let crate::elf::Image::Elf(elf) = facts.get(1).unwrap() else { panic!("{facts:?}") };
    assert_eq!((elf.soname.as_deref(), elf.needed.as_slice()), (Some("libx.so"), &["libc.so.6".to_owned()][..]));

    let again =
        || Store::new(bench.store.root()).archive(Form::Zip, &remote.digest).unwrap().unwrap().natives().clone();
    let put = |bytes: &[u8]| File::create(&beside).unwrap().write_all(bytes).unwrap();
    // Believed as it stands, without a look into the archive: of a file that says it of itself.
    let other = String::from_utf8(kept.clone()).unwrap().replace("libx.so", "liby.so");
    let (_, rest) = other.split_once('\n').unwrap();
    put(format!("{}\n{rest}", sha256(rest.as_bytes()).hex()).as_bytes());
    assert_ne!(again(), facts);
    for damage in [0, 70, kept.len() - 1] {
        let mut bytes = kept.clone();
        bytes[damage] ^= 1;
        put(&bytes);
        assert_eq!(again(), facts, "byte {damage}");
        assert_eq!(fs::read(&beside).unwrap(), kept);
    }
    put(&[]);
    assert_eq!(again(), facts);
    fs::remove_file(&beside).unwrap();
    assert_eq!(again(), facts);
    let pure = bench.fetch(&bench.remote(&zip_of(&[("a.py", b"x")]), Form::Zip)).unwrap();
    assert!(pure.natives().is_empty() && !pure.path().with_extension("natives-2").exists());
    // Facts of another archive are not taken.
    let rest = r#"[{"index":0,"crc32":1,"image":"Pe"}]"#;
    put(format!("{}\n{rest}", sha256(rest.as_bytes()).hex()).as_bytes());
    assert_eq!(again(), facts);
}
