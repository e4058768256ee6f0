//! Deflating whole files with libdeflate, whose level 6 is smaller than zlib's level 9 at twice its speed.
//!
//! The bytes depend on the version of libdeflate, which `Cargo.lock` pins; they do not depend on the processor, the number
//! of threads or what was deflated before.

use std::cell::RefCell;

use libdeflater::{CompressionLvl, Compressor};

/// What deflates, in the store's folder names: what another version has deflated is not taken for this one's.
pub const ENCODER: &str = "libdeflate-1.26.1-6";

/// The level of every entry that this program deflates.
pub const LEVEL: i32 = 6;

thread_local! {
    static COMPRESSOR: RefCell<Compressor> = RefCell::new(Compressor::new(CompressionLvl::new(LEVEL).unwrap_or_default()));
}

/// The deflated bytes, or nothing when they would not be fewer: then the entry is stored.
pub fn deflate(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.is_empty() {
        return None;
    }
    COMPRESSOR.with_borrow_mut(|compressor| {
        // One byte less than the input is all the room it gets: a result that does not fit is not wanted.
        let mut out = vec![0; bytes.len() - 1];
        let length = compressor.deflate_compress(bytes, &mut out).ok()?;
        out.truncate(length);
        out.shrink_to_fit();
        Some(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoder_is_the_one_that_is_named() {
        let lock = include_str!("../../Cargo.lock");
        let version = ENCODER.trim_start_matches("libdeflate-").trim_end_matches(&format!("-{LEVEL}"));
        assert!(lock.contains(&format!("name = \"libdeflater\"\nversion = \"{version}\"\n")), "{version}");
    }

    #[test]
    fn only_what_shrinks_is_deflated() {
        assert_eq!(deflate(b""), None);
        assert_eq!(deflate(b"x"), None);
        assert_eq!(deflate(&[7, 99, 3, 250]), None);
        let packed = deflate(&[b'a'; 10_000]).unwrap();
        assert!(packed.len() < 100);
        let mut out = vec![0; 10_000];
        libdeflater::Decompressor::new().deflate_decompress(&packed, &mut out).unwrap();
        assert_eq!(out, [b'a'; 10_000]);
    }
}
