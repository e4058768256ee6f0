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
