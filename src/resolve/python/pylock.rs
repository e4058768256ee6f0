//! Reads `pylock.toml` (PEP 751), written by people's tools or by uv when we ask it to resolve.
//!
//! Such a lock is flat: every package has a marker that says when it is wanted. Default dependency groups are wanted,
//! except one called `dev`; other groups and extras are when the function's settings name them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::manifest::parse_toml;
use super::names::{self, normalize};
use super::pin::{Origin, Pin, RemoteFile, remote_file};
use super::selection::{Kind, Selection};
use super::target::Target;
use crate::error::{Error, Result};
use crate::fsio;
use crate::store::{Digest, file_url};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Lock {
    lock_version: String,
    requires_python: Option<String>,
    #[serde(default)]
    extras: Vec<String>,
    #[serde(default)]
    dependency_groups: Vec<String>,
    #[serde(default)]
    default_groups: Vec<String>,
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: Option<String>,
    #[serde(default)]
    marker: String,
    requires_python: Option<String>,
    #[serde(default)]
    wheels: Vec<File>,
    sdist: Option<File>,
    archive: Option<File>,
    directory: Option<Folder>,
    vcs: Option<Vcs>,
}

#[derive(Debug, Deserialize)]
struct File {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    size: Option<u64>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Folder {
    path: String,
    subdirectory: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Vcs {
    r#type: String,
    url: Option<String>,
    path: Option<String>,
    commit_id: String,
    subdirectory: Option<String>,
}

impl File {
    /// The strongest digest.
    fn digest(&self) -> Option<Digest> {
        let all = self.hashes.iter().filter_map(|(algorithm, hex)| Digest::from_hex(algorithm, hex));
        all.max_by_key(Digest::algorithm)
    }
}

/// The pins of a lock for a target. `path` is where it lies, or would lie: paths in it are relative to that folder.
pub(super) fn pins(text: &str, path: &Path, selection: &Selection, target: &Target) -> Result<Vec<Pin>> {
    let lock: Lock = parse_toml(text, path)?;
    let reader = Reader { path, folder: path.parent().unwrap_or(Path::new(".")).to_owned() };
    if lock.lock_version.split('.').next() != Some("1") {
        return Err(reader.error(format!("a lock of version {}; version 1 is read", lock.lock_version)));
    }
    if let Some(requires) = lock.requires_python.as_deref().filter(|r| !target.admitted_by(r)) {
        return Err(reader
            .error(format!("it is for Python `{requires}`, which leaves out {}", target.runtime.id))
            .hint("choose another runtime, or lock again for this one"));
    }
    selection.check(Kind::Extra, &lock.extras, path)?;
    selection.check(Kind::Group, lock.dependency_groups.iter().chain(&lock.default_groups), path)?;
    let mut wanted = selection.clone();
    wanted.groups.extend(lock.default_groups.iter().map(|group| normalize(group)).filter(|group| group != "dev"));
    let mut pins = Vec::new();
    for package in &lock.packages {
        if reader.wanted(package, &wanted, target)? {
            pins.push(reader.pin(package, target)?);
        }
    }
    pins.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    match pins.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(twice) => Err(reader.error(format!(
            "it names both {} and {} for {}",
            twice[0].label(),
            twice[1].label(),
            target.name()
        ))),
        None => Ok(pins),
    }
}

struct Reader<'a> {
    path: &'a Path,
    folder: PathBuf,
}

