//! Fetching archives by URL and digest into the store.
//!
//! Several at a time, through the proxies of the usual variables (`HTTPS_PROXY`, `NO_PROXY`, …), trusting the system's
//! certificates (`SSL_CERT_FILE`, `SSL_CERT_DIR`). Bytes are bounded and hashed as they come; what does not have its digest
//! never gets a name. URLs in messages have their credentials masked.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::{Archive, Digest, Form, Hasher, Mirror, Store};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::fsio::AtomicFile;
use crate::process::redact;
use crate::report::{Event, Reporter, Task, Unit};

/// No archive of a package registry is larger than this.
const MAX_ARCHIVE: u64 = 2 << 30;
/// No document of a package registry is larger than this.
const MAX_DOCUMENT: u64 = 64 << 20;
/// At once over the network; more gains nothing against the registries' own limits.
const PARALLEL: usize = 8;
const ATTEMPTS: u32 = 4;

/// An archive somewhere, named by URL and digest.
#[derive(Debug, Clone)]
pub struct Remote {
    /// What it is to a person, such as `numpy 2.3.4`.
    pub label: String,
    /// `https:`, `http:` or `file:` URL. User name and password in it are sent as Basic authorization.
    pub url: String,
    /// The digest its bytes must have.
    pub digest: Digest,
    /// What to make of it.
    pub form: Form,
    /// Length in bytes, when the lock file says it. For the progress bar.
    pub size: Option<u64>,
    /// Value of an `Authorization` header. Never printed, not sent on after a redirect to another host.
    pub authorization: Option<String>,
}

/// Brings archives into the store.
pub struct Fetcher<'a> {
    store: &'a Store,
    offline: bool,
    reporter: &'a dyn Reporter,
    agent: OnceLock<Result<ureq::Agent, String>>,
}

impl<'a> Fetcher<'a> {
    /// A fetcher into `store`; with `offline`, one that only looks there.
    pub fn new(store: &'a Store, offline: bool, reporter: &'a dyn Reporter) -> Self {
        Self { store, offline, reporter, agent: OnceLock::new() }
    }

