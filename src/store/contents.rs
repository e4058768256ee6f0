//! The digests of the files in an archive, told once and kept beside it: what is in a layer is named after contents, not
//! after the archives that brought them.

use std::io::Read as _;

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::archive::Archive;
use super::digest::{encode_hex, sha256};
use crate::error::{Error, Result};
use crate::fsio;

/// What the file beside the archive is called, with the version of its form: the digest of the rest, then a line for each
/// member in their order.
const EXTENSION: &str = "contents-1";
/// No such file is larger: a line has 65 bytes.
const MAX_BYTES: u64 = 65 * (super::archive::MAX_MEMBERS as u64 + 1);

impl Archive {
    /// The SHA-256 of every member's unpacked bytes in hexadecimal, in the order of [`Archive::members`].
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub fn contents(&self) -> Result<&[String]> {
        if let Some(known) = self.contents.get() {
            return Ok(known);
        }
        let digests = match self.kept_contents() {
            Some(kept) => kept,
            None => {
                let told =
                    (0..self.members().len()).into_par_iter().map(|n| self.content(n)).collect::<Result<Vec<_>>>()?;
                // Another run can tell them again.
                let _ = self.keep_contents(&told);
                told
            }
        };
        Ok(self.contents.get_or_init(|| digests))
    }

    fn kept_contents(&self) -> Option<Vec<String>> {
        let bytes = fsio::read_bounded(&self.path().with_extension(EXTENSION), MAX_BYTES).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (digest, rest) = text.split_once('\n')?;
        let lines: Vec<String> = rest.lines().map(str::to_owned).collect();
        (sha256(rest.as_bytes()).hex() == digest && lines.len() == self.members().len()).then_some(lines)
    }

    fn keep_contents(&self, digests: &[String]) -> Result<()> {
        let rest: String = digests.iter().flat_map(|digest| [digest.as_str(), "\n"]).collect();
        let text = format!("{}\n{rest}", sha256(rest.as_bytes()).hex());
        fsio::write_atomic(&self.path().with_extension(EXTENSION), text.as_bytes())
    }

    fn content(&self, index: usize) -> Result<String> {
        let member = &self.members()[index];
        let bad = |error: std::io::Error| Error::io("read", self.path(), &error);
        let mut reader = self.reader(index).map_err(bad)?.take(member.size + 1);
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        let mut length = 0;
        loop {
            match reader.read(&mut buffer).map_err(bad)? {
                0 => break,
                n => {
                    hasher.update(&buffer[..n]);
                    length += n as u64;
                }
            }
        }
        if length != member.size {
            return Err(Error::failed(format!("`{}` is damaged at `{}`", self.path().display(), member.path)));
        }
        Ok(encode_hex(&hasher.finalize()))
    }
}