impl Reader<'_> {
    fn error(&self, message: String) -> Error {
        Error::config(message).at(self.path, None)
    }

    fn beside(&self, relative: &str) -> PathBuf {
        fsio::normalize(&self.folder, Path::new(relative))
    }

    fn wanted(&self, package: &Package, selection: &Selection, target: &Target) -> Result<bool> {
        let marker = without_sets(&package.marker, selection);
        names::holds(&marker, &target.markers, &[]).map_err(|e| {
            let shown = names::shortened(&package.marker);
            self.error(format!("the marker `{shown}` of `{}` cannot be read", package.name)).because(e)
        })
    }

    fn pin(&self, package: &Package, target: &Target) -> Result<Pin> {
        let name = normalize(&package.name);
        let version = package.version.clone().unwrap_or_default();
        if let Some(requires) = package.requires_python.as_deref().filter(|r| !target.admitted_by(r)) {
            return Err(self
                .error(format!("{name} {version} is for Python `{requires}`, which leaves out {}", target.runtime.id))
                .hint("choose another runtime, or lock again for this one"));
        }
        let origin = self.origin(package, &format!("{name} {version}"))?;
        Ok(Pin { name, version, origin })
    }

    fn origin(&self, package: &Package, label: &str) -> Result<Origin> {
        if let Some(folder) = &package.directory {
            let path = self.beside(&folder.path);
            return Ok(Origin::Folder(match &folder.subdirectory {
                Some(below) => fsio::normalize(&path, Path::new(below)),
                None => path,
            }));
        }
        if let Some(vcs) = &package.vcs {
            return self.vcs(vcs, label);
        }
        if let Some(archive) = &package.archive {
            if let Some(path) = archive.path.as_ref().filter(|path| path.ends_with(".whl")) {
                return Ok(Origin::Wheel(self.beside(path), archive.digest()));
            }
            let file = self.file(archive, label)?;
            return Ok(if file.file.ends_with(".whl") {
                Origin::Files { wheels: vec![file], sdist: None }
            } else {
                Origin::Files { wheels: Vec::new(), sdist: Some(file) }
            });
        }
        Ok(Origin::Files {
            wheels: package.wheels.iter().map(|file| self.file(file, label)).collect::<Result<_>>()?,
            sdist: package.sdist.as_ref().map(|file| self.file(file, label)).transpose()?,
        })
    }

    fn vcs(&self, vcs: &Vcs, label: &str) -> Result<Origin> {
        if vcs.r#type != "git" {
            return Err(self.error(format!("{label} comes from `{}`; of version control only Git is read", vcs.r#type)));
        }
        let url = match (&vcs.url, &vcs.path) {
            (Some(url), _) => url.clone(),
            (None, Some(path)) => self.beside(path).display().to_string(),
            (None, None) => return Err(self.error(format!("the repository of {label} has neither URL nor path"))),
        };
        let subdirectory = vcs.subdirectory.clone().unwrap_or_default();
        Ok(Origin::Git { url, commit: vcs.commit_id.clone(), subdirectory })
    }

    fn file(&self, file: &File, label: &str) -> Result<RemoteFile> {
        let url = match (&file.url, &file.path) {
            (Some(url), _) => url.clone(),
            (None, Some(path)) => file_url(&self.beside(path)),
            (None, None) => return Err(self.error(format!("an archive of {label} has neither URL nor path"))),
        };
        remote_file(label, url, file.name.as_deref(), file.digest(), file.size).map_err(|e| e.at(self.path, None))
    }
}

/// A marker with the memberships that PEP 751 adds (`'web' in extras`, `"dev" in dependency_groups`) replaced by
/// comparisons that are always or never true, which every reader of markers knows.
fn without_sets(marker: &str, selection: &Selection) -> String {
    let mut out = marker.to_owned();
    for (set, wanted) in [("dependency_groups", &selection.groups), ("extras", &selection.extras)] {
        while let Some(at) = find_word(&out, set) {
            let Some((start, value, negated)) = membership(&out[..at]) else { break };
            let member = wanted.contains(&normalize(&value));
            let truth = if member == negated { "os_name != 'posix'" } else { "os_name == 'posix'" };
            out.replace_range(start..at + set.len(), truth);
        }
    }
    out
}

/// Where `word` stands outside quotes.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if text[at..].starts_with(word) => return Some(at),
            None => {}
        }
    }
    None
}

/// The `'value' [not] in` at the end of a text: where it starts, the value, and whether it is negated.
fn membership(text: &str) -> Option<(usize, String, bool)> {
    let rest = text.trim_end().strip_suffix("in")?.trim_end();
    let (rest, negated) = match rest.strip_suffix("not") {
        Some(rest) => (rest.trim_end(), true),
        None => (rest, false),
    };
    let quote = rest.chars().next_back().filter(|c| *c == '\'' || *c == '"')?;
    let body = &rest[..rest.len() - 1];
    let start = body.rfind(quote)?;
    Some((start, body[start + 1..].to_owned(), negated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::{Architecture, find};
    use proptest::prelude::*;

    fn labels(packages: &str, runtime: &str) -> Result<Vec<String>> {
        let target = Target::new(find(runtime).unwrap(), Architecture::Arm64).unwrap();
        let text = format!("lock-version = '1.0'\ncreated-by = 'x'\ndefault-groups = ['default']\n{packages}");
        Ok(pins(&text, Path::new("/p/pylock.toml"), &Selection::default(), &target)?.iter().map(Pin::label).collect())
    }

    #[test]
    fn markers_choose() {
        let packages = r#"
[[packages]]
name = "B"
version = "1"
marker = "python_version < '3.11'"
[[packages]]
name = "b"
version = "2"
marker = "python_version >= '3.11' and ('x' not in extras or \"dev\" in dependency_groups)"
[[packages]]
name = "a"
version = "3"
marker = "'default' in dependency_groups"
[[packages]]
name = "c"
version = "4"
marker = "'dev' in dependency_groups or 'x' in extras"
"#;
        assert_eq!(labels(packages, "python3.13").unwrap(), ["a 3", "b 2"]);
        assert_eq!(labels(packages, "python3.9").unwrap(), ["a 3", "b 1"]);
    }

    #[test]
    fn the_strongest_digest_counts_and_none_is_refused() {
        let one =
            "[[packages]]\nname='a'\nversion='1'\nwheels=[{url='file:///a-1-py3-none-any.whl',hashes={md5='00'}}]\n";
        let error = labels(one, "python3.13").unwrap_err().to_string();
        assert!(error.starts_with("/p/pylock.toml: ") && error.contains("no digest"), "{error}");
        let (weak, strong) = ("a".repeat(64), "b".repeat(128));
        let both = one.replace("md5='00'", &format!("sha256='{weak}',sha512='{strong}'"));
        assert_eq!(labels(&both, "python3.13").unwrap(), ["a 1"]);
    }

    #[test]
    fn what_the_target_cannot_run_is_told() {
        let error =
            labels("[[packages]]\nname='a'\nversion='1'\nrequires-python='>=3.14'\n", "python3.13").unwrap_err();
        assert!(error.to_string().contains("a 1 is for Python `>=3.14`"), "{error}");
    }

    proptest! {
        #[test]
        fn markers_never_panic(text in "[a-z'\" ()é]{0,30}(extras|dependency_groups)?") {
            let _ = without_sets(&text, &Selection::default());
        }

        #[test]
        fn locks_never_panic(text in "(\\[\\[packages\\]\\]|name|version|=|'|\"|\\{|\\}|[a-z1]|\n| ){0,40}") {
            let _ = labels(&text, "python3.13");
        }
    }
}
