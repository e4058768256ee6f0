//! What proves the bytes of a package in a lock of Yarn 2 or newer. Its `checksum` is of the zip that Yarn makes of the
//! archive, not of the archive itself. So:
//!
//! 1. a zip in Yarn's cache (`.yarn/cache` of the project, else the user's) that has this checksum is the package, patched
//!    where Yarn has patched it;
//! 2. else the archive comes from the registry, with the digest that the registry says it has (`dist.integrity`), as Yarn
//!    fetches it for the first time. A note says how many came so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Manager;
use crate::error::{Error, Result};
use crate::fresh::Key;
use crate::resolve::Context;
use crate::resolve::node::lock::{Entry, Lock};
use crate::resolve::node::npmrc::{Config, Environment, document_url};
use crate::store::{Digest, Form};

/// The key of Yarn's `cacheFolder` among a lock's settings.
pub(super) const CACHE: &str = "yarn:cacheFolder";

/// Digests by location, and how many of them only the registry says.
#[derive(Default)]
pub(in crate::resolve::node) struct Proven {
    pub(in crate::resolve::node) digests: BTreeMap<String, Digest>,
    pub(in crate::resolve::node) of_registry: usize,
}

impl Proven {
    /// What a person is told of packages that the lock does not prove.
    pub(in crate::resolve::node) fn note(&self) -> Option<String> {
        (self.of_registry > 0).then(|| {
            let count = crate::report::count(self.of_registry, "package");
            format!("`yarn.lock` has digests of Yarn's own zips, which are not in its cache here: {count} taken with the digest that the registry says now.")
        })
    }
}

/// A digest, and whether the lock proves it.
type One = (Digest, bool);

/// Finds the digests of packages in a lock of Yarn 2 or newer; nothing for those of others.
pub(in crate::resolve::node) fn prove(lock: &Lock, locations: &[&str], context: &Context<'_>) -> Result<Proven> {
    if lock.manager != Manager::Berry {
        return Ok(Proven::default());
    }
    let zips = Zips::of(lock);
    let config = Config::read(&lock.folder, &Environment::of_process())?.with(&lock.settings);
    let found: Vec<(&str, Result<Option<One>>)> = locations
        .par_iter()
        .filter_map(|location| Some((*location, lock.get(location)?)))
        .map(|(location, entry)| (location, one(lock, location, entry, &zips, &config, context)))
        .collect();
    let mut proven = Proven::default();
    for (location, found) in found {
        if let Some((digest, is_cached)) = found? {
            proven.of_registry += usize::from(!is_cached);
            proven.digests.insert(location.to_owned(), digest);
        }
    }
    Ok(proven)
}

fn one(
    lock: &Lock,
    location: &str,
    entry: &Entry,
    zips: &Zips,
    config: &Config,
    context: &Context<'_>,
) -> Result<Option<One>> {
    let (name, label) = (lock.name(location), lock.label(location));
    // `10c0/…`: in front is how Yarn has made the zip.
    let checksum = entry.checksum.as_deref().and_then(|text| Digest::from_hex("sha512", text.rsplit('/').next()?));
    if let Some(checksum) = checksum {
        let is_known = context.store.archive(Form::Yarn, &checksum)?.is_some();
        let mut copies = zips.of_package(&name);
        if is_known || copies.any(|zip| context.adopt_copy(Form::Yarn, &checksum, zip, &label).is_some()) {
            return Ok(Some((checksum, true)));
        }
    }
    let is_of_registry = entry.resolved.is_none() && entry.refused.is_none() && location.contains("@npm:");
    let Some(version) = entry.version.as_deref().filter(|_| is_of_registry) else { return Ok(None) };
    said_by_registry(&name, version, &label, config, context).map(|digest| Some((digest, false)))
}

/// The digest that a registry has for a version.
fn said_by_registry(name: &str, version: &str, label: &str, config: &Config, context: &Context<'_>) -> Result<Digest> {
    let registry = config.registry(name)?;
    let mut key = Key::new();
    key.add("dist.integrity").add(&registry).add(name).add(version);
    let key = key.finish();
    let kept = context.store.answer(&key).and_then(|answer| Digest::from_sri(&answer));
    if let Some(digest) = kept {
        return Ok(digest);
    }
    if context.offline {
        return Err(Error::failed(format!(
            "{label} is not in Yarn's cache, and `--offline` forbids asking the registry"
        ))
        .hint("run the same command once without `--offline`, or commit `.yarn/cache` (`enableGlobalCache: false`)"));
    }
    let url = document_url(&registry, name);
    let ask = |url: &str| -> Result<serde_json::Value> {
        let bytes = context.fetcher.document(url, config.authorization(url).as_deref(), "application/json")?;
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    };
    // Of this version alone; not every registry has that.
    let dist = ask(&format!("{url}/{version}")).ok().and_then(|document| document.get("dist").cloned());
    let dist = match dist {
        Some(dist) => dist,
        None => ask(&url)?.pointer(&format!("/versions/{version}/dist")).cloned().unwrap_or_default(),
    };
    let word = |key: &str| dist.get(key).and_then(|word| word.as_str());
    let of_sha1 = || word("shasum").and_then(|hex| Digest::from_hex("sha1", hex));
    let digest = word("integrity").and_then(Digest::from_sri).or_else(of_sha1);
    let Some(digest) = digest else {
        return Err(Error::failed(format!("the registry does not say which digest {label} has"))
            .hint("commit `.yarn/cache` (`enableGlobalCache: false`), whose zips the lock proves"));
    };
    // What cannot be kept is asked for again.
    let _ = context.store.keep_answer(&key, &format!("{}-{}", digest.algorithm().as_str(), digest.base64()));
    Ok(digest)
}

/// Zips in Yarn's caches by what their names begin with.
struct Zips(Vec<(String, PathBuf)>);

impl Zips {
    fn of(lock: &Lock) -> Self {
        let variable =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
        let own = lock.settings.get(CACHE).map_or(".yarn/cache", String::as_str);
        let global = variable("YARN_GLOBAL_FOLDER");
        let global =
            global.or_else(|| Some(etcetera::home_dir().ok()?.join(".yarn/berry"))).map(|folder| folder.join("cache"));
        let folders =
            [variable("YARN_CACHE_FOLDER"), Some(crate::fsio::normalize(&lock.folder, Path::new(own))), global];
        let entries = folders.into_iter().flatten().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
        let mut zips: Vec<(String, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
            .filter(|(name, _)| name.ends_with(".zip"))
            .collect();
        zips.sort();
        Self(zips)
    }

    /// `@scope-name-npm-1.2.3-<hash>-<hash>.zip`: all versions of a package, patched ones too.
    fn of_package(&self, name: &str) -> impl Iterator<Item = &Path> {
        let start = format!("{}-", name.replace('/', "-"));
        let from = self.0.partition_point(|(other, _)| *other < start);
        self.0[from..].iter().take_while(move |(other, _)| other.starts_with(&start)).map(|(_, path)| path.as_path())
    }
}
