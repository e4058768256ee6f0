//! From a tree to a zip: members of archives are copied as they are packed, everything else is deflated in parallel over
//! a bounded window, written in the order of paths, and hashed on the way.

pub mod deflate;
pub(crate) mod large;
pub mod zip;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fresh::{self, Files, Key};
use crate::fsio::AtomicFile;
use crate::report::Task;
use crate::store::{Archive, Entries, WORTH, encode_hex, sha256};
use crate::tree::{ArchivePath, Entry, Source, Tree};
use zip::{Header, Method, ZipWriter};

/// Unpacked bytes that are held at once, unless a single file is larger; two windows are in flight.
const WINDOW: u64 = 32 << 20;

/// A finished zip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its path relative to the manifest.
    pub path: String,
    /// Bytes of the zip.
    pub bytes: u64,
    /// Bytes of all files in it, unpacked.
    pub unzipped_bytes: u64,
    /// Files and links in it.
    pub files: usize,
    /// SHA-256 of the zip in hexadecimal.
    pub sha256: String,
    /// The same in base64, as Lambda reports it in `CodeSha256`.
    pub code_sha256: String,
}

/// A zip under a temporary name.
#[derive(Debug)]
pub struct Packed {
    /// The zip; the caller commits it.
    pub file: AtomicFile,
    /// What is said of it.
    pub artifact: Artifact,
    /// The files on disk that were read, with the SHA-256 of what was read, in hexadecimal.
    pub read: Vec<(PathBuf, String)>,
}

/// Packs a tree into a zip under a temporary name. The caller commits it.
///
/// # Errors
/// When a file cannot be read or the zip cannot be written; nothing is left then.
pub fn pack(tree: &Tree, target: &Path, task: &Task<'_>) -> Result<Packed> {
    pack_with(tree, target, task, None)
}

/// What was deflated before, and the digests by which it is known.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The store's packed files.
    pub entries: &'a Entries,
    /// Digests of files on disk.
    pub files: &'a Files,
}

/// The same, with what was deflated before.
///
/// # Errors
/// See [`pack`].
pub fn pack_with(tree: &Tree, target: &Path, task: &Task<'_>, known: Option<Known<'_>>) -> Result<Packed> {
    let file = AtomicFile::create(target)?;
    let mut writer = Writer {
        zip: ZipWriter::new(io::BufWriter::with_capacity(256 << 10, file)),
        open: None,
        unpacked: 0,
        read: Vec::new(),
        target,
    };
    let mut entries: Vec<_> = tree.iter().collect();
    // A folder's name ends with a slash, which may put it behind its neighbours: `a-b` stands before `a/`.
    entries.sort_by_cached_key(|(path, entry)| member_name(path, entry));
    let windows = windows(&entries);
    let mut ready = Vec::new();
    for window in &windows {
        let (written, prepared) = rayon::join(
            || writer.write(std::mem::take(&mut ready), task),
            || {
                window
                    .par_iter()
                    .map(|(path, entry)| prepare(path, entry, target, known, task))
                    .collect::<Result<Vec<_>>>()
            },
        );
        written?;
        ready = prepared?;
    }
    writer.write(ready, task)?;
    let (unzipped_bytes, read) = (writer.unpacked, writer.read);
    let (out, written) = writer.zip.finish().map_err(|e| Error::io("write", target, &e))?;
    let file = out.into_inner().map_err(|e| Error::io("write", target, e.error()))?;
    let artifact = Artifact {
        path: target.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: written.bytes,
        unzipped_bytes,
        files: tree.files(),
        sha256: encode_hex(&written.sha256),
        code_sha256: base64::engine::general_purpose::STANDARD.encode(written.sha256),
    };
    Ok(Packed { file, artifact, read })
}

/// Bytes of a tree that are deflated and not copied.
pub fn deflated_bytes(tree: &Tree) -> u64 {
    tree.iter().filter(|(_, entry)| copied_from(entry).is_none()).map(|(_, entry)| entry.size()).sum()
}