    /// The archives, in the order asked for; all that are missing in the store are fetched, several at a time. One error
    /// per archive, so that everything that is wrong is told at once.
    pub fn fetch_all(&self, remotes: &[Remote]) -> Vec<Result<Arc<Archive>>> {
        let mut results: Vec<Option<Result<Arc<Archive>>>> = Vec::new();
        let mut wanted: HashMap<(Form, &Digest), Vec<usize>> = HashMap::new();
        let mut jobs: Vec<usize> = Vec::new();
        // Each is hashed before it is trusted.
        let hits: Vec<_> = remotes.par_iter().map(|remote| self.store.archive(remote.form, &remote.digest)).collect();
        for (index, (remote, hit)) in remotes.iter().zip(hits).enumerate() {
            if matches!(hit, Ok(None)) {
                let same = wanted.entry((remote.form, &remote.digest)).or_default();
                if same.is_empty() {
                    jobs.push(index);
                }
                same.push(index);
            }
            results.push(hit.transpose());
        }
        if !jobs.is_empty() {
            let total = jobs.iter().map(|i| remotes[*i].size).sum::<Option<u64>>();
            let task = (!self.offline).then(|| {
                let label =
                    if jobs.len() == 1 { remotes[jobs[0]].label.clone() } else { format!("{} packages", jobs.len()) };
                Task::begin(self.reporter, format!("Fetching {label}"), total, Unit::Bytes)
            });
            let next = AtomicUsize::new(0);
            let done = Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                for _ in 0..PARALLEL.min(jobs.len()) {
                    scope.spawn(|| {
                        while let Some(index) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let result = self.fetch_missing(&remotes[*index], task.as_ref());
                            done.lock().unwrap_or_else(PoisonError::into_inner).push((*index, result));
                        }
                    });
                }
            });
            for (index, result) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
                for same in &wanted[&(remotes[index].form, &remotes[index].digest)] {
                    results[*same] = Some(match &result {
                        Ok(archive) => Ok(Arc::clone(archive)),
                        Err(_) if *same != index => continue,
                        Err(_) => break,
                    });
                }
                if let Err(error) = result {
                    results[index] = Some(Err(error));
                }
            }
        }
        let missing = || Err(Error::failed("the archive could not be fetched (see the other errors)"));
        results.into_iter().map(|r| r.unwrap_or_else(missing)).collect()
    }

    /// One archive.
    pub fn fetch(&self, remote: &Remote) -> Result<Arc<Archive>> {
        self.fetch_all(std::slice::from_ref(remote)).pop().unwrap_or_else(|| Err(Error::failed("nothing fetched")))
    }

    fn fetch_missing(&self, remote: &Remote, task: Option<&Task<'_>>) -> Result<Arc<Archive>> {
        if self.offline && !remote.url.starts_with("file:") {
            return Err(Error::failed(format!(
                "{} is not in the store, and `--offline` forbids fetching it",
                remote.label
            ))
            .hint("run the same command once without `--offline`"));
        }
        let slot = self.store.slot(remote.form, &remote.digest);
        let mirror = self.store.mirror().filter(|_| !self.offline && !remote.url.starts_with("file:"));
        if let Some(archive) = mirror.and_then(|mirror| self.mirrored(mirror, remote, &slot)) {
            return Ok(archive);
        }
        let file = self.retry(&remote.url, || {
            let mut file = AtomicFile::create(&slot).map_err(Attempt::Final)?;
            self.download(remote, &mut file, task)?;
            Ok(file)
        })?;
        let original = mirror.and_then(|mirror| Some((mirror, file.file().try_clone().ok()?)));
        let archive = self.store.adopt(remote.form, &remote.digest, file, &remote.label)?;
        if let Some((mirror, original)) = original
            && let Ok(metadata) = original.metadata()
        {
            mirror.put(&remote.digest, original, metadata.len());
        }
        Ok(archive)
    }

    /// The archive from the store that others share, if it is there and has the digest.
    fn mirrored(&self, mirror: &Mirror, remote: &Remote, slot: &Path) -> Option<Arc<Archive>> {
        let mut file = AtomicFile::create(slot).ok()?;
        let mut hashing = Hashing { inner: &mut file, hasher: remote.digest.hasher() };
        if !mirror.get(&remote.digest, &mut hashing, MAX_ARCHIVE) {
            return None;
        }
        if hashing.hasher.finish() != remote.digest {
            let text = format!("{} in the shared store does not have its digest", remote.label);
            self.reporter.event(Event::Warning(text));
            return None;
        }
        self.store.adopt(remote.form, &remote.digest, file, &remote.label).ok()
    }

    fn download(&self, remote: &Remote, file: &mut AtomicFile, task: Option<&Task<'_>>) -> Result<(), Attempt> {
        let mut body = self.open(&remote.url, remote.authorization.as_deref(), "*/*")?;
        let mut hasher = remote.digest.hasher();
        let mut buffer = vec![0; 64 << 10];
        let mut length = 0_u64;
        loop {
            let n = body.read(&mut buffer).map_err(|e| Attempt::Again(failed_url(&remote.url).because(e)))?;
            if n == 0 {
                break;
            }
            length += n as u64;
            if length > MAX_ARCHIVE {
                return Err(Attempt::Final(
                    failed_url(&remote.url).because(format!("it is larger than {MAX_ARCHIVE} bytes")),
                ));
            }
            hasher.update(&buffer[..n]);
            file.write_all(&buffer[..n]).map_err(|e| Attempt::Final(Error::io("write", file.path(), &e)))?;
            if let Some(task) = task {
                task.advance(n as u64);
            }
        }
        let actual = hasher.finish();
        if actual != remote.digest {
            return Err(Attempt::Final(
                Error::failed(format!(
                    "{} does not have the digest that its lock names: expected {}, got {actual} ({length} bytes from {})",
                    remote.label,
                    remote.digest,
                    redact(&remote.url)
                ))
                .hint("the file on the server was changed, or a proxy answered in its place; do not pack it before you know which"),
            ));
        }
        Ok(())
    }

    /// A small document, such as a package's metadata.
    pub fn document(&self, url: &str, authorization: Option<&str>, accept: &str) -> Result<Vec<u8>> {
        if self.offline {
            return Err(failed_url(url)
                .because("`--offline` forbids it")
                .hint("run the same command once without `--offline`"));
        }
        self.retry(url, || {
            let body = self.open(url, authorization, accept)?;
            let mut bytes = Vec::new();
            body.take(MAX_DOCUMENT).read_to_end(&mut bytes).map_err(|e| Attempt::Again(failed_url(url).because(e)))?;
            Ok(bytes)
        })
    }

    fn retry<T>(&self, url: &str, mut attempt: impl FnMut() -> Result<T, Attempt>) -> Result<T> {
        let mut number = 1;
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Again(error)) if number >= ATTEMPTS => {
                    return Err(
                        error.hint(format!("tried {ATTEMPTS} times; check the network, HTTPS_PROXY and NO_PROXY"))
                    );
                }
                Err(Attempt::Again(error)) => {
                    self.reporter.event(Event::Debug(format!("{error}; trying {} again", redact(url))));
                    std::thread::sleep(Duration::from_millis(200 << number));
                    number += 1;
                }
            }
        }
    }

    fn open(&self, url: &str, authorization: Option<&str>, accept: &str) -> Result<Box<dyn Read>, Attempt> {
        if let Some(path) = url.strip_prefix("file://") {
            let path = percent_decode(path);
            let file = std::fs::File::open(&path).map_err(|e| Attempt::Final(Error::io("read", path.as_ref(), &e)))?;
            return Ok(Box::new(file));
        }
        let agent =
            self.agent.get_or_init(build_agent).as_ref().map_err(|e| Attempt::Final(Error::failed(e.clone())))?;
        let (url, embedded) = take_credentials(url);
        let mut request = agent.get(&url).header("Accept", accept);
        if let Some(value) = authorization.or(embedded.as_deref()) {
            request = request.header("Authorization", value);
        }
        match request.call() {
            Ok(response) => Ok(Box::new(response.into_body().into_reader())),
            Err(ureq::Error::StatusCode(code)) => {
                let error = failed_url(&url).because(format!("the server answered {code}"));
                Err(match code {
                    408 | 425 | 429 | 500..=599 => Attempt::Again(error),
                    401 | 403 => Attempt::Final(error.hint("the registry wants credentials, or other ones")),
                    _ => Attempt::Final(error),
                })
            }
            Err(
                error @ (ureq::Error::Io(_)
                | ureq::Error::Timeout(_)
                | ureq::Error::HostNotFound
                | ureq::Error::ConnectionFailed),
            ) => Err(Attempt::Again(failed_url(&url).because(error))),
            Err(error) => Err(Attempt::Final(failed_url(&url).because(error))),
        }
    }
}

