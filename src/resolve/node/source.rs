//! Where the files of a locked package are: in an archive of its own, in its parent's, or in a folder of the project.

use std::path::{Path, PathBuf};

use super::lock::{Entry, Lock, is_package_name, slot_owner};
use super::managers::Manager;
use super::npmrc::{self, Config};
use crate::error::{Error, Result};
use crate::fsio;
use crate::store::{Digest, Form, Remote, file_url, percent_decode};

/// Where the files of a package are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// In an archive.
    Archive(Digest),
    /// In the archive of the package at another location, below a folder.
    Bundled {
        /// The location of the package that brings it.
        owner: String,
        /// The folder in the owner's archive.
        folder: String,
    },
    /// In a folder of the project.
    Folder(PathBuf),
    /// Somewhere that no digest of the lock proves.
    Unlisted(Unlisted),
}

/// Where a package without a digest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unlisted {
    /// An archive of the project.
    File(PathBuf),
    /// A commit, as npm writes it: `git+ssh://git@host/x.git#<commit>`.
    Git(String),
    /// A URL, or `name@version` in a registry.
    Address(String),
}

/// Finds where the files of the package at `location` are. Nothing from outside `project_root` is taken.
pub(super) fn find(lock: &Lock, location: &str, project_root: &Path) -> Result<Source> {
    let Some(entry) = lock.get(location) else {
        return Err(refused(lock, location, "is not in the lock", &relock(lock)));
    };
    if let Some(why) = &entry.refused {
        let (why, hint) = why.split_once("; ").unwrap_or((why, ""));
        return Err(refused(lock, location, why, hint));
    }
    if slot_owner(location).is_none() {
        return folder(lock, location, Path::new(location), project_root);
    }
    if let Some(owner) = bundling(lock, location) {
        let folder = location[owner.len() + 1..].to_owned();
        return Ok(Source::Bundled { owner: owner.to_owned(), folder });
    }
    let file = match local(entry) {
        Some(path) if path.is_dir_in(lock) => return folder(lock, location, Path::new(path.0), project_root),
        Some(path) => Some(inside(lock, location, Path::new(path.0), project_root)?),
        None => None,
    };
    if let Some(resolved) = entry.resolved.as_deref().filter(|r| is_git(r)) {
        return commit(lock, location, resolved, project_root);
    }
    match entry.integrity.as_deref().map(Digest::from_sri) {
        Some(Some(digest)) => Ok(Source::Archive(digest)),
        Some(None) => Err(refused(lock, location, "has an integrity that cannot be read", &anew(lock))),
        None => match file {
            Some(file) => Ok(Source::Unlisted(Unlisted::File(file))),
            None => address(lock, location, entry),
        },
    }
}

/// A package from Git. Only a full id proves which commit it is.
fn commit(lock: &Lock, location: &str, resolved: &str, project_root: &Path) -> Result<Source> {
    let (url, id) = resolved.split_once('#').unwrap_or((resolved, ""));
    // Behind it, npm may name a folder of the repository: `#<commit>::path:folder`.
    let (id, within) = id.split_once("::").unwrap_or((id, ""));
    if !GIT.iter().any(|start| url.starts_with(start)) || within.split(['/', ':']).any(|part| part == "..") {
        let what = format!("comes from `{}`, which is no address in Git", crate::process::redact(resolved));
        return Err(refused(lock, location, &what, &anew(lock)));
    }
    if !matches!(id.len(), 40 | 64) || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        let what = format!("comes from `{}`, which names no full id of a commit", crate::process::redact(resolved));
        return Err(refused(lock, location, &what, &anew(lock)));
    }
    if let Some(path) = url.strip_prefix("git+file://") {
        inside(lock, location, Path::new(&percent_decode(path)), project_root)?;
    }
    Ok(Source::Unlisted(Unlisted::Git(resolved.to_owned())))
}

/// A package without an integrity: from its registry when it is of one, which knows the digest, else from its URL.
fn address(lock: &Lock, location: &str, entry: &Entry) -> Result<Source> {
    let name = lock.name(location);
    let version = entry.version.as_deref().filter(|version| is_version(version));
    let of_registry = |url: &str| url.contains(&format!("/{name}/-/"));
    let spec = match (entry.resolved.as_deref().filter(|url| !of_registry(url)), version) {
        (Some(url), _) if is_web(url) => url.to_owned(),
        (None, Some(version)) if is_package_name(&name) => format!("{name}@{version}"),
        (Some(other), _) => {
            let what = format!("is at `{}`, which is no address that can be fetched", crate::process::redact(other));
            return Err(refused(lock, location, &what, &anew(lock)));
        }
        (None, _) => return Err(refused(lock, location, "has no integrity in the lock, and no version", &anew(lock))),
    };
    Ok(Source::Unlisted(Unlisted::Address(spec)))
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))
}