/// Cuts the entries into runs of about [`WINDOW`] bytes that must be held in memory. A large file, which is not held,
/// is a run of its own.
fn windows<'a, 'b>(entries: &'b [(&'a ArchivePath, &'a Entry)]) -> Vec<&'b [(&'a ArchivePath, &'a Entry)]> {
    let mut windows = Vec::new();
    let (mut start, mut held) = (0, 0);
    for (i, (_, entry)) in entries.iter().enumerate() {
        let cost = if copied_from(entry).is_some() { 0 } else { entry.size() };
        let large = large::is_large(entry, cost);
        if i > start && (large || held + cost > WINDOW) {
            windows.push(&entries[start..i]);
            (start, held) = (i, 0);
        }
        if large {
            windows.push(&entries[i..=i]);
            start = i + 1;
        } else {
            held += cost;
        }
    }
    windows.push(&entries[start..]);
    windows
}

/// The archive member whose packed bytes are the entry's.
fn copied_from(entry: &Entry) -> Option<(&Arc<Archive>, usize)> {
    match entry {
        Entry::File { source: Source::Member(archive, index), .. } => {
            let member = &archive.members()[*index];
            // A wheel may store a large file without compression; that one is deflated like a file on disk.
            let worth = member.method == Method::Deflated || archive.is_final();
            worth.then_some((archive, *index))
        }
        _ => None,
    }
}

struct Prepared<'a> {
    name: String,
    mode: u32,
    method: Method,
    crc32: u32,
    size: u64,
    /// The file on disk that was read, and its digest.
    read: Option<(PathBuf, String)>,
    data: Data<'a>,
}

enum Data<'a> {
    Held(Vec<u8>),
    Large(large::Packed),
    /// In an open file, from where it stands.
    Kept(File, u64),
    Copied(&'a Arc<Archive>, usize),
}

/// What is in a jar is deflated already.
fn is_jar(name: &str, entry: &Entry) -> bool {
    matches!(entry, Entry::File { .. }) && name.ends_with(".jar")
}

/// The name that stands in the zip.
fn member_name(path: &ArchivePath, entry: &Entry) -> String {
    if matches!(entry, Entry::Directory) { format!("{path}/") } else { path.to_string() }
}

fn prepare<'a>(
    path: &ArchivePath,
    entry: &'a Entry,
    target: &Path,
    known: Option<Known<'_>>,
    task: &Task<'_>,
) -> Result<Prepared<'a>> {
    let mode = match entry {
        Entry::File { executable: true, .. } => 0o100_755,
        Entry::File { .. } => 0o100_644,
        Entry::Symlink { .. } => 0o120_777,
        Entry::Directory => 0o040_755,
    };
    let name = member_name(path, entry);
    if let Some((archive, index)) = copied_from(entry) {
        let member = &archive.members()[index];
        return Ok(Prepared {
            name,
            mode,
            method: member.method,
            crc32: member.crc32,
            size: member.size,
            read: None,
            data: Data::Copied(archive, index),
        });
    }
    // Jars are read from where they are each time: that takes no longer than looking them up.
    let is_jar = is_jar(&name, entry);
    let key = known.filter(|_| !is_jar).and_then(|known| Some((known, known.key(entry)?)));
    if let Some((known, key)) = &key
        && let Some((crc32, method, size, data)) = known.data(key, entry)
    {
        let read = on_disk(entry).map(|path| (path.clone(), key.clone()));
        return Ok(Prepared { name, mode, method, crc32, size, read, data });
    }
    if large::is_large(entry, entry.size()) {
        let packed = if is_jar { large::Packed::as_it_is(entry, task)? } else { large::pack(entry, target, task)? };
        if let Some((known, key)) = key.filter(|(_, key)| on_disk(entry).is_none() || *key == packed.sha256) {
            packed.keep(known.entries, &Known::slot(&key, entry));
        }
        let (method, crc32, size) = (packed.method(), packed.crc32, packed.size);
        let read = on_disk(entry).map(|path| (path.clone(), packed.sha256.clone()));
        return Ok(Prepared { name, mode, method, crc32, size, read, data: Data::Large(packed) });
    }
    let bytes = entry.read()?;
    let (crc32, size) = (crc32fast::hash(&bytes), bytes.len() as u64);
    let read = on_disk(entry).map(|path| (path.clone(), sha256(&bytes).hex()));
    // A link's target is stored: readers that restore links expect it so.
    let packed = if mode == 0o120_777 || is_jar { None } else { deflate::deflate(&bytes) };
    let method = if packed.is_some() { Method::Deflated } else { Method::Stored };
    // A file that has changed since it was looked at is not what the key says.
    if let Some((known, key)) = key.filter(|(_, key)| read.as_ref().is_none_or(|(_, digest)| digest == key)) {
        let data = packed.as_deref().unwrap_or_default();
        let _ = known.entries.put(&key, (method, crc32, size), data.len() as u64, &mut &*data);
    }
    Ok(Prepared { name, mode, method, crc32, size, read, data: Data::Held(packed.unwrap_or(bytes)) })
}

