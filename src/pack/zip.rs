//! The zip writer: the one page of the format that Lambda's packages need, with nothing in it that depends on the machine.
//!
//! Sizes and CRC stand in the local header (no data descriptor), made-by is Unix, the time is 1980-01-01 00:00, the UTF-8
//! flag is set, there are no extra fields, and the zip64 end record appears only when there are 65,535 entries or more.
//! Source of the layout: PKWARE's APPNOTE.TXT 6.3, sections 4.3 to 4.5. Order, duplicates and exclusion are decided above
//! this module; it checks only that names ascend, which makes a duplicate impossible.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// How a member's bytes are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As they are.
    Stored,
    /// Deflated.
    Deflated,
}

impl Method {
    const fn code(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Deflated => 8,
        }
    }
}

/// What stands in a member's headers.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// The path; a folder's ends with a slash.
    pub name: &'a str,
    /// Unix mode with the file type, such as 0o100644.
    pub mode: u32,
    /// How the bytes are held.
    pub method: Method,
    /// CRC-32 of the unpacked bytes.
    pub crc32: u32,
    /// Bytes in the archive.
    pub compressed_size: u64,
    /// Bytes unpacked.
    pub size: u64,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the zip.
    pub bytes: u64,
    /// SHA-256 of the zip.
    pub sha256: [u8; 32],
}

/// Writes members one after the other and hashes on the way.
pub struct ZipWriter<W> {
    out: W,
    hash: Sha256,
    offset: u64,
    central: Vec<u8>,
    count: u64,
    last_name: String,
}

const SIGNATURE_LOCAL: u32 = 0x0403_4b50;
const SIGNATURE_CENTRAL: u32 = 0x0201_4b50;
const SIGNATURE_END: u32 = 0x0605_4b50;
const SIGNATURE_END64: u32 = 0x0606_4b50;
const SIGNATURE_LOCATOR64: u32 = 0x0706_4b50;
const VERSION_NEEDED: u16 = 20;
const MADE_BY_UNIX: u16 = (3 << 8) | VERSION_NEEDED;
const FLAG_UTF8: u16 = 0x0800;
const DOS_TIME: u16 = 0;
const DOS_DATE_1980_01_01: u16 = (1 << 5) | 1;

impl<W: Write> ZipWriter<W> {
    /// Starts an archive.
    pub fn new(out: W) -> Self {
        Self { out, hash: Sha256::new(), offset: 0, central: Vec::new(), count: 0, last_name: String::new() }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.hash.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Adds a member whose packed bytes come from `data`.
    ///
    /// # Errors
    /// When names do not ascend, when `data` has another length than the header says, when a field does not fit into a
    /// zip without zip64 sizes, and when writing fails.
    pub fn add(&mut self, header: Header<'_>, data: &mut dyn Read) -> io::Result<()> {
        if self.count > 0 && header.name <= self.last_name.as_str() {
            return Err(io::Error::other(format!("entry `{}` after `{}`", header.name, self.last_name)));
        }
        let fits = |n: u64, what: &str| {
            u32::try_from(n).ok().filter(|n| *n != u32::MAX).ok_or_else(|| {
                io::Error::other(format!("{what} is {n} bytes; a zip without zip64 takes 4,294,967,294"))
            })
        };
        let offset = fits(self.offset, "the archive")?;
        let compressed_size = fits(header.compressed_size, header.name)?;
        let size = fits(header.size, header.name)?;
        let name_length =
            u16::try_from(header.name.len()).map_err(|_| io::Error::other("a name longer than 65,535 bytes"))?;

        let mut shared = Vec::with_capacity(26);
        for half in [VERSION_NEEDED, FLAG_UTF8, header.method.code(), DOS_TIME, DOS_DATE_1980_01_01] {
            shared.extend(half.to_le_bytes());
        }
        for word in [header.crc32, compressed_size, size] {
            shared.extend(word.to_le_bytes());
        }
        shared.extend(name_length.to_le_bytes());
        shared.extend(0_u16.to_le_bytes()); // extra fields

        let mut local = SIGNATURE_LOCAL.to_le_bytes().to_vec();
        local.extend(&shared);
        local.extend(header.name.as_bytes());
        self.put(&local)?;

        let mut left = header.compressed_size;
        let mut buffer = vec![0; usize::try_from(left.clamp(1, 128 << 10)).unwrap_or(1)];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            data.read_exact(&mut buffer[..want])?;
            self.put(&buffer[..want])?;
            left -= want as u64;
        }

        self.central.extend(SIGNATURE_CENTRAL.to_le_bytes());
        self.central.extend(MADE_BY_UNIX.to_le_bytes());
        self.central.extend(&shared);
        for half in [0_u16; 3] {
            self.central.extend(half.to_le_bytes()); // comment, disk, internal attributes
        }
        self.central.extend((header.mode << 16).to_le_bytes());
        self.central.extend(offset.to_le_bytes());
        self.central.extend(header.name.as_bytes());
        self.count += 1;
        header.name.clone_into(&mut self.last_name);
        Ok(())
    }