/// Hashes what is written.
struct Hashing<'a> {
    inner: &'a mut AtomicFile,
    hasher: Hasher,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

enum Attempt {
    Again(Error),
    Final(Error),
}

fn failed_url(url: &str) -> Error {
    Error::failed(format!("Failed to fetch {}", redact(url)))
}

fn build_agent() -> Result<ureq::Agent, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(format!(
            "the system has no certificates to trust ({why}); install `ca-certificates` or set SSL_CERT_FILE"
        ));
    }
    let roots: Vec<_> = found.certs.iter().map(|c| ureq::tls::Certificate::from_der(c.as_ref()).to_owned()).collect();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .user_agent(concat!("cargo-lambda-pack/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .max_idle_connections_per_host(PARALLEL)
        .build();
    let connector = ureq::unversioned::transport::DefaultConnector::default();
    Ok(ureq::Agent::with_parts(config, connector, super::resolver::Once::default()))
}

/// Splits `https://user:secret@host/…` into the URL without credentials and a Basic authorization.
fn take_credentials(url: &str) -> (String, Option<String>) {
    use base64::Engine as _;
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    // An authority ends at a query, too: behind it, an `@` is not what comes after a password, but what an attacker wrote
    // to have the credentials of the host before it sent to the one behind it.
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind('@') else { return (url.to_owned(), None) };
    let (user, password) = rest[..at].split_once(':').unwrap_or((&rest[..at], ""));
    let pair = format!("{}:{}", percent_decode(user), percent_decode(password));
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    (format!("{scheme}://{}", &rest[at + 1..]), Some(basic))
}

/// The `file:` URL of a path, as [`Fetcher`] reads it: `%` starts an escape there.
pub fn file_url(path: &Path) -> String {
    format!("file://{}", path.to_string_lossy().replace('%', "%25"))
}

/// Text with its `%XX` replaced by what they stand for.
pub(crate) fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let hex =
            (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten().and_then(|h| u8::from_str_radix(h, 16).ok());
        out.push(hex.unwrap_or(bytes[i]));
        i += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_url() {
        let (url, basic) = take_credentials("https://me:p%40ss@host/x@y");
        assert_eq!((url.as_str(), basic.as_deref()), ("https://host/x@y", Some("Basic bWU6cEBzcw==")));
        for url in ["https://host/a@b", "https://host?@other/a", "https://host#@other/a", "https://host\\@other/a"] {
            assert_eq!(take_credentials(url), (url.to_owned(), None));
        }
    }
}
