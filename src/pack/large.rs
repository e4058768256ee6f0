//! Files that are too large to be held: read in pieces, deflated in parallel, kept in a file until it is their turn.
//!
//! A piece is deflated by itself and ends at a byte (a full flush), so that pieces one after the other are one deflate
//! stream and their bytes do not depend on how many are made at once. That takes zlib, as libdeflate ends every stream.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::{Compress, Compression, FlushCompress, Status};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::deflate::LEVEL;
use super::zip::Method;
use crate::error::{Error, Result};
use crate::report::Task;
use crate::store::{Entries, encode_hex};
use crate::tree::{Entry, Source};

/// What deflates them, in the names of what is kept.
pub(crate) const ENCODER: &str = "zlib-rs-0.6.8-6-4m";

/// From this size on, in bytes, a file is not held.
pub(super) const LARGE: u64 = 16 << 20;
/// Bytes of a piece. Deflating starts anew with each, which costs less than a thousandth.
const PIECE: usize = 4 << 20;
/// Pieces that are made at once: what memory it takes does not depend on the number of cores.
const AT_ONCE: usize = 4;

/// Whether an entry that would take `cost` bytes of memory is packed in pieces.
pub(super) fn is_large(entry: &Entry, cost: u64) -> bool {
    let on_disk = matches!(entry, Entry::File { source: Source::Disk(_) | Source::Member(..), .. });
    on_disk && cost >= LARGE
}

/// A packed file that waits for its turn.
pub(super) struct Packed {
    /// CRC-32 of the unpacked bytes.
    pub(super) crc32: u32,
    /// Their number.
    pub(super) size: u64,
    /// Their SHA-256 in hexadecimal.
    pub(super) sha256: String,
    data: Data,
}

enum Data {
    /// Deflated, in a file without a name.
    Deflated(File, u64),
    /// Not smaller when deflated: the file itself, from an offset on.
    Stored(File, u64),
}

/// Deflates a large entry beside `target`.
pub(super) fn pack(entry: &Entry, target: &Path, task: &Task<'_>) -> Result<Packed> {
    let (path, file, start, size) = opened(entry)?;
    let folder = target.parent().unwrap_or(Path::new("."));
    let spill = tempfile::tempfile_in(folder).map_err(|e| Error::io("create a temporary file in", folder, &e))?;
    let mut packer =
        Packer { input: file, path, spill, folder, crc: crc32fast::Hasher::new(), hash: Sha256::new(), written: 0 };
    packer.input.seek(SeekFrom::Start(start)).map_err(|e| Error::io("read", path, &e))?;
    packer.run(size, task)?;
    let crc32 = packer.crc.clone().finalize();
    let sha256 = encode_hex(&packer.hash.clone().finalize());
    let data = if packer.written < size {
        Data::Deflated(packer.spill, packer.written)
    } else {
        Data::Stored(packer.input, start)
    };
    Ok(Packed { crc32, size, sha256, data })
}

/// The file that an entry's bytes are in, and where in it they begin and how many they are.
fn opened(entry: &Entry) -> Result<(&Path, File, u64, u64)> {
    match entry {
        Entry::File { source: Source::Disk(path), .. } => {
            let file = File::open(path).map_err(|e| Error::io("read", path, &e))?;
            let size = file.metadata().map_err(|e| Error::io("read", path, &e))?.len();
            Ok((path, file, 0, size))
        }
        // Deflated members are copied as they are; what is left is stored.
        Entry::File { source: Source::Member(archive, index), .. } => {
            let member = &archive.members()[*index];
            let file = File::open(archive.path()).map_err(|e| Error::io("read", archive.path(), &e))?;
            Ok((archive.path(), file, member.offset(), member.size))
        }
        _ => Err(Error::failed("only files on disk are packed in pieces")),
    }
}

struct Packer<'a> {
    input: File,
    path: &'a Path,
    spill: File,
    folder: &'a Path,
    crc: crc32fast::Hasher,
    hash: Sha256,
    written: u64,
}

