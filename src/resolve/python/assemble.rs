//! From a wheel in the store to the files that an installer would write, without writing them.
//!
//! Files keep their packed bytes. What lies in `.data` moves to where the runtime finds it: `purelib`, `platlib` and
//! `data` to the root, `scripts` to `bin/`; `headers` are for compilers and left out. `RECORD` is as it was unless something
//! moved. Byte code is left out: it would be stale against the fixed times of a zip. Launchers of `console_scripts` are
//! not made, since nothing in a function calls them; their entry points stay in `.dist-info`.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;

use crate::error::{Error, Result};
use crate::store::{Archive, sha256};
use crate::tree::{ArchivePath, Entry, Source, Tree};

/// Notes that installers leave in `.dist-info` about themselves.
const INSTALLER_FILES: &[&str] = &["INSTALLER", "REQUESTED", "direct_url.json"];

/// The files of a wheel as they lie below the function's root. `minor` is that of the Python that scripts are to run with.
pub(super) fn assemble(archive: &Arc<Archive>, label: &str, minor: u8) -> Result<Tree> {
    let info = dist_info(archive)
        .ok_or_else(|| Error::failed(format!("{label} is no wheel: it has no `.dist-info` with METADATA")))?;
    let record = format!("{info}/RECORD");
    let mut tree = Tree::new();
    let mut moved = BTreeMap::new();
    for (index, member) in archive.members().iter().enumerate() {
        let path = member.path.as_str();
        if path == record {
            continue;
        }
        let place = place(path, &info);
        if place.as_deref() != Some(path) {
            moved.insert(path.to_owned(), place.clone());
        }
        let Some(place) = place else { continue };
        let entry = match place == path || !is_script(path) {
            true => Entry::member(archive, index),
            false => script(archive, index, minor)?,
        };
        let place = ArchivePath::new(&place)
            .map_err(|problem| Error::failed(format!("the path `{place}` of {label} {problem}")))?;
        tree.insert(place, entry);
    }
    if let Some(index) = archive.find(&record) {
        let path = archive.members()[index].path.clone();
        let entry = match moved.is_empty() {
            true => Entry::member(archive, index),
            false => Entry::bytes(rewrite_record(&archive.read(index)?, &moved, &tree)?, false),
        };
        tree.insert(path, entry);
    }
    Ok(tree)
}

/// The `.dist-info` folder.
fn dist_info(archive: &Archive) -> Option<String> {
    archive.members().iter().find_map(|member| {
        let (folder, file) = member.path.as_str().split_once('/')?;
        (folder.ends_with(".dist-info") && file == "METADATA").then(|| folder.to_owned())
    })
}

/// Where a member goes; nothing when it is left out.
fn place(path: &str, info: &str) -> Option<String> {
    let is_byte_code = path.ends_with(".pyc") || path.split('/').any(|part| part == "__pycache__");
    if is_byte_code
        || path.strip_prefix(info).and_then(|p| p.strip_prefix('/')).is_some_and(|p| INSTALLER_FILES.contains(&p))
    {
        return None;
    }
    let Some((scheme, below)) = data(path) else { return Some(path.to_owned()) };
    match scheme {
        "purelib" | "platlib" | "data" => Some(below.to_owned()),
        "scripts" => Some(format!("bin/{below}")),
        _ => None,
    }
}

/// Scheme and rest of a path below the wheel's `.data` folder.
fn data(path: &str) -> Option<(&str, &str)> {
    let (folder, rest) = path.split_once('/')?;
    folder.ends_with(".data").then(|| rest.split_once('/')).flatten()
}

fn is_script(path: &str) -> bool {
    data(path).is_some_and(|(scheme, _)| scheme == "scripts")
}

/// A script: executable, and with the runtime's interpreter when its first line asks for the installer's.
fn script(archive: &Arc<Archive>, index: usize, minor: u8) -> Result<Entry> {
    let bytes = archive.read(index)?;
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    if !first.starts_with(b"#!python") {
        let size = bytes.len() as u64;
        return Ok(Entry::File { executable: true, size, source: Source::Member(Arc::clone(archive), index) });
    }
    let mut out = format!("#!/var/lang/bin/python3.{minor}").into_bytes();
    out.extend_from_slice(&bytes[first.len()..]);
    Ok(Entry::bytes(out, true))
}