/// How to write a lock so that it says all again.
fn anew(lock: &Lock) -> String {
    let file = lock.path.file_name().unwrap_or_default().to_string_lossy();
    let (file, relock) =
        (if lock.manager == Manager::Npm { "package-lock.json" } else { &file }, lock.manager.relock());
    format!("add it with `rm -rf node_modules {file} && {relock}`; versions may move within their ranges")
}

fn relock(lock: &Lock) -> String {
    format!("run `{}`", lock.manager.relock())
}

fn refused(lock: &Lock, location: &str, what: &str, hint: &str) -> Error {
    Error::config(format!("{} (`{location}`) {what}", lock.label(location))).at(&lock.path, None).hint(hint)
}

/// The package in whose archive a package came. What the project itself bundles is fetched like all else.
fn bundling<'a>(lock: &Lock, location: &'a str) -> Option<&'a str> {
    let mut at = location;
    while lock.get(at).is_some_and(|entry| entry.in_bundle) {
        at = slot_owner(at)?;
    }
    let packaged = at != location && slot_owner(at).is_some();
    packaged.then_some(at)
}

/// A path that `resolved` names with `file:`.
struct Local<'a>(&'a str);

impl Local<'_> {
    fn is_dir_in(&self, lock: &Lock) -> bool {
        lock.folder.join(self.0).is_dir()
    }
}

fn local(entry: &Entry) -> Option<Local<'_>> {
    entry.resolved.as_deref().and_then(|resolved| resolved.strip_prefix("file:")).map(Local)
}

fn is_git(resolved: &str) -> bool {
    resolved.starts_with("git+") || GIT.iter().any(|start| resolved.starts_with(start))
}

/// How addresses in Git begin, as npm writes and reads them. Git itself knows more, of which some run commands.
const GIT: &[&str] = &[
    "git+ssh://",
    "git+https://",
    "git+http://",
    "git+file://",
    "git://",
    "git@",
    "github:",
    "gitlab:",
    "bitbucket:",
    "gist:",
];

fn folder(lock: &Lock, location: &str, relative: &Path, project_root: &Path) -> Result<Source> {
    inside(lock, location, relative, project_root).map(Source::Folder)
}

/// A path of the lock as a path on disk, if it stays in the project, links followed.
fn inside(lock: &Lock, location: &str, relative: &Path, project_root: &Path) -> Result<PathBuf> {
    let path = fsio::normalize(&lock.folder, relative);
    let outside = || {
        let what = format!("lies in `{}`, outside the project `{}`", path.display(), project_root.display());
        let hint = "copy it into the project, or move `lambda-pack.toml` up to a folder that holds both";
        refused(lock, location, &what, hint)
    };
    if !path.starts_with(project_root) {
        return Err(outside());
    }
    let real = std::fs::canonicalize(&path).map_err(|e| {
        let hint = format!("restore it, or run `{}` if it is gone for good", lock.manager.relock());
        refused(lock, location, &format!("cannot be read at `{}`", path.display()), &hint).because(e)
    })?;
    let real_root = std::fs::canonicalize(project_root).map_err(|e| Error::io("read", project_root, &e))?;
    if real.starts_with(real_root) { Ok(path) } else { Err(outside()) }
}

