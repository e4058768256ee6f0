//! What publishing is asked for, and the keys that objects get.

use std::time::Duration;

use crate::aws;
use crate::error::{Error, Result};
use crate::lambda::ZIP_DIRECT_LIMIT;

/// Which zips go through S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum S3Mode {
    /// Those that are too large for a request to Lambda.
    #[default]
    Auto,
    /// All.
    Always,
    /// None: one that is too large is refused.
    Never,
}

/// How objects are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyStyle {
    /// `[prefix/]NAME/SHA256.zip`: another key for other bytes.
    #[default]
    Content,
    /// `[prefix/]NAME.zip`: only the version tells two uploads apart.
    Name,
}

/// What Lambda does with an object (`S3ObjectStorageMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StorageMode {
    /// Keeps a copy.
    #[default]
    Copy,
    /// Reads the object itself, which has to stay.
    Reference,
}

/// What publishing is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The bucket.
    pub bucket: Option<String>,
    /// What every key begins with, without slashes at its ends.
    pub prefix: String,
    /// How objects are named.
    pub key: KeyStyle,
    /// Which zips go through S3.
    pub s3: S3Mode,
    /// What Lambda does with objects.
    pub storage: StorageMode,
    /// The key that S3 encrypts with, instead of the bucket's default.
    pub kms_key: Option<String>,
    /// The account that the bucket must belong to.
    pub expected_owner: Option<String>,
    /// Tags of new objects.
    pub tags: Vec<(String, String)>,
    /// Whether layers become layer versions.
    pub publish_layers: bool,
    /// Where images are pushed to, as it is written: `{function}` stands for a function's name.
    pub repository: Option<String>,
    /// Tag of images, in the same way; one made of name and digest when nothing is said.
    pub tag: Option<String>,
    /// Whether to create repositories that are missing, and to let Lambda take images from them.
    pub create_repository: bool,
    /// Region and profile.
    pub aws: aws::Settings,
    /// How long nothing may move before an upload is begun anew.
    pub silence: Duration,
}

/// Longest key, in bytes. Source: "Naming Amazon S3 objects" in the Amazon S3 User Guide.
const KEY_LENGTH: usize = 1_024;
/// Room for `/NAME/SHA256.zip`.
const KEY_TAIL: usize = 1 + crate::lambda::LAYER_NAME_LENGTH + 1 + 64 + 4;
/// Most tags of an object. Source: "Categorizing your objects using tags" in the Amazon S3 User Guide.
const MOST_TAGS: usize = 10;

impl Options {
    /// Whether a zip of this length goes through S3.
    pub fn through_s3(&self, bytes: u64) -> bool {
        match self.s3 {
            S3Mode::Always => true,
            S3Mode::Auto => bytes >= ZIP_DIRECT_LIMIT,
            S3Mode::Never => false,
        }
    }

    /// The key of the zip of a function or layer, or of another file with its ending.
    pub fn key(&self, name: &str, sha256: &str, ending: &str) -> String {
        let name = match self.key {
            KeyStyle::Content => format!("{name}/{sha256}{ending}"),
            KeyStyle::Name => format!("{name}{ending}"),
        };
        if self.prefix.is_empty() { name } else { format!("{}/{name}", self.prefix) }
    }

    /// The prefix as it is written, without slashes at its ends.
    ///
    /// # Errors
    /// When keys with it would be too long, or hold what outputs cannot.
    pub fn clean_prefix(text: &str) -> Result<String> {
        let prefix = text.trim_matches('/');
        if let Some(bad) = prefix.chars().find(|c| c.is_control()) {
            return Err(Error::config(format!("`--prefix` holds a control character ({bad:?})")));
        }
        if prefix.len() + KEY_TAIL > KEY_LENGTH {
            return Err(Error::config(format!(
                "`--prefix` has {} bytes; with {KEY_TAIL} for the name, a key of S3 may have {KEY_LENGTH}",
                prefix.len()
            )));
        }
        Ok(prefix.to_owned())
    }

    /// Refuses what cannot be meant, before anything is built. `has_zips` says whether anything becomes a zip.
    ///
    /// # Errors
    /// Each says which option.
    pub fn check(&self, has_zips: bool) -> Result<()> {
        if self.bucket.is_none() && self.s3 == S3Mode::Always && has_zips {
            return Err(Error::config("everything is to go through S3, and no bucket is named")
                .hint("name one in the functions' region with `--bucket`"));
        }
        self.check_names()
    }

    /// Refuses names that cannot be meant.
    ///
    /// # Errors
    /// Each says which option.
    pub fn check_names(&self) -> Result<()> {
        if let Some(bucket) = &self.bucket {
            check_bucket_name(bucket)?;
        }
        if let Some(owner) =
            self.expected_owner.as_ref().filter(|o| o.len() != 12 || !o.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(Error::config(format!(
                "`--expected-bucket-owner {owner}` is not an account id: it has 12 digits"
            )));
        }
        if self.tags.len() > MOST_TAGS {
            return Err(Error::config(format!("{} tags; an object of S3 has at most {MOST_TAGS}", self.tags.len())));
        }
        Ok(())
    }
}

/// Whether Lambda takes this for a bucket. Source: `S3Bucket` in the Lambda API model.
fn check_bucket_name(bucket: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    if (3..=63).contains(&bucket.len()) && bucket.bytes().all(plain) && !bucket.ends_with('.') {
        return Ok(());
    }
    let error = Error::config(format!("`--bucket {bucket}` is not a bucket's name"));
    Err(if let Some(rest) = bucket.strip_prefix("s3://") {
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        error.hint(match prefix.trim_matches('/') {
            "" => format!("write `--bucket {name}`"),
            prefix => format!("write `--bucket {name} --prefix {prefix}`"),
        })
    } else {
        error.hint("Lambda takes 3 to 63 letters, digits, `.`, `-` and `_`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { bucket: Some("my-bucket".into()), ..Options::default() }
    }

    #[test]
    fn the_size_decides_at_the_byte() {
        let mut options = options();
        assert!(!options.through_s3(52_428_799));
        assert!(options.through_s3(52_428_800));
        options.s3 = S3Mode::Always;
        assert!(options.through_s3(1));
        options.s3 = S3Mode::Never;
        assert!(!options.through_s3(200_000_000));
    }

    #[test]
    fn keys() {
        let mut options = options();
        assert_eq!(options.key("api", "ab12", ".zip"), "api/ab12.zip");
        options.prefix = Options::clean_prefix("/team a/x/").unwrap();
        assert_eq!(options.key("api", "ab12", ".zip"), "team a/x/api/ab12.zip");
        options.key = KeyStyle::Name;
        assert_eq!(options.key("api", "ab12", ".zip"), "team a/x/api.zip");
        assert!(Options::clean_prefix("a\nb").is_err());
        assert!(Options::clean_prefix(&"x".repeat(1_000)).is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let hint = |bucket: &str| {
            let error = Options { bucket: Some(bucket.into()), ..Options::default() }.check(true).unwrap_err();
            error.hints().join(" ")
        };
        assert_eq!(hint("s3://b-1/x/y"), "write `--bucket b-1 --prefix x/y`");
        assert!(hint("ab").contains("3 to 63"));
        assert!(Options { s3: S3Mode::Always, ..Options::default() }.check(true).is_err());
        assert!(Options { s3: S3Mode::Always, ..Options::default() }.check(false).is_ok());
        assert!(Options { expected_owner: Some("12".into()), ..options() }.check(true).is_err());
        assert!(options().check(true).is_ok());
    }
}