/// `RECORD` with the new paths; of files whose bytes changed also with digest and length.
fn rewrite_record(record: &[u8], moved: &BTreeMap<String, Option<String>>, tree: &Tree) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for line in String::from_utf8_lossy(record).lines() {
        let (path, rest) = record_path(line);
        match moved.get(&path) {
            None => lines.push(line.to_owned()),
            Some(None) => {}
            Some(Some(place)) => {
                let rest = match tree.get(place) {
                    Some(entry @ Entry::File { source: Source::Bytes(_), size, .. }) => {
                        format!("{},{size}", record_digest(&entry.read()?))
                    }
                    _ => rest.to_owned(),
                };
                lines.push(format!("{},{rest}", quoted(place)));
            }
        }
    }
    Ok((lines.join("\n") + "\n").into_bytes())
}

/// The digest of a file as `RECORD` writes it.
fn record_digest(bytes: &[u8]) -> String {
    let hex = sha256(bytes).hex();
    let raw: Vec<u8> = (0..hex.len()).step_by(2).filter_map(|i| u8::from_str_radix(&hex[i..i + 2], 16).ok()).collect();
    format!("sha256={}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(raw))
}

/// The path of a line of comma-separated values, and the rest behind its comma.
fn record_path(line: &str) -> (String, &str) {
    let Some(quoted) = line.strip_prefix('"') else {
        let (path, rest) = line.split_once(',').unwrap_or((line, ""));
        return (path.to_owned(), rest);
    };
    let mut path = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            path.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == '"') {
            chars.next();
            path.push('"');
        } else {
            return (path, quoted[at + 1..].strip_prefix(',').unwrap_or_default());
        }
    }
    (path, "")
}

fn quoted(path: &str) -> String {
    if path.contains([',', '"']) { format!("\"{}\"", path.replace('"', "\"\"")) } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn wheel(members: &[(&str, &str)]) -> (tempfile::TempDir, Arc<Archive>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.whl");
        let mut zip = ::zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        for (name, text) in members {
            zip.start_file(*name, ::zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        let archive = Arc::new(Archive::open(&path, false).unwrap());
        (dir, archive)
    }

    #[test]
    fn data_moves_and_record_follows() {
        let script = "#!python -E\nprint(1)\n";
        let (_dir, archive) = wheel(&[
            ("a/__init__.py", ""),
            ("a/__pycache__/x.cpython-313.pyc", ""),
            ("a-1.dist-info/METADATA", "Name: a"),
            ("a-1.dist-info/INSTALLER", "x"),
            (
                "a-1.dist-info/RECORD",
                "a/__init__.py,sha256=1,0\na/__pycache__/x.cpython-313.pyc,,\na-1.data/scripts/run,sha256=2,20\n\"a-1.data/data/etc/x,y\",sha256=3,1\na-1.data/headers/a.h,,\na-1.dist-info/INSTALLER,,\na-1.dist-info/RECORD,,\n",
            ),
            ("a-1.data/scripts/run", script),
            ("a-1.data/scripts/sh", "#!/bin/sh\n"),
            ("a-1.data/data/etc/x,y", "1"),
            ("a-1.data/purelib/b.py", "2"),
            ("a-1.data/headers/a.h", "3"),
        ]);
        let tree = assemble(&archive, "a 1", 13).unwrap();
        let paths: Vec<_> = tree.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            ["a-1.dist-info/METADATA", "a-1.dist-info/RECORD", "a/__init__.py", "b.py", "bin/run", "bin/sh", "etc/x,y"]
        );
        let run = tree.get("bin/run").unwrap();
        assert!(matches!(run, Entry::File { executable: true, .. }));
        let text = b"#!/var/lang/bin/python3.13\nprint(1)\n";
        assert_eq!(run.read().unwrap(), text);
        let record = String::from_utf8(tree.get("a-1.dist-info/RECORD").unwrap().read().unwrap()).unwrap();
        let expected = format!(
            "a/__init__.py,sha256=1,0\nbin/run,{},{}\n\"etc/x,y\",sha256=3,1\na-1.dist-info/RECORD,,\n",
            record_digest(text),
            text.len()
        );
        assert_eq!(record, expected);
        assert!(matches!(tree.get("bin/sh"), Some(Entry::File { executable: true, source: Source::Member(..), .. })));
    }

    #[test]
    fn record_is_kept_when_nothing_moved() {
        let (_dir, archive) =
            wheel(&[("a.py", ""), ("a-1.dist-info/METADATA", ""), ("a-1.dist-info/RECORD", "a.py,,\r\n")]);
        let tree = assemble(&archive, "a 1", 13).unwrap();
        assert_eq!(tree.get("a-1.dist-info/RECORD").unwrap().read().unwrap(), b"a.py,,\r\n");
        let (_dir, none) = wheel(&[("a.py", "")]);
        assert!(assemble(&none, "a 1", 13).unwrap_err().to_string().contains("a 1 is no wheel"));
    }
}
