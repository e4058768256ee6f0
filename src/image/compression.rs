//! How a layer is compressed, told by its first bytes and not by its media type; and what is in it, within bounds.

use std::io::{self, BufRead, Read, Write};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use sha2::{Digest as _, Sha256};

use crate::store::Digest;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// As Lambda takes it.
    Gzip,
    /// As it does not.
    Zstd,
}

/// By the first bytes, which stay unread.
pub(crate) fn of(packed: &mut impl BufRead) -> io::Result<Compression> {
    let start = packed.fill_buf()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        // A frame, or a skippable one, of which tools write tables of contents.
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        [first, 0x2a, 0x4d, 0x18, ..] if first & 0xf0 == 0x50 => Compression::Zstd,
        _ => Compression::None,
    })
}

/// A reader of the tar in a layer.
pub(crate) fn open<'a, R: BufRead + 'a>(mut packed: R) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match of(&mut packed)? {
        Compression::None => Box::new(packed),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Compression::Zstd => Box::new(Zstd { idle: Some((packed, bounded()?)), frame: None }),
    })
}

/// Copies the tar of a layer, at most `most` bytes of it; all of the packed bytes are read.
pub(crate) fn unpack<R: BufRead>(mut packed: R, out: &mut dyn Write, most: u64) -> io::Result<u64> {
    let copied = {
        let reader = open(&mut packed)?;
        io::copy(&mut reader.take(most.saturating_add(1)), out)?
    };
    if copied > most {
        return Err(io::Error::other(format!("it unpacks to more than {most} bytes")));
    }
    // Whoever checks the digest does it at the end.
    io::copy(&mut packed, &mut io::sink())?;
    Ok(copied)
}

/// The digest of the tar in a layer, and its bytes.
pub(crate) fn measure(packed: impl Read, most: u64) -> io::Result<(Digest, u64)> {
    let mut hasher = Hashing(Sha256::new());
    let bytes = unpack(io::BufReader::with_capacity(256 << 10, packed), &mut hasher, most)?;
    Ok((Digest::of_sha256(hasher.0), bytes))
}

struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Frames of zstd one after the other; the decoder reads one.
struct Zstd<R: BufRead> {
    idle: Option<(R, FrameDecoder)>,
    frame: Option<StreamingDecoder<R, FrameDecoder>>,
}

/// A decoder that bounds the window (100 MiB): only one that has decoded something does.
fn bounded() -> io::Result<FrameDecoder> {
    const EMPTY: [u8; 9] = [0x28, 0xb5, 0x2f, 0xfd, 0, 0, 1, 0, 0];
    let mut decoder = FrameDecoder::new();
    decoder.init(EMPTY.as_slice()).map_err(io::Error::other)?;
    Ok(decoder)
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
            }
            if let Some(frame) = self.frame.take() {
                self.idle = Some(frame.into_parts());
            }
            let Some((mut packed, decoder)) = self.idle.take() else { return Ok(0) };
            if skip(&mut packed)? {
                self.idle = Some((packed, decoder));
                continue;
            }
            if packed.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.frame = Some(StreamingDecoder::new_with_decoder(packed, decoder).map_err(io::Error::other)?);
        }
    }
}

/// Steps over a skippable frame, if there is one.
fn skip(packed: &mut impl BufRead) -> io::Result<bool> {
    let start = packed.fill_buf()?;
    if !matches!(start, [first, 0x2a, 0x4d, 0x18, ..] if first & 0xf0 == 0x50) {
        return Ok(false);
    }
    let mut head = [0; 8];
    packed.read_exact(&mut head)?;
    let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
    if io::copy(&mut packed.by_ref().take(length), &mut io::sink())? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;
    use crate::store::sha256;

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    #[test]
    fn frames_of_zstd_follow_each_other_and_tables_are_skipped() {
        let text = b"text ".repeat(50_000);
        let table = [&[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"toc"].concat();
        let packed = [table.clone(), zstd(&text), table.clone(), zstd(b""), zstd(b"more"), table].concat();
        let plain = [&text[..], b"more"].concat();
        let (digest, bytes) = measure(packed.as_slice(), 1 << 20).unwrap();
        assert_eq!((digest, bytes), (sha256(&plain), plain.len() as u64));
        assert!(measure(&packed[..packed.len() - 5], 1 << 20).is_err());
        assert!(measure(&packed[..packed.len() / 3], 1 << 20).is_err());
    }

    #[test]
    fn what_unpacks_to_more_than_it_may_is_refused() {
        let bomb = zstd(&vec![0; 4 << 20]);
        assert!(bomb.len() < 64 << 10);
        assert!(measure(bomb.as_slice(), (4 << 20) - 1).unwrap_err().to_string().contains("unpacks to more than"));
        assert_eq!(measure(bomb.as_slice(), 4 << 20).unwrap().1, 4 << 20);
        // A frame that asks for a window of 3 GB: refused before memory is taken.
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        assert!(measure(&window[..], 1 << 20).is_err());
    }

    #[test]
    fn first_bytes_tell() {
        let told = |bytes: &[u8]| of(&mut io::BufReader::new(bytes)).unwrap();
        assert_eq!(told(&[0x1f, 0x8b, 8]), Compression::Gzip);
        assert_eq!(told(&zstd(b"x")), Compression::Zstd);
        assert_eq!(told(b"ustar"), Compression::None);
        assert_eq!(told(b""), Compression::None);
    }
}
