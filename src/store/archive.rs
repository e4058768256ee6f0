//! A zip in the store: its members by index, each readable, or copyable as it is packed.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::natives::{Native, Natives};
use crate::elf::{self, Image};
use crate::error::{Error, Result};
use crate::pack::zip::Method;
use crate::tree::ArchivePath;

/// Archives with more members than this are refused.
pub(super) const MAX_MEMBERS: usize = 500_000;
/// Archives that unpack to more than this are refused.
pub(super) const MAX_UNPACKED: u64 = 4 << 30;
/// The facts of native members larger than this are not taken: alone they are more than Lambda unpacks.
const MAX_NATIVE: u64 = crate::lambda::UNZIPPED_LIMIT;
/// Members larger than this are not read into memory; twice what Lambda takes, as of files on disk.
const MAX_READ: u64 = crate::lambda::UNZIPPED_LIMIT * 2;

/// One file in an archive.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its path, checked.
    pub path: ArchivePath,
    /// How its bytes are held.
    pub method: Method,
    /// CRC-32 of the unpacked bytes.
    pub crc32: u32,
    /// Bytes in the archive.
    pub compressed_size: u64,
    /// Bytes unpacked.
    pub size: u64,
    /// Whether it may be executed.
    pub executable: bool,
    /// Where its packed bytes start in the archive.
    pub(crate) offset: u64,
}

/// A zip of which the directory has been read and checked. Its members were inflated once, and their CRCs compared, when
/// it entered the store.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    members: Vec<Member>,
    /// Written by this program: what is stored in it does not shrink when deflated.
    is_final: bool,
    /// Digests of what is in it, once they are known.
    pub(super) contents: OnceLock<Vec<String>>,
    /// From a registry, where anyone can read it.
    is_public: bool,
    /// What its native members say of themselves, once somebody has asked.
    natives: OnceLock<Natives>,
}