impl Packer<'_> {
    fn run(&mut self, size: u64, task: &Task<'_>) -> Result<()> {
        let mut left = size;
        while left > 0 {
            let mut pieces = Vec::new();
            while left > 0 && pieces.len() < AT_ONCE {
                let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
                self.input.read_exact(&mut piece).map_err(|e| Error::io("read", self.path, &e))?;
                left -= piece.len() as u64;
                pieces.push((piece, left == 0));
            }
            let (deflated, ()) = rayon::join(
                || {
                    pieces
                        .par_iter()
                        .map(|(piece, last)| Ok((deflate(piece, *last)?, hasher(piece))))
                        .collect::<io::Result<Vec<_>>>()
                },
                || pieces.iter().for_each(|(piece, _)| self.hash.update(piece)),
            );
            task.advance(pieces.iter().map(|(piece, _)| piece.len() as u64).sum());
            for (bytes, crc) in deflated.map_err(|e| Error::io("deflate", self.path, &e))? {
                self.crc.combine(&crc);
                self.written += bytes.len() as u64;
                self.spill.write_all(&bytes).map_err(|e| Error::io("write a temporary file in", self.folder, &e))?;
            }
        }
        self.spill.rewind().map_err(|e| Error::io("read a temporary file in", self.folder, &e))
    }
}

fn hasher(piece: &[u8]) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(piece);
    hasher
}

/// A piece of a deflate stream, by itself; only the last one ends it.
pub(crate) fn deflate(piece: &[u8], last: bool) -> io::Result<Vec<u8>> {
    let mut compress = Compress::new(Compression::new(LEVEL.unsigned_abs()), false);
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Full };
    let mut out = Vec::with_capacity(piece.len() / 2 + 1_024);
    loop {
        let done = usize::try_from(compress.total_in()).unwrap_or(piece.len()).min(piece.len());
        let status = compress.compress_vec(&piece[done..], &mut out, flush)?;
        let all_in = compress.total_in() == piece.len() as u64;
        // A flush is complete when room is left behind it.
        if status == Status::StreamEnd || (all_in && !last && out.len() < out.capacity()) {
            return Ok(out);
        }
        out.reserve(64 << 10);
    }
}

impl Packed {
    /// A file that is known not to shrink; nothing when it is not what is known.
    pub(super) fn stored(entry: &Entry, crc32: u32, size: u64) -> Option<Self> {
        let (_, file, start, length) = opened(entry).ok()?;
        (length == size).then(|| Self { crc32, size, sha256: String::new(), data: Data::Stored(file, start) })
    }

    /// Keeps it in the store. What cannot be kept is deflated again the next time.
    pub(super) fn keep(&self, entries: &Entries, key: &str) {
        let head = (self.method(), self.crc32, self.size);
        let _ = match &self.data {
            Data::Deflated(file, bytes) => {
                let mut file = file;
                let kept = entries.put(key, head, *bytes, &mut file);
                // Whoever writes it into the zip begins at its beginning.
                if file.rewind().is_err() {
                    return;
                }
                kept
            }
            Data::Stored(..) => entries.put(key, head, 0, &mut io::empty()),
        };
    }

    /// How the bytes are held.
    pub(super) fn method(&self) -> Method {
        match self.data {
            Data::Deflated(..) => Method::Deflated,
            Data::Stored(..) => Method::Stored,
        }
    }

    /// Bytes in the archive.
    pub(super) fn compressed_size(&self) -> u64 {
        match self.data {
            Data::Deflated(_, bytes) => bytes,
            Data::Stored(..) => self.size,
        }
    }

    /// Hands the packed bytes on.
    pub(super) fn read(self, take: impl FnOnce(&mut dyn Read) -> io::Result<()>) -> io::Result<()> {
        match self.data {
            Data::Deflated(file, bytes) => take(&mut file.take(bytes)),
            Data::Stored(mut file, start) => {
                file.seek(SeekFrom::Start(start))?;
                let mut reader = Hashed { inner: file.take(self.size), crc: crc32fast::Hasher::new() };
                take(&mut reader)?;
                if reader.crc.finalize() == self.crc32 {
                    return Ok(());
                }
                Err(io::Error::other("a file was changed by another program while it was packed"))
            }
        }
    }
}

/// Sees again what is read a second time.
struct Hashed<R> {
    inner: R,
    crc: crc32fast::Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.crc.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoder_is_the_one_that_is_named() {
        let lock = include_str!("../../Cargo.lock");
        let version = ENCODER.trim_start_matches("zlib-rs-").trim_end_matches(&format!("-{LEVEL}-4m"));
        assert!(lock.contains(&format!("name = \"zlib-rs\"\nversion = \"{version}\"\n")), "{version}");
    }
}
