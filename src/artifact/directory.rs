//! The directory of a zip that anyone has made: what it says, not what it ought to say. Whoever reads it judges.
//!
//! Format: APPNOTE.TXT of PKWARE, 4.3. All sizes are bounded before memory is taken.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

/// The end of a directory is looked for in so many bytes: its own 22 and the longest comment.
const TAIL: u64 = 22 + 65_535;
/// Directories with more bytes or entries than this are refused.
const MAX_DIRECTORY: u64 = 256 << 20;
const MAX_ENTRIES: usize = 500_000;

/// An entry as the directory has it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) name: Vec<u8>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc32: u32,
    pub(super) compressed_size: u64,
    pub(super) size: u64,
    /// The Unix mode; 0 when the maker was no Unix.
    pub(super) mode: u32,
    header: u64,
}

/// Why it cannot be read.
pub(super) type Problem = String;

fn broken(what: &str) -> Problem {
    what.to_owned()
}

/// Bytes that are read in order, little-endian.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

/// Where the directory is.
struct End {
    offset: u64,
    size: u64,
    /// Bytes before the zip, such as those of a program that unpacks itself.
    before: u64,
}

/// The entries of a zip, in the directory's order.
pub(super) fn read(file: &mut File) -> Result<Vec<Listed>, Problem> {
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    let end = find_end(file, length)?;
    if end.size > MAX_DIRECTORY {
        return Err(broken("its directory is larger than any that is needed"));
    }
    let start = end.before.checked_add(end.offset).ok_or_else(|| broken("its directory is not in it"))?;
    let directory = read_at(file, start, end.size).map_err(|e| format!("its directory cannot be read: {e}"))?;
    let mut bytes = Bytes(&directory);
    let mut entries = Vec::new();
    while !bytes.0.is_empty() {
        if entries.len() == MAX_ENTRIES {
            return Err(format!("it has more than {MAX_ENTRIES} entries"));
        }
        let mut entry = entry(&mut bytes).ok_or_else(|| broken("its directory is damaged"))?;
        entry.header = entry.header.saturating_add(end.before);
        entries.push(entry);
    }
    Ok(entries)
}

fn read_at(file: &mut File, offset: u64, count: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == count { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn find_end(file: &mut File, length: u64) -> Result<End, Problem> {
    let from = length.saturating_sub(TAIL);
    let tail = read_at(file, from, length - from).map_err(|e| e.to_string())?;
    let is_end = |at: &usize| {
        let comment = tail.get(at + 20..at + 22).map(|two| usize::from(u16::from_le_bytes([two[0], two[1]])));
        tail[*at..].starts_with(b"PK\x05\x06") && comment.is_some_and(|comment| at + 22 + comment <= tail.len())
    };
    let at = (0..tail.len().saturating_sub(21)).rev().find(is_end);
    let at = at.ok_or_else(|| broken("it has no directory at its end: it is no zip, or was cut off"))?;
    let mut end = Bytes(&tail[at + 12..]);
    let (size, offset) = end.u32().zip(end.u32()).ok_or_else(|| broken("its end is damaged"))?;
    let (mut size, mut offset) = (u64::from(size), u64::from(offset));
    let mut behind = from + at as u64;
    // The locator of a zip64 end stands right before.
    if let Some(locator) = at.checked_sub(20).map(|at| &tail[at..]).filter(|l| l.starts_with(b"PK\x06\x07")) {
        let wide = Bytes(&locator[8..]).u64().ok_or_else(|| broken("its end is damaged"))?;
        let record = read_at(file, wide, 56).map_err(|_| broken("its zip64 end is not in it"))?;
        let mut fields = Bytes(record.get(40..).unwrap_or_default());
        (size, offset) = fields.u64().zip(fields.u64()).ok_or_else(|| broken("its zip64 end is damaged"))?;
        behind = wide;
    }
    let before = size.checked_add(offset).and_then(|end| behind.checked_sub(end));
    Ok(End { offset, size, before: before.ok_or_else(|| broken("its directory is not in it"))? })
}

fn entry(bytes: &mut Bytes<'_>) -> Option<Listed> {
    if bytes.take(4)? != b"PK\x01\x02" {
        return None;
    }
    let made_by = bytes.u16()?;
    bytes.take(2)?;
    let (flags, method) = (bytes.u16()?, bytes.u16()?);
    bytes.take(4)?;
    let crc32 = bytes.u32()?;
    let (compressed_size, size) = (bytes.u32()?, bytes.u32()?);
    let (name, extra, comment) = (bytes.u16()?, bytes.u16()?, bytes.u16()?);
    bytes.take(4)?;
    let (attributes, header) = (bytes.u32()?, bytes.u32()?);
    let name = bytes.take(name.into())?.to_vec();
    let mut extra = Bytes(bytes.take(extra.into())?);
    bytes.take(comment.into())?;
    // Systems with Unix modes: Unix itself and macOS.
    let mode = if matches!(made_by >> 8, 3 | 19) { attributes >> 16 } else { 0 };
    let mut wide = wide_fields(&mut extra);
    let mut full = |narrow: u32| {
        if narrow == u32::MAX { wide.as_mut().and_then(Bytes::u64) } else { Some(narrow.into()) }
    };
    let size = full(size)?;
    let (compressed_size, header) = (full(compressed_size)?, full(header)?);
    Some(Listed { name, flags, method, crc32, compressed_size, size, mode, header })
}

/// The zip64 field of the extra data.
fn wide_fields<'a>(extra: &mut Bytes<'a>) -> Option<Bytes<'a>> {
    loop {
        let (id, size) = (extra.u16()?, extra.u16()?);
        let field = extra.take(size.into())?;
        if id == 1 {
            return Some(Bytes(field));
        }
    }
}

impl Listed {
    /// Where its packed bytes start; nothing when they are not in the file.
    pub(super) fn data(&self, file: &mut File) -> Option<u64> {
        let length = file.metadata().ok()?.len();
        let header = read_at(file, self.header, 30).ok().filter(|header| header.starts_with(b"PK\x03\x04"))?;
        let mut lengths = Bytes(&header[26..]);
        let skipped = 30 + u64::from(lengths.u16()?) + u64::from(lengths.u16()?);
        let start = self.header.checked_add(skipped)?;
        (start.checked_add(self.compressed_size)? <= length).then_some(start)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.name.ends_with(b"/")
    }

    pub(super) fn is_link(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & 1 != 0
    }
}
