//! A reader that believes nothing: the bytes must have the descriptor's size and digest.

use std::io::{self, Read};

use super::Descriptor;
use crate::store::{Digest, Hasher};

/// Reads a blob and fails at its end when it is not what its descriptor says, or as soon as it is longer.
pub struct Verified<R> {
    inner: R,
    hasher: Option<Hasher>,
    digest: Digest,
    left: u64,
}

impl<R: Read> Verified<R> {
    /// Of a blob from its beginning.
    pub fn new(inner: R, descriptor: &Descriptor) -> Self {
        let digest = descriptor.digest.clone();
        Self { inner, hasher: Some(digest.hasher()), digest, left: descriptor.size }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let read = self.inner.read(buffer)?;
        if read == 0 {
            if self.left > 0 {
                return Err(wrong(format!("the blob {} ends {} bytes too early", self.digest, self.left)));
            }
            let actual = self.hasher.take().map(Hasher::finish);
            return match actual {
                Some(actual) if actual != self.digest => {
                    Err(wrong(format!("the blob {} has the digest {actual}: it is damaged", self.digest)))
                }
                _ => Ok(0),
            };
        }
        self.left = (self.left.checked_sub(read as u64))
            .ok_or_else(|| wrong(format!("the blob {} is longer than its descriptor says", self.digest)))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sha256;

    #[test]
    fn what_is_not_as_described_is_not_read_to_its_end() {
        let read = |bytes: &[u8], said: &[u8]| {
            let (media_type, digest) = ("x".to_owned(), sha256(said));
            let descriptor = Descriptor { media_type, digest, size: said.len() as u64 };
            let mut out = Vec::new();
            Verified::new(bytes, &descriptor).read_to_end(&mut out).map(|_| out).map_err(|e| e.to_string())
        };
        assert_eq!(read(b"abc", b"abc").unwrap(), b"abc");
        assert!(read(b"abd", b"abc").unwrap_err().contains("damaged"));
        assert!(read(b"ab", b"abc").unwrap_err().contains("1 bytes too early"));
        assert!(read(b"abcd", b"abc").unwrap_err().contains("longer"));
    }
}