impl Known<'_> {
    /// The key of an entry that is worth looking up.
    fn key(&self, entry: &Entry) -> Option<String> {
        match entry {
            Entry::File { source: Source::Disk(path), size, .. } if *size >= WORTH => self.files.digest(path),
            Entry::File { source: Source::Member(archive, index), size, .. } if *size >= WORTH => {
                Some(Key::new().add(fresh::archive_name(archive)).add(index.to_string()).finish())
            }
            _ => None,
        }
    }

    /// What the store knows it by: large files are deflated by another encoder.
    fn slot(key: &str, entry: &Entry) -> String {
        if large::is_large(entry, entry.size()) {
            Key::new().add(large::ENCODER).add(key).finish()
        } else {
            key.to_owned()
        }
    }

    /// What was packed of it. A file that does not shrink is read from where it is.
    fn data<'a>(&self, key: &str, entry: &Entry) -> Option<(u32, Method, u64, Data<'a>)> {
        let kept = self.entries.get(&Self::slot(key, entry))?;
        // Only what is too large to be held keeps a file open, and a window has one of these at most.
        let data = match kept.method {
            _ if large::is_large(entry, entry.size()) => match kept.method {
                Method::Deflated => Data::Kept(kept.file, kept.packed),
                Method::Stored => Data::Large(large::Packed::stored(entry, kept.crc32, kept.size)?),
            },
            Method::Deflated => {
                let mut bytes = Vec::with_capacity(usize::try_from(kept.packed).ok()?);
                kept.file.take(kept.packed).read_to_end(&mut bytes).ok()?;
                Data::Held(bytes)
            }
            Method::Stored => {
                let bytes = entry.read().ok()?;
                (crc32fast::hash(&bytes) == kept.crc32).then_some(Data::Held(bytes))?
            }
        };
        Some((kept.crc32, kept.method, kept.size, data))
    }
}

fn on_disk(entry: &Entry) -> Option<&PathBuf> {
    match entry {
        Entry::File { source: Source::Disk(path), .. } => Some(path),
        _ => None,
    }
}

struct Writer<'a> {
    zip: ZipWriter<io::BufWriter<AtomicFile>>,
    open: Option<(Arc<Archive>, File)>,
    unpacked: u64,
    read: Vec<(PathBuf, String)>,
    target: &'a Path,
}

