//! Digests as lock files name them, and the check that bytes have them.

use std::fmt;

use base64::Engine as _;
use sha2::Digest as _;

/// A hash function that lock files use, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Only in old npm lock files; better than nothing, and npm takes it too.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Lower-case name: `sha256`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    const fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// From its lower-case name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == name)
    }
}

/// A digest of known length.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl Digest {
    fn new(algorithm: Algorithm, bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() == algorithm.length()).then_some(Self { algorithm, bytes })
    }

    /// From an algorithm's name and hexadecimal digits, as Python's lock files have it.
    pub fn from_hex(algorithm: &str, hex: &str) -> Option<Self> {
        Self::new(Algorithm::parse(algorithm)?, decode_hex(hex)?)
    }

    /// The strongest digest of a Subresource Integrity string such as `sha512-…==`, as npm's lock files have it.
    pub fn from_sri(text: &str) -> Option<Self> {
        text.split_ascii_whitespace()
            .filter_map(|one| {
                let (algorithm, rest) = one.split_once('-')?;
                let base64 = rest.split('?').next()?;
                let bytes = base64::engine::general_purpose::STANDARD.decode(base64).ok()?;
                Self::new(Algorithm::parse(algorithm)?, bytes)
            })
            .max_by_key(|d| d.algorithm)
    }

    /// As images name it: `sha256:` and hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let (algorithm, hex) = text.split_once(':')?;
        Self::from_hex(algorithm, hex).filter(|_| !hex.contains(|c: char| c.is_ascii_uppercase()))
    }

    /// Of what a hasher of SHA-256 has taken.
    pub(crate) fn of_sha256(hasher: sha2::Sha256) -> Self {
        Self { algorithm: Algorithm::Sha256, bytes: hasher.finalize().to_vec() }
    }

    /// The hash function.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// In base64, as S3 has checksums.
    pub fn base64(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(&self.bytes)
    }

    /// Lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        encode_hex(&self.bytes)
    }

    /// The same digest being computed.
    pub fn hasher(&self) -> Hasher {
        Hasher::new(self.algorithm)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex())
    }
}

/// Computes a digest piece by piece.
pub enum Hasher {
    /// See [`Algorithm::Sha1`].
    Sha1(Box<sha1::Sha1>),
    /// See [`Algorithm::Sha256`].
    Sha256(Box<sha2::Sha256>),
    /// See [`Algorithm::Sha384`].
    Sha384(Box<sha2::Sha384>),
    /// See [`Algorithm::Sha512`].
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// Starts.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Box::default()),
            Algorithm::Sha256 => Self::Sha256(Box::default()),
            Algorithm::Sha384 => Self::Sha384(Box::default()),
            Algorithm::Sha512 => Self::Sha512(Box::default()),
        }
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(h) => h.update(bytes),
            Self::Sha256(h) => h.update(bytes),
            Self::Sha384(h) => h.update(bytes),
            Self::Sha512(h) => h.update(bytes),
        }
    }

    /// The digest of all bytes taken.
    pub fn finish(self) -> Digest {
        let (algorithm, bytes) = match self {
            Self::Sha1(h) => (Algorithm::Sha1, h.finalize().to_vec()),
            Self::Sha256(h) => (Algorithm::Sha256, h.finalize().to_vec()),
            Self::Sha384(h) => (Algorithm::Sha384, h.finalize().to_vec()),
            Self::Sha512(h) => (Algorithm::Sha512, h.finalize().to_vec()),
        };
        Digest { algorithm, bytes }
    }
}

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

/// Lower-case hexadecimal digits of some bytes.
pub fn encode_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        for nibble in [b >> 4, b & 15] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        out
    })
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_in_both_notations() {
        let empty = sha256(b"");
        assert_eq!(empty.hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(Digest::from_hex("sha256", &empty.hex()), Some(empty.clone()));
        assert_eq!(
            Digest::from_sri("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk= sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=?x"),
            Some(empty)
        );
        for bad in ["sha256-abcd", "md5-1B2M2Y8AsgTpgAmY7PhCfg==", "", "sha512"] {
            assert_eq!(Digest::from_sri(bad), None, "{bad}");
        }
        assert_eq!(Digest::from_hex("sha256", "abc"), None);
        assert_eq!(Digest::parse(&sha256(b"").to_string()), Some(sha256(b"")));
        assert_eq!(Digest::parse(&sha256(b"").to_string().to_uppercase()), None);
    }
}
