//! Names of images: `[host[:port]/]repository[:tag][@sha256:…]`, read as Docker reads them.
//!
//! Source: `reference` of the distribution project for the grammar and for Docker Hub's defaults.

use std::fmt;

use super::host::{HUB, Host};
use crate::error::{Error, Result};
use crate::store::Digest;

/// Longest repository name. Source: the OCI distribution specification, "Pulling manifests".
const NAME_LENGTH: usize = 255;
/// Longest tag. Source: the same.
const TAG_LENGTH: usize = 128;

/// A repository in a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// The registry.
    pub host: Host,
    /// Its name there, such as `library/python`.
    pub name: String,
}

/// An image in a repository: by tag, by digest, or by both, of which the digest counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where it is.
    pub repository: Repository,
    /// Its tag, when it is written.
    pub tag: Option<String>,
    /// Its digest, when it is written.
    pub digest: Option<Digest>,
}

impl Repository {
    /// A repository by host and name.
    ///
    /// # Errors
    /// When one of them cannot be one.
    pub fn new(host: Host, name: &str) -> Result<Self> {
        check_name(name)?;
        Ok(Self { host, name: name.to_owned() })
    }

    /// A repository as people write it, without tag and digest.
    ///
    /// # Errors
    /// When it is none, or there is more.
    pub fn parse(text: &str) -> Result<Self> {
        let reference = Reference::parse(text)?;
        if reference.tag.is_some() || reference.digest.is_some() {
            return Err(Error::config(format!("`{text}` names an image, and a repository is wanted"))
                .hint("leave out what follows the repository's name"));
        }
        Ok(reference.repository)
    }

    /// The address of something below it, such as `blobs/sha256:…`.
    pub(super) fn url(&self, below: &str) -> String {
        format!("{}/v2/{}/{below}", self.host.origin(), self.name)
    }

    /// The image in it with this digest.
    pub fn at(&self, digest: &Digest) -> Reference {
        Reference { repository: self.clone(), tag: None, digest: Some(digest.clone()) }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}

/// Whether the first part of a name is a host, as Docker decides it: else the name is one of the Hub's, or, where a
/// repository of ECR may stand, one of ECR's.
pub fn names_host(text: &str) -> bool {
    text.split_once('/').is_some_and(|(first, _)| {
        first.contains(['.', ':', '[']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
    })
}

/// Whether a repository may have this name.
pub(super) fn check_name(name: &str) -> Result<()> {
    let bad = |why: &str| Err(Error::config(format!("`{name}` is no name of a repository: {why}")));
    if name.len() > NAME_LENGTH {
        return bad(&format!("it has more than {NAME_LENGTH} characters"));
    }
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_part = |part: &str| {
        // Words, with one `.`, one or two `_`, or any number of `-` between two of them.
        let words: Vec<&str> = part.split(['.', '_', '-']).collect();
        let (first, last) = (words.first().copied().unwrap_or_default(), words.last().copied().unwrap_or_default());
        is_word(first)
            && is_word(last)
            && words.iter().all(|word| word.is_empty() || is_word(word))
            && separators(part).all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
    };
    if name.split('/').all(is_part) {
        return Ok(());
    }
    bad("it has lower-case letters and digits, with `.`, `_`, `-` or `/` between them")
}

/// Runs of `.`, `_` and `-` in a part of a name.
fn separators(part: &str) -> impl Iterator<Item = &str> {
    part.split(|c: char| !".-_".contains(c)).filter(|run| !run.is_empty())
}

/// Whether this may be a tag.
pub fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=TAG_LENGTH).contains(&text.len())
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

/// Digits of the digest in a tag that nobody has named: enough to tell the images of a function apart.
const DIGITS: usize = 12;
/// Names are cut to leave room for the rest of a tag.
const PART: usize = 100;

/// A name as it may stand in a tag: of a function in a nested stack, with `-` for `/`.
pub fn tag_part(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '-' }).take(PART).collect();
    plain.trim_matches('-').to_owned()
}

/// The tag of an image when nobody names one: it changes with the image, so that it may be one that cannot be changed.
pub fn tag_of(name: &str, digest: &Digest) -> String {
    let (part, digits) = (tag_part(name), digest.hex());
    let digits = digits.get(..DIGITS).unwrap_or(&digits);
    if part.is_empty() { digits.to_owned() } else { format!("{part}-{digits}") }
}