impl Writer<'_> {
    fn write(&mut self, window: Vec<Prepared<'_>>, task: &Task<'_>) -> Result<()> {
        for one in window {
            // Of a large file it was told piece by piece.
            let size = if matches!(one.data, Data::Large(_)) { 0 } else { one.size };
            self.write_one(one).map_err(|e| Error::io("write", self.target, &e))?;
            task.advance(size);
        }
        Ok(())
    }

    fn write_one(&mut self, one: Prepared<'_>) -> io::Result<()> {
        self.read.extend(one.read);
        let mut header = Header {
            name: &one.name,
            mode: one.mode,
            method: one.method,
            crc32: one.crc32,
            compressed_size: 0,
            size: one.size,
        };
        if !one.name.ends_with('/') && one.mode != 0o120_777 {
            self.unpacked += one.size;
        }
        match one.data {
            Data::Held(bytes) => {
                header.compressed_size = bytes.len() as u64;
                self.zip.add(header, &mut bytes.as_slice())
            }
            Data::Large(packed) => {
                header.compressed_size = packed.compressed_size();
                packed.read(|reader| self.zip.add(header, reader))
            }
            Data::Kept(file, packed) => {
                header.compressed_size = packed;
                self.zip.add(header, &mut file.take(packed))
            }
            Data::Copied(archive, index) => {
                let member = &archive.members()[index];
                header.compressed_size = member.compressed_size;
                // Neighbours in the package are mostly neighbours in its archive: one handle serves them all.
                if self.open.as_ref().is_none_or(|(open, _)| !Arc::ptr_eq(open, archive)) {
                    self.open = Some((Arc::clone(archive), File::open(archive.path())?));
                }
                let Some((_, file)) = &mut self.open else { return Err(io::Error::other("no archive")) };
                file.seek(SeekFrom::Start(member.offset()))?;
                self.zip.add(header, &mut file.take(member.compressed_size))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::report::{Silent, Unit};

    fn packed(tree: &Tree, threads: usize) -> (Vec<u8>, Artifact) {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.zip");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let artifact = pool.install(|| {
            let task = Task::begin(&Silent, "pack", None, Unit::Bytes);
            let packed = pack(tree, &target, &task).unwrap();
            packed.file.commit().unwrap();
            packed.artifact
        });
        (std::fs::read(target).unwrap(), artifact)
    }

    fn path(text: &str) -> ArchivePath {
        ArchivePath::new(text).unwrap()
    }

    #[test]
    fn the_same_bytes_with_any_number_of_threads_and_windows() {
        let mut tree = Tree::new();
        for i in 0..40_u32 {
            let bytes: Vec<u8> = (0..2_000_000_u32).map(|n| u8::try_from((n * (i + 1)) >> 7 & 0xff).unwrap()).collect();
            tree.insert(path(&format!("f{i}")), Entry::bytes(bytes, i % 2 == 0));
        }
        tree.insert(path("link"), Entry::Symlink { target: "f1".into() });
        tree.insert(path("empty"), Entry::Directory);
        let (one, artifact) = packed(&tree, 1);
        let (three, _) = packed(&tree, 3);
        assert!(one == three);
        assert_eq!((artifact.files, artifact.unzipped_bytes), (41, 80_000_000));

        let mut reader = ::zip::ZipArchive::new(io::Cursor::new(&one)).unwrap();
        let mut link = reader.by_name("link").unwrap();
        assert_eq!(link.unix_mode(), Some(0o120_777));
        let mut target = String::new();
        link.read_to_string(&mut target).unwrap();
        assert_eq!(target, "f1");
        drop(link);
        assert_eq!(reader.by_name("empty/").unwrap().unix_mode(), Some(0o040_755));
    }

    #[test]
    fn an_empty_folder_beside_a_file_whose_name_goes_on_stands_where_its_name_belongs() {
        let mut tree = Tree::new();
        tree.insert(path("data"), Entry::Directory);
        tree.insert(path("data.json"), Entry::bytes(b"{}".as_slice(), false));
        tree.insert(path("data-old"), Entry::Directory);
        let (bytes, _) = packed(&tree, 1);
        let reader = ::zip::ZipArchive::new(io::Cursor::new(&bytes)).unwrap();
        let names: Vec<_> = (0..3).map(|i| reader.name_for_index(i).unwrap().unwrap().into_owned()).collect();
        assert_eq!(names, ["data-old/", "data.json", "data/"]);
    }

    #[test]
    fn a_large_file_is_packed_in_pieces_to_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = 7_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from(state >> 24).unwrap()
        };
        let random: Vec<u8> = (0..large::LARGE + 100).map(|_| noise()).collect();
        let text: Vec<u8> = (0..large::LARGE + 12_345).map(|n| if n % 9 == 0 { noise() } else { b'x' }).collect();
        let mut tree = Tree::new();
        for (name, bytes) in [("random", &random), ("text", &text)] {
            std::fs::File::create(dir.path().join(name)).unwrap().write_all(bytes).unwrap();
            let source = Source::Disk(dir.path().join(name));
            tree.insert(path(name), Entry::File { executable: false, size: bytes.len() as u64, source });
        }
        tree.insert(path("small"), Entry::bytes(b"small".as_slice(), false));
        let (one, artifact) = packed(&tree, 1);
        let (three, _) = packed(&tree, 3);
        assert!(one == three);
        assert_eq!(artifact.unzipped_bytes, 2 * large::LARGE + 12_345 + 100 + 5);
        let mut reader = ::zip::ZipArchive::new(io::Cursor::new(&one)).unwrap();
        for (name, bytes, method) in
            [("random", &random, ::zip::CompressionMethod::Stored), ("text", &text, ::zip::CompressionMethod::Deflated)]
        {
            let mut member = reader.by_name(name).unwrap();
            assert_eq!(member.compression(), method);
            let mut unpacked = Vec::new();
            member.read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == *bytes, "{name}");
        }
    }

    #[test]
    fn an_unreadable_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let gone = Entry::File { executable: false, size: 1, source: Source::Disk(dir.path().join("gone")) };
        let tree: Tree = [(path("a"), gone)].into_iter().collect();
        let task = Task::begin(&Silent, "pack", None, Unit::Bytes);
        let out = dir.path().join("out");
        assert!(pack(&tree, &out.join("x.zip"), &task).unwrap_err().to_string().contains("gone"));
        assert_eq!(std::fs::read_dir(out).unwrap().count(), 0);
    }
}
