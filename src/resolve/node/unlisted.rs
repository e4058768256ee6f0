//! Packages of a lock that no digest proves: commits of Git repositories, and archives without an `integrity`. npm fetches
//! them (`npm pack`), so that they are what npm would install; what comes is known by its digest from then on.
//!
//! A commit says what it holds, so that what came of it is kept for the day. What an address gives may be another thing each
//! time; it is fetched by every run, and a note says so.
//!
//! For a package from Git npm installs its development dependencies and runs its `prepare` script. That is done here for
//! packages that `allow-scripts` names; of the others the files are packed as they were committed, and a finding says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lock::{Lock, slot_name};
use super::manifest::Published;
use super::source::Unlisted;
use super::tools::{self, Tools};
use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::fresh::Key;
use crate::fsio;
use crate::report::{Task, Unit};
use crate::resolve::{Context, Request, environment};
use crate::store::{Algorithm, Archive, Digest, Form, Remote, digest_of_file, file_url};

/// A project that holds nothing: npm looks for one.
const MANIFEST: &str = "{\"name\": \"fetched\", \"version\": \"0.0.0\", \"private\": true}\n";

/// Packages that have been fetched in this run, by what was asked for.
#[derive(Default)]
pub(super) struct Fetched(BTreeMap<String, Digest>);

/// What the fetched packages of one function mean beside their files.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What is wrong with them.
    pub(super) findings: Vec<Finding>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// Whether there are any: then the lock alone does not say what is packed.
    pub(super) any: bool,
}

/// Where and how packages are fetched.
pub(super) struct Npm<'a> {
    pub(super) lock: &'a Lock,
    pub(super) request: &'a Request<'a>,
    pub(super) context: &'a Context<'a>,
    pub(super) tools: &'a Tools,
}

impl Npm<'_> {
    /// Brings the package at a location into the store, and gives its digest.
    pub(super) fn take(
        &self,
        location: &str,
        unlisted: &Unlisted,
        fetched: &mut Fetched,
        said: &mut Said,
    ) -> Result<Digest> {
        said.any = true;
        let label = self.lock.label(location);
        let (spec, is_git) = match unlisted {
            Unlisted::File(path) => return digest_of_file(path, Algorithm::Sha512),
            Unlisted::Git(spec) => (spec, true),
            Unlisted::Address(spec) => (spec, false),
        };
        let is_allowed = is_git && self.is_allowed(location);
        let key = self.key(spec, is_allowed)?;
        let (digest, archive) = match self.known(&key, is_git, fetched) {
            Some(known) => known,
            None => self.pack(&label, spec, is_allowed)?,
        };
        if is_git {
            // What cannot be kept is fetched again.
            let _ = self.context.store.keep_answer(&key, &digest.to_string());
        }
        fetched.0.insert(key, digest.clone());
        if !is_git {
            said.notes.push(format!(
                "{label} has no integrity in the lock, so that what its address gives now is packed; `npm install` writes one."
            ));
        } else if !is_allowed {
            said.findings.extend(self.not_prepared(location, &archive));
        }
        Ok(digest)
    }

    fn is_allowed(&self, location: &str) -> bool {
        let name = self.lock.name(location);
        let allowed = &self.request.function.allow_scripts;
        allowed.iter().any(|allowed| *allowed == name || slot_name(location) == Some(allowed))
    }

    /// What npm's answer depends on. Its scripts may read the whole environment.
    fn key(&self, spec: &str, is_allowed: bool) -> Result<String> {
        let mut key = Key::new();
        key.add("npm pack").add(spec).add(if is_allowed { "prepared" } else { "as it is" });
        for fact in self.tools.facts(&self.lock.folder)? {
            key.add(fact);
        }
        if is_allowed {
            for fact in environment::facts().into_iter().chain(environment::compilers()) {
                key.add(fact);
            }
        }
        Ok(key.finish())
    }

    /// What has been fetched in this run, and of commits also what has been fetched today.
    fn known(&self, key: &str, is_git: bool, fetched: &Fetched) -> Option<(Digest, Arc<Archive>)> {
        let store = self.context.store;
        let of_run = fetched.0.get(key).cloned();
        let digest = of_run.or_else(|| {
            let answer = store.answer(key).filter(|_| is_git)?;
            let (algorithm, hex) = answer.split_once(':')?;
            Digest::from_hex(algorithm, hex)
        })?;
        let archive = store.archive(Form::Tarball, &digest).ok()??;
        Some((digest, archive))
    }

    /// Lets npm fetch and pack it.
    fn pack(&self, label: &str, spec: &str, is_allowed: bool) -> Result<(Digest, Arc<Archive>)> {
        if self.context.offline && !spec.starts_with("git+file:") {
            return Err(Error::failed(format!(
                "{label} comes from `{spec}` without a digest, and `--offline` forbids fetching it"
            ))
            .hint("run the same command once without `--offline`; of Git, what comes is kept for some hours"));
        }
        let _task = Task::begin(self.context.reporter, format!("Fetching {label} with npm"), None, Unit::Items);
        let scratch = fsio::scratch_dir()?;
        let at = scratch.path();
        fsio::write_atomic(&at.join("package.json"), MANIFEST.as_bytes())?;
        let npmrc = self.lock.folder.join(".npmrc");
        if npmrc.is_file() {
            fsio::write_atomic(&at.join(".npmrc"), fsio::read_text(&npmrc)?.as_bytes())?;
        }
        let ignored = if is_allowed { "false" } else { "true" };
        let tool = tools::npm(at)
            .args(["pack", "--foreground-scripts=false"])
            .arg(format!("--ignore-scripts={ignored}"))
            .args(["--", spec])
            // Also for the npm that npm runs on a clone.
            .env("npm_config_ignore_scripts", ignored)
            .env("GIT_TERMINAL_PROMPT", "0")
            .in_no_repository();
        let tool = if is_allowed { environment::without_shell(tool) } else { tool };
        tool.run().map_err(|failure| {
            let from = crate::process::redact(spec);
            tools::refused(format!("{label} cannot be fetched from `{from}`"), failure)
        })?;
        let tarball = only_tarball(at)?.ok_or_else(|| Error::failed(format!("npm has packed nothing for {label}")))?;
        let digest = digest_of_file(&tarball, Algorithm::Sha512)?;
        let remote = Remote {
            label: label.to_owned(),
            url: file_url(&tarball),
            digest: digest.clone(),
            form: Form::Tarball,
            size: None,
            authorization: None,
        };
        Ok((digest, self.context.fetcher.fetch(&remote)?))
    }

    fn not_prepared(&self, location: &str, archive: &Archive) -> Option<Finding> {
        let published = Published::parse(&archive.read_text("package.json").unwrap_or_default());
        let (label, name) = (self.lock.label(location), self.lock.name(location));
        published.has_script(&["prepare"]).then(|| {
            Finding::new(
                Rule::InstallScriptNotRun,
                format!("{label} comes from Git and has a `prepare` script, which is not run: what it would build is not in the package"),
                format!("if the function misses a file, have it run with `allow-scripts = [\"{name}\"]`, or depend on a release"),
            )
            .path(location)
            .function(&self.request.function.name)
        })
    }
}

fn only_tarball(folder: &Path) -> Result<Option<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io("read", folder, &e))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.find(|path| path.extension().is_some_and(|extension| extension == "tgz")))
}