impl Reference {
    /// An image as people write it. Without a host it is one of Docker Hub's.
    ///
    /// # Errors
    /// When it is none; the error says which part.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: String| Error::config(format!("`{text}` names no image: {why}"));
        if text.contains("://") {
            return Err(bad("it begins with a scheme".to_owned()).hint("write `host/repository:tag`"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let parsed = digest.split_once(':').and_then(|(algorithm, hex)| {
                    let is_lower = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                    // Source: "Registered algorithms" of the OCI image specification.
                    let is_known = matches!(algorithm, "sha256" | "sha512") && is_lower;
                    is_known.then(|| Digest::from_hex(algorithm, hex)).flatten()
                });
                (rest, Some(parsed.ok_or_else(|| bad("what follows `@` is no `sha256:` and 64 digits".to_owned()))?))
            }
            None => (text, None),
        };
        // A colon before the last slash belongs to a port.
        let at = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[at..].split_once(':') {
            Some((name, tag)) => (&rest[..at + name.len()], Some(tag)),
            None => (rest, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(bad(format!("`{tag}` is no tag: at most {TAG_LENGTH} letters, digits, `_`, `.` and `-`")));
        }
        let repository = Self::repository(name).map_err(|e| bad(e.message().to_owned()))?;
        Ok(Self { repository, tag: tag.map(str::to_owned), digest })
    }

    fn repository(name: &str) -> Result<Repository> {
        match name.split_once('/').filter(|_| names_host(name)) {
            Some((host, name)) => {
                let host = Host::parse(host)?;
                let is_hub = matches!(host.as_str(), HUB | "index.docker.io");
                if is_hub && !name.contains('/') {
                    return Repository::new(host, &format!("library/{name}"));
                }
                Repository::new(host, name)
            }
            None if name.contains('/') => Repository::new(Host(HUB.to_owned()), name),
            None => {
                check_name(name)?;
                Repository::new(Host(HUB.to_owned()), &format!("library/{name}"))
            }
        }
    }

    /// The digest, else the tag, else `latest`: what its manifest is asked for by.
    pub(super) fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (text, host, name, selector) in [
            ("python", "docker.io", "library/python", "latest"),
            ("python:3.13", "docker.io", "library/python", "3.13"),
            ("docker.io/python", "docker.io", "library/python", "latest"),
            ("a/b:c", "docker.io", "a/b", "c"),
            ("localhost/x", "localhost", "x", "latest"),
            ("localhost:5000/x:1", "localhost:5000", "x", "1"),
            ("[::1]:5000/x/y", "[::1]:5000", "x/y", "latest"),
            ("GHCR.io/a/b__c/d--e.f:V_1.0-x", "ghcr.io", "a/b__c/d--e.f", "V_1.0-x"),
            ("public.ecr.aws/lambda/python:3.13", "public.ecr.aws", "lambda/python", "3.13"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(
                (reference.repository.host.as_str(), reference.repository.name.as_str(), reference.selector().as_str()),
                (host, name, selector),
                "{text}"
            );
        }
        let both = Reference::parse(&format!("r.io/a:1@sha256:{HEX}")).unwrap();
        assert_eq!((both.selector(), both.to_string()), (format!("sha256:{HEX}"), format!("r.io/a:1@sha256:{HEX}")));
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_part_that_is_not() {
        let upper = format!("a@sha256:{}", HEX.to_uppercase());
        for (text, part) in [
            ("", "no name of a repository"),
            ("https://r.io/a", "begins with a scheme"),
            ("r.io/A", "no name of a repository"),
            ("r.io/a//b", "no name of a repository"),
            ("r.io/a/../b", "no name of a repository"),
            ("r.io/a___b", "no name of a repository"),
            ("r.io/a._b", "no name of a repository"),
            ("r.io/a_", "no name of a repository"),
            ("r.io/a?x=1", "no name of a repository"),
            ("r.io/a:-1", "`-1` is no tag"),
            ("r.io/a:", "`` is no tag"),
            ("r.io:99999/a", "its port is no number"),
            ("r.io:+80/a", "its port is no number"),
            ("-r.io/a", "no host of a registry"),
            ("r.io@evil/a", "what follows `@`"),
            ("[::1/a", "in brackets"),
            ("[::1]x.io/a", "after `:`"),
            ("a@sha256:00", "what follows `@`"),
            (&upper, "what follows `@`"),
            ("a@md5:d41d8cd98f00b204e9800998ecf8427e", "what follows `@`"),
        ] {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Repository::parse("r.io/a:1").unwrap_err().to_string().contains("a repository is wanted"));
    }

    #[test]
    fn names_become_parts_of_tags() {
        for (name, part) in [("api", "api"), ("Outer/Api", "Outer-Api"), ("-x-", "x"), ("my_fn.1", "my_fn-1")] {
            assert_eq!(tag_part(name), part);
        }
        let digest = Digest::parse(&format!("sha256:{HEX}")).unwrap();
        assert_eq!(tag_of("Outer/Api", &digest), "Outer-Api-e3b0c44298fc");
        assert!(is_tag(&tag_of(&"x".repeat(300), &digest)) && is_tag(&tag_of("ü", &digest)));
    }

    proptest! {
        #[test]
        fn what_was_read_reads_the_same_again(text in "[a-z0-9.:/@_\\[\\]A-F-]{0,80}|[a-z0-9.]{1,9}(:[0-9]{1,5})?/[a-z0-9._/-]{1,30}(:[A-Za-z0-9._-]{1,9})?(@sha256:[0-9a-f]{64})?") {
            if let Ok(reference) = Reference::parse(&text) {
                let shown = reference.to_string();
                prop_assert_eq!(Reference::parse(&shown).unwrap(), reference.clone());
                // Nothing in it ends the path or the host of an address.
                let url = reference.repository.url("manifests/x");
                let bad = |c: char| c.is_whitespace() || "?#@\\%".contains(c);
                prop_assert!(!url.contains(bad), "{}", url);
                prop_assert!(!url.contains("/../") && !url.contains("/./"), "{}", url);
            }
        }
    }
}
