//! Brings the archives of all functions into the store, at once. What is there already costs no question to npm or to a
//! registry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::lock::Lock;
use super::managers::Manager;
use super::manifest::Published;
use super::npmrc::{Config, Environment, document_url};
use super::source;
use crate::error::{Error, Kind, Result};
use crate::resolve::Context;
use crate::store::{Archive, Digest, Form, Remote};

/// What registries answer with a short description of a package to.
const SHORT_DOCUMENT: &str = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8";

/// An archive that a function needs.
pub(super) struct Want {
    /// The lock that names it.
    pub(super) lock: Arc<Lock>,
    /// Where the lock has it.
    pub(super) location: String,
    /// Its digest.
    pub(super) digest: Digest,
}

/// An archive in the store with what its `package.json` says.
pub(super) struct Fetched {
    pub(super) archive: Arc<Archive>,
    pub(super) published: Published,
}

/// Archives by digest, or why there is none.
#[derive(Default)]
pub(super) struct Archives(BTreeMap<Digest, Result<Fetched>>);

impl Archives {
    /// The archive of a digest; its error, if it has none.
    pub(super) fn get(&self, digest: &Digest) -> Result<&Fetched> {
        match self.0.get(digest) {
            Some(Ok(fetched)) => Ok(fetched),
            Some(Err(error)) => Err(again(error)),
            None => Err(Error::failed(format!("the archive {digest} was not asked for"))),
        }
    }

    /// What went wrong with some of these, all told at once.
    pub(super) fn check<'a>(&self, digests: impl Iterator<Item = &'a Digest>) -> Result<()> {
        let wanted: BTreeSet<&Digest> = digests.collect();
        let failed: Vec<Error> = wanted.into_iter().filter_map(|digest| self.get(digest).err()).collect();
        let count = failed.len();
        let said = failed.iter().take(5).map(|e| format!("\n  {e}")).collect::<String>();
        match failed.into_iter().next() {
            None => Ok(()),
            Some(only) if count == 1 => Err(only),
            Some(first) => {
                let error = Error::failed(format!("{count} packages could not be fetched")).because(said);
                Err(first.hints().iter().fold(error, Error::hint))
            }
        }
    }
}

/// The same error once more: several functions may need what could not be fetched.
fn again(error: &Error) -> Error {
    let text = error.to_string();
    let same = if error.kind() == Kind::Config { Error::config(text) } else { Error::failed(text) };
    error.hints().iter().fold(same, Error::hint)
}

/// Fetches all that is wanted and not there.
pub(super) fn fetch(wants: Vec<Want>, context: &Context<'_>) -> Archives {
    let mut archives = Archives::default();
    let mut missing: Vec<Want> = Vec::new();
    let mut seen = BTreeSet::new();
    let wants: Vec<Want> = wants.into_iter().filter(|want| seen.insert(want.digest.clone())).collect();
    let npm = npm_cache();
    let found: Vec<Result<Option<Fetched>>> = wants
        .par_iter()
        .map(|want| {
            let of_yarn = |none: Option<Arc<Archive>>| match none {
                None if want.lock.manager == Manager::Berry => context.store.archive(Form::Yarn, &want.digest),
                found => Ok(found),
            };
            let in_store = context.store.archive(Form::Tarball, &want.digest).and_then(of_yarn)?;
            Ok(in_store.or_else(|| in_npm_cache(want, npm.as_deref()?, context)).map(read))
        })
        .collect();
    for (want, found) in wants.into_iter().zip(found) {
        match found.transpose() {
            Some(result) => drop(archives.0.insert(want.digest, result)),
            None => missing.push(want),
        }
    }
    if !missing.is_empty() {
        fetch_missing(missing, context, &mut archives);
    }
    archives
}

/// npm's cache, unless a variable names another folder.
fn npm_cache() -> Option<PathBuf> {
    let named = std::env::vars_os().find(|(name, _)| name.eq_ignore_ascii_case("npm_config_cache"));
    let folder = named.map(|(_, folder)| PathBuf::from(folder)).filter(|folder| !folder.as_os_str().is_empty());
    folder.or_else(|| Some(etcetera::home_dir().ok()?.join(".npm")))
}