impl Member {
    /// Where its packed bytes start in the archive.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl Archive {
    /// Reads the directory of a zip.
    ///
    /// # Errors
    /// When the file is no zip, is encrypted, uses another method than stored or deflate, names a path that leaves its
    /// root or one path twice, or is unreasonably large.
    pub(crate) fn open(path: &Path, is_final: bool) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("read", path, &e))?;
        let bad = |what: String| Error::failed(format!("`{}` cannot be used: {what}", path.display()));
        let mut zip = ::zip::ZipArchive::new(BufReader::new(file)).map_err(|e| bad(e.to_string()))?;
        if zip.len() > MAX_MEMBERS {
            return Err(bad(format!("it has {} members; at most {MAX_MEMBERS} are taken", zip.len())));
        }
        let mut members = Vec::with_capacity(zip.len());
        let mut total = 0_u64;
        for index in 0..zip.len() {
            let member = zip.by_index_raw(index).map_err(|e| bad(e.to_string()))?;
            if member.is_dir() {
                continue;
            }
            let name = std::str::from_utf8(member.name_raw())
                .map_err(|_| bad(format!("the name of member {index} is not UTF-8")))?;
            let checked =
                ArchivePath::new(name).map_err(|problem| bad(format!("the member name {name:?} {problem}")))?;
            if member.encrypted() {
                return Err(bad(format!("`{checked}` is encrypted")));
            }
            let method = match member.compression() {
                ::zip::CompressionMethod::Stored => Method::Stored,
                ::zip::CompressionMethod::Deflated => Method::Deflated,
                other => return Err(bad(format!("`{checked}` is compressed with {other}, not deflate"))),
            };
            total = total.saturating_add(member.size());
            if total > MAX_UNPACKED {
                return Err(bad(format!("it unpacks to more than {MAX_UNPACKED} bytes")));
            }
            let offset = member.data_start().ok_or_else(|| bad(format!("`{checked}` has no data")))?;
            members.push(Member {
                path: checked,
                method,
                crc32: member.crc32(),
                compressed_size: member.compressed_size(),
                size: member.size(),
                executable: member.unix_mode().is_some_and(|mode| mode & 0o111 != 0),
                offset,
            });
        }
        members.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(twice) = members.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(bad(format!("`{}` is in it twice", twice[0].path)));
        }
        let (contents, natives) = (OnceLock::new(), OnceLock::new());
        Ok(Self { path: path.to_owned(), members, is_final, is_public: true, contents, natives })
    }

    /// A zip that anyone has made, in the order of its members' paths, and what is wrong with its contents. Nothing is
    /// written beside it.
    pub(crate) fn of_stranger(path: &Path, members: Vec<Member>) -> (Self, Result<()>) {
        let (contents, natives) = (OnceLock::new(), OnceLock::new());
        let archive = Self { path: path.to_owned(), members, is_final: false, is_public: false, contents, natives };
        let total = archive.members.iter().fold(0_u64, |sum, member| sum.saturating_add(member.size));
        // More than that is refused for its size, and not worth the time.
        let verified = if total > MAX_UNPACKED / 4 { Ok(Natives::default()) } else { archive.verify() };
        match verified {
            Ok(natives) => (archive.with_natives(natives), Ok(())),
            Err(error) => (archive.with_natives(Natives::default()), Err(error)),
        }
    }

    /// Whether it is from a registry, where anyone can read it.
    pub fn is_public(&self) -> bool {
        self.is_public
    }

    /// Inflates every member and compares its CRC and length with the directory. Gives the facts of those that are native.
    pub fn verify(&self) -> Result<Natives> {
        use rayon::prelude::*;
        let verified: Result<Vec<Option<Native>>> =
            (0..self.members.len()).into_par_iter().map(|index| self.verify_member(index)).collect();
        Ok(Natives::new(verified?.into_iter().flatten().collect()))
    }

    fn verify_member(&self, index: usize) -> Result<Option<Native>> {
        let member = &self.members[index];
        let mut crc = crc32fast::Hasher::new();
        let mut reader = self.reader(index).map_err(|e| Error::io("read", &self.path, &e))?.take(member.size + 1);
        let mut buffer = vec![0; 64 << 10];
        let mut length = 0_u64;
        let mut kept = Vec::new();
        loop {
            let n = reader.read(&mut buffer).map_err(|e| self.damaged(member, &e.to_string()))?;
            if n == 0 {
                break;
            }
            crc.update(&buffer[..n]);
            // Only what begins like ELF is wanted whole.
            if (length < elf::PROBE as u64 || elf::is_elf(&kept)) && member.size <= MAX_NATIVE {
                kept.extend_from_slice(&buffer[..n]);
            }
            length += n as u64;
        }
        if length != member.size {
            return Err(
                self.damaged(member, &format!("its length is not the {} bytes that the directory says", member.size))
            );
        }
        if crc.finalize() != member.crc32 {
            return Err(self.damaged(member, "its CRC is not what the directory says"));
        }
        Ok(Image::of(&kept).map(|image| Native { index, crc32: member.crc32, image }))
    }

    /// What its native members say of themselves: as it was kept beside the archive, or looked at now and kept.
    pub fn natives(&self) -> &Natives {
        // Not by `get_or_init`: whoever waits there would keep a worker thread that the work may need.
        if let Some(natives) = self.natives.get() {
            return natives;
        }
        let natives = Natives::read(self).unwrap_or_else(|| {
            // A member that was damaged since it entered the store says nothing here, and fails when it is packed.
            let look = |index| self.verify_member(index).ok().flatten();
            let natives = Natives::new((0..self.members.len()).filter_map(look).collect());
            let _ = natives.write(&self.path);
            natives
        });
        self.natives.get_or_init(|| natives)
    }

    /// Takes facts that were found while the archive entered the store.
    pub(super) fn with_natives(self, natives: Natives) -> Self {
        Self { natives: OnceLock::from(natives), ..self }
    }

    fn damaged(&self, member: &Member, what: &str) -> Error {
        Error::failed(format!("`{}` is damaged at `{}`", self.path.display(), member.path)).because(what)
    }

    /// Whether its members are packed as well as this program would pack them.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its files in the order of their paths' bytes.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The index of the member at a path.
    pub fn find(&self, path: &str) -> Option<usize> {
        self.members.binary_search_by(|m| m.path.as_str().cmp(path)).ok()
    }

    /// A member's packed bytes.
    pub fn packed(&self, index: usize) -> io::Result<io::Take<File>> {
        let member = &self.members[index];
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(member.offset))?;
        Ok(file.take(member.compressed_size))
    }

    /// A member's unpacked bytes as they are read.
    pub(super) fn reader(&self, index: usize) -> io::Result<Box<dyn Read>> {
        let packed = BufReader::with_capacity(64 << 10, self.packed(index)?);
        Ok(match self.members[index].method {
            Method::Stored => Box::new(packed),
            Method::Deflated => Box::new(flate2::bufread::DeflateDecoder::new(packed)),
        })
    }

    /// The same for whoever takes them piece by piece. That they have the member's CRC was proven when the archive was taken in.
    pub(crate) fn open_member(&self, index: usize) -> Result<Box<dyn Read>> {
        self.reader(index).map_err(|e| Error::io("read", &self.path, &e))
    }

    /// A member's unpacked bytes.
    pub fn read(&self, index: usize) -> Result<Vec<u8>> {
        let member = &self.members[index];
        if member.size > MAX_READ {
            return Err(self.damaged(member, &format!("it has {} bytes; at most {MAX_READ} are read", member.size)));
        }
        let mut bytes = Vec::new();
        self.reader(index)
            .and_then(|reader| reader.take(member.size + 1).read_to_end(&mut bytes))
            .map_err(|e| self.damaged(member, &e.to_string()))?;
        if bytes.len() as u64 != member.size || crc32fast::hash(&bytes) != member.crc32 {
            return Err(self.damaged(member, "its length or CRC is not what the directory says"));
        }
        Ok(bytes)
    }

    /// The text of a member, if there is such a member and it is UTF-8.
    pub fn read_text(&self, path: &str) -> Option<String> {
        self.find(path).and_then(|index| self.read(index).ok()).and_then(|bytes| String::from_utf8(bytes).ok())
    }
}
