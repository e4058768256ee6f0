//! What becomes of an archive when it enters the store.
//!
//! A wheel is a zip already and is kept as it is. A tarball, and a wheel that was built here, is written anew as a zip of
//! ours: its files are deflated once, in a fixed order and with fixed headers, and every later pack copies them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rayon::prelude::*;

use super::archive::{Archive, MAX_MEMBERS, MAX_UNPACKED};
use crate::error::{Error, Result};
use crate::pack::deflate::deflate;
use crate::pack::zip::{Header, Method, ZipWriter};
use crate::tree::ArchivePath;

/// A tarball that unpacks to more than this is refused: it is held in memory while it is written anew.
const MAX_TARBALL: u64 = 1 << 30;

/// What may stand between the bytes of two entries: headers, among them long names, which are read into memory whole.
const MAX_HEADERS: u64 = 1 << 20;

/// Refuses to read more than is allowed at the time.
struct Allowance<'a, R> {
    inner: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Allowance<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let left = self.left.get().checked_sub(read as u64);
        self.left.set(left.ok_or_else(|| std::io::Error::other("its headers are larger than any that are needed"))?);
        Ok(read)
    }
}

type Files = BTreeMap<ArchivePath, (bool, Vec<u8>)>;

/// Reads a gzipped tarball as npm does: the first component of every path is dropped, whatever it is called; links and
/// devices are left out; the later of two entries of one path wins. Writes it as a zip.
pub(super) fn tarball_to_zip(tarball: &mut File, label: &str, out: &mut dyn Write) -> Result<()> {
    let bad = |what: String| Error::failed(format!("the tarball of {label} cannot be used: {what}"));
    tarball.seek(SeekFrom::Start(0)).map_err(|e| bad(e.to_string()))?;
    let allowed = Cell::new(MAX_HEADERS);
    let inflated = flate2::bufread::GzDecoder::new(BufReader::new(tarball));
    let mut archive = tar::Archive::new(Allowance { inner: inflated, left: &allowed });
    let mut files = Files::new();
    let mut left = MAX_TARBALL;
    for (count, entry) in archive.entries().map_err(|e| bad(e.to_string()))?.enumerate() {
        let mut entry = entry.map_err(|e| bad(e.to_string()))?;
        if count >= MAX_MEMBERS {
            return Err(bad(format!("it has more than {MAX_MEMBERS} members")));
        }
        // Bytes of what is left out count, too: they are inflated to be skipped.
        let size = entry.size();
        left = left.checked_sub(size).ok_or_else(|| bad(format!("it unpacks to more than {MAX_TARBALL} bytes")))?;
        allowed.set(size + MAX_HEADERS);
        if !matches!(entry.header().entry_type(), tar::EntryType::Regular | tar::EntryType::Continuous) {
            continue;
        }
        let raw = entry.path_bytes().into_owned();
        let name = String::from_utf8(raw).map_err(|_| bad("a name in it is not UTF-8".to_owned()))?;
        let path = ArchivePath::new(&name).map_err(|problem| bad(format!("the name {name:?} {problem}")))?;
        let Some((_, below)) = path.as_str().split_once('/') else { continue };
        let path = ArchivePath::new(below).map_err(|problem| bad(format!("the name {name:?} {problem}")))?;
        let executable = entry.header().mode().unwrap_or(0) & 0o100 != 0;
        let mut bytes = Vec::with_capacity(usize::try_from(size.min(1 << 20)).unwrap_or(0));
        entry.read_to_end(&mut bytes).map_err(|e| bad(e.to_string()))?;
        files.insert(path, (executable, bytes));
    }
    write_zip(files, out).map_err(|e| Error::failed(format!("Failed to write {label} into the store")).because(e))
}

/// Writes a zip anew, so that its bytes do not depend on the tool that made it. Of one that Yarn made, without
/// `node_modules/NAME/`, below which it has everything.
pub(super) fn zip_to_zip(archive: &Archive, label: &str, of_yarn: bool, out: &mut dyn Write) -> Result<()> {
    let total: u64 = archive.members().iter().map(|m| m.size).sum();
    if total > MAX_UNPACKED / 4 {
        return Err(Error::failed(format!("{label} unpacks to {total} bytes, which is more than is taken")));
    }
    let path = |path: &ArchivePath| {
        let below = if of_yarn { below_package(path.as_str()) } else { return Ok(path.clone()) };
        let below = below.map(ArchivePath::new).and_then(Result::ok);
        below.ok_or_else(|| Error::failed(format!("the zip of {label} is not as Yarn makes it: `{path}`")))
    };
    let files = (0..archive.members().len())
        .map(|i| Ok((path(&archive.members()[i].path)?, (archive.members()[i].executable, archive.read(i)?))))
        .collect::<Result<Files>>()?;
    write_zip(files, out).map_err(|e| Error::failed(format!("Failed to write {label} into the store")).because(e))
}

/// What follows `node_modules/NAME/` or `node_modules/@SCOPE/NAME/`.
fn below_package(path: &str) -> Option<&str> {
    let named = path.strip_prefix("node_modules/")?;
    let (first, below) = named.split_once('/')?;
    if first.starts_with('@') { below.split_once('/').map(|(_, below)| below) } else { Some(below) }
}

fn write_zip(files: Files, out: &mut dyn Write) -> std::io::Result<()> {
    let files: Vec<_> = files.into_iter().collect();
    let packed: Vec<Option<Vec<u8>>> = files.par_iter().map(|(_, (_, bytes))| deflate(bytes)).collect();
    let mut writer = ZipWriter::new(out);
    for ((path, (executable, bytes)), packed) in files.iter().zip(&packed) {
        let data = packed.as_deref().unwrap_or(bytes);
        let header = Header {
            name: path.as_str(),
            mode: if *executable { 0o100_755 } else { 0o100_644 },
            method: if packed.is_some() { Method::Deflated } else { Method::Stored },
            crc32: crc32fast::hash(bytes),
            compressed_size: data.len() as u64,
            size: bytes.len() as u64,
        };
        writer.add(header, &mut &*data)?;
    }
    writer.finish().map(|_| ())
}

/// Whether a file starts like a zip.
pub(super) fn looks_like_zip(path: &Path) -> bool {
    let mut magic = [0; 2];
    File::open(path).and_then(|mut f| f.read_exact(&mut magic)).is_ok() && &magic == b"PK"
}