/// What to fetch for a package, and whether its URL is only a guess by convention.
pub(super) fn remote(lock: &Lock, location: &str, digest: Digest, config: &Config) -> Result<(Remote, bool)> {
    let entry = lock.get(location);
    let resolved = entry.and_then(|entry| entry.resolved.as_deref());
    let (url, guessed) = match resolved {
        Some(resolved) if resolved.starts_with("file:") => {
            (file_url(&fsio::normalize(&lock.folder, Path::new(&resolved[5..]))), false)
        }
        Some(resolved) if is_web(resolved) => (config.replaced(&lock.name(location), resolved), false),
        Some(other) => {
            let what = format!("is at `{}`, which is no address that can be fetched", crate::process::redact(other));
            return Err(refused(lock, location, &what, &anew(lock)));
        }
        None => {
            let name = lock.name(location);
            let Some(version) = entry.and_then(|entry| entry.version.as_deref()) else {
                return Err(refused(lock, location, "has neither an address nor a version in the lock", &anew(lock)));
            };
            (npmrc::tarball_url(&config.registry(&name)?, &name, version), true)
        }
    };
    let authorization = config.authorization(&url);
    let label = lock.label(location);
    Ok((Remote { label, url, digest, form: Form::Tarball, size: None, authorization }, guessed))
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// Where the registry's own description says the archive of a version is.
pub(super) fn described_url(document: &[u8], version: &str) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(document).ok()?;
    document
        .get("versions")?
        .get(version)?
        .pointer("/dist/tarball")?
        .as_str()
        .filter(|url| is_web(url))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEGRITY: &str = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    fn source(packages: serde_json::Value, location: &str, root: &Path) -> Result<Source> {
        let text = serde_json::json!({"lockfileVersion": 3, "packages": packages}).to_string();
        let lock = Lock::parse(&text, &root.join("package-lock.json"), root).unwrap();
        find(&lock, location, root)
    }

    #[test]
    fn each_kind_of_entry_has_its_source() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("libs/shared")).unwrap();
        std::fs::File::create(root.join("own.tgz")).unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let packages = serde_json::json!({
            "": {}, "libs/shared": {}, "../out": {}, "gone": {},
            "node_modules/a": {"integrity": INTEGRITY},
            "node_modules/a/node_modules/b": {"inBundle": true},
            "node_modules/a/node_modules/b/node_modules/@s/c": {"inBundle": true},
            "node_modules/own": {"inBundle": true, "integrity": INTEGRITY},
            "node_modules/packed": {"resolved": "file:libs/shared"},
            "node_modules/far": {"resolved": "file:../far.tgz", "integrity": INTEGRITY},
            "node_modules/git": {"resolved": "git+ssh://git@h/x.git#main"}, "node_modules/none": {"version": "latest"},
            "node_modules/repo": {"resolved": format!("git+file://{}/../repo#{commit}", root.display())},
            "node_modules/odd": {"resolved": "ftp://h/x.tgz"},
            "node_modules/run": {"resolved": format!("git+ext::sh -c x#{commit}")},
            "node_modules/up": {"resolved": format!("git+ssh://git@h/x.git#{commit}::path:/a/../../b")},
            "node_modules/ssh": {"resolved": format!("git+ssh://git@h/x.git#{commit}"), "integrity": INTEGRITY},
            "node_modules/web": {"resolved": "https://h/x.tgz", "version": "1.0.0"},
            "node_modules/old": {"resolved": "https://h/old/-/old-1.0.0.tgz", "version": "1.0.0"},
            "node_modules/bare": {"version": "1.0.0-rc.1"},
            "node_modules/tar": {"resolved": "file:own.tgz"},
        });
        let of = |location: &str| source(packages.clone(), location, root);
        let bundled = |folder: &str| Source::Bundled { owner: "node_modules/a".into(), folder: folder.into() };
        assert!(matches!(of("node_modules/a").unwrap(), Source::Archive(_)));
        assert_eq!(of("node_modules/a/node_modules/b").unwrap(), bundled("node_modules/b"));
        assert_eq!(
            of("node_modules/a/node_modules/b/node_modules/@s/c").unwrap(),
            bundled("node_modules/b/node_modules/@s/c")
        );
        assert!(matches!(of("node_modules/own").unwrap(), Source::Archive(_)));
        assert_eq!(of("libs/shared").unwrap(), Source::Folder(root.join("libs/shared")));
        assert_eq!(of("node_modules/packed").unwrap(), Source::Folder(root.join("libs/shared")));
        for (location, unlisted) in [
            ("node_modules/ssh", Unlisted::Git(format!("git+ssh://git@h/x.git#{commit}"))),
            ("node_modules/web", Unlisted::Address("https://h/x.tgz".into())),
            ("node_modules/old", Unlisted::Address("old@1.0.0".into())),
            ("node_modules/bare", Unlisted::Address("bare@1.0.0-rc.1".into())),
            ("node_modules/tar", Unlisted::File(root.join("own.tgz"))),
        ] {
            assert_eq!(of(location).unwrap(), Source::Unlisted(unlisted), "{location}");
        }
        for (location, why) in [
            ("../out", "outside the project"),
            ("gone", "cannot be read"),
            ("node_modules/far", "outside the project"),
            ("node_modules/git", "no full id of a commit"),
            ("node_modules/repo", "outside the project"),
            ("node_modules/none", "no integrity"),
            ("node_modules/odd", "no address"),
            ("node_modules/run", "no address in Git"),
            ("node_modules/up", "no address in Git"),
        ] {
            let error = of(location).unwrap_err();
            assert!(error.to_string().contains(why) && !error.hints().is_empty(), "{location}: {error}");
        }
    }

    #[test]
    fn a_link_out_of_the_project_is_refused() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        #[cfg(unix)]
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("lib")).unwrap();
        let error = source(serde_json::json!({"lib": {}}), "lib", dir.path()).unwrap_err();
        assert!(error.to_string().contains("outside the project") || cfg!(windows), "{error} {elsewhere:?}");
    }

    #[test]
    fn a_registry_describes_its_archives() {
        let document = br#"{"versions": {"1.0.0": {"dist": {"tarball": "https://r.test/x.tgz"}}}}"#;
        assert_eq!(described_url(document, "1.0.0").as_deref(), Some("https://r.test/x.tgz"));
        assert_eq!(described_url(document, "2.0.0"), None);
        assert_eq!(described_url(b"<html>", "1.0.0"), None);
    }
}