/// npm keeps what it has fetched by its digest: `_cacache/content-v2/sha512/ab/cd/…`. Source: cacache's README.
fn in_npm_cache(want: &Want, cache: &Path, context: &Context<'_>) -> Option<Arc<Archive>> {
    let hex = want.digest.hex();
    let (first, second, rest) = (hex.get(..2)?, hex.get(2..4)?, hex.get(4..)?);
    let content = cache.join("_cacache/content-v2").join(want.digest.algorithm().as_str());
    let path = content.join(first).join(second).join(rest);
    context.adopt_copy(Form::Tarball, &want.digest, &path, &want.lock.label(&want.location))
}

fn read(archive: Arc<Archive>) -> Fetched {
    let published = archive.read_text("package.json").map(|text| Published::parse(&text)).unwrap_or_default();
    Fetched { archive, published }
}

/// A want with its configuration, and whether its address is a guess.
type Job = (Want, Arc<Config>, bool);

fn fetch_missing(missing: Vec<Want>, context: &Context<'_>, archives: &mut Archives) {
    let mut configs = Configs { environment: Environment::of_process(), read: BTreeMap::new() };
    let (mut jobs, mut remotes): (Vec<Job>, Vec<Remote>) = (Vec::new(), Vec::new());
    for want in missing {
        match configs.remote(&want, context.offline) {
            Ok((config, remote, guessed)) => {
                jobs.push((want, config, guessed));
                remotes.push(remote);
            }
            Err(error) => {
                archives.0.insert(want.digest, Err(error));
            }
        }
    }
    let mut second: Vec<(usize, Remote)> = Vec::new();
    let mut registry_answers = !context.offline;
    let mut results: Vec<Result<Arc<Archive>>> = context.fetcher.fetch_all(&remotes);
    for (index, result) in results.iter().enumerate() {
        if result.is_err() && jobs[index].2 && registry_answers {
            match described(&jobs[index], &remotes[index], context) {
                Ok(Some(remote)) => second.push((index, remote)),
                Ok(None) => {}
                // The registry itself is out of reach: the others would wait for the same answer.
                Err(_) => registry_answers = false,
            }
        }
    }
    let (indices, remotes): (Vec<usize>, Vec<Remote>) = second.into_iter().unzip();
    for (index, result) in indices.into_iter().zip(context.fetcher.fetch_all(&remotes)) {
        results[index] = result;
    }
    for ((want, ..), result) in jobs.into_iter().zip(results) {
        archives.0.insert(want.digest, result.map(read));
    }
}

struct Configs {
    environment: Environment,
    read: BTreeMap<PathBuf, Arc<Config>>,
}

impl Configs {
    fn remote(&mut self, want: &Want, offline: bool) -> Result<(Arc<Config>, Remote, bool)> {
        let folder = &want.lock.folder;
        let config = match self.read.get(folder) {
            Some(config) => Arc::clone(config),
            None => Arc::new(Config::read(folder, &self.environment)?.with(&want.lock.settings)),
        };
        self.read.insert(folder.clone(), Arc::clone(&config));
        let is_local = want.lock.get(&want.location).and_then(|e| e.resolved.as_deref());
        if offline && !is_local.is_some_and(|resolved| resolved.starts_with("file:")) {
            // Said here, before npm is asked for a registry that nothing is going to be fetched from.
            let label = want.lock.label(&want.location);
            return Err(Error::failed(format!("{label} is not in the store, and `--offline` forbids fetching it"))
                .hint("run the same command once without `--offline`"));
        }
        let (remote, guessed) = source::remote(&want.lock, &want.location, want.digest.clone(), &config)?;
        Ok((config, remote, guessed))
    }
}

/// Where the registry says that an archive is, if that is elsewhere than where it was looked for.
fn described((want, config, _): &Job, tried: &Remote, context: &Context<'_>) -> Result<Option<Remote>> {
    let name = want.lock.name(&want.location);
    let url = document_url(&config.registry(&name)?, &name);
    let document = context.fetcher.document(&url, config.authorization(&url).as_deref(), SHORT_DOCUMENT)?;
    let version = want.lock.get(&want.location).and_then(|entry| entry.version.as_deref()).unwrap_or_default();
    let url = source::described_url(&document, version).filter(|url| *url != tried.url);
    Ok(url.map(|url| Remote { authorization: config.authorization(&url), url, ..tried.clone() }))
}
