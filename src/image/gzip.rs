//! Gzip in blocks: one member, deflated on all cores, whose bytes do not depend on how many there are.
//!
//! Each block of [`BLOCK`] bytes is deflated by itself and ends at a byte, as `pack::large` does it; one after the other they
//! are one deflate stream. Readers see plain gzip (several members would be legal too, but nobody has promised that Lambda
//! reads them). The header holds no time, no name and no system.

use std::io::{self, Write};

use flate2::Crc;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::pack::large;
use crate::store::Digest;

/// What compresses, in the names of what is kept.
pub(crate) const ENCODER: &str = "gzip-zlib-rs-0.6.8-6-1m";
/// Bytes of a block, before they are deflated.
const BLOCK: usize = 1 << 20;
/// Blocks that are deflated at once; fixed, so that memory does not depend on the number of cores.
const AT_ONCE: usize = 8;
/// Magic, deflate, no flags, no time, no extra flags, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Compresses what is written to it, and hashes both sides.
pub(crate) struct GzipWriter<W: Write> {
    out: W,
    full: Vec<Vec<u8>>,
    block: Vec<u8>,
    crc: Crc,
    plain: Sha256,
    plain_bytes: u64,
    packed: Sha256,
    packed_bytes: u64,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gzipped {
    /// SHA-256 before compression.
    pub(crate) diff_id: Digest,
    /// Bytes before compression.
    pub(crate) plain_bytes: u64,
    /// SHA-256 of the result.
    pub(crate) digest: Digest,
    /// Bytes of the result.
    pub(crate) bytes: u64,
}

impl<W: Write> GzipWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            full: Vec::with_capacity(AT_ONCE),
            block: Vec::with_capacity(BLOCK),
            crc: Crc::new(),
            plain: Sha256::new(),
            plain_bytes: 0,
            packed: Sha256::new(),
            packed_bytes: 0,
        }
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self) -> io::Result<(W, Gzipped)> {
        let last = std::mem::take(&mut self.block);
        self.full.push(last);
        self.deflate(true)?;
        let mut trailer = self.crc.sum().to_le_bytes().to_vec();
        trailer.extend(self.crc.amount().to_le_bytes());
        self.emit(&trailer)?;
        self.out.flush()?;
        let gzipped = Gzipped {
            diff_id: Digest::of_sha256(self.plain),
            plain_bytes: self.plain_bytes,
            digest: Digest::of_sha256(self.packed),
            bytes: self.packed_bytes,
        };
        Ok((self.out, gzipped))
    }

    fn deflate(&mut self, ends: bool) -> io::Result<()> {
        if self.packed_bytes == 0 {
            self.emit(&HEADER)?;
        }
        let blocks = std::mem::take(&mut self.full);
        let last = blocks.len().saturating_sub(1);
        let (deflated, ()) = rayon::join(
            || {
                let one = |(index, block): (usize, &Vec<u8>)| {
                    let mut crc = Crc::new();
                    crc.update(block);
                    large::deflate(block, ends && index == last).map(|bytes| (bytes, crc))
                };
                blocks.par_iter().enumerate().map(one).collect::<io::Result<Vec<_>>>()
            },
            || blocks.iter().for_each(|block| self.plain.update(block)),
        );
        for (bytes, crc) in deflated? {
            self.crc.combine(&crc);
            self.emit(&bytes)?;
        }
        self.plain_bytes += blocks.iter().map(|block| block.len() as u64).sum::<u64>();
        Ok(())
    }

    fn emit(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.packed.update(bytes);
        self.packed_bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK {
            self.full.push(std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK)));
            if self.full.len() == AT_ONCE {
                self.deflate(false)?;
            }
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Blocks have a fixed size: whatever flushes must not decide where they end.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::store::sha256;

    fn gzip(bytes: &[u8], chunk: usize) -> (Vec<u8>, Gzipped) {
        let mut writer = GzipWriter::new(Vec::new());
        bytes.chunks(chunk.max(1)).for_each(|chunk| writer.write_all(chunk).unwrap());
        writer.finish().unwrap()
    }

    #[test]
    fn one_member_that_any_reader_takes_whatever_the_threads_and_writes() {
        let noise: Vec<u8> = (0..3_000_000_u64).flat_map(|n| (n * n % 251).to_le_bytes()).collect();
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, AT_ONCE * BLOCK, AT_ONCE * BLOCK + 5, noise.len()] {
            let bytes = &noise[..length];
            let (packed, said) = gzip(bytes, 70_001);
            let mut plain = Vec::new();
            // Not the decoder for several members: what is behind the first one would be left.
            let mut decoder = flate2::bufread::GzDecoder::new(packed.as_slice());
            decoder.read_to_end(&mut plain).unwrap();
            assert!(plain == bytes && decoder.into_inner().is_empty(), "{length}");
            assert_eq!((said.digest.clone(), said.bytes), (sha256(&packed), packed.len() as u64));
            assert_eq!((said.diff_id.clone(), said.plain_bytes), (sha256(bytes), length as u64));
            for threads in [1, 2, 7] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert!(pool.install(|| gzip(bytes, 1_000_000)).0 == packed, "{length} {threads}");
            }
        }
    }

    #[test]
    fn the_encoder_is_the_one_that_is_named() {
        assert!(large::ENCODER.starts_with(ENCODER.trim_start_matches("gzip-").trim_end_matches("-1m")));
    }
}