    /// Writes the central directory and gives back what was written to, with its length and digest.
    pub fn finish(mut self) -> io::Result<(W, Written)> {
        let start = self.offset;
        let central = std::mem::take(&mut self.central);
        self.put(&central)?;
        let size = central.len() as u64;
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let count16 = u16::try_from(self.count).unwrap_or(u16::MAX);
        if self.count >= u64::from(u16::MAX) || narrow(start) == u32::MAX || narrow(size) == u32::MAX {
            let at = self.offset;
            let mut end = SIGNATURE_END64.to_le_bytes().to_vec();
            end.extend(44_u64.to_le_bytes());
            end.extend(((3_u16 << 8) | 45).to_le_bytes());
            end.extend(45_u16.to_le_bytes());
            end.extend([0; 8]); // disks
            for value in [self.count, self.count, size, start] {
                end.extend(value.to_le_bytes());
            }
            end.extend(SIGNATURE_LOCATOR64.to_le_bytes());
            end.extend(0_u32.to_le_bytes());
            end.extend(at.to_le_bytes());
            end.extend(1_u32.to_le_bytes());
            self.put(&end)?;
        }
        let mut end = SIGNATURE_END.to_le_bytes().to_vec();
        end.extend([0; 4]); // disks
        end.extend(count16.to_le_bytes());
        end.extend(count16.to_le_bytes());
        end.extend(narrow(size).to_le_bytes());
        end.extend(narrow(start).to_le_bytes());
        end.extend([0; 2]); // comment
        self.put(&end)?;
        self.out.flush()?;
        let written = Written { bytes: self.offset, sha256: self.hash.finalize().into() };
        Ok((self.out, written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::deflate;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::io::Cursor;

    fn archive(files: &BTreeMap<String, (Vec<u8>, bool)>) -> Vec<u8> {
        let mut writer = ZipWriter::new(Vec::new());
        for (name, (bytes, executable)) in files {
            let packed = deflate::deflate(bytes);
            let data = packed.as_deref().unwrap_or(bytes);
            let header = Header {
                name,
                mode: if *executable { 0o100_755 } else { 0o100_644 },
                method: if packed.is_some() { Method::Deflated } else { Method::Stored },
                crc32: crc32fast::hash(bytes),
                compressed_size: data.len() as u64,
                size: bytes.len() as u64,
            };
            writer.add(header, &mut &*data).unwrap();
        }
        let (bytes, written) = writer.finish().unwrap();
        assert_eq!(written.bytes, bytes.len() as u64);
        assert_eq!(written.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
        bytes
    }

    proptest! {
        #[test]
        fn another_reader_finds_what_was_written(
            files in proptest::collection::btree_map("[a-zé/_]{1,8}[a-z]", (proptest::collection::vec(0_u8..4, 0..300), any::<bool>()), 0..12)
        ) {
            let bytes = archive(&files);
            let mut reader = ::zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
            prop_assert_eq!(reader.len(), files.len());
            for (i, (name, (content, executable))) in files.iter().enumerate() {
                let mut member = reader.by_index(i).unwrap();
                prop_assert_eq!(member.name().unwrap(), name.as_str());
                prop_assert_eq!(member.unix_mode(), Some(if *executable { 0o100_755 } else { 0o100_644 }));
                let mut read = Vec::new();
                member.read_to_end(&mut read).unwrap();
                prop_assert_eq!(&read, content);
            }
        }
    }

    #[test]
    fn zip64_only_when_there_are_that_many() {
        let many = |n: u32| archive(&(0..n).map(|i| (format!("{i:06}"), (Vec::new(), false))).collect());
        let has_end64 = |bytes: &[u8]| bytes.windows(4).any(|w| w == SIGNATURE_END64.to_le_bytes());
        assert!(!has_end64(&many(65_534)));
        let big = many(70_000);
        assert!(has_end64(&big));
        assert_eq!(::zip::ZipArchive::new(Cursor::new(&big)).unwrap().len(), 70_000);
    }

    #[test]
    fn a_duplicate_or_a_short_read_is_refused() {
        let header =
            |name| Header { name, mode: 0o100_644, method: Method::Stored, crc32: 0, compressed_size: 4, size: 4 };
        let mut writer = ZipWriter::new(Vec::new());
        assert!(writer.add(header("a"), &mut &b"abc"[..]).is_err());
        let mut writer = ZipWriter::new(Vec::new());
        writer.add(header("a"), &mut &b"abcd"[..]).unwrap();
        assert!(writer.add(header("a"), &mut &b"abcd"[..]).is_err());
    }
}
