use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;

use proptest::prelude::*;

use super::super::listing::{self, What};
use super::super::{Descriptor, Merged, OCI_LAYER_TAR, Place};
use super::*;
use crate::report::{Silent, Unit};
use crate::store::sha256;

/// What an entry is.
#[derive(Debug, Clone)]
enum Is {
    File(u32, String),
    Folder(u32),
    Link(String),
    Hard(String),
    Pipe,
}

/// A tar by hand: the library refuses names that leave the root.
fn tar(entries: &[(String, Is)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, is) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        let (kind, mode, target, bytes) = match is {
            Is::File(mode, text) => (tar::EntryType::Regular, *mode, "", text.as_str()),
            Is::Folder(mode) => (tar::EntryType::Directory, *mode, "", ""),
            Is::Link(target) => (tar::EntryType::Symlink, 0o777, target.as_str(), ""),
            Is::Hard(target) => (tar::EntryType::Link, 0o644, target.as_str(), ""),
            Is::Pipe => (tar::EntryType::Fifo, 0o644, "", ""),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_700_000_000);
        header.set_size(bytes.len() as u64);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        builder.append(&header, bytes.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn layer(tar: &[u8]) -> BuiltLayer {
    let descriptor = Descriptor { media_type: OCI_LAYER_TAR.to_owned(), digest: sha256(tar), size: tar.len() as u64 };
    BuiltLayer { descriptor, diff_id: sha256(tar), uncompressed_bytes: None, place: Place::Base }
}

/// Unpacks layers into a folder of its own, beside which nothing may appear.
struct Trial {
    dir: tempfile::TempDir,
    unpacker: Unpacker,
}

impl Trial {
    fn new(limit: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fsio::write_atomic(&dir.path().join("secret"), b"secret").unwrap();
        let unpacker = Unpacker::new(&dir.path().join("root"), limit);
        Self { dir, unpacker }
    }

    fn add(&mut self, tar: &[u8]) -> io::Result<()> {
        let task = Task::begin(&Silent, "", None, Unit::Bytes);
        self.unpacker.layer(tar, &layer(tar), &task)
    }

    fn is_untouched(&self) -> bool {
        let names = fs::read_dir(self.dir.path()).unwrap().count();
        names == 2 && fs::read(self.dir.path().join("secret")).unwrap() == b"secret"
    }

    /// Every path with what is there.
    fn found(&self) -> BTreeMap<String, String> {
        let root = self.dir.path().join("root");
        let entries = walkdir::WalkDir::new(&root).min_depth(1).into_iter().map(|entry| entry.unwrap().into_path());
        let what = |path: &Path| {
            let metadata = fs::symlink_metadata(path).unwrap();
            if metadata.is_dir() {
                "folder".to_owned()
            } else if metadata.is_symlink() {
                format!("-> {}", fs::read_link(path).unwrap().display())
            } else {
                format!("file {}", metadata.len())
            }
        };
        entries.map(|path| (path.strip_prefix(&root).unwrap().display().to_string(), what(&path))).collect()
    }
}

fn entries(list: &[(&str, Is)]) -> Vec<(String, Is)> {
    list.iter().map(|(path, is)| ((*path).to_owned(), is.clone())).collect()
}

fn file(text: &str) -> Is {
    Is::File(0o644, text.to_owned())
}

fn link(target: &str) -> Is {
    Is::Link(target.to_owned())
}

fn hard(target: &str) -> Is {
    Is::Hard(target.to_owned())
}

#[test]
fn layers_hide_replace_and_share() {
    let mut trial = Trial::new(1 << 20);
    let lower = entries(&[
        ("a/", Is::Folder(0o755)),
        ("a/x", file("1")),
        ("a/y", file("1")),
        ("b/x", file("1")),
        ("c", file("1")),
        ("one", file("first")),
        ("two", hard("one")),
        ("lib", link("usr/lib")),
        ("gone", link("/nowhere")),
    ]);
    let upper = entries(&[
        ("a/.wh.x", file("")),
        ("b/new", file("22")),
        ("b/.wh..wh..opq", file("")),
        (".wh.c", file("")),
        ("c/d", file("22")),
        // The other name keeps what it has.
        ("one", file("second")),
        ("lib/z.so", file("333")),
        ("three", hard("/lib/z.so")),
        ("gone", Is::Folder(0o755)),
        ("pipe", Is::Pipe),
    ]);
    trial.add(&tar(&lower)).unwrap();
    trial.add(&tar(&upper)).unwrap();
    let expected = [
        ("a", "folder"),
        ("a/y", "file 1"),
        ("b", "folder"),
        ("b/new", "file 2"),
        ("c", "folder"),
        ("c/d", "file 2"),
        ("gone", "folder"),
        ("lib", "-> usr/lib"),
        ("one", "file 6"),
        ("three", "file 3"),
        ("two", "file 5"),
        ("usr", "folder"),
        ("usr/lib", "folder"),
        ("usr/lib/z.so", "file 3"),
    ];
    let expected: BTreeMap<String, String> = expected.map(|(p, w)| (p.to_owned(), w.to_owned())).into();
    assert_eq!(trial.found(), expected);
    assert_eq!(trial.unpacker.notes(), ["devices, pipes and sockets of the image are not there: /pipe"]);
    let root = trial.dir.path().join("root");
    assert_eq!(fs::metadata(root.join("three")).unwrap().ino(), fs::metadata(root.join("usr/lib/z.so")).unwrap().ino());
    assert_eq!(fs::metadata(root.join("one")).unwrap().mtime(), 1_700_000_000);
}

#[test]
fn owners_get_what_everybody_has() {
    for (mode, here) in [
        (0o644, 0o644),
        (0o755, 0o755),
        (0o4755, 0o755),
        (0o600, 0o200),
        (0o640, 0o240),
        (0o711, 0o311),
        (0o444, 0o444),
        (0o006, 0o406),
    ] {
        assert_eq!(file_mode(mode), here, "{mode:o} {:o}", file_mode(mode));
    }
    assert_eq!((folder_mode(0o1777), folder_mode(0o2055), folder_mode(0o700)), (0o1777, 0o755, 0o700));
}

#[test]
fn nothing_is_written_outside() {
    let outside = |list: &[(&str, Is)]| {
        let mut trial = Trial::new(1 << 20);
        let done = trial.add(&tar(&entries(list)));
        assert!(trial.is_untouched(), "{list:?}");
        (done.map_err(|e| e.to_string()), trial.found())
    };
    for path in ["../secret", "a/../../secret", "/../secret", "..", ".wh..."] {
        assert!(outside(&[(path, file("x"))]).0.is_err(), "{path}");
    }
    assert!(outside(&[("a", hard("../secret"))]).0.unwrap_err().contains("leaves the image's root"));
    // A link out of it, and what is written through it: inside.
    let (done, found) = outside(&[("a", link("../..")), ("a/secret", file("x")), ("b", hard("a/secret"))]);
    assert_eq!((done, found["secret"].as_str(), found["b"].as_str()), (Ok(()), "file 1", "file 1"));
    let (done, found) = outside(&[("etc", link("/etc")), ("etc/passwd", file("x"))]);
    assert!(done.unwrap_err().contains("too many levels of symbolic links"));
    assert_eq!(found.len(), 1);
    let (done, found) = outside(&[("e", link("/etc")), ("e/passwd", file("x")), ("e/.wh..wh..opq", file(""))]);
    assert_eq!((done, found["etc/passwd"].as_str()), (Ok(()), "file 1"));
    // A link in the place of a file: it is not written through, and neither is a hard link to it.
    let (done, found) = outside(&[("s", link("../secret")), ("h", hard("s")), ("s", file("x")), ("h", file("yy"))]);
    assert_eq!((done, found["s"].as_str(), found["h"].as_str()), (Ok(()), "file 1", "file 2"));
    assert!(outside(&[("h", hard("not/there"))]).0.unwrap_err().contains("is no file there"));
}

#[test]
fn what_is_too_large_is_refused_before_it_is_written() {
    let mut trial = Trial::new(4_096);
    assert!(trial.add(&tar(&entries(&[("a", file(&"x".repeat(5_000)))]))).is_err());
    assert!(!trial.dir.path().join("root/a").exists());
    // What has no bytes takes some, and so does a folder that no entry is of.
    for (list, fits) in [(["a/b/c", "a/b/d"], true), (["a/b/c/d", "a/b/d/e"], false)] {
        let mut trial = Trial::new(12_000);
        let done = trial.add(&tar(&list.map(|path| (path.to_owned(), file("")))));
        assert_eq!(done.is_ok(), fits, "{list:?}");
        assert!(trial.found().len() <= 4);
    }
    // A hole of a terabyte.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(0);
    header.set_mode(0o644);
    header.as_old_mut().name[..4].copy_from_slice(b"hole");
    let gnu = header.as_gnu_mut().unwrap();
    gnu.sparse[0].offset.copy_from_slice(b"010000000000");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    gnu.realsize.copy_from_slice(b"010000000000");
    header.set_cksum();
    let bytes = [header.as_bytes().as_slice(), &[0; 1024]].concat();
    let mut trial = Trial::new(1 << 20);
    assert!(trial.add(&bytes).unwrap_err().to_string().contains("which Lambda does not take"));
    assert!(!trial.dir.path().join("root/hole").exists());
}

#[test]
fn the_entries_of_all_layers_are_counted() {
    let mut trial = Trial::new(1 << 20);
    trial.unpacker.entries = 3;
    trial.add(&tar(&entries(&[("a", file("")), ("b", file(""))]))).unwrap();
    // The entry, and the folder that it is in.
    assert!(trial.add(&tar(&entries(&[("c/d", file(""))]))).unwrap_err().to_string().contains("more than 1000000"));
    assert!(!trial.dir.path().join("root/c").exists());
}

#[test]
fn a_root_that_is_gone_is_an_error() {
    let mut trial = Trial::new(1 << 20);
    fs::remove_dir_all(trial.dir.path().join("root")).unwrap();
    assert_eq!(trial.add(&tar(&entries(&[("a/b", file(""))]))).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn names_are_no_commands_to_a_terminal() {
    let mut trial = Trial::new(1 << 20);
    let bad = "a\x1b[31mRED\nb";
    trial.add(&tar(&entries(&[(bad, Is::Pipe)]))).unwrap();
    let note = "devices, pipes and sockets of the image are not there: /a\\u{1b}[31mRED\\nb";
    assert_eq!(trial.unpacker.notes(), [note]);
    let below = format!("{bad}/x");
    let wrong = |list: &[(&str, Is)]| Trial::new(1 << 20).add(&tar(&entries(list))).unwrap_err().to_string();
    for list in [
        &[(bad, hard(bad))][..],
        &[("x", hard(bad))],
        &[(bad, file("")), (&below, file(""))],
        &[(bad, link(bad)), (&below, file(""))],
    ] {
        let said = wrong(list);
        assert!(!said.contains(char::is_control) && said.contains("\\u{1b}[31mRED\\nb"), "{said:?}");
    }
    // The library tells whose header it cannot read.
    let mut bytes = tar(&entries(&[(bad, file(""))]));
    bytes[124..136].copy_from_slice(b"not a number");
    let said = Trial::new(1 << 20).add(&bytes).unwrap_err().to_string();
    assert!(!said.contains(char::is_control), "{said:?}");
}

#[test]
fn digests_are_compared() {
    let bytes = tar(&entries(&[("a", file("x"))]));
    let task = Task::begin(&Silent, "", None, Unit::Bytes);
    let said = |layer: &BuiltLayer, bytes: &[u8]| {
        Trial::new(1 << 20).unpacker.layer(bytes, layer, &task).unwrap_err().to_string()
    };
    let good = layer(&bytes);
    assert!(said(&BuiltLayer { diff_id: sha256(b""), ..good.clone() }, &bytes).contains("and the config says"));
    assert!(said(&good, &bytes[..bytes.len() - 1]).contains("too early"));
    let mut other = bytes.clone();
    *other.last_mut().unwrap() = 1;
    assert!(said(&good, &other).contains("it is damaged"));
}

fn any_entries() -> impl Strategy<Value = Vec<(String, Is)>> {
    let parts = |most| prop::collection::vec(prop::sample::select(vec!["a", "b", "c", ".", ".."]), 0..most);
    let path = move || parts(4).prop_map(|parts| parts.join("/"));
    let to = || prop::sample::select(vec!["a", "b", "a/b", "../a", "/b", "../../..", "/", "c/../..", "b/c"]);
    let whiteout = prop::sample::select(vec![".wh.a", ".wh.b", ".wh..wh..opq"]);
    let whiteout = (path(), whiteout).prop_map(|(folder, name)| (format!("{folder}/{name}"), file("")));
    let is = prop_oneof![
        3 => "[a-z]{0,3}".prop_map(|text| Is::File(0o644, text)),
        2 => Just(Is::Folder(0o755)),
        2 => to().prop_map(link),
        1 => to().prop_map(hard),
    ];
    prop::collection::vec(prop_oneof![4 => (path(), is), 1 => whiteout], 1..8)
}

proptest! {
    /// Whatever is in layers: nothing is written outside, and what there is then is what `check` looks at.
    #[test]
    fn layers_are_what_the_rules_see(layers in prop::collection::vec(any_entries(), 1..4)) {
        let mut trial = Trial::new(1 << 20);
        let mut merged = Merged::default();
        let mut done = Ok(());
        for entries in &layers {
            let bytes = tar(entries);
            merged.add(&listing::read(bytes.as_slice()).unwrap());
            done = trial.add(&bytes);
            if done.is_err() {
                break;
            }
        }
        prop_assert!(trial.is_untouched());
        if done.is_ok() && merged.problems.is_empty() {
            let here: BTreeMap<String, String> = trial.found().into_iter().filter(|(_, what)| what != "folder").collect();
            let seen = merged.iter().filter_map(|(path, node)| Some((path.to_owned(), match &node.listed.what {
                What::File(size) => format!("file {size}"),
                What::Link(target) => format!("-> {target}"),
                _ => return None,
            })));
            let seen: BTreeMap<String, String> = seen.collect();
            prop_assert_eq!(here, seen);
        }
    }
}
